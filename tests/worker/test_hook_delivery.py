"""Webhooks out, how they are sent: until they are taken, and nobody's trouble but their own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from tests.rigs.endpoint import SECRET, Endpoint
from tests.rigs.hooked import Hooked
from tests.rigs.services import wait_until
from worker.deliver import LEASE_S
from worker.signing import verify
from worker.store.tables import issues


@pytest.mark.parametrize("status", [0, 399, 500, 404, 302, 429])
def test_what_is_not_taken_is_sent_again_under_its_id(hooked: Hooked, status: int) -> None:
    """Anything but a 2xx is tried again later, with the same id and bytes, and a signature of its own time."""
    hooked.tell(("mailbox.silent", "x@y.test"))
    hooked.one.statuses = [status, status]
    assert hooked.deliver.deliver("one") == 0
    first = hooked.row()
    assert (first.state, first.tries, first.status) == ("open", 1, status or None)
    assert first.due_at > hooked.clock.now
    assert hooked.deliver.deliver("one") == 0
    assert len(hooked.one.got) == 1, "before its time nothing is sent"
    for _ in range(2):
        hooked.clock.now = hooked.row().due_at
        hooked.deliver.deliver("one")
    assert (hooked.row().state, hooked.row().tries) == ("done", 3)
    bodies = {body for _, body in hooked.one.got}
    deliveries = {headers["x-gatepost-delivery"] for headers, _ in hooked.one.got}
    signatures = [headers["x-gatepost-signature"] for headers, _ in hooked.one.got]
    assert (len(hooked.one.got), len(bodies), len(deliveries), len(set(signatures))) == (3, 1, 1, 3)
    assert verify(SECRET, signatures[-1], bodies.pop(), hooked.clock.now.timestamp())


def test_the_waits_grow_and_are_bounded(hooked: Hooked) -> None:
    """Tries come 5, 10, 20 ... seconds apart, give or take half of it, and at last an hour or so apart."""
    hooked.webhooks = [hooked.webhook("one", give_up_s=1e9)]
    hooked.tell(("mailbox.silent", "x@y.test"))
    hooked.one.statuses = [500] * 14
    waits: list[float] = []
    for _ in range(14):
        hooked.deliver.deliver("one")
        waits.append((hooked.row().due_at - hooked.clock.now).total_seconds())
        hooked.clock.now = hooked.row().due_at
    for n, wait_s in enumerate(waits):
        middle = min(5 * 2**n, 3600)
        assert middle * 0.5 <= wait_s <= middle * 1.5
    assert len(set(waits)) == 14, "with chance in it"


def test_retry_after_is_honoured(hooked: Hooked) -> None:
    """An endpoint that says when to come again is not asked before."""
    hooked.tell(("mailbox.silent", "x@y.test"))
    hooked.one.statuses = [503]
    hooked.one.headers = {"Retry-After": "600"}
    hooked.deliver.deliver("one")
    assert (hooked.row().due_at - hooked.clock.now).total_seconds() >= 600


def test_a_delivery_that_grows_too_old_is_given_up_and_an_issue_says_so(
    hooked: Hooked, make_endpoint: Callable[[], Endpoint]
) -> None:
    """After its time a delivery is given up; one issue is opened, told to the others and not to the endpoint itself."""
    hooked.endpoints["two"] = make_endpoint()
    hooked.webhooks = [hooked.webhook("one", events=("mailbox.silent", "issue.opened"), give_up_s=3600)]
    hooked.webhooks.append(hooked.webhook("two", events=("issue.opened",)))
    for n in range(2):
        hooked.tell(("mailbox.silent", f"x{n}@y.test"))
    hooked.one.statuses = [500] * 9
    hooked.deliver.deliver("one")
    assert [row.state for row in hooked.rows()] == ["open", "open"]
    hooked.clock.advance(3600)
    for _ in range(2):
        hooked.deliver.deliver("one")
    assert [(row.endpoint, row.state, row.due_at is None) for row in hooked.rows()] == [
        ("one", "given_up", True),
        ("one", "given_up", True),
        ("two", "open", False),
    ]
    with hooked.db.read() as connection:
        (issue,) = connection.execute(sa.select(issues)).all()
    assert (issue.kind, issue.count, issue.subject) == ("webhook_given_up", 2, {"webhook": "one"})
    events = [trouble["event"] for trouble in hooked.troubles]
    assert events == ["hook_failed", "hook_given_up", "issue_opened", "hook_given_up"]
    assert hooked.deliver.deliver("two") == 1
    assert hooked.endpoints["two"].told()[0]["data"]["kind"] == "webhook_given_up"


def test_a_death_in_between_sends_it_again(hooked: Hooked) -> None:
    """A delivery that was begun and never settled is another's after its lease, under the same id; not before."""

    class Death(BaseException):
        pass

    hooked.tell(("mailbox.silent", "x@y.test"))
    dying = hooked.sender()

    def die(*_: Any, **__: Any) -> None:
        raise Death

    dying._client("one").exchange = die  # type: ignore[method-assign]
    with pytest.raises(Death):
        dying.deliver("one")
    assert (hooked.deliver.deliver("one"), hooked.one.got) == (0, [])
    hooked.clock.advance(LEASE_S)
    assert hooked.deliver.deliver("one") == 1
    assert (hooked.row().tries, hooked.row().state) == (2, "done")


