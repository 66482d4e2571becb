"""Changes that break a table: all of its rows are read as they were, or the mail is held."""

from dataclasses import replace
from random import Random
from typing import Final

from tests.mutants.cases import Case, label_of
from tests.mutants.draft import Block, Draft, Form, Grid, Heading, Note, Raw, grid_lines
from tests.mutants.harmful import MERGE_FIELDS, NO_VALUE
from tests.mutants.harmless import HIDING, Mutation, grids, swap
from tests.mutants.truth import Must, Mutant


def _read_grids(case: Case, draft: Draft) -> list[tuple[int, Grid]]:
    """Return the tables that the rule reads."""
    return [
        (place, grid) for place, grid in grids(draft) if any(label_of(cell) in case.columns for cell in grid.rows[0])
    ]


def _with(draft: Draft, place: int, grid: Grid, row: int, *rows: tuple[str, ...]) -> Draft:
    """Return a draft with other rows in place of one."""
    return swap(draft, place, replace(grid, rows=(*grid.rows[:row], *rows, *grid.rows[row + 1 :])))


def _says_none(row: tuple[str, ...]) -> bool:
    return "none" in map(label_of, row)


def _held(draft: Draft) -> Mutant:
    return Mutant(draft=draft, must=Must.HELD, reasons=NO_VALUE)


def _spot(case: Case, draft: Draft, chance: Random) -> tuple[int, Grid, int, int] | None:
    """Return a cell of a row that the rule reads: table, its place, row, column."""
    found = [
        (place, grid, row, column)
        for place, grid in _read_grids(case, draft)
        for row in range(1, len(grid.rows))
        for column, title in enumerate(grid.rows[0])
        if label_of(title) in case.columns and len(grid.rows[row]) == len(grid.rows[0]) and grid.rows[row][column]
    ]
    found = [one for one in found if not _says_none(one[1].rows[one[2]])]
    return chance.choice(found) if found else None


