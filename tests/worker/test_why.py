"""Why: of any past moment the record tells what a unit's access was, and every step that led there."""

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from parsers import load_rules_text
from parsers.events import Kind
from tests.rigs.gatepost import ROOT
from tests.rigs.house import BOX, House, moment
from tests.rigs.lane import answer, lost
from worker import actions, edits, retention, undo
from worker.calls import CLEARED, Manners, Outcome, Verb
from worker.order import NOTHING
from worker.past import End, PastCall, tell
from worker.settings import Retention
from worker.store.query import QueryError
from worker.store.tables import lanes, mails, past_readings, readings
from worker.why import read_moment

Story = tuple[House, dict[str, str]]
PERMITTED, DENIED = ("tenant_permitted", "active"), ("tenant_denied", "pms_lockout")
LOCKOUT = "pms_lockout"


pytestmark = pytest.mark.xdist_group("why")  # one story for all that only look


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """A house on SQLite, then on PostgreSQL."""
    made = House(database_url)
    yield made
    made.close()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A house whose story is told, to be looked at only; and the mails by their names."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('story') / 'store.db'}"
    else:
        url = request.getfixturevalue("postgres_server").database(f"story_{os.getpid()}")
    made = House(url)
    yield made, tell_story(made)
    made.close()


@dataclass(frozen=True)
class Question:
    """Why was a unit so at a time of 2026? And the answer."""

    unit: str
    at: str
    access: tuple[str, str | None]
    fact: str = "occupied"
    value: Any = True
    mail: str | None = None
    """The mail by its name in the story; None: no mail told it."""
    line: str = ""
    rule: str = ""
    verb: str = ""
    person: str | None = None
    attempts: int = 1


IN, OUT, LOCKED, LET_IN = "sitelink/move-in", "sitelink/move-out", "sitelink/overlock", "sitelink/overlock-reversed"
LOCK: dict[str, Any] = {"fact": LOCKOUT, "rule": LOCKED, "verb": "PATCH"}
UNLOCK: dict[str, Any] = {"fact": LOCKOUT, "value": False, "rule": LET_IN, "verb": "PATCH"}
BALANCE: dict[str, Any] = {
    "fact": "balance_due",
    "value": Decimal("55.00"),
    "rule": "sitelink/nsf-reversal",
    "verb": "PATCH",
}
VACANT, AHEAD = ("vacant", None), ("tenant_denied", "future_move_in")
STATUS: dict[str, Any] = {
    "fact": "pms_status_raw",
    "value": "Overlock removed per facility 2026-05-06",
    "rule": "sitelink/overlock-reversed",
    "verb": "PATCH",
}
VOUCHED = "ben: called the office"

