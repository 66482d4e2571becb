"""Whether a unit may be opened, and why: the first rule that fits decides."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from worker.units.tenancy import UnitState


class AccessState(StrEnum):
    """The five access states. Only ``tenant_permitted`` opens."""

    VACANT = "vacant"
    TENANT_PERMITTED = "tenant_permitted"
    TENANT_DENIED = "tenant_denied"
    AUCTION = "auction"
    UNRENTABLE = "unrentable"


class Reason(StrEnum):
    """Why a tenant is permitted or denied."""

    FUTURE_MOVE_IN = "future_move_in"  # denied until the day, in the facility's calendar
    PMS_EXEMPT = "pms_exempt"  # permitted whatever the balance or overlock
    PMS_LOCKOUT = "pms_lockout"  # denied: overlocked
    DELINQUENT = "delinquent"  # denied: owes more than the location allows
    ACTIVE = "active"  # permitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A state, and its reason; None where no tenant is judged (vacant, auction, unrentable)."""

    state: AccessState
    reason: Reason | None = None

    @property
    def opens(self) -> bool:
        return self.state is AccessState.TENANT_PERMITTED


def evaluate(unit: UnitState, *, today: dt.date, threshold: Decimal | None = None) -> Access:
    """Return the access of a unit on a day.

    ``today`` is a date of the facility's calendar; ``threshold`` is the balance above which a tenant is denied,
    None where the PMS alone drives lockout.
    """
    if unit.pms_unrentable:
        return Access(state=AccessState.UNRENTABLE)
    if unit.pms_auction:
        return Access(state=AccessState.AUCTION)
    if not unit.occupied:
        return Access(state=AccessState.VACANT)
    if unit.move_in_date is not None and dt.date.fromisoformat(unit.move_in_date) > today:
        return _denied(Reason.FUTURE_MOVE_IN)
    if unit.pms_lock_exempt:
        return _permitted(Reason.PMS_EXEMPT)
    if unit.pms_lockout:
        return _denied(Reason.PMS_LOCKOUT)
    if threshold is not None and unit.balance_due > threshold:
        return _denied(Reason.DELINQUENT)
    return _permitted(Reason.ACTIVE)


def _denied(reason: Reason) -> Access:
    return Access(state=AccessState.TENANT_DENIED, reason=reason)


def _permitted(reason: Reason) -> Access:
    return Access(state=AccessState.TENANT_PERMITTED, reason=reason)
