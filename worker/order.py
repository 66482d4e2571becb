"""Order the events of one unit: fold them into what is wanted, compare with what is shown, name the calls.

Pure. A unit is the fold of its events in moment order, so any order, repetition or delay of arrival ends alike
(architecture: moments, fold, difference). ``Shown`` holds what the destination has confirmed; a name that is absent
there is unknown. The tenancy is one register; each of the seven facts is one.
"""

import datetime as dt
import hashlib
from base64 import b32encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from parsers.events import FACTS, PLACE, TENANCY, Kind, Value, canonical
from worker.calls import CLEARED, Verb


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

    @property
    def moment(self) -> tuple[dt.datetime, dt.datetime, str, int, str]:
        return (self.effective_at, self.mailed_at, self.identity, self.position, self.fingerprint)


Shown = Mapping[str, Value]
"""``exists``, ``occupied``, the tenancy and the facts, as far as the destination has confirmed them."""

VACANT: Mapping[str, Value] = {"occupied": False, **dict.fromkeys(TENANCY)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What is wanted, and which event wants it."""

    values: Mapping[str, Value]
    """Wanted value by name; a name that no event speaks of is absent."""
    sources: Mapping[str, int]
    """Event id by name; the tenancy stands under ``occupied``."""
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
    return event.state in LET_IN and event.effective_at <= now


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


def fold(ordered: Sequence[UnitEvent], reset: Mapping[str, Value] = CLEARED) -> Fold:
    """Fold events that count, in moment order. ``reset``: the facts that the destination's move-out clears.

    An unknown occupancy before a move-out is taken for occupied: a PMS reports the end of a tenancy that there was.
    """
    values: dict[str, Value] = {}
    sources: dict[str, int] = {}
    place: dict[str, Value] = {}
    for event in ordered:
        if event.kind is Kind.MOVE_IN or (event.kind is Kind.SNAPSHOT and _states_tenancy(event.body)):
            values.update({"occupied": True, **{name: event.body.get(name) for name in TENANCY}})
            sources["occupied"] = event.id
            place.update({name: event.body[name] for name in PLACE if name in event.body})
        elif event.kind is Kind.MOVE_OUT or (event.kind is Kind.SNAPSHOT and event.body.get("occupied") is False):
            if values.get("occupied") is not False:
                values.update(reset)
                sources.update(dict.fromkeys(reset, event.id))
            values.update(VACANT)
            sources["occupied"] = event.id
        for name in FACTS:
            if name in event.body:
                values[name] = event.body[name]
                sources[name] = event.id
    return Fold(values=values, sources=sources, place=place)


def _states_tenancy(body: Mapping[str, Value]) -> bool:
    return body.get("occupied") is True and bool(body.get("pms_tenant_id")) and bool(body.get("move_in_date"))


def difference(wanted: Fold, shown: Shown, *, reset: Mapping[str, Value] = CLEARED) -> list[Call]:
    """Return the calls, at most three, that bring what is shown to what is wanted, in the order to send them.

    Empty when nothing differs, or when the destination does not know the unit and no move-in is known: nothing but a
    move-in ever creates a unit. A tenant who must stay outside is never let in on the way: into a vacant unit, the
    facts go first and the move-in last.
    """
    missing = shown.get("exists") is False
    if missing and not wanted.place:
        return []
    tenancy = _tenancy_call(wanted, missing=missing) if _tenancy_differs(wanted, shown) else None
    if tenancy is None:
        return _patches(wanted, shown)
    if tenancy.verb is not Verb.MOVE_IN:
        return [tenancy, *_patches(wanted, confirmed(shown, tenancy, created=missing, reset=reset))]
    denies = any(wanted.values.get(name) is True for name in ("pms_lockout", "pms_auction", "pms_unrentable"))
    if not missing and (shown.get("occupied") is False or (denies and "occupied" not in shown)):
        return [*_patches(wanted, shown), tenancy]
    if missing and denies:
        create = Call(verb=Verb.CREATE, writes={**wanted.place, "occupied": False}, sources=tenancy.sources)
        return [create, *_patches(wanted, confirmed(shown, create, created=True)), tenancy]
    return [tenancy, *_patches(wanted, confirmed(shown, tenancy, created=missing, reset=reset))]


def _patches(wanted: Fold, shown: Shown) -> list[Call]:
    """Return the one patch of the facts that differ, or none."""
    facts = {
        name: wanted.values[name]
        for name in FACTS
        if name in wanted.sources and (name not in shown or shown[name] != wanted.values[name])
    }
    if not facts:
        return []
    return [Call(verb=Verb.PATCH, writes=facts, sources={name: wanted.sources[name] for name in facts})]


def _tenancy_differs(wanted: Fold, shown: Shown) -> bool:
    if "occupied" not in wanted.sources:
        return False
    if not wanted.values["occupied"]:
        return shown.get("exists") is False or shown.get("occupied") is not False
    return any(name not in shown or shown[name] != wanted.values[name] for name in VACANT)


def _tenancy_call(wanted: Fold, *, missing: bool) -> Call:
    sources = {"occupied": wanted.sources["occupied"]}
    if wanted.values["occupied"]:
        body = {name: wanted.values[name] for name in TENANCY if wanted.values[name] is not None}
        return Call(verb=Verb.MOVE_IN, writes={**body, **wanted.place}, sources=sources)
    if missing:
        return Call(verb=Verb.CREATE, writes={**wanted.place, "occupied": False}, sources=sources)
    return Call(verb=Verb.MOVE_OUT, writes={}, sources=sources)


def confirmed(
    shown: Shown, call: Call, *, created: bool = False, reset: Mapping[str, Value] = CLEARED
) -> dict[str, Value]:
    """Return what is shown once the destination has confirmed a call.

    A unit that the call created starts with every fact at its default.
    """
    after: dict[str, Value] = {**shown, "exists": True}
    if created:
        after.update({**CLEARED, "pms_status_raw": None, **VACANT})
    if call.verb is Verb.MOVE_IN:
        after.update({"occupied": True, **{name: call.writes.get(name) for name in TENANCY}})
    elif call.verb is Verb.MOVE_OUT:
        if shown.get("occupied") is not False:
            after.update(reset)
        after.update(VACANT)
    elif call.verb is Verb.PATCH:
        after.update(call.writes)
    return after


def judge(events: Sequence[UnitEvent], now: dt.datetime) -> dict[int, tuple[State, str | None]]:
    """Return the events whose guard changes its mind: id -> new state and reason.

    A waiting event is held when the tenant or ledger that it names is not the one of the tenancy at its moment, and
    let go again when an earlier event explains it; one held for an unknown unit is let go when a move-in for the unit
    is known. An unknown tenancy, or none, is no mismatch.
    """
    changes: dict[int, tuple[State, str | None]] = {}
    current = list(events)
    move_in_known = any(event.kind is Kind.MOVE_IN and counts(event, now) for event in events)
    for index, event in sorted(enumerate(events), key=lambda pair: pair[1].moment):
        if event.state is State.HELD and event.reason == Hold.UNKNOWN_UNIT and move_in_known:
            changes[event.id] = (State.WAITING, None)
            event = current[index] = replace(event, state=State.WAITING, reason=None)
        mismatched = event.reason == Hold.TENANT_MISMATCH and event.state is State.HELD
        if event.expect and (mismatched or (event.state is State.WAITING and event.effective_at <= now)):
            before = [e for e in counting(current, now) if e.moment < event.moment and e.identity != event.identity]
            differs = _mismatch(event, fold(before))
            if differs != mismatched:
                state, reason = (State.HELD, Hold.TENANT_MISMATCH) if differs else (State.WAITING, None)
                changes[event.id] = (state, reason)
                current[index] = replace(event, state=state, reason=reason)
    return changes


def _mismatch(event: UnitEvent, before: Fold) -> bool:
    """Say whether the tenancy is known and is another's."""
    if not before.values.get("occupied"):
        return False
    stated = [name for name in event.expect if before.values.get(name) is not None]
    return any(before.values[name] != event.expect[name] for name in stated)


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
    if name == "occupied":
        return not _tenancy_differs(wanted, shown)
    return name in shown and shown[name] == wanted.values[name]


def next_due(events: Iterable[UnitEvent], now: dt.datetime) -> dt.datetime | None:
    """Return when the next future event becomes due; None when there is none."""
    return min(
        (event.effective_at for event in events if event.state is State.WAITING and event.effective_at > now),
        default=None,
    )


def key_base(company: str, destination: str, crm_unit_id: str, call: Call, events: Iterable[UnitEvent]) -> str:
    """Return the digest of all that a key is made of, but the generation: nothing of host, clock or chance."""
    carried = set(call.sources.values())
    identities = sorted({event.identity for event in events if event.id in carried})
    parts = (company, destination, *identities, call.verb, crm_unit_id, canonical(call.writes))
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def derive_key(base: str, generation: int) -> str:
    """Return the idempotency key of a call: ``gp1-`` and 52 characters; no personal data."""
    digest = hashlib.sha256(f"{base}\x1f{generation}".encode()).digest()
    return "gp1-" + b32encode(digest).decode().rstrip("=").lower()


def alone(call: Call) -> Call:
    """Return the part of a call that its first event asks for."""
    first = min(call.sources.values())
    names = [name for name, source in call.sources.items() if source == first]
    if "occupied" in names:
        return call
    return Call(verb=call.verb, writes={name: call.writes[name] for name in names}, sources=dict.fromkeys(names, first))
