"""Drain: many units at once, each by itself in order. A sliding window of calls in flight over one destination.

One loop a destination and process: it claims lanes in small batches, hands each call to a thread, and settles whatever
answers have come, so that no unit waits for another's answer and many share a transaction. Which lanes come next is
the store's word: those that open access first. ``worker/turn.py`` is one unit's turn.
"""

import datetime as dt
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.engine import Connection

from worker.calls import Destination, Outcome, Reply
from worker.log import where
from worker.notices import IssueKind, silent_destination
from worker.store import gates, lanes, pauses
from worker.store.database import Database
from worker.store.issues import close_issue, open_issue
from worker.store.lanes import LaneKey
from worker.turn import DEADLINE_S, After, Patience, Turn, Turns, request_of

__all__ = ["Drain", "Patience"]

BATCH = 16
"""Lanes that share a transaction."""
LONGEST_S = 10.0
"""How long one task goes on taking up what else is due: others want their turn, too."""
FAILURES = (Outcome.UNKNOWN, Outcome.UNREACHED, Outcome.FAILED)
IDLE_S, SHORT_S = 0.5, 2.0
STEPS = 24
"""Calls of one unit in one go."""

T = TypeVar("T")


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
        now, per_minute = self._clock(), self._per_minute(name)
        with self._db.read() as connection:
            until = pauses.sending_paused_until(connection, name, now)
            if until is not None:
                return gates.Slots(count=0, again_at=until)
            if per_minute == 0 and gates.lets_through(connection, name):
                return gates.Slots(count=wanted)
        with self._db.write() as connection:
            return gates.take(connection, name, wanted, per_minute=per_minute, now=now)

    def note_health(self, name: str, replies: Sequence[Reply]) -> None:
        """Open the destination's circuit after so many failures in a row, close it once it answers."""
        if not replies:
            return
        now, failed = self._clock(), [reply for reply in replies if reply.outcome in FAILURES]
        with self._db.read() as connection:
            if len(failed) < len(replies) and gates.is_sound(connection, name):
                return
        with self._db.write() as connection:
            if len(failed) < len(replies):
                if gates.note_answer(connection, name, now=now):
                    close_issue(connection, IssueKind.DESTINATION_DOWN, name, now=now, note="it answers again")
                    self._on_trouble(event="circuit_closed", destination=name)
                return
            opened = [gates.note_failure(connection, name, now=now) for _ in failed]
            if any(opened):
                issue_id, is_new = open_issue(connection, silent_destination(name, failed[-1].message), now=now)
                self.tell(connection, [("issue.opened", issue_id)] if is_new else [])
                self._on_trouble(event="circuit_opened", destination=name)

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

    def tell(self, connection: Connection, told: Sequence[tuple[str, int]]) -> None:
        """Store what webhooks tell with what they tell of."""
        if told:
            self._on_told(connection, told)

    def finish(self, after: After) -> None:
        """Do what follows a transaction that is through."""
        for seconds in after.applied_s:
            self._on_applied(seconds)
        for fields in after.troubles:
            self._on_trouble(**fields)
        if after.settled:
            with self._db.read() as connection:
                waits = lanes.has_dependents(connection, after.settled)
            if waits:
                with self._db.write() as connection:
                    keys = lanes.wake_dependents(connection, after.settled, now=self._clock())
                self._on_wake(keys)


