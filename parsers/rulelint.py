"""What a rule set that loads leaves to be mended: rules that overlap, lack fixtures, or take what nothing uses.

Pure: of the rules alone, and of the rules with how their fixtures are read. All of it is advice, with its place.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from parsers.errors import RuleError
from parsers.reading import Reading
from parsers.rule import Field, FieldValue, Rule, RuleSet, When

__all__ = ["Overlap", "find_overlaps", "lint_fixtures", "lint_rules", "lint_units"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Two rules that claim the same fixtures."""

    rules: tuple[Rule, Rule]
    fixtures: tuple[str, ...]
    is_ambiguous: bool
    """Whether these mails are held; False where one of the rules reads structured data, which wins over text."""


def lint_rules(rules: RuleSet) -> list[RuleError]:
    """Return what can be said without a mail: rules of which one always claims what the other does, unused fields."""
    found = [fault for one, other in _rivals(rules) for fault in _always_both(one, other)]
    for pack in rules.packs.values():
        for rule in pack.rules:
            found += _unused(rule)
    return found


def lint_units(rules: Iterable[Rule], checked: Collection[str]) -> list[RuleError]:
    """Return the first field of each rule that names a unit and has no pattern.

    `checked`: the packs of which every mailbox looks at the unit itself, by its ``unit_pattern`` or ``unit_map``.
    """
    return [
        _fault(
            rule,
            f"{rule.name}: the field `{field.name}` names a unit and has no `pattern`, so any text would be one: give "
            "it a `pattern`, or the mailbox a `unit_pattern` or a `unit_map`",
            field,
        )
        for rule in rules
        if rule.pack not in checked
        for field in _units_without_pattern(rule)[:1]
    ]


def lint_fixtures(rules: RuleSet, readings: Mapping[str, Reading]) -> list[RuleError]:
    """Return the rules that no fixture proves, and those of which two claim one fixture; `readings` are by file."""
    claimed: set[str] = set()
    left: set[str] = set()
    for reading in readings.values():
        claims = {rule.name for rule in _claims(rules, reading)}
        claimed |= claims
        left |= {rule.name for rule in rules.rules_of(reading.trace.get("packs", ()))} - claims
    found: list[RuleError] = []
    for pack in rules.packs.values():
        for rule in pack.rules:
            if rule.name not in claimed:
                why = "no fixture is claimed by it: save such a mail as a fixture, with its .expected.json"
                found.append(_fault(rule, f"{rule.name}: {why}"))
            if rule.name not in left:
                why = "no fixture is left by it: save a mail of the sender that looks alike and is none of its kind"
                found.append(_fault(rule, f"{rule.name}: {why}"))
    return found + [
        _fault(
            one.rules[1],
            f"{one.rules[1].name} and {one.rules[0].name} ({_place(one.rules[0])}) both claim {_some(one.fixtures)}: "
            "make their conditions exclude each other, by `not` for one",
        )
        for one in find_overlaps(rules, readings)
        if one.is_ambiguous
    ]


def find_overlaps(rules: RuleSet, readings: Mapping[str, Reading]) -> list[Overlap]:
    """Return every two rules that claim the same fixtures, in order of their names: the matrix without its zeros."""
    both: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    named: dict[str, Rule] = {}
    structured: set[tuple[str, str]] = set()
    for file, reading in readings.items():
        claims = _claims(rules, reading)
        named |= {rule.name: rule for rule in claims}
        for one, other in combinations(claims, 2):
            both[one.name, other.name].append(file)
            if any(rule.when.jsonld for rule in claims):
                structured.add((one.name, other.name))
    return [
        Overlap(
            rules=(named[pair[0]], named[pair[1]]),
            fixtures=tuple(files),
            is_ambiguous=pair not in structured,
        )
        for pair, files in sorted(both.items())
    ]


