"""Send many units in one call: claim their lanes, freeze what each is to be under one key, settle each by itself.

It takes the place of the units' own calls (``worker/turn.py``) only where nothing else is under way, and leaves to them
whatever is not plain. What the call may have changed counts as unknown from before it is sent until its answer says
what came of it, so that a kill or a lost answer is mended by the ordinary drain: it states everything anew.
"""

import datetime as dt
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.engine import Connection

from worker import guard, order
from worker.bulkitem import Item, plan_item
from worker.calls import HARMLESS, BulkDestination, Many, Outcome, Reply
from worker.drain import Drain
from worker.keys import BULK, bulk_key_base, derive_key
from worker.notices import new_units, refused_call, refused_token
from worker.order import State, UnitEvent
from worker.store import bulk, calls, lanes, pauses
from worker.store.calls import Attempt, OpenCall
from worker.store.lanes import Lane, LaneKey
from worker.turn import DEADLINE_S, After, request_of

PAGE = 500
"""Units in one call at most (KISS unit API, ``PATCH /units``)."""
TRIES = 3
"""Sendings under one key; then the units' own calls take over."""
SETTLE = 100
"""Units that are settled in one transaction."""
LATER_S = 2 * DEADLINE_S
"""When the units' own calls take over from one without an answer: surely after its last bytes have arrived."""
LONGEST_WAIT_S = 60.0
LOST_S = 600.0
"""How old a call without an answer is whose sender is surely gone."""

StoreEvents = Callable[[Connection], Sequence[tuple[LaneKey, int]]]
"""Stores the events of a page; returns the lane and the id of each."""


@dataclass(slots=True, kw_only=True)
class Sent:
    """What came of a page."""

    confirmed: int = 0
    refused: dict[str, str] = field(default_factory=dict[str, str])
    """Why, by unit."""
    left: int = 0
    """Units that are left to their own calls."""
    calls: list[int] = field(default_factory=list[int])

    def add(self, other: "Sent") -> None:
        """Take over what came of another page."""
        self.confirmed += other.confirmed
        self.refused |= other.refused
        self.left += other.left
        self.calls += other.calls

    def to_json(self) -> dict[str, object]:
        """Return it as plain values."""
        refused = [{"crm_unit_id": unit, "error": why} for unit, why in sorted(self.refused.items())]
        return {"confirmed": self.confirmed, "refused": refused, "left_to_drain": self.left, "calls": self.calls}


@dataclass(slots=True, kw_only=True)
class _Page:
    """A stored call and its units."""

    call: OpenCall
    lanes: dict[str, Lane]
    items: dict[str, Item]
    told: Mapping[str, int]
    """The event that was told of each unit."""
    lease_until: dt.datetime
    unanswered: bool = False
    """Whether a sending had no answer, and may have taken effect."""


