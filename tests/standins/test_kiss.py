"""The KISS stand-in, in each generation: what only the wire shows. What its writes do is in the contract suite."""

import datetime as dt
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from worker.calls import Outcome, Reply, Verb
from worker.destinations.kiss import KissDestination
from worker.destinations.profiles import PROFILES
from worker.settings import ConfigError
from worker.standins.faults import LOG_PATH, Faults, with_faults
from worker.standins.kiss import stand_in
from worker.standins.registry import Wish
from worker.standins.serve import serving

TOKEN = "stand-in-token"
ROWS = tuple({"crm_unit_id": f"U{n:03}", "unit_name": f"{n}", "pms_location_code": "MAIN"} for n in range(250))
NEWER = ["kiss-ulid", "kiss-ulid-2"]


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=20, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def start(clock: Clock) -> Iterator[Callable[..., str]]:
    """Serve a generation; return its base URL."""
    with ExitStack() as stack:

        def begin(profile: str, *, faults: Faults | None = None, **wish: Any) -> str:
            made = stand_in(Wish(token=TOKEN, clock=clock, profile=profile, **wish))
            stack.callback(made.close)
            return stack.enter_context(serving(with_faults(made, faults or Faults(), clock=clock))) + made.base_path

        yield begin


@pytest.fixture
def kiss(clock: Clock) -> Iterator[Callable[..., KissDestination]]:
    with ExitStack() as stack:

        def make(url: str, profile: str) -> KissDestination:
            made = KissDestination(
                name="kiss", base_url=url, token=TOKEN, clock=clock, profile=PROFILES[profile], timeout_s=30
            )
            stack.callback(made.close)
            return made

        yield make


def lock(destination: KissDestination, unit: str, key: str = "k") -> Reply:
    """Send one patch."""
    return destination.send(destination.render(Verb.PATCH, unit, {"pms_lockout": True}), key=key, deadline_s=20)


def log(client: httpx.Client, url: str) -> dict[str, Any]:
    return client.get(url.removesuffix("/api/v2") + LOG_PATH).json()


@pytest.mark.parametrize("profile", list(PROFILES))
def test_a_unit_is_written_through_the_client(start: Any, kiss: Any, client: httpx.Client, profile: str) -> None:
    """Units of the file are there; a call through the client changes one of them, and the log tells path and key."""
    url = start(profile, rows=ROWS)
    reply = lock(kiss(url, profile), "U249")
    assert reply.outcome is Outcome.APPLIED
    told = log(client, url)
    assert [unit["crm_unit_id"] for unit in told["units"] if unit["pms_lockout"]] == ["U249"]
    assert len(told["units"]) == 250
    (write,) = [seen for seen in told["requests"] if seen["method"] == "PATCH"]
    path = (reply.asked or "PATCH /units/U249").removeprefix("PATCH ")
    assert (write["path"], write["key"], write["status"], write["applied"]) == (f"/api/v2{path}", "k", 200, True)
    assert (reply.asked is None) is (profile == "kiss-v2")


def test_the_older_list_comes_whole_and_the_newer_one_in_pages(start: Any, client: httpx.Client) -> None:
    """Rows have the documented names; a page has at most 100 units."""
    whole = client.get(start("kiss-ulid", rows=ROWS) + "/units").json()
    assert (len(whole["data"]), whole["meta"]) == (250, {"count": 250})
    assert set(whole["data"][0]) == {"unit_id", "crm_unit_id", "unit_name", "location_id", "source_type"}
    url = start("kiss-ulid-2", rows=ROWS)
    page = client.get(url + "/units?page=3&per_page=100").json()
    assert len(page["data"]) == 50
    assert page["meta"]["pagination"] == {"current_page": 3, "per_page": 100, "total": 250, "last_page": 3}
    assert set(page["data"][0]) == {"unit_id", "external_unit_id", "unit_name", "location_id", "source_type"}
    assert client.get(url + "/units?per_page=101").status_code == 422


