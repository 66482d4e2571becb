"""What a patch does to a unit: it sets the facts that it names, and nothing else."""

from collections.abc import Mapping

from parsers.events import FACTS, Value
from worker.units.fields import FACT_CHECKS, Invalid, read_fields, read_object
from worker.units.tenancy import UnitState, with_values

BY_TENANCY = ("occupied", "tenant_id", "pms_tenant_id", "move_in_date")
"""What only a move-in or move-out may change."""


def check_patch(body: object) -> dict[str, Value]:
    """Return the facts that a patch sets: any subset of the seven, but not none.

    Raises:
        Invalid: the body is empty, or names a field that is unknown, wrong or a matter of tenancy.
    """
    named = read_object(body)
    if not named:
        raise Invalid({"body": [f"At least one of {', '.join(FACTS)} is required."]})
    errors: dict[str, list[str]] = {}
    for name in named:
        if name in BY_TENANCY:
            errors[name] = [f"The {name} field is changed by a move-in or move-out only."]
        elif name not in FACT_CHECKS:
            errors[name] = [f"The {name} field is not accepted."]
    try:
        values = read_fields(named, FACT_CHECKS)
    except Invalid as invalid:
        raise Invalid({**errors, **invalid.errors}) from None
    if errors:
        raise Invalid(errors)
    return values


def patch(state: UnitState, values: Mapping[str, Value]) -> UnitState:
    """Return the unit with checked facts set."""
    return with_values(state, values)
