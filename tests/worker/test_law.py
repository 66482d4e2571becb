"""The law of applying: whatever arrives, fails or crashes, each unit ends as if each event came once and in order.

A machine tells events of two units (move-in, move-out, patch, snapshot, revisions, repeats, some of the future), takes
some back, lets time pass, and drains with answers that are lost, refused, delayed past the lease or cut by a crash.
Both units are in flight at once and share transactions. The oracle is the separate model of KISS in ``tests/model.py``,
fed with what was told and never taken back.
"""

import atexit
import contextlib
import datetime as dt
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from parsers.events import Kind
from tests.model import DEFAULTS, Kiss, permits
from tests.rigs.lane import NOON, UNIT, Crash, Rig, answer, crash_after, crash_before, lost, new_store
from worker import drain, order, turn, undo
from worker.calls import CLEARED, Outcome, Reply, Verb
from worker.order import State
from worker.store import calls as call_store
from worker.store import lanes as lane_store
from worker.store.database import Database
from worker.store.tables import metadata

FACTS = st.one_of(
    st.fixed_dictionaries({"pms_lockout": st.booleans(), "pms_status_raw": st.sampled_from(["a", "b"])}),
    st.fixed_dictionaries({"balance_due": st.sampled_from([Decimal(0), Decimal("12.50"), Decimal(99)])}),
    st.fixed_dictionaries({"paid_through_date": st.sampled_from(["2026-05-31", "2026-06-30"])}),
    st.fixed_dictionaries({"pms_auction": st.booleans()}),
    st.fixed_dictionaries({"pms_lock_exempt": st.booleans(), "pms_unrentable": st.booleans()}),
)
HOURS = st.integers(0, 6)
UNITS = (UNIT, "MAIN-C7")
ONE = st.sampled_from(UNITS)
START = {**DEFAULTS, "occupied": True, "pms_tenant_id": "old", "ledger_id": "old", "move_in_date": "2020-01-01"}


@dataclass
class Told:
    """One event as the test told it."""

    unit: str
    kind: Kind
    at: dt.datetime
    told_at: dt.datetime
    identity: str
    body: dict[str, Any]
    is_gone: bool = False
    number: int = 0


@dataclass
class Tale:
    """What was told, and what it comes to."""

    told: list[Told] = field(default_factory=list)

    def of(self, unit: str) -> list[Told]:
        """Return what was told of a unit and not taken back."""
        return [one for one in self.told if one.unit == unit and not one.is_gone]

    def state(self, unit: str, start: dict[str, Any] | None, now: dt.datetime) -> dict[str, Any]:
        """Return a unit as it must be: each identity once, in the order of moments, on what was there before.

        A unit whose first tenancy to be told of is one that ended was occupied: a PMS tells no end of nothing.
        """
        model = Kiss(units={unit: dict(start or DEFAULTS)})
        last: dict[str, Told] = {}
        for one in sorted(self.of(unit), key=lambda t: (t.told_at, t.number)):
            before = last[one.identity].body if one.identity in last else {}
            last[one.identity] = replace(one, body={**before, **one.body})
        due = sorted((t for t in last.values() if t.at <= now), key=lambda t: (t.at, t.told_at, t.identity))
        tenancies = [t for t in due if t.kind in (Kind.MOVE_IN, Kind.MOVE_OUT) or "occupied" in t.body]
        if tenancies and (tenancies[0].kind is Kind.MOVE_OUT or tenancies[0].body.get("occupied") is False):
            model.units[unit]["occupied"] = True
        for one in due:
            if one.kind is Kind.MOVE_IN or one.body.get("occupied"):
                model.move_in(unit, one.body)
            elif one.kind is Kind.MOVE_OUT or one.body.get("occupied") is False:
                model.move_out(unit)
            model.patch(unit, {name: one.body[name] for name in order.FACTS if name in one.body})
        return model.units[unit]


@functools.cache
def _store() -> Database:
    """Return the store that every history begins with: one, since most of the time went into the statements of many."""
    folder = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return new_store(f"sqlite:///{folder}/law.db")


class Inline:
    """Stands for the threads of a drain: calls leave one after the other, so that a history can be told again."""

    def __init__(self, *_: object) -> None:
        """Begin no thread."""

    def submit(self, send: Callable[..., object], *args: object) -> None:
        """Send now; the answer waits with those of the other units."""
        send(*args)


