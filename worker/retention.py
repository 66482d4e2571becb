"""Retention: let go of what is older than its class may be, a bounded piece at a time.

Never of what somebody still has to act on: mail that is new or held, and mail with an event that waits, is held,
uncertain or rejected. Nor of what still says why something is as it is: the reading of an event that stands, and the
call by which the destination holds a value.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker import past
from worker.actions import note
from worker.calls import Manners
from worker.order import PLAIN, State
from worker.settings import Retention
from worker.store import history
from worker.store.database import Database
from worker.store.mails import MailState
from worker.store.tables import (
    attempts,
    audit,
    bodies,
    body_chunks,
    bulk_items,
    calls,
    event_log,
    events,
    hook_deliveries,
    lanes,
    mails,
    past_readings,
    readings,
    reconciles,
    replay_items,
    replays,
)

BATCH = 500
ROUNDS = 40
"""Batches of one class in one go; what is left comes with the next."""

UNSETTLED = (State.WAITING, State.HELD, State.UNCERTAIN, State.REJECTED)
READ = (MailState.PARSED, MailState.IGNORED, MailState.DUPLICATE)

Condition = sa.ColumnElement[bool]
MannersOf = Callable[[str], Manners]


class Kind(StrEnum):
    """The classes, as they are counted."""

    RAW = "raw"
    DISCARDED = "discarded"
    READINGS = "readings"
    CALLS = "calls"
    CHANGES = "changes"
    OTHER_RECORDS = "other_records"
    AUDIT = "audit"


def count(
    db: Database, retention: Retention, *, now: dt.datetime, manners: MannersOf = lambda _name: PLAIN
) -> dict[str, int]:
    """Return how many of each class would be let go now."""
    found: dict[str, int] = {}
    for kind in Kind:
        if kind is Kind.CALLS:
            found[kind] = sum(map(len, _idle_calls(db, retention.records_days, now, manners)))
        else:
            with db.read() as connection:
                found[kind] = _of(kind, retention, now).count(connection)
    return {str(kind): many for kind, many in found.items()}


def purge(
    db: Database,
    retention: Retention,
    *,
    actor: str,
    now: dt.datetime,
    manners: MannersOf = lambda _name: PLAIN,
    rounds: int = ROUNDS,
) -> dict[str, int]:
    """Let go of what is too old, each batch in a transaction of its own; return how many of each class.

    Leaves one audit row with the counts, if there was anything.
    """
    gone = {str(kind): _purge_class(db, kind, retention, now, manners, rounds) for kind in Kind}
    if any(gone.values()):
        told = ", ".join(f"{many} {kind}" for kind, many in gone.items() if many)
        with db.write() as connection:
            note(connection, actor=actor, action="purge", subject="retention", detail=told, now=now)
    return gone


def _purge_class(
    db: Database, kind: Kind, retention: Retention, now: dt.datetime, manners: MannersOf, rounds: int
) -> int:
    gone = 0
    if kind is Kind.CALLS:
        for ids in _idle_calls(db, retention.records_days, now, manners):
            with db.write() as connection:
                _let_calls_go(connection, ids)
            gone += len(ids)
            if gone >= rounds * BATCH:
                break
        return gone
    old = _of(kind, retention, now)
    for _ in range(rounds):
        with db.write() as connection:
            many = old.let_go(connection, BATCH)
        gone += many
        if many == 0:
            break
    return gone


class _Old:
    """What of one class is too old: how many, and a way to let go of some."""

    def __init__(
        self, count: Callable[[Connection], int], let_go: Callable[[Connection, int], int], *, days: int
    ) -> None:
        self._count = count
        self._let_go = let_go
        self._days = days

    def count(self, connection: Connection) -> int:
        return self._count(connection) if self._days else 0

    def let_go(self, connection: Connection, limit: int) -> int:
        """Let go of some; return how many."""
        return self._let_go(connection, limit) if self._days else 0


def _of(kind: Kind, retention: Retention, now: dt.datetime) -> _Old:
    """Return what of a class is too old."""
    days = {
        Kind.RAW: retention.raw_days,
        Kind.DISCARDED: retention.discarded_days,
        Kind.READINGS: retention.readings_days,
        Kind.AUDIT: retention.audit_days,
    }.get(kind, retention.records_days)
    before = now - dt.timedelta(days=days)
    match kind:
        case Kind.RAW:
            return _mails(_raw_is_old(before), _let_bytes_go, now, days)
        case Kind.DISCARDED:
            return _mails(_discarded_is_old(before), _let_all_go, now, days)
        case Kind.READINGS:
            return _mails(_reading_is_old(before), _let_reading_go, now, days)
        case Kind.CHANGES:
            return _rows(event_log, event_log.c.id, sa.and_(event_log.c.at < before, _is_settled()), days)
        case Kind.OTHER_RECORDS:
            return _others(before, days)
        case _:
            return _rows(audit, audit.c.id, audit.c.at < before, days)


# -- mails -----------------------------------------------------------------------------------------------------------


def _mails(
    is_old: Condition, let_go: Callable[[Connection, Sequence[str], dt.datetime], None], now: dt.datetime, days: int
) -> _Old:
    def some(connection: Connection, limit: int) -> int:
        ids = list(connection.execute(sa.select(mails.c.id).where(is_old).order_by(mails.c.id).limit(limit)).scalars())
        if ids:
            let_go(connection, ids, now)
        return len(ids)

    return _Old(lambda connection: _count(connection, mails, is_old), some, days=days)


def _raw_is_old(before: dt.datetime) -> Condition:
    """Return the condition that a mail's bytes may go: its own time is over, and that of all who share them."""
    other = mails.alias("other")
    shared = sa.exists().where(
        other.c.body_id == mails.c.body_id, other.c.id != mails.c.id, ~_may_lose_bytes(other, before)
    )
    return sa.and_(mails.c.purged_at.is_(None), mails.c.state.in_(READ), _may_lose_bytes(mails, before), ~shared)


