"""The mails: load what is to be read, store how it was read, all or nothing."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from parsers.events import Event, canonical
from worker.order import Hold, State
from worker.store.bodies import read_body
from worker.store.lanes import LaneKey, fingerprint, insert_for
from worker.store.tables import events, lanes, mails, readings


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
    events: Sequence[Event] = ()
    company: str = ""
    mailbox: str = ""
    location: str = ""
    destination: str = ""
    timezone: str = ""
    received_at: dt.datetime | None = None
    event_state: State = State.WAITING
    event_reason: str | None = None
    event_detail: str | None = None


def load_new(connection: Connection, mail_id: str) -> NewMail | None:
    """Return a mail with its bytes; None when it is new no more."""
    row = connection.execute(
        sa.select(mails).where(mails.c.id == mail_id, mails.c.state == MailState.NEW)
    ).one_or_none()
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
    return connection.execute(
        sa.select(mails.c.id)
        .where(
            mails.c.digest == digest,
            mails.c.mailbox == mailbox,
            mails.c.id != not_id,
            mails.c.state.in_([MailState.PARSED, MailState.IGNORED]),
        )
        .limit(1)
    ).scalar()


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
        mails.update()
        .where(mails.c.id == verdict.mail_id, mails.c.state == MailState.NEW)
        .values(
            state=verdict.state,
            reason=verdict.reason,
            detail=verdict.detail,
            pack=verdict.rule.partition("/")[0] if verdict.rule else None,
            rule=verdict.rule,
            rule_set=verdict.rule_set,
            subject=verdict.subject,
            from_address=verdict.from_address,
            message_id=verdict.message_id,
            mailed_at=verdict.mailed_at,
            digest=verdict.digest,
            parsed_at=now,
            due_at=None,
        )
    )
    if moved.rowcount == 0:
        return []
    if verdict.reading is not None:
        connection.execute(readings.insert().values(mail_id=verdict.mail_id, reading=verdict.reading))
    _open_lanes(connection, verdict, now)
    keys: list[LaneKey] = []
    known = 0
    for event in sorted(verdict.events, key=lambda event: event.crm_unit_id):
        is_new, matters = _store_event(connection, verdict, event, now)
        known += not is_new
        if matters:
            key = (verdict.destination, event.crm_unit_id)
            wake_lane(connection, key, now=now)
            keys.append(key)
    if verdict.events and known == len(verdict.events):
        connection.execute(
            mails.update()
            .where(mails.c.id == verdict.mail_id)
            .values(state=MailState.DUPLICATE, detail="every event of this mail was known")
        )
    return keys


def _store_event(connection: Connection, verdict: Verdict, event: Event, now: dt.datetime) -> tuple[bool, bool]:
    """Store an event; return whether it is new, and whether its unit has to be looked at.

    A known event told again with an earlier moment takes that moment, so that the order of arrival cannot matter.
    """
    mark = fingerprint(event.kind, canonical(event.body))
    inserted = connection.execute(
        insert_new(connection, events)
        .values(
            mail_id=verdict.mail_id,
            position=event.position,
            company=verdict.company,
            mailbox=verdict.mailbox,
            destination=verdict.destination,
            crm_unit_id=event.crm_unit_id,
            unit=event.unit,
            kind=event.kind,
            effective_at=event.effective_at,
            mailed_at=event.mailed_at,
            told_at=event.mailed_at,
            identity=event.identity,
            body=dict(event.body),
            fingerprint=mark,
            expect=dict(event.expect),
            on_date=event.on.isoformat() if event.on else None,
            timezone=verdict.timezone,
            rule=event.rule,
            rule_set=verdict.rule_set,
            state=verdict.event_state,
            reason=verdict.event_reason,
            detail=verdict.event_detail,
            created_at=now,
            received_at=verdict.received_at,
        )
        .returning(events.c.id)
    ).scalar()
    if inserted is not None:
        return True, verdict.event_state is State.WAITING
    return False, _told_again(connection, verdict, event, mark)


def _told_again(connection: Connection, verdict: Verdict, event: Event, mark: str) -> bool:
    """Take over what a repetition says of the moment; return whether the unit has to be looked at.

    An event that was held for its clock alone is let go by a telling that has a sound one.
    """
    same = sa.and_(
        events.c.company == verdict.company, events.c.identity == event.identity, events.c.fingerprint == mark
    )
    row = connection.execute(sa.select(events).where(same)).one()
    values: dict[str, Any] = {}
    if (event.effective_at, event.mailed_at) < (row.effective_at, row.mailed_at):
        values |= {"effective_at": event.effective_at, "mailed_at": event.mailed_at}
    if event.mailed_at > row.told_at and verdict.event_state is State.WAITING:
        values["told_at"] = event.mailed_at
    if (row.state, row.reason) == (State.HELD, Hold.CLOCK) and verdict.event_state is State.WAITING:
        moment = {"effective_at": event.effective_at, "mailed_at": event.mailed_at, "told_at": event.mailed_at}
        values |= {**moment, "state": State.WAITING, "reason": None, "detail": None}
    if values:
        connection.execute(events.update().where(same).values(**values))
    return bool(values)


def _open_lanes(connection: Connection, verdict: Verdict, now: dt.datetime) -> None:
    """Make the lanes of a mail's units, and lock them in the order that everybody keeps: lanes first, by unit."""
    units = {event.crm_unit_id: event.unit for event in verdict.events}
    for crm_unit_id in sorted(units):
        connection.execute(
            insert_new(connection, lanes).values(
                destination=verdict.destination,
                crm_unit_id=crm_unit_id,
                company=verdict.company,
                unit=units[crm_unit_id],
                location=verdict.location,
                shown={},
                updated_at=now,
                lease_token=0,
                tries=0,
            )
        )
        one = sa.and_(lanes.c.destination == verdict.destination, lanes.c.crm_unit_id == crm_unit_id)
        connection.execute(sa.select(lanes.c.crm_unit_id).where(one).with_for_update())


def wake_lane(connection: Connection, key: LaneKey, *, now: dt.datetime) -> None:
    """Make a lane due now."""
    connection.execute(
        lanes.update()
        .where(lanes.c.destination == key[0], lanes.c.crm_unit_id == key[1])
        .values(due_at=now, rung_at=None)
    )


def insert_new(connection: Connection, table: sa.Table) -> Any:
    """Return an INSERT that leaves a row alone which is there already."""
    return insert_for(connection)(table).on_conflict_do_nothing()
