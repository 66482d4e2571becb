"""HTML to readable lines, and the JSON-LD blocks beside them.

Tables stay rows of cells, blocks, list items and ``<br>`` become lines, what a reader would not see is left out.
The parser is lexbor, which takes time quadratic in nesting: tags and depth are bounded before it sees the text.
"""

import re
from functools import lru_cache
from itertools import islice
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from parsers.errors import Unreadable
from parsers.pattern import PatternSet
from parsers.text import CELL, Line, line_of, normal, normal_each, without_history

MAX_HTML: Final = 1024 * 1024
MAX_TAGS: Final = 16_000
MAX_DEPTH: Final = 200
MAX_DROPPED: Final = 2000
_SMALL: Final = 600
"""With fewer tags than this, no nesting can hurt and no counting is worth its time."""
_MAX_OPEN_STYLES: Final = 150_000
"""Unclosed formatting elements times tags: each is copied into every later block."""

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_NEVER_NEST = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "p", "li", "td", "th", "tr", "dt", "dd", "option", "tbody", "thead", "tfoot", "colgroup",
))  # fmt: skip
"""Tags without content, and those that their like closes."""
_MAY_NEST = re.compile(r"<(?!/|(?:td|tr|p|br|li|img)[ >])")
"""Opening tags other than the commonest of those: counted first, since counting is cheap."""
_STYLES = frozenset(("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"))
_GAPS = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "table", "ul", "ol", "dl", "blockquote"))
_BLOCKS = _GAPS | frozenset((
    "address", "article", "aside", "body", "caption", "center", "dd", "details", "div", "dt", "fieldset", "figure",
    "footer", "form", "header", "html", "legend", "li", "main", "nav", "pre", "section", "summary",
))  # fmt: skip
_SECTIONS = frozenset(("tbody", "tfoot", "thead"))
_UNSEEN = frozenset((
    "head", "style", "script", "title", "noscript", "template", "svg", "math", "object", "iframe", "textarea",
    "select", "button",
))  # fmt: skip
_SKIPPED = _UNSEEN | {"-comment"}
_NOT_INLINE = _BLOCKS | _SECTIONS | {"br", "tr"}
_QUOTED = (
    "blockquote[type=cite], blockquote.gmail_quote, div.gmail_quote, div.gmail_quote_container, div.yahoo_quoted, "
    "div.moz-cite-prefix, div.moz-forward-container, #divRplyFwdMsg, #divRplyFwdMsg ~ *, #appendonsend, "
    "#appendonsend ~ *, [hidden], [aria-hidden=true i]"
)
_MARKS = PatternSet([r"quote|moz-|divrplyfwdmsg|appendonsend|hidden[\s/=>]", "<script"])
"""What stands in every text that `_QUOTED` (place 0) or `_LD_JSON` (1) finds anything in: it spares most the search."""
_HIDDEN_STYLE = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|mso-hide\s*:\s*all"
    r"|opacity\s*:\s*0?\.?0*%?\s*(?:;|!|$)|font-size\s*:\s*[01]?(?:\.\d+)?(?:px|pt|em|rem|%)?\s*(?:;|!|$)"
    r"|max-height\s*:\s*[01]?(?:px|pt)?\s*(?:;|!|$)|max-width\s*:\s*[01]?(?:px|pt)?\s*(?:;|!|$)"
    r"|text-indent\s*:\s*-\d{3,}|(?:left|top)\s*:\s*-\d{3,})",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"(?:^|;)\s*(color|background(?:-color)?)\s*:\s*(#[0-9a-f]{3,8}|[a-z]+)", re.IGNORECASE)
_LD_JSON = 'script[type="application/ld+json" i]'


class HtmlText:
    """What one HTML text holds: readable lines, and the source of each JSON-LD block."""

    __slots__ = ("blocks", "lines")

    def __init__(self, lines: list[Line], blocks: list[str]) -> None:
        self.lines = lines
        self.blocks = blocks


