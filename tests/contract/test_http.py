"""What only HTTP has: the token, the rate, the size, and faults that must not leak."""

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.contract.ways import TOKEN, ByDestination, ByHttp, Clock, Switch, Units, serve
from worker.calls import Outcome, Verb
from worker.destinations.kiss import KissDestination
from worker.destinations.local import LocalDestination
from worker.store.database import Database
from worker.units.api import units_api
from worker.units.store import LocalUnits, UnitsUnavailable


@pytest.mark.parametrize("token", [None, "wrong", TOKEN + "x", TOKEN.upper(), "é"])
def test_without_the_token_it_is_401(by_http: ByHttp, token: str | None) -> None:
    """A token that is missing or wrong is 401, for reads and writes, and nothing is written."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}".encode()}
    for method, path in (("GET", "/units"), ("DELETE", "/units/A/tenancy"), ("GET", "/nowhere")):
        answer = by_http.client.request(method, by_http.base_url + path, headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized."})


def test_the_token_needs_its_scheme(by_http: ByHttp) -> None:
    """A token under another scheme is 401."""
    answer = by_http.client.get(by_http.base_url + "/units", headers={"Authorization": f"Basic {TOKEN}"})
    assert answer.status_code == 401


def test_health_needs_no_token(by_http: ByHttp) -> None:
    """GET /health answers anybody."""
    assert by_http.send("GET", "/health", token=None).status == 200


def test_an_api_without_a_token_is_refused(store: LocalUnits, clock: Clock) -> None:
    """An empty token would let everybody in."""
    with pytest.raises(ValueError, match="token"):
        units_api(store, token="", clock=clock)


def test_answers_are_json(by_http: ByHttp) -> None:
    """Every answer says that it is JSON."""
    for path in ("/units", "/units/A", "/nowhere"):
        assert by_http.send("GET", path).headers["content-type"] == "application/json"


def test_too_many_requests_are_429(
    server: tuple[Switch, str], by_http: ByHttp, store: LocalUnits, clock: Clock
) -> None:
    """Over the limit it is 429 with Retry-After and the same seconds in the message, until the minute is over."""
    serve(server, store, clock, requests_per_minute=2)
    units = Units(by_http)
    assert [units.move_in().status for _ in range(2)] == [201, 200]
    clock.move(seconds=18)
    refused = units.move_out()
    assert (refused.status, refused.headers["retry-after"]) == (429, "42")
    assert refused.json == {"message": "Too many attempts. Please try again in 42 seconds."}
    clock.move(seconds=42)
    assert units.show()["occupied"] is True


def test_a_429_is_not_remembered_under_its_key(
    server: tuple[Switch, str], by_kiss: ByDestination, store: LocalUnits, clock: Clock
) -> None:
    """A call that was refused for its rate is done when it comes again under the same key."""
    serve(server, store, clock, requests_per_minute=1)
    request = by_kiss.destination.render(Verb.MOVE_OUT, "A", {})
    by_kiss.destination.send(request, key="first", deadline_s=30)
    limited = by_kiss.destination.send(request, key="k", deadline_s=30)
    assert (limited.outcome, limited.retry_after_s) == (Outcome.LIMITED, 60)
    clock.move(seconds=60)
    assert by_kiss.destination.send(request, key="k", deadline_s=30).outcome is Outcome.NOT_FOUND


def test_a_large_body_is_413(by_http: ByHttp) -> None:
    """A body over 1 MiB is 413, whether its length is told before or not."""
    large = b" " * (1_048_576 + 1)
    assert by_http.send("PATCH", "/units", large).status == 413
    headers = {"Authorization": f"Bearer {TOKEN}"}
    pieces = (large[:65_536] for _ in range(17))
    answer = by_http.client.patch(by_http.base_url + "/units", content=pieces, headers=headers)
    assert answer.status_code == 413
    assert by_http.send("PATCH", "/units", large[:-1]).status == 400


def test_405_names_the_methods(by_http: ByHttp) -> None:
    """A 405 says which methods there are."""
    assert by_http.send("POST", "/units/A/tenancy").headers["allow"] == "PUT, DELETE"


def test_a_fault_of_ours_says_nothing(
    by_http: ByHttp, store: LocalUnits, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unforeseen error is a 500 that holds nothing of it, and neither does the log."""

    def fail(*_: Any) -> None:
        raise RuntimeError("Jane Smith, unit B204")

    monkeypatch.setattr(store, "handle", fail)
    seen = by_http.send("GET", "/units")
    assert (seen.status, seen.json) == (500, {"message": "Server Error."})
    assert "local units failed: RuntimeError" in caplog.text
    assert "Jane" not in caplog.text


