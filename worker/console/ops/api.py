"""The operator API's edge: token, request id, size and time of the body, then the route's own answer.

Whatever is not foreseen is a 500 that says nothing, and a log line without a value.
"""

import asyncio
import datetime as dt
import hmac
import re
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from worker import log
from worker.actions import CannotDo
from worker.console.ops.asked import Asked
from worker.console.ops.body import Body, too_large
from worker.console.ops.describe import describe
from worker.console.ops.envelope import Answer, Refused, invalid, refusal_body, success_body
from worker.console.ops.routes import find_route
from worker.runtime import Runtime
from worker.smtp.intake import Budget
from worker.store.database import StoreError
from worker.store.query import QueryError
from worker.views import NotThere

THREADS = 8  # at once; each takes a database connection
OPENAPI = "/openapi.json"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def ops_api(runtime: Runtime, *, token: str) -> ASGIApp:
    """Return the ASGI application to mount at ``/ops/v1``."""
    if not token:
        raise ValueError("the operator API needs a token that is not empty")
    return _OpsApi(runtime, token)


class _OpsApi:
    def __init__(self, runtime: Runtime, token: str) -> None:
        self._runtime = runtime
        self._token = token.encode()
        self._threads = CapacityLimiter(THREADS)
        self._budget = Budget(runtime.settings.smtp.bytes_in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        given = request.headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        now = self._runtime.clock()
        try:
            status, body, headers = await self._respond(request, request_id, now)
        except ClientDisconnect:
            return
        except Refused as refused:
            status, headers = refused.status, dict(refused.headers)
            body = refusal_body(refused, request_id=request_id, now=now)
        headers = {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Request-ID": request_id,
            **headers,
        }
        await Response(body, status_code=status, headers=headers)(scope, receive, send)

    async def _respond(self, request: Request, request_id: str, now: dt.datetime) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers of an answer.

        Raises:
            Refused: what the caller is told instead.
        """
        try:
            answer = await self._answer(request, now)
            headers = dict(answer.headers)
            if answer.raw is not None:
                return answer.status, answer.raw, headers
            return answer.status, success_body(answer, request_id=request_id, now=now), headers
        except (Refused, ClientDisconnect):
            raise
        except Exception as error:
            raise self._told(error, request_id) from error

    def _told(self, error: Exception, request_id: str) -> Refused:
        """Return what a caller is told of an error."""
        if isinstance(error, NotThere):
            return Refused(404, str(error))
        if isinstance(error, CannotDo):
            return Refused(409, str(error))
        if isinstance(error, QueryError):
            return invalid({"q": str(error)})
        log.trouble(event="ops_failed", request_id=request_id, error=log.where(error))
        if isinstance(error, StoreError | OSError) or type(error).__module__.startswith("sqlalchemy."):
            return Refused(503, "The store cannot be used now; try again later.", headers={"Retry-After": "5"})
        return Refused(500, "Something of ours is broken.")

    async def _answer(self, request: Request, now: dt.datetime) -> Answer:
        path = _raw_path(request.scope)
        if path == OPENAPI and request.method in ("GET", "HEAD"):
            return Answer(raw=describe())
        if not self._is_allowed(request.headers.get("authorization", "")):
            raise Refused(401, "The token is missing or not valid.", headers={"WWW-Authenticate": "Bearer"})
        route, named = find_route(request.method, path)
        smtp = self._runtime.settings.smtp
        max_bytes = smtp.max_message_bytes if route.body == "raw" else route.max_bytes
        body = Body(self._budget, max_bytes=max_bytes, memory_bytes=smtp.memory_bytes, directory=smtp.spool_dir)
        asked = Asked(
            path=named,
            query=_query(request.scope),
            headers=request.headers,
            peer=request.client.host if request.client else None,
            now=now,
            body=body,
        )
        try:
            asked.check_query([param.name for param in route.params])
            await _read(request, body, smtp.data_timeout_s)
            return await anyio.to_thread.run_sync(route.act, self._runtime, asked, limiter=self._threads)
        finally:
            body.close()

    def _is_allowed(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._token)
        return same and scheme.lower() == "bearer"


async def _read(request: Request, body: Body, within_s: float) -> None:
    """Take the body of a request in.

    Raises:
        Refused: it is too large or too slow, or there is no room for it.
    """
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > body.max_bytes:
        raise too_large(body.max_bytes)
    try:
        async with asyncio.timeout(within_s):
            async for piece in request.stream():
                await body.take(piece)
    except TimeoutError:
        raise Refused(408, "The body takes too long.", headers={"Connection": "close"}) from None


def _raw_path(scope: Scope) -> str:
    """Return the path as the client sent it, still percent-encoded, below the point where we are mounted."""
    raw = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
    return raw.removeprefix(scope.get("root_path", "")) or "/"


def _query(scope: Scope) -> Mapping[str, str]:
    text = scope.get("query_string", b"").decode("latin-1")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise invalid({"query": "has too many parameters"}) from None