STORY = (
    Question("B204", "05-02", PERMITTED, mail="in", line="Move-In Date: 05/01/2026", rule=IN, verb="PUT"),
    Question("B204", "05-04T12:00", DENIED, mail="lock", line="Overlock: Unit B204", **LOCK),
    Question("B204", "05-04", PERMITTED, mail="unlock", line="Reverse: Overlock: Unit B204", **UNLOCK),
    # A mail that was read again under other rules: the reading of the event's own set answers.
    Question("B204", "05-10T20:00", DENIED, mail="relock", line="Overlock: Unit B204", **LOCK),
    Question("B204", "05-11", DENIED, mail="relock", line="Overlock: Unit B204", **LOCK),
    # Taken back by a person: the unlock before it stands again.
    Question("B204", "05-12", PERMITTED, mail="unlock", line="Reverse: Overlock: Unit B204", **UNLOCK),
    Question("B204", "05-20T16:00", PERMITTED, mail="unlock", line="Tenant ID: T-5001", **UNLOCK),
    Question(
        "B204", "05-21", VACANT, value=False, mail="out", line="Move-Out Date: 05/20/2026", rule=OUT, verb="DELETE"
    ),
    Question(
        "B204",
        "05-21T09:00",
        VACANT,
        fact="balance_due",
        value=0,
        mail="out",
        line="Unit: B204",
        rule=OUT,
        verb="DELETE",
    ),
    # Nothing proved its sender; a person vouched for the mail.
    Question(
        *("C101", "05-03", PERMITTED), mail="vouched", line="Tenant ID: T-6001", rule=IN, verb="PUT", person=VOUCHED
    ),
    # Held for review, and released by a person.
    Question("C102", "05-06T23:00", PERMITTED, mail="c102", line="Unit: C102", rule=IN, verb="PUT"),
    Question("C102", "05-07T10:30", DENIED, mail="reviewed", line="Overlock: Unit C102", person="cora: seen", **LOCK),
    # Told ahead of its day.
    Question("D300", "05-10", AHEAD, mail="ahead", line="Move-In Date: 05/15/2026", rule=IN, verb="PUT"),
    Question("D300", "05-15T08:00", PERMITTED, mail="ahead", line="Move-In Date: 05/15/2026", rule=IN, verb="PUT"),
    # No mail told it: a person did.
    Question(*("E400", "05-09T12:00", DENIED), fact=LOCKOUT, rule="person/add", verb="PATCH", person="dora: by phone"),
    # The answer was lost, and the same request went again.
    Question("F500", "05-08T08:30", PERMITTED, mail="f500", line="Tenant ID: T-6005", rule=IN, verb="PUT"),
    Question("F500", "05-08T10:00", DENIED, mail="lost", line="Overlock: Unit F500", attempts=2, **LOCK),
    # The lock came after the unlock that it was before.
    Question("G600", "05-09T12:00", PERMITTED, mail="g-unlock", line="Reverse: Overlock: Unit G600", **STATUS),
    # Refused for good: the unit stays open.
    Question("I800", "05-10", PERMITTED, mail="i800", line="Unit: I800", rule=IN, verb="PUT"),
    # Another tenant has the unit now.
    Question("K100", "05-06", DENIED, mail="k-lock", line="Overlock: Unit K100", **LOCK),
    Question("K100", "05-16", PERMITTED, mail="k-second", line="Tenant ID: T-6011", rule=IN, verb="PUT"),
    Question("K100", "05-18T12:00", PERMITTED, mail="k-nsf", line="New Balance: $55.00", **BALANCE),
)


def tell_story(house: House) -> dict[str, str]:
    """Fill a store with three weeks; return the mails by their names."""
    told = {"in": house.move_in("B204", "T-5001", "05-01 09:30")}
    told["k-first"] = house.move_in("K100", "T-6010", "05-01 10:00")
    held = house.move_in("C101", "T-6001", "05-02 10:00", peer="192.0.2.9")
    house.at("05-02 12:00")
    actions.release_mail(house.db, held, actor="ben", reason="called the office", now=house.now)
    house.read_again()
    told["vouched"] = held
    for unit, tenant in (
        ("C102", "T-6002"),
        ("E400", "T-6004"),
        ("F500", "T-6005"),
        ("G600", "T-6006"),
        ("I800", "T-6008"),
    ):
        told[unit.lower()] = house.move_in(unit, tenant, "05-02 15:00")
    told["ahead"] = house.move_in("D300", "T-6003", "05-03 09:00", on="05/15/2026")
    told["lock"] = house.overlock("B204", "T-5001", "05-04 08:00")
    told["unlock"] = house.unlock("B204", "T-5001", "05-04 16:20")
    told["k-lock"] = house.overlock("K100", "T-6010", "05-05 08:00")
    told["g-unlock"] = house.unlock("G600", "T-6006", "05-06 08:00")
    house.box = BOX.model_copy(update={"mode": "review"})
    told["reviewed"] = house.overlock("C102", "T-6002", "05-06 20:00")
    house.box = BOX
    house.at("05-07 10:00")
    edits.release_events(house.db, [house.event(told["reviewed"]).id], actor="cora", reason="seen", now=house.now)
    house.settle()
    house.far.faults = [lost]
    told["lost"] = house.overlock("F500", "T-6005", "05-08 08:00")
    house.at("05-08 09:00")
    house.settle()
    told["g-lock"] = house.overlock("G600", "T-6006", "05-05 08:00", arrives="05-09 08:00")
    edits.add_event(house.db, "E400", ["pms_lockout=true"], actor="dora", reason="by phone", now=house.now)
    house.settle()
    house.far.faults = [answer(Outcome.REJECTED, 422)]
    told["refused"] = house.overlock("I800", "T-6008", "05-09 10:00")
    told["relock"] = house.overlock("B204", "T-5001", "05-10 08:00")
    replay_under_other_rules(house, told["relock"], "05-11 10:00")
    house.at("05-12 09:00")
    query = f"id:{house.event(told['relock']).id}"
    undo.undo(house.db, query, manners=house.manners, actor="anna", reason="the wrong unit", now=house.now)
    house.settle()
    told["k-out"] = house.move_out("K100", "T-6010", "05-14 12:00")
    told["k-second"] = house.move_in("K100", "T-6011", "05-15 12:00", name="Another Resident")
    told["k-nsf"] = house.nsf("K100", "T-6011", "05-17 12:00", balance="$55.00")
    told["unknown"] = house.overlock("H700", "T-6007", "05-18 08:00")
    told["out"] = house.move_out("B204", "T-5001", "05-20 17:00")
    house.at("05-25 12:00")
    return told


