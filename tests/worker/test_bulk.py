"""Calls of many units: one key, one write a unit, and each unit settled by itself, whatever is answered or lost."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest

from parsers.events import Kind
from tests.model import permits
from tests.rigs.lane import Crash, answer, crash_after, crash_before, lost
from tests.rigs.rentrolls import Desk, roll
from worker.calls import Many, Outcome, Reply
from worker.destinations.kiss import KissDestination
from worker.destinations.local import LocalDestination
from worker.destinations.profiles import PROFILES
from worker.order import known
from worker.standins.faults import Faults, with_faults
from worker.standins.kiss import stand_in
from worker.standins.registry import Wish
from worker.standins.serve import serving
from worker.store import pauses, schema
from worker.store.database import Database
from worker.store.restored import state_anew
from worker.store.tables import events, lanes
from worker.units.store import LocalUnits
from worker.why import read_moment, why

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


def test_1300_units_go_in_three_pages(desk: Desk) -> None:
    """Pages of at most 500 unique units with 1, 2 and 0 errors: those are rejected alone, all others confirmed."""
    refused = ["MAIN-U0000", "MAIN-U0500", "MAIN-U0999"]
    desk.far.kiss.refuses = dict.fromkeys(refused, "The unit is on hold.")
    found = desk.go(roll(1300))
    assert [len(page) for page in desk.far.pages] == [500, 500, 300]
    assert len({unit for page in desk.far.pages for unit in page}) == 1300
    assert len(desk.far.sent) == 3, "no unit needed a call of its own"
    assert found.sent is not None
    assert (found.sent.confirmed, sorted(found.sent.refused)) == (1297, refused)
    assert desk.states() == {"applied": 1297, "rejected": 3}
    assert len(desk.far.kiss.units) == 1297
    assert desk.far.kiss.units["MAIN-U0007"]["pms_tenant_id"] == "000007"
    rejected = desk.rows(events, events.c.state == "rejected")
    assert {(row.reason, row.detail) for row in rejected} == {("rejected", "The unit is on hold.")}
    assert desk.items("refused") == refused
    assert desk.issues() == ["rejected"]
    assert {row.due_at for row in desk.rows(lanes)} == {None}
    assert desk.compare(roll(1300)).counts["same"] == 1297


def test_the_call_is_frozen_before_it_is_sent(desk: Desk) -> None:
    """A crash before the send leaves request, key and each unit's part in the store, and the units unknown."""
    settle(desk)
    desk.far.faults = [crash_before]
    with pytest.raises(Crash):
        desk.go(HEAD + "A1,Occupied,T1,,,25.00,Yes\n")
    (call,) = desk.bulk_calls()
    assert (call.state, call.crm_unit_id, call.method, call.path) == ("open", "", "PATCH", "/units")
    assert json.loads(call.body) == {"units": [{"crm_unit_id": "MAIN-A1", "balance_due": 25, "pms_lockout": True}]}
    assert call.key.startswith("gp1-")
    assert desk.items("open") == ["MAIN-A1"]
    assert "balance_due" not in desk.shown("A1")


@pytest.mark.parametrize("fault", [crash_before, crash_after])
def test_after_a_crash_the_units_state_everything_anew(desk: Desk, fault: Any) -> None:
    """Whether the server applied it or not: the drain takes over, and a value that was changed back is sent too."""
    settle(desk)
    desk.far.faults = [fault]
    with pytest.raises(Crash):
        desk.go(HEAD + "A1,Occupied,T1,,,25.00,Yes\nA2,Occupied,T9,,2026-05-20,,\n")
    undone = desk.rows(events, events.c.rule == "person/reconcile", events.c.unit == "A1")[0]
    desk.clock.advance(60)
    desk.undo(f"id:{undone.id}")
    unit = desk.far.kiss.units["MAIN-A1"]
    assert (unit["balance_due"], unit["pms_lockout"]) == (10, False)
    assert desk.far.kiss.units["MAIN-A2"]["pms_tenant_id"] == "T9"
    desk.clock.advance(3600)
    assert desk.other().abandon_lost() == 1
    assert [call.state for call in desk.bulk_calls()] == ["abandoned"]
    assert desk.items("open") == []


