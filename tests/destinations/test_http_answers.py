"""Each answer of a described API means one thing, and what is not the API's own JSON is never a success."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.rigs.described import ABOUT, MOVE_IN, NOON
from worker.calls import Outcome, Reply, Verb
from worker.catalogue import load_api
from worker.destinations.answers import Raw
from worker.destinations.http import HttpDestination
from worker.destinations.specfile import read_spec
from worker.destinations.verdict import sort_write

HTML = b"<html><body>Sign in to the network</body></html>"
DONE = {"success": True, "data": {}, "meta": {"request_id": "r"}}
JOB = {"meta": {"job_id": "j-1"}}


def sort(api: str, status: int, body: Any, **headers: str) -> Reply:
    """Return what an answer means for a write."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    spec = load_api(api)
    return sort_write(spec, spec.calls[Verb.MOVE_IN].writes[0], Raw(status=status, headers=named, body=raw), now=NOON)


def error(code: str, **more: Any) -> dict[str, Any]:
    """Return a refusal as the SaaS gives it."""
    return {"success": False, "error": {"code": code, "message": "no", **more}, "meta": {"request_id": "r"}}


@pytest.mark.parametrize(
    ("api", "status", "body", "outcome"),
    [
        ("propertysaas", 200, DONE, Outcome.APPLIED),
        ("propertysaas", 201, DONE, Outcome.APPLIED),
        ("propertysaas", 200, {**DONE, "success": False}, Outcome.FAILED),
        ("propertysaas", 200, {**DONE, "success": "yes"}, Outcome.FAILED),
        ("propertysaas", 200, {"success": True}, Outcome.FAILED),
        ("propertysaas", 200, HTML, Outcome.FAILED),
        ("propertysaas", 200, b"", Outcome.FAILED),
        ("propertysaas", 200, [DONE], Outcome.FAILED),
        ("propertysaas", 200, b"[" * 100_000, Outcome.FAILED),
        ("propertysaas", 202, DONE, Outcome.FAILED),
        ("propertysaas", 204, b"", Outcome.FAILED),
        ("propertysaas", 302, HTML, Outcome.FAILED),
        ("propertysaas", 401, error("AUTHENTICATION_FAILED"), Outcome.UNAUTHORIZED),
        ("propertysaas", 401, error("TOKEN_EXPIRED"), Outcome.UNAUTHORIZED),
        ("propertysaas", 403, error("INSUFFICIENT_PERMISSIONS"), Outcome.UNAUTHORIZED),
        ("propertysaas", 404, error("RESOURCE_NOT_FOUND"), Outcome.NOT_FOUND),
        ("propertysaas", 404, HTML, Outcome.FAILED),
        ("propertysaas", 409, error("CONFLICT"), Outcome.REJECTED),
        ("propertysaas", 422, error("VALIDATION_ERROR"), Outcome.REJECTED),
        ("propertysaas", 422, HTML, Outcome.FAILED),
        ("propertysaas", 429, error("RATE_LIMIT_EXCEEDED"), Outcome.LIMITED),
        ("propertysaas", 429, HTML, Outcome.LIMITED),
        ("propertysaas", 500, error("INTERNAL_ERROR"), Outcome.FAILED),
        ("propertysaas", 503, error("SERVICE_UNAVAILABLE"), Outcome.UNKNOWN),
        ("propertysaas", 502, HTML, Outcome.UNKNOWN),
        ("propertysaas", 504, HTML, Outcome.UNKNOWN),
        ("propexo", 200, JOB, Outcome.ACCEPTED),
        ("propexo", 200, {"meta": {"job_id": None}}, Outcome.FAILED),
        ("propexo", 200, {"meta": {"job_id": ""}}, Outcome.FAILED),
        ("propexo", 200, {"meta": {"job_id": "j" * 256}}, Outcome.FAILED),
        ("propexo", 200, {"result": {}}, Outcome.FAILED),
        ("propexo", 201, JOB, Outcome.FAILED),
        ("propexo", 400, {"error": {"code": "invalid_request", "message": "no"}}, Outcome.REJECTED),
        ("resharmonics", 200, {"id": 7, "status": "CHECKED_IN"}, Outcome.APPLIED),
        ("resharmonics", 200, {"id": 7}, Outcome.FAILED),
    ],
)
def test_an_answer_means_one_thing(api: str, status: int, body: Any, outcome: Outcome) -> None:
    """Every status and code has its outcome, and a page of something in between is never a success or a refusal."""
    reply = sort(api, status, body)
    assert (reply.outcome, reply.status) == (outcome, status)
    assert reply.message


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        (error("RATE_LIMIT_EXCEEDED", retry_after=7), {}, 7),
        (error("RATE_LIMIT_EXCEEDED", retry_after=7), {"retry_after": "9"}, 9),
        (error("RATE_LIMIT_EXCEEDED", retry_after="soon"), {}, 60),
        (error("RATE_LIMIT_EXCEEDED", retry_after=True), {}, 60),
        (error("RATE_LIMIT_EXCEEDED", retry_after=99999), {}, 3600),
        (error("RATE_LIMIT_EXCEEDED"), {"x_ratelimit_reset": str(int(NOON.timestamp()) + 30)}, 30),
        (error("RATE_LIMIT_EXCEEDED"), {"x_ratelimit_reset": "2026-05-01T12:00:45Z"}, 45),
        (error("RATE_LIMIT_EXCEEDED"), {"x_ratelimit_reset": "2026-05-01T11:00:00"}, 0),
        (error("RATE_LIMIT_EXCEEDED"), {"x_ratelimit_reset": "later"}, 60),
        (error("RATE_LIMIT_EXCEEDED"), {}, 60),
    ],
)
def test_a_429_says_how_long_to_stay_away(body: Any, headers: dict[str, str], seconds: float) -> None:
    """The header counts, else the JSON, else the instant of the reset, else a minute; an hour at most."""
    assert sort("propertysaas", 429, body, **headers).retry_after_s == seconds


