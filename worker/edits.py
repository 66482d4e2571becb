"""What people do with events: release, edit, discard, add. Each takes an actor and leaves an audit row."""

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers.events import FACTS, TENANCY, Event, Kind, Value, canonical
from worker.actions import CannotDo, note
from worker.order import State
from worker.store import lanes as lane_store
from worker.store.database import Database
from worker.store.events import Telling, store_events
from worker.store.lanes import lock_lanes, move_events, wake
from worker.store.tables import events, lanes
from worker.units.fields import FACT_CHECKS, TENANCY_CHECKS, Invalid, flag, read_fields
from worker.views import NotThere

ADDED = "person/add"
"""The rule of an event that no mail brought."""

_NAMES_OF = {
    Kind.PATCH: FACTS,
    Kind.MOVE_IN: (*TENANCY, *FACTS),
    Kind.MOVE_OUT: FACTS,
    Kind.SNAPSHOT: ("occupied", *TENANCY, *FACTS),
}
"""What an event of each kind may say."""

MOVABLE = (State.HELD, State.REJECTED)
PAGE = 500
"""Events of an issue that are moved in one transaction."""

_CHECKS = {**FACT_CHECKS, **TENANCY_CHECKS, "occupied": flag}


def release_events(db: Database, ids: Sequence[int], *, actor: str, reason: str, now: dt.datetime) -> list[int]:
    """Let held events into the fold, or try rejected ones once more; return their ids.

    Raises:
        NotThere: no event has one of these ids.
        CannotDo: one is neither held nor rejected, or has no unit.
    """
    return _move(db, ids, State.WAITING, "event release", actor=actor, reason=reason, now=now)


def discard_events(db: Database, ids: Sequence[int], *, actor: str, reason: str, now: dt.datetime) -> list[int]:
    """Never let held or rejected events into the fold; return their ids.

    Raises:
        NotThere: no event has one of these ids.
        CannotDo: one is neither held nor rejected.
    """
    return _move(db, ids, State.DISCARDED, "event discard", actor=actor, reason=reason, now=now)


def pages_of_issue(db: Database, issue_id: int) -> Iterator[list[int]]:
    """Yield the held and rejected events of an issue, oldest first, a page at a time; each is looked for when due."""
    last = 0
    while True:
        its = sa.and_(events.c.issue_id == issue_id, events.c.id > last)
        movable = events.c.state.in_([str(state) for state in MOVABLE])
        with db.read() as connection:
            statement = sa.select(events.c.id).where(its, movable).order_by(events.c.id).limit(PAGE)
            page = list(connection.execute(statement).scalars())
        if not page:
            return
        yield page
        last = page[-1]


def _move(
    db: Database, ids: Sequence[int], state: State, action: str, *, actor: str, reason: str, now: dt.datetime
) -> list[int]:
    with db.write() as connection:
        rows = [_movable(connection, event_id) for event_id in ids]
        for row in rows:
            if state is State.WAITING and not row.crm_unit_id:
                raise CannotDo(f"event {row.id} has no unit id: give its unit a row in the unit map of {row.mailbox}")
        lock_lanes(connection, [(row.destination, row.crm_unit_id) for row in rows if row.crm_unit_id])
        said = f"{actor}: {reason}"
        move_events(connection, {row.id: (state, None) for row in rows}, now=now, detail=said)
        for row in rows:
            # The actor's word stands above the guard, and the wait for an unknown unit begins anew.
            values: dict[str, Any] = {"released_by": said, "expect": {}, "created_at": now}
            if state is State.WAITING:
                connection.execute(events.update().where(events.c.id == row.id).values(**values))
                wake(connection, (row.destination, row.crm_unit_id), now=now)
            note(connection, actor=actor, action=action, subject=str(row.id), detail=reason, now=now)
    return [row.id for row in rows]


def edit_event(db: Database, event_id: int, stated: Sequence[str], *, actor: str, reason: str, now: dt.datetime) -> int:
    """Put other values into a held or rejected event and let it in; return the id of the revision.

    ``stated``: ``FACT=VALUE``. The event as it was read stays, discarded; the revision has its identity, so that the
    same mail coming again changes nothing.

    Raises:
        NotThere: no event has this id.
        CannotDo: it is neither held nor rejected, has no unit, or a value does not fit.
    """
    with db.write() as connection:
        row = _movable(connection, event_id)
        if not row.crm_unit_id:
            raise CannotDo(f"event {event_id} has no unit id: give its unit a row in the unit map of {row.mailbox}")
        values = read_values(stated)
        strange = [name for name in values if name not in _NAMES_OF[Kind(row.kind)]]
        if strange:
            raise CannotDo(f"a {row.kind} says nothing of {', '.join(strange)}; `gatepost events add` tells it apart")
        body = {**row.body, **values}
        if lane_store.fingerprint(row.kind, canonical(body)) == row.fingerprint:
            raise CannotDo(f"event {event_id} says just that already; `gatepost events release {event_id}` lets it in")
        lock_lanes(connection, [(row.destination, row.crm_unit_id)])
        said = f"{actor}: {reason}"
        event = _event(row, Kind(row.kind), body, now)
        (stored,) = store_events(connection, [_telling(connection, row, event, actor, now)], now=now)
        changes = {"released_by": said, "expect": {}, "told_at": now}
        connection.execute(events.update().where(events.c.id == stored.event_id).values(**changes))
        discarded = {event_id: (State.DISCARDED, None)}
        move_events(connection, discarded, now=now, detail=f"edited as event {stored.event_id} by {said}")
        detail = f"as event {stored.event_id}, {canonical(values)}: {reason}"
        note(connection, actor=actor, action="event edit", subject=str(event_id), detail=detail, now=now)
        return stored.event_id


