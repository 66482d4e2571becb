"""The lanes: claim a unit of a destination, plan its calls, record what came of them.

A lane is one unit of one destination. One hand at a time works on it: the claim is a compare-and-set that raises the
lease's token, and every later write checks the token in its own transaction.
"""

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Row

from parsers.events import Kind
from worker.order import LET_IN, State, UnitEvent, Urgency
from worker.store.tables import event_log, events, lanes, pauses

LEASE_S = 10.0
LANE_STATES = (*LET_IN, State.HELD)

LaneKey = tuple[str, str]
"""Destination and crm_unit_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A claimed lane."""

    destination: str
    crm_unit_id: str
    company: str
    unit: str
    location: str
    token: int
    tries: int
    shown: Mapping[str, Any]
    origin: Mapping[str, Any]
    """What was there before any event; a name that is absent is unknown."""
    columns: Mapping[str, Any]
    """Further columns of the unit map."""
    priority: int
    lease_until: dt.datetime
    updated_at: dt.datetime

    @property
    def key(self) -> LaneKey:
        return (self.destination, self.crm_unit_id)


def insert_for(connection: Connection) -> Any:
    """Return the INSERT of the database at hand: both know ON CONFLICT."""
    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert


def claim(connection: Connection, key: LaneKey, *, now: dt.datetime, by: str, grace_s: float) -> Lane | None:
    """Take the lane, or return None when another hand has it or its destination is paused.

    ``grace_s``: how long after a lease has run out its holder's last send may still be under way.
    """
    destination, crm_unit_id = key
    until = now + dt.timedelta(seconds=LEASE_S)
    free = sa.or_(lanes.c.lease_until.is_(None), lanes.c.lease_until < now - dt.timedelta(seconds=grace_s))
    row = connection.execute(
        lanes.update()
        .where(lanes.c.destination == destination, lanes.c.crm_unit_id == crm_unit_id, free, not_paused(now))
        .values(lease_token=lanes.c.lease_token + 1, lease_until=until, lease_by=by)
        .returning(lanes)
    ).one_or_none()
    return _lane(row) if row is not None else None


def renew(connection: Connection, lane: Lane, *, now: dt.datetime) -> Lane | None:
    """Lengthen the lease and read the lane again; None when another hand has it by now."""
    row = connection.execute(
        _held_by(lane).values(lease_until=now + dt.timedelta(seconds=LEASE_S)).returning(lanes)
    ).one_or_none()
    return _lane(row) if row is not None else None


def lock_lanes(connection: Connection, keys: Sequence[LaneKey]) -> None:
    """Lock lanes until the transaction ends, in the order that everybody keeps: sorted."""
    for key in sorted(keys):
        one = sa.and_(lanes.c.destination == key[0], lanes.c.crm_unit_id == key[1])
        connection.execute(sa.select(lanes.c.crm_unit_id).where(one).with_for_update())


def release(connection: Connection, lane: Lane, *, due_at: dt.datetime | None, tries: int) -> None:
    """Give the lane back, with what it shows by now. ``due_at`` None: nothing to do until an event comes."""
    connection.execute(
        _held_by(lane).values(
            shown=dict(lane.shown),
            origin=dict(lane.origin),
            priority=lane.priority,
            due_at=due_at,
            rung_at=None,
            tries=tries,
            lease_until=None,
            lease_by=None,
            updated_at=lane.updated_at,
        )
    )


def keep(connection: Connection, lane: Lane) -> None:
    """Store what the destination has confirmed; the lane stays claimed."""
    connection.execute(
        _held_by(lane).values(shown=dict(lane.shown), origin=dict(lane.origin), updated_at=lane.updated_at)
    )


