"""Undo and replays by the operator API: the plan without ``go``, and what the command line would do with it."""

from typing import Any

import pytest

from parsers import load_rules_text
from tests.console.conftest import Ops
from tests.rigs.gatepost import demo_mail
from worker.console.ops import mending
from worker.store.tables import issues, lanes, replays
from worker.undo import plan

MOVE_IN = {"event": "move_in", "unit": "B204", "pms_tenant_id": "T-1", "move_in_date": "2026-05-04", "id": "in"}
BOTH = pytest.mark.parametrize("path", ["/undo", "/replays"])


@pytest.fixture
def occupied(ops: Ops) -> Ops:
    """A unit with a tenant and an overlock that was told by mistake."""
    assert ops.tell(**MOVE_IN).status_code == 202
    ops.clock.advance(60)
    assert ops.tell(event="patch", unit="B204", pms_lockout=True, id="lock").status_code == 202
    ops.drain()
    assert ops.data("/units")[0]["confirmed"]["pms_lockout"] is True
    return ops


def states(ops: Ops) -> list[str]:
    """Return the states of the events, first to last."""
    return [row.state for row in ops.event_rows()]


def test_an_undo_is_planned_and_changes_nothing(occupied: Ops) -> None:
    """Without ``go`` the answer is what would be sent, as the command line plans it; nothing is changed or audited."""
    before = (states(occupied), occupied.audits())
    answer = occupied.post("/undo", {"query": "unit:B204 rule:pmsevent/patch"})
    assert answer.status_code == 200, answer.text
    told = answer.json()["data"]
    runtime = occupied.runtime
    (same,) = plan(runtime.db, "unit:B204 rule:pmsevent/patch", manners=runtime.manners, now=occupied.clock())
    assert told == {"done": False, "units": [same.to_json()]}
    assert told["units"][0]["calls"] == [{"verb": "patch", "writes": {"pms_lockout": False}}]
    assert (states(occupied), occupied.audits()) == before


def test_an_undo_with_go_is_done_once(occupied: Ops) -> None:
    """With ``go`` the events are taken back and the unit is put right; told again nothing is left to take back."""
    wish = {"query": "rule:pmsevent/patch", "go": True, "reason": "ticket 17"}
    first = occupied.post("/undo", wish, headers={"X-Actor": "anna"})
    assert (first.status_code, first.json()["data"]["done"]) == (202, True)
    assert [unit["withdrawn"] for unit in first.json()["data"]["units"]] == [[2]]
    again = occupied.post("/undo", wish)
    assert (again.status_code, again.json()["data"]["units"]) == (202, [])
    occupied.drain()
    assert occupied.data("/units")[0]["confirmed"]["pms_lockout"] is False
    assert states(occupied) == ["applied", "withdrawn"]
    assert ("anna", "undo", "rule:pmsevent/patch") in occupied.audits()


def test_an_undo_makes_its_units_due(occupied: Ops) -> None:
    """The units of an undo are due at once: nobody has to ask for them."""
    assert [row.due_at for row in lane_rows(occupied)] == [None]
    occupied.post("/undo", {"query": "rule:pmsevent/patch", "go": True, "reason": "ticket 17"})
    assert [row.due_at for row in lane_rows(occupied)] == [occupied.clock()]


def lane_rows(ops: Ops) -> list[Any]:
    """Return the rows of all units."""
    with ops.runtime.db.read() as connection:
        return list(connection.execute(lanes.select()))


