"""Webhooks out, what is told: stored with what they tell, and nothing of a resident in it."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from parsers import load_rules
from tests.rigs.endpoint import SECRET, Endpoint
from tests.rigs.gatepost import ROOT, demo_mail
from tests.rigs.hooked import Hooked
from tests.rigs.lane import answer
from worker.calls import Outcome
from worker.deliver import Deliver
from worker.drain import Drain
from worker.hooks import Hooks
from worker.ingest import Ingest
from worker.notices import IssueKind, silent_destination
from worker.order import State
from worker.settings import Mailbox, Webhook
from worker.signing import verify
from worker.store.database import Database
from worker.store.issues import open_issue
from worker.store.keep import Keeper, KeptMail
from worker.store.lanes import move_events
from worker.store.tables import events


def test_an_applied_event_is_told_once(hooked: Hooked) -> None:
    """An event that is applied is stored as one delivery with it, sent once, and nothing is told again."""
    hooked.rig.move_in()
    hooked.drain()
    hooked.drain()
    assert [row.event for row in hooked.rows()] == ["event.applied"]
    assert hooked.deliver.deliver("one") == 1
    assert hooked.deliver.deliver("one") == 0
    (told,) = hooked.one.told()
    row = hooked.row()
    assert told == {
        "event": "event.applied",
        "timestamp": hooked.clock.now.isoformat(),
        "webhook_id": row.id,
        "data": {
            "event_id": 1,
            "mail_id": "m1",
            "mailbox": "x@y.test",
            "kind": "move_in",
            "state": "applied",
            "reason": None,
            "destination": "kiss",
            "crm_unit_id": "MAIN-B204",
            "rule": "test/rule",
            "rule_set": "0",
        },
    }
    assert (row.state, row.status, row.tries, row.due_at) == ("done", 200, 1, None)


def test_the_headers_sign_and_name_the_delivery(hooked: Hooked) -> None:
    """A receiver can tell that it is from us, when it was sent, what it tells, and whether it has it already."""
    hooked.rig.move_in()
    hooked.drain()
    hooked.deliver.deliver("one")
    ((headers, body),) = hooked.one.got
    now_s = hooked.clock.now.timestamp()
    assert headers["x-gatepost-event"] == "event.applied"
    assert headers["x-gatepost-delivery"] == json.loads(body)["webhook_id"]
    assert headers["content-type"] == "application/json"
    assert headers["x-gatepost-signature"].startswith(f"t={int(now_s)},v1=")
    assert verify(SECRET, headers["x-gatepost-signature"], body, now_s)
    assert not verify("another", headers["x-gatepost-signature"], body, now_s)


def test_a_rejected_event_and_its_issue_are_told(hooked: Hooked) -> None:
    """What the destination refuses is told as rejected, and the issue that it opens as opened; a second one of the
    same cause opens no other."""
    hooked.rig.move_in()
    hooked.drain()
    for hour, fact in ((1, "pms_lockout"), (2, "pms_auction")):
        hooked.rig.patch(hour, **{fact: True})
        hooked.rig.far.faults = [answer(Outcome.REJECTED, 422)]
        hooked.drain()
    assert sorted(row.event for row in hooked.rows()) == [
        "event.applied",
        "event.rejected",
        "event.rejected",
        "issue.opened",
    ]
    assert hooked.deliver.deliver("one") == 4
    told = {one["event"]: one["data"] for one in hooked.one.told()}
    assert (told["event.rejected"]["state"], told["event.rejected"]["reason"]) == ("rejected", "rejected")
    assert told["issue.opened"] == {
        "issue_id": 1,
        "kind": "rejected",
        "state": "open",
        "subject": {"destination": "kiss", "unit": "MAIN-B204"},
    }
    assert "as the test says" not in json.dumps(hooked.one.told())


def test_a_destination_that_is_down_is_told(hooked: Hooked) -> None:
    """The issue of an open circuit is told once, with the circuit."""
    hooked.rig.move_in()
    for _ in range(12):
        hooked.rig.far.faults = [answer(Outcome.UNREACHED)]
        hooked.drain()
        hooked.clock.advance(400)
    assert [row.event for row in hooked.rows()] == ["issue.opened"]
    assert json.loads(hooked.row().body)["data"]["kind"] == "destination_down"


def test_an_endpoint_hears_only_what_it_listens_to(hooked: Hooked, make_endpoint: Callable[[], Endpoint]) -> None:
    """Each endpoint gets the events that it names; where nobody listens nothing is stored."""
    hooked.endpoints["two"] = make_endpoint()
    hooked.webhooks = [
        hooked.webhook("one", events=("event.rejected",)),
        hooked.webhook("two", events=("event.applied",)),
    ]
    hooked.rig.move_in()
    hooked.drain()
    assert [row.endpoint for row in hooked.rows()] == ["two"]
    hooked.webhooks = []
    hooked.rig.patch(1, pms_lockout=True)
    hooked.drain()
    assert len(hooked.rows()) == 1


def test_a_held_mail_is_told_without_its_text(
    database: Database, make_endpoint: Callable[[], Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail that is held is told with id, mailbox, reason and rule: nothing that it says, nobody that it names."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    now = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    endpoint = make_endpoint()
    webhook = Webhook.model_validate(
        {"name": "one", "url": endpoint.url, "events": ["mail.held"], "secret_env": "HOOK_SECRET"}
    )
    hooks = Hooks(endpoints=lambda: [webhook], clock=lambda: now)
    box = Mailbox(address="main@in.test", location="MAIN", pms=("sitelink",), trust=())  # type: ignore[arg-type]

    ingest = Ingest(
        database,
        mailboxes=lambda: {box.address: box},
        rules=lambda: load_rules([ROOT / "rules"]),
        clock=lambda: now,
        clock_skew_s=900,
        on_told=hooks.tell,
    )
    keeper = Keeper(database, batch_mails=1, batch_bytes=1 << 20, clock=lambda: now, on_kept=lambda _: None)
    kept = KeptMail(body=demo_mail("01"), recipients=((box.address, box.address),), evidence={"peer": "127.0.0.1"})
    mail_id = keeper.submit(kept).result()
    keeper.stop()
    ingest.ingest([mail_id, mail_id])
    deliver = Deliver(database, webhooks=lambda: [webhook], hooks=hooks, clock=lambda: now)
    assert deliver.deliver("one") == 1
    deliver.close()
    (told,) = endpoint.told()
    expected = {"mail_id": mail_id, "mailbox": "main@in.test", "state": "held", "reason": "untrusted", "rule": None}
    assert told["data"] == expected
    for word in ("Jane", "Smith", "T-5001", "sitelink.com", "B204"):
        assert word not in json.dumps(told)


def test_an_issue_of_a_mail_is_told_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The issue that the reading of a mail opens is told with the mail; one that was open already is not."""
    now = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    told: list[tuple[str, int | str]] = []
    box = Mailbox(address="main@in.test", location="MAIN", pms=("sitelink",), trust=())  # type: ignore[arg-type]

    def note(connection: Any, _tellings: Any, _ids: Any, *, now: dt.datetime) -> tuple[int, IssueKind] | None:
        issue_id, is_new = open_issue(connection, silent_destination("x", "y"), now=now)
        return (issue_id, IssueKind.DESTINATION_DOWN) if is_new else None

    monkeypatch.setattr("worker.ingest.note_numbers", note)
    ingest = Ingest(
        database,
        mailboxes=lambda: {box.address: box},
        rules=lambda: load_rules([ROOT / "rules"]),
        clock=lambda: now,
        clock_skew_s=900,
        on_told=lambda _connection, words: told.extend(words),
    )
    keeper = Keeper(database, batch_mails=1, batch_bytes=1 << 20, clock=lambda: now, on_kept=lambda _: None)
    ids = []
    for n in range(2):
        kept = KeptMail(body=b"Subject: %d" % n, recipients=((box.address, box.address),), evidence={})
        ids.append(keeper.submit(kept).result())
    keeper.stop()
    ingest.ingest(ids)
    assert told == [("mail.held", ids[0]), ("issue.opened", 1), ("mail.held", ids[1])]