def replay_under_other_rules(house: House, mail_id: str, at: str) -> None:
    """Read a mail again under rules that take the unit from another line; the event stays what it was."""
    house.at(at)
    text = (ROOT / "rules/sitelink.yaml").read_text("utf-8")
    from_subject = '{subject: "Unit (?P<value>\\\\S.*)$"}, '
    assert from_subject in text
    house.rules = load_rules_text({"sitelink.yaml": text.replace(from_subject, "")})
    house.replays.start(f"id:{mail_id}", "parse", limit=None, per_minute=0, actor="eve", reason="new labels")
    while house.replays.carry_on():
        house.settle()
    with house.db.read() as connection:
        before = sa.select(past_readings.c.reading).where(past_readings.c.mail_id == mail_id)
        (replaced,) = connection.execute(before).scalars()
        now = connection.execute(sa.select(readings.c.reading).where(readings.c.mail_id == mail_id)).scalar_one()
    assert replaced["rule_set"] == house.event(mail_id).rule_set != now["rule_set"]
    assert [one["line"] for one in now["trace"]["captures"] if one["field"] == "unit"] != [0]


def ask(house: House, question: Question, told: dict[str, str]) -> dict[str, Any]:
    """Ask one question, compare each part of the answer, and return the fact's origin."""
    found = house.why(question.unit, f"2026-{question.at}")
    assert (found["access"]["state"], found["access"]["reason"]) == question.access
    (fact,) = [fact for fact in found["facts"] if fact["fact"] == question.fact]
    origin = fact["from"]
    assert fact["value"] == question.value
    assert origin["mail"] == (told[question.mail] if question.mail else None)
    assert origin["rule"] == question.rule
    assert question.mail is None or question.line in [line["text"] for line in origin["lines"]]
    call = origin["call"]
    assert call["request"].split(" ")[0] == question.verb
    assert f"/units/MAIN-{question.unit}" in call["request"]
    assert call["key"] in house.far.kiss.answers
    assert len(call["attempts"]) == question.attempts
    assert call["attempts"][-1]["status"] in (200, 201)
    persons = [origin["released_by"], origin["vouched_by"]]
    assert (question.person in persons) if question.person else persons == [None, None]
    if question.mail:
        assert origin["proof"]
        assert origin["rule_set"] == house.event(told[question.mail], Kind(origin["kind"])).rule_set
    return origin


def test_twenty_questions(house: House) -> None:
    """Each question about a past moment is answered with mail, line, rule, call, key and person; the bytes are not
    needed for it.
    """
    told = tell_story(house)
    before = [ask(house, question, told) for question in STORY]
    house.now = moment("05-25 12:00") + dt.timedelta(days=100)
    retention.purge(house.db, Retention(), actor="gatepost", now=house.now, manners=house.manners)
    with house.db.read() as connection:
        purged = set(connection.execute(sa.select(mails.c.id).where(mails.c.purged_at.is_not(None))).scalars())
    assert set(told.values()) - purged == {told["refused"], told["unknown"]}  # a person still has to look at these
    after = [ask(house, question, told) for question in STORY]
    assert [origin | {"purged_at": None} for origin in after] == before
    assert len(STORY) >= 20


