"""The newer generations of the KISS unit API, in memory: their names, ids, resets, lists and remembered keys.

What a tenancy and a fact are is the local units' own logic (``worker/units/``); only what these generations do
otherwise stands here. It shares nothing with ``worker/destinations/profiles.py``, so that a fact which is wrong there
is seen here.
"""

import datetime as dt
import hashlib
import json
import random
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from parsers.events import FACTS, PLACE, TENANCY
from worker.standins.registry import APPLIED_HEADER
from worker.units import bulk, keys, wire
from worker.units.fields import Invalid, any_text, or_null, read_fields, read_object
from worker.units.patch import check_patch, patch
from worker.units.store import ulid
from worker.units.tenancy import UnitState, move_in, move_out, with_values
from worker.units.wire import Answer, Refused, Route

MINUTE = dt.timedelta(minutes=1)
SHOWN = ("unit_id", "crm_unit_id", *PLACE, "occupied", *TENANCY, *FACTS)
_WORD = re.compile(r"[a-z_]+")
_TENANT = ("pms_tenant_id", "first_name", "last_name", "phone", "email")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one generation does in its own way."""

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its names of fields, by the seed generation's."""
    is_paged: bool = False
    remembers_refusals: bool = True
    names_results: bool = False
    """The bulk call answers ``results`` and ``failed``; 422 when nothing went well."""
    counts_refused: bool = False
    """Calls that are refused with 429 count against the budget too."""


