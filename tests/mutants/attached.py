"""Changes of the rows of attached files: CSV, XLSX, and archives of them."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from parsers.events import Kind
from parsers.rule import EventSpec, Field, FieldValue, Type
from tests.mutants.cases import Case, is_needed
from tests.mutants.draft import Draft
from tests.mutants.harmful import MERGE_FIELDS, NO_VALUE
from tests.mutants.harmless import Mutation, same
from tests.mutants.sheets import (
    DELIMITERS,
    EMPTY,
    Cell,
    Cells,
    Sheet,
    columns_of,
    entity,
    read_rows,
    sheet_of,
    text_cells,
    with_part,
    with_sheet,
)
from tests.mutants.truth import Must, Mutant
from worker.redactbook import packed

_UNLIKE: Final = {
    Type.DATE: ("TBD", "02/30/2026", "next Friday", "2026", "05/01/2026 (was 04/01/2026)"),
    Type.MONEY: ("TBD", "$1.2.3", "12,34", "see ledger", "$129.00 - $5.00", "1e3"),
    Type.FLAG: ("maybe", "Y?", "1", "Yes/No"),
    Type.TEXT: ("../units", "B204?x=1", "a\\b", ".."),
}  # fmt: skip
_OTHER: Final = {Type.DATE: "01/02/2019", Type.MONEY: "999.99"}
_DECOYS: Final = ("Unit Size", "Previous Unit", "Rate Next Month", "Unit ID Old", "Tenant Since")
_ABOVE: Final = ("Printed by Kim", "Main Street Storage", "Unit Z999 was sold last year", "Page 1 of 1")


def _held(draft: Draft) -> Mutant:
    return Mutant(draft=draft, must=Must.HELD, reasons=NO_VALUE)


def _with_rows(draft: Draft, sheet: Sheet, rows: tuple[Cells, ...]) -> Draft:
    return with_sheet(draft, replace(sheet, rows=rows))


def _headed(case: Case, draft: Draft) -> Sheet | None:
    """Return the file where its columns have headings."""
    sheet = sheet_of(case, draft)
    return sheet if sheet is not None and sheet.header is not None else None


def _each_row(sheet: Sheet, change: Callable[[int, Cells], Cells]) -> tuple[Cells, ...]:
    """Return the rows with those changed that stand under the headings, and the headings; the others as they are."""
    first = sheet.header or 0
    return tuple(change(number, row) if number >= first else row for number, row in enumerate(sheet.rows))


def _in(sheet: Sheet, number: int, *rows: Cells) -> tuple[Cells, ...]:
    """Return the rows with others in place of one."""
    return (*sheet.rows[:number], *rows, *sheet.rows[number + 1 :])


def _put(row: Cells, column: int, cell: Cell) -> Cells:
    return (*row[:column], cell, *row[column + 1 :])


def _is_grouped(case: Case, sheet: Sheet) -> bool:
    """Say whether rows head groups, so that order and places of cells mean something."""
    attachments = [block.attachment for block in (case.rule.tables if case.rule else ())]
    return any(one and (one.group_rows or one.fill_down) for one in attachments)


def _spot(case: Case, draft: Draft, chance: Random) -> tuple[Sheet, int, int, Field] | None:
    """Return a cell that is needed: its file, row, column and field."""
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    needed = [(place, field) for place, field in columns_of(case, sheet) if is_needed(field)]
    row = chance.choice(read_rows(case, sheet))
    return (sheet, row, *chance.choice(needed))


# -- what leaves a report as it is -------------------------------------------------------------------------------------


def attached_rows_in_another_order(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    sheet = _headed(case, draft)
    if sheet is None or _is_grouped(case, sheet):
        return None
    first = (sheet.header or 0) + 1
    rows = sheet.rows[first:]
    shuffled = (*sheet.rows[:first], *chance.sample(rows, len(rows)))
    return Mutant(draft=_with_rows(draft, sheet, shuffled), must=Must.SAME_ROWS)


def attached_columns_in_another_order(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    sheet = _headed(case, draft)
    if sheet is None or _is_grouped(case, sheet):
        return None
    order = chance.sample(range(len(sheet.titles)), len(sheet.titles))
    return same(_with_rows(draft, sheet, _each_row(sheet, lambda _, row: tuple(row[place] for place in order))))


def attached_other_column(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Add a column that no field reads."""
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    place = chance.randint(1, len(sheet.titles))
    read = read_rows(case, sheet)
    title = chance.choice([word for word in _DECOYS if word.lower() not in (*case.columns, *sheet.titles)])

    def changed(number: int, row: Cells) -> Cells:
        if len(row) < len(sheet.titles):
            return row
        cell = Cell(title) if number == sheet.header else Cell("Z999") if number in read else EMPTY
        return (*row[:place], cell, *row[place:])

    return same(_with_rows(draft, sheet, _each_row(sheet, changed)))


