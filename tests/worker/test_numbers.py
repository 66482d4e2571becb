"""Guards by number and place: reports that turn too much, days that bring too much, mails of another site."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.events import Kind
from tests.rigs.line import Line
from worker import guard
from worker.edits import release_events
from worker.numbers import hold_by_number
from worker.order import State
from worker.settings import Guards
from worker.store.database import Database
from worker.store.events import Telling

RULES = """
pack: t
senders: [pms.test]
location: {label: Site}
rules:
  - id: lock
    when: {subject: ^Lock}
    fields: {unit: {label: Unit}}
    events: [{patch: {unit: unit, pms_lockout: true}}]
"""
TODAY = dt.date(2026, 6, 15)


@pytest.fixture
def line(database: Database) -> Iterator[Line]:
    """A line on SQLite, then on PostgreSQL."""
    made = Line(database, RULES)
    yield made
    made.close()


def usual(count: int) -> dict[dt.date, int]:
    """Return a history of so many a day."""
    return {TODAY - dt.timedelta(days=n): count for n in range(1, 100)}


@given(count=st.integers(0, 400), usually=st.integers(0, 100))
def test_a_surge_is_more_than_the_band_and_never_less(count: int, usually: int) -> None:
    """A day holds its events exactly when it brings more than the factor times the busiest like day."""
    says = guard.surges({**usual(usually), TODAY: count}, TODAY, factor=3, least=20)
    assert (says is not None) == (count > max(20, 3 * usually))


def test_a_new_mailbox_has_no_band() -> None:
    """Without two weeks of history nothing is a surge."""
    assert guard.surges({TODAY - dt.timedelta(days=3): 1, TODAY: 900}, TODAY, factor=3, least=20) is None


def test_the_first_of_the_month_is_like_other_firsts() -> None:
    """What is usual on the same day of the month is no surge, whatever the weekdays are like."""
    first = dt.date(2026, 6, 1)
    days = {first - dt.timedelta(days=n): 1 for n in range(1, 100)}
    days[dt.date(2026, 5, 1)] = 200
    assert guard.surges({**days, first: 210}, first, factor=3, least=20) is None
    assert guard.surges({**days, dt.date(2026, 5, 1): 1, first: 210}, first, factor=3, least=20) is not None


def test_flips_are_counted_against_what_is_shown() -> None:
    """Only units whose occupancy or lockout is known and would change count."""
    rows = [({"occupied": n < 7}, {"occupied": True}) for n in range(10)]
    assert guard.flips(rows, share=0.3, least=10) is None
    assert guard.flips(rows, share=0.29, least=10) == "3 of 10 units would change occupancy or lockout, more than 29%"
    assert guard.flips(rows, share=0.1, least=11) is None
    assert guard.flips([(row, {}) for row, _ in rows], share=0.0, least=1) is None


def test_a_report_that_turns_too_many_units_is_held_as_one_issue(line: Line) -> None:
    """All rows of the report are held under one issue, and released together."""
    for n in range(12):
        line.kiss.move_in(f"MAIN-A{n}", {"pms_tenant_id": "T"})
        line.mail("Lock", hour=n, Unit=f"A{n}")
    tellings = [as_told(line, f"A{n}", lockout=n > 5) for n in range(12)]
    with line.db.read() as connection:
        held = hold_by_number(connection, tellings, Guards(), now=line.clock.now)
        calm = hold_by_number(connection, tellings, Guards(flips=0.5), now=line.clock.now)
    assert {(one.state, one.reason) for one in held} == {(State.HELD, "flips")}
    assert {one.state for one in calm} == {State.WAITING}


def test_the_limit_of_a_rule_counts_patches_too(line: Line) -> None:
    """A report of patches is held by the share that its rule allows, and by none where the rule says nothing."""
    for n in range(12):
        line.kiss.move_in(f"MAIN-A{n}", {"pms_tenant_id": "T"})
        line.mail("Lock", hour=n, Unit=f"A{n}")
    rows = [as_told(line, f"A{n}", lockout=n > 5) for n in range(12)]
    patches = [replace(row, event=replace(row.event, kind=Kind.PATCH)) for row in rows]
    with line.db.read() as connection:
        found = [
            hold_by_number(connection, patches, Guards(), now=line.clock.now, flips=flips) for flips in (None, 0.5, 0.2)
        ]
    assert [one[0].reason for one in found] == [None, None, "flips"]


def as_told(line: Line, unit: str, *, lockout: bool) -> Telling:
    """Return a row of a report."""
    from parsers.events import Event

    event = Event(
        kind=Kind.SNAPSHOT,
        unit=unit,
        crm_unit_id=f"MAIN-{unit}",
        effective_at=line.clock.now,
        mailed_at=line.clock.now,
        position=0,
        identity=unit,
        rule="t/r",
        body={"pms_lockout": lockout},
    )
    return Telling(
        event=event,
        mail_id="m",
        company="acme",
        mailbox="main@in.test",
        location="MAIN",
        destination="kiss",
        timezone="UTC",
        rule_set="0",
        received_at=line.clock.now,
    )


def test_a_surge_holds_a_day_s_events_and_a_person_releases_the_issue(line: Line) -> None:
    """Mails over the band are held under one issue, which is logged once; what came before stays applied; all of the
    issue is released."""
    line.guards = Guards(surge=True, surge_least=3)
    for n in range(20):
        line.clock.advance(86_400)
        line.kiss.move_in(f"MAIN-B{n}", {"pms_tenant_id": "T"})
        line.mail("Lock", hour=24 * n, Unit=f"B{n}")
    line.clock.advance(86_400)
    for n in range(5):
        line.kiss.move_in(f"MAIN-C{n}", {"pms_tenant_id": "T"})
        line.mail("Lock", hour=24 * 20 + n, Unit=f"C{n}")
    held = line.events(state="held", reason="surge")
    assert len(held) == 2
    (issue,) = line.open_issues()
    assert (issue.kind, issue.count, {event.issue_id for event in held}) == ("surge", 2, {issue.id})
    assert line.troubles == [{"event": "issue_opened", "issue": issue.id, "kind": "surge"}]
    release_events(line.db, [event.id for event in held], actor="anna", reason="a real rush", now=line.clock.now)
    line.drain()
    assert all(line.kiss.units[f"MAIN-C{n}"]["pms_lockout"] for n in range(5))


def test_a_mail_of_another_site_is_held(line: Line) -> None:
    """A mailbox that knows its site's names holds a mail that names another, and takes its own and nameless ones."""
    line.box = line.box.model_copy(update={"location_names": ("Main Street Storage",)})
    for site, reason in (("Main Street Storage", None), ("MAIN", None), ("Oak Avenue", "wrong_location")):
        mail_id = line.mail("Lock", Site=site, Unit="A1")
        assert line.mail_row(mail_id).reason == reason
    assert line.mail_row(line.mail("Lock", hour=1, Unit="A1")).state == "parsed"
