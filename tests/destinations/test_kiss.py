"""The kiss client against servers that answer well, badly, late and not at all."""

import datetime as dt
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpcore
import httpx
import pytest

from tests.destinations.peers import Peer, Script, Server
from worker.calls import Outcome, Reply, Verb
from worker.destinations.deadline import left_s
from worker.destinations.kiss import KissDestination
from worker.destinations.tokens import digest_of

TOKEN = "secret-token"
BODY = json.dumps({"message": "Unit updated.", "data": {"unit_id": "01H"}}).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    servers: list[Server] = []

    def start(script: Script) -> Server:
        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def kiss() -> Iterator[Callable[..., KissDestination]]:
    made: list[KissDestination] = []

    def make(base_url: str, **options: Any) -> KissDestination:
        options = {"name": "kiss", "token": TOKEN, "clock": lambda: NOW, "timeout_s": 30, **options}
        made.append(KissDestination(base_url=base_url, **options))
        return made[-1]

    yield make
    for destination in made:
        destination.close()


def patch(destination: KissDestination, *, deadline_s: float = 20, unit: str = "A B/#1", key: str = "k-1") -> Reply:
    """Send one patch."""
    return destination.send(destination.render(Verb.PATCH, unit, {"pms_lockout": True}), key=key, deadline_s=deadline_s)


def well(peer: Peer) -> None:
    """Answer every request of a connection."""
    while peer.read_request():
        peer.say(HEAD + BODY)


def test_the_stored_bytes_go_out_as_they_are(serve: Any, kiss: Any) -> None:
    """Method, path, body and key on the wire are those of the request, with token and user agent."""
    server = serve(well)
    assert patch(kiss(server.url)).outcome is Outcome.APPLIED
    ((head, body),) = server.requests
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert (lines[0], body) == ("PATCH /api/v2/units/A%20B%2F%231 HTTP/1.1", b'{"pms_lockout":true}')
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["idempotency-key"] == "k-1"
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("gatepost/")


def test_a_call_without_a_body_sends_none(serve: Any, kiss: Any) -> None:
    """A move-out has no body and no content type."""
    server = serve(well)
    destination = kiss(server.url)
    destination.send(destination.render(Verb.MOVE_OUT, "A", {}), key="k", deadline_s=20)
    assert server.requests[0][1] == b""
    assert b"content-type" not in server.requests[0][0].lower()


@pytest.mark.parametrize("unit", ["..", ".", "a/../../b", "a?b", "50%41"])
def test_no_id_bends_the_path(serve: Any, kiss: Any, unit: str) -> None:
    """The path on the wire is the path of the stored request, whatever the id."""
    server = serve(well)
    destination = kiss(server.url)
    request = destination.render(Verb.PATCH, unit, {})
    destination.send(request, key="k", deadline_s=20)
    assert server.requests[0][0].split(b" ")[1].decode() == "/api/v2" + request.path


def test_connections_are_kept(serve: Any, kiss: Any) -> None:
    """Two calls after one another use one connection; after close a call opens a new one."""
    server = serve(well)
    destination = kiss(server.url)
    assert [patch(destination).outcome for _ in range(3)] == [Outcome.APPLIED] * 3
    assert server.connections == 1
    destination.close()
    assert patch(destination).outcome is Outcome.APPLIED
    assert server.connections == 2


