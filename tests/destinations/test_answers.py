"""Each answer of the API means one thing for the call."""

import datetime as dt
import json
from typing import Any

import pytest

from worker.calls import Many, Outcome, Reply, Request, Verb
from worker.destinations.answers import Raw, sort_answer
from worker.destinations.profiles import KISS_ULID_2, KISS_V2, PROFILES, Profile, render, render_bulk

NOW = dt.datetime(2026, 5, 1, 12, 0, tzinfo=dt.UTC)
PUT = render(KISS_V2, Verb.MOVE_IN, "A", {"pms_tenant_id": "T"})
BULK = render(KISS_V2, Verb.CREATE, "A", {})
DONE = {"message": "Request successful.", "data": {"unit_id": "01H", "applied_at": "2026-05-01T12:00:00Z"}}
HTML = b"<html><body>Sign in to the network</body></html>"
PULL_MODE = "This unit is managed by a pull-mode PMS integration. Contact KISS support to change."


def sort(status: int, body: Any, request: Any = PUT, **headers: str) -> Reply:
    """Return the sorted answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sort_answer(KISS_V2, request, Raw(status=status, headers=named, body=raw), now=NOW)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, DONE, Outcome.APPLIED),
        (201, DONE, Outcome.APPLIED),
        (200, HTML, Outcome.FAILED),
        (200, b"", Outcome.FAILED),
        (200, b'{"message":"ok"}', Outcome.FAILED),
        (200, {"message": "ok", "data": {}}, Outcome.FAILED),
        (200, [DONE], Outcome.FAILED),
        (200, b"[" * 100_000, Outcome.FAILED),
        (202, DONE, Outcome.FAILED),
        (204, b"", Outcome.FAILED),
        (301, HTML, Outcome.FAILED),
        (302, DONE, Outcome.FAILED),
        (400, {"message": "Malformed JSON."}, Outcome.REJECTED),
        (400, HTML, Outcome.FAILED),
        (401, {"message": "Unauthorized."}, Outcome.UNAUTHORIZED),
        (403, {"message": "Forbidden."}, Outcome.UNAUTHORIZED),
        (404, {"message": "Unit not found."}, Outcome.NOT_FOUND),
        (404, HTML, Outcome.FAILED),
        (404, {"message": "The route api/v3/units/A could not be found."}, Outcome.FAILED),
        (405, {"message": "no"}, Outcome.FAILED),
        (409, {"message": "Idempotency-Key reused with a different request."}, Outcome.KEY_REUSED),
        (409, {"message": PULL_MODE}, Outcome.SOURCE_CONFLICT),
        (409, {"message": "Something new."}, Outcome.SOURCE_CONFLICT),
        (422, {"message": "Validation failed.", "errors": {}}, Outcome.REJECTED),
        (422, HTML, Outcome.FAILED),
        (429, {"message": "Too many attempts."}, Outcome.LIMITED),
        (429, HTML, Outcome.LIMITED),
        (500, {"message": "Server Error."}, Outcome.FAILED),
        (501, HTML, Outcome.FAILED),
        (502, HTML, Outcome.UNKNOWN),
        (503, HTML, Outcome.UNKNOWN),
        (504, HTML, Outcome.UNKNOWN),
        (599, HTML, Outcome.FAILED),
    ],
)
def test_a_status_means_one_thing(status: int, body: Any, outcome: Outcome) -> None:
    """Every status has its outcome, and what is not the API's own JSON is never a success or an unknown unit."""
    reply = sort(status, body)
    assert (reply.outcome, reply.status) == (outcome, status)
    assert reply.message


def test_201_says_created() -> None:
    """Only 201 says that the unit was created."""
    assert (sort(201, DONE).created, sort(200, DONE).created) == (True, False)


