"""The events: store what mails, people and other programs tell, each once."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers.events import Event, Kind, canonical
from worker.order import Hold, State, Urgency, urgency
from worker.store.lanes import INSERTS, LaneKey, fingerprint, lock_lanes, move_events, wake
from worker.store.tables import events, lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One event as it is told, where it belongs, and the state in which it begins."""

    event: Event
    mail_id: str | None
    """None when a person or another program tells it."""
    company: str
    mailbox: str
    location: str
    destination: str
    timezone: str
    rule_set: str
    received_at: dt.datetime
    state: State = State.WAITING
    reason: str | None = None
    detail: str | None = None
    author: str | None = None
    reinstates: bool = False
    """Whether it brings back an event that was withdrawn: a replay does, a mail that comes again does not."""

    @property
    def key(self) -> LaneKey:
        return (self.destination, self.event.crm_unit_id)

    @property
    def mark(self) -> str:
        return fingerprint(self.event.kind, canonical(self.event.body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a telling."""

    event_id: int
    key: LaneKey
    is_new: bool
    """False: it was known."""
    matters: bool
    """Whether its unit has to be looked at."""


def store_events(connection: Connection, tellings: Sequence[Telling], *, now: dt.datetime) -> list[Stored]:
    """Store events, each once, and make the lanes due that they matter to. An event without a unit gets no lane."""
    _open_lanes(connection, tellings, now)
    stored = [_store(connection, telling, now) for telling in tellings]
    _pair_transfers(connection, tellings, stored)
    urgent: dict[LaneKey, Urgency] = {}
    for telling, one in zip(tellings, stored, strict=True):
        if one.matters:
            its = urgency(telling.event.kind, telling.event.body)
            urgent[one.key] = min(its, urgent.get(one.key, its))
    for key, its in urgent.items():
        wake(connection, key, now=now, urgency=its)
    return stored


def _store(connection: Connection, telling: Telling, now: dt.datetime) -> Stored:
    """Store an event, or take over what a repetition says of its moment, so that arrival cannot matter."""
    event = telling.event
    inserted = connection.execute(_NEW[connection.dialect.name], _columns(telling, now)).scalar()
    has_lane = bool(event.crm_unit_id)
    if inserted is not None:
        matters = has_lane and telling.state is State.WAITING
        return Stored(event_id=inserted, key=telling.key, is_new=True, matters=matters)
    row = connection.execute(
        sa.select(events).where(
            events.c.company == telling.company,
            events.c.identity == event.identity,
            events.c.fingerprint == telling.mark,
        )
    ).one()
    if has_lane and not row.crm_unit_id:  # its unit is known by now
        found = {"crm_unit_id": event.crm_unit_id, "unit": event.unit, "columns": dict(event.columns)}
        connection.execute(events.update().where(events.c.id == row.id).values(**found))
        if row.state == State.HELD:
            move_events(connection, {row.id: (telling.state, telling.reason)}, now=now, detail=telling.detail)
        return Stored(event_id=row.id, key=telling.key, is_new=True, matters=telling.state is State.WAITING)
    is_back = telling.reinstates and row.state == State.WITHDRAWN
    if is_back:
        move_events(connection, {row.id: (telling.state, telling.reason)}, now=now, detail="told again by a replay")
    changed = _tell_again(connection, telling, row, now)
    return Stored(event_id=row.id, key=telling.key, is_new=is_back, matters=has_lane and (is_back or changed))


def _columns(telling: Telling, now: dt.datetime) -> dict[str, Any]:
    event = telling.event
    begins = event.kind in (Kind.MOVE_IN, Kind.SNAPSHOT)
    return {
        "mail_id": telling.mail_id,
        "position": event.position,
        "company": telling.company,
        "mailbox": telling.mailbox,
        "destination": telling.destination,
        "crm_unit_id": event.crm_unit_id,
        "unit": event.unit,
        "kind": event.kind,
        "effective_at": event.effective_at,
        "mailed_at": event.mailed_at,
        "told_at": event.mailed_at,
        "identity": event.identity,
        "body": dict(event.body),
        "fingerprint": telling.mark,
        "expect": dict(event.expect),
        "on_date": event.on.isoformat() if event.on else None,
        "timezone": telling.timezone,
        "rule": event.rule,
        "rule_set": telling.rule_set,
        "state": telling.state,
        "reason": telling.reason,
        "detail": telling.detail,
        "created_at": now,
        "received_at": telling.received_at,
        "tenant_id": event.body.get("pms_tenant_id") if begins else event.tenancy.get("pms_tenant_id"),
        "ledger_id": event.body.get("ledger_id") if begins else event.tenancy.get("ledger_id"),
        "author": telling.author,
        "columns": dict(event.columns),
    }


def _tell_again(connection: Connection, telling: Telling, row: Row[Any], now: dt.datetime) -> bool:
    """Take over what a repetition says of the moment; return whether the unit has to be looked at.

    An event that was held for its clock alone is let go by a telling that has a sound one.
    """
    event, is_let_in = telling.event, telling.state is State.WAITING
    values: dict[str, Any] = {}
    if (event.effective_at, event.mailed_at) < (row.effective_at, row.mailed_at):
        values |= {"effective_at": event.effective_at, "mailed_at": event.mailed_at}
    if event.mailed_at > row.told_at and is_let_in:
        values["told_at"] = event.mailed_at
    if (row.state, row.reason) == (State.HELD, Hold.CLOCK) and is_let_in:
        values |= {"effective_at": event.effective_at, "mailed_at": event.mailed_at, "told_at": event.mailed_at}
        move_events(connection, {row.id: (State.WAITING, None)}, now=now)
    if values:
        connection.execute(events.update().where(events.c.id == row.id).values(**values))
    return bool(values)


def _pair_transfers(connection: Connection, tellings: Sequence[Telling], stored: Sequence[Stored]) -> None:
    """Make each move-out wait for the move-in of the same tenant elsewhere that the same mail tells before it."""
    arrivals: dict[tuple[str | None, str], tuple[int, LaneKey]] = {}
    for telling, one in sorted(zip(tellings, stored, strict=True), key=lambda pair: pair[0].event.position):
        event = telling.event
        if event.kind is Kind.MOVE_IN:
            arrivals[telling.mail_id, str(event.body.get("pms_tenant_id"))] = (one.event_id, one.key)
        elif event.kind is Kind.MOVE_OUT and one.is_new and "pms_tenant_id" in event.expect:
            first = arrivals.get((telling.mail_id, event.expect["pms_tenant_id"]))
            if first is not None and first[1] != one.key:
                connection.execute(events.update().where(events.c.id == one.event_id).values(after_id=first[0]))


def _open_lanes(connection: Connection, tellings: Sequence[Telling], now: dt.datetime) -> None:
    """Make the lanes of the units, and lock them in the order that everybody keeps."""
    first: dict[LaneKey, Telling] = {}
    for telling in tellings:
        if telling.event.crm_unit_id:
            first.setdefault(telling.key, telling)
    for key in sorted(first):
        telling = first[key]
        row = {
            "destination": key[0],
            "crm_unit_id": key[1],
            "company": telling.company,
            "unit": telling.event.unit,
            "location": telling.location,
            "shown": {},
            "updated_at": now,
            "lease_token": 0,
            "tries": 0,
            "columns": dict(telling.event.columns),
        }
        statements = _TOLD_LANE if telling.event.columns else _NEW_LANE
        connection.execute(statements[connection.dialect.name], row)
    lock_lanes(connection, sorted(first))


def _told_lane(insert: Any) -> Any:
    statement = insert(lanes)
    one = [lanes.c.destination, lanes.c.crm_unit_id]
    return statement.on_conflict_do_update(index_elements=one, set_={"columns": statement.excluded["columns"]})


# Statements that every mail makes are built once: building one costs more than SQLite takes for it.
_NEW = {name: insert(events).on_conflict_do_nothing().returning(events.c.id) for name, insert in INSERTS.items()}
_NEW_LANE = {name: insert(lanes).on_conflict_do_nothing() for name, insert in INSERTS.items()}
_TOLD_LANE = {name: _told_lane(insert) for name, insert in INSERTS.items()}
