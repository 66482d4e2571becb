"""Replay: read stored mails again under the rules of now, or state again what is wanted.

From ``parse``: what no longer comes out of a mail is withdrawn, what newly does is added; a mail that the rules of now
do not understand keeps its events, and is named. From ``apply``: what the destination shows is taken for unknown, so
that every value that is wanted is stated anew. A replay is a row in the store with its items; the sweeper carries it
on, as fast as it may, until a person pauses it or it is done.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers import RuleSet
from worker.actions import CannotDo, note
from worker.calls import Manners
from worker.log import where
from worker.notices import MACHINE
from worker.order import LET_IN, Hold, State
from worker.store import lanes as lane_store
from worker.store import query
from worker.store.database import Database
from worker.store.events import Telling, store_events
from worker.store.lanes import LaneKey
from worker.store.mails import MailState, NewMail, Verdict, load_mail, store_reading
from worker.store.tables import events, lanes, mails, replay_items, replays
from worker.tenancies import find_units, waiting_for
from worker.undo import UnitPlan, plan_unit, withdraw

Judge = Callable[[NewMail, RuleSet], Verdict]
Layer = Literal["parse", "apply"]
BATCH = 50
MOST = 100_000


class Effect(StrEnum):
    """What a replay does with an event or mail."""

    NEW = "new"  # comes out now, and did not before; or was withdrawn, and comes back
    SAME = "same"
    WITHDRAWN = "withdrawn"  # came out before, and does not now
    SUPERSEDED = "superseded"  # comes out, and a later event covers it
    HELD = "held"  # the rules of now do not understand the mail, or a guard holds the event: nothing is withdrawn
    RESTATED = "restated"  # from apply: the unit's wanted values are sent again


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What replaying one mail does."""

    mail_id: str
    effects: tuple[tuple[Effect, str], ...]
    """Each event's effect, and what it is: kind and unit."""
    withdrawn: Mapping[LaneKey, tuple[int, ...]]
    tellings: tuple[Telling, ...]
    verdict: Verdict | None
    """How it reads now; None: not understood, so that it keeps its events."""


