"""Reading units, and the routes, in all three ways."""

from decimal import Decimal
from typing import Any

import pytest

from tests.contract.ways import Clock, Units
from worker.units.store import LocalUnits


def test_health_answers(units: Units) -> None:
    """GET /health is 200."""
    assert units.send("GET", "/health").status == 200


def test_an_unknown_unit_is_404(units: Units) -> None:
    """A unit that is not there is 404."""
    seen = units.send("GET", "/units/A")
    assert (seen.status, seen.json) == (404, {"message": "Unit not found."})


def test_units_are_listed_in_pages(units: Units) -> None:
    """The list is in the order of the ids, 20 a page, and says where it stands."""
    for name in ("b", "B", "a", "é", "_", *(f"U-{n:02}" for n in range(18))):
        units.move_in(name.replace("é", "%C3%A9"))
    seen = units.send("GET", "/units")
    assert (seen.status, seen.json["message"], len(seen.data)) == (200, "Request successful.", 20)
    assert seen.json["meta"] == {
        "pagination": {
            "page": 1,
            "page_size": 20,
            "total_count": 23,
            "total_pages": 2,
            "has_next": True,
            "has_previous": False,
        }
    }
    last = units.send("GET", "/units?page=2")
    assert [unit["crm_unit_id"] for unit in last.data] == ["a", "b", "é"]
    assert last.data[0] == units.show("a")
    assert (last.json["meta"]["pagination"]["has_next"], last.json["meta"]["pagination"]["has_previous"]) == (
        False,
        True,
    )
    assert len(units.send("GET", "/units?page_size=100").data) == 23
    assert units.send("GET", "/units?page=3").data == []


def test_a_list_may_be_of_one_location(units: Units) -> None:
    """The location picks units, and their count."""
    units.move_in("A")
    units.move_in("B", pms_location_code="OAK & ELM")
    seen = units.send("GET", "/units?location=OAK%20%26%20ELM&page_size=1")
    assert [unit["crm_unit_id"] for unit in seen.data] == ["B"]
    assert seen.json["meta"]["pagination"]["total_count"] == 1
    assert units.send("GET", "/units?location=NONE").json["meta"]["pagination"]["total_pages"] == 0


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "page_size=101", "page_size=0", "page=", "page=1e3"])
def test_a_wrong_page_is_422(units: Units, query: str) -> None:
    """A page that cannot be is 422 and names the field."""
    seen = units.send("GET", f"/units?{query}")
    assert (seen.status, list(seen.json["errors"])) == (422, [query.partition("=")[0]])


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        ({}, "tenant_permitted", "active"),
        ({"balance_due": 50}, "tenant_permitted", "active"),
        ({"balance_due": 50.01}, "tenant_denied", "delinquent"),
        ({"balance_due": 99, "pms_lockout": True}, "tenant_denied", "pms_lockout"),
        ({"balance_due": 99, "pms_lockout": True, "pms_lock_exempt": True}, "tenant_permitted", "pms_exempt"),
        ({"pms_lock_exempt": True, "pms_auction": True}, "auction", None),
        ({"pms_auction": True, "pms_unrentable": True}, "unrentable", None),
    ],
)
def test_access_is_judged_after_every_write(
    units: Units, store: LocalUnits, facts: dict[str, Any], state: str, reason: str | None
) -> None:
    """The state and its reason follow from the facts and the location's threshold."""
    store.ensure_location("MAIN", "America/Chicago", Decimal("50.00"))
    units.move_in()
    if facts:
        units.patch(facts)
    shown = units.show()
    assert (shown["state"], shown["reason"]) == (state, reason)


def test_a_future_move_in_is_denied_until_its_day_in_the_facilitys_zone(
    units: Units, store: LocalUnits, clock: Clock
) -> None:
    """The day begins at midnight at the facility, not in UTC."""
    store.ensure_location("MAIN", "America/Chicago")
    units.move_in(move_in_date="2026-05-02")
    clock.now = clock.now.replace(day=2, hour=4, minute=59)
    assert (units.show()["state"], units.show()["reason"]) == ("tenant_denied", "future_move_in")
    clock.now = clock.now.replace(day=2, hour=5, minute=0)
    assert (units.show()["state"], units.show()["reason"]) == ("tenant_permitted", "active")


def test_a_location_may_change(units: Units, store: LocalUnits) -> None:
    """A threshold that is taken away denies nobody."""
    store.ensure_location("MAIN", "America/Chicago", Decimal("10"))
    units.move_in()
    units.patch({"balance_due": 11})
    assert units.show()["reason"] == "delinquent"
    store.ensure_location("MAIN", "America/Chicago", None)
    assert units.show()["reason"] == "active"


@pytest.mark.parametrize("path", ["/unit", "/units/A/tenant", "/units//tenancy", "/units/A/tenancy/x", "/units/A/b"])
def test_an_unknown_path_is_404(units: Units, path: str) -> None:
    """A path that is no route is 404, in other words than an unknown unit."""
    seen = units.send("PUT", path, {"balance_due": 1})
    assert (seen.status, seen.json) == (404, {"message": "The requested route could not be found."})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/units"),
        ("DELETE", "/units/A"),
        ("PATCH", "/units/A/tenancy"),
        ("PUT", "/units/A"),
        ("POST", "/health"),
    ],
)
def test_another_method_is_405(units: Units, method: str, path: str) -> None:
    """A method that a path does not have is 405."""
    assert units.send(method, path, {"balance_due": 1}).status == 405