@dataclass(slots=True, kw_only=True)
class _Flight:
    """A call on its way."""

    turn: Turn
    started_at: dt.datetime
    steps: int


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
        self._bell: Future[Reply | None] = Future()
        self._looked_at: dt.datetime | None = None
        self._has_tried = False  # whether the last look found units to claim

    def drain(self, units: Sequence[str]) -> None:
        """Drain units, and what else is due; if a loop runs already it takes them over."""
        with self._lock:
            self._asked.extend(units)
            if self._is_running:
                if not self._bell.done():
                    self._bell.set_result(None)
                return
            self._is_running = True
        try:
            self._run()
        except BaseException:
            with self._lock:
                self._is_running = False
                self._asked.clear()
            raise

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def _run(self) -> None:
        ends_at = self._drain.clock() + dt.timedelta(seconds=LONGEST_S)
        flights: dict[Future[Reply | None], _Flight] = {}
        refused: set[str] = set()
        self._looked_at = None
        while True:
            goes_on = not self._drain.is_stopping and self._drain.clock() < ends_at
            room = self._size - len(flights)
            again_at = self._take_up(flights, refused, room) if goes_on and room > 0 else None
            if flights:
                wait([*flights, self._bell], return_when=FIRST_COMPLETED)
                self._land([future for future in flights if future.done()], flights)
            elif self._may_end(goes_on=goes_on, again_at=again_at):
                return
            if self._bell.done():
                self._bell = Future()

    def _may_end(self, *, goes_on: bool, again_at: dt.datetime | None) -> bool:
        """Say whether there is nothing more to do, and end; for slots that come soon we wait."""
        if goes_on and again_at is not None:
            before = self._drain.clock()
            wait_s = (again_at - before).total_seconds()
            if wait_s <= SHORT_S:
                if self._drain.sleep is not None:
                    self._drain.sleep(wait_s)
                else:
                    wait([self._bell], timeout=max(wait_s, 0.001))
                if self._drain.clock() > before:
                    return False
        with self._lock:
            if goes_on and again_at is None and (self._asked or self._has_tried):
                return False
            self._asked.clear()
            self._is_running = False
            return True

    def _take_up(
        self, flights: dict[Future[Reply | None], _Flight], refused: set[str], room: int
    ) -> dt.datetime | None:
        """Claim what comes next and let its calls leave; return when to ask for slots again, if there were too few."""
        units = self._next(refused, min(room, BATCH))
        self._has_tried = bool(units)
        if not units:
            return None
        slots = self._drain.slots(self._name, len(units))
        now = self._drain.clock()
        taken = sorted(units[: slots.count])

        def begin(connection: Connection, unit: str, after: After) -> Turn | None:
            return self._turns.begin(connection, (self._name, unit), after, now=now)

        for unit, turn in zip(taken, self._together(taken, begin), strict=True):
            if turn is None:
                refused.add(unit)  # nothing to do, or in another's hand
            else:
                self._leave(turn, flights, steps=0)
        return slots.again_at

    def _next(self, refused: set[str], limit: int) -> list[str]:
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
            found = lanes.due(connection, self._name, now=now, limit=limit + len(refused))
        units = [unit for unit in found if unit not in refused][:limit]
        self._looked_at = None if units else now
        return units

    def _together(self, items: Sequence[T], act: Callable[[Connection, T, After], Turn | None]) -> list[Turn | None]:
        """Act on several units in one transaction; if it fails, on each alone: one unit is no other's trouble."""
        if not items:
            return []
        after = After()
        try:
            with self._drain.db.write() as connection:
                turns = [act(connection, item, after) for item in items]
                self._drain.tell(connection, after.told)
        except Exception as error:  # noqa: BLE001  the task's edge: the lease runs out, and the sweeper rings again
            if len(items) > 1:
                return [turn for item in items for turn in self._together([item], act)]
            self._drain.trouble(event="drain_failed", destination=self._name, unit="", error=where(error))
            return [None]
        self._drain.finish(after)
        return turns

    def _leave(self, turn: Turn, flights: dict[Future[Reply | None], _Flight], *, steps: int) -> None:
        """Send a call, in a thread where several may be in flight."""
        flight = _Flight(turn=turn, started_at=self._drain.clock(), steps=steps)
        if self._size > 1:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._size, f"drain-{self._name}")
            flights[self._pool.submit(self._send, turn)] = flight
            return
        future: Future[Reply | None] = Future()
        flights[future] = flight
        try:
            future.set_result(self._send(turn))
        except Exception as error:  # noqa: BLE001  as a thread would keep it
            future.set_exception(error)

    def _send(self, turn: Turn) -> Reply | None:
        """Send a call once, or ask for its job; None when its lease has too little time left."""
        if self._drain.clock() > turn.lane.lease_until - dt.timedelta(seconds=DEADLINE_S):
            return None  # we stood still for too long: the next holder sends the same key and the same bytes
        if turn.call.job is not None:
            return self.destination.ask(turn.call.job, deadline_s=DEADLINE_S)
        return self.destination.send(request_of(turn.call), key=turn.call.key, deadline_s=DEADLINE_S)

    def _land(self, landed: Sequence[Future[Reply | None]], flights: dict[Future[Reply | None], _Flight]) -> None:
        """Settle answers, and let the next calls of their units leave."""
        answered: list[tuple[_Flight, Reply]] = []
        for future in landed:
            flight, error = flights.pop(future), future.exception()
            if error is not None:  # the lease runs out, and the sweeper rings again
                unit = flight.turn.lane.crm_unit_id
                self._drain.trouble(event="drain_failed", destination=self._name, unit=unit, error=where(error))
                continue
            reply = future.result()
            if reply is not None:
                answered.append((flight, reply))
        answered.sort(key=lambda pair: pair[0].turn.lane.crm_unit_id)
        now = self._drain.clock()

        def advance(connection: Connection, pair: tuple[_Flight, Reply], after: After) -> Turn | None:
            flight, reply = pair
            return self._turns.advance(connection, flight.turn, reply, after, started_at=flight.started_at, now=now)

        turns = self._together(answered, advance)
        self._drain.note_health(self._name, [reply for _, reply in answered])
        for (flight, _), turn in zip(answered, turns, strict=True):
            if turn is not None:
                self._follow(turn, flight, flights)

    def _follow(self, turn: Turn, flight: _Flight, flights: dict[Future[Reply | None], _Flight]) -> None:
        """Let the next call of a unit leave; where it may not, the lane is given back, still due."""
        if flight.steps + 1 >= STEPS:
            with self._drain.db.write() as connection:
                self._turns.postpone(connection, turn.lane, "many calls at once", now=self._drain.clock())
            return
        if not self._drain.is_stopping and self._drain.slots(self._name, 1).count:
            self._leave(turn, flights, steps=flight.steps + 1)
            return
        with self._drain.db.write() as connection:
            self._turns.give_back(connection, turn.lane, due_at=self._drain.clock())