def due(
    connection: Connection,
    destination: str,
    *,
    now: dt.datetime,
    limit: int,
    rung_before: dt.datetime | None = None,
) -> list[str]:
    """Return units of a destination that are due and free: those that open access first, then the longest due.

    ``rung_before``: leave out those that were rung for since.
    """
    found: list[str] = []
    conditions = [sa.or_(lanes.c.lease_until.is_(None), lanes.c.lease_until < now)]
    if rung_before is not None:
        conditions.append(sa.or_(lanes.c.rung_at.is_(None), lanes.c.rung_at <= rung_before))
    for priority in Urgency:
        statement = (
            sa.select(lanes.c.crm_unit_id)
            .where(
                lanes.c.destination == destination,
                lanes.c.priority == int(priority),
                lanes.c.due_at <= now,
                *conditions,
            )
            .order_by(lanes.c.due_at)
            .limit(limit - len(found))
        )
        found += connection.execute(statement).scalars()
        if len(found) >= limit:
            break
    return found


def due_destinations(connection: Connection, *, now: dt.datetime) -> list[str]:
    """Return the destinations that are not paused and have something due."""
    statement = sa.select(lanes.c.destination).where(lanes.c.due_at <= now, not_paused(now)).distinct()
    return sorted(connection.execute(statement).scalars())


def not_paused(now: dt.datetime) -> sa.ColumnElement[bool]:
    """Return the condition that neither a lane's destination is paused nor everything."""
    its = sa.and_(pauses.c.kind == "destination", pauses.c.name == lanes.c.destination)
    return ~sa.exists().where(
        sa.or_(its, pauses.c.kind == "everything"),
        sa.or_(pauses.c.until.is_(None), pauses.c.until > now),
    )


def note_rung(connection: Connection, destination: str, units: Collection[str], *, now: dt.datetime) -> None:
    """Note that the queue was told of units."""
    if units:
        these = sa.and_(lanes.c.destination == destination, lanes.c.crm_unit_id.in_(list(units)))
        connection.execute(lanes.update().where(these).values(rung_at=now))


def wake(connection: Connection, key: LaneKey, *, now: dt.datetime, urgency: Urgency = Urgency.OPENS) -> None:
    """Make a lane due now; one that is due already keeps the more urgent place."""
    waits = sa.and_(lanes.c.due_at.is_not(None), lanes.c.priority < int(urgency))
    connection.execute(
        lanes.update()
        .where(lanes.c.destination == key[0], lanes.c.crm_unit_id == key[1])
        .values(due_at=now, rung_at=None, priority=sa.case((waits, lanes.c.priority), else_=int(urgency)))
    )


def has_dependents(connection: Connection, event_ids: Collection[int]) -> bool:
    """Say whether any event waits for these."""
    waiting = sa.and_(events.c.after_id.in_(list(event_ids)), events.c.state == str(State.WAITING))
    return connection.execute(sa.select(events.c.id).where(waiting).limit(1)).first() is not None


def wake_dependents(connection: Connection, event_ids: Collection[int], *, now: dt.datetime) -> list[LaneKey]:
    """Make the lanes due whose events waited for these: the other halves of transfers."""
    rows = connection.execute(
        sa.select(events.c.destination, events.c.crm_unit_id)
        .where(events.c.after_id.in_(list(event_ids)), events.c.state == str(State.WAITING))
        .distinct()
        .order_by(events.c.destination, events.c.crm_unit_id)
    ).all()
    keys: list[LaneKey] = [(row.destination, row.crm_unit_id) for row in rows]
    for key in keys:
        wake(connection, key, now=now, urgency=Urgency.CLOSES)
    return keys


def wake_all(connection: Connection, destination: str, *, now: dt.datetime) -> None:
    """Make every lane due that waits for its next try: the destination answers again."""
    connection.execute(
        lanes.update()
        .where(lanes.c.destination == destination, lanes.c.due_at > now, lanes.c.tries > 0)
        .values(due_at=now, rung_at=None)
    )


def clear_leases(connection: Connection) -> None:
    """Take every lease back: for the one process that has the store to itself, when it starts."""
    connection.execute(lanes.update().where(lanes.c.lease_until.is_not(None)).values(lease_until=None, lease_by=None))


def _held_by(lane: Lane) -> sa.Update:
    return lanes.update().where(
        lanes.c.destination == lane.destination,
        lanes.c.crm_unit_id == lane.crm_unit_id,
        lanes.c.lease_token == lane.token,
    )


