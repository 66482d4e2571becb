"""Events by the operator API: the checks, identity and order of the same event in a mail."""

import datetime as dt
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from parsers.events import Kind
from tests.console.conftest import BOX, Ops, configured, serve
from worker import actions
from worker.console.ops.schemas import SCHEMAS
from worker.pmsevent import COMMON, PACK, _Reader
from worker.store.tables import issues, lanes

MOVE_IN = {"event": "move_in", "unit": "B204", "pms_tenant_id": "T-1", "ledger_id": "L-1", "move_in_date": "2026-05-04"}
AT = "2026-05-04T10:00:00-05:00"
EVENTS = {
    "move_in": MOVE_IN,
    "move_out": {"event": "move_out", "unit": "B204", "pms_tenant_id": "T-1"},
    "patch": {"event": "patch", "unit": "B204", "pms_lockout": True, "balance_due": 125.5, "pms_status_raw": None},
}


def mail_of(event: dict[str, Any], *, date: str = "Mon, 04 May 2026 10:00:00 -0500") -> bytes:
    """Return a mail that holds an event as structured data."""
    block = json.dumps({"@context": "https://schema.org", "@type": "PmsEvent", **event})
    head = f"From: A PMS <events@pms.example.com>\r\nDate: {date}\r\nContent-Type: application/ld+json\r\n"
    return f"{head}\r\n{block}\r\n".encode()


def test_an_event_takes_effect(ops: Ops) -> None:
    """A told event is stored with its author, applied, and shown with why the unit is as it is."""
    answer = ops.post("/events", {"mailbox": BOX, **MOVE_IN}, headers={"X-Actor": "front-desk"})
    assert answer.status_code == 202, answer.text
    told = answer.json()["data"]
    assert (told["state"], told["crm_unit_id"], told["author"]) == ("waiting", "SITELINK-B204", "front-desk")
    assert (told["rule"], told["mail"], told["rule_set"]) == ("pmsevent/move-in", None, ops.runtime.rules().id)
    assert ops.tell(event="patch", unit="B204", pms_lockout=True).status_code == 202
    ops.drain()
    (unit,) = ops.data("/units")
    assert (unit["confirmed"]["occupied"], unit["confirmed"]["pms_lockout"]) == (True, True)
    assert [row.state for row in ops.event_rows()] == ["applied", "applied"]
    assert ops.audits() == [("front-desk", "event tell", "1"), ("ops-token", "event tell", "2")]


@pytest.mark.parametrize("kind", list(EVENTS))
@pytest.mark.parametrize("first", ["mail", "api"])
@pytest.mark.parametrize("occurred_at", [AT, None])
def test_by_mail_and_by_api_it_is_one_event(ops: Ops, kind: str, first: str, occurred_at: str | None) -> None:
    """The same event by both ways, whichever comes first, is one event with one moment; the second adds nothing."""
    event = {**EVENTS[kind], "id": "e-1", **({"occurred_at": occurred_at} if occurred_at else {})}
    raw = mail_of(event)
    if first == "mail":
        mail_id = ops.keep(raw)
        assert ops.tell(**event).status_code == 200
    else:
        assert ops.tell(**event).status_code == 202
        mail_id = ops.keep(raw)
    (row,) = ops.event_rows()
    assert row.effective_at == dt.datetime(2026, 5, 4, 15, tzinfo=dt.UTC)
    assert ops.data(f"/mails/{mail_id}")["state"] == ("parsed" if first == "mail" else "duplicate")
    assert ops.audits() == [("ops-token", "event tell", str(row.id))]


def test_another_value_is_another_event_of_the_same_identity(ops: Ops) -> None:
    """The same id with other values is a revision: two rows, one identity, and the later one counts."""
    for amount in (100, 50):
        assert ops.tell(event="patch", unit="B204", balance_due=amount, id="1").status_code == 202
        ops.clock.advance(1)
    assert ops.tell(**MOVE_IN, occurred_at=AT).status_code == 202
    one, other, _ = ops.event_rows()
    assert (one.identity, one.fingerprint != other.fingerprint) == (other.identity, True)
    ops.drain()
    assert ops.data("/units")[0]["confirmed"]["balance_due"] == 50


