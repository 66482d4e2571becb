"""The drain: one unit, one hand, each call under its own key, whatever the destination answers or loses."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.events import Kind
from tests.model import DEFAULTS
from tests.rigs.lane import KEY, UNIT, Crash, Rig, answer, crash_after, crash_before, lost
from worker.calls import Outcome
from worker.drain import Drain
from worker.store import pauses as pauses_store
from worker.store.tables import lanes, pauses


@pytest.fixture
def rig(database_url: str) -> Iterator[Rig]:
    """A store with a drain on it, on SQLite and on PostgreSQL."""
    made = Rig(database_url)
    yield made
    made.db.close()


def test_a_request_and_its_key_are_stored_before_the_send(rig: Rig) -> None:
    """A crash before the send leaves the exact request and key; the next holder sends just these."""
    rig.move_in()
    rig.far.faults = [crash_before]
    with pytest.raises(Crash):
        rig.drain()
    (stored,) = rig.calls()
    rig.clock.advance(60)
    rig.drain_until_quiet()
    assert rig.far.sent[0] == rig.far.sent[1] == (stored.method, stored.path, stored.body, stored.key)
    assert rig.states() == [("applied", None)]


@pytest.mark.parametrize("fault", [lost, crash_after])
def test_a_lost_answer_is_asked_for_again_under_the_same_key(rig: Rig, fault) -> None:
    """When the answer is lost, the same key and bytes are sent again, and the destination writes once."""
    rig.move_in()
    rig.far.faults = [fault]
    with pytest.raises(Crash) if fault is crash_after else contextlib.nullcontext():
        rig.drain()
    if fault is lost:
        assert rig.states() == [("uncertain", None)]
    rig.clock.advance(60)
    rig.drain_until_quiet()
    assert len({sent[3] for sent in rig.far.sent}) == 1
    assert rig.far.kiss.writes == 1
    assert rig.states() == [("applied", None)]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.LIMITED])
def test_after_a_definite_failure_the_key_is_a_new_one(rig: Rig, outcome: Outcome) -> None:
    """A refusal may be remembered under its key, so the next try has the next generation."""
    rig.move_in()
    rig.far.faults = [answer(outcome, 500, retry_after_s=7.0)]
    rig.drain_until_quiet()
    assert [call.generation for call in rig.calls()] == [0, 1]
    assert len({sent[3] for sent in rig.far.sent}) == 2
    assert rig.states() == [("applied", None)]


def test_nobody_asks_before_retry_after_is_over(rig: Rig) -> None:
    """429 keeps every worker away from the destination for as long as it asks."""
    rig.move_in()
    rig.far.faults = [answer(Outcome.LIMITED, 429, retry_after_s=30.0)]
    rig.drain()
    rig.clock.advance(29)
    rig.drain(by="another")
    assert len(rig.far.sent) == 1
    rig.clock.advance(2)
    rig.drain(by="another")
    assert rig.states() == [("applied", None)]


def test_401_pauses_the_destination_until_it_is_resumed(rig: Rig) -> None:
    """An unauthorized answer pauses the destination; after ``resume`` the event is applied."""
    rig.move_in()
    rig.far.faults = [answer(Outcome.UNAUTHORIZED, 401)]
    rig.drain()
    rig.clock.advance(86_400)
    rig.drain()
    assert len(rig.far.sent) == 1
    with rig.db.write() as connection:
        (pause,) = connection.execute(sa.select(pauses)).all()
        assert (pause.name, pause.actor) == ("kiss", "gatepost")
        pauses_store.resume(connection, "destination", "kiss")
    rig.drain()
    assert rig.states() == [("applied", None)]


def test_a_refused_event_is_out_and_the_others_go_on(rig: Rig) -> None:
    """422 rejects the event whose field it names; what else the call carried is sent without it."""
    rig.move_in()
    rig.drain()
    rig.patch(1, balance_due=Decimal("12.50"))
    rig.patch(2, pms_lockout=True)
    body = b'{"message":"no","errors":{"balance_due":["too much"]}}'
    rig.far.faults = [answer(Outcome.REJECTED, 422, body=body, wrong=("balance_due",))]
    rig.drain_until_quiet()
    assert rig.states() == [("applied", None), ("rejected", "rejected"), ("applied", None)]
    assert (rig.unit["pms_lockout"], rig.unit["balance_due"]) == (True, 0)


def test_a_refusal_that_names_nothing_is_narrowed_down(rig: Rig) -> None:
    """A call of several events that is refused without a field is sent event by event; one alone is to blame."""
    rig.move_in()
    rig.drain()
    rig.patch(1, balance_due=Decimal("12.50"))
    rig.patch(2, pms_lockout=True)
    rig.far.faults = [answer(Outcome.REJECTED, 422), answer(Outcome.REJECTED, 422)]
    rig.drain_until_quiet()
    assert sorted(state for state, _ in rig.states()) == ["applied", "applied", "rejected"]


def test_a_pull_mode_unit_rejects_that_event_only(rig: Rig) -> None:
    """409 for a pull-mode unit is final for its event, and tried once."""
    rig.move_in()
    rig.far.faults = [answer(Outcome.SOURCE_CONFLICT, 409)]
    rig.drain_until_quiet()
    assert rig.states() == [("rejected", "source_conflict")]
    assert len(rig.far.sent) == 1


def test_a_reused_key_is_not_retried_blindly(rig: Rig) -> None:
    """409 for the key stops that event for a person, opens an issue, and is sent no second time."""
    rig.move_in()
    rig.far.faults = [answer(Outcome.KEY_REUSED, 409)]
    rig.drain_until_quiet()
    assert rig.states() == [("held", "tries_exhausted")]
    assert len(rig.far.sent) == 1
    assert rig.issues() == ["key_reused"]


def test_failures_come_to_an_end(rig: Rig) -> None:
    """A destination that fails for good holds the event after so many tries."""
    rig.move_in()
    rig.far.faults = [answer(Outcome.FAILED, 500)] * 20
    for _ in range(5):
        rig.drain(max_tries=3)
        rig.clock.advance(600)
    assert rig.states() == [("held", "tries_exhausted")]
    assert len(rig.far.sent) == 3


def test_a_destination_that_is_down_is_waited_for(rig: Rig) -> None:
    """However long nobody answers, the event waits, each try later than the last, and is applied in the end."""
    rig.move_in()
    rig.far.faults = [answer(Outcome.UNREACHED)] * 30
    waits = []
    for _ in range(30):
        rig.drain()
        wait = (rig.lane().due_at - rig.clock.now).total_seconds()
        waits.append(wait)
        rig.clock.advance(wait + 1)
    assert max(waits) <= 450
    assert waits[0] < 2 < waits[8]
    rig.drain()
    assert rig.states() == [("applied", None)]
    assert len({sent[3] for sent in rig.far.sent}) == 1, "what never left keeps its key"


def test_an_unknown_unit_waits_and_comes_in_with_its_move_in(rig: Rig) -> None:
    """A fact of a unit that the destination does not know waits; the move-in brings both."""
    rig.patch(1, pms_lockout=True)
    rig.drain()
    assert rig.states() == [("waiting", None)]
    assert rig.lane().due_at > rig.clock.now
    rig.move_in(hour=0)
    rig.drain_until_quiet()
    assert rig.states() == [("applied", None), ("applied", None)]
    assert rig.unit["pms_lockout"] is True


def test_an_unknown_unit_is_asked_for_less_and_less_and_then_held(rig: Rig) -> None:
    """A unit that never appears costs ever fewer calls, and ends held as unknown."""
    rig.patch(1, pms_lockout=True)
    for _ in range(60):
        rig.drain(unknown_unit_s=86_400.0)
        if rig.states()[0][0] == "held":
            break
        rig.clock.advance((rig.lane().due_at - rig.clock.now).total_seconds() + 1)
    assert rig.states() == [("held", "unknown_unit")]
    assert len(rig.far.sent) < 60
    rig.move_in(hour=0)
    rig.drain_until_quiet()
    assert rig.unit["pms_lockout"] is True


def test_a_404_that_becomes_200_is_noticed(rig: Rig) -> None:
    """A unit that somebody else creates meanwhile takes what waited."""
    rig.patch(1, pms_lockout=True)
    rig.drain()
    rig.far.kiss.move_in("MAIN-B204", {"pms_tenant_id": "X"})
    rig.clock.advance(10)
    rig.drain_until_quiet()
    assert rig.unit["pms_lockout"] is True


def test_nobody_else_gets_in_while_the_lease_holds(rig: Rig) -> None:
    """A second hand gets nothing while the first one's lease holds, nor shortly after it."""
    rig.move_in()
    rig.far.faults = [crash_before]
    with pytest.raises(Crash):
        rig.drain()
    for _ in range(2):
        rig.clock.advance(6)
        rig.drain(by="another")
        assert len(rig.far.sent) == 1
    rig.clock.advance(6)
    rig.drain(by="another")
    assert len(rig.far.sent) == 2


