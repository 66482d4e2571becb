"""The lanes: claim a unit of a destination, plan its calls, record what came of them.

A lane is one unit of one destination. One hand at a time works on it: the claim is a compare-and-set that raises the
lease's token, and every later write checks the token in its own transaction.
"""

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Row

from parsers.events import Kind
from worker.order import LET_IN, State, UnitEvent, Urgency
from worker.store.tables import event_log, events, lanes, pauses
from worker.store.types import Instant

LEASE_S = 10.0
LANE_STATES = (*LET_IN, State.HELD)
CHUNK = 500
_EVER = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)

T = TypeVar("T")

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
    stored_token: int
    """The token in the store; one less than its own while a claim is not stored yet."""
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


INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""The INSERT of each database: both know ON CONFLICT."""


def insert_for(connection: Connection) -> Any:
    """Return the INSERT of the database at hand."""
    return INSERTS[connection.dialect.name]


def claim(
    connection: Connection, destination: str, units: Collection[str], *, now: dt.datetime, grace_s: float
) -> list[Lane]:
    """Return the lanes that nobody works on, locked; ``keep`` or ``release`` stores the claim, in this transaction.

    Lanes that are locked are passed over: whoever locks them wakes them. ``grace_s``: how long after a lease has run
    out its holder's last send may still be under way.
    """
    free = now - dt.timedelta(seconds=grace_s)
    rows = connection.execute(_FREE, {"destination": destination, "units": sorted(units), "free": free})
    until = now + dt.timedelta(seconds=LEASE_S)
    return [_lane(row, token=row.lease_token + 1, until=until) for row in rows]


def hold(connection: Connection, held: Sequence[Lane], *, now: dt.datetime) -> dict[str, Lane]:
    """Lock lanes of one destination and read them again, with a longer lease; without those in another's hand."""
    if not held:
        return {}
    mine = {lane.crm_unit_id: lane for lane in held}
    rows = connection.execute(_LOCKED, {"destination": held[0].destination, "units": sorted(mine)})
    until = now + dt.timedelta(seconds=LEASE_S)
    still = [row for row in rows if is_held(row, mine[row.crm_unit_id])]
    return {row.crm_unit_id: _lane(row, token=row.lease_token, until=until) for row in still}


def is_held(row: Row[Any], lane: Lane) -> bool:
    """Say whether a lane is still in the hand that claimed it so."""
    return row.lease_token == lane.token


def lock_lanes(connection: Connection, keys: Sequence[LaneKey]) -> None:
    """Lock lanes until the transaction ends, in the order that everybody keeps: sorted.

    In SQLite a transaction that writes has locked all there is.
    """
    if connection.dialect.name == "sqlite":
        return
    for key in sorted(keys):
        connection.execute(_LOCK, {"destination": key[0], "unit": key[1]})


def keep(connection: Connection, held: Sequence[Lane], *, by: str) -> None:
    """Store what destinations have confirmed; the lanes stay claimed."""
    if held:
        connection.execute(_KEEP, [{**_values(lane), "its_until": lane.lease_until, "its_by": by} for lane in held])


def release(connection: Connection, held: Sequence[tuple[Lane, dt.datetime | None]]) -> None:
    """Give lanes back, with what they show by now, each due when it is said. None: not before an event comes."""
    if held:
        connection.execute(
            _RELEASE,
            [
                {**_values(lane), "its_priority": lane.priority, "its_due_at": due_at, "its_tries": lane.tries}
                for lane, due_at in held
            ],
        )


def _values(lane: Lane) -> dict[str, Any]:
    return {
        "its_destination": lane.destination,
        "its_unit": lane.crm_unit_id,
        "its_earlier_token": lane.stored_token,
        "its_token": lane.token,
        "its_shown": dict(lane.shown),
        "its_origin": dict(lane.origin),
        "its_updated_at": lane.updated_at,
    }


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
    rung_before = rung_before or _EVER
    for priority in Urgency:
        values = {"destination": destination, "priority": int(priority), "now": now, "rung_before": rung_before}
        found += connection.execute(_DUE, {**values, "limit": limit - len(found)}).scalars()
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
    values = {"its_destination": key[0], "its_unit": key[1], "its_due_at": now, "its_priority": int(urgency)}
    connection.execute(_WAKE, values)


