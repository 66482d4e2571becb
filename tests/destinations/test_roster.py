"""The list of units that gives the API's own ids: read seldom, page by page, bounded, by one thread at a time."""

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.destinations.peers import Peer, Server
from worker.calls import Outcome, Reply, Verb
from worker.destinations import roster as roster_module
from worker.destinations.answers import Raw
from worker.destinations.deadline import deadline
from worker.destinations.kiss import KissDestination
from worker.destinations.profiles import KISS_ULID, KISS_ULID_2, Profile
from worker.destinations.roster import Roster

START = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
CUT = Reply(outcome=Outcome.UNREACHED, message="cut")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> dt.datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


class Units:
    """An API's list: pages of our ids, each with an ETag that changes with its rows."""

    def __init__(self, profile: Profile, *pages: list[str]) -> None:
        self.profile = profile
        self.pages = list(pages)
        self.asked: list[tuple[str, str | None]] = []
        self.fail_from = 1_000_000  # the request that is cut, and all behind it

    def __call__(self, path: str, etag: str | None) -> Raw | Reply:
        self.asked.append((path, etag))
        if len(self.asked) > self.fail_from:
            return CUT
        query = dict(pair.split("=") for pair in path.partition("?")[2].split("&") if pair)
        number = int(query.get("page", 1))
        rows = self.pages[number - 1] if number <= len(self.pages) else []
        tag = f'"{",".join(rows)}"'
        if tag == etag:
            return Raw(status=304, headers={}, body=b"")
        listed = [{self.profile.name_of("crm_unit_id"): name, "unit_id": f"01-{name}"} for name in rows]
        told: dict[str, Any] = {"message": "ok", "data": listed, "meta": {"count": len(rows)}}
        if self.profile.page_size:
            told["meta"] = {"pagination": {"current_page": number, "last_page": len(self.pages)}}
        return Raw(status=200, headers={"etag": tag}, body=json.dumps(told).encode())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def outcome(found: str | Reply) -> Outcome:
    assert isinstance(found, Reply), found
    return found.outcome


def test_the_list_is_read_once(clock: Clock) -> None:
    """Ids that are known cost no request."""
    units = Units(KISS_ULID, ["A", "B"])
    roster = Roster(KISS_ULID, clock=clock)
    assert [roster.find(name, units) for name in ("A", "B", "A")] == ["01-A", "01-B", "01-A"]
    assert units.asked == [("/units", None)]


def test_a_missing_id_is_looked_for_anew_but_not_at_once(clock: Clock) -> None:
    """A missing id is answered from a list that is seconds old, later the list is read again; 304 keeps it."""
    units = Units(KISS_ULID, ["A"])
    roster = Roster(KISS_ULID, clock=clock)
    assert outcome(roster.find("B", units)) is Outcome.NOT_FOUND
    clock.move(4)
    assert outcome(roster.find("B", units)) is Outcome.NOT_FOUND
    assert len(units.asked) == 1
    clock.move(2)
    assert outcome(roster.find("B", units)) is Outcome.NOT_FOUND
    assert (units.asked[1:], roster.find("A", units)) == ([("/units", '"A"')], "01-A")
    units.pages = [["A", "B"]]
    clock.move(6)
    assert (roster.find("B", units), len(units.asked)) == ("01-B", 3)


def test_after_a_change_the_list_is_read_at_once(clock: Clock) -> None:
    """What we have just created ourselves is found in the same instant."""
    units = Units(KISS_ULID, ["A"])
    roster = Roster(KISS_ULID, clock=clock)
    assert outcome(roster.find("B", units)) is Outcome.NOT_FOUND
    units.pages = [["A", "B"]]
    roster.expect_change()
    assert roster.find("B", units) == "01-B"


def test_an_id_that_left_the_list_is_unknown(clock: Clock) -> None:
    """After an id turned out to be wrong the list decides anew, and what it no longer has is gone."""
    units = Units(KISS_ULID, ["A", "B"])
    roster = Roster(KISS_ULID, clock=clock)
    roster.find("A", units)
    units.pages = [["B"]]
    clock.move(6)
    roster.forget("A")
    assert outcome(roster.find("A", units)) is Outcome.NOT_FOUND


