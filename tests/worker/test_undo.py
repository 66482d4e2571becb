"""Undo and replay: wrong events are taken out of the fold, and every unit ends as if they had never been told."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rigs.lane import Crash, answer, crash_after, lost
from tests.rigs.line import Line
from worker import undo
from worker.actions import CannotDo
from worker.calls import Outcome
from worker.drain import Drain
from worker.edits import add_event, discard_events, edit_event, release_events
from worker.replayed import report, set_state
from worker.store.database import Database

RIGHT = """
pack: t
senders: [pms.test]
dates: ["%Y-%m-%d"]
money: {decimal: ".", group: ",", symbols: ["$"]}
rules:
  - id: move-in
    when: {subject: ^Move in}
    fields: {unit: {label: Unit}, tenant: {label: Tenant}, on: {label: On, type: date}}
    identity: [unit, tenant, on]
    events: [{move_in: {unit: unit, pms_tenant_id: tenant, move_in_date: on}}]
  - id: move-out
    when: {subject: ^Move out}
    fields: {unit: {label: Unit}, tenant: {label: Tenant, optional: true}}
    events: [{move_out: {unit: unit, expect: {pms_tenant_id: tenant}}}]
  - id: payment
    when: {subject: ^Payment}
    fields: {unit: {label: Unit}, balance: {label: Balance, type: money}}
    events: [{patch: {unit: unit, balance_due: balance}}]
  - id: lock
    when: {subject: ^Lock notice$}
    fields: {unit: {label: Unit}}
    events: [{patch: {unit: unit, pms_lockout: true}}]
  - id: unlock
    when: {subject: ^Lock notice ended$}
    fields: {unit: {label: Unit}}
    events: [{patch: {unit: unit, pms_lockout: false}}]
"""
# The lock rule takes the removal for a lock, and a rule reads the unit that was left.
WRONG = (
    RIGHT.replace("{subject: ^Lock notice$}", '{subject: "^Lock notice"}')
    .replace("{subject: ^Lock notice ended$}", "{subject: ^Never}")
    .replace("{subject: ^Move in}", '{subject: "^Move in$"}')
    + """
  - id: by-transfer
    when: {subject: ^Move in by transfer}
    fields: {unit: {label: Left unit}, tenant: {label: Tenant}, on: {label: On, type: date}}
    events: [{move_in: {unit: unit, pms_tenant_id: tenant, move_in_date: on}}]
"""
)


@pytest.fixture
def line(database: Database) -> Iterator[Line]:
    """A line on SQLite, then on PostgreSQL."""
    made = Line(database, RIGHT)
    yield made
    made.close()


def take_back(line: Line, text: str) -> list[undo.UnitPlan]:
    """Undo and drain."""
    planned = undo.plan(line.db, text, manners=line.manners, now=line.clock.now)
    done = undo.undo(line.db, text, manners=line.manners, actor="anna", reason="wrong rule", now=line.clock.now)
    assert done == planned, "what is done is what was shown"
    line.drain()
    return done


def tell_story(line: Line) -> None:
    """Thirty mails that the wrong rules misread, with right ones between them."""
    for n in range(15):
        left = {"Left_unit": f"Z{n}"} if n % 3 == 0 else {}
        subject = "Move in by transfer" if left else "Move in"
        line.mail(subject, hour=n, **left, Unit=f"A{n}", Tenant=f"T{n}", On="2026-05-01")
        line.mail("Payment", hour=20 + n, Unit=f"A{n}", Balance=f"${n}.50")
        line.mail("Lock notice", hour=40 + n, Unit=f"A{n}")
        line.mail("Lock notice ended", hour=60 + n, Unit=f"A{n}")
        line.mail("Payment", hour=80 + n, Unit=f"A{n}", Balance="$0.00")
        line.mail("Lock notice ended", hour=100 + n, Unit=f"A{n}")


def test_thirty_wrong_events_are_as_if_never_wrong(line: Line, tmp_path) -> None:
    """After undo and replay under the mended rules every unit is as if the rules had never been wrong."""
    line.use(WRONG)
    wrong_set = line.rules.id
    tell_story(line)
    misread = [e for e in line.events(rule="t/lock") if e.body == {"pms_lockout": True}]
    assert len(misread) == 45
    assert {"MAIN-Z0", "MAIN-Z12"} < line.kiss.units.keys()
    line.use(RIGHT)
    done = take_back(line, f"set:{wrong_set} rule:t/lock")
    assert sum(len(unit.withdrawn) for unit in done) == 45
    number = line.replay(f"set:{wrong_set}")
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    from worker.store import schema

    schema.upgrade(other)
    never_wrong = Line(other, RIGHT)
    tell_story(never_wrong)
    ours = {unit: state for unit, state in line.kiss.units.items() if not unit.startswith("MAIN-Z")}
    assert ours == never_wrong.kiss.units
    assert not any(line.kiss.units[f"MAIN-Z{n}"]["occupied"] for n in range(0, 15, 3))
    found = report(line.db, number)
    assert found["state"] == "done"
    assert found["outcomes"]["new"] >= 30
    never_wrong.close()
    other.close()


def test_what_an_event_covered_comes_back(line: Line) -> None:
    """The value that a withdrawn event covered is sent again, and its event is applied once more."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    line.mail("Payment", hour=1, Unit="A1", Balance="$10.00")
    line.mail("Payment", hour=2, Unit="A1", Balance="$99.00")
    (unit,) = take_back(line, f"mail:{line.events()[-1].mail_id}")
    assert [dict(call.writes) for call in unit.calls] == [{"balance_due": 10}]
    assert line.kiss.units["MAIN-A1"]["balance_due"] == 10
    assert [event.state for event in line.events()] == ["applied", "applied", "withdrawn"]