def test_two_senders_send_each_delivery_once(hooked: Hooked) -> None:
    """Several processes share the work; no delivery goes out twice while all goes well."""
    for n in range(20):
        hooked.tell(("mailbox.silent", f"x{n}@y.test"))
    senders = [hooked.sender() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for sender in senders:
            pool.submit(sender.deliver, "one")
    hooked.deliver.deliver("one")
    for sender in senders:
        sender.close()
    ids = [headers["x-gatepost-delivery"] for headers, _ in hooked.one.got]
    assert (len(ids), len(set(ids))) == (20, 20)
    assert {row.state for row in hooked.rows()} == {"done"}


@pytest.mark.parametrize(("other", "late", "state"), [(200, 500, "done"), (500, 200, "done"), (500, 404, "open")])
def test_a_late_settler_undoes_nothing(hooked: Hooked, other: int, late: int, state: str) -> None:
    """Of two senders of one delivery, that one took it counts; else the word of the last one, not of the late one."""
    hooked.tell(("mailbox.silent", "x@y.test"))
    sender = hooked.sender()
    hooked.one.statuses = [other, late]
    between: list[Any] = []

    def overtake() -> None:
        hooked.one.before = lambda: None
        hooked.clock.advance(LEASE_S)
        sender.deliver("one")
        between.append(hooked.row())

    hooked.one.before = overtake
    hooked.deliver.deliver("one")
    sender.close()
    row = hooked.row()
    assert (len(hooked.one.got), row.tries, row.state) == (2, 2, state)
    if state == "open":
        assert (row.status, row.due_at) == (between[0].status, between[0].due_at) == (500, row.due_at)


def test_an_endpoint_that_hangs_holds_up_no_other(hooked: Hooked, make_endpoint: Callable[[], Endpoint]) -> None:
    """While one endpoint does not answer, another gets all of its own, and the first is not asked twice at once."""
    hooked.endpoints["two"] = make_endpoint()
    hooked.webhooks = [hooked.webhook("one", timeout_s=10), hooked.webhook("two")]
    for n in range(3):
        hooked.tell(("mailbox.silent", f"x{n}@y.test"))
    release, arrived = threading.Event(), threading.Event()

    def hang() -> None:
        arrived.set()
        release.wait(30)

    hooked.one.before = hang
    with ThreadPoolExecutor(4) as pool:
        hooked.deliver.start_due(pool)
        assert arrived.wait(30)
        hooked.deliver.start_due(pool)
        wait_until(lambda: len(hooked.endpoints["two"].got) == 3, what="the second endpoint having all")
        assert hooked.one.got == []
        release.set()
        wait_until(lambda: len(hooked.one.got) == 3, what="the first endpoint having all")
    assert {row.state for row in hooked.rows()} == {"done"}


def test_a_call_is_bounded_in_time(hooked: Hooked) -> None:
    """An endpoint that never answers ends with its own time limit, and is asked again later."""
    hooked.webhooks = [hooked.webhook("one", timeout_s=0.2)]
    hooked.tell(("mailbox.silent", "x@y.test"))
    release = threading.Event()
    hooked.one.before = lambda: release.wait(30)
    assert hooked.deliver.deliver("one") == 0
    release.set()
    assert (hooked.row().state, hooked.row().status, hooked.row().message) == ("open", None, "ReadTimeout")


def test_nothing_listening_is_tried_again(hooked: Hooked) -> None:
    """A refused connection is a try like any other, and its log line holds no address."""
    hooked.webhooks = [hooked.webhook("one", url="http://127.0.0.1:1/x")]
    hooked.tell(("mailbox.silent", "x@y.test"))
    assert hooked.deliver.deliver("one") == 0
    assert (hooked.row().state, hooked.row().message) == ("open", "ConnectError")
    assert [trouble["event"] for trouble in hooked.troubles] == ["hook_failed"]


def test_without_its_secret_nothing_is_sent(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unsigned webhook never leaves; once the secret is there it does."""
    monkeypatch.delenv("HOOK_SECRET")
    hooked.tell(("mailbox.silent", "x@y.test"))
    assert hooked.deliver.deliver("one") == 0
    assert (hooked.one.got, hooked.row().state) == ([], "open")
    assert [trouble["event"] for trouble in hooked.troubles] == ["hook_secret_missing", "hook_failed"]
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    hooked.clock.now = hooked.row().due_at
    assert hooked.deliver.deliver("one") == 1


def test_what_is_left_for_no_endpoint_is_given_up_in_the_end(hooked: Hooked) -> None:
    """Deliveries of an endpoint that left the configuration wait for it to come back, and not for ever."""
    hooked.tell(("mailbox.silent", "x@y.test"))
    kept, hooked.webhooks = hooked.webhooks, []
    hooked.deliver.abandon()
    assert hooked.row().state == "open"
    hooked.webhooks = kept
    hooked.clock.advance(4 * 86_400)
    hooked.deliver.abandon()
    assert hooked.row().state == "open"
    hooked.webhooks = []
    hooked.deliver.abandon()
    assert (hooked.row().state, hooked.row().due_at) == ("given_up", None)
