"""Drain one unit: claim its lane, make the calls that are due one after the other, record each, give it back.

Read it with ``worker/order.py``, which decides, and ``worker/store/lanes.py``, which stores. Every transaction checks
the lease's token; a request and its key are stored before the send; the outcome is stored after it.
"""

import datetime as dt
import json
import random
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby

from sqlalchemy.engine import Connection

from worker import order
from worker.calls import Destination, Outcome, Reply, Request, Verb
from worker.log import where
from worker.order import Hold, State
from worker.store import lanes
from worker.store.database import Database
from worker.store.lanes import Lane, LaneKey, OpenCall

DEADLINE_S = lanes.LEASE_S / 3
REMEMBERED_S = 12 * 3600.0  # half of what KISS remembers: an older key is not sent again
SAME_KEY_TRIES = 8
STEPS = 24  # calls in one go, before the lane is given back


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the drain tries."""

    max_tries: int = 20
    unknown_unit_s: float = 259_200.0
    longest_wait_s: float = 300.0
    longest_unknown_wait_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """A claimed lane and the stored call to send next."""

    lane: Lane
    call: OpenCall


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
        on_applied: Callable[[float], None] = lambda _seconds: None,
        on_trouble: Callable[..., None] = lambda **_fields: None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_stopping = is_stopping
        self._db = db
        self._destinations = destinations
        self._clock = clock
        self._by = by
        self._patience = patience or Patience()
        self._on_applied = on_applied
        self._on_trouble = on_trouble

    def drain(self, keys: Iterable[LaneKey]) -> None:
        """Drain lanes: in order within each, several at once across them where the destination is far away."""
        for name, group in groupby(sorted(set(keys)), key=lambda key: key[0]):
            destination = self._destinations.get(name)
            if destination is None:
                self._on_trouble(event="destination_unknown", destination=name)
                continue
            some = list(group)
            if destination.window <= 1 or len(some) == 1:
                for key in some:
                    self._drain_apart(key)
                continue
            with ThreadPoolExecutor(min(destination.window, len(some)), "drain") as pool:
                for done in [pool.submit(self._drain_apart, key) for key in some]:
                    done.result()

    def _drain_apart(self, key: LaneKey) -> None:
        """Drain one lane; what goes wrong with it is told, and is no other lane's trouble."""
        if self._is_stopping():
            return  # it stays due
        try:
            self.drain_lane(key)
        except Exception as error:  # noqa: BLE001  the task's edge: the lease runs out, and the sweeper rings again
            self._on_trouble(event="drain_failed", destination=key[0], unit=key[1], error=where(error))

    def drain_lane(self, key: LaneKey) -> None:
        """Bring one unit to what its events want, as far as that can be done now."""
        destination = self._destinations[key[0]]
        turn = self._begin(key, destination)
        for _ in range(STEPS):
            if turn is None:
                return
            if self._is_stopping():
                self._give_back(turn.lane)
                return
            if self._clock() > turn.lane.lease_until - dt.timedelta(seconds=DEADLINE_S):
                return  # we stood still for too long: the next holder sends the same key and the same bytes
            started_at = self._clock()
            reply = destination.send(_request(turn.call), key=turn.call.key, deadline_s=DEADLINE_S)
            turn = self._advance(turn, reply, destination, started_at)
        if turn is not None:
            with self._db.write() as connection:
                self._retry_later(connection, turn.lane, "many calls at once")

    def _give_back(self, lane: Lane) -> None:
        """Give a lane back, still due: the next holder sends the stored call."""
        with self._db.write() as connection:
            lanes.release(connection, lane, due_at=self._clock(), tries=lane.tries)

    def _begin(self, key: LaneKey, destination: Destination) -> _Turn | None:
        now = self._clock()
        with self._db.write() as connection:
            lane = lanes.claim(connection, key, now=now, by=self._by, grace_s=DEADLINE_S)
            if lane is None:
                return None
            if lane.shown.get("exists") is False:  # it may be there by now
                lane = replace(lane, shown={})
            return self._plan(connection, lane, destination, now)

    def _advance(self, turn: _Turn, reply: Reply, destination: Destination, started_at: dt.datetime) -> _Turn | None:
        now = self._clock()
        with self._db.write() as connection:
            lane = lanes.renew(connection, turn.lane, now=now)
            if lane is None:
                return None  # another hand has the lane, and sends this call again under its key
            lanes.record_attempt(connection, turn.call, reply, started_at=started_at, ended_at=now, by=self._by)
            if reply.outcome not in (Outcome.APPLIED, Outcome.NOT_FOUND):
                self._on_trouble(event="call_" + reply.outcome, lane=lane, call=turn.call, reply=reply)
            return self._settle(connection, lane, turn.call, reply, destination, now)

    def _settle(
        self,
        connection: Connection,
        lane: Lane,
        call: OpenCall,
        reply: Reply,
        destination: Destination,
        now: dt.datetime,
    ) -> _Turn | None:
        """Act on an answer: one branch for each outcome of ``worker/calls.py``."""
        match reply.outcome:
            case Outcome.APPLIED:
                lanes.end_calls(connection, [call.id], "done", now=now)
                made = order.Call(verb=Verb(call.verb), writes=call.writes, sources=call.sources)
                shown = order.confirmed(lane.shown, made, created=reply.created or made.verb is Verb.CREATE)
                lane = replace(self._shows(connection, lane, shown, now), tries=0)
                return self._plan(connection, lane, destination, now)
            case Outcome.UNKNOWN | Outcome.UNREACHED:
                if reply.outcome is Outcome.UNKNOWN:
                    uncertain = dict.fromkeys(call.sources.values(), (State.UNCERTAIN, None))
                    lanes.move_events(connection, uncertain, now=now, detail=f"no answer: {reply.message}")
                return self._retry_later(connection, lane, f"destination is down: {reply.message}")
        self._drop_open_calls(connection, lane, call, now)
        if call.tries:  # an earlier sending had no answer and may have taken effect: nobody knows what is there
            lane = self._shows(connection, lane, _forget(lane.shown, call), now)
        match reply.outcome:
            case Outcome.NOT_FOUND if call.verb not in (Verb.MOVE_IN, Verb.CREATE):
                lane = self._shows(connection, lane, {"exists": False}, now)
                return self._plan(connection, lane, destination, now)
            case Outcome.REJECTED | Outcome.SOURCE_CONFLICT | Outcome.NOT_FOUND:
                refused = dict.fromkeys(_culprits(call, reply), (State.REJECTED, str(reply.outcome)))
                lanes.move_events(connection, refused, now=now, detail=reply.message)
                return self._plan(connection, lane, destination, now, alone=len(refused) == 0)
            case Outcome.LIMITED | Outcome.UNAUTHORIZED:
                return self._pause(connection, lane, reply, now)
            case _:  # FAILED, KEY_REUSED: again under the next generation, not for ever
                so_often = lanes.count_attempts(connection, call.base, reply.outcome)
                if so_often >= (2 if reply.outcome is Outcome.KEY_REUSED else self._patience.max_tries):
                    held = dict.fromkeys(call.sources.values(), (State.HELD, str(Hold.TRIES_EXHAUSTED)))
                    lanes.move_events(connection, held, now=now, detail=reply.message)
                    return self._plan(connection, lane, destination, now)
                return self._retry_later(connection, lane, reply.message)

    def _plan(
        self, connection: Connection, lane: Lane, destination: Destination, now: dt.datetime, *, alone: bool = False
    ) -> _Turn | None:
        """Store the calls that are due and return the first; None, and the lane given back, when there is none.

        ``alone``: a patch that carried several events was refused without naming a field; send one event's at a time.
        """
        key = (lane.destination, lane.crm_unit_id)
        waiting = lanes.open_calls(connection, key)
        if waiting and not _is_stale(waiting[0], now):
            return _Turn(lane=lane, call=waiting[0])
        if waiting:
            lanes.end_calls(connection, [call.id for call in waiting], "abandoned", now=now)
            lane = self._shows(connection, lane, _forget(lane.shown, waiting[0]), now)
        found = lanes.lane_events(connection, key)
        changes = order.judge(found, now)
        lanes.move_events(connection, changes, now=now)
        found = [replace(e, state=changes[e.id][0], reason=changes[e.id][1]) if e.id in changes else e for e in found]
        wanted = order.fold(order.counting(found, now))
        due = order.difference(wanted, lane.shown)
        states = order.settle(found, wanted, lane.shown, now)
        lanes.move_events(connection, {event_id: (state, None) for event_id, state in states.items()}, now=now)
        for event in found:
            if states.get(event.id) is State.APPLIED and event.received_at is not None:
                self._on_applied((now - event.received_at).total_seconds())
        if not due:
            return self._finish(connection, lane, found, wanted, now)
        if alone:
            due = [order.alone(due[0])]
        stored: list[OpenCall] = []
        for call in due:
            base = order.key_base(lane.company, lane.destination, lane.crm_unit_id, call, found)
            generation = lanes.next_generation(connection, base)
            stored.append(
                lanes.store_call(
                    connection,
                    lane,
                    call,
                    request=destination.render(call.verb, lane.crm_unit_id, call.writes),
                    base=base,
                    generation=generation,
                    key=order.derive_key(base, generation),
                    now=now,
                )
            )
        return _Turn(lane=lane, call=stored[0])

    def _finish(
        self,
        connection: Connection,
        lane: Lane,
        found: list[order.UnitEvent],
        wanted: order.Fold,
        now: dt.datetime,
    ) -> None:
        key = (lane.destination, lane.crm_unit_id)
        due_at = order.next_due(found, now)
        if lane.shown.get("exists") is False and wanted.sources:
            before = now - dt.timedelta(seconds=self._patience.unknown_unit_s)
            detail = "the destination does not know this unit, and no move-in for it has come"
            lanes.hold_overdue(connection, key, before=before, reason=Hold.UNKNOWN_UNIT, detail=detail)
            return self._retry_later(connection, lane, detail, longest_s=self._patience.longest_unknown_wait_s)
        lanes.release(connection, lane, due_at=due_at, tries=0)
        return None

    def _shows(self, connection: Connection, lane: Lane, shown: Mapping[str, object], now: dt.datetime) -> Lane:
        lanes.save(connection, lane, shown=shown, now=now)
        return replace(lane, shown=shown)

    def _drop_open_calls(self, connection: Connection, lane: Lane, call: OpenCall, now: dt.datetime) -> None:
        lanes.end_calls(connection, [call.id], "refused", now=now)
        rest = lanes.open_calls(connection, (lane.destination, lane.crm_unit_id))
        lanes.end_calls(connection, [other.id for other in rest], "abandoned", now=now)

    def _pause(self, connection: Connection, lane: Lane, reply: Reply, now: dt.datetime) -> None:
        """Stop asking a destination that told us to stay away, for every worker."""
        limited = reply.outcome is Outcome.LIMITED
        until = now + dt.timedelta(seconds=reply.retry_after_s or 60.0) if limited else None
        lanes.pause(
            connection,
            "destination",
            lane.destination,
            reason=f"{reply.status}: {reply.message}",
            actor="gatepost",
            now=now,
            until=until,
        )
        lanes.note_waiting(connection, (lane.destination, lane.crm_unit_id), f"destination paused: {reply.message}")
        lanes.release(connection, lane, due_at=until or now, tries=lane.tries)

    def _retry_later(self, connection: Connection, lane: Lane, detail: str, *, longest_s: float | None = None) -> None:
        longest_s = longest_s or self._patience.longest_wait_s
        wait_s = min(2.0 ** min(lane.tries, 20), longest_s) * random.uniform(0.5, 1.5)  # noqa: S311
        lanes.note_waiting(connection, (lane.destination, lane.crm_unit_id), detail)
        due_at = self._clock() + dt.timedelta(seconds=wait_s)
        lanes.release(connection, lane, due_at=due_at, tries=lane.tries + 1)


