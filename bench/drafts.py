"""How good drafts are: with its pack set aside, a rule is drafted from two samples and reads ten further mails.

``python -m bench.drafts [PACK...]`` prints, for each rule, how many of the further mails its draft reads as the rule of
the pack does, how many it holds, and how many it reads otherwise. The mails are the fixtures of the rule with other
people, ids, amounts and dates in them. They are of one kind, as those that a person gives: of one sender, with one
wording of the subject; of a rule that reads several kinds a draft of each is made. Compared are kind, unit, day and
body of each event; ``pms_status_raw`` is left out, since its wording is a choice of the pack's. Where no draft comes
out, or one that tells nothing, the values of the first sample are marked, as a person would with ``--set`` and
``--event``; such rules are told as marked. Beyond are fixtures of other rules of the pack and near misses of which the
draft tells events. Rules that go through a table, and those that read structured data or attached files only, are not
counted.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parsers import Mail, Outcome, Reading, RuleSet, load_rules, load_rules_text, parse_mail, read_mail
from parsers.events import Kind
from parsers.rule import FieldValue, Rule
from worker.draft import Draft, draft_rule
from worker.fixtures import FIXTURES, SHIPPED_RULES, find_fixtures, fixture_mailbox, read_fixture
from worker.lexicon import Happening, Role
from worker.redact import redact
from worker.sampled import NotDrafted

SAMPLES = 2
_ROLES = {
    "unit": Role.UNIT,
    "pms_tenant_id": Role.TENANT,
    "ledger_id": Role.LEDGER,
    "move_in_date": Role.MOVED_IN,
    "on": Role.MOVED_OUT,
    "paid_through_date": Role.PAID_THROUGH,
    "balance_due": Role.BALANCE,
}
FURTHER = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What the draft of one rule makes of the further mails."""

    rule: str
    right: int = 0
    held: int = 0
    wrong: int = 0
    beyond: int = 0
    """How many mails of other kinds, that no draft was made for, the draft tells events of."""
    is_marked: bool = False
    """Whether a person had to mark values, or say what happened."""
    why_not: str = ""
    """Why there is no draft; empty where there is one."""


def drafted_rules(rules: RuleSet, pack: str) -> list[Rule]:
    """Return the rules of a pack that tell events of one thing each: those that a draft is made of."""
    return [
        rule
        for rule in rules.packs[pack].rules
        if rule.events and not rule.listed and not rule.when.jsonld and not rule.reads_files_only
    ]


def kinds_of(rule: Rule, rules: RuleSet) -> dict[str, list[bytes]]:
    """Return the fixtures of a rule that give events, by sender and first word of the subject."""
    found: dict[str, list[bytes]] = {}
    for path in find_fixtures(FIXTURES, rule.pack):
        reading, _ = read_fixture(path, rules)
        if reading.rule == rule.name and reading.outcome is Outcome.EVENTS:
            mail = read_mail(path.read_bytes())
            found.setdefault(f"{mail.from_domain} {mail.subject.split()[0]}", []).append(path.read_bytes())
    return found


def scores(rule: Rule, rules: RuleSet) -> Iterator[Score]:
    """Yield how good the draft of each kind of mail of a rule is."""
    kinds = kinds_of(rule, rules)
    for kind, bases in kinds.items():
        found = score(rule, rules, bases)
        yield found if len(kinds) == 1 else replace(found, rule=f"{rule.name} ({kind})")
    if not kinds:
        yield Score(rule=rule.name, why_not="it has no fixture that gives events")