def test_a_hand_that_stood_still_cannot_write(rig: Rig) -> None:
    """A worker that was stopped past its lease neither records nor goes on: the fence is its token."""

    def stand_still(through):
        reply = through()
        rig.clock.advance(60)
        rig.drain(by="another")
        seen.append((len(rig.far.sent), rig.attempts()))
        return reply

    seen: list[tuple[int, list[str]]] = []
    rig.move_in()
    rig.patch(1, paid_through_date="2026-06-30")
    rig.far.faults = [stand_still]
    rig.drain(by="slow")
    assert rig.states() == [("applied", None), ("applied", None)]
    assert seen == [(len(rig.far.sent), rig.attempts())], "the slow hand wrote and sent nothing more"
    assert rig.far.kiss.writes == 2
    with rig.db.read() as connection:
        assert connection.execute(sa.select(lanes.c.lease_token)).scalar_one() == 2


def test_a_stale_call_is_given_up_for_the_next_generation(rig: Rig) -> None:
    """A call whose outcome stayed unknown for longer than keys are remembered is planned anew."""
    rig.move_in()
    rig.far.faults = [lost]
    rig.drain()
    rig.clock.advance(13 * 3600)
    rig.drain_until_quiet()
    assert [call.state for call in rig.calls()] == ["abandoned", "done"]
    assert [call.generation for call in rig.calls()] == [0, 1]
    assert rig.states() == [("applied", None)]


