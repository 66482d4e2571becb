"""Watch mailboxes for silence: where no mail has come for longer than ``silent_after``, an issue says so, once.

Mailboxes without ``silent_after`` are watched by what is usual for them: ``worker/flows.py``. Every mail that is kept
counts, whatever is thought of it. The issue resolves itself when mail comes again.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from worker.notices import MACHINE, IssueKind, opened, silent_mailbox
from worker.sections import length_of
from worker.settings import Mailbox
from worker.store.database import Database
from worker.store.issues import IssueState, close_issue, open_issue
from worker.store.tables import issues, mails

LOOK_EVERY = dt.timedelta(minutes=1)
LATE_COMMIT = dt.timedelta(minutes=15)
"""How long after it was received a mail may still be written: a large one comes slowly."""
GRACE = dt.timedelta(hours=1)
"""How long after the start nothing is said: what waited elsewhere while we were away comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """What is known of a watched mailbox."""

    watched_since: dt.datetime
    last_at: dt.datetime | None
    """When its last mail was received; None: none ever was."""

    def quiet_since(self, after: dt.timedelta, now: dt.datetime) -> dt.datetime | None:
        """Return since when it has been silent, if that is for longer than ``after``; else None."""
        begins_at = self.last_at or self.watched_since
        is_settled = now - self.watched_since >= min(after, GRACE)
        return begins_at if is_settled and now - begins_at > after else None


class Silence:
    """Looks at how long no mail has come. One for each process that sweeps."""

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
        self._heard: dict[str, _Heard] = {}
        self._looked_at: dt.datetime | None = None

    def look(self) -> None:
        """Open the issue of each mailbox that has fallen silent, and resolve that of each that has mail again."""
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < LOOK_EVERY:
            return
        watched = {address: box for address, box in self._mailboxes().items() if box.silent_after is not None}
        with self._db.read() as connection:
            self._listen(connection, watched, now)
            known = {row.subject["mailbox"]: row for row in connection.execute(_OF_SILENCE)}
        self._looked_at = now
        for address, box in watched.items():
            self._judge(box, length_of(str(box.silent_after)), known.get(address), now)
        for address in known.keys() - watched.keys():
            if not known[address].subject.get("learned"):  # those are the flows' (``worker/flows.py``)
                self._close(known[address], "it is watched no longer", now)

    def _listen(self, connection: Connection, watched: Collection[str], now: dt.datetime) -> None:
        """Learn when each mailbox had its last mail: of those that are new from all mails, else from what has come."""
        self._heard = {address: heard for address, heard in self._heard.items() if address in watched}
        fresh = [address for address in watched if address not in self._heard]
        self._heard |= {address: _Heard(watched_since=now, last_at=None) for address in fresh}
        last = _last_mails(connection, fresh, None)
        if self._looked_at is not None:
            last |= _last_mails(connection, watched, self._looked_at - LATE_COMMIT)
        for address, last_at in last.items():
            self._heard[address] = replace(self._heard[address], last_at=last_at)

    def _judge(self, box: Mailbox, after: dt.timedelta, known: Row[Any] | None, now: dt.datetime) -> None:
        heard = self._heard[box.address]
        quiet_since = heard.quiet_since(after, now)
        if quiet_since is None:
            if known is not None and heard.last_at is not None and now - heard.last_at <= after:
                self._close(known, "mail comes again", now)
            return
        if known is None or is_over(known, quiet_since):
            self._open(box, heard, now)

    def _open(self, box: Mailbox, heard: _Heard, now: dt.datetime) -> None:
        notice = silent_mailbox(box.address, heard.last_at, str(box.silent_after))
        with self._db.write() as connection:
            issue_id, is_new = open_issue(connection, notice, now=now)
            if is_new:
                self._on_told(connection, [("issue.opened", issue_id), ("mailbox.silent", box.address)])
        if is_new:
            self._on_trouble(**opened(issue_id, notice.kind))

    def _close(self, known: Row[Any], why: str, now: dt.datetime) -> None:
        if known.state in (IssueState.OPEN, IssueState.ACKNOWLEDGED):
            with self._db.write() as connection:
                close_issue(connection, IssueKind.MAILBOX_SILENT, known.subject["mailbox"], now=now, note=why)


_OF_SILENCE = sa.select(issues).where(issues.c.kind == IssueKind.MAILBOX_SILENT)


def is_over(known: Row[Any], quiet_since: dt.datetime) -> bool:
    """Say whether an issue is of an earlier silence. What a person resolved is not said again of the same one."""
    return known.state == IssueState.RESOLVED and (known.actor == MACHINE or known.last_at < quiet_since)


def _last_mails(
    connection: Connection, addresses: Collection[str], since: dt.datetime | None
) -> dict[str, dt.datetime]:
    """Return when each mailbox had its last mail; those without mail, or without any ``since`` then, are left out."""
    if not addresses:
        return {}
    statement = sa.select(mails.c.mailbox, sa.func.max(mails.c.received_at)).where(mails.c.mailbox.in_(addresses))
    if since is not None:
        statement = statement.where(mails.c.received_at >= since)
    return {row[0]: row[1] for row in connection.execute(statement.group_by(mails.c.mailbox))}