def _lane(row: Row[Any]) -> Lane:
    return Lane(
        destination=row.destination,
        crm_unit_id=row.crm_unit_id,
        company=row.company,
        unit=row.unit,
        location=row.location,
        token=row.lease_token,
        tries=row.tries,
        shown=row.shown,
        origin=row.origin,
        columns=row.columns,
        priority=row.priority,
        lease_until=row.lease_until,
        updated_at=row.updated_at,
    )


def lane_events(connection: Connection, key: LaneKey) -> list[UnitEvent]:
    """Return the events of a lane that may count, in the order of their ids."""
    rows = connection.execute(
        sa.select(events, _half.c.state.label("half_state"))
        .outerjoin(_half, _half.c.id == events.c.after_id)
        .where(
            events.c.destination == key[0],
            events.c.crm_unit_id == key[1],
            events.c.state.in_([str(state) for state in LANE_STATES]),
        )
        .order_by(events.c.id)
    )
    return [unit_event(row, row.half_state) for row in rows]


_half = events.alias("half")


def unit_event(row: Row[Any], half_state: str | None = None) -> UnitEvent:
    """Return an event as the order sees it. ``half_state``: the state of the event that it comes after, if any."""
    first_is_open = half_state is not None and half_state not in (State.APPLIED, State.SUPERSEDED)
    return UnitEvent(
        id=row.id,
        kind=Kind(row.kind),
        identity=row.identity,
        effective_at=row.effective_at,
        mailed_at=row.mailed_at,
        position=row.position,
        mail_id=row.mail_id,
        body=row.body,
        expect=row.expect,
        state=State(row.state),
        reason=row.reason,
        fingerprint=row.fingerprint,
        received_at=row.received_at,
        told_at=row.told_at,
        on_date=row.on_date or row.effective_at.astimezone(ZoneInfo(row.timezone)).date().isoformat(),
        is_blocked=first_is_open and row.state == State.WAITING,
    )


def move_events(
    connection: Connection,
    changes: Mapping[int, tuple[State, str | None]],
    *,
    now: dt.datetime,
    detail: str | None = None,
) -> None:
    """Store new states of events, and that they changed: id -> state and reason."""
    together: dict[tuple[State, str | None], list[int]] = {}
    for event_id, change in changes.items():
        together.setdefault(change, []).append(event_id)
    for (state, reason), ids in together.items():
        these = events.c.id.in_(ids)
        was = sa.select(
            events.c.id,
            sa.literal(now, events.c.created_at.type),
            events.c.state,
            events.c.reason,
            sa.literal(str(state), sa.String),
            sa.literal(reason, sa.String),
            sa.literal(detail, sa.String),
        ).where(these)
        columns = ["event_id", "at", "was", "was_reason", "state", "reason", "detail"]
        connection.execute(event_log.insert().from_select(columns, was))
        settled_at = now if state in (State.APPLIED, State.SUPERSEDED, State.REJECTED) else None
        values = {"state": str(state), "reason": reason, "detail": detail, "settled_at": settled_at}
        connection.execute(events.update().where(these).values(**values))


def hold_overdue(
    connection: Connection, key: LaneKey, *, before: dt.datetime, reason: str, detail: str, now: dt.datetime
) -> None:
    """Hold the waiting events of a lane that came before an instant."""
    statement = sa.select(events.c.id).where(_waiting(key), events.c.created_at < before)
    overdue = dict.fromkeys(connection.execute(statement).scalars(), (State.HELD, reason))
    move_events(connection, overdue, now=now, detail=detail)


def note_waiting(connection: Connection, key: LaneKey, detail: str) -> None:
    """Say on the waiting events of a lane what they wait for."""
    connection.execute(events.update().where(_waiting(key)).values(detail=detail))


def _waiting(key: LaneKey) -> sa.ColumnElement[bool]:
    return sa.and_(
        events.c.destination == key[0],
        events.c.crm_unit_id == key[1],
        events.c.state.in_([str(State.WAITING), str(State.UNCERTAIN)]),
    )


def fingerprint(kind: str, canonical_body: str) -> str:
    """Return the digest that tells a revision (same identity, other facts) from a duplicate."""
    return hashlib.sha256(f"{kind}\x1f{canonical_body}".encode()).hexdigest()
