"""One mail to one reading: choose the rule, take its fields, convert them, make the events.

Pure: the same bytes, rules and mailbox give the same reading, so what fails here fails for good and is held.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from parsers import trace
from parsers.assemble import events_of, moments_of
from parsers.errors import Held, Invalid, Unreadable
from parsers.events import Event, Kind, canonical
from parsers.extract import Block, Extraction, labels_of
from parsers.labels import Labels
from parsers.mail import Mail, doubt_of_date, read_mail
from parsers.mailbox import Mailbox
from parsers.match import Tried, try_rules
from parsers.reading import Outcome, Reading
from parsers.rows import parts_of
from parsers.rule import Rule, RuleSet
from parsers.values import to_value


@dataclass(slots=True, kw_only=True)
class _Read:
    """What one claiming rule made of the mail."""

    rule: Rule | None
    outcome: Outcome
    reason: str | None = None
    events: tuple[Event, ...] = ()
    trace: dict[str, Any] = field(default_factory=dict[str, Any])


def parse_mail(raw: bytes, rules: RuleSet, *, mailbox: Mailbox, packs: Iterable[str] | None = None) -> Reading:
    """Return the reading of a message's octets; `packs` None means every pack whose senders hold its From domain."""
    try:
        mail = read_mail(raw)
    except Unreadable as error:
        return Reading(
            outcome=Outcome.UNREADABLE,
            rule=None,
            rule_set=rules.id,
            reason=f"unreadable: {error}: look at the raw mail",
            trace={"bytes": len(raw)},
        )
    return parse(mail, rules, mailbox=mailbox, packs=rules.packs_for(mail.from_domain) if packs is None else packs)


def parse(mail: Mail, rules: RuleSet, *, mailbox: Mailbox, packs: Iterable[str]) -> Reading:
    """Return the reading of a mail by the rules of `packs`: those that its sender is proven for."""
    packs = tuple(packs)
    seen = trace.of_mail(mail, packs)
    if not packs:
        sender = mail.from_domain or "a sender that is not one plain address"
        reason = f"no pack may speak for {sender}: check the mailbox's packs and trust"
        return Reading(outcome=Outcome.UNTRUSTED, rule=None, rule_set=rules.id, reason=reason, trace=seen)
    tried = try_rules(mail, rules, packs)
    labels = Labels(mail.lines)
    read = _choose(mail, tried, labels, rules, mailbox)
    _hold_unread(read, mail, tried)
    _hold_in_doubt(read, mail, mailbox)
    seen |= trace.of_rules(tried)
    return Reading(
        outcome=read.outcome,
        rule=read.rule.name if read.rule else None,
        rule_set=rules.id,
        reason=read.reason,
        events=read.events,
        location_name=_location_name(mail, labels, read.rule, rules) if read.events else None,
        trace=seen | read.trace,
    )


def _hold_in_doubt(read: _Read, mail: Mail, mailbox: Mailbox) -> None:
    """Hold what a rule says of a forward when it cannot be known what was forwarded, or when that was sent."""
    if mail.doubt is not None:
        reason = f"{mail.doubt}: read the mail, and enter the event by hand or ask for the original"
    elif read.outcome is Outcome.EVENTS and mail.chain and (why := doubt_of_date(mail, mailbox)):
        reason = f"{why}, so nobody knows when this happened: enter the event by hand"
    else:
        return
    read.outcome, read.reason, read.events = Outcome.INCOMPLETE, reason, ()


def _hold_unread(read: _Read, mail: Mail, tried: tuple[Tried, ...]) -> None:
    """Hold a reading where a block that cannot be read names the type of a rule, and so may tell more than it."""
    types = {value for one in tried for name, value in one.rule.when.jsonld if name == "@type"}
    if read.outcome is Outcome.EVENTS and any(word in block for block in mail.unread_jsonld for word in types):
        read.outcome, read.events = Outcome.INVALID, ()
        read.reason = (
            "the mail holds structured data that is not JSON that we read, and may tell more than what can be read: "
            "read the mail and enter the event by hand"
        )


def _location_name(mail: Mail, labels: Labels, rule: Rule | None, rules: RuleSet) -> str | None:
    """Return the site that a mail names; None when it names none, or its pack does not say how to tell."""
    field = rules.packs[rule.pack].location if rule else None
    if rule is None or field is None:
        return None
    try:
        return Extraction(mail, labels, rule, None, fields=(field,)).texts().get(field.name)
    except Held:
        return None


