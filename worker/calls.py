"""Calls: what can be asked of a unit, what it does there, and the protocol that every destination speaks.

A destination never retries, never sleeps and never raises for what the other side did: it sends one request
once, within a deadline, and sorts the answer. What to do next is decided by ``worker/order.py`` and
``worker/drain.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from parsers.events import Value

CLEARED: Mapping[str, Value] = MappingProxyType(
    {
        "balance_due": Decimal("0.00"),
        "paid_through_date": None,
        "pms_lockout": False,
        "pms_lock_exempt": False,
        "pms_auction": False,
        "pms_unrentable": False,
    }
)
"""The facts that a move-out clears, and their values after it (KISS unit API, seed generation). ``pms_status_raw``
stays."""


class Verb(StrEnum):
    """What a call does to one unit."""

    MOVE_IN = "move_in"  # PUT /units/{crm_unit_id}/tenancy
    MOVE_OUT = "move_out"  # DELETE /units/{crm_unit_id}/tenancy
    PATCH = "patch"  # PATCH /units/{crm_unit_id}
    CREATE = "create"  # PATCH /units with the one unit, vacant: the only way to create without a tenancy


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The exact bytes that will be sent, stored before the send."""

    method: str
    path: str
    """Below the destination's base URL, percent-encoded, starting with a slash."""
    body: bytes
    """Empty when the call has none."""


class Outcome(StrEnum):
    """What came of one sending. Each says whether the destination may have changed."""

    APPLIED = "applied"  # 200, 201 (and every item fine, for a bulk call)
    NOT_FOUND = "not_found"  # 404: the destination does not know the unit; nothing changed
    REJECTED = "rejected"  # 400, 422, per-item bulk error: no for good; nothing changed
    KEY_REUSED = "key_reused"  # 409 for the key: our fault; nothing changed
    SOURCE_CONFLICT = "source_conflict"  # 409 for a pull-mode unit: configuration; nothing changed
    LIMITED = "limited"  # 429: later; nothing changed
    UNAUTHORIZED = "unauthorized"  # 401, 403: the token; nothing changed
    FAILED = "failed"  # 500 and other definite failures: try again under the next generation
    UNKNOWN = "unknown"  # no answer, 502, 503, 504: it may have happened; same key, same bytes
    UNREACHED = "unreached"  # the connection was never made: it did not happen; same key, same bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The sorted answer to one sending."""

    outcome: Outcome
    status: int | None = None
    """The HTTP status; None when there was no answer."""
    message: str = ""
    """The destination's own words, or the transport error's; at most 1,000 characters; no token."""
    body: bytes = b""
    """The answer's body, at most 64 KiB, for the record."""
    created: bool = False
    """True when the destination says that it created the unit (201)."""
    retry_after_s: float | None = None
    """How long the destination asks us to stay away; None when it does not say."""


class Destination(Protocol):
    """One place where calls go."""

    @property
    def name(self) -> str: ...

    @property
    def window(self) -> int:
        """How many calls to different units may be in flight at once."""
        ...

    def render(self, verb: Verb, crm_unit_id: str, body: Mapping[str, Value]) -> Request:
        """Return the request for one call. The same arguments give the same bytes."""
        ...

    def send(self, request: Request, *, key: str, deadline_s: float) -> Reply:
        """Send one request once under its idempotency key; return within ``deadline_s`` seconds."""
        ...

    def close(self) -> None: ...
