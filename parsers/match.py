"""Which rules claim a mail: all conditions of a rule, cheapest first, and the first that fails."""

from collections.abc import Iterable
from dataclasses import dataclass

from parsers.extract import Block
from parsers.files import json_value
from parsers.mail import Mail
from parsers.rule import Rule, RuleSet, When


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


def try_rules(mail: Mail, rules: RuleSet, packs: Iterable[str]) -> tuple[Tried, ...]:
    """Return every rule of some packs with what it says of the mail."""
    claimed = rules.subject_claims(mail.subject)
    return tuple(_try(rule, mail, claimed) for rule in rules.rules_of(packs))


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
