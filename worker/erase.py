"""Erase: remove what is kept of a resident, and leave units, order and keys as they are.

Ids of tenants and ledgers become marks that mean nothing (``erased-`` and chance), the same mark wherever the same id
stood, so that the fold of a unit and what it shows stay equal and nothing is sent. Identities, fingerprints and keys
are digests, and stay: a mail that comes again is still known. See ``docs/decisions``.
"""

import contextlib
import datetime as dt
import re
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers.events import IDS, Kind, canonical
from worker.actions import CannotDo, note
from worker.guard import ERASED_ID, is_erased
from worker.order import State, begins_tenancy
from worker.store import lanes as lane_store
from worker.store.database import BUSY_TIMEOUT_S, Database
from worker.store.lanes import LaneKey
from worker.store.mails import MailState
from worker.store.tables import calls, events, lanes, mails, past_readings, readings
from worker.views import NotThere
from worker.wipe import Marks, Wipe

SHORTEST = 4
"""Letters of a word by which mails without events are found; shorter ones stand in too many texts."""
UNSETTLED = (State.WAITING, State.UNCERTAIN)
AT_ONCE = 400
"""Parameters of one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whose data: that of one tenant, or of all who had one unit."""

    tenant: str | None = None
    unit: str | None = None
    company: str | None = None
    """Needed where several companies have such a tenant or unit."""
    texts: Sequence[str] = ()
    """Further words by which mails without events are found: a name, a phone number, an address."""


@dataclass(slots=True, kw_only=True)
class Found:
    """What is kept of somebody."""

    company: str
    keys: list[LaneKey]
    events: list[Row[Any]]
    mails: list[Row[Any]]
    by_text: list[str] = field(default_factory=list[str])
    """Mails that have no event of theirs: found by their words."""
    obstacles: list[str] = field(default_factory=list[str])
    """Why it cannot be erased now."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, without any word of the resident."""
        return {
            "company": self.company,
            "units": [key[1] for key in self.keys],
            "events": [event.id for event in self.events],
            "mails": [mail.id for mail in self.mails],
            "by_text": self.by_text,
            "obstacles": self.obstacles,
        }


def plan(db: Database, whose: Whose, *, mailboxes: Mapping[str, str], now: dt.datetime) -> Found:
    """Return what would be erased; nothing is changed. ``mailboxes``: company by address, as configured.

    Raises:
        NotThere: nothing is kept of such a tenant or unit.
        CannotDo: several companies, or several units, have that name.
    """
    with db.read() as connection:
        return _find(connection, whose, mailboxes, now)


def erase(
    db: Database, whose: Whose, *, mailboxes: Mapping[str, str], actor: str, reason: str, now: dt.datetime
) -> dict[str, Any]:
    """Erase what is kept of a tenant or of those who had a unit; return counts, and the marks that stand instead.

    Raises:
        NotThere: nothing is kept of such a tenant or unit.
        CannotDo: it is not clear who is meant, or something of it is under way; the message says what.
    """
    with db.write() as connection:
        lane_store.lock_lanes(connection, _find(connection, whose, mailboxes, now).keys)
        found = _find(connection, whose, mailboxes, now)
        if found.obstacles:
            raise CannotDo("not now: " + "; ".join(found.obstacles))
        held = {event.id: (State.DISCARDED, None) for event in found.events if event.state == State.HELD}
        marks = _marks(found.events)
        wipe = Wipe(connection, keys=found.keys, events=found.events, mails=found.mails, marks=marks, texts=whose.texts)
        lane_store.move_events(connection, held, now=now)
        counts = wipe.everything(now=now)
        subject = f"unit {whose.unit}" if whose.unit is not None else "tenant " + ", ".join(sorted(marks.ids.values()))
        told = ", ".join(f"{many} {name}" for name, many in counts.items() if many)
        said = f"{told}: {wipe.scrub(reason)}"
        note(connection, actor=actor, action="erase", subject=subject, detail=said, now=now)
    _forget_journal(db)
    return {**counts, "marks": sorted(marks.ids.values())}


def _forget_journal(db: Database) -> None:
    """Take away what SQLite's journal still holds of the pages as they were."""
    if not db.is_sqlite or not Path(str(db.url.database)).exists():
        return
    with contextlib.closing(sqlite3.connect(str(db.url.database), timeout=BUSY_TIMEOUT_S)) as connection:
        connection.execute("PRAGMA journal_mode").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version={version}")  # a write in the default mode ends with its journal gone
        connection.commit()


# -- whose it is -----------------------------------------------------------------------------------------------------


