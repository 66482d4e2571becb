"""A described API's stand-in that listens on loopback, and a destination before it."""

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from parsers.events import Value
from worker.calls import Outcome, Reply, Verb
from worker.catalogue import load_api
from worker.destinations.http import HttpDestination
from worker.standins.faults import LOG_PATH, Faults, with_faults
from worker.standins.registry import Wish, load
from worker.standins.resharmonics import CLIENT_ID
from worker.standins.serve import serving

SECRET = "a-secret-of-the-tests"
NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)

ROWS: Mapping[str, Mapping[str, str]] = {
    "propexo": {"lease_id": "L 1/2", "resident_id": "R-1"},
    "propertysaas": {"organization_id": "O-7", "property_id": "P-1", "unit_id": "U 1/2"},
    "resharmonics": {
        "unit_id": "31",
        "room_stay_id": "41",
        "tenant_id": "T-5001",
        "contact_id": "51",
        "company_name": "Acme Stays",
        "end_date": "2027-04-30",
    },
}
"""The one unit of each stand-in."""

ABOUT: Mapping[str, Mapping[str, Value]] = {
    "propexo": ROWS["propexo"],
    "propertysaas": ROWS["propertysaas"],
    "resharmonics": {"unit_id": "31", "room_stay_id": "41"},
}
"""The columns of its unit map."""

MOVE_IN: Mapping[str, Value] = {
    "pms_tenant_id": "T-5001",
    "ledger_id": "L-9911",
    "move_in_date": "2026-05-01",
    "unit_name": "B204",
    "pms_location_code": "MAIN-ST",
}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += dt.timedelta(seconds=seconds)


@dataclass(slots=True, kw_only=True)
class Rig:
    """A destination, and the stand-in that it speaks to."""

    api: str
    root: str
    destination: HttpDestination
    clock: Clock
    key: str = "gp1-key"

    def call(self, verb: Verb, body: Mapping[str, Value], **about: Value) -> Reply:
        """Render one call and send it."""
        known: dict[str, Value] = {"unit": "B204", "location": "MAIN-ST", **ABOUT[self.api], **about}
        request = self.destination.render(verb, "MAIN-ST-B204", body, about=known)
        return self.destination.send(request, key=self.key, deadline_s=30)

    def settle(self, reply: Reply) -> Reply:
        """Ask for the job of a reply until it has ended, at most nine times."""
        for _ in range(9):
            if reply.outcome is not Outcome.ACCEPTED:
                break
            assert reply.job is not None
            reply = self.destination.ask(reply.job, deadline_s=30)
        return reply

    def show(self, path: str = LOG_PATH) -> Any:
        """Return what the stand-in says of itself."""
        return httpx.get(self.root + path, trust_env=False).json()

    def seen(self) -> list[tuple[str, str, int | None]]:
        """Return method, path and status of each request that came."""
        return [(row["method"], row["path"], row["status"]) for row in self.show()["requests"]]

    def held(self) -> Any:
        """Return what the stand-in holds."""
        return self.show()["units"]

    def tell(self, path: str, body: Any = None) -> None:
        """Tell the stand-in to behave."""
        headers = {"Authorization": f"Bearer {SECRET}"}
        httpx.put(self.root + path, json=body, headers=headers, trust_env=False).raise_for_status()


@contextlib.contextmanager
def rig(
    api: str,
    *,
    faults: Faults | None = None,
    profile: str = "",
    per_minute: int = 0,
    rows: tuple[Mapping[str, str], ...] | None = None,
    name: str = "far",
    **options: Any,
) -> Iterator[Rig]:
    """Yield a listening stand-in and a destination before it."""
    clock = Clock()
    wish = Wish(
        token=SECRET,
        clock=clock,
        profile=profile,
        per_minute=per_minute,
        rows=(ROWS[api],) if rows is None else rows,
    )
    made = load(api)(wish)
    with serving(with_faults(made, faults or Faults(), clock=clock)) as root:
        secrets = {"client_id": lambda: CLIENT_ID, "client_secret": lambda: SECRET}
        given = secrets if load_api(api).oauth else {"token": lambda: SECRET}
        destination = HttpDestination(
            name=name,
            spec=load_api(api),
            base_url=root + made.base_path,
            clock=clock,
            timeout_s=30,
            **(given | options),
        )
        try:
            yield Rig(api=api, root=root, destination=destination, clock=clock)
        finally:
            destination.close()
            made.close()
