"""A mail in parts that can be changed one by one: blocks of its text, and how they are set and sent."""

import base64
import html
import quopri
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.header import Header
from enum import StrEnum
from typing import TypeAlias


class Form(StrEnum):
    """What the readable text is written in."""

    PLAIN = "plain"
    HTML = "html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A label and its value."""

    label: str
    value: str
    joint: str = ": "
    """What stands between them where they share a line of text."""
    bullet: str = ""
    hidden: bool = False
    """Whether HTML hides it; plain text leaves it out."""

    @property
    def line(self) -> str:
        return f"{self.bullet}{self.label}{self.joint}{self.value}"


class Setting(StrEnum):
    """How pairs and rows are set."""

    LINES = "lines"  # label: value
    STACKED = "stacked"  # the value on the line below its label
    ROWS = "rows"  # rows of two cells; in plain text a tab parts them
    ITEMS = "items"
    COLUMNS = "columns"  # of a table: set with spaces
    TABS = "tabs"
    BARS = "bars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Label lines that stand together."""

    pairs: tuple[Pair, ...]
    setting: Setting = Setting.LINES


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table: the first row holds the headings of its columns."""

    rows: tuple[tuple[str, ...], ...]
    setting: Setting = Setting.COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A line that heads what stands below."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A paragraph of prose; its lines are parted by line breaks that mean nothing."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """HTML or text as it stands: what a reader does not see, history, or what has no other shape."""

    html: str = ""
    plain: str = ""
    is_seen: bool = False
    """Whether it may hold what the mail says, so that it can only be set as it is."""


Block: TypeAlias = Pairs | Grid | Heading | Note | Raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How the mail is sent."""

    charset: str = "utf-8"
    transfer: str = "8bit"
    encodes_subject: bool = False
    other: str = ""
    """What stands in the plain alternative of an HTML text: nothing (no alternative), or a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One mail."""

    head: tuple[tuple[str, str], ...]
    """The headers as they stand, but for the subject and those that say how the body is sent."""
    subject: str
    body: tuple[Block, ...]
    form: Form
    gap: str = "\n\n"
    """What stands between blocks of plain text."""
    style: int = 0
    """Which of `STYLES` dresses the cells and items of HTML."""
    frame: int = 0
    """Which of `FRAMES` the body of HTML stands in."""
    wire: Wire = Wire()
    parts: tuple[bytes, ...] = ()
    """Further parts of the mail, as they stand."""


STYLES: tuple[str, ...] = (
    "{}",
    "<b>{}</b>",
    '<font face="Arial" size="2">{}</font>',
    '<span style="color:#333333;font-size:14px">{}</span>',
    '<span style="font-family:Arial"><strong>{}</strong></span>',
    '<p style="margin:0;padding:0">{}</p>',
    "\n  <span>{}</span>&nbsp;\n",
    "<!-- cell -->{}<wbr>",
)
FRAMES: tuple[str, ...] = (
    "{}",
    "<div><div>{}</div></div>",
    '<table role="presentation" width="100%"><tr><td align="center">{}</td></tr></table>',
    '<center><table width="600"><tbody><tr><td style="padding:24px">{}</td></tr></tbody></table></center>',
    '<table><tr><td><img src="https://img.example.com/logo.png" alt="Logo"></td></tr><tr><td>{}</td></tr></table>',
    '<div class="WordSection1"><!--[if mso]><i></i><![endif]-->{}</div>',
)


def plain_of(draft: Draft) -> str:
    """Return the readable text as plain text."""
    texts = [text for block in draft.body if (text := _plain(block))]
    return draft.gap.join(texts) + "\n"


def html_of(draft: Draft) -> str:
    """Return the readable text as HTML."""
    inner = "\n".join(_html(block, STYLES[draft.style]) for block in draft.body)
    return f"<!DOCTYPE html>\n<html><body>\n{FRAMES[draft.frame].replace('{}', inner, 1)}\n</body></html>\n"


def _plain(block: Block) -> str:
    if isinstance(block, Pairs):
        return "\n".join(_plain_pair(pair, block.setting) for pair in block.pairs if not pair.hidden)
    if isinstance(block, Grid):
        return _plain_grid(block)
    return block.plain if isinstance(block, Raw) else block.text


def _plain_pair(pair: Pair, setting: Setting) -> str:
    if setting is Setting.STACKED:
        return f"{pair.label}:\n{pair.value}"
    if setting is Setting.ROWS:
        return f"{pair.label}\t{pair.value}"
    return pair.line


