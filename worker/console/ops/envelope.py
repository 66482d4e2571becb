"""The envelope of every answer, and the one of every refusal."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from parsers.events import canonical
from worker.listing import Page, Wish
from worker.units import wire

VERSION = "v1"
CODES: Mapping[int, str] = {
    401: "AUTHENTICATION_FAILED",
    404: "RESOURCE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    422: "VALIDATION_ERROR",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a route gives: data for the envelope, or bytes as they are."""

    status: int = 200
    value: Any = None
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Refused(Exception):
    """A request that is not done; the text is for the caller."""

    def __init__(
        self,
        status: int,
        message: str,
        wrong: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.wrong = tuple(wrong)
        """Each field and what is wrong with it; a field may have several faults."""
        self.headers = headers


def invalid(wrong: Mapping[str, str]) -> Refused:
    """Return the refusal that names every wrong field."""
    return Refused(422, "Validation failed.", wrong.items())


def listed(page: Page, wish: Wish) -> Answer:
    """Return a page of a list."""
    return Answer(value=page.rows, meta=wire.pagination(wish.page, wish.page_size, page.total))


def success_body(answer: Answer, *, request_id: str, now: dt.datetime) -> bytes:
    """Return the JSON of an answer."""
    meta = {**_meta(request_id, now), **answer.meta}
    return _bytes({"success": True, "data": answer.value, "meta": meta})


def refusal_body(refused: Refused, *, request_id: str, now: dt.datetime) -> bytes:
    """Return the JSON of a refusal."""
    details = [{"field": name, "message": message} for name, message in refused.wrong]
    error = {"code": CODES[refused.status], "message": refused.message, "details": details}
    return _bytes({"success": False, "error": error, "meta": _meta(request_id, now)})


def _meta(request_id: str, now: dt.datetime) -> dict[str, str]:
    stamp = now.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"timestamp": stamp, "request_id": request_id, "version": VERSION}


def _bytes(value: Any) -> bytes:
    # A lone surrogate, which a caller's own field name may hold, stays an escape of JSON.
    return canonical(value).encode("utf-8", "backslashreplace")
