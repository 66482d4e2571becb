"""A desk at which rent rolls are compared, and a destination on the model of KISS, extended with its bulk call."""

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from parsers.events import Event, Kind, Value
from tests.model import CLEARED, DEFAULTS, TENANCY, Kiss
from tests.rigs.lane import Clock, Faulty
from worker import undo
from worker.calls import BulkDestination, Reply, Request
from worker.destinations.answers import Raw, sort_answer
from worker.destinations.profiles import KISS_V2, render_bulk
from worker.drain import Drain
from worker.reconcile import Comparison, Reconciles
from worker.rentroll import read_rent_roll
from worker.settings import Guards, Mailbox
from worker.store.database import Database
from worker.store.events import Telling, store_events
from worker.store.tables import attempts, bulk_items, calls, events, issues, lanes

FACTS = ("balance_due", "paid_through_date", "pms_lockout", "pms_lock_exempt", "pms_auction", "pms_unrentable")
PLACE = ("unit_name", "pms_location_code")


@dataclass
class BulkKiss(Kiss):
    """The model, with ``PATCH /units``: an upsert of up to 500 units, each on its own."""

    refuses: dict[str, str] = field(default_factory=dict)
    """Why, by unit."""

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if (method, path) != ("PATCH", "/units"):
            return super()._answer(method, path, body)
        rows = body["units"]
        ids = [row["crm_unit_id"] for row in rows]
        if not 1 <= len(rows) <= 500 or len(set(ids)) != len(ids):
            return 422, {"message": "Validation failed.", "errors": {"units": ["1 to 500, each once."]}}
        done = {"created": 0, "updated": 0, "unchanged": 0}
        errors = []
        for row in rows:
            said = self.refuses.get(row["crm_unit_id"]) or self._lacks(row)
            if said:
                errors.append({"crm_unit_id": row["crm_unit_id"], "error": said})
            else:
                done[self._upsert(row)] += 1
        message = "Sync completed with errors." if errors else "Sync completed."
        return 200, {"message": message, "data": {"synced_at": "x", "total": len(rows), **done, "errors": errors}}

    def _lacks(self, row: Mapping[str, Any]) -> str | None:
        if row["crm_unit_id"] not in self.units and not all(row.get(name) for name in PLACE):
            return "The unit_name field is required."
        if row.get("occupied") and not (row.get("pms_tenant_id") and row.get("move_in_date")):
            return "The pms_tenant_id field is required."
        return None

    def _upsert(self, row: Mapping[str, Any]) -> str:
        unit_id = row["crm_unit_id"]
        is_new = unit_id not in self.units
        unit = self.units.setdefault(unit_id, dict(DEFAULTS))
        before = dict(unit)
        if row.get("occupied") is True:
            unit.update({"occupied": True, **{name: row.get(name) for name in TENANCY}})
        elif row.get("occupied") is False and unit["occupied"]:
            unit.update({name: DEFAULTS[name] for name in (*CLEARED, *TENANCY, "occupied")})
        unit.update({name: row[name] for name in (*FACTS, "pms_status_raw") if name in row})
        self._saw(unit_id)
        return "created" if is_new else "unchanged" if unit == before else "updated"


class BulkFaulty(Faulty):
    """The destination that can fail, with bulk; its answers are sorted as the real one's are."""

    def __init__(self) -> None:
        super().__init__()
        self.kiss = BulkKiss()

    def render_bulk(self, units: Sequence[Mapping[str, Value]]) -> Request:
        """Render as the real destination does."""
        return render_bulk(KISS_V2, units)

    def send(self, request: Request, *, key: str, deadline_s: float) -> Reply:
        """Send once, through the next fault."""
        self.sent.append((request.method, request.path, request.body, key))

        def through() -> Reply:
            status, told = self.kiss.request(request.method, request.path, request.body, key)
            raw = Raw(status=status, headers={}, body=json.dumps(told).encode())
            return sort_answer(KISS_V2, request, raw, now=dt.datetime(2026, 5, 1, tzinfo=dt.UTC))

        return self.faults.pop(0)(through) if self.faults else through()

    @property
    def pages(self) -> list[list[str]]:
        """Return the ids of each bulk call that was sent."""
        bodies = [body for method, path, body, _ in self.sent if (method, path) == ("PATCH", "/units")]
        return [[row["crm_unit_id"] for row in json.loads(body)["units"]] for body in bodies]


