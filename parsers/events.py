"""Events: what a mail says happened to a unit, and the facts that it names.

The words are those of ``docs/words.md``. An event is a plain frozen value; nothing here reads a clock, a disk
or a network. Bodies are exactly the JSON body of the KISS call that the event alone would give.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

Value: TypeAlias = str | bool | Decimal | None
"""One value of a body: text, a date as ``YYYY-MM-DD``, a flag, money with two decimals, or a cleared fact."""


class Kind(StrEnum):
    """The kinds of event."""

    MOVE_IN = "move_in"
    MOVE_OUT = "move_out"
    PATCH = "patch"
    SNAPSHOT = "snapshot"  # a row of a report: states what is, not what happened


FACTS = (
    "balance_due",
    "paid_through_date",
    "pms_lockout",
    "pms_lock_exempt",
    "pms_auction",
    "pms_unrentable",
    "pms_status_raw",
)
"""The seven facts that a patch may name (KISS unit API, ``PATCH /units/{crm_unit_id}``)."""

FLAGS = ("pms_lockout", "pms_lock_exempt", "pms_auction", "pms_unrentable")
"""The facts that are true or false, never null."""

TENANCY = ("pms_tenant_id", "ledger_id", "move_in_date")
"""What a move-in says of the tenancy."""

IDS = ("pms_tenant_id", "ledger_id")
"""What of it names the tenant and the ledger."""

PLACE = ("unit_name", "pms_location_code")
"""What a move-in says of the unit itself, so that an unknown unit can be created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to one unit at one moment, as one mail tells it."""

    kind: Kind
    unit: str
    """The unit as the mail names it."""
    crm_unit_id: str
    """The unit as the destination knows it: by the mailbox's unit map, else its ``unit_id`` template. Empty where there
    is a map and it does not know the unit on that day: such an event is held, and never sent."""
    effective_at: dt.datetime
    """When it happened; aware. See :attr:`moment`."""
    mailed_at: dt.datetime
    """The Date of the mail that tells it; aware."""
    position: int
    """Place in the mail, from 0: a later row of a digest wins over an earlier one."""
    identity: str
    """What makes this occurrence itself (see ``parsers/identity.py``)."""
    rule: str
    """``pack/rule``."""
    body: Mapping[str, Value]
    """The JSON body of the KISS call that this event alone would give; empty for a move-out."""
    on: dt.date | None = None
    """The stated date of the tenancy change in the facility's calendar; None when the mail states none."""
    expect: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the mail says of the tenancy in place (``pms_tenant_id``, ``ledger_id``): what the guard compares."""
    tenancy: Mapping[str, str] = field(default_factory=dict[str, str])
    """The tenant or ledger by which the unit is to be found, of a mail that names no unit; else empty."""
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """The columns of one's own of the unit's row in the unit map; no part of the identity or the body."""

    @property
    def moment(self) -> tuple[dt.datetime, dt.datetime, str, int]:
        """Return the total order of events, which the order of arrival cannot change."""
        return (self.effective_at, self.mailed_at, self.identity, self.position)


def canonical(body: Mapping[str, Any]) -> str:
    """Return the one JSON text of a body: sorted names, no spaces, UTF-8 as it is, money as a number.

    Money is bounded to two decimals and below ten digits when it is converted, so a float carries it exactly
    enough to print the same shortest text again.
    """
    return _ENCODER.encode(body)


def from_json(text: str | bytes) -> dict[str, Any]:
    """Return a body from its JSON text, with every number that has a fraction as Decimal."""
    return _DECODER.decode(text if isinstance(text, str) else text.decode())


def _number(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a body")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_number)
_DECODER = json.JSONDecoder(parse_float=Decimal)