def test_a_failing_database_is_503(by_http: ByHttp, store: LocalUnits, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the database fails nobody knows what happened: 503, which a client takes for unknown."""

    def fail(*_: Any) -> None:
        raise UnitsUnavailable("OperationalError")

    monkeypatch.setattr(store, "handle", fail)
    assert by_http.send("GET", "/units").status == 503


def test_a_failing_database_is_unknown_in_process(tmp_path: Path, clock: Clock) -> None:
    """In process too, a failing database leaves the outcome unknown instead of raising."""
    db = Database(f"sqlite:///{tmp_path}/empty.db")
    local = LocalDestination(name="local", units=LocalUnits(db, clock=clock), clock=clock)
    reply = local.send(local.render(Verb.MOVE_OUT, "A", {}), key="k", deadline_s=1)
    db.close()
    assert (reply.outcome, reply.status) == (Outcome.UNKNOWN, None)


def test_a_client_that_hangs_up_in_its_body_does_no_harm(by_http: ByHttp, server: tuple[Switch, str]) -> None:
    """A request cut in its body is dropped, and the next one is served."""
    host, _, port = by_http.base_url.removeprefix("http://").partition("/")[0].partition(":")
    with socket.create_connection((host, int(port))) as raw:
        head = (
            f"PATCH /api/v2/units HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99\r\n\r\n{{"
        )
        raw.sendall(head.encode())
    assert by_http.send("GET", "/units").status == 200


@pytest.mark.parametrize("way", ["in_process", "by_kiss"])
def test_a_destination_renders_and_sorts(way: str, request: pytest.FixtureRequest, store: LocalUnits) -> None:
    """Each verb of a destination does what it says, and its outcome is the truth, local or remote."""
    destination = request.getfixturevalue(way).destination
    keys = iter("abcdefghijklm")

    def send(verb: Verb, unit: str, body: dict[str, Any], key: str | None = None) -> Any:
        return destination.send(destination.render(verb, unit, body), key=key or next(keys), deadline_s=30)

    place = {"unit_name": "B 1", "pms_location_code": "MAIN"}
    tenancy = {"pms_tenant_id": "T", "ledger_id": None, "move_in_date": "2026-05-01"}
    unit = "MAIN/B #1 50%"
    assert send(Verb.PATCH, unit, {"pms_lockout": True}).outcome is Outcome.NOT_FOUND
    assert send(Verb.MOVE_OUT, unit, {}).outcome is Outcome.NOT_FOUND
    created = send(Verb.CREATE, unit, {**place, "occupied": False})
    assert (created.outcome, created.created) == (Outcome.APPLIED, True)
    assert send(Verb.CREATE, unit, place).created is False
    moved = send(Verb.MOVE_IN, unit, {**tenancy, **place}, "k")
    assert (moved.outcome, moved.created, moved.status) == (Outcome.APPLIED, False, 200)
    assert send(Verb.MOVE_IN, "new", {**tenancy, **place}).created is True
    assert send(Verb.PATCH, unit, {"pms_lockout": True}).outcome is Outcome.APPLIED
    kept = store.unit(unit)
    assert kept is not None
    assert (kept.occupied, kept.pms_tenant_id, kept.pms_lockout) == (True, "T", True)
    rejected = send(Verb.PATCH, unit, {"pms_lockout": None})
    assert (rejected.outcome, rejected.message) == (
        Outcome.REJECTED,
        "pms_lockout: The pms_lockout field must be true or false.",
    )
    assert send(Verb.MOVE_OUT, unit, {}, "k").outcome is Outcome.KEY_REUSED
    store.set_pull_mode(unit=unit)
    assert send(Verb.MOVE_OUT, unit, {}).outcome is Outcome.SOURCE_CONFLICT
    assert send(Verb.CREATE, unit, place).outcome is Outcome.SOURCE_CONFLICT
    assert send(Verb.CREATE, "nowhere", {}).outcome is Outcome.REJECTED


def test_a_wrong_token_is_unauthorized(listening: str, clock: Clock) -> None:
    """The kiss client sorts a 401, and its repr holds no token."""
    destination = KissDestination(name="kiss", base_url=listening, token=lambda: "wrong-secret", clock=clock)
    reply = destination.send(destination.render(Verb.MOVE_OUT, "A", {}), key="k", deadline_s=30)
    destination.close()
    assert reply.outcome is Outcome.UNAUTHORIZED
    assert reply.message.startswith("Unauthorized. [token digest ")
    assert "secret" not in repr(destination) + repr(reply)
