"""The newer generations of the KISS unit API, through the kiss client against the listening stand-in.

The laws that hold in every generation are those of the other modules, run again here; what differs has tests below.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.test_bulk import (  # noqa: F401
    test_a_bulk_call_may_be_refused_as_a_whole,
    test_facts_of_a_row_come_after_its_reset,
    test_occupied_true_is_a_move_in,
    test_units_that_are_not_named_are_untouched,
)
from tests.contract.test_keys import (  # noqa: F401
    REUSED,
    test_a_conflict_leaves_the_memory_alone,
    test_a_key_is_forgotten_after_24_hours,
    test_another_request_under_the_same_key_is_409,
)
from tests.contract.test_writes import (  # noqa: F401
    ALL_FACTS,
    test_a_known_unit_needs_no_place,
    test_a_move_in_replaces_the_whole_tenancy,
    test_a_move_out_of_a_vacant_unit_changes_nothing,
    test_a_patch_of_nothing_is_422,
    test_a_patch_takes_facts_only,
    test_a_wrong_fact_is_422,
    test_money_is_exact,
    test_null_clears_date_and_status,
)
from tests.contract.ways import TOKEN, ByUlid, Clock, Switch, Units
from worker.calls import Outcome, Reply, Verb
from worker.destinations.kiss import KissDestination
from worker.destinations.profiles import PROFILES
from worker.standins.kiss import stand_in
from worker.standins.registry import Wish

PLACE = {"unit_name": "B204", "pms_location_code": "MAIN"}
TENANCY = {"pms_tenant_id": "T-1", "ledger_id": "L-1", "move_in_date": "2026-05-01"}
AT_THE_START = (
    {"crm_unit_id": "MAIN/B 2", "unit_id": "01JZZZZZZZZZZZZZZZZZZZZZZ2", **PLACE},
    {"crm_unit_id": "PULLED", "unit_id": "01JZZZZZZZZZZZZZZZZZZZZZZ3", "pull_mode": "yes", **PLACE},
)


@pytest.fixture(autouse=True)
def _on_both_databases() -> None:
    """These generations keep their units in memory; no database is asked."""


@pytest.fixture(params=["kiss-ulid", "kiss-ulid-2"])
def newer(request: pytest.FixtureRequest, server: tuple[Switch, str], clock: Clock) -> Iterator[ByUlid]:
    """The way to a stand-in of a newer generation."""
    profile = PROFILES[request.param]
    made = stand_in(Wish(token=TOKEN, clock=clock, profile=request.param, rows=AT_THE_START))
    server[0].app = made.app
    destination = KissDestination(
        name="kiss", base_url=server[1], token=TOKEN, clock=clock, profile=profile, timeout_s=30
    )
    yield ByUlid(destination, profile, made)
    destination.close()


@pytest.fixture
def units(newer: ByUlid) -> Units:
    return Units(newer)


def call(way: ByUlid, verb: Verb, unit: str, body: Any, key: str = "k") -> Reply:
    """Send one call as the worker does."""
    return way.destination.send(way.destination.render(verb, unit, body), key=key, deadline_s=30)


def test_a_move_in_clears_a_lockout_and_nothing_else(newer: ByUlid, units: Units) -> None:
    """A move-in sets the tenancy, brings the tenant's block, and clears the lockout; six facts stay."""
    units.move_in()
    units.patch(ALL_FACTS)
    before = units.show()
    reply = call(newer, Verb.MOVE_IN, "MAIN-B204", {**TENANCY, "pms_tenant_id": "T-2"})
    assert (reply.outcome, reply.created) == (Outcome.APPLIED, False)
    tenant = {"pms_tenant_id": "T-2"}
    assert units.show() == before | TENANCY | tenant | {"pms_lockout": False, "tenant": tenant}


def test_a_move_out_resets_what_the_profile_says(newer: ByUlid, units: Units) -> None:
    """The call resets what the profile's manners say, to those values, and keeps the exemption."""
    units.move_in()
    units.patch(ALL_FACTS)
    before = units.show()
    assert call(newer, Verb.MOVE_OUT, "MAIN-B204", {}).outcome is Outcome.APPLIED
    resets = newer.destination.manners.move_out_resets
    vacant = dict.fromkeys(TENANCY) | {"occupied": False, "tenant": None}
    assert units.show() == before | vacant | dict(resets)
    assert units.show()["pms_lock_exempt"] is True
    assert set(newer.destination.manners.move_out_clears) - set(resets) == {"pms_lock_exempt"}


@pytest.mark.parametrize("verb", [Verb.MOVE_IN, Verb.MOVE_OUT, Verb.PATCH])
def test_an_unknown_unit_is_not_found_and_never_created(newer: ByUlid, units: Units, verb: Verb) -> None:
    """Whatever is asked of an id that is not listed: nothing is written, and nothing is created."""
    body = {Verb.MOVE_IN: {**TENANCY, **PLACE}, Verb.PATCH: {"pms_lockout": True}}.get(verb, {})
    reply = call(newer, verb, "MAIN-B204", body)
    assert (reply.outcome, reply.status, reply.asked) == (Outcome.NOT_FOUND, None, "GET /units")
    assert units.show() is None


def test_an_unknown_ulid_is_404(newer: ByUlid, client: httpx.Client, server: tuple[Switch, str]) -> None:
    """The API itself never creates a unit by a move-in."""
    answer = client.put(
        f"{server[1]}/units/01JZZZZZZZZZZZZZZZZZZZZZZZ/tenancy",
        json=newer.theirs(TENANCY),
        headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "k"},
    )
    assert (answer.status_code, len(newer.stand_in.units())) == (404, len(AT_THE_START))


