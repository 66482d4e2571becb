"""Many due units, and one process that drains them."""

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from parsers.events import Event, Kind, Value
from worker.calls import Reply, Request
from worker.destinations.kiss import KissDestination
from worker.drain import Drain
from worker.store.database import Database
from worker.store.events import Telling, store_events
from worker.store.tables import lanes

WINDOW = 32
LATENCY_S = 0.05
PER_TRANSACTION = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A request that was sent, and its key."""

    request: Request
    key: str


class Keeping(KissDestination):
    """The destination of production; it keeps what it sends."""

    def __init__(self, *, base_url: str, token: str) -> None:
        super().__init__(name="kiss", base_url=base_url, token=token, clock=now, window=WINDOW)
        self.sent: list[Kept] = []

    def send(self, request: Request, *, key: str, deadline_s: float) -> Reply:
        """Send it, and keep it."""
        self.sent.append(Kept(request=request, key=key))
        return super().send(request, key=key, deadline_s=deadline_s)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def kiss_for(url: str, token: str) -> Keeping:
    return Keeping(base_url=url, token=token)


def telling(unit: str, kind: Kind, body: Mapping[str, Value], *, at: dt.datetime, position: int) -> Telling:
    """Return an event as a person tells it."""
    event = Event(
        kind=kind,
        unit=unit,
        crm_unit_id=f"BENCH-{unit}",
        effective_at=at,
        mailed_at=at,
        position=position,
        identity=f"{unit}-{position}",
        rule="bench/rule",
        body=body,
        expect={},
    )
    return Telling(
        event=event,
        mail_id=None,
        company="bench",
        mailbox="bench@in.test",
        location="BENCH",
        destination="kiss",
        timezone="America/Chicago",
        rule_set="0",
        received_at=at,
    )


def open_lanes(db: Database, count: int) -> None:
    """Make so many units due, each with a move-in and what has been paid: two calls."""
    at = now() - dt.timedelta(days=1)
    for start in range(0, count, PER_TRANSACTION):
        tellings: list[Telling] = []
        for number in range(start, min(start + PER_TRANSACTION, count)):
            unit = f"U{number:05}"
            place = {"unit_name": unit, "pms_location_code": "BENCH"}
            tenancy = {"pms_tenant_id": f"T{number}", "ledger_id": f"L{number}", "move_in_date": "2026-01-02"}
            tellings.append(telling(unit, Kind.MOVE_IN, {**place, **tenancy}, at=at, position=0))
            tellings.append(telling(unit, Kind.PATCH, {"paid_through_date": "2026-02-02"}, at=at, position=1))
        with db.write() as connection:
            store_events(connection, tellings, now=at)


def drain_all(db: Database, destination: Keeping) -> tuple[float, float, list[Kept]]:
    """Drain until nothing is due; return the seconds that it took, those of our CPU, and what was sent."""
    drain = Drain(db, {"kiss": destination}, clock=now, by="bench")
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    while keys := _due(db):
        drain.drain(keys)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    drain.close()
    destination.close()
    return took_s, cpu_s, destination.sent


def _due(db: Database) -> list[tuple[str, str]]:
    with db.read() as connection:
        found = connection.execute(
            sa.select(lanes.c.destination, lanes.c.crm_unit_id).where(lanes.c.due_at.is_not(None))
        )
        return [(row[0], row[1]) for row in found]
