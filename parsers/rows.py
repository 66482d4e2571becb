"""Rows of a mail's tables and items of its lists: for each one its values, and the events to make of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from parsers.blocks import Cell, Row, Table, place_of
from parsers.convert import Value
from parsers.emphasis import without_emphasis
from parsers.errors import Incomplete, Invalid
from parsers.extract import Capture, Extraction, Values, check_merge_field
from parsers.mail import Mail
from parsers.rule import EventSpec, Field, From, Pack, Rule
from parsers.sheets import read_sheets
from parsers.tables import read_tables
from parsers.text import label_key
from parsers.values import to_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a mail says once: the whole of a notice, one row of a table, or one item of a list."""

    events: tuple[EventSpec, ...]
    values: Values
    """The values of the mail, and those of the row or item over them."""
    told_in: str = ""
    """The table that a row stands in, by the key of its heading; empty elsewhere."""
    place: str = ""
    """Where a row stands, in words; empty elsewhere."""
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """The headings of the columns of a row, by the field that is read from them."""
    is_row: bool = False
    """Whether it is one of several of its kind, so that its identity is of the values that its events use."""
    is_report: bool = False
    """Whether it is a row of an attached file, which says of no unit two things at once."""
    is_single: bool = True
    """Whether the list has exactly one item, or the account of a row exactly one row."""


def parts_of(mail: Mail, rule: Rule, pack: Pack, values: Values, extraction: Extraction) -> tuple[Part, ...]:
    """Return what a mail says, in its order; what tables show is noted in `extraction`.

    Raises Incomplete and Invalid, naming row and column: a mail is told whole or not at all.
    """
    if rule.tables:
        return tuple(_of_tables(mail, rule, pack, values, extraction))
    if rule.listed is None:
        return (Part(events=rule.events, values=values),)
    items = values[rule.listed.field]
    assert isinstance(items, tuple)  # noqa: S101 - the rule was loaded so
    for item in items:
        check_merge_field(rule, rule.listed.field, item)
    mails = {name: value for name, value in values.items() if name != rule.listed.field}
    return tuple(
        Part(events=rule.events, values={**mails, rule.listed.name: item}, is_row=True, is_single=len(items) == 1)
        for item in items
    )


def _of_tables(mail: Mail, rule: Rule, pack: Pack, values: Values, extraction: Extraction) -> Iterator[Part]:
    for table in chain(read_tables(mail.lines, rule, extraction.noise), read_sheets(mail.files, rule)):
        extraction.known |= table.lines
        places = [(field, place_of(field, table)) for field in table.block.fields]
        columns = {field.name: table.columns[place] for field, place in places if place is not None}
        told_in = label_key(table.block.title)
        told = [
            {
                field.name: value
                for field, place in places
                for value in _cell_value(field, place, row, table, rule, pack, extraction)
            }
            for row in table.rows
        ]
        account = table.block.account
        rows_of = Counter(found.get(account) for found in told)
        for row, found in zip(table.rows, told, strict=True):
            if any(name not in found for name in table.block.needs):
                continue
            yield Part(
                events=_events_of(found, table, row, rule),
                values={**values, **found},
                told_in=told_in,
                place=table.place(row),
                columns=columns,
                is_row=True,
                is_report=bool(table.file),
                is_single=not account or (account in found and rows_of[found[account]] == 1),
            )


def _events_of(found: Values, table: Table, row: Row, rule: Rule) -> tuple[EventSpec, ...]:
    """Return what a row says; raise Invalid where no case of its table takes its word."""
    block = table.block
    for case in block.cases:
        if label_key(str(found[case.field])) in {label_key(word) for word in case.words}:
            return case.events
    if block.cases:
        name = block.cases[0].field
        raise Invalid(
            f"{rule.name}: the field `{name}` in {table.place(row)} is none of the words of `cases`: read the mail, "
            f"then add the word to the rule ({rule.file}:{block.line}) or enter the events by hand",
            (name,),
        )
    return block.events


def _cell_value(
    field: Field, place: int | None, row: Row, table: Table, rule: Rule, pack: Pack, extraction: Extraction
) -> Iterator[Value]:
    """Yield the one value of a row's field; none where it is absent and may be."""
    texts = [source.words[0] for source in field.sources if source.kind is From.CONST]
    where = f" in {table.place(row)}"
    cell = row.cells[place] if place is not None else Cell("")
    if not table.file and (bare := without_emphasis(cell.text)) != cell.text:
        cell = cell._replace(text=bare, start=cell.start + max(cell.text.find(bare), 0))
    if place is not None:
        where = f" in column `{table.columns[place]}` of {table.place(row)}"
        texts += [cell.text] if cell.text else []
    if len(set(texts)) > 1:
        raise Invalid(f"{rule.name}: the field `{field.name}`{where} is stated with different values", (field.name,))
    text = texts[0] if texts else field.default
    if text is None:
        if field.optional:
            return
        raise Incomplete(
            f"{rule.name}: no value for `{field.name}`{where}: read the mail and enter the events by hand",
            (field.name,),
        )
    check_merge_field(rule, field.name, text, where)
    value = to_value(field, text if cell.value == "" else cell.value, pack, rule, where)
    if place is not None and cell.text:
        start, end = cell.start, cell.start + len(text)
        title = table.columns[place]
        line, header = (0, 0) if table.file else (row.line, table.header_line)
        extraction.captures.append(
            Capture(
                field.name, From.COLUMN, title, line, header, start, end, text, value, table.file,
                row.line if table.file else 0, field.line,
            )
        )  # fmt: skip
    yield value
