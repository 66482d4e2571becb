"""Mails that look otherwise than before: one issue for each change, with what differs; no text of a mail is kept."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests.rigs.line import Line
from worker import survey as surveying
from worker.actions import retry_mail
from worker.drift import LEARNED, RUN, Profile, changed_labels, labels_of, subject_rule
from worker.mending import open_drifts, show_issue
from worker.store.database import Database
from worker.store.tables import flow_days, issues, mails, rule_profiles, watermarks
from worker.survey import Survey

RULES = """
pack: t
senders: [pms.test]
money: {decimal: ".", group: ",", symbols: ["$"]}
rules:
  - id: payment
    when: {subject: ^Payment}
    fields:
      unit: {label: [Unit, Space]}
      balance: {label: Balance, type: money}
      paid: {label: Paid, type: money, optional: true}
    events: [{patch: {unit: unit, balance_due: balance}}]
  - id: hello
    when: {subject: ^Hello}
    ignore: A greeting.
"""
LINES = {"Unit": "A1", "Balance": "$1.00", "Paid": "$2.00"}


class Surveyed(Line):
    """A line whose mails are surveyed."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, RULES)
        self.opened: list[dict[str, Any]] = []
        self.survey = self.begin()
        self.hour = 0

    def begin(self) -> Survey:
        """Survey, as another process does."""
        return Survey(
            self.db,
            mailboxes=lambda: {self.box.address: self.box},
            clock=self.clock,
            on_trouble=lambda **fields: self.opened.append(fields),
        )

    def payment(self, subject: str = "Payment", **labels: str) -> str:
        """Receive and read a payment."""
        return self.tell(subject, {**LINES, **labels})

    def drop(self, name: str, subject: str = "Payment", **labels: str) -> str:
        """Receive and read a payment that lacks a label."""
        return self.tell(subject, {key: value for key, value in LINES.items() if key != name} | labels)

    def tell(self, subject: str, labels: dict[str, str]) -> str:
        """Receive and read a mail of its own minute."""
        self.hour += 1
        self.clock.advance(1)
        return self.mail(subject, hour=self.hour / 60, drain=False, **labels)

    def look(self) -> list[tuple[str, str, int]]:
        """Survey what was read; return cause, state and count of the issues."""
        self.clock.advance(10)
        while self.survey.look() is None:
            pass
        with self.db.read() as connection:
            rows = connection.execute(sa.select(issues).order_by(issues.c.id)).all()
        assert {row.kind for row in rows} <= {"drift"}
        return [(row.title, row.state, row._mapping["count"]) for row in rows]

    def profile(self) -> Profile:
        """Return what is known of the rule."""
        with self.db.read() as connection:
            return Profile.from_json("t/payment", connection.execute(sa.select(rule_profiles.c.profile)).scalar_one())


@pytest.fixture
def line(database: Database) -> Iterator[Surveyed]:
    """A line on SQLite, then on PostgreSQL."""
    made = Surveyed(database)
    yield made
    made.close()


HELD = "t/payment: its mails have changed, and are held"
READ = "t/payment: its mails have changed"


def test_a_new_wording_opens_one_issue_with_the_difference(line: Surveyed) -> None:
    """However many mails have it, one issue; it names what is missing and has the labels that differ from the last."""
    good = [line.payment() for _ in range(3)]
    assert line.look() == []
    held = [line.drop("Balance", Due_Amount="$5.00") for _ in range(4)]
    assert {line.mail_row(mail_id).reason for mail_id in held} == {"incomplete"}
    assert line.look() == [(HELD, "open", 4)]
    line.drop("Balance", Due_Amount="$6.00")
    assert line.look() == [(HELD, "open", 5)]
    assert [one["kind"] for one in line.opened] == ["drift"]
    found = show_issue(line.db, 1)
    assert found["difference"] == ["- Balance", "+ Due Amount"]
    assert "without `balance`, which every mail had" in found["detail"]
    assert (found["subject"]["rule"], found["subject"]["sample"]) == ("t/payment", good[-1])
    assert len(found["mails"]) == 5


