"""The calls: the exact request and key before the send, and what came of each sending.

A request and its key are stored in the very transaction that checks the lane's token, before anything is sent.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from worker.calls import Outcome, Reply, Request
from worker.order import Call
from worker.store.lanes import Lane, LaneKey
from worker.store.tables import attempts, calls


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
    job: str | None
    """What to ask for: the destination has taken the call on, and has not said what came of it."""


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
    """Store one sending, or one asking for a job, and what came of it."""
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
            asked=reply.asked,
        )
    )
    values: dict[str, Any] = {}
    if reply.outcome != Outcome.UNREACHED:  # it never left: the key is as fresh as before
        values["tries"] = calls.c.tries + 1
    if reply.outcome is Outcome.APPLIED:
        values |= {"state": "done", "ended_at": ended_at, "created": int(reply.created)}
    if reply.job is not None:
        values["job"] = reply.job
    if values:
        connection.execute(calls.update().where(calls.c.id == call.id).values(**values))


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