def test_pages_are_read_to_the_last(clock: Clock) -> None:
    """Every page is asked for, with the number of units that it may hold."""
    units = Units(KISS_ULID_2, ["A"], ["B"], ["C"])
    roster = Roster(KISS_ULID_2, clock=clock)
    assert roster.find("C", units) == "01-C"
    assert [path for path, _ in units.asked] == [f"/units?page={n}&per_page=100" for n in (1, 2, 3)]


def test_a_full_page_that_did_not_change_may_have_a_follower(clock: Clock) -> None:
    """Whether an ETag covers the number of pages is not known, so behind a full last page one more is asked for."""
    full = [f"U{n}" for n in range(100)]
    units = Units(KISS_ULID_2, full)
    roster = Roster(KISS_ULID_2, clock=clock)
    assert outcome(roster.find("NEW", units)) is Outcome.NOT_FOUND
    assert len(units.asked) == 1
    units.pages.append(["NEW"])
    clock.move(6)
    assert roster.find("NEW", units) == "01-NEW"


def test_a_list_that_comes_in_pages_unasked_is_read_to_its_end(clock: Clock) -> None:
    """A profile that expects the whole list goes on where the answer says that there is more."""

    def ask(path: str, etag: str | None) -> Raw | Reply:
        number = int(path.partition("page=")[2] or 1)
        told = {"data": [{"crm_unit_id": f"U{number}", "unit_id": f"01-{number}"}]}
        pagination = {"meta": {"pagination": {"current_page": number, "last_page": 3}}}
        return Raw(status=200, headers={}, body=json.dumps(told | pagination).encode())

    assert Roster(KISS_ULID, clock=clock).find("U3", ask) == "01-3"


def test_a_reading_that_was_cut_goes_on(clock: Clock) -> None:
    """What a call's deadline cuts short the next call ends; nothing is called unknown before that."""
    units = Units(KISS_ULID_2, ["A"], ["B"], ["C"])
    roster = Roster(KISS_ULID_2, clock=clock)
    units.fail_from = 2
    assert roster.find("Z", units) == CUT
    units.fail_from = 1_000_000
    assert outcome(roster.find("Z", units)) is Outcome.NOT_FOUND
    assert [path.partition("&")[0][-1] for path, _ in units.asked] == ["1", "2", "3", "3"]


@pytest.mark.parametrize("change", [lambda roster, clock: clock.move(61), lambda d, _: d.expect_change()])
def test_an_old_reading_is_begun_again(clock: Clock, change: Callable[[Roster, Clock], None]) -> None:
    """A reading that was cut long ago, or before a change, proves nothing: it starts at the first page."""
    units = Units(KISS_ULID_2, ["A"], ["B"])
    roster = Roster(KISS_ULID_2, clock=clock)
    units.fail_from = 1
    assert roster.find("NEW", units) == CUT
    units.fail_from = 1_000_000
    units.pages[0].append("NEW")
    change(roster, clock)
    assert roster.find("NEW", units) == "01-NEW"


def test_two_units_of_one_id_are_refused(clock: Clock) -> None:
    """Where the list is ambiguous nothing is written; the other units go on, and units without our id do not matter."""
    rows = [("A", "01"), ("A", "02"), ("B", "03"), (None, "04"), ("C", ""), ("B", "03")]
    told = {"data": [{"crm_unit_id": ours, "unit_id": theirs} for ours, theirs in rows]}
    answer = Raw(status=200, headers={}, body=json.dumps(told).encode())
    roster = Roster(KISS_ULID, clock=clock)
    assert outcome(roster.find("A", lambda *_: answer)) is Outcome.REJECTED
    assert roster.find("B", lambda *_: answer) == "03"
    assert outcome(roster.find("C", lambda *_: answer)) is Outcome.NOT_FOUND


