"""``gatepost rules check``: what loads and would fail later is told, with its place and what to do."""

import json
import shutil
from pathlib import Path

import pytest

from parsers import RuleSet, load_rules, load_rules_text
from parsers.rulelint import find_overlaps, lint_fixtures, lint_rules, lint_units
from tests.rigs.gatepost import ROOT, run
from worker.fixtures import find_fixtures, read_fixture

HEAD = "pack: two\nsenders: [two.example]\nrules:\n"


def rule(name: str, when: str, fields: str = "", event: str = "unit: unit, pms_lockout: true") -> str:
    """Return a rule of five lines."""
    taken = "unit: {label: Unit, pattern: '[A-Z][0-9]+'}" + fields
    return f"  - id: {name}\n    when: {{{when}}}\n    fields: {{{taken}}}\n    events:\n      - patch: {{{event}}}\n"


def loaded(*rules: str) -> RuleSet:
    return load_rules_text({"two.yaml": HEAD + "".join(rules)})


def told(rules: RuleSet) -> list[str]:
    return [str(fault) for fault in lint_rules(rules)]


def test_two_rules_of_one_when_are_told() -> None:
    """Rules whose conditions are the same, in whatever order, claim the same mails; other ones are no fault."""
    (said,) = told(loaded(rule("a", "body: [x, y], subject: ^Note"), rule("b", "subject: ^Note, body: [y, x]")))
    assert said.startswith("two.yaml:9:5: two/b has the same `when` as two/a (two.yaml:4)")
    assert told(loaded(rule("a", "subject: ^Note"), rule("b", "subject: ^Other"))) == []


def test_a_rule_that_claims_all_of_another_is_told() -> None:
    """A rule with one condition more never claims a mail alone, unless the other has a `not` for it."""
    (said,) = told(loaded(rule("a", "subject: ^Note, body: x"), rule("b", "subject: ^Note")))
    assert said.startswith("two.yaml:4:5: two/b (two.yaml:9) claims every mail that two/a does")
    assert told(loaded(rule("a", "subject: ^Note, body: x"), rule("b", "subject: ^Note, not: x"))) == []


@pytest.mark.parametrize(("sender", "faults"), [("two.example", 1), ("a.two.example", 0), ("three.example", 0)])
def test_packs_overlap_where_one_sender_speaks_for_both(sender: str, faults: int) -> None:
    """The same condition in two packs is a fault only where a sender may speak for both."""
    one, other = (
        (HEAD + rule("a", "subject: ^Note")).replace("[two.example]", f"[{sender}]"),
        rule("a", "subject: ^Note"),
    )
    packs = {"two.yaml": one, "three.yaml": HEAD.replace("pack: two", "pack: three") + other}
    assert len(told(load_rules_text(packs))) == faults


def test_a_wildcard_sender_overlaps() -> None:
    """A pack that takes all subdomains of a sender meets the one that takes a single one."""
    one = (HEAD + rule("a", "subject: ^Note")).replace("[two.example]", '["*.two.example"]')
    three = HEAD.replace("pack: two", "pack: three").replace("[two.example]", "[mail.two.example]")
    packs = {"two.yaml": one, "three.yaml": three + rule("a", "subject: ^Note")}
    assert len(told(load_rules_text(packs))) == 1


def test_a_field_that_nothing_uses_is_told_at_its_place() -> None:
    """What neither an event nor the identity names is told; what a template names is used."""
    extra = ", extra: {label: Extra}"
    (said,) = told(loaded(rule("a", "subject: ^Note", extra)))
    assert said.startswith("two.yaml:6:66: two/a: nothing uses the field `extra`")
    used = loaded(rule("a", "subject: ^Note", extra, 'unit: unit, pms_status_raw: "by {{ extra }}"'))
    assert told(used) == []


