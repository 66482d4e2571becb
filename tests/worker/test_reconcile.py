"""Reconcile: a rent roll against what we applied, what people do with it, and what is compared by itself."""

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from parsers.events import Event, Kind
from tests.rigs.rentrolls import Desk, roll
from worker.actions import CannotDo
from worker.rolls import list_reconciles, roll_of_events, show_reconcile
from worker.store import schema
from worker.store.database import Database
from worker.store.tables import bodies, events, issues, mails
from worker.why import why

HEAD = "Unit,Status,Tenant ID,Ledger ID,Move-In Date,Balance,Locked Out\n"


@pytest.fixture
def desk(database: Database) -> Desk:
    """A desk on SQLite, then on PostgreSQL."""
    return Desk(database)


@pytest.fixture
def lite(tmp_path: Any) -> Desk:
    """A desk on SQLite alone."""
    opened = Database(f"sqlite:///{tmp_path / 'desk.db'}")
    schema.upgrade(opened)
    return Desk(opened)


def settle(desk: Desk) -> None:
    """Have three units: one with a balance, one vacant, one that nobody knows yet."""
    desk.move_in("A1", "T1")
    desk.tell("A1", Kind.PATCH, {"balance_due": Decimal("10.00")}, hour=1)
    desk.move_in("A2", "T2")
    desk.tell("A2", Kind.MOVE_OUT, {}, hour=2)
    desk.drain()


def test_each_kind_of_finding(desk: Desk) -> None:
    """Missed, phantom, different, same and not in the file are told apart, and comparing changes nothing."""
    settle(desk)
    desk.move_in("A3", "T3")
    desk.move_in("A4", "T4")
    desk.drain()
    before = dict(desk.far.kiss.units)
    found = desk.compare(
        HEAD + "A1,Occupied,T1,L-T1,2026-05-01,25.00,No\n"  # another balance
        "A2,Occupied,T9,,2026-05-20,,\n"  # a move-in that nobody told
        "A3,Vacant,,,,,\n"  # a tenancy of ours that is none
        "A5,Occupied,T5,,2026-05-20,,\n"  # a unit that no mail has named
    )
    kinds = {finding.unit: str(finding.kind) for finding in found.findings}
    assert kinds == {"A1": "different", "A2": "missed", "A3": "phantom", "A4": "not_in_file", "A5": "missed"}
    (balance,) = found.findings[0].differences
    assert (balance.name, balance.ours, balance.theirs) == ("balance_due", Decimal("10.00"), Decimal("25.00"))
    assert found.counts["same"] == 0
    assert desk.far.kiss.units == before


def test_a_row_that_agrees_is_the_same(desk: Desk) -> None:
    """What we know and the file says alike is counted and no finding; an empty cell says nothing."""
    settle(desk)
    found = desk.compare(HEAD + "A1,Rented,T1,,2026-05-01,10,\nA2,Available,,,,0.00,No\n")
    assert (found.counts["same"], found.findings, found.differs) == (2, [], False)


def test_a_unit_that_is_absent_is_left_alone(desk: Desk) -> None:
    """A unit that the file does not name is listed, and nothing of it is written: it is not vacant."""
    settle(desk)
    sent = len(desk.far.sent)
    found = desk.go(HEAD + "A2,Vacant,,,,,\n")
    assert [(finding.unit, str(finding.kind)) for finding in found.findings] == [("A1", "not_in_file")]
    assert len(desk.far.sent) == sent
    assert desk.far.kiss.units["MAIN-A1"]["occupied"]


def test_what_happened_after_the_rent_roll_is_no_difference(desk: Desk) -> None:
    """A file of yesterday is compared with yesterday, and what it states stands below what came since."""
    settle(desk)
    desk.tell("A1", Kind.PATCH, {"balance_due": Decimal("77.00")}, hour=10)
    desk.drain()
    as_of = dt.datetime(2026, 5, 1, 18, tzinfo=dt.UTC)
    assert desk.compare(HEAD + "A1,Occupied,T1,,,10.00,\n", as_of=as_of).counts["same"] == 1
    desk.go(HEAD + "A1,Occupied,T1,,,12.00,Yes\n", as_of=as_of)
    desk.drain()
    assert desk.far.kiss.units["MAIN-A1"]["balance_due"] == 77
    assert desk.far.kiss.units["MAIN-A1"]["pms_lockout"] is True


def test_a_moment_to_come_is_refused(lite: Desk) -> None:
    """A rent roll states what is, not what will be."""
    with pytest.raises(CannotDo, match="has not come yet"):
        lite.compare(HEAD + "A1,Vacant,,,,,\n", as_of=lite.clock() + dt.timedelta(seconds=1))


def test_a_unit_of_another_looks_is_left_out_or_a_phantom(lite: Desk) -> None:
    """What does not look like a unit of the site is left out of the file, and a phantom where we hold it."""
    lite.move_in("X-1")
    lite.drain()
    lite.box = lite.box.model_copy(update={"unit_pattern": "[A-Z][0-9]"})
    found = lite.compare(HEAD + "B22,Occupied,T,,2026-05-01,,\n")
    assert [(one.unit, one.column) for one in found.left_out] == [("B22", "unit")]
    assert [(finding.unit, str(finding.kind)) for finding in found.findings] == [("X-1", "phantom")]
    assert found.findings[0].body == {}


