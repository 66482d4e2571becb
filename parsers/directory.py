"""Unit maps: by which id the destination knows a unit of a site, and from which day until which.

A unit map is a CSV text with the columns ``unit``, ``crm_unit_id``, ``from`` and ``until``, with ``location`` where it
serves several sites, and with columns of one's own. Both days belong to a row; an empty one is open. A map loads whole
or not at all.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from parsers.errors import ParserError, Unreadable, nearest
from parsers.template import WORDS
from parsers.text import normal

NEEDED: Final = ("unit", "crm_unit_id", "from", "until")
LOCATION: Final = "location"
RESERVED: Final = frozenset((*NEEDED, *WORDS, LOCATION, "mailbox", "occurred", "occurred_on"))
"""What no column of one's own may be called: templates know these names already, or the map does."""
MAX_ROWS: Final = 100_000
MAX_CELL: Final = 255
MAX_FAULTS: Final = 50
"""How many faults are told at once; the rest is counted."""

_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFault:
    """One fault of a unit map, and the line that it stands on."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class MapErrors(ParserError):
    """A unit map that does not load: whole or not at all. A line for each fault."""

    def __init__(self, faults: Iterable[MapFault]) -> None:
        self.faults = tuple(faults)
        lines = [str(fault) for fault in self.faults[:MAX_FAULTS]]
        if len(self.faults) > MAX_FAULTS:
            lines.append(f"{self.faults[0].file}: and {len(self.faults) - MAX_FAULTS} more")
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a CSV text as it is written."""

    line: int
    end: int
    """Its last line: a quoted cell may hold a line end."""
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A CSV text as it is written: what a command needs that changes a row and leaves the rest alone."""

    file: str
    delimiter: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]

    def cell(self, row: Row, name: str) -> str:
        """Return a cell without the space around it; empty where the row or the sheet ends before it."""
        place = self.header.index(name) if name in self.header else len(row.cells)
        return row.cells[place].strip() if place < len(row.cells) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a map says of a unit for some days."""

    unit: str
    crm_unit_id: str
    from_on: dt.date | None = None
    until_on: dt.date | None = None
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """The columns of one's own, without the empty cells."""
    line: int = 0

    def holds(self, on: dt.date) -> bool:
        """Say whether the row speaks of a day; both ends belong to it."""
        return (self.from_on is None or self.from_on <= on) and (self.until_on is None or on <= self.until_on)

    def overlaps(self, other: "Entry") -> bool:
        """Say whether two rows speak of one day."""
        return _first(self) <= _last(other) and _first(other) <= _last(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The units of one site."""

    file: str = ""
    columns: tuple[str, ...] = ()
    """The names of the columns of one's own."""
    units: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict[str, tuple[Entry, ...]])
    """The rows by :func:`unit_key`, in order of their days."""

    def resolve(self, unit: str, on: dt.date) -> Entry | None:
        """Return what holds for a unit, as a mail names it, on a day; None when the map does not know it then."""
        return next((entry for entry in self.units.get(unit_key(unit), ()) if entry.holds(on)), None)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Return the rows in the order of the file."""
        return tuple(sorted((entry for rows in self.units.values() for entry in rows), key=lambda entry: entry.line))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitMap:
    """A whole map, perhaps of several sites."""

    file: str
    columns: tuple[str, ...]
    sites: Mapping[str, Directory]
    """By :func:`unit_key` of the location; under the empty text where the map names none."""
    has_locations: bool

    def of(self, location: str) -> Directory:
        """Return the units of a site; an empty directory where the map has rows of other sites only."""
        found = self.sites.get(unit_key(location) if self.has_locations else "")
        return found or Directory(file=self.file, columns=self.columns)


def unit_key(text: str) -> str:
    """Return what two spellings of a unit share: the normal form of values, in one case."""
    return normal(normal(text).casefold())


def read_unit_map(text: str, *, file: str = "units.csv") -> UnitMap:
    """Return the map that a CSV text holds; raise MapErrors with every fault of it."""
    sheet = read_sheet(text, file=file)
    return _MapReader(sheet).read()


def read_sheet(text: str, *, file: str = "units.csv") -> Sheet:
    """Return a CSV text (`,` or `;`) as rows of cells; raise MapErrors for what is no CSV, or is too long."""
    import csv  # only a mailbox with a map pays for it
    from io import StringIO

    text = text.removeprefix("\ufeff")
    delimiter = _delimiter(text)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    end = 0
    try:
        for cells in reader:
            line, end = end + 1, reader.line_num
            if any(cell.strip() for cell in cells):
                rows.append(Row(line=line, end=end, cells=tuple(cells)))
            if len(rows) > MAX_ROWS + 1:
                raise MapErrors([MapFault(file=file, line=line, message=f"more than {MAX_ROWS:,} rows")])
    except csv.Error as error:
        raise MapErrors([MapFault(file=file, line=end + 1, message=f"not CSV: {error}")]) from error
    if not rows:
        raise MapErrors([MapFault(file=file, line=1, message=f"empty: the first line is {','.join(NEEDED)}")])
    header = tuple(cell.strip() for cell in rows[0].cells)
    return Sheet(file=file, delimiter=delimiter, header=header, rows=tuple(rows[1:]))


def _delimiter(text: str) -> str:
    """Return what parts the cells of the first line."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return ";" if first.count(";") > first.count(",") else ","