def test_a_caller_that_tells_again_changes_nothing(ops: Ops) -> None:
    """A repetition, told for want of an answer, does not put an event above a revision that came in between."""
    assert ops.tell(**MOVE_IN, occurred_at=AT).status_code == 202
    for amount, status in ((100, 202), (50, 202), (100, 200)):
        assert ops.tell(event="patch", unit="B204", balance_due=amount, id="1").status_code == status
        ops.clock.advance(1)
    ops.drain()
    assert ops.data("/units")[0]["confirmed"]["balance_due"] == 50


def test_two_events_of_one_second_keep_their_order(ops: Ops) -> None:
    """Without a time of their own, events happened when they were told, to the fraction of a second."""
    assert ops.tell(**MOVE_IN, occurred_at=AT).status_code == 202
    for n in range(8):
        assert ops.tell(event="patch", unit="B204", pms_lockout=n % 2 == 0, id=str(n)).status_code == 202
        ops.clock.advance(0.01)
    ops.drain()
    assert ops.data("/units")[0]["confirmed"]["pms_lockout"] is False


def test_a_snapshot_states_what_is(ops: Ops) -> None:
    """A snapshot sets tenancy and facts at once, and ends the tenancy where it says that the unit is vacant."""
    stated = {"event": "snapshot", "unit": "B204", "id": "s1", "occupied": True, "pms_auction": False}
    assert ops.tell(**stated, pms_tenant_id="T-1", move_in_date="2026-05-04", balance_due="12.50").status_code == 202
    ops.drain()
    confirmed = ops.data("/units")[0]["confirmed"]
    assert (confirmed["occupied"], confirmed["pms_tenant_id"], confirmed["balance_due"]) == (True, "T-1", 12.5)
    ops.clock.advance(60)
    empty = {"event": "snapshot", "unit": "B204", "id": "s2", "occupied": False}
    assert [ops.tell(**empty).status_code for _ in range(2)] == [202, 200]
    ops.drain()
    assert ops.data("/units")[0]["confirmed"]["occupied"] is False
    assert {row.rule for row in ops.event_rows()} == {"pmsevent/snapshot"}


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ({"event": "move_in", "unit": "B204"}, {"pms_tenant_id", "move_in_date"}),
        ({**MOVE_IN, "move_in_date": "05/04/2026"}, {"move_in_date"}),
        ({**MOVE_IN, "pms_tenant_id": None}, {"pms_tenant_id"}),
        ({**MOVE_IN, "pms_lockout": True}, {"pms_lockout"}),
        ({**MOVE_IN, "unit_name": "B205"}, {"unit_name"}),
        ({**MOVE_IN, "pms_location_code": "ELSEWHERE"}, {"pms_location_code"}),
        ({**MOVE_IN, "occurred_at": "yesterday"}, {"occurred_at"}),
        ({**MOVE_IN, "unit": ""}, {"unit"}),
        ({**MOVE_IN, "unit": "B\0"}, {"unit"}),
        ({**MOVE_IN, "unit": "../x"}, {"unit"}),
        ({**MOVE_IN, "unit": ["B204"]}, {"unit"}),
        ({name: value for name, value in MOVE_IN.items() if name != "unit"}, {"unit"}),
        ({**MOVE_IN, "@type": "Event"}, {"@type"}),
        ({**MOVE_IN, "event": "move"}, {"event"}),
        ({**MOVE_IN, "crm_unit_id": "SITELINK-B205"}, {"crm_unit_id"}),
        ({**MOVE_IN, "crm_unit_id": 7}, {"crm_unit_id"}),
        ({**MOVE_IN, "crm_unit_id": "a\0"}, {"crm_unit_id"}),
        ({"event": "patch", "crm_unit_id": "OTHER-B204", "pms_lockout": True}, {"crm_unit_id"}),
        ({"event": "patch", "unit": "B204"}, {"event"}),
        ({"event": "patch", "unit": "B204", "pms_lockout": None}, {"pms_lockout"}),
        ({"event": "patch", "unit": "B204", "pms_lockout": "perhaps"}, {"pms_lockout"}),
        ({"event": "patch", "unit": "B204", "pms_lockot": True}, {"pms_lockot"}),
        ({"event": "patch", "unit": "B204", "balance_due": -1}, {"balance_due"}),
        ({"event": "patch", "unit": "B204", "balance_due": {"a": 1}}, {"balance_due"}),
        ({"event": "snapshot", "unit": "B204"}, {"event"}),
        ({"event": "snapshot", "unit": "B204", "occupied": "yes"}, {"occupied"}),
        ({"event": "snapshot", "unit": "B204", "occupied": True}, {"pms_tenant_id", "move_in_date"}),
        ({"event": "snapshot", "unit": "B204", "occupied": False, "ledger_id": "L"}, {"ledger_id"}),
        ({"event": "snapshot", "unit": "B204", "pms_auction": 2}, {"pms_auction"}),
        ({**MOVE_IN, "mailbox": "nobody@demo.test"}, {"mailbox"}),
        ({**MOVE_IN, "mailbox": None}, {"mailbox"}),
    ],
)
def test_what_does_not_fit_is_422_by_field(lite: Ops, event: dict[str, Any], fields: set[str]) -> None:
    """Each wrong field is named as the caller wrote it; nothing is stored, and nothing of the text comes back."""
    answer = lite.tell(**event)
    assert answer.status_code == 422, answer.text
    assert {one["field"] for one in answer.json()["error"]["details"]} == fields
    assert (lite.event_rows(), lite.audits()) == ([], [])