def test_a_future_move_out_is_due_on_its_day(rig: Rig) -> None:
    """A move-out of the future waits in the lane until its day, and is then sent."""
    rig.move_in()
    later = rig.clock.now + dt.timedelta(days=3)
    rig.move_out(0, effective_at=later)
    rig.drain()
    assert rig.unit["occupied"] is True
    assert rig.lane().due_at == later
    rig.clock.advance(3 * 86_400 + 1)
    rig.drain()
    assert rig.unit["occupied"] is False


@pytest.mark.parametrize(
    "second",
    [
        answer(Outcome.LIMITED, 429, retry_after_s=5.0),
        answer(Outcome.FAILED, 500),
        answer(Outcome.REJECTED, 422),
        answer(Outcome.SOURCE_CONFLICT, 409),
    ],
)
@pytest.mark.parametrize("first", [lost, crash_after])
def test_a_refusal_after_a_lost_answer_proves_nothing(rig: Rig, first, second) -> None:
    """When a call took effect unseen and its repetition is refused, its facts are unknown and written anew."""
    rig.move_in()
    rig.drain()
    rig.patch(1, pms_lockout=True)
    rig.drain()
    rig.patch(2, pms_lockout=False)
    rig.far.faults = [first]
    with contextlib.suppress(Crash):
        rig.drain()
    rig.far.faults = [second]
    rig.clock.advance(60)
    rig.drain()
    rig.patch(3, pms_lockout=True)
    rig.clock.advance(60)
    rig.drain_until_quiet()
    assert rig.unit["pms_lockout"] is True


