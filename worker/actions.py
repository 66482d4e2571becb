"""What people do: retry, release, discard, pause, resume. Each takes an actor and leaves an audit row."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.order import State
from worker.store import lanes as lane_store
from worker.store.database import Database
from worker.store.mails import MailState, wake_lane
from worker.store.tables import audit, events, mails, readings
from worker.views import NotThere

PAUSABLE = ("mailbox", "rule", "pack", "destination")


class CannotDo(Exception):
    """The thing is not in a state for that; the message says in which it is."""


def note(connection: Connection, *, actor: str, action: str, subject: str, detail: str = "", now: dt.datetime) -> None:
    """Leave an audit row."""
    connection.execute(audit.insert().values(at=now, actor=actor, action=action, subject=subject, detail=detail))


def retry_mail(db: Database, mail_id: str, *, actor: str, now: dt.datetime) -> None:
    """Have a held mail read again, with the rules of now.

    Raises:
        NotThere: no mail has this id.
        CannotDo: the mail is not held.
    """
    with db.write() as connection:
        row = _held_mail(connection, mail_id)
        _read_again(connection, mail_id, evidence=row.evidence, now=now)
        note(connection, actor=actor, action="mail retry", subject=mail_id, now=now)


def release_mail(db: Database, mail_id: str, *, actor: str, reason: str, now: dt.datetime) -> None:
    """Have a mail that was held untrusted read again with the actor's word as its proof.

    Raises:
        NotThere: no mail has this id.
        CannotDo: the mail is not held as untrusted.
    """
    with db.write() as connection:
        row = _held_mail(connection, mail_id)
        if row.reason != "untrusted":
            raise CannotDo(f"mail {mail_id} is held {row.reason}: mend the rule or mailbox, then `gatepost mail retry`")
        _read_again(connection, mail_id, evidence={**row.evidence, "trusted": True, "vouched": actor}, now=now)
        note(connection, actor=actor, action="mail release", subject=mail_id, detail=reason, now=now)


def discard_mail(db: Database, mail_id: str, *, actor: str, reason: str, now: dt.datetime) -> None:
    """Take a held mail off the list, for a reason.

    Raises:
        NotThere: no mail has this id.
        CannotDo: the mail is not held.
    """
    with db.write() as connection:
        _held_mail(connection, mail_id)
        connection.execute(
            mails.update().where(mails.c.id == mail_id).values(state=MailState.DISCARDED, detail=reason, due_at=None)
        )
        note(connection, actor=actor, action="mail discard", subject=mail_id, detail=reason, now=now)


def _read_again(connection: Connection, mail_id: str, *, evidence: Mapping[str, Any], now: dt.datetime) -> None:
    """Make a mail new: how it was read is forgotten, and it is due now."""
    connection.execute(readings.delete().where(readings.c.mail_id == mail_id))
    fresh = {"state": MailState.NEW, "reason": None, "detail": None, "due_at": now, "rung_at": None, "tries": 0}
    connection.execute(mails.update().where(mails.c.id == mail_id).values(**fresh, evidence=evidence))


def _held_mail(connection: Connection, mail_id: str) -> Any:
    row = connection.execute(sa.select(mails).where(mails.c.id == mail_id)).one_or_none()
    if row is None:
        raise NotThere(f"no mail {mail_id}; `gatepost mail list state:held` shows what is held")
    if row.state != MailState.HELD:
        raise CannotDo(f"mail {mail_id} is {row.state}, not held")
    return row


def release_event(db: Database, event_id: int, *, actor: str, reason: str, now: dt.datetime) -> None:
    """Let a held event into the fold.

    Raises:
        NotThere: no event has this id.
        CannotDo: the event is not held.
    """
    _move_held(db, event_id, State.WAITING, "event release", actor=actor, reason=reason, now=now)


def discard_event(db: Database, event_id: int, *, actor: str, reason: str, now: dt.datetime) -> None:
    """Never let a held event into the fold.

    Raises:
        NotThere: no event has this id.
        CannotDo: the event is not held.
    """
    _move_held(db, event_id, State.DISCARDED, "event discard", actor=actor, reason=reason, now=now)


def _move_held(
    db: Database, event_id: int, state: State, action: str, *, actor: str, reason: str, now: dt.datetime
) -> None:
    with db.write() as connection:
        row = connection.execute(sa.select(events).where(events.c.id == event_id)).one_or_none()
        if row is None:
            raise NotThere(f"no event {event_id}; `gatepost events list state:held` shows what is held")
        if row.state != State.HELD:
            raise CannotDo(f"event {event_id} is {row.state}, not held")
        lane_store.move_events(connection, {event_id: (state, None)}, now=now, detail=f"{actor}: {reason}")
        # The actor's word stands above the guard, and the wait for an unknown unit begins anew.
        connection.execute(events.update().where(events.c.id == event_id).values(expect={}, created_at=now))
        wake_lane(connection, (row.destination, row.crm_unit_id), now=now)
        note(connection, actor=actor, action=action, subject=str(event_id), detail=reason, now=now)


def pause(db: Database, kind: str, name: str, *, actor: str, reason: str, now: dt.datetime) -> None:
    """Pause a mailbox, rule, pack or destination, on every process, until it is resumed."""
    with db.write() as connection:
        lane_store.pause(connection, kind, name, reason=reason, actor=actor, now=now)
        note(connection, actor=actor, action=f"pause {kind}", subject=name, detail=reason, now=now)


def resume(db: Database, kind: str, name: str, *, actor: str, now: dt.datetime) -> None:
    """End a pause.

    Raises:
        NotThere: it is not paused.
    """
    with db.write() as connection:
        if not lane_store.resume(connection, kind, name):
            raise NotThere(f"{kind} {name} is not paused")
        note(connection, actor=actor, action=f"resume {kind}", subject=name, now=now)