@pytest.mark.parametrize(("bound", "requests"), [("MAX_PAGES", 3), ("MAX_UNITS", 4)])
def test_an_endless_list_is_left(clock: Clock, monkeypatch: pytest.MonkeyPatch, bound: str, requests: int) -> None:
    """A list that does not end is read so far and no further."""
    monkeypatch.setattr(roster_module, bound, 3)
    units = Units(KISS_ULID_2, *[[f"U{n}"] for n in range(50)])
    assert outcome(Roster(KISS_ULID_2, clock=clock).find("Z", units)) is Outcome.FAILED
    assert len(units.asked) == requests


@pytest.mark.parametrize(
    ("status", "body", "expected", "wait_s"),
    [
        (401, {"message": "Unauthorized."}, Outcome.UNAUTHORIZED, None),
        (403, {"message": "No."}, Outcome.UNAUTHORIZED, None),
        (429, {"message": "Please try again in 17 seconds."}, Outcome.LIMITED, 17),
        (500, {"message": "Server Error."}, Outcome.UNREACHED, None),
        (503, "<html>", Outcome.UNREACHED, None),
        (404, {"message": "Not found."}, Outcome.FAILED, None),
        (422, {"message": "No."}, Outcome.FAILED, None),
        (200, "<html>", Outcome.FAILED, None),
        (200, {"data": None}, Outcome.FAILED, None),
        (200, {"data": [{"unit_id": "x"}]}, Outcome.FAILED, None),
        (200, {"data": {"unit_id": "x"}}, Outcome.FAILED, None),
        (304, "", Outcome.FAILED, None),
    ],
)
def test_a_failed_look_up_says_so(clock: Clock, status: int, body: Any, expected: Outcome, wait_s: float) -> None:
    """A look-up that fails is never taken for an unknown unit, and never for something that may have happened."""
    raw = Raw(status=status, headers={}, body=body.encode() if isinstance(body, str) else json.dumps(body).encode())
    reply = Roster(KISS_ULID, clock=clock).find("A", lambda *_: raw)
    assert isinstance(reply, Reply)
    assert (reply.outcome, reply.status, reply.retry_after_s) == (expected, status, wait_s)
    assert reply.message.startswith("list of units: ")


def test_many_threads_cost_one_reading(clock: Clock) -> None:
    """While one thread reads, others wait for what it finds."""
    units = Units(KISS_ULID, ["A"])
    roster = Roster(KISS_ULID, clock=clock)
    barrier, second = threading.Barrier(8), threading.Event()
    found: list[str | Reply] = []

    def ask(path: str, etag: str | None) -> Raw | Reply:
        answer = units(path, etag)
        if len(units.asked) > 1:
            second.set()
        second.wait(0.2)  # leaves time for a second reading, which must not come
        return answer

    def find() -> None:
        barrier.wait()
        found.append(roster.find("A", ask))

    threads = [threading.Thread(target=find) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, len(units.asked)) == (["01-A"] * 8, 1)


def test_nobody_waits_longer_than_its_deadline(clock: Clock) -> None:
    """A call whose deadline passes while another one reads has asked nobody."""
    reading, release = threading.Event(), threading.Event()
    asked: list[str] = []

    def slow(path: str, etag: str | None) -> Raw | Reply:
        asked.append(path)
        reading.set()
        release.wait(5)
        return CUT

    roster = Roster(KISS_ULID, clock=clock)
    first = threading.Thread(target=roster.find, args=("A", slow))
    first.start()
    assert reading.wait(10)
    with deadline(0.05):
        assert outcome(roster.find("A", slow)) is Outcome.UNREACHED
    assert first.is_alive()
    release.set()
    first.join()
    assert len(asked) == 1


# -- in the client ----------------------------------------------------------------------------------------------------