_Read: TypeAlias = tuple[str, Entry]
"""A row, and the key of its site."""


class _MapReader:
    """Reads the rows of one sheet; a fault is noted, so that one run shows them all."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._faults: list[MapFault] = []
        self._has_locations = LOCATION in sheet.header

    def read(self) -> UnitMap:
        columns = self._own_columns()
        if self._faults:
            raise MapErrors(self._faults)
        rows = [found for row in self._sheet.rows if (found := self._entry(row, columns))]
        self._check_units(rows)
        self._check_ids(rows)
        if self._faults:
            raise MapErrors(sorted(self._faults, key=lambda fault: fault.line))
        sites: dict[str, dict[str, list[Entry]]] = {}
        for site, entry in rows:
            sites.setdefault(site, {}).setdefault(unit_key(entry.unit), []).append(entry)
        file = self._sheet.file
        return UnitMap(
            file=file,
            columns=columns,
            has_locations=self._has_locations,
            sites={
                site: Directory(file=file, columns=columns, units=_in_order(units)) for site, units in sites.items()
            },
        )

    def _fault(self, line: int, message: str) -> None:
        self._faults.append(MapFault(file=self._sheet.file, line=line, message=message))

    def _own_columns(self) -> tuple[str, ...]:
        header = self._sheet.header
        line = 1
        for needed in NEEDED:
            if needed not in header:
                near = nearest(needed, header)
                hint = f" (is it `{near}`?)" if near and near not in NEEDED else ""
                self._fault(line, f"the column `{needed}` is missing{hint}")
        seen: set[str] = set()
        own: list[str] = []
        for name in header:
            if not name:
                self._fault(line, "a column has no name")
            elif name.casefold() in seen:
                self._fault(line, f"the column `{name}` stands twice")
            elif name in NEEDED or name == LOCATION:
                pass
            elif name.casefold() in RESERVED:
                self._fault(line, f"the column `{name}` takes the name of something else: call it otherwise")
            else:
                own.append(name)
            seen.add(name.casefold())
        return tuple(own)

    def _entry(self, row: Row, columns: tuple[str, ...]) -> _Read | None:
        """Return a row and its site; None, and a fault, for one that is not as it should be."""
        before = len(self._faults)
        if len(row.cells) > len(self._sheet.header):
            self._fault(row.line, f"{len(row.cells)} cells under {len(self._sheet.header)} columns")
        unit = self._text(row, "unit")
        crm_unit_id = self._crm_unit_id(row)
        from_on, until_on = self._day(row, "from"), self._day(row, "until")
        if from_on and until_on and from_on > until_on:
            self._fault(row.line, f"`from` {from_on} is after `until` {until_on}")
        site = unit_key(self._text(row, LOCATION)) if self._has_locations else ""
        own = {name: self._text(row, name) for name in columns}
        if len(self._faults) > before:
            return None
        return site, Entry(
            unit=unit,
            crm_unit_id=crm_unit_id,
            from_on=from_on,
            until_on=until_on,
            columns={name: value for name, value in own.items() if value},
            line=row.line,
        )

    def _text(self, row: Row, name: str) -> str:
        """Return a cell in the normal form of values."""
        cell = self._sheet.cell(row, name)
        try:
            text = normal(cell) if len(cell) <= MAX_CELL else "\ufffd"
        except Unreadable:
            text = "\ufffd"
        if "\ufffd" in text:
            self._fault(row.line, f"`{name}` is longer than {MAX_CELL} characters, or holds one that no text has")
        elif name in (*NEEDED, LOCATION) and not text:
            self._fault(row.line, f"the {name} is empty")
        return text

    def _crm_unit_id(self, row: Row) -> str:
        """Return the id as it is written: it is the destination's."""
        self._text(row, "crm_unit_id")
        crm_unit_id = self._sheet.cell(row, "crm_unit_id")
        if not crm_unit_id.isprintable():
            self._fault(row.line, "the crm_unit_id holds a character that cannot be printed")
        elif any(segment in (".", "..") for segment in crm_unit_id.split("/")):
            self._fault(row.line, "the crm_unit_id holds a path segment of dots")
        return crm_unit_id

    def _day(self, row: Row, name: str) -> dt.date | None:
        text = self._sheet.cell(row, name)
        try:
            if text and not _ISO_DAY.fullmatch(text):
                raise ValueError("not as we write it")
            return dt.date.fromisoformat(text) if text else None
        except ValueError:
            self._fault(row.line, f"`{name}` is not a date: write one like 2026-05-31")
            return None

    def _check_units(self, rows: list[_Read]) -> None:
        """Refuse two rows of one unit that overlap, and two spellings of one unit."""
        spelled: dict[tuple[str, str], Entry] = {}
        for site, entry in rows:
            first = spelled.setdefault((site, unit_key(entry.unit)), entry)
            if first.unit != entry.unit:
                line = f"`{entry.unit}` is the unit `{first.unit}` of line {first.line}: write it in one way"
                self._fault(entry.line, line)
        for one, other in _overlapping(rows, lambda site, entry: (site, unit_key(entry.unit))):
            first, second = sorted((one[1], other[1]), key=lambda entry: entry.line)
            self._fault(second.line, f"the unit `{second.unit}` stands in line {first.line} for the same days")

    def _check_ids(self, rows: list[_Read]) -> None:
        """Refuse one id for two units at one time."""
        for one, other in _overlapping(rows, lambda _site, entry: ("", entry.crm_unit_id)):
            first, second = sorted((one[1], other[1]), key=lambda entry: entry.line)
            if (one[0], unit_key(first.unit)) != (other[0], unit_key(second.unit)):
                line = f"`{second.crm_unit_id}` is the id of the unit `{first.unit}` in line {first.line}, too"
                self._fault(second.line, f"{line}, for the same days")


def _overlapping(rows: list[_Read], key: Callable[[str, Entry], tuple[str, str]]) -> Iterator[tuple[_Read, _Read]]:
    """Yield rows of one key that speak of one day, each with one that it overlaps."""
    groups: dict[tuple[str, str], list[_Read]] = {}
    for site, entry in rows:
        groups.setdefault(key(site, entry), []).append((site, entry))
    for group in groups.values():
        longest: _Read | None = None
        for row in sorted(group, key=lambda row: (_first(row[1]), row[1].line)) if len(group) > 1 else ():
            if longest is not None and _first(row[1]) <= _last(longest[1]):
                yield longest, row
            if longest is None or _last(row[1]) > _last(longest[1]):
                longest = row


def _in_order(units: Mapping[str, list[Entry]]) -> dict[str, tuple[Entry, ...]]:
    return {key: tuple(sorted(rows, key=_first)) for key, rows in units.items()}


def _first(entry: Entry) -> dt.date:
    return entry.from_on or dt.date.min


def _last(entry: Entry) -> dt.date:
    return entry.until_on or dt.date.max