def test_a_lost_call_that_is_wanted_no_more_is_not_sent_again(rig: Rig) -> None:
    """When a later mail takes back what a call of unknown outcome writes, the call is given up, and its facts restated.

    Repeating it would open a gate that the later mail closed.
    """
    rig.move_in()
    rig.patch(1, pms_lockout=True)
    rig.drain_until_quiet()
    rig.patch(2, pms_lockout=False)
    rig.far.faults = [answer(Outcome.UNKNOWN)]
    rig.drain()
    rig.patch(3, pms_lockout=True)
    rig.clock.advance(60)
    rig.drain_until_quiet()
    assert [sent[2] for sent in rig.far.sent[-2:]] == [b'{"pms_lockout":false}', b'{"pms_lockout":true}']
    assert not any(seen["occupied"] and not seen["pms_lockout"] for seen in rig.far.kiss.seen[2:])
    assert rig.unit["pms_lockout"] is True


def test_a_fact_of_a_vacant_unit_is_stated_anew_after_a_move_out_that_was_lost(rig: Rig) -> None:
    """A move-out of a unit that was vacant all along leaves what we wrote there, however often it was sent."""
    rig.far.kiss.units[UNIT] = dict(DEFAULTS)
    rig.patch(0, balance_due=Decimal("12.50"))
    rig.drain()
    rig.far.faults = [lost]
    rig.move_out(1)
    rig.drain()
    rig.clock.advance(30 * 86_400)
    rig.drain_until_quiet()
    assert [sent[0] for sent in rig.far.sent] == ["PATCH", "DELETE", "DELETE", "PATCH"]
    assert rig.unit["balance_due"] == 0


def test_a_move_in_sent_ahead_is_not_forgotten(rig: Rig) -> None:
    """A move-in of the future that was sent at once comes back on its day when another tenancy turned up."""
    day = rig.clock.now + dt.timedelta(days=3)
    rig.move_in("B", hour=0, effective_at=day)
    rig.drain()
    assert rig.unit["pms_tenant_id"] == "B"
    rig.move_in("A", hour=1)
    rig.drain()
    assert (rig.unit["pms_tenant_id"], rig.lane().due_at) == ("A", day)
    rig.clock.advance(4 * 86_400)
    rig.drain()
    assert rig.unit["pms_tenant_id"] == "B"


@pytest.mark.parametrize(
    ("fault", "ends"), [(answer(Outcome.SOURCE_CONFLICT, 409), "rejected"), (answer(Outcome.FAILED, 500), "held")]
)
def test_a_unit_that_cannot_be_created_comes_to_an_end(rig: Rig, fault, ends: str) -> None:
    """Creating a vacant unit is for the move-in's sake: refused or failing, it ends that event, in few calls."""

    def creating(through):
        return fault(through) if rig.far.sent[-1][1] == "/units" else through()

    rig.patch(2, pms_lockout=True)
    rig.drain()
    rig.move_in(hour=0)
    rig.far.faults = [creating] * 200
    for _ in range(30):
        rig.clock.advance(600)
        rig.drain()
    assert rig.states()[1][0] == ends
    assert len(rig.far.sent) < 80


def test_a_mismatched_fact_is_not_let_in_with_its_unit(rig: Rig) -> None:
    """An event held for an unknown unit is let go by a move-in only if it names that tenant."""
    rig.tell(Kind.PATCH, {"balance_due": Decimal(99)}, hour=5, expect={"pms_tenant_id": "OLD"})
    for _ in range(2):
        rig.drain(unknown_unit_s=10)
        rig.clock.advance(20_000)
    assert rig.states() == [("held", "unknown_unit")]
    rig.move_in("NEW", hour=1)
    rig.drain_until_quiet()
    assert rig.unit["balance_due"] == 0
    assert rig.states()[0] == ("held", "tenant_mismatch")


def test_of_revisions_the_last_telling_wins(rig: Rig) -> None:
    """A fact that was told, revised and told again ends as it was told last."""
    rig.move_in()
    for hour, text in enumerate("ABA", start=1):
        rig.tell(Kind.PATCH, {"pms_status_raw": text}, hour=hour, identity="same")
        rig.drain()
    assert rig.unit["pms_status_raw"] == "A"


