"""What people do with mails, and pauses. Each takes an actor and leaves an audit row. ``worker/edits.py``: events."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.store import pauses
from worker.store.database import Database
from worker.store.mails import MailState
from worker.store.restored import RESTORED, state_anew
from worker.store.tables import audit, mails
from worker.views import NotThere, why_purged

PAUSABLE = ("mailbox", "rule", "pack", "destination", pauses.EVERYTHING)


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
    """Make a mail new, due now. How it was read stays until it has been read again."""
    fresh = {"state": MailState.NEW, "reason": None, "detail": None, "due_at": now, "rung_at": None, "tries": 0}
    connection.execute(mails.update().where(mails.c.id == mail_id).values(**fresh, evidence=evidence))


def _held_mail(connection: Connection, mail_id: str) -> Any:
    row = connection.execute(sa.select(mails).where(mails.c.id == mail_id)).one_or_none()
    if row is None:
        raise NotThere(f"no mail {mail_id}; `gatepost mail list state:held` shows what is held")
    if row.purged_at is not None:
        raise CannotDo(f"mail {mail_id} cannot be read again: {why_purged(row)}")
    if row.state != MailState.HELD:
        raise CannotDo(f"mail {mail_id} is {row.state}, not held")
    return row


def pause(db: Database, kind: str, name: str, *, actor: str, reason: str, now: dt.datetime) -> None:
    """Pause a mailbox, rule, pack, destination or all sending, on every process, until it is resumed."""
    with db.write() as connection:
        pauses.pause(connection, kind, name, reason=reason, actor=actor, now=now)
        note(connection, actor=actor, action=f"pause {kind}", subject=name, detail=reason, now=now)


def resume(db: Database, kind: str, name: str, *, actor: str, now: dt.datetime) -> None:
    """End a pause.

    Raises:
        NotThere: it is not paused.
    """
    with db.write() as connection:
        if not pauses.resume(connection, kind, name):
            raise NotThere(f"{kind} {name} is not paused")
        if (kind, name) == (pauses.EVERYTHING, RESTORED):
            state_anew(connection, now=now)
        note(connection, actor=actor, action=f"resume {kind}", subject=name, now=now)