class Law(RuleBasedStateMachine):
    """Two units, their destination, and everything that can go wrong between them."""

    rig: Rig

    @initialize(starts=st.lists(st.sampled_from([None, None, START, DEFAULTS]), min_size=2, max_size=2))
    def begin(self, starts: list[dict[str, Any] | None]) -> None:
        """Begin with units that are missing, occupied or vacant."""
        with _store().write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        self.rig = Rig(_store())
        self.rig.far.window = len(UNITS)
        self.patch_threads = pytest.MonkeyPatch()
        self.patch_threads.setattr(drain, "ThreadPoolExecutor", Inline)
        self.tale, self.starts = Tale(), dict(zip(UNITS, starts, strict=True))
        self.rig.far.kiss.units |= {unit: dict(start) for unit, start in self.starts.items() if start is not None}
        self.numbers = 0
        self.stood: tuple[int, int] | None = None
        self.opened: list[dict[str, Any]] = []
        self.rig.far.watch = self.watch

    def teardown(self) -> None:
        """Let everything come to rest, and compare."""
        if not hasattr(self, "rig"):
            return
        try:
            self.rig.far.faults = []
            self.rig.clock.advance(30 * 86_400)
            self.rest()
            self.compare()
        finally:
            self.patch_threads.undo()

    def rest(self) -> None:
        """Drain until nothing is due, or only what waits for an unknown unit."""
        for _ in range(60):
            self.rig.drain(units=UNITS, unknown_unit_s=1e9)
            there = self.rig.far.kiss.units
            due = [
                lane.due_at
                for lane in self.rig.lanes()
                if lane.due_at is not None and (lane.shown.get("exists") is not False or lane.crm_unit_id in there)
            ]
            if not due:
                return
            self.rig.clock.advance(max((min(due) - self.rig.clock.now).total_seconds(), 0) + 15)
        raise AssertionError("a lane never comes to rest")

    def compare(self) -> None:
        """Hold the units against the oracle."""
        assert self.opened == [], "a gate stood open on the way from closed to closed"
        for unit in UNITS:
            self.compare_one(unit)
        writes = self.rig.far.kiss.writes
        self.rig.drain(units=UNITS, unknown_unit_s=1e9)
        assert self.rig.far.kiss.writes == writes, "what is at rest is not written again"

    def compare_one(self, unit: str) -> None:
        """Hold one unit against the oracle."""
        there = self.rig.far.kiss.units
        if unit not in there:
            living = self.tale.of(unit)
            assert not any(one.kind is Kind.MOVE_IN for one in living), "a move-in was told, and nobody moved in"
            return
        wanted, real = self.tale.state(unit, self.starts[unit], self.rig.clock.now), there[unit]
        differs = {name for name, value in real.items() if value != wanted[name]}
        assert differs <= self.unanswered(unit), differs
        if differs:
            assert "no_earlier_value" in self.rig.reasons(unit), f"nobody is told of {differs}"

    def unanswered(self, unit: str) -> set[str]:
        """Return what nobody knows an earlier value of, since the event that told it was taken back.

        Of a unit that we made everything is known, unless the answer that says so (201) was lost, and the call was
        withdrawn before it was asked for again.
        """
        if self.starts[unit] is None and self.rig.has_made(unit):
            return set()
        gone = [one for one in self.tale.told if one.is_gone and one.unit == unit]
        names = {name for one in gone for name in one.body}
        if any(one.kind is not Kind.PATCH for one in gone):
            return {*DEFAULTS}
        return names

    def watch(self, unit: str, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """No write opens a gate that must be closed now."""
        today = self.rig.clock.now.date().isoformat()
        if self.starts[unit] is None and permits(after, today) and not (before and permits(before, today)):
            wanted = self.tale.state(unit, None, self.rig.clock.now)
            if not permits(wanted, today):  # the drain outlives an error of a sending, so it is kept for later
                self.opened.append(wanted)

    def tell(self, kind: Kind, body: dict[str, Any], hour: float, unit: str) -> None:
        """Tell an event, and write down that it was told."""
        self.numbers += 1
        at, identity = NOON + dt.timedelta(hours=hour), f"i{self.numbers}"
        self.tale.told.append(
            Told(unit=unit, kind=kind, at=at, told_at=at, identity=identity, body=body, number=self.numbers)
        )
        self.rig.tell(kind, body, hour=hour, identity=identity, unit=unit)

    @rule(tenant=st.sampled_from("ABC"), hour=HOURS, unit=ONE)
    def move_in(self, tenant: str, hour: int, unit: str = UNIT) -> None:
        """Tell a move-in."""
        body = {"pms_tenant_id": tenant, "ledger_id": f"L-{tenant}", "move_in_date": "2026-04-01"}
        place = {"unit_name": unit.removeprefix("MAIN-"), "pms_location_code": "MAIN"}
        self.tell(Kind.MOVE_IN, {**body, **place}, hour, unit)

    @rule(hour=HOURS, unit=ONE)
    def move_out(self, hour: int, unit: str = UNIT) -> None:
        """Tell a move-out."""
        self.tell(Kind.MOVE_OUT, {}, hour, unit)

    @rule(facts=FACTS, hour=HOURS, unit=ONE)
    def patch(self, facts: dict[str, Any], hour: int, unit: str = UNIT) -> None:
        """Tell facts."""
        self.tell(Kind.PATCH, facts, hour, unit)

    @rule(facts=FACTS, occupied=st.sampled_from([None, False, "A"]), hour=HOURS, unit=ONE)
    def snapshot(self, facts: dict[str, Any], occupied: str | bool | None, hour: int, unit: str = UNIT) -> None:
        """Tell a row of a report: facts, and perhaps that the unit is vacant, or whose it is."""
        body = dict(facts)
        if occupied is not None:
            body["occupied"] = bool(occupied)
        if occupied:
            body |= {"pms_tenant_id": occupied, "ledger_id": None, "move_in_date": "2026-03-01"}
        self.tell(Kind.SNAPSHOT, body, hour, unit)

    @rule(leaves=st.booleans(), days=st.integers(1, 9), unit=ONE)
    def announce(self, leaves: bool, days: int, unit: str = UNIT) -> None:
        """Tell today what will happen some days from now."""
        day = self.rig.clock.now.replace(hour=0) + dt.timedelta(days=days)
        body: dict[str, Any] = {}
        if not leaves:
            body = {"pms_tenant_id": "F", "ledger_id": "L-F", "move_in_date": day.date().isoformat()}
            body |= {"unit_name": unit.removeprefix("MAIN-"), "pms_location_code": "MAIN"}
        self.numbers += 1
        kind, identity = Kind.MOVE_OUT if leaves else Kind.MOVE_IN, f"i{self.numbers}"
        one = Told(unit=unit, kind=kind, at=day, told_at=NOON, identity=identity, body=body, number=self.numbers)
        self.tale.told.append(one)
        self.rig.tell(kind, body, hour=0, identity=identity, unit=unit, effective_at=day)

    @precondition(lambda self: self.patches())
    @rule(data=st.data(), facts=FACTS)
    def revise(self, data: st.DataObject, facts: dict[str, Any]) -> None:
        """Tell something that was told before with other facts, by a later mail."""
        earlier = data.draw(st.sampled_from(self.patches()))
        later = (earlier.at - NOON).total_seconds() / 3600 + self.numbers / 100
        told_at = NOON + dt.timedelta(hours=later)
        if any((one.identity, one.body) == (earlier.identity, facts) for one in self.tale.told):
            return
        self.numbers += 1
        self.tale.told.append(replace(earlier, told_at=told_at, body=facts, number=self.numbers))
        self.rig.tell(
            Kind.PATCH, facts, hour=later, identity=earlier.identity, unit=earlier.unit, effective_at=earlier.at
        )

    def patches(self) -> list[Told]:
        """Return the patches that were not taken back."""
        return [one for one in self.tale.told if one.kind is Kind.PATCH and not one.is_gone]

    @precondition(lambda self: self.tale.told)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Tell something once more, just as it was."""
        one = data.draw(st.sampled_from(self.tale.told))
        hour = (one.told_at - NOON).total_seconds() / 3600
        self.rig.tell(one.kind, one.body, hour=hour, identity=one.identity, unit=one.unit, effective_at=one.at)

    @precondition(lambda self: any(not one.is_gone for one in self.tale.told))
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        """Undo one event, and all revisions of it."""
        self.undo(data.draw(st.sampled_from([one for one in self.tale.told if not one.is_gone])))

    def undo(self, one: Told) -> None:
        """Take an event back, and write down that it was."""
        ids = self.rig.ids_of(one.identity)
        for event_id in ids:
            undo.undo(
                self.rig.db,
                f"id:{event_id}",
                manners=lambda _name: self.rig.far.manners,
                actor="anna",
                reason="x",
                now=self.rig.clock.now,
            )
        for other in self.tale.told:
            other.is_gone |= other.identity == one.identity

    @rule(
        faults=st.lists(
            st.sampled_from(
                [
                    None,
                    None,
                    lost,
                    crash_before,
                    crash_after,
                    "slow",
                    *(
                        answer(outcome, status)
                        for outcome, status in (
                            (Outcome.UNKNOWN, 503),
                            (Outcome.UNREACHED, None),
                            (Outcome.LIMITED, 429),
                            (Outcome.FAILED, 500),
                        )
                    ),
                    "remembered",
                ]
            ),
            max_size=6,
        )
    )
    def drain(self, faults: list[Any]) -> None:
        """Drain once, with what goes wrong."""
        special = {None: lambda through: through(), "slow": self.stand_still, "remembered": self.refuse}
        self.rig.far.faults = [special.get(fault, fault) if not callable(fault) else fault for fault in faults]
        with contextlib.suppress(Crash):
            self.rig.drain(units=UNITS, unknown_unit_s=1e9)
        self.rig.far.faults = []
        if self.stood is not None:
            assert self.stood == (len(self.rig.far.sent), len(self.rig.attempts())), "a slow hand wrote or sent"
            self.stood = None

    def stand_still(self, through: Callable[[], Reply]) -> Reply:
        """Stop the hand past its lease, while another works, and let it go on as if nothing had been."""
        reply = through()
        self.rig.clock.advance(60)
        self.rig.far.faults = []
        self.rig.drain("another", units=UNITS, unknown_unit_s=1e9)
        self.stood = (len(self.rig.far.sent), len(self.rig.attempts()))
        return reply

    def refuse(self, _through: Callable[[], Reply]) -> Reply:
        """Refuse with 500, and remember the refusal under its key."""
        method, path, body, key = self.rig.far.sent[-1]
        answered = (500, {"message": "Server Error"})
        self.rig.far.kiss.answers.setdefault(key, ((method, path, body), *answered))
        return Reply(outcome=Outcome.FAILED, status=500, message="Server Error")

    @rule(seconds=st.sampled_from([1, 20, 400, 5000]))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.rig.clock.advance(seconds)

    @precondition(lambda self: self.missing())
    @rule(data=st.data())
    def appear(self, data: st.DataObject) -> None:
        """Somebody else creates a unit, vacant: what was 404 becomes 200."""
        self.create(data.draw(st.sampled_from(self.missing())))

    def missing(self) -> list[str]:
        """Return the units that are not there yet."""
        return [unit for unit in UNITS if unit not in self.rig.far.kiss.units]

    def create(self, unit: str) -> None:
        """Create a unit, vacant."""
        self.rig.far.kiss.units[unit] = dict(DEFAULTS)
        self.starts[unit] = dict(DEFAULTS)

    @invariant()
    def every_event_is_in_a_state(self) -> None:
        """Nothing is ever in no state."""
        if hasattr(self, "rig"):
            assert all(state in set(State) for state, _ in self.rig.states())


def by_arrival(patch: pytest.MonkeyPatch) -> None:
    """Compare by arrival, not by moment."""
    patch.setattr(order.UnitEvent, "moment", property(lambda event: (event.id,)))


def forget_cleared(patch: pytest.MonkeyPatch) -> None:
    """Forget that a move-out clears facts."""
    plain = order.confirmed

    def confirmed(shown: Any, call: Any, **more: Any) -> dict[str, Any]:
        after = plain(shown, call, **more)
        return {**after, **{name: shown[name] for name in CLEARED if name in shown}}

    patch.setattr(order, "confirmed", confirmed)


def superseded_is_final(patch: pytest.MonkeyPatch) -> None:
    """Never count an event again that another covered once."""
    patch.setattr(order, "LET_IN", tuple(state for state in order.LET_IN if state is not State.SUPERSEDED))


def reuse_key(patch: pytest.MonkeyPatch) -> None:
    """Send under the same key again after a refusal."""
    patch.setattr(call_store, "derive_key", lambda base, _generation: "gp1-" + base)
    plain = call_store.store_calls

    def store_calls(connection: Any, *args: Any, **more: Any) -> Any:
        connection.exec_driver_sql("UPDATE calls SET key = key || '-' || id")
        return plain(connection, *args, **more)

    patch.setattr(call_store, "store_calls", store_calls)


def no_fence(patch: pytest.MonkeyPatch) -> None:
    """Let a hand that stood still past its lease write and send."""
    patch.setattr(lane_store, "is_held", lambda _row, _lane: True)


def restate_blindly(patch: pytest.MonkeyPatch) -> None:
    """Send a call of unknown outcome again though it is wanted no more."""
    patch.setattr(turn.Turns, "_look_at_open", lambda _self, _connection, lane, calls, *_: (lane, calls[0]))


def trust_the_reset(patch: pytest.MonkeyPatch) -> None:
    """Take for cleared what was written before the move-out of a unit that may have been vacant."""
    plain = order.confirmed

    def confirmed(shown: Any, call: Any, **more: Any) -> dict[str, Any]:
        return plain({"occupied": True, **shown} if call.verb is Verb.MOVE_OUT else shown, call, **more)

    patch.setattr(order, "confirmed", confirmed)


EXAMPLES = int(os.environ.get("GATEPOST_TEST_EXAMPLES", "100"))
SETTINGS = settings(
    max_examples=EXAMPLES, stateful_step_count=18, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.law
def test_any_history_ends_as_in_order_once_each() -> None:
    """Permuted, repeated, revised, taken back, lost, refused, crashed: the unit ends as it must."""
    run_state_machine_as_test(Law, settings=SETTINGS)


LOCK, UNLOCK = {"pms_lockout": True}, {"pms_lockout": False}
UNKNOWN = answer(Outcome.UNKNOWN, 503)

STORIES: dict[Callable[[pytest.MonkeyPatch], None], Callable[[Law], object]] = {
    by_arrival: lambda law: [law.move_in("A", 0), law.patch(LOCK, 5), law.drain([]), law.patch(UNLOCK, 3)],
    forget_cleared: lambda law: [law.move_in("A", 0), law.patch(LOCK, 6), law.drain([]), law.move_out(3)],
    superseded_is_final: lambda law: [
        law.move_in("A", 0),
        law.patch({"balance_due": Decimal(12)}, 1),
        law.patch({"balance_due": Decimal(99)}, 2),
        law.drain([]),
        law.undo(law.tale.told[-1]),
    ],
    reuse_key: lambda law: [law.move_in("A", 0), law.drain([]), law.patch(LOCK, 1), law.drain(["remembered"])],
    no_fence: lambda law: [law.move_in("A", 0), law.patch({"balance_due": Decimal(12)}, 1), law.drain(["slow"])],
    restate_blindly: lambda law: [
        law.move_in("A", 0),
        law.patch(LOCK, 1),
        law.drain([]),
        law.patch(UNLOCK, 2),
        law.drain([UNKNOWN]),
        law.patch(LOCK, 3),
    ],
    trust_the_reset: lambda law: [law.create(UNIT), law.patch(LOCK, 0), law.drain([]), law.move_out(3)],
}
"""Of each known mistake a short history that it gets wrong."""


def play(story: Callable[[Law], object]) -> None:
    """Let a history happen, and hold the unit against the law."""
    law = Law()
    law.begin([None, None])
    try:
        story(law)
    finally:
        law.teardown()


@pytest.mark.parametrize("break_it", STORIES)
def test_a_broken_variant_turns_the_law_red(break_it: Callable[[pytest.MonkeyPatch], None]) -> None:
    """Each known mistake is found by the law, in a history that ends well without it."""
    play(STORIES[break_it])
    with pytest.MonkeyPatch.context() as patch:
        break_it(patch)
        with pytest.raises(AssertionError):
            play(STORIES[break_it])
