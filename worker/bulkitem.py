"""One unit's part of a call of many units: its tenancy and its facts in one write, and what is known before and after.

Pure. What may not go in one write is left to the unit's own calls.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parsers.events import FACTS, PLACE, TENANCY, Value
from worker import guard, order
from worker.calls import Manners, Verb
from worker.order import Call, Fold, Shown, UnitEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One unit's part."""

    writes: Mapping[str, Value]
    """Without the id."""
    sources: Mapping[str, int]
    doubtful: Shown
    """What is known while nobody knows whether it took effect."""
    confirmed: Shown
    """What is known once it did."""
    may_be_new: bool
    """Whether it may create the unit."""


def plan_item(
    found: Sequence[UnitEvent],
    shown: Shown,
    *,
    manners: Manners,
    now: dt.datetime,
    origin: Mapping[str, Value] = order.NOTHING,
) -> Item | None:
    """Return what to write of a unit; None: nothing, or its own calls have to do it."""
    if any(event.is_blocked for event in found) or guard.judge(found, now, manners=manners, origin=origin, shown=shown):
        return None
    if guard.contradicted(found, now):
        return None
    wanted, dropped = order.taken(order.fold(order.counting(found, now), manners, origin), manners)
    calls = order.difference(wanted, shown, manners)
    if not calls or dropped:
        return None
    facts = {name: value for call in calls if call.verb is Verb.PATCH for name, value in call.writes.items()}
    tenancy = next((call for call in calls if call.verb is Verb.MOVE_IN), None)
    tenancy = tenancy or next((call for call in calls if call.verb is not Verb.PATCH), None)
    may_be_new = tenancy is not None and bool(wanted.place) and shown.get("exists") is not True
    may_be_new = may_be_new and tenancy is not None and tenancy.verb is not Verb.MOVE_OUT
    if tenancy is not None:
        facts |= _along(tenancy, wanted, manners, may_be_new=may_be_new)
        if tenancy.verb is not Verb.MOVE_IN and any(manners.move_out_clears.get(n, ...) != v for n, v in facts.items()):
            return None  # were the answer lost, the move-out could not be repeated: it would not clear these again
    writes = {**_tenancy_of(tenancy, wanted, with_place=may_be_new), **facts}
    return Item(
        writes=writes,
        sources=_sources(calls, facts, wanted),
        doubtful=_doubtful(shown, calls, facts, manners),
        confirmed=_confirmed(shown, calls, writes, manners, may_be_new=may_be_new),
        may_be_new=may_be_new,
    )


def _along(tenancy: Call, wanted: Fold, manners: Manners, *, may_be_new: bool) -> dict[str, Value]:
    """Return the facts that go along with a tenancy: those that it may touch by itself, or that a new unit lacks."""
    if may_be_new:
        names: Sequence[str] = FACTS
    else:
        names = tuple(manners.move_in_clears) if tenancy.verb is Verb.MOVE_IN else ()
    return {name: wanted.values[name] for name in names if name in wanted.values}


def _tenancy_of(tenancy: Call | None, wanted: Fold, *, with_place: bool) -> dict[str, Value]:
    place = {name: value for name, value in wanted.place.items() if name in PLACE} if with_place else {}
    if tenancy is None:
        return place
    if tenancy.verb is not Verb.MOVE_IN:
        return {**place, "occupied": False}
    stated = {name: tenancy.writes[name] for name in TENANCY if name in tenancy.writes}
    return {**place, "occupied": True, **stated}


def _sources(calls: Sequence[Call], facts: Mapping[str, Value], wanted: Fold) -> dict[str, int]:
    sources = {name: wanted.sources.get(name, order.ORIGIN) for name in facts}
    for call in calls:
        sources.update(call.sources)
    return sources


def _doubtful(shown: Shown, calls: Sequence[Call], facts: Mapping[str, Value], manners: Manners) -> dict[str, Value]:
    rest: Shown = shown
    for call in calls:
        rest = order.forgotten(rest, call, manners)
    return {name: value for name, value in rest.items() if name not in facts}


def _confirmed(
    shown: Shown, calls: Sequence[Call], writes: Mapping[str, Value], manners: Manners, *, may_be_new: bool
) -> dict[str, Value]:
    """Return what is shown once the item took effect. Of a unit that may be new only what was written is known."""
    if may_be_new:
        before = order.UNTOUCHED if shown.get("exists") is False else order.NOTHING
        tenancy = {"occupied": writes["occupied"], **{name: writes.get(name) for name in TENANCY}}
        return {**before, **tenancy, **{name: writes[name] for name in FACTS if name in writes}, "exists": True}
    after = dict(shown)
    for call in calls:
        after = order.confirmed(after, call, manners=manners)
    return {**after, **{name: writes[name] for name in FACTS if name in writes}}
