"""Draft a rule from samples whose events stand in the rows of a table, or of an attached file. Pure.

Rows are taken to say what the subject says, or the heading above their table. A column that tells rows apart (a status,
yes or no) is not understood: such a table is refused, and the balance of a row is left out, since it may be the
account's.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from parsers.cell import text_of
from parsers.delimited import DELIMITERS, read_delimited
from parsers.errors import NotRead, Unreadable
from parsers.mail import Mail
from parsers.text import normal
from parsers.workbook import is_workbook, read_workbook
from worker.lexicon import DATES, Happening, Role, happening_of, is_status, role_of
from worker.sampled import NotDrafted, Sampled, yaml_of

_NAMES: Final = ("*.csv", "*.xlsx")
_ENCODINGS: Final = ("utf-8-sig", "windows-1252")
_MOST_EMPTY: Final = 40
"""The longest line that may say that there are no rows, in characters."""
_PROSE = re.compile(r"[.:!?;,]|.{40}")
"""What no heading of a table has."""
_SERIAL = re.compile(r"[0-9]{5}(?:\.[0-9]+)?")
"""A date as a spreadsheet keeps it, for which no format is needed."""
_TOTALS: Final = r"(^|\t)(?:grand |sub)?totals?\b"
_TELLS_APART = re.compile(
    r"(?:over)?lock(?:ed)?(?: out)?|lockout|type|event|action|auction|active|occupied", re.IGNORECASE
)
_YES_OR_NO: Final = frozenset({"yes", "no", "y", "n", "true", "false", "x", "on", "off", "-"})
_SEVERAL = re.compile(r"\b(?:and|und|et|y)\b|[&/+]", re.IGNORECASE)
"""What stands in a subject that tells of several things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One table of one sample."""

    titles: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    heading: str = ""
    """The line above it; empty of an attached file and of a table that has none."""
    name: str = ""
    """The pattern of the name of the attached file; empty of a table of the text."""
    empty: tuple[str, ...] = ()
    """What stands alone in rows of the text's table: a word that there are none."""
    has_groups: bool = False
    """Whether rows of a single cell head groups of others, in an attached file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What one table of all samples says: an item of ``each``."""

    rows: Rows
    """The first sample's."""
    happening: Happening
    fields: dict[str, Sampled]
    empty: tuple[str, ...]
    """What stands in place of rows where there are none."""

    def lines(self, fields: Iterable[str], events: Iterable[str]) -> Iterator[str]:
        """Yield the item as YAML, from the lines of its fields and of its events."""
        if self.rows.name:
            groups = ", group_rows: true" if self.rows.has_groups else ""
            yield f'      - attachment: {{name: "{self.rows.name}", skip: [{json.dumps(_TOTALS)}]{groups}}}'
        else:
            place = "heading: " + yaml_of([self.rows.heading]) if self.rows.heading else f"columns: {self._columns}"
            yield f"      - table: {{{place}}}"
            yield f"        skip: [{json.dumps(_TOTALS)}]"
            if self.empty:
                yield f"        empty: {yaml_of(self.empty, always=True)}"
        yield "        fields:"
        yield from (f"    {line}" for line in fields)
        yield "        events:"
        yield from (f"    {line}" for line in events)

    @property
    def _columns(self) -> str:
        return yaml_of([json.loads(one.source.partition(": ")[2]) for one in self.fields.values()], always=True)


def blocks_of(mails: Sequence[Mail], event: Happening | None, doubts: list[str]) -> list[Block]:
    """Return what the tables of samples say, in their order; none where no sample has a table with a column of units.

    Raises:
        NotDrafted: tables cannot be told apart, or one is not understood.
    """
    told = [_tables(mail) for mail in mails]
    every = {(one.heading, one.name): one for tables in told for one in tables}
    if len({name for _, name in every}) > 1 or len(every) < max(map(len, told)):
        raise NotDrafted("the tables of the samples cannot be told apart by headings: write the rule by hand")
    found: list[Block] = []
    for rows in every.values():
        same = [one for tables in told for one in tables if (one.heading, one.name) == (rows.heading, rows.name)]
        empty = tuple(dict.fromkeys((*_empty_words(mails, rows), *(word for one in same for word in one.empty))))
        happening = event or _said(rows, mails[0].subject)
        found.append(Block(rows=rows, happening=happening, fields=_fields(same, doubts), empty=empty))
    if len(found) > 1 and event:
        raise NotDrafted("the mails have several tables, which --event takes to say the same: write the rule by hand")
    return found


def _said(rows: Rows, subject: str) -> Happening:
    """Return what the rows of a table tell by the line above it; by the subject where it has none."""
    text = rows.heading or ("" if _SEVERAL.search(subject) else subject)
    found = happening_of(text)
    if found is None or found is Happening.NOTHING:
        above = f"the line above the table, `{rows.heading}`," if rows.heading else "the subject"
        raise NotDrafted(f"{above} does not say what the rows tell: say it with --event")
    return found


