"""Batch: what one transaction reads and writes for several lanes of a destination, each statement once for all.

What was read is kept as it becomes, so a turn sees its own changes; ``flush`` writes them. Statements that concern few
turns (issues, pauses, what an event waits for) are made at once, after what is still to be written.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from worker.calls import Reply
from worker.order import State, UnitEvent
from worker.store import calls, lanes
from worker.store.calls import Attempt, NewCall, OpenCall
from worker.store.lanes import Lane

Change = tuple[State, str | None]
"""The new state of an event, and its reason."""


class Batch:
    """The lanes of a destination that share a transaction."""

    def __init__(self, connection: Connection, destination: str, *, now: dt.datetime, by: str) -> None:
        self.connection = connection
        self.now = now
        self._destination = destination
        self._by = by
        self._events: dict[str, list[UnitEvent]] = {}
        self._open: dict[str, list[OpenCall]] = {}
        self._attempts: list[Attempt] = []
        self._moves: dict[tuple[State, str | None, str | None], list[int]] = {}
        self._ended: dict[str, list[int]] = {}
        self._new: list[NewCall] = []
        self._kept: dict[str, Lane] = {}
        self._released: dict[str, tuple[Lane, dt.datetime | None]] = {}

    def claim(self, units: Collection[str], *, grace_s: float) -> list[Lane]:
        """Take the lanes that are free; those that are not are left out."""
        claimed = lanes.claim(self.connection, self._destination, units, now=self.now, grace_s=grace_s) if units else []
        if claimed:
            units = [lane.crm_unit_id for lane in claimed]
            self._events |= lanes.events_of(self.connection, self._destination, units)
            self._open |= calls.open_calls(self.connection, self._destination, units)
        return claimed

    def hold(self, held: Sequence[tuple[Lane, Sequence[OpenCall]]]) -> dict[str, Lane]:
        """Return lanes as they are now, by the unit, without those that another hand has taken.

        ``held``: lanes and their open calls, which nobody else makes or ends meanwhile.
        """
        mine = lanes.hold(self.connection, [lane for lane, _ in held], now=self.now)
        self._events |= lanes.events_of(self.connection, self._destination, mine)
        self._open |= {lane.crm_unit_id: list(its) for lane, its in held}
        return mine

    def events(self, lane: Lane) -> list[UnitEvent]:
        """Return the events of a lane that may count, in the order of their ids."""
        return self._events.get(lane.crm_unit_id, [])

    def open_calls(self, lane: Lane) -> list[OpenCall]:
        """Return the calls of a lane that are not settled, in the order to send them."""
        return self._open.get(lane.crm_unit_id, [])

    def record(self, lane: Lane, call: OpenCall, reply: Reply, *, started_at: dt.datetime, is_done: bool) -> None:
        """Record a sending and what came of it."""
        made = Attempt(call=call, reply=reply, started_at=started_at, ended_at=self.now, by=self._by)
        self._attempts.append(made)
        if is_done:
            self._open[lane.crm_unit_id] = [one for one in self.open_calls(lane) if one.id != call.id]

    def count_attempts(self, call: OpenCall, reply: Reply) -> int:
        """Return how often calls of the same base have ended like this reply."""
        self._write_attempts()
        return calls.count_attempts(self.connection, call.base, reply.outcome)

    def end_calls(self, lane: Lane, ended: Collection[OpenCall], state: str) -> None:
        """Settle calls: ``refused`` or ``abandoned``."""
        ids = [call.id for call in ended]
        self._ended.setdefault(state, []).extend(ids)
        self._open[lane.crm_unit_id] = [one for one in self.open_calls(lane) if one.id not in ids]

    def move(self, lane: Lane, changes: Mapping[int, Change], detail: str | None = None) -> None:
        """Bring events into new states."""
        if not changes:
            return
        if any(event_id in ids for ids in self._moves.values() for event_id in changes):
            self._write_moves()
        for event_id, (state, reason) in changes.items():
            self._moves.setdefault((state, reason, detail), []).append(event_id)
        self._events[lane.crm_unit_id] = [
            replace(event, state=changes[event.id][0], reason=changes[event.id][1]) if event.id in changes else event
            for event in self.events(lane)
        ]

    def note_waiting(self, lane: Lane, detail: str) -> None:
        """Say on the waiting events of a lane what they wait for."""
        self._write_moves()
        lanes.note_waiting(self.connection, lane.key, detail)

    def hold_overdue(self, lane: Lane, *, before: dt.datetime, reason: str, detail: str) -> None:
        """Hold the waiting events of a lane that came before an instant."""
        self._write_moves()
        lanes.hold_overdue(self.connection, lane.key, before=before, reason=reason, detail=detail, now=self.now)

    def store(self, new: Sequence[NewCall]) -> range:
        """Store the calls of a lane; return their places in what ``flush`` returns."""
        first = len(self._new)
        self._new += new
        return range(first, len(self._new))

    def keep(self, lane: Lane) -> None:
        """Keep a lane claimed, with what it shows by now."""
        self._kept[lane.crm_unit_id] = lane

    def release(self, lane: Lane, *, due_at: dt.datetime | None) -> None:
        """Give a lane back, with what it shows by now. ``due_at`` None: nothing to do until an event comes."""
        self._kept.pop(lane.crm_unit_id, None)
        self._released[lane.crm_unit_id] = (lane, due_at)

    def flush(self) -> list[OpenCall]:
        """Write what is still to be written; return the calls that were stored, in their order."""
        self._write_attempts()
        for state, ids in self._ended.items():
            calls.end_calls(self.connection, ids, state, now=self.now)
        self._write_moves()
        stored = calls.store_calls(self.connection, self._new, now=self.now)
        lanes.keep(self.connection, list(self._kept.values()), by=self._by)
        lanes.release(self.connection, list(self._released.values()))
        return stored

    def _write_attempts(self) -> None:
        calls.record_attempts(self.connection, self._attempts)
        self._attempts = []

    def _write_moves(self) -> None:
        for (state, reason, detail), ids in self._moves.items():
            lanes.move_events(self.connection, dict.fromkeys(ids, (state, reason)), now=self.now, detail=detail)
        self._moves = {}
