"""Drain: many units at once, each by itself in order. A sliding window of calls in flight over one destination.

One loop a destination and process: it claims lanes in small batches, hands each call to a thread, and settles whatever
answers have come, so that no unit waits for another's answer and many share a transaction. Which lanes come next is
the store's word: those that open access first. ``worker/turn.py`` is one unit's turn.
"""

import contextlib
import datetime as dt
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from worker.calls import Destination, Outcome, Reply
from worker.log import where
from worker.notices import IssueKind, silent_destination
from worker.store import gates, lanes, pauses
from worker.store.database import Database
from worker.store.issues import close_issue
from worker.store.lanes import LaneKey
from worker.turn import DEADLINE_S, After, Answered, Patience, Turn, Turns, request_of

__all__ = ["Drain", "Patience"]

BATCH = 16
"""Lanes that share a transaction."""
LONGEST_S = 10.0
"""How long one task goes on taking up what else is due: others want their turn, too."""
FAILURES = (Outcome.UNKNOWN, Outcome.UNREACHED, Outcome.FAILED)
IDLE_S, SHORT_S = 0.5, 2.0
STEPS = 24
"""Calls of one unit in one go."""


class Drain:
    """Drains lanes. One for each process; safe to use from several threads."""

    def __init__(
        self,
        db: Database,
        destinations: Mapping[str, Destination],
        *,
        clock: Callable[[], dt.datetime],
        by: str,
        patience: Patience | None = None,
        per_minute: Callable[[str], int] = lambda _name: 0,
        expects_new_units: Callable[[str], bool] = lambda _name: True,
        on_applied: Callable[[float], None] = lambda _seconds: None,
        on_trouble: Callable[..., None] = lambda **_fields: None,
        on_told: Callable[[Connection, Sequence[tuple[str, int]]], None] = lambda _connection, _told: None,
        on_wake: Callable[[Sequence[LaneKey]], object] = lambda _keys: None,
        is_stopping: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """``on_told``: events and issues that webhooks tell of, still in their transaction. ``on_wake``: lanes that
        became due. ``sleep``: how to wait for slots; None: really, and woken by new work.
        """
        self._db = db
        self._destinations = destinations
        self._clock = clock
        self._by = by
        self._patience = patience or Patience()
        self._per_minute = per_minute
        self._expects_new_units = expects_new_units
        self._on_applied = on_applied
        self._on_trouble = on_trouble
        self._on_told = on_told
        self._on_wake = on_wake
        self._is_stopping = is_stopping
        self.sleep = sleep
        self._windows: dict[str, _Window] = {}
        self._making = threading.Lock()

    def drain(self, keys: Iterable[LaneKey]) -> None:
        """Bring units to what their events want, as far as that can be done now, and what else is due with them."""
        units: dict[str, list[str]] = {}
        for name, unit in sorted(set(keys)):
            units.setdefault(name, []).append(unit)
        for name in units.keys() - self._destinations.keys():
            self._on_trouble(event="destination_unknown", destination=name)
        known = [
            (self._window(name, self._destinations[name]), units[name]) for name in units if name in self._destinations
        ]
        if len(known) <= 1:
            for window, some in known:
                window.drain(some)
            return
        with ThreadPoolExecutor(len(known), "drain") as pool:  # none waits for another's destination
            for done in [pool.submit(window.drain, some) for window, some in known]:
                done.result()

    def _window(self, name: str, destination: Destination) -> "_Window":
        with self._making:
            window = self._windows.get(name)
            if window is None or window.destination is not destination:
                if window is not None:
                    window.close()
                window = self._windows[name] = _Window(self, destination)
            return window

    # What a window needs of its process.
    def make_turns(self, destination: Destination) -> Turns:
        """Return what takes the turns at a destination."""
        return Turns(
            destination,
            by=self._by,
            patience=self._patience,
            expects_new_units=self._expects_new_units(destination.name),
        )

    @property
    def db(self) -> Database:
        return self._db

    @property
    def clock(self) -> Callable[[], dt.datetime]:
        return self._clock

    @property
    def is_stopping(self) -> bool:
        return self._is_stopping()

    def slots(self, name: str, wanted: int) -> gates.Slots:
        """Take slots for calls that leave now; none while the destination is paused or its circuit open."""
        with self._db.write() as connection:
            return self.slots_of(connection, name, wanted)

    def slots_of(self, connection: Connection, name: str, wanted: int) -> gates.Slots:
        """Do so inside a transaction."""
        now, per_minute = self._clock(), self._per_minute(name)
        until = pauses.sending_paused_until(connection, name, now)
        if until is not None:
            return gates.Slots(count=0, again_at=until)
        if per_minute == 0 and gates.failures(connection, name) < gates.FAILURES:
            return gates.Slots(count=wanted)
        return gates.take(connection, name, wanted, per_minute=per_minute, now=now)

    def note_health(self, name: str, replies: Sequence[Reply]) -> None:
        """Open the destination's circuit after so many failures in a row, close it once it answers."""
        after = After()
        with self._db.write() as connection:
            self.note_health_of(connection, name, replies, after)
            self.seal(connection, after)
        self.finish(after)

    def note_health_of(self, connection: Connection, name: str, replies: Sequence[Reply], after: After) -> None:
        """Do so inside a transaction."""
        now, failed = self._clock(), [reply for reply in replies if reply.outcome in FAILURES]
        if len(failed) < len(replies):
            if gates.failures(connection, name) and gates.note_answer(connection, name, now=now):
                close_issue(connection, IssueKind.DESTINATION_DOWN, name, now=now, note="it answers again")
                after.troubles.append({"event": "circuit_closed", "destination": name})
            return
        shut = [gates.note_failure(connection, name, now=now) for _ in failed]
        if any(shut):
            after.open_issue(connection, silent_destination(name, failed[-1].message), now=now)
            after.troubles.append({"event": "circuit_opened", "destination": name})

    def close(self) -> None:
        """End the threads."""
        for window in self._windows.values():
            window.close()

    def is_limited(self, name: str) -> bool:
        """Say whether the calls of a minute are counted."""
        return self._per_minute(name) > 0

    def trouble(self, **fields: object) -> None:
        """Tell of trouble."""
        self._on_trouble(**fields)

    def seal(self, connection: Connection, after: After) -> None:
        """End a transaction: store what webhooks tell with what they tell of, and see who waits for what it settled."""
        if after.told:
            self._on_told(connection, after.told)
        if after.settled and not lanes.has_dependents(connection, after.settled):
            after.settled.clear()

    def finish(self, after: After) -> None:
        """Do what follows a transaction that is through."""
        for seconds in after.applied_s:
            self._on_applied(seconds)
        for fields in after.troubles:
            self._on_trouble(**fields)
        if after.settled:
            with self._db.write() as connection:
                keys = lanes.wake_dependents(connection, after.settled, now=self._clock())
            self._on_wake(keys)


@dataclass(slots=True, kw_only=True)
class _Flight:
    """A call on its way, and what came of it."""

    turn: Turn
    started_at: dt.datetime
    steps: int
    reply: Reply | None = None
    error: Exception | None = None


class _Window:
    """The calls in flight of one destination in this process."""

    def __init__(self, drain: Drain, destination: Destination) -> None:
        self._drain = drain
        self.destination = destination
        self._turns = drain.make_turns(destination)
        self._name = destination.name
        self._size = max(destination.window, 1)
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._asked: deque[str] = deque()
        self._is_running = False
        self._landing: queue.SimpleQueue[_Flight | None] = queue.SimpleQueue()  # None: somebody asks for units
        self._looked_at: dt.datetime | None = None
        self._again_at: dt.datetime | None = None  # when to ask for slots again, if there were too few
        self._refused: set[str] = set()
        self._has_tried = False  # whether the last look found units to claim

    def drain(self, units: Sequence[str]) -> None:
        """Drain units, and what else is due; if a loop runs already it takes them over."""
        with self._lock:
            self._asked.extend(units)
            if self._is_running:
                self._landing.put(None)
                return
            self._is_running = True
        try:
            self._run()
        except BaseException:
            with self._lock:
                self._is_running = False
                self._asked.clear()
            self._landing = queue.SimpleQueue()
            raise

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def _run(self) -> None:
        ends_at = self._drain.clock() + dt.timedelta(seconds=LONGEST_S)
        flying = 0
        landed: list[_Flight] = []
        self._refused, self._looked_at = set(), None
        while True:
            goes_on = not self._drain.is_stopping and self._drain.clock() < ends_at
            leaving = self._settle(landed, self._size - flying, goes_on=goes_on)
            for flight in leaving:
                self._leave(flight)
            flying += len(leaving)
            if not flying and self._may_end(goes_on=goes_on):
                return
            landed = self._wait() if flying else []
            flying -= len(landed)

    def _wait(self) -> list[_Flight]:
        """Wait until a call has its answer or somebody asks for units; return those that have it by now."""
        found = [self._landing.get()]
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._landing.get_nowait())
        return [flight for flight in found if flight is not None]

    def _may_end(self, *, goes_on: bool) -> bool:
        """Say whether there is nothing more to do, and end; for slots that come soon we wait."""
        if goes_on and self._again_at is not None:
            before = self._drain.clock()
            wait_s = (self._again_at - before).total_seconds()
            if wait_s <= SHORT_S:
                if self._drain.sleep is not None:
                    self._drain.sleep(wait_s)
                else:
                    with contextlib.suppress(queue.Empty):
                        self._landing.get(timeout=max(wait_s, 0.001))
                if self._drain.clock() > before:
                    return False
        with self._lock:
            if goes_on and self._again_at is None and (self._asked or self._has_tried):
                return False
            self._asked.clear()
            self._is_running = False
            return True

    def _settle(self, landed: Sequence[_Flight], room: int, *, goes_on: bool) -> list[_Flight]:
        """Settle answers and claim what comes next, in one transaction; return the calls that may leave.

        If it fails, each answer is settled in one of its own: one unit is no other's trouble.
        """
        answered: list[_Flight] = []
        for flight in landed:
            if flight.error is not None:
                self._failed(flight.turn.lane.crm_unit_id, flight.error)
            elif flight.reply is not None:
                answered.append(flight)
        answered.sort(key=lambda flight: flight.turn.lane.crm_unit_id)
        units = self._next(min(room, BATCH)) if goes_on and room > 0 else []
        self._has_tried, self._again_at = bool(units), None
        if not answered and not units:
            return []
        after = After()
        try:
            leaving = self._transact(answered, units, after, goes_on=goes_on)
        except Exception as error:  # noqa: BLE001  the task's edge: the lease runs out, and the sweeper rings again
            if len(answered) + len(units) > 1:
                alone: list[tuple[list[_Flight], list[str]]] = [
                    *(([flight], []) for flight in answered),
                    *(([], [unit]) for unit in units),
                ]
                return [flight for some, its in alone for flight in self._settle_alone(some, its, goes_on=goes_on)]
            return self._given_up(answered, units, error)
        self._drain.finish(after)
        return leaving

    def _settle_alone(self, answered: list[_Flight], units: list[str], *, goes_on: bool) -> list[_Flight]:
        after = After()
        try:
            leaving = self._transact(answered, units, after, goes_on=goes_on)
        except Exception as error:  # noqa: BLE001  as above
            return self._given_up(answered, units, error)
        self._drain.finish(after)
        return leaving

    def _given_up(self, answered: Sequence[_Flight], units: Sequence[str], error: Exception) -> list[_Flight]:
        for unit in (*(flight.turn.lane.crm_unit_id for flight in answered), *units):
            self._failed(unit, error)
        self._refused.update(units)
        return []

    def _failed(self, unit: str, error: Exception) -> None:
        """Tell that a unit's turn failed; its lease runs out, and the sweeper rings again."""
        self._drain.trouble(event="drain_failed", destination=self._name, unit=unit, error=where(error))

    def _transact(
        self, answered: Sequence[_Flight], units: Sequence[str], after: After, *, goes_on: bool
    ) -> list[_Flight]:
        """Record answers, plan what follows them, claim units; all of it is stored when this returns."""
        now, steps = self._drain.clock(), []
        with self._drain.db.write() as connection:
            batch = self._turns.batch(connection, now=now)
            if answered:
                given = [
                    Answered(turn=flight.turn, reply=flight.reply, started_at=flight.started_at)
                    for flight in answered
                    if flight.reply is not None
                ]
                self._drain.note_health_of(connection, self._name, [one.reply for one in given], after)
                for flight, step in zip(answered, self._turns.advance(batch, given, after), strict=True):
                    if step is None:
                        continue
                    if flight.steps + 1 >= STEPS:
                        self._turns.postpone(batch, step.lane, "many calls at once")
                    else:
                        steps.append((step, flight.steps + 1))
            slots = gates.Slots(count=0)
            if (steps or units) and goes_on:
                slots = self._drain.slots_of(connection, self._name, len(steps) + len(units))
            self._again_at = slots.again_at if units else None
            for step, _ in steps[slots.count :]:  # its call may not leave now
                self._turns.give_back(batch, step.lane)
            del steps[slots.count :]
            taken = units[: slots.count - len(steps)]
            begun = self._turns.begin(batch, taken, after)
            steps += [(step, 0) for step in begun.values() if step is not None]
            stored = batch.flush()
            self._drain.seal(connection, after)
        self._refused.update(unit for unit in taken if begun.get(unit) is None)
        started_at = self._drain.clock()
        return [_Flight(turn=step.turn(stored), started_at=started_at, steps=count) for step, count in steps]

    def _next(self, limit: int) -> list[str]:
        """Return units to claim: those that were asked for, or, where calls are counted, the most urgent ones."""
        units: list[str] = []
        with self._lock:
            if self._drain.is_limited(self._name):
                self._looked_at = None if self._asked else self._looked_at
                self._asked.clear()
            while self._asked and len(units) < limit:
                units.append(self._asked.popleft())
        now = self._drain.clock()
        if units or (self._looked_at is not None and now < self._looked_at + dt.timedelta(seconds=IDLE_S)):
            return list(dict.fromkeys(units))
        with self._drain.db.read() as connection:
            found = lanes.due(connection, self._name, now=now, limit=limit + len(self._refused))
        units = [unit for unit in found if unit not in self._refused][:limit]
        self._looked_at = None if units else now
        return units

    def _leave(self, flight: _Flight) -> None:
        """Send a call, in a thread where several may be in flight."""
        if self._size == 1:
            self._send(flight)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._size, f"drain-{self._name}")
        self._pool.submit(self._send, flight)

    def _send(self, flight: _Flight) -> None:
        """Send a call once, or ask for its job; no reply when its lease has too little time left."""
        turn = flight.turn
        try:
            if self._drain.clock() > turn.lane.lease_until - dt.timedelta(seconds=DEADLINE_S):
                pass  # we stood still for too long: the next holder sends the same key and the same bytes
            elif turn.call.job is not None:
                flight.reply = self.destination.ask(turn.call.job, deadline_s=DEADLINE_S)
            else:
                flight.reply = self.destination.send(request_of(turn.call), key=turn.call.key, deadline_s=DEADLINE_S)
        except Exception as error:  # noqa: BLE001  told where it is settled
            flight.error = error
        finally:
            self._landing.put(flight)
