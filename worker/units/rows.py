"""Units and locations as rows: load them, locked, and write them back. Decides nothing."""

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from worker.units.tables import local_locations, local_units
from worker.units.tenancy import UnitState

_COPIED = (
    "crm_unit_id",
    "unit_id",
    "unit_name",
    "pms_location_code",
    "occupied",
    "pms_tenant_id",
    "ledger_id",
    "move_in_date",
    "paid_through_date",
    "pms_lockout",
    "pms_lock_exempt",
    "pms_auction",
    "pms_unrentable",
    "pms_status_raw",
    "last_accessed_at",
)
_CENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A unit as it is kept."""

    unit: UnitState
    pull_mode: bool
    updated_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A site: its zone, and the balance above which its tenants are denied (None: never)."""

    timezone: str
    threshold: Decimal | None
    pull_mode: bool


def load(connection: Connection, company: str, ids: Collection[str], *, lock: bool = False) -> dict[str, Kept]:
    """Return those of the units that exist, by id. ``lock`` keeps them ours until the transaction ends."""
    statement = (
        sa.select(local_units)
        .where(local_units.c.company == company, local_units.c.crm_unit_id.in_(ids))
        .order_by(local_units.c.crm_unit_id)  # one order of locking for all
    )
    rows = connection.execute(statement.with_for_update() if lock else statement)
    return {row.crm_unit_id: _kept(row) for row in rows}


def load_page(connection: Connection, company: str, *, location: str | None, skip: int, take: int) -> list[Kept]:
    """Return some units in the order of their ids, by code point on both databases."""
    order = sa.collate(local_units.c.crm_unit_id, "BINARY" if connection.dialect.name == "sqlite" else "C")
    statement = sa.select(local_units).where(*_of(company, location)).order_by(order).offset(skip).limit(take)
    return [_kept(row) for row in connection.execute(statement)]


def count(connection: Connection, company: str, *, location: str | None) -> int:
    statement = sa.select(sa.func.count()).select_from(local_units).where(*_of(company, location))
    return connection.execute(statement).scalar_one()


def create(connection: Connection, company: str, units: Iterable[UnitState], *, now: dt.datetime) -> bool:
    """Write new units; False: somebody else created one of them meanwhile, and nothing may be kept."""
    rows = [{"company": company, "pull_mode": False, "updated_at": now, **_columns(unit)} for unit in units]
    if not rows:
        return True
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert
    rows.sort(key=lambda row: row["crm_unit_id"])
    statement = insert(local_units).on_conflict_do_nothing(
        index_elements=[local_units.c.company, local_units.c.crm_unit_id]
    )
    written = connection.execute(statement.returning(local_units.c.unit_id), rows).all()
    return len(written) == len(rows)


def update(connection: Connection, company: str, units: Iterable[UnitState], *, now: dt.datetime) -> None:
    """Write units that exist and are locked."""
    rows = [{**_columns(unit), "updated_at": now} for unit in units]
    if not rows:
        return
    named = {name: sa.bindparam(name) for name in rows[0] if name not in ("crm_unit_id", "unit_id")}
    statement = (
        sa.update(local_units)
        .where(local_units.c.company == company, local_units.c.crm_unit_id == sa.bindparam("at_id"))
        .values(named)
    )
    keyed = [{"at_id": row["crm_unit_id"], **{name: row[name] for name in named}} for row in rows]
    connection.execute(statement, keyed)


def set_pull_mode(connection: Connection, company: str, *, unit: str | None, location: str | None, on: bool) -> None:
    """Mark a unit, or all units of a location, as managed by a pull-mode integration, or no longer."""
    if unit is not None:
        where = (local_units.c.company == company, local_units.c.crm_unit_id == unit)
        connection.execute(sa.update(local_units).where(*where).values(pull_mode=on))
    if location is not None:
        at = (local_locations.c.company == company, local_locations.c.code == location)
        connection.execute(sa.update(local_locations).where(*at).values(pull_mode=on))


def locations(connection: Connection, company: str, codes: Collection[str]) -> dict[str, Location]:
    """Return those of the locations that are known, by code."""
    at = (local_locations.c.company == company, local_locations.c.code.in_(codes))
    return {
        row.code: Location(
            timezone=row.timezone,
            threshold=None if row.threshold_cents is None else Decimal(row.threshold_cents) / _CENTS,
            pull_mode=row.pull_mode,
        )
        for row in connection.execute(sa.select(local_locations).where(*at))
    }


def put_location(connection: Connection, company: str, code: str, timezone: str, threshold: Decimal | None) -> None:
    """Write a location, new or known; whether it is in pull mode stays as it is."""
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert
    values = {"timezone": timezone, "threshold_cents": None if threshold is None else int(threshold * _CENTS)}
    statement = insert(local_locations).values(company=company, code=code, pull_mode=False, **values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[local_locations.c.company, local_locations.c.code], set_=values)
    )


def _of(company: str, location: str | None) -> list[sa.ColumnElement[bool]]:
    wanted = [local_units.c.company == company]
    return wanted if location is None else [*wanted, local_units.c.pms_location_code == location]


def _columns(unit: UnitState) -> dict[str, Any]:
    return {
        **{name: getattr(unit, name) for name in _COPIED},
        "balance_due_cents": int(unit.balance_due * _CENTS),
        "lock_ids": list(unit.lock_ids),
    }


def _kept(row: sa.Row[Any]) -> Kept:
    columns = row._mapping
    unit = UnitState(
        **{name: columns[name] for name in _COPIED},
        balance_due=(Decimal(columns["balance_due_cents"]) / _CENTS).quantize(Decimal("0.01")),
        lock_ids=tuple(columns["lock_ids"]),
    )
    return Kept(unit=unit, pull_mode=columns["pull_mode"], updated_at=columns["updated_at"])
