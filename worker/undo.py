"""Undo: take events out of the fold. The difference is then sent like any other."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker import guard, order
from worker.actions import CannotDo, note
from worker.calls import Manners
from worker.notices import no_earlier_value, opened, unit_to_remove
from worker.order import Hold, State, UnitEvent
from worker.store import calls as call_store
from worker.store import lanes as lane_store
from worker.store import query
from worker.store.database import Database
from worker.store.history import made_by_page
from worker.store.issues import open_issue
from worker.store.lanes import LaneKey
from worker.store.tables import bulk_items, calls, events, lanes

UNDOABLE = (State.WAITING, State.APPLIED, State.SUPERSEDED, State.UNCERTAIN, State.HELD, State.REJECTED)
MOST = 5000
"""Events that one undo takes back at most."""

MannersOf = Callable[[str], Manners]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPlan:
    """What an undo does to one unit."""

    key: LaneKey
    withdrawn: tuple[int, ...]
    unanswered: tuple[int, ...]
    """Events whose earlier value nobody knows: a person must say what is right."""
    calls: tuple[order.Call, ...]
    """What would be sent, as far as it can be known now."""
    phantom: bool
    """Whether the destination made the unit for one of these move-ins: it is to be removed there by hand."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "destination": self.key[0],
            "crm_unit_id": self.key[1],
            "withdrawn": list(self.withdrawn),
            "no_earlier_value": list(self.unanswered),
            "calls": [{"verb": str(call.verb), "writes": dict(call.writes)} for call in self.calls],
            "remove_by_hand": self.phantom,
        }


def plan(db: Database, text: str, *, manners: MannersOf, now: dt.datetime) -> list[UnitPlan]:
    """Return what withdrawing the events of a query would do, unit by unit; nothing is changed.

    Raises:
        QueryError: the query cannot be understood.
        CannotDo: the query is empty, or names too many events.
    """
    with db.read() as connection:
        found = _matching(connection, text)
        return [_plan_unit(connection, key, ids, manners(key[0]), now) for key, ids in sorted(found.items())]


def undo(
    db: Database,
    text: str,
    *,
    manners: MannersOf,
    actor: str,
    reason: str,
    now: dt.datetime,
    on_told: Callable[[Connection, Sequence[tuple[str, int]]], None] = lambda _connection, _told: None,
    on_trouble: Callable[..., None] = lambda **_fields: None,
) -> list[UnitPlan]:
    """Withdraw the events of a query, and make their units due; return what was done.

    ``on_told``: the issues that it opens, still in their transaction; ``on_trouble``: their log lines, after it.

    Raises:
        QueryError: the query cannot be understood.
        CannotDo: the query is empty, or names too many events.
    """
    lines: list[Mapping[str, object]] = []
    with db.write() as connection:
        found = _matching(connection, text)
        lane_store.lock_lanes(connection, sorted(found))
        found = _matching(connection, text)
        done = [_plan_unit(connection, key, ids, manners(key[0]), now) for key, ids in sorted(found.items()) if key[1]]
        for unit in done:
            withdraw(connection, unit, detail=f"{actor}: {reason}", now=now)
            notices = [(no_earlier_value(*unit.key), unit.unanswered)] if unit.unanswered else []
            notices += [(unit_to_remove(*unit.key), ())] if unit.phantom else []
            for notice, event_ids in notices:
                issue_id, is_new = open_issue(connection, notice, now=now, event_ids=event_ids)
                if is_new:
                    on_told(connection, [("issue.opened", issue_id)])
                    lines.append(opened(issue_id, notice.kind))
        laneless = found.get(("", ""), [])
        if laneless:
            done.insert(0, _plan_unit(connection, ("", ""), laneless, manners(""), now))
            gone = dict.fromkeys(laneless, (State.WITHDRAWN, None))
            lane_store.move_events(connection, gone, now=now, detail=f"{actor}: {reason}")
        count = sum(len(unit.withdrawn) + len(unit.unanswered) for unit in done)
        note(connection, actor=actor, action="undo", subject=text, detail=f"{count} events: {reason}", now=now)
    for line in lines:
        on_trouble(**line)
    return done


