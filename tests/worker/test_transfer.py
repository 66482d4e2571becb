"""A transfer is a pair, in and then out, that goes on where it stopped."""

from collections.abc import Iterator

import pytest

from tests.rigs.lane import answer, lost
from tests.rigs.line import Line
from worker.calls import Outcome
from worker.drain import Drain
from worker.edits import release_events
from worker.store.database import Database

RULES = """
pack: t
senders: [pms.test]
dates: ["%Y-%m-%d"]
rules:
  - id: move-in
    when: {subject: ^Move in}
    fields: {unit: {label: Unit}, tenant: {label: Tenant}, on: {label: On, type: date}}
    events: [{move_in: {unit: unit, pms_tenant_id: tenant, move_in_date: on}}]
  - id: transfer
    when: {subject: ^Transfer}
    fields: {old: {label: From}, new: {label: To}, tenant: {label: Tenant}, on: {label: On, type: date}}
    identity: [old, new, tenant, on]
    events:
      - move_in: {unit: new, pms_tenant_id: tenant, move_in_date: on}
      - move_out: {unit: old, on: on, expect: {pms_tenant_id: tenant}}
"""


@pytest.fixture
def line(database: Database) -> Iterator[Line]:
    """A line on which a tenant lives in A1."""
    made = Line(database, RULES)
    made.mail("Move in", Unit="A1", Tenant="T", On="2026-04-01")
    yield made
    made.close()


def lives_in(line: Line) -> set[str]:
    """Return the units where the tenant lives."""
    return {unit for unit, state in line.kiss.units.items() if state["pms_tenant_id"] == "T"}


def test_in_first_then_out(line: Line) -> None:
    """The tenant is let into the new unit before the old one is closed; both halves are applied."""
    line.mail("Transfer", hour=1, From="A1", To="B2", Tenant="T", On="2026-05-01")
    assert lives_in(line) == {"MAIN-B2"}
    assert [sent[:2] for sent in line.far.sent[-2:]] == [
        ("PUT", "/units/MAIN-B2/tenancy"),
        ("DELETE", "/units/MAIN-A1/tenancy"),
    ]
    assert [event.state for event in line.events()][-2:] == ["applied", "applied"]


def test_the_second_half_waits_for_the_first(line: Line) -> None:
    """While the move-in is refused or down the old unit stays open to the tenant; released, the pair goes on."""
    line.far.faults = [answer(Outcome.SOURCE_CONFLICT, 409)]
    line.mail("Transfer", hour=1, From="A1", To="B2", Tenant="T", On="2026-05-01")
    first, second = line.events()[-2:]
    assert (first.state, second.state) == ("rejected", "waiting")
    assert second.detail == "waits for the other half of its transfer"
    assert lives_in(line) == {"MAIN-A1"}
    release_events(line.db, [first.id], actor="anna", reason="push mode now", now=line.clock.now)
    line.drain(patience_s=90)
    assert lives_in(line) == {"MAIN-B2"}


def test_a_pair_goes_on_after_a_crash_between_its_halves(line: Line) -> None:
    """When whoever applied the first half dies before waking the second, the second comes by itself."""
    line.far.faults = [lost]
    line.mail("Transfer", hour=1, From="A1", To="B2", Tenant="T", On="2026-05-01", drain=False)
    drain = Drain(line.db, {"kiss": line.far}, clock=line.clock, by="one", on_wake=lambda _keys: None)
    drain.drain([("kiss", "MAIN-A1"), ("kiss", "MAIN-B2")])
    assert lives_in(line) == {"MAIN-A1", "MAIN-B2"}, "never out before in"
    line.clock.advance(120)
    line.drain(patience_s=90)
    assert lives_in(line) == {"MAIN-B2"}


def test_a_transfer_mail_that_comes_twice_moves_once(line: Line) -> None:
    """The pair has an identity, so a copy is a duplicate."""
    for _ in range(2):
        mail_id = line.mail("Transfer", hour=1, From="A1", To="B2", Tenant="T", On="2026-05-01")
    assert line.mail_row(mail_id).state == "duplicate"
    assert len(line.far.sent) == 3


def test_a_transfer_from_a_unit_to_itself_is_held(line: Line) -> None:
    """Moving within one unit is a contradiction, and would end a tenancy: nothing is written."""
    mail_id = line.mail("Transfer", hour=1, From="A1", To="A1", Tenant="T", On="2026-05-01")
    assert (line.mail_row(mail_id).state, line.mail_row(mail_id).reason) == ("held", "contradiction")
    assert lives_in(line) == {"MAIN-A1"}


def test_a_transfer_of_another_tenant_keeps_the_old_unit(line: Line) -> None:
    """When the old unit is known to be another tenant's, the move-out is held, and the move-in stands."""
    line.mail("Transfer", hour=1, From="A1", To="B2", Tenant="U", On="2026-05-01")
    assert line.kiss.units["MAIN-A1"]["pms_tenant_id"] == "T"
    assert line.kiss.units["MAIN-B2"]["pms_tenant_id"] == "U"
    assert (line.events()[-1].state, line.events()[-1].reason) == ("held", "tenant_mismatch")
