"""What a move-in and a move-out do to a unit.

A move-in creates an unknown unit, sets who is there, and touches no fact. A move-out of an occupied unit resets
exactly :data:`RESET`; of a vacant one it changes nothing. The tenancy (``occupied``, ``pms_tenant_id``,
``ledger_id``, ``move_in_date``) is one register: a move-in replaces it whole, a move-out empties it. The KISS
list of fields that a move-out resets does not name ``ledger_id``; it is emptied here with its tenancy, since a
ledger without a tenant names nobody's account.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from parsers.events import PLACE, Value
from worker.calls import CLEARED
from worker.units.fields import PLACE_CHECKS, TENANCY_CHECKS, Invalid, read_fields, required

NOTHING_DUE = Decimal("0.00")

RESET: Mapping[str, Value] = MappingProxyType({"pms_tenant_id": None, "move_in_date": None, **CLEARED})
"""The eight fields that a move-out resets, and their values after it. ``pms_status_raw`` is not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """One unit as it is. Dates are ``YYYY-MM-DD`` in the facility's calendar."""

    crm_unit_id: str
    unit_id: str = ""
    """A ULID, ours, given when the unit is created."""
    unit_name: str = ""
    pms_location_code: str = ""
    occupied: bool = False
    pms_tenant_id: str | None = None
    ledger_id: str | None = None
    move_in_date: str | None = None
    balance_due: Decimal = NOTHING_DUE
    paid_through_date: str | None = None
    pms_lockout: bool = False
    pms_lock_exempt: bool = False
    pms_auction: bool = False
    pms_unrentable: bool = False
    pms_status_raw: str | None = None
    lock_ids: tuple[str, ...] = ()
    """The locks on the door; they stay when a tenant goes."""
    last_accessed_at: dt.datetime | None = None
    """When the unit was last opened; survives a move-out."""


def with_values(state: UnitState, values: Mapping[str, Value | bool]) -> UnitState:
    """Return the state with checked values set."""
    named: dict[str, Any] = dict(values)
    return replace(state, **named)


def move_in(
    state: UnitState | None, body: Mapping[str, object], *, crm_unit_id: str = "", unit_id: str = ""
) -> UnitState:
    """Return the unit with the tenancy of ``body`` in it.

    ``state`` None: the unit is unknown and is created under ``crm_unit_id`` and ``unit_id``. The name and location
    of a known unit are left alone.

    Raises:
        Invalid: a field is missing, unknown or wrong.
    """
    values = check_move_in(body, known=state is not None)
    tenancy = {"occupied": True, **{name: values.get(name) for name in TENANCY_CHECKS}}
    if state is None:
        place = {name: values[name] for name in PLACE}
        state = with_values(UnitState(crm_unit_id=crm_unit_id, unit_id=unit_id), place)
    return with_values(state, tenancy)


def move_out(state: UnitState) -> UnitState:
    """Return the unit after its tenant left; a vacant unit comes back as it is."""
    if not state.occupied:
        return state
    return with_values(state, {**RESET, "occupied": False, "ledger_id": None})


def check_move_in(body: Mapping[str, object], *, known: bool) -> dict[str, Value]:
    """Return the checked fields of a move-in; ``known``: the unit exists, so name and location may be left out."""
    checks = {**TENANCY_CHECKS, **PLACE_CHECKS}
    needed = ("pms_tenant_id", "move_in_date") + (() if known else PLACE)
    errors: dict[str, list[str]] = {name: [required(name)] for name in needed if body.get(name) is None}
    errors.update({name: [f"The {name} field is not accepted."] for name in body if name not in checks})
    present = {name: value for name, value in body.items() if name not in errors}
    if known:  # a known unit keeps its place, so a null there says nothing
        present = {name: value for name, value in present.items() if name not in PLACE or value is not None}
    try:
        values = read_fields(present, checks)
    except Invalid as invalid:
        raise Invalid({**errors, **invalid.errors}) from None
    if errors:
        raise Invalid(errors)
    return values
