"""Capabilities: what the rules of a pack can make, against what a destination takes. Pure.

The words are those of calls (``move_in``, ``move_out``) and of facts. A patch is told by its facts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from parsers.events import FACTS, Kind
from parsers.rule import Rule, RuleSet
from worker.calls import Manners, Verb

COLUMNS = (str(Verb.MOVE_IN), str(Verb.MOVE_OUT), *FACTS)
"""Everything that a rule can make, in the order of tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What one rule can make and a destination does not take."""

    pack: str
    rule: str
    name: str
    """A verb, or a fact."""


def abilities(rule: Rule) -> tuple[str, ...]:
    """Return what a rule can make: verbs and facts, in the order of :data:`COLUMNS`."""
    found: set[str] = set()
    for event in rule.all_events:
        names = {name for name, _ in event.values}
        if event.kind is Kind.SNAPSHOT and "occupied" in names:
            found |= {str(Verb.MOVE_IN), str(Verb.MOVE_OUT)}
        elif event.kind in (Kind.MOVE_IN, Kind.MOVE_OUT):
            found.add(str(event.kind))
        found |= names & set(FACTS)
    return tuple(name for name in COLUMNS if name in found)


def takes(manners: Manners) -> frozenset[str]:
    """Return what a destination takes, in the same words."""
    verbs = {str(verb) for verb in (Verb.MOVE_IN, Verb.MOVE_OUT) if verb in manners.verbs}
    return frozenset(verbs | (set(manners.facts) if Verb.PATCH in manners.verbs else set()))


def unsupported(rules: RuleSet, packs: Iterable[str], manners: Manners) -> list[Lack]:
    """Return what the rules of some packs can make and a destination does not take, in order of pack and file."""
    taken = takes(manners)
    return [
        Lack(pack=rule.pack, rule=rule.id, name=name)
        for rule in rules.rules_of(packs)
        for name in abilities(rule)
        if name not in taken
    ]


def page(rules: RuleSet, destinations: Mapping[str, Manners]) -> str:
    """Return ``docs/capabilities.md``: what each pack makes, and which destination takes it."""
    taken = {name: takes(manners) for name, manners in destinations.items()}
    head = [f"`{name}`" for name in destinations]
    lines = [*_HEAD]
    for pack in rules.packs:
        makers: dict[str, list[str]] = {}
        for rule in rules.rules_of((pack,)):
            for name in abilities(rule):
                makers.setdefault(name, []).append(rule.id)
        lines += ["", f"## `{pack}`", "", _row(("it makes", "by its rules", *head)), "|" + "---|" * (2 + len(head))]
        for name in COLUMNS:
            if name in makers:
                by = ", ".join(f"`{rule}`" for rule in makers[name])
                lines.append(_row((f"`{name}`", by, *("yes" if name in taken[to] else "no" for to in destinations))))
    return "\n".join(lines) + "\n"


_HEAD = (
    "# What each pack makes, and which destination takes it",
    "",
    "This page is made by `make capabilities` from the rules and the destination files that ship. A test fails when it",
    "is old.",
    "",
    "A mailbox whose rules make what its destination does not take is refused by `gatepost config check`, and by the",
    "start of `up` and `work`. With `ignore_unknown_fields = true` at the destination, what it does not take is",
    "dropped and recorded instead.",
    "[destinations.md](destinations.md) says what each destination file does.",
)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