def withdraw(connection: Connection, unit: UnitPlan, *, detail: str, now: dt.datetime) -> None:
    """Take a unit's events out of the fold, and make the unit due. Its lane is locked by the caller."""
    lane_store.move_events(connection, dict.fromkeys(unit.withdrawn, (State.WITHDRAWN, None)), now=now, detail=detail)
    asking = "nobody knows the value before it; `gatepost events add` says what is right"
    unanswered = dict.fromkeys(unit.unanswered, (State.HELD, str(Hold.NO_EARLIER_VALUE)))
    lane_store.move_events(connection, unanswered, now=now, detail=f"{asking} ({detail})")
    lane_store.wake(connection, unit.key, now=now)


def _matching(connection: Connection, text: str) -> dict[LaneKey, list[int]]:
    conditions = query.event_conditions(text)
    if not conditions:
        raise CannotDo("an undo needs a query, such as rule:sitelink/move-in after:2026-05-01")
    states = [str(state) for state in UNDOABLE]
    rows = connection.execute(
        sa.select(events.c.id, events.c.destination, events.c.crm_unit_id)
        .where(*conditions, events.c.state.in_(states), _not_asking())
        .order_by(events.c.id)
        .limit(MOST + 1)
    ).all()
    if len(rows) > MOST:
        raise CannotDo(f"this query names more than {MOST} events; narrow it with after: before: rule: or unit:")
    found: dict[LaneKey, list[int]] = {}
    for row in rows:
        found.setdefault((row.destination, row.crm_unit_id) if row.crm_unit_id else ("", ""), []).append(row.id)
    return found


def _not_asking() -> sa.ColumnElement[bool]:
    """Return the condition that an event was not taken back already."""
    return sa.or_(events.c.reason.is_(None), events.c.reason != Hold.NO_EARLIER_VALUE)


def _plan_unit(
    connection: Connection, key: LaneKey, ids: Sequence[int], manners: Manners, now: dt.datetime
) -> UnitPlan:
    return plan_unit(connection, key, ids, (), manners, now)


def plan_unit(
    connection: Connection,
    key: LaneKey,
    ids: Collection[int],
    more: Sequence[UnitEvent],
    manners: Manners,
    now: dt.datetime,
) -> UnitPlan:
    """Return what withdrawing some events of a unit, and letting ``more`` in, would do to it."""
    lane = connection.execute(
        sa.select(lanes).where(lanes.c.destination == key[0], lanes.c.crm_unit_id == key[1])
    ).one_or_none()
    shown: Mapping[str, Any] = lane.shown if lane is not None else {}
    origin: Mapping[str, Any] = lane.origin if lane is not None else {}
    found = lane_store.lane_events(connection, key)
    open_calls = call_store.open_calls(connection, key[0], [key[1]]).get(key[1], [])
    states = order.withdraw(
        [*found, *more],
        ids,
        shown,
        now,
        on_its_way=[name for call in open_calls for name in call.sources],
        manners=manners,
        origin=origin,
    )
    rest = [replace(e, state=states[e.id][0], reason=states[e.id][1]) if e.id in states else e for e in found] + [*more]
    judged = guard.judge(rest, now, manners=manners, origin=origin, shown=shown)
    rest = [replace(e, state=judged[e.id][0], reason=judged[e.id][1]) if e.id in judged else e for e in rest]
    wanted, _ = order.taken(order.fold(order.counting(rest, now), manners, origin), manners)
    rejected = [event_id for event_id in ids if event_id not in states]
    return UnitPlan(
        key=key,
        withdrawn=(*(i for i, (state, _) in states.items() if state is State.WITHDRAWN), *rejected),
        unanswered=tuple(i for i, (state, _) in states.items() if state is State.HELD),
        calls=tuple(order.difference(wanted, shown, manners)),
        phantom=_was_made_for(connection, key, ids),
    )


def _was_made_for(connection: Connection, key: LaneKey, ids: Collection[int]) -> bool:
    """Say whether a call that one of these events asked for, of the unit alone or of many, created the unit."""
    alone = sa.select(calls.c.sources).where(
        calls.c.destination == key[0], calls.c.crm_unit_id == key[1], calls.c.created == 1
    )
    part = sa.select(bulk_items.c.sources).where(
        bulk_items.c.call_id == made_by_page(connection, key), bulk_items.c.crm_unit_id == key[1]
    )
    made = [sources for statement in (alone, part) for sources in connection.execute(statement).scalars()]
    return any(source in ids for sources in made for source in sources.values())