def _find(connection: Connection, whose: Whose, mailboxes: Mapping[str, str], now: dt.datetime) -> Found:
    rows = _of_unit(connection, whose) if whose.unit is not None else _of_tenant(connection, whose)
    companies = sorted({row.company for row in rows})
    if not companies:
        what = f"unit {whose.unit}" if whose.unit is not None else "such a tenant"
        raise NotThere(f"nothing is kept of {what}" + (f" of {whose.company}" if whose.company else ""))
    if len(companies) > 1:
        raise CannotDo(f"several companies have that: {', '.join(companies)}; name one with --company")
    keys = sorted({(row.destination, row.crm_unit_id) for row in rows if row.crm_unit_id})
    mine, by_text = _mails_of(connection, rows, whose, companies[0], mailboxes)
    found = Found(company=companies[0], keys=keys, events=rows, mails=mine, by_text=by_text)
    found.obstacles = _obstacles(connection, found, now)
    return found


def _of_unit(connection: Connection, whose: Whose) -> list[Row[Any]]:
    named = sa.or_(events.c.crm_unit_id == whose.unit, events.c.unit == whose.unit)
    rows = connection.execute(sa.select(events).where(named, *_of_company(whose)).order_by(events.c.id)).all()
    units = sorted({row.crm_unit_id for row in rows if row.crm_unit_id})
    if len(units) > 1 and len({row.company for row in rows}) == 1:
        raise CannotDo(f"{whose.unit} is the name of several units: {', '.join(units)}; give one of these ids")
    return list(rows)


def _of_tenant(connection: Connection, whose: Whose) -> list[Row[Any]]:
    """Return the events that name a tenant, and all of a unit from the tenant's move-in until somebody else's."""
    needle = canonical({"pms_tenant_id": whose.tenant})[1:-1]
    naming = sa.or_(
        events.c.tenant_id == whose.tenant,
        *(
            sa.type_coerce(column, sa.Text).contains(needle, autoescape=True)
            for column in (events.c.body, events.c.expect)
        ),
    )
    named = connection.execute(sa.select(events).where(naming, *_of_company(whose)).order_by(events.c.id)).all()
    found = {row.id: row for row in named}
    for key in dict.fromkeys((row.company, row.destination, row.crm_unit_id) for row in named if row.crm_unit_id):
        rows = connection.execute(
            sa.select(events).where(
                events.c.company == key[0], events.c.destination == key[1], events.c.crm_unit_id == key[2]
            )
        ).all()
        found |= {row.id: row for row in _during(sorted(rows, key=_moment), str(whose.tenant))}
    return [found[event_id] for event_id in sorted(found)]


def _during(rows: Iterable[Row[Any]], tenant: str) -> list[Row[Any]]:
    """Return those of a unit's events, in moment order, that belong to a tenant's time there.

    A time goes from one move-in to the next; of the first, which may have begun before any event, those who are
    named by its events have it.
    """
    times: list[list[Row[Any]]] = [[]]
    for row in rows:
        if begins_tenancy(lane_store.unit_event(row)):
            times.append([])
        times[-1].append(row)
    return [row for time in times if any(_names(row, tenant) for row in time) for row in time]


def _names(row: Row[Any], tenant: str) -> bool:
    return tenant in (row.tenant_id, row.body.get("pms_tenant_id"), row.expect.get("pms_tenant_id"))


def _moment(row: Row[Any]) -> Any:
    return lane_store.unit_event(row).moment


def _of_company(whose: Whose) -> list[sa.ColumnElement[bool]]:
    return [events.c.company == whose.company] if whose.company is not None else []


def _mails_of(
    connection: Connection, rows: Sequence[Row[Any]], whose: Whose, company: str, mailboxes: Mapping[str, str]
) -> tuple[list[Row[Any]], list[str]]:
    """Return the mails of events, those that repeat them, those that share bytes, and those found by their words."""
    own = {row.mail_id for row in rows if row.mail_id}
    boxes = {address for address, of in mailboxes.items() if of == company} | {row.mailbox for row in rows}
    repeats = _telling(connection, [row.identity for row in rows], boxes)
    words = [word for word in (whose.tenant, *whose.texts) if word and len(word) >= SHORTEST]
    by_text = _saying(connection, words, boxes) - own - repeats
    found = _load(connection, own | repeats | by_text)
    digests = {mail.digest for mail in found if mail.digest}
    twins = _ids(connection, mails.c.digest, digests, mails.c.mailbox.in_(boxes))
    shared = _ids(connection, mails.c.body_id, {mail.body_id for mail in found})
    return _load(connection, {mail.id for mail in found} | twins | shared), sorted(by_text)


