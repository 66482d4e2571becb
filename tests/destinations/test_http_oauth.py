"""OAuth2 client credentials: one token until shortly before its end, one more try after a 401, no secret shown."""

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.destinations.test_http_answers import far, move_in
from tests.rigs.described import MOVE_IN, NOON, SECRET, Rig, rig
from worker.calls import Outcome, Verb
from worker.destinations.client import KeptClient
from worker.destinations.deadline import deadline
from worker.destinations.oauth import TokenKeeper
from worker.destinations.spec import OAuth


@pytest.fixture
def rooms() -> Iterator[Rig]:
    with rig("resharmonics") as made:
        yield made


def tokens(made: Rig) -> int:
    """Return how many tokens were asked for."""
    return sum("oauth" in path for _, path, _ in made.seen())


def test_a_token_is_kept_until_shortly_before_its_end(rooms: Rig) -> None:
    """One token serves many calls; half a minute before it ends the next one is fetched."""
    for _ in range(3):
        assert rooms.call(Verb.MOVE_OUT, {}).outcome is Outcome.APPLIED
    assert tokens(rooms) == 1
    rooms.clock.advance(569)
    rooms.call(Verb.MOVE_OUT, {})
    assert tokens(rooms) == 1
    rooms.clock.advance(1)
    assert rooms.call(Verb.MOVE_OUT, {}).outcome is Outcome.APPLIED
    assert (tokens(rooms), 401 in [status for _, _, status in rooms.seen()]) == (2, False)


def test_after_a_401_one_new_token_is_fetched(rooms: Rig) -> None:
    """A token that has become worthless is replaced once, and the call goes on: a 401 changed nothing."""
    rooms.call(Verb.MOVE_OUT, {})
    rooms.tell("/_standin/tokens")
    assert rooms.call(Verb.MOVE_IN, MOVE_IN).outcome is Outcome.APPLIED
    assert (tokens(rooms), len(rooms.held())) == (2, 1)


def test_a_second_401_is_an_answer() -> None:
    """When the new token is refused as well, nobody asks for a third."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith("/token"):
            return httpx.Response(200, json={"access_token": f"t-{len(asked)}", "expires_in": 600})
        return httpx.Response(401, json={"message": "no"})

    secrets = {"client_id": lambda: "gatepost", "client_secret": lambda: "s-1"}
    assert move_in(far(answer, "resharmonics", **secrets), "resharmonics").outcome is Outcome.UNAUTHORIZED
    assert [path.rpartition("/")[2] for path in asked] == ["token", "contacts", "token", "contacts"]


@pytest.mark.parametrize(
    ("status", "told", "outcome"),
    [
        (400, {"error": "invalid_scope"}, Outcome.UNAUTHORIZED),
        (401, {"error": "invalid_client"}, Outcome.UNAUTHORIZED),
        (429, {}, Outcome.LIMITED),
        (500, {}, Outcome.UNREACHED),
        (503, {}, Outcome.UNREACHED),
        (302, {}, Outcome.UNREACHED),
        (200, {}, Outcome.UNREACHED),
        (200, {"access_token": "a\nb"}, Outcome.UNREACHED),
        (200, {"access_token": 7}, Outcome.UNREACHED),
    ],
)
def test_without_a_token_nothing_happened(status: int, told: dict[str, object], outcome: Outcome) -> None:
    """Whatever the token's address answers, no call went out; what it said is not kept but for its code."""
    secrets = {"client_id": lambda: "gatepost", "client_secret": lambda: "s-1"}
    answer = httpx.Response(status, json={**told, "hint": "s-1 was wrong"})
    reply = move_in(far(lambda _: answer, "resharmonics", **secrets), "resharmonics")
    assert (reply.outcome, reply.status, reply.body) == (outcome, status, b"")
    assert "s-1" not in reply.message
    assert str(told.get("error", "")) in reply.message or "error" not in told


def test_a_wait_for_tokens_is_told() -> None:
    """A 429 of the token's address carries its wait."""
    secrets = {"client_id": lambda: "gatepost", "client_secret": lambda: "s-1"}
    answer = httpx.Response(429, headers={"Retry-After": "17"})
    assert move_in(far(lambda _: answer, "resharmonics", **secrets), "resharmonics").retry_after_s == 17


def test_an_empty_secret_is_not_sent() -> None:
    """Without a secret nobody asks for a token."""
    secrets = {"client_id": lambda: "gatepost", "client_secret": lambda: ""}
    reply = move_in(far(lambda _: pytest.fail("sent"), "resharmonics", **secrets), "resharmonics")
    assert reply.outcome is Outcome.UNAUTHORIZED


@pytest.mark.parametrize("in_body", [False, True])
def test_credentials_stand_where_the_file_says(in_body: bool) -> None:
    """The credentials stand in the header, encoded (RFC 6749, 2.3.1), or in the form."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"access_token": "t-1"})

    keeper = TokenKeeper(
        OAuth(token_url="https://login.example/t", scope="stays", in_body=in_body),
        base_url="http://far.example",
        client_id=lambda: "a:b",
        client_secret=lambda: "c d",
        clock=lambda: NOON,
    )
    assert keeper.token(KeptClient(window=2, transport=httpx.MockTransport(answer))) == "t-1"
    (request,) = seen
    assert str(request.url) == "https://login.example/t"
    form = "grant_type=client_credentials&scope=stays"
    assert request.content.decode() == (form + "&client_id=a%3Ab&client_secret=c+d" if in_body else form)
    assert request.headers.get("authorization") == (None if in_body else "Basic YSUzQWI6YyUyMGQ=")
    assert "c d" not in repr(keeper)


def test_several_threads_share_one_fetch(rooms: Rig) -> None:
    """Calls that begin together wait for one token."""
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(rooms.call(Verb.MOVE_OUT, {}).outcome)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes, tokens(rooms)) == ([Outcome.APPLIED] * 6, 1)


def test_who_waits_for_a_token_keeps_the_deadline() -> None:
    """A fetch by another call that takes longer than the deadline leaves everything as it was."""
    fetching, go_on = threading.Event(), threading.Event()

    def answer(_: httpx.Request) -> httpx.Response:
        fetching.set()
        go_on.wait(30)
        return httpx.Response(200, json={"access_token": "t-1"})

    keeper = TokenKeeper(
        OAuth(token_url="/t"),
        base_url="http://far.example",
        client_id=lambda: "a",
        client_secret=lambda: "b",
        clock=lambda: NOON,
    )
    client = KeptClient(window=2, transport=httpx.MockTransport(answer))
    first = threading.Thread(target=lambda: keeper.token(client))
    first.start()
    fetching.wait(30)
    with deadline(0.01):
        late = keeper.token(client)
    go_on.set()
    first.join()
    assert not isinstance(late, str)
    assert late.outcome is Outcome.UNREACHED


def test_no_secret_is_logged_or_shown(
    rooms: Rig, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither secret nor token stands in a reply, a repr, the log or the output."""
    replies = [rooms.call(Verb.MOVE_IN, MOVE_IN), rooms.call(Verb.MOVE_OUT, {})]
    shown = f"{replies}{rooms.destination!r}{caplog.text}{''.join(capfd.readouterr())}"
    assert SECRET not in shown
    assert "token-1" not in shown