def test_rows_of_another_site_are_left_out(lite: Desk) -> None:
    """A file of several sites tells of its own only."""
    found = lite.compare("Unit,Site,Status\nA1,ELSE,Vacant\nA2,MAIN,Vacant\n")
    assert [(one.line, one.unit) for one in found.left_out] == [(2, "A1")]
    assert found.rows == 1


def test_a_row_that_is_left_out_is_not_absent(desk: Desk) -> None:
    """A unit whose row does not convert is listed with its column, is not written, and is not called absent."""
    settle(desk)
    found = desk.go(HEAD + "A1,Occupied,T1,,,ten,Yes\nA2,Vacant,,,,,\n")
    assert [(one.line, one.column) for one in found.left_out] == [(2, "Balance")]
    assert found.findings == []
    assert desk.far.kiss.units["MAIN-A1"]["pms_lockout"] is False


def test_a_tenant_without_a_date_waits_for_a_person(desk: Desk) -> None:
    """A tenancy that is not stated whole is told, and never made up."""
    settle(desk)
    found = desk.go(HEAD + "A2,Occupied,T9,,,,\n")
    assert "move_in_date" in found.findings[-1].note
    assert not desk.far.kiss.units["MAIN-A2"]["occupied"]


def test_what_the_file_leaves_out_of_a_tenancy_stays(desk: Desk) -> None:
    """Of the same tenant the ledger stays that only the mail told."""
    settle(desk)
    desk.go("Unit,Status,Tenant ID,Move-In Date\nA1,Occupied,T1,2026-05-02\n")
    unit = desk.far.kiss.units["MAIN-A1"]
    assert (unit["move_in_date"], unit["ledger_id"], unit["balance_due"]) == ("2026-05-02", "L-T1", 10)


def test_an_undo_restores_everything(desk: Desk) -> None:
    """Taking a reconcile back leaves every unit as it was; what it created is vacant again."""
    settle(desk)
    before = json.loads(json.dumps(desk.far.kiss.units, default=str))
    desk.go(HEAD + "A1,Vacant,,,,,\nA2,Occupied,T9,L9,2026-05-20,33.00,Yes\nB1,Occupied,T8,,2026-05-20,5.00,No\n")
    assert desk.far.kiss.units["MAIN-A2"]["pms_lockout"] is True
    desk.clock.advance(60)
    desk.undo()
    after = json.loads(json.dumps(desk.far.kiss.units, default=str))
    new = after.pop("MAIN-B1")
    for unit in (*before.values(), *after.values()):
        unit["balance_due"] = float(unit["balance_due"])
    assert after == before
    assert (new["occupied"], new["balance_due"], new["pms_lockout"]) == (False, 0, False)
    assert {row.state for row in desk.rows(events, events.c.rule == "person/reconcile")} == {"withdrawn"}
    phantoms = [row.subject["unit"] for row in desk.rows(issues, issues.c.kind == "phantom_unit")]
    assert phantoms == ["MAIN-B1"], "what the page made is to be removed by hand"


def test_why_names_the_reconcile_and_its_call(desk: Desk) -> None:
    """Each fact leads to the person, the reason and the call of many units that wrote it."""
    settle(desk)
    desk.go(HEAD + "A1,Occupied,T1,,,25.00,\n")
    (told,) = why(desk.db, "A1", zones={}, now=desk.clock(), manners=lambda _n: desk.far.manners)
    (fact,) = (one for one in told["facts"] if one["fact"] == "balance_due")
    assert (fact["confirmed"], fact["from"]["call"]["request"]) == (True, "PATCH /units")
    (event,) = desk.rows(events, events.c.rule == "person/reconcile")
    assert (event.author, event.released_by) == ("anna", "anna: month end")


@pytest.mark.parametrize(("rows", "refused"), [(9, False), (10, True)])
def test_too_many_flips_need_a_word(lite: Desk, rows: int, refused: bool) -> None:
    """From ten rows up a file that turns over more than a fifth of the units is refused without --flips-ok."""
    lite.go(roll(rows))
    lite.clock.advance(60)
    wrong = roll(rows, status=lambda n: "Vacant" if n < 3 else "Occupied")
    if not refused:
        assert lite.go(wrong, flips_ok=False).sent.confirmed == 3
        return
    sent = len(lite.far.sent)
    with pytest.raises(CannotDo, match="3 of 10 units"):
        lite.go(wrong, flips_ok=False)
    assert (len(lite.far.sent), lite.states()) == (sent, {"applied": 10})
    assert lite.go(wrong, flips_ok=True).sent.confirmed == 3


