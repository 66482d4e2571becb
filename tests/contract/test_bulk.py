"""Every sentence of the KISS unit API on bulk writes, in all three ways."""

from typing import Any

import pytest

from tests.contract.ways import Clock, Units

NEW = {"crm_unit_id": "B", "unit_name": "B", "pms_location_code": "MAIN"}
TENANT = {"occupied": True, "pms_tenant_id": "T-5", "ledger_id": "L-5", "move_in_date": "2026-04-01"}


def test_a_bulk_call_counts_what_it_did(units: Units) -> None:
    """Each unit is created, updated, unchanged or in error, and the counts add up to the total."""
    units.move_in("A")
    units.bulk(NEW)
    seen = units.bulk(
        {"crm_unit_id": "A", "balance_due": 12.5},
        NEW,
        {**NEW, "crm_unit_id": "C", **TENANT},
        {"crm_unit_id": "D", "occupied": False},
    )
    assert seen.status == 200
    assert seen.json == {
        "message": "Sync completed with errors.",
        "data": {
            "synced_at": "2026-05-01T14:30:00Z",
            "total": 4,
            "created": 1,
            "updated": 1,
            "unchanged": 1,
            "errors": [
                {
                    "crm_unit_id": "D",
                    "error": "The unit_name field is required. The pms_location_code field is required.",
                }
            ],
        },
    }
    assert units.show("D") is None
    assert (units.show("A")["balance_due"], units.show("C")["pms_tenant_id"]) == (12.5, "T-5")


def test_a_clean_bulk_call_says_so(units: Units) -> None:
    """Without errors the message is the other one."""
    seen = units.bulk(NEW)
    assert (seen.json["message"], seen.data["errors"]) == ("Sync completed.", [])


def test_units_that_are_not_named_are_untouched(units: Units, clock: Clock) -> None:
    """A bulk call is an upsert, not a replacement."""
    units.move_in("A")
    before = units.show("A")
    clock.move(hours=1)
    units.bulk(NEW)
    assert units.show("A") == before


def test_occupied_true_is_a_move_in(units: Units) -> None:
    """occupied true with tenant and date moves the tenant in and touches no fact."""
    units.bulk({**NEW, "pms_unrentable": True, "balance_due": 7})
    before = units.show("B")
    assert units.bulk({"crm_unit_id": "B", **TENANT}).data["updated"] == 1
    after = units.show("B")
    assert after == before | TENANT


def test_occupied_false_is_a_move_out(units: Units) -> None:
    """occupied false runs the same reset as a move-out."""
    facts = {"balance_due": 7, "pms_lockout": True, "pms_lock_exempt": True, "pms_status_raw": "late"}
    for unit in ("A", "B"):
        units.move_in(unit)
        units.patch(facts, unit)
    units.move_out("A")
    assert units.bulk({"crm_unit_id": "B", "occupied": False}).data["updated"] == 1
    names = ("unit_id", "crm_unit_id")
    a, b = units.show("A"), units.show("B")
    assert {n: v for n, v in b.items() if n not in names} == {n: v for n, v in a.items() if n not in names}
    assert b["pms_status_raw"] == "late"


def test_occupied_false_of_a_vacant_unit_changes_nothing(units: Units) -> None:
    """A vacant unit that is said to be vacant is unchanged, whatever facts it has."""
    units.bulk({**NEW, "balance_due": 7})
    assert units.bulk({"crm_unit_id": "B", "occupied": False}).data["unchanged"] == 1
    assert units.show("B")["balance_due"] == 7


def test_facts_of_a_row_come_after_its_reset(units: Units) -> None:
    """A row that moves out and names a fact ends with that fact."""
    units.move_in("A")
    units.bulk({"crm_unit_id": "A", "occupied": False, "balance_due": 40})
    assert (units.show("A")["occupied"], units.show("A")["balance_due"]) == (False, 40)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"occupied": True}, "pms_tenant_id"),
        ({"occupied": True, "pms_tenant_id": "T-1"}, "move_in_date"),
        ({"occupied": "yes"}, "occupied"),
        ({"occupied": False, "pms_tenant_id": "T-1"}, "pms_tenant_id"),
        ({"pms_tenant_id": "T-1"}, "pms_tenant_id"),
        ({"balance_due": -1}, "balance_due"),
        ({"pms_lockout": None}, "pms_lockout"),
        ({"unit_name": ""}, "unit_name"),
        ({"email": "jane@example.com"}, "email"),
    ],
)
def test_one_bad_unit_does_not_stop_the_rest(units: Units, row: dict[str, Any], word: str) -> None:
    """A bad row is listed with its reason, changes nothing of its unit, and the others are done."""
    units.bulk(NEW)
    before = units.show("B")
    seen = units.bulk({"crm_unit_id": "B", "pms_status_raw": "new", **row}, {**NEW, "crm_unit_id": "C"})
    assert (seen.status, seen.data["created"], len(seen.data["errors"])) == (200, 1, 1)
    assert seen.data["errors"][0]["crm_unit_id"] == "B"
    assert word in seen.data["errors"][0]["error"]
    assert units.show("B") == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "units"),
        ({"units": []}, "units"),
        ({"units": "A"}, "units"),
        ({"units": {"crm_unit_id": "A"}}, "units"),
        ({"units": [NEW, NEW]}, "units.1.crm_unit_id"),
        ({"units": [NEW, {"unit_name": "A"}]}, "units.1.crm_unit_id"),
        ({"units": [NEW, {"crm_unit_id": 5}]}, "units.1.crm_unit_id"),
        ({"units": [{"crm_unit_id": ""}]}, "units.0.crm_unit_id"),
        ({"units": [{"crm_unit_id": "x" * 256}]}, "units.0.crm_unit_id"),
        ({"units": [NEW, "A"]}, "units.1"),
        ([], "body"),
    ],
)
def test_a_bulk_call_may_be_refused_as_a_whole(units: Units, body: Any, field: str) -> None:
    """No units, ids that are missing or there twice: 422, and nothing at all is written."""
    seen = units.send("PATCH", "/units", body)
    assert (seen.status, list(seen.json["errors"])) == (422, [field])
    assert units.show("B") is None


def test_500_units_are_taken_and_501_are_not(units: Units) -> None:
    """The limit is 500, and it is a limit of the whole request."""
    rows = [{**NEW, "crm_unit_id": f"U-{n:03}", "pms_status_raw": "x" * 200} for n in range(501)]
    seen = units.bulk(*rows)
    assert (seen.status, list(seen.json["errors"])) == (422, ["units"])
    assert units.bulk(*rows[:500]).data["created"] == 500
    assert units.bulk(*rows[:500]).data["unchanged"] == 500
    assert units.send("GET", "/units").json["meta"]["pagination"]["total_count"] == 500