def test_a_404_of_the_bulk_path_is_no_unknown_unit() -> None:
    """The bulk path names no unit, so a 404 there is a wrong address."""
    assert sort(404, {"message": "Not found."}, BULK).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("data", "outcome", "created"),
    [
        ({"created": 1, "errors": []}, Outcome.APPLIED, True),
        ({"created": 0, "unchanged": 1, "errors": []}, Outcome.APPLIED, False),
        ({"created": 0, "errors": [{"crm_unit_id": "A", "error": "bad name"}]}, Outcome.REJECTED, False),
        ({"created": 0, "errors": [{"crm_unit_id": "A", "error": PULL_MODE}]}, Outcome.SOURCE_CONFLICT, False),
        ({"created": 0, "errors": ["odd"]}, Outcome.REJECTED, False),
        ({"created": 1}, Outcome.FAILED, False),
        ({"created": 1, "errors": None}, Outcome.FAILED, False),
    ],
)
def test_a_bulk_200_may_hold_a_failure(data: dict[str, Any], outcome: Outcome, created: bool) -> None:
    """A bulk answer is a success only when its list of errors is there and empty."""
    reply = sort(200, {"message": "Sync completed.", "data": data}, BULK)
    assert (reply.outcome, reply.created) == (outcome, created)


def test_a_refusal_names_its_first_field() -> None:
    """The message of a 422 is the first wrong field and what is wrong with it."""
    errors = {"units.0.crm_unit_id": ["The field is required.", "x"], "b": ["y"]}
    expected = "units.0.crm_unit_id: The field is required."
    assert sort(422, {"message": "Validation failed.", "errors": errors}).message == expected
    assert sort(422, {"message": "No.", "errors": {"a": "plain"}}).message == "a: plain"
    assert sort(422, {"message": "No.", "errors": []}).message == "No."


@pytest.mark.parametrize(
    ("header", "message", "seconds"),
    [
        ("7", "Please try again in 60 seconds.", 7),
        (" 7 ", "", 7),
        ("0", "", 0),
        ("Fri, 01 May 2026 12:00:30 GMT", "", 30),
        ("Friday, 01-May-26 12:00:30 GMT", "", 30),
        ("Fri, 01 May 2026 11:00:00 GMT", "", 0),
        ("99999999999999999999", "", 3600),
        ("Fri, 01 May 2099 12:00:30 GMT", "", 3600),
        ("-5", "Please try again in 45 seconds.", 45),
        ("soon", "Please try again in 1 second.", 1),
        (None, "Too many attempts. Please try again in 60 seconds.", 60),
        (None, "in 999999 seconds", 3600),
        (None, "Too many attempts.", 60),
    ],
)
def test_a_429_says_how_long_to_stay_away(header: str | None, message: str, seconds: float) -> None:
    """The header counts, as seconds or a date; else the seconds of the message; else a minute; an hour at most."""
    headers = {} if header is None else {"retry_after": header}
    assert sort(429, {"message": message}, **headers).retry_after_s == seconds


def test_other_answers_may_ask_for_patience_too() -> None:
    """A 503 with Retry-After says how long; without it nothing is made up."""
    assert (sort(503, HTML, retry_after="9").retry_after_s, sort(503, HTML).retry_after_s) == (9, None)


def test_what_is_kept_of_an_answer_is_bounded() -> None:
    """The message has at most 1,000 characters and the body at most 64 KiB."""
    reply = sort(422, {"message": "x" * 100_000})
    assert (len(reply.message), len(reply.body)) == (1000, 65_536)


MANY = render_bulk(KISS_V2, [{"crm_unit_id": "A"}, {"crm_unit_id": "B"}])
MANY_2 = render_bulk(KISS_ULID_2, [{"crm_unit_id": "A"}, {"crm_unit_id": "B"}])


