"""What a mail comes to: read it, and say in which state it and its events begin. Nothing is stored.

The one judgement of worker and replay.
"""

import datetime as dt
import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from parsers import Mail, Outcome, Reading, RuleSet
from parsers.events import Event, Kind
from worker.order import Hold, State
from worker.reading import read_for
from worker.settings import Mailbox
from worker.store.events import Telling
from worker.store.mails import MailHold, MailState, NewMail, Verdict

POSTMASTER = "postmaster"


def judge_mail(
    mail: NewMail,
    mailbox: Mailbox | None,
    rules: RuleSet,
    *,
    skew: dt.timedelta,
    digest: str | None = None,
    repeat_of: str | None = None,
) -> Verdict:
    """Read a mail for its mailbox and return what becomes of it.

    ``mailbox`` None: the configuration has it no more. ``repeat_of``: the mail with the same bytes that was read.
    """
    if mail.mailbox == POSTMASTER:
        return _held(mail, MailHold.UNMATCHED, "mail for the postmaster")
    if mailbox is None:
        detail = "its mailbox is no longer in the configuration; put it back and `gatepost mail retry`"
        return _held(mail, MailHold.UNMATCHED, detail)
    reading, read, admission = read_for(mail.raw, rules, mailbox, mail.evidence)
    if repeat_of is not None and reading.outcome in (Outcome.EVENTS, Outcome.IGNORED):
        state, detail = MailState.DUPLICATE, f"the same bytes as mail {repeat_of}, which was read"
    else:
        state, detail = _state_of(reading), reading.reason
    reason = MailHold(reading.outcome) if state is MailState.HELD else None
    mailed_at = _mailed_at(read, mailbox)
    if state is MailState.PARSED and not _is_current(reading, mailbox, mailed_at):
        state, reason = MailState.HELD, MailHold.PACK_NOT_CURRENT
        detail = f"the mailbox reads {reading.rule} at other dates only; change `from` or `until` of its pack"
    if state is MailState.PARSED and not _is_here(reading.location_name, mailbox):
        state, reason = MailState.HELD, MailHold.WRONG_LOCATION
        detail = f"it names a site that is not {mailbox.location}: add the name to location_names, or discard the mail"
    if state is MailState.PARSED and _moves_within(reading.events):
        state, reason = MailState.HELD, MailHold.CONTRADICTION
        detail = "it says that one tenant moves into and out of the same unit: enter what is meant by hand"
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
        mailed_at=mailed_at,
        digest=digest,
        reading={**reading.to_json(), "trace": reading.trace, "proof": admission.proof},
        tellings=_tellings(mail, mailbox, reading, skew) if state is MailState.PARSED else [],
    )


def _is_here(name: str | None, mailbox: Mailbox) -> bool:
    """Say whether the site that a mail names is the mailbox's; a mailbox without names takes any."""
    if name is None or not mailbox.location_names:
        return True
    return name.casefold() in {known.casefold() for known in (mailbox.location, *mailbox.location_names)}


def _moves_within(events: Sequence[Event]) -> bool:
    """Say whether a mail tells a transfer from a unit to itself."""
    into = {(e.crm_unit_id, e.body.get("pms_tenant_id")) for e in events if e.kind is Kind.MOVE_IN}
    return any((e.crm_unit_id, e.expect.get("pms_tenant_id")) in into for e in events if e.kind is Kind.MOVE_OUT)


def _held(mail: NewMail, reason: MailHold, detail: str) -> Verdict:
    return Verdict(mail_id=mail.id, state=MailState.HELD, reason=reason, detail=detail)


def _tellings(mail: NewMail, mailbox: Mailbox, reading: Reading, skew: dt.timedelta) -> list[Telling]:
    """Return the events of a mail, with the state in which each begins."""
    words = first_words(reading.events, mailbox, received_at=mail.received_at, skew=skew)
    return [
        Telling(
            event=event,
            mail_id=mail.id,
            company=mailbox.company,
            mailbox=mailbox.address,
            location=mailbox.location,
            destination=mailbox.destination,
            timezone=mailbox.timezone,
            rule_set=reading.rule_set,
            received_at=mail.received_at,
            state=State.HELD if word else State.WAITING,
            reason=word[0] if word else None,
            detail=word[1] if word else None,
        )
        for event, word in zip(reading.events, words, strict=True)
    ]


def first_words(
    events: Sequence[Event], mailbox: Mailbox, *, received_at: dt.datetime, skew: dt.timedelta
) -> list[tuple[Hold, str] | None]:
    """Return why each event of a mail begins held, and in what words; None: it is let in."""
    latest = received_at + skew
    stated = {event.effective_at for event in events if event.on == event.effective_at.date()}
    if mailbox.mode != "apply":
        word = Hold.REVIEW, f"the mailbox is in mode {mailbox.mode}"
        return [_without_id(event, mailbox) or word for event in events]
    if any(e.mailed_at > latest or (e.effective_at > latest and e.effective_at not in stated) for e in events):
        word = Hold.CLOCK, "it says that it happened after it was received; check its Date"
        return [_without_id(event, mailbox) or word for event in events]
    return [_without_id(event, mailbox) or _unlike_a_unit(event, mailbox) for event in events]


def _without_id(event: Event, mailbox: Mailbox) -> tuple[Hold, str] | None:
    """Return the words for a unit that the map lacks: whatever else holds it, nobody can let it go."""
    if event.crm_unit_id or event.tenancy:  # a tenancy is looked for when the event is stored
        return None
    detail = f"{mailbox.unit_map} has no row for the unit at its date; `gatepost units map check` lists them"
    return Hold.UNKNOWN_UNIT, detail


def _unlike_a_unit(event: Event, mailbox: Mailbox) -> tuple[Hold, str] | None:
    if mailbox.unit_pattern and event.unit and not re.fullmatch(mailbox.unit_pattern, event.unit):
        return Hold.UNKNOWN_UNIT, f"no unit of {mailbox.location} looks like that: {mailbox.unit_pattern}"
    return None


def _mailed_at(read: Mail | None, mailbox: Mailbox) -> dt.datetime | None:
    """Return when a mail is dated, on the site's clock where it names no zone; None without a date."""
    if read is None or read.date is not None or read.local_date is None:
        return read.date if read else None
    return read.local_date.replace(tzinfo=ZoneInfo(mailbox.timezone))


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


def _state_of(reading: Reading) -> MailState:
    match reading.outcome:
        case Outcome.EVENTS:
            return MailState.PARSED
        case Outcome.IGNORED:
            return MailState.IGNORED
        case _:
            return MailState.HELD
