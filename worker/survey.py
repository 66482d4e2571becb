"""Survey: go over the mails that were read, a batch a sweep: count them by day, and learn how those of a rule look.

It goes by a watermark in the order in which mails were read, so that reading a mail costs nothing more. Of two sweepers
who go over one batch the first moves the watermark, and the second leaves it.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from worker.drift import Drift, Profile, subject_rule
from worker.notices import drifted, opened
from worker.settings import Mailbox
from worker.store.database import Database
from worker.store.issues import open_issue
from worker.store.lanes import insert_for
from worker.store.mails import MailState
from worker.store.tables import flow_days, mails, readings, rule_profiles, watermarks

NAME = "survey"
BATCH, ROUNDS = 50, 10
"""Mails in one transaction, and transactions in one look."""
SETTLED = dt.timedelta(seconds=5)
"""How long after it was read a mail is looked at: by then what was read at the same time is committed as well."""
BACK = dt.timedelta(weeks=9)
"""How far back the first survey of a store begins."""

FlowDay = tuple[str, str, str]
"""Mailbox, rule (empty: all mails) and day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """How far the survey has gone."""

    at: dt.datetime
    mail_id: str


@dataclass(slots=True, kw_only=True)
class _Batch:
    """What a batch of mails comes to."""

    mails: int
    days: dict[FlowDay, Counter[str]] = field(default_factory=dict[FlowDay, Counter[str]])
    profiles: dict[str, Profile] = field(default_factory=dict[str, Profile])
    drifts: dict[str, list[tuple[Drift, str]]] = field(default_factory=dict[str, list[tuple[Drift, str]]])
    """Drifts and their mails, by cause."""


class Survey:
    """Goes over what was read. One for each process that sweeps."""

    def __init__(
        self,
        db: Database,
        *,
        mailboxes: Callable[[], Mapping[str, Mailbox]],
        clock: Callable[[], dt.datetime],
        on_told: Callable[[Connection, Sequence[tuple[str, int | str]]], None] = lambda _connection, _told: None,
        on_trouble: Callable[..., None] = lambda **_fields: None,
    ) -> None:
        self._db = db
        self._mailboxes = mailboxes
        self._clock = clock
        self._on_told = on_told
        self._on_trouble = on_trouble

    def look(self) -> set[tuple[str, str]] | None:
        """Go over what was read; return the mailboxes and rules whose mails were in it, None while more wait."""
        fresh: set[tuple[str, str]] = set()
        for _ in range(ROUNDS):
            found = self._go_over(self._clock())
            if found is None:
                return None  # another sweeper was quicker: it goes on from there
            fresh |= {(mailbox, rule) for mailbox, rule, _ in found.days}
            if found.mails < BATCH:
                return fresh
        return None

    def _go_over(self, now: dt.datetime) -> _Batch | None:
        """Go over a batch; None when another sweeper has. What takes time is done outside any transaction."""
        with self._db.read() as connection:
            mark = _mark(connection)
            rows = _after(connection, mark or _Mark(at=now - BACK, mail_id=""), now - SETTLED)
        batch = self._count(rows)
        if not rows:
            return batch
        seen = [
            (row.id, reading, rule) for row in rows if (reading := _reading(row)) and (rule := subject_rule(reading))
        ]
        with self._db.read() as connection:
            batch.profiles = _profiles(connection, {rule for _, _, rule in seen})
        for mail_id, reading, rule in seen:
            drift = batch.profiles[rule].learn(mail_id, reading)
            if drift is not None:
                batch.drifts.setdefault(drift.cause, []).append((drift, mail_id))
        with self._db.write() as connection:
            if not _move(connection, mark, _Mark(at=rows[-1].parsed_at, mail_id=rows[-1].id)):
                return None
            told = self._store(connection, batch, now)
        for issue_id, kind in told:
            self._on_trouble(**opened(issue_id, kind))
        return batch

    def _count(self, rows: Sequence[Any]) -> _Batch:
        """Count mails by mailbox, rule and day of the site's calendar."""
        boxes = self._mailboxes()
        batch = _Batch(mails=len(rows))
        for row in rows:
            box = boxes.get(row.mailbox)
            if box is None:
                continue
            day = row.received_at.astimezone(ZoneInfo(box.timezone)).date().isoformat()
            for rule in dict.fromkeys(("", row.rule or "")):
                counts = batch.days.setdefault((row.mailbox, rule, day), Counter())
                counts.update(mails=1, held=int(row.state == MailState.HELD))
        return batch

    def _store(self, connection: Connection, batch: _Batch, now: dt.datetime) -> list[tuple[int, str]]:
        """Store what a batch comes to; return the issues that are open anew."""
        for (mailbox, rule, day), counts in batch.days.items():
            values = {"mails": counts["mails"], "held": counts["held"]}
            statement = insert_for(connection)(flow_days).values(mailbox=mailbox, rule=rule, day=day, **values)
            more = {name: flow_days.c[name] + count for name, count in values.items()}
            keys = [flow_days.c.mailbox, flow_days.c.rule, flow_days.c.day]
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=more))
        for rule, profile in batch.profiles.items():
            values = {"profile": profile.to_json()}
            statement = insert_for(connection)(rule_profiles).values(rule=rule, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=[rule_profiles.c.rule], set_=values))
        told: list[tuple[int, str]] = []
        for seen in batch.drifts.values():
            issue = self._tell(connection, seen, batch.profiles[seen[0][0].rule].sample, now)
            told += [issue] if issue else []
        return told

    def _tell(
        self, connection: Connection, seen: Sequence[tuple[Drift, str]], sample: str | None, now: dt.datetime
    ) -> tuple[int, str] | None:
        """Open the issue of a drift, or count it up; return it when it is open anew."""
        drift, mail_id = seen[-1]
        notice = drifted(drift.rule, drift.cause, drift.says, mail_id, sample, is_read=drift.is_read)
        issue_id, is_new = open_issue(connection, notice, now=now, times=len(seen))
        if not drift.is_read:
            ids = [one for _, one in seen]
            connection.execute(mails.update().where(mails.c.id.in_(ids)).values(issue_id=issue_id))
        if not is_new:
            return None
        self._on_told(connection, [("issue.opened", issue_id)])
        return issue_id, notice.kind


