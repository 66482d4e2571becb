"""Read a mail for a mailbox: who may speak for what, then what it says. Nothing is stored.

The one path of worker, ``parse``, ``explain`` and the tests. It imports no store, so that ``gatepost parse`` is quick.
"""

from collections.abc import Mapping
from dataclasses import replace

from parsers import Mail, Outcome, Reading, RuleSet, Unreadable, read_mail
from parsers.events import Event
from parsers.parse import parse
from worker.admit import Admission, admit
from worker.settings import Mailbox


def read_for(
    raw: bytes, rules: RuleSet, mailbox: Mailbox, evidence: Mapping[str, object]
) -> tuple[Reading, Mail | None, Admission]:
    """Read a mail for a mailbox: the one path of worker, ``parse``, ``explain`` and the tests.

    Returns the reading, the mail (None when unreadable) and who may speak for what.
    """
    try:
        read = read_mail(raw)
    except Unreadable as error:
        reading = Reading(outcome=Outcome.UNREADABLE, rule=None, rule_set=rules.id, reason=str(error))
        return reading, None, Admission(packs=(), proof="it cannot be read")
    vouched = evidence.get("vouched")  # a person released it: for every pack of the mailbox
    senders = mailbox.packs if vouched else rules.packs_for(read.from_domain, among=mailbox.packs)
    forwarded_by = read.chain[0].from_domain if read.chain else None
    admission = admit(mailbox.trust, evidence, read.from_domain, senders, forwarded_by=forwarded_by)
    if read.singleton_duplicates:
        names = ", ".join(read.singleton_duplicates)
        admission = Admission(packs=(), proof=f"it has more than one {names}: which one counts cannot be known")
    reading = parse(read, rules, mailbox=mailbox.reader(), packs=admission.packs)
    if not admission.packs:
        reading = replace(reading, reason=admission.proof + (f"; {read.doubt}" if read.doubt else ""))
    elif any(event.kind not in allowed for event in reading.events if (allowed := _allowed_for(event, admission))):
        reason = f"{admission.proof} is not good for this kind of event"
        reading = replace(reading, outcome=Outcome.UNTRUSTED, reason=reason, events=())
    return reading, read, admission


def _allowed_for(event: Event, admission: Admission) -> tuple[str, ...]:
    """Return the kinds that the proof allows to the pack of an event; empty: all."""
    return admission.allow.get(event.rule.partition("/")[0], ())
