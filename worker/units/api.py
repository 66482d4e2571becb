"""The local units over HTTP, in the wire format of the KISS unit API: token, rate, size, then the units' own answer.

The one place besides the task's edge where any exception is caught: a fault of ours is a 500 that says nothing.
"""

import datetime as dt
import hmac
import logging
import math
from collections.abc import Callable
from typing import Protocol

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.units.store import UnitsUnavailable
from worker.units.wire import Answer, answer

MAX_BODY_BYTES = 1_048_576
THREADS = 8  # at once; each takes a database connection
MINUTE_S = 60

log = logging.getLogger(__name__)


class Answering(Protocol):
    """Whatever answers requests as the local units do."""

    def handle(self, method: str, path: str, body: bytes, key: str | None, company: str = "default") -> Answer: ...


def units_api(
    units: Answering,
    *,
    token: str,
    requests_per_minute: int = 0,
    clock: Callable[[], dt.datetime],
    company: str = "default",
) -> ASGIApp:
    """Return the ASGI application to mount at ``/api/v2``. ``requests_per_minute`` 0: no limit."""
    if not token:
        raise ValueError("the units API needs a token that is not empty")
    return _UnitsApi(units, token=token, limit=_Limit(requests_per_minute, clock), company=company)


class _Limit:
    """So many requests in a minute, counted from the first one."""

    def __init__(self, per_minute: int, clock: Callable[[], dt.datetime]) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._until: dt.datetime | None = None
        self._left = per_minute

    def wait_s(self) -> int | None:
        """Count one request; return None when it may pass, else how many seconds to stay away."""
        if not self._per_minute:
            return None
        now = self._clock()
        if self._until is None or now >= self._until:
            self._until = now + dt.timedelta(seconds=MINUTE_S)
            self._left = self._per_minute
        if self._left:
            self._left -= 1
            return None
        return max(1, math.ceil((self._until - now).total_seconds()))


class _UnitsApi:
    def __init__(self, units: Answering, *, token: str, limit: _Limit, company: str) -> None:
        self._units = units
        self._token = token.encode()
        self._limit = limit
        self._company = company
        self._threads = CapacityLimiter(THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            given = await self._answer(request)
        except ClientDisconnect:
            return
        except UnitsUnavailable as error:
            log.warning("local units unavailable: %s", error)
            given = answer(503, "Service unavailable.")
        except Exception as error:  # noqa: BLE001  (the API's edge: nothing of ours may leak)
            log.error("local units failed: %s", type(error).__name__)
            given = answer(500, "Server Error.")
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **given.headers}
        await Response(given.body, status_code=given.status, headers=headers)(scope, receive, send)

    async def _answer(self, request: Request) -> Answer:
        path = _raw_path(request.scope)
        if path != "/health":
            if not self._is_allowed(request.headers.get("authorization", "")):
                return answer(401, "Unauthorized.", headers={"WWW-Authenticate": "Bearer"})
            wait_s = self._limit.wait_s()
            if wait_s is not None:
                message = f"Too many attempts. Please try again in {wait_s} seconds."
                return answer(429, message, headers={"Retry-After": str(wait_s)})
        body = await _read_body(request)
        if body is None:
            return answer(
                413, f"The body must not be larger than {MAX_BODY_BYTES} bytes.", headers={"Connection": "close"}
            )
        query = request.scope.get("query_string", b"").decode("latin-1")
        target = f"{path}?{query}" if query else path
        key = request.headers.get("idempotency-key")
        return await anyio.to_thread.run_sync(
            self._units.handle, request.method, target, body, key, self._company, limiter=self._threads
        )

    def _is_allowed(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._token)
        return same and scheme.lower() == "bearer"


def _raw_path(scope: Scope) -> str:
    """Return the path as the client sent it, still percent-encoded, below the point where we are mounted."""
    raw = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
    return raw.removeprefix(scope.get("root_path", "")) or "/"


async def _read_body(request: Request) -> bytes | None:
    """Return the body, or None when it is too large."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)