def read_html(html: str) -> HtmlText:
    """Return what a reader sees of `html`; raise Unreadable when it is past our bounds."""
    _check_bounds(html)
    tree = LexborHTMLParser(html.replace("\0", "\ufffd"))
    body = tree.body
    if body is None:
        return HtmlText([], [])
    marks = _MARKS.found(html)
    if 0 in marks:
        _drop(tree.css(_QUOTED))
    blocks = [node.text() for node in tree.css(_LD_JSON)] if 1 in marks else []
    _drop(_hidden(tree))
    page = _Page()
    page.children(body)
    page.end_line()
    return HtmlText(without_history(page.lines), blocks)


def _hidden(tree: LexborHTMLParser) -> list[LexborNode]:
    """Return the elements that their style hides; mails repeat few styles many times, so each is read once."""
    nodes = tree.css("[style], [bgcolor]")
    styles = [(has.get("style"), has.get("bgcolor")) for has in [node.attributes for node in nodes]]
    hiding = {style for style in set(styles) if _is_hidden(style[0] or "", style[1] or "")}
    return [node for node, style in zip(nodes, styles, strict=True) if style in hiding] if hiding else []


def _drop(nodes: list[LexborNode]) -> None:
    if len(nodes) > MAX_DROPPED:
        raise Unreadable(f"an HTML part holds more than {MAX_DROPPED} hidden or quoted elements")
    for node in nodes:
        node.decompose()


def _check_bounds(html: str) -> None:
    if len(html) > MAX_HTML:
        raise Unreadable(f"an HTML part is longer than {MAX_HTML} characters")
    tags = html.count("<")
    if tags <= _SMALL:
        return
    if tags > MAX_TAGS:
        raise Unreadable(f"an HTML part holds more than {MAX_TAGS} tags")
    nesting = len(_MAY_NEST.findall(html))
    if nesting <= MAX_DEPTH and nesting * tags <= _MAX_OPEN_STYLES:
        return
    depth = deepest = styles = most_styles = 0
    for slash, name in _TAG.findall(html):
        word = name.lower()
        if word in _NEVER_NEST:
            continue
        step = -1 if slash else 1
        depth += step
        if depth > deepest:
            deepest = depth
        if word in _STYLES:
            styles = max(0, styles + step)
            if styles > most_styles:
                most_styles = styles
    if deepest > MAX_DEPTH:
        raise Unreadable(f"an HTML part nests deeper than {MAX_DEPTH} tags")
    if most_styles * tags > _MAX_OPEN_STYLES:
        raise Unreadable("an HTML part leaves too many formatting tags open")


@lru_cache(maxsize=1024)
def _is_hidden(style: str, bgcolor: str) -> bool:
    """Return whether a style hides its element."""
    if style and _HIDDEN_STYLE.search(style):
        return True
    colours = {name.lower().removesuffix("-color"): _colour(value) for name, value in _COLOUR.findall(style)}
    ground = colours.get("background") or _colour(bgcolor)
    return bool(ground) and colours.get("color") == ground


def _colour(value: str) -> str:
    value = value.lower()
    if value == "white":
        return "#ffffff"
    if value == "black":
        return "#000000"
    if len(value) == 4 and value[0] == "#":
        return "#" + "".join(digit * 2 for digit in value[1:])
    return value


