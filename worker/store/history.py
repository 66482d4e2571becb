"""The record of one unit: its calls as they ended, and the states that its events had."""

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from worker.calls import Outcome, Verb
from worker.past import End, PastCall
from worker.store.lanes import LaneKey
from worker.store.tables import attempts, bulk_items, calls, event_log, events


def past_calls(connection: Connection, key: LaneKey, *, by: dt.datetime) -> list[PastCall]:
    """Return the calls of a unit that had ended by an instant, in the order in which they ended."""
    ended = connection.execute(
        sa.select(calls)
        .where(calls.c.destination == key[0], calls.c.crm_unit_id == key[1], calls.c.ended_at <= by)
        .order_by(calls.c.ended_at, calls.c.id)
    ).all()
    outcomes = _outcomes(connection, [row.id for row in ended if row.state == "refused"])
    found: list[tuple[dt.datetime, int, PastCall]] = []
    for ended_at, group in groupby(ended, key=lambda row: row.ended_at):
        together = list(group)
        unsent = _unsent(together)
        for row in together:
            call = PastCall(
                id=row.id,
                verb=Verb(row.verb),
                writes=row.writes,
                sources=row.sources,
                end=End.WITHOUT_EFFECT if row.id in unsent else _end(row, outcomes.get(row.id, [])),
                created=bool(row.created),
            )
            found.append((ended_at, row.id, call))
    its = sa.and_(bulk_items.c.destination == key[0], bulk_items.c.crm_unit_id == key[1])
    done = sa.and_(bulk_items.c.state == "done", bulk_items.c.ended_at <= by)
    for item in connection.execute(sa.select(bulk_items).where(its, done)):
        call = PastCall(id=item.call_id, verb=None, writes=item.writes, sources=item.sources, end=End.DONE)
        found.append((item.ended_at, item.call_id, call))
    return [call for _, _, call in sorted(found, key=lambda one: one[:2])]


def _unsent(together: Sequence[Row[Any]]) -> set[int]:
    """Return the calls that were given up with another before they were sent: only the first can have left."""
    given_up = [row.id for row in together if row.state == "abandoned"]
    return set(given_up if any(row.state == "refused" for row in together) else given_up[1:])


def _end(row: Row[Any], outcomes: Sequence[str]) -> End:
    """Return how a call ended: as ``worker/turn.py`` judged it when it did."""
    if row.state == "done":
        return End.DONE
    if row.state == "abandoned":
        return End.DOUBTFUL
    if outcomes and outcomes[-1] == Outcome.NOT_FOUND and row.verb not in (Verb.MOVE_IN, Verb.CREATE):
        return End.MISSING
    is_doubtful = len(outcomes) > 1 or outcomes == [Outcome.ACCEPTED]
    return End.DOUBTFUL if is_doubtful else End.WITHOUT_EFFECT


def _outcomes(connection: Connection, ids: Sequence[int]) -> dict[int, list[str]]:
    """Return the outcomes of the sendings of calls, first to last; those that never left are no sendings."""
    found: dict[int, list[str]] = {}
    left = sa.and_(attempts.c.call_id.in_(ids), attempts.c.outcome != str(Outcome.UNREACHED))
    for row in connection.execute(
        sa.select(attempts.c.call_id, attempts.c.outcome).where(left).order_by(attempts.c.id)
    ):
        found.setdefault(row.call_id, []).append(row.outcome)
    return found


def was_made(connection: Connection, key: LaneKey) -> bool:
    """Say whether a call made the unit, whenever: before that there was none."""
    its = sa.and_(calls.c.destination == key[0], calls.c.crm_unit_id == key[1], calls.c.state == "done")
    made = sa.or_(calls.c.created == 1, calls.c.verb == str(Verb.CREATE))
    return connection.execute(sa.select(calls.c.id).where(its, made).limit(1)).first() is not None


def under_way(connection: Connection, key: LaneKey, *, at: dt.datetime) -> list[Row[Any]]:
    """Return the calls of a unit that were stored and not settled at an instant."""
    return list(
        connection.execute(
            sa.select(calls)
            .where(
                calls.c.destination == key[0],
                calls.c.crm_unit_id == key[1],
                calls.c.created_at <= at,
                sa.or_(calls.c.ended_at.is_(None), calls.c.ended_at > at),
            )
            .order_by(calls.c.id)
        )
    )


def events_at(connection: Connection, rows: Sequence[Row[Any]], *, at: dt.datetime) -> dict[int, Mapping[str, Any]]:
    """Return those of the events that were there at an instant: id -> state, reason, detail, settled_at, released_by.

    An event that was released began its wait anew; it was there since its mail.
    """
    logs: dict[int, list[Row[Any]]] = {}
    for entry in connection.execute(
        sa.select(event_log)
        .where(event_log.c.event_id.in_([row.id for row in rows]))
        .order_by(event_log.c.at, event_log.c.id)
    ):
        logs.setdefault(entry.event_id, []).append(entry)
    found: dict[int, Mapping[str, Any]] = {}
    for row in rows:
        changes = logs.get(row.id, [])
        began_anew = bool(changes) and changes[0].at <= row.created_at
        if (row.received_at if began_anew else row.created_at) <= at:
            found[row.id] = _event_at(row, changes, at)
    return found


def _event_at(row: Row[Any], changes: Sequence[Row[Any]], at: dt.datetime) -> Mapping[str, Any]:
    before = [change for change in changes if change.at <= at]
    after = [change for change in changes if change.at > at]
    released_by = None if any(change.detail == row.released_by for change in after) else row.released_by
    if not after:
        return {
            "state": row.state,
            "reason": row.reason,
            "detail": row.detail,
            "settled_at": row.settled_at,
            "released_by": released_by,
        }
    is_settled = bool(before) and after[0].was in ("applied", "superseded", "rejected")
    return {
        "state": after[0].was,
        "reason": after[0].was_reason,
        "detail": before[-1].detail if before else None,
        "settled_at": before[-1].at if is_settled else None,
        "released_by": released_by,
    }


def events_of(connection: Connection, key: LaneKey) -> list[Row[Any]]:
    """Return the events of a unit in the order in which they happened."""
    return list(
        connection.execute(
            sa.select(events)
            .where(events.c.destination == key[0], events.c.crm_unit_id == key[1])
            .order_by(events.c.effective_at, events.c.mailed_at, events.c.identity, events.c.position)
        )
    )
