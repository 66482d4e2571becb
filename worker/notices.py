"""Notices: what an issue says of a cause, in words that name the next step. Pure."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker.calls import Outcome, Reply

MACHINE = "gatepost"
"""The actor of what no person asked for."""


class IssueKind(StrEnum):
    """The causes; ``docs/operations.md`` says what each asks of a person."""

    LATE_MISMATCH = "late_mismatch"
    PHANTOM_UNIT = "phantom_unit"
    UNAUTHORIZED = "unauthorized"
    KEY_REUSED = "key_reused"
    SOURCE_CONFLICT = "source_conflict"
    REJECTED = "rejected"
    DESTINATION_DOWN = "destination_down"
    TRIES_EXHAUSTED = "tries_exhausted"
    SURGE = "surge"
    FLIPS = "flips"
    PROBATION = "probation"
    NO_EARLIER_VALUE = "no_earlier_value"
    RECONCILE = "reconcile"
    WEBHOOK_GIVEN_UP = "webhook_given_up"
    MAILBOX_SILENT = "mailbox_silent"
    RULE_SILENT = "rule_silent"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One failure, and the cause that it shares with others."""

    kind: IssueKind
    cause: str
    """What makes two failures the same thing to mend."""
    title: str
    detail: str
    """The last one's, and what to do."""
    subject: Mapping[str, Any]
    """What it is about: mailbox, rule, destination, unit, event."""


Key = tuple[str, str]
"""Destination and crm_unit_id."""


def late_mismatch(key: Key, event_id: int) -> Notice:
    """An applied event turns out to name another tenancy."""
    return Notice(
        kind=IssueKind.LATE_MISMATCH,
        cause=str(event_id),
        title=f"{key[1]}: an applied event names another tenancy than an earlier one that came late",
        detail=f"event {event_id}: look at `gatepost why {key[1]}`, then undo it or resolve this issue",
        subject={"destination": key[0], "unit": key[1], "event": event_id},
    )


def new_unit(destination: str, crm_unit_id: str, call_id: int) -> Notice:
    """A move-in created a unit that the destination did not know: the id may be wrong."""
    return Notice(
        kind=IssueKind.PHANTOM_UNIT,
        cause=f"{destination}/{crm_unit_id}",
        title=f"{destination} made a new unit: {crm_unit_id}",
        detail=f"call {call_id} created it; if the id is wrong, undo the move-in and remove the unit there by hand",
        subject={"destination": destination, "unit": crm_unit_id},
    )


def new_units(destination: str, count: int, call_id: int) -> Notice:
    """A call of many units created some that the destination did not know: their ids may be wrong."""
    return Notice(
        kind=IssueKind.PHANTOM_UNIT,
        cause=f"{destination}/call {call_id}",
        title=f"{destination} made {count} new units in one call",
        detail=f"call {call_id}: compare their ids there; a wrong one is undone and removed there by hand",
        subject={"destination": destination, "call": call_id},
    )


def differing_rent_roll(mailbox: str, number: int, counts: Mapping[str, int], why: str = "") -> Notice:
    """A rent roll does not agree with what the mails told. ``why``: it could not be compared at all."""
    told = why or ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return Notice(
        kind=IssueKind.RECONCILE,
        cause=mailbox,
        title=f"the rent roll of {mailbox} differs from what we know: {told}",
        detail=f"`gatepost reconcile --show {number}` lists the units; nothing was sent because of it",
        subject={"mailbox": mailbox, "reconcile": number},
    )


def unit_to_remove(destination: str, crm_unit_id: str) -> Notice:
    """A unit was made for a move-in that is taken back: no call removes it."""
    return Notice(
        kind=IssueKind.PHANTOM_UNIT,
        cause=f"{destination}/{crm_unit_id}",
        title=f"{destination} still has a unit that was made by mistake: {crm_unit_id}",
        detail="its move-in was taken back, and it is vacant: remove it there by hand, then resolve this issue",
        subject={"destination": destination, "unit": crm_unit_id},
    )


def no_earlier_value(destination: str, crm_unit_id: str) -> Notice:
    """An event was taken back, and nobody knows what stood there before it."""
    return Notice(
        kind=IssueKind.NO_EARLIER_VALUE,
        cause=f"{destination}/{crm_unit_id}",
        title=f"{crm_unit_id}: what stood there before a withdrawn event is unknown",
        detail=f"the value at {destination} is still the withdrawn one: say what is right with `gatepost events add`",
        subject={"destination": destination, "unit": crm_unit_id},
    )


def refused_token(destination: str, reason: str) -> Notice:
    """The destination does not take our token."""
    return Notice(
        kind=IssueKind.UNAUTHORIZED,
        cause=destination,
        title=f"{destination} refuses our token",
        detail=f"{reason}; renew the token: from its file it is taken up by itself, else "
        f"`gatepost resume destination {destination} --go`",
        subject={"destination": destination},
    )