def test_a_success_without_a_body_is_one_where_the_file_says_so() -> None:
    """Only a status that is listed as one without a body may come without the API's JSON."""
    text = "api: a\nanswers: {success: {status: [200, 204], needs: [id], without_body: [204]}, message: m}\n"
    spec = read_spec(text + "calls: {move_out: {delete: /x}}\n", "a.yaml")

    def outcome(status: int, body: bytes) -> Outcome:
        (write,) = spec.calls[Verb.MOVE_OUT].writes
        return sort_write(spec, write, Raw(status=status, headers={}, body=body), now=NOON).outcome

    assert [outcome(204, b""), outcome(200, b""), outcome(204, HTML)] == [
        Outcome.APPLIED,
        Outcome.FAILED,
        Outcome.FAILED,
    ]


FIELDS = """\
api: a
answers: {success: {status: [200], needs: [id]}, message: [m], fields: %s}
calls:
  patch:
    put: /x
    body:
      due: {total: "{{ balance_due }}"}
      doors: [{state: "{{ 'shut' if pms_lockout else 'open' }}"}]
      n: {n: x}
"""


@pytest.mark.parametrize(
    ("fields", "told", "wrong", "said"),
    [
        ("{find: e, name: f, message: w}", [{"f": "due.total", "w": "is low"}], ("balance_due",), "due.total: is low"),
        ("{find: e, name: f}", [{"f": "doors[0].state", "w": "no"}], ("pms_lockout",), "doors[0].state"),
        ("{find: e, name: f}", [{"f": "/body/due/total"}], ("balance_due",), "/body/due/total"),
        ("{find: e, name: f}", [{"f": "total"}, {"f": "state"}], ("balance_due", "pms_lockout"), "total; state"),
        ("{find: e, name: f}", [{"f": "other.total"}, {"f": "n"}, {"f": "0"}, {"f": ""}], (), "other.total; n; 0"),
        ("{find: e, name: f}", {"f": "total"}, (), ""),
        ("{find: e, name: f}", [["total"], 7, None, {"f": 7}, {"f": None}], (), ""),
        ("{find: e}", {"total": ["is low"]}, ("balance_due",), "total"),
        ("{find: e}", ["due.total", 7], ("balance_due",), "due.total"),
        ("{find: e}", "total", (), ""),
        ("{find: f}", {"total": ["is low"]}, (), ""),
    ],
)
def test_a_refusal_names_facts(fields: str, told: Any, wrong: tuple[str, ...], said: str) -> None:
    """A refusal's fields are found by the file's path, told in its words, and are the facts that went into them."""
    spec = read_spec(FIELDS % fields, "a.yaml")
    (write,) = spec.calls[Verb.PATCH].writes
    raw = Raw(status=422, headers={}, body=json.dumps({"m": "no", "e": told}).encode())
    reply = sort_write(spec, write, raw, now=NOON)
    assert (reply.outcome, reply.wrong, reply.message) == (Outcome.REJECTED, wrong, f"no ({said})" if said else "no")


def far(
    answer: Callable[[httpx.Request], httpx.Response], api: str = "propertysaas", **options: Any
) -> HttpDestination:
    """Return a destination whose network is a function."""
    options = {"token": lambda: "t-0001", **options}
    return HttpDestination(
        name="far",
        spec=load_api(api),
        base_url="http://far.example/v1/",
        clock=lambda: NOON,
        transport=httpx.MockTransport(answer),
        **options,
    )


def move_in(destination: HttpDestination, api: str = "propertysaas") -> Reply:
    """Send a move-in."""
    request = destination.render(Verb.MOVE_IN, "A", MOVE_IN, about={**ABOUT[api], "unit": "B", "location": "M"})
    return destination.send(request, key="gp1-k", deadline_s=30)


