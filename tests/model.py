"""A separate model of the KISS unit API (seed generation), written from its documentation alone.

It shares no code with the worker: it is the oracle of the laws.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

DEFAULTS: dict[str, Any] = {
    "occupied": False,
    "pms_tenant_id": None,
    "ledger_id": None,
    "move_in_date": None,
    "balance_due": 0,
    "paid_through_date": None,
    "pms_lockout": False,
    "pms_lock_exempt": False,
    "pms_auction": False,
    "pms_unrentable": False,
    "pms_status_raw": None,
}
CLEARED = ("balance_due", "paid_through_date", "pms_lockout", "pms_lock_exempt", "pms_auction", "pms_unrentable")
TENANCY = ("pms_tenant_id", "ledger_id", "move_in_date")


def permits(unit: Mapping[str, Any], today: str = "9999") -> bool:
    """Say whether the gate opens for the tenant of a unit. ``today``: as YYYY-MM-DD; not given: every date is past."""
    if unit["occupied"] and unit["move_in_date"] and unit["move_in_date"] > today:
        return False
    if unit["pms_unrentable"] or unit["pms_auction"] or not unit["occupied"]:
        return False
    return bool(unit["pms_lock_exempt"]) or not unit["pms_lockout"]


@dataclass
class Kiss:
    """Units by id, and what was answered under each key."""

    units: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[tuple[str, str, bytes], int, dict[str, Any]]] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    writes: int = 0

    def request(self, method: str, path: str, body: bytes, key: str) -> tuple[int, dict[str, Any]]:
        """Answer one request; the same key and request get the stored answer, refusals too."""
        asked = (method, path, body)
        if key in self.answers:
            before, status, answer = self.answers[key]
            if before != asked:
                return 409, {"message": "Idempotency-Key reused with a different request."}
            return status, answer
        status, answer = self._answer(method, path, json.loads(body) if body else {})
        self.answers[key] = (asked, status, answer)
        return status, answer

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        done = {"message": "Request successful.", "data": {"unit_id": "01", "applied_at": "2026-05-01T00:00:00Z"}}
        if method == "PATCH" and path == "/units":
            item = body["units"][0]
            self.units.setdefault(item["crm_unit_id"], dict(DEFAULTS))
            self._saw(item["crm_unit_id"])
            return 200, {
                "message": "Sync completed.",
                "data": {"synced_at": "x", "total": 1, "created": 1, "updated": 0, "unchanged": 0, "errors": []},
            }
        unit_id = unquote(path.split("/")[2])
        known = unit_id in self.units
        if method == "PUT":
            self.move_in(unit_id, body)
            return (200 if known else 201), done
        if not known:
            return 404, {"message": "Unit not found."}
        if method == "DELETE":
            self.move_out(unit_id)
        else:
            self.patch(unit_id, body)
        return 200, done

    def move_in(self, unit_id: str, body: Mapping[str, Any]) -> None:
        """Record the tenancy; touch no other fact."""
        unit = self.units.setdefault(unit_id, dict(DEFAULTS))
        unit.update({"occupied": True, **{name: body.get(name) for name in TENANCY}})
        self._saw(unit_id)

    def move_out(self, unit_id: str) -> None:
        """Clear the eight facts of an occupied unit; change nothing of a vacant one."""
        unit = self.units[unit_id]
        if unit["occupied"]:
            unit.update({name: DEFAULTS[name] for name in (*CLEARED, *TENANCY, "occupied")})
        self._saw(unit_id)

    def patch(self, unit_id: str, body: Mapping[str, Any]) -> None:
        """Write what is named."""
        self.units[unit_id].update(body)
        self._saw(unit_id)

    def _saw(self, unit_id: str) -> None:
        self.writes += 1
        self.seen.append(dict(self.units[unit_id]))