def test_another_wording_is_another_issue(line: Surveyed) -> None:
    """What lacks another field, or converts no more, has another cause; a resolved one opens again."""
    line.payment()
    line.drop("Balance", Due="$5.00")
    line.drop("Unit", Locker="A1")
    line.payment(Balance="5 dollars")
    assert line.look() == [(HELD, "open", 1)] * 3
    with line.db.write() as connection:
        connection.execute(issues.update().where(issues.c.id == 1).values(state="resolved"))
    line.drop("Balance", Due="$5.00")
    assert line.look()[0] == (HELD, "open", 2)


def test_a_mail_that_no_rule_claims_is_told_of_its_nearest_rule(line: Surveyed) -> None:
    """A renamed subject is the drift of the rule whose fields the mail has; what looks like nothing is nobody's."""
    line.payment()
    held = line.payment(subject="Receipt")
    line.mail("Holiday greetings", hour=9, drain=False, Dear="friends")
    assert line.mail_row(held).reason == "unmatched"
    assert line.look() == [(HELD, "open", 1)]
    assert "no rule claims" in show_issue(line.db, 1)["detail"]


def test_without_a_good_mail_there_is_no_drift(line: Surveyed) -> None:
    """A rule that has never read a mail has not changed; one that ignores, and a repetition, teach nothing."""
    line.drop("Balance")
    line.mail("Hello", hour=5, drain=False)
    line.payment()
    line.hour -= 1
    line.payment()
    assert line.look() == []
    assert (line.profile().good, line.profile().bad) == (1, {"incomplete": 1})


def test_a_new_label_of_mails_that_are_read_is_told_once(line: Surveyed) -> None:
    """A label that several mails in a row have is new wording; one that comes once in a while is not."""
    for n in range(LEARNED):
        line.payment(**({"Note": "x"} if n % 2 else {}))
    assert line.look() == []
    line.payment(Strange="x")
    for _ in range(12):
        line.payment()
    line.payment(Strange="x")
    assert line.look() == []
    for _ in range(6):
        line.payment(Late_Fee="$1.00")
    assert line.look() == [(READ, "open", 1)]
    assert "1 new labels" in show_issue(line.db, 1)["detail"]


def test_a_missing_optional_field_is_told_once(line: Surveyed) -> None:
    """A field that most mails had and several in a row lack is told; a single mail without it is not."""
    for _ in range(LEARNED):
        line.payment()
    line.drop("Paid")
    line.payment()
    for _ in range(RUN - 1):
        line.drop("Paid")
    assert line.look() == []
    for _ in range(3):
        line.drop("Paid")
    assert line.look() == [(READ, "open", 1)]
    assert "`paid`, which 21 of 22 mails had, is missing" in show_issue(line.db, 1)["detail"]


def test_more_lines_that_nothing_reads_are_told(line: Surveyed) -> None:
    """Lines beyond what there ever were, in several mails in a row, are told once."""
    for _ in range(LEARNED + 1):
        line.payment(Note="x")
    for _ in range(RUN):
        line.payment(Note="x", Note2="y", Note3="z")
    assert line.look() == [(READ, "open", 1)]
    assert "3 lines that nothing reads, where there were 1 at most" in show_issue(line.db, 1)["detail"]


def test_other_rules_learn_anew_what_they_take(line: Surveyed) -> None:
    """Fields and unaccounted lines are of a rule set: a field that a new set drops is not missed."""
    for _ in range(LEARNED):
        line.payment()
    line.use(RULES.replace("      paid: {label: Paid, type: money, optional: true}\n", ""))
    for _ in range(RUN + 1):
        line.payment()
    assert line.look() == []
    assert "paid" not in line.profile().fields


