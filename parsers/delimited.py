"""CSV files to rows of texts: encodings and delimiters that the rule lists, tried in their order."""

import csv
import re
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Final, NamedTuple

from parsers.cell import Broken, CellValue
from parsers.charset import decode_whole
from parsers.errors import NotRead

MAX_OCTETS: Final = 8 * 1024 * 1024
MAX_ROWS: Final = 10_000
MAX_COLUMNS: Final = 200
MAX_CELLS: Final = 300_000
"""Of one file, the empty ones too."""
DELIMITERS: Final = (",", ";", "\t", "|")
_MARKED = re.compile("""="([^"]*)"|'([0-9][^']*)""")
"""A text that is marked as one, so that a spreadsheet keeps its zeros: ``="0012"``, ``'0012``."""
_MARKS: Final = ('="', "'")
_SHORTENED = re.compile(r"-?[0-9](?:[.,][0-9]+)?E\+[0-9]{2,3}", re.IGNORECASE)
"""What a spreadsheet writes for a long number: ``1.20E+03``. ``5E-03`` may be a unit."""


class GridRow(NamedTuple):
    """One row of a file, as it stands there."""

    number: int
    """The line of a CSV file on which it begins, or the row of a sheet; from 1."""
    cells: tuple[CellValue, ...]


class Grid(NamedTuple):
    """The rows of a file, or of one sheet of it, in their order; those that are all empty are left out."""

    rows: tuple[GridRow, ...]
    sheet: str = ""
    """The name of the sheet; empty of a CSV file."""
    fault: str = ""
    """Why it cannot be read so, and has no rows; empty where it can."""


def read_delimited(octets: bytes, encodings: Iterable[str], delimiters: Iterable[str]) -> Iterator[Grid]:
    """Return what a CSV file holds by each delimiter, in their order; raise NotRead where it is no text.

    By each delimiter it is read when that is asked for: mostly the first one has the columns.
    """
    encodings = tuple(encodings)
    if len(octets) > MAX_OCTETS:
        raise NotRead(f"it is longer than {MAX_OCTETS} octets")
    text = decode_whole(octets, encodings)
    if text is None:
        raise NotRead(f"it is not a text in {' or '.join(encodings)}")
    text, lines, named = _named_delimiter(text)
    return (_grid(text, delimiter, lines) for delimiter in ((named,) if named else delimiters))


def _grid(text: str, delimiter: str, lines: int) -> Grid:
    try:
        return Grid(tuple(_rows(text, delimiter, lines)))
    except NotRead as error:
        return Grid((), fault=str(error))


def _named_delimiter(text: str) -> tuple[str, int, str]:
    """Return the text, how many lines were taken off it, and the delimiter that a first line ``sep=;`` names."""
    first, _, rest = text.partition("\n")
    name = first.rstrip("\r ")
    if len(name) == 5 and name.startswith("sep=") and name[4] in DELIMITERS:
        return rest, 1, name[4]
    return text, 0, ""


def _rows(text: str, delimiter: str, lines: int) -> Iterator[GridRow]:
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    is_marked = any(mark in text for mark in _MARKS)
    is_shortened = "E+" in text or "e+" in text
    begins = lines + 1
    held = 0
    try:
        for count, cells in enumerate(reader, 1):
            if count > MAX_ROWS:
                raise NotRead(f"it has more than {MAX_ROWS} rows")
            if len(cells) > MAX_COLUMNS:
                raise NotRead(f"line {begins} has more than {MAX_COLUMNS} cells")
            held += len(cells)
            if held > MAX_CELLS:
                raise NotRead(f"it has more than {MAX_CELLS} cells")
            if is_marked:
                cells = [_bare(cell) for cell in cells]
            if "".join(cells).strip():
                yield GridRow(begins, tuple([_whole(cell) for cell in cells] if is_shortened else cells))
            begins = lines + reader.line_num + 1
    except csv.Error as error:
        raise NotRead(f"line {begins} is no row of a CSV file ({error})") from error


def _bare(cell: str) -> str:
    """Return the text of a cell without what marks it as a text."""
    match = _MARKED.fullmatch(cell.strip())
    return cell if match is None else match[1] or match[2] or ""


def _whole(cell: str) -> CellValue:
    """Return a cell; one whose digits were lost is no value, as a number of a spreadsheet is not that is shown so."""
    if _SHORTENED.fullmatch(cell.strip()) is None:
        return cell
    return Broken(cell, "is a number that a spreadsheet shortened")
