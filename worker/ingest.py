"""Ingest: read each new mail and store what it says. The steps are joined here: admit, parse, guard, store.

Reading is pure and happens outside any transaction, so a mail that is rung for twice is at worst read twice; storing
is a compare-and-set on its state, so it takes effect once.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from zoneinfo import ZoneInfo

from parsers import Outcome, Reading, RuleSet
from parsers.events import Event
from worker.log import where
from worker.order import Hold, State
from worker.reading import read_for
from worker.settings import Mailbox
from worker.store import lanes, mails
from worker.store.database import Database
from worker.store.lanes import LaneKey
from worker.store.mails import MailHold, MailState, NewMail, Verdict

POSTMASTER = "postmaster"
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
        on_trouble: Callable[..., None] = lambda **_fields: None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_stopping = is_stopping
        self._db = db
        self._mailboxes = mailboxes
        self._rules = rules
        self._clock = clock
        self._skew = dt.timedelta(seconds=clock_skew_s)
        self._on_read = on_read
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
            paused = {kind: lanes.paused_names(connection, kind, now) for kind in ("mailbox", "pack", "rule")}
            digest = content_digest(mail.raw)
            repeat_of = mails.seen_before(connection, mailbox=mail.mailbox, digest=digest, not_id=mail.id)
        if mail.mailbox in paused["mailbox"]:
            return self._postpone(mail.id, "mailbox is paused", tries=mail.tries)
        verdict = self._judge(mail, digest, repeat_of)
        if verdict.rule and (verdict.rule in paused["rule"] or verdict.rule.partition("/")[0] in paused["pack"]):
            return self._postpone(mail.id, f"{verdict.rule} is paused", tries=mail.tries)
        with self._db.write() as connection:
            keys = mails.store_verdict(connection, verdict, now=self._clock())
        self._on_read(verdict)
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
        self._on_read(verdict)

    def _postpone(self, mail_id: str, detail: str, *, tries: int) -> list[LaneKey]:
        due_at = self._clock() + dt.timedelta(seconds=min(5.0 * 2**tries, 300.0))
        with self._db.write() as connection:
            mails.postpone(connection, mail_id, due_at=due_at, detail=detail, tries=tries)
        return []

    def _judge(self, mail: NewMail, digest: str, repeat_of: str | None) -> Verdict:
        if mail.mailbox == POSTMASTER:
            return Verdict(
                mail_id=mail.id, state=MailState.HELD, reason=MailHold.UNMATCHED, detail="mail for the postmaster"
            )
        mailbox = self._mailboxes().get(mail.mailbox)
        if mailbox is None:
            detail = "its mailbox is no longer in the configuration; put it back and `gatepost mail retry`"
            return Verdict(mail_id=mail.id, state=MailState.HELD, reason=MailHold.UNMATCHED, detail=detail)
        rules = self._rules()
        reading, read, admission = read_for(mail.raw, rules, mailbox, mail.evidence)
        if repeat_of is not None and reading.outcome in (Outcome.EVENTS, Outcome.IGNORED):
            state, detail = MailState.DUPLICATE, f"the same bytes as mail {repeat_of}, which was read"
        else:
            state, detail = _state_of(reading), reading.reason
        reason = MailHold(reading.outcome) if state is MailState.HELD else None
        if state is MailState.PARSED and read and not _is_current(reading, mailbox, read.date):
            state, reason = MailState.HELD, MailHold.PACK_NOT_CURRENT
            detail = f"the mailbox reads {reading.rule} at other dates only; change `from` or `until` of its pack"
        event_state, event_reason, event_detail = self._guard(reading.events, mailbox, mail.received_at)
        return Verdict(
            mail_id=mail.id,
            state=state,
            reason=reason,
            detail=detail,
            rule=reading.rule,
            rule_set=reading.rule_set,
            subject=_storable(read.subject) if read else None,
            from_address=_storable(read.from_address) if read else None,
            message_id=_storable(read.message_id) if read else None,
            mailed_at=read.date if read else None,
            digest=digest,
            reading={**reading.to_json(), "trace": reading.trace, "proof": admission.proof},
            events=() if state is not MailState.PARSED else reading.events,
            company=mailbox.company,
            mailbox=mailbox.address,
            location=mailbox.location,
            destination=mailbox.destination,
            timezone=mailbox.timezone,
            received_at=mail.received_at,
            event_state=event_state,
            event_reason=event_reason,
            event_detail=event_detail,
        )

    def _guard(
        self, events: Sequence[Event], mailbox: Mailbox, received_at: dt.datetime
    ) -> tuple[State, str | None, str | None]:
        """Return the state in which the events of a mail begin."""
        if mailbox.mode != "apply":
            return State.HELD, Hold.REVIEW, f"the mailbox is in mode {mailbox.mode}"
        latest = received_at + self._skew
        stated = {event.effective_at for event in events if event.on == event.effective_at.date()}
        if any(e.mailed_at > latest or (e.effective_at > latest and e.effective_at not in stated) for e in events):
            return State.HELD, Hold.CLOCK, "it says that it happened after it was received; check its Date"
        pattern = mailbox.unit_pattern
        if pattern and not all(re.fullmatch(pattern, event.unit) for event in events):
            return State.HELD, Hold.UNKNOWN_UNIT, f"no unit of {mailbox.location} looks like that: {pattern}"
        return State.WAITING, None, None


def _is_current(reading: Reading, mailbox: Mailbox, mailed_at: dt.datetime | None) -> bool:
    """Say whether the mailbox reads the pack at the date of the mail, in the site's calendar."""
    if mailed_at is None:
        return True
    day = mailed_at.astimezone(ZoneInfo(mailbox.timezone)).date()
    pack = (reading.rule or "").partition("/")[0]
    return all(use.holds(day) for use in mailbox.pms if use.name == pack)


def _storable(text: str | None) -> str | None:
    """Return a header's text as every database takes it: without NUL and lone surrogates."""
    return None if text is None else text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def content_digest(raw: bytes) -> str:
    """Return the digest of a message below the trace fields that relays put on top of it."""
    trace = _TRACE.match(raw)
    return hashlib.sha256(raw[trace.end() :] if trace else raw).hexdigest()


def _state_of(reading: Reading) -> MailState:
    match reading.outcome:
        case Outcome.EVENTS:
            return MailState.PARSED
        case Outcome.IGNORED:
            return MailState.IGNORED
        case _:
            return MailState.HELD
