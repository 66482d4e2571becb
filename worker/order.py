"""Order the events of one unit: fold them into what is wanted, compare with what is shown, name the calls.

Pure. A unit is the fold of its events in moment order, so any order, repetition or delay of arrival ends alike
(architecture: moments, fold, difference). ``Shown`` holds what the destination has confirmed; a name that is absent
there is unknown. The tenancy is one register; each of the seven facts is one. ``worker/guard.py`` says which events
take part at all.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum

from parsers.events import FACTS, PLACE, TENANCY, Kind, Value
from worker.calls import CLEARED, Manners, Verb


class State(StrEnum):
    """The states of an event; ``docs/operations.md`` says what each asks of a person."""

    WAITING = "waiting"
    HELD = "held"
    APPLIED = "applied"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"
    WITHDRAWN = "withdrawn"
    DISCARDED = "discarded"


LET_IN = (State.WAITING, State.APPLIED, State.SUPERSEDED, State.UNCERTAIN)
"""The states of events that take part in the fold, once they are due."""


class Hold(StrEnum):
    """Why an event is held. The first two release themselves when an earlier event explains them."""

    UNKNOWN_UNIT = "unknown_unit"
    TENANT_MISMATCH = "tenant_mismatch"
    CLOCK = "clock"
    REVIEW = "review"
    SURGE = "surge"
    FLIPS = "flips"
    PROBATION = "probation"
    NO_EARLIER_VALUE = "no_earlier_value"
    TRIES_EXHAUSTED = "tries_exhausted"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitEvent:
    """An event as the order sees it."""

    id: int
    kind: Kind
    identity: str
    effective_at: dt.datetime
    mailed_at: dt.datetime
    position: int
    mail_id: str | None
    body: Mapping[str, Value]
    expect: Mapping[str, str]
    state: State
    reason: str | None = None
    fingerprint: str = ""
    received_at: dt.datetime | None = None
    told_at: dt.datetime | None = None
    """When it was last told so; None: told once. Of two revisions the one that was told last wins."""
    on_date: str = ""
    """The day at the site on which it happened, as YYYY-MM-DD; empty when nobody asks for it."""
    is_blocked: bool = False
    """True while it waits for the other half of a transfer."""

    @property
    def moment(self) -> tuple[dt.datetime, dt.datetime, str, int, str]:
        return (self.effective_at, self.mailed_at, self.identity, self.position, self.fingerprint)


Shown = Mapping[str, Value]
"""``exists``, ``occupied``, the tenancy and the facts, as far as the destination has confirmed them."""

VACANT: Mapping[str, Value] = {"occupied": False, **dict.fromkeys(TENANCY)}
UNTOUCHED: Mapping[str, Value] = {**CLEARED, "pms_status_raw": None, **VACANT}
"""What a unit holds that was just created."""

PLAIN = Manners()
NOTHING: Mapping[str, Value] = {}
DOUBTFUL = "?"
"""Stands in ``shown`` for what may have been written: nobody knows what is there, and somebody may have to be told."""
ORIGIN = 0
"""Stands for an event id where no event asks for a value: what was there before any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What is wanted, and which event wants it."""

    values: Mapping[str, Value]
    """Wanted value by name; a name that no event speaks of, and whose origin is unknown, is absent."""
    sources: Mapping[str, int]
    """Event id by name; the tenancy stands under ``occupied``. A value of the origin has none."""
    place: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Name and location of the unit, as the last move-in gave them; empty when no move-in is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call to make."""

    verb: Verb
    writes: Mapping[str, Value]
    """The body; what becomes shown when it is confirmed."""
    sources: Mapping[str, int]
    """Event id by name of what it writes; the tenancy stands under ``occupied``."""


def counts(event: UnitEvent, now: dt.datetime) -> bool:
    """Say whether an event takes part in the fold: let in, and due."""
    return event.state in LET_IN and event.effective_at <= now and not event.is_blocked


def counting(events: Iterable[UnitEvent], now: dt.datetime) -> list[UnitEvent]:
    """Return the events that count, in moment order, one for each identity.

    Of two revisions the later mail wins, fact by fact: what it does not speak of stands as the earlier one said.

    A move-in of the future counts at once while no tenancy stands (the destination denies access until the day);
    what its mail says along with it goes with it.
    """
    last: dict[str, UnitEvent] = {}
    for event in sorted(events, key=lambda e: (e.told_at or e.mailed_at, e.fingerprint)):
        if event.state in LET_IN:
            earlier = last.get(event.identity)
            last[event.identity] = replace(event, body={**earlier.body, **event.body}) if earlier else event
    ordered = sorted(last.values(), key=lambda e: e.moment)
    due = [event for event in ordered if counts(event, now)]
    future = [event for event in ordered if event.effective_at > now]
    arrival = next((event for event in future if event.kind is not Kind.PATCH), None)
    if arrival is None or arrival.kind is not Kind.MOVE_IN or fold(due).values.get("occupied"):
        return due
    along = [
        event for event in future if event.mail_id == arrival.mail_id and event.effective_at == arrival.effective_at
    ]
    return [*due, *(event for event in along if event is arrival or event.kind is Kind.PATCH)]