def test_an_unknown_field_names_the_nearest(lite: Ops) -> None:
    """A misspelt fact is not a fact that is not stated."""
    (detail,) = lite.tell(event="patch", unit="B204", pms_lockot=True).json()["error"]["details"]
    assert "pms_lockout" in detail["message"]


def test_a_unit_may_be_named_by_its_id(ops: Ops) -> None:
    """The destination's id stands for the unit that the mailbox makes it of, also before the unit is known."""
    told = {name: value for name, value in MOVE_IN.items() if name != "unit"}
    first = ops.tell(**told, crm_unit_id="SITELINK-B204", id="1")
    assert (first.status_code, first.json()["data"]["unit"]) == (202, "B204")
    assert ops.tell(**MOVE_IN, id="1").status_code == 200
    assert ops.tell(**MOVE_IN, crm_unit_id="SITELINK-B204", unit_name="B204", id="1").status_code == 200


def test_a_unit_map_says_the_unit_of_an_id(tmp_path: Any) -> None:
    """With a map, its row says which unit an id is; a unit that the map does not know is held, as from a mail."""
    (tmp_path / "units.csv").write_text("unit,crm_unit_id,from,until\nB204,01HXYZ,,\n", "utf-8")
    box = {"unit_map": str(tmp_path / "units.csv")}
    for ops in serve(configured(f"sqlite:///{tmp_path / 'store.db'}", box=box)):
        known = ops.tell(event="patch", crm_unit_id="01HXYZ", pms_lockout=True)
        assert (known.status_code, known.json()["data"]["unit"]) == (202, "B204")
        unknown = ops.tell(event="patch", unit="C1", pms_lockout=True)
        assert unknown.status_code == 202
        assert (unknown.json()["data"]["state"], unknown.json()["data"]["reason"]) == ("held", "unknown_unit")
        assert ops.tell(event="patch", crm_unit_id="01HABC", pms_lockout=True).status_code == 422


@pytest.mark.parametrize(
    ("box", "event", "reason"),
    [
        ({"mode": "review"}, {}, "review"),
        ({"mode": "observe"}, {}, "review"),
        ({"unit_pattern": "[A-Z][0-9]"}, {}, "unknown_unit"),
        ({}, {"occurred_at": "2026-05-20T13:00:00Z"}, "clock"),
    ],
)
def test_the_guards_of_mail_hold_it(tmp_path: Any, box: dict[str, str], event: dict[str, str], reason: str) -> None:
    """What would hold an event of a mail holds one that is told."""
    for ops in serve(configured(f"sqlite:///{tmp_path / 'store.db'}", box=box)):
        answer = ops.tell(event="patch", unit="B204", pms_lockout=True, **event)
        assert answer.status_code == 202
        assert (answer.json()["data"]["state"], answer.json()["data"]["reason"]) == ("held", reason)


@pytest.mark.parametrize(("kind", "name"), [("mailbox", BOX), ("pack", "pmsevent")])
def test_while_paused_nothing_is_told(ops: Ops, kind: str, name: str) -> None:
    """A paused mailbox or pack takes no event, and goes on once it is resumed."""
    actions.pause(ops.runtime.db, kind, name, actor="jane", reason="", now=ops.clock())
    refused = ops.tell(**MOVE_IN)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONFLICT")
    assert ops.event_rows() == []
    actions.resume(ops.runtime.db, kind, name, actor="jane", now=ops.clock())
    assert ops.tell(**MOVE_IN).status_code == 202


