"""What the newer generations are told, and what their answers mean."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest

from parsers.events import FACTS, Value
from worker.calls import CLEARED, Outcome, Reply, Request, Verb
from worker.destinations.answers import Raw, sort_answer
from worker.destinations.kiss import KissDestination
from worker.destinations.profiles import KISS_ULID, KISS_ULID_2, KISS_V2, PROFILES, Profile, fill, render, unit_of
from worker.settings import Destination, Settings

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
TENANCY: dict[str, Value] = {"pms_tenant_id": "T-1", "ledger_id": "L-1", "move_in_date": "2026-05-01"}
PLACE: dict[str, Value] = {"unit_name": "B204", "pms_location_code": "MAIN"}
NEWER = [KISS_ULID, KISS_ULID_2]


def _body(request: Request) -> Any:
    return json.loads(request.body)


def test_a_move_in_brings_the_tenant_that_is_known() -> None:
    """The block holds the tenant's id, under the generation's name, and nothing that we do not know."""
    assert _body(render(KISS_ULID, Verb.MOVE_IN, "A", {**TENANCY, **PLACE})) == {
        **TENANCY,
        **PLACE,
        "tenant": {"pms_tenant_id": "T-1"},
    }
    assert _body(render(KISS_ULID_2, Verb.MOVE_IN, "A", {**TENANCY, **PLACE})) == {
        "external_tenant_id": "T-1",
        "ledger_id": "L-1",
        "move_in_date": "2026-05-01",
        "unit_name": "B204",
        "external_location_code": "MAIN",
        "tenant": {"external_tenant_id": "T-1"},
    }
    assert "tenant" not in _body(render(KISS_V2, Verb.MOVE_IN, "A", TENANCY))
    assert "tenant" not in _body(render(KISS_ULID, Verb.MOVE_IN, "A", {"move_in_date": "2026-05-01"}))


def test_every_fact_goes_out_under_the_generations_name() -> None:
    """Three flags have other names in the last generation; the other facts keep theirs."""
    facts: dict[str, Value] = dict.fromkeys(FACTS, True)
    assert set(_body(render(KISS_ULID, Verb.PATCH, "A", facts))) == set(FACTS)
    assert set(_body(render(KISS_ULID_2, Verb.PATCH, "A", facts))) == {
        "balance_due",
        "paid_through_date",
        "lockout",
        "pms_lock_exempt",
        "auction",
        "unrentable",
        "pms_status_raw",
    }


def test_a_new_unit_is_named_as_the_bulk_call_has_it() -> None:
    """The one-item bulk call is keyed on our own id in every generation, under the generation's name."""
    ours = _body(render(KISS_ULID, Verb.CREATE, "A 1", PLACE))
    assert ours == {"units": [{"crm_unit_id": "A 1", "occupied": False, **PLACE}]}
    named = {"external_unit_id": "A 1", "occupied": False, "unit_name": "B204", "external_location_code": "MAIN"}
    assert _body(render(KISS_ULID_2, Verb.CREATE, "A 1", PLACE)) == {"units": [named]}


@pytest.mark.parametrize("profile", NEWER)
@pytest.mark.parametrize("unit", ["A", "A B/#1", "..", "tenancy", "a/tenancy", "units", "%2E", "é"])
def test_a_rendered_request_tells_its_unit(profile: Profile, unit: str) -> None:
    """From each path that is rendered the id comes back as it was, and another one takes its place; bulk has none."""
    tails = {Verb.MOVE_IN: "/tenancy", Verb.MOVE_OUT: "/tenancy", Verb.PATCH: ""}
    for verb, tail in tails.items():
        request = render(profile, verb, unit, {})
        addressed = unit_of(profile, request)
        assert addressed is not None
        assert (addressed[0], fill(addressed[1], "01J")) == (unit, f"/units/01J{tail}")
    assert unit_of(profile, render(profile, Verb.CREATE, unit, {})) is None


@pytest.mark.parametrize("profile", NEWER)
def test_the_manners_are_those_of_the_newer_generations(profile: Profile) -> None:
    """A move-in clears a lockout; a move-out leaves the exemption, and clears the PMS's word for the state."""
    manners = profile.manners
    assert dict(manners.move_in_clears) == {"pms_lockout": False}
    assert dict(manners.move_out_clears) == {**CLEARED, "pms_status_raw": None}
    left = {name: value for name, value in manners.move_out_clears.items() if name not in manners.move_out_resets}
    assert left == {"pms_lock_exempt": False}
    assert set(manners.move_out_resets) < set(manners.move_out_clears)
    assert str(manners.move_out_clears["balance_due"]) == "0.00"


