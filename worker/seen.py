"""The units that mails have named: what a unit map lacks of them, what it has beside them, a map drafted from them."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from parsers.directory import Directory, Entry, UnitMap, read_unit_map, unit_key
from parsers.template import template
from worker import directory
from worker.order import State
from worker.settings import Mailbox
from worker.store.database import Database
from worker.store.tables import events, lanes
from worker.unitmap import Changed, NewUnit, add_units


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenUnit:
    """A unit as mails have named it."""

    unit: str
    crm_unit_id: str
    """By the last event that had one; empty when none had."""
    last_on: dt.date | None
    """The day of its last event, in the site's calendar; None when its events are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A unit that gets no row by itself, and why."""

    unit: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A map as it could be."""

    file: Path
    before: bytes | None
    """What the file holds now; None: it is not there."""
    kept: int
    """How many rows of the site were there already."""
    rows: tuple[NewUnit, ...]
    left: tuple[LeftOut, ...]
    changed: Changed


def units_seen(db: Database, mailbox: Mailbox) -> list[SeenUnit]:
    """Return the units of a mailbox's events and of its site's lanes, in order of their names."""
    by = (events.c.unit, events.c.crm_unit_id, events.c.on_date, events.c.timezone)
    told = (
        sa.select(*by, sa.func.max(events.c.effective_at).label("last_at"))
        .where(events.c.mailbox == mailbox.address, events.c.state.not_in([State.DISCARDED, State.WITHDRAWN]))
        .group_by(*by)
    )
    kept = sa.select(lanes.c.unit, lanes.c.crm_unit_id).where(
        lanes.c.destination == mailbox.destination,
        lanes.c.company == mailbox.company,
        lanes.c.location == mailbox.location,
    )
    found: dict[str, SeenUnit] = {}
    with db.read() as connection:
        for row in connection.execute(told):
            local = row.last_at.astimezone(ZoneInfo(row.timezone)).date()
            on = dt.date.fromisoformat(row.on_date) if row.on_date else local
            _note(found, SeenUnit(unit=row.unit, crm_unit_id=row.crm_unit_id, last_on=on))
        for row in connection.execute(kept):
            _note(found, SeenUnit(unit=row.unit, crm_unit_id=row.crm_unit_id, last_on=None))
    return [found[key] for key in sorted(found)]


def _note(found: dict[str, SeenUnit], seen: SeenUnit) -> None:
    """Keep what is newest of a unit."""
    key = unit_key(seen.unit)
    newer, older = seen, found.get(key)
    if older is not None and (newer.last_on or dt.date.min) <= (older.last_on or dt.date.min):
        newer, older = older, newer
    crm_unit_id = newer.crm_unit_id or (older.crm_unit_id if older else "")
    found[key] = SeenUnit(unit=newer.unit, crm_unit_id=crm_unit_id, last_on=newer.last_on)


def find_lacking(seen: Iterable[SeenUnit], units: Directory, *, today: dt.date) -> list[SeenUnit]:
    """Return the units that a map does not know on the day when they were told of last."""
    return [one for one in seen if units.resolve(one.unit, one.last_on or today) is None]


def find_unseen(seen: Iterable[SeenUnit], units: Directory) -> list[Entry]:
    """Return the rows of a map whose unit no mail has named."""
    named = {unit_key(one.unit) for one in seen}
    return [entry for entry in units.entries if unit_key(entry.unit) not in named]


def draft_map(db: Database, mailbox: Mailbox, file: Path, *, is_shared: bool, today: dt.date) -> Draft:
    """Return the map of a mailbox with rows for the units that it lacks; a new one where there is none.

    ``file``: what would be written; where it is not there, the draft begins with the mailbox's own map.
    ``is_shared``: mailboxes of other sites read the map, too, so that it needs the column `location`.

    Raises:
        MapErrors: the map is broken as it is.
    """
    base = next((path for path in (file, mailbox.unit_map) if path and path.exists()), None)
    raw = directory.read_map_bytes(base) if base else None
    text = directory.decode_map(raw, base) if base and raw is not None else None
    known = read_unit_map(text, file=str(base)) if text is not None else None
    mine = known.of(mailbox.location) if known else Directory()
    missing = find_lacking(units_seen(db, mailbox), mine, today=today)
    rows, left = _draft_rows(missing, mine, known, mailbox)
    changed = add_units(text, rows, file=str(file), location=mailbox.location, with_location=is_shared)
    before = raw if base == file else None
    return Draft(file=file, before=before, kept=len(mine.entries), rows=tuple(rows), left=tuple(left), changed=changed)


def _draft_rows(
    missing: Iterable[SeenUnit], mine: Directory, known: UnitMap | None, mailbox: Mailbox
) -> tuple[list[NewUnit], list[LeftOut]]:
    """Return rows for the units that a map lacks, and those that a person has to place.

    A unit gets the id that it had so far, else that of the mailbox's template.
    """
    sites = known.sites.values() if known else ()
    taken = {entry.crm_unit_id: f"{entry.unit} in line {entry.line}" for site in sites for entry in site.entries}
    rows: list[NewUnit] = []
    left: list[LeftOut] = []
    for one in missing:
        names = {"location": mailbox.location, "unit": one.unit}
        crm_unit_id = one.crm_unit_id or template(mailbox.unit_id).fill(names)
        if on_other_days := mine.units.get(unit_key(one.unit)):
            lines = ", ".join(str(entry.line) for entry in on_other_days)
            left.append(LeftOut(unit=one.unit, why=f"the map knows it on other days than {one.last_on}: line {lines}"))
        elif crm_unit_id in taken:
            left.append(
                LeftOut(unit=one.unit, why=f"its id `{crm_unit_id}` would be that of {taken[crm_unit_id]}, too")
            )
        else:
            taken[crm_unit_id] = one.unit
            rows.append(NewUnit(unit=one.unit, crm_unit_id=crm_unit_id))
    return rows, left