def test_events_have_the_state_that_they_had(story: Story) -> None:
    """The events of a past moment are those that were there, each with the state, reason and word of then."""
    house, told = story

    def states(unit: str, at: str) -> dict[str, tuple[str, str | None]]:
        names = {mail_id: name for name, mail_id in told.items()}
        rows = house.why(unit, at)["events"]
        return {names.get(row["mail"], "person"): (row["state"], row["reason"]) for row in rows if row["kind"] != "x"}

    assert states("B204", "2026-04-30") == {}
    assert states("B204", "2026-05-02") == {"in": ("applied", None)}
    assert states("B204", "2026-05-04T12:00")["lock"] == ("applied", None)
    assert states("B204", "2026-05-04")["lock"] == ("superseded", None)
    assert states("B204", "2026-05-11")["relock"] == ("applied", None)
    assert states("B204", "2026-05-12")["relock"] == ("withdrawn", None)
    (row,) = [row for row in house.why("B204", "2026-05-12")["events"] if row["mail"] == told["relock"]]
    assert row["detail"] == "anna: the wrong unit"
    assert states("C102", "2026-05-06")["reviewed"] == ("held", "review")
    assert states("C102", "2026-05-07")["reviewed"] == ("applied", None)
    assert states("F500", "2026-05-08T08:30")["lost"] == ("uncertain", None)
    assert [call["state"] for call in house.why("F500", "2026-05-08T08:30")["under_way"]] == ["open"]
    assert states("F500", "2026-05-08T10:00")["lost"] == ("applied", None)
    assert states("G600", "2026-05-08") == {"g600": ("applied", None), "g-unlock": ("applied", None)}
    assert states("G600", "2026-05-09")["g-lock"] == ("superseded", None)
    assert states("I800", "2026-05-09")["refused"] == ("rejected", "rejected")


def test_a_person_s_word_is_not_known_before_it_was_said(story: Story) -> None:
    """Before an event was released nobody had released it."""
    house, told = story

    def released(at: str) -> str | None:
        (row,) = [row for row in house.why("C102", at)["events"] if row["mail"] == told["reviewed"]]
        return row["released_by"]

    assert released("2026-05-06") is None
    assert released("2026-05-07") == "cora: seen"


def test_a_unit_that_the_destination_does_not_know(story: Story) -> None:
    """Of a unit that nobody has moved into nothing was told; its event waits."""
    house, told = story
    found = house.why("H700", "2026-05-19")
    assert found["access"]["state"] == "unknown"
    assert found["facts"] == []
    assert [(row["mail"], row["state"]) for row in found["events"]] == [(told["unknown"], "waiting")]


def test_a_day_ends_in_the_zone_of_the_site(house: House) -> None:
    """A day without an hour is asked for at its end on the site's clock; a naive time is the site's."""
    house.move_in("B204", "T-5001", "05-01 09:30")
    house.overlock("B204", "T-5001", "05-04 23:30")
    house.at("05-06 12:00")
    assert house.why("B204", "2026-05-04")["access"]["state"] == "tenant_denied"
    assert house.why("B204", "2026-05-04T23:29")["access"]["state"] == "tenant_permitted"
    assert house.why("B204", "2026-05-05T04:29+00:00")["access"]["state"] == "tenant_permitted"
    assert house.why("B204", "2026-05-05T04:30+00:00")["access"]["state"] == "tenant_denied"
    assert house.why("B204", "2026-05-04")["at"] == "2026-05-04T23:59:59.999999-05:00"