def fold(ordered: Sequence[UnitEvent], manners: Manners = PLAIN, origin: Mapping[str, Value] = NOTHING) -> Fold:
    """Fold events that count, in moment order, on what was there before them, as the destination's tenancy goes.

    A move-out that is the first tenancy event of all ends a tenancy, whatever was there before: a PMS reports the end
    of a tenancy that there was.
    """
    values: dict[str, Value] = dict(origin)
    sources: dict[str, int] = {}
    place: dict[str, Value] = {}
    for event in ordered:
        if begins_tenancy(event):
            values.update({**manners.move_in_clears, "occupied": True})
            values.update({name: event.body.get(name) for name in TENANCY})
            sources.update(dict.fromkeys((*manners.move_in_clears, "occupied"), event.id))
            place.update({name: event.body[name] for name in PLACE if name in event.body})
        elif ends_tenancy(event):
            if "occupied" not in sources or values.get("occupied") is not False:
                values.update(manners.move_out_clears)
                sources.update(dict.fromkeys(manners.move_out_clears, event.id))
            values.update(VACANT)
            sources["occupied"] = event.id
        for name in FACTS:
            if name in event.body:
                values[name] = event.body[name]
                sources[name] = event.id
    return Fold(values=values, sources=sources, place=place)


def begins_tenancy(event: UnitEvent) -> bool:
    """Say whether an event begins a tenancy. A row of a report that names no tenant never does."""
    if event.kind is not Kind.SNAPSHOT:
        return event.kind is Kind.MOVE_IN
    body = event.body
    return body.get("occupied") is True and bool(body.get("pms_tenant_id")) and bool(body.get("move_in_date"))


def ends_tenancy(event: UnitEvent) -> bool:
    """Say whether an event ends a tenancy."""
    return event.kind is Kind.MOVE_OUT or (event.kind is Kind.SNAPSHOT and event.body.get("occupied") is False)


def taken(wanted: Fold, manners: Manners) -> tuple[Fold, Mapping[str, int]]:
    """Return what of the wanted a destination takes, and what it does not: event id by name."""
    tenancy = Verb.MOVE_IN if wanted.values.get("occupied") else Verb.MOVE_OUT
    dropped = {
        name: source
        for name, source in wanted.sources.items()
        if (tenancy not in manners.verbs if name == "occupied" else name not in manners.facts)
    }
    if not dropped:
        return wanted, dropped
    gone = {*dropped, *(VACANT if "occupied" in dropped else ())}
    values = {name: value for name, value in wanted.values.items() if name not in gone}
    sources = {name: source for name, source in wanted.sources.items() if name not in dropped}
    return Fold(values=values, sources=sources, place=wanted.place), dropped


def difference(wanted: Fold, shown: Shown, manners: Manners = PLAIN) -> list[Call]:
    """Return the calls, at most three, that bring what is shown to what is wanted, in the order to send them.

    Empty when nothing differs, or when the destination does not know the unit and no move-in is known: nothing but a
    move-in ever creates a unit. A tenant who must stay outside is never let in on the way: then, and into a vacant
    unit, the facts go first and the move-in last.
    """
    missing = shown.get("exists") is False
    if missing and not wanted.place:
        return []
    tenancy = _tenancy_call(wanted, missing=missing) if _tenancy_differs(wanted, shown) else None
    if tenancy is None:
        return _patches(wanted, shown)
    if tenancy.verb not in manners.verbs:
        return []  # a unit that cannot be created vacant: it waits until somebody moves in
    if tenancy.verb is not Verb.MOVE_IN:
        return [tenancy, *_patches(wanted, confirmed(shown, tenancy, created=missing, manners=manners))]
    denies = any(wanted.values.get(name) is True for name in ("pms_lockout", "pms_auction", "pms_unrentable"))
    if not missing and (shown.get("occupied") is False or denies):
        return _around(wanted, shown, tenancy, manners)
    if missing and (denies or not manners.move_in_creates) and Verb.CREATE in manners.verbs:
        create = Call(verb=Verb.CREATE, writes={**wanted.place, "occupied": False}, sources=tenancy.sources)
        made = confirmed(shown, create, created=True, manners=manners)
        return [create, *_around(wanted, made, tenancy, manners)]
    return [tenancy, *_patches(wanted, confirmed(shown, tenancy, created=missing, manners=manners))]


