"""HTML to readable lines, and the JSON-LD blocks beside them.

Tables stay rows of cells, blocks, list items and ``<br>`` become lines, what a reader would not see is left out.
The parser is lexbor: what `parsers.bounds` refuses is never given to it.
"""

from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise, repeat
from typing import Any, Final, NamedTuple, cast

from selectolax.lexbor import LexborHTMLParser, LexborNode

from parsers.bounds import Bounds
from parsers.errors import Unreadable
from parsers.forward import MAX_HEAD, STEMS
from parsers.hiding import find_hidden
from parsers.pattern import PatternSet
from parsers.preformatted import MARK, TAGS, find_preformatted, split_lines
from parsers.quoted import QUOTED, find_quoted
from parsers.text import CELL, Line, line_of, mark_label, normal, normal_marked, plain_lines, without_history

MAX_DROPPED: Final = 2000

_TEXT, _BLOCK, _GAP, _BREAK, _SECTION, _ROW, _CELL, _HEADING, _UNSEEN, _COMMENT, _TERMS, _TERM, _VALUE = range(13)
"""What becomes of a node; of one that has no such kind, only what is in it counts. A gap is a block between blanks."""
_TAGS: Final = {
    _GAP: ("p", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "table", "ul", "ol", "blockquote"),
    _BLOCK: (
        "address", "article", "aside", "body", "caption", "center", "details", "div", "fieldset", "figure",
        "footer", "form", "header", "html", "legend", "li", "main", "nav", "section", "summary", *TAGS,
    ),
    _BREAK: ("br",),
    _SECTION: ("tbody", "tfoot", "thead"),
    _ROW: ("tr",),
    _CELL: ("td",),
    _HEADING: ("th",),
    _TERMS: ("dl",),
    _TERM: ("dt",),
    _VALUE: ("dd",),
    _UNSEEN: (
        "head", "style", "script", "title", "noscript", "template", "svg", "math", "object", "iframe", "textarea",
        "select", "button", "dialog", "datalist", "s", "strike", "del",
    ),
}  # fmt: skip


def _kinds() -> dict[int, int]:
    """Return the kinds by lexbor's number of a tag: to ask for its name costs twice as much."""
    tree = LexborHTMLParser("<body>text<!-- comment -->")
    text, comment = cast(LexborNode, tree.body).iter(include_text=True)
    kinds = {tree.create_node(tag).tag_id: kind for kind, tags in _TAGS.items() for tag in tags}
    return kinds | {text.tag_id: _TEXT, comment.tag_id: _COMMENT}


_KINDS = _kinds()
_ID = {kind: tag_id for tag_id, kind in _KINDS.items()}
_TEXT_ID, _ROW_ID, _CELL_ID, _HEADING_ID = _ID[_TEXT], _ID[_ROW], _ID[_CELL], _ID[_HEADING]

_MARKS = PatternSet([r"quote|moz-|divrplyfwdmsg|appendonsend|hidden[\s/=>]", "<script", STEMS, MARK, "<style"])
"""What stands in every text that `QUOTED` (place 0) or `_LD_JSON` (1) finds anything in, or that holds the line that
begins a forward (2), or preformatted text (3) or a style sheet (4): it spares most the search."""
_LD_JSON = 'script[type="application/ld+json" i]'


class HtmlText(NamedTuple):
    """What one HTML text holds: readable lines, and the source of each JSON-LD block."""

    lines: list[Line]
    blocks: list[str]
    whole: bool
    """Whether history and forwards are still in the lines: what of them is to be read, ``parsers.forward`` says."""
    history: bool
    """Whether history in plain lines was left out; a block may be of it."""


def read_html(html: str, *, is_forward: bool = False, bounds: Bounds | None = None) -> HtmlText:
    """Return what a reader sees of `html`; raise Unreadable when it is past our bounds.

    History is left out, unless the text may be that of a forward: because `is_forward`, or by what stands in it. Then
    history in plain lines is left in, and so are quoted blocks that begin as a forwarded mail does.
    `bounds`: those of the mail that it is a part of; None for a text of its own.
    """
    (bounds or Bounds()).check(html)
    tree = LexborHTMLParser(html.replace("\0", "\ufffd"))
    body = tree.body
    if body is None:
        return HtmlText([], [], whole=False, history=False)
    marks = _MARKS.found(html)
    whole = is_forward or 2 in marks
    texts = find_preformatted(tree, tags=html.count("<")) if 3 in marks else {}
    if 0 in marks:
        _drop(find_quoted(tree, lambda node: _opening(node, texts)) if whole else tree.css(QUOTED))
    blocks = [node.text() for node in tree.css(_LD_JSON)] if 1 in marks else []
    _drop(find_hidden(tree, has_sheets=4 in marks, tags=html.count("<")))
    page = _Page(texts)
    page.children(body)
    page.end_line()
    lines = page.lines if whole else without_history(page.lines)
    return HtmlText(lines, blocks, whole=whole, history=len(lines) < len(page.lines))