def test_a_unit_that_we_made_goes_back_to_its_beginning(line: Line) -> None:
    """Of a unit that our move-in created the beginning is known: what an event wrote first goes back to it."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    line.mail("Lock notice", hour=1, Unit="A1")
    take_back(line, "rule:t/lock")
    assert line.kiss.units["MAIN-A1"]["pms_lockout"] is False
    (unit,) = take_back(line, "rule:t/move-in")
    assert unit.phantom
    assert line.kiss.units["MAIN-A1"]["occupied"] is False
    assert [(one.kind, one.subject["unit"]) for one in line.open_issues()] == [("phantom_unit", "MAIN-A1")]


def test_a_value_that_nobody_knows_waits_for_a_person(line: Line) -> None:
    """What stood there before us is unknown: the event is held, the value stays, and a person says what is right."""
    line.kiss.move_in("MAIN-A1", {"pms_tenant_id": "OLD"})
    line.mail("Payment", Unit="A1", Balance="$99.00")
    (unit,) = take_back(line, "unit:A1")
    assert (unit.withdrawn, unit.calls) == ((), ())
    (event,) = line.events()
    assert (event.state, event.reason) == ("held", "no_earlier_value")
    assert line.kiss.units["MAIN-A1"]["balance_due"] == 99
    add_event(line.db, "A1", ["balance_due=7"], actor="anna", reason="asked the site", now=line.clock.now)
    line.drain()
    assert line.kiss.units["MAIN-A1"]["balance_due"] == 7
    assert [(event.state, event.reason) for event in line.events()] == [("withdrawn", None), ("applied", None)]


def test_a_wrong_move_out_is_taken_back(line: Line) -> None:
    """Tenancy and facts that a move-out reset are written again."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    line.mail("Payment", hour=1, Unit="A1", Balance="$10.00")
    before = dict(line.kiss.units["MAIN-A1"])
    line.mail("Move out", hour=2, Unit="A1", Tenant="T")
    assert line.kiss.units["MAIN-A1"]["occupied"] is False
    take_back(line, "rule:t/move-out")
    assert line.kiss.units["MAIN-A1"] == before


