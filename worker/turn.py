"""One unit's turn: claim its lane, plan the calls that are due, act on each answer, give the lane back.

Read it with ``worker/order.py`` and ``worker/guard.py``, which decide, and ``worker/store/lanes.py``, which stores.
Everything here happens inside the caller's transaction; nothing is sent. Every transaction checks the lease's token; a
request and its key are stored before the send; the outcome is stored after it.
"""

import datetime as dt
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.engine import Connection

from parsers.events import TENANCY, Value
from worker import guard, order
from worker.calls import Destination, Outcome, Reply, Request, Verb
from worker.keys import derive_key, key_base
from worker.notices import Notice, late_mismatch, new_unit, refused_call, refused_token
from worker.order import Fold, Hold, State, UnitEvent
from worker.store import calls, issues, lanes, pauses
from worker.store.calls import OpenCall
from worker.store.lanes import Lane, LaneKey

DEADLINE_S = lanes.LEASE_S / 3
SAME_KEY_TRIES = 8
BLOCKED_S = 60.0  # how often a transfer's second half looks whether the first is done, if nobody tells it
JOB_WAIT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the drain tries."""

    max_tries: int = 20
    unknown_unit_s: float = 259_200.0
    longest_wait_s: float = 300.0
    longest_unknown_wait_s: float = 3600.0
    job_s: float = 21_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A claimed lane and the stored call to send next, or to ask for."""

    lane: Lane
    call: OpenCall


@dataclass(slots=True, kw_only=True)
class After:
    """What has to be done once the transaction is through."""

    applied_s: list[float] = field(default_factory=list[float])
    """Seconds from acceptance to now of the events that became applied."""
    settled: list[int] = field(default_factory=list[int])
    """Events that others may have waited for."""
    troubles: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    told: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """What webhooks tell: a word, and the id of an event or issue."""