def has_dependents(connection: Connection, event_ids: Collection[int]) -> bool:
    """Say whether any event waits for these."""
    return connection.execute(_DEPENDENTS, {"ids": list(event_ids)}).first() is not None


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


def _lane(row: Row[Any], *, token: int, until: dt.datetime) -> Lane:
    return Lane(
        destination=row.destination,
        crm_unit_id=row.crm_unit_id,
        company=row.company,
        unit=row.unit,
        location=row.location,
        token=token,
        stored_token=row.lease_token,
        tries=row.tries,
        shown=row.shown,
        origin=row.origin,
        columns=row.columns,
        priority=row.priority,
        lease_until=until,
        updated_at=row.updated_at,
    )


def lane_events(connection: Connection, key: LaneKey) -> list[UnitEvent]:
    """Return the events of a lane that may count, in the order of their ids."""
    return events_of(connection, key[0], [key[1]]).get(key[1], [])


def events_of(connection: Connection, destination: str, units: Collection[str]) -> dict[str, list[UnitEvent]]:
    """Return the events of lanes that may count, by the unit, in the order of their ids."""
    found: dict[str, list[UnitEvent]] = {}
    for some in chunks(sorted(units)):
        for row in connection.execute(_EVENTS, {"destination": destination, "units": some}):
            found.setdefault(row.crm_unit_id, []).append(unit_event(row, row.half_state))
    return found


def chunks(items: Sequence[T]) -> list[Sequence[T]]:
    """Return a sequence in pieces that one statement takes."""
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]


# Statements that every turn makes are built once: building one costs more than SQLite takes for it.
_THESE = sa.and_(
    lanes.c.destination == sa.bindparam("destination"), lanes.c.crm_unit_id.in_(sa.bindparam("units", expanding=True))
)
_LOCK = (
    sa.select(lanes.c.crm_unit_id)
    .where(lanes.c.destination == sa.bindparam("destination"), lanes.c.crm_unit_id == sa.bindparam("unit"))
    .with_for_update()
)
_LOCKED = sa.select(lanes).where(_THESE).order_by(lanes.c.crm_unit_id).with_for_update()
_FREE = (
    sa.select(lanes)
    .where(_THESE, sa.or_(lanes.c.lease_until.is_(None), lanes.c.lease_until < sa.bindparam("free", type_=Instant)))
    .order_by(lanes.c.crm_unit_id)
    .with_for_update(skip_locked=True)
)
_UNIT = sa.and_(lanes.c.destination == sa.bindparam("its_destination"), lanes.c.crm_unit_id == sa.bindparam("its_unit"))
_WAITS = sa.and_(lanes.c.due_at.is_not(None), lanes.c.priority < sa.bindparam("its_priority"))
_WAKE = (
    lanes.update()
    .where(_UNIT)
    .values(
        due_at=sa.bindparam("its_due_at"),
        rung_at=None,
        priority=sa.case((_WAITS, lanes.c.priority), else_=sa.bindparam("its_priority")),
    )
)
_ONE = lanes.update().where(_UNIT, lanes.c.lease_token == sa.bindparam("its_earlier_token"))
_CONFIRMED = {
    "lease_token": sa.bindparam("its_token"),
    "shown": sa.bindparam("its_shown"),
    "origin": sa.bindparam("its_origin"),
    "updated_at": sa.bindparam("its_updated_at"),
}
_KEEP = _ONE.values({**_CONFIRMED, "lease_until": sa.bindparam("its_until"), "lease_by": sa.bindparam("its_by")})
_RELEASE = _ONE.values(
    {
        **_CONFIRMED,
        "priority": sa.bindparam("its_priority"),
        "due_at": sa.bindparam("its_due_at"),
        "tries": sa.bindparam("its_tries"),
        "rung_at": None,
        "lease_until": None,
        "lease_by": None,
    }
)
_DUE = (
    sa.select(lanes.c.crm_unit_id)
    .where(
        lanes.c.destination == sa.bindparam("destination"),
        lanes.c.priority == sa.bindparam("priority"),
        lanes.c.due_at <= sa.bindparam("now"),
        sa.or_(lanes.c.lease_until.is_(None), lanes.c.lease_until < sa.bindparam("now")),
        sa.or_(lanes.c.rung_at.is_(None), lanes.c.rung_at <= sa.bindparam("rung_before")),
    )
    .order_by(lanes.c.due_at)
    .limit(sa.bindparam("limit"))
)
_DEPENDENTS = (
    sa.select(events.c.id)
    .where(events.c.after_id.in_(sa.bindparam("ids", expanding=True)), events.c.state == str(State.WAITING))
    .limit(1)
)
_half = events.alias("half")
_EVENTS = (
    sa.select(
        *(events.c[name] for name in ("crm_unit_id", "id", "kind", "identity", "effective_at", "mailed_at")),
        *(events.c[name] for name in ("position", "mail_id", "body", "expect", "state", "reason", "fingerprint")),
        *(events.c[name] for name in ("received_at", "told_at", "on_date", "timezone")),
        _half.c.state.label("half_state"),
    )
    .outerjoin(_half, _half.c.id == events.c.after_id)
    .where(
        events.c.destination == sa.bindparam("destination"),
        events.c.crm_unit_id.in_(sa.bindparam("units", expanding=True)),
        events.c.state.in_([str(state) for state in LANE_STATES]),
    )
    .order_by(events.c.id)
)


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
        settled_at = now if state in (State.APPLIED, State.SUPERSEDED, State.REJECTED) else None
        values = {"ids": ids, "at": now, "state": str(state), "reason": reason, "detail": detail}
        connection.execute(_LOG, values)
        connection.execute(_MOVE, {**{f"its_{name}": value for name, value in values.items()}, "its_end": settled_at})