def test_what_goes_over_the_wire() -> None:
    """Method, path, headers and body are those of the request; its fragment stays here."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=DONE)

    assert move_in(far(answer)).outcome is Outcome.APPLIED
    (request,) = seen
    assert str(request.url) == "http://far.example/v1/properties/P-1/tenants/T-5001"
    assert request.headers["authorization"] == "Bearer t-0001"
    assert request.headers["x-organization-id"] == "O-7"
    assert len(request.headers["x-request-id"]) == 36
    assert "idempotency-key" not in request.headers
    assert json.loads(request.content)["unit_id"] == "U 1/2"


def test_a_key_goes_where_the_file_says() -> None:
    """An API with a header for idempotency keys gets ours in it, and its memory is in the manners."""
    text = "api: a\nidempotency: {header: X-Key, remembered_s: 60}\n"
    text += "answers: {success: {needs: [id]}, message: m}\ncalls: {move_out: {delete: /x}}\n"
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["x-key"])
        return httpx.Response(200, json={"id": 1})

    destination = HttpDestination(
        name="far",
        spec=read_spec(text, "a.yaml"),
        base_url="http://far.example",
        clock=lambda: NOON,
        token=lambda: "t",
        transport=httpx.MockTransport(answer),
    )
    request = destination.render(Verb.MOVE_OUT, "A", {})
    assert destination.send(request, key="gp1-k", deadline_s=30).outcome is Outcome.APPLIED
    assert (seen, destination.manners.remembered_s) == (["gp1-k"], 60)


def test_what_is_kept_of_an_answer_is_bounded() -> None:
    """A body is cut at 64 KiB, and a message at 1,000 characters."""
    reply = move_in(far(lambda _: httpx.Response(422, json=error("X", message="y" * 5000))))
    assert (len(reply.message), reply.outcome) == (1000, Outcome.REJECTED)
    reply = move_in(far(lambda _: httpx.Response(200, content=b"z" * 200_000)))
    assert (len(reply.body), reply.outcome) == (65_536, Outcome.FAILED)


def test_a_token_that_comes_back_is_not_kept() -> None:
    """What the API repeats of our credentials is blotted out of the message and of the body."""
    reply = move_in(far(lambda _: httpx.Response(422, json=error("BAD", message="token t-0001 is odd"))))
    assert "t-0001" not in reply.message + reply.body.decode()
    assert "[token]" in reply.message


@pytest.mark.parametrize("token", ["", " \n", "tökn", "a\nb"])
def test_a_token_that_cannot_be_sent_is_unauthorized(token: str) -> None:
    """Without a token that can stand in a header nothing is sent."""
    reply = move_in(far(lambda _: pytest.fail("sent"), token=lambda: token))
    assert reply.outcome is Outcome.UNAUTHORIZED


def test_a_job_whose_status_is_new_stays_accepted() -> None:
    """A word that the file does not know decides nothing, and neither does a page of something in between."""
    for answer in (httpx.Response(200, json={"write_status": "THINKING"}), httpx.Response(200, content=HTML)):
        reply = far(lambda _, answer=answer: answer, "propexo").ask("j-1", deadline_s=30)
        assert (reply.outcome, reply.job) == (Outcome.ACCEPTED, "j-1")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(401, Outcome.UNAUTHORIZED), (429, Outcome.LIMITED), (500, Outcome.UNKNOWN), (503, Outcome.UNKNOWN),
     (404, Outcome.ACCEPTED), (400, Outcome.ACCEPTED), (302, Outcome.ACCEPTED)],
)  # fmt: skip
def test_a_job_that_cannot_be_asked_for_never_failed(status: int, outcome: Outcome) -> None:
    """No refusal of the question is an answer about the write: it was accepted and may have happened."""
    told = {"error": {"code": "c", "message": "m"}}
    assert far(lambda _: httpx.Response(status, json=told), "propexo").ask("j-1", deadline_s=30).outcome is outcome


def test_without_jobs_nothing_is_asked_for() -> None:
    """An API whose writes are final has no jobs."""
    assert far(lambda _: pytest.fail("sent")).ask("j", deadline_s=30).outcome is Outcome.FAILED


def test_a_look_up_that_breaks_off_means_that_nothing_happened() -> None:
    """Before the write went out, a lost answer or an outage leaves everything as it was."""

    def lost(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late")

    token = httpx.Response(200, json={"access_token": "t-1", "expires_in": 600})
    for broken in (lost, lambda _: httpx.Response(503)):

        def answer(request: httpx.Request, broken: Any = broken) -> httpx.Response:
            return token if request.url.path.endswith("/token") else broken(request)

        options = {"client_id": lambda: "gatepost", "client_secret": lambda: "s"}
        assert move_in(far(answer, "resharmonics", **options), "resharmonics").outcome is Outcome.UNREACHED


def test_instants_are_read_with_their_zone() -> None:
    """An instant of a reset counts in its own zone."""
    at = NOON.astimezone(dt.timezone(dt.timedelta(hours=2))) + dt.timedelta(seconds=20)
    reply = sort("propertysaas", 429, error("RATE_LIMIT_EXCEEDED"), x_ratelimit_reset=at.isoformat())
    assert reply.retry_after_s == 20
