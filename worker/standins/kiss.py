"""The KISS unit API as a stand-in, in each of its generations.

``kiss-v2`` is the code of the local units themselves, on a database in memory; the newer generations are those of
``generations.py`` behind the same front.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.settings import ConfigError
from worker.standins.generations import GENERATIONS, UlidUnits
from worker.standins.registry import APPLIED_HEADER, StandIn, Wish, choose_profile
from worker.store.database import Database
from worker.store.tables import metadata
from worker.units import wire
from worker.units.api import units_api
from worker.units.store import LocalUnits
from worker.units.tables import local_keys, local_locations, local_units
from worker.units.tenancy import UnitState, with_values
from worker.units.wire import Answer

BASE_PATH = "/api/v2"
SEED = "kiss-v2"

_COLUMNS = ("crm_unit_id", "unit_name", "pms_location_code")
_BULK = 500
_PAGE = 100
_MESSAGES = {
    401: "Unauthorized.",
    409: wire.KEY_REUSED,
    429: "Too many attempts. Please try again in 1 seconds.",
    500: "Server Error.",
    503: "Service unavailable.",
}


def stand_in(wish: Wish) -> StandIn:
    """Return the stand-in of a generation; the first is ``kiss-v2``.

    Raises:
        ConfigError: the profile is not known, or a line of the units lacks a column.
    """
    profile = choose_profile(wish, (SEED, *GENERATIONS))
    for n, row in enumerate(wish.rows, start=2):
        missing = [name for name in _COLUMNS if not row.get(name)]
        if missing:
            raise ConfigError(f"--units, line {n}: {', '.join(missing)} is missing; needed: {', '.join(_COLUMNS)}")
    return _seed_generation(wish) if profile == SEED else _newer(wish, profile)


def _seed_generation(wish: Wish) -> StandIn:
    database = Database("sqlite://")
    metadata.create_all(database.engine, tables=[local_units, local_locations, local_keys])
    units = LocalUnits(database, clock=wish.clock)
    for start in range(0, len(wish.rows), _BULK):
        rows = [{name: row[name] for name in _COLUMNS} for row in wish.rows[start : start + _BULK]]
        told = json.loads(units.handle("PATCH", "/units", json.dumps({"units": rows}).encode(), None).body)
        if "data" not in told or told["data"]["errors"]:
            raise ConfigError(f"--units: {told.get('errors') or told['data']['errors']}")
    for row in wish.rows:
        if _is_pulled(row):
            units.set_pull_mode(unit=row["crm_unit_id"])
    api = units_api(_Marked(units), token=wish.token, clock=wish.clock, requests_per_minute=wish.per_minute)
    return StandIn(
        app=Starlette(routes=[Mount(BASE_PATH, app=api)]),
        base_path=BASE_PATH,
        units=lambda: _all(units),
        refuse=lambda status: _refuse(status, with_header=True),
        close=database.close,
    )


def _newer(wish: Wish, profile: str) -> StandIn:
    units = UlidUnits(GENERATIONS[profile], clock=wish.clock, per_minute=wish.per_minute, seed=wish.seed)
    for row in wish.rows:
        named = {name: row[name] for name in _COLUMNS}
        units.put(with_values(UnitState(crm_unit_id="", unit_id=row.get("unit_id", "")), named), _is_pulled(row))
    api = _Conditional(units_api(units, token=wish.token, clock=wish.clock))
    return StandIn(
        app=Starlette(routes=[Mount(BASE_PATH, app=api)]),
        base_path=BASE_PATH,
        units=units.shown,
        refuse=lambda status: _refuse(status, with_header=False),
    )


class _Marked:
    """The local units; says of a bulk call in which every unit failed that nothing took effect."""

    def __init__(self, units: LocalUnits) -> None:
        self._units = units

    def handle(self, method: str, path: str, body: bytes, key: str | None, company: str = "default") -> Answer:
        answer = self._units.handle(method, path, body, key, company)
        if method == "PATCH" and path == "/units" and answer.status == 200:
            told = json.loads(answer.body)["data"]
            if len(told["errors"]) == told["total"]:
                return replace(answer, headers={**answer.headers, APPLIED_HEADER: "no"})
        return answer


class _Conditional:
    """Answers 304 when the client's ``If-None-Match`` is what it would get (RFC 9110, 13.1.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = Headers(scope=scope).get("if-none-match") if scope["type"] == "http" else None
        is_same = False

        async def send_once(message: Message) -> None:
            nonlocal is_same
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
                is_same = wanted is not None and dict(headers).get(b"etag") == wanted.encode("latin-1")
                message = {**message, "status": 304, "headers": headers} if is_same else message
            await send({**message, "body": b""} if is_same and message["type"] == "http.response.body" else message)

        await self._app(scope, receive, send_once)


def _all(units: LocalUnits) -> Sequence[Mapping[str, Any]]:
    """Return every unit of the seed generation, page by page."""
    found: list[Mapping[str, Any]] = []
    page, has_next = 1, True
    while has_next:
        told = json.loads(units.handle("GET", f"/units?page={page}&page_size={_PAGE}", b"", None).body)
        found += told["data"]
        page, has_next = page + 1, told["meta"]["pagination"]["has_next"]
    return found


def _refuse(status: int, *, with_header: bool) -> Answer:
    headers = {"Retry-After": "1"} if status == 429 and with_header else {}
    return wire.answer(status, _MESSAGES[status], headers=headers)


def _is_pulled(row: Mapping[str, str]) -> bool:
    return row.get("pull_mode", "").strip().lower() in ("yes", "true", "1")