def test_the_manners_of_the_first_generation_stay() -> None:
    """The seed generation's move-in clears nothing; its move-out resets all that is wanted."""
    manners = KISS_V2.manners
    assert (dict(manners.move_in_clears), manners.move_out_clears, manners.move_out_resets) == ({}, CLEARED, CLEARED)


def _bulk(status: int, told: Any, profile: Profile = KISS_ULID_2) -> Reply:
    request = render(profile, Verb.CREATE, "A", PLACE)
    return sort_answer(profile, request, Raw(status=status, headers={}, body=json.dumps(told).encode()), now=NOW)


def _results(*errors: str | None, **more: Any) -> dict[str, Any]:
    results = [{"external_unit_id": "A", "error": error} for error in errors]
    failed = sum(error is not None for error in errors)
    return {"message": "Sync completed.", "data": {"results": results, "failed": failed, "created": 0, **more}}


PULL_MODE = "This unit is managed by a pull-mode PMS integration. Contact KISS support to change."


@pytest.mark.parametrize(
    ("status", "told", "outcome", "message"),
    [
        (200, _results(None, created=1), Outcome.APPLIED, "Sync completed."),
        (200, _results("no such place"), Outcome.REJECTED, "no such place"),
        (422, _results("no such place"), Outcome.REJECTED, "no such place"),
        (422, _results(PULL_MODE), Outcome.SOURCE_CONFLICT, PULL_MODE),
        (200, _results(None, failed=1), Outcome.REJECTED, "Sync completed."),
        (422, _results(None), Outcome.REJECTED, "Sync completed."),
        (200, {"message": "x", "data": {"errors": []}}, Outcome.FAILED, "answered 200 without data.results"),
        (422, {"message": "x", "errors": {"units": ["No."]}}, Outcome.REJECTED, "units: No."),
    ],
)
def test_a_bulk_answer_of_the_last_generation_is_read_by_its_results(
    status: int, told: Any, outcome: Outcome, message: str
) -> None:
    """A 200 may hold a failure, and a 422 has the same shape; without the list nothing is a success."""
    reply = _bulk(status, told)
    assert (reply.outcome, reply.message) == (outcome, message)
    assert reply.created is (outcome is Outcome.APPLIED)


def test_a_bulk_answer_needs_no_count_of_unchanged_units() -> None:
    """The middle generation answers as the first, without `unchanged`."""
    told = {"message": "Sync completed.", "data": {"total": 1, "created": 1, "updated": 0, "errors": []}}
    assert (_bulk(200, told, KISS_ULID).outcome, _bulk(200, told, KISS_ULID).created) == (Outcome.APPLIED, True)


@pytest.mark.parametrize("profile", list(PROFILES.values()))
def test_a_429_without_a_header_names_its_seconds(profile: Profile) -> None:
    """Where no header says it, the message does."""
    body = json.dumps({"message": "Too many attempts. Please try again in 17 seconds."}).encode()
    request = render(profile, Verb.PATCH, "A", {"balance_due": Decimal("1.00")})
    reply = sort_answer(profile, request, Raw(status=429, headers={}, body=body), now=NOW)
    assert (reply.outcome, reply.retry_after_s) == (Outcome.LIMITED, 17)


@pytest.mark.parametrize("profile", list(PROFILES.values()))
def test_without_an_address_it_is_the_profiles(profile: Profile) -> None:
    """A kiss destination without base_url goes to where the vendor serves that generation."""
    chosen = Destination.model_validate({"kind": "kiss", "profile": profile.name, "token_env": "T"})
    assert chosen.base_url == ""
    destination = KissDestination(name="k", base_url=chosen.base_url, token="t", clock=lambda: NOW, profile=profile)
    assert destination._base_url == profile.base_url
    assert profile.base_url.startswith("https://api")


@pytest.mark.parametrize("changes", [{"base_url": "ftp://x"}, {"base_url": "x.test"}, {"profile": "kiss-v3"}])
def test_a_wrong_address_or_profile_is_refused(changes: dict[str, str]) -> None:
    """An address that is none, and a profile that nobody knows, are mistakes of the configuration."""
    with pytest.raises(ValueError, match=next(iter(changes))):
        Settings.model_validate({"destination": {"far": {"kind": "kiss", "token_env": "T", **changes}}})