@pytest.mark.parametrize(
    ("data", "many"),
    [
        ({"total": 2, "created": 1, "updated": 1, "unchanged": 0, "errors": []}, Many(refused={}, created=1)),
        ({"errors": [{"crm_unit_id": "B", "error": "no"}]}, Many(refused={"B": "no"})),
        ({"total": 2, "created": 0, "updated": 1, "unchanged": 0, "errors": []}, None),
        ({"total": 3, "errors": []}, None),
        ({"errors": [{"crm_unit_id": "C", "error": "no"}]}, None),
        ({"errors": [{"crm_unit_id": ["A"], "error": "no"}]}, None),
        ({"errors": [{"crm_unit_id": "A", "error": "x"}, {"crm_unit_id": "A", "error": "y"}]}, None),
        ({"errors": ["odd"]}, None),
        ({"created": 2}, None),
    ],
)
def test_a_bulk_answer_says_what_came_of_each_unit(data: dict[str, Any], many: Many | None) -> None:
    """Each unit is accounted for, or nothing is said of any."""
    reply = sort(200, {"message": "Sync completed.", "data": data}, MANY)
    assert reply.many == many
    assert (reply.outcome is Outcome.APPLIED) <= (many is None or not many.refused)


@pytest.mark.parametrize(
    ("status", "results", "many"),
    [
        (200, [("A", "applied", None), ("B", "failed", "no")], Many(refused={"B": "no"})),
        (200, [("A", "applied", None), ("B", "failed", None)], Many(refused={"B": "failed"})),
        (422, [("A", "failed", "x"), ("B", "failed", "y")], Many(refused={"A": "x", "B": "y"})),
        (200, [("A", "applied", None)], None),
    ],
)
def test_results_name_every_unit(status: int, results: list[Any], many: Many | None) -> None:
    """Where an answer lists results, a unit that is missing there is confirmed by nobody."""
    listed = [{"external_unit_id": unit, "status": word, "error": error} for unit, word, error in results]
    told = {"message": "Done.", "data": {"total": 2, "results": listed}}
    raw = Raw(status=status, headers={}, body=json.dumps(told).encode())
    assert sort_answer(KISS_ULID_2, MANY_2, raw, now=NOW).many == many


def test_a_whole_refusal_says_nothing_of_units() -> None:
    """A 422 without results refuses the call as a whole, and a list of units is no bulk answer."""
    assert sort(422, {"message": "No.", "errors": {"units": ["twice"]}}, MANY).many is None
    listed = Request(method="GET", path="/units", body=b"")
    assert sort(200, {"message": "x", "data": {"errors": []}}, listed).many is None


@pytest.mark.parametrize(
    ("profile", "errors", "wrong"),
    [
        (KISS_V2, {"pms_lockout": ["no"], "balance_due": ["no"]}, ("pms_lockout", "balance_due")),
        (KISS_V2, {"lockout": ["no"]}, ("lockout",)),
        (KISS_ULID_2, {"lockout": ["no"], "balance_due": ["no"]}, ("pms_lockout", "balance_due")),
        (KISS_ULID_2, {"external_tenant_id": ["no"], "tenant.external_tenant_id": ["no"]}, ("pms_tenant_id",)),
        (KISS_ULID_2, {"units.0.auction": ["no"]}, ("pms_auction",)),
        (KISS_ULID_2, {}, ()),
        (KISS_ULID_2, ["lockout"], ()),
        (KISS_ULID_2, None, ()),
    ],
)
def test_a_refusal_names_fields_by_our_names(profile: Profile, errors: Any, wrong: tuple[str, ...]) -> None:
    """Whatever a generation calls its fields, the reply has ours; the answer itself is kept as it came."""
    body = json.dumps({"message": "Validation failed.", "errors": errors}).encode()
    request = render(profile, Verb.PATCH, "A", {"pms_lockout": True})
    reply = sort_answer(profile, request, Raw(status=422, headers={}, body=body), now=NOW)
    assert (reply.outcome, reply.wrong, reply.body) == (Outcome.REJECTED, wrong, body)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_names_lead_there_and_back(profile: Profile) -> None:
    """Each of our names comes back from the API's name of it, and no two have one."""
    assert all(profile.ours(theirs) == ours for ours, theirs in profile.names.items())
    assert len(set(profile.names.values())) == len(profile.names)