def test_the_key_is_required(newer: ByUlid, client: httpx.Client, server: tuple[Switch, str]) -> None:
    """A write without the header is refused; reading needs none."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = client.delete(f"{server[1]}/units/01JZZZZZZZZZZZZZZZZZZZZZZ2/tenancy", headers=headers)
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["Idempotency-Key"])
    assert client.get(f"{server[1]}/units", headers=headers).status_code == 200


def test_a_call_is_addressed_by_the_ulid(newer: ByUlid, units: Units) -> None:
    """A stored request names our id; what was asked names the API's, and says so."""
    request = newer.destination.render(Verb.PATCH, "MAIN/B 2", {"pms_auction": True})
    reply = newer.destination.send(request, key="k", deadline_s=30)
    assert (request.path, reply.asked) == ("/units/MAIN%2FB%202", "PATCH /units/01JZZZZZZZZZZZZZZZZZZZZZZ2")
    assert units.show("MAIN%2FB%202")["pms_auction"] is True


def test_a_unit_is_found_as_soon_as_it_is_created(newer: ByUlid, units: Units) -> None:
    """A call that found no unit finds it in the same instant, once a bulk call has made it."""
    assert call(newer, Verb.PATCH, "NEW", {"pms_lockout": True}, "k-1").outcome is Outcome.NOT_FOUND
    created = call(newer, Verb.CREATE, "NEW", PLACE, "k-2")
    assert (created.outcome, created.created, created.asked) == (Outcome.APPLIED, True, None)
    assert call(newer, Verb.PATCH, "NEW", {"pms_lockout": True}, "k-3").outcome is Outcome.APPLIED
    assert (units.show("NEW")["pms_lockout"], units.show("NEW")["occupied"]) == (True, False)


def test_the_same_request_gets_the_stored_answer(newer: ByUlid, units: Units) -> None:
    """The same key and request give the same answer again, and no second write."""
    first = units.move_in(key="k")
    units.move_out()
    assert (units.move_in(key="k").json, units.show()["occupied"]) == (first.json, False)


def test_a_refusal_is_remembered_in_the_first_of_them_only(newer: ByUlid, units: Units) -> None:
    """The older of the two repeats a refusal under its key; the newer one looks again."""
    units.move_in("A")
    assert units.patch({"balance_due": -1}, "A", key="k").status == 422
    repeated = units.patch({"balance_due": 2}, "A", key="k")
    if newer.profile.name == "kiss-ulid":
        assert (repeated.json["message"], units.show("A")["balance_due"]) == (REUSED["message"], 0)
    else:
        assert (repeated.status, units.show("A")["balance_due"]) == (200, 2)


@pytest.mark.parametrize("verb", list(Verb))
def test_a_pull_mode_unit_is_a_conflict(newer: ByUlid, units: Units, verb: Verb) -> None:
    """A unit of a pull-mode integration refuses every write, and stays as it is."""
    body = {Verb.MOVE_IN: TENANCY, Verb.PATCH: {"pms_lockout": True}, Verb.CREATE: PLACE}.get(verb, {})
    before = units.show("PULLED")
    assert call(newer, verb, "PULLED", body).outcome is Outcome.SOURCE_CONFLICT
    assert units.show("PULLED") == before


def test_a_bulk_call_says_what_failed(newer: ByUlid, units: Units) -> None:
    """One bad unit does not stop the rest; the answer's shape is the generation's."""
    good, bad = {"crm_unit_id": "C", **PLACE}, {"crm_unit_id": "D", "occupied": False}
    seen = units.bulk(good, bad)
    assert (seen.status, seen.data["total"], seen.data["created"], seen.data["updated"]) == (200, 2, 1, 0)
    assert "unchanged" not in seen.data
    assert seen.outcome is Outcome.REJECTED
    if newer.profile.name == "kiss-ulid":
        assert [error["crm_unit_id"] for error in seen.data["errors"]] == ["D"]
    else:
        told = [(result["external_unit_id"], result["status"]) for result in seen.data["results"]]
        assert (told, seen.data["failed"]) == ([("C", "applied"), ("D", "failed")], 1)
    assert (units.show("C") is None, units.show("D")) == (False, None)


def test_a_bulk_call_in_which_all_failed(newer: ByUlid, units: Units) -> None:
    """The last generation says 422, in the same shape; for us it is the same refusal."""
    seen = units.bulk({"crm_unit_id": "D", "occupied": False})
    assert (seen.status, seen.outcome) == (422 if newer.profile.name == "kiss-ulid-2" else 200, Outcome.REJECTED)


def test_every_message_says_what_is_wrong_in_its_own_names(newer: ByUlid) -> None:
    """A refused fact is told under the name that was sent."""
    call(newer, Verb.CREATE, "A", PLACE, "k-1")
    reply = call(newer, Verb.PATCH, "A", {"pms_lockout": None}, "k-2")
    assert (reply.outcome, reply.message.partition(":")[0]) == (
        Outcome.REJECTED,
        newer.profile.name_of("pms_lockout"),
    )
    assert (
        f"The {newer.profile.name_of('pms_lockout')} field"
        in json.loads(reply.body)["errors"][newer.profile.name_of("pms_lockout")][0]
    )
