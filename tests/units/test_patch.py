"""What a patch does to a unit."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.events import FACTS
from tests.units.test_tenancy import differs, states
from worker.units.fields import Invalid
from worker.units.patch import check_patch, patch
from worker.units.tenancy import UnitState

facts = st.fixed_dictionaries(
    {},
    optional={
        "balance_due": st.decimals(min_value=0, max_value=99999, places=2) | st.integers(0, 99999),
        "paid_through_date": st.none() | st.dates().map(lambda day: day.isoformat()),
        "pms_lockout": st.booleans(),
        "pms_lock_exempt": st.booleans(),
        "pms_auction": st.booleans(),
        "pms_unrentable": st.booleans(),
        "pms_status_raw": st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    },
).filter(bool)


@given(states, facts)
def test_a_patch_sets_what_it_names_and_nothing_else(state: UnitState, named: dict[str, Any]) -> None:
    """Each named fact has its new value, every other value its old one."""
    after = patch(state, check_patch(named))
    assert differs(state, after) <= set(named)
    assert {name: getattr(after, name) for name in named} == named


def test_money_has_two_decimals() -> None:
    """An amount is kept with two decimals however it was written."""
    for given_amount in (12, 12.0, Decimal("12.0"), Decimal("1.2E1")):
        assert str(check_patch({"balance_due": given_amount})["balance_due"]) == "12.00"
    assert str(check_patch({"balance_due": Decimal("-0.0")})["balance_due"]) == "0.00"


@pytest.mark.parametrize(
    "amount", [Decimal("1E+999999"), Decimal("1E-999999"), Decimal("NaN"), Decimal("Infinity"), 10**400]
)
def test_absurd_amounts_are_refused(amount: Any) -> None:
    """An amount that no ledger holds is refused, whatever its form."""
    with pytest.raises(Invalid):
        check_patch({"balance_due": amount})


def test_a_lone_surrogate_is_refused() -> None:
    """A text that cannot be UTF-8 is refused before a database sees it."""
    with pytest.raises(Invalid):
        check_patch({"pms_status_raw": "\ud800"})


@pytest.mark.parametrize("fact", FACTS)
def test_each_fact_is_known(fact: str) -> None:
    """Every fact has a check: a list is never one of its values."""
    with pytest.raises(Invalid) as caught:
        check_patch({fact: []})
    assert list(caught.value.errors) == [fact]