def _reading(row: Row[Any]) -> Mapping[str, Any] | None:
    """Return how a mail was read; None where that teaches nothing: a repetition, or one whose text was erased."""
    if not row.reading or row.state not in (MailState.PARSED, MailState.HELD):
        return None
    reading: Mapping[str, Any] = json.loads(row.reading)
    return reading if "text" in reading.get("trace", {}) else None


def _profiles(connection: Connection, rules: Collection[str]) -> dict[str, Profile]:
    found = {rule: Profile(rule=rule) for rule in sorted(rules)}
    if found:
        statement = sa.select(rule_profiles).where(rule_profiles.c.rule.in_(list(found)))
        found |= {row.rule: Profile.from_json(row.rule, row.profile) for row in connection.execute(statement)}
    return found


def _after(connection: Connection, mark: _Mark, until: dt.datetime) -> Sequence[Any]:
    """Return the mails that were read behind the watermark and by an instant, a batch of them."""
    later = sa.or_(mails.c.parsed_at > mark.at, sa.and_(mails.c.parsed_at == mark.at, mails.c.id > mark.mail_id))
    columns = (mails.c.id, mails.c.mailbox, mails.c.rule, mails.c.state, mails.c.received_at, mails.c.parsed_at)
    statement = (
        sa.select(*columns, sa.type_coerce(readings.c.reading, sa.Text).label("reading"))
        .outerjoin(readings, readings.c.mail_id == mails.c.id)
        .where(mails.c.parsed_at >= mark.at, later, mails.c.parsed_at <= until)
        .order_by(mails.c.parsed_at, mails.c.id)
        .limit(BATCH)
    )
    return connection.execute(statement).all()


def _mark(connection: Connection) -> _Mark | None:
    row = connection.execute(sa.select(watermarks).where(watermarks.c.name == NAME)).one_or_none()
    return None if row is None else _Mark(at=row.at, mail_id=row.mail_id)


def _move(connection: Connection, mark: _Mark | None, to: _Mark) -> bool:
    """Move the watermark, if it stands where it stood."""
    values = {"at": to.at, "mail_id": to.mail_id}
    if mark is None:
        insert = insert_for(connection)(watermarks).values(name=NAME, **values)
        return connection.execute(insert.on_conflict_do_nothing().returning(watermarks.c.name)).first() is not None
    here = sa.and_(watermarks.c.name == NAME, watermarks.c.at == mark.at, watermarks.c.mail_id == mark.mail_id)
    return connection.execute(watermarks.update().where(here).values(**values)).rowcount == 1
