"""Calls: what can be asked of a unit, what it does there, and the protocol that every destination speaks.

A destination never retries, never sleeps and never raises for what the other side did: it sends one request
once, within a deadline, and sorts the answer. What to do next is decided by ``worker/order.py`` and
``worker/drain.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from parsers.events import FACTS, Value

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


NO_MORE: Mapping[str, Value] = MappingProxyType({})


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
    ACCEPTED = "accepted"  # taken on as a job: accepted is not applied; ask for the job until it says what came of it


HARMLESS = (Outcome.REJECTED, Outcome.SOURCE_CONFLICT, Outcome.KEY_REUSED, Outcome.LIMITED, Outcome.UNAUTHORIZED)
"""Outcomes of a call of many units after which nothing has changed. Of any other failure some may have been done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """What a call of many units came to, unit by unit. A unit that is not refused is confirmed."""

    refused: Mapping[str, str]
    """Why, by our own unit id."""
    created: int | None = None
    """How many units it made; None: the destination does not say."""


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
    """How long the destination asks us to stay away, or to wait before the job is asked for; None: it does not say."""
    job: str | None = None
    """What to ask for, of an ``ACCEPTED`` call; None otherwise."""
    asked: str | None = None
    """``METHOD /path`` that was really sent, where it differs from the request (ids looked up at the destination)."""
    many: Many | None = None
    """Of a call of many units; None: the answer does not say what came of each."""
    wrong: tuple[str, ...] = ()
    """Of a ``REJECTED`` call: the fields that the refusal names, by our names; empty: it names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What a destination takes, and what its tenancy calls do to the facts of a unit."""

    verbs: frozenset[Verb] = frozenset(Verb)
    """The calls that it knows. What it cannot do is never planned."""
    facts: tuple[str, ...] = FACTS
    """The facts that it takes; others are refused with the configuration, or dropped and recorded."""
    move_in_creates: bool = True
    """Whether its move-in makes a unit that it does not know; otherwise the unit is created vacant first."""
    move_in_clears: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """The facts that its move-in sets by itself."""
    move_out_clears: Mapping[str, Value] = field(default_factory=lambda: CLEARED)
    """The facts as they are wanted after a move-out."""
    move_out_resets: Mapping[str, Value] = field(default_factory=lambda: CLEARED)
    """The facts that its move-out call resets by itself; the others of ``move_out_clears`` are patched."""
    remembered_s: float = 86_400.0
    """How long it remembers an idempotency key; 0: it knows none."""


class Destination(Protocol):
    """One place where calls go."""

    @property
    def name(self) -> str: ...

    @property
    def window(self) -> int:
        """How many calls to different units may be in flight at once."""
        ...

    @property
    def manners(self) -> Manners: ...

    def render(
        self, verb: Verb, crm_unit_id: str, body: Mapping[str, Value], *, about: Mapping[str, Value] = NO_MORE
    ) -> Request:
        """Return the request for one call. The same arguments give the same bytes; no I/O.

        ``about``: what else is known of the unit: ``unit``, ``location``, the wanted tenancy, and the columns of the
        unit map.
        """
        ...

    def send(self, request: Request, *, key: str, deadline_s: float) -> Reply:
        """Send one request once under its idempotency key; return within ``deadline_s`` seconds."""
        ...

    def ask(self, job: str, *, deadline_s: float) -> Reply:
        """Ask what came of an accepted call; ``ACCEPTED`` again while nobody knows."""
        ...

    def close(self) -> None: ...


class BulkDestination(Destination, Protocol):
    """A destination that takes many units in one call, each with its tenancy and its facts in one write."""

    def render_bulk(self, units: Sequence[Mapping[str, Value]]) -> Request:
        """Return the request for 1 to 500 units, each named by its ``crm_unit_id``; no I/O."""
        ...