def test_nothing_of_a_resident_is_told(hooked: Hooked) -> None:
    """Tenant, ledger, dates and amounts stay here, whatever is told."""
    hooked.rig.move_in("T-5001-Jane")
    hooked.rig.patch(1, balance_due=98765, paid_through_date="2026-07-31")
    hooked.drain()
    assert hooked.deliver.deliver("one") == 2
    text = json.dumps(hooked.one.told())
    for word in ("Jane", "T-5001", '"L"', "2026-05-01", "2026-07-31", "98765"):
        assert word not in text


def test_a_silent_mailbox_can_be_told(hooked: Hooked) -> None:
    """The word is there for whoever watches mailboxes."""
    hooked.tell(("mailbox.silent", "x@y.test"))
    assert hooked.deliver.deliver("one") == 1
    assert hooked.one.told()[0]["data"] == {"mailbox": "x@y.test"}


# -- with what it tells -----------------------------------------------------------------------------------------------


def test_it_is_stored_with_what_it_tells_or_not_at_all(hooked: Hooked) -> None:
    """A transaction that fails leaves neither the event applied nor the delivery; the next one leaves both."""
    hooked.rig.move_in()
    tell = hooked.hooks.tell

    def tell_and_crash(connection: Any, told: Any) -> None:
        tell(connection, told)
        raise OSError("gone")

    drain = Drain(
        hooked.db,
        {"kiss": hooked.rig.far},
        clock=hooked.clock,
        by="one",
        on_told=tell_and_crash,
        on_trouble=hooked._note,
    )
    drain.drain([("kiss", "MAIN-B204")])
    assert (hooked.rig.states(), hooked.rows()) == ([("waiting", None)], [])
    hooked.clock.advance(60)
    hooked.drain()
    assert hooked.rig.states() == [("applied", None)]
    assert len(hooked.rows()) == 1


