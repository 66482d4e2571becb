"""A mail that names only the tenant or ledger: the one unit that has it at that moment, else held."""

import datetime as dt
from collections.abc import Iterator

import pytest

from parsers import RuleErrors, load_rules_text
from tests.rigs.line import Line
from worker.store.database import Database

RULES = """
pack: t
senders: [pms.test]
dates: ["%Y-%m-%d"]
rules:
  - id: move-in
    when: {subject: ^Move in}
    fields: {unit: {label: Unit}, tenant: {label: Tenant}, ledger: {label: Ledger}, on: {label: On, type: date}}
    events: [{move_in: {unit: unit, pms_tenant_id: tenant, ledger_id: ledger, move_in_date: on}}]
  - id: move-out
    when: {subject: ^Move out}
    fields: {unit: {label: Unit}}
    events: [{move_out: {unit: unit}}]
  - id: ledger-lock
    when: {subject: ^Ledger lock}
    fields: {ledger: {label: Ledger}}
    events: [{patch: {unit: {tenancy: {ledger_id: ledger}}, pms_lockout: true}}]
"""


@pytest.fixture
def line(database: Database) -> Iterator[Line]:
    """A line on SQLite, then on PostgreSQL."""
    made = Line(database, RULES)
    yield made
    made.close()


def moved_in(line: Line, unit: str, ledger: str, *, hour: float = 0) -> None:
    """Tell a move-in, and look for what waits for it as the runtime does."""
    line.mail("Move in", hour=hour, Unit=unit, Tenant=f"T-{ledger}", Ledger=ledger, On="2026-05-01")
    line.replays.look_for_units([("kiss", f"MAIN-{unit}")])
    while line.replays.carry_on():
        pass
    line.drain()


def locked(line: Line) -> set[str]:
    """Return the units that are locked."""
    return {unit for unit, state in line.kiss.units.items() if state["pms_lockout"]}


def test_the_one_unit_of_a_ledger_is_found(line: Line) -> None:
    """The unit that the ledger has at the moment of the mail is locked, and no other."""
    moved_in(line, "A1", "L1")
    moved_in(line, "A2", "L2")
    line.mail("Ledger lock", hour=2, Ledger="L2")
    assert locked(line) == {"MAIN-A2"}
    assert (line.events()[-1].unit, line.events()[-1].state) == ("A2", "applied")


def test_two_units_of_a_ledger_are_one_too_many(line: Line) -> None:
    """A ledger with two units at the moment says nothing of either: held."""
    moved_in(line, "A1", "L1")
    moved_in(line, "A2", "L1")
    line.mail("Ledger lock", hour=2, Ledger="L1")
    assert locked(line) == set()
    event = line.events()[-1]
    assert (event.state, event.reason, event.crm_unit_id) == ("held", "unknown_unit", "")
    assert event.detail is not None
    assert event.detail.startswith("2 units have")


def test_the_tenancy_counts_as_it_was_at_the_moment(line: Line) -> None:
    """Who moved out before the mail has the unit no more; who moved out after it had it then."""
    moved_in(line, "A1", "L1")
    line.mail("Move out", hour=5, Unit="A1")
    moved_in(line, "A2", "L1", hour=6)
    line.mail("Ledger lock", hour=7, Ledger="L1")
    assert locked(line) == {"MAIN-A2"}
    line.mail("Ledger lock", hour=3, Ledger="L1")
    assert line.events()[-1].crm_unit_id == "MAIN-A1"


def test_a_move_in_that_comes_later_explains_it(line: Line) -> None:
    """A mail whose tenancy nobody knew yet takes effect once its move-in has come, whatever the order of arrival."""
    line.mail("Ledger lock", hour=2, Ledger="L1")
    assert [event.state for event in line.events()] == ["held"]
    moved_in(line, "A1", "L1", hour=1)
    assert locked(line) == {"MAIN-A1"}
    assert sorted(event.state for event in line.events()) == ["applied", "applied"]
    line.mail("Ledger lock", hour=2, Ledger="L1")
    assert len(line.events()) == 2


def test_a_mailbox_in_review_holds_it_for_a_person(line: Line) -> None:
    """Finding the unit lets nothing in that the mailbox's mode holds."""
    moved_in(line, "A1", "L1")
    line.box = line.box.model_copy(update={"mode": "review"})
    line.mail("Ledger lock", hour=2, Ledger="L1")
    assert (line.events()[-1].state, line.events()[-1].reason) == ("held", "review")
    assert locked(line) == set()


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ("move_in: {unit: {tenancy: {ledger_id: ledger}}, pms_tenant_id: ledger, move_in_date: on}", "names its unit"),
        ("patch: {unit: {tenancy: {}}, pms_lockout: true}", "names at least one of"),
        ("patch: {unit: {tenancy: {lease: ledger}}, pms_lockout: true}", "lease"),
    ],
)
def test_a_wrong_tenancy_is_refused_with_its_place(event: str, says: str) -> None:
    """A tenancy that can find nothing is refused when the rules load."""
    text = RULES.replace("patch: {unit: {tenancy: {ledger_id: ledger}}, pms_lockout: true}", event)
    with pytest.raises(RuleErrors, match=rf"t\.yaml:\d+:\d+.*{says}"):
        load_rules_text({"t.yaml": text})


def test_a_move_in_of_today_is_seen_by_a_mail_of_the_same_minute(line: Line) -> None:
    """A lock told after its move-in at the same moment finds the unit."""
    moved_in(line, "A1", "L1", hour=1)
    line.mail("Ledger lock", hour=1 + dt.timedelta(seconds=1).total_seconds() / 3600, Ledger="L1")
    assert locked(line) == {"MAIN-A1"}
