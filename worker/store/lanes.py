"""The lanes: claim a unit of a destination, plan its calls, record what came of them.

A lane is one unit of one destination. One hand at a time works on it: the claim is a compare-and-set that raises the
lease's token, and every later write checks the token in its own transaction. A request and its key are stored in the
very transaction that checks the token, before anything is sent.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Row

from parsers.events import Kind
from worker.calls import Outcome, Reply, Request
from worker.order import LET_IN, Call, State, UnitEvent
from worker.store.tables import attempts, calls, events, lanes, pauses

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
    token: int
    tries: int
    shown: Mapping[str, Any]
    lease_until: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCall:
    """A call that is stored and not settled."""

    id: int
    verb: str
    method: str
    path: str
    body: bytes
    writes: Mapping[str, Any]
    sources: Mapping[str, int]
    base: str
    generation: int
    key: str
    tries: int
    created_at: dt.datetime


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
    paused = sa.exists().where(
        pauses.c.kind == "destination",
        pauses.c.name == destination,
        sa.or_(pauses.c.until.is_(None), pauses.c.until > now),
    )
    row = connection.execute(
        lanes.update()
        .where(lanes.c.destination == destination, lanes.c.crm_unit_id == crm_unit_id, free, ~paused)
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


def save(connection: Connection, lane: Lane, *, shown: Mapping[str, Any], now: dt.datetime) -> None:
    """Store what the destination has confirmed."""
    connection.execute(_held_by(lane).values(shown=dict(shown), updated_at=now))


def release(connection: Connection, lane: Lane, *, due_at: dt.datetime | None, tries: int) -> None:
    """Give the lane back. ``due_at`` None: nothing to do until an event comes."""
    connection.execute(_held_by(lane).values(lease_until=None, lease_by=None, due_at=due_at, rung_at=None, tries=tries))


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
        token=row.lease_token,
        tries=row.tries,
        shown=row.shown,
        lease_until=row.lease_until,
    )


def lane_events(connection: Connection, key: LaneKey) -> list[UnitEvent]:
    """Return the events of a lane that may count, in the order of their ids."""
    rows = connection.execute(
        sa.select(events)
        .where(
            events.c.destination == key[0],
            events.c.crm_unit_id == key[1],
            events.c.state.in_([str(state) for state in LANE_STATES]),
        )
        .order_by(events.c.id)
    )
    return [_event(row) for row in rows]


def _event(row: Row[Any]) -> UnitEvent:
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
    )


def move_events(
    connection: Connection,
    changes: Mapping[int, tuple[State, str | None]],
    *,
    now: dt.datetime,
    detail: str | None = None,
) -> None:
    """Store new states of events: id -> state and reason."""
    final = (State.APPLIED, State.SUPERSEDED, State.REJECTED)
    for event_id, (state, reason) in changes.items():
        settled_at = now if state in final else None
        connection.execute(
            events.update()
            .where(events.c.id == event_id)
            .values(state=str(state), reason=reason, detail=detail, settled_at=settled_at)
        )


def open_calls(connection: Connection, key: LaneKey) -> list[OpenCall]:
    """Return the calls of a lane that are not settled, in the order to send them."""
    rows = connection.execute(
        sa.select(calls)
        .where(calls.c.destination == key[0], calls.c.crm_unit_id == key[1], calls.c.state == "open")
        .order_by(calls.c.id)
    )
    return [_open(row) for row in rows]


def _open(row: Row[Any]) -> OpenCall:
    return OpenCall(**{name: getattr(row, name) for name in OpenCall.__dataclass_fields__})


def hold_overdue(connection: Connection, key: LaneKey, *, before: dt.datetime, reason: str, detail: str) -> int:
    """Hold the waiting events of a lane that came before an instant; return how many."""
    return _waiting(connection, key, events.c.created_at < before, state=str(State.HELD), reason=reason, detail=detail)


def note_waiting(connection: Connection, key: LaneKey, detail: str) -> None:
    """Say on the waiting events of a lane what they wait for."""
    _waiting(connection, key, sa.true(), detail=detail)


def _waiting(connection: Connection, key: LaneKey, also: sa.ColumnElement[bool], **values: Any) -> int:
    changed = connection.execute(
        events.update()
        .where(
            events.c.destination == key[0],
            events.c.crm_unit_id == key[1],
            events.c.state.in_([str(State.WAITING), str(State.UNCERTAIN)]),
            also,
        )
        .values(**values)
    )
    return changed.rowcount


def next_generation(connection: Connection, base: str) -> int:
    """Return the generation for a new call: one more than any earlier call with the same base has had."""
    last = connection.execute(sa.select(sa.func.max(calls.c.generation)).where(calls.c.base == base)).scalar()
    return 0 if last is None else last + 1


def store_call(
    connection: Connection,
    lane: Lane,
    call: Call,
    *,
    request: Request,
    base: str,
    generation: int,
    key: str,
    now: dt.datetime,
) -> OpenCall:
    """Store the exact request and its key, before the send."""
    row = connection.execute(
        calls.insert()
        .values(
            destination=lane.destination,
            crm_unit_id=lane.crm_unit_id,
            verb=str(call.verb),
            method=request.method,
            path=request.path,
            body=request.body,
            writes=dict(call.writes),
            sources=dict(call.sources),
            base=base,
            generation=generation,
            key=key,
            state="open",
            lease_token=lane.token,
            created_at=now,
            tries=0,
        )
        .returning(calls)
    ).one()
    return _open(row)


def record_attempt(
    connection: Connection, call: OpenCall, reply: Reply, *, started_at: dt.datetime, ended_at: dt.datetime, by: str
) -> None:
    """Store one sending and what came of it."""
    connection.execute(
        attempts.insert().values(
            call_id=call.id,
            started_at=started_at,
            ended_at=ended_at,
            outcome=str(reply.outcome),
            status=reply.status,
            message=reply.message,
            answer=reply.body,
            by=by,
        )
    )
    if reply.outcome != Outcome.UNREACHED:  # it never left: the key is as fresh as before
        connection.execute(calls.update().where(calls.c.id == call.id).values(tries=calls.c.tries + 1))


def count_attempts(connection: Connection, base: str, outcome: Outcome) -> int:
    """Return how often calls with this base have ended so."""
    statement = (
        sa.select(sa.func.count())
        .select_from(attempts.join(calls))
        .where(calls.c.base == base, attempts.c.outcome == str(outcome))
    )
    return connection.execute(statement).scalar_one()


def end_calls(connection: Connection, ids: Iterable[int], state: str, *, now: dt.datetime) -> None:
    """Settle calls: ``done``, ``refused`` or ``abandoned``."""
    connection.execute(calls.update().where(calls.c.id.in_(list(ids))).values(state=state, ended_at=now))


def pause(
    connection: Connection,
    kind: str,
    name: str,
    *,
    reason: str,
    actor: str,
    now: dt.datetime,
    until: dt.datetime | None = None,
) -> None:
    """Pause a mailbox, rule, pack or destination; a pause without end is not shortened by one with an end."""
    values = {"reason": reason, "actor": actor, "until": until}
    insert = insert_for(connection)(pauses).values(kind=kind, name=name, since=now, **values)
    has_end = pauses.c.until.is_not(None)
    longer = has_end if until is None else sa.and_(has_end, pauses.c.until < until)
    connection.execute(
        insert.on_conflict_do_update(index_elements=[pauses.c.kind, pauses.c.name], set_=values, where=longer)
    )


def resume(connection: Connection, kind: str, name: str) -> bool:
    """End a pause; say whether there was one."""
    gone = connection.execute(pauses.delete().where(pauses.c.kind == kind, pauses.c.name == name))
    return gone.rowcount > 0


def paused_names(connection: Connection, kind: str, now: dt.datetime) -> set[str]:
    """Return what is paused now."""
    return set(
        connection.execute(
            sa.select(pauses.c.name).where(
                pauses.c.kind == kind, sa.or_(pauses.c.until.is_(None), pauses.c.until > now)
            )
        ).scalars()
    )


def fingerprint(kind: str, canonical_body: str) -> str:
    """Return the digest that tells a revision (same identity, other facts) from a duplicate."""
    return hashlib.sha256(f"{kind}\x1f{canonical_body}".encode()).hexdigest()
