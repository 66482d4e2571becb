"""A backtest says what other rules would make of stored mails, field by field, and who has to accept it."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from parsers import RuleSet, load_rules_text
from tests.rigs.line import Line
from worker import backtest
from worker.backtest import Backtest, Effect, Report
from worker.order import State
from worker.store.database import Database
from worker.store.mails import NewMail, Verdict
from worker.store.tables import mails
from worker.verdict import judge_mail

RULES = """
pack: t
senders: [pms.test]
dates: ["%Y-%m-%d"]
money: {decimal: ".", group: ",", symbols: ["$"]}
rules:
  - id: payment
    when: {subject: ^Payment}
    fields: {unit: {label: Unit}, balance: {label: Balance, type: money}}
    identity: [unit]
    events: [{patch: {unit: unit, balance_due: balance}}]
  - id: lock
    when: {subject: ^Lock}
    fields: {unit: {label: Unit}}
    events: [{patch: {unit: unit, pms_lockout: true}}]
  - id: hello
    when: {subject: ^Hello}
    ignore: A greeting.
"""
AGO = dt.timedelta(days=90)


@pytest.fixture
def line(database: Database) -> Iterator[Line]:
    """A line with a few mails, on SQLite, then on PostgreSQL."""
    made = Line(database, RULES)
    for n in range(3):
        made.mail("Payment", hour=n, Unit=f"A{n}", Balance=f"${n}.50", Due="$9.00")
    made.mail("Lock", hour=5, Unit="A1")
    made.mail("Hello", hour=6)
    made.mail("Payment", hour=7, Unit="A7", Sum="$7.00")
    yield made
    made.close()


def run(line: Line, draft: str, *, since: dt.timedelta = AGO, judge: Any = None) -> Report:
    """Compare a draft with the live rules."""

    def as_live(mail: NewMail, rules: RuleSet) -> Verdict:
        return judge_mail(mail, line.box, rules, skew=dt.timedelta(seconds=900))

    rules = load_rules_text({"t.yaml": draft})
    start = line.clock.now - since
    return Backtest(line.db, judge=judge or as_live, live=line.rules, draft=rules, since=start).run()


def test_the_same_rules_change_nothing(line: Line) -> None:
    """Of a draft that says the same in other words, every mail is the same."""
    for draft in (RULES, RULES.replace("ignore: A greeting.", "ignore: Just a greeting.")):
        report = run(line, draft)
        assert report.effects == {Effect.SAME: 6}
        assert (report.grave, report.shown) == (0, [])


def test_a_changed_value_names_field_and_event(line: Line) -> None:
    """A draft that reads another amount names it, and the applied events that it would change."""
    report = run(line, RULES.replace("label: Balance", "label: Due"))
    assert report.effects == {Effect.CHANGED: 3, Effect.SAME: 3}
    first = report.shown[0].to_json()
    assert [(one["what"], str(one["live"]), str(one["draft"])) for one in first["differences"]] == [
        ("patch of MAIN-A0: balance_due", "0.50", "9.00")
    ]
    applied = {event.id for event in line.events(rule="t/payment")}
    assert {event for one in report.shown for event in one.applied} == applied
    assert (report.applied, report.grave) == (3, 3)
    assert report.to_json()["rules"] == {"t/payment": {"changed": 3}}


def test_what_was_taken_back_would_not_change(line: Line) -> None:
    """An event that takes no part in what its unit is asks nobody for a word."""
    with line.db.write() as connection:
        table = backtest.events
        connection.execute(table.update().where(table.c.crm_unit_id != "MAIN-A1").values(state=str(State.DISCARDED)))
    report = run(line, RULES.replace("label: Balance", "label: Due"))
    assert (report.effects[Effect.CHANGED], report.applied, report.grave) == (3, 1, 1)


def test_a_mended_rule_newly_parses_and_asks_nobody(line: Line) -> None:
    """A further label reads the mail that is held, and leaves the others as they are."""
    report = run(line, RULES.replace("label: Balance", "label: [Balance, Sum]"))
    assert report.effects == {Effect.NEWLY_PARSED: 1, Effect.SAME: 5}
    assert report.grave == 0
    told = {one["what"]: one for one in report.shown[0].to_json()["differences"]}
    assert (told["state"]["live"], told["state"]["draft"]) == ("held incomplete", "parsed")
    assert told["patch of MAIN-A7"]["live"] is None


def test_a_lost_mail_asks_for_a_word(line: Line) -> None:
    """Mails that the draft holds are lost, ignored ones, too."""
    report = run(line, RULES.replace("^Lock", "^Locked").replace("^Hello", "^Hallo"))
    assert report.effects == {Effect.LOST: 2, Effect.SAME: 4}
    assert (report.grave, report.applied) == (2, 1)


def test_two_rules_that_claim_one_mail_are_newly_ambiguous(line: Line) -> None:
    """Where two rules of the draft claim a mail it says so, and not only that the mail is lost."""
    report = run(line, RULES.replace("^Hello", "^(Hello|Lock)"))
    assert report.effects == {Effect.NEWLY_AMBIGUOUS: 1, Effect.SAME: 5}
    assert report.grave == 1


def test_an_event_more_beside_an_applied_one_is_a_change(line: Line) -> None:
    """A draft that tells one event more of a mail changes what the mail's applied events come to."""
    more = 'events: [{patch: {unit: unit, pms_lockout: true}}, {patch: {unit: unit, pms_status_raw: "x {{ unit }}"}}]'
    report = run(line, RULES.replace("events: [{patch: {unit: unit, pms_lockout: true}}]", more))
    assert (report.effects[Effect.CHANGED], report.applied) == (1, 1)


