"""What all workers share of a destination: its rate, its pauses, and a circuit that opens when nobody answers."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.rigs.lane import NOON, Clock, Faulty, Rig, answer
from worker.calls import Outcome
from worker.drain import Drain
from worker.order import Urgency
from worker.store import gates, lanes
from worker.store.database import Database
from worker.store.pauses import pause
from worker.store.tables import bodies, events, mails
from worker.store.tables import lanes as lane_table


@pytest.fixture
def rig(database_url: str) -> Iterator[Rig]:
    """A store with a drain on it, on SQLite and on PostgreSQL."""
    made = Rig(database_url)
    yield made
    made.db.close()


def take(db: Database, now: dt.datetime, wanted: int, per_minute: int) -> gates.Slots:
    with db.write() as connection:
        return gates.take(connection, "kiss", wanted, per_minute=per_minute, now=now)


@pytest.mark.parametrize("per_minute", [7, 60, 600])
def test_no_minute_sees_more_than_the_rate(database: Database, per_minute: int) -> None:
    """However greedily several workers ask, no minute holds more calls than the rate, and little less."""
    left: list[dt.datetime] = []
    now = NOON
    while now < NOON + dt.timedelta(minutes=3):
        for _worker in range(2):
            left += [now] * take(database, now, 5, per_minute).count
        now += dt.timedelta(seconds=0.4)
    for start in left:
        assert sum(start <= one < start + dt.timedelta(minutes=1) for one in left) <= per_minute
    assert len(left) >= 3 * per_minute * 0.9


def test_without_a_rate_everything_may_leave(database: Database) -> None:
    """A rate of 0 is none."""
    assert take(database, NOON, 500, 0) == gates.Slots(count=500)


def test_the_circuit_opens_and_one_call_at_a_time_tries(database: Database) -> None:
    """After so many failures in a row nothing leaves but one call now and then; an answer closes it again."""
    with database.write() as connection:
        opened = [gates.note_failure(connection, "kiss", now=NOON) for _ in range(gates.FAILURES)]
    assert opened == [False] * (gates.FAILURES - 1) + [True]
    assert take(database, NOON, 9, 0).count == 0
    later = NOON + dt.timedelta(seconds=gates.LONGEST_WAIT_S)
    assert [take(database, later, 9, 0).count for _ in range(3)] == [1, 0, 0]
    with database.write() as connection:
        assert gates.note_answer(connection, "kiss", now=later)
    assert take(database, later, 9, 0).count == 9


def test_a_destination_that_fails_and_answers_in_turn_keeps_its_circuit(database: Database) -> None:
    """Failures count in a row only."""
    with database.write() as connection:
        for _ in range(3 * gates.FAILURES):
            gates.note_failure(connection, "kiss", now=NOON)
            gates.note_answer(connection, "kiss", now=NOON)
    assert take(database, NOON, 9, 0).count == 9


def test_an_outage_opens_an_issue_and_its_end_resolves_it(rig: Rig) -> None:
    """Many units that cannot be reached are one issue, which resolves itself."""
    rig.move_in()
    rig.far.faults = [answer(Outcome.UNREACHED)] * gates.FAILURES
    while rig.far.faults:
        rig.drain()
        rig.clock.advance(400)
    assert rig.issues() == ["destination_down"]
    rig.drain_until_quiet()
    assert rig.issues() == []
    assert rig.issues("resolved") == ["destination_down"]


def many_waiting(db: Database, clock: Clock, count: int) -> None:
    """Store units of which one in ten waits to be opened, one in ten to be closed, the rest for a balance."""
    kinds = {0: ("move_in", {"pms_tenant_id": "T", "move_in_date": "2026-05-01"}), 1: ("patch", {"pms_lockout": True})}
    with db.write() as connection:
        connection.execute(bodies.insert().values(id="b", size_bytes=0, sha256="", received_at=clock.now))
        mail = {"mailbox": "x@y.test", "received_at": clock.now, "evidence": {}, "state": "parsed"}
        connection.execute(mails.insert().values(id="m", body_id="b", **mail))
        told, waiting = [], []
        for n in range(count):
            kind, body = kinds.get(n % 10, ("patch", {"balance_due": n}))
            unit = f"U{n:05}"
            told.append(
                {
                    "mail_id": "m", "position": n, "company": "acme", "mailbox": "x@y.test", "destination": "kiss",
                    "crm_unit_id": unit, "unit": unit, "kind": kind, "effective_at": NOON, "mailed_at": NOON,
                    "told_at": NOON, "identity": unit, "body": body, "fingerprint": unit, "expect": {},
                    "timezone": "UTC", "rule": "t/r", "rule_set": "0", "state": "waiting", "created_at": clock.now,
                    "received_at": clock.now, "columns": {},
                }
            )  # fmt: skip
            urgency = {0: Urgency.OPENS, 1: Urgency.CLOSES}.get(n % 10, Urgency.OTHER)
            waiting.append(
                {
                    "destination": "kiss", "crm_unit_id": unit, "company": "acme", "unit": unit, "location": "M",
                    "shown": {}, "due_at": clock.now, "priority": int(urgency), "updated_at": clock.now, "tries": 3,
                }
            )  # fmt: skip
        connection.execute(events.insert(), told)
        connection.execute(lane_table.insert(), waiting)


class Ticking(Clock):
    """A clock that goes on a little at each look, so that waiting for slots ends."""

    def __call__(self) -> dt.datetime:
        self.now += dt.timedelta(milliseconds=2)
        return self.now


class Recording(Faulty):
    """A destination that has every unit, and notes when each call came."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.came: list[tuple[dt.datetime, str]] = []

    def send(self, request, *, key: str, deadline_s: float):
        """Note the call, and answer."""
        self.came.append((self.clock.now, request.method))
        unit = request.path.split("/")[2]
        if unit not in self.kiss.units:
            self.kiss.move_in(unit, {"pms_tenant_id": "X"})
        return super().send(request, key=key, deadline_s=deadline_s)


