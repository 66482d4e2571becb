"""Check the fields of a request body, and say of each wrong one what is wrong with it.

Errors:
    Invalid(Exception)   a body breaks a rule; ``errors`` holds the messages by field, as a 422 shows them
"""

# pyright: strict

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeAlias, cast

from parsers.events import FLAGS, Value

MAX_TEXT = 255
MAX_MONEY = Decimal("9999999999.99")
CENT = Decimal("0.01")

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Check: TypeAlias = Callable[[str, object], Value]
"""Takes a field's name and its value; returns the value as we keep it, or raises ValueError with the message."""


class Invalid(Exception):
    """A body breaks a rule."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__("; ".join(message for messages in errors.values() for message in messages))
        self.errors = dict(errors)


def read_object(value: object) -> Mapping[str, object]:
    """Return a JSON object, or raise :class:`Invalid`."""
    if not isinstance(value, dict):
        raise Invalid({"body": ["The body must be a JSON object."]})
    return cast("dict[str, object]", value)


def read_fields(body: Mapping[str, object], checks: Mapping[str, Check]) -> dict[str, Value]:
    """Return the fields of ``body`` that ``checks`` knows, each checked; all wrong ones are named at once."""
    values: dict[str, Value] = {}
    errors: dict[str, list[str]] = {}
    for name, check in checks.items():
        if name not in body:
            continue
        try:
            values[name] = check(name, body[name])
        except ValueError as error:
            errors[name] = [str(error)]
    if errors:
        raise Invalid(errors)
    return values


def required(name: str) -> str:
    """Return the message for a field that is not there."""
    return f"The {name} field is required."


def text(name: str, value: object) -> str:
    """Return a text of 1 to 255 characters that both databases can keep."""
    kept = any_text(name, value)
    if not kept.strip():
        raise ValueError(required(name))
    return kept


def any_text(name: str, value: object) -> str:
    """Return a text of at most 255 characters, perhaps empty."""
    if not isinstance(value, str):
        raise ValueError(f"The {name} field must be a string.")
    if len(value) > MAX_TEXT:
        raise ValueError(f"The {name} field must not be greater than {MAX_TEXT} characters.")
    if "\0" in value or any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        raise ValueError(f"The {name} field holds characters that cannot be kept.")
    return value


def date(name: str, value: object) -> str:
    """Return a date of the calendar as ``YYYY-MM-DD``."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return dt.date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise ValueError(f"The {name} field must be a date as YYYY-MM-DD.")


def flag(name: str, value: object) -> bool:
    """Return true or false; never null, 0 or 1."""
    if not isinstance(value, bool):
        raise ValueError(f"The {name} field must be true or false.")
    return value


def money(name: str, value: object) -> Decimal:
    """Return an amount of at least 0 with two decimals. A credit is sent as 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"The {name} field must be a number.")
    amount = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not amount.is_finite() or amount > MAX_MONEY:
        raise ValueError(f"The {name} field must not be greater than {MAX_MONEY}.")
    if amount < 0:
        raise ValueError(f"The {name} field must be at least 0.")
    if amount != amount.quantize(CENT):
        raise ValueError(f"The {name} field must have at most two decimals.")
    return abs(amount.quantize(CENT))


def or_null(check: Check) -> Check:
    """Return a check that takes null as well."""

    def checked(name: str, value: object) -> Value:
        return None if value is None else check(name, value)

    return checked


FACT_CHECKS: Mapping[str, Check] = {
    "balance_due": money,
    "paid_through_date": or_null(date),
    **dict.fromkeys(FLAGS, flag),
    "pms_status_raw": or_null(any_text),
}
"""The seven facts: balance and flags are never null."""

TENANCY_CHECKS: Mapping[str, Check] = {
    "pms_tenant_id": text,
    "ledger_id": or_null(text),
    "move_in_date": date,
}

PLACE_CHECKS: Mapping[str, Check] = {"unit_name": text, "pms_location_code": text}
