"""What a destination had been told by a moment: the calls that had ended by then, taken one after the other. Pure.

The drain keeps only what is shown now (``worker/turn.py``); here the same steps are gone again over the record.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from parsers.events import FACTS, PLACE, TENANCY, Value
from worker.calls import Manners, Verb
from worker.order import NOTHING, ORIGIN, UNTOUCHED, Call, confirmed, forgotten, known


class End(StrEnum):
    """How a call ended."""

    DONE = "done"
    DOUBTFUL = "doubtful"  # given up, and it may have taken effect: what it would have written is unknown
    MISSING = "missing"  # the destination did not know the unit
    WITHOUT_EFFECT = "without_effect"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """A call that has ended, as far as one unit is concerned."""

    id: int
    verb: Verb | None
    """None: a row of a call of many units."""
    writes: Mapping[str, Value]
    sources: Mapping[str, int]
    end: End
    created: bool = False
    """Whether it made the unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who told the destination a value."""

    call_id: int
    event_id: int
    """``ORIGIN`` where no event asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the destination had been told."""

    shown: Mapping[str, Value]
    """As ``order.Shown``: a name that is absent is unknown."""
    writers: Mapping[str, Writer]
    """By name; the tenancy stands under ``occupied``. A value of the origin has none."""
    touched_by: Mapping[str, int]
    """The call that wrote a name last, or last made it unknown."""
    repeated: Sequence[int] = ()
    """The calls of one unit that were done though all they say had been said: done twice."""


def tell(calls: Iterable[PastCall], manners: Manners, origin: Mapping[str, Value] = NOTHING) -> Told:
    """Return what a destination has been told by calls that ended one after the other.

    ``origin``: what was there before any of them, where that is known.
    """
    calls = list(calls)
    rows = {call.id for call in calls if call.verb is None}
    steps = [step for call in calls for step in _steps(call)]
    shown: dict[str, Value] = {**origin, "exists": True} if origin else {}
    writers: dict[str, Writer] = {}
    touched: dict[str, int] = {}
    repeated: list[int] = []
    for step in steps:
        if step.verb is None or step.end is End.WITHOUT_EFFECT:
            continue
        call = Call(verb=step.verb, writes=step.writes, sources=step.sources)
        if step.end is End.MISSING:
            names: Sequence[str] = tuple(shown)
            after: dict[str, Value] = {"exists": False}
        elif step.end is End.DOUBTFUL:
            after = forgotten(shown, call, manners)
            names = _named(call, shown, manners)
        else:
            is_new_row = step.id in rows and shown.get("exists") is False  # it was done, so it made the unit
            created = step.created or step.verb is Verb.CREATE or is_new_row
            after = confirmed(shown, call, created=created, manners=manners)
            names = tuple(UNTOUCHED) if created else _named(call, shown, manners)
        for name in names:
            touched[name] = step.id
            writers.pop(name, None)
            if step.end is End.DONE and name in after:
                writers[name] = Writer(call_id=step.id, event_id=_source(step, name))
        if step.end is End.DONE and after == shown and step.id not in rows:
            repeated.append(step.id)
        shown = after
    return Told(shown=known(shown), writers=writers, touched_by=touched, repeated=tuple(repeated))


def _source(call: PastCall, name: str) -> int:
    return call.sources.get(name, call.sources.get("occupied", ORIGIN))


def _named(call: Call, shown: Mapping[str, Value], manners: Manners) -> tuple[str, ...]:
    """Return the names that a call writes; the tenancy as a whole."""
    tenancy = ("occupied", *TENANCY)
    match call.verb:
        case Verb.PATCH:
            return tuple(call.writes)
        case Verb.MOVE_IN:
            return (*tenancy, *manners.move_in_clears)
        case Verb.MOVE_OUT:
            return (*tenancy, *(manners.move_out_resets if shown.get("occupied") is not False else ()))
        case Verb.CREATE:
            return tuple(UNTOUCHED)


def _steps(call: PastCall) -> list[PastCall]:
    """Return a row of a call of many units as the calls that it amounts to: its tenancy, then its facts."""
    if call.verb is not None:
        return [call]
    steps: list[PastCall] = []
    tenancy = {name: call.writes[name] for name in (*TENANCY, *PLACE) if name in call.writes}
    if call.writes.get("occupied") is True:
        steps.append(replace(call, verb=Verb.MOVE_IN, writes=tenancy))
    elif call.writes.get("occupied") is False:
        may_be_new = call.end is End.DOUBTFUL and not set(PLACE).isdisjoint(call.writes)
        steps.append(replace(call, verb=Verb.CREATE if may_be_new else Verb.MOVE_OUT, writes={}))
    facts = {name: value for name, value in call.writes.items() if name in FACTS}
    return [*steps, replace(call, verb=Verb.PATCH, writes=facts, created=False)] if facts else steps