def column_renamed(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, _, column = spot
    titles = list(grid.rows[0])
    titles[column] = chance.choice(
        ("Space", "Suite", f"{titles[column]} Old", f"My {titles[column]}", titles[column][:-1], "X")
    )
    return _held(_with(draft, place, grid, 0, tuple(titles)))


def headings_exchanged(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Exchange two headings of columns of which one takes no value of the other's kind."""
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, _, column = spot
    typed = [
        other
        for other, title in enumerate(grid.rows[0])
        if (field := case.columns.get(label_of(title)))
        and field.type != case.columns[label_of(grid.rows[0][column])].type
    ]
    if not typed:
        return None
    other = chance.choice(typed)
    if {label_of(grid.rows[0][column]), label_of(grid.rows[0][other])} == {"unit", "balance"}:
        return None  # a bare number is an amount as well as a unit
    titles = list(grid.rows[0])
    titles[column], titles[other] = titles[other], titles[column]
    return _held(_with(draft, place, grid, 0, tuple(titles)))


def titles_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, _, _ = spot
    return _held(_with(draft, place, grid, 0))


def column_said_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, _, column = spot
    at = chance.randint(0, len(grid.rows[0]))
    texts = (grid.rows[0][column], *("Z999" for _ in grid.rows[1:]))
    rows = tuple((*row[:at], text, *row[at:]) for row, text in zip(grid.rows, texts, strict=True))
    return _held(swap(draft, place, replace(grid, rows=rows)))


def cell_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, row, _ = spot
    column = chance.randrange(len(grid.rows[row]))
    return _held(_with(draft, place, grid, row, (*grid.rows[row][:column], *grid.rows[row][column + 1 :])))


def cell_said_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, row, column = spot
    cells = grid.rows[row]
    return _held(_with(draft, place, grid, row, (*cells[:column], cells[column], *cells[column:])))


def cell_emptied(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, row, column = spot
    return _held(_with(draft, place, grid, row, _put(grid.rows[row], column, "")))


def other_cell_emptied(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Empty a cell that no field reads."""
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, row, _ = spot
    free = [column for column, title in enumerate(grid.rows[0]) if label_of(title) not in case.columns]
    if not free:
        return None
    emptied = _with(draft, place, grid, row, _put(grid.rows[row], chance.choice(free), ""))
    return Mutant(draft=emptied, must=Must.SAME_OR_HELD, reasons=NO_VALUE)


def _put(cells: tuple[str, ...], column: int, text: str) -> tuple[str, ...]:
    return (*cells[:column], text, *cells[column + 1 :])


def cell_that_is_no_value(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, row, column = spot
    odd = chance.choice((*MERGE_FIELDS, "../x", "B204?x", "\u0000"))
    return _held(_with(draft, place, grid, row, _put(grid.rows[row], column, odd)))


def row_torn(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Set a row on two lines, as a mail program wraps it."""
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, row, _ = spot
    cells = grid.rows[row]
    at = chance.randrange(1, len(cells))
    return _held(_with(draft, place, grid, row, cells[:at], cells[at:]))


def row_cut_off(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """End the mail within a row."""
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, row, _ = spot
    cells = grid.rows[row]
    rows = (*grid.rows[:row], cells[: chance.randrange(1, len(cells))])
    return _held(replace(draft, body=(*draft.body[:place], replace(grid, rows=rows))))


def row_said_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    spot = _spot(case, draft, chance)
    if spot is None:
        return None
    place, grid, row, _ = spot
    doubled = _with(draft, place, grid, row, grid.rows[row], grid.rows[row])
    return Mutant(draft=doubled, must=Must.SAME_ONCE, reasons=NO_VALUE)


def row_hidden(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Add a row that HTML hides, or a reader of plain text would not see: it names a unit of its own."""
    found = _read_grids(case, draft)
    if draft.form is not Form.HTML or not found:
        return None
    place, grid = chance.choice(found)
    lines = list(grid_lines(grid, "{}"))
    cells = "".join("<td>Z999</td>" for _ in grid.rows[0])
    lines.insert(chance.randint(1, len(lines)), f'<tr style="{chance.choice(HIDING)}">{cells}</tr>')
    table = Raw(html="<table>" + "\n".join(lines) + "</table>", is_seen=True)
    return Mutant(draft=swap(draft, place, table), must=Must.SAME_OR_HELD, reasons=NO_VALUE)


def prose_among_rows(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _read_grids(case, draft)
    if not found:
        return None
    place, grid = chance.choice(found)
    row = chance.randint(1, len(grid.rows))
    rows = (
        *grid.rows[:row],
        (chance.choice(("Z999", "Z999 is out", "Continued below", "See the next page")),),
        *grid.rows[row:],
    )
    return Mutant(draft=swap(draft, place, replace(grid, rows=rows)), must=Must.SAME_OR_HELD, reasons=NO_VALUE)


def rows_and_a_word_that_there_are_none(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    words = [word for block in (case.rule.tables if case.rule else ()) for word in block.empty]
    found = [one for one in _read_grids(case, draft) if not _says_none(one[1].rows[-1])]
    if not words or not found:
        return None
    place, _ = chance.choice(found)
    body = (*draft.body[: place + 1], Note(text=words[0]), *draft.body[place + 1 :])
    return _held(replace(draft, body=body))


def row_of_none_that_says_more(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Fill the other cells of a row that says that there are none."""
    found = [one for one in _read_grids(case, draft) if any(map(_says_none, one[1].rows))]
    if not found:
        return None
    place, grid = chance.choice(found)
    more = chance.choice(("0", "$0.00", "-", "Z999"))
    rows = tuple(tuple(cell or more for cell in row) for row in grid.rows)
    return Mutant(draft=swap(draft, place, replace(grid, rows=rows)), must=Must.SAME_OR_HELD, reasons=NO_VALUE)


def table_parted(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Part a table by a gap, so that its later rows stand without headings."""
    found = [one for one in _read_grids(case, draft) if len(one[1].rows) > 2]
    if not found:
        return None
    place, grid = chance.choice(found)
    row = chance.randrange(2, len(grid.rows))
    parted: tuple[Block, ...] = (replace(grid, rows=grid.rows[:row]), replace(grid, rows=grid.rows[row:]))
    return _held(replace(draft, body=(*draft.body[:place], *parted, *draft.body[place + 1 :])))


def _headings(case: Case, draft: Draft) -> list[int]:
    return [
        place
        for place, block in enumerate(draft.body)
        if isinstance(block, Heading | Note) and label_of(block.text) in case.headings
    ]


def heading_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _headings(case, draft)
    if not found:
        return None
    place = chance.choice(found)
    return _held(replace(draft, body=(*draft.body[:place], *draft.body[place + 1 :])))


def heading_renamed(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _headings(case, draft)
    if not found:
        return None
    place = chance.choice(found)
    text = getattr(draft.body[place], "text", "")
    other = chance.choice((f"{text} Today", f"Not {text}", text[:-1], "Units", f"{text} (2)"))
    return _held(swap(draft, place, Heading(text=other)))


def heading_said_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _headings(case, draft)
    if not found:
        return None
    place = chance.choice(found)
    above = chance.randint(0, place)
    return _held(replace(draft, body=(*draft.body[:above], draft.body[place], *draft.body[above:])))


HARMFUL_TABLES: Final[tuple[Mutation, ...]] = (
    column_renamed, headings_exchanged, titles_dropped, column_said_twice, cell_dropped, cell_said_twice, cell_emptied,
    other_cell_emptied, cell_that_is_no_value, row_torn, row_cut_off, row_said_twice, row_hidden, prose_among_rows,
    rows_and_a_word_that_there_are_none,
    row_of_none_that_says_more, table_parted, heading_dropped, heading_renamed, heading_said_twice,
)  # fmt: skip