class Desk:
    """One store, one mailbox, one destination."""

    def __init__(self, database: Database, far: BulkDestination | Any = None, **box: Any) -> None:
        self.db = database
        self.clock = Clock()
        self.far = far or BulkFaulty()
        values = {"address": "main@in.test", "location": "MAIN", "company": "acme", "destination": "kiss"}
        self.box = Mailbox(**{**values, **box})
        self.per_minute = 0
        self.slept: list[float] = []
        self.told: list[tuple[str, int]] = []
        self.troubles: list[dict[str, Any]] = []
        self.reconciles = self.other()

    def other(self) -> Reconciles:
        """Return what another process would compare with."""
        return Reconciles(
            self.db,
            destinations={"kiss": self.far},
            drain=lambda: self.make_drain("one"),
            manners=lambda _name: self.far.manners,
            clock=self.clock,
            by="one",
            guards=Guards,
            on_told=lambda _connection, told: self.told.extend(told),
            on_trouble=lambda **fields: self.troubles.append(fields),
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def make_drain(self, by: str) -> Drain:
        """Return the drain of a process."""
        return Drain(
            self.db,
            {"kiss": self.far},
            clock=self.clock,
            by=by,
            per_minute=lambda _name: self.per_minute,
            sleep=self.sleep,
        )

    def compare(self, csv: str, **more: Any) -> Comparison:
        """Compare a file."""
        return self.reconciles.compare(read_rent_roll(csv.encode()), self.box, source="roll.csv", **more)

    def go(self, csv: str, *, flips_ok: bool = True, **more: Any) -> Comparison:
        """Compare a file and put right what differs."""
        found = self.compare(csv, **more)
        self.reconciles.go(found, actor="anna", reason="month end", flips_ok=flips_ok)
        return found

    def tell(self, unit: str, kind: Kind, body: Mapping[str, Any], *, hour: float = 0, mail: str | None = None) -> int:
        """Store an event of a unit; return its id."""
        at = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC) + dt.timedelta(hours=hour)
        event = Event(
            kind=kind,
            unit=unit,
            crm_unit_id=f"MAIN-{unit}",
            effective_at=at,
            mailed_at=at,
            position=0,
            identity=f"{unit}/{kind}/{hour}/{mail}",
            rule="t/rule",
            body=body,
        )
        telling = Telling(
            event=event,
            mail_id=mail,
            company="acme",
            mailbox=self.box.address,
            location="MAIN",
            destination="kiss",
            timezone="America/Chicago",
            rule_set="1",
            received_at=self.clock(),
        )
        with self.db.write() as connection:
            return store_events(connection, [telling], now=self.clock())[0].event_id

    def move_in(self, unit: str, tenant: str = "T1", *, hour: float = 0) -> int:
        """Tell a move-in."""
        body = {"pms_tenant_id": tenant, "ledger_id": f"L-{tenant}", "move_in_date": "2026-05-01", "unit_name": unit}
        return self.tell(unit, Kind.MOVE_IN, {**body, "pms_location_code": "MAIN"}, hour=hour)

    def drain(self, rounds: int = 60, patience_s: float = 30.0, by: str = "two") -> None:
        """Drain what is due, letting the time of the next try come, until nothing is due soon."""
        for _ in range(rounds):
            with self.db.read() as connection:
                soon = lanes.c.due_at <= self.clock.now + dt.timedelta(seconds=patience_s)
                due = connection.execute(sa.select(lanes.c.crm_unit_id, lanes.c.due_at).where(soon)).all()
            if not due:
                return
            self.clock.now = max(self.clock.now, min(row.due_at for row in due))
            self.make_drain(by).drain([("kiss", row.crm_unit_id) for row in due])
            self.clock.advance(1)
        raise AssertionError("the lanes never come to rest")

    def undo(self, text: str = "rule:person/reconcile") -> None:
        """Take events back, and drain."""
        undo.undo(self.db, text, manners=lambda _n: self.far.manners, actor="anna", reason="wrong", now=self.clock())
        self.drain()

    def rows(self, table: sa.Table, *conditions: Any) -> list[Any]:
        """Return the rows of a table in the order of its key."""
        with self.db.read() as connection:
            return list(connection.execute(sa.select(table).where(*conditions).order_by(*table.primary_key.columns)))

    def states(self) -> dict[str, int]:
        """Return how many events are in which state."""
        found: dict[str, int] = {}
        for row in self.rows(events):
            found[row.state] = found.get(row.state, 0) + 1
        return found

    def shown(self, unit: str) -> Mapping[str, Any]:
        """Return what the destination has confirmed of a unit."""
        return self.rows(lanes, lanes.c.crm_unit_id == f"MAIN-{unit}")[0].shown

    def bulk_calls(self) -> list[Any]:
        """Return the calls of many units."""
        return self.rows(calls, calls.c.verb == "bulk")

    def items(self, state: str) -> list[str]:
        """Return the units of bulk calls that ended so."""
        return [row.crm_unit_id for row in self.rows(bulk_items, bulk_items.c.state == state)]

    def attempts(self) -> list[str]:
        """Return the outcomes of all sendings, first to last."""
        return [row.outcome for row in self.rows(attempts)]

    def issues(self) -> list[str]:
        """Return the kinds of the open issues."""
        return [row.kind for row in self.rows(issues, issues.c.state == "open")]


Change = Callable[[int], str]


def roll(count: int, *, status: Change = lambda _n: "Occupied", balance: Change = lambda n: f"{n % 90}.50") -> str:
    """Return a rent roll of units U0000 and so on."""
    lines = ["Unit,Status,Tenant ID,Ledger ID,Move-In Date,Balance,Locked Out"]
    for n in range(count):
        rented = status(n) == "Occupied"
        tenancy = f"{n:06},L{n},2026-04-01" if rented else ",,"
        lines.append(f"U{n:04},{status(n)},{tenancy},{balance(n) if rented else ''},{'No' if rented else ''}")
    return "\n".join(lines)