@pytest.mark.parametrize("profile", NEWER)
def test_an_unchanged_list_is_304(start: Any, kiss: Any, client: httpx.Client, profile: str) -> None:
    """The same ETag gets no body; after a unit came it gets the list."""
    url = start(profile, rows=ROWS[:3])
    first = client.get(url + "/units")
    again = client.get(url + "/units", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    destination = kiss(url, profile)
    created = destination.render(Verb.CREATE, "NEW", {"unit_name": "N", "pms_location_code": "MAIN"})
    assert destination.send(created, key="k", deadline_s=20).created
    assert client.get(url + "/units", headers={"If-None-Match": first.headers["etag"]}).status_code == 200


@pytest.mark.parametrize("profile", NEWER)
def test_the_client_keeps_its_list_over_a_304(
    start: Any, kiss: Any, client: httpx.Client, clock: Clock, profile: str
) -> None:
    """An id that is missing makes the client ask again; an unchanged list costs a 304 and keeps what is known."""
    url = start(profile, rows=ROWS[:3])
    destination = kiss(url, profile)
    assert lock(destination, "U000").outcome is Outcome.APPLIED
    clock.move(6)
    assert lock(destination, "GONE").outcome is Outcome.NOT_FOUND
    assert lock(destination, "U001", "k-2").outcome is Outcome.APPLIED
    told = [(seen["method"], seen["status"]) for seen in log(client, url)["requests"]]
    assert told == [("GET", 200), ("PATCH", 200), ("GET", 304), ("PATCH", 200)]


@pytest.mark.parametrize("profile", NEWER)
def test_too_many_calls_are_told_in_the_message(start: Any, kiss: Any, clock: Clock, profile: str) -> None:
    """A 429 of the newer generations has no header; the seconds stand in the message, and the client reads them."""
    url = start(profile, rows=ROWS[:1], per_minute=2)
    destination = kiss(url, profile)
    assert lock(destination, "U000").outcome is Outcome.APPLIED
    clock.move(20)
    reply = lock(destination, "U000", "k-2")
    assert (reply.outcome, reply.retry_after_s) == (Outcome.LIMITED, 40)
    clock.move(40)
    assert lock(destination, "U000", "k-2").outcome is Outcome.APPLIED


def test_refused_calls_count_in_the_last_generation_only(start: Any, client: httpx.Client, clock: Clock) -> None:
    """Who goes on calling while it is refused stays refused there; in the generation before it does not."""
    answers: dict[str, list[int]] = {}
    for profile in NEWER:
        url = start(profile, per_minute=2)
        answers[profile] = []
        for _ in range(7):
            answers[profile].append(client.get(url + "/units").status_code)
            clock.move(20)
    assert answers["kiss-ulid"] == [200, 200, 429, 200, 200, 429, 200]
    assert answers["kiss-ulid-2"] == [200, 200, 429, 429, 429, 429, 429]


def test_the_first_generation_says_it_in_a_header(start: Any, client: httpx.Client) -> None:
    """The rate of `kiss-v2`, and its failure on request, carry Retry-After."""
    url = start("kiss-v2", per_minute=1)
    assert [client.get(url + "/units").status_code for _ in range(2)] == [200, 429]
    assert client.get(url + "/units").headers["retry-after"] == "60"
    assert client.get(start("kiss-v2", faults=Faults(fail=((429, 1.0),))) + "/units").headers["retry-after"] == "1"


@pytest.mark.parametrize("profile", list(PROFILES))
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (401, Outcome.UNAUTHORIZED),
        (409, Outcome.KEY_REUSED),
        (429, Outcome.LIMITED),
        (500, Outcome.FAILED),
        (503, Outcome.UNKNOWN),
    ],
)
def test_each_failure_is_what_the_client_takes_it_for(
    start: Any, kiss: Any, profile: str, status: int, outcome: Outcome
) -> None:
    """A failing write is sorted by its status; where a look-up comes first nothing was written."""
    reply = lock(kiss(start(profile, faults=Faults(fail=((status, 1.0),)), rows=ROWS[:1]), profile), "U000")
    looked_up = {500: Outcome.UNREACHED, 503: Outcome.UNREACHED, 409: Outcome.FAILED}
    expected = outcome if profile == "kiss-v2" else looked_up.get(status, outcome)
    assert (reply.outcome, reply.status) == (expected, status)
    assert (reply.retry_after_s == 1) is (status == 429)


def _draws(seed: int, many: int) -> list[bool]:
    """Return which of the first requests are dropped where half of them are."""
    chance = random.Random(seed)
    return [chance.random() < 0.5 for _ in range(many)]


@pytest.mark.parametrize("profile", list(PROFILES))
def test_a_write_that_was_dropped_is_found_done_under_its_key(
    start: Any, kiss: Any, client: httpx.Client, profile: str
) -> None:
    """After no answer the same request under the same key gives the stored answer; it took effect once."""
    wanted = [True, False] if profile == "kiss-v2" else [False, True, False]  # the look-up passes
    seed = next(seed for seed in range(100) if _draws(seed, len(wanted)) == wanted)
    url = start(profile, faults=Faults(drop=0.5, seed=seed), rows=ROWS[:1])
    destination = kiss(url, profile)
    outcomes = [lock(destination, "U000").outcome for _ in range(2)]
    assert outcomes == [Outcome.UNKNOWN, Outcome.APPLIED]
    writes = [seen for seen in log(client, url)["requests"] if seen["method"] == "PATCH"]
    assert [(seen["status"], seen["applied"]) for seen in writes] == [(None, True), (200, False)]


@pytest.mark.parametrize("profile", list(PROFILES))
def test_a_bulk_call_in_which_all_failed_took_no_effect(start: Any, client: httpx.Client, profile: str) -> None:
    """The log does not take a 200 that holds failures only for a write."""
    url = start(profile)
    name = PROFILES[profile].name_of("crm_unit_id")
    for key, unit in [("a", {name: "X"}), ("b", {name: "X", "unit_name": "X", "occupied": False})]:
        client.patch(url + "/units", json={"units": [unit]}, headers={"Idempotency-Key": key})
    place = {"unit_name": "X", PROFILES[profile].name_of("pms_location_code"): "MAIN"}
    client.patch(url + "/units", json={"units": [{name: "X", **place}]}, headers={"Idempotency-Key": "c"})
    assert [seen["applied"] for seen in log(client, url)["requests"]] == [False, False, True]


@pytest.mark.parametrize("profile", list(PROFILES))
def test_without_the_token_it_is_401(start: Any, client: httpx.Client, profile: str) -> None:
    """Nobody reads or writes without the token."""
    url = start(profile)
    assert client.get(url + "/units", headers={"Authorization": "Bearer other"}).status_code == 401


@pytest.mark.parametrize("profile", list(PROFILES))
def test_a_unit_without_its_place_is_a_mistake_of_the_file(profile: str, clock: Clock) -> None:
    """The line is named."""
    with pytest.raises(ConfigError, match="line 3: unit_name is missing"):
        stand_in(Wish(token=TOKEN, clock=clock, profile=profile, rows=(ROWS[0], {**ROWS[1], "unit_name": ""})))


def test_the_same_seed_gives_the_same_ids(clock: Clock) -> None:
    """A run can be repeated down to the ULIDs."""

    def ids(seed: int) -> list[Any]:
        made = stand_in(Wish(token=TOKEN, clock=clock, profile="kiss-ulid", rows=ROWS[:5], seed=seed))
        return [unit["unit_id"] for unit in made.units()]

    assert ids(1) == ids(1) != ids(2)
