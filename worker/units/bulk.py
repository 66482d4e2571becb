"""What ``PATCH /units`` does: an upsert of 1 to 500 units, each on its own, so that one bad unit stops no other.

Order within one unit: place, then tenancy (``occupied``), then the facts that it names. So a vacant unit may be
given a fact that the reset has just cleared.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from parsers.events import PLACE, TENANCY
from worker.units.fields import (
    FACT_CHECKS,
    PLACE_CHECKS,
    Check,
    Invalid,
    flag,
    read_fields,
    read_object,
    required,
    text,
)
from worker.units.tenancy import UnitState, move_in, move_out, with_values

MAX_UNITS = 500

Row = Mapping[str, object]

_NAMES = ("crm_unit_id", "occupied", *PLACE, *TENANCY, *FACT_CHECKS)
_SIMPLE: Mapping[str, Check] = {**PLACE_CHECKS, "occupied": flag, **FACT_CHECKS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """What came of one bulk call."""

    created: tuple[UnitState, ...]
    updated: tuple[UnitState, ...]
    unchanged: int
    errors: tuple[tuple[str, str], ...]
    """The units that failed, each with its reason."""

    @property
    def message(self) -> str:
        return "Sync completed with errors." if self.errors else "Sync completed."


def check_bulk(body: object) -> tuple[Row, ...]:
    """Return the rows of a bulk call, each with a ``crm_unit_id`` of its own.

    Raises:
        Invalid: the call as a whole is refused: no units, too many, an id missing or there twice.
    """
    units = read_object(body).get("units")
    if not isinstance(units, list) or not units:
        raise Invalid({"units": [required("units")]})
    listed = cast("list[object]", units)
    if len(listed) > MAX_UNITS:
        raise Invalid({"units": [f"The units field must not have more than {MAX_UNITS} items."]})
    errors: dict[str, list[str]] = {}
    rows: dict[str, Row] = {}
    for n, item in enumerate(listed):
        place = f"units.{n}.crm_unit_id"
        if not isinstance(item, dict):
            errors[f"units.{n}"] = ["Each unit must be a JSON object."]
            continue
        row = cast("Row", item)
        try:
            crm_unit_id = text("crm_unit_id", row.get("crm_unit_id", ""))
        except ValueError as error:
            errors[place] = [str(error).replace("crm_unit_id", place)]
            continue
        if crm_unit_id in rows:
            errors[place] = [f"The {place} field has a duplicate value."]
        rows[crm_unit_id] = row
    if errors:
        raise Invalid(errors)
    return tuple(rows.values())


def upsert(state: UnitState | None, row: Row, *, unit_id: str) -> UnitState:
    """Return one unit with its row applied; ``state`` None creates it under ``unit_id``.

    Raises:
        Invalid: the row is refused; nothing of it is applied.
    """
    errors = {name: [f"The {name} field is not accepted."] for name in row if name not in _NAMES}
    if state is None:
        errors.update({name: [required(name)] for name in PLACE if row.get(name) is None})
    if errors:
        raise Invalid(errors)
    values = read_fields(row, _SIMPLE)
    crm_unit_id = text("crm_unit_id", row["crm_unit_id"])
    unit = UnitState(crm_unit_id=crm_unit_id, unit_id=unit_id) if state is None else state
    unit = with_values(unit, {name: values[name] for name in PLACE if name in values})
    unit = _tenancy(unit, row)
    return with_values(unit, {name: values[name] for name in FACT_CHECKS if name in values})


def sync(
    rows: Sequence[Row],
    states: Mapping[str, UnitState],
    *,
    unit_ids: Iterable[str],
    refusal: Callable[[UnitState | None, Row], str | None],
) -> Sync:
    """Return what a bulk call comes to.

    ``states`` the units that exist, by id; ``unit_ids`` fresh ids, as many as rows; ``refusal`` says why a row may
    not be written at all, or None.
    """
    created: list[UnitState] = []
    updated: list[UnitState] = []
    errors: list[tuple[str, str]] = []
    for row, unit_id in zip(rows, unit_ids, strict=True):
        crm_unit_id = str(row["crm_unit_id"])
        before = states.get(crm_unit_id)
        reason = refusal(before, row)
        if reason is None:
            try:
                after = upsert(before, row, unit_id=unit_id)
            except Invalid as invalid:
                reason = " ".join(message for messages in invalid.errors.values() for message in messages)
            else:
                if before is None:
                    created.append(after)
                elif after != before:
                    updated.append(after)
        if reason is not None:
            errors.append((crm_unit_id, reason))
    unchanged = len(rows) - len(created) - len(updated) - len(errors)
    return Sync(created=tuple(created), updated=tuple(updated), unchanged=unchanged, errors=tuple(errors))


def _tenancy(unit: UnitState, row: Row) -> UnitState:
    """Apply ``occupied`` and the tenancy that comes with it."""
    stated = {name: row[name] for name in TENANCY if row.get(name) is not None}
    occupied = row.get("occupied")
    if occupied is True and (stated or not unit.occupied):
        return move_in(unit, stated)
    if stated and occupied is not True:
        wrong = "The {} field needs occupied true."
        raise Invalid({name: [wrong.format(name)] for name in stated})
    return move_out(unit) if occupied is False else unit