def score(rule: Rule, rules: RuleSet, bases: Sequence[bytes]) -> Score:
    """Draft a rule from two samples, and read ten further mails with the draft; all are made of some fixtures."""
    mailbox = fixture_mailbox(rule.pack, {})
    made = [
        redact(bases[number % len(bases)], rules, mailbox, seed=f"{rule.name} {number}", shift_days=7 * number).raw
        for number in range(SAMPLES + FURTHER)
    ]
    samples = [read_mail(raw) for raw in made[:SAMPLES]]
    draft = _draft(samples, rule, {})
    is_marked = isinstance(draft, NotDrafted) or draft.rule == Happening.NOTHING
    if is_marked:
        marked = _marked(parse_mail(made[0], rules, mailbox=mailbox), rule)
        draft = _draft(samples, rule, marked, _happening(rule))
    if isinstance(draft, NotDrafted):
        return Score(rule=rule.name, why_not=str(draft))
    own = load_rules_text({f"{rule.pack}.yaml": draft.text})
    counted = Counter(
        _judge(parse_mail(raw, rules, mailbox=mailbox), parse_mail(raw, own, mailbox=mailbox)) for raw in made[SAMPLES:]
    )
    return Score(
        rule=rule.name,
        right=counted["right"],
        held=counted["held"],
        wrong=counted["wrong"],
        beyond=_beyond(rule, rules, own),
        is_marked=is_marked,
    )


def _beyond(rule: Rule, rules: RuleSet, own: RuleSet) -> int:
    """Count the fixtures of other rules of the pack, and near misses of all, of which a draft tells events."""
    mailbox = fixture_mailbox(rule.pack, {})
    others = (
        path.read_bytes()
        for folder in (rule.pack, "near_miss")
        for path in find_fixtures(FIXTURES, folder)
        if read_fixture(path, rules)[0].rule != rule.name
    )
    return sum(parse_mail(raw, own, mailbox=mailbox).outcome is Outcome.EVENTS for raw in others)


def _draft(
    samples: Sequence[Mail], rule: Rule, marked: Mapping[str, str], event: Happening | None = None
) -> Draft | NotDrafted:
    try:
        return draft_rule(samples, rule.pack, marked, event=event)
    except NotDrafted as error:
        return error


def _marked(reading: Reading, rule: Rule) -> dict[str, str]:
    """Return what a person would mark in the first sample: the values of the rule's events, as they are written."""
    captured = {one["field"]: one["text"] for one in reading.trace["captures"]}
    return {
        _ROLES[key]: captured[spec.name]
        for event in rule.events
        for key, spec in (("unit", event.unit), ("on", event.on), *event.values)
        if key in _ROLES and isinstance(spec, FieldValue) and spec.name in captured
    }


def _happening(rule: Rule) -> Happening | None:
    """Return what a person would say that a mail tells of."""
    kinds = {Kind.MOVE_IN: Happening.MOVE_IN, Kind.MOVE_OUT: Happening.MOVE_OUT}
    return kinds.get(rule.events[0].kind)


def _judge(wanted: Reading, found: Reading) -> str:
    if found.outcome is not Outcome.EVENTS:
        return "held"
    return "right" if _told(wanted) == _told(found) else "wrong"


def _told(reading: Reading) -> list[Any]:
    kept = ("kind", "unit", "on", "effective_at")
    return [
        {name: event.get(name) for name in kept}
        | {"body": {name: value for name, value in event["body"].items() if name != "pms_status_raw"}}
        for event in reading.to_json()["events"]
    ]


def main(packs: list[str], *, folder: Path = SHIPPED_RULES) -> int:
    """Print the scores of packs (all without any); return 1 where the bar is missed: 90 of 100 read, none wrong."""
    rules = load_rules([folder])
    told_rules = [rule for pack in packs or sorted(rules.packs) for rule in drafted_rules(rules, pack)]
    found = [one for rule in told_rules for one in scores(rule, rules)]
    for one in found:
        counts = f"{one.right} right, {one.held} held, {one.wrong} wrong, {one.beyond} beyond"
        told = one.why_not or f"{'marked: ' if one.is_marked else ''}{counts}"
        print(f"{one.rule:<60} {told}")
    sums = {name: sum(getattr(one, name) for one in found) for name in ("right", "wrong", "beyond")}
    total = FURTHER * len(found)
    print(json.dumps({"rules": len(told_rules), "kinds": len(found), "mails": total, **sums}))
    return int(sums["wrong"] > 0 or sums["right"] < 0.9 * total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
