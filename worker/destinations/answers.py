"""Sort an answer of the KISS unit API: say plainly what came of a call. Pure.

Only the API's own JSON counts as a success or as an unknown unit: a proxy's page with status 200 or 404 is neither.
"""

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from worker.calls import Many, Outcome, Reply, Request
from worker.destinations.profiles import Bulk, Profile

MAX_BODY_BYTES = 65_536
MAX_BULK_BYTES = 1_048_576
"""Of the answer to a call of many units, which may say a word of each; what is recorded of it is shorter."""
MAX_MESSAGE = 1000
DEFAULT_WAIT_S = 60.0
LONGEST_WAIT_S = 3600.0

_SECONDS = re.compile(r"\bin (\d{1,6}) seconds?\b", re.IGNORECASE)
_NO_ROUTE = re.compile(r"\broute\b.*could not be found", re.IGNORECASE)

_BY_STATUS: Mapping[int, Outcome] = {
    400: Outcome.REJECTED,
    401: Outcome.UNAUTHORIZED,
    403: Outcome.UNAUTHORIZED,
    422: Outcome.REJECTED,
    429: Outcome.LIMITED,
    502: Outcome.UNKNOWN,
    503: Outcome.UNKNOWN,
    504: Outcome.UNKNOWN,
}
"""What a status means by itself; any other is a definite failure, unless a rule below knows better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes


def sort_answer(profile: Profile, request: Request, raw: Raw, *, now: dt.datetime) -> Reply:
    """Return what an answer means for the call that it answers."""
    told = _read(raw.body)
    message = _message(told)
    if raw.status in (200, 201) or (raw.status == 422 and request.path == profile.bulk_path and _results(told)):
        reply = _sort_success(profile, request, raw, told, message)
        is_bulk = request.method == "PATCH" and request.path == profile.bulk_path
        return replace(reply, many=sort_units(profile, request, told)) if is_bulk else reply
    outcome = _BY_STATUS.get(raw.status, Outcome.FAILED)
    if raw.status == 404 and message and request.path != profile.bulk_path and not _NO_ROUTE.search(message):
        outcome = Outcome.NOT_FOUND
    elif raw.status == 409:
        outcome = _sort_conflict(message)
    elif outcome is Outcome.REJECTED and told is None:
        outcome = Outcome.FAILED  # a proxy's word, not the API's
    wait_s = retry_after_s(raw.headers.get("retry-after"), now)
    if outcome is Outcome.LIMITED and wait_s is None:
        named = _SECONDS.search(message)
        wait_s = min(float(named[1]), LONGEST_WAIT_S) if named else DEFAULT_WAIT_S
    reply = _reply(outcome, raw, message or f"answered {raw.status} without a message", retry_after_s=wait_s)
    return replace(reply, wrong=_wrong(profile, told)) if outcome is Outcome.REJECTED else reply


def _wrong(profile: Profile, told: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the fields that a refusal names, by our names; a path such as ``units.0.lockout`` ends in one."""
    errors = told.get("errors") if told else None
    named = [str(path).rpartition(".")[2] for path in errors] if isinstance(errors, dict) else []
    return tuple(dict.fromkeys(profile.ours(name) for name in named))


def _sort_success(profile: Profile, request: Request, raw: Raw, told: Mapping[str, Any] | None, message: str) -> Reply:
    """Return what 200 or 201 means: only the API's own shape is a success, and a bulk answer may hold failures."""
    data = told.get("data") if told else None
    if not isinstance(data, dict):
        return _reply(Outcome.FAILED, raw, f"answered {raw.status}, but not in the API's JSON")
    if request.path != profile.bulk_path:
        if not isinstance(data.get("unit_id"), str):
            return _reply(Outcome.FAILED, raw, f"answered {raw.status} without data.unit_id")
        return _reply(Outcome.APPLIED, raw, message, created=raw.status == 201)
    listed = "results" if profile.bulk is Bulk.RESULTS else "errors"
    if not isinstance(data.get(listed), list):
        return _reply(Outcome.FAILED, raw, f"answered {raw.status} without data.{listed}")
    errors = [item for item in data[listed] if listed == "errors" or not isinstance(item, dict) or item.get("error")]
    if errors or data.get("failed") or raw.status == 422:
        first = errors[0].get("error") if errors and isinstance(errors[0], dict) else None
        reason = str(first or message)
        conflict = _sort_conflict(reason) if "pull-mode" in reason else Outcome.REJECTED
        return _reply(conflict, raw, reason)
    created = data.get("created")
    return _reply(Outcome.APPLIED, raw, message, created=isinstance(created, int) and created > 0)


