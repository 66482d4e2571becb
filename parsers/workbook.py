"""XLSX files to rows of cells: measured first, then read by openpyxl.

openpyxl reads XML with the standard library, which expands entities, and it makes every row and cell that a file
claims to have. So each part of the file is looked through before: no entities, so many elements, so many rows and
cells. What it says of formulas without a stored value is kept, since openpyxl shows them as empty cells.
"""

import datetime as dt
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from io import BytesIO
from typing import Any, Final, cast
from xml.parsers import expat

from parsers.archive import Archive, is_zip
from parsers.cell import Broken, CellValue, Number
from parsers.delimited import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, Grid, GridRow
from parsers.errors import NotRead

MAX_ELEMENTS: Final = 1_500_000
MAX_DEPTH: Final = 100
MAX_STRING_ELEMENTS: Final = 250_000
"""Of the texts that cells share: two for each."""
MAX_STYLE_ELEMENTS: Final = 10_000
"""Of styles, formatted texts and the list of parts: openpyxl takes about 40 microseconds for each."""
MAX_SHEETS: Final = 50
_CONTENT_TYPES: Final = "[Content_Types].xml"
_STYLES: Final = (
    _CONTENT_TYPES, "_rels/.rels", "xl/_rels/workbook.xml.rels", "xl/workbook.xml", "xl/styles.xml",
)  # fmt: skip
"""The parts that openpyxl makes objects of, one for each element."""
_OLD: Final = b"\xd0\xcf\x11\xe0"
"""How an old spreadsheet (XLS) begins, and one that is encrypted."""
_CHUNK: Final = 64 * 1024
_TOO_MANY_CELLS: Final = f"it has more than {MAX_CELLS} cells"
_TOO_MANY_TEXTS: Final = f"its cells share more than {MAX_STRING_ELEMENTS // 2} texts"


def is_workbook(octets: bytes) -> bool:
    """Say whether octets are a spreadsheet, to be read here or refused here."""
    return octets.startswith(_OLD) or (is_zip(octets) and _CONTENT_TYPES in Archive(octets).names)


def read_workbook(octets: bytes, sheet: str = "") -> tuple[Grid, ...]:
    """Return the sheets that are shown, or the one that is named; raise NotRead.

    Hidden rows count: a filter hides a unit, and does not take it back. Hidden sheets are read only by their name.
    """
    if octets.startswith(_OLD):
        raise NotRead("it is a spreadsheet of the old format (XLS), or encrypted: ask for XLSX or CSV")
    measured = _measured(Archive(octets))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of features that it drops when it saves, and of dates that are none
            return tuple(_grids(octets, sheet, measured))
    except (NotRead, ImportError):
        raise
    except Exception as error:  # openpyxl raises whatever a broken file leads it to
        raise NotRead("it is a broken spreadsheet") from error


@dataclass(slots=True, kw_only=True)
class _Measured:
    """What one part of the file was seen to hold."""

    unvalued: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    """By row, the columns of formulas without a stored value."""
    rows: int = 1
    """The last row with a value."""
    columns: int = 1
    """The last column with a value, of all rows."""


def _measured(archive: Archive) -> Mapping[str, _Measured]:
    """Return what each part of a spreadsheet holds, by its name; raise NotRead beyond our bounds."""
    counts = _Counts()
    return {
        name: _Meter(counts, is_style=name in _STYLES).measure(archive.read(place))
        for place, name in enumerate(archive.names)
    }


@dataclass(slots=True, kw_only=True)
class _Counts:
    elements: int = 0
    cells: int = 0
    strings: int = 0
    styles: int = 0