def _plain_grid(grid: Grid) -> str:
    if grid.setting is Setting.TABS:
        return "\n".join("\t".join(row) for row in grid.rows)
    if grid.setting is Setting.BARS:
        return "\n".join(f"| {' | '.join(row)} |" for row in grid.rows)
    places = range(max(len(row) for row in grid.rows))
    widths = [max(len(row[place]) for row in grid.rows if place < len(row)) for place in places]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in grid.rows
    )


def _html(block: Block, style: str) -> str:
    if isinstance(block, Pairs):
        return _html_pairs(block, style)
    if isinstance(block, Grid):
        head, *rows = grid_lines(block, style)
        return "<table border=1>\n" + "\n".join((head, *rows)) + "\n</table>"
    if isinstance(block, Raw):
        return block.html
    tag = "h3" if isinstance(block, Heading) else "p"
    return f"<{tag}>{html.escape(block.text)}</{tag}>"


def grid_lines(grid: Grid, style: str) -> Iterator[str]:
    """Yield the rows of a table as HTML."""
    for number, row in enumerate(grid.rows):
        tag = "td" if number else "th"
        cells = "".join(f"<{tag}>{style.replace('{}', html.escape(cell), 1)}</{tag}>" for cell in row)
        yield f"<tr>{cells}</tr>"


def _html_pairs(block: Pairs, style: str) -> str:
    def dress(text: str) -> str:
        return style.replace("{}", html.escape(text), 1)

    written: list[str] = []
    for pair in block.pairs:
        hidden = ' style="display:none"' if pair.hidden else ""
        if block.setting is Setting.ROWS:
            written.append(f"<tr{hidden}><td>{dress(pair.label)}</td><td>{dress(pair.value)}</td></tr>")
            continue
        inner = f"<b>{html.escape(pair.label)}</b>{html.escape(pair.joint)}{html.escape(pair.value)}"
        if block.setting is Setting.ITEMS:
            written.append(f"<li{hidden}>{inner}</li>")
        elif block.setting is Setting.STACKED:
            written.append(f"<p{hidden}>{html.escape(pair.label)}:<br>{html.escape(pair.value)}</p>")
        else:
            written.append(f"<span{hidden}>{inner}<br></span>")
    tags = {Setting.ROWS: ("<table>", "</table>"), Setting.ITEMS: ("<ul>", "</ul>")}
    opening, closing = tags.get(block.setting, ("<div>", "</div>"))
    return "\n".join((opening, *written, closing))


def octets_of(draft: Draft) -> bytes:
    """Return the mail as it is sent."""
    head = [f"{name}: {value}".encode("utf-8", "surrogateescape") for name, value in draft.head]
    head += [_subject(draft), b"MIME-Version: 1.0"]
    if draft.form is Form.PLAIN:
        leaf = _leaf("text/plain", plain_of(draft), draft.wire)
    else:
        leaf = _leaf("text/html", html_of(draft), draft.wire)
        if draft.wire.other:
            leaf = _group("alternative", (_leaf("text/plain", draft.wire.other, Wire()), leaf))
    if draft.parts:
        leaf = _group("mixed", (leaf, *draft.parts))
    return b"\r\n".join((*head, leaf.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")))


def _subject(draft: Draft) -> bytes:
    if draft.subject.isascii() and not draft.wire.encodes_subject:
        return f"Subject: {draft.subject}".encode()
    return b"Subject: " + Header(draft.subject, "utf-8", maxlinelen=40).encode(linesep="\r\n").encode()


def _leaf(kind: str, text: str, wire: Wire) -> bytes:
    """Return a part of text; in UTF-8 where the charset of `wire` lacks a character of it."""
    charset = wire.charset
    try:
        content = text.encode(charset)
    except UnicodeEncodeError:
        charset, content = "utf-8", text.encode()
    if wire.transfer == "base64":
        content = base64.encodebytes(content)
    elif wire.transfer == "quoted-printable":
        content = quopri.encodestring(content)
    head = f"Content-Type: {kind}; charset={charset}\nContent-Transfer-Encoding: {wire.transfer}\n\n"
    return head.encode() + content


def _group(subtype: str, children: Sequence[bytes]) -> bytes:
    boundary = f"=_{subtype}_of_this_mail"
    pieces = [f'Content-Type: multipart/{subtype}; boundary="{boundary}"\n'.encode()]
    pieces += [f"\n--{boundary}\n".encode() + child for child in children]
    return b"".join((*pieces, f"\n--{boundary}--\n".encode()))
