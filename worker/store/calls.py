"""The calls: the exact request and key before the send, and what came of each sending.

A request and its key are stored in the very transaction that checks the lane's token, before anything is sent.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from worker.calls import Outcome, Reply, Request
from worker.keys import derive_key
from worker.order import Call
from worker.store.lanes import Lane
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
    is_found: bool = False
    """True when a hand before this one stored it, and perhaps sent it, and wrote down no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """A call that is to be stored."""

    lane: Lane
    call: Call
    request: Request
    base: str


def open_calls(connection: Connection, destination: str, units: Collection[str]) -> dict[str, list[OpenCall]]:
    """Return the calls of lanes that are not settled, by the unit, in the order to send them."""
    found: dict[str, list[OpenCall]] = {}
    for row in connection.execute(_OPEN, {"destination": destination, "units": sorted(units)}):
        its = found.setdefault(row.crm_unit_id, [])
        its.append(_open(row, is_found=not its))  # the next leaves when the one before it is confirmed
    return found


def _open(row: Row[Any], *, is_found: bool) -> OpenCall:
    return OpenCall(**{name: getattr(row, name) for name in STORED}, is_found=is_found)


def next_generations(connection: Connection, bases: Collection[str]) -> dict[str, int]:
    """Return the generation of a new call by its base: one more than any earlier call with it has had."""
    rows = connection.execute(_LAST, {"bases": sorted(set(bases))})
    return dict.fromkeys(bases, 0) | {row.base: row.generation + 1 for row in rows}


def store_calls(connection: Connection, new: Sequence[NewCall], *, now: dt.datetime) -> list[OpenCall]:
    """Store exact requests and their keys, before the send."""
    if not new:
        return []
    generations = next_generations(connection, [one.base for one in new])
    rows: list[dict[str, Any]] = []
    for one in new:
        generation = generations[one.base]
        generations[one.base] += 1  # the same facts before and after a move-in that clears them
        rows.append(
            {
                "destination": one.lane.destination,
                "crm_unit_id": one.lane.crm_unit_id,
                "verb": str(one.call.verb),
                "method": one.request.method,
                "path": one.request.path,
                "body": one.request.body,
                "writes": dict(one.call.writes),
                "sources": dict(one.call.sources),
                "base": one.base,
                "generation": generation,
                "key": derive_key(one.base, generation),
                "state": "open",
                "lease_token": one.lane.token,
                "created_at": now,
                "tries": 0,
                "job": None,
            }
        )
    ids = {key: call_id for call_id, key in connection.execute(_INSERT, rows)}
    names = [name for name in STORED if name != "id"]
    return [OpenCall(id=ids[row["key"]], **{name: row[name] for name in names}) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One sending of a call, or one asking for its job, and what came of it."""

    call: OpenCall
    reply: Reply
    started_at: dt.datetime
    ended_at: dt.datetime
    by: str


def record_attempts(connection: Connection, made: Sequence[Attempt]) -> None:
    """Store sendings, and what they say of their calls."""
    if not made:
        return
    connection.execute(
        _ATTEMPT,
        [
            {
                "call_id": one.call.id,
                "started_at": one.started_at,
                "ended_at": one.ended_at,
                "outcome": str(one.reply.outcome),
                "status": one.reply.status,
                "message": one.reply.message,
                "answer": one.reply.body,
                "by": one.by,
                "asked": one.reply.asked,
            }
            for one in made
        ],
    )
    connection.execute(
        _TRIED,
        [
            {
                "its_id": one.call.id,
                # One that never left tells nothing: the key is as fresh as before. What a hand before this one may
                # have sent counts as sent.
                "its_more": (one.reply.outcome is not Outcome.UNREACHED) + (one.call.is_found and not one.call.tries),
                "its_state": "done" if one.reply.outcome is Outcome.APPLIED else "open",
                "its_end": one.ended_at if one.reply.outcome is Outcome.APPLIED else None,
                "its_created": int(one.reply.outcome is Outcome.APPLIED and one.reply.created),
                "its_job": one.reply.job or one.call.job,
            }
            for one in made
        ],
    )


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


STORED = [name for name in OpenCall.__dataclass_fields__ if name != "is_found"]
_OPEN = (
    sa.select(calls.c.crm_unit_id, *(calls.c[name] for name in STORED))
    .where(
        calls.c.destination == sa.bindparam("destination"),
        calls.c.crm_unit_id.in_(sa.bindparam("units", expanding=True)),
        calls.c.state == "open",
    )
    .order_by(calls.c.id)
)
_LAST = (
    sa.select(calls.c.base, sa.func.max(calls.c.generation).label("generation"))
    .where(calls.c.base.in_(sa.bindparam("bases", expanding=True)))
    .group_by(calls.c.base)
)
_INSERT = calls.insert().returning(calls.c.id, calls.c.key)
_ATTEMPT = attempts.insert()
_TRIED = (
    calls.update()
    .where(calls.c.id == sa.bindparam("its_id"), calls.c.state == "open")
    .values(
        tries=calls.c.tries + sa.bindparam("its_more"),
        state=sa.bindparam("its_state"),
        ended_at=sa.bindparam("its_end"),
        created=sa.bindparam("its_created"),
        job=sa.bindparam("its_job"),
    )
)