@pytest.mark.parametrize("fault", [lost, answer(Outcome.UNKNOWN)])
def test_an_event_of_unknown_outcome_is_taken_back(line: Line, fault) -> None:
    """A call whose answer was lost is not repeated for an event that was withdrawn meanwhile."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    line.far.faults = [fault]
    line.mail("Lock notice", hour=1, Unit="A1", drain=False)
    drain_once(line)
    assert line.events()[-1].state == "uncertain"
    take_back(line, "rule:t/lock")
    assert line.kiss.units["MAIN-A1"]["pms_lockout"] is False
    assert b'{"pms_lockout":true}' not in [sent[2] for sent in line.far.sent[-1:]]


def drain_once(line: Line, *faults: Any) -> None:
    """Drain unit A1 with these faults, one after the other, each time as another hand."""
    for n, fault in enumerate(faults or [None]):
        line.far.faults = [fault] if fault else line.far.faults
        with contextlib.suppress(Crash):
            Drain(line.db, {"kiss": line.far}, clock=line.clock, by=f"hand {n}").drain([("kiss", "MAIN-A1")])
        line.clock.advance(60)


def test_two_undone_while_the_call_of_one_is_open_wait_for_a_person(line: Line) -> None:
    """The value of the first is perhaps there, and what stood in for it is taken back, too."""
    line.kiss.move_in("MAIN-A1", {"pms_tenant_id": "OLD"})
    line.mail("Payment", hour=1, Unit="A1", Balance="$99.00", drain=False)
    drain_once(line, crash_after)
    line.mail("Payment", Unit="A1", Balance="$10.00", drain=False)
    for event in line.events():
        undo.undo(line.db, f"id:{event.id}", manners=line.manners, actor="anna", reason="wrong", now=line.clock.now)
    line.drain()
    assert line.kiss.units["MAIN-A1"]["balance_due"] == 99
    assert [event.reason for event in line.events()] == [None, "no_earlier_value"]


@pytest.mark.parametrize(
    "faults", [(lost,), (crash_after,), (crash_after, answer(Outcome.FAILED, 500)), (lost, answer(Outcome.LIMITED))]
)
def test_what_an_undone_call_may_have_written_waits_for_a_person(line: Line, faults: tuple[Any, ...]) -> None:
    """Nobody knows whether the value arrived, nor what stood there before: a person hears of it."""
    line.kiss.move_in("MAIN-A1", {"pms_tenant_id": "OLD"})
    line.mail("Payment", Unit="A1", Balance="$99.00", drain=False)
    drain_once(line, *faults)
    take_back(line, "unit:A1")
    (event,) = line.events()
    assert (event.state, event.reason) == ("held", "no_earlier_value")
    assert line.kiss.units["MAIN-A1"]["balance_due"] == 99


def test_what_was_told_anew_and_undone_before_it_was_sent_waits_for_a_person(line: Line) -> None:
    """The value of the first telling stands at the destination, and both tellings are taken back."""
    line.kiss.move_in("MAIN-A1", {"pms_tenant_id": "OLD"})
    line.mail("Payment", Unit="A1", Balance="$99.00")
    line.mail("Payment", hour=1, Unit="A1", Balance="$10.00", drain=False)
    for event in line.events():
        undo.undo(
            line.db, f"id:{event.id}", manners=line.manners, actor="anna", reason="both wrong", now=line.clock.now
        )
    line.drain()
    assert line.kiss.units["MAIN-A1"]["balance_due"] == 99
    assert [event.reason for event in line.events()] == [None, "no_earlier_value"]


def test_an_undone_mail_that_comes_again_stays_undone(line: Line) -> None:
    """A copy of an undone mail is a duplicate; only a replay brings its event back."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    line.mail("Lock notice", hour=1, Unit="A1")
    take_back(line, "rule:t/lock")
    again = line.mail("Lock notice", hour=1, Unit="A1")
    assert line.mail_row(again).state == "duplicate"
    assert line.kiss.units["MAIN-A1"]["pms_lockout"] is False
    line.replay("rule:t/lock")
    assert line.kiss.units["MAIN-A1"]["pms_lockout"] is True


def test_an_undo_needs_a_query(line: Line) -> None:
    """Nothing is taken back by an empty query."""
    with pytest.raises(CannotDo, match="needs a query"):
        undo.plan(line.db, "", manners=line.manners, now=line.clock.now)


def test_a_replay_that_does_not_understand_a_mail_withdraws_nothing(line: Line) -> None:
    """A mail that the rules of now do not read keeps its events, and the report names it."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    line.use(RIGHT.replace("^Move in", "^Something else"))
    (change,) = line.replays.plan("rule:t/move-in", "parse")
    assert change.effects[0][0] == "held"
    number = line.replay("rule:t/move-in")
    assert report(line.db, number)["outcomes"] == {"held": 1}
    assert [event.state for event in line.events()] == ["applied"]


def test_a_held_mail_that_the_rules_now_read_takes_effect(line: Line) -> None:
    """A replay reads a mail that was held under the old rules."""
    line.use(RIGHT.replace("{label: Tenant}", "{label: Occupant}"))
    mail_id = line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    assert line.mail_row(mail_id).state == "held"
    line.use(RIGHT)
    line.replay("state:held")
    assert line.mail_row(mail_id).state == "parsed"
    assert line.kiss.units["MAIN-A1"]["pms_tenant_id"] == "T"


def test_a_replay_from_apply_states_everything_anew(line: Line) -> None:
    """When the destination lost its data, what is wanted is sent again, under keys of their own."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    line.mail("Lock notice", hour=1, Unit="A1")
    before = dict(line.kiss.units["MAIN-A1"])
    line.kiss.units.clear()
    line.replay("unit:A1", "apply")
    assert line.kiss.units["MAIN-A1"] == before
    keys = [sent[3] for sent in line.far.sent]
    assert len(keys) == len(set(keys))


