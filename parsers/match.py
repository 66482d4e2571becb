"""Which rules claim a mail: all conditions of a rule, cheapest first, and the first that fails.

A rule that would make events claims no mail whose subject may take them back (`Move In Notification - Cancelled`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from parsers.events import Kind
from parsers.extract import Block
from parsers.files import json_value
from parsers.mail import Mail
from parsers.pattern import Pattern
from parsers.rule import Rule, RuleSet, When
from parsers.takeback import TRIALS, Doubt, find_doubts

_LETTERS: Final = "exz"
"""What a word is replaced by, to see whether a pattern needs it: a pattern may leave out one of them by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One rule tried on one mail."""

    rule: Rule
    failed: str | None
    """The first condition that does not hold; None when the rule claims the mail."""
    passed: int
    """How many conditions held before."""
    blocks: tuple[Block, ...] = ()
    """The JSON-LD blocks that a rule with a ``jsonld`` condition claims."""
    doubt: str | None = None
    """The word of the subject that may take back what the mail tells, where nothing else fails."""


def try_rules(mail: Mail, rules: RuleSet, packs: Iterable[str]) -> tuple[Tried, ...]:
    """Return every rule of some packs with what it says of the mail."""
    claimed = rules.subject_claims(mail.subject)
    return _without_doubted(mail, tuple(_try(rule, mail, claimed) for rule in rules.rules_of(packs)))


def _without_doubted(mail: Mail, tried: tuple[Tried, ...]) -> tuple[Tried, ...]:
    """Return the rules tried, where those fail whose events the subject may take back, by a word that they do not name.

    A rule without a subject condition takes what those that claim the mail name. One on structured data that states
    values only goes by its data, unless a rule on the subject is in doubt.
    """
    doubts = find_doubts(mail.subject)
    around = [one.word for wrapper in mail.chain for one in find_doubts(wrapper.subject)]
    if not doubts and not around:
        return tried
    claims = [one.rule for one in tried if one.failed is None]
    named = {rule.name: _named(rule, mail.subject, doubts) for rule in claims}
    by_any = frozenset[Doubt]().union(*named.values())

    def doubt_of(rule: Rule) -> str | None:
        """Return the first word that neither the rule nor, where it has no subject condition, another one names."""
        known = named[rule.name] if rule.when.subject else by_any | named[rule.name]
        words = {one.word for one in known}
        unknown = [one.word for one in doubts if one not in known] + [word for word in around if word not in words]
        if not (rule.when.subject or rule.when.jsonld or rule.when.json):
            unknown = [word for word in unknown if word not in TRIALS]
        return unknown[0] if unknown and rule.ignore is None else None

    in_doubt = any(doubt_of(rule) for rule in claims if rule.when.subject)
    return tuple(
        replace(one, failed=f"subject: says `{word}`", doubt=word)
        if one.failed is None and (in_doubt or not _states_values_only(one.rule)) and (word := doubt_of(one.rule))
        else one
        for one in tried
    )


def _named(rule: Rule, subject: str, doubts: tuple[Doubt, ...]) -> frozenset[Doubt]:
    """Return the words that a rule names: its subject condition needs them, or its condition on data holds them."""
    when = rule.when
    stated = {one.word for _, value in (*when.json, *when.jsonld) for one in find_doubts(value)}
    return frozenset(
        one for one in doubts if one.word in stated or (when.subject and _needs(when.subject, subject, one))
    )


def _needs(pattern: Pattern, subject: str, doubt: Doubt) -> bool:
    """Return whether a pattern that is found in a subject is not, with any other word in place of one."""
    others = (letter * len(doubt.word) for letter in _LETTERS)
    return not any(pattern.found(subject[: doubt.start] + other + subject[doubt.end :]) for other in others)


def _states_values_only(rule: Rule) -> bool:
    """Say whether a rule is on structured data, and tells of no tenancy."""
    is_structured = bool(rule.when.jsonld or rule.when.json) and rule.when.subject is None
    return is_structured and not any(spec.kind in (Kind.MOVE_IN, Kind.MOVE_OUT) for spec in rule.all_events)


def _try(rule: Rule, mail: Mail, claimed: frozenset[str]) -> Tried:
    when = rule.when
    blocks = tuple(block for block in mail.jsonld if _block_holds(block, when)) if when.jsonld else ()
    passed = 0
    if when.subject is not None:
        if rule.name not in claimed:
            return Tried(rule=rule, failed=f"subject: {when.subject.text}", passed=0)
        passed = 1
    if when.jsonld:
        if not blocks:
            wanted = ", ".join(f"{name}: {value}" for name, value in when.jsonld)
            return Tried(rule=rule, failed=f"jsonld: {wanted}", passed=passed)
        passed += 1
    held, failed = _text_conditions(mail, when)
    return Tried(rule=rule, failed=failed, passed=passed + held, blocks=blocks)


def _text_conditions(mail: Mail, when: When) -> tuple[int, str | None]:
    """Return how many conditions on text and files hold, and the first that does not."""
    passed = 0
    if when.sender is not None:
        if not when.sender.found(mail.from_address or ""):
            return passed, f"from: {when.sender.text}"
        passed += 1
    for name, pattern in when.headers:
        if not any(pattern.found(value) for value in mail.headers.get(name, ())):
            return passed, f"header {name}: {pattern.text}"
        passed += 1
    if when.attachment:
        if not mail.files.named(when.attachment):
            return passed, f"attachment: {' or '.join(when.attachment)}"
        passed += 1
    if when.json:
        if not any(_json_holds(item, when) for item in mail.files.json):
            return passed, f"json: {', '.join(f'{path}: {value}' for path, value in when.json)}"
        passed += 1
    for pattern in when.body:
        if not pattern.found(mail.text):
            return passed, f"body: {pattern.text}"
        passed += 1
    for pattern in when.absent:
        if pattern.found(mail.text):
            return passed, f"not: {pattern.text}"
        passed += 1
    return passed, None


def _block_holds(block: Block, when: When) -> bool:
    return all(block.get(name) == value for name, value in when.jsonld)


def _json_holds(item: Block, when: When) -> bool:
    return all(json_value(item, path) == value for path, value in when.json)
