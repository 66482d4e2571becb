"""Which stand-ins there are, what each is asked for, and what it gives.

A product is one row of :data:`STANDINS` and one module with a function that takes a :class:`Wish` and returns a
:class:`StandIn`. Modules are imported when their product is asked for.
"""

import datetime as dt
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp

from worker.settings import ConfigError
from worker.units.wire import Answer

APPLIED_HEADER = "standin-applied"
"""Set ``yes`` or ``no`` on an answer to say whether the write took effect; it never leaves the server. Without it, a
write that is answered 2xx is taken for applied, unless its key was answered 2xx before."""

STANDINS: Mapping[str, str] = {
    "kiss": "worker.standins.kiss:stand_in",
    "propertysaas": "worker.standins.propertysaas:stand_in",
    "propexo": "worker.standins.propexo:stand_in",
    "resharmonics": "worker.standins.resharmonics:stand_in",
}
"""``module:function`` of each product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a stand-in is asked to be."""

    token: str
    clock: Callable[[], dt.datetime]
    profile: str = ""
    """The generation of the API; empty: the product's first."""
    rows: tuple[Mapping[str, str], ...] = ()
    """The units that are there at the start, as the lines of a CSV file with a head."""
    per_minute: int = 0
    """How many requests pass in a minute; 0: any number."""
    seed: int = 0


def refuse_plainly(status: int) -> Answer:
    """Return a refusal as most APIs give it; a 429 carries ``Retry-After``."""
    message = {429: "Too many attempts. Please try again in 1 seconds."}.get(status, f"Refused on request: {status}.")
    headers = {"Retry-After": "1"} if status == 429 else {}
    return Answer(status=status, body=json.dumps({"message": message}).encode(), headers=headers)


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A product's application, before faults are put around it."""

    app: ASGIApp
    base_path: str = ""
    """Where the API begins: what stands behind host and port in the base URL."""
    units: Callable[[], Sequence[Mapping[str, object]]] = tuple
    """What it holds now, for ``GET /_standin/log``, as JSON has it: units, or what the product has in their place."""
    refuse: Callable[[int], Answer] = refuse_plainly
    """The product's own words for a status of ``--fail``."""
    close: Callable[[], None] = _nothing


def load(product: str) -> Callable[[Wish], StandIn]:
    """Return the function that makes a product's stand-in."""
    module, _, function = STANDINS[product].partition(":")
    return getattr(importlib.import_module(module), function)


def choose_profile(wish: Wish, known: Sequence[str]) -> str:
    """Return the profile that is wished for, or the first one.

    Raises:
        ConfigError: there is none of that name.
    """
    if wish.profile and wish.profile not in known:
        raise ConfigError(f"--profile {wish.profile} is not known; known: {', '.join(known) or 'none'}")
    return wish.profile or (known[0] if known else "")
