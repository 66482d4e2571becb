"""Change a unit map: rename a unit from a day on, draft rows for units, put the file in place whole or not at all.

What is not changed stays as it is written: its lines, delimiter, line ends, byte order mark and foreign columns.
"""

import csv
import datetime as dt
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from parsers.directory import LOCATION, NEEDED, Directory, MapErrors, Row, Sheet, read_sheet, read_unit_map, unit_key
from parsers.errors import nearest
from parsers.text import normal

FIRST_YEAR = 1900
_BOM = "\ufeff"


class CannotChange(Exception):
    """The map cannot be changed so; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of a map: as it was (None: it is new), and as it will be."""

    line: int
    before: str | None
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A map as it will be."""

    text: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUnit:
    """A unit that a map lacks, and the id that it would get."""

    unit: str
    crm_unit_id: str


def rename_unit(text: str, *, file: str, location: str, old: str, new: str, on: dt.date) -> Changed:
    """Return a map in which a unit is called otherwise from a day on, with the same id and columns.

    The row of the old name ends the day before. Where it begins on that very day, it takes the new name as it stands.

    Raises:
        MapErrors: the map is broken as it is.
        CannotChange: no row speaks of the old name on that day, or the new name or its days are taken.
    """
    units = read_unit_map(text, file=file).of(location)
    if unit_key(old) == unit_key(new):
        raise CannotChange(f"`{old}` and `{new}` are one unit to us: case and spacing do not count")
    if on.year < FIRST_YEAR:
        raise CannotChange(f"{on} is before {FIRST_YEAR}")
    entry = units.resolve(old, on)
    if entry is None:
        raise CannotChange(_why_not_there(units, file, old, on))
    sheet = read_sheet(text, file=file)
    row = next(row for row in sheet.rows if row.line == entry.line)
    lines = _Lines(text)
    renamed = _with(sheet, row, {"unit": normal(new), "from": on.isoformat()})
    if entry.from_on == on:
        changes = [lines.put(row, renamed)]
    else:
        ended = _with(sheet, row, {"until": (on - dt.timedelta(days=1)).isoformat()})
        changes = [lines.put(row, ended), lines.add(row, renamed)]
    return _checked(lines.text, changes, file)


def add_units(
    text: str | None, units: Iterable[NewUnit], *, file: str, location: str, with_location: bool = False
) -> Changed:
    """Return a map with rows for further units at its end, open at both ends; ``text`` None: a new map.

    ``with_location``: a new map gets the column `location`.
    """
    if text is None:
        text = ",".join((*NEEDED, LOCATION) if with_location else NEEDED) + "\n"
    sheet = read_sheet(text, file=file)
    lines = _Lines(text)
    header = Row(line=0, end=0, cells=("",) * len(sheet.header))
    values = {LOCATION: location} if LOCATION in sheet.header else {}
    changes = [
        lines.append(_with(sheet, header, {**values, "unit": one.unit, "crm_unit_id": one.crm_unit_id}))
        for one in units
    ]
    return _checked(lines.text, changes, file)


def _why_not_there(units: Directory, file: str, old: str, on: dt.date) -> str:
    rows = units.units.get(unit_key(old), ())
    if rows:
        places = ", ".join(str(entry.line) for entry in rows)
        return f"{file} knows {old} on other days than {on}: see line {places}"
    near = nearest(old, (entry.unit for entry in units.entries))
    return f"{file} has no unit {old}" + (f" (did you mean `{near}`?)" if near else "")


def _checked(text: str, changes: Sequence[Change], file: str) -> Changed:
    try:
        read_unit_map(text, file=file)
    except MapErrors as errors:
        raise CannotChange(f"the map would not load with it: {errors}") from errors
    return Changed(text=text, changes=tuple(changes))


def _with(sheet: Sheet, row: Row, values: dict[str, str]) -> str:
    """Return a row with other values in some columns, as a line without its end."""
    cells = [*row.cells, *[""] * (len(sheet.header) - len(row.cells))]
    for name, value in values.items():
        cells[sheet.header.index(name)] = value
    out = StringIO(newline="")
    csv.writer(out, delimiter=sheet.delimiter, lineterminator="\r\n").writerow(cells)  # cells with these are quoted
    return out.getvalue().removesuffix("\r\n")


class _Lines:
    """The lines of a text, each with its end, as they are written."""

    def __init__(self, text: str) -> None:
        self._bom = text[: text.startswith(_BOM)]
        self._lines = list(StringIO(text.removeprefix(_BOM), newline=""))
        first = self._lines[0]
        self._end = first[len(first.rstrip("\r\n")) :] or "\n"

    @property
    def text(self) -> str:
        return self._bom + "".join(self._lines)

    def put(self, row: Row, line: str) -> Change:
        """Put a line in the place of a row."""
        before = "".join(self._lines[row.line - 1 : row.end])
        bare = before.rstrip("\r\n")
        self._lines[row.line - 1 : row.end] = [line + before[len(bare) :]]
        return Change(line=row.line, before=bare, after=line)

    def add(self, row: Row, line: str) -> Change:
        """Put a line below the one that stands in the place of a row."""
        self._end_line(row.line - 1)
        self._lines.insert(row.line, line + self._end)
        return Change(line=row.end + 1, before=None, after=line)

    def append(self, line: str) -> Change:
        """Put a line at the end."""
        self._end_line(len(self._lines) - 1)
        self._lines.append(line + self._end)
        return Change(line=len(self._lines), before=None, after=line)

    def _end_line(self, place: int) -> None:
        if not self._lines[place].endswith(("\n", "\r")):
            self._lines[place] += self._end


def put_file(path: Path, before: bytes | None, after: bytes) -> None:
    """Put a file in place of another, whole or not at all; ``before`` None: there is none yet.

    Raises:
        CannotChange: another hand changed it meanwhile, or the folder cannot be written to.
    """
    path = path.resolve()
    draft: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as out:
            draft = Path(out.name)
            out.write(after)
            out.flush()
            os.fchmod(out.fileno(), path.stat().st_mode & 0o777 if path.exists() else 0o644)
            os.fsync(out.fileno())
        if (path.read_bytes() if path.exists() else None) != before:
            raise CannotChange(f"{path} was changed meanwhile; look at it and try again")
        draft.replace(path)
        draft = None
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise CannotChange(f"{path} cannot be written: {error.strerror}") from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)
