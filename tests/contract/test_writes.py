"""Every sentence of the KISS unit API on single writes, in all three ways."""

import json
import re
from typing import Any

import pytest

from tests.contract.ways import Clock, Units
from worker.units.store import LocalUnits

ALL_FACTS = {
    "balance_due": 120.5,
    "paid_through_date": "2026-06-01",
    "pms_lockout": True,
    "pms_lock_exempt": True,
    "pms_auction": True,
    "pms_unrentable": True,
    "pms_status_raw": "Overlocked by manager",
}
AFTER_MOVE_OUT = {
    "pms_tenant_id": None,
    "move_in_date": None,
    "balance_due": 0,
    "paid_through_date": None,
    "pms_lockout": False,
    "pms_lock_exempt": False,
    "pms_auction": False,
    "pms_unrentable": False,
}


def test_a_move_in_creates_an_unknown_unit(units: Units) -> None:
    """A move-in for an unknown unit is 201, and the unit is there with its tenancy and no other fact."""
    seen = units.move_in()
    assert (seen.status, seen.json["message"]) == (201, "Request successful.")
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", seen.data["unit_id"])
    assert seen.data["applied_at"] == "2026-05-01T14:30:00Z"
    assert units.show() == {
        "unit_id": seen.data["unit_id"],
        "crm_unit_id": "MAIN-B204",
        "unit_name": "B204",
        "pms_location_code": "MAIN",
        "occupied": True,
        "pms_tenant_id": "T-1",
        "ledger_id": "L-1",
        "move_in_date": "2026-05-01",
        "balance_due": 0,
        "paid_through_date": None,
        "pms_lockout": False,
        "pms_lock_exempt": False,
        "pms_auction": False,
        "pms_unrentable": False,
        "pms_status_raw": None,
        "state": "tenant_permitted",
        "reason": "active",
        "updated_at": "2026-05-01T14:30:00Z",
    }


def test_a_move_in_of_a_known_unit_touches_no_fact(units: Units) -> None:
    """A move-in for a known unit is 200 and changes the tenancy only; name and place stay as they were."""
    first = units.move_in()
    units.patch(ALL_FACTS)
    before = units.show()
    seen = units.move_in(pms_tenant_id="T-2", ledger_id="L-2", move_in_date="2026-05-02", unit_name="other")
    assert (seen.status, seen.data["unit_id"]) == (200, first.data["unit_id"])
    expected = before | {"pms_tenant_id": "T-2", "ledger_id": "L-2", "move_in_date": "2026-05-02"}
    assert units.show() == expected


def test_a_move_in_replaces_the_whole_tenancy(units: Units) -> None:
    """A move-in that names no ledger leaves none of the tenancy before it."""
    units.move_in()
    assert units.move_in(pms_tenant_id="T-2", ledger_id=...).status == 200
    assert units.show()["ledger_id"] is None


def test_a_known_unit_needs_no_place(units: Units) -> None:
    """The name and the location are needed only when the unit is new."""
    units.move_in()
    assert units.move_in(unit_name=..., pms_location_code=...).status == 200


@pytest.mark.parametrize("missing", ["pms_tenant_id", "move_in_date", "unit_name", "pms_location_code"])
def test_a_move_in_of_a_new_unit_needs_its_fields(units: Units, missing: str) -> None:
    """A move-in that lacks a field is 422, names the field, and creates nothing."""
    seen = units.move_in(**{missing: ...})
    assert seen.status == 422
    assert seen.json == {"message": "Validation failed.", "errors": {missing: [f"The {missing} field is required."]}}
    assert units.show() is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pms_tenant_id", 5),
        ("pms_tenant_id", "x" * 256),
        ("pms_tenant_id", "  "),
        ("ledger_id", True),
        ("move_in_date", "05/01/2026"),
        ("move_in_date", "2026-02-30"),
        ("move_in_date", "20260501"),
        ("move_in_date", "2026-05-01T00:00:00Z"),
        ("unit_name", ["B204"]),
        ("unit_name", "nul\0"),
        ("pms_location_code", {}),
        ("email", "jane@example.com"),
    ],
)
def test_a_wrong_field_of_a_move_in_is_422(units: Units, field: str, value: Any) -> None:
    """A field that is wrong or unknown is named in a 422, and nothing is written."""
    seen = units.move_in(**{field: value})
    assert (seen.status, list(seen.json["errors"])) == (422, [field])
    assert units.show() is None


