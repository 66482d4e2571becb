"""Ingest: read each new mail and store what it says. The steps are joined here: admit, parse, guard, store.

Reading is pure and happens outside any transaction, so a mail that is rung for twice is at worst read twice; storing
is a compare-and-set on its state, so it takes effect once.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from parsers import RuleSet
from worker.log import where
from worker.notices import opened
from worker.numbers import held_of_mail, hold_by_number, note_numbers
from worker.settings import Guards, Mailbox
from worker.store import mails, pauses
from worker.store.database import Database
from worker.store.lanes import LaneKey
from worker.store.mails import MailHold, MailState, Verdict
from worker.tenancies import find_units
from worker.verdict import judge_mail

TRIES = 5

# Header fields that a relay adds on top: the same mail by another path differs in these alone.
_TRACE = re.compile(
    rb"(?:(?:Received|Return-Path|Delivered-To|X-Original-To|X-Forwarded-(?:To|For)|Authentication-Results"
    rb"|Received-SPF|ARC-[\w-]+|X-Received|X-Gm-[\w-]+|X-Google-[\w-]+)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*)+",
    re.IGNORECASE,
)


class Ingest:
    """Reads mails. One for each process; safe to use from several threads."""

    def __init__(
        self,
        db: Database,
        *,
        mailboxes: Callable[[], Mapping[str, Mailbox]],
        rules: Callable[[], RuleSet],
        clock: Callable[[], dt.datetime],
        clock_skew_s: float,
        on_read: Callable[[Verdict], None] = lambda _verdict: None,
        on_told: Callable[[Connection, Sequence[tuple[str, int | str]]], None] = lambda _connection, _told: None,
        on_trouble: Callable[..., None] = lambda **_fields: None,
        is_stopping: Callable[[], bool] = lambda: False,
        guards: Callable[[], Guards] = Guards,
    ) -> None:
        self._guards = guards
        self._is_stopping = is_stopping
        self._db = db
        self._mailboxes = mailboxes
        self._rules = rules
        self._clock = clock
        self._skew = dt.timedelta(seconds=clock_skew_s)
        self._on_read = on_read
        self._on_told = on_told
        self._on_trouble = on_trouble

    def ingest(self, mail_ids: Iterable[str]) -> list[LaneKey]:
        """Read those of the mails that are still new; return the lanes that have something to do."""
        keys: list[LaneKey] = []
        for mail_id in mail_ids:
            if self._is_stopping():
                break  # the rest stays due
            try:
                keys += self._ingest_one(mail_id)
            except Exception as error:  # noqa: BLE001  the task's edge: one mail is no other mail's trouble
                self._on_trouble(event="reading_failed", mail_id=mail_id, error=where(error))
                self._give_up_or_postpone(mail_id, error)
        return list(dict.fromkeys(keys))

    def _ingest_one(self, mail_id: str) -> list[LaneKey]:
        now = self._clock()
        with self._db.read() as connection:
            mail = mails.load_new(connection, mail_id)
            if mail is None:
                return []
            paused = pauses.paused_now(connection, now)
            digest = content_digest(mail.raw)
            repeat_of = mails.seen_before(connection, mailbox=mail.mailbox, digest=digest, not_id=mail.id)
        if ("mailbox", mail.mailbox) in paused:
            return self._postpone(mail.id, "mailbox is paused", tries=mail.tries)
        rules = self._rules()
        verdict = judge_mail(
            mail,
            self._mailboxes().get(mail.mailbox),
            rules,
            skew=self._skew,
            digest=digest,
            repeat_of=repeat_of,
        )
        if verdict.rule and paused & {("rule", verdict.rule), ("pack", verdict.rule.partition("/")[0])}:
            return self._postpone(mail.id, f"{verdict.rule} is paused", tries=mail.tries)
        with self._db.write() as connection:
            now = self._clock()
            verdict = find_units(connection, verdict)
            flips = rules.flips_of(verdict.rule)
            tellings = hold_by_number(connection, verdict.tellings, self._guards(), now=now, flips=flips)
            verdict = replace(verdict, tellings=tellings)
            keys = mails.store_verdict(connection, verdict, now=now)
            issue = note_numbers(connection, tellings, lambda: held_of_mail(connection, mail.id), now=now)
            self._tell(connection, verdict, None if issue is None else issue[0])
        self._on_read(verdict)
        if issue is not None:
            self._on_trouble(**opened(*issue))
        return keys

    def _give_up_or_postpone(self, mail_id: str, error: Exception) -> None:
        """Count the try; after so many the mail is held, with nothing of it but the error's name."""
        name = type(error).__name__
        with self._db.read() as connection:
            tries = mails.tries_of(connection, mail_id)
        if tries is None:
            return
        if tries + 1 < TRIES:
            self._postpone(mail_id, f"reading failed: {name}", tries=tries + 1)
            return
        detail = f"reading failed {TRIES} times: {name}; this is a fault of Gatepost"
        verdict = Verdict(mail_id=mail_id, state=MailState.HELD, reason=MailHold.UNREADABLE, detail=detail)
        with self._db.write() as connection:
            mails.store_verdict(connection, verdict, now=self._clock())
            self._tell(connection, verdict, None)
        self._on_read(verdict)

    def _tell(self, connection: Connection, verdict: Verdict, issue_id: int | None) -> None:
        """Store what webhooks tell with what they tell of: a held mail, and an issue that is new."""
        told: list[tuple[str, int | str]] = []
        if verdict.state is MailState.HELD:
            told.append(("mail.held", verdict.mail_id))
        if issue_id is not None:
            told.append(("issue.opened", issue_id))
        if told:
            self._on_told(connection, told)

    def _postpone(self, mail_id: str, detail: str, *, tries: int) -> list[LaneKey]:
        due_at = self._clock() + dt.timedelta(seconds=min(5.0 * 2**tries, 300.0))
        with self._db.write() as connection:
            mails.postpone(connection, mail_id, due_at=due_at, detail=detail, tries=tries)
        return []


def content_digest(raw: bytes) -> str:
    """Return the digest of a message below the trace fields that relays put on top of it."""
    trace = _TRACE.match(raw)
    return hashlib.sha256(raw[trace.end() :] if trace else raw).hexdigest()
