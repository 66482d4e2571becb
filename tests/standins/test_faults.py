"""Faults on request, in front of a stand-in that is none of a product's."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from worker.settings import ConfigError
from worker.standins.faults import (
    LOG_PATH,
    Faults,
    read_failure,
    read_rate,
    read_seconds,
    read_share,
    with_faults,
)
from worker.standins.registry import APPLIED_HEADER, STANDINS, StandIn, Wish, choose_profile, load
from worker.standins.serve import serving
from worker.units.wire import Answer

NOW = dt.datetime(2026, 5, 1, 14, 30, tzinfo=dt.UTC)


class Counter:
    """An API with one number, which a POST raises."""

    def __init__(self) -> None:
        self.number = 0

    def stand_in(self) -> StandIn:
        async def add(request: Request) -> JSONResponse:
            body = await request.body()
            told = json.loads(body or b"{}")
            self.number += told.get("by", 1)
            headers = {APPLIED_HEADER: told["applied"]} if "applied" in told else {}
            return JSONResponse({"number": self.number}, status_code=told.get("status", 200), headers=headers)

        return StandIn(
            app=Starlette(routes=[Route("/add", add, methods=["GET", "POST"])]),
            units=lambda: [{"number": self.number}],
            refuse=lambda status: Answer(status=status, body=b'{"no": true}', headers={"X-Of": "product"}),
        )


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def start(counter: Counter) -> Iterator[Callable[..., str]]:
    """Serve the counter with faults; return where."""
    with ExitStack() as stack:

        def begin(**faults: Any) -> str:
            app = with_faults(counter.stand_in(), Faults(**faults), clock=lambda: NOW)
            return stack.enter_context(serving(app))

        yield begin


def log(client: httpx.Client, url: str) -> list[dict[str, Any]]:
    return client.get(url + LOG_PATH).json()["requests"]


def ask(client: httpx.Client, url: str, times: int) -> list[int | None]:
    """Return the statuses of requests one after the other; None where there was no answer."""
    seen: list[int | None] = []
    for _ in range(times):
        try:
            seen.append(client.post(url + "/add").status_code)
        except httpx.RemoteProtocolError:
            seen.append(None)
    return seen


def test_without_faults_it_is_the_application(start: Any, counter: Counter, client: httpx.Client) -> None:
    """Every request is done and answered, and the log tells each of them."""
    url = start()
    assert client.post(url + "/add?x=1", headers={"Idempotency-Key": "k-1"}).json() == {"number": 1}
    assert client.get(url + "/add").json() == {"number": 2}
    assert client.get(url + "/gone").status_code == 404
    told = {"at": NOW.isoformat(), "fault": None}
    assert client.get(url + LOG_PATH).json() == {
        "requests": [
            {**told, "method": "POST", "path": "/add?x=1", "key": "k-1", "status": 200, "applied": True},
            {**told, "method": "GET", "path": "/add", "key": None, "status": 200, "applied": False},
            {**told, "method": "GET", "path": "/gone", "key": None, "status": 404, "applied": False},
        ],
        "units": [{"number": 2}],
    }


def test_a_failure_does_nothing(start: Any, counter: Counter, client: httpx.Client) -> None:
    """A request that fails on request is answered in the product's words, and not done."""
    url = start(fail=((503, 1.0),))
    answer = client.post(url + "/add", content=b"x" * 300_000)
    assert (answer.status_code, answer.json(), answer.headers["x-of"]) == (503, {"no": True}, "product")
    assert client.post(url + "/add").status_code == 503
    assert counter.number == 0
    assert [(seen["status"], seen["applied"], seen["fault"]) for seen in log(client, url)] == [(503, False, "503")] * 2


def test_a_drop_is_done_and_not_answered(start: Any, counter: Counter, client: httpx.Client) -> None:
    """A dropped request took effect; its connection ends without one byte of an answer."""
    url = start(drop=1.0)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        client.post(url + "/add", content=b'{"by": 5}')
    assert counter.number == 5
    (seen,) = log(client, url)
    assert (seen["status"], seen["applied"], seen["fault"]) == (None, True, "drop")