def test_a_move_out_resets_exactly_eight_fields(units: Units, store: LocalUnits, clock: Clock) -> None:
    """After a move-out the eight fields are reset, the tenancy is over, and all else is kept."""
    units.move_in()
    units.patch(ALL_FACTS)
    store.note_door("MAIN-B204", lock_ids=("lock-1", "lock-2"), last_accessed_at=clock.now)
    before = units.show()
    clock.move(hours=1)
    seen = units.move_out()
    assert (seen.status, seen.json["message"]) == (200, "Request successful.")
    assert seen.data == {"unit_id": before["unit_id"], "applied_at": "2026-05-01T15:30:00Z"}
    after = units.show()
    changed = {name: value for name, value in after.items() if value != before[name]}
    told = {"occupied": False, "ledger_id": None, "state": "vacant", "updated_at": "2026-05-01T15:30:00Z"}
    expected = AFTER_MOVE_OUT | told
    assert changed == expected
    assert after["pms_status_raw"] == "Overlocked by manager"
    unit = store.unit("MAIN-B204")
    assert unit is not None
    assert (unit.lock_ids, unit.last_accessed_at) == (("lock-1", "lock-2"), clock.now.replace(hour=14))


def test_a_move_out_of_a_vacant_unit_changes_nothing(units: Units, clock: Clock) -> None:
    """A vacant unit answers a move-out with 200 and stays as it is, facts set since included."""
    units.move_in()
    units.move_out()
    units.patch({"balance_due": 30, "pms_unrentable": True})
    before = units.show()
    clock.move(hours=1)
    assert units.move_out().status == 200
    assert units.show() == before


@pytest.mark.parametrize("call", ["move_out", "patch"])
def test_an_unknown_unit_is_404_and_never_created(units: Units, call: str) -> None:
    """A move-out or patch of an unknown unit is 404 and creates nothing."""
    seen = units.move_out() if call == "move_out" else units.patch({"pms_lockout": True})
    assert (seen.status, seen.json) == (404, {"message": "Unit not found."})
    assert units.show() is None


@pytest.mark.parametrize("fact", sorted(ALL_FACTS))
def test_a_patch_sets_what_it_names_and_nothing_else(units: Units, fact: str) -> None:
    """A patch of one fact changes that fact; six others and the tenancy stay."""
    units.move_in()
    before = units.show()
    seen = units.patch({fact: ALL_FACTS[fact]})
    assert (seen.status, seen.json["message"]) == (200, "Unit updated.")
    assert seen.data == {"unit_id": before["unit_id"], "applied_at": "2026-05-01T14:30:00Z"}
    after = units.show()
    assert {name for name in after if after[name] != before[name]} - {"state", "reason"} == {fact}
    assert after[fact] == ALL_FACTS[fact]


def test_null_clears_date_and_status(units: Units) -> None:
    """paid_through_date and pms_status_raw take null, which clears them."""
    units.move_in()
    units.patch(ALL_FACTS)
    assert units.patch({"paid_through_date": None, "pms_status_raw": None}).status == 200
    assert (units.show()["paid_through_date"], units.show()["pms_status_raw"]) == (None, None)


@pytest.mark.parametrize("field", ["occupied", "tenant_id", "pms_tenant_id", "move_in_date", "ledger_id", "colour"])
def test_a_patch_takes_facts_only(units: Units, field: str) -> None:
    """A patch that names a matter of tenancy or an unknown field is 422, also beside a good fact."""
    units.move_in()
    before = units.show()
    seen = units.patch({"balance_due": 9, field: "2026-05-01"})
    assert (seen.status, seen.json["message"], list(seen.json["errors"])) == (422, "Validation failed.", [field])
    assert units.show() == before