class Turns:
    """Takes the turns of one process at one destination."""

    def __init__(self, destination: Destination, *, by: str, patience: Patience, expects_new_units: bool) -> None:
        self._destination = destination
        self._manners = destination.manners
        self._by = by
        self._patience = patience
        self._expects_new_units = expects_new_units

    def begin(self, connection: Connection, key: LaneKey, after: After, *, now: dt.datetime) -> Turn | None:
        """Claim a lane; return its first call, or None: another hand has it, or nothing is to be done."""
        lane = lanes.claim(connection, key, now=now, by=self._by, grace_s=DEADLINE_S)
        if lane is None:
            return None
        if lane.shown.get("exists") is False:  # it may be there by now
            lane = replace(lane, shown={})
        return self._plan(connection, lane, after, now)

    def advance(
        self,
        connection: Connection,
        turn: Turn,
        reply: Reply,
        after: After,
        *,
        started_at: dt.datetime,
        now: dt.datetime,
    ) -> Turn | None:
        """Record an answer and act on it; return the next call of the lane, or None."""
        lane = lanes.renew(connection, turn.lane, now=now)
        if lane is None:
            return None  # another hand has the lane, and sends this call again under its key
        calls.record_attempt(connection, turn.call, reply, started_at=started_at, ended_at=now, by=self._by)
        if reply.outcome not in (Outcome.APPLIED, Outcome.NOT_FOUND, Outcome.ACCEPTED):
            after.troubles.append({"event": "call_" + reply.outcome, "lane": lane, "call": turn.call, "reply": reply})
        return self._act(connection, lane, turn.call, reply, after, now)

    def give_back(self, connection: Connection, lane: Lane, *, due_at: dt.datetime) -> None:
        """Give a lane back, still due: the next holder goes on with the stored call."""
        lanes.release(connection, lane, due_at=due_at, tries=lane.tries)

    def postpone(self, connection: Connection, lane: Lane, detail: str, *, now: dt.datetime) -> None:
        """Give a lane back, to be tried again after a while."""
        self._retry_later(connection, lane, detail, now)

    def _act(
        self, connection: Connection, lane: Lane, call: OpenCall, reply: Reply, after: After, now: dt.datetime
    ) -> Turn | None:
        """Act on an answer: one branch for each outcome of ``worker/calls.py``."""
        made = order.Call(verb=Verb(call.verb), writes=call.writes, sources=call.sources)
        match reply.outcome:
            case Outcome.APPLIED:
                created = reply.created or made.verb is Verb.CREATE
                if created and not self._expects_new_units:
                    self._notice(connection, new_unit(lane.destination, lane.crm_unit_id, call.id), after, now)
                shown = order.confirmed(lane.shown, made, created=created, manners=self._manners)
                origin = order.UNTOUCHED if created and not lane.origin else lane.origin
                lane = replace(lane, shown=shown, origin=origin, tries=0, updated_at=now)
                return self._plan(connection, lane, after, now)
            case Outcome.ACCEPTED:
                return self._wait_for_job(connection, lane, call, reply, now)
            case Outcome.UNKNOWN | Outcome.UNREACHED:
                if reply.outcome is Outcome.UNKNOWN and call.job is None:
                    _move(connection, _asking(call), State.UNCERTAIN, None, f"no answer: {reply.message}", now)
                return self._retry_later(connection, lane, f"destination is down: {reply.message}", now)
            case Outcome.LIMITED | Outcome.UNAUTHORIZED if call.job is not None:
                return self._pause(connection, lane, reply, after, now)
        self._drop_open_calls(connection, lane, call, now)
        if call.tries:  # an earlier sending had no answer and may have taken effect: nobody knows what is there
            lane = replace(lane, shown=order.forgotten(lane.shown, made, self._manners), updated_at=now)
        match reply.outcome:
            case Outcome.NOT_FOUND if self._needs_the_unit(made.verb):
                return self._plan(connection, replace(lane, shown={"exists": False}, updated_at=now), after, now)
            case Outcome.REJECTED | Outcome.SOURCE_CONFLICT | Outcome.NOT_FOUND:
                refused = _culprits(call, reply)
                _move(connection, refused, State.REJECTED, str(reply.outcome), reply.message, now)
                after.told += [("event.rejected", event_id) for event_id in refused]
                self._refused(connection, lane, call, reply, after, now)
                if not _asking(call):  # an earlier value that the destination does not take back: a person must look
                    return lanes.release(connection, lane, due_at=None, tries=0)
                return self._plan(connection, lane, after, now, alone=len(refused) == 0)
            case Outcome.LIMITED | Outcome.UNAUTHORIZED:
                return self._pause(connection, lane, reply, after, now)
            case _:  # FAILED, KEY_REUSED: under the next generation; the one not for ever, the other not by itself
                so_often = calls.count_attempts(connection, call.base, reply.outcome)
                if reply.outcome is Outcome.KEY_REUSED or so_often >= self._patience.max_tries:
                    _move(connection, _asking(call), State.HELD, Hold.TRIES_EXHAUSTED, reply.message, now)
                    self._refused(connection, lane, call, reply, after, now)
                    return self._plan(connection, lane, after, now)
                return self._retry_later(connection, lane, reply.message, now)

    def _plan(
        self, connection: Connection, lane: Lane, after: After, now: dt.datetime, *, alone: bool = False
    ) -> Turn | None:
        """Store the calls that are due and return the first; None, and the lane given back, when there is none.

        ``alone``: a patch that carried several events was refused without naming a field; send one event's at a time.
        """
        open_calls = calls.open_calls(connection, lane.key)
        if open_calls and open_calls[0].job is not None:
            return self._go_on(connection, lane, open_calls[0])
        found = self._judged(connection, lane, after, now)
        counted = order.counting(found, now)
        wanted, dropped = order.taken(order.fold(counted, self._manners, lane.origin), self._manners)
        if open_calls:
            lane, goes_on = self._look_at_open(connection, lane, open_calls, wanted, now)
            if goes_on is not None:
                return self._go_on(connection, lane, goes_on)
        due = order.difference(wanted, lane.shown, self._manners)
        self._settle(connection, found, wanted, dropped, lane, after, now)
        if not due:
            return self._finish(connection, lane, found, wanted, now)
        steps = [order.alone(due[0])] if alone else due
        lane = replace(lane, priority=min(order.urgency(call.verb, call.writes) for call in steps))
        stored = [self._store(connection, lane, call, found, wanted, now) for call in steps]
        return self._go_on(connection, lane, stored[0])

    def _go_on(self, connection: Connection, lane: Lane, call: OpenCall) -> Turn:
        lanes.keep(connection, lane)
        return Turn(lane=lane, call=call)

    def _judged(self, connection: Connection, lane: Lane, after: After, now: dt.datetime) -> list[UnitEvent]:
        """Return the lane's events with the guard's word on each, which is stored."""
        found = lanes.lane_events(connection, lane.key)
        changes = guard.judge(found, now, manners=self._manners, origin=lane.origin)
        for event_id in guard.contradicted(found, now):
            self._notice(connection, late_mismatch(lane.key, event_id), after, now, [event_id])
        if not changes:
            return found
        lanes.move_events(connection, changes, now=now)
        return [replace(e, state=changes[e.id][0], reason=changes[e.id][1]) if e.id in changes else e for e in found]

    def _look_at_open(
        self, connection: Connection, lane: Lane, open_calls: Sequence[OpenCall], wanted: Fold, now: dt.datetime
    ) -> tuple[Lane, OpenCall | None]:
        """Return the open call to go on with; None when it is stale, or not wanted any more, and given up.

        A call whose outcome is unknown and that is wanted no longer is forgotten: what it may have written is stated
        anew, under a key of its own.
        """
        first = open_calls[0]
        made = order.Call(verb=Verb(first.verb), writes=first.writes, sources=first.sources)
        doubtful = order.forgotten(lane.shown, made, self._manners)
        if not self._is_stale(first, now):
            wished = next(iter(order.difference(wanted, lane.shown, self._manners)), None)
            if wished is not None and _is_part_of(made, wished):
                return lane, first
        calls.end_calls(connection, [call.id for call in open_calls], "abandoned", now=now)
        return replace(lane, shown=doubtful, updated_at=now), None

    def _is_stale(self, call: OpenCall, now: dt.datetime) -> bool:
        """Say whether a call of unknown outcome is given up for one under the next generation."""
        age_s = (now - call.created_at).total_seconds()
        return call.tries >= SAME_KEY_TRIES or age_s > (self._manners.remembered_s or 86_400.0) / 2

    def _settle(
        self,
        connection: Connection,
        found: Sequence[UnitEvent],
        wanted: Fold,
        dropped: Mapping[str, int],
        lane: Lane,
        after: After,
        now: dt.datetime,
    ) -> None:
        """Store the states that follow from what is shown by now."""
        states = order.settle(found, wanted, lane.shown, now)
        untaken: dict[int, list[str]] = {}
        for name, event_id in dropped.items():
            untaken.setdefault(event_id, []).append(name)
        plain = {event_id: (state, None) for event_id, state in states.items() if event_id not in untaken}
        lanes.move_events(connection, plain, now=now)
        for event_id, names in untaken.items():
            if event_id in states:
                reason = "not_taken" if states[event_id] is State.SUPERSEDED else None
                detail = f"{lane.destination} does not take {', '.join(sorted(names))}"
                lanes.move_events(connection, {event_id: (states[event_id], reason)}, now=now, detail=detail)
        by_id = {event.id: event for event in found}
        for event_id, state in states.items():
            received_at = by_id[event_id].received_at
            if state is State.APPLIED:
                after.told.append(("event.applied", event_id))
                if received_at is not None:
                    after.applied_s.append((now - received_at).total_seconds())
            if state in (State.APPLIED, State.SUPERSEDED):
                after.settled.append(event_id)

    def _store(
        self,
        connection: Connection,
        lane: Lane,
        call: order.Call,
        found: Sequence[UnitEvent],
        wanted: Fold,
        now: dt.datetime,
    ) -> OpenCall:
        """Store the exact request and its key."""
        base = key_base(lane.company, lane.destination, lane.crm_unit_id, call, found)
        generation = calls.next_generation(connection, base)
        return calls.store_call(
            connection,
            lane,
            call,
            request=self._destination.render(
                call.verb, lane.crm_unit_id, call.writes, about=_about(lane, found, wanted)
            ),
            base=base,
            generation=generation,
            key=derive_key(base, generation),
            now=now,
        )

    def _finish(
        self, connection: Connection, lane: Lane, found: Sequence[UnitEvent], wanted: Fold, now: dt.datetime
    ) -> None:
        due_at = order.next_due(found, now)
        if lane.shown.get("exists") is False and wanted.sources:
            before = now - dt.timedelta(seconds=self._patience.unknown_unit_s)
            detail = "the destination does not know this unit, and no move-in for it has come"
            lanes.hold_overdue(connection, lane.key, before=before, reason=Hold.UNKNOWN_UNIT, detail=detail, now=now)
            return self._retry_later(connection, lane, detail, now, longest_s=self._patience.longest_unknown_wait_s)
        if any(event.is_blocked for event in found):
            look_again = now + dt.timedelta(seconds=BLOCKED_S)
            due_at = min(due_at or look_again, look_again)
            lanes.note_waiting(connection, lane.key, "waits for the other half of its transfer")
        lanes.release(connection, lane, due_at=due_at, tries=0)
        return None

    def _wait_for_job(
        self, connection: Connection, lane: Lane, call: OpenCall, reply: Reply, now: dt.datetime
    ) -> Turn | None:
        """Leave an accepted call open, to be asked for: accepted is not applied."""
        if now - call.created_at > dt.timedelta(seconds=self._patience.job_s):
            self._drop_open_calls(connection, lane, call, now)
            made = order.Call(verb=Verb(call.verb), writes=call.writes, sources=call.sources)
            lane = replace(lane, shown=order.forgotten(lane.shown, made, self._manners), updated_at=now)
            detail = f"accepted as job {call.job}, and nothing was heard of it since"
            _move(connection, _asking(call), State.HELD, Hold.TRIES_EXHAUSTED, detail, now)
            lanes.release(connection, lane, due_at=now, tries=0)
            return None
        if call.job is None:
            _move(connection, _asking(call), State.UNCERTAIN, None, f"accepted as job {reply.job}", now)
        wait_s = reply.retry_after_s or min(JOB_WAIT_S * 2.0 ** min(lane.tries, 5), 60.0)
        due_at = now + dt.timedelta(seconds=wait_s)
        lanes.release(connection, lane, due_at=due_at, tries=lane.tries + 1)
        return None

    def _drop_open_calls(self, connection: Connection, lane: Lane, call: OpenCall, now: dt.datetime) -> None:
        calls.end_calls(connection, [call.id], "refused", now=now)
        rest = calls.open_calls(connection, lane.key)
        calls.end_calls(connection, [other.id for other in rest], "abandoned", now=now)

    def _pause(self, connection: Connection, lane: Lane, reply: Reply, after: After, now: dt.datetime) -> None:
        """Stop asking a destination that told us to stay away, for every worker."""
        limited = reply.outcome is Outcome.LIMITED
        until = now + dt.timedelta(seconds=reply.retry_after_s or 60.0) if limited else None
        reason = f"{reply.status}: {reply.message}"
        pauses.pause(connection, "destination", lane.destination, reason=reason, actor="gatepost", now=now, until=until)
        if not limited:
            self._notice(connection, refused_token(lane.destination, reason), after, now)
        lanes.note_waiting(connection, lane.key, f"destination paused: {reply.message}")
        lanes.release(connection, lane, due_at=until or now, tries=lane.tries)

    def _retry_later(
        self, connection: Connection, lane: Lane, detail: str, now: dt.datetime, *, longest_s: float | None = None
    ) -> None:
        longest_s = longest_s or self._patience.longest_wait_s
        wait_s = min(2.0 ** min(lane.tries, 20), longest_s) * random.uniform(0.5, 1.5)  # noqa: S311
        lanes.note_waiting(connection, lane.key, detail)
        lanes.release(connection, lane, due_at=now + dt.timedelta(seconds=wait_s), tries=lane.tries + 1)

    def _needs_the_unit(self, verb: Verb) -> bool:
        """Say whether a 404 to this call means that the unit is not there."""
        return verb in (Verb.PATCH, Verb.MOVE_OUT) or (verb is Verb.MOVE_IN and not self._manners.move_in_creates)

    def _refused(
        self, connection: Connection, lane: Lane, call: OpenCall, reply: Reply, after: After, now: dt.datetime
    ) -> None:
        notice = refused_call(lane.key, call.id, call.method, reply)
        self._notice(connection, notice, after, now, _asking(call))

    def _notice(
        self, connection: Connection, notice: Notice, after: After, now: dt.datetime, event_ids: Sequence[int] = ()
    ) -> None:
        """Open an issue, or count one more of its cause."""
        issue_id, is_new = issues.open_issue(connection, notice, now=now, event_ids=event_ids)
        if is_new:
            after.told.append(("issue.opened", issue_id))
            after.troubles.append({"event": "issue_opened", "issue": issue_id, "kind": str(notice.kind)})


