"""What the stand-ins of described APIs share: a request taken apart, and one ASGI application over a plain function.

The function is called under a lock, one request after the other, so products keep plain state.
"""

import datetime as dt
import hmac
import json
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.standins.registry import APPLIED_HEADER
from worker.units.wire import Answer

MINUTE = dt.timedelta(minutes=1)
MAX_BODY_BYTES = 1_048_576
UNITS_PATH = "/_standin/units"

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request."""

    method: str
    parts: tuple[str, ...]
    """The segments of the path, decoded one by one."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes

    def shows(self, token: str) -> bool:
        """Say whether the request carries this Bearer token."""
        scheme, _, given = self.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.encode())
        return same and scheme.lower() == "bearer"

    def read_object(self) -> dict[str, Any] | None:
        """Return the JSON object of the body; None when it is none."""
        try:
            told = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return told if isinstance(told, dict) else None


Handle: TypeAlias = Callable[[Asked], Answer]


class Budget:
    """So many requests in the last minute; 0: any number."""

    def __init__(self, per_minute: int, clock: Callable[[], dt.datetime]) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._calls: deque[dt.datetime] = deque()

    def wait_s(self) -> int:
        """Count a request; return 0 when it may pass, else how many seconds to stay away."""
        now = self._clock()
        while self._calls and now - self._calls[0] >= MINUTE:
            self._calls.popleft()
        if self._per_minute and len(self._calls) >= self._per_minute:
            return max(1, math.ceil((self._calls[0] + MINUTE - now).total_seconds()))
        self._calls.append(now)
        return 0


def reply(
    status: int, told: object, *, applied: bool | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return a JSON answer; ``applied`` where it must be said whether the write took effect."""
    marked = {} if applied is None else {APPLIED_HEADER: "yes" if applied else "no"}
    return Answer(status=status, body=json.dumps(told, default=str).encode(), headers={**marked, **(headers or {})})


def is_date(value: object) -> bool:
    """Say whether a value is a date of the calendar as ``YYYY-MM-DD``."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def application(handle: Handle, *, units: Callable[[], object]) -> ASGIApp:
    """Return the application that answers with a function; ``GET /_standin/units`` shows what it holds now."""
    turn = threading.Lock()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = await request.body()
        raw = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
        asked = Asked(
            method=request.method,
            parts=tuple(unquote(part) for part in raw.strip("/").split("/")),
            query=dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )
        with turn:
            if raw == UNITS_PATH:
                given = reply(200, units())
            elif len(body) > MAX_BODY_BYTES:
                given = reply(413, {"message": f"The body must not be larger than {MAX_BODY_BYTES} bytes."})
            else:
                given = handle(asked)
        headers = {"Content-Type": "application/json", **given.headers}
        await Response(given.body, status_code=given.status, headers=headers)(scope, receive, send)

    return app
