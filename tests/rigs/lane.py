"""A store, a drain and a destination that can fail: for the suites of drain and order."""

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa

from parsers.events import Event, Kind
from tests.model import Kiss
from worker.calls import NO_MORE, Manners, Outcome, Reply, Request, Verb
from worker.destinations.profiles import KISS_V2, render
from worker.drain import Drain, Patience
from worker.store import schema
from worker.store.database import Database
from worker.store.events import Telling
from worker.store.mails import MailState, Verdict, store_verdict
from worker.store.tables import attempts, bodies, calls, events, issues, lanes, mails

NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
UNIT = "MAIN-B204"
KEY = ("kiss", UNIT)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON + dt.timedelta(days=30)

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += dt.timedelta(seconds=seconds)


Fault = Callable[[Callable[[], Reply]], Reply]
"""What happens to one sending: it may call the destination, or not, and answers what it likes."""


class Faulty:
    """A destination on the separate model of KISS; each sending takes the next fault, or none."""

    name = "kiss"
    window = 1

    def __init__(self) -> None:
        self.kiss = Kiss()
        self.faults: list[Fault] = []
        self.sent: list[tuple[str, str, bytes, str]] = []
        self.watch: Callable[[str, dict[str, Any] | None, dict[str, Any]], None] | None = None

    @property
    def manners(self) -> Manners:
        """Return what a move-out resets, and the like."""
        return KISS_V2.manners

    def render(
        self, verb: Verb, crm_unit_id: str, body: Mapping[str, Any], *, about: Mapping[str, Any] = NO_MORE
    ) -> Request:
        """Render as the real destination does."""
        return render(KISS_V2, verb, crm_unit_id, body)

    def send(self, request: Request, *, key: str, deadline_s: float) -> Reply:
        """Send once, through the next fault."""
        self.sent.append((request.method, request.path, request.body, key))

        def through() -> Reply:
            unit = _addressed(request)
            before = dict(self.kiss.units[unit]) if unit in self.kiss.units else None
            status, answer = self.kiss.request(request.method, request.path, request.body, key)
            if self.watch is not None and unit in self.kiss.units:
                self.watch(unit, before, self.kiss.units[unit])
            outcome = {
                200: Outcome.APPLIED,
                201: Outcome.APPLIED,
                404: Outcome.NOT_FOUND,
                409: Outcome.KEY_REUSED,
                500: Outcome.FAILED,
            }[status]
            return Reply(
                outcome=outcome,
                status=status,
                message=answer["message"],
                body=json.dumps(answer).encode(),
                created=status == 201,
            )

        return self.faults.pop(0)(through) if self.faults else through()

    def ask(self, job: str, *, deadline_s: float) -> Reply:
        """Take no jobs on."""
        raise AssertionError(job)

    def close(self) -> None:
        """Nothing to close."""


def _addressed(request: Request) -> str:
    """Return the unit that a request is about: of its path, or the one in the body of a bulk request."""
    of_unit = request.path.removeprefix("/units").removeprefix("/")
    return unquote(of_unit) or json.loads(request.body)["units"][0]["crm_unit_id"]


def answer(outcome: Outcome, status: int | None = None, **more: Any) -> Fault:
    """Answer this, and let nothing reach the destination."""
    return lambda _through: Reply(outcome=outcome, status=status, message="as the test says", **more)


def lost(through: Callable[[], Reply]) -> Reply:
    """Let the destination act, and lose its answer."""
    through()
    return Reply(outcome=Outcome.UNKNOWN, message="the connection was cut")


class Crash(BaseException):
    """The process is gone at this very moment."""


def crash_before(_through: Callable[[], Reply]) -> Reply:
    """Crash after the request was stored, before it is sent."""
    raise Crash


def crash_after(through: Callable[[], Reply]) -> Reply:
    """Crash after the destination acted, before its answer is stored."""
    through()
    raise Crash


def new_store(url: str) -> Database:
    """Return an empty store with its tables."""
    db = Database(url)
    schema.upgrade(db)
    return db


