"""Propexo as a stand-in: writes are jobs, and a job says what came of it after so many questions.

What a job ends in is chosen by ``PUT /_standin/jobs {"polls": 2, "ends": "SUCCESS"}``, or by the profile: ``failing``
and ``partial`` end every job so. Only a job that ends well changes a lease or a resident.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.settings import ConfigError
from worker.standins.frame import Asked, Budget, application, is_date, reply
from worker.standins.registry import StandIn, Wish, choose_profile
from worker.units.wire import Answer

ENDS: Mapping[str, str] = {"well": "SUCCESS", "failing": "FAILURE", "partial": "PARTIAL_SUCCESS"}
POLLS = 1
"""How often a job is PENDING before it ends, when nobody says otherwise."""

_DATES = ("start_date", "end_date", "scheduled_move_in_date", "realized_move_in_date", "scheduled_move_out_date",
          "realized_move_out_date")  # fmt: skip
_LEASE = (*_DATES, "unit_id", "property_id", "resident_id", "status")
_RESIDENT = ("first_name", "last_name", "email_1", "phone_1", "notes", "balance_due_in_cents")
_ERRORS = ["The property management system refused the record."]


@dataclass(slots=True, kw_only=True)
class _Job:
    kind: str
    id: str
    values: dict[str, Any]
    polls: int
    ends: str


class Propexo:
    """Leases and residents, and the jobs that change them."""

    def __init__(self, wish: Wish, ends: str) -> None:
        self._token = wish.token
        self._budget = Budget(wish.per_minute, wish.clock)
        self._polls = POLLS
        self._ends = ends
        self._jobs: dict[str, _Job] = {}
        self._numbers = itertools.count(1)
        self.kept: dict[str, dict[str, dict[str, Any]]] = {"leases": {}, "residents": {}}
        for row in wish.rows:
            if not row.get("lease_id") or not row.get("resident_id"):
                raise ConfigError("--units: the columns lease_id and resident_id are needed")
            self.kept["leases"][row["lease_id"]] = {}
            self.kept["residents"][row["resident_id"]] = {}

    def handle(self, asked: Asked) -> Answer:
        """Return the answer to one request."""
        if not asked.shows(self._token):
            return _refusal(401, "unauthorized", "The API key is missing or not valid.")
        if asked.parts == ("_standin", "jobs"):
            return self._choose(asked)
        if wait_s := self._budget.wait_s():
            return _refusal(429, "rate_limited", "Too many requests.", headers={"Retry-After": str(wait_s)})
        match asked.method, asked.parts:
            case "PUT", ("v1", "leases" | "residents" as kind, record_id):
                return self._put(kind, record_id, asked)
            case "GET", ("v1", "admin", "write-status", job_id):
                return self._status(job_id)
            case "GET", ("v1", "leases" | "residents" as kind, record_id) if record_id in self.kept[kind]:
                return reply(200, {"meta": {}, "result": {"id": record_id, **self.kept[kind][record_id]}})
        return _refusal(404, "not_found", "There is no such resource.")

    def shown(self) -> list[dict[str, object]]:
        """Return every lease and resident as it is now."""
        return [
            {"kind": kind, "id": name, **values} for kind, kept in self.kept.items() for name, values in kept.items()
        ]

    def _put(self, kind: str, record_id: str, asked: Asked) -> Answer:
        if record_id not in self.kept[kind]:
            return _refusal(404, "not_found", "There is no such record.")
        values = asked.read_object()
        if not values:
            return _refusal(400, "invalid_request", "The body must be a JSON object that is not empty.")
        known = _LEASE if kind == "leases" else _RESIDENT
        if asked.query.get("ignore_unknown_fields") == "true":
            values = {name: value for name, value in values.items() if name in known}
        for name, value in values.items():
            if name not in known:
                return _refusal(400, "invalid_request", f"The field {name} is not known here.")
            if (wanted := _wrong(name, value)) is not None:
                return _refusal(400, "invalid_request", f"The field {name} must be {wanted}.")
        job_id = f"job-{next(self._numbers)}"
        self._jobs[job_id] = _Job(kind=kind, id=record_id, values=values, polls=self._polls, ends=self._ends)
        return reply(200, {"meta": {"job_id": job_id}, "result": {"id": record_id, **values}}, applied=False)

    def _status(self, job_id: str) -> Answer:
        job = self._jobs.get(job_id)
        if job is None:
            return _refusal(404, "not_found", "There is no such job.")
        if job.polls > 0:
            job.polls -= 1
            return reply(200, {"write_status": "PENDING", "errors": [], "created_record_id": None})
        applied = job.ends == "SUCCESS" and bool(job.values)
        if applied:
            self.kept[job.kind][job.id].update(job.values)
            job.values = {}
        errors = [] if job.ends == "SUCCESS" else _ERRORS
        told = {"write_status": job.ends, "errors": errors, "created_record_id": None}
        return reply(200, told, applied=applied)

    def _choose(self, asked: Asked) -> Answer:
        """Choose how the jobs that begin from now on go."""
        wanted = asked.read_object() or {}
        polls, ends = wanted.get("polls", self._polls), wanted.get("ends", self._ends)
        if not isinstance(polls, int) or polls < 0 or ends not in ENDS.values():
            return _refusal(400, "invalid_request", f"polls is a number, ends one of {', '.join(ENDS.values())}")
        self._polls, self._ends = polls, ends
        return reply(200, {"polls": polls, "ends": ends}, applied=False)


def _wrong(name: str, value: object) -> str | None:
    """Return what a field's value should be, when it is not."""
    if name in _DATES:
        return None if is_date(value) else "a date as YYYY-MM-DD"
    if name.endswith("_in_cents"):
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if whole else "a whole number of cents"
    return None if value is None or (isinstance(value, str) and len(value) <= 255) else "a text"


def _refusal(status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    return reply(status, {"error": {"code": code, "message": message}}, applied=False, headers=headers)


def _refuse(status: int) -> Answer:
    headers = {"Retry-After": "1"} if status == 429 else None
    return _refusal(status, "on_request", f"Refused on request: {status}.", headers=headers)


def stand_in(wish: Wish) -> StandIn:
    """Return the stand-in; profiles: ``well``, ``failing``, ``partial``.

    Raises:
        ConfigError: the profile is not known, or a line of the units lacks a column.
    """
    propexo = Propexo(wish, ENDS[choose_profile(wish, tuple(ENDS))])
    return StandIn(app=application(propexo.handle, units=propexo.shown), units=propexo.shown, refuse=_refuse)
