"""The calls of many units: one row of ``calls``, and a row of ``bulk_items`` for each unit, frozen under its key."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.calls import Request
from worker.store.calls import STORED, OpenCall
from worker.store.lanes import LEASE_S, Lane, chunks, not_paused
from worker.store.tables import bulk_items, calls, lanes


def store_bulk_call(
    connection: Connection,
    destination: str,
    items: Mapping[str, tuple[Lane, Mapping[str, Any], Mapping[str, int]]],
    *,
    verb: str,
    request: Request,
    base: str,
    generation: int,
    key: str,
    now: dt.datetime,
) -> OpenCall:
    """Store the exact request and its key, and each unit's part of it: lane, what it writes, and for which events."""
    row = connection.execute(
        calls.insert()
        .values(
            destination=destination,
            crm_unit_id="",
            verb=verb,
            method=request.method,
            path=request.path,
            body=request.body,
            writes={},
            sources={},
            base=base,
            generation=generation,
            key=key,
            state="open",
            lease_token=0,
            created_at=now,
            tries=0,
        )
        .returning(calls)
    ).one()
    connection.execute(
        bulk_items.insert(),
        [
            {
                "call_id": row.id,
                "crm_unit_id": crm_unit_id,
                "destination": destination,
                "writes": dict(writes),
                "sources": dict(sources),
                "lease_token": lane.token,
                "state": "open",
            }
            for crm_unit_id, (lane, writes, sources) in sorted(items.items())
        ],
    )
    return OpenCall(**{name: getattr(row, name) for name in STORED})


def end_items(
    connection: Connection, call_id: int, states: Mapping[str, tuple[str, str | None]], *, now: dt.datetime
) -> None:
    """Settle parts of a call: unit -> ``done`` or ``refused``, and why."""
    one = sa.and_(bulk_items.c.call_id == call_id, bulk_items.c.crm_unit_id == sa.bindparam("its_unit"))
    statement = bulk_items.update().where(one)
    statement = statement.values(state=sa.bindparam("its_state"), message=sa.bindparam("its_message"), ended_at=now)
    rows = [{"its_unit": unit, "its_state": state, "its_message": why} for unit, (state, why) in states.items()]
    if rows:
        connection.execute(statement, rows)


def end_open_items(connection: Connection, call_id: int, state: str, *, now: dt.datetime) -> None:
    """Settle what is left of a call: ``refused`` or ``abandoned``."""
    left = sa.and_(bulk_items.c.call_id == call_id, bulk_items.c.state == "open")
    connection.execute(bulk_items.update().where(left).values(state=state, ended_at=now))


def abandon_lost(connection: Connection, *, verb: str, before: dt.datetime, now: dt.datetime) -> int:
    """Give up the calls of many units whose sender is gone; return how many. Their units plan anew by themselves."""
    lost = sa.and_(
        calls.c.verb == verb, calls.c.crm_unit_id == "", calls.c.state == "open", calls.c.created_at < before
    )
    ids = list(connection.execute(sa.select(calls.c.id).where(lost)).scalars())
    for call_id in ids:
        end_open_items(connection, call_id, "abandoned", now=now)
    connection.execute(calls.update().where(calls.c.id.in_(ids)).values(state="abandoned", ended_at=now))
    return len(ids)


def units_with_calls(connection: Connection, destination: str, units: Collection[str]) -> set[str]:
    """Return those of some units that have calls of their own under way."""
    return {
        unit
        for some in chunks(sorted(units))
        for unit in connection.execute(
            sa.select(calls.c.crm_unit_id)
            .where(calls.c.destination == destination, calls.c.crm_unit_id.in_(some), calls.c.state == "open")
            .distinct()
        ).scalars()
    }


def extend_leases(connection: Connection, held: Sequence[Lane], *, now: dt.datetime) -> int:
    """Lengthen the leases of lanes of one destination; return how many are still in this hand."""
    until = now + dt.timedelta(seconds=LEASE_S)
    count = 0
    for some in chunks(sorted(held, key=lambda lane: lane.crm_unit_id)):
        mine = sa.tuple_(lanes.c.crm_unit_id, lanes.c.lease_token).in_([(one.crm_unit_id, one.token) for one in some])
        its = sa.and_(lanes.c.destination == some[0].destination, lanes.c.lease_until.is_not(None), mine)
        count += connection.execute(lanes.update().where(its).values(lease_until=until)).rowcount
    return count


def claim_many(
    connection: Connection, destination: str, units: Collection[str], *, now: dt.datetime, by: str, grace_s: float
) -> dict[str, Lane]:
    """Take lanes as ``lanes.claim`` takes one; the caller has locked them. Those in another's hand are left out."""
    free = sa.or_(lanes.c.lease_until.is_(None), lanes.c.lease_until < now - dt.timedelta(seconds=grace_s))
    until = now + dt.timedelta(seconds=LEASE_S)
    names = [name for name in Lane.__dataclass_fields__ if name not in ("token", "stored_token")]
    found: dict[str, Lane] = {}
    for some in chunks(sorted(units)):
        these = sa.and_(lanes.c.destination == destination, lanes.c.crm_unit_id.in_(some))
        statement = lanes.update().where(these, free, not_paused(now))
        statement = statement.values(lease_token=lanes.c.lease_token + 1, lease_until=until, lease_by=by)
        for row in connection.execute(statement.returning(lanes)):
            its = {name: getattr(row, name) for name in names}
            found[row.crm_unit_id] = Lane(token=row.lease_token, stored_token=row.lease_token, **its)
    return {unit: found[unit] for unit in sorted(found)}


def lanes_of(connection: Connection, destination: str, units: Collection[str]) -> dict[str, sa.Row[Any]]:
    """Return the rows of lanes by the unit's id."""
    return {
        row.crm_unit_id: row
        for some in chunks(sorted(units))
        for row in connection.execute(
            sa.select(lanes).where(lanes.c.destination == destination, lanes.c.crm_unit_id.in_(some))
        )
    }