class Rig:
    """One store with a drain on it."""

    def __init__(self, store: str | Database) -> None:
        """``store``: where to make one, or one that is there."""
        self.db = store if isinstance(store, Database) else new_store(store)
        self.clock = Clock()
        self.far = Faulty()
        self._number = 0

    def drain(self, by: str = "one", *, units: Iterable[str] = (UNIT,), **patience: float) -> None:
        """Drain lanes once, as one worker."""
        drain = Drain(self.db, {"kiss": self.far}, clock=self.clock, by=by, patience=Patience(**patience))
        drain.drain([("kiss", unit) for unit in units])

    def drain_until_quiet(self, rounds: int = 60) -> None:
        """Drain, letting the time of the next try come, until nothing is due."""
        for _ in range(rounds):
            self.drain()
            due = self.lane().due_at
            if due is None:
                return
            self.clock.advance(max((due - self.clock.now).total_seconds(), 0) + 15)
        raise AssertionError("the lane never comes to rest")

    def tell(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        *,
        hour: float,
        identity: str | None = None,
        unit: str = UNIT,
        **more: Any,
    ) -> int:
        """Store an event as ingest does; return its number."""
        self._number += 1
        number, at = self._number, NOON + dt.timedelta(hours=hour)
        event = Event(
            kind=kind,
            unit=unit.removeprefix("MAIN-"),
            crm_unit_id=unit,
            effective_at=more.pop("effective_at", at),
            mailed_at=at,
            position=0,
            identity=identity or f"i{number}",
            rule="test/rule",
            body=body,
            expect=more.pop("expect", {}),
        )
        with self.db.write() as connection:
            connection.execute(
                bodies.insert().values(id=f"b{number}", size_bytes=0, sha256="", received_at=self.clock.now)
            )
            connection.execute(
                mails.insert().values(
                    id=f"m{number}",
                    body_id=f"b{number}",
                    mailbox="x@y.test",
                    received_at=self.clock.now,
                    evidence={},
                    state="new",
                    tries=0,
                )
            )
            telling = Telling(
                event=event,
                mail_id=f"m{number}",
                company="acme",
                mailbox="x@y.test",
                location="MAIN",
                destination="kiss",
                timezone="America/Chicago",
                rule_set="0",
                received_at=self.clock.now,
            )
            verdict = Verdict(
                mail_id=f"m{number}", state=MailState.PARSED, rule="test/rule", rule_set="0", tellings=[telling]
            )
            store_verdict(connection, verdict, now=self.clock.now)
        return number

    def move_in(self, tenant: str = "A", *, hour: int = 0, **more: Any) -> int:
        """Tell a move-in."""
        body = {"pms_tenant_id": tenant, "ledger_id": "L", "move_in_date": "2026-05-01", "unit_name": "B204"}
        return self.tell(Kind.MOVE_IN, {**body, "pms_location_code": "MAIN"}, hour=hour, **more)

    def patch(self, hour: int, **body: Any) -> int:
        """Tell facts."""
        return self.tell(Kind.PATCH, body, hour=hour)

    def move_out(self, hour: int, **more: Any) -> int:
        """Tell a move-out."""
        return self.tell(Kind.MOVE_OUT, {}, hour=hour, **more)

    def lane(self) -> Any:
        """Return the lane's row."""
        with self.db.read() as connection:
            return connection.execute(sa.select(lanes)).one()

    def lanes(self) -> list[Any]:
        """Return the rows of all lanes."""
        with self.db.read() as connection:
            return list(connection.execute(sa.select(lanes)))

    def ids_of(self, identity: str) -> list[int]:
        """Return the events with an identity."""
        with self.db.read() as connection:
            statement = sa.select(events.c.id).where(events.c.identity == identity).order_by(events.c.id)
            return list(connection.execute(statement).scalars())

    def states(self) -> list[tuple[str, str | None]]:
        """Return state and reason of the events, in the order in which they were told."""
        with self.db.read() as connection:
            return [(row.state, row.reason) for row in connection.execute(sa.select(events).order_by(events.c.id))]

    def reasons(self, unit: str) -> set[str | None]:
        """Return why events of a unit are held."""
        statement = sa.select(events.c.reason).where(events.c.crm_unit_id == unit, events.c.state == "held")
        with self.db.read() as connection:
            return set(connection.execute(statement).scalars())

    def calls(self) -> list[Any]:
        """Return the calls, first to last."""
        with self.db.read() as connection:
            return list(connection.execute(sa.select(calls).order_by(calls.c.id)))

    def attempts(self) -> list[str]:
        """Return the outcomes of all sendings, first to last."""
        with self.db.read() as connection:
            return list(connection.execute(sa.select(attempts.c.outcome).order_by(attempts.c.id)).scalars())

    def has_made(self, unit: str) -> bool:
        """Return whether an answer has said that one of our calls made this unit."""
        made = sa.select(calls.c.id).where(calls.c.crm_unit_id == unit, calls.c.created == 1)
        with self.db.read() as connection:
            return connection.execute(made.limit(1)).first() is not None

    def words_of(self, call_id: int) -> str:
        """Return the message of the last sending of a call."""
        with self.db.read() as connection:
            statement = (
                sa.select(attempts.c.message).where(attempts.c.call_id == call_id).order_by(attempts.c.id.desc())
            )
            return str(connection.execute(statement.limit(1)).scalar_one())

    def issues(self, state: str = "open") -> list[str]:
        """Return the kinds of the issues in a state."""
        with self.db.read() as connection:
            statement = sa.select(issues.c.kind).where(issues.c.state == state).order_by(issues.c.id)
            return list(connection.execute(statement).scalars())

    @property
    def unit(self) -> dict[str, Any]:
        """Return the unit as the destination has it."""
        return self.far.kiss.units[UNIT]