def test_one_lane_s_trouble_is_no_other_s(rig: Rig) -> None:
    """An error that nobody expected leaves the lane due, and the task goes on."""

    def broken(_through):
        raise ZeroDivisionError

    rig.move_in()
    rig.far.faults = [broken]
    rig.drain()
    rig.clock.advance(20)
    rig.drain()
    assert rig.states() == [("applied", None)]


def test_a_worker_that_stops_begins_nothing(rig: Rig) -> None:
    """Between two calls a stopping worker gives the lane back, still due, with its calls stored."""
    rig.move_in()
    rig.patch(1, paid_through_date="2026-06-30")
    stops = iter([False, True])
    stopping = Drain(rig.db, {"kiss": rig.far}, clock=rig.clock, by="one", is_stopping=lambda: next(stops, True))
    stopping.drain([KEY])
    assert len(rig.far.sent) == 1
    assert rig.lane().due_at is not None
    assert rig.lane().lease_until is None
    rig.drain()
    assert rig.states() == [("applied", None)] * 2


def test_a_pause_is_only_ever_lengthened(rig: Rig) -> None:
    """Of several pauses of one destination the longest holds; one without end is not ended by a shorter."""
    now = rig.clock.now
    for until in (10, 60, 30):
        with rig.db.write() as connection:
            end = now + dt.timedelta(seconds=until)
            pauses_store.pause(connection, "destination", "kiss", reason="", actor="t", now=now, until=end)
    with rig.db.read() as connection:
        assert connection.execute(sa.select(pauses.c.until)).scalar_one() == now + dt.timedelta(seconds=60)
    for until in (None, 90):
        with rig.db.write() as connection:
            end = None if until is None else now + dt.timedelta(seconds=until)
            pauses_store.pause(connection, "destination", "kiss", reason="", actor="t", now=now, until=end)
    with rig.db.read() as connection:
        assert connection.execute(sa.select(pauses.c.until)).scalar_one() is None


FAULTS = st.lists(
    st.sampled_from(
        [
            None,
            lost,
            crash_before,
            crash_after,
            answer(Outcome.FAILED, 500),
            answer(Outcome.UNREACHED),
            answer(Outcome.UNKNOWN, 503),
            answer(Outcome.LIMITED, 429, retry_after_s=1.0),
        ]
    ),
    max_size=12,
)


@pytest.mark.law
@settings(max_examples=settings.default.max_examples // 4 + 1)
@given(data=st.data(), faults=FAULTS)
def test_every_fault_ends_in_the_same_unit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, faults
) -> None:
    """Crashes, lost answers and refusals change neither where the unit ends nor how often an event takes effect."""
    told = data.draw(st.permutations(["in", "lock", "unlock", "relock", "unlock2", "out", "in2", "late"]))
    rig = Rig(f"sqlite:///{tmp_path_factory.mktemp('law')}/l.db")
    rig.far.faults = [(lambda through: through()) if fault is None else fault for fault in faults]
    for name in told:
        match name:
            case "in":
                rig.move_in("A", hour=0)
            case "lock":
                rig.patch(1, pms_lockout=True)
            case "unlock":
                rig.patch(2, pms_lockout=False)
            case "relock":
                rig.patch(2, pms_lockout=True)
            case "unlock2":
                rig.patch(3, pms_lockout=False)
            case "out":
                rig.move_out(3)
            case "in2":
                rig.move_in("B", hour=4)
            case "late":
                rig.tell(Kind.PATCH, {"paid_through_date": "2026-06-30"}, hour=5)
        if data.draw(st.booleans()):
            _drain_through_crashes(rig)
    for _ in range(40):
        _drain_through_crashes(rig)
        if rig.lane().due_at is None and rig.lane().lease_until is None:
            break
        rig.clock.advance(400)
    assert rig.lane().due_at is None
    assert rig.unit["pms_tenant_id"] == "B"
    assert (rig.unit["pms_lockout"], rig.unit["paid_through_date"]) == (False, "2026-06-30")
    assert {state for state, _ in rig.states()} <= {"applied", "superseded"}
    rig.db.close()


def _drain_through_crashes(rig: Rig) -> None:
    try:
        rig.drain()
    except Crash:
        rig.clock.advance(20)