def _around(wanted: Fold, shown: Shown, tenancy: Call, manners: Manners) -> list[Call]:
    """Return the facts, the tenancy, and the facts that the tenancy's call just cleared."""
    facts = _patches(wanted, shown)
    after = shown
    for call in (*facts, tenancy):
        after = confirmed(after, call, manners=manners)
    return [*facts, tenancy, *_patches(wanted, after)]


def _patches(wanted: Fold, shown: Shown) -> list[Call]:
    """Return the one patch of the facts that differ, or none."""
    facts = {name: wanted.values[name] for name in FACTS if name in wanted.values and not _stands(name, wanted, shown)}
    if not facts:
        return []
    sources = {name: wanted.sources.get(name, ORIGIN) for name in facts}
    return [Call(verb=Verb.PATCH, writes=facts, sources=sources)]


def _stands(name: str, wanted: Fold, shown: Shown) -> bool:
    return name in shown and shown[name] == wanted.values[name]


def _tenancy_differs(wanted: Fold, shown: Shown) -> bool:
    if "occupied" not in wanted.values:
        return False
    if not wanted.values["occupied"]:
        return shown.get("exists") is False or shown.get("occupied") is not False
    return any(name not in shown or shown[name] != wanted.values[name] for name in VACANT)


def _tenancy_call(wanted: Fold, *, missing: bool) -> Call:
    sources = {"occupied": wanted.sources.get("occupied", ORIGIN)}
    if wanted.values["occupied"]:
        body = {name: wanted.values[name] for name in TENANCY if wanted.values[name] is not None}
        return Call(verb=Verb.MOVE_IN, writes={**body, **wanted.place}, sources=sources)
    if missing:
        return Call(verb=Verb.CREATE, writes={**wanted.place, "occupied": False}, sources=sources)
    return Call(verb=Verb.MOVE_OUT, writes={}, sources=sources)


def confirmed(shown: Shown, call: Call, *, created: bool = False, manners: Manners = PLAIN) -> dict[str, Value]:
    """Return what is shown once the destination has confirmed a call.

    A unit that the call created starts with every fact at its default. What was written before the move-out of a unit
    whose occupancy nobody knows may still be there: a vacant unit keeps its facts. So it is unknown, and stated.
    """
    after: dict[str, Value] = {**shown, "exists": True}
    if created:
        after.update(UNTOUCHED)
    if call.verb in (Verb.MOVE_IN, Verb.MOVE_OUT):
        after = known(after)
    if call.verb is Verb.MOVE_IN:
        after.update({**manners.move_in_clears, "occupied": True})
        after.update({name: call.writes.get(name) for name in TENANCY})
    elif call.verb is Verb.MOVE_OUT:
        if shown.get("occupied") is not False:
            after.update(manners.move_out_resets)
        if is_unknown(shown, "occupied"):
            for name in manners.move_out_resets:
                if name in shown and shown[name] != after[name]:
                    del after[name]
        after.update(VACANT)
    elif call.verb is Verb.PATCH:
        after.update(call.writes)
    return after


def forgotten(shown: Shown, call: Call, manners: Manners = PLAIN) -> dict[str, Value]:
    """Return what is still known when the outcome of a call never came to light."""
    doubtful = {
        Verb.PATCH: {*call.writes},
        Verb.MOVE_IN: {"exists", *VACANT, *manners.move_in_clears},
        Verb.MOVE_OUT: {*VACANT, *manners.move_out_resets},
        Verb.CREATE: {"exists", *UNTOUCHED},
    }[call.verb]
    rest = {name: value for name, value in shown.items() if name not in doubtful}
    rest.update(dict.fromkeys(call.writes if call.verb is Verb.PATCH else ("occupied",), DOUBTFUL))
    if call.verb is Verb.MOVE_OUT and is_unknown(shown, "occupied"):
        # whoever resets the unit next may find it vacant, so that what we wrote stays
        resets = manners.move_out_resets
        rest.update(dict.fromkeys((n for n in resets if n in shown and shown[n] != resets[n]), DOUBTFUL))
    return rest


def is_unknown(shown: Shown, name: str) -> bool:
    """Say whether nobody knows what the destination holds of a name: nothing was confirmed, or it is doubtful."""
    return shown.get(name, DOUBTFUL) == DOUBTFUL


