"""The law of the fold: whatever the order of arrival, the destination ends as if each event came once and in order."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from parsers.events import Kind, canonical
from tests.model import DEFAULTS, Kiss, permits
from worker import guard, keys, order
from worker.calls import Verb
from worker.order import State, UnitEvent

UNIT = "MAIN-B204"
NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
LATER = NOON + dt.timedelta(days=30)
PLACE = {"unit_name": "B204", "pms_location_code": "MAIN"}


def make(number: int, kind: Kind, body: dict, *, hour: int = 0, identity: str | None = None, **more) -> UnitEvent:
    at = NOON + dt.timedelta(hours=hour)
    return UnitEvent(
        id=number,
        kind=kind,
        identity=identity or f"i{number}",
        effective_at=at,
        mailed_at=more.pop("mailed_at", at),
        position=0,
        mail_id=f"m{number}",
        body=body,
        expect=more.pop("expect", {}),
        state=more.pop("state", State.WAITING),
        fingerprint=str(number),
        **more,
    )


def move_in(number: int, tenant: str, hour: int, **more) -> UnitEvent:
    body = {"pms_tenant_id": tenant, "ledger_id": f"L-{tenant}", "move_in_date": "2026-04-01", **PLACE}
    return make(number, Kind.MOVE_IN, body, hour=hour, **more)


def move_out(number: int, hour: int, **more) -> UnitEvent:
    return make(number, Kind.MOVE_OUT, {}, hour=hour, **more)


def patch(number: int, hour: int, body: dict, **more) -> UnitEvent:
    return make(number, Kind.PATCH, body, hour=hour, **more)


class World:
    """A unit and its destination, drained after each arrival as the worker does."""

    def __init__(self, start: dict | None = None) -> None:
        self.kiss = Kiss()
        if start is not None:
            self.kiss.units[UNIT] = dict(start)
        self.shown: dict = {}
        self.events: list[UnitEvent] = []
        self.keys: dict[str, int] = {}
        self.is_contradicted = False
        """Whether a tale that came late put another tenancy under what was applied: an issue, for a person."""

    def arrive(self, event: UnitEvent) -> None:
        known = [e for e in self.events if e.identity == event.identity and e.fingerprint == event.fingerprint]
        if not known:
            self.events.append(event)
        self.drain()

    def drain(self) -> None:
        opened, saw = self._permits(), len(self.kiss.seen)
        self._drain()
        on_the_way = any(permits(seen) for seen in self.kiss.seen[saw:])
        assert opened or self._permits() or not on_the_way, "a gate stood open on the way from closed to closed"

    def _permits(self) -> bool:
        return UNIT in self.kiss.units and permits(self.kiss.units[UNIT])

    def _drain(self) -> None:
        if self.shown.get("exists") is False:
            self.shown = {}
        for _ in range(8):
            changes = guard.judge(self.events, LATER, shown=self.shown)
            self.events = [
                replace(e, state=changes[e.id][0], reason=changes[e.id][1]) if e.id in changes else e
                for e in self.events
            ]
            self.is_contradicted |= bool(guard.contradicted(self.events, LATER))
            wanted = order.fold(order.counting(self.events, LATER))
            calls = order.difference(wanted, self.shown)
            states = order.settle(self.events, wanted, self.shown, LATER)
            self.events = [replace(e, state=states.get(e.id, e.state)) for e in self.events]
            if not calls:
                return
            self._send_all(calls)
        raise AssertionError("the drain does not come to an end")

    def _send_all(self, calls: list[order.Call]) -> None:
        for call in calls:
            status = self._send(call)
            if status == 404:
                self.shown = {"exists": False}
                return
            created = status == 201 or call.verb is Verb.CREATE
            self.shown = order.confirmed(self.shown, call, created=created)

    def _send(self, call: order.Call) -> int:
        base = keys.key_base("acme", "kiss", UNIT, call, self.events)
        self.keys[base] = self.keys.get(base, -1) + 1
        key = keys.derive_key(base, self.keys[base])
        method, path = {
            Verb.MOVE_IN: ("PUT", f"/units/{UNIT}/tenancy"),
            Verb.MOVE_OUT: ("DELETE", f"/units/{UNIT}/tenancy"),
            Verb.PATCH: ("PATCH", f"/units/{UNIT}"),
            Verb.CREATE: ("PATCH", "/units"),
        }[call.verb]
        values = {"units": [{"crm_unit_id": UNIT, **call.writes}]} if call.verb is Verb.CREATE else dict(call.writes)
        body = canonical(values).encode() if values else b""
        return self.kiss.request(method, path, body, key)[0]


def in_order_once_each(events: Sequence[UnitEvent], start: dict | None) -> dict:
    """Apply each identity once, as its later mails revise it, in the order of moments, to a unit that is there."""
    model = Kiss(units={UNIT: dict(start or DEFAULTS)})
    last: dict[str, UnitEvent] = {}
    for event in sorted(events, key=lambda e: (e.mailed_at, e.fingerprint)):
        before = last[event.identity].body if event.identity in last else {}
        last[event.identity] = replace(event, body={**before, **event.body})
    for event in sorted(last.values(), key=lambda e: e.moment):
        unit = model.units[UNIT]
        if unit["occupied"] and any(unit[name] != stated for name, stated in event.expect.items()):
            continue  # it names another tenancy
        if event.kind is Kind.MOVE_IN:
            model.move_in(UNIT, event.body)
        elif event.kind is Kind.MOVE_OUT:
            model.move_out(UNIT)
        else:
            model.patch(UNIT, event.body)
    return model.units[UNIT]


FACTS = st.one_of(
    st.fixed_dictionaries({"pms_lockout": st.booleans(), "pms_status_raw": st.sampled_from(["a", "b"])}),
    st.fixed_dictionaries({"balance_due": st.sampled_from([Decimal(0), Decimal("12.50"), Decimal(99)])}),
    st.fixed_dictionaries({"paid_through_date": st.sampled_from(["2026-05-31", "2026-06-30"])}),
    st.fixed_dictionaries({"pms_auction": st.booleans()}),
    st.fixed_dictionaries({"pms_lock_exempt": st.booleans(), "pms_unrentable": st.booleans()}),
)


@st.composite
def histories(draw: st.DrawFn) -> list[UnitEvent]:
    """Events of one unit at hours that may coincide, some with a revision of the same identity."""
    events: list[UnitEvent] = []
    for number in range(draw(st.integers(1, 8))):
        hour = draw(st.integers(0, 6))
        kind = draw(st.sampled_from([Kind.MOVE_IN, Kind.MOVE_OUT, Kind.PATCH, Kind.PATCH]))
        if kind is Kind.MOVE_IN:
            events.append(move_in(number, draw(st.sampled_from("ABC")), hour))
        elif kind is Kind.MOVE_OUT:
            events.append(move_out(number, hour))
        else:
            events.append(patch(number, hour, draw(FACTS)))
            if draw(st.booleans()):
                revised = patch(number + 100, hour, draw(FACTS), identity=f"i{number}")
                events.append(replace(revised, mailed_at=revised.mailed_at + dt.timedelta(hours=1)))
    return events


@pytest.mark.law
@given(data=st.data(), history=histories())
def test_any_order_and_repetition_ends_as_in_order_once_each(data: st.DataObject, history: list[UnitEvent]) -> None:
    """A unit that a move-in creates ends as in-order once-each, however its events arrive."""
    first = move_in(1000, "Z", -1)
    events = [first, *history]
    arrivals = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=4))))
    world = World()
    for event in arrivals:
        world.arrive(event)
    assert world.kiss.units[UNIT] == in_order_once_each(events, None)
    writes = world.kiss.writes
    for event in arrivals:
        world.arrive(event)
    assert world.kiss.writes == writes, "what has arrived already is not written again"
    note(f"{len(events)} events")


@pytest.mark.law
@given(data=st.data(), history=histories())
def test_a_unit_that_was_occupied_before_us_ends_alike(data: st.DataObject, history: list[UnitEvent]) -> None:
    """A unit whose tenancy we never saw begin ends as in-order once-each."""
    start = {**DEFAULTS, "occupied": True, "pms_tenant_id": "old", "ledger_id": "old", "move_in_date": "2020-01-01"}
    world = World(start)
    for event in data.draw(st.permutations(history)):
        world.arrive(event)
    assert world.kiss.units[UNIT] == in_order_once_each(history, start)


@pytest.mark.law
@given(
    data=st.data(), history=histories(), named=st.lists(st.sampled_from(["A", "B", "C", ""]), min_size=9, max_size=9)
)
def test_what_names_another_tenant_has_no_effect(
    data: st.DataObject, history: list[UnitEvent], named: list[str]
) -> None:
    """Facts and move-outs act on the tenant whom they name alone; what was applied before is for a person to judge."""
    events = [move_in(1000, "Z", -1)]
    told_once = [event for event in history if event.fingerprint == event.identity[1:]]
    for event, tenant in zip(told_once, named, strict=False):
        is_bound = tenant and event.kind is not Kind.MOVE_IN
        events.append(replace(event, expect={"pms_tenant_id": tenant}) if is_bound else event)
    world = World()
    for event in data.draw(st.permutations(events)):
        world.arrive(event)
    if not world.is_contradicted:
        assert world.kiss.units[UNIT] == in_order_once_each(events, None)
    note(f"contradicted: {world.is_contradicted}")


@pytest.mark.law
@given(data=st.data(), history=histories())
def test_nothing_but_a_move_in_creates_a_unit(data: st.DataObject, history: list[UnitEvent]) -> None:
    """A unit that no mail moved anybody into is not created, and its events wait."""
    events = [event for event in history if event.kind is not Kind.MOVE_IN]
    world = World()
    for event in data.draw(st.permutations(events)):
        world.arrive(event)
    assert UNIT not in world.kiss.units
    surviving = set(order.fold(order.counting(world.events, LATER)).sources.values())
    assert all(event.state is State.WAITING for event in world.events if event.id in surviving)


def test_a_plain_event_gives_one_call() -> None:
    """In the plain case one event gives one call."""
    world = World()
    for event in (
        move_in(1, "A", 0),
        patch(2, 1, {"pms_lockout": True}),
        patch(3, 2, {"pms_lockout": False}),
        move_out(4, 3),
    ):
        before = world.kiss.writes
        world.arrive(event)
        assert world.kiss.writes == before + 1
    assert [event.state for event in world.events] == [
        State.SUPERSEDED,
        State.SUPERSEDED,
        State.SUPERSEDED,
        State.APPLIED,
    ]


def test_an_older_event_that_arrives_late_sends_nothing() -> None:
    """A late overlock does not lock again what a later mail unlocked."""
    world = World()
    world.arrive(move_in(1, "A", 0))
    world.arrive(patch(2, 5, {"pms_lockout": False}))
    writes = world.kiss.writes
    world.arrive(patch(3, 4, {"pms_lockout": True}))
    assert world.kiss.writes == writes
    assert world.events[-1].state is State.SUPERSEDED


def test_what_a_move_out_cleared_is_written_again() -> None:
    """A move-out that arrives late clears facts that later mails stated: they are written again."""
    world = World()
    world.arrive(move_in(1, "A", 0))
    world.arrive(move_in(2, "B", 5))
    world.arrive(patch(3, 6, {"pms_lockout": True}))
    world.arrive(move_out(4, 4))
    assert world.kiss.units[UNIT]["pms_tenant_id"] == "B"
    assert world.kiss.units[UNIT]["pms_lockout"] is True


def test_superseded_is_never_final() -> None:
    """An event that another covered counts again when that one is withdrawn."""
    lock, unlock = patch(1, 1, {"pms_lockout": True}), patch(2, 2, {"pms_lockout": False})
    covered = replace(lock, state=State.SUPERSEDED)
    withdrawn = replace(unlock, state=State.WITHDRAWN)
    assert order.fold(order.counting([covered, withdrawn], LATER)).values["pms_lockout"] is True


def test_a_mismatched_tenant_is_held_and_let_go_when_explained() -> None:
    """A move-out that names another tenant is held; an earlier move-in of that tenant explains it."""
    world = World()
    world.arrive(move_in(1, "B", 0))
    world.arrive(move_out(2, 5, expect={"pms_tenant_id": "A"}))
    assert (world.events[-1].state, world.events[-1].reason) == (State.HELD, "tenant_mismatch")
    assert world.kiss.units[UNIT]["occupied"] is True
    world.arrive(move_in(3, "A", 3))
    assert world.kiss.units[UNIT]["occupied"] is False


def test_what_a_held_event_had_covered_is_judged_before_it_takes_effect() -> None:
    """Facts of later tenants that waited for their unit are held all at once when an earlier tenant moves in."""
    world = World()
    for number, (hour, tenant, locked) in enumerate([(2, "A", True), (5, "B", False), (9, "C", True)]):
        world.arrive(patch(number, hour, {"pms_lockout": locked}, expect={"pms_tenant_id": tenant}))
    assert [event.state for event in world.events] == [State.SUPERSEDED, State.SUPERSEDED, State.WAITING]
    world.arrive(move_in(7, "A", 0))
    assert [(event.state, event.reason) for event in world.events[1:3]] == [(State.HELD, "tenant_mismatch")] * 2
    assert world.events[0].state is State.APPLIED
    assert world.kiss.units[UNIT]["pms_lockout"] is True
    assert not any(permits(seen) for seen in world.kiss.seen), "a gate stood open for a tenant who is locked out"


def test_what_was_applied_is_judged_before_it_is_sent_again() -> None:
    """A move-out was applied; an earlier tenancy of another comes to light, under which it would clear a lock."""
    world = World(
        {**DEFAULTS, "occupied": True, "pms_tenant_id": "A", "ledger_id": "L-A", "move_in_date": "2026-04-01"}
    )
    for event in (
        move_out(1, 1, expect={"pms_tenant_id": "A"}),
        patch(2, 6, {"pms_lockout": True}, expect={"pms_tenant_id": "C"}),
        move_out(3, 7, expect={"pms_tenant_id": "C"}),
    ):
        world.arrive(event)
    assert world.kiss.units[UNIT]["pms_lockout"] is True
    world.arrive(move_in(4, "B", 3))
    assert (world.events[2].state, world.events[2].reason) == (State.HELD, "tenant_mismatch")
    assert all(seen["pms_lockout"] for seen in world.kiss.seen[2:]), "the lock was never off"
    assert world.kiss.units[UNIT]["pms_tenant_id"] == "B"


def test_what_is_asked_for_by_an_open_call_is_not_judged_anew() -> None:
    """An event whose call may have taken effect is told by its answer; once that has come, it is judged."""
    events = [
        move_in(1, "A", 0, state=State.APPLIED),
        patch(2, 5, {"pms_lockout": False}, expect={"pms_tenant_id": "B"}, state=State.UNCERTAIN),
    ]
    assert guard.judge(events, LATER, asked=[2]) == {}
    assert guard.judge(events, LATER) == {2: (State.HELD, "tenant_mismatch")}


def test_an_unknown_tenancy_is_no_mismatch() -> None:
    """A move-out of a unit whose tenancy we never saw is not held."""
    assert guard.judge([move_out(1, 0, expect={"pms_tenant_id": "A"})], LATER) == {}


def test_a_held_unknown_unit_goes_on_when_a_move_in_is_known() -> None:
    """A fact that waited too long for its unit goes on once somebody moves in."""
    held = patch(1, 1, {"pms_lockout": True}, state=State.HELD, reason="unknown_unit")
    assert guard.judge([held], LATER) == {}
    assert guard.judge([held, move_in(2, "A", 0)], LATER) == {1: (State.WAITING, None)}


def test_a_future_move_out_waits_for_its_day() -> None:
    """A move-out of the future does not count before it is due, and says when that is."""
    events = [move_in(1, "A", 0), move_out(2, 5)]
    now = NOON + dt.timedelta(hours=2)
    assert order.fold(order.counting(events, now)).values["occupied"] is True
    assert order.next_due(events, now) == NOON + dt.timedelta(hours=5)


def test_a_future_move_in_is_sent_at_once_into_a_vacant_unit_only() -> None:
    """A move-in of the future counts while nobody lives there, and waits while somebody does."""
    now = NOON + dt.timedelta(hours=2)
    coming = move_in(2, "B", 9)
    assert order.fold(order.counting([coming], now)).values["pms_tenant_id"] == "B"
    staying = [move_in(1, "A", 0), coming]
    assert order.fold(order.counting(staying, now)).values["pms_tenant_id"] == "A"


def test_the_key_is_of_the_operation_alone() -> None:
    """The same call has the same key wherever and whenever it is made; another body or generation has another."""
    event = patch(1, 0, {"pms_lockout": True})
    call = order.Call(verb=Verb.PATCH, writes={"pms_lockout": True}, sources={"pms_lockout": 1})
    base = keys.key_base("acme", "kiss", UNIT, call, [event])
    assert keys.key_base("acme", "kiss", UNIT, call, [replace(event, id=1, mail_id="other")]) == base
    other = order.Call(verb=Verb.PATCH, writes={"pms_lockout": False}, sources={"pms_lockout": 1})
    assert keys.key_base("acme", "kiss", UNIT, other, [event]) != base
    assert keys.derive_key(base, 0) != keys.derive_key(base, 1)
    assert len(keys.derive_key(base, 0)) <= 255
