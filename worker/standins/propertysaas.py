"""Property Management SaaS as a stand-in: tenants, leases and unit status, in the described envelope."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from worker.settings import ConfigError
from worker.standins.frame import MINUTE, Asked, Budget, application, is_date, reply
from worker.standins.registry import StandIn, Wish, choose_profile
from worker.units.wire import Answer

BASE_PATH = "/api/v1"
_COLUMNS = ("organization_id", "property_id", "unit_id")
_CODES: Mapping[int, str] = {
    401: "AUTHENTICATION_FAILED",
    403: "INSUFFICIENT_PERMISSIONS",
    404: "RESOURCE_NOT_FOUND",
    409: "VALIDATION_ERROR",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255


def _text_or_null(value: object) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= 255)


def _amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _date_or_null(value: object) -> bool:
    return value is None or is_date(value)


_STATUS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "status": (lambda value: value in ("occupied", "vacant"), "must be occupied or vacant"),
    "vacated_on": (is_date, "must be a date as YYYY-MM-DD"),
    "balance_due": (_amount, "must be an amount of at least 0"),
    "paid_through": (_date_or_null, "must be a date as YYYY-MM-DD, or null"),
    "access": (lambda value: value in ("granted", "suspended"), "must be granted or suspended"),
    "rentable": (lambda value: value in ("yes", "no"), "must be yes or no"),
    "note": (_text_or_null, "must be a text of at most 255 characters"),
}
_LEASE: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "start_date": (is_date, "must be a date as YYYY-MM-DD"),
    "ledger_id": (_text, "must be a text of at most 255 characters"),
}


class PropertySaas:
    """One organization's properties."""

    def __init__(self, wish: Wish) -> None:
        self._token = wish.token
        self._clock = wish.clock
        self._per_minute = wish.per_minute
        self._budget = Budget(wish.per_minute, wish.clock)
        self._organizations: set[str] = set()
        self.units: dict[tuple[str, str], dict[str, Any]] = {}
        self.tenants: dict[tuple[str, str], dict[str, Any]] = {}
        for row in wish.rows:
            missing = [name for name in _COLUMNS if not row.get(name)]
            if missing:
                raise ConfigError(f"--units: {', '.join(missing)} is missing; needed: {', '.join(_COLUMNS)}")
            self._organizations.add(row["organization_id"])
            self.units[row["property_id"], row["unit_id"]] = {"status": "vacant", "tenant_id": None}

    def handle(self, asked: Asked) -> Answer:
        """Return the answer to one request."""
        if not asked.shows(self._token):
            return self.refusal(401, "The token is missing or not valid.", asked)
        if self._organizations and asked.headers.get("x-organization-id") not in self._organizations:
            return self.refusal(403, "The organization is not one that this token may act for.", asked)
        if wait_s := self._budget.wait_s():
            return self.refusal(429, "Too many requests.", asked, wait_s=wait_s)
        match asked.method, asked.parts[2:]:
            case "PUT", ("properties", place, "units", unit, "status") if (place, unit) in self.units:
                return self._put_status(place, unit, asked)
            case "PUT", ("properties", place, "tenants", tenant) if any(key[0] == place for key in self.units):
                return self._put_tenant(place, tenant, asked)
            case "GET", ("properties", place, "tenants", tenant) if (place, tenant) in self.tenants:
                return self._done(asked, self.tenants[place, tenant], applied=False)
            case "DELETE", ("properties", place, "tenants", tenant) if (place, tenant) in self.tenants:
                self._leave(place, self.tenants.pop((place, tenant))["unit_id"])
                return self._done(asked, {"tenant_id": tenant})
        return self.refusal(404, "There is no such resource.", asked)

    def shown(self) -> list[dict[str, object]]:
        """Return every unit as it is now, with the tenant in it."""
        return [
            {
                "property_id": place,
                "unit_id": unit,
                **values,
                "tenant": self.tenants.get((place, values["tenant_id"] or "")),
            }
            for (place, unit), values in self.units.items()
        ]

    def _put_status(self, place: str, unit: str, asked: Asked) -> Answer:
        told = asked.read_object()
        if wrong := _faults(told, _STATUS, needed=()):
            return self.refusal(422, "The body is not valid.", asked, details=wrong)
        values = told or {}
        if values.get("status") == "occupied" and self.units[place, unit]["tenant_id"] is None:
            return self.refusal(422, "The body is not valid.", asked, details={"status": "there is no tenant"})
        self.units[place, unit].update(values)
        if values.get("status") == "vacant":
            self._leave(place, unit)
        return self._done(asked, {"unit_id": unit, **self.units[place, unit]})

    def _put_tenant(self, place: str, tenant: str, asked: Asked) -> Answer:
        told = asked.read_object() or {}
        lease = told.get("lease")
        wrong = {name: "is not known" for name in told if name not in ("unit_id", "lease")}
        if (place, told.get("unit_id")) not in self.units:
            wrong["unit_id"] = "is no unit of this property"
        wrong |= {f"lease.{name}": why for name, why in _faults(lease, _LEASE, needed=("start_date",)).items()}
        if wrong:
            return self.refusal(422, "The body is not valid.", asked, details=wrong)
        unit = told["unit_id"]
        self._leave(place, unit)
        self.tenants[place, tenant] = {"tenant_id": tenant, "unit_id": unit, "lease": lease}
        self.units[place, unit].update({"status": "occupied", "tenant_id": tenant})
        return self._done(asked, self.tenants[place, tenant])

    def _leave(self, place: str, unit: str) -> None:
        """Let whoever is in a unit leave it."""
        values = self.units[place, unit]
        self.tenants.pop((place, values["tenant_id"] or ""), None)
        values.update({"status": "vacant", "tenant_id": None})

    def _meta(self, asked: Asked) -> dict[str, object]:
        request_id = asked.headers.get("x-request-id") or str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(asked.parts)))
        return {"timestamp": self._clock().isoformat(), "request_id": request_id, "version": "1.0"}

    def _limits(self) -> dict[str, str]:
        if not self._per_minute:
            return {}
        reset = int((self._clock() + MINUTE).timestamp())
        limit = {"X-RateLimit-Limit": str(self._per_minute), "X-RateLimit-Window": "60"}
        return {**limit, "X-RateLimit-Reset": str(reset)}

    def _done(self, asked: Asked, values: object, *, applied: bool = True) -> Answer:
        told = {"success": True, "data": values, "meta": self._meta(asked)}
        return reply(200, told, applied=applied, headers=self._limits())

    def refusal(
        self,
        status: int,
        message: str,
        asked: Asked,
        *,
        details: Mapping[str, str] | None = None,
        wait_s: int | None = None,
    ) -> Answer:
        """Return a refusal in the envelope."""
        listed = [{"field": name, "message": why} for name, why in (details or {}).items()]
        error: dict[str, object] = {"code": _CODES[status], "message": message, "details": listed}
        if wait_s is not None:
            error["retry_after"] = wait_s
        meta = {**self._meta(asked), "correlation_id": str(uuid.uuid5(uuid.NAMESPACE_URL, message))}
        return reply(status, {"success": False, "error": error, "meta": meta}, applied=False, headers=self._limits())


def _faults(
    told: object, known: Mapping[str, tuple[Callable[[object], bool], str]], *, needed: tuple[str, ...]
) -> dict[str, str]:
    """Return what is wrong with an object, by field."""
    if not isinstance(told, dict) or not told:
        return {"body": "must be an object that is not empty"}
    wrong = {name: "is required" for name in needed if name not in told}
    for name, value in told.items():
        if name not in known:
            wrong[name] = "is not known"
        elif not known[name][0](value):
            wrong[name] = known[name][1]
    return wrong


def stand_in(wish: Wish) -> StandIn:
    """Return the stand-in.

    Raises:
        ConfigError: the profile is not known, or a line of the units lacks a column.
    """
    choose_profile(wish, ())
    saas = PropertySaas(wish)
    nobody = Asked(method="GET", parts=(), query={}, headers={}, body=b"")

    def refuse(status: int) -> Answer:
        return saas.refusal(status, f"Refused on request: {status}.", nobody, wait_s=1 if status == 429 else None)

    return StandIn(app=application(saas.handle, units=saas.shown), base_path=BASE_PATH, units=saas.shown, refuse=refuse)
