"""The dialects of the KISS unit API, as data, and the requests in them.

The vendor has more than one generation; base URL, path key, names, what tenancy calls do and how a bulk call is
answered are looked up here and nowhere else. The key header is always sent, and both ways to say how long to stay away
are always read, so neither is data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, unquote

from parsers.events import Value, canonical
from worker.calls import CLEARED, Manners, Request, Verb

_HOLE = "{unit}"


class PathKey(StrEnum):
    """What a unit is addressed by in the path of its calls."""

    OURS = "crm_unit_id"
    ULID = "unit_id"  # the API's own id, found in its list of units


class Bulk(StrEnum):
    """How a bulk call says what came of its units."""

    ERRORS = "errors"  # the units that failed, in a 200
    RESULTS = "results"  # every unit, and how many failed; 422 when all did


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One generation of the API."""

    name: str
    base_url: str
    """Where the vendor serves it."""
    tenancy_path: str = "/units/{unit}/tenancy"
    unit_path: str = "/units/{unit}"
    bulk_path: str = "/units"
    """Also where the units are listed."""
    path_key: PathKey = PathKey.OURS
    page_size: int = 0
    """Units on a page of the list; 0: it comes whole."""
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its names of fields, by ours, where they differ."""
    takes_tenant: bool = False
    """Its move-in takes a ``tenant`` block, by which the tenant can claim the unit."""
    bulk: Bulk = Bulk.ERRORS
    manners: Manners = field(default_factory=Manners)
    """What its tenancy calls do to the facts."""
    key_header: str = "Idempotency-Key"

    def name_of(self, name: str) -> str:
        """Return the API's name of one of our fields."""
        return self.names.get(name, name)

    def ours(self, name: str) -> str:
        """Return our name of one of the API's fields."""
        return next((ours for ours, theirs in self.names.items() if theirs == name), name)


KISS_V2 = Profile(name="kiss-v2", base_url="https://api.keepitsimplestorage.com/api/v2")

_ULID_MANNERS = Manners(
    move_in_creates=False,
    move_in_clears={"pms_lockout": False},
    move_out_clears={**CLEARED, "pms_status_raw": None},
    move_out_resets={
        **{name: value for name, value in CLEARED.items() if name != "pms_lock_exempt"},
        "pms_status_raw": None,
    },
)

KISS_ULID = Profile(
    name="kiss-ulid",
    base_url="https://api-app.keepitsimplestorage.com/api/v2",
    path_key=PathKey.ULID,
    takes_tenant=True,
    manners=_ULID_MANNERS,
)

KISS_ULID_2 = Profile(
    name="kiss-ulid-2",
    base_url="https://api-app.keepitsimplestorage.com/api/v2",
    path_key=PathKey.ULID,
    page_size=100,
    names={
        "crm_unit_id": "external_unit_id",
        "pms_tenant_id": "external_tenant_id",
        "pms_location_code": "external_location_code",
        "pms_lockout": "lockout",
        "pms_auction": "auction",
        "pms_unrentable": "unrentable",
    },
    takes_tenant=True,
    bulk=Bulk.RESULTS,
    manners=_ULID_MANNERS,
)

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (KISS_V2, KISS_ULID, KISS_ULID_2)}


def render(profile: Profile, verb: Verb, crm_unit_id: str, body: Mapping[str, Value]) -> Request:
    """Return the request of one call, addressed by our own id; equal arguments give equal bytes."""
    match verb:
        case Verb.MOVE_IN:
            return _request("PUT", profile.tenancy_path, crm_unit_id, canonical(_move_in(profile, body)))
        case Verb.MOVE_OUT:
            return _request("DELETE", profile.tenancy_path, crm_unit_id, "")
        case Verb.PATCH:
            return _request("PATCH", profile.unit_path, crm_unit_id, canonical(_named(profile, body)))
        case Verb.CREATE:
            unit = _named(profile, {**body, "crm_unit_id": crm_unit_id, "occupied": False})
            return _request("PATCH", profile.bulk_path, crm_unit_id, canonical({"units": [unit]}))


def render_bulk(profile: Profile, units: Sequence[Mapping[str, Value]]) -> Request:
    """Return the request of one call of many units; equal arguments give equal bytes."""
    named = [_named(profile, unit) for unit in units]
    return Request(method="PATCH", path=profile.bulk_path, body=canonical({"units": named}).encode())


def unit_of(profile: Profile, request: Request) -> tuple[str, str] | None:
    """Return the unit id that a rendered request is addressed by, and its path's pattern; None for a bulk call."""
    for pattern in (profile.tenancy_path, profile.unit_path):
        before, _, behind = pattern.partition(_HOLE)
        segment = request.path[len(before) : len(request.path) - len(behind)]
        if segment and "/" not in segment and request.path == before + segment + behind:
            return unquote(segment), pattern
    return None


def fill(pattern: str, unit_id: str) -> str:
    """Return a path for a unit id."""
    return pattern.replace(_HOLE, _encode(unit_id))


def _move_in(profile: Profile, body: Mapping[str, Value]) -> dict[str, object]:
    """Return the body of a move-in; the tenant's id is all that we know of the tenant."""
    named = _named(profile, body)
    tenant = {name: value for name in ("pms_tenant_id",) if (value := body.get(name))}
    return {**named, "tenant": _named(profile, tenant)} if profile.takes_tenant and tenant else named


def _named(profile: Profile, body: Mapping[str, Value]) -> dict[str, object]:
    return {profile.name_of(name): value for name, value in body.items()}


def _request(method: str, path: str, crm_unit_id: str, text: str) -> Request:
    return Request(method=method, path=fill(path, crm_unit_id), body=text.encode())


def _encode(unit_id: str) -> str:
    """Return an id as one path segment. Real ids hold spaces, ``/`` and ``#``; dots alone would climb the path."""
    if set(unit_id) == {"."}:
        return unit_id.replace(".", "%2E")
    return quote(unit_id, safe="")