def add_event(
    db: Database,
    unit: str,
    stated: Sequence[str],
    *,
    actor: str,
    reason: str,
    now: dt.datetime,
    at: dt.datetime | None = None,
) -> int:
    """Tell what no mail told of a unit that is known; return the event's id.

    ``stated``: ``FACT=VALUE``; ``occupied=false`` ends the tenancy, ``pms_tenant_id=`` and ``move_in_date=`` begin
    one. ``at``: when it happened; None: now.

    Raises:
        NotThere: no mail has named such a unit.
        CannotDo: two units have the name, or a value does not fit.
    """
    body = read_values(stated)
    with db.write() as connection:
        lane = _lane(connection, unit)
        kind = _kind_of(body)
        if kind is Kind.MOVE_IN:
            body |= {"unit_name": lane.unit, "pms_location_code": lane.location}
        told = f"{lane.destination}\x1f{lane.crm_unit_id}\x1f{actor}\x1f{now.isoformat()}\x1f{canonical(body)}"
        event = Event(
            kind=kind,
            unit=lane.unit,
            crm_unit_id=lane.crm_unit_id,
            effective_at=at or now,
            mailed_at=now,
            position=0,
            identity="person-" + hashlib.sha256(told.encode()).hexdigest()[:40],
            rule=ADDED,
            body={name: value for name, value in body.items() if name != "occupied"},
        )
        before = sa.select(events).where(
            events.c.destination == lane.destination, events.c.crm_unit_id == lane.crm_unit_id
        )
        row = connection.execute(before.order_by(events.c.id.desc()).limit(1)).one()
        (stored,) = store_events(connection, [_telling(connection, row, event, actor, now)], now=now)
        note(connection, actor=actor, action="event add", subject=str(stored.event_id), detail=reason, now=now)
        connection.execute(
            events.update().where(events.c.id == stored.event_id).values(released_by=f"{actor}: {reason}")
        )
        return stored.event_id


def read_values(stated: Sequence[str]) -> dict[str, Value]:
    """Return the values of ``FACT=VALUE`` words, each checked as the KISS unit API would.

    Raises:
        CannotDo: a fact is unknown, or its value does not fit.
    """
    raw: dict[str, object] = {}
    for word in stated:
        name, equals, text = word.partition("=")
        if not equals or name not in _CHECKS:
            raise CannotDo(f"`{word}` is no FACT=VALUE; facts: {', '.join(_CHECKS)}")
        raw[name] = _plain(name, text)
    try:
        return read_fields(raw, _CHECKS)
    except Invalid as error:
        raise CannotDo(str(error)) from error


def _plain(name: str, text: str) -> object:
    if text.lower() in ("null", ""):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if name == "balance_due":
        try:
            return Decimal(text)
        except InvalidOperation:
            return text
    return text


def _kind_of(body: Mapping[str, Value]) -> Kind:
    """Return what kind of event some values make."""
    if body.get("occupied") is False:
        if any(name in body for name in TENANCY):
            raise CannotDo("occupied=false ends the tenancy; it takes no tenant, ledger or move-in date")
        return Kind.MOVE_OUT
    if "occupied" in body or any(name in body for name in TENANCY):
        if not body.get("pms_tenant_id") or not body.get("move_in_date"):
            raise CannotDo("a tenancy needs pms_tenant_id=... and move_in_date=YYYY-MM-DD")
        return Kind.MOVE_IN
    if not any(name in body for name in FACTS):
        raise CannotDo("say at least one FACT=VALUE")
    return Kind.PATCH


def _movable(connection: Connection, event_id: int) -> Row[Any]:
    row = connection.execute(sa.select(events).where(events.c.id == event_id)).one_or_none()
    if row is None:
        raise NotThere(f"no event {event_id}; `gatepost events list state:held` shows what is held")
    if row.state not in MOVABLE:
        raise CannotDo(f"event {event_id} is {row.state}, not held or rejected")
    return row


def _lane(connection: Connection, unit: str) -> Row[Any]:
    named = sa.or_(lanes.c.crm_unit_id == unit, lanes.c.unit == unit)
    found = connection.execute(sa.select(lanes).where(named).order_by(lanes.c.crm_unit_id)).all()
    if not found:
        raise NotThere(f"no mail has named a unit {unit}; `gatepost units list` shows those that are known")
    if len(found) > 1:
        names = ", ".join(row.crm_unit_id for row in found)
        raise CannotDo(f"{unit} is the name of several units: {names}; give one of these ids")
    return found[0]


def _event(row: Row[Any], kind: Kind, body: Mapping[str, Value], now: dt.datetime) -> Event:
    return Event(
        kind=kind,
        unit=row.unit,
        crm_unit_id=row.crm_unit_id,
        effective_at=min(row.effective_at, now) if row.reason == "clock" else row.effective_at,
        mailed_at=min(row.mailed_at, now),
        position=row.position,
        identity=row.identity,
        rule=row.rule,
        body=body,
        on=dt.date.fromisoformat(row.on_date) if row.on_date else None,
        columns=row.columns,
    )


def _telling(connection: Connection, row: Row[Any], event: Event, actor: str, now: dt.datetime) -> Telling:
    """Return an event as a person tells it of the unit of another."""
    location = connection.execute(
        sa.select(lanes.c.location).where(
            lanes.c.destination == row.destination, lanes.c.crm_unit_id == row.crm_unit_id
        )
    ).scalar_one()
    is_edit = event.rule != ADDED
    return Telling(
        event=event,
        mail_id=row.mail_id if is_edit else None,
        company=row.company,
        mailbox=row.mailbox,
        location=location,
        destination=row.destination,
        timezone=row.timezone,
        rule_set=row.rule_set if is_edit else "",
        received_at=now,
        author=actor,
    )