GENERATIONS: Mapping[str, Generation] = {
    "kiss-ulid": Generation(),
    "kiss-ulid-2": Generation(
        names={
            "crm_unit_id": "external_unit_id",
            "pms_tenant_id": "external_tenant_id",
            "pms_location_code": "external_location_code",
            "pms_lockout": "lockout",
            "pms_auction": "auction",
            "pms_unrentable": "unrentable",
        },
        is_paged=True,
        remembers_refusals=False,
        names_results=True,
        counts_refused=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A unit as it is kept."""

    unit: UnitState
    pull_mode: bool = False
    tenant: Mapping[str, object] | None = None
    """The block that the last move-in brought."""


class UlidUnits:
    """Units that are addressed by a ULID of the API's own."""

    def __init__(
        self, generation: Generation, *, clock: Callable[[], dt.datetime], per_minute: int = 0, seed: int = 0
    ) -> None:
        self._generation = generation
        self._clock = clock
        self._per_minute = per_minute
        self._chance = random.Random(seed)  # noqa: S311  ids that can be repeated are what is wanted
        self._turn = threading.Lock()
        self._kept: dict[str, Kept] = {}
        self._answers: dict[str, tuple[str, Answer, dt.datetime]] = {}
        self._calls: deque[dt.datetime] = deque()
        self._seed_name = {name: ours for ours, name in generation.names.items()}

    def handle(self, method: str, path: str, body: bytes, key: str | None, company: str = "default") -> Answer:  # noqa: ARG002
        """Return the answer to one request. ``path`` as sent, below the base URL, with its query."""
        with self._turn:
            try:
                route = wire.find_route(method, path)
                if route.resource == "health":
                    return wire.answer(200, "Request successful.", {"status": "ok"})
                self._count()
                return self._read(route) if method == "GET" else self._write(route, body, key)
            except Refused as refused:
                return _marked(refused.answer, applied=False)
            except Invalid as invalid:
                return _marked(self._invalid(invalid), applied=False)

    def put(self, unit: UnitState, pull_mode: bool) -> None:
        """Have a unit from the start; one without a ``unit_id`` gets one."""
        with self._turn:
            unit = unit if unit.unit_id else replace(unit, unit_id=self._ulid())
            self._kept[unit.unit_id] = Kept(unit=unit, pull_mode=pull_mode)

    def shown(self) -> list[dict[str, object]]:
        """Return all units as JSON has them, with the seed generation's names."""
        with self._turn:
            listed = wire.answer(200, "", [_show(kept) for kept in self._listed()])
        return json.loads(listed.body)["data"]

    def _count(self) -> None:
        """Count a call against the company's budget of the last minute, or refuse it: the message says how long."""
        now = self._clock()
        while self._calls and now - self._calls[0] >= MINUTE:
            self._calls.popleft()
        is_over = bool(self._per_minute) and len(self._calls) >= self._per_minute
        if not is_over or self._generation.counts_refused:
            self._calls.append(now)
        if is_over:
            first = self._calls[-self._per_minute]
            wait_s = max(1, -(-(first + MINUTE - now) // dt.timedelta(seconds=1)))
            raise Refused(wire.answer(429, f"Too many attempts. Please try again in {wait_s} seconds."))

    def _read(self, route: Route) -> Answer:
        if route.resource == "unit":
            return wire.answer(200, "Request successful.", self._outward(_show(self._known(route))), meta={})
        units, meta = self._listed(), {"count": len(self._kept)}
        if self._generation.is_paged:
            page, size = wire.pages(
                {name.replace("per_page", "page_size"): value for name, value in route.query.items()}
            )
            last = max(1, -(-len(units) // size))
            pagination = {"current_page": page, "per_page": size, "total": len(units), "last_page": last}
            units, meta = units[(page - 1) * size : page * size], {"pagination": pagination}
        rows = [self._outward(_row(kept)) for kept in units]
        listed = wire.answer(200, "Request successful.", rows, meta=meta)
        tag = f'"{hashlib.sha256(listed.body).hexdigest()[:32]}"'
        return replace(listed, headers={"ETag": tag, "Cache-Control": "no-cache"})

    def _write(self, route: Route, body: bytes, key: str | None) -> Answer:
        if key is None or not 1 <= len(key) <= keys.MAX_KEY:
            raise Invalid({"Idempotency-Key": ["The Idempotency-Key header must be 1 to 255 characters."]})
        digest, now = keys.digest(route.method, route.path, body), self._clock()
        earlier = self._answers.get(key)
        if earlier and now - earlier[2] < keys.REMEMBERED:
            kept = earlier[1] if earlier[0] == digest else wire.answer(409, wire.KEY_REUSED)
            return _marked(kept, applied=False)
        try:
            done = self._work(route, body, now)
        except Refused as refused:
            done = _marked(refused.answer, applied=False)
        except Invalid as invalid:
            done = _marked(self._invalid(invalid), applied=False)
        if done.status < 300 or self._generation.remembers_refusals:
            self._answers[key] = (digest, done, now)
        return done

    def _work(self, route: Route, body: bytes, now: dt.datetime) -> Answer:
        if route.resource == "units":
            return self._sync(self._inward_rows(wire.read_json(body)), now)
        given = {} if route.method == "DELETE" else self._inward(read_object(wire.read_json(body)))
        kept = self._known(route)
        if kept.pull_mode:
            raise Refused(wire.answer(409, wire.PULL_MODE))
        match route.method:
            case "PUT":
                tenant = self._tenant(given.pop("tenant", None))
                unit = with_values(move_in(kept.unit, given), {"pms_lockout": False})
                kept = replace(kept, unit=unit, tenant=tenant)
            case "DELETE":
                kept = replace(kept, unit=_as_vacated(kept.unit, move_out(kept.unit), {}), tenant=None)
            case _:
                kept = replace(kept, unit=patch(kept.unit, check_patch(given)))
        self._kept[kept.unit.unit_id] = kept
        message = "Unit updated." if route.method == "PATCH" else "Request successful."
        return _marked(wire.answer(200, message, self._outward(_show(kept)), meta={}), applied=True)

    def _sync(self, rows: tuple[bulk.Row, ...], now: dt.datetime) -> Answer:
        there = {kept.unit.crm_unit_id: kept for kept in self._kept.values()}

        def refusal(unit: UnitState | None, _row: bulk.Row) -> str | None:
            return wire.PULL_MODE if unit and there[unit.crm_unit_id].pull_mode else None

        states = {crm_unit_id: kept.unit for crm_unit_id, kept in there.items()}
        result = bulk.sync(rows, states, unit_ids=[self._ulid() for _ in rows], refusal=refusal)
        named = {str(row["crm_unit_id"]): row for row in rows}
        for unit in (*result.created, *result.updated):
            kept = there.get(unit.crm_unit_id, Kept(unit=unit))
            self._kept[unit.unit_id] = replace(kept, unit=_as_vacated(kept.unit, unit, named[unit.crm_unit_id]))
        total, failed, created = len(rows), len(result.errors), len(result.created)
        told: dict[str, object] = {
            "synced_at": now.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "total": total,
            "created": created,
            "updated": total - failed - created,
        }
        errors = [{"crm_unit_id": crm_unit_id, "error": self._words(reason)} for crm_unit_id, reason in result.errors]
        if not self._generation.names_results:
            told["errors"] = errors
            return _marked(wire.answer(200, result.message, told, meta={}), applied=failed < total)
        failures = {str(error["crm_unit_id"]): error["error"] for error in errors}
        told["failed"] = failed
        told["results"] = [self._outward(_result(str(row["crm_unit_id"]), failures)) for row in rows]
        status = 422 if failed == total else 200
        return _marked(wire.answer(status, result.message, told, meta={}), applied=failed < total)

    def _known(self, route: Route) -> Kept:
        kept = self._kept.get(route.crm_unit_id)
        if kept is None:
            raise Refused(wire.answer(404, "Unit not found."))
        return kept

    def _listed(self) -> list[Kept]:
        return sorted(self._kept.values(), key=lambda kept: kept.unit.unit_id)

    def _tenant(self, value: object) -> Mapping[str, object] | None:
        if value is None:
            return None
        given = self._inward(read_object(value))
        unknown = {f"tenant.{name}": ["The field is not accepted."] for name in given if name not in _TENANT}
        if unknown:
            raise Invalid(unknown)
        return read_fields(given, dict.fromkeys(_TENANT, or_null(any_text)))

    def _inward(self, body: Mapping[str, object]) -> dict[str, object]:
        """Return a body under the seed generation's names; those names themselves are refused where they changed."""
        wrong = {name: [f"The {name} field is not accepted."] for name in body if name in self._generation.names}
        if wrong:
            raise Invalid(wrong)
        return {self._seed_name.get(name, name): value for name, value in body.items()}

    def _inward_rows(self, body: object) -> tuple[bulk.Row, ...]:
        units = read_object(body).get("units")
        if isinstance(units, list):
            listed = cast("list[object]", units)
            units = [self._inward(cast("bulk.Row", row)) if isinstance(row, dict) else row for row in listed]
        return bulk.check_bulk({"units": units})

    def _outward(self, values: Mapping[str, object]) -> dict[str, object]:
        return {self._generation.names.get(name, name): value for name, value in values.items()}

    def _invalid(self, invalid: Invalid) -> Answer:
        """Return the 422, with this generation's names in paths and in words."""
        return wire.invalid(
            Invalid(
                {self._words(path): [self._words(text) for text in texts] for path, texts in invalid.errors.items()}
            )
        )

    def _words(self, text: str) -> str:
        return _WORD.sub(lambda word: self._generation.names.get(word[0], word[0]), text)

    def _ulid(self) -> str:
        return ulid(self._clock(), self._chance.randbytes(10))


def _as_vacated(before: UnitState, after: UnitState, named: Mapping[str, object]) -> UnitState:
    """Return what these generations make of a move-out: the exemption stays, the PMS's own word for the state goes.

    ``named``: what the same call sets by itself is left alone.
    """
    if after.occupied or not before.occupied:
        return after
    left = {"pms_lock_exempt": before.pms_lock_exempt, "pms_status_raw": None}
    return with_values(after, {name: value for name, value in left.items() if name not in named})


def _row(kept: Kept) -> dict[str, object]:
    unit = kept.unit
    return {
        "unit_id": unit.unit_id,
        "crm_unit_id": unit.crm_unit_id,
        "unit_name": unit.unit_name,
        "location_id": unit.pms_location_code,
        "source_type": "pull" if kept.pull_mode else "push",
    }


def _show(kept: Kept) -> dict[str, object]:
    return {**_row(kept), **{name: getattr(kept.unit, name) for name in SHOWN}, "tenant": kept.tenant}


def _result(crm_unit_id: str, failures: Mapping[str, object]) -> dict[str, object]:
    reason = failures.get(crm_unit_id)
    return {"crm_unit_id": crm_unit_id, "status": "failed" if reason else "applied", "error": reason}


def _marked(answer: Answer, *, applied: bool) -> Answer:
    return replace(answer, headers={**answer.headers, APPLIED_HEADER: "yes" if applied else "no"})