def test_what_cannot_be_told_holds_up_nothing(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a delivery cannot be stored the event is applied all the same, and the log says so without its text."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Jane Smith")

    monkeypatch.setattr("worker.hooks.store_hook", fail)
    hooked.rig.move_in()
    hooked.drain()
    assert hooked.rig.states() == [("applied", None)]
    assert [trouble["event"] for trouble in hooked.troubles] == ["hook_not_stored"]
    assert "Jane" not in str(hooked.troubles)


def test_what_was_told_in_part_is_not_told(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure in the middle of a telling leaves none of its deliveries, and the caller's own writes."""
    hooked.rig.move_in()
    hooked.drain()
    before = len(hooked.rows())
    with hooked.db.write() as connection:
        connection.execute(events.update().values(detail="mine"))
        hooked.hooks.tell(connection, [("event.rejected", 1), ("event.rejected", 99)])
    assert len(hooked.rows()) == before
    with hooked.db.read() as connection:
        assert connection.execute(sa.select(events.c.detail)).scalar_one() == "mine"


def test_told_twice_it_is_one_delivery(hooked: Hooked) -> None:
    """The same occurrence told by two hands is one delivery; the next occurrence of the same thing is another."""
    hooked.rig.move_in()
    hooked.drain()
    hooked.tell(("event.applied", 1), ("event.applied", 1))
    assert len(hooked.rows()) == 1
    with hooked.db.write() as connection:
        move_events(connection, {1: (State.REJECTED, None)}, now=hooked.clock.now)
        move_events(connection, {1: (State.APPLIED, None)}, now=hooked.clock.now)
    hooked.tell(("event.applied", 1))
    assert len(hooked.rows()) == 2