def known(shown: Shown) -> dict[str, Value]:
    """Return what is shown, without what is doubtful."""
    return {name: value for name, value in shown.items() if value != DOUBTFUL}


def settle(events: Sequence[UnitEvent], wanted: Fold, shown: Shown, now: dt.datetime) -> dict[int, State]:
    """Return the state of each event that counts, where it changes: id -> applied, superseded or waiting."""
    surviving: dict[int, list[str]] = {}
    for name, source in wanted.sources.items():
        surviving.setdefault(source, []).append(name)
    counted = {event.id for event in counting(events, now)}
    states: dict[int, State] = {}
    for event in events:
        if event.id in surviving:
            done = all(_is_shown(name, wanted, shown) for name in surviving[event.id])
            state = State.APPLIED if done else State.WAITING
        elif event.id in counted or counts(event, now):
            state = State.SUPERSEDED
        elif event.effective_at > now and event.state in (State.APPLIED, State.SUPERSEDED, State.UNCERTAIN):
            state = State.WAITING  # it was sent ahead of its day, and another tenancy has turned up meanwhile
        else:
            continue
        if state is not event.state:
            states[event.id] = state
    return states


def _is_shown(name: str, wanted: Fold, shown: Shown) -> bool:
    if shown.get("exists") is False:
        return False
    return not _tenancy_differs(wanted, shown) if name == "occupied" else _stands(name, wanted, shown)


def withdraw(
    events: Sequence[UnitEvent],
    ids: Collection[int],
    shown: Shown,
    now: dt.datetime,
    *,
    on_its_way: Collection[str] = (),
    manners: Manners = PLAIN,
    origin: Mapping[str, Value] = NOTHING,
) -> dict[int, tuple[State, str | None]]:
    """Return the states of events that are taken out of the fold: id -> state and reason.

    What an event may have written and nobody knows an earlier value of stays as it is at the destination: such an
    event is held ``no_earlier_value``, for a person to say what is right. ``on_its_way``: names that open calls write.
    """
    before = fold(counting(events, now), manners, origin).values
    rest = [event for event in events if event.id not in ids]
    after = fold(counting(rest, now), manners, origin).values
    unwanted = {*shown, *on_its_way} - after.keys()
    states: dict[int, tuple[State, str | None]] = {}
    for event in events:
        if event.id in ids:
            lost = any(event.state in WRITTEN or name in before for name in touched(event, manners) if name in unwanted)
            states[event.id] = (State.HELD, Hold.NO_EARLIER_VALUE) if lost else (State.WITHDRAWN, None)
    return states


WRITTEN = (State.APPLIED, State.SUPERSEDED, State.UNCERTAIN)
"""The states of events that may have been sent."""


def touched(event: UnitEvent, manners: Manners = PLAIN) -> list[str]:
    """Return the names of all that an event may write; the tenancy stands under ``occupied``."""
    names = [name for name in FACTS if name in event.body]
    if begins_tenancy(event):
        names += ["occupied", *manners.move_in_clears]
    if ends_tenancy(event):
        names += ["occupied", *manners.move_out_clears]
    return names


class Urgency(IntEnum):
    """Which calls go first when many wait: those that let a tenant in, then those that keep one out."""

    OPENS = 0
    CLOSES = 1
    OTHER = 2


def urgency(kind: Kind | Verb, body: Mapping[str, Value]) -> Urgency:
    """Return how urgent an event or a call is, by what it says."""
    denies = any(body.get(name) is True for name in ("pms_lockout", "pms_auction", "pms_unrentable"))
    if kind in (Kind.MOVE_OUT, Verb.MOVE_OUT) or denies or body.get("occupied") is False:
        return Urgency.CLOSES
    allows = any(body.get(name) is False for name in ("pms_lockout", "pms_auction", "pms_unrentable"))
    if kind in (Kind.MOVE_IN, Verb.MOVE_IN) or allows or body.get("occupied") or body.get("pms_lock_exempt"):
        return Urgency.OPENS
    return Urgency.CLOSES if body.get("pms_lock_exempt") is False else Urgency.OTHER


def next_due(events: Iterable[UnitEvent], now: dt.datetime) -> dt.datetime | None:
    """Return when the next future event becomes due; None when there is none."""
    return min(
        (event.effective_at for event in events if event.state is State.WAITING and event.effective_at > now),
        default=None,
    )


def alone(call: Call) -> Call:
    """Return the part of a call that its first event asks for."""
    first = min(call.sources.values())
    names = [name for name, source in call.sources.items() if source == first]
    if "occupied" in names:
        return call
    return Call(verb=call.verb, writes={name: call.writes[name] for name in names}, sources=dict.fromkeys(names, first))