def _telling(connection: Connection, identities: Sequence[str], boxes: Collection[str]) -> set[str]:
    """Return the mails whose reading names one of these identities."""
    return _ids_by_reading(connection, identities, boxes)


def _saying(connection: Connection, words: Sequence[str], boxes: Collection[str]) -> set[str]:
    """Return the mails without events whose reading, subject or sender has one of these words."""
    if not words:
        return set()
    found = _ids_by_reading(connection, words, boxes)
    heads = (mails.c.subject, mails.c.from_address, mails.c.detail)
    said = sa.or_(*(column.icontains(word, autoescape=True) for word in words for column in heads))
    found |= set(connection.execute(sa.select(mails.c.id).where(said, mails.c.mailbox.in_(boxes))).scalars())
    whole = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.IGNORECASE)
    with_events = sa.exists().where(events.c.mail_id == mails.c.id)
    return {
        row.id
        for ids in _parts(found)
        for row in connection.execute(sa.select(mails).where(mails.c.id.in_(ids), ~with_events))
        if whole.search(_text_of(connection, row))
    }


def _text_of(connection: Connection, mail: Row[Any]) -> str:
    reading = connection.execute(sa.select(readings.c.reading).where(readings.c.mail_id == mail.id)).scalar()
    return f"{mail.subject} {mail.from_address} {mail.detail} {canonical(reading or {})}"


def _ids_by_reading(connection: Connection, words: Sequence[str], boxes: Collection[str]) -> set[str]:
    found: set[str] = set()
    for part in _parts(dict.fromkeys(words), 50):
        for table in (readings, past_readings):
            text = sa.type_coerce(table.c.reading, sa.Text)
            said = sa.or_(*(text.icontains(word, autoescape=True) for word in part))
            statement = sa.select(mails.c.id).join(table, table.c.mail_id == mails.c.id)
            found |= set(connection.execute(statement.where(said, mails.c.mailbox.in_(boxes))).scalars())
    return found


def _load(connection: Connection, ids: Collection[str]) -> list[Row[Any]]:
    return [
        row
        for part in _parts(sorted(ids))
        for row in connection.execute(sa.select(mails).where(mails.c.id.in_(part)).order_by(mails.c.id))
    ]


def _ids(
    connection: Connection, column: sa.ColumnElement[str], values: Collection[str], *more: sa.ColumnElement[bool]
) -> set[str]:
    return {
        mail_id
        for part in _parts(sorted(values))
        for mail_id in connection.execute(sa.select(mails.c.id).where(column.in_(part), *more)).scalars()
    }


def _parts(items: Iterable[str], size: int = AT_ONCE) -> Iterable[list[str]]:
    listed = list(items)
    return [listed[start : start + size] for start in range(0, len(listed), size)]


def _obstacles(connection: Connection, found: Found, now: dt.datetime) -> list[str]:
    """Return what of it is under way: nothing is taken out of the machine's hands."""
    said = [
        f"event {event.id} of {event.crm_unit_id or event.unit} is {event.state}; let it settle, or undo it"
        for event in found.events
        if event.state in UNSETTLED
    ]
    said += [f"mail {mail.id} is not read yet" for mail in found.mails if mail.state == MailState.NEW]
    for key in found.keys:
        its = (lanes.c.destination == key[0], lanes.c.crm_unit_id == key[1])
        busy = sa.select(lanes.c.crm_unit_id).where(*its, lanes.c.lease_until > now)
        sent = sa.select(calls.c.id).where(
            calls.c.destination == key[0], calls.c.crm_unit_id == key[1], calls.c.state == "open"
        )
        if connection.execute(busy).first() is not None:
            said.append(f"{key[1]} is being worked on; try again in a moment")
        said += [f"call {call_id} of {key[1]} is open" for call_id in connection.execute(sent).scalars()]
    return said


def _marks(rows: Iterable[Row[Any]]) -> Marks:
    """Return what stands instead of each id of a tenant or ledger, and the words of status to take out."""
    ids: dict[str, str] = {}
    statuses: set[str] = set()
    for row in rows:
        stated = [values.get(name) for values in (row.body, row.expect) for name in IDS]
        for value in (*stated, row.tenant_id, row.ledger_id):
            if value and not is_erased(value) and value not in ids:
                ids[value] = ERASED_ID + secrets.token_hex(6)
        if row.kind != Kind.MOVE_OUT and row.body.get("pms_status_raw"):
            statuses.add(row.body["pms_status_raw"])
    return Marks(ids=ids, statuses=frozenset(statuses))
