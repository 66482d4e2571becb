"""One unit's turn: claim its lane, plan the calls that are due, act on each answer, give the lane back.

Read it with ``worker/order.py`` and ``worker/guard.py``, which decide, and ``worker/store/lanes.py``, which stores.
Everything here happens inside the caller's transaction; nothing is sent. Every transaction checks the lease's token; a
request and its key are stored before the send; the outcome is stored after it.
"""

import datetime as dt
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.engine import Connection

from parsers.events import Kind
from worker import guard, order
from worker.asking import about_unit
from worker.calls import Destination, Outcome, Reply, Request, Verb
from worker.keys import key_base
from worker.notices import Notice, late_mismatch, new_unit, opened, refused_call, refused_token
from worker.order import Fold, Hold, State, UnitEvent
from worker.store import issues, lanes, pauses
from worker.store.batch import Batch
from worker.store.calls import NewCall, OpenCall
from worker.store.lanes import Lane

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
    calls: Sequence[OpenCall]
    """The open calls of the lane, in the order to send them."""

    @property
    def call(self) -> OpenCall:
        return self.calls[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A turn, and what came of its sending."""

    turn: Turn
    reply: Reply
    started_at: dt.datetime


@dataclass(slots=True, kw_only=True)
class After:
    """What has to be done once the transaction is through."""

    applied_s: list[float] = field(default_factory=list[float])
    """Seconds from acceptance to now of the events that became applied."""
    settled: list[int] = field(default_factory=list[int])
    """Move-ins that others may have waited for."""
    troubles: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    told: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """What webhooks tell: a word, and the id of an event or issue."""

    def open_issue(
        self, connection: Connection, notice: Notice, *, now: dt.datetime, event_ids: Sequence[int] = ()
    ) -> None:
        """Open an issue, told and logged afterwards, or count one more of its cause."""
        issue_id, is_new = issues.open_issue(connection, notice, now=now, event_ids=event_ids)
        if is_new:
            self.told.append(("issue.opened", issue_id))
            self.troubles.append(opened(issue_id, notice.kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A claimed lane and what is to be sent: open calls, or the places of those that the batch stores."""

    lane: Lane
    calls: Sequence[OpenCall] | range

    def turn(self, stored: Sequence[OpenCall]) -> Turn:
        """Return the turn, once the batch is written."""
        its = self.calls
        return Turn(lane=self.lane, calls=stored[its.start : its.stop] if isinstance(its, range) else its)


class Turns:
    """Takes the turns of one process at one destination."""

    def __init__(self, destination: Destination, *, by: str, patience: Patience, expects_new_units: bool) -> None:
        self._destination = destination
        self._manners = destination.manners
        self._by = by
        self._patience = patience
        self._expects_new_units = expects_new_units

    def batch(self, connection: Connection, *, now: dt.datetime) -> Batch:
        """Return what reads and writes for turns that share a transaction."""
        return Batch(connection, self._destination.name, now=now, by=self._by)

    def begin(self, batch: Batch, units: Collection[str], after: After) -> dict[str, Step | None]:
        """Claim lanes; return the first call of each by its unit, None where nothing is to be done.

        A unit that another hand has is not in it.
        """
        steps: dict[str, Step | None] = {}
        for lane in batch.claim(units, grace_s=DEADLINE_S):
            if lane.shown.get("exists") is False:  # it may be there by now
                lane = replace(lane, shown={})
            steps[lane.crm_unit_id] = self._plan(batch, lane, after)
        return steps

    def advance(self, batch: Batch, answered: Sequence[Answered], after: After) -> list[Step | None]:
        """Record answers and act on them; return the next call of each lane, or None."""
        held = batch.hold([(one.turn.lane, one.turn.calls) for one in answered])
        steps: list[Step | None] = []
        for one in answered:
            lane, call, reply = held.get(one.turn.lane.crm_unit_id), one.turn.call, one.reply
            if lane is None:  # another hand has the lane, and sends this call again under its key
                steps.append(None)
                continue
            batch.record(lane, call, reply, started_at=one.started_at, is_done=reply.outcome is Outcome.APPLIED)
            if reply.outcome not in (Outcome.APPLIED, Outcome.NOT_FOUND, Outcome.ACCEPTED):
                after.troubles.append({"event": "call_" + reply.outcome, "lane": lane, "call": call, "reply": reply})
            steps.append(self._act(batch, lane, call, reply, after))
        return steps

    def give_back(self, batch: Batch, lane: Lane) -> None:
        """Give a lane back, still due: the next holder goes on with the stored call."""
        batch.release(lane, due_at=batch.now)

    def postpone(self, batch: Batch, lane: Lane, detail: str) -> None:
        """Give a lane back, to be tried again after a while."""
        self._retry_later(batch, lane, detail)

    def _act(self, batch: Batch, lane: Lane, call: OpenCall, reply: Reply, after: After) -> Step | None:
        """Act on an answer: one branch for each outcome of ``worker/calls.py``."""
        made = order.Call(verb=Verb(call.verb), writes=call.writes, sources=call.sources)
        match reply.outcome:
            case Outcome.APPLIED:
                created = reply.created or made.verb is Verb.CREATE
                if created and not self._expects_new_units:
                    after.open_issue(
                        batch.connection, new_unit(lane.destination, lane.crm_unit_id, call.id), now=batch.now
                    )
                shown = order.confirmed(lane.shown, made, created=created, manners=self._manners)
                origin = order.UNTOUCHED if created and not lane.origin else lane.origin
                lane = replace(lane, shown=shown, origin=origin, tries=0, updated_at=batch.now)
                return self._plan(batch, lane, after)
            case Outcome.ACCEPTED:
                return self._wait_for_job(batch, lane, call, reply)
            case Outcome.UNKNOWN | Outcome.UNREACHED:
                if reply.outcome is Outcome.UNKNOWN and call.job is None:
                    _move(batch, lane, _asking(call), State.UNCERTAIN, None, f"no answer: {reply.message}")
                return self._retry_later(batch, lane, f"destination is down: {reply.message}")
            case Outcome.LIMITED | Outcome.UNAUTHORIZED if call.job is not None:
                return self._pause(batch, lane, reply, after)
        self._drop_open_calls(batch, lane, call)
        if call.tries or call.is_found:  # an earlier sending may have taken effect: nobody knows what is there
            shown = order.forgotten(lane.shown, made, self._manners)
            lane = replace(lane, shown=shown, updated_at=batch.now)
        match reply.outcome:
            case Outcome.NOT_FOUND if self._needs_the_unit(made.verb):
                return self._plan(batch, replace(lane, shown={"exists": False}, updated_at=batch.now), after)
            case Outcome.REJECTED | Outcome.SOURCE_CONFLICT | Outcome.NOT_FOUND:
                refused = _culprits(call, reply)
                _move(batch, lane, refused, State.REJECTED, str(reply.outcome), reply.message)
                after.told += [("event.rejected", event_id) for event_id in refused]
                self._refused(batch, lane, call, reply, after)
                if not _asking(call):  # an earlier value that the destination does not take back: a person must look
                    return batch.release(replace(lane, tries=0), due_at=None)
                return self._plan(batch, lane, after, alone=len(refused) == 0)
            case Outcome.LIMITED | Outcome.UNAUTHORIZED:
                return self._pause(batch, lane, reply, after)
            case _:  # FAILED, KEY_REUSED: under the next generation; the one not for ever, the other not by itself
                so_often = batch.count_attempts(call, reply)
                if reply.outcome is Outcome.KEY_REUSED or so_often >= self._patience.max_tries:
                    _move(batch, lane, _asking(call), State.HELD, Hold.TRIES_EXHAUSTED, reply.message)
                    self._refused(batch, lane, call, reply, after)
                    return self._plan(batch, lane, after)
                return self._retry_later(batch, lane, reply.message)

    def _plan(self, batch: Batch, lane: Lane, after: After, *, alone: bool = False) -> Step | None:
        """Store the calls that are due and return the first; None, and the lane given back, when there is none.

        ``alone``: a patch that carried several events was refused without naming a field; send one event's at a time.
        """
        open_calls = batch.open_calls(lane)
        if open_calls and open_calls[0].job is not None:
            return _go_on(batch, lane, open_calls)
        asked = {event_id for call in open_calls for event_id in _asking(call)}
        found = self._judged(batch, lane, asked, after)
        wanted, dropped = order.taken(
            order.fold(order.counting(found, batch.now), self._manners, lane.origin), self._manners
        )
        if open_calls:
            lane, goes_on = self._look_at_open(batch, lane, open_calls, wanted)
            if goes_on:
                return _go_on(batch, lane, open_calls)
        due = order.difference(wanted, lane.shown, self._manners)
        self._settle(batch, lane, found, wanted, dropped, after)
        if not due:
            return self._finish(batch, lane, found, wanted)
        steps = [order.alone(due[0])] if alone else due
        lane = replace(lane, priority=min(order.urgency(call.verb, call.writes) for call in steps))
        return _go_on(batch, lane, batch.store([self._new_call(lane, call, found, wanted) for call in steps]))

    def _judged(self, batch: Batch, lane: Lane, asked: Collection[int], after: After) -> list[UnitEvent]:
        """Return the lane's events with the guard's word on each, which is stored. ``asked``: those of open calls."""
        found = batch.events(lane)
        verdicts = guard.judge(
            found, batch.now, manners=self._manners, origin=lane.origin, shown=lane.shown, asked=asked
        )
        batch.move(lane, verdicts)
        found = batch.events(lane)
        for event_id in guard.contradicted(found, batch.now):
            after.open_issue(batch.connection, late_mismatch(lane.key, event_id), now=batch.now, event_ids=[event_id])
        return found

    def _look_at_open(
        self, batch: Batch, lane: Lane, open_calls: Sequence[OpenCall], wanted: Fold
    ) -> tuple[Lane, bool]:
        """Say whether to go on with the first open call; it is given up when it is stale, or not wanted any more.

        A call whose outcome is unknown and that is wanted no longer is forgotten: what it may have written is stated
        anew, under a key of its own.
        """
        first = open_calls[0]
        made = order.Call(verb=Verb(first.verb), writes=first.writes, sources=first.sources)
        doubtful = order.forgotten(lane.shown, made, self._manners)
        if not self._is_stale(first, batch.now):
            wished = next(iter(order.difference(wanted, lane.shown, self._manners)), None)
            if wished is not None and _is_part_of(made, wished):
                return lane, True
        batch.end_calls(lane, open_calls, "abandoned")
        return replace(lane, shown=doubtful, updated_at=batch.now), False

    def _is_stale(self, call: OpenCall, now: dt.datetime) -> bool:
        """Say whether a call of unknown outcome is given up for one under the next generation."""
        age_s = (now - call.created_at).total_seconds()
        return call.tries >= SAME_KEY_TRIES or age_s > (self._manners.remembered_s or 86_400.0) / 2

    def _settle(
        self,
        batch: Batch,
        lane: Lane,
        found: Sequence[UnitEvent],
        wanted: Fold,
        dropped: Mapping[str, int],
        after: After,
    ) -> None:
        """Store the states that follow from what is shown by now."""
        states = order.settle(found, wanted, lane.shown, batch.now)
        untaken: dict[int, list[str]] = {}
        for name, event_id in dropped.items():
            untaken.setdefault(event_id, []).append(name)
        batch.move(lane, {event_id: (state, None) for event_id, state in states.items() if event_id not in untaken})
        for event_id, names in untaken.items():
            if event_id in states:
                reason = "not_taken" if states[event_id] is State.SUPERSEDED else None
                detail = f"{lane.destination} does not take {', '.join(sorted(names))}"
                batch.move(lane, {event_id: (states[event_id], reason)}, detail)
        by_id = {event.id: event for event in found}
        for event_id, state in states.items():
            received_at = by_id[event_id].received_at
            if state is State.APPLIED:
                after.told.append(("event.applied", event_id))
                if received_at is not None:
                    after.applied_s.append((batch.now - received_at).total_seconds())
            if state in (State.APPLIED, State.SUPERSEDED) and by_id[event_id].kind is Kind.MOVE_IN:
                after.settled.append(event_id)

    def _new_call(self, lane: Lane, call: order.Call, found: Sequence[UnitEvent], wanted: Fold) -> NewCall:
        """Return a call with its exact request, and what its key is made of."""
        about = about_unit(lane.columns, lane.unit, lane.location, found, wanted)
        return NewCall(
            lane=lane,
            call=call,
            request=self._destination.render(call.verb, lane.crm_unit_id, call.writes, about=about),
            base=key_base(lane.company, lane.destination, lane.crm_unit_id, call, found),
        )

    def _finish(self, batch: Batch, lane: Lane, found: Sequence[UnitEvent], wanted: Fold) -> None:
        due_at = order.next_due(found, batch.now)
        if lane.shown.get("exists") is False and wanted.sources:
            before = batch.now - dt.timedelta(seconds=self._patience.unknown_unit_s)
            detail = "the destination does not know this unit, and no move-in for it has come"
            batch.hold_overdue(lane, before=before, reason=Hold.UNKNOWN_UNIT, detail=detail)
            return self._retry_later(batch, lane, detail, longest_s=self._patience.longest_unknown_wait_s)
        if any(event.is_blocked for event in found):
            look_again = batch.now + dt.timedelta(seconds=BLOCKED_S)
            due_at = min(due_at or look_again, look_again)
            batch.note_waiting(lane, "waits for the other half of its transfer")
        batch.release(replace(lane, tries=0), due_at=due_at)
        return None

    def _wait_for_job(self, batch: Batch, lane: Lane, call: OpenCall, reply: Reply) -> None:
        """Leave an accepted call open, to be asked for: accepted is not applied."""
        if batch.now - call.created_at > dt.timedelta(seconds=self._patience.job_s):
            self._drop_open_calls(batch, lane, call)
            made = order.Call(verb=Verb(call.verb), writes=call.writes, sources=call.sources)
            shown = order.forgotten(lane.shown, made, self._manners)
            detail = f"accepted as job {call.job}, and nothing was heard of it since"
            _move(batch, lane, _asking(call), State.HELD, Hold.TRIES_EXHAUSTED, detail)
            return batch.release(replace(lane, shown=shown, tries=0, updated_at=batch.now), due_at=batch.now)
        if call.job is None:
            _move(batch, lane, _asking(call), State.UNCERTAIN, None, f"accepted as job {reply.job}")
        wait_s = reply.retry_after_s or min(JOB_WAIT_S * 2.0 ** min(lane.tries, 5), 60.0)
        return batch.release(replace(lane, tries=lane.tries + 1), due_at=batch.now + dt.timedelta(seconds=wait_s))

    def _drop_open_calls(self, batch: Batch, lane: Lane, call: OpenCall) -> None:
        batch.end_calls(lane, [call], "refused")
        batch.end_calls(lane, batch.open_calls(lane), "abandoned")

    def _pause(self, batch: Batch, lane: Lane, reply: Reply, after: After) -> None:
        """Stop asking a destination that told us to stay away, for every worker."""
        limited, name = reply.outcome is Outcome.LIMITED, lane.destination
        until = batch.now + dt.timedelta(seconds=reply.retry_after_s or 60.0) if limited else None
        reason = f"{reply.status}: {reply.message}"
        pauses.pause(batch.connection, "destination", name, reason=reason, actor="gatepost", now=batch.now, until=until)
        if not limited:
            after.open_issue(batch.connection, refused_token(name, reason), now=batch.now)
        batch.note_waiting(lane, f"destination paused: {reply.message}")
        batch.release(lane, due_at=until or batch.now)

    def _retry_later(self, batch: Batch, lane: Lane, detail: str, *, longest_s: float | None = None) -> None:
        longest_s = longest_s or self._patience.longest_wait_s
        wait_s = min(2.0 ** min(lane.tries, 20), longest_s) * random.uniform(0.5, 1.5)  # noqa: S311
        batch.note_waiting(lane, detail)
        batch.release(replace(lane, tries=lane.tries + 1), due_at=batch.now + dt.timedelta(seconds=wait_s))

    def _needs_the_unit(self, verb: Verb) -> bool:
        """Say whether a 404 to this call means that the unit is not there."""
        return verb in (Verb.PATCH, Verb.MOVE_OUT) or (verb is Verb.MOVE_IN and not self._manners.move_in_creates)

    def _refused(self, batch: Batch, lane: Lane, call: OpenCall, reply: Reply, after: After) -> None:
        after.open_issue(
            batch.connection,
            refused_call(lane.key, call.id, call.method, reply),
            now=batch.now,
            event_ids=_asking(call),
        )


def _go_on(batch: Batch, lane: Lane, its: Sequence[OpenCall] | range) -> Step:
    batch.keep(lane)
    return Step(lane=lane, calls=its)


def _move(batch: Batch, lane: Lane, ids: Sequence[int], state: State, reason: str | None, detail: str) -> None:
    batch.move(lane, dict.fromkeys(ids, (state, reason)), detail)


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


def _asking(call: OpenCall) -> list[int]:
    """Return the events that ask for what a call writes."""
    return sorted({source for source in call.sources.values() if source != order.ORIGIN})


def _culprits(call: OpenCall, reply: Reply) -> list[int]:
    """Return the events whose values a refusal names; all of them for a call with one source; none when unsaid."""
    sources = _asking(call)
    if len(sources) <= 1 or reply.outcome is not Outcome.REJECTED:
        return sources
    return sorted({source for name, source in call.sources.items() if name in reply.wrong and source != order.ORIGIN})