def _request(call: OpenCall) -> Request:
    return Request(method=call.method, path=call.path, body=call.body)


def _is_stale(call: OpenCall, now: dt.datetime) -> bool:
    """Say whether a call of unknown outcome is given up for one under the next generation."""
    return call.tries >= SAME_KEY_TRIES or now - call.created_at > dt.timedelta(seconds=REMEMBERED_S)


def _forget(shown: Mapping[str, object], call: OpenCall) -> dict[str, object]:
    """Return what is still known when a call's outcome never came to light."""
    doubtful = set(call.writes)
    if call.verb != Verb.PATCH:
        doubtful |= {*order.VACANT, *order.CLEARED, "exists"}
    return {name: value for name, value in shown.items() if name not in doubtful}


def _culprits(call: OpenCall, reply: Reply) -> list[int]:
    """Return the events whose values a refusal names; all of them for a call with one source; none when unsaid."""
    sources = sorted(set(call.sources.values()))
    if len(sources) <= 1 or reply.outcome is not Outcome.REJECTED:
        return sources
    try:
        errors = json.loads(reply.body).get("errors")
    except (ValueError, AttributeError):
        return []
    named = {str(field).rpartition(".")[2] for field in errors} if isinstance(errors, dict) else set()
    return sorted({source for name, source in call.sources.items() if name in named})