def attached_blank_rows(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    sheet = sheet_of(case, draft)
    if sheet is None:
        return None
    rows = list(sheet.rows)
    for _ in range(chance.randint(1, 3)):
        rows.insert(chance.randint(0, len(rows)), (EMPTY,) * len(sheet.titles) if chance.random() < 0.5 else ())
    return same(_with_rows(draft, sheet, tuple(rows)))


def attached_headings_again(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Repeat the headings among the rows, as on a new page."""
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    place = chance.randint((sheet.header or 0) + 1, len(sheet.rows))
    rows = (*sheet.rows[:place], sheet.rows[sheet.header or 0], *sheet.rows[place:])
    return same(_with_rows(draft, sheet, rows))


def attached_case_of_headings(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    change = chance.choice((str.upper, str.lower, str.swapcase))
    heads = text_cells(change(cell.text) for cell in sheet.rows[sheet.header or 0])
    return same(_with_rows(draft, sheet, _in(sheet, sheet.header or 0, heads)))


def attached_total(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """End the report with a row of totals."""
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    total = text_cells((chance.choice(("Total", "Grand Total", "TOTALS")), *("7" for _ in sheet.titles[1:])))
    return same(_with_rows(draft, sheet, (*sheet.rows, total)))


def attached_preamble(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    above = tuple((Cell(text),) for text in chance.sample(_ABOVE, chance.randint(1, 3)))
    return same(_with_rows(draft, sheet, (*above, *sheet.rows)))


def attached_csv_otherwise(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Write a CSV file with another delimiter, in another encoding, or with every cell in quotes."""
    sheet = sheet_of(case, draft)
    if sheet is None or sheet.is_book:
        return None
    other = replace(
        sheet,
        delimiter=chance.choice(DELIMITERS),
        encoding=chance.choice(("utf-8", "utf-8-sig", "utf-16", "windows-1252")),
        quotes_all=chance.random() < 0.5,
    )
    return same(with_sheet(draft, other))


def attached_packed(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Attach an archive that holds the file."""
    sheet = sheet_of(case, draft)
    if sheet is None or sheet.archived:
        return None
    folder = chance.choice(("", "reports/", "a/b/"))
    return same(with_sheet(draft, replace(sheet, name="report.zip", archived=folder + sheet.name)))


# -- what breaks it ----------------------------------------------------------------------------------------------------


def attached_row_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Leave a row out: the others say what they said."""
    sheet = _headed(case, draft)
    if sheet is None or any(block.account for block in (case.rule.tables if case.rule else ())):
        return None  # what an account's balance means depends on all its rows
    return Mutant(
        draft=_with_rows(draft, sheet, _in(sheet, chance.choice(read_rows(case, sheet)))), must=Must.PART_OR_HELD
    )


def attached_row_said_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    sheet = _headed(case, draft)
    if sheet is None or any(block.account for block in (case.rule.tables if case.rule else ())):
        return None
    number = chance.choice(read_rows(case, sheet))
    rows = _in(sheet, number, sheet.rows[number], sheet.rows[number])
    return Mutant(draft=_with_rows(draft, sheet, rows), must=Must.SAME_ONCE, reasons=NO_VALUE)


def attached_row_said_otherwise(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Say another thing of a unit in a second row: which one holds?"""
    sheet = _headed(case, draft)
    specs = case.rule.all_events if case.rule else ()
    if sheet is None or any(spec.kind not in (Kind.PATCH, Kind.SNAPSHOT) for spec in specs):
        return None
    plain = {
        value.name
        for spec in specs
        for _, value in spec.values
        if isinstance(value, FieldValue) and not value.if_single
    }
    found = [(place, one) for place, one in columns_of(case, sheet) if one.name in plain]
    number = chance.choice(read_rows(case, sheet))
    row = sheet.rows[number]
    place, field = chance.choice(found)
    other = _OTHER.get(field.type) or next(
        (word for word in (*field.trues, *field.falses) if word != row[place].text), ""
    )
    if field.type is Type.FLAG:
        other = (field.falses if row[place].text in field.trues else field.trues)[0]
    second = _put(row, place, Cell(other))
    pair = chance.sample((row, second), 2)
    return _held(_with_rows(draft, sheet, _in(sheet, number, *pair)))


def attached_cells_exchanged(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Exchange a date, an amount or a flag with a text in one row, or in the headings."""
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    number = chance.choice(read_rows(case, sheet))
    row = sheet.rows[number]
    columns = columns_of(case, sheet)
    typed = [place for place, field in columns if field.type is not Type.TEXT and row[place].value != ""]
    texts = [place for place, field in columns if field.type is Type.TEXT and not _is_number(row[place])]
    if not typed or not texts:
        return None
    one, other = chance.choice(typed), chance.choice(texts)
    line = chance.choice((number, sheet.header or 0))
    cells = sheet.rows[line]
    exchanged = _put(_put(cells, one, cells[other]), other, cells[one])
    return _held(_with_rows(draft, sheet, _in(sheet, line, exchanged)))


def _is_number(cell: Cell) -> bool:
    return cell.text.replace(".", "").isdigit()


def attached_heading_renamed(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    sheet, _, column, _ = spot
    heads = sheet.rows[sheet.header or 0]
    text = heads[column].text
    other = chance.choice(("Space", "Suite", f"{text} Old", f"My {text}", text[:-1], "X", ""))
    return _held(_with_rows(draft, sheet, _in(sheet, sheet.header or 0, _put(heads, column, Cell(other)))))


def attached_column_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    sheet, _, column, _ = spot
    return _held(_with_rows(draft, sheet, _each_row(sheet, lambda _, row: (*row[:column], *row[column + 1 :]))))


def attached_column_said_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Add a column of the same heading with other values."""
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    sheet, _, column, _ = spot
    at = chance.randint(0, len(sheet.titles))

    def changed(number: int, row: Cells) -> Cells:
        if len(row) < len(sheet.titles):
            return row
        cell = row[column] if number == sheet.header or row[column] == EMPTY else Cell("Z999")
        return (*row[:at], cell, *row[at:])

    return _held(_with_rows(draft, sheet, _each_row(sheet, changed)))


def attached_titles_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    draft = _with_rows(draft, sheet, _in(sheet, sheet.header or 0))
    return Mutant(draft=draft, must=Must.SAME_OR_HELD, reasons=NO_VALUE)


def attached_cell_emptied(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    sheet, row, column, _ = spot
    return _held(_with_rows(draft, sheet, _in(sheet, row, _put(sheet.rows[row], column, EMPTY))))


def attached_cell_that_is_no_value(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    sheet, row, column, field = spot
    names_unit = any(isinstance(spec.unit, FieldValue) and spec.unit.name == field.name for spec in _specs(case))
    unlike = _UNLIKE[field.type] if field.type is not Type.TEXT or names_unit else ()
    cell = Cell(chance.choice((*MERGE_FIELDS, *unlike)))
    return _held(_with_rows(draft, sheet, _in(sheet, row, _put(sheet.rows[row], column, cell))))


def _specs(case: Case) -> tuple[EventSpec, ...]:
    return case.rule.all_events if case.rule else ()


def attached_cells_shifted(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Lose a cell of a row of CSV, or say one twice: the cells behind it stand in other columns."""
    spot = _spot(case, draft, chance)
    if spot is None or spot[0].is_book:
        return None
    sheet, row, column, _ = spot
    cells = sheet.rows[row]
    many = chance.choice((0, 2))
    return _held(
        _with_rows(draft, sheet, _in(sheet, row, (*cells[:column], *[cells[column]] * many, *cells[column + 1 :])))
    )


def attached_row_of_prose(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    text = chance.choice(("Continued on page 2", "Z999", "Report restricted to site A", "See notes"))
    place = chance.randint((sheet.header or 0) + 1, len(sheet.rows))
    column = chance.randrange(len(sheet.titles))
    prose = tuple(Cell(text) if at == column else EMPTY for at in range(len(sheet.titles)))
    rows = (*sheet.rows[:place], prose, *sheet.rows[place:])
    return Mutant(draft=_with_rows(draft, sheet, rows), must=Must.SAME_OR_HELD, reasons=NO_VALUE)


def attached_file_cut_off(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """End the file within a row."""
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    octets = sheet.octets()
    if sheet.is_book:
        return _held(with_sheet(draft, sheet, octets[: chance.randrange(4, len(octets) - 30)]))
    number = chance.choice(read_rows(case, sheet))
    cells = sheet.rows[number]
    rows = (*sheet.rows[:number], cells[: chance.randrange(1, len(cells))])
    return _held(_with_rows(draft, sheet, rows))


def attached_file_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Attach a second file that the rule would go through."""
    sheet = _headed(case, draft)
    if sheet is None:
        return None
    second = entity(f"second.{'xlsx' if sheet.is_book else 'csv'}", replace(sheet, rows=sheet.rows[:-1]).octets())
    if chance.random() < 0.3:
        second = entity("second.zip", packed([(f"second.{'xlsx' if sheet.is_book else 'csv'}", sheet.octets())]))
    parts = chance.sample((*draft.parts, second), len(draft.parts) + 1)
    return _held(replace(draft, parts=tuple(parts)))


def attached_file_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    sheet = sheet_of(case, draft)
    if sheet is None:
        return None
    return Mutant(draft=with_part(draft, sheet.place), must=Must.HELD, reasons=(*NO_VALUE, "unmatched"))


HARMLESS_ATTACHED: Final[tuple[Mutation, ...]] = (
    attached_rows_in_another_order, attached_columns_in_another_order, attached_other_column, attached_blank_rows,
    attached_headings_again, attached_case_of_headings, attached_total, attached_preamble, attached_csv_otherwise,
    attached_packed,
)  # fmt: skip
HARMFUL_ATTACHED: Final[tuple[Mutation, ...]] = (
    attached_row_dropped, attached_row_said_twice, attached_row_said_otherwise, attached_cells_exchanged,
    attached_heading_renamed, attached_column_dropped, attached_column_said_twice, attached_titles_dropped,
    attached_cell_emptied, attached_cell_that_is_no_value, attached_cells_shifted, attached_row_of_prose,
    attached_file_cut_off, attached_file_twice, attached_file_dropped,
)  # fmt: skip
