"""Tables of the readable text: the part of the mail below a heading, its columns, and its rows.

A table is read whole or not at all: what stands below its heading and might be a row that lost its shape holds the
mail, since a row left out is a unit misread.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, NoReturn

from parsers.errors import Incomplete, Invalid, nearest
from parsers.rule import Field, From, Rule, TableBlock
from parsers.text import Line, label_key, label_keys, normal

MAX_COLUMNS = 100
_RULER = re.compile(r"[-=+_|:· \t]+")
"""A line that only draws: below the headings of a plain text's table, or around it."""
_WORDS = re.compile(r"[^ ]+(?: [^ ]+)*")
_NOWHERE = (-1, -1)


class Cell(NamedTuple):
    """One cell of a row."""

    text: str
    start: int
    """Where it stands in the line of the readable text."""
    span: tuple[int, int] = _NOWHERE
    """Where a plain text that is set in columns has it; (-1, -1) where a tab, a bar or HTML parts the cells."""


class Row(NamedTuple):
    """One row of a table."""

    line: int
    number: int
    """Which row of its table it is, from 1."""
    cells: tuple[Cell, ...]


class Table(NamedTuple):
    """One table of a mail, as a block of the rule names it."""

    block: TableBlock
    line: int
    """The line of its heading, or that of its columns where it has none."""
    header_line: int
    """The line of its columns; 0 where the mail says that there are no rows, and gives no columns."""
    columns: tuple[str, ...]
    """The headings of its columns, as they are written."""
    rows: tuple[Row, ...]
    lines: frozenset[int]
    """Every line that belongs to it."""

    def place(self, row: Row) -> str:
        """Return a row in words."""
        return f"row {row.number} of `{self.block.title}` (line {row.line})"


def read_tables(lines: Sequence[Line], rule: Rule, noise: Collection[int]) -> Iterator[Table]:
    """Yield the tables of a rule in the order of the mail; `noise` are the lines that its ``ignore_lines`` names.

    Raises Incomplete for a heading or column that is missing, or rows without a word that there are none; Invalid for
    what might be a table or row, but is not set as one.
    """
    keys = label_keys([line.text for line in lines])
    heads = sorted((_start(block, keys, lines, rule), place) for place, block in enumerate(rule.tables))
    ends = [line - 1 for line, _ in heads[1:]] + [len(lines)]
    for (line, place), end in zip(heads, ends, strict=True):
        yield _Reader(lines, keys, rule, noise, rule.tables[place], range(line, end + 1)).table()


def _start(block: TableBlock, keys: Sequence[str], lines: Sequence[Line], rule: Rule) -> int:
    """Return the number of the first line of a table: its heading, or its columns."""
    return _heading(block, keys, lines, rule) if block.heading else _columns(block, keys, lines, rule)


def _columns(block: TableBlock, keys: Sequence[str], lines: Sequence[Line], rule: Rule) -> int:
    """Return the number of the first line that has the columns of a table, or says that the table is empty."""
    wanted = [{label_key(word) for word in words} for words in block.columns]
    for number, line in enumerate(lines, 1):
        titles = {label_key(cell.text) for cell in _cells(line)}
        if all(words & titles for words in wanted):
            return number
    empty = {label_key(word) for word in block.empty}
    found = next((number for number, key in enumerate(keys, 1) if key in empty), 0)
    if not found:
        raise Incomplete(
            f"{rule.name}: no table with the columns `{block.title}`: if the wording changed, add it to the rule "
            f"({rule.file}:{block.line}) and retry",
        )
    return found


def _heading(block: TableBlock, keys: Sequence[str], lines: Sequence[Line], rule: Rule) -> int:
    """Return the number of the line that is a block's heading."""
    wanted = {label_key(word) for word in block.heading}
    found = [number for number, key in enumerate(keys, 1) if key in wanted]
    words = " or ".join(f"`{word}`" for word in block.heading)
    if len(found) > 1:
        places = ", ".join(f"line {number}" for number in found)
        raise Invalid(
            f"{rule.name}: the heading {words} stands more than once ({places}): read the mail and enter the events "
            "by hand",
        )
    if not found:
        alone = {keys[place]: line.text for place, line in enumerate(lines) if len(line.cells) == 1}
        near = next((alone[key] for word in wanted if (key := nearest(word, alone))), None)
        seen = f", nearest line seen: `{near}`" if near else ""
        raise Incomplete(
            f"{rule.name}: no heading {words}{seen}: if the wording changed, add it to the rule "
            f"({rule.file}:{block.line}) and retry",
        )
    return found[0]