def test_a_replay_can_be_paused_and_goes_on(line: Line) -> None:
    """A paused replay does nothing; resumed it ends."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    number = line.replays.start("unit:A1", "parse", limit=None, per_minute=60, actor="anna", reason="x")
    set_state(line.db, number, "paused", actor="anna", now=line.clock.now)
    assert line.replays.carry_on() == 0
    set_state(line.db, number, "running", actor="anna", now=line.clock.now)
    assert line.replays.carry_on() == 1
    line.clock.advance(120)
    line.replays.carry_on()
    assert report(line.db, number)["state"] == "done"


def test_a_held_event_is_edited_and_let_in(line: Line) -> None:
    """An edit is a revision by a person: the wrong reading stays to be seen, the right value is applied."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    body = b'{"errors":{"balance_due":["too much"]}}'
    line.far.faults = [answer(Outcome.REJECTED, 422, body=body, wrong=("balance_due",))]
    line.mail("Payment", hour=1, Unit="A1", Balance="$99.00")
    refused = line.events()[-1]
    assert refused.state == "rejected"
    made = edit_event(
        line.db, refused.id, ["balance_due=9.90"], actor="anna", reason="a comma was lost", now=line.clock.now
    )
    line.drain()
    assert [(event.id, event.state) for event in line.events()][-2:] == [(refused.id, "discarded"), (made, "applied")]
    assert float(line.kiss.units["MAIN-A1"]["balance_due"]) == 9.9
    again = line.mail("Payment", hour=1, Unit="A1", Balance="$99.00")
    assert line.mail_row(again).state == "duplicate"
    assert float(line.kiss.units["MAIN-A1"]["balance_due"]) == 9.9


def test_a_rejected_event_is_tried_once_more_or_discarded(line: Line) -> None:
    """What the destination refused can be released, when its cause is mended, or discarded."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    for hour in (1, 2):
        line.far.faults = [answer(Outcome.SOURCE_CONFLICT, 409)]
        line.mail("Lock notice", hour=hour, Unit="A1")
    first, second = (event.id for event in line.events(state="rejected"))
    assert {event.issue_id for event in line.events(state="rejected")} == {line.open_issues()[-1].id}
    release_events(line.db, [first], actor="anna", reason="push mode now", now=line.clock.now)
    discard_events(line.db, [second], actor="anna", reason="the same", now=line.clock.now)
    line.drain()
    assert line.kiss.units["MAIN-A1"]["pms_lockout"] is True
    assert [event.state for event in line.events()[-2:]] == ["applied", "discarded"]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (["balance_due=-1"], "at least 0"),
        (["pms_lockout=maybe"], "true or false"),
        (["colour=red"], "no FACT=VALUE"),
        (["occupied=true"], "needs pms_tenant_id"),
        (["pms_tenant_id=T"], "move_in_date"),
        (["occupied=false", "pms_tenant_id=T"], "ends the tenancy"),
    ],
)
def test_a_wrong_fact_is_told_plainly(line: Line, facts: list[str], says: str) -> None:
    """A value that does not fit is refused with what is wrong with it, and nothing is stored."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    with pytest.raises(CannotDo, match=says):
        add_event(line.db, "A1", facts, actor="anna", reason="x", now=line.clock.now)
    assert len(line.events()) == 1


def test_a_person_moves_a_tenant_out_and_in(line: Line) -> None:
    """A tenancy that no mail told is told by a person, and folds like any other."""
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    add_event(line.db, "A1", ["occupied=false"], actor="anna", reason="phoned", now=line.clock.now)
    line.drain()
    assert line.kiss.units["MAIN-A1"]["occupied"] is False
    line.clock.advance(60)
    words = ["pms_tenant_id=U", "move_in_date=2026-05-31"]
    add_event(line.db, "A1", words, actor="anna", reason="phoned", now=line.clock.now)
    line.drain()
    assert line.kiss.units["MAIN-A1"]["pms_tenant_id"] == "U"