def _move(
    connection: Connection, ids: Sequence[int], state: State, reason: str | None, detail: str, now: dt.datetime
) -> None:
    lanes.move_events(connection, dict.fromkeys(ids, (state, reason)), now=now, detail=detail)


def _is_part_of(made: order.Call, wished: order.Call) -> bool:
    """Say whether a call is the one that is wished for, or one event's part of that patch."""
    if made.verb is not wished.verb:
        return False
    if made.verb is not Verb.PATCH:
        return dict(made.writes) == dict(wished.writes)
    return all(name in wished.writes and wished.writes[name] == value for name, value in made.writes.items())


def request_of(call: OpenCall) -> Request:
    """Return the exact bytes of a stored call."""
    return Request(method=call.method, path=call.path, body=call.body)


def _about(lane: Lane, found: Sequence[UnitEvent], wanted: Fold) -> dict[str, Value]:
    """Return what else is known of the unit when its request is rendered."""
    about: dict[str, Value] = {**lane.columns, "unit": lane.unit, "location": lane.location}
    about |= {name: wanted.values[name] for name in TENANCY if wanted.values.get(name) is not None}
    if wanted.values.get("occupied") is False:
        ended = [event.on_date for event in found if event.id == wanted.sources.get("occupied")]
        about |= {"move_out_date": ended[0]} if ended else {}
    return about


def _asking(call: OpenCall) -> list[int]:
    """Return the events that ask for what a call writes."""
    return sorted({source for source in call.sources.values() if source != order.ORIGIN})


def _culprits(call: OpenCall, reply: Reply) -> list[int]:
    """Return the events whose values a refusal names; all of them for a call with one source; none when unsaid."""
    sources = _asking(call)
    if len(sources) <= 1 or reply.outcome is not Outcome.REJECTED:
        return sources
    try:
        errors = json.loads(reply.body).get("errors")
    except (ValueError, AttributeError):
        return []
    named = {str(name).rpartition(".")[2] for name in errors} if isinstance(errors, dict) else set()
    return sorted({source for name, source in call.sources.items() if name in named and source != order.ORIGIN})