def test_the_alternatives_that_are_used_are_counted(line: Surveyed) -> None:
    """Which label told a field stands in the profile; of the mails only counts and digests do."""
    line.payment()
    line.drop("Unit", Space="B7")
    line.look()
    found = line.profile()
    assert found.ways["unit"] == {"label unit": 1, "label space": 1}
    assert found.fields["paid"] == (2, 2, 0)
    with line.db.read() as connection:
        stored = connection.execute(sa.select(sa.type_coerce(rule_profiles.c.profile, sa.Text))).scalar_one()
    assert "B7" not in stored
    assert "2.00" not in stored


def test_every_mail_is_counted_once_by_its_day(line: Surveyed, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches, by two sweepers, each mail counts once for its mailbox and once for its rule, on the site's day."""
    monkeypatch.setattr(surveying, "BATCH", 3)
    for _ in range(7):
        line.payment()
    line.mail("Nothing of ours", hour=9, drain=False)
    line.clock.advance(10)
    other = line.begin()
    while line.survey.look() is None or other.look() is None:
        pass
    with line.db.read() as connection:
        rows = connection.execute(sa.select(flow_days).order_by(flow_days.c.rule)).all()
        day = connection.execute(sa.select(mails.c.received_at).limit(1)).scalar_one().date().isoformat()
    assert [(row.rule, row.day, row.mails, row.held) for row in rows] == [("", day, 8, 1), ("t/payment", day, 7, 0)]


def test_of_two_sweepers_over_one_batch_the_first_counts(line: Surveyed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds the watermark moved since it was read stores nothing."""
    line.payment()
    line.clock.advance(10)
    count = line.survey._count

    def meanwhile(rows: Any) -> Any:
        line.begin().look()
        return count(rows)

    monkeypatch.setattr(line.survey, "_count", meanwhile)
    assert line.survey.look() is None
    with line.db.read() as connection:
        assert list(connection.execute(sa.select(flow_days.c.mails)).scalars()) == [1, 1]
        assert connection.execute(sa.select(sa.func.count()).select_from(watermarks)).scalar_one() == 1


def test_what_was_read_a_moment_ago_waits(line: Surveyed) -> None:
    """A mail is surveyed once what was read at the same time is surely there."""
    line.payment()
    assert line.survey.look() == set()
    line.clock.advance(10)
    assert line.survey.look() == {("main@in.test", ""), ("main@in.test", "t/payment")}


def test_a_reading_that_is_gone_leaves_no_difference(line: Surveyed) -> None:
    """Where a reading was let go the issue says so, and is shown all the same."""
    line.payment()
    line.drop("Balance")
    line.look()
    with line.db.write() as connection:
        connection.execute(surveying.readings.delete())
    assert show_issue(line.db, 1)["difference"] is None


def test_the_drift_of_a_rule_is_found(line: Surveyed) -> None:
    """Open drifts are found by rule; those of others, and resolved ones, are not."""
    line.payment()
    line.drop("Balance")
    line.look()
    with line.db.write() as connection:
        assert [one["id"] for one in open_drifts(connection, {"t/payment"})] == [1]
        assert open_drifts(connection, {"t/hello"}) == []
        connection.execute(issues.update().values(state="resolved"))
        assert open_drifts(connection, {"t/payment"}) == []


def test_labels_are_what_stands_before_values() -> None:
    """Labels and heads of tables count, values, sentences and rows of a table do not."""
    text = [
        "Dear Ms. Smith, this is a notice of your storage company: please read",
        "Unit: B204",
        "Balance due\t$5.00",
        "B205\tJane",
        "Unit\tTenant\tBalance",
        "B1\tJane\t$1.00",
        "C2\tJohn\t$2.00",
        "Thank you",
        "Unit: again",
    ]
    assert labels_of({"text": text}) == ["Unit", "Balance due", "Tenant", "Balance", "a table of 3 columns"]
    wider = {"text": [*text[:4], "Unit\tTenant\tBalance\tPhone", "B1\tJane\t$1.00\t555"]}
    assert changed_labels({"text": text}, wider) == ["- a table of 3 columns", "+ Phone", "+ a table of 4 columns"]
    assert labels_of({}) == []


@pytest.mark.parametrize(
    ("reading", "rule"),
    [
        ({"outcome": "events", "rule": "t/a"}, "t/a"),
        ({"outcome": "invalid", "rule": "t/a"}, "t/a"),
        ({"outcome": "ignored", "rule": "t/a"}, None),
        ({"outcome": "untrusted", "rule": None}, None),
        ({"outcome": "unmatched", "trace": {"misses": [{"rule": "t/a", "fields": 1, "of": 2}]}}, "t/a"),
        ({"outcome": "unmatched", "trace": {"misses": [{"rule": "t/a", "fields": 1, "of": 3}]}}, None),
        ({"outcome": "unmatched", "trace": {"misses": [{"rule": "t/a", "fields": 0, "of": 0}]}}, None),
    ],
)
def test_a_mail_is_for_the_rule_that_claims_or_nearly_claims_it(reading: dict[str, Any], rule: str | None) -> None:
    """Whose drift a mail may be."""
    assert subject_rule(reading) == rule


def test_a_mail_that_is_read_again_counts_once(line: Surveyed) -> None:
    """However often it is retried, a mail counts as what it came to last, and its drift as one mail."""
    for _ in range(4):
        line.payment()
    held = [line.drop("Balance", Due="$5.00") for _ in range(3)]
    assert line.look() == [(HELD, "open", 3)]

    def again(mail_ids: list[str]) -> list[tuple[str, str, int]]:
        for mail_id in mail_ids:
            line.clock.advance(1)
            retry_mail(line.db, mail_id, actor="anna", now=line.clock.now)
            line.ingest.ingest([mail_id])
        return line.look()

    for _ in range(2):
        assert again(held) == [(HELD, "open", 3)]
        assert (line.profile().good, line.profile().bad) == (4, {"incomplete": 3})
    assert {line.mail_row(mail_id).issue_id for mail_id in held} == {1}
    with line.db.write() as connection:
        connection.execute(issues.update().values(state="resolved"))
    assert again(held[:1]) == [(HELD, "open", 3)]
    line.use(RULES.replace("label: Balance", "label: [Balance, Due]"))
    again(held[:2])
    assert (line.profile().good, line.profile().bad) == (6, {"incomplete": 1})
    again(held[2:])
    assert (line.profile().good, line.profile().bad) == (7, {})
    with line.db.read() as connection:
        days = connection.execute(sa.select(flow_days).order_by(flow_days.c.rule)).all()
    assert [(row.rule, row.mails, row.held) for row in days] == [("", 7, 0), ("t/payment", 7, 0)]


def test_a_retry_before_the_first_survey_takes_nothing_back(line: Surveyed) -> None:
    """What was never counted is not taken from what was; a mail that another rule claims now counts for that one."""
    line.payment()
    first = line.drop("Balance")
    line.look()
    second = line.drop("Balance")
    retry_mail(line.db, second, actor="anna", now=line.clock.now)
    line.ingest.ingest([second])
    assert line.look() == [(HELD, "open", 2)]
    assert line.profile().bad == {"incomplete": 2}
    line.use(RULES.replace("id: payment\n    when: {subject: ^Payment}", "id: payment\n    when: {subject: ^Paid}"))
    line.clock.advance(1)
    retry_mail(line.db, first, actor="anna", now=line.clock.now)
    line.ingest.ingest([first])
    line.look()
    assert line.profile().bad == {"incomplete": 1, "unmatched": 1}
    with line.db.read() as connection:
        days = connection.execute(sa.select(flow_days).order_by(flow_days.c.rule)).all()
    assert [(row.rule, row.mails, row.held) for row in days] == [("", 3, 2), ("t/payment", 2, 1)]
