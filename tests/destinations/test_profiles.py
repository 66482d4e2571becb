"""The requests that calls become."""

from decimal import Decimal
from typing import get_args

import pytest

from parsers.events import Value
from worker.calls import Request, Verb
from worker.destinations.profiles import KISS_V2, PROFILES, render
from worker.settings import Destination


def test_each_verb_has_its_request() -> None:
    """Method, path and canonical body of the four calls."""
    place: dict[str, Value] = {"unit_name": "B é", "pms_location_code": "MAIN"}
    made = [
        render(KISS_V2, Verb.MOVE_IN, "A", {"pms_tenant_id": "T", "ledger_id": None, **place}),
        render(KISS_V2, Verb.MOVE_OUT, "A", {}),
        render(KISS_V2, Verb.PATCH, "A", {"pms_lockout": True, "balance_due": Decimal("12.50")}),
        render(KISS_V2, Verb.CREATE, "A", {**place, "occupied": True}),
    ]
    tenancy = '{"ledger_id":null,"pms_location_code":"MAIN","pms_tenant_id":"T","unit_name":"B é"}'
    unit = '{"crm_unit_id":"A","occupied":false,"pms_location_code":"MAIN","unit_name":"B é"}'
    assert made == [
        Request(method="PUT", path="/units/A/tenancy", body=tenancy.encode()),
        Request(method="DELETE", path="/units/A/tenancy", body=b""),
        Request(method="PATCH", path="/units/A", body=b'{"balance_due":12.5,"pms_lockout":true}'),
        Request(method="PATCH", path="/units", body=f'{{"units":[{unit}]}}'.encode()),
    ]


@pytest.mark.parametrize(
    ("crm_unit_id", "encoded"),
    [
        ("A B", "A%20B"),
        ("A/B", "A%2FB"),
        ("A#1", "A%231"),
        ("50%", "50%25"),
        ("é", "%C3%A9"),
        ("..", "%2E%2E"),
        (".", "%2E"),
    ],
)
def test_an_id_is_one_segment(crm_unit_id: str, encoded: str) -> None:
    """An id never opens a second segment, a query or a fragment, and never climbs."""
    assert render(KISS_V2, Verb.PATCH, crm_unit_id, {}).path == f"/units/{encoded}"


def test_the_order_of_a_body_changes_no_byte() -> None:
    """The same values give the same bytes."""
    one = render(KISS_V2, Verb.PATCH, "A", {"pms_lockout": True, "pms_auction": False})
    assert one == render(KISS_V2, Verb.PATCH, "A", {"pms_auction": False, "pms_lockout": True})


def test_profiles_are_found_by_name() -> None:
    """A configuration may name each profile, and no other."""
    assert PROFILES["kiss-v2"] is KISS_V2
    assert tuple(PROFILES) == get_args(Destination.model_fields["profile"].annotation)
    assert all(profile.name == name for name, profile in PROFILES.items())