def _may_lose_bytes(table: sa.FromClause, before: dt.datetime) -> Condition:
    read_at = sa.func.coalesce(table.c.parsed_at, table.c.received_at, type_=mails.c.received_at.type)
    unsettled = sa.exists().where(events.c.mail_id == table.c.id, events.c.state.in_(UNSETTLED))
    states = (*READ, MailState.DISCARDED)
    return sa.or_(table.c.purged_at.is_not(None), sa.and_(table.c.state.in_(states), read_at < before, ~unsettled))


def _discarded_is_old(before: dt.datetime) -> Condition:
    """Return the condition that a mail was discarded long ago. Whoever shares its bytes is asked as well."""
    lately = sa.exists().where(audit.c.action == "mail discard", audit.c.subject == mails.c.id, audit.c.at >= before)
    other = mails.alias("other")
    shared = sa.exists().where(
        other.c.body_id == mails.c.body_id,
        other.c.id != mails.c.id,
        other.c.purged_at.is_(None),
        other.c.state != MailState.DISCARDED,
    )
    return sa.and_(
        mails.c.purged_at.is_(None),
        mails.c.state == MailState.DISCARDED,
        mails.c.received_at < before,
        ~lately,
        ~shared,
    )


def _reading_is_old(before: dt.datetime) -> Condition:
    """Return the condition that how a mail was read explains nothing any more that stands, or stood lately."""
    lately = sa.exists().where(event_log.c.event_id == events.c.id, event_log.c.at >= before)
    needed = sa.exists().where(
        events.c.mail_id == mails.c.id,
        sa.or_(events.c.state.in_((*UNSETTLED, State.APPLIED)), events.c.settled_at >= before, lately),
    )
    read = sa.or_(
        sa.exists().where(readings.c.mail_id == mails.c.id), sa.exists().where(past_readings.c.mail_id == mails.c.id)
    )
    read_at = sa.func.coalesce(mails.c.parsed_at, mails.c.received_at, type_=mails.c.received_at.type)
    return sa.and_(mails.c.state.in_(READ), read_at < before, ~needed, read)


def _let_bytes_go(connection: Connection, ids: Sequence[str], now: dt.datetime) -> None:
    let_bytes_go(connection, ids, now=now)