@pytest.mark.parametrize(
    "facts",
    [
        {"balance_due": -0.01},
        {"balance_due": 1.005},
        {"balance_due": "10.00"},
        {"balance_due": None},
        {"balance_due": True},
        {"balance_due": 10_000_000_000},
        {"pms_lockout": None},
        {"pms_lock_exempt": 1},
        {"pms_auction": "true"},
        {"pms_unrentable": 0},
        {"paid_through_date": "2026-13-01"},
        {"paid_through_date": ""},
        {"paid_through_date": 20260501},
        {"pms_status_raw": "x" * 256},
        {"pms_status_raw": 7},
    ],
)
def test_a_wrong_fact_is_422(units: Units, facts: dict[str, Any]) -> None:
    """A fact of the wrong kind is named in a 422 and nothing changes."""
    units.move_in()
    before = units.show()
    seen = units.patch(facts)
    assert (seen.status, list(seen.json["errors"])) == (422, list(facts))
    assert all(isinstance(messages, list) and messages for messages in seen.json["errors"].values())
    assert units.show() == before


@pytest.mark.parametrize("body", [{}, [], "text", 5, None])
def test_a_patch_of_nothing_is_422(units: Units, body: Any) -> None:
    """An empty patch, or JSON that is no object, is 422."""
    units.move_in()
    assert units.send("PATCH", "/units/MAIN-B204", json.dumps(body).encode()).status == 422


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"balance_due": NaN}', b'{"balance_due": Infinity}', b"\xff\xfe", b"[" * 100_000, b'{"a":1}x'],
)
def test_malformed_json_is_400(units: Units, body: bytes) -> None:
    """What is not JSON is 400, for each call that has a body."""
    for method, path in (("PATCH", "/units/B"), ("PUT", "/units/B/tenancy"), ("PATCH", "/units")):
        seen = units.send(method, path, body)
        assert (seen.status, seen.json) == (400, {"message": "Malformed JSON."})


def test_money_is_exact(units: Units) -> None:
    """A balance comes back as it went in, to the cent."""
    units.move_in()
    for amount in (0.1, 19.99, 1234567.89, 9999999999.99, 0):
        units.patch({"balance_due": amount})
        assert units.show()["balance_due"] == amount


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        ("A%20B", "A B"),
        ("MAIN%2FB204", "MAIN/B204"),
        ("Unit%20%2312", "Unit #12"),
        ("50%25", "50%"),
        ("a%3Fb%26c", "a?b&c"),
        ("%C3%A9t%C3%A9", "été"),
        ("%2E%2E", ".."),
        ("a%2Ftenancy", "a/tenancy"),
    ],
)
def test_ids_are_percent_encoded(units: Units, encoded: str, decoded: str) -> None:
    """An id with spaces, slashes or hashes reaches its unit in every call."""
    assert units.move_in(encoded).status == 201
    assert units.patch({"balance_due": 3}, encoded).status == 200
    assert (units.show(encoded)["crm_unit_id"], units.show(encoded)["balance_due"]) == (decoded, 3)
    assert units.move_out(encoded).status == 200
    assert units.send("GET", "/units").json["meta"]["pagination"]["total_count"] == 1


@pytest.mark.parametrize("raw", ["%FF", "x" * 256, "%00", "%20"])
def test_an_impossible_id_is_422(units: Units, raw: str) -> None:
    """An id that no unit can have is 422."""
    assert list(units.move_in(raw).json["errors"]) == ["crm_unit_id"]


@pytest.mark.parametrize("on", ["unit", "location"])
def test_a_pull_mode_unit_is_409(units: Units, store: LocalUnits, on: str) -> None:
    """A unit that a pull-mode integration manages refuses every write, and stays as it is."""
    store.ensure_location("MAIN", "America/Chicago")
    units.move_in()
    store.set_pull_mode(unit="MAIN-B204") if on == "unit" else store.set_pull_mode(location="MAIN")
    before = units.show()
    message = "This unit is managed by a pull-mode PMS integration. Contact KISS support to change."
    for seen in (units.move_in(pms_tenant_id="T-9"), units.move_out(), units.patch({"pms_lockout": True})):
        assert (seen.status, seen.json) == (409, {"message": message})
    row = {"crm_unit_id": "MAIN-B204", "occupied": False}
    assert units.bulk(row).data["errors"] == [{"crm_unit_id": "MAIN-B204", "error": message}]
    assert units.show() == before


def test_a_pull_mode_location_takes_no_new_unit(units: Units, store: LocalUnits) -> None:
    """A move-in cannot create a unit at a location that a pull-mode integration manages."""
    store.ensure_location("MAIN", "America/Chicago")
    store.set_pull_mode(location="MAIN")
    assert (units.move_in().status, units.show()) == (409, None)