def test_a_moment_that_has_not_come_is_refused(house: House) -> None:
    """Today may be asked for, tomorrow not."""
    house.move_in("B204", "T-5001", "05-01 09:30")
    assert house.why("B204", "2026-05-01")["access"]["opens"] is True
    for text in ("2026-05-03", "2026-05-01T09:31"):
        with pytest.raises(QueryError, match="has not come yet"):
            house.why("B204", text)
    with pytest.raises(QueryError, match="is not a time"):
        read_moment("last week")


def test_now_and_the_end_of_the_record_agree(story: Story) -> None:
    """What is told of this very moment from the calls is what the unit shows."""
    house, _ = story
    for unit in ("B204", "C101", "C102", "D300", "E400", "F500", "G600", "I800", "K100"):
        now, then = house.why(unit), house.why(unit, house.now.isoformat())
        assert then["confirmed"] == now["confirmed"], unit
        assert then["access"] == now["access"], unit


def call(verb: Verb | None, end: End = End.DONE, *, number: int = 1, **writes: Any) -> PastCall:
    """Return a past call whose one event has its number."""
    return PastCall(id=number, verb=verb, writes=writes, sources=dict.fromkeys(writes or ["occupied"], number), end=end)


def test_what_nobody_knows_is_not_told() -> None:
    """A call that was given up without an answer leaves unknown what it would have written; a later one states it."""
    known = call(Verb.PATCH, pms_lockout=True, balance_due=Decimal(5))
    doubt = call(Verb.PATCH, End.DOUBTFUL, number=2, pms_lockout=False)
    told = tell([known, doubt], Manners(), NOTHING)
    assert told.shown == {"exists": True, "balance_due": Decimal(5)}
    assert set(told.writers) == {"balance_due"}
    again = tell([known, doubt, call(Verb.PATCH, number=3, pms_lockout=False)], Manners(), NOTHING)
    assert again.shown["pms_lockout"] is False
    assert again.writers["pms_lockout"].call_id == 3


def test_a_call_that_says_nothing_new_was_done_twice() -> None:
    """What was written, cleared and written again was not; what was written and written again was."""
    locked, again = (call(Verb.PATCH, number=number, pms_lockout=True) for number in (1, 3))
    ended, twice = (call(Verb.MOVE_OUT, number=number) for number in (2, 4))
    assert tell([locked, again], Manners(), NOTHING).repeated == (3,)
    assert tell([locked, ended, again], Manners(), NOTHING).repeated == ()
    assert tell([locked, ended, twice], Manners(), NOTHING).repeated == (4,)


def test_a_row_of_a_call_of_many_units() -> None:
    """A row tells the tenancy, then the facts; one that ends a tenancy clears what a move-out clears."""
    row = call(
        None, number=4, occupied=True, pms_tenant_id="T", ledger_id="L", move_in_date="2026-05-01", pms_lockout=True
    )
    told = tell([row], Manners(), NOTHING)
    assert (told.shown["pms_tenant_id"], told.shown["pms_lockout"]) == ("T", True)
    gone = tell([row, call(None, number=5, occupied=False)], Manners(), NOTHING)
    assert gone.shown["occupied"] is False
    assert {name: gone.shown[name] for name in CLEARED} == CLEARED
    assert gone.writers["pms_lockout"].call_id == 5


def test_what_was_there_before_has_no_writer() -> None:
    """The origin of a unit is told as it was, until a call says otherwise or the destination does not know the unit."""
    origin = {"occupied": False, "pms_lockout": False}
    before = tell([], Manners(), origin)
    assert (before.shown, before.writers) == ({**origin, "exists": True}, {})
    assert tell([call(Verb.PATCH, End.MISSING)], Manners(), origin).shown == {"exists": False}


def test_before_it_was_made_there_was_no_unit(house: House) -> None:
    """Of a unit that a call made nothing is known before that call, though what it held at first is known now."""
    house.move_in("B204", "T-5001", "05-01 09:30")
    with house.db.read() as connection:
        assert connection.execute(sa.select(lanes.c.origin)).scalar_one() != {}
    found = house.why("B204", "2026-04-30")
    assert (found["confirmed"], found["facts"], found["access"]["state"]) == ({}, [], "unknown")