def _claims(rules: RuleSet, reading: Reading) -> list[Rule]:
    """Return the rules that claim a mail, in order of packs and files."""
    claims = {one["rule"] for one in reading.trace.get("tried", ()) if one["failed"] is None}
    return [rule for rule in rules.rules_of(reading.trace.get("packs", ())) if rule.name in claims]


def _rivals(rules: RuleSet) -> Iterator[tuple[Rule, Rule]]:
    """Yield every two rules that read text and may be tried on one mail: of one pack, or of packs with one sender."""
    senders = [sender for pack in rules.packs.values() for sender in pack.senders]
    together = {rules.packs_for(sender.removeprefix("*.")) for sender in senders}
    together |= {rules.packs_for(f"sub.{sender.removeprefix('*.')}") for sender in senders}
    together |= {(name,) for name in rules.packs}
    pairs = {
        (one.name, other.name): (one, other)
        for packs in sorted(together)
        for one, other in combinations(rules.rules_of(packs), 2)
        if not one.when.jsonld and not other.when.jsonld
    }
    yield from pairs.values()


def _always_both(one: Rule, other: Rule) -> Iterator[RuleError]:
    """Yield a fault where one of two rules claims every mail that the other does."""
    first, second = _conditions(one.when), _conditions(other.when)
    if first == second:
        yield _fault(
            other,
            f"{other.name} has the same `when` as {one.name} ({_place(one)}), so every mail of theirs is held as "
            "ambiguous: give each a condition that the other's mails fail, or take one out",
        )
    elif first < second or second < first:
        wide, narrow = (one, other) if first < second else (other, one)
        yield _fault(
            narrow,
            f"{wide.name} ({_place(wide)}) claims every mail that {narrow.name} does, so these are held as ambiguous: "
            f"give `{wide.id}` a condition that they fail, by `not` for one",
        )


def _conditions(when: When) -> frozenset[Any]:
    """Return the conditions, each as a value: of two rules the one with fewer of the same claims more."""
    plain = (("subject", when.subject), ("from", when.sender))
    return frozenset((
        *((kind, pattern.text) for kind, pattern in plain if pattern),
        *(("body", pattern.text) for pattern in when.body),
        *(("not", pattern.text) for pattern in when.absent),
        *(("header", name.lower(), pattern.text) for name, pattern in when.headers),
        *(("json", *pair) for pair in when.json),
        *((("attachment", *sorted(when.attachment)),) if when.attachment else ()),
    ))  # fmt: skip


def _unused(rule: Rule) -> Iterator[RuleError]:
    """Yield a fault for each field that is taken from mails and that nothing of the rule names."""
    tables = rule.tables
    used = {*rule.identity, *(name for event in rule.all_events for name in event.names)}
    used |= {name for block in tables for name in (*block.needs, block.account, *(case.field for case in block.cases))}
    used |= {rule.listed.field} if rule.listed else set()
    for field in (*rule.fields, *(field for block in tables for field in block.fields)):
        if field.name not in used:
            yield _fault(
                rule,
                f"{rule.name}: nothing uses the field `{field.name}`: name it in an event or in `identity`, or take "
                "it out (what is only to be passed over stands in `ignore_lines`)",
                field,
            )


def _units_without_pattern(rule: Rule) -> list[Field]:
    """Return the fields that fill the unit of an event as they stand, and have no pattern; in order of the rule."""
    names = {event.unit.name for event in rule.all_events if isinstance(event.unit, FieldValue)}
    if rule.listed and rule.listed.name in names:
        names.add(rule.listed.field)
    fields = (*rule.fields, *(field for block in rule.tables for field in block.fields))
    return [field for field in fields if field.name in names and field.pattern is None]


def _fault(rule: Rule, message: str, field: Field | None = None) -> RuleError:
    """Return a fault of a rule, at the place of one of its fields or at its own."""
    at = field or rule
    return RuleError(file=rule.path, line=at.line, column=at.column, message=message)


def _place(rule: Rule) -> str:
    return f"{rule.file}:{rule.line}"


def _some(files: tuple[str, ...]) -> str:
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
