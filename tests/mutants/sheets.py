"""The attached file that a rule goes through: its rows out of a mail, and changed ones into it again."""

import codecs
import csv
import email
import io
import zipfile
from base64 import encodebytes
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, TypeAlias

from parsers.rule import Attachment, Field
from parsers.text import CELL
from tests.mutants.cases import Case, is_needed, label_of
from tests.mutants.draft import Draft
from worker.redactbook import Book, BookCell, BookValue, packed, read_book, write_book
from worker.redactbook import Sheet as Page

DELIMITERS: Final = (",", ";", "\t")
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class Cell(NamedTuple):
    """One cell; of CSV a text and nothing else."""

    value: BookValue
    layout: str = "General"
    kind: str = "s"

    @property
    def text(self) -> str:
        return str(self.value)


EMPTY: Final = Cell("")
Cells: TypeAlias = tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The rows of an attached file, and how it is written."""

    place: int
    """Which of the mail's further parts it is."""
    name: str
    rows: tuple[Cells, ...]
    header: int | None
    """Which row holds the headings; None where the columns are known by their places."""
    is_book: bool
    archived: str = ""
    """Its name within the archive that is attached; empty where it is attached itself."""
    encoding: str = "utf-8"
    delimiter: str = ","
    quotes_all: bool = False

    @property
    def titles(self) -> tuple[str, ...]:
        """The headings as labels; none where there is no row of them."""
        return () if self.header is None else tuple(label_of(cell.text) for cell in self.rows[self.header])

    def octets(self) -> bytes:
        """Return the file, without the archive around it."""
        if self.is_book:
            cells = (
                BookCell(row, column, cell.value, cell.kind, cell.layout)
                for row, cells in enumerate(self.rows, 1)
                for column, cell in enumerate(cells, 1)
                if cell.value != ""
            )
            book = Book(sheets=(Page(title="Sheet", cells=tuple(cells)),), from_1904=False, beside=())
            return write_book(book, lambda title: title, lambda cell, _: cell.value)
        out = io.StringIO(newline="")
        quoting = csv.QUOTE_ALL if self.quotes_all else csv.QUOTE_MINIMAL
        writer = csv.writer(out, delimiter=self.delimiter, quoting=quoting, lineterminator="\r\n")
        writer.writerows([cell.text for cell in row] for row in self.rows)
        return out.getvalue().encode(self.encoding)


def text_cells(texts: Iterable[str]) -> Cells:
    return tuple(map(Cell, texts))


def sheet_of(case: Case, draft: Draft) -> Sheet | None:
    """Return the attached file that the rule of a mail that tells events goes through; None without one."""
    blocks = [block for block in (case.rule.tables if case.rule and case.is_told else ()) if block.attachment]
    attachment = blocks[0].attachment if blocks else None
    for place, part in enumerate(draft.parts if attachment else ()):
        message = email.message_from_bytes(part)
        name = message.get_filename() or ""
        octets = message.get_payload(decode=True)
        assert isinstance(octets, bytes)
        archived = ""
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(octets)) as archive:
                archived = archive.namelist()[0]
                octets = archive.read(archived)
        if attachment and _is_named(archived or name, attachment):
            return _read(case, octets, place, name, archived)
    return None


def _is_named(name: str, attachment: Attachment) -> bool:
    return any(fnmatchcase(name.rpartition("/")[2].lower(), pattern.lower()) for pattern in attachment.names)


def _read(case: Case, octets: bytes, place: int, name: str, archived: str) -> Sheet:
    if octets.startswith(b"PK"):
        page = read_book(octets).sheets[0]
        rows = _grid(page.cells)
        return Sheet(
            place=place, name=name, rows=rows, header=_header(case, rows), is_book=True, archived=archived
        )  # fmt: skip
    encoding = next((word for mark, word in _MARKS if octets.startswith(mark)), "utf-8")
    try:
        text = octets.decode(encoding)
    except UnicodeDecodeError:
        encoding = "windows-1252"
        text = octets.decode(encoding)
    readings = [
        (tuple(text_cells(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), delimiter)
        for delimiter in DELIMITERS
    ]
    rows, delimiter = max(readings, key=lambda reading: max(map(len, reading[0])))
    return Sheet(
        place=place, name=name, rows=rows, header=_header(case, rows), is_book=False, archived=archived,
        encoding=encoding, delimiter=delimiter,
    )  # fmt: skip


def _grid(cells: Iterable[BookCell]) -> tuple[Cells, ...]:
    found = {(cell.row, cell.column): Cell(cell.value, cell.layout, cell.kind) for cell in cells}
    height, width = max(row for row, _ in found), max(column for _, column in found)
    return tuple(
        tuple(found.get((row, column), EMPTY) for column in range(1, width + 1)) for row in range(1, height + 1)
    )


def _header(case: Case, rows: Iterable[Cells]) -> int | None:
    known = [sum(label_of(cell.text) in case.columns for cell in row) for row in rows]
    return known.index(max(known)) if max(known) > 1 else None


def columns_of(case: Case, sheet: Sheet) -> list[tuple[int, Field]]:
    """Return the columns that the rule reads by their headings."""
    return [(place, case.columns[title]) for place, title in enumerate(sheet.titles) if title in case.columns]


def read_rows(case: Case, sheet: Sheet) -> list[int]:
    """Return the rows that the rule reads: they hold all that is needed, and are no totals."""
    wanted = [place for place, field in columns_of(case, sheet) if is_needed(field)]
    skip = [pattern for block in (case.rule.tables if case.rule else ()) for pattern in block.skip]
    return [
        number
        for number, row in enumerate(sheet.rows)
        if sheet.header is not None
        and number > sheet.header
        and all(place < len(row) and row[place].value != "" for place in wanted)
        and not any(pattern.found(CELL.join(cell.text for cell in row)) for pattern in skip)
    ]


def with_sheet(draft: Draft, sheet: Sheet, octets: bytes | None = None) -> Draft:
    """Return a mail with another file in the place of its own; `octets`: as they stand, in place of its rows."""
    content = sheet.octets() if octets is None else octets
    if sheet.archived:
        content = packed([(sheet.archived, content)])
    return with_part(draft, sheet.place, entity(sheet.name, content))


def with_part(draft: Draft, place: int, *parts: bytes) -> Draft:
    """Return a mail with other parts in the place of one."""
    return replace(draft, parts=(*draft.parts[:place], *parts, *draft.parts[place + 1 :]))


def entity(name: str, octets: bytes) -> bytes:
    """Return an attached file as a part of a mail."""
    head = (
        f"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n"
        f'Content-Disposition: attachment; filename="{name}"\n\n'
    )
    return head.encode() + encodebytes(octets)