class _Reader:
    """Reads one table: the lines between its heading and the next one."""

    def __init__(
        self,
        lines: Sequence[Line],
        keys: Sequence[str],
        rule: Rule,
        noise: Collection[int],
        block: TableBlock,
        part: range,
    ) -> None:
        self._lines = lines
        self._keys = keys
        self._rule = rule
        self._noise = noise
        self._block = block
        self._first = part.start
        self._below = part[1:] if block.heading else part
        self._named = f"`{block.title}`"
        self._known = {part.start}

    def table(self) -> Table:
        empty = self._empty_line()
        first = next((number for number in self._below if not self._is_passed_over(number)), None)
        if first is None:
            self._incomplete(f"below the heading {self._named} stands neither a table nor a word that it is empty")
        if first == empty:
            self._no_columns_below(empty)
            return self._made(0, (), ())
        columns = self._cells(first)
        if len(columns) < 2:
            self._incomplete(
                f"line {first} stands between the heading {self._named} and its columns "
                "(list it under `ignore_lines` if it says nothing)"
            )
        self._check_columns(columns, first)
        self._known.add(first)
        rows = self._rows(first, columns, empty)
        if empty and rows:
            self._invalid(f"{self._named} says that it is empty (line {empty}), and has rows")
        if not empty and not rows:
            self._incomplete(f"{self._named} has neither rows nor a word that there are none")
        return self._made(first, tuple(cell.text for cell in columns), rows)

    def _cells(self, number: int) -> tuple[Cell, ...]:
        return _cells(self._lines[number - 1])

    def _is_passed_over(self, number: int) -> bool:
        """Say whether a line is known noise, or only draws."""
        is_ruler = _RULER.fullmatch(self._lines[number - 1].text) is not None
        if is_ruler:
            self._known.add(number)
        return is_ruler or number in self._noise

    def _made(self, header: int, columns: tuple[str, ...], rows: tuple[Row, ...]) -> Table:
        return Table(self._block, self._first, header, columns, rows, frozenset(self._known))

    def _empty_line(self) -> int:
        """Return the line that says that there are no rows; 0 without one."""
        wanted = {label_key(word) for word in self._block.empty}
        found = next((number for number in self._below if self._keys[number - 1] in wanted), 0)
        if found:
            self._known.add(found)
        return found

    def _no_columns_below(self, empty: int) -> None:
        """Raise Invalid where the columns of the table stand below the word that it is empty."""
        for number in self._below:
            cells = self._cells(number)
            if len(cells) > 1 and all(_places(field, cells) for field in _needed(self._block)):
                self._invalid(f"{self._named} says that it is empty (line {empty}), and has columns in line {number}")

    def _check_columns(self, columns: tuple[Cell, ...], header: int) -> None:
        """Raise for a column that is missing, or stands twice."""
        for field in self._block.fields:
            found = _places(field, columns)
            words = " or ".join(f"`{word}`" for word in _words(field))
            if len(found) > 1:
                self._invalid(f"{self._named} has more than one column {words} (line {header})", field.name)
            if not found and field in _needed(self._block):
                near = nearest(label_key(_words(field)[0]), [label_key(cell.text) for cell in columns])
                seen = f", nearest column seen: `{near}`" if near else ""
                self._incomplete(f"{self._named} has no column {words} (line {header}){seen}", field.name)

    def _rows(self, header: int, columns: tuple[Cell, ...], empty: int) -> tuple[Row, ...]:
        """Return the rows, and see that nothing below them may be one more."""
        rows: list[Row] = []
        titles = [label_key(cell.text) for cell in columns]
        head = self._lines[header - 1]
        ended = False
        for number in range(header + 1, self._below.stop):
            line = self._lines[number - 1]
            cells = _cells(line)
            if number == empty or _RULER.fullmatch(line.text) or self._is_skipped(line):
                self._known.add(number)
            elif ended or (line.gap and len(cells) != len(columns)):
                ended = True
                self._check_end(number, line, cells, columns, head)
            elif len(cells) != len(columns) and number in self._noise:
                pass
            elif [label_key(cell.text) for cell in cells] == titles:
                self._known.add(number)  # the headings again, as on a new page
            else:
                rows.append(self._row(number, len(rows) + 1, line, cells, columns))
        return tuple(rows)

    def _is_skipped(self, line: Line) -> bool:
        return any(pattern.found(line.text) for pattern in self._block.skip)

    def _row(self, number: int, place: int, line: Line, cells: tuple[Cell, ...], columns: tuple[Cell, ...]) -> Row:
        where = f"row {place} of {self._named} (line {number})"
        if line.gap:
            self._invalid(f"{where} stands below a gap, so that it may be of another table")
        if len(cells) != len(columns):
            self._invalid(f"{where} has another number of cells than there are columns: {len(cells)}, {len(columns)}")
        if not _aligned(cells, columns):
            self._invalid(f"{where} is not set below the headings of its columns")
        self._known.add(number)
        return Row(number, place, cells)

    def _check_end(
        self, number: int, line: Line, cells: tuple[Cell, ...], columns: tuple[Cell, ...], head: Line
    ) -> None:
        """Raise Invalid for a line below the rows that may be one, or a cell of one that was torn apart."""
        if number in self._noise:
            return
        if line.apart > head.apart or len(cells) == len(columns):
            self._invalid(f"line {number}, below the rows of {self._named}, may be one more row")

    def _invalid(self, why: str, *fields: str) -> NoReturn:
        raise Invalid(f"{self._rule.name}: {why}: read the mail and enter the events by hand", fields)

    def _incomplete(self, why: str, *fields: str) -> NoReturn:
        raise Incomplete(
            f"{self._rule.name}: {why}: if the wording changed, add it to the rule "
            f"({self._rule.file}:{self._block.line}) and retry",
            fields,
        )