@pytest.fixture
def kiss() -> Iterator[Callable[..., KissDestination]]:
    made: list[KissDestination] = []

    def make(base_url: str = "http://x", **options: Any) -> KissDestination:
        options = {"token": "secret-token", "timeout_s": 30, "profile": KISS_ULID, "clock": lambda: START, **options}
        made.append(KissDestination(name="kiss", base_url=base_url, **options))
        return made[-1]

    yield make
    for destination in made:
        destination.close()


def patch(destination: KissDestination, unit: str = "A", deadline_s: float = 20) -> Reply:
    request = destination.render(Verb.PATCH, unit, {"pms_lockout": True})
    return destination.send(request, key="k", deadline_s=deadline_s)


def test_a_look_up_that_is_cut_has_written_nothing(kiss: Any) -> None:
    """A server that hangs up on the list leaves no doubt: no write went out."""
    seen: list[str] = []

    def script(peer: Peer) -> None:
        peer.read_request()
        seen.append(peer.server.requests[-1][0].decode().split("\r\n")[0])

    server = Server(script)
    try:
        reply = patch(kiss(server.url))
    finally:
        server.close()
    assert (reply.outcome, reply.asked) == (Outcome.UNREACHED, "GET /units")
    assert seen == ["GET /api/v2/units HTTP/1.1"]


def test_the_look_up_is_inside_the_deadline_of_the_call(kiss: Any) -> None:
    """A list that never comes is left at the call's deadline, and nothing is sent after it."""

    def silent(peer: Peer) -> None:
        peer.read_request()
        peer.wait_for_end()

    server = Server(silent)
    replies: list[Reply] = []
    call = threading.Thread(target=lambda: replies.append(patch(kiss(server.url), deadline_s=0.2)))
    try:
        call.start()
        assert server.left_early.wait(5)
        call.join()
        assert [reply.outcome for reply in replies] == [Outcome.UNREACHED]
        assert [head.split(b" ")[0] for head, _ in server.requests] == [b"GET"]
    finally:
        server.close()


def test_a_long_list_is_read_whole(kiss: Any) -> None:
    """The list may be longer than the answer to a write; it carries the token and no key."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        rows = [{"crm_unit_id": f"U{n}", "unit_id": f"{n:026}"} for n in range(5000)]
        return httpx.Response(200, json={"message": "ok", "data": rows if request.method == "GET" else rows[0]})

    reply = patch(kiss(transport=httpx.MockTransport(answer)), "U4999")
    assert (reply.outcome, reply.asked) == (Outcome.APPLIED, f"PATCH /units/{4999:026}")
    assert seen[0].headers["authorization"] == "Bearer secret-token"
    assert ("idempotency-key" in seen[0].headers, seen[1].headers["idempotency-key"]) == (False, "k")


def test_a_ulid_that_is_gone_is_looked_up_again(kiss: Any) -> None:
    """When the API no longer knows the id that we kept, the unit is unknown, and the next call asks the list."""
    ulids = {"A": "01-OLD"}
    now = Clock()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"crm_unit_id": "A", "unit_id": ulids["A"]}]})
        if request.url.path.endswith(ulids["A"]):
            return httpx.Response(200, json={"message": "ok", "data": {"unit_id": ulids["A"]}})
        return httpx.Response(404, json={"message": "Unit not found."})

    destination = kiss(transport=httpx.MockTransport(answer), clock=now)
    assert patch(destination).outcome is Outcome.APPLIED
    ulids["A"] = "01-NEW"
    now.move(6)
    reply = patch(destination)
    assert (reply.outcome, reply.status, reply.asked) == (Outcome.NOT_FOUND, 404, "PATCH /units/01-OLD")
    assert patch(destination).asked == "PATCH /units/01-NEW"


def test_the_first_generation_asks_for_no_list(kiss: Any) -> None:
    """Where the path key is our own id, a call is one request, and goes out as it was stored."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.method)
        return httpx.Response(200, json={"message": "ok", "data": {"unit_id": "x"}})

    from worker.destinations.profiles import KISS_V2

    assert patch(kiss(transport=httpx.MockTransport(answer), profile=KISS_V2)).asked is None
    assert seen == ["PATCH"]