def test_where_the_live_set_has_no_such_pack_the_shipped_one_reads(tmp_path: Any) -> None:
    """Who keeps rules of their own may tell events all the same, with the identity that the pack gives."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yaml").write_text(
        "pack: own\nsenders: [example.com]\ndates: [iso]\nrules:\n"
        "  - id: it\n    when: {subject: x}\n    ignore: nothing of ours\n",
        "utf-8",
    )
    identities: set[str] = set()
    for rules in (tmp_path / "rules", None):
        more = {"rules": {"paths": [str(rules)]}} if rules else {}
        for ops in serve(configured(f"sqlite:///{tmp_path}/{rules is None}.db", **more)):
            assert (PACK in ops.runtime.rules().packs) is (rules is None)
            assert ops.tell(**MOVE_IN, id="1").status_code == 202
            identities |= {row.identity for row in ops.event_rows()}
    assert len(identities) == 1


def test_the_schema_has_the_fields_that_are_read(lite: Ops) -> None:
    """The published shape of an event names what the rules read, no more and no less."""
    mailbox = lite.runtime.mailboxes()[BOX].reader()
    reader = _Reader(lite.runtime.rules(), mailbox, lite.clock())
    read = set(COMMON).union(*(reader.names(kind) for kind in Kind))
    assert set(SCHEMAS["PmsEvent"]["properties"]) == read


def test_a_surge_holds_what_is_told(tmp_path: Any) -> None:
    """A day that brings too much by this API is held under one issue, logged and told once; what is known is not."""
    guards = {"surge": True, "surge_least": 3}
    told: list[Any] = []
    for ops in serve(configured(f"sqlite:///{tmp_path / 'store.db'}", guards=guards)):
        ops.runtime.hooks.tell = lambda _connection, words, **_: told.extend(words)  # type: ignore[method-assign]
        for n in range(20):
            ops.clock.advance(86_400)
            assert ops.tell(event="patch", unit=f"A{n}", pms_lockout=True, id=str(n)).status_code == 202
        ops.clock.advance(86_400)
        with capture_logs() as logged:
            answers = [ops.tell(event="patch", unit=f"B{n}", pms_lockout=True, id=f"b{n}") for n in range(5)]
            again = ops.tell(event="patch", unit="B0", pms_lockout=True, id="b0")
        assert [answer.json()["data"]["reason"] for answer in answers] == [None, None, None, "surge", "surge"]
        assert (again.status_code, again.json()["data"]["state"]) == (200, "waiting")
        (issue,) = ops.rows(issues)
        assert (issue.kind, issue.count, issue.subject["mailbox"]) == ("surge", 2, BOX)
        assert [row.unit for row in ops.event_rows() if row.issue_id == issue.id] == ["B3", "B4"]
        assert told == [("issue.opened", issue.id)]
        assert [line["issue"] for line in logged if line["event"] == "issue_opened"] == [issue.id]
        assert ops.tell(event="patch", unit="B3", pms_lockout=True, id="b3").status_code == 200
        assert ops.rows(issues)[0].count == 2, "a repetition is no further one"


def test_a_told_snapshot_is_a_report_of_one_unit(tmp_path: Any) -> None:
    """``flips`` judges a told snapshot as a report of its one unit: held where so small a report may be held."""
    stated = {"event": "snapshot", "unit": "B204", "pms_lockout": True}
    for least, reason in ((10, None), (1, "flips")):
        guards = {"flips_least": least}
        for ops in serve(configured(f"sqlite:///{tmp_path / f'{least}.db'}", guards=guards)):
            assert ops.tell(**MOVE_IN, occurred_at=AT).status_code == 202
            with ops.runtime.db.write() as connection:
                connection.execute(lanes.update().values(shown={"pms_lockout": False, "exists": True}))
            answer = ops.tell(**stated, id="s1")
            assert (answer.status_code, answer.json()["data"]["reason"]) == (202, reason)
            assert ops.tell(**{**stated, "pms_lockout": False}, id="s2").json()["data"]["reason"] is None
            assert [row.kind for row in ops.rows(issues)] == ([reason] if reason else [])
