"""The description of the operator API, made from its table of routes: OpenAPI 3.1."""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from worker.console.ops.envelope import CODES
from worker.console.ops.routes import ROUTES, Route
from worker.console.ops.schemas import SCHEMAS, many, ref, shape

ALWAYS = (401, 500, 503)
_WORDS: Mapping[int, str] = {200: "Done.", 202: "Stored; it takes effect soon."}
_JSON = "application/json"
_MAIL = "message/rfc822"


@functools.cache
def describe() -> bytes:
    """Return the description as JSON."""
    return json.dumps(openapi(), ensure_ascii=False, indent=1).encode()


def openapi() -> dict[str, Any]:
    """Return the description."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gatepost operator API", "version": "v1", "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/ops/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    query = [
        {
            "name": param.name,
            "in": "query",
            "required": param.is_needed,
            "description": param.about,
            "schema": param.schema,
        }
        for param in route.params
    ]
    about = "Who acts, for the audit; whoever has the token, when left out."
    actor = {"name": "X-Actor", "in": "header", "required": False, "description": about, "schema": {"type": "string"}}
    refusals = sorted({*ALWAYS, *route.refusals, *((422,) if route.params else ())})
    return {
        "operationId": route.name,
        "summary": route.about,
        "parameters": [*named, *query, *([actor] if route.is_writing else [])],
        **({"requestBody": _request(route)} if route.body else {}),
        "responses": {
            **{str(status): _answer(route, status) for status in route.answers},
            **{
                str(status): {"description": CODES[status], "content": {_JSON: {"schema": ref("Refusal")}}}
                for status in refusals
            },
        },
    }


def _request(route: Route) -> dict[str, Any]:
    if route.body == "raw":
        return {"required": True, "content": {_MAIL: {"schema": {"type": "string", "format": "binary"}}}}
    return {"required": True, "content": {_JSON: {"schema": ref(route.body)}}}


def _answer(route: Route, status: int) -> dict[str, Any]:
    name = route.answers[status]
    if name == "raw":
        content = {_MAIL: {"schema": {"type": "string", "format": "binary"}}}
    else:
        given = many(ref(name)) if route.is_list else ref(name)
        meta = ref("ListMeta" if route.is_list else "Meta")
        yes = {"type": "boolean", "enum": [True]}
        content = {_JSON: {"schema": shape({"success": yes, "data": given, "meta": meta})}}
    return {"description": _WORDS[status], "content": content}
