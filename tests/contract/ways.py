"""Three ways to the units (in process, over plain HTTP, through the kiss client) under one face."""

import datetime as dt
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.calls import Destination, Outcome, Request, Verb
from worker.destinations.kiss import KissDestination
from worker.destinations.profiles import Profile, unit_of
from worker.standins.registry import StandIn
from worker.units.api import units_api
from worker.units.store import LocalUnits

TOKEN = "contract-token"
START = dt.datetime(2026, 5, 1, 14, 30, tzinfo=dt.UTC)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> dt.datetime:
        return self.now

    def move(self, **duration: float) -> None:
        self.now += dt.timedelta(**duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a caller sees of an answer."""

    status: int
    json: Any
    outcome: Outcome | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Any:
        return self.json["data"]


class Way(Protocol):
    """One way to the units."""

    def send(self, method: str, path: str, body: Any = None, key: str | None = None) -> Seen: ...


def as_bytes(body: Any) -> bytes:
    """Return a body as it is sent: bytes as they are, anything else as JSON."""
    if body is None:
        return b""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


class ByDestination:
    """Through a destination, which always sends a key."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._keys = itertools.count()

    def send(self, method: str, path: str, body: Any = None, key: str | None = None) -> Seen:
        request = Request(method=method, path=path, body=as_bytes(body))
        key = f"own-{next(self._keys)}" if key is None else key
        reply = self.destination.send(request, key=key, deadline_s=30)
        assert reply.status is not None, reply
        return Seen(status=reply.status, json=json.loads(reply.body), outcome=reply.outcome)


class ByUlid:
    """Through the kiss client of a newer generation: its names and ids, and a unit that is there before a move-in."""

    def __init__(self, destination: KissDestination, profile: Profile, stand_in: StandIn) -> None:
        self.destination = destination
        self.profile = profile
        self.stand_in = stand_in
        self._by_destination = ByDestination(destination)
        self._ours = {theirs: ours for ours, theirs in profile.names.items()}

    def send(self, method: str, path: str, body: Any = None, key: str | None = None) -> Seen:
        addressed = unit_of(self.profile, Request(method=method, path=path, body=b""))
        unit = addressed[0] if addressed else None
        shown = next((shown for shown in self.stand_in.units() if shown["crm_unit_id"] == unit), None)
        if method == "GET":
            return Seen(status=200 if shown else 404, json={"data": shown})
        if method == "PUT" and unit and not shown:
            place = {"unit_name": unit, "pms_location_code": "MAIN"}
            created = self.destination.send(self.destination.render(Verb.CREATE, unit, place), key=unit, deadline_s=30)
            assert created.outcome is Outcome.APPLIED, created
        seen = self._by_destination.send(method, path, body if isinstance(body, bytes) else self.theirs(body), key)
        if "errors" not in seen.json:
            return seen
        assert not {path.rpartition(".")[2] for path in seen.json["errors"]} & set(self.profile.names)
        errors = {self._path(path): messages for path, messages in seen.json["errors"].items()}
        return replace(seen, json={**seen.json, "errors": errors})

    def theirs(self, body: Any) -> Any:
        if isinstance(body, list):
            return [self.theirs(item) for item in body]
        if not isinstance(body, dict):
            return body
        return {self.profile.name_of(name): self.theirs(value) for name, value in body.items()}

    def _path(self, path: str) -> str:
        before, dot, name = path.rpartition(".")
        return before + dot + self._ours.get(name, name)


class ByHttp:
    """Over plain HTTP, as a stranger would."""

    def __init__(self, client: httpx.Client, base_url: str) -> None:
        self.client = client
        self.base_url = base_url

    def send(self, method: str, path: str, body: Any = None, key: str | None = None, token: str | None = TOKEN) -> Seen:
        headers = {} if key is None else {"Idempotency-Key": key}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        answer = self.client.request(method, self.base_url + path, content=as_bytes(body), headers=headers)
        return Seen(status=answer.status_code, json=answer.json(), headers=answer.headers)


class Units:
    """A few things that every test does."""

    def __init__(self, way: Way) -> None:
        self.send = way.send
        self.way = way

    def move_in(self, unit: str = "MAIN-B204", key: str | None = None, **changes: Any) -> Seen:
        body = {
            "pms_tenant_id": "T-1",
            "ledger_id": "L-1",
            "move_in_date": "2026-05-01",
            "unit_name": "B204",
            "pms_location_code": "MAIN",
        } | changes
        return self.send("PUT", f"/units/{unit}/tenancy", {n: v for n, v in body.items() if v is not ...}, key)

    def move_out(self, unit: str = "MAIN-B204", key: str | None = None) -> Seen:
        return self.send("DELETE", f"/units/{unit}/tenancy", None, key)

    def patch(self, facts: Any, unit: str = "MAIN-B204", key: str | None = None) -> Seen:
        return self.send("PATCH", f"/units/{unit}", facts, key)

    def bulk(self, *rows: Any, key: str | None = None) -> Seen:
        return self.send("PATCH", "/units", {"units": list(rows)}, key)

    def show(self, unit: str = "MAIN-B204") -> Any:
        seen = self.send("GET", f"/units/{unit}")
        return seen.data if seen.status == 200 else None


class Switch:
    """An application that can be changed while its server runs."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def serve(server: tuple[Switch, str], store: LocalUnits, clock: Clock, **options: Any) -> None:
    """Serve the units under /api/v2, as the web port does."""
    server[0].app = Starlette(routes=[Mount("/api/v2", app=units_api(store, token=TOKEN, clock=clock, **options))])
