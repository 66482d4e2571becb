"""The write status of a mail: one word for what became of all its events, duplicates included."""

import json

import pytest

from tests.console.conftest import Ops, configured, serve
from tests.rigs.gatepost import demo_mail, run
from worker import views
from worker.order import State
from worker.store.tables import readings


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (("applied", "applied"), "SUCCESS"),
        (("applied", "superseded"), "SUCCESS"),
        (("superseded", "withdrawn"), "SUCCESS"),
        (("discarded", "discarded"), "SUCCESS"),
        (("waiting", "applied"), "PENDING"),
        (("applied", "uncertain"), "PENDING"),
        (("held", "applied"), "PENDING"),
        (("rejected", "waiting"), "PENDING"),
        (("rejected", "held"), "PENDING"),
        (("rejected", "uncertain"), "PENDING"),
        (("rejected", "rejected"), "FAILURE"),
        (("rejected", "applied"), "PARTIAL_SUCCESS"),
        (("superseded", "rejected"), "PARTIAL_SUCCESS"),
        (("discarded", "rejected"), "PARTIAL_SUCCESS"),
    ],
)
def test_the_events_decide(ops: Ops, states: tuple[str, str], status: str) -> None:
    """Pending before all else, then failed as a whole or in part, then done: by the API, and by the command line."""
    mail_id = ops.keep(demo_mail("01"))
    ops.set_states(*states)
    found = ops.data(f"/write-status/{mail_id}")
    assert found["write_status"] == status
    assert [error["event"] for error in found["errors"]] == [
        row.id for row, state in zip(ops.event_rows(), states, strict=True) if state == "rejected"
    ]
    assert views.show_mail(ops.runtime.db, mail_id)["write_status"] == status


def test_every_state_of_an_event_is_judged() -> None:
    """No state is left out of the table above."""
    told = {state: views.write_status("parsed", [state]) for state in State}
    assert told == {
        State.WAITING: "PENDING",
        State.HELD: "PENDING",
        State.UNCERTAIN: "PENDING",
        State.REJECTED: "FAILURE",
        State.APPLIED: "SUCCESS",
        State.SUPERSEDED: "SUCCESS",
        State.WITHDRAWN: "SUCCESS",
        State.DISCARDED: "SUCCESS",
    }


def test_a_new_mail_is_pending_and_one_without_events_is_ignored(ops: Ops) -> None:
    """What has not been read is pending; what has been read and tells no event is ignored, held mails too."""
    mail_id = ops.keep_unread(b"From: pms@sitelink.com\r\nSubject: Nothing that we know\r\n\r\nx\r\n")
    assert ops.data(f"/write-status/{mail_id}") == {"write_status": "PENDING", "errors": [], "calls": []}
    ops.runtime.ingest([mail_id])
    held = ops.data(f"/write-status/{mail_id}")
    assert (held["write_status"], held["calls"]) == ("IGNORED", [])
    assert [(error["event"], error["code"]) for error in held["errors"]] == [(None, "unmatched")]
    assert views.write_status("ignored", []) == views.write_status("discarded", []) == "IGNORED"
    assert ops.post(f"/mails/{mail_id}/retry").status_code == 202
    assert ops.data(f"/write-status/{mail_id}")["write_status"] == "PENDING"


def test_the_calls_are_those_that_carried_the_events(ops: Ops) -> None:
    """The status of an applied mail names each call once, with its key and its answer."""
    mail_id = ops.keep(demo_mail("01"))
    ops.drain()
    found = ops.data(f"/write-status/{mail_id}")
    assert (found["write_status"], found["errors"]) == ("SUCCESS", [])
    assert [call["request"].partition(" ")[0] for call in found["calls"]] == ["PUT", "PATCH"]
    assert [call["attempts"][0]["status"] for call in found["calls"]] == [201, 200]
    assert ops.client.get("/write-status/nothing").status_code == 404


@pytest.mark.parametrize("path", ["same bytes", "another path"])
@pytest.mark.parametrize(
    ("states", "status"), [(("waiting", "applied"), "PENDING"), (("rejected", "applied"), "PARTIAL_SUCCESS")]
)
def test_a_duplicate_shows_what_it_repeats(ops: Ops, path: str, states: tuple[str, str], status: str) -> None:
    """A mail that tells only what is known has the status of those events."""
    raw = demo_mail("01")
    ops.keep(raw)
    ops.set_states(*states)
    again = raw if path == "same bytes" else raw.replace(b"Message-ID: <", b"Message-ID: <again-")
    mail_id = ops.keep(again)
    shown = ops.data(f"/mails/{mail_id}")
    assert (shown["state"], shown["events"]) == ("duplicate", [])
    assert shown["repeats"] == [row.id for row in ops.event_rows()]
    assert shown["write_status"] == ops.data(f"/write-status/{mail_id}")["write_status"] == status


def test_a_duplicate_of_bytes_that_read_otherwise_today_still_shows_them(ops: Ops) -> None:
    """Where the reading of today has other events, those of the mail with the same bytes are meant."""
    first = ops.keep(demo_mail("01"))
    mail_id = ops.keep(demo_mail("01"))
    with ops.runtime.db.write() as connection:
        connection.execute(readings.update().where(readings.c.mail_id == mail_id).values(reading={"events": []}))
    ops.set_states("rejected", "rejected")
    assert ops.data(f"/write-status/{mail_id}")["write_status"] == "FAILURE"
    assert ops.data(f"/mails/{first}")["repeats"] == []


def test_an_event_that_came_by_api_first_counts_for_its_mail(ops: Ops) -> None:
    """A mail of which one event was known has the status of all that it tells."""
    told = {"pms_tenant_id": "T-1", "move_in_date": "2026-05-04", "id": "42"}
    assert ops.tell(event="move_in", unit="B204", **told).status_code == 202
    ops.set_states("rejected")
    block = json.dumps({"@type": "PmsEvent", "event": "move_in", "unit": "B204", **told})
    head = "From: a@pms.example.com\r\nDate: Mon, 04 May 2026 10:00:00 -0500\r\nContent-Type: application/ld+json\r\n"
    mail_id = ops.keep(f"{head}\r\n{block}\r\n".encode())
    found = ops.data(f"/mails/{mail_id}")
    assert (found["state"], found["write_status"], found["repeats"]) == ("duplicate", "FAILURE", [1])


def test_mail_show_has_the_status(tmp_path) -> None:
    """``gatepost mail show --json`` has the write status and what the mail repeats."""
    config = tmp_path / "gatepost.toml"
    config.write_text(f'[store]\nurl = "sqlite:///{tmp_path / "store.db"}"\n', "utf-8")
    for ops in serve(configured(f"sqlite:///{tmp_path / 'store.db'}")):
        mail_id = ops.keep(demo_mail("01"))
        ops.drain()
    done = run("--config", str(config), "mail", "show", mail_id, "--json", cwd=tmp_path)
    shown = json.loads(done.stdout)
    assert (shown["write_status"], shown["repeats"]) == ("SUCCESS", [])
