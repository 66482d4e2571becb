"""The first events of a rule that was changed wait for a person's word; those of the others do not."""

from collections.abc import Iterator
from typing import Any

import pytest

from parsers import load_rules_text
from tests.rigs.line import Line
from worker.edits import pages_of_issue, release_events
from worker.probation import begin_probation, versions
from worker.settings import Guards, Rules, Settings
from worker.store.database import Database

RULES = """
pack: t
title: One
senders: [pms.test]
dates: ["%Y-%m-%d"]
rules:
  - id: lock
    when: {subject: ^Lock}
    fields: {unit: {label: Unit}}
    events: [{patch: {unit: unit, pms_lockout: true}}]
  - id: unlock
    when: {subject: ^Unlock}
    fields: {unit: {label: Unit}}
    events: [{patch: {unit: unit, pms_lockout: false}}]
"""
CHANGED = RULES.replace("^Lock", "^Lock(ed)?")


@pytest.fixture
def line(database: Database) -> Iterator[Line]:
    """A line on SQLite, then on PostgreSQL."""
    made = Line(database, RULES)
    made.guards = Guards(probation=3)
    yield made
    made.close()


def publish(line: Line, rules: str, *, before: str = RULES, events: int = 3) -> None:
    """Go on under other rules, as a publication does."""
    with line.db.write() as connection:
        begin_probation(connection, {"t.yaml": before}, {"t.yaml": rules}, events=events, now=line.clock.now)
    line.use(rules)


def reasons(line: Line, rule: str) -> list[str | None]:
    """Return why the events of a rule are held, oldest first."""
    return [event.reason for event in line.events(rule=f"t/{rule}")]


def test_a_version_is_what_a_rule_says() -> None:
    """A rule's version changes with its words and its pack's; not with a title, a sender or another rule."""
    before = versions({"t.yaml": RULES})
    assert set(before) == {"t/lock", "t/unlock"}
    assert versions({"u.yaml": "# more\n" + RULES.replace("One", "Two").replace("pms.test", "x.test")}) == before
    changed = versions({"t.yaml": CHANGED})
    assert [name for name in before if changed[name] != before[name]] == ["t/lock"]
    dates = versions({"t.yaml": RULES.replace("%Y-%m-%d", "%d.%m.%Y")})
    assert [name for name in before if dates[name] != before[name]] == ["t/lock", "t/unlock"]


def test_what_extends_a_pack_is_part_of_its_versions() -> None:
    """A rule that an overlay replaces has another version, and only that; a label that it adds concerns all rules."""
    before = versions({"t.yaml": RULES})
    rule = "extends: t\nrules:\n  - {id: lock, when: {subject: ^Locked}, ignore: Not here.}\n"
    label = "extends: t\nlabels: {Unit: [Space]}\n"
    for overlay in (rule, label):
        load_rules_text({"t.yaml": RULES, "own.yaml": overlay})
    plain = versions({"t.yaml": RULES, "own.yaml": "extends: t\nrules: []\n"})
    replaced = versions({"own.yaml": rule, "t.yaml": RULES})
    assert set(replaced) == set(before)
    assert [name for name in replaced if replaced[name] != plain[name]] == ["t/lock"]
    labelled = versions({"t.yaml": RULES, "own.yaml": label})
    assert [name for name in before if labelled[name] != before[name]] == ["t/lock", "t/unlock"]


def test_the_first_events_wait_and_the_later_ones_do_not(line: Line) -> None:
    """So many events of the changed rule are held as one issue, which a release lets go; the next ones are applied."""
    line.mail("Lock", hour=0, Unit="A0")
    publish(line, CHANGED)
    for n in range(1, 6):
        line.mail("Lock", hour=n, Unit=f"A{n}")
        line.mail("Unlock", hour=n, Unit=f"B{n}")
    assert reasons(line, "lock") == [None, *["probation"] * 3, None, None]
    assert reasons(line, "unlock") == [None] * 5
    (issue,) = line.open_issues()
    assert (issue.kind, issue.subject["rule"], issue._mapping["count"]) == ("probation", "t/lock", 3)
    (page,) = pages_of_issue(line.db, issue.id)
    assert len(page) == 3
    release_events(line.db, page[:1], actor="anna", reason="right", now=line.clock.now)
    release_events(line.db, page[1:], actor="anna", reason="right", now=line.clock.now)
    line.drain()
    assert reasons(line, "lock") == [None] * 6
    assert list(pages_of_issue(line.db, issue.id)) == []


def test_a_mail_of_many_events_waits_as_a_whole(line: Line) -> None:
    """A mail is one reading: its events wait together, even if they are more than are left to wait."""
    two = CHANGED.replace(
        "events: [{patch: {unit: unit, pms_lockout: true}}]",
        'events: [{patch: {unit: unit, pms_lockout: true}}, {patch: {unit: unit, pms_status_raw: "x {{ unit }}"}}]',
    )
    publish(line, two)
    for n in range(3):
        line.mail("Lock", hour=n, Unit=f"A{n}")
    assert reasons(line, "lock") == ["probation"] * 4 + [None] * 2


def test_what_comes_again_is_not_counted(line: Line) -> None:
    """A mail that tells a known event uses up nothing of the probation."""
    publish(line, CHANGED)
    for _ in range(4):
        line.mail("Lock", hour=1, Unit="A1")
    line.mail("Lock", hour=2, Unit="A2")
    line.mail("Lock", hour=3, Unit="A3")
    line.mail("Lock", hour=4, Unit="A4")
    assert reasons(line, "lock") == ["probation"] * 3 + [None]


@pytest.mark.parametrize("probation", [0, 3])
def test_without_the_setting_nothing_waits(line: Line, probation: int) -> None:
    """Nothing waits where the setting is off, whether now or when the set was published."""
    line.guards = Guards(probation=probation)
    publish(line, CHANGED, events=3 - probation)
    line.mail("Lock", Unit="A1")
    assert reasons(line, "lock") == [None]


def test_a_next_version_begins_anew_and_the_set_of_before_does_not_wait(line: Line) -> None:
    """Each version has its own probation; a set that is brought back has none."""
    publish(line, CHANGED)
    line.mail("Lock", hour=1, Unit="A1")
    publish(line, CHANGED.replace("^Lock(ed)?", "^Lock"), before=CHANGED, events=0)
    line.mail("Lock", hour=2, Unit="A2")
    publish(line, CHANGED)
    for n in range(3, 7):
        line.mail("Lock", hour=n, Unit=f"A{n}")
    assert reasons(line, "lock") == ["probation", None, *["probation"] * 3, None]


@pytest.mark.parametrize(
    ("publish", "said", "number"),
    [("manual", None, 5), ("on_save", None, 0), ("manual", 0, 0), ("manual", 2, 2), ("on_save", 3, 3)],
)
def test_how_many_wait_follows_from_how_sets_are_published(publish: Any, said: int | None, number: int) -> None:
    """Five where a person publishes, none where saving does, and always what the operator says himself."""
    settings = Settings(rules=Rules(publish=publish), guards=Guards(probation=said, flips_least=3))
    assert settings.guards_in_force == Guards(probation=number, flips_least=3)