def refused_call(key: Key, call_id: int, method: str, reply: Reply) -> Notice:
    """The destination refuses a call for good, or so often that we gave up."""
    kind = {
        Outcome.KEY_REUSED: IssueKind.KEY_REUSED,
        Outcome.SOURCE_CONFLICT: IssueKind.SOURCE_CONFLICT,
        Outcome.FAILED: IssueKind.TRIES_EXHAUSTED,
    }.get(reply.outcome, IssueKind.REJECTED)
    says = reply.message[:120]
    return Notice(
        kind=kind,
        cause=f"{key[0]}/{method}/{reply.status}/{says}",
        title=f"{key[0]} refuses {method}: {reply.status} {says}",
        detail=f"last: unit {key[1]}, call {call_id}; `gatepost issues show` lists the events",
        subject={"destination": key[0], "unit": key[1], "status": reply.status},
    )


def held_by_number(kind: IssueKind, mailbox: str, rule: str, says: str, day: str) -> Notice:
    """Many events of a mailbox and rule are held for their number."""
    return Notice(
        kind=kind,
        cause=f"{mailbox}/{rule}/{day}",
        title=f"{mailbox}: {rule} tells too much at once",
        detail=f"{says}; look at the mails, then `gatepost events release --issue N --reason WHY --go`, or discard",
        subject={"mailbox": mailbox, "rule": rule},
    )


def on_probation(rule: str, version: str, left: int) -> Notice:
    """The first events of a changed rule wait. ``left``: how many more are to."""
    more = f"the next {left} wait, too" if left else "what comes now takes effect at once"
    return Notice(
        kind=IssueKind.PROBATION,
        cause=f"{rule}/{version}",
        title=f"{rule}: the first events of its new version wait for your word",
        detail=f"{more}; look at them, then `gatepost events release --issue N --reason WHY --go`, or discard and undo",
        subject={"rule": rule, "version": version},
    )


def silent_destination(destination: str, says: str) -> Notice:
    """The destination does not answer; its circuit is open."""
    return Notice(
        kind=IssueKind.DESTINATION_DOWN,
        cause=destination,
        title=f"{destination} does not answer",
        detail=f"last: {says}; calls wait, and one at a time tries again",
        subject={"destination": destination},
    )


def silent_webhook(endpoint: str, says: str) -> Notice:
    """An endpoint has not taken a webhook for so long that we gave it up."""
    return Notice(
        kind=IssueKind.WEBHOOK_GIVEN_UP,
        cause=endpoint,
        title=f"webhook {endpoint} does not take what it is sent",
        detail=f"last: {says}; mend it there, then resolve this issue: what was given up is not sent again",
        subject={"webhook": endpoint},
    )


def silent_mailbox(mailbox: str, last_at: dt.datetime | None, silent_after: str) -> Notice:
    """No mail has come for longer than is usual. ``last_at``: when the last one came; None: none ever has."""
    last = f"the last came at {last_at.isoformat(timespec='seconds')}" if last_at else "none has ever come"
    return Notice(
        kind=IssueKind.MAILBOX_SILENT,
        cause=mailbox,
        title=f"{mailbox}: no mail for {silent_after}",
        detail=f"{last}; does the PMS still send its notices here, and does the mail server in between pass them on?",
        subject={"mailbox": mailbox},
    )


def stopped_flow(mailbox: str, rule: str, last_on: dt.date, expected: float, a_week: float) -> Notice:
    """The mails of a mailbox, or of one rule there, have stopped, by what was usual. ``rule``: empty: the mailbox."""
    what = f"{mailbox}: no mail" if not rule else f"{mailbox}: no mail of {rule}"
    wording = "; or has their wording changed? Look for held mails with `gatepost mail list state:held`" if rule else ""
    return Notice(
        kind=IssueKind.RULE_SILENT if rule else IssueKind.MAILBOX_SILENT,
        cause=f"{mailbox}/{rule}" if rule else mailbox,
        title=f"{what} since {last_on.isoformat()}, where {a_week:.0f} a week are usual",
        detail=f"{expected:.0f} were to be expected since; does the PMS still send them here, and does the mail server "
        f"in between pass them on?{wording}",
        subject={"mailbox": mailbox, **({"rule": rule} if rule else {}), "learned": True},
    )


def drifted(rule: str, cause: str, says: str, mail_id: str, sample: str | None, *, is_read: bool) -> Notice:
    """The mails of a rule look otherwise than before. ``sample``: the last mail that was read as it should be."""
    step = (
        "they are still read; is what is new worth reading, and is what is missing missed?"
        if is_read
        else "add the new wording to the rule, compare with `gatepost rules backtest`, publish, and retry the mails"
    )
    return Notice(
        kind=IssueKind.DRIFT,
        cause=cause,
        title=f"{rule}: its mails have changed" + ("" if is_read else ", and are held"),
        detail=f"{says}; `gatepost issues show N` has the difference; {step}",
        subject={"rule": rule, "mail": mail_id, "sample": sample},
    )


def opened(issue_id: int, kind: str) -> dict[str, object]:
    """Return the log line of an issue that was opened, or opened again."""
    return {"event": "issue_opened", "issue": issue_id, "kind": str(kind)}