def test_two_rows_of_one_unit_are_refused(lite: Desk) -> None:
    """Where a unit map gives two names one id, nobody knows which row counts."""
    lite.box = lite.box.model_copy(update={"unit_id": "{{ location }}"})
    with pytest.raises(CannotDo, match="rows 2 and 3 are one unit"):
        lite.compare(HEAD + "A1,Vacant,,,,,\nA2,Vacant,,,,,\n")


def test_reports_are_kept(desk: Desk) -> None:
    """Each comparison is kept with its counts and, once it was put right, with what came of it."""
    settle(desk)
    found = desk.compare(HEAD + "A1,Occupied,T1,,,25.00,\n")
    number = desk.reconciles.keep(found, actor="anna")
    assert show_reconcile(desk.db, number)["done"] is False
    desk.reconciles.go(found, actor="anna", reason="month end")
    report = show_reconcile(desk.db, number)
    assert (report["done"], report["sent"]["confirmed"], report["actor"]) == (True, 1, "anna")
    (listed,) = list_reconciles(desk.db)
    assert listed["counts"]["different"] == 1
    assert "findings" not in listed


# -- by itself --------------------------------------------------------------------------------------------------------


def mail_rent_roll(desk: Desk, mail_id: str, rows: dict[str, dict[str, Any]], *, hour: float) -> None:
    """Store a mail whose rows are snapshots."""
    with desk.db.write() as connection:
        connection.execute(bodies.insert().values(id=mail_id, size_bytes=0, sha256="", received_at=desk.clock()))
        values = {"mailbox": desk.box.address, "received_at": desk.clock(), "evidence": {}, "state": "parsed"}
        connection.execute(mails.insert().values(id=mail_id, body_id=mail_id, **values))
    for unit, body in rows.items():
        desk.tell(unit, Kind.SNAPSHOT, body, hour=hour, mail=mail_id)


def test_the_newest_rent_roll_mail_is_compared_by_itself(desk: Desk) -> None:
    """It is compared once with what was known without it; a difference opens an issue, and nothing is sent for it."""
    settle(desk)
    day = dt.timedelta(hours=24)
    mail_rent_roll(desk, "m1", {"A1": {"occupied": True, "pms_tenant_id": "T1", "balance_due": Decimal(99)}}, hour=20)
    desk.drain()
    assert desk.far.kiss.units["MAIN-A1"]["balance_due"] == 99, "snapshot rows drain like events"
    sent = len(desk.far.sent)
    assert desk.reconciles.compare_due([(desk.box, day)]) == 1
    (kept,) = list_reconciles(desk.db)
    assert (kept["source"], kept["counts"]["different"], kept["actor"]) == ("mail m1", 1, "gatepost")
    assert desk.issues() == ["reconcile"]
    assert [word for word, _ in desk.told] == ["issue.opened"]
    assert [(line["event"], line["kind"]) for line in desk.troubles] == [("issue_opened", "reconcile")]
    assert desk.other().compare_due([(desk.box, day)]) == 0, "a mail is compared once"
    assert len(desk.far.sent) == sent
    desk.clock.advance(60)
    mail_rent_roll(desk, "m2", {"A1": {"occupied": True, "pms_tenant_id": "T1", "balance_due": Decimal(99)}}, hour=40)
    assert desk.other().compare_due([(desk.box, day)]) == 0, "not before its time"
    desk.clock.advance(86_400)
    assert desk.other().compare_due([(desk.box, day)]) == 1
    assert [row.state for row in desk.rows(issues)] == ["resolved"], "one that agrees closes the issue"
    assert len(desk.troubles) == 1, "an issue is logged when it is opened, and only then"


def test_a_rent_roll_that_cannot_be_compared_is_told(desk: Desk) -> None:
    """Two rows of one unit end no sweep: they open the issue, once."""
    mail_rent_roll(desk, "m1", {"A1": {"balance_due": Decimal(1)}}, hour=20)
    desk.tell("A1", Kind.SNAPSHOT, {"balance_due": Decimal(2)}, hour=21, mail="m1")
    assert desk.reconciles.compare_due([(desk.box, dt.timedelta(hours=1))]) == 1
    assert desk.issues() == ["reconcile"]
    assert desk.other().compare_due([(desk.box, dt.timedelta(hours=1))]) == 0


def test_the_snapshots_of_a_mail_are_a_rent_roll(lite: Desk) -> None:
    """A mail is compared with what was known without it; one that tells no snapshot is none."""
    lite.move_in("A1")
    lite.drain()
    at = dt.datetime(2026, 5, 2, tzinfo=dt.UTC)
    common = {"unit": "A1", "crm_unit_id": "MAIN-A1", "effective_at": at, "mailed_at": at, "position": 3, "rule": "t/r"}
    told = Event(kind=Kind.SNAPSHOT, identity="x", body={"balance_due": Decimal("4.00")}, **common)
    read = roll_of_events([told], what="roll.eml")
    found = lite.reconciles.compare(read, lite.box, source="roll.eml")
    assert (found.as_of, found.counts["different"], found.findings[0].line) == (at, 1, 3)
    with pytest.raises(CannotDo, match="tells no snapshot"):
        roll_of_events([replace(told, kind=Kind.PATCH)], what="roll.eml")
