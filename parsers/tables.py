"""Tables of the readable text: the part of the mail below a heading, its columns, and its rows.

A table is read whole or not at all: what stands below its heading and might be a row that lost its shape holds the
mail, since a row left out is a unit misread.
"""

import re
from collections.abc import Collection, Iterator, Sequence

from parsers.blocks import MAX_COLUMNS, NOWHERE, BlockReader, Cell, Row, Table, needed, places_of
from parsers.errors import Incomplete, Invalid, nearest
from parsers.rule import Rule, TableBlock
from parsers.text import Line, label_key, label_keys, normal

_RULER = re.compile(r"[-=+_|:· \t]+")
"""A line that only draws: below the headings of a plain text's table, or around it."""
_WORDS = re.compile(r"[^ ]+(?: [^ ]+)*")


def read_tables(lines: Sequence[Line], rule: Rule, noise: Collection[int]) -> Iterator[Table]:
    """Yield the tables of a rule in the order of the mail; `noise` are the lines that its ``ignore_lines`` names.

    Raises Incomplete for a heading or column that is missing, or rows without a word that there are none; Invalid for
    what might be a table or row, but is not set as one.
    """
    keys = label_keys([line.text for line in lines])
    blocks = [block for block in rule.tables if block.attachment is None]
    heads = sorted((_start(block, keys, lines, rule), place) for place, block in enumerate(blocks))
    ends = [*(line - 1 for line, _ in heads[1:]), len(lines)]
    for (line, place), end in zip(heads, ends, strict=False):
        yield _Reader(lines, keys, rule, noise, blocks[place], range(line, end + 1)).table()


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


class _Reader(BlockReader):
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
        super().__init__(rule, block)
        self._lines = lines
        self._keys = keys
        self._noise = noise
        self._first = part.start
        self._below = part[1:] if block.heading else part
        self._known = {part.start}

    def table(self) -> Table:
        empty = self._empty_line()
        first = next((number for number in self._below if not self._is_passed_over(number)), None)
        if first is None:
            self.incomplete(f"below the heading {self.named} stands neither a table nor a word that it is empty")
        if first == empty:
            self._no_columns_below(empty)
            return self._made(0, (), ())
        columns = self._cells(first)
        if len(columns) < 2:
            self.incomplete(
                f"line {first} stands between the heading {self.named} and its columns "
                "(list it under `ignore_lines` if it says nothing)"
            )
        self.check_columns([cell.text for cell in columns], f"line {first}")
        self._known.add(first)
        rows = self._rows(first, columns, empty)
        if empty and rows:
            self.invalid(f"{self.named} says that it is empty (line {empty}), and has rows")
        if not empty and not rows:
            self.incomplete(f"{self.named} has neither rows nor a word that there are none")
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
        return Table(self.block, self._first, header, columns, rows, frozenset(self._known))

    def _empty_line(self) -> int:
        """Return the line that says that there are no rows; 0 without one."""
        wanted = {label_key(word) for word in self.block.empty}
        found = next((number for number in self._below if self._keys[number - 1] in wanted), 0)
        if found:
            self._known.add(found)
        return found

    def _no_columns_below(self, empty: int) -> None:
        """Raise Invalid where the columns of the table stand below the word that it is empty."""
        for number in self._below:
            titles = [cell.text for cell in self._cells(number)]
            if len(titles) > 1 and all(places_of(field, titles) for field in needed(self.block)):
                self.invalid(f"{self.named} says that it is empty (line {empty}), and has columns in line {number}")

    def _rows(self, header: int, columns: tuple[Cell, ...], empty: int) -> tuple[Row, ...]:
        """Return the rows, and see that nothing below them may be one more."""
        rows: list[Row] = []
        titles = [label_key(cell.text) for cell in columns]
        head = self._lines[header - 1]
        ended = False
        for number in range(header + 1, self._below.stop):
            line = self._lines[number - 1]
            cells = _cells(line)
            if number == empty or _RULER.fullmatch(line.text) or self.is_skipped(line.text):
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

    def _row(self, number: int, place: int, line: Line, cells: tuple[Cell, ...], columns: tuple[Cell, ...]) -> Row:
        where = f"row {place} of {self.named} (line {number})"
        if line.gap:
            self.invalid(f"{where} stands below a gap, so that it may be of another table")
        if len(cells) != len(columns):
            self.invalid(f"{where} has another number of cells than there are columns: {len(cells)}, {len(columns)}")
        if not _aligned(cells, columns):
            self.invalid(f"{where} is not set below the headings of its columns")
        titles = [cell.text for cell in columns]
        read = [cells[column].text for field in self.block.fields for column in places_of(field, titles)]
        if {label_key(text) for text in read} & {label_key(word) for word in self.block.empty}:
            self.invalid(f"{where} says that there are none, and holds more than that word")
        self._known.add(number)
        return Row(number, place, cells)

    def _check_end(
        self, number: int, line: Line, cells: tuple[Cell, ...], columns: tuple[Cell, ...], head: Line
    ) -> None:
        """Raise Invalid for a line below the rows that may be one, or a cell of one that was torn apart."""
        if number in self._noise:
            return
        if line.apart > head.apart or len(cells) == len(columns):
            self.invalid(f"line {number}, below the rows of {self.named}, may be one more row")


def _cells(line: Line) -> tuple[Cell, ...]:
    """Return the cells of a line as a table has them, empty ones too."""
    pieces = plain_cells(line.raw) if line.raw else [(text, NOWHERE) for text in line.cells]
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
        return [(normal(piece), NOWHERE) for piece in raw.split("\t", MAX_COLUMNS)]
    if "|" in raw:
        bare = raw.strip().removeprefix("|").removesuffix("|")
        return [(normal(piece), NOWHERE) for piece in bare.split("|", MAX_COLUMNS)]
    found = [(normal(match[0]), match.span()) for match in _WORDS.finditer(raw)]
    return found if len(found) > 1 else [(text, NOWHERE) for text, _ in found]


def _aligned(cells: tuple[Cell, ...], columns: tuple[Cell, ...]) -> bool:
    """Say whether each cell of a row that is set in columns stands below its heading, and below no other."""
    if all(cell.span == NOWHERE for cell in (*cells, *columns)):
        return True
    if any(cell.span == NOWHERE for cell in (*cells, *columns)):
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