def test_purged_and_unread_mails(line: Line) -> None:
    """A mail without its bytes is counted as such; one that is new or discarded is left alone; so is an old one."""
    with line.db.write() as connection:
        ids = list(connection.execute(sa.select(mails.c.id).order_by(mails.c.id)).scalars())
        connection.execute(mails.update().where(mails.c.id == ids[0]).values(purged_at=line.clock.now))
        connection.execute(mails.update().where(mails.c.id == ids[1]).values(state="new"))
        connection.execute(mails.update().where(mails.c.id == ids[2]).values(state="discarded"))
    report = run(line, RULES.replace("^Lock", "^Locked"))
    assert report.effects == {Effect.PURGED: 1, Effect.LOST: 1, Effect.SAME: 2}
    line.clock.advance(2 * 86_400)
    assert run(line, RULES, since=dt.timedelta(days=1)).mails == 0


def test_pages_meet_every_mail_once(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the pages, and whatever arrived at one instant, each mail is read once under each set."""
    monkeypatch.setattr(backtest, "PAGE", 2)
    with line.db.write() as connection:
        connection.execute(mails.update().values(received_at=line.clock.now))
    seen: list[tuple[str, str]] = []

    def judge(mail: NewMail, rules: RuleSet) -> Verdict:
        seen.append((mail.id, rules.id))
        return judge_mail(mail, line.box, rules, skew=dt.timedelta(seconds=900))

    report = run(line, RULES.replace("^Lock", "^Locked"), judge=judge)
    assert report.mails == 6
    assert len(seen) == len(set(seen)) == 12


def test_what_is_shown_is_bounded_and_the_grave_come_first(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """All mails are counted; of those that are kept to be shown a grave one takes the place of another."""
    monkeypatch.setattr(backtest, "MOST_SHOWN", 1)
    with line.db.write() as connection:
        connection.execute(
            mails.update().where(mails.c.reason == "incomplete").values(received_at=line.clock.now - AGO)
        )
    draft = RULES.replace("label: Balance", "label: [Balance, Sum]").replace("^Lock", "^Locked")
    told = run(line, draft, since=2 * AGO).to_json()
    assert [one["effect"] for one in told["shown"]] == ["lost"]
    assert told["left_off"] == 1


def test_a_fault_of_ours_is_one_mails_trouble(line: Line) -> None:
    """A mail that cannot be read for a fault of ours counts as held, and the others are read."""

    def judge(mail: NewMail, rules: RuleSet) -> Verdict:
        if rules.id != line.rules.id and b"Hello" in mail.raw:
            raise ZeroDivisionError
        return judge_mail(mail, line.box, rules, skew=dt.timedelta(seconds=900))

    report = run(line, RULES.replace("^Lock", "^(Lock)"), judge=judge)
    assert report.effects == {Effect.LOST: 1, Effect.SAME: 5}
