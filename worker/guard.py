"""Guard: which events of a unit may take part in its fold. Judged again at every change of the unit's events.

Pure. Two holds release themselves when an earlier event explains them: an unknown unit, another's tenancy.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from parsers.events import Kind, Value
from worker.calls import Manners
from worker.order import (
    NOTHING,
    PLAIN,
    WRITTEN,
    Fold,
    Hold,
    Shown,
    State,
    UnitEvent,
    counting,
    counts,
    fold,
    settle,
    taken,
    touched,
)

ERASED_ID = "erased-"
"""How the mark begins that stands instead of an id that was erased."""

Verdicts = dict[int, tuple[State, str | None]]
"""Event id -> its new state and reason."""


def judge(
    events: Sequence[UnitEvent],
    now: dt.datetime,
    *,
    manners: Manners = PLAIN,
    origin: Mapping[str, Value] = NOTHING,
    shown: Shown = NOTHING,
    asked: Collection[int] = (),
) -> Verdicts:
    """Return the events whose guard changes its mind. ``asked``: those of calls whose outcome is still to be heard.

    A waiting event is held when the tenant or ledger that it names is not the one of the tenancy at its moment, and
    let go again when an earlier event explains it; one held for an unknown unit is let go when a move-in for the unit
    is known; one that was taken back and whose earlier value nobody knew is done when an event states one. An unknown
    tenancy, or none, is no mismatch. What a held event had covered is judged before it takes effect in its place, and
    what was applied before it is sent again, because ``shown`` lacks it.
    """
    changes: Verdicts = {}
    current = list(events)
    move_in_known = any(event.kind is Kind.MOVE_IN and counts(event, now) for event in events)
    for index, event in sorted(enumerate(events), key=lambda pair: pair[1].moment):
        if event.state is State.HELD and event.reason == Hold.UNKNOWN_UNIT and move_in_known:
            changes[event.id] = (State.WAITING, None)
            event = current[index] = replace(event, state=State.WAITING, reason=None)
        mismatched = event.reason == Hold.TENANT_MISMATCH and event.state is State.HELD
        if event.expect and (mismatched or (_is_in_question(event) and event.effective_at <= now)):
            differs = _is_another(event, current, now)
            if differs != mismatched:
                state, reason = (State.HELD, Hold.TENANT_MISMATCH) if differs else (State.WAITING, None)
                changes[event.id] = (state, reason)
                current[index] = replace(event, state=state, reason=reason)
    while (index := _returning(current, now, manners, shown, asked)) is not None:
        event = current[index] = replace(current[index], state=State.HELD, reason=Hold.TENANT_MISMATCH)
        changes[event.id] = (State.HELD, Hold.TENANT_MISMATCH)
    return changes | _answered(current, now, manners, origin)


def _is_in_question(event: UnitEvent) -> bool:
    """Say whether an event is to be judged: it waits; or it ends a tenancy, so that others are judged by it."""
    return event.state is State.WAITING or (event.state is State.SUPERSEDED and event.kind is Kind.MOVE_OUT)


def _returning(
    events: Sequence[UnitEvent], now: dt.datetime, manners: Manners, shown: Shown, asked: Collection[int]
) -> int | None:
    """Return the place of the earliest event that would take effect again, though its tenancy is another's by now."""
    named = [index for index, event in enumerate(events) if event.expect and event.state in WRITTEN]
    if not named:
        return None
    wanted, _ = taken(fold(counting(events, now), manners), manners)
    survivors = set(wanted.sources.values()).difference(asked)
    states = settle(events, wanted, shown, now)

    def returns(event: UnitEvent) -> bool:
        is_sent_again = event.state is not State.APPLIED or states.get(event.id) is State.WAITING
        return event.id in survivors and is_sent_again and _is_another(event, events, now)

    return next(
        (index for index in sorted(named, key=lambda place: events[place].moment) if returns(events[index])), None
    )


def _answered(events: Sequence[UnitEvent], now: dt.datetime, manners: Manners, origin: Mapping[str, Value]) -> Verdicts:
    """Return those held ``no_earlier_value`` whose every value is stated by now."""
    asking = [e for e in events if e.state is State.HELD and e.reason == Hold.NO_EARLIER_VALUE]
    if not asking:
        return {}
    known = fold(counting(events, now), manners, origin).values
    return {e.id: (State.WITHDRAWN, None) for e in asking if all(name in known for name in touched(e, manners))}


def contradicted(events: Sequence[UnitEvent], now: dt.datetime) -> list[int]:
    """Return the applied events that name another tenancy than a tale which came later puts at their moment."""
    news = min((e.moment for e in events if e.state is State.WAITING and e.kind is not Kind.PATCH), default=None)
    if news is None:
        return []
    return [
        event.id
        for event in events
        if event.expect and event.state is State.APPLIED and event.moment > news and _is_another(event, events, now)
    ]


def flips(stated: Sequence[tuple[Mapping[str, Value], Mapping[str, Value]]], *, share: float, least: int) -> str | None:
    """Return in words why the rows of a report are held; None when they may act.

    ``stated``: of each unit what the report says and what is shown. Too large a share of units whose occupancy or
    lockout would change means a wrong report, not a busy day.
    """
    turned = sum(
        any(name in row and name in shown and row[name] != shown[name] for name in ("occupied", "pms_lockout"))
        for row, shown in stated
    )
    if len(stated) < least or turned <= share * len(stated):
        return None
    return f"{turned} of {len(stated)} units would change occupancy or lockout, more than {share:.0%}"


def surges(days: Mapping[dt.date, int], today: dt.date, *, factor: float, least: int) -> str | None:
    """Return in words why so many events of a day are held; None when they are usual.

    ``days``: how many came on each day, today included. The band is learned from the same weekday of the last eight
    weeks and the same day of the last six months; less than two weeks of history teach nothing.
    """
    earlier = {day: count for day, count in days.items() if day < today}
    if not earlier or (today - min(earlier)).days < 14:
        return None
    weekday = [earlier.get(today - dt.timedelta(weeks=n), 0) for n in range(1, 9)]
    month_day = [count for day, count in earlier.items() if day.day == today.day]
    limit = max(least, factor * max([*weekday, *month_day]))
    count = days.get(today, 0)
    return f"{count} events today, more than the usual {limit:.0f} at most" if count > limit else None


def _is_another(event: UnitEvent, events: Sequence[UnitEvent], now: dt.datetime) -> bool:
    """Say whether the tenancy at the moment of an event is known and is another's."""
    before = [e for e in counting(events, now) if e.moment < event.moment and e.identity != event.identity]
    return _mismatch(event, fold(before))


def _mismatch(event: UnitEvent, before: Fold) -> bool:
    if not before.values.get("occupied"):
        return False
    stated = [name for name in event.expect if not is_erased(before.values.get(name))]
    return any(before.values[name] != event.expect[name] for name in stated)


def is_erased(value: Value) -> bool:
    """Say whether nobody knows an id any more: it is not there, or a mark stands in its place."""
    return value is None or (isinstance(value, str) and value.startswith(ERASED_ID))