class Replays:
    """Plans and carries out replays."""

    def __init__(
        self,
        db: Database,
        *,
        judge: Judge,
        rules: Callable[[], RuleSet],
        manners: Callable[[str], Manners],
        clock: Callable[[], dt.datetime],
        on_trouble: Callable[..., None] = lambda **_fields: None,
    ) -> None:
        self._db = db
        self._judge = judge
        self._rules = rules
        self._manners = manners
        self._clock = clock
        self._on_trouble = on_trouble

    def find(self, text: str, layer: Layer, *, limit: int | None) -> list[str] | list[int]:
        """Return what a query names, oldest first: mails for ``parse``, lanes' events for ``apply``."""
        most = min(limit or MOST, MOST)
        with self._db.read() as connection:
            if layer == "parse":
                conditions = query.mail_conditions(text)
                states = [MailState.PARSED, MailState.IGNORED, MailState.DUPLICATE, MailState.HELD]
                statement = (
                    sa.select(mails.c.id)
                    .where(*conditions, mails.c.state.in_(states), mails.c.purged_at.is_(None))
                    .order_by(mails.c.received_at, mails.c.id)
                )
            else:
                conditions = query.event_conditions(text)
                lane = (events.c.destination, events.c.crm_unit_id)
                statement = (
                    sa.select(sa.func.max(events.c.id))
                    .where(*conditions, events.c.state.in_([str(s) for s in LET_IN]), events.c.crm_unit_id != "")
                    .group_by(*lane)
                    .order_by(sa.func.max(events.c.id))
                )
            if not conditions:
                raise CannotDo("a replay needs a query, such as rule:sitelink/move-in after:2026-05-01")
            return list(connection.execute(statement.limit(most)).scalars())

    def plan(self, text: str, layer: Layer, *, limit: int | None = None) -> list[Change]:
        """Return what a replay from ``parse`` would do, mail by mail; nothing is changed.

        Raises:
            QueryError: the query cannot be understood.
            CannotDo: the query is empty.
        """
        if layer == "apply":
            return []
        rules = self._rules()
        changes = (self._change(str(mail_id), rules) for mail_id in self.find(text, layer, limit=limit))
        return [change for change in changes if change is not None]

    def start(
        self,
        text: str,
        layer: Layer,
        *,
        limit: int | None,
        per_minute: int,
        actor: str,
        reason: str,
        once: bool = False,
    ) -> int:
        """Store a replay and its items; the sweeper carries it out. Return its number.

        ``once``: where the very same one has not ended, it is that one: who had no answer asks again.

        Raises:
            QueryError: the query cannot be understood.
            CannotDo: the query is empty, or names nothing.
        """
        found = self.find(text, layer, limit=limit)
        if not found:
            raise CannotDo(f"nothing to replay: no {'mail' if layer == 'parse' else 'event'} fits {text}")
        return self._store(found, text, layer, per_minute=per_minute, actor=actor, reason=reason, once=once)

    def mails_without_unit(self, mailbox: str) -> list[str]:
        """Return the mails of a mailbox with events that are held because nothing knew their unit."""
        held = sa.and_(events.c.state == str(State.HELD), events.c.reason == str(Hold.UNKNOWN_UNIT))
        statement = (
            sa.select(events.c.mail_id)
            .where(events.c.mailbox == mailbox, events.c.crm_unit_id == "", held, events.c.mail_id.is_not(None))
            .distinct()
            .limit(MOST)
        )
        with self._db.read() as connection:
            return [str(mail_id) for mail_id in connection.execute(statement).scalars()]

    def look_for_units(self, keys: Sequence[LaneKey]) -> None:
        """Read the mails again that wait for the unit of a tenancy, where one has begun in these units."""
        with self._db.read() as connection:
            mail_ids = waiting_for(connection, keys)
        if mail_ids:
            self.start_for(mail_ids, "state:parsed", reason="a tenancy that they name has begun")

    def start_for(self, mail_ids: Sequence[str], text: str, *, reason: str) -> int:
        """Store a replay of these mails that nobody asked for by hand; return its number."""
        return self._store(mail_ids, text, "parse", per_minute=0, actor=MACHINE, reason=reason)

    def _store(
        self,
        found: Sequence[str | int],
        text: str,
        layer: Layer,
        *,
        per_minute: int,
        actor: str,
        reason: str,
        once: bool = False,
    ) -> int:
        now = self._clock()
        values = {"query": text, "layer": layer, "per_minute": per_minute, "actor": actor, "reason": reason}
        with self._db.write() as connection:
            if once and (same := _not_ended(connection, values, len(found))) is not None:
                return same
            row = {**values, "state": "running", "created_at": now, "due_at": now}
            number = connection.execute(replays.insert().values(**row).returning(replays.c.id)).scalar_one()
            column = "mail_id" if layer == "parse" else "event_id"
            rows = [{"replay_id": number, "n": n, column: one, "state": "due"} for n, one in enumerate(found)]
            connection.execute(replay_items.insert(), rows)
            detail = f"from {layer}, {len(found)} items: {reason}"
            note(connection, actor=actor, action="replay", subject=text, detail=detail, now=now)
        return number

    def carry_on(self) -> int:
        """Go on with the replays that are due, a batch each; return how many items were done."""
        now = self._clock()
        with self._db.write() as connection:
            due = connection.execute(
                sa.select(replays)
                .where(replays.c.state == "running", replays.c.due_at <= now)
                .order_by(replays.c.id)
                .with_for_update(skip_locked=True)
            ).all()
            for row in due:  # taken: whoever comes meanwhile leaves it alone
                later = now + dt.timedelta(seconds=60)
                connection.execute(replays.update().where(replays.c.id == row.id).values(due_at=later))
        return sum(self._carry_on_one(row) for row in due)

    def _carry_on_one(self, row: Row[Any]) -> int:
        size = BATCH if row.per_minute == 0 else max(1, min(BATCH, row.per_minute // 30))
        with self._db.read() as connection:
            items = connection.execute(
                sa.select(replay_items)
                .where(replay_items.c.replay_id == row.id, replay_items.c.state == "due")
                .order_by(replay_items.c.n)
                .limit(size)
            ).all()
        for item in items:
            self._do_item(row, item)
        wait_s = 0.0 if row.per_minute == 0 else len(items) * 60 / row.per_minute
        now = self._clock()
        values: dict[str, Any] = {"due_at": now + dt.timedelta(seconds=wait_s)}
        if len(items) < size:
            values = {"state": "done", "due_at": None, "ended_at": now}
        with self._db.write() as connection:
            going_on = sa.and_(replays.c.id == row.id, replays.c.state == "running")
            connection.execute(replays.update().where(going_on).values(**values))
        return len(items)

    def _do_item(self, row: Row[Any], item: Row[Any]) -> None:
        try:
            outcome, detail = (
                self._replay_mail(item.mail_id, row) if row.layer == "parse" else self._restate(item.event_id)
            )
        except Exception as error:  # noqa: BLE001  the task's edge: one item is no other's trouble
            self._on_trouble(event="replay_failed", replay=row.id, item=item.n, error=where(error))
            outcome, detail = Effect.HELD, f"failed: {type(error).__name__}; this is a fault of Gatepost"
        with self._db.write() as connection:
            one = sa.and_(replay_items.c.replay_id == row.id, replay_items.c.n == item.n)
            connection.execute(
                replay_items.update().where(one).values(state="done", outcome=str(outcome), detail=detail)
            )

    def _change(self, mail_id: str, rules: RuleSet) -> Change | None:
        """Return what replaying a mail would do; None when its bytes are gone."""
        with self._db.read() as connection:
            mail = load_mail(connection, mail_id)
            if mail is None:
                return None
            before = connection.execute(sa.select(events).where(events.c.mail_id == mail_id)).all()
            verdict = find_units(connection, self._judge(mail, rules))
        if verdict.state not in (MailState.PARSED, MailState.IGNORED):
            said = f"{verdict.reason}: {verdict.detail or ''}"
            return Change(mail_id=mail_id, effects=((Effect.HELD, said),), withdrawn={}, tellings=(), verdict=None)
        told = {(telling.event.identity, telling.mark): telling for telling in verdict.tellings}
        kept = {(row.identity, row.fingerprint): row for row in before if row.author is None}
        gone = [row for mark, row in kept.items() if mark not in told and row.state not in _OUT]
        withdrawn: dict[LaneKey, tuple[int, ...]] = {}
        for row in gone:
            key = (row.destination, row.crm_unit_id)
            withdrawn[key] = (*withdrawn.get(key, ()), row.id)
        effects = [(Effect.WITHDRAWN, _said(row.kind, row.crm_unit_id or row.unit)) for row in gone]
        with self._db.read() as connection:
            known = _known(connection, verdict.tellings)
        effects += [_effect(telling, known.get(mark)) for mark, telling in told.items()]
        tellings = tuple(replace(telling, reinstates=True) for telling in verdict.tellings)
        return Change(mail_id=mail_id, effects=tuple(effects), withdrawn=withdrawn, tellings=tellings, verdict=verdict)

    def _replay_mail(self, mail_id: str, row: Row[Any]) -> tuple[Effect, str]:
        """Replay one mail in one transaction: withdraw, add, and note how it reads now."""
        rules, now = self._rules(), self._clock()
        change = self._change(mail_id, rules)
        if change is None:
            return Effect.HELD, "its bytes were purged: it cannot be read again"
        if change.verdict is None:
            return change.effects[0]
        with self._db.write() as connection:
            keys = {*change.withdrawn, *(telling.key for telling in change.tellings)}
            lane_store.lock_lanes(connection, sorted(key for key in keys if key[1]))
            detail = f"replay {row.id} by {row.actor}: it no longer comes out of its mail"
            for key, ids in sorted(change.withdrawn.items()):
                self._withdraw(connection, key, ids, detail, now)
            store_events(connection, change.tellings, now=now)
            _note_reading(connection, change.verdict, now)
        counts: dict[Effect, int] = {}
        for effect, _ in change.effects:
            counts[effect] = counts.get(effect, 0) + 1
        order = (Effect.NEW, Effect.WITHDRAWN, Effect.HELD, Effect.SUPERSEDED, Effect.SAME)
        first = next((effect for effect in order if effect in counts), Effect.SAME)
        return first, ", ".join(f"{count} {effect}" for effect, count in counts.items())

    def _withdraw(
        self, connection: Connection, key: LaneKey, ids: Sequence[int], detail: str, now: dt.datetime
    ) -> None:
        if key[1]:
            unit = plan_unit(connection, key, ids, (), self._manners(key[0]), now)
        else:
            unit = UnitPlan(key=key, withdrawn=tuple(ids), unanswered=(), calls=(), phantom=False)
        withdraw(connection, unit, detail=detail, now=now)

    def _restate(self, event_id: int) -> tuple[Effect, str]:
        """Take what the destination shows of an event's unit for unknown, and make the unit due."""
        with self._db.write() as connection:
            row = connection.execute(
                sa.select(events.c.destination, events.c.crm_unit_id).where(events.c.id == event_id)
            ).one()
            key = (row.destination, row.crm_unit_id)
            lane_store.lock_lanes(connection, [key])
            connection.execute(
                lanes.update()
                .where(lanes.c.destination == key[0], lanes.c.crm_unit_id == key[1])
                .values(shown={}, lease_token=lanes.c.lease_token + 1, lease_until=None, lease_by=None)
            )
            lane_store.wake(connection, key, now=self._clock())
        return Effect.RESTATED, key[1]


_OUT = (State.WITHDRAWN, State.DISCARDED)


def _not_ended(connection: Connection, values: Mapping[str, Any], count: int) -> int | None:
    """Return the newest replay of these values and so many items that has not ended; None when there is none."""
    same = [replays.c[name] == value for name, value in values.items()]
    items = sa.select(sa.func.count()).where(replay_items.c.replay_id == replays.c.id).scalar_subquery()
    statement = sa.select(replays.c.id).where(*same, replays.c.state != "done", items == count)
    return connection.execute(statement.order_by(replays.c.id.desc()).limit(1)).scalar()


def _known(connection: Connection, tellings: Sequence[Telling]) -> dict[tuple[str, str], Row[Any]]:
    """Return the events that are stored for some tellings, whichever mail brought them first."""
    if not tellings:
        return {}
    identities = {telling.event.identity for telling in tellings}
    same = sa.and_(events.c.company == tellings[0].company, events.c.identity.in_(list(identities)))
    return {(row.identity, row.fingerprint): row for row in connection.execute(sa.select(events).where(same))}


def _effect(telling: Telling, row: Row[Any] | None) -> tuple[Effect, str]:
    said = _said(telling.event.kind, telling.event.crm_unit_id or telling.event.unit)
    if telling.state is State.HELD:
        return Effect.HELD, said
    if row is None or row.state == State.WITHDRAWN:
        return Effect.NEW, said
    return (Effect.SUPERSEDED if row.state == State.SUPERSEDED else Effect.SAME), said


def _said(kind: str, unit: str) -> str:
    return f"{kind} of {unit}"


def _note_reading(connection: Connection, verdict: Verdict, now: dt.datetime) -> None:
    """Note how a mail reads now, and in which state that leaves it. One that repeats another still does."""
    repeats = mails.c.state == MailState.DUPLICATE
    connection.execute(
        mails.update()
        .where(mails.c.id == verdict.mail_id)
        .values(
            state=sa.case((repeats, str(MailState.DUPLICATE)), else_=str(verdict.state)),
            reason=None,
            detail=verdict.detail,
            rule=verdict.rule,
            pack=(verdict.rule or "").partition("/")[0] or None,
            rule_set=verdict.rule_set,
            due_at=None,
        )
    )
    if verdict.reading is not None:
        store_reading(connection, verdict.mail_id, verdict.reading, now=now)
