"""A notice apart from how it is written: what a mail says, as rows that can be written as text or HTML again."""

import html as markup
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.utils import format_datetime
from itertools import groupby
from typing import Final, TypeAlias

from parsers.body import Part, header_text, text_of
from parsers.compose import write_text
from parsers.html import read_html
from parsers.mail import Mail, read_mail
from parsers.tables import plain_cells
from parsers.text import CELL, Line

_BODY_HEADERS: Final = (
    "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-language",
)  # fmt: skip
_TOLD_BY_FORWARD: Final = ("From", "To", "Subject", "Date", "Message-ID")
_MAX_LABEL: Final = 60
_OTHER_DIGITS = str.maketrans("0123456789", "1234567890")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A label and its value."""

    label: str
    value: str
    gap: bool = False
    """Whether a blank line stands above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A line, or a row of a table."""

    cells: tuple[str, ...]
    header: bool = False
    """Whether they are column headings."""
    gap: bool = False


Row: TypeAlias = Pair | Cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a mail says; of a forward, what the mail inside says."""

    raw: bytes
    """The mail as it came, forwards and all."""
    headers: tuple[tuple[str, str], ...]
    """The headers as they stand, without those of the body."""
    mail: Mail
    rows: tuple[Row, ...]
    attached: tuple[bytes, ...]
    """The entities that go along: attached files, structured data."""

    def header(self, name: str) -> str:
        """Return the first header of a lower-case name, decoded; empty without one."""
        return next((header_text(value) for key, value in self.headers if key.lower() == name), "")


def read_notice(raw: bytes) -> Notice:
    """Return what the octets of a mail say.

    Raises:
        ValueError: it is a forward, and what was forwarded cannot be known.
        Unreadable: it is beyond the bounds of reading.
    """
    mail = read_mail(raw)
    if mail.doubt is not None:
        raise ValueError(mail.doubt)
    texts = [part for part in mail.parts if part.content_type in ("text/plain", "text/html") and not part.is_attached]
    pages = [text_of(part) for part in texts if part.content_type == "text/html"]
    blocks = [block for page in pages for block in read_html(page, is_forward=bool(mail.chain)).blocks]
    files = [_entity(part) for part in mail.parts if part not in texts]
    return Notice(
        raw=raw,
        headers=_headers(raw, mail),
        mail=mail,
        rows=tuple(_rows(mail.lines)),
        attached=(*(write_text("application/ld+json", block) for block in blocks), *files),
    )


def _headers(raw: bytes, mail: Mail) -> tuple[tuple[str, str], ...]:
    if not mail.chain:
        items = message_from_bytes(raw).raw_items()
        return tuple((name, str(value)) for name, value in items if name.lower() not in _BODY_HEADERS)
    told = {**{name: values[0] for name, values in mail.headers.items()}, "date": _written_date(mail)}
    told.setdefault("to", ", ".join(mail.to))
    return tuple((name, told[name.lower()]) for name in _TOLD_BY_FORWARD if told.get(name.lower()))


def _written_date(mail: Mail) -> str:
    """Return the date of the mail inside a forward, as a Date header says it; empty without one."""
    if mail.date is not None:
        return format_datetime(mail.date)
    return f"{mail.local_date:%d %b %Y %H:%M:%S}" if mail.local_date else ""


def _entity(part: Part) -> bytes:
    """Return a part as it stands, without the headers that are the mail's."""
    items = [(name, value) for name, value in part.message.raw_items() if name.lower().startswith("content-")]
    head = "".join(f"{name}: {value}\n" for name, value in items)
    bare = copy(part.message)
    for name in set(bare.keys()):
        del bare[name]
    octets = head.encode("utf-8", "surrogateescape") + bare.as_bytes()  # get_payload would decode octets past ASCII
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _rows(lines: Sequence[Line]) -> list[Row]:
    """Return the lines as rows; a label that stands alone takes the line below as its value."""
    rows: list[Row] = []
    taken = False
    for line, below in zip(lines, (*lines[1:], None), strict=True):
        if taken:
            taken = False
            continue
        head, colon, value = line.text.partition(":")
        columns = [text for text, _ in plain_cells(line.raw)] if line.raw else []
        if len(columns) > 1 and not columns[0].endswith(":"):
            rows.append(Cells(cells=tuple(columns), gap=line.gap))
        elif line.header or len(line.cells) > 2:
            rows.append(Cells(cells=line.cells, header=line.header, gap=line.gap))
        elif len(line.cells) == 2:
            rows.append(Pair(label=line.cells[0].rstrip(": "), value=line.cells[1], gap=line.gap))
        elif not (colon and head[:1].isalpha() and len(head) <= _MAX_LABEL):
            rows.append(Cells(cells=line.cells, gap=line.gap))
        elif value.strip():
            rows.append(Pair(label=head.strip(), value=value.strip(), gap=line.gap))
        else:
            taken = below is not None and not below.gap and len(below.cells) == 1 and ":" not in below.text
            rows.append(Pair(label=head.strip(), value=below.text if taken and below else "", gap=line.gap))
    return rows


def write_rows(rows: Iterable[Row], *, between: str = ": ") -> str:
    """Return rows as plain text; `between` stands between label and value."""
    return "".join(
        "\n" * row.gap
        + (f"{row.label}{between}{row.value}".rstrip() if isinstance(row, Pair) else CELL.join(row.cells))
        + "\n"
        for row in rows
    )


def write_table(rows: Iterable[Row]) -> str:
    """Return rows as HTML: pairs and rows of cells in tables, single lines as paragraphs."""
    blocks: list[str] = []
    for is_line, group in groupby(rows, key=_is_line):
        if is_line:
            blocks += write_blocks(group)
        else:
            blocks.append(_table(group))
    return "\n".join(blocks) + "\n"


def write_blocks(rows: Iterable[Row], *, between: str = ": ") -> list[str]:
    """Return rows as HTML, a block each, a table whole; `between` is HTML and stands between label and value."""
    blocks: list[str] = []
    for is_table, group in groupby(rows, key=lambda row: isinstance(row, Cells) and not _is_line(row)):
        some = list(group)
        blocks += [_table(some)] if is_table else [_block(row, between) for row in some]
    return blocks


def write_page(inside: str) -> str:
    """Return an HTML page."""
    return f"<!DOCTYPE html>\n<html><head><title>Notice</title></head><body>\n{inside}\n</body></html>\n"


def older(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of an older notice: the same labels, every digit another."""
    return [
        replace(row, value=row.value.translate(_OTHER_DIGITS))
        if isinstance(row, Pair)
        else replace(row, cells=tuple(cell.translate(_OTHER_DIGITS) for cell in row.cells))
        for row in rows
    ]


def _is_line(row: Row) -> bool:
    return isinstance(row, Cells) and len(row.cells) == 1 and not row.header


def _table(rows: Iterable[Row]) -> str:
    inside = "\n".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    return f'<table border="0" cellpadding="4">\n{inside}\n</table>'


def _block(row: Row, between: str) -> str:
    if isinstance(row, Pair):
        return f"<div><b>{markup.escape(row.label)}</b>{between}{markup.escape(row.value)}</div>"
    return f"<p>{markup.escape(row.cells[0])}</p>"


def _cells(row: Row) -> str:
    if isinstance(row, Pair):
        return f"<td><b>{markup.escape(row.label)}</b></td><td>{markup.escape(row.value)}</td>"
    tag = "th" if row.header else "td"
    return "".join(f"<{tag}>{markup.escape(cell)}</{tag}>" for cell in row.cells)
