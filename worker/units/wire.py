"""Requests and answers as they go over the wire: routes, JSON in, envelopes out. No store, no clock.

Errors:
    Refused(Exception)   a request gets an answer other than 2xx; ``answer`` holds it whole
"""

# pyright: strict

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, quote, unquote_to_bytes

from worker.units.fields import Invalid, text

KEY_REUSED = "Idempotency-Key reused with a different request."
PULL_MODE = "This unit is managed by a pull-mode PMS integration. Contact KISS support to change."

_METHODS: Mapping[str, tuple[str, ...]] = {
    "health": ("GET",),
    "units": ("GET", "PATCH"),
    "unit": ("GET", "PATCH"),
    "tenancy": ("PUT", "DELETE"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer; its body is JSON."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a request is about."""

    method: str
    resource: str
    """``health``, ``units``, ``unit`` or ``tenancy``."""
    crm_unit_id: str = ""
    query: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def path(self) -> str:
        """Return the path in its one spelling: two encodings of one id are the same request."""
        tail = "/tenancy" if self.resource == "tenancy" else ""
        return f"/units/{quote(self.crm_unit_id, safe='')}{tail}" if self.crm_unit_id else f"/{self.resource}"


class Refused(Exception):
    """The request is refused."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def find_route(method: str, path: str) -> Route:
    """Return the route of a path as it stands in the request line, below the base URL.

    The path is split before it is decoded, so an id may hold ``%2F``.

    Raises:
        Refused: 404 for an unknown path, 405 for another method, 422 for an id that cannot be one.
    """
    path, _, query = path.partition("?")
    match path.strip("/").split("/") if path.startswith("/") else []:
        case ["health"]:
            resource, raw_id = "health", ""
        case ["units"]:
            resource, raw_id = "units", ""
        case ["units", raw_id] if raw_id:
            resource = "unit"
        case ["units", raw_id, "tenancy"] if raw_id:
            resource = "tenancy"
        case _:
            raise Refused(answer(404, "The requested route could not be found."))
    allowed = _METHODS[resource]
    if method not in allowed:
        headers = {"Allow": ", ".join(allowed)}
        raise Refused(answer(405, f"The {method} method is not supported for this route.", headers=headers))
    last = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    return Route(method=method, resource=resource, crm_unit_id=_read_id(raw_id) if raw_id else "", query=last)


def read_json(body: bytes) -> Any:
    """Return the JSON value of a body, numbers with a fraction as Decimal, or refuse it with 400."""
    try:
        return json.loads(body.decode("utf-8"), parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, ArithmeticError, RecursionError):
        raise Refused(answer(400, "Malformed JSON.")) from None


def answer(
    status: int, message: str, data: object = None, *, headers: Mapping[str, str] | None = None, **more: object
) -> Answer:
    """Return an answer in the API's envelope; ``more`` stands beside ``message`` and ``data``."""
    envelope: dict[str, object] = {"message": message}
    if data is not None:
        envelope["data"] = data
    body = json.dumps({**envelope, **more}, separators=(",", ":"), ensure_ascii=False, default=_number)
    return Answer(status=status, body=body.encode(), headers=dict(headers or {}))


def invalid(error: Invalid) -> Answer:
    """Return the 422 that names every wrong field."""
    return answer(422, "Validation failed.", errors=error.errors)


def pages(query: Mapping[str, str], *, default: int = 20, most: int = 100) -> tuple[int, int]:
    """Return page and page size of a list's query, or raise :class:`Invalid`."""
    found: dict[str, int] = {}
    errors: dict[str, list[str]] = {}
    for name, otherwise, limit in (("page", 1, 1_000_000), ("page_size", default, most)):
        given = query.get(name, str(otherwise))
        if given.isascii() and given.isdigit() and len(given) <= 7 and 1 <= int(given) <= limit:
            found[name] = int(given)
        else:
            errors[name] = [f"The {name} field must be between 1 and {limit}."]
    if errors:
        raise Invalid(errors)
    return found["page"], found["page_size"]


def pagination(page: int, page_size: int, total_count: int) -> dict[str, dict[str, int | bool]]:
    """Return the ``meta`` of a list."""
    total_pages = -(-total_count // page_size)
    return {
        "pagination": {
            "page": page,
            "page_size": page_size,
            "total_count": total_count,
            "total_pages": total_pages,
            "has_next": page < total_pages,
            "has_previous": page > 1,
        }
    }


def _read_id(raw: str) -> str:
    try:
        return text("crm_unit_id", unquote_to_bytes(raw).decode("utf-8"))
    except UnicodeDecodeError:
        reason = "The crm_unit_id field must be UTF-8."
    except ValueError as error:
        reason = str(error)
    raise Refused(invalid(Invalid({"crm_unit_id": [reason]})))


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _number(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"{type(value).__name__} has no place in an answer")