def place_of(field: Field, table: Table) -> int | None:
    """Return the place of a field's column; None where the table has none."""
    wanted = {label_key(word) for word in _words(field)}
    return next((place for place, text in enumerate(table.columns) if label_key(text) in wanted), None)


def _words(field: Field) -> tuple[str, ...]:
    return tuple(word for source in field.sources if source.kind is From.COLUMN for word in source.words)


def _needed(block: TableBlock) -> list[Field]:
    return [field for field in block.fields if _words(field) and not field.optional and field.default is None]


def _places(field: Field, columns: Sequence[Cell]) -> list[int]:
    """Return the places of the columns that a field names."""
    wanted = {label_key(word) for word in _words(field)}
    return [place for place, cell in enumerate(columns) if label_key(cell.text) in wanted]


def _cells(line: Line) -> tuple[Cell, ...]:
    """Return the cells of a line as a table has them, empty ones too."""
    pieces = plain_cells(line.raw) if line.raw else [(text, _NOWHERE) for text in line.cells]
    found: list[Cell] = []
    offset = 0
    for text, span in pieces[: MAX_COLUMNS + 1]:
        start = max(line.text.find(text, offset), offset) if text else offset
        offset = start + len(text)
        found.append(Cell(text, start, span))
    return tuple(found)


def plain_cells(raw: str) -> list[tuple[str, tuple[int, int]]]:
    """Return the cells of a row of plain text: parted by tabs, else by bars, else by runs of spaces."""
    if "\t" in raw:
        return [(normal(piece), _NOWHERE) for piece in raw.split("\t", MAX_COLUMNS)]
    if "|" in raw:
        bare = raw.strip().removeprefix("|").removesuffix("|")
        return [(normal(piece), _NOWHERE) for piece in bare.split("|", MAX_COLUMNS)]
    found = [(normal(match[0]), match.span()) for match in _WORDS.finditer(raw)]
    return found if len(found) > 1 else [(text, _NOWHERE) for text, _ in found]


def _aligned(cells: tuple[Cell, ...], columns: tuple[Cell, ...]) -> bool:
    """Say whether each cell of a row that is set in columns stands below its heading, and below no other."""
    if all(cell.span == _NOWHERE for cell in (*cells, *columns)):
        return True
    if any(cell.span == _NOWHERE for cell in (*cells, *columns)):
        return False
    ends = [column.span[1] for column in columns]
    starts = [column.span[0] for column in columns]
    for place, cell in enumerate(cells):
        start, end = cell.span
        left = ends[place - 1] if place else 0
        right = starts[place + 1] if place + 1 < len(columns) else end
        if start < left or end > right:
            return False
    return True