def test_a_unit_without_pattern_is_told_unless_the_mailboxes_know_units() -> None:
    """Any text would be a unit, where neither the field nor the mailbox says what one looks like."""
    rules = load_rules_text({"two.yaml": (HEAD + rule("a", "subject: ^Note")).replace(", pattern: '[A-Z][0-9]+'", "")})
    (said,) = map(str, lint_units(rules.packs["two"].rules, ()))
    assert said.startswith("two.yaml:6:20: two/a: the field `unit` names a unit and has no `pattern`")
    assert lint_units(rules.packs["two"].rules, {"two"}) == []
    assert lint_units(loaded(rule("a", "subject: ^Note")).packs["two"].rules, ()) == []


def mail(folder: Path, name: str, subject: str) -> None:
    """Write a mail with an empty expectation."""
    folder.mkdir(parents=True, exist_ok=True)
    head = "From: a@two.example\nTo: two@demo.test\nDate: Fri, 01 May 2026 10:05:00 -0500\n"
    (folder / f"{name}.eml").write_text(f"{head}Subject: {subject}\n\nUnit: B2\n")
    (folder / f"{name}.expected.json").write_text('{"expected": {}}')


def test_fixtures_prove_each_rule_from_both_sides(tmp_path: Path) -> None:
    """A rule wants a mail that it claims and one that it leaves, and no mail is claimed by two."""
    rules = loaded(rule("a", "subject: ^Note"), rule("b", "subject: Note"))

    def faults() -> list[str]:
        readings = {path.name: read_fixture(path, rules)[0] for path in find_fixtures(tmp_path)}
        assert [one.fixtures for one in find_overlaps(rules, readings)] == [("01-both.eml",)]
        return [str(fault) for fault in lint_fixtures(rules, readings)]

    mail(tmp_path / "two", "01-both", "Note")
    both = "two.yaml:9:5: two/b and two/a (two.yaml:4) both claim 01-both.eml"
    assert [said.partition(": save")[0].partition(": make")[0] for said in faults()] == [
        "two.yaml:4:5: two/a: no fixture is left by it",
        "two.yaml:9:5: two/b: no fixture is left by it",
        both,
    ]
    mail(tmp_path / "two", "02-other", "Reservation")
    assert [said.partition(": make")[0] for said in faults()] == [both]


def test_the_packs_that_ship_give_no_warning(tmp_path: Path) -> None:
    """Nothing of the shipped packs is told, and their structured data wins over text where both claim."""
    done = run("rules", "check", "--strict", "--json", cwd=tmp_path)
    said = json.loads(done.stdout)
    assert (done.returncode, said["warnings"], said["problems"]) == (0, [], [])
    assert said["fixtures"] > 300
    assert not any(one["ambiguous"] for one in said["overlaps"])
    rules = load_rules([ROOT / "rules"])
    assert len(lint_fixtures(rules, {})) == 2 * sum(len(pack.rules) for pack in rules.packs.values())


def test_warnings_are_printed_and_fail_only_when_strict(tmp_path: Path) -> None:
    """A set with a warning loads and ends with 0; with `--strict` it ends with 1, and what is broken with 2."""
    (tmp_path / "rules").mkdir()
    pack = tmp_path / "rules" / "two.yaml"
    pack.write_text(HEAD + rule("a", "subject: ^Note") + rule("b", "subject: ^Note"))
    (tmp_path / "gatepost.toml").write_text('[rules]\npaths = ["rules"]\n')
    done = run("rules", "check", "--no-fixtures", cwd=tmp_path)
    assert done.returncode == 0
    assert b"they load" in done.stdout
    assert b"warning: rules/two.yaml:9:5: two/b has the same `when`" in done.stderr
    assert b"no fixture" not in done.stderr
    mail(tmp_path / "fixtures" / "two", "01-both", "Note")
    done = run("rules", "check", "--strict", "--json", cwd=tmp_path)
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["overlaps"] == [
        {"ambiguous": True, "fixtures": ["fixtures/two/01-both.eml"], "rules": ["two/a", "two/b"]}
    ]
    assert any("both claim fixtures/two/01-both.eml" in line for line in said["warnings"])
    shutil.rmtree(tmp_path / "fixtures" / "two")
    assert b"no fixture in" in run("rules", "check", cwd=tmp_path).stderr
    pack.write_text(HEAD + rule("a", "sbject: ^Note"))
    assert run("rules", "check", "--strict", cwd=tmp_path).returncode == 2
