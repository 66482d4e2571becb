"""The gates: what all workers share of a destination. How many calls may leave a minute, and whether it answers at all.

The rate is kept by one instant, the next free slot, which every taking moves on; a second's worth may leave at once.
The circuit opens after some failures in a row, over all units; then one call at a time tries whether it answers again.
"""

import datetime as dt
import random
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.store.lanes import insert_for, wake_all
from worker.store.tables import gates

FAILURES = 8
"""So many in a row open the circuit."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 15.0
BURST_S = 1.0

_BEGINNING = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """What was granted."""

    count: int
    again_at: dt.datetime | None = None
    """When to ask again, where fewer were granted than wanted."""


def take(connection: Connection, destination: str, wanted: int, *, per_minute: int, now: dt.datetime) -> Slots:
    """Take slots for calls that leave now. ``per_minute`` 0: as many as wanted, while the circuit is closed."""
    row = connection.execute(sa.select(gates).where(gates.c.destination == destination)).one_or_none()
    if row is not None and row.failures >= FAILURES:
        return _try_it(connection, destination, now)
    if per_minute == 0:
        return Slots(count=wanted)
    if row is None:
        _make(connection, destination)
    # In any minute at most 60 s / interval + BURST_S / interval leave, which is the rate.
    interval = dt.timedelta(seconds=(60 + BURST_S) / per_minute)
    next_at = connection.execute(
        sa.select(gates.c.next_slot_at).where(gates.c.destination == destination).with_for_update()
    ).scalar_one()
    start = max(next_at, now - dt.timedelta(seconds=BURST_S))
    free = (now - start) // interval + 1 if start <= now else 0
    count = min(wanted, free)
    after = start + count * interval
    if count:
        connection.execute(gates.update().where(gates.c.destination == destination).values(next_slot_at=after))
    return Slots(count=count, again_at=max(after, now) if count < wanted else None)


def failures(connection: Connection, destination: str) -> int:
    """Return how many calls in a row had no good answer; ``FAILURES`` and more: the circuit is open."""
    return connection.execute(_FAILURES, {"destination": destination}).scalar() or 0


_FAILURES = sa.select(gates.c.failures).where(gates.c.destination == sa.bindparam("destination"))


def _try_it(connection: Connection, destination: str, now: dt.datetime) -> Slots:
    """Grant one call to whoever comes first after the wait; all others stay away."""
    until = now + dt.timedelta(seconds=LONGEST_WAIT_S)
    mine = connection.execute(
        gates.update()
        .where(
            gates.c.destination == destination,
            gates.c.failures >= FAILURES,
            sa.or_(gates.c.shut_until.is_(None), gates.c.shut_until <= now),
        )
        .values(shut_until=until)
    )
    if mine.rowcount:
        return Slots(count=1, again_at=until)
    shut = connection.execute(sa.select(gates.c.shut_until).where(gates.c.destination == destination)).scalar()
    return Slots(count=0, again_at=shut or until)


def note_failure(connection: Connection, destination: str, *, now: dt.datetime) -> bool:
    """Count a failure; return whether it opened the circuit."""
    _make(connection, destination)
    failures = connection.execute(
        gates.update()
        .where(gates.c.destination == destination)
        .values(failures=gates.c.failures + 1)
        .returning(gates.c.failures)
    ).scalar_one()
    if failures < FAILURES:
        return False
    wait_s = min(FIRST_WAIT_S * 2.0 ** min(failures - FAILURES, 10), LONGEST_WAIT_S) * random.uniform(0.5, 1.0)  # noqa: S311
    until = now + dt.timedelta(seconds=wait_s)
    connection.execute(gates.update().where(gates.c.destination == destination).values(shut_until=until))
    return failures == FAILURES


def note_answer(connection: Connection, destination: str, *, now: dt.datetime) -> bool:
    """Note that the destination answers; return whether that closed the circuit, and woke what waited for it."""
    row = connection.execute(
        sa.select(gates.c.failures).where(gates.c.destination == destination, gates.c.failures > 0)
    ).one_or_none()
    if row is None:
        return False
    connection.execute(gates.update().where(gates.c.destination == destination).values(failures=0, shut_until=None))
    if row.failures < FAILURES:
        return False
    wake_all(connection, destination, now=now)
    return True


def shut(connection: Connection, *, now: dt.datetime) -> dict[str, int]:
    """Return the destinations whose circuit is open: how many units may be rung for, 0 or 1."""
    rows = connection.execute(sa.select(gates).where(gates.c.failures >= FAILURES))
    return {row.destination: int(row.shut_until is None or row.shut_until <= now) for row in rows}


def _make(connection: Connection, destination: str) -> None:
    connection.execute(
        insert_for(connection)(gates)
        .values(destination=destination, next_slot_at=_BEGINNING, failures=0)
        .on_conflict_do_nothing()
    )
