"""Attached files as tables of a rule: where the headings stand, which rows count, what stands for an empty cell.

As tables of the readable text, a file is read whole or not at all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import eq
from typing import Final, NoReturn

from parsers.blocks import BlockReader, Cell, Row, Table, needed, places_of, words_of
from parsers.cell import CellValue, text_of, texts_of
from parsers.delimited import Grid, GridRow, read_delimited
from parsers.errors import NotRead, Unreadable
from parsers.files import File, Files
from parsers.rule import Attachment, Field, Rule, TableBlock
from parsers.text import CELL, label_key, normal
from parsers.workbook import is_workbook, read_workbook

_TOLD: Final = 5
"""So many files are named where there are too many."""
_UNREAD: Final = Cell("")
"""A cell that no field reads."""


def read_sheets(files: Files, rule: Rule) -> Iterator[Table]:
    """Yield the attached files that a rule goes through, in its order; raise Incomplete or Invalid."""
    for block in rule.tables:
        if block.attachment is not None:
            yield _Reader(rule, block, block.attachment).table(files)


class _Reader(BlockReader):
    """Reads one attached file."""

    def __init__(self, rule: Rule, block: TableBlock, attachment: Attachment) -> None:
        super().__init__(rule, block)
        self._attachment = attachment

    def table(self, files: Files) -> Table:
        file = self._file(files)
        self.named = f"`{file.name}`"
        try:
            grids = self._grids(file)
            grid, header, titles = self._found(grids)
            rows = self._rows(grid, header, titles)
        except (NotRead, Unreadable) as error:
            self.invalid(f"{self.named} cannot be read: {error}")
        if not rows and not self._attachment.may_be_empty:
            self.incomplete(f"{self.named} has no rows")
        name = f"{file.name} [{grid.sheet}]" if grid.sheet else file.name
        return Table(self.block, 0, header, titles, rows, frozenset(), name)

    # -- the file ------------------------------------------------------------------------------------------------

    def _file(self, files: Files) -> File:
        found = files.named(self._attachment.names)
        if len(found) > 1:
            names = ", ".join(f"`{file.name}`" for file in found[:_TOLD])
            self.invalid(f"the mail has {len(found)} attached files {self.named}: {names}")
        if not found:
            self.incomplete(f"the mail has no attached file {self.named}")
        return found[0]

    def _grids(self, file: File) -> Iterable[Grid]:
        octets = file.read()
        if is_workbook(octets):
            return read_workbook(octets, self._attachment.sheet)
        return read_delimited(octets, self._attachment.encodings, self._attachment.delimiters)

    # -- the headings --------------------------------------------------------------------------------------------

    def _found(self, read: Iterable[Grid]) -> tuple[Grid, int, tuple[str, ...]]:
        """Return the sheet, or the reading by one delimiter, that has the columns; their row; and their headings.

        Texts get their normal form on the way: where one delimiter has the columns, the next ones cost nothing.
        """
        grids: list[Grid] = []
        by_header: list[tuple[Grid, GridRow]] = []
        for grid in map(_normal, read):
            grids.append(grid)
            if (row := self._header(grid)) is not None:
                by_header.append((grid, row))
                if not grid.sheet:
                    break
            elif not self._attachment.has_header and not grid.sheet and self._fits(grid):
                break
        if by_header:
            if by_header[0][0].sheet and len(by_header) > 1:
                self.invalid(f"{self.named} has {len(by_header)} sheets with these columns: name one by `sheet`")
            grid, row = by_header[0]
            titles = texts_of(row.cells)
            self.check_columns(titles, f"row {row.number}")
            self._check_filled(titles, row.number)
            return grid, row.number, titles
        self._check_renamed(grids)
        fitting = [grid for grid in grids if self._fits(grid)]
        if not fitting:
            self._no_header(grids)
        if fitting[0].sheet and len(fitting) > 1:
            self.invalid(f"{self.named} has {len(fitting)} sheets of so many columns: name one by `sheet`")
        return fitting[0], 0, self._attachment.columns

    def _fits(self, grid: Grid) -> bool:
        """Say whether a row has as many cells as the rule names columns by their places."""
        count = len(self._attachment.columns)
        return count > 0 and any(len(row.cells) == count for row in grid.rows)

    def _header(self, grid: Grid) -> GridRow | None:
        """Return the row of the headings: the one that the rule names, or the first one that has all that are needed.

        None where there is none, and where the rule names the columns by their places only.
        """
        if self._attachment.header_row is not None:
            return next((row for row in grid.rows if row.number == self._attachment.header_row), None)
        wanted = _keys_of(needed(self.block)) if self._attachment.has_header else []
        if not wanted:
            return None
        return next((row for row in grid.rows if _has_all(wanted, _keys_in(row))), None)

    def _check_filled(self, titles: Sequence[str], number: int) -> None:
        known = {label_key(title) for title in titles}
        for word in self._attachment.fill_down:
            if label_key(word) not in known:
                self.incomplete(f"{self.named} has no column `{word}`, which is filled down (row {number})")

    def _check_renamed(self, grids: Sequence[Grid]) -> None:
        """Raise Incomplete where a row has some headings and lacks others, naming what it lacks."""
        wanted = _keys_of(needed(self.block)) if self._attachment.has_header else []
        if not wanted:
            return
        best, most = None, 0
        for row in (row for grid in grids for row in grid.rows):
            found = _keys_in(row)
            count = sum(not keys.isdisjoint(found) for keys in wanted)
            best, most = (row, count) if count > most else (best, most)
        if best is not None:
            self.check_columns(texts_of(best.cells), f"row {best.number}")

    def _no_header(self, grids: Sequence[Grid]) -> NoReturn:
        """Raise Invalid for a file that no delimiter makes readable, else Incomplete."""
        fault = next((grid.fault for grid in grids if grid.fault), "")
        if fault:
            raise NotRead(fault)
        if self._attachment.columns:
            self.incomplete(f"{self.named} has no row of {len(self._attachment.columns)} cells")
        if self._attachment.header_row:
            self.incomplete(f"{self.named} has no row {self._attachment.header_row}")
        words = ", ".join(f"`{words_of(field)[0]}`" for field in needed(self.block))
        self.incomplete(f"{self.named} has no row with the columns {words}")

    # -- the rows ------------------------------------------------------------------------------------------------

    def _rows(self, grid: Grid, header: int, titles: tuple[str, ...]) -> tuple[Row, ...]:
        """Return the rows below the headings, without those that say nothing of a unit."""
        rows: list[Row] = []
        filled = {label_key(word) for word in self._attachment.fill_down}
        places = [place for place, title in enumerate(titles) if label_key(title) in filled]
        read = tuple(sorted({place for field in self.block.fields for place in places_of(field, titles)}))
        last: dict[int, CellValue] = {}
        keys = [label_key(title) for title in titles]
        named = len([key for key in keys if key])
        head = 0  # the last row, where it heads a group
        for row in grid.rows:
            texts = texts_of(row.cells)
            head = 0
            if row.number <= header or (self.block.skip and self.is_skipped(CELL.join(texts).strip())):
                continue
            if len(texts) == named and all(map(eq, map(label_key, texts), keys)):
                continue  # the headings again, as on a new page
            told = [place for place, text in enumerate(texts) if text] if self._attachment.group_rows or places else []
            if self._attachment.group_rows and told == [0] and len(titles) > 1:
                head = row.number
                continue
            last |= {place: row.cells[place] for place in places if place in told}
            if told and all(place in places for place in told):
                head = row.number
                continue  # it only heads a group
            self._check_width(row, len(titles), is_sheet=bool(grid.sheet), by_place=not header)
            rows.append(Row(row.number, len(rows) + 1, _cells(row, len(titles), read, last)))
        if head:
            self.invalid(f"{self.named} ends with row {head}, which heads a group, and no row below it")
        return tuple(rows)

    def _check_width(self, row: GridRow, wanted: int, *, is_sheet: bool, by_place: bool) -> None:
        """Raise Invalid for a row of another number of cells than there are columns; a sheet leaves out empty ones."""
        found = len(row.cells)
        beyond = found > wanted and any(cell != "" for cell in row.cells[wanted:])
        if (beyond and (by_place or not is_sheet)) or (found < wanted and not is_sheet):
            self.invalid(
                f"row {row.number} of {self.named} has another number of cells than there are columns: "
                f"{found}, {wanted}"
            )


def _cells(row: GridRow, count: int, read: Iterable[int], last: Mapping[int, CellValue]) -> tuple[Cell, ...]:
    """Return the cells of a row: those of the places that fields read; the others, which may be many, are empty.

    `last`: by place what an empty cell means, of the columns that are filled down.
    """
    cells = [_UNREAD] * count
    for place in read:
        value = row.cells[place] if place < len(row.cells) else ""
        if value == "":
            value = last.get(place, "")
        cells[place] = Cell(text_of(value), value=_typed(value))
    return tuple(cells)


def _normal(grid: Grid) -> Grid:
    """Return a grid with its texts in the normal form."""
    rows = [GridRow(row.number, _normal_cells(row.cells)) for row in grid.rows]
    return grid._replace(rows=tuple(row for row in rows if any(cell != "" for cell in row.cells)))


def _normal_cells(cells: tuple[CellValue, ...]) -> tuple[CellValue, ...]:
    """Return cells with their texts in the normal form: all at once where that only takes spaces off their ends."""
    texts = [cell for cell in cells if isinstance(cell, str)]
    joined = "".join(texts)
    if joined.isascii() and joined.isprintable() and "  " not in joined:
        if len(texts) == len(cells):
            return tuple([text.strip() for text in texts]) if " " in joined else cells
        return tuple([cell.strip() if isinstance(cell, str) else cell for cell in cells])
    return tuple([normal(cell) if isinstance(cell, str) else cell for cell in cells])


def _keys_of(fields: Sequence[Field]) -> list[frozenset[str]]:
    """Return the keys of the headings that each field may stand under."""
    return [frozenset(label_key(word) for word in words_of(field)) for field in fields]


def _has_all(wanted: Sequence[frozenset[str]], found: frozenset[str]) -> bool:
    return not any(keys.isdisjoint(found) for keys in wanted)


def _keys_in(row: GridRow) -> frozenset[str]:
    """Return the keys of what stands in a row, as headings."""
    return frozenset([label_key(text) for text in set(texts_of(row.cells))])


def _typed(value: CellValue) -> CellValue:
    return "" if isinstance(value, str) else value