def test_a_lost_answer_is_asked_for_again_under_the_same_key(desk: Desk) -> None:
    """While the leases hold the same bytes go under the same key, and the destination writes once."""
    settle(desk)
    writes = desk.far.kiss.writes
    desk.far.faults = [lost, lost]
    desk.go(HEAD + "A1,Occupied,T1,,,25.00,Yes\n")
    pages = desk.far.sent[-3:]
    assert len(set(pages)) == 1
    assert desk.far.kiss.writes == writes + 1
    assert desk.attempts()[-3:] == ["unknown", "unknown", "applied"]
    assert set(desk.states()) == {"applied", "superseded"}
    assert desk.shown("A1")["balance_due"] == 25


def test_without_any_answer_the_units_go_by_themselves(desk: Desk) -> None:
    """After the last try nothing counts as confirmed; each unit's own call states it anew."""
    settle(desk)
    desk.far.faults = [lost, lost, lost]
    found = desk.go(HEAD + "A1,Occupied,T1,,,25.00,Yes\n")
    assert (found.sent.confirmed, found.sent.left) == (0, 1)
    assert "pms_lockout" not in desk.shown("A1")
    assert desk.rows(events, events.c.rule == "person/reconcile")[0].state == "uncertain"
    desk.drain()
    assert desk.far.sent[-1][0:2] == ("PATCH", "/units/MAIN-A1")
    assert set(desk.states()) == {"applied", "superseded"}


def test_a_taken_lease_ends_the_repeating(desk: Desk) -> None:
    """When another hand has a lane by now, the bytes that name its unit are not sent again."""
    settle(desk)

    def lost_and_taken(through: Any) -> Reply:
        reply = lost(through)
        with desk.db.write() as connection:
            connection.execute(lanes.update().values(lease_token=lanes.c.lease_token + 1))
        return reply

    desk.far.faults = [lost_and_taken]
    desk.far.sent.clear()
    desk.go(HEAD + "A1,Occupied,T1,,,25.00,Yes\n")
    assert len(desk.far.pages) == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"message":"Sync completed.","data":{"total":2,"created":0,"updated":1,"unchanged":0,"errors":[]}}',
        b'{"message":"With errors.","data":{"total":2,"errors":[{"crm_unit_id":"MAIN-ZZ","error":"x"}]}}',
        b'{"message":"Sync completed.","data":{"total":2}}',
        b"<html>hello</html>",
    ],
)
def test_a_200_that_does_not_account_for_every_unit_confirms_none(desk: Desk, body: bytes) -> None:
    """An answer that does not add up is no success of any unit: each is stated anew by its own call."""
    from worker.destinations.answers import Raw, sort_answer
    from worker.destinations.profiles import KISS_V2
    from worker.order import State

    settle(desk)

    def odd(_through: Any) -> Reply:
        method, path, sent, _ = desk.far.sent[-1]
        from worker.calls import Request

        request = Request(method=method, path=path, body=sent)
        return sort_answer(KISS_V2, request, Raw(status=200, headers={}, body=body), now=desk.clock())

    desk.far.faults = [odd]
    found = desk.go(HEAD + "A1,Occupied,T1,,,25.00,Yes\nA2,Occupied,T9,,2026-05-20,,\n")
    assert (found.sent.confirmed, found.sent.refused) == (0, {})
    assert {row.state for row in desk.rows(events, events.c.rule == "person/reconcile")} == {str(State.WAITING)}
    desk.drain()
    assert desk.far.kiss.units["MAIN-A1"]["balance_due"] == 25
    assert desk.far.kiss.units["MAIN-A2"]["pms_tenant_id"] == "T9"


