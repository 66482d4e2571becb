"""Survey: go over the mails that were read, a batch a sweep: count them by day, and learn how those of a rule look.

It goes by a watermark in the order in which mails were read, so that reading a mail costs nothing more. Of two sweepers
who go over one batch the first moves the watermark, and the second leaves it.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers import Outcome
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


class Counted(TypedDict):
    """As what a mail was counted. A mail counts once: as what it came to when it was read last."""

    rule: str
    """The rule that claims it; empty: none."""
    held: int
    profile: str | None
    """The rule whose profile counts it; None: no rule's."""
    outcome: str
    cause: str
    """The drift that it was counted for; empty: none."""


@dataclass(slots=True, kw_only=True)
class _Batch:
    """What a batch of mails comes to."""

    mails: int
    days: dict[FlowDay, Counter[str]] = field(default_factory=dict[FlowDay, Counter[str]])
    profiles: dict[str, Profile] = field(default_factory=dict[str, Profile])
    drifts: dict[str, list[tuple[Drift, str]]] = field(default_factory=dict[str, list[tuple[Drift, str]]])
    """Drifts and their mails, by cause."""
    again: Counter[str] = field(default_factory=Counter[str])
    """How many of those mails were counted for that cause before."""
    was: dict[str, Counted] = field(default_factory=dict[str, Counted])
    """As what mails were counted before, by id; of a new one nothing."""
    counted: dict[str, Counted] = field(default_factory=dict[str, Counted])
    """As what mails are counted now, by id."""


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
            fresh |= {(mailbox, rule) for (mailbox, rule, _), counts in found.days.items() if counts["mails"] > 0}
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
        told = {row.id: (reading, subject_rule(reading)) for row in rows if (reading := _reading(row))}
        named = {rule for _, rule in told.values()} | {was["profile"] for was in batch.was.values()}
        with self._db.read() as connection:
            batch.profiles = _profiles(connection, {rule for rule in named if rule})
        for row in rows:
            batch.counted[row.id] = _learn(batch, row, *told.get(row.id, (None, None)))
        with self._db.write() as connection:
            if not _move(connection, mark, _Mark(at=rows[-1].parsed_at, mail_id=rows[-1].id)):
                return None
            opened_now = self._store(connection, batch, now)
        for issue_id, kind in opened_now:
            self._on_trouble(**opened(issue_id, kind))
        return batch

    def _count(self, rows: Sequence[Any]) -> _Batch:
        """Count mails by mailbox, rule and day of the site's calendar; take back as what they were counted before."""
        boxes = self._mailboxes()
        batch = _Batch(mails=len(rows))
        batch.was = {row.id: json.loads(row.surveyed) for row in rows if row.surveyed}
        for row in rows:
            box = boxes.get(row.mailbox)
            if box is None:
                continue
            day = row.received_at.astimezone(ZoneInfo(box.timezone)).date().isoformat()
            flows = [(rule, 1, int(row.state == MailState.HELD)) for rule in dict.fromkeys(("", row.rule or ""))]
            if was := batch.was.get(row.id):
                flows += [(rule, -1, -was["held"]) for rule in dict.fromkeys(("", was["rule"]))]
            for rule, count, held in flows:
                batch.days.setdefault((row.mailbox, rule, day), Counter()).update(mails=count, held=held)
        return batch

    def _store(self, connection: Connection, batch: _Batch, now: dt.datetime) -> list[tuple[int, str]]:
        """Store what a batch comes to; return the issues that are open anew."""
        for (mailbox, rule, day), counts in batch.days.items():
            values = {"mails": counts["mails"], "held": counts["held"]}
            if not any(values.values()):
                continue
            statement = insert_for(connection)(flow_days).values(mailbox=mailbox, rule=rule, day=day, **values)
            more = {name: flow_days.c[name] + count for name, count in values.items()}
            keys = [flow_days.c.mailbox, flow_days.c.rule, flow_days.c.day]
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=more))
        for rule, profile in batch.profiles.items():
            values = {"profile": profile.to_json()}
            statement = insert_for(connection)(rule_profiles).values(rule=rule, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=[rule_profiles.c.rule], set_=values))
        one, counted = (
            sa.bindparam("its_id", type_=mails.c.id.type),
            sa.bindparam("counted", type_=mails.c.surveyed.type),
        )
        connection.execute(
            mails.update().where(mails.c.id == one).values(surveyed=counted),
            [{"its_id": mail_id, "counted": dict(now_is)} for mail_id, now_is in batch.counted.items()],
        )
        told: list[tuple[int, str]] = []
        for seen in batch.drifts.values():
            times = len(seen) - batch.again[seen[0][0].cause]
            issue = self._tell(connection, seen, batch.profiles[seen[0][0].rule].sample, now, times=times)
            told += [issue] if issue else []
        return told

    def _tell(
        self,
        connection: Connection,
        seen: Sequence[tuple[Drift, str]],
        sample: str | None,
        now: dt.datetime,
        *,
        times: int,
    ) -> tuple[int, str] | None:
        """Open the issue of a drift, or count it up; return it when it is open anew."""
        drift, mail_id = seen[-1]
        notice = drifted(drift.rule, drift.cause, drift.says, mail_id, sample, is_read=drift.is_read)
        issue_id, is_new = open_issue(connection, notice, now=now, times=times)
        if not drift.is_read:
            ids = [one for _, one in seen]
            connection.execute(mails.update().where(mails.c.id.in_(ids)).values(issue_id=issue_id))
        if not is_new:
            return None
        self._on_told(connection, [("issue.opened", issue_id)])
        return issue_id, notice.kind


def _learn(batch: _Batch, row: Row[Any], reading: Mapping[str, Any] | None, rule: str | None) -> Counted:
    """Take a mail into the profile of its rule; return as what it is counted now.

    One that was read counts on as that, even if it is read again to nothing new; only another outcome changes it.
    """
    was = batch.was.get(row.id)
    now = Counted(rule=row.rule or "", held=int(row.state == MailState.HELD), profile=None, outcome="", cause="")
    good = was is not None and was["outcome"] == Outcome.EVENTS
    if was and good and (reading is None or (rule, reading["outcome"]) == (was["profile"], was["outcome"])):
        return {**was, "rule": now["rule"], "held": now["held"]}
    if was and was["profile"]:
        batch.profiles[was["profile"]].take_back(was["outcome"])
    if reading is None or rule is None:
        return now
    drift = batch.profiles[rule].learn(row.id, reading)
    if drift is not None:
        batch.drifts.setdefault(drift.cause, []).append((drift, row.id))
        batch.again[drift.cause] += int(was is not None and was["cause"] == drift.cause)
    return {**now, "profile": rule, "outcome": str(reading["outcome"]), "cause": drift.cause if drift else ""}


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
    texts = (sa.type_coerce(one, sa.Text).label(one.name) for one in (mails.c.surveyed, readings.c.reading))
    statement = (
        sa.select(*columns, *texts)
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