def test_the_same_seed_draws_the_same_faults(start: Any, counter: Counter, client: httpx.Client) -> None:
    """A run can be repeated, another seed draws otherwise, and what was not refused was done."""
    faults: dict[str, Any] = {"fail": ((503, 0.2), (500, 0.1)), "drop": 0.2}
    first = ask(client, start(seed=7, **faults), 200)
    assert counter.number == sum(status in (200, None) for status in first) == 129
    assert {status: first.count(status) for status in (503, 500, None)} == {503: 48, 500: 23, None: 39}
    assert ask(client, start(seed=7, **faults), 200) == first
    assert ask(client, start(seed=8, **faults), 200) != first


def test_the_log_is_never_refused(start: Any, client: httpx.Client) -> None:
    """Looking at the log is no request: it neither fails nor moves the chance."""
    url = start(fail=((500, 1.0),))
    assert [client.get(url + LOG_PATH).status_code for _ in range(3)] == [200] * 3
    assert log(client, url) == []


def test_the_log_tells_what_took_effect(start: Any, client: httpx.Client) -> None:
    """A write counts when it is answered 2xx, once for each key, unless the application says otherwise."""
    url = start()
    for told, key in [
        ({}, "a"),
        ({}, "a"),
        ({"status": 422}, "b"),
        ({}, "b"),
        ({"applied": "no"}, "c"),
        ({}, "c"),
        ({"applied": "yes", "status": 500}, None),
        ({}, None),
        ({}, None),
    ]:
        answer = client.post(url + "/add", json=told, headers={"Idempotency-Key": key} if key else {})
        assert APPLIED_HEADER not in answer.headers
    applied = [seen["applied"] for seen in log(client, url)]
    assert applied == [True, False, False, True, False, True, True, True, True]


def test_a_delay_holds_the_answer_back_and_not_the_work(start: Any, counter: Counter) -> None:
    """A client that does not wait has had its request done all the same."""
    url = start(delay_s=3600)
    with httpx.Client(trust_env=False, timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post(url + "/add")
    assert counter.number == 1


@pytest.mark.parametrize(("text", "share"), [("10%", 0.1), ("0.1", 0.1), ("0", 0), ("100%", 1), ("2.5%", 0.025)])
def test_a_share_is_read(text: str, share: float) -> None:
    """A share is written in percent or as a fraction."""
    assert read_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "10", "101%", "-1%", "x", "1e-2", "%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """More than all, less than nothing and what is no number are mistakes."""
    with pytest.raises(ValueError, match="is not a share"):
        read_share(text)


def test_options_are_read() -> None:
    """Failures, durations and rates have one way to be written, and a short one."""
    assert read_failure("503:10%") == (503, 0.1)
    assert [read_seconds(text) for text in ("2s", "200ms", "0.5")] == [2, 0.2, 0.5]
    assert [read_rate(text) for text in ("60/min", "60")] == [60, 60]


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_failure, "503"),
        (read_failure, "200:10%"),
        (read_failure, "503:x"),
        (read_seconds, "2m"),
        (read_seconds, "-1"),
        (read_rate, "0"),
        (read_rate, "5/s"),
    ],
)
def test_a_wrong_option_is_refused(read: Callable[[str], Any], text: str) -> None:
    """What cannot be read is told with how to write it."""
    with pytest.raises(ValueError, match="is not"):
        read(text)


def test_shares_come_to_no_more_than_all() -> None:
    """Faults that would take more than every request are a mistake."""
    Faults(fail=((503, 0.5), (500, 0.3)), drop=0.2)
    with pytest.raises(ValueError, match="more than 100%"):
        Faults(fail=((503, 0.5), (500, 0.3)), drop=0.3)


def test_every_product_can_be_made() -> None:
    """Each row of the registry names a function that gives a stand-in."""
    assert "kiss" in STANDINS
    for product in STANDINS:
        made = load(product)(Wish(token="t", clock=lambda: NOW))
        assert made.units() is not None
        made.close()


def test_a_profile_is_one_of_those_that_are_known() -> None:
    """Without a wish the first profile is taken; an unknown one is told with those that there are."""
    wish = Wish(token="t", clock=lambda: NOW)
    assert (choose_profile(wish, ("a", "b")), choose_profile(wish, ())) == ("a", "")
    with pytest.raises(ConfigError, match="known: a, b"):
        choose_profile(Wish(token="t", clock=lambda: NOW, profile="c"), ("a", "b"))
