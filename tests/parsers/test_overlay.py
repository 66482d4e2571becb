"""An operator's own file that extends a pack: it adds and replaces, and leaves the rest as it ships."""

import pytest

from parsers import Mailbox, Outcome, Reading, RuleSet, load_rules_text, parse_mail

MAILBOX = Mailbox(address="main@demo.test", company="demo", location="MAIN")
BASE = """\
pack: demo
title: Demo
senders: [example.com]
dates: ["%m/%d/%Y"]
location: {label: Site}
rules:
  - id: move-in
    when: {subject: ^Move In}
    fields:
      unit: {label: [Unit, Unit No]}
      tenant: {label: Tenant ID}
      day: {label: Date, type: date, after: Details}
    identity: [unit, tenant, day]
    events: [{move_in: {unit: unit, pms_tenant_id: tenant, move_in_date: day}}]
  - id: locks
    when: {subject: ^Locks}
    each:
      - table: {heading: Locked Out}
        fields: {unit: {column: Unit}}
        events: [{patch: {unit: unit, pms_lockout: true}}]
  - id: reservation
    when: {subject: ^Reservation}
    ignore: An intention.
"""
MOVE_IN = "Site: MAIN\nUnit: A1\nTenant ID: T-5\nDetails\nDate: 05/01/2026\n"


def extended(text: str) -> RuleSet:
    return load_rules_text({"rules/demo.yaml": BASE, "own/changes.yaml": f"extends: demo\n{text}"})


def read(rules: RuleSet, subject: str, body: str, sender: str = "a@example.com") -> Reading:
    raw = f"From: {sender}\nSubject: {subject}\nDate: Fri, 01 May 2026 09:30:00 -0500\n\n{body}"
    return parse_mail(raw.encode(), rules, mailbox=MAILBOX)


@pytest.mark.parametrize(
    ("text", "subject", "old", "new"),
    [
        ("labels: {Tenant ID: [Customer]}", "Move In", "Tenant ID", "Customer"),
        ("labels: {unit no: Space}", "Move In", "Unit", "Space"),
        ("labels: {Details: [The details]}", "Move In", "Details", "The details"),
        ("labels: {Site: Store}", "Move In", "Site", "Store"),
        ('dates: ["%d %B %Y"]', "Move In", "05/01/2026", "1 May 2026"),
        ('locale: de_DE\ndates: ["%d %B %Y"]', "Move In", "05/01/2026", "1. Mai 2026"),
    ],
)
def test_what_is_added_is_read_like_what_ships(text: str, subject: str, old: str, new: str) -> None:
    """A further label, heading or format is read wherever the pack's own is, and the pack's own still is."""
    rules, plain = extended(text), load_rules_text({"demo.yaml": BASE})
    assert MOVE_IN.replace(old, new) != MOVE_IN
    told = [read(rules, subject, body) for body in (MOVE_IN, MOVE_IN.replace(old, new))]
    assert [one.outcome for one in told] == [Outcome.EVENTS] * 2, [one.reason for one in told]
    assert told[0].events == told[1].events == read(plain, subject, MOVE_IN).events
    assert told[1].location_name == "MAIN"
    before = read(plain, subject, MOVE_IN.replace(old, new))
    assert before.outcome is not Outcome.EVENTS or before.location_name is None


def test_headings_and_columns_of_tables_are_labels() -> None:
    """A renamed heading and column of a table are added like labels, and the rows stay the same events."""
    rules = extended("labels: {Locked Out: [Overlocked], Unit: [Space]}")
    told = [
        read(rules, "Locks", f"{heading}\n{column}\tName\nA1\tAnn\n")
        for heading, column in (("Locked Out", "Unit"), ("Overlocked", "Space"))
    ]
    assert [event.unit for one in told for event in one.events] == ["A1", "A1"]
    assert told[0].events == told[1].events


def test_senders_are_added() -> None:
    """A further domain may speak for the pack, and those that ship still may."""
    rules = extended("senders: [Mail.Example.NET]")
    assert [rules.packs_for(domain) for domain in ("example.com", "mail.example.net", "example.net")] == [
        ("demo",),
        ("demo",),
        (),
    ]


REPLACED = """\
rules:
  - id: reservation
    when: {subject: ^Reservation, not: [Paid]}
    ignore: Ours.
  - id: extra
    when: {subject: ^Extra}
    ignore: More.
"""


def test_a_rule_is_replaced_by_its_id() -> None:
    """A rule of the same id takes the place of the pack's, a new id is added, and all others stay."""
    rules = extended(REPLACED).packs["demo"].rules
    assert [rule.name for rule in rules] == ["demo/move-in", "demo/locks", "demo/reservation", "demo/extra"]
    assert [rule.ignore for rule in rules] == [None, None, "Ours.", "More."]
    assert [(rule.file, rule.line) for rule in rules[1:3]] == [("demo.yaml", 15), ("changes.yaml", 3)]


def test_an_overlay_is_part_of_the_set() -> None:
    """A set with an overlay has another id than without it, whatever the order of its files."""
    own = "extends: demo\nsenders: [example.net]\n"
    one, other = ({"a.yaml": BASE, "b.yaml": own}, {"a.yaml": own, "b.yaml": BASE})
    assert load_rules_text(one).id == load_rules_text(other).id != load_rules_text({"a.yaml": BASE}).id


def test_a_reason_names_the_file_that_holds_the_rule() -> None:
    """Who must mend a rule is told the file that it stands in."""
    rules = extended(
        REPLACED.replace("ignore: Ours.", "fields: {unit: {label: Unit}}\n    events: [{move_out: {unit: unit}}]")
    )
    assert "(changes.yaml:5)" in (read(rules, "Reservation", "Hello\n").reason or "")
    assert "(demo.yaml:10)" in (read(rules, "Move In", "Details\nHello\n").reason or "")