def test_a_refused_page_goes_unit_by_unit(desk: Desk) -> None:
    """422 of the whole call has changed nothing: the events wait, and the drain sends them one by one."""
    settle(desk)
    desk.far.faults = [answer(Outcome.REJECTED, 422)]
    found = desk.go(HEAD + "A1,Occupied,T1,,,25.00,Yes\n")
    assert found.sent.left == 1
    assert desk.shown("A1")["balance_due"] == 10, "what was confirmed before still is"
    assert desk.rows(events, events.c.rule == "person/reconcile")[0].state == "waiting"
    desk.drain()
    assert desk.far.kiss.units["MAIN-A1"]["balance_due"] == 25


def test_429_pauses_for_everybody(desk: Desk) -> None:
    """A destination that asks us to stay away is paused; the next pages are not sent, and nothing is lost."""
    desk.far.faults = [answer(Outcome.LIMITED, 429, retry_after_s=120)]
    found = desk.go(roll(600))
    assert (len(desk.far.sent), found.sent.left) == (1, 600)
    with desk.db.read() as connection:
        until = pauses.paused_until(connection, "destination", "kiss", desk.clock())
    assert until == desk.clock() + dt.timedelta(seconds=120)
    assert desk.states() == {"waiting": 600}


def test_401_waits_for_a_person(desk: Desk) -> None:
    """A refused token pauses the destination until it is resumed, and opens an issue."""
    desk.far.faults = [answer(Outcome.UNAUTHORIZED, 401)]
    desk.go(roll(3))
    with desk.db.read() as connection:
        assert pauses.paused_until(connection, "destination", "kiss", desk.clock()) == pauses.FOR_GOOD
    assert desk.issues() == ["unauthorized"]


def test_nothing_is_sent_to_a_paused_destination(desk: Desk) -> None:
    """The events are stored and wait."""
    with desk.db.write() as connection:
        pauses.pause(connection, "destination", "kiss", reason="x", actor="anna", now=desk.clock())
    found = desk.go(roll(3))
    assert (desk.far.sent, found.sent.left, desk.states()) == ([], 3, {"waiting": 3})


def test_a_page_takes_one_slot(desk: Desk) -> None:
    """A call of many units counts as one call of the minute; the next page waits for its own slot."""
    desk.per_minute = 60
    desk.go(roll(501))
    assert [len(page) for page in desk.far.pages] == [500, 1]
    assert desk.slept
    assert desk.states() == {"applied": 501}


def test_a_unit_with_a_call_under_way_is_left_alone(desk: Desk) -> None:
    """What its own call may have done comes first; the bulk call carries the others."""
    settle(desk)
    desk.far.faults = [lost]
    desk.tell("A1", Kind.PATCH, {"balance_due": Decimal("11.00")}, hour=3)
    desk.make_drain("two").drain([("kiss", "MAIN-A1")])
    found = desk.go(HEAD + "A1,Occupied,T1,,,25.00,\nA2,Occupied,T9,,2026-05-20,,\n")
    assert (found.sent.confirmed, found.sent.left) == (1, 1)
    assert desk.far.pages[-1] == ["MAIN-A2"]
    desk.drain()
    assert desk.far.kiss.units["MAIN-A1"]["balance_due"] == 25


def test_access_never_opens_in_between(desk: Desk) -> None:
    """A tenant who is locked out and one who takes over a unit get tenancy and flags in one write."""
    settle(desk)
    desk.far.kiss.seen.clear()
    desk.go(HEAD + "A2,Occupied,T9,,2026-05-20,500.00,Yes\nB7,Occupied,T7,,2026-05-20,,Yes\n")
    assert len(desk.far.kiss.seen) == 2
    assert not any(permits(unit) for unit in desk.far.kiss.seen)