class _Meter:
    """Looks through one part of a spreadsheet, element by element."""

    def __init__(self, counts: _Counts, *, is_style: bool) -> None:
        self._counts = counts
        self._is_style = is_style
        self._found = _Measured()
        self._depth = 0
        self._row = self._column = 0
        self._kind = ""
        self._is_formula = self._has_value = self._in_value = self._in_sheet = False
        self._in_string = False

    def measure(self, octets: bytes) -> _Measured:
        _check_at_once(octets)
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        try:
            for place in range(0, len(octets), _CHUNK):
                parser.Parse(octets[place : place + _CHUNK], place + _CHUNK >= len(octets))
        except (expat.ExpatError, LookupError, ValueError):
            pass  # no XML, such as a picture; openpyxl says so where it needs the part
        return self._found

    def _refuse_doctype(self, *_: Any) -> None:
        raise NotRead("it declares XML entities, which no spreadsheet does")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._counts.elements += 1
        if self._depth > MAX_DEPTH or self._counts.elements > MAX_ELEMENTS:
            raise NotRead(f"it holds more than {MAX_ELEMENTS} elements, or some that nest more than {MAX_DEPTH} deep")
        tag = name.rpartition(" ")[2]
        self._count(tag)
        if tag == "sheetData":
            self._in_sheet = True
            self._row = 0
        elif not self._in_sheet:
            self._in_string = self._in_string or tag == "si"
        elif tag == "c":
            self._start_cell(attributes)
        elif tag == "row":
            self._row = self._next(self._row, attributes.get("r"), _whole)
            self._column = 0
        elif tag == "f":
            self._is_formula = True
            self._check_place()
        elif tag in ("v", "is"):
            self._in_value = True
            self._check_place()

    def _count(self, tag: str) -> None:
        """Count what costs more than a cell does; raise NotRead beyond our bounds."""
        counts = self._counts
        if tag in ("si", "t"):
            counts.strings += not self._in_sheet
        elif self._in_string or self._in_value:
            counts.styles += 1
        counts.styles += self._is_style
        if counts.strings > MAX_STRING_ELEMENTS:
            raise NotRead(_TOO_MANY_TEXTS)
        if counts.styles > MAX_STYLE_ELEMENTS:
            raise NotRead(f"it has more than {MAX_STYLE_ELEMENTS} styles, formatted texts or parts")

    def _start_cell(self, attributes: dict[str, str]) -> None:
        self._counts.cells += 1
        if self._counts.cells > MAX_CELLS:
            raise NotRead(_TOO_MANY_CELLS)
        self._column = self._next(self._column, attributes.get("r"), _column)
        self._kind = attributes.get("t", "n")
        self._is_formula = self._has_value = False

    def _next(self, last: int, told: str | None, read: Callable[[str], int]) -> int:
        """Return the number of a row or cell; openpyxl leaves out those that stand out of their order."""
        number = last + 1 if told is None else read(told)
        if number <= last:
            raise NotRead("its rows or cells are not in their order")
        return number

    def _check_place(self) -> None:
        if self._row > MAX_ROWS:
            raise NotRead(f"it has more than {MAX_ROWS} rows")
        if self._column > MAX_COLUMNS:
            raise NotRead(f"row {self._row} has more than {MAX_COLUMNS} cells")
        self._found.rows = max(self._found.rows, self._row)
        self._found.columns = max(self._found.columns, self._column)

    def _text(self, _: str) -> None:
        self._has_value = self._has_value or self._in_value

    def _end(self, name: str) -> None:
        self._depth -= 1
        tag = name.rpartition(" ")[2]
        if tag == "sheetData":
            self._in_sheet = False
        elif tag == "si":
            self._in_string = False
        elif tag in ("v", "is"):
            self._in_value = False
        elif tag == "c" and self._is_formula and not self._has_value and self._kind != "str":
            self._found.unvalued.setdefault(self._row, set()).add(self._column)


def _check_at_once(octets: bytes) -> None:
    """Raise NotRead for a part that plainly holds too much, before it is gone through element by element."""
    cells = octets.count(b"<c ") + octets.count(b"<c>") if b"<sheetData" in octets else 0
    if cells > MAX_CELLS:
        raise NotRead(_TOO_MANY_CELLS)
    if octets.count(b"<si>") * 2 > MAX_STRING_ELEMENTS:
        raise NotRead(_TOO_MANY_TEXTS)


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _column(reference: str) -> int:
    """Return the number of the column in a reference such as ``B7``; 0 without one."""
    letters = reference.strip("$").rstrip("$0123456789")[:4].upper()
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number if letters.isascii() and letters.isalpha() else 0


def _grids(octets: bytes, sheet: str, measured: Mapping[str, _Measured]) -> Iterator[Grid]:
    from openpyxl import load_workbook  # pyright: ignore[reportMissingModuleSource, reportUnknownVariableType]

    book = cast(Any, load_workbook)(BytesIO(octets), read_only=True, data_only=True, keep_links=False)
    sheets = [one for one in book.worksheets if hasattr(one, "reset_dimensions")]
    chosen = [one for one in sheets if (one.title == sheet if sheet else one.sheet_state == "visible")]
    if sheet and not chosen:
        raise NotRead(f"it has no sheet `{sheet}`")
    if len(chosen) > MAX_SHEETS:
        raise NotRead(f"it has more than {MAX_SHEETS} sheets")
    from_1904 = book.epoch.year == 1904
    for one in chosen:
        yield Grid(tuple(_rows(one, measured[one._worksheet_path], from_1904=from_1904)), one.title)


def _rows(sheet: Any, found: _Measured, *, from_1904: bool) -> Iterator[GridRow]:
    sheet.reset_dimensions()  # what the file says of its own size is not believed
    for number, cells in enumerate(sheet.iter_rows(max_row=found.rows, max_col=found.columns), 1):
        values = [_value(cell, from_1904=from_1904) for cell in cells]
        for column in found.unvalued.get(number, ()):
            values[column - 1] = Broken("=", "is a formula without a stored value")
        while values and values[-1] == "":
            values.pop()
        if values:
            yield GridRow(number, tuple(values))


def _value(cell: Any, *, from_1904: bool) -> CellValue:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return Broken(value, "is an error of the spreadsheet") if cell.data_type == "e" else value
    if isinstance(value, bool | dt.datetime):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        amount = Decimal(value) if isinstance(value, int) else Decimal(f"{value:.15g}")
        return Number(amount, str(cell.number_format), from_1904)
    return Broken(str(value)[:40], "is neither a text nor a number nor a date")