class BulkSender:
    """Sends pages of units to one destination."""

    def __init__(
        self,
        drain: Drain,
        destination: BulkDestination,
        *,
        company: str,
        by: str,
        expects_new_units: bool = True,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._drain = drain
        self._destination = destination
        self._name = destination.name
        self._manners = destination.manners
        self._company = company
        self._by = by
        self._expects_new_units = expects_new_units
        self._sleep = sleep

    def send(self, store: StoreEvents) -> Sent:
        """Store a page's events and send its units in one call; what cannot go that way is left to the drain."""
        may_leave = self._take_slot()
        now = self._drain.clock()
        with self._drain.db.write() as connection:
            told = {key[1]: event_id for key, event_id in store(connection)}
            page = self._freeze(connection, told, now) if may_leave and told else None
        sent = Sent(left=len(told) - len(page.items if page else ()))
        if page is not None:
            sent.calls.append(page.call.id)
            self._send(page, sent)
        return sent

    def _take_slot(self) -> bool:
        """Take the slot of one call, and wait for it if it comes soon; False: paused, or the circuit is open."""
        for _ in range(TRIES):
            slots = self._drain.slots(self._name, 1)
            if slots.count:
                return True
            wait_s = (slots.again_at - self._drain.clock()).total_seconds() if slots.again_at else LONGEST_WAIT_S + 1
            if wait_s > LONGEST_WAIT_S:
                return False
            self._sleep(max(wait_s, 0.001))
        return False

    def _freeze(self, connection: Connection, told: Mapping[str, int], now: dt.datetime) -> _Page | None:
        """Claim the lanes, and store the exact call and what each unit is to become; None: nothing to send."""
        claimed = self._claim(connection, told, now)
        found = lanes.events_of(connection, self._name, claimed)
        items: dict[str, Item] = {}
        for unit, lane in claimed.items():
            events = found.get(unit, [])
            item = plan_item(events, lane.shown, manners=self._manners, now=now, origin=lane.origin)
            if item is None:
                lanes.release(connection, [(lane, now)])
            else:
                items[unit] = item
        if not items:
            return None
        carried = {event_id for item in items.values() for event_id in item.sources.values()}
        identities = [event.identity for events in found.values() for event in events if event.id in carried]
        request = self._destination.render_bulk([{"crm_unit_id": unit, **items[unit].writes} for unit in sorted(items)])
        base = bulk_key_base(self._company, self._name, identities, request.body)
        generation = calls.next_generations(connection, [base])[base]
        call = bulk.store_bulk_call(
            connection,
            self._name,
            {unit: (claimed[unit], item.writes, item.sources) for unit, item in items.items()},
            verb=BULK,
            request=request,
            base=base,
            generation=generation,
            key=derive_key(base, generation),
            now=now,
        )
        held = {unit: claimed[unit] for unit in items}
        unsure = [replace(lane, shown=items[unit].doubtful, updated_at=now) for unit, lane in held.items()]
        lanes.keep(connection, unsure, by=self._by)
        leased_at = self._drain.clock()
        bulk.extend_leases(connection, list(held.values()), now=leased_at)
        until = leased_at + dt.timedelta(seconds=lanes.LEASE_S)
        return _Page(call=call, lanes=held, items=items, told=told, lease_until=until)

    def _claim(self, connection: Connection, told: Mapping[str, int], now: dt.datetime) -> dict[str, Lane]:
        """Claim the lanes that nobody works on and that have no calls of their own under way."""
        free = set(told) - bulk.units_with_calls(connection, self._name, told)
        return bulk.claim_many(connection, self._name, free, now=now, by=self._by, grace_s=DEADLINE_S)

    def _send(self, page: _Page, sent: Sent) -> None:
        """Send a page under its one key until it is answered, the leases are gone, or the tries are."""
        for n in range(TRIES):
            started_at = self._drain.clock()
            if started_at > page.lease_until - dt.timedelta(seconds=DEADLINE_S):
                break  # we stood still for too long: another hand may have the lanes by now
            reply = self._destination.send(request_of(page.call), key=page.call.key, deadline_s=DEADLINE_S)
            self._drain.note_health(self._name, [reply])
            is_held = self._record(page, reply, started_at)
            if reply.outcome not in (Outcome.UNKNOWN, Outcome.UNREACHED):
                return self._settle(page, reply, sent)
            page.unanswered = page.unanswered or reply.outcome is Outcome.UNKNOWN
            if not is_held or n + 1 == TRIES:
                break
            self._sleep(0.5 * 2**n)
            if not self._take_slot():
                break
        return self._leave(page, "abandoned", "no answer to a call of many units", sent, restore=not page.unanswered)

    def _record(self, page: _Page, reply: Reply, started_at: dt.datetime) -> bool:
        """Record a sending; return whether every lane is still in this hand, and lengthen the leases."""
        now, unsure = self._drain.clock(), []
        with self._drain.db.write() as connection:
            held = bulk.extend_leases(connection, list(page.lanes.values()), now=now)
            made = Attempt(call=page.call, reply=reply, started_at=started_at, ended_at=now, by=self._by)
            calls.record_attempts(connection, [made])
            if reply.outcome is Outcome.UNKNOWN:
                unsure = _asking(page.items.values())
                detail = f"no answer: {reply.message}"
                lanes.move_events(connection, dict.fromkeys(unsure, (State.UNCERTAIN, None)), now=now, detail=detail)
        page.lease_until = now + dt.timedelta(seconds=lanes.LEASE_S)
        if reply.outcome is not Outcome.APPLIED:
            self._drain.trouble(event="call_" + reply.outcome, destination=self._name, call=page.call, reply=reply)
        return held == len(page.lanes)

    def _settle(self, page: _Page, reply: Reply, sent: Sent) -> None:
        """Act on an answer: unit by unit where it says what came of each, else for all of them."""
        if reply.many is not None:
            return self._settle_each(page, reply, reply.many, sent)
        if reply.outcome in (Outcome.LIMITED, Outcome.UNAUTHORIZED):
            return self._pause(page, reply, sent)
        restore = reply.outcome in HARMLESS and not page.unanswered
        return self._leave(page, "refused", f"{reply.status}: {reply.message}", sent, restore=restore)

    def _settle_each(self, page: _Page, reply: Reply, many: Many, sent: Sent) -> None:
        """Settle each unit by itself. 200 with errors is no success of those that it names."""
        units = sorted(page.items)
        fresh = [unit for unit in units if page.items[unit].may_be_new and unit not in many.refused]
        made = set(fresh) if many.created == len(fresh) else set()
        for start in range(0, len(units), SETTLE):
            now, after = self._drain.clock(), After()
            some = units[start : start + SETTLE]
            with self._drain.db.write() as connection:
                held = lanes.hold(connection, [page.lanes[unit] for unit in some], now=now)
                sent.left += len(some) - len(held)  # another hand has them, and states everything anew
                given = [unit for unit in some if unit in held]
                refused = {unit: many.refused[unit] for unit in given if unit in many.refused}
                self._refuse(connection, page, refused, reply, after, now)
                self._give_back(connection, page, given, refused, made, after, now)
                self._drain.seal(connection, after)
            sent.confirmed += len(given) - len(refused)
            sent.refused |= refused
            self._drain.finish(after)
        with self._drain.db.write() as connection:
            now, after = self._drain.clock(), After()
            bulk.end_open_items(connection, page.call.id, "abandoned", now=now)
            state = "done" if len(many.refused) < len(units) else "refused"
            calls.end_calls(connection, [page.call.id], state, now=now)
            if many.created and not self._expects_new_units:
                after.open_issue(connection, new_units(self._name, many.created, page.call.id), now=now)
            self._drain.seal(connection, after)
        self._drain.finish(after)

    def _refuse(
        self,
        connection: Connection,
        page: _Page,
        refused: Mapping[str, str],
        reply: Reply,
        after: After,
        now: dt.datetime,
    ) -> None:
        """Reject the events that were told of units which the destination refuses, and open an issue a cause."""
        for unit, why in refused.items():
            event_id = page.told[unit]
            outcome = Outcome.SOURCE_CONFLICT if "pull-mode" in why else Outcome.REJECTED
            lanes.move_events(connection, {event_id: (State.REJECTED, str(outcome))}, now=now, detail=why)
            after.told.append(("event.rejected", event_id))
            said = replace(reply, outcome=outcome, message=why)
            notice = refused_call((self._name, unit), page.call.id, page.call.method, said)
            after.open_issue(connection, notice, now=now, event_ids=[event_id])

    def _give_back(
        self,
        connection: Connection,
        page: _Page,
        units: Sequence[str],
        refused: Mapping[str, str],
        made: Collection[str],
        after: After,
        now: dt.datetime,
    ) -> None:
        """Settle units' events and release their lanes; still due where own calls have something left to do."""
        found = lanes.events_of(connection, self._name, units)
        states: dict[int, tuple[State, str | None]] = {}
        free: list[tuple[Lane, dt.datetime | None]] = []
        for unit in units:
            lane = replace(self._after(page, unit, refused, made), tries=0, updated_at=now)
            events = found.get(unit, [])
            settled = self._settled(events, lane, now)
            free.append((lane, now if settled is None else order.next_due(events, now)))
            self._note_settled(events, settled or {}, after, now)
            states |= {event_id: (state, None) for event_id, state in (settled or {}).items()}
        lanes.move_events(connection, states, now=now)
        ends = {unit: ("refused", refused[unit]) if unit in refused else ("done", None) for unit in units}
        bulk.end_items(connection, page.call.id, ends, now=now)
        lanes.release(connection, free)

    def _after(self, page: _Page, unit: str, refused: Mapping[str, str], made: Collection[str]) -> Lane:
        """Return a lane with what it shows by now. A refused unit is as it was, if that can be known."""
        lane, item = page.lanes[unit], page.items[unit]
        if unit in refused:
            return replace(lane, shown=item.doubtful) if page.unanswered else lane
        if unit not in made:
            return replace(lane, shown=item.confirmed)
        return replace(lane, shown={**order.UNTOUCHED, **item.confirmed}, origin=lane.origin or order.UNTOUCHED)

    def _settled(self, found: Sequence[UnitEvent], lane: Lane, now: dt.datetime) -> dict[int, State] | None:
        """Return the new states of a unit's events; None: its own calls have something left to do."""
        if any(event.is_blocked for event in found):
            return None
        if guard.judge(found, now, manners=self._manners, origin=lane.origin, shown=lane.shown):
            return None
        wanted, dropped = order.taken(order.fold(order.counting(found, now), self._manners, lane.origin), self._manners)
        if dropped or order.difference(wanted, lane.shown, self._manners):
            return None
        return order.settle(found, wanted, lane.shown, now)

    @staticmethod
    def _note_settled(found: Sequence[UnitEvent], settled: Mapping[int, State], after: After, now: dt.datetime) -> None:
        received = {event.id: event.received_at for event in found}
        for event_id, state in settled.items():
            at = received[event_id]
            if state is State.APPLIED:
                after.told.append(("event.applied", event_id))
                after.applied_s += [(now - at).total_seconds()] if at is not None else []
            after.settled += [event_id] if state in (State.APPLIED, State.SUPERSEDED) else []

    def _pause(self, page: _Page, reply: Reply, sent: Sent) -> None:
        """Stop asking a destination that told us to stay away, for every worker."""
        now, after = self._drain.clock(), After()
        limited = reply.outcome is Outcome.LIMITED
        until = now + dt.timedelta(seconds=reply.retry_after_s or 60.0) if limited else None
        reason = f"{reply.status}: {reply.message}"
        with self._drain.db.write() as connection:
            pauses.pause(connection, "destination", self._name, reason=reason, actor="gatepost", now=now, until=until)
            if not limited:
                after.open_issue(connection, refused_token(self._name, reason), now=now)
            self._drain.seal(connection, after)
        self._drain.finish(after)
        why = f"destination paused: {reply.message}"
        self._leave(page, "refused", why, sent, restore=not page.unanswered, due_at=until)

    def _leave(
        self,
        page: _Page,
        state: str,
        why: str,
        sent: Sent,
        *,
        restore: bool,
        due_at: dt.datetime | None = None,
    ) -> None:
        """Give a call up and leave its units to their own calls. ``restore``: it surely changed nothing."""
        now = self._drain.clock()
        wait_s = 0.0 if restore else LATER_S
        with self._drain.db.write() as connection:
            held = lanes.hold(connection, list(page.lanes.values()), now=now)
            free: list[tuple[Lane, dt.datetime | None]] = []
            for unit in sorted(held):
                lane = page.lanes[unit]
                shown = lane.shown if restore else page.items[unit].doubtful
                lanes.note_waiting(connection, lane.key, why)
                later = due_at or now + dt.timedelta(seconds=wait_s)
                free.append((replace(lane, shown=shown, updated_at=now), later))
            lanes.release(connection, free)
            bulk.end_open_items(connection, page.call.id, state, now=now)
            calls.end_calls(connection, [page.call.id], state, now=now)
        sent.left += len(page.items)


def _asking(items: Collection[Item]) -> list[int]:
    """Return the events that ask for what some items write."""
    return sorted({source for item in items for source in item.sources.values() if source != order.ORIGIN})