class _Page:
    """The lines written so far, and the line being written."""

    __slots__ = ("_gap", "_text", "lines")

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._text: list[str] = []
        self._gap = False

    def children(self, node: LexborNode) -> None:
        child = node.first_child
        while child is not None:
            tag = child.tag
            if tag == "-text":
                self._text.append(child.text_content or "")
            elif tag == "br":
                self.end_line(explicit=True)
            elif tag in _BLOCKS:
                self._block(child, gap=tag in _GAPS)
            elif tag in _SECTIONS:
                self._rows(child)
            elif tag not in _SKIPPED:
                self.children(child)
            child = child.next

    def _block(self, node: LexborNode, *, gap: bool) -> None:
        if self._text:
            self.end_line()
        self._gap = self._gap or gap
        self.children(node)
        if self._text:
            self.end_line()
        self._gap = self._gap or gap

    def end_line(self, *, explicit: bool = False) -> None:
        text = normal("".join(self._text)) if self._text else ""
        self._text.clear()
        if text:
            self.lines.append(Line(text, (text,), self._gap))
            self._gap = False
        elif explicit:
            self._gap = True

    def _rows(self, section: LexborNode) -> None:
        """Write the rows of a table's section; HTML parsing leaves no text between them but white space."""
        self.end_line()
        plain = _PlainRows()
        for child in section.iter():
            tag = child.tag
            if tag == "tr":
                if plain.add(child):
                    continue
                self._write(plain)
                self._row(child)
            elif tag not in _SKIPPED:
                self._write(plain)
                self.children(child)
        self._write(plain)
        self.end_line()

    def _write(self, plain: "_PlainRows") -> None:
        """Write rows of plain cells, and forget them."""
        lines = plain.take()
        if lines:
            if self._gap:
                lines[0] = lines[0]._replace(gap=True)
                self._gap = False
            self.lines += lines

    def _row(self, row: LexborNode) -> None:
        cells = [cell for cell in row.iter() if cell.tag in ("td", "th")]
        pages = [_cell_lines(cell) for cell in cells]
        if len(pages) == 1 or any(len(lines) > 1 or (lines and len(lines[0].cells) > 1) for lines in pages):
            self._extend(pages)
            return
        is_header = all(cell.tag == "th" for cell in cells)
        line = line_of([lines[0].text if lines else "" for lines in pages], gap=self._gap, header=is_header)
        if line is not None:
            self.lines.append(line)
            self._gap = False

    def _extend(self, pages: list[list[Line]]) -> None:
        """Write the lines of cells one after the other: those of cells side by side are apart from each other."""
        apart = len(pages) > 1
        for lines in pages:
            for line in lines:
                if self._gap or (apart and not line.apart):
                    line = line._replace(gap=line.gap or self._gap, apart=line.apart or apart)
                self.lines.append(line)
                self._gap = False


class _PlainRows:
    """Rows whose cells hold one text each: their texts are brought to the normal form all at once."""

    __slots__ = ("_rows", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._rows: list[tuple[int, bool]] = []
        """The number of cells of each row, and whether all are headings."""

    def add(self, row: LexborNode) -> bool:
        """Take a row in; return False for one that holds other cells, too."""
        texts: list[str] = []
        headings = 0
        cell = row.first_child
        while cell is not None:
            tag = cell.tag
            if tag == "td" or tag == "th":
                headings += tag == "th"
                text = _plain_text(cell)
                if text is None and tag == "th":
                    text = _plain_heading(cell)
                if text is None:
                    return False
                texts.append(text)
            cell = cell.next
        self._texts += texts
        self._rows.append((len(texts), headings == len(texts)))
        return True

    def take(self) -> list[Line]:
        """Return the lines of the rows that are not empty, and forget them all."""
        if not self._rows:
            return []
        normals = iter(normal_each(self._texts))
        lines = [
            Line._make((text, cells, False, is_header, False))
            for count, is_header in self._rows
            if (text := CELL.join(cells := tuple(islice(normals, count))).strip())
        ]
        self._texts.clear()
        self._rows.clear()
        return lines


def _plain_text(cell: LexborNode) -> str | None:
    """Return the text of a cell that holds one text, bare or in one inline element; None for any other cell."""
    node = cell.first_child
    if node is None:
        return ""
    while node is not None and node.next is None:
        text = node.text_content
        if text is not None:
            return text
        tag = node.tag
        if tag in _SKIPPED:
            return ""
        if tag in _NOT_INLINE:
            return None
        node = node.first_child
    return None


def _plain_heading(cell: LexborNode) -> str | None:
    """Return the plain text of a heading once what is unseen is out of it: it makes a heading no less plain."""
    node: LexborNode | None = cell
    while node is not None and node.tag not in _NOT_INLINE:
        for child in list(node.iter()):
            if child.tag in _UNSEEN:
                child.decompose()
        node = node.first_child
    return _plain_text(cell)


def _cell_lines(cell: LexborNode) -> list[Line]:
    page = _Page()
    page.children(cell)
    page.end_line()
    return page.lines