def _opening(node: LexborNode, preformatted: dict[int, bool]) -> list[Line]:
    """Return the first lines of a block: as many as the header of a forwarded mail may have, or more."""
    page = _Opening(preformatted)
    with suppress(StopIteration):
        page.children(node)
        page.end_line()
    return page.lines


def _drop(nodes: list[LexborNode]) -> None:
    if len(nodes) > MAX_DROPPED:
        raise Unreadable(f"an HTML part holds more than {MAX_DROPPED} hidden or quoted elements")
    for node in nodes:
        if node.tag == "html":  # lexbor keeps the root: what is in it goes
            for child in list(node.iter(include_text=True)):
                child.decompose()
        else:
            node.decompose()


class _Page:
    """The lines written so far, and the line being written."""

    __slots__ = ("_gap", "_preformatted", "_set", "_text", "lines")

    def __init__(self, preformatted: dict[int, bool]) -> None:
        self.lines: list[Line] = []
        self._preformatted = preformatted
        self._text: list[str] = []
        self._set = False
        """Whether the line being written holds text whose spaces are shown as they are set."""
        self._gap = False

    def children(self, node: LexborNode) -> None:
        child = node.first_child
        while child is not None:
            tag = child.tag_id
            if tag == _TEXT_ID:
                text = child.text_content or ""
                if self._preformatted and child.mem_id in self._preformatted:
                    self._lines(text, is_set=self._preformatted[child.mem_id])
                else:
                    self._text.append(text)
            elif (kind := _KINDS.get(tag)) is None:
                self.children(child)
            elif kind == _GAP:
                self._block(child, gap=True)
            elif kind == _BLOCK:
                self._block(child, gap=False)
            elif kind == _TERMS:
                self._terms(child)
            elif kind in (_TERM, _VALUE):  # outside a list of them
                self._block(child, gap=False)
            elif kind == _BREAK:
                self.end_line(explicit=True)
            elif kind == _SECTION:
                self._rows(child)
            elif kind != _UNSEEN and kind != _COMMENT:
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

    def _lines(self, text: str, *, is_set: bool) -> None:
        """Write text whose line breaks are shown; of blank text between blocks, none are."""
        if not self._text and not text.strip():
            return
        for number, piece in enumerate(split_lines(text)):
            if number:
                self.end_line(explicit=True)
            if piece:
                self._text.append(piece)
                self._set = self._set or is_set

    def end_line(self, *, explicit: bool = False) -> None:
        joined = "".join(self._text) if self._text else ""
        self._text.clear()
        if self._set:
            self._set = False
            if lines := plain_lines(" ".join(joined.splitlines()), whole=True):
                self.lines.append(lines[0]._replace(gap=self._gap))
                self._gap = False
                return
        text = normal(joined)
        if text:
            self.lines.append(Line(text, (text,), self._gap))
            self._gap = False
        elif explicit:
            self._gap = True

    def _rows(self, section: LexborNode) -> None:
        """Write the rows of a table's section; HTML parsing leaves no text between them but white space."""
        self.end_line()
        plain = _PlainRows(self._preformatted)
        if not plain.add(section):
            for child in section.iter():
                kind = _KINDS.get(child.tag_id)
                if kind == _ROW:
                    if plain.add(child):
                        continue
                    self._write(plain)
                    self._row(child)
                elif kind != _UNSEEN and kind != _COMMENT:
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
        cells = [(cell, kind) for cell in row.iter() if (kind := _KINDS.get(cell.tag_id)) in (_CELL, _HEADING)]
        is_header = all(kind == _HEADING for _, kind in cells)
        if len(cells) == 1:
            is_header = is_header and _is_plain(cells[0][0])
        pages = [_cell_lines(cell, self._preformatted) for cell, _ in cells]
        if (len(pages) == 1 and not is_header) or any(
            len(lines) > 1 or (lines and len(lines[0].cells) > 1) for lines in pages
        ):
            for label, beside in pairwise(pages):
                if len(label) == 1 and (len(pages) == 2 or label[0].text[-1] == ":"):
                    mark_label(label, beside)
            self._extend(pages)
            return
        line = line_of([lines[0].text if lines else "" for lines in pages], gap=self._gap, header=is_header)
        if line is not None:
            self.lines.append(line)
            self._gap = False

    def _terms(self, node: LexborNode) -> None:
        """Write a ``<dl>``: a term and what describes it are the cells of a row, where each is one line."""
        if self._text:
            self.end_line()
        self._gap = True
        self._groups(node)
        self._gap = True

    def _groups(self, node: LexborNode) -> None:
        """Write the terms of a list, each with what stands below it; what is neither is a block."""
        if node.text(deep=False).strip():
            self.children(node)
            self.end_line()
            return
        terms: list[LexborNode] = []
        values: list[LexborNode] = []
        for child in node.iter():
            kind = _KINDS.get(child.tag_id)
            if kind == _VALUE:
                values.append(child)
            elif kind != _UNSEEN and kind != _COMMENT:
                if values or kind != _TERM:
                    self._group(terms, values)
                    terms, values = [], []
                if kind == _TERM:
                    terms.append(child)
                elif child.css_first("dt, dd") is not None:
                    self._groups(child)
                else:
                    self._block(child, gap=False)
        self._group(terms, values)

    def _group(self, terms: list[LexborNode], values: list[LexborNode]) -> None:
        """Write some terms, and what describes all of them."""
        labels = [line for term in terms for line in _cell_lines(term, self._preformatted)]
        texts = [line for value in values for line in _cell_lines(value, self._preformatted)]
        if values and len(labels) == 1 and len(texts) <= 1 and all(len(line.cells) == 1 for line in (*labels, *texts)):
            cells = (labels[0].text, texts[0].text if texts else "")
            labels, texts = [Line(CELL.join(cells).strip(), cells)], []
        elif len(texts) > 1:
            labels = [line._replace(apart=1) for line in labels]
            mark_label(labels, texts)
        self._extend([labels + texts])

    def _extend(self, pages: list[list[Line]]) -> None:
        """Write the lines of cells one after the other: those of cells side by side are apart from each other."""
        apart = len(pages) > 1
        for lines in pages:
            for line in lines:
                if self._gap or (apart and line.apart < 3):
                    line = line._replace(gap=line.gap or self._gap, apart=min(3, line.apart + apart))
                self.lines.append(line)
                self._gap = False


