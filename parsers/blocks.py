"""Tables as a rule names them, whether they stand in the readable text or in an attached file.

One row, one cell, one way to find a column, and one way to say what is missing.
"""

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from parsers.cell import CellValue
from parsers.errors import Incomplete, Invalid, nearest
from parsers.rule import Field, From, Rule, TableBlock
from parsers.text import label_key

MAX_COLUMNS = 100
NOWHERE = (-1, -1)


class Cell(NamedTuple):
    """One cell of a row."""

    text: str
    start: int = 0
    """Where it stands in the line of the readable text."""
    span: tuple[int, int] = NOWHERE
    """Where a plain text that is set in columns has it; (-1, -1) where a tab, a bar or HTML parts the cells."""
    value: CellValue = ""
    """What a spreadsheet holds there, where that is no text."""


class Row(NamedTuple):
    """One row of a table."""

    line: int
    """Where it begins: the line of the readable text or of a CSV file, or the row of a sheet."""
    number: int
    """Which row of its table it is, from 1."""
    cells: tuple[Cell, ...]


class Table(NamedTuple):
    """One table of a mail, as a block of the rule names it."""

    block: TableBlock
    line: int
    """The line of its heading, or that of its columns where it has none; 0 of an attached file."""
    header_line: int
    """The line of its columns; 0 where the mail says that there are no rows, and gives no columns."""
    columns: tuple[str, ...]
    """The headings of its columns, as they are written."""
    rows: tuple[Row, ...]
    lines: frozenset[int]
    """Every line of the readable text that belongs to it."""
    file: str = ""
    """The name of the attached file, and of its sheet; empty in the readable text."""

    def place(self, row: Row) -> str:
        """Return a row in words."""
        if self.file:
            return f"row {row.line} of `{self.file}`"
        return f"row {row.number} of `{self.block.title}` (line {row.line})"


class BlockReader:
    """What reading a table of the text and reading an attached file have in common."""

    def __init__(self, rule: Rule, block: TableBlock) -> None:
        self.rule = rule
        self.block = block
        self.named = f"`{block.title}`"  # a file's own name, once it is found

    def check_columns(self, titles: Sequence[str], where: str) -> None:
        """Raise for a column that is missing, or stands twice; `titles` are the headings, `where` they stand."""
        for field in self.block.fields:
            found = places_of(field, titles)
            words = " or ".join(f"`{word}`" for word in words_of(field))
            if len(found) > 1:
                self.invalid(f"{self.named} has more than one column {words} ({where})", field.name)
            if not found and field in needed(self.block):
                near = nearest(label_key(words_of(field)[0]), [label_key(title) for title in titles])
                seen = f", nearest column seen: `{near}`" if near else ""
                self.incomplete(f"{self.named} has no column {words} ({where}){seen}", field.name)

    def is_skipped(self, text: str) -> bool:
        """Say whether a row, its cells joined by tabs, is one of those that say nothing of a unit."""
        return any(pattern.found(text) for pattern in self.block.skip)

    def invalid(self, why: str, *fields: str) -> NoReturn:
        raise Invalid(f"{self.rule.name}: {why}: read the mail and enter the events by hand", fields)

    def incomplete(self, why: str, *fields: str) -> NoReturn:
        raise Incomplete(
            f"{self.rule.name}: {why}: if the wording changed, add it to the rule "
            f"({self.rule.file}:{self.block.line}) and retry",
            fields,
        )


def place_of(field: Field, table: Table) -> int | None:
    """Return the place of a field's column; None where the table has none."""
    return next(iter(places_of(field, table.columns)), None)


def words_of(field: Field) -> tuple[str, ...]:
    """Return the spellings of a field's column; none of a field that is no column."""
    return tuple(word for source in field.sources if source.kind is From.COLUMN for word in source.words)


def needed(block: TableBlock) -> list[Field]:
    """Return the fields without whose columns a table cannot be read."""
    return [field for field in block.fields if words_of(field) and not field.optional and field.default is None]


def places_of(field: Field, titles: Sequence[str]) -> list[int]:
    """Return the places of the columns that a field names."""
    wanted = {label_key(word) for word in words_of(field)}
    return [place for place, title in enumerate(titles) if label_key(title) in wanted]
