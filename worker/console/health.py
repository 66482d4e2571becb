"""``/healthz``, ``/readyz`` and ``/metrics``, the same for every process."""

import asyncio

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from worker import metrics
from worker.runtime import Runtime
from worker.store import counts, pauses

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def health_routes(runtime: Runtime) -> list[Route]:
    """Return the three routes for a process."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        try:
            found = await asyncio.wait_for(run_in_threadpool(readiness, runtime), 8)
        except TimeoutError:
            found = {"store": "no answer within 8 s"}
        is_ready = all(value == "ok" for value in found.values())
        return JSONResponse({"ready": is_ready, **found}, 200 if is_ready else 503)

    async def scrape(_: Request) -> Response:
        text = await run_in_threadpool(metrics.exposition, runtime.db, runtime.clock)
        return Response(text, media_type=_TEXT)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", scrape)]


def readiness(runtime: Runtime) -> dict[str, str]:
    """Return ``ok`` or what is wrong, for the store, the broker and the oldest due row; and why nothing is sent."""
    found = {"store": "ok", "broker": "ok", "oldest_due": "ok"}
    try:
        with runtime.db.read() as connection:
            oldest_s = counts.oldest_due_s(connection, now=runtime.clock())
            stopped = pauses.everything_paused(connection, runtime.clock())
        if stopped is not None:
            found["sending"] = stopped
        limit_s = runtime.settings.health.oldest_due_s
        if oldest_s > limit_s:
            found["oldest_due"] = f"{oldest_s:.0f} s, over the limit of {limit_s:.0f} s"
    except Exception as error:  # noqa: BLE001  whatever is wrong with the store, this page has to say so
        found["store"] = type(error).__name__
    if runtime.doorbell.length() is None:
        found["broker"] = "cannot be reached"
    return found