def test_after_an_outage_those_who_must_get_in_go_first(database: Database) -> None:
    """With many waiting at 600 a minute, all that open access leave first, then those that close, then the rest.

    The order does not depend on the number, and the rate is never passed: 600 openings of 10,000 leave in a minute.
    """
    clock = Ticking()
    far = Recording(clock)
    many_waiting(database, clock, 300)
    drain = Drain(database, {"kiss": far}, clock=clock, by="one", per_minute=lambda _name: 600, sleep=clock.advance)
    begun = clock.now
    while len(far.came) < 300:
        drain.drain([("kiss", "U00000")])
        clock.advance(0.3)
    methods = [method for _, method in far.came]
    assert Counter(methods[:30]) == {"PUT": 30}
    with database.read() as connection:
        rows = connection.execute(sa.select(events.c.crm_unit_id, events.c.state)).all()
    assert {row.state for row in rows} == {"applied"}
    closing = {f"/units/U{n:05}" for n in range(1, 300, 10)}
    assert {path for _, path, _, _ in far.sent[30:60]} == closing
    assert far.came[29][0] - begun < dt.timedelta(seconds=5)
    for start, _ in far.came[::50]:
        assert sum(start <= at < start + dt.timedelta(minutes=1) for at, _ in far.came) <= 600


def test_nothing_leaves_for_a_paused_destination(database: Database) -> None:
    """A pause is looked at before any unit is claimed, so that thousands that wait cost nothing."""
    clock = Ticking()
    far = Recording(clock)
    many_waiting(database, clock, 50)
    with database.write() as connection:
        pause(connection, "destination", "kiss", reason="x", actor="anna", now=clock.now)
    Drain(database, {"kiss": far}, clock=clock, by="one").drain([("kiss", f"U{n:05}") for n in range(50)])
    assert far.came == []
    with database.read() as connection:
        assert len(lanes.due(connection, "kiss", now=clock.now, limit=99)) == 50


def test_a_pause_in_the_middle_stops_the_rest(database: Database) -> None:
    """A pause acts on a loop that is under way: what is in flight ends, nothing more leaves."""
    clock = Ticking()
    far = Recording(clock)
    many_waiting(database, clock, 50)
    plain = far.send

    def send(request, *, key: str, deadline_s: float):
        if len(far.came) == 9:
            with database.write() as connection:
                pause(connection, "destination", "kiss", reason="x", actor="anna", now=clock.now)
        return plain(request, key=key, deadline_s=deadline_s)

    far.send = send  # type: ignore[method-assign]
    Drain(database, {"kiss": far}, clock=clock, by="one").drain([("kiss", f"U{n:05}") for n in range(50)])
    assert len(far.came) == 10


def test_one_destination_waits_for_no_other(database: Database) -> None:
    """A task with units of two destinations drains both at once."""
    import threading

    clock = Ticking()
    both = threading.Barrier(2, timeout=20)
    far, other = Recording(clock), Recording(clock)
    other.name = "other"
    for one in (far, other):
        plain = one.send
        one.send = lambda request, plain=plain, **more: (both.wait(), plain(request, **more))[1]  # type: ignore[method-assign]
    many_waiting(database, clock, 1)
    with database.write() as connection:
        row = dict(connection.execute(sa.select(lane_table)).one()._mapping) | {"destination": "other"}
        connection.execute(lane_table.insert().values(**row))
        event = dict(connection.execute(sa.select(events)).one()._mapping) | {"destination": "other"}
        del event["id"]
        connection.execute(events.insert().values(**{**event, "identity": "o"}))
    drain = Drain(database, {"kiss": far, "other": other}, clock=clock, by="one")
    drain.drain([("kiss", "U00000"), ("other", "U00000")])
    assert (len(far.came), len(other.came)) == (1, 1)


def test_several_units_are_in_flight_at_once_and_none_waits_for_another(database: Database) -> None:
    """The window slides: while one call is stuck, the others come and go."""
    import threading

    clock = Ticking()
    far = Recording(clock)
    far.window = 4
    stuck, freed = threading.Event(), threading.Event()
    plain = far.send

    def send(request, *, key: str, deadline_s: float):
        if request.path.startswith("/units/U00002"):
            stuck.set()
            assert freed.wait(20)
        reply = plain(request, key=key, deadline_s=deadline_s)
        if len(far.came) >= 29:
            freed.set()
        return reply

    far.send = send  # type: ignore[method-assign]
    many_waiting(database, clock, 30)
    drain = Drain(database, {"kiss": far}, clock=clock, by="one")
    drain.drain([("kiss", f"U{n:05}") for n in range(30)])
    drain.close()
    assert stuck.is_set()
    assert len(far.came) == 30
    assert far.came[-1][1] == "PATCH"


def test_what_else_is_due_is_taken_up(database: Database) -> None:
    """A task whose own units have nothing to do takes up what else waits."""
    clock = Ticking()
    far = Recording(clock)
    many_waiting(database, clock, 20)
    drain = Drain(database, {"kiss": far}, clock=clock, by="one")
    with database.write() as connection:
        connection.execute(lane_table.update().where(lane_table.c.crm_unit_id >= "U00010").values(due_at=None))
    drain.drain([("kiss", f"U{n:05}") for n in range(10)])
    assert len(far.came) == 10
    with database.write() as connection:
        connection.execute(lane_table.update().where(lane_table.c.crm_unit_id >= "U00010").values(due_at=clock.now))
    drain.drain([("kiss", f"U{n:05}") for n in range(10)])
    assert len(far.came) == 20