def sort_units(profile: Profile, request: Request, told: Mapping[str, Any] | None) -> Many | None:
    """Return what a bulk answer says of each unit; None when it does not account for every one that was sent."""
    id_name = profile.name_of("crm_unit_id")
    sent = {str(row.get(id_name)) for row in json.loads(request.body)["units"]}
    data = told.get("data") if told else None
    listed = data.get("results" if profile.bulk is Bulk.RESULTS else "errors") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(listed, list):
        return None
    ids = [item.get(id_name) if isinstance(item, dict) else None for item in listed]
    if not all(isinstance(one, str) and one in sent for one in ids) or len(set(ids)) != len(ids):
        return None
    are_errors = profile.bulk is Bulk.ERRORS
    if not are_errors and set(ids) != sent:
        return None
    failed = [item for item in listed if are_errors or item.get("error") or item.get("status") == "failed"]
    refused = {item[id_name]: str(item.get("error") or "failed")[:MAX_MESSAGE] for item in failed}
    return Many(refused=refused, created=_count(data, "created")) if _adds_up(data, len(sent), len(refused)) else None


def _adds_up(data: Mapping[str, Any], sent: int, refused: int) -> bool:
    """Say whether the counts of a bulk answer, as far as it gives them, are those of the units that were sent."""
    total, failed = _count(data, "total"), _count(data, "failed")
    if (total is not None and total != sent) or (failed is not None and failed != refused):
        return False
    parts = [_count(data, name) for name in ("created", "updated", "unchanged")]
    known = [part for part in parts if part is not None]
    return sum(known) + refused == sent if len(known) == len(parts) else sum(known) + refused <= sent


def _count(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _results(told: Mapping[str, Any] | None) -> bool:
    """Say whether an answer lists what came of each unit."""
    data = told.get("data") if told else None
    return isinstance(data, dict) and isinstance(data.get("results"), list)


def _sort_conflict(message: str) -> Outcome:
    """Return which of the two 409s this is. One that we do not know is taken for a matter of configuration."""
    return Outcome.KEY_REUSED if "idempotency-key" in message.lower() else Outcome.SOURCE_CONFLICT


def _reply(
    outcome: Outcome, raw: Raw, message: str, *, created: bool = False, retry_after_s: float | None = None
) -> Reply:
    return Reply(
        outcome=outcome,
        status=raw.status,
        message=message[:MAX_MESSAGE],
        body=raw.body[:MAX_BODY_BYTES],
        created=created,
        retry_after_s=retry_after_s,
    )


def _read(body: bytes) -> Mapping[str, Any] | None:
    """Return the answer's JSON object; None when it is no such thing."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _message(told: Mapping[str, Any] | None) -> str:
    """Return the API's own words; of a refusal the first wrong field with them."""
    if told is None or not isinstance(told.get("message"), str):
        return ""
    errors = told.get("errors")
    if isinstance(errors, dict) and errors:
        field, found = next(iter(errors.items()))
        first = found[0] if isinstance(found, list) and found else found
        return f"{field}: {first}"
    return told["message"]


def retry_after_s(header: str | None, now: dt.datetime) -> float | None:
    """Return the seconds of a ``Retry-After`` (RFC 9110, 10.2.3: seconds or a date); None when it says nothing."""
    if header is None:
        return None
    value = header.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST_WAIT_S)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=dt.UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT_S)
