"""What a move-in and a move-out do to a unit."""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.events import FACTS
from worker.units.fields import Invalid
from worker.units.tenancy import RESET, UnitState, move_in, move_out

IN: dict[str, Any] = {"pms_tenant_id": "T-2", "ledger_id": "L-2", "move_in_date": "2026-05-01"}
EIGHT = {
    "pms_tenant_id",
    "move_in_date",
    "balance_due",
    "paid_through_date",
    "pms_lockout",
    "pms_lock_exempt",
    "pms_auction",
    "pms_unrentable",
}

texts = st.none() | st.text(min_size=1, max_size=5)
days = st.none() | st.dates().map(lambda day: day.isoformat())
states = st.builds(
    UnitState,
    crm_unit_id=st.just("A"),
    unit_id=st.just("U"),
    unit_name=st.just("A"),
    pms_location_code=st.just("MAIN"),
    occupied=st.booleans(),
    pms_tenant_id=texts,
    ledger_id=texts,
    move_in_date=days,
    balance_due=st.decimals(min_value=0, max_value=9999, places=2),
    paid_through_date=days,
    pms_lockout=st.booleans(),
    pms_lock_exempt=st.booleans(),
    pms_auction=st.booleans(),
    pms_unrentable=st.booleans(),
    pms_status_raw=texts,
    lock_ids=st.just(("lock-1",)),
    last_accessed_at=st.just(dt.datetime(2026, 4, 1, tzinfo=dt.UTC)),
)


def differs(before: UnitState, after: UnitState) -> set[str]:
    """Return the names of what changed."""
    a, b = dataclasses.asdict(before), dataclasses.asdict(after)
    return {name for name in a if a[name] != b[name]}


def test_the_reset_names_exactly_the_eight() -> None:
    """The reset is the documented list, no more and no less, with its documented values."""
    assert set(RESET) == EIGHT
    assert [RESET[name] for name in FACTS if name in RESET] == [Decimal("0.00"), None, False, False, False, False]
    assert str(RESET["balance_due"]) == "0.00"


@given(states)
def test_a_move_out_changes_only_the_eight_and_the_tenancy(state: UnitState) -> None:
    """A move-out of any unit changes nothing but the eight, and with them occupied and the ledger."""
    after = move_out(state)
    assert differs(state, after) <= EIGHT | {"occupied", "ledger_id"}
    assert not after.occupied
    if state.occupied:
        assert {name: getattr(after, name) for name in RESET} == RESET


@given(states)
def test_a_move_out_of_a_vacant_unit_is_nothing(state: UnitState) -> None:
    """A second move-out changes nothing, and so does one of a unit that was vacant."""
    vacant = dataclasses.replace(state, occupied=False)
    assert move_out(vacant) == vacant
    assert move_out(move_out(state)) == move_out(state)


@given(states)
def test_a_move_in_changes_only_the_tenancy(state: UnitState) -> None:
    """A move-in of any known unit changes nothing but the tenancy, and the same again changes nothing."""
    after = move_in(state, {**IN, "unit_name": "other", "pms_location_code": "OTHER"})
    assert differs(state, after) <= {"occupied", *IN}
    assert {"occupied": after.occupied, **{name: getattr(after, name) for name in IN}} == {"occupied": True, **IN}
    assert move_in(after, IN) == after


def test_a_move_in_creates_a_unit_with_nothing_else() -> None:
    """A unit that a move-in creates has its place, its tenancy and no fact."""
    unit = move_in(None, {**IN, "unit_name": "B204", "pms_location_code": "MAIN"}, crm_unit_id="B", unit_id="U")
    expected = UnitState(crm_unit_id="B", unit_id="U", unit_name="B204", pms_location_code="MAIN", occupied=True, **IN)
    assert unit == expected


def test_every_wrong_field_is_named_at_once() -> None:
    """What is missing, unknown and wrong is told in one answer."""
    with pytest.raises(Invalid) as caught:
        move_in(None, {"pms_tenant_id": 5, "phone": "555", "unit_name": "A"})
    assert set(caught.value.errors) == {"pms_tenant_id", "phone", "move_in_date", "pms_location_code"}