def _choose(mail: Mail, tried: tuple[Tried, ...], labels: Labels, rules: RuleSet, mailbox: Mailbox) -> _Read:
    """Return what the one claiming rule says; no rule's word when none or several claim."""
    claims = [one for one in tried if one.failed is None]
    structured = [(one.rule, block) for one in claims for block in one.blocks]
    texts = [one.rule for one in claims if not one.rule.when.jsonld]

    def read(rule: Rule, block: Block | None = None) -> _Read:
        return _read(mail, labels, rule, block, rules, mailbox)

    if structured:
        order = {id(block): place for place, block in enumerate(mail.jsonld)}
        structured.sort(key=lambda claim: order[id(claim[1])])
        told = _joined([read(rule, block) for rule, block in structured])
        return _against_text(told, [read(rule) for rule in texts])
    if len(texts) == 1:
        return read(texts[0])
    if texts:
        names = " and ".join(rule.name for rule in texts)
        reason = f"more than one rule claims this mail: {names}: make their conditions exclude each other"
        return _Read(rule=None, outcome=Outcome.AMBIGUOUS, reason=reason)
    if doubted := [one for one in tried if one.doubt]:
        return _Read(rule=None, outcome=Outcome.UNMATCHED, reason=_doubt_of_subject(doubted))
    misses = trace.nearest_misses(mail, labels, tried)
    near = f"; nearest: {misses[0]['rule']}, which fails at {misses[0]['failed']}" if misses else ""
    reason = f"no rule claims this mail{near}: write a rule for it, or one that ignores it"
    return _Read(rule=None, outcome=Outcome.UNMATCHED, reason=reason, trace={"misses": misses})


def _doubt_of_subject(doubted: list[Tried]) -> str:
    """Return why no rule claims a mail whose subject may take back what these rules would tell."""
    names = " and ".join(one.rule.name for one in doubted)
    return (
        f"no rule claims this mail: {names} would, but the subject says `{doubted[0].doubt}`, which may take back what "
        "the mail tells: if it happened, enter the event by hand; for more such mails write a rule, or one that "
        "ignores them, whose `subject` needs this word"
    )


def _read(mail: Mail, labels: Labels, rule: Rule, block: Block | None, rules: RuleSet, mailbox: Mailbox) -> _Read:
    """Return what one claiming rule says of the mail (of one JSON-LD block of it)."""
    if rule.ignore is not None:
        return _Read(rule=rule, outcome=Outcome.IGNORED, reason=rule.ignore)
    extraction = Extraction(mail, labels, rule, block)
    pack = rules.packs[rule.pack]
    if pack.location is not None:
        extraction.known.update(one.line for one in labels.of(labels_of(pack.location)))
    values: dict[str, Any] = {}
    made: tuple[Event, ...] = ()
    outcome, reason = Outcome.EVENTS, None
    try:
        raws = extraction.texts()
        values = {one.name: to_value(one, raws[one.name], pack, rule) for one in rule.all_fields if one.name in raws}
        told = moments_of(mail, rule, values, mailbox)
        made = events_of(rule, parts_of(mail, rule, pack, values, extraction), mailbox, told)
        if not made:
            outcome, reason = Outcome.IGNORED, f"{rule.name}: the mail states none of the values that would be written"
    except Held as held:
        outcome = Outcome.INVALID if isinstance(held, Invalid) else Outcome.INCOMPLETE
        reason = held.reason
    return _Read(
        rule=rule,
        outcome=outcome,
        reason=reason,
        events=made,
        trace=trace.of_extraction(mail, extraction, values, rule, pack),
    )


def _joined(reads: list[_Read]) -> _Read:
    """Return several blocks' readings as one: all their events in order, or the first that gives none.

    A block that repeats an event (the same data as a script and as a part) adds nothing.
    """
    failed = next((one for one in reads if one.outcome is not Outcome.EVENTS), None)
    if failed is not None or len(reads) == 1:
        return failed or reads[0]
    first = reads[0]
    once = {(event.identity, canonical(event.body)): event for one in reads for event in one.events}
    first.events = tuple(replace(event, position=place) for place, event in enumerate(once.values()))
    return first


def _against_text(told: _Read, texts: list[_Read]) -> _Read:
    """Return what the structured data says, held as a contradiction where the text says otherwise."""
    if told.outcome is Outcome.EVENTS and any(_differs(told.events, one) for one in texts):
        names = ", ".join(one.rule.name for one in texts if one.rule)
        told.outcome = Outcome.CONTRADICTION
        told.reason = (
            f"the structured data says otherwise than the text as {names} reads it: "
            "read the mail and enter the event by hand"
        )
        told.events = ()
    return told


def _differs(told: tuple[Event, ...], text: _Read) -> bool:
    if text.outcome is Outcome.INVALID:
        return True  # it states what cannot be read, which may be something else
    if text.outcome not in (Outcome.EVENTS, Outcome.IGNORED):
        return False  # it says too little to say something else
    if _tenancies(told) != _tenancies(text.events) or not text.events:
        return True
    if {event.crm_unit_id for event in told} != {event.crm_unit_id for event in text.events}:
        return True
    return any(
        one.kind is other.kind and one.crm_unit_id == other.crm_unit_id and _body_differs(one, other)
        for one in told
        for other in text.events
    )


def _tenancies(events: tuple[Event, ...]) -> list[tuple[str, Kind]]:
    return sorted((event.crm_unit_id, event.kind) for event in events if event.kind is not Kind.PATCH)


def _body_differs(one: Event, other: Event) -> bool:
    shared = one.body.keys() & other.body.keys()
    return any(one.body[name] != other.body[name] for name in shared) or (
        one.on is not None and other.on is not None and one.on != other.on
    )