def test_a_vacant_unit_with_facts_goes_by_its_own_calls(desk: Desk) -> None:
    """A reset and a fact above it could not be repeated by single calls, so they are never one write."""
    settle(desk)
    found = desk.go(HEAD + "A1,Vacant,,,,30.00,\n")
    assert found.sent.left == 1
    desk.drain()
    unit = desk.far.kiss.units["MAIN-A1"]
    assert (unit["occupied"], unit["balance_due"]) == (False, 30)


def test_nothing_but_a_move_in_creates_a_unit(desk: Desk) -> None:
    """A vacant row of a unit that the destination does not know makes none there."""
    found = desk.go(HEAD + "C1,Vacant,,,,,\n")
    assert desk.far.kiss.units == {}
    assert found.sent.refused == {"MAIN-C1": "The unit_name field is required."}


# -- what is told of it afterwards -------------------------------------------------------------------------------------


def told_at(desk: Desk, unit: str, at: dt.datetime) -> dict[str, Any]:
    """Return what is told of a unit as it was at an instant."""
    moment = read_moment(at.isoformat())
    (found,) = why(desk.db, unit, zones={}, now=desk.clock(), at=moment, manners=lambda _n: desk.far.manners)
    return found


ROW = HEAD + "A1,Occupied,T1,,,25.00,Yes\n"
FAILED = answer(Outcome.FAILED, 500)
BY_NAME = b'{"message":"E","data":{"total":1,"errors":[{"crm_unit_id":"MAIN-A1","error":"on hold"}]}}'


def by_name(_through: Any) -> Reply:
    """Answer that the unit is refused."""
    return Reply(outcome=Outcome.REJECTED, status=200, body=BY_NAME, many=Many(refused={"MAIN-A1": "on hold"}))


@pytest.mark.parametrize(
    ("faults", "is_known"),
    [
        ([lost, lost, lost], False),
        ([FAILED], False),
        ([lost, by_name], False),
        ([lost, answer(Outcome.REJECTED, 422)], False),
        ([by_name], True),
        ([answer(Outcome.REJECTED, 422)], True),
        ([answer(Outcome.UNAUTHORIZED, 401)], True),
    ],
)
def test_a_call_that_ended_badly_is_told_as_it_was_taken(desk: Desk, faults: list[Any], is_known: bool) -> None:
    """What a call may have changed is told as unknown, what it surely did not as before, until it is stated anew."""
    settle(desk)
    desk.far.faults = list(faults)
    desk.go(ROW)
    desk.clock.advance(1)
    ended = desk.clock()
    told = told_at(desk, "A1", ended)
    assert told["confirmed"] == known(desk.shown("A1"))
    assert ("balance_due" in told["confirmed"], told["under_way"]) == (is_known, [])
    with desk.db.write() as connection:
        pauses.resume(connection, "destination", "kiss")
    desk.clock.advance(1)
    desk.drain(patience_s=600)
    desk.clock.advance(1)
    assert told_at(desk, "A1", ended)["confirmed"] == told["confirmed"], "the past stays as it was told"
    assert told_at(desk, "A1", desk.clock())["confirmed"] == known(desk.shown("A1"))


def test_a_call_whose_sender_died_is_under_way_and_then_unknown(desk: Desk) -> None:
    """Until it is given up it is told as under way; then what it may have changed was unknown from its beginning on,
    and what the unit's own calls have stated since is known."""
    settle(desk)
    desk.far.faults = [crash_after]
    with pytest.raises(Crash):
        desk.go(ROW)
    desk.clock.advance(1)
    crashed = desk.clock()
    told = told_at(desk, "A1", crashed)
    assert [call["request"] for call in told["under_way"]] == ["PATCH /units"]
    desk.clock.advance(60)
    desk.drain()
    desk.clock.advance(3600)
    assert desk.other().abandon_lost() == 1
    desk.clock.advance(1)
    assert told_at(desk, "A1", desk.clock())["confirmed"] == known(desk.shown("A1"))
    assert desk.shown("A1")["balance_due"] == 25


