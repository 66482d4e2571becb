"""What a bulk call comes to."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.units.test_tenancy import states
from worker.units.bulk import Sync, check_bulk, sync
from worker.units.tenancy import UnitState, move_out

PLACE = {"unit_name": "A", "pms_location_code": "MAIN"}
TENANT = {"occupied": True, "pms_tenant_id": "T", "move_in_date": "2026-05-01"}
extras = st.sampled_from(
    [{}, {"occupied": False}, TENANT, {"occupied": True}, {"balance_due": 5}, {"balance_due": -5}, {"colour": "red"}]
)
rows = st.lists(st.tuples(st.sampled_from("ABCDE"), st.booleans(), extras), unique_by=lambda row: row[0], min_size=1)


def run(listed: list[dict[str, Any]], units: dict[str, UnitState]) -> Sync:
    """Return what a call with these rows comes to."""
    ids = (f"U{n}" for n in range(len(listed)))
    return sync(check_bulk({"units": listed}), units, unit_ids=ids, refusal=lambda _unit, _row: None)


@given(rows, st.dictionaries(st.sampled_from("ABCDE"), states))
def test_each_row_is_counted_once_and_fares_as_if_alone(
    drawn: list[tuple[str, bool, dict[str, Any]]], known: dict[str, UnitState]
) -> None:
    """The counts add up, and each row ends as it would in a call of its own."""
    units = {name: UnitState(crm_unit_id=name, **_without_id(state)) for name, state in known.items()}
    listed = [{"crm_unit_id": name, **(PLACE if placed else {}), **extra} for name, placed, extra in drawn]
    whole = run(listed, units)
    assert len(whole.created) + len(whole.updated) + whole.unchanged + len(whole.errors) == len(listed)
    alone = [run([row], units) for row in listed]
    assert whole.errors == tuple(itertools.chain.from_iterable(one.errors for one in alone))
    assert [u.crm_unit_id for u in whole.created] == [u.crm_unit_id for one in alone for u in one.created]
    assert whole.updated == tuple(itertools.chain.from_iterable(one.updated for one in alone))


@given(states)
def test_occupied_false_is_the_very_move_out(state: UnitState) -> None:
    """The bulk call runs the same reset as the move-out."""
    whole = run([{"crm_unit_id": "A", "occupied": False}], {"A": state})
    assert whole.updated == ((move_out(state),) if state.occupied else ())


def test_a_refused_row_is_an_error_with_its_reason() -> None:
    """A row that may not be written is listed, and its unit is not among the written."""
    whole = sync(
        check_bulk({"units": [{"crm_unit_id": "A", **PLACE}]}), {}, unit_ids=["U"], refusal=lambda _unit, _row: "no"
    )
    assert whole == Sync(created=(), updated=(), unchanged=0, errors=(("A", "no"),))


def _without_id(state: UnitState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in UnitState.__dataclass_fields__ if name != "crm_unit_id"}