class _Opening(_Page):
    """The first lines of a block: as many as the header of a forwarded mail may have."""

    __slots__ = ()

    def end_line(self, *, explicit: bool = False) -> None:
        super().end_line(explicit=explicit)
        if len(self.lines) >= MAX_HEAD:
            raise StopIteration


_ROW_MARK, _CELL_MARK, _HEADING_MARK = "\0\1", "\0\2", "\0\3"
"""What stands before a row and a cell in the text of plain rows: HTML parsing leaves no U+0000 in a text."""


class _PlainRows:
    """Rows whose cells hold text and inline elements alone: their texts are brought to the normal form all at once."""

    __slots__ = ("_headings", "_marked", "_preformatted")

    def __init__(self, preformatted: dict[int, bool]) -> None:
        self._preformatted = preformatted
        self._marked: list[str] = []
        """The texts, and the marks between them."""
        self._headings = False

    def add(self, node: LexborNode) -> bool:
        """Take in a row, or all rows of a section; return False when there is more to it than plain cells."""
        marked: list[str] = []
        cells = headings = 0
        for below in node.traverse(include_text=True):
            tag = below.tag_id
            if tag == _TEXT_ID:
                text = below.text_content or ""
                if self._preformatted and "\n" in text and below.mem_id in self._preformatted and text.strip():
                    return False
                marked.append(text)
            elif tag == _CELL_ID:
                marked.append(_CELL_MARK)
                cells += 1
            elif tag == _ROW_ID:
                if headings == 1 and not cells:
                    return False
                marked.append(_ROW_MARK)
                cells = headings = 0
            elif tag == _HEADING_ID:
                marked.append(_HEADING_MARK)
                headings += 1
                self._headings = True
            elif (kind := _KINDS.get(tag)) is not None and kind != _COMMENT and (kind != _SECTION or marked):
                return False
        if headings == 1 and not cells:
            return False
        self._marked += marked
        return True

    def take(self) -> list[Line]:
        """Return the lines of the rows that are not empty, and forget them all."""
        if not self._marked:
            return []
        text = normal_marked("".join(self._marked)).replace(_CELL_MARK, CELL)
        self._marked.clear()
        rows = [row for row in text.split(_ROW_MARK) if row]
        headers: Iterable[bool] = repeat(False)
        if self._headings:
            headers = [_HEADING_MARK in row and CELL not in row for row in rows]
            rows = [row.replace(_HEADING_MARK, CELL) for row in rows]
        texts = [row.strip() for row in rows]
        cells = [tuple(row[1:].split(CELL)) for row in rows]
        values = zip(texts, cells, repeat(False), headers, repeat(0), repeat(""), repeat(0), strict=False)
        lines: Iterable[Line] = map(cast(Any, tuple).__new__, repeat(Line), values)  # Line._make, without a call each
        return [line for line in lines if line.text]


def _is_plain(heading: LexborNode) -> bool:
    """Return whether a heading holds one text, bare or in one inline element; what is unseen makes it no less plain."""
    node: LexborNode | None = heading
    while node is not None:
        kind = _KINDS.get(node.tag_id)
        if kind == _TEXT:
            return True
        if kind is not None and kind != _HEADING:
            return False
        below = [child for child in node.iter(include_text=True) if _KINDS.get(child.tag_id) != _UNSEEN]
        if len(below) > 1:
            return False
        node = below[0] if below else None
    return True  # it is empty


def _cell_lines(cell: LexborNode, preformatted: dict[int, bool]) -> list[Line]:
    page = _Page(preformatted)
    page.children(cell)
    page.end_line()
    return page.lines