def test_what_an_undo_cannot_answer_is_an_issue_that_is_told(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody knows the earlier value an issue is opened, and webhooks are told of it."""
    told: list[Any] = []
    monkeypatch.setattr(ops.runtime.hooks, "tell", lambda _connection, words, **_: told.extend(words))
    ops.tell(event="patch", unit="B204", balance_due=5, id="1")
    with ops.runtime.db.write() as connection:
        connection.execute(lanes.update().values(shown={"balance_due": 5, "exists": True}, due_at=None))
    ops.set_states("applied")
    answer = ops.post("/undo", {"query": "unit:B204", "go": True, "reason": "wrong"})
    assert answer.json()["data"]["units"][0]["no_earlier_value"] == [1]
    assert [row.kind for row in ops.rows(issues)] == ["no_earlier_value"]
    assert told == [("issue.opened", 1)]


def test_a_replay_is_planned_started_paused_and_resumed(ops: Ops) -> None:
    """A replay goes its way by the API: the plan, its start, how far it is, a pause, going on, its end."""
    mail_id = ops.keep(demo_mail("01"))
    wish = {"query": f"id:{mail_id}"}
    planned = ops.post("/replays", wish)
    assert planned.status_code == 200, planned.text
    told = planned.json()["data"]
    assert (told["done"], told["from"], told["items"], told["mails"]) == (False, "parse", 1, 1)
    assert (told["effects"], [one["effect"] for one in told["changes"]]) == ({"same": 2}, ["same", "same"])
    assert ops.data("/replays") == []

    started = ops.post("/replays", {**wish, "go": True, "reason": "mended"}, headers={"X-Actor": "anna"})
    assert started.status_code == 202, started.text
    number = started.json()["data"]["replay"]
    assert (started.json()["data"]["state"], started.json()["data"]["outcomes"]) == ("running", {"due": 1})
    assert ops.post(f"/replays/{number}/pause").json()["data"]["state"] == "paused"
    assert ops.runtime.replays.carry_on() == 0
    assert ops.post(f"/replays/{number}/resume").json()["data"]["state"] == "running"
    assert ops.runtime.replays.carry_on() == 1
    done = ops.data(f"/replays/{number}")
    assert (done["state"], done["outcomes"], done["actor"]) == ("done", {"same": 1}, "anna")
    assert [one["replay"] for one in ops.data("/replays", q="done")] == [number]
    assert ops.post(f"/replays/{number}/pause").status_code == 404
    assert [(actor, action) for actor, action, _ in ops.audits()] == [
        ("anna", "replay"),
        ("ops-token", "replay paused"),
        ("ops-token", "replay running"),
    ]


def test_a_start_that_is_repeated_is_the_same_replay(ops: Ops) -> None:
    """Who had no answer asks again: while it has not ended it is the same replay, and afterwards another."""
    mail_id = ops.keep(demo_mail("01"))
    wish = {"query": f"id:{mail_id}", "go": True, "reason": "mended"}
    numbers = [ops.post("/replays", wish).json()["data"]["replay"] for _ in range(2)]
    assert numbers == [1, 1]
    others = ({**wish, "reason": "again"}, {**wish, "per_minute": 60})
    assert [ops.post("/replays", other).json()["data"]["replay"] for other in others] == [2, 3]
    assert ops.post("/replays", wish, headers={"X-Actor": "anna"}).json()["data"]["replay"] == 4
    while ops.runtime.replays.carry_on():
        ops.clock.advance(60)
    assert ops.post("/replays", wish).json()["data"]["replay"] == 5
    assert len(ops.rows(replays)) == 5


def test_a_replay_reads_with_the_rules_of_now(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no longer comes out of a mail is named by the plan and withdrawn by the replay."""
    mail_id = ops.keep(demo_mail("01"))
    ops.drain()
    ignoring = "pack: sitelink\nsenders: [sitelink.com]\nrules:\n  - id: all\n    when: {subject: .}\n    ignore: no\n"
    rules = load_rules_text({"sitelink.yaml": ignoring})
    monkeypatch.setattr(ops.runtime.replays, "_rules", lambda: rules)
    assert ops.post("/replays", {"query": f"id:{mail_id}"}).json()["data"]["effects"] == {"withdrawn": 2}
    ops.post("/replays", {"query": f"id:{mail_id}", "go": True, "reason": "mended"})
    ops.runtime.replays.carry_on()
    assert states(ops) == ["withdrawn", "withdrawn"]


def test_a_replay_from_apply_says_how_many_units(occupied: Ops) -> None:
    """From ``apply`` the plan counts units, and the replay states all that is wanted anew."""
    wish = {"query": "unit:B204", "from": "apply"}
    told = occupied.post("/replays", wish).json()["data"]
    assert (told["from"], told["items"], told["mails"], told["changes"]) == ("apply", 1, 0, [])
    occupied.post("/replays", {**wish, "go": True, "reason": "it lost its data"})
    assert occupied.runtime.replays.carry_on() == 1
    assert occupied.data("/units")[0]["confirmed"] == {}
    occupied.drain()
    assert occupied.data("/units")[0]["confirmed"]["pms_lockout"] is True


def test_a_plan_reads_only_so_many_mails(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller does not wait for a plan of everything: the plan says how many mails it has read of how many."""
    for number in ("01", "02", "03"):
        ops.keep(demo_mail(number))
    monkeypatch.setattr(mending, "PLANNED", 2)
    told = ops.post("/replays", {"query": "after:2000-01-01"}).json()["data"]
    assert (told["items"], told["mails"]) == (3, 2)
    told = ops.post("/replays", {"query": "after:2000-01-01", "first": 1}).json()["data"]
    assert (told["items"], told["mails"]) == (1, 1)


@BOTH
@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"query"}),
        ({"query": " "}, {"query"}),
        ({"query": "nothing:x"}, {"query"}),
        ({"query": 7}, {"query"}),
        ({"query": "x\0"}, {"query"}),
        ({"query": "x" * 1001}, {"query"}),
        ({"query": "unit:x", "go": "yes"}, {"go"}),
        ({"query": "unit:x", "go": True}, {"reason"}),
        ({"query": "unit:x", "go": True, "reason": ""}, {"reason"}),
        ({"query": "unit:x", "raeson": "why", "go": 1}, {"raeson", "go"}),
        ([], {"body"}),
    ],
)
def test_what_does_not_fit_is_422_by_field(lite: Ops, path: str, body: Any, fields: set[str]) -> None:
    """Each wrong field is named, and nothing is done."""
    answer = lite.post(path, body)
    assert answer.status_code == 422, answer.text
    assert {one["field"] for one in answer.json()["error"]["details"]} == fields
    assert (lite.audits(), lite.rows(replays)) == ([], [])


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"from": "here"}, "from"),
        ({"first": 0}, "first"),
        ({"first": True}, "first"),
        ({"per_minute": -1}, "per_minute"),
    ],
)
def test_a_replay_s_own_fields_are_checked(lite: Ops, more: dict[str, Any], field: str) -> None:
    """Layer, number and pace are what the command line takes."""
    answer = lite.post("/replays", {"query": "unit:x", **more})
    assert (answer.status_code, [one["field"] for one in answer.json()["error"]["details"]]) == (422, [field])


def test_a_misspelt_field_names_the_nearest(lite: Ops) -> None:
    """A misspelt ``go`` or ``first`` is not one that is left out."""
    (detail,) = lite.post("/replays", {"query": "unit:x", "frist": 1}).json()["error"]["details"]
    assert "`first`" in detail["message"]


def test_nothing_to_replay_is_a_conflict(lite: Ops) -> None:
    """A replay of nothing is not started; its plan is empty."""
    answer = lite.post("/replays", {"query": "unit:NOWHERE", "go": True, "reason": "why"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")
    assert lite.post("/replays", {"query": "unit:NOWHERE"}).json()["data"]["items"] == 0


@pytest.mark.parametrize("number", ["7", "x", "-1", "٣", "9" * 30])
def test_a_replay_that_is_not_there_is_404(lite: Ops, number: str) -> None:
    """Whatever stands for the number, there is no such replay."""
    assert lite.client.get(f"/replays/{number}").status_code == 404
    assert lite.post(f"/replays/{number}/pause").status_code == 404


@BOTH
def test_without_the_token_nothing_is_done(lite: Ops, path: str) -> None:
    """Undo and replay need the token, as everything does."""
    wish = {"query": "unit:x", "go": True, "reason": "why"}
    assert lite.post(path, wish, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert lite.client.get("/replays", headers={"Authorization": ""}).status_code == 401
