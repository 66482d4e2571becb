"""Read the cells of an XLSX file, and write them as a new file that holds cells and nothing else.

What a spreadsheet says beside its cells (who made it, comments, pictures, names, what is hidden) may name somebody
where nobody looks, so that none of it is taken over.
"""

import datetime as dt
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from typing import Any, Final, NamedTuple, TypeAlias, cast

from parsers.archive import Archive
from parsers.cell import Number, text_of
from parsers.delimited import MAX_COLUMNS, MAX_ROWS
from parsers.errors import NotRead
from parsers.workbook import read_workbook

BookValue: TypeAlias = str | bool | int | float | dt.datetime | dt.date | dt.time | dt.timedelta
"""What a cell holds, as openpyxl reads it."""
_CORE: Final = "docProps/core.xml"
_NO_PROPERTIES: Final = (
    b'<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"/>'
)
_BESIDE: Final = (
    (r"docProps/", "document properties"),
    (r"xl/(?:comments|threadedComments|persons)", "comments"),
    (r"xl/media/", "pictures"),
    (r"xl/(?:drawings|charts|diagrams)/", "drawings"),
    (r"xl/(?:embeddings|externalLinks|connections)", "embedded files and links"),
    (r"xl/(?:pivot|queryTables|tables)", "tables and pivots"),
    (r"xl/vbaProject", "macros"),
    (r"customXml/", "custom parts"),
)
"""What stands in an XLSX file beside cells, by the names of its parts."""
_WORDS_OF_LAYOUT = re.compile(r'"[^"]*"')
"""Words that a number format shows beside the number."""
_LONGEST_TITLE: Final = 31
_STAMP: Final = (1980, 1, 1, 0, 0, 0)
"""When every member of an archive was written, so that the same mail gives the same octets."""


class BookCell(NamedTuple):
    """One cell that holds something."""

    row: int
    column: int
    value: BookValue
    kind: str
    """openpyxl's word for its type: ``s`` text, ``e`` error, ``f`` a formula without a stored value."""
    layout: str
    """Its number format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The cells of one sheet, row by row."""

    title: str
    cells: tuple[BookCell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The sheets of an XLSX file that are shown, or that a rule names."""

    sheets: tuple[Sheet, ...]
    from_1904: bool
    beside: tuple[str, ...]
    """What the file holds beside them, in words."""


def read_book(octets: bytes, named: Iterable[str] = ()) -> Book:
    """Return the cells of a spreadsheet; ``named``: sheets that count though they are hidden.

    Raises NotRead where the parser does not read it either: broken, encrypted, beyond the bounds.
    """
    read_workbook(octets)  # keeps the bounds
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of features that openpyxl does not know, and of dates that are none
            return _read(octets, tuple(named))
    except (NotRead, ImportError):
        raise
    except Exception as error:  # openpyxl raises whatever a broken file leads it to
        raise NotRead("it is a broken spreadsheet") from error


def _read(octets: bytes, named: tuple[str, ...]) -> Book:
    stored, formulas = _loaded(octets, values=True), _loaded(octets, values=False)
    pairs = [
        (one, other)
        for one, other in zip(stored.worksheets, formulas.worksheets, strict=True)
        if hasattr(one, "reset_dimensions")
    ]
    kept = [(one, other) for one, other in pairs if one.sheet_state == "visible" or one.title in named]
    sheets = tuple(Sheet(title=one.title, cells=tuple(_cells(one, other))) for one, other in kept)
    names = Archive(octets).names
    beside = [word for pattern, word in _BESIDE if any(re.match(pattern, name) for name in names)]
    beside += ["hidden sheets"] if len(kept) < len(pairs) else []
    beside += ["defined names"] if stored.defined_names else []
    return Book(sheets=sheets, from_1904=stored.epoch.year == 1904, beside=tuple(beside))


def write_book(book: Book, title: Callable[[str], str], value: Callable[[BookCell, int], BookValue]) -> bytes:
    """Return a new XLSX file with what its titles and cells become; the same cells give the same octets.

    ``value`` is given each cell and the number of its sheet.
    """
    from openpyxl import Workbook  # pyright: ignore[reportMissingModuleSource, reportUnknownVariableType]
    from openpyxl.utils.datetime import (  # pyright: ignore[reportMissingModuleSource, reportUnknownVariableType]
        CALENDAR_MAC_1904,
    )

    made = cast(Any, Workbook)()
    made.remove(made.active)
    if book.from_1904:
        made.epoch = CALENDAR_MAC_1904
    for number, sheet in enumerate(book.sheets):
        page = made.create_sheet(title(sheet.title)[:_LONGEST_TITLE])
        for cell in sheet.cells:
            place = page.cell(cell.row, cell.column, value(cell, number))
            if cell.kind in "sef":
                place.data_type = cell.kind
            place.number_format = _WORDS_OF_LAYOUT.sub('""', cell.layout)
    out = BytesIO()
    made.save(out)
    archive = Archive(out.getvalue())
    return packed(
        (name, _NO_PROPERTIES if name == _CORE else archive.read(place)) for place, name in enumerate(archive.names)
    )


def packed(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a zip archive of named contents; the same members give the same octets."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in members:
            archive.writestr(zipfile.ZipInfo(name, _STAMP), octets, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def shown(value: BookValue) -> str:
    """Return a cell's value as the parser captures it."""
    if isinstance(value, bool | str | dt.datetime):
        return text_of(value)
    if isinstance(value, int | float):
        return text_of(Number(Decimal(value) if isinstance(value, int) else Decimal(f"{value:.15g}")))
    return str(value)


def _loaded(octets: bytes, *, values: bool) -> Any:
    from openpyxl import load_workbook  # pyright: ignore[reportMissingModuleSource, reportUnknownVariableType]

    return cast(Any, load_workbook)(BytesIO(octets), read_only=True, data_only=values, keep_links=False)


def _cells(stored: Any, formulas: Any) -> Iterator[BookCell]:
    """Yield the cells of a sheet by their stored values; a formula without one becomes one that says nothing."""
    for sheet in (stored, formulas):
        sheet.reset_dimensions()
    both = [sheet.iter_rows(max_row=MAX_ROWS, max_col=MAX_COLUMNS) for sheet in (stored, formulas)]
    for row, (cells, others) in enumerate(zip(*both, strict=True), 1):
        for column, (cell, other) in enumerate(zip(cells, others, strict=True), 1):
            if cell.value is not None and cell.value != "":
                kind = "s" if isinstance(cell.value, str) and cell.data_type != "e" else str(cell.data_type)
                yield BookCell(row, column, cell.value, kind, str(cell.number_format))
            elif other.value is not None and other.data_type == "f":
                yield BookCell(row, column, "=0", "f", str(other.number_format))