def let_bytes_go(connection: Connection, ids: Sequence[str], *, now: dt.datetime) -> None:
    """Delete the bytes of mails; their rows stay, and say when. Whoever shares the bytes loses them, too."""
    its_bodies = sa.select(mails.c.body_id).where(mails.c.id.in_(ids))
    of_body = list(connection.execute(sa.select(bodies.c.id).where(bodies.c.id.in_(its_bodies))).scalars())
    connection.execute(body_chunks.delete().where(body_chunks.c.body_id.in_(of_body)))
    connection.execute(
        mails.update().where(mails.c.body_id.in_(of_body), mails.c.purged_at.is_(None)).values(purged_at=now)
    )


def _let_reading_go(connection: Connection, ids: Sequence[str], _now: dt.datetime) -> None:
    for table in (readings, past_readings):
        connection.execute(table.delete().where(table.c.mail_id.in_(ids)))


def _let_all_go(connection: Connection, ids: Sequence[str], now: dt.datetime) -> None:
    let_bytes_go(connection, ids, now=now)
    _let_reading_go(connection, ids, now)


# -- records ---------------------------------------------------------------------------------------------------------


def _idle_calls(db: Database, days: int, now: dt.datetime, manners: MannersOf) -> Iterator[Sequence[int]]:
    """Yield, unit by unit, the calls that ended too long ago and by which nothing stood when their time was over.

    Without them the record tells the same of every later moment.
    """
    if not days:
        return
    before = now - dt.timedelta(days=days)
    known = sa.exists().where(lanes.c.destination == calls.c.destination, lanes.c.crm_unit_id == calls.c.crm_unit_id)
    by = (calls.c.destination, calls.c.crm_unit_id)
    several = sa.select(*by).where(calls.c.ended_at < before, known).group_by(*by).having(sa.func.count() > 1)
    with db.read() as connection:
        keys = connection.execute(several).all()
    for key in keys:
        with db.read() as connection:
            ended = history.past_calls(connection, (key.destination, key.crm_unit_id), by=before)
        standing = set(past.tell(ended, manners(key.destination)).touched_by.values())
        idle = [call.id for call in ended if call.id not in standing and call.verb is not None]
        if idle:
            yield idle


def _let_calls_go(connection: Connection, ids: Sequence[int]) -> None:
    for table in (attempts, bulk_items):
        connection.execute(table.delete().where(table.c.call_id.in_(ids)))
    connection.execute(calls.delete().where(calls.c.id.in_(ids)))


def _is_settled() -> Condition:
    return ~sa.exists().where(events.c.id == event_log.c.event_id, events.c.state.in_(UNSETTLED))


def _others(before: dt.datetime, days: int) -> _Old:
    """Return the webhooks that ended, the replays that are done, and all rent rolls but a mailbox's last."""
    newest = sa.select(sa.func.max(reconciles.c.id)).group_by(reconciles.c.mailbox)
    parts: Mapping[sa.Table, _Old] = {
        hook_deliveries: _rows(hook_deliveries, hook_deliveries.c.id, hook_deliveries.c.ended_at < before, days),
        reconciles: _rows(
            reconciles, reconciles.c.id, sa.and_(reconciles.c.at < before, reconciles.c.id.not_in(newest)), days
        ),
        replays: _rows(replays, replays.c.id, replays.c.ended_at < before, days),
    }

    def some(connection: Connection, limit: int) -> int:
        done = sa.select(replays.c.id).where(replays.c.ended_at < before)
        connection.execute(replay_items.delete().where(replay_items.c.replay_id.in_(done)))
        return sum(part.let_go(connection, limit) for part in parts.values())

    return _Old(lambda connection: sum(part.count(connection) for part in parts.values()), some, days=days)


def _rows(table: sa.Table, key: sa.ColumnElement[int] | sa.Column[str], is_old: Condition, days: int) -> _Old:
    def some(connection: Connection, limit: int) -> int:
        ids = list(connection.execute(sa.select(key).where(is_old).order_by(key).limit(limit)).scalars())
        connection.execute(table.delete().where(key.in_(ids)))
        return len(ids)

    return _Old(lambda connection: _count(connection, table, is_old), some, days=days)


def _count(connection: Connection, table: sa.Table, condition: Condition) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one()