def test_nobody_there_is_unreached(kiss: Any) -> None:
    """Where nobody listens nothing can have happened."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reply = patch(kiss(f"http://127.0.0.1:{port}"))
    assert (reply.outcome, reply.status) == (Outcome.UNREACHED, None)
    assert reply.message.startswith("ConnectError")


def test_a_failed_handshake_is_unreached(serve: Any, kiss: Any) -> None:
    """Without TLS no byte of the request goes out."""
    server = serve(lambda peer: peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert patch(kiss(server.url.replace("http:", "https:"))).outcome is Outcome.UNREACHED
    assert server.requests == []


def hang_up(peer: Peer) -> None:
    peer.read_request()


def half_a_head(peer: Peer) -> None:
    peer.read_request()
    peer.say(HEAD[:20])


def half_a_body(peer: Peer) -> None:
    peer.read_request()
    peer.say(HEAD + BODY[:-5])


def no_http(peer: Peer) -> None:
    peer.read_request()
    peer.say(b"220 mail.example.com ESMTP\r\n")


@pytest.mark.parametrize("script", [hang_up, half_a_head, half_a_body, no_http])
def test_a_cut_answer_is_unknown(serve: Any, kiss: Any, script: Script) -> None:
    """A server that goes before its answer is whole may have done the call."""
    server = serve(script)
    reply = patch(kiss(server.url))
    assert (reply.outcome, len(server.requests)) == (Outcome.UNKNOWN, 1)
    assert reply.status == (200 if script is half_a_body else None)


def test_a_server_that_hangs_up_at_once_is_unknown(serve: Any, kiss: Any) -> None:
    """Bytes may have gone out before the end of the connection was seen."""
    assert patch(kiss(serve(lambda peer: None).url)).outcome is Outcome.UNKNOWN


def silent(peer: Peer) -> None:
    peer.read_request()
    peer.wait_for_end()


def dripping_head(peer: Peer) -> None:
    peer.read_request()
    peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Drip: drip\r\n" * 200)


def dripping_body(peer: Peer) -> None:
    peer.read_request()
    peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n")
    peer.drip(b"x" * 3000)


def dripping_interim(peer: Peer) -> None:
    peer.read_request()
    peer.drip(b"HTTP/1.1 102 Processing\r\n\r\n" * 200)


@pytest.mark.parametrize("script", [silent, dripping_head, dripping_body, dripping_interim])
def test_the_deadline_is_over_the_whole_call(serve: Any, kiss: Any, script: Script) -> None:
    """A server that keeps us waiting, byte by byte as well, is left at the deadline: outcome unknown."""
    server = serve(script)
    reply = patch(kiss(server.url), deadline_s=0.3)
    assert reply.outcome is Outcome.UNKNOWN
    assert server.left_early.wait(10)


def test_the_destinations_own_timeout_counts_too(serve: Any, kiss: Any) -> None:
    """The shorter of the configured timeout and the caller's deadline holds."""
    server = serve(silent)
    assert patch(kiss(server.url, timeout_s=0.2), deadline_s=3600).outcome is Outcome.UNKNOWN


