"""Whether a unit may be opened, and why."""

import dataclasses
import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.units.test_tenancy import states
from worker.units.access import Access, AccessState, Reason, evaluate
from worker.units.tenancy import UnitState

TODAY = dt.date(2026, 5, 1)

# The documented order, first match wins; each rule alone, as a second statement of the law.
ORDER = (
    (lambda u, t: u.pms_unrentable, "unrentable", None),
    (lambda u, t: u.pms_auction, "auction", None),
    (lambda u, t: not u.occupied, "vacant", None),
    (lambda u, t: (u.move_in_date or "") > "2026-05-01", "tenant_denied", "future_move_in"),
    (lambda u, t: u.pms_lock_exempt, "tenant_permitted", "pms_exempt"),
    (lambda u, t: u.pms_lockout, "tenant_denied", "pms_lockout"),
    (lambda u, t: t is not None and u.balance_due > t, "tenant_denied", "delinquent"),
    (lambda u, t: True, "tenant_permitted", "active"),
)
thresholds = st.none() | st.decimals(min_value=0, max_value=9999, places=2)


@given(states, thresholds)
def test_the_first_rule_that_fits_decides(unit: UnitState, threshold: Decimal | None) -> None:
    """For any unit the access is that of the first rule in the documented order."""
    state, reason = next((state, reason) for fits, state, reason in ORDER if fits(unit, threshold))
    assert evaluate(unit, today=TODAY, threshold=threshold) == Access(
        state=AccessState(state), reason=Reason(reason) if reason else None
    )


@given(states, thresholds)
def test_only_a_permitted_tenant_opens(unit: UnitState, threshold: Decimal | None) -> None:
    """A gate opens for a permitted tenant in an occupied unit, and in no other case."""
    access = evaluate(unit, today=TODAY, threshold=threshold)
    assert access.opens == (access.state is AccessState.TENANT_PERMITTED)
    assert not access.opens or unit.occupied
    assert (access.reason is not None) == access.state.startswith("tenant_")


@pytest.mark.parametrize(("day", "reason"), [(30, "active"), (1, "active"), (2, "future_move_in")])
def test_a_tenancy_begins_on_its_day(day: int, reason: str) -> None:
    """Yesterday and today are no future; tomorrow is."""
    date = f"2026-04-{day}" if day == 30 else f"2026-05-{day:02}"
    unit = UnitState(crm_unit_id="A", occupied=True, pms_tenant_id="T", move_in_date=date)
    assert evaluate(unit, today=TODAY).reason == reason


@pytest.mark.parametrize(
    ("balance", "threshold", "reason"),
    [
        ("10.00", None, "active"),
        ("10.00", "10.00", "active"),
        ("10.01", "10.00", "delinquent"),
        ("0.01", "0", "delinquent"),
    ],
)
def test_a_tenant_is_delinquent_above_the_threshold(balance: str, threshold: str | None, reason: str) -> None:
    """At the threshold it is still fine; without one a balance never denies."""
    unit = UnitState(crm_unit_id="A", occupied=True, balance_due=Decimal(balance))
    limit = None if threshold is None else Decimal(threshold)
    assert evaluate(unit, today=TODAY, threshold=limit).reason == reason


def test_exempt_beats_lockout_and_balance_but_not_the_rest() -> None:
    """An exempt tenant passes lockout and balance, never auction, out of service, or a day to come."""
    exempt = UnitState(
        crm_unit_id="A", occupied=True, pms_lock_exempt=True, pms_lockout=True, balance_due=Decimal("99.00")
    )
    assert evaluate(exempt, today=TODAY, threshold=Decimal(0)).opens
    for change in ({"pms_auction": True}, {"pms_unrentable": True}, {"move_in_date": "2026-05-02"}):
        assert not evaluate(dataclasses.replace(exempt, **change), today=TODAY).opens