def test_a_restore_gives_up_a_call_with_its_units(desk: Desk) -> None:
    """A restored store has no open call, and no unit that waits for one."""
    settle(desk)
    desk.far.faults = [crash_before]
    with pytest.raises(Crash):
        desk.go(ROW)
    with desk.db.write() as connection:
        state_anew(connection, now=desk.clock())
    assert (desk.items("open"), desk.items("abandoned")) == ([], ["MAIN-A1"])
    assert told_at(desk, "A1", desk.clock())["under_way"] == []


def test_before_a_page_made_it_there_was_no_unit(desk: Desk) -> None:
    """A unit that a call of many units made is unknown before it, and whole afterwards."""
    desk.go(HEAD + "N1,Occupied,T9,,2026-05-01,,\n")
    made = desk.clock()
    desk.clock.advance(1)
    assert told_at(desk, "N1", made - dt.timedelta(hours=1))["confirmed"] == {}
    assert told_at(desk, "N1", desk.clock())["confirmed"] == desk.shown("N1")


# -- other destinations -----------------------------------------------------------------------------------------------


def test_the_local_units_take_pages(desk: Desk) -> None:
    """The units that Gatepost keeps itself are put right in pages, too, and an undo leaves them vacant."""
    units = LocalUnits(desk.db, clock=desk.clock)
    desk.far = LocalDestination(name="kiss", units=units, clock=desk.clock)
    desk.reconciles = desk.other()
    found = desk.go(roll(501))
    assert (found.sent.confirmed, len(found.sent.calls)) == (501, 2)
    unit = units.unit("MAIN-U0500")
    assert unit is not None
    assert (unit.occupied, unit.pms_tenant_id) == (True, "000500")


@pytest.mark.parametrize("profile", ["kiss-v2", "kiss-ulid", "kiss-ulid-2"])
def test_every_generation_over_http(lite: Desk, profile: str) -> None:
    """Pages go to each generation of the API over HTTP; a pull-mode unit is refused alone; a move-out resets."""
    rows = tuple(
        {
            "crm_unit_id": f"MAIN-U{n:04}",
            "unit_name": f"U{n:04}",
            "pms_location_code": "MAIN",
            "pull_mode": "yes" if n == 3 else "",
        }
        for n in range(600)
    )
    made = stand_in(Wish(token="t", clock=lite.clock, profile=profile, rows=rows))
    with serving(with_faults(made, Faults(), clock=lite.clock)) as url:
        lite.far = KissDestination(
            name="kiss",
            base_url=url + made.base_path,
            token="t",
            clock=lite.clock,
            profile=PROFILES[profile],
            timeout_s=30,
        )
        lite.reconciles = lite.other()
        found = lite.go(roll(600))
        assert (found.sent.confirmed, list(found.sent.refused)) == (599, ["MAIN-U0003"])
        lite.clock.advance(60)
        lite.go(roll(600, status=lambda n: "Vacant" if n == 5 else "Occupied"))
        kept = {unit["crm_unit_id"]: unit for unit in made.units()}
        lite.far.close()
    made.close()
    assert (kept["MAIN-U0004"]["pms_tenant_id"], kept["MAIN-U0003"]["occupied"]) == ("000004", False)
    assert (kept["MAIN-U0005"]["occupied"], float(kept["MAIN-U0005"]["balance_due"])) == (False, 0)
    assert {row.reason for row in lite.rows(events, events.c.state == "rejected")} == {"source_conflict"}


def test_a_destination_without_bulk_drains(desk: Desk) -> None:
    """Where no call takes many units, the events are stored and each unit goes by itself."""
    from tests.rigs.lane import Faulty

    desk.far = Faulty()
    desk.reconciles = desk.other()
    found = desk.go(roll(5))
    assert (found.sent.left, desk.far.sent) == (5, [])
    desk.drain()
    assert desk.states() == {"applied": 5}
    assert len(desk.far.kiss.units) == 5
