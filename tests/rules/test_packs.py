"""The packs that ship: each file loads, each rule has its fixtures."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from parsers import RuleSet, load_rules, read_mail

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "rules").glob("*.yaml"))


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_rules([ROOT / "rules"])


def outcomes() -> dict[str, set[str]]:
    """Return the outcomes that the fixtures show of each rule."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "fixtures").glob("*/*.expected.json"):
        expected = json.loads(path.read_text("utf-8"))["expected"]
        if expected["rule"]:
            found[expected["rule"]].add(expected["outcome"])
    return found


def test_there_are_packs() -> None:
    """A walk that finds nothing fails."""
    assert {"pmsevent.yaml", "sitelink.yaml", "easystorage.yaml", "noke.yaml"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_loads_alone(path: Path) -> None:
    """Every rule file loads, and its name is its pack's."""
    assert [path.stem] == list(load_rules([path]).packs)


def test_every_rule_is_shown_by_fixtures(rules: RuleSet) -> None:
    """A rule that makes events is shown giving them and being held; a rule that ignores is shown ignoring."""
    shown = outcomes()
    every = [rule for pack in rules.packs.values() for rule in pack.rules]
    assert len(every) > 10
    for rule in every:
        wanted = {"ignored"} if rule.ignore else {"events", "incomplete"}
        assert wanted <= shown[rule.name], f"{rule.name} lacks fixtures for {wanted - shown[rule.name]}"


def test_every_pack_has_near_misses(rules: RuleSet) -> None:
    """Two mails or more of each pack's senders look like a notice and are claimed by no rule."""
    found: Counter[str] = Counter()
    for path in (ROOT / "fixtures" / "near_miss").glob("*.eml"):
        found.update(rules.packs_for(read_mail(path.read_bytes()).from_domain))
    assert {name: found[name] for name in rules.packs if found[name] < 2} == {}


def test_no_fixture_names_a_rule_that_is_gone(rules: RuleSet) -> None:
    """Every rule that an expectation names exists."""
    assert outcomes().keys() <= {rule.name for pack in rules.packs.values() for rule in pack.rules}


def test_every_field_is_used(rules: RuleSet) -> None:
    """A field that neither events nor identity use is a mistake."""
    for pack in rules.packs.values():
        for rule in pack.rules:
            used = set(rule.identity).union(*(event.names for event in rule.all_events))
            used |= {rule.listed.field} if rule.listed else set()
            used = used.union(
                *({block.account, *block.needs, *(case.field for case in block.cases)} for block in rule.tables)
            )
            rows = {field.name for block in rule.tables for field in block.fields}
            assert {field.name for field in rule.fields} | rows <= used, rule.name


def test_only_structured_data_speaks_for_any_sender(rules: RuleSet) -> None:
    """No rule on text may be spoken for by any sender."""
    for pack in rules.packs.values():
        if "any" in pack.senders:
            assert all(rule.when.jsonld for rule in pack.rules), pack.name
