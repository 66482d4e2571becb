"""The record of one unit: its calls as they ended, and the states that its events had."""

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers.events import PLACE
from worker.calls import HARMLESS, Outcome, Verb
from worker.past import End, PastCall
from worker.store.lanes import LaneKey
from worker.store.tables import attempts, bulk_items, calls, event_log, events, lanes


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
    found += _past_items(connection, key, by=by)
    return [call for _, _, call in sorted(found, key=lambda one: one[:2])]


def _past_items(connection: Connection, key: LaneKey, *, by: dt.datetime) -> list[tuple[dt.datetime, int, PastCall]]:
    """Return a unit's parts of calls of many units that had ended by an instant, each with when it took its effect.

    What such a call may change counts as unknown from before it is sent (``worker/bulk.py``): of one that left a doubt
    this began when it was stored, and the unit's own calls may have put it right before it was given up.
    """
    its = sa.and_(bulk_items.c.destination == key[0], bulk_items.c.crm_unit_id == key[1], bulk_items.c.ended_at <= by)
    statement = sa.select(bulk_items, calls.c.created_at).join(calls, calls.c.id == bulk_items.c.call_id)
    items = connection.execute(statement.where(its)).all()
    outcomes = _outcomes(connection, [item.call_id for item in items if item.state == "refused"])
    maker = made_by_page(connection, key)
    found: list[tuple[dt.datetime, int, PastCall]] = []
    for item in items:
        end = _end_of_item(item, outcomes.get(item.call_id, []))
        call = PastCall(
            id=item.call_id,
            verb=None,
            writes=item.writes,
            sources=item.sources,
            end=end,
            created=item.call_id == maker,
        )
        found.append((item.ended_at if end is End.DONE else item.created_at, item.call_id, call))
    return found


def _end_of_item(item: Row[Any], outcomes: Sequence[str]) -> End:
    """Return how a unit's part of a call of many units ended: as ``worker/bulk.py`` judged it when it did."""
    if item.state != "refused":
        return End.DONE if item.state == "done" else End.DOUBTFUL
    is_named = item.message is not None
    is_sure = Outcome.UNKNOWN not in outcomes and (is_named or (bool(outcomes) and outcomes[-1] in HARMLESS))
    return End.WITHOUT_EFFECT if is_sure else End.DOUBTFUL


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
    is_doubtful = row.tries > 1 or outcomes == [Outcome.ACCEPTED]
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
    return _is_made_alone(connection, key) or made_by_page(connection, key) is not None


def _is_made_alone(connection: Connection, key: LaneKey) -> bool:
    its = sa.and_(calls.c.destination == key[0], calls.c.crm_unit_id == key[1], calls.c.state == "done")
    made = sa.or_(calls.c.created == 1, calls.c.verb == str(Verb.CREATE))
    return connection.execute(sa.select(calls.c.id).where(its, made).limit(1)).first() is not None


def made_by_page(connection: Connection, key: LaneKey) -> int | None:
    """Return the call of many units that made a unit; None: none did.

    Only units that we made have an origin (decision 0016); of those that no call of their own made it was the first
    call of many that named their place.
    """
    its_lane = sa.and_(lanes.c.destination == key[0], lanes.c.crm_unit_id == key[1])
    origin = connection.execute(sa.select(lanes.c.origin).where(its_lane)).scalar_one_or_none()
    if not origin or _is_made_alone(connection, key):
        return None
    its = sa.and_(bulk_items.c.destination == key[0], bulk_items.c.crm_unit_id == key[1], bulk_items.c.state == "done")
    items = connection.execute(sa.select(bulk_items).where(its).order_by(bulk_items.c.ended_at))
    return next((item.call_id for item in items if not set(PLACE).isdisjoint(item.writes)), None)


def under_way(connection: Connection, key: LaneKey, *, at: dt.datetime) -> list[Row[Any]]:
    """Return the calls of a unit, and those of many units that it was part of, which were not settled at an instant."""
    parts = sa.select(bulk_items.c.call_id).where(
        bulk_items.c.destination == key[0],
        bulk_items.c.crm_unit_id == key[1],
        sa.or_(bulk_items.c.ended_at.is_(None), bulk_items.c.ended_at > at),
    )
    its = sa.and_(calls.c.destination == key[0], calls.c.crm_unit_id == key[1])
    is_open = sa.and_(calls.c.created_at <= at, sa.or_(calls.c.ended_at.is_(None), calls.c.ended_at > at))
    return list(
        connection.execute(sa.select(calls).where(sa.or_(its, calls.c.id.in_(parts)), is_open).order_by(calls.c.id))
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