def test_nothing_is_sent_after_the_deadline(serve: Any, kiss: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that was stuck before its first byte never reaches the server late."""
    server = serve(well)
    connect = httpcore.SyncBackend.connect_tcp

    def stuck(*arguments: Any, **named: Any) -> Any:
        late = threading.Event()
        while left_s() > 0:
            late.wait(0.01)
        return connect(*arguments, **named)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", stuck)
    assert patch(kiss(server.url), deadline_s=0.1).outcome is Outcome.UNREACHED
    assert server.requests == []


def test_a_full_window_is_unreached(serve: Any, kiss: Any) -> None:
    """A call that found no free connection in time was never sent."""
    release = threading.Event()

    def slow(peer: Peer) -> None:
        peer.read_request()
        release.wait(20)
        peer.say(HEAD + BODY)

    server = serve(slow)
    destination = kiss(server.url, window=1)
    held = threading.Thread(target=patch, args=(destination,))
    held.start()
    assert server.asked.wait(10)
    assert patch(destination, deadline_s=0.1).outcome is Outcome.UNREACHED
    release.set()
    held.join()
    assert len(server.requests) == 1


def test_an_endless_answer_is_cut(serve: Any, kiss: Any) -> None:
    """No more than 64 KiB of an answer is read."""

    def endless(peer: Peer) -> None:
        peer.read_request()
        peer.say(b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not peer.server.stop.is_set():
            peer.say(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")

    reply = patch(kiss(serve(endless).url))
    assert (reply.outcome, len(reply.body)) == (Outcome.FAILED, 65_536)


def test_a_redirect_is_not_followed(serve: Any, kiss: Any) -> None:
    """The token goes nowhere else than to the configured address."""
    other = serve(well)

    def away(peer: Peer) -> None:
        peer.read_request()
        peer.say(f"HTTP/1.1 307 Go\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode())

    assert patch(kiss(serve(away).url)).outcome is Outcome.FAILED
    assert other.requests == []


def test_the_environment_sends_us_nowhere(serve: Any, kiss: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is not used."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert patch(kiss(serve(well).url)).outcome is Outcome.APPLIED


@pytest.mark.parametrize("token", ["", "  ", "a\nb", "é"])
def test_a_token_that_no_header_can_carry_is_unauthorized(kiss: Any, token: str) -> None:
    """Such a token is told without its text, and nothing is sent."""
    reply = patch(kiss("http://127.0.0.1:1", token=token))
    assert (reply.outcome, reply.status) == (Outcome.UNAUTHORIZED, None)


def test_a_token_is_asked_for_at_each_call(kiss: Any) -> None:
    """A token that was changed meanwhile is used by the next call."""
    tokens = iter(["one", "two\n"])
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, content=BODY)

    destination = kiss("http://x", token=lambda: next(tokens), transport=httpx.MockTransport(answer))
    assert [patch(destination).outcome for _ in range(2)] == [Outcome.APPLIED] * 2
    assert seen == ["Bearer one", "Bearer two"]


def test_an_echoed_token_is_taken_out(kiss: Any) -> None:
    """A server that repeats our token puts it neither into the record nor into a message."""
    echo = httpx.MockTransport(lambda request: httpx.Response(403, json={"message": f"no {TOKEN}"}))
    destination = kiss("http://x", transport=echo)
    reply = patch(destination)
    said, _, digest = reply.message.partition(" [token digest ")
    assert (reply.outcome, said, digest) == (Outcome.UNAUTHORIZED, "no [token]", f"{digest_of(TOKEN)}]")
    assert TOKEN not in repr(reply) + repr(destination) + repr(reply.body)


def _raising(error: Exception) -> httpx.MockTransport:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    return httpx.MockTransport(fail)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (httpx.ConnectError("x"), Outcome.UNREACHED),
        (httpx.ConnectTimeout("x"), Outcome.UNREACHED),
        (httpx.PoolTimeout("x"), Outcome.UNREACHED),
        (httpx.ReadTimeout("x"), Outcome.UNKNOWN),
        (httpx.WriteTimeout("x"), Outcome.UNKNOWN),
        (httpx.ReadError("x"), Outcome.UNKNOWN),
        (httpx.WriteError("x"), Outcome.UNKNOWN),
        (httpx.CloseError("x"), Outcome.UNKNOWN),
        (httpx.RemoteProtocolError("x"), Outcome.UNKNOWN),
        (httpx.LocalProtocolError("x"), Outcome.FAILED),
        (httpx.UnsupportedProtocol("x"), Outcome.FAILED),
    ],
)
def test_every_error_of_the_transport_is_sorted(kiss: Any, error: Exception, outcome: Outcome) -> None:
    """What never left is unreached, what may have left is unknown, and none of it is raised."""
    reply = patch(kiss("http://x", transport=_raising(error)))
    assert (reply.outcome, reply.message) == (outcome, f"{type(error).__name__}: x")


def test_the_date_of_a_retry_after_is_read_with_the_given_clock(kiss: Any) -> None:
    """How long a date is away depends on the clock that we are given."""
    headers = {"Retry-After": "Fri, 01 May 2026 00:00:20 GMT"}
    limited = httpx.MockTransport(lambda _: httpx.Response(429, json={"message": "x"}, headers=headers))
    assert patch(kiss("http://x", transport=limited)).retry_after_s == 20
