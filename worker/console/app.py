"""The application of the web port: a plain page, health and metrics, the operator API, the local units."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from worker.console.health import health_routes
from worker.console.ops.api import ops_api
from worker.runtime import Runtime
from worker.units.api import units_api

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gatepost</title>
<style>
 body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }}
 dt {{ font-weight: 600; margin-top: 1rem; }} dd {{ margin: 0; }} code {{ background: #eee; padding: 0 .25rem; }}
</style>
<main>
<h1>Gatepost</h1>
<p>Mail of property-management systems, turned into unit events. This port serves:</p>
<dl>
<dt><a href="/healthz">/healthz</a></dt><dd>alive</dd>
<dt><a href="/readyz">/readyz</a></dt><dd>store and broker reachable, nothing overdue</dd>
<dt><a href="/metrics">/metrics</a></dt><dd>figures for Prometheus</dd>
<dt><a href="/ops/v1/openapi.json">/ops/v1</a></dt><dd>the operator API; needs
<code>Authorization: Bearer $GATEPOST_OPS_TOKEN</code></dd>
{units}
</dl>
<p>To look into mails, events and units: <code>gatepost mail list</code>, <code>gatepost why UNIT</code>.</p>
</main>
</html>
"""
_UNITS = """<dt>/api/v2/units</dt><dd>the local units; needs
<code>Authorization: Bearer $GATEPOST_UNITS_TOKEN</code></dd>"""


def web_app(runtime: Runtime, *, units_token: str, ops_token: str) -> Starlette:
    """Return the application for a process's parts."""
    has_units = runtime.settings.uses_local_units

    async def home(_: Request) -> Response:
        return HTMLResponse(_PAGE.format(units=_UNITS if has_units else ""))

    _ = runtime.keeper  # made before several threads ask for it
    ops = Mount("/ops/v1", app=ops_api(runtime, token=ops_token))
    routes: list[BaseRoute] = [Route("/", home), *health_routes(runtime), ops]
    if has_units:
        api = units_api(
            runtime.units,
            token=units_token,
            requests_per_minute=runtime.settings.units.requests_per_minute,
            clock=runtime.clock,
        )
        routes.append(Mount("/api/v2", app=api))
    return Starlette(routes=routes)


def health_app(runtime: Runtime) -> Starlette:
    """Return the application of a process that has no web port of its own."""
    return Starlette(routes=health_routes(runtime))