def _tables(mail: Mail) -> list[Rows]:
    """Return the tables of a mail with a column of units: that of its attached file, else those of its text."""
    attached = [rows for pattern in _NAMES for rows in _attached(mail, pattern)]
    if len(attached) > 1:
        raise NotDrafted("a sample has several attached files or sheets of units: write the rule by hand")
    return attached or list(_in_text(mail))


def _attached(mail: Mail, pattern: str) -> Iterator[Rows]:
    for file in mail.files.named((pattern,)):
        try:
            octets = file.read()
            grids = read_workbook(octets, "") if is_workbook(octets) else read_delimited(octets, _ENCODINGS, DELIMITERS)
        except (NotRead, Unreadable) as error:
            raise NotDrafted(f"an attached file cannot be read: {error}") from error
        for grid in grids:
            cells = [tuple(normal(text_of(cell)) for cell in row.cells) for row in grid.rows]
            place = next((place for place in range(len(cells)) if _is_head(cells, place)), None)
            if place is not None:
                named = any(row[0] and not any(row[1:]) for row in cells[place + 1 :] if not _is_total(row))
                yield Rows(titles=cells[place], cells=tuple(_below(cells, place)), name=pattern, has_groups=named)


def _in_text(mail: Mail) -> Iterator[Rows]:
    cells = [line.cells for line in mail.lines]
    for place, titles in enumerate(cells):
        if _is_head(cells, place) and (len(titles) > 2 or mail.lines[place].header):
            above = cells[place - 1] if place else ()
            heading = above[0] if len(above) == 1 and not _PROSE.search(above[0]) else ""
            end = next((end for end in range(place, len(cells)) if len(cells[end]) != len(titles)), len(cells))
            alone = tuple(row[0] for row in cells[place + 1 : end] if not any(row[1:]))
            below = tuple(_below(cells[:end], place))
            yield Rows(titles=titles, cells=below, heading=heading, empty=alone)


def _is_head(cells: Sequence[Sequence[str]], place: int) -> bool:
    """Say whether a row holds the titles of columns, one of them of units, and has a row below, or a group's name."""
    titles = cells[place]
    if len(titles) < 2 or not all(titles) or any(map(str.isdigit, "".join(titles))):
        return False
    places = [place for place, title in enumerate(titles) if role_of(title) is Role.UNIT]
    below = next((row for row in cells[place + 1 : place + 3] if len(row) == len(titles)), None)
    return len(places) == 1 and below is not None and role_of(below[places[0]]) is None


def _below(cells: Sequence[tuple[str, ...]], place: int) -> Iterator[tuple[str, ...]]:
    """Yield the rows below some titles that have as many cells, without totals."""
    for row in cells[place + 1 :]:
        if len(row) == len(cells[place]) and any(row[1:]) and not _is_total(row):
            yield row


def _is_total(row: Sequence[str]) -> bool:
    return re.search(_TOTALS, "\t".join(row), re.IGNORECASE) is not None


def _fields(tables: Sequence[Rows], doubts: list[str]) -> dict[str, Sampled]:
    """Return the fields of the columns that all samples have and whose titles are known."""
    found: dict[str, Sampled] = {}
    unread: list[str] = []
    for title in tables[0].titles:
        if not all(title in table.titles for table in tables):
            continue
        values = tuple(row[table.titles.index(title)] for table in tables for row in table.cells)
        role = role_of(title)
        if is_status(title) or _TELLS_APART.fullmatch(title) or _are_flags(values):
            raise NotDrafted(f"the column `{title}` tells rows apart: write the rule by hand, with `cases` or a `flag`")
        if role is Role.BALANCE:
            doubts.append(f"`{title}` is left out: where it is of the account, it is no unit's (docs: `if: single`)")
        elif role is None or role is Role.OCCURRED:
            unread.append(title)
        elif role in found:
            raise NotDrafted(f"the column `{title}` and another both say {role}: write the rule by hand")
        else:
            is_full = all(values)
            told = tuple(value for value in values if value and not (role in DATES and _SERIAL.fullmatch(value)))
            found[role] = Sampled(name=role, source=f"column: {json.dumps(title)}", values=told, is_everywhere=is_full)
    if unread:
        doubts.append(f"not read: {', '.join(f'`{title}`' for title in unread)}; if one tells rows apart, add `cases`")
    return found


def _are_flags(values: Iterable[str]) -> bool:
    told = {value.casefold() for value in values} - {""}
    return bool(told) and (told <= _YES_OR_NO or told == {"0", "1"})


def _empty_words(mails: Sequence[Mail], rows: Rows) -> tuple[str, ...]:
    """Return what stands below the heading of a table in the samples where that has no rows."""
    found: dict[str, None] = {}
    for mail in mails:
        for line, below in zip(mail.lines, mail.lines[1:], strict=False):
            if line.text == rows.heading != "" and len(below.cells) == 1 and len(below.text) <= _MOST_EMPTY:
                found[below.text] = None
    return tuple(found)
