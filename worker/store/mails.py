"""The mails: load what is to be read, store how it was read, all or nothing."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.store.bodies import read_body
from worker.store.events import Telling, store_events
from worker.store.lanes import INSERTS, LaneKey
from worker.store.tables import mails, past_readings, readings


class MailState(StrEnum):
    """The states of a mail; ``docs/operations.md`` says what each asks of a person."""

    NEW = "new"
    PARSED = "parsed"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"
    HELD = "held"
    DISCARDED = "discarded"


class MailHold(StrEnum):
    """Why a mail is held: how its reading ended, or what the mailbox says of it."""

    UNREADABLE = "unreadable"
    UNTRUSTED = "untrusted"
    UNMATCHED = "unmatched"
    AMBIGUOUS = "ambiguous"
    INCOMPLETE = "incomplete"
    INVALID = "invalid"
    CONTRADICTION = "contradiction"
    WRONG_LOCATION = "wrong_location"
    PACK_NOT_CURRENT = "pack_not_current"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMail:
    """A mail that waits to be read."""

    id: str
    mailbox: str
    received_at: dt.datetime
    evidence: Mapping[str, Any]
    tries: int
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a mail, ready to be stored."""

    mail_id: str
    state: MailState
    reason: MailHold | None = None
    detail: str | None = None
    rule: str | None = None
    rule_set: str | None = None
    subject: str | None = None
    from_address: str | None = None
    message_id: str | None = None
    mailed_at: dt.datetime | None = None
    digest: str | None = None
    reading: Mapping[str, Any] | None = None
    tellings: Sequence[Telling] = ()
    """Its events, with what the guard says of each."""


def load_new(connection: Connection, mail_id: str) -> NewMail | None:
    """Return a mail with its bytes; None when it is new no more."""
    return _load(connection, _NEW, mail_id)


def load_mail(connection: Connection, mail_id: str) -> NewMail | None:
    """Return a mail with its bytes, whatever its state; None when its bytes were purged."""
    return _load(connection, _KEPT, mail_id)


# Statements that every mail makes are built once: building one costs more than SQLite takes for it.
_COLUMNS = (mails.c.id, mails.c.mailbox, mails.c.received_at, mails.c.evidence, mails.c.tries, mails.c.body_id)
_ONE = mails.c.id == sa.bindparam("its_id")
_NEW = sa.select(*_COLUMNS).where(_ONE, mails.c.state == MailState.NEW)
_KEPT = sa.select(*_COLUMNS).where(_ONE, mails.c.purged_at.is_(None))


def _load(connection: Connection, statement: sa.Executable, mail_id: str) -> NewMail | None:
    row = connection.execute(statement, {"its_id": mail_id}).one_or_none()
    if row is None:
        return None
    return NewMail(
        id=row.id,
        mailbox=row.mailbox,
        received_at=row.received_at,
        evidence=row.evidence,
        tries=row.tries,
        raw=read_body(connection, row.body_id),
    )


def tries_of(connection: Connection, mail_id: str) -> int | None:
    """Return how often reading a mail has failed; None when it is new no more."""
    return connection.execute(
        sa.select(mails.c.tries).where(mails.c.id == mail_id, mails.c.state == MailState.NEW)
    ).scalar()


def seen_before(connection: Connection, *, mailbox: str, digest: str, not_id: str) -> str | None:
    """Return the id of a mail to the same mailbox, byte-equal below its trace headers, that was parsed or ignored."""
    return connection.execute(_SEEN, {"digest": digest, "mailbox": mailbox, "not_id": not_id}).scalar()


_SEEN = (
    sa.select(mails.c.id)
    .where(
        mails.c.digest == sa.bindparam("digest"),
        mails.c.mailbox == sa.bindparam("mailbox"),
        mails.c.id != sa.bindparam("not_id"),
        sa.or_(mails.c.state == MailState.PARSED, mails.c.state == MailState.IGNORED),
    )
    .limit(1)
)


def postpone(connection: Connection, mail_id: str, *, due_at: dt.datetime, detail: str, tries: int) -> None:
    """Leave a mail new, to be read again later."""
    connection.execute(
        mails.update()
        .where(mails.c.id == mail_id, mails.c.state == MailState.NEW)
        .values(due_at=due_at, rung_at=None, detail=detail, tries=tries)
    )


def store_verdict(connection: Connection, verdict: Verdict, *, now: dt.datetime) -> list[LaneKey]:
    """Store how a mail was read, once: a mail that is new no more is left as it is.

    Returns the lanes that have something to do now. A mail of which every event was known becomes a duplicate.
    """
    moved = connection.execute(
        _READ,
        {
            "its_id": verdict.mail_id,
            "state": verdict.state,
            "reason": verdict.reason,
            "detail": verdict.detail,
            "pack": verdict.rule.partition("/")[0] if verdict.rule else None,
            "rule": verdict.rule,
            "rule_set": verdict.rule_set,
            "subject": verdict.subject,
            "from_address": verdict.from_address,
            "message_id": verdict.message_id,
            "mailed_at": verdict.mailed_at,
            "digest": verdict.digest,
            "parsed_at": now,
            "due_at": None,
        },
    )
    if moved.rowcount == 0:
        return []
    if verdict.reading is not None:
        store_reading(connection, verdict.mail_id, verdict.reading, now=now)
    stored = store_events(connection, verdict.tellings, now=now)
    if stored and not any(one.is_new for one in stored):
        connection.execute(
            mails.update()
            .where(mails.c.id == verdict.mail_id)
            .values(state=MailState.DUPLICATE, detail="every event of this mail was known")
        )
    return list(dict.fromkeys(one.key for one in stored if one.matters))


def store_reading(connection: Connection, mail_id: str, reading: Mapping[str, Any], *, now: dt.datetime) -> None:
    """Store how a mail was read; how it was read before is kept, for the events that came of it."""
    row = {"mail_id": mail_id, "reading": reading}
    if connection.execute(_FIRST_READING[connection.dialect.name], row).scalar() is not None:
        return
    before = sa.select(readings.c.mail_id, sa.literal(now, mails.c.received_at.type), readings.c.reading).where(
        readings.c.mail_id == mail_id
    )
    connection.execute(past_readings.insert().from_select(["mail_id", "replaced_at", "reading"], before))
    connection.execute(readings.update().where(readings.c.mail_id == mail_id).values(reading=reading))


_READ = mails.update().where(_ONE, mails.c.state == MailState.NEW)
_FIRST_READING = {
    name: insert(readings).on_conflict_do_nothing().returning(readings.c.mail_id) for name, insert in INSERTS.items()
}
