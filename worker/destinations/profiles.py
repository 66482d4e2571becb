"""The dialects of the KISS unit API, as data, and the requests in them.

The vendor has more than one generation; base URL, paths, names and what a move-out resets are looked up here and
nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from parsers.events import Value, canonical
from worker.calls import Request, Verb
from worker.units.tenancy import RESET


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One generation of the API."""

    name: str
    base_url: str
    """Where the vendor serves it."""
    tenancy_path: str
    unit_path: str
    bulk_path: str
    reset: Mapping[str, Value]
    """The fields that its move-out resets."""
    key_header: str = "Idempotency-Key"
    remembered_s: float = 86_400.0
    """How long it remembers an idempotency key."""


KISS_V2 = Profile(
    name="kiss-v2",
    base_url="https://api.keepitsimplestorage.com/api/v2",
    tenancy_path="/units/{crm_unit_id}/tenancy",
    unit_path="/units/{crm_unit_id}",
    bulk_path="/units",
    reset=RESET,
)

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (KISS_V2,)}


def render(profile: Profile, verb: Verb, crm_unit_id: str, body: Mapping[str, Value]) -> Request:
    """Return the request of one call; equal arguments give equal bytes."""
    match verb:
        case Verb.MOVE_IN:
            return _request("PUT", profile.tenancy_path, crm_unit_id, canonical(body))
        case Verb.MOVE_OUT:
            return _request("DELETE", profile.tenancy_path, crm_unit_id, "")
        case Verb.PATCH:
            return _request("PATCH", profile.unit_path, crm_unit_id, canonical(body))
        case Verb.CREATE:
            unit = {**body, "crm_unit_id": crm_unit_id, "occupied": False}
            return _request("PATCH", profile.bulk_path, crm_unit_id, canonical({"units": [unit]}))


def _request(method: str, path: str, crm_unit_id: str, text: str) -> Request:
    return Request(method=method, path=path.replace("{crm_unit_id}", _encode(crm_unit_id)), body=text.encode())


def _encode(crm_unit_id: str) -> str:
    """Return an id as one path segment. Real ids hold spaces, ``/`` and ``#``; dots alone would climb the path."""
    if set(crm_unit_id) == {"."}:
        return crm_unit_id.replace(".", "%2E")
    return quote(crm_unit_id, safe="")