_LOG = event_log.insert().from_select(
    ["event_id", "at", "was", "was_reason", "state", "reason", "detail"],
    sa.select(
        events.c.id,
        sa.bindparam("at", type_=Instant),
        events.c.state,
        events.c.reason,
        sa.bindparam("state", type_=sa.String),
        sa.bindparam("reason", type_=sa.String),
        sa.bindparam("detail", type_=sa.String),
    ).where(events.c.id.in_(sa.bindparam("ids", expanding=True))),
)
_MOVE = (
    events.update()
    .where(events.c.id.in_(sa.bindparam("its_ids", expanding=True)))
    .values(
        state=sa.bindparam("its_state"),
        reason=sa.bindparam("its_reason"),
        detail=sa.bindparam("its_detail"),
        settled_at=sa.bindparam("its_end"),
    )
)


def hold_overdue(
    connection: Connection, key: LaneKey, *, before: dt.datetime, reason: str, detail: str, now: dt.datetime
) -> None:
    """Hold the waiting events of a lane that came before an instant."""
    statement = sa.select(events.c.id).where(_waiting(key), events.c.created_at < before)
    overdue = dict.fromkeys(connection.execute(statement).scalars(), (State.HELD, reason))
    move_events(connection, overdue, now=now, detail=detail)


def note_waiting(connection: Connection, key: LaneKey, detail: str) -> None:
    """Say on the waiting events of a lane what they wait for."""
    connection.execute(_NOTE, {"its_destination": key[0], "its_unit": key[1], "its_detail": detail})


def _waiting(key: LaneKey) -> sa.ColumnElement[bool]:
    return sa.and_(
        events.c.destination == key[0],
        events.c.crm_unit_id == key[1],
        events.c.state.in_([str(State.WAITING), str(State.UNCERTAIN)]),
    )


_NOTE = (
    events.update()
    .where(
        events.c.destination == sa.bindparam("its_destination"),
        events.c.crm_unit_id == sa.bindparam("its_unit"),
        events.c.state.in_([str(State.WAITING), str(State.UNCERTAIN)]),
    )
    .values(detail=sa.bindparam("its_detail"))
)


def fingerprint(kind: str, canonical_body: str) -> str:
    """Return the digest that tells a revision (same identity, other facts) from a duplicate."""
    return hashlib.sha256(f"{kind}\x1f{canonical_body}".encode()).hexdigest()
