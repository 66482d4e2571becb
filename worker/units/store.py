"""The local units: one request in, one answer out, in one transaction.

The request and the answer are as the wire has them, so the embedded destination, the HTTP API and the stand-in are
one code. The work and the memory of its key commit together: there is no instant at which one is there without
the other.

Errors:
    UnitsUnavailable(Exception)   the database did not do its part; what was asked may or may not have happened
"""

import datetime as dt
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import sqlalchemy.exc
from sqlalchemy.engine import Connection

from parsers.events import FACTS, PLACE, TENANCY
from worker.store.database import Database
from worker.units import bulk, keys, rows, wire
from worker.units.access import evaluate
from worker.units.fields import Invalid, read_object
from worker.units.patch import check_patch, patch
from worker.units.tenancy import UnitState, check_move_in, move_in, move_out
from worker.units.wire import Answer, Refused, Route

PURGE_EVERY = 64  # writes
PURGE_AT_MOST = 256  # keys
DEFAULT_TIMEZONE = "UTC"

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class UnitsUnavailable(Exception):
    """The database did not do its part."""


class _Raced(Exception):
    """Another transaction created the same unit first; look again."""


class LocalUnits:
    """The units that Gatepost keeps itself."""

    def __init__(self, db: Database, *, clock: Callable[[], dt.datetime]) -> None:
        self._db = db
        self._clock = clock
        self._writes = itertools.count(1)

    def handle(self, method: str, path: str, body: bytes, key: str | None, company: str = "default") -> Answer:
        """Return the answer to one request. ``path`` as sent, below the base URL, with its query.

        Raises:
            UnitsUnavailable: the database failed; nothing is known of the outcome.
        """
        try:
            route = wire.find_route(method, path)
            if method == "GET":
                return self._read(route, company)
            return self._write(route, body, key, company)
        except Refused as refused:
            return refused.answer
        except Invalid as invalid:
            return wire.invalid(invalid)
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise UnitsUnavailable(type(error).__name__) from error

    def ensure_location(
        self, code: str, timezone: str, threshold: Decimal | None = None, *, company: str = "default"
    ) -> None:
        """Make a location known, or change its zone and delinquency threshold (None: off)."""
        with self._db.write() as connection:
            rows.put_location(connection, company, code, timezone, threshold)

    def set_pull_mode(
        self, *, unit: str | None = None, location: str | None = None, on: bool = True, company: str = "default"
    ) -> None:
        """Hand a unit, or all of a known location, to a pull-mode integration: writes to it are answered 409."""
        with self._db.write() as connection:
            rows.set_pull_mode(connection, company, unit=unit, location=location, on=on)

    def unit(self, crm_unit_id: str, *, company: str = "default") -> UnitState | None:
        """Return one unit, or None when it is unknown."""
        with self._db.read() as connection:
            kept = rows.load(connection, company, [crm_unit_id]).get(crm_unit_id)
        return kept.unit if kept else None

    def note_door(
        self,
        crm_unit_id: str,
        *,
        lock_ids: tuple[str, ...] | None = None,
        last_accessed_at: dt.datetime | None = None,
        company: str = "default",
    ) -> None:
        """Keep what the door says of a known unit: its locks, when it was last opened. None leaves as it is."""
        said = {"lock_ids": lock_ids, "last_accessed_at": last_accessed_at}
        with self._db.write() as connection:
            kept = rows.load(connection, company, [crm_unit_id], lock=True)[crm_unit_id]
            unit = replace(kept.unit, **{name: value for name, value in said.items() if value is not None})
            rows.update(connection, company, [unit], now=kept.updated_at)

    def forget_keys(self, limit: int = PURGE_AT_MOST) -> int:
        """Delete keys that are older than 24 hours, at most ``limit``; return how many."""
        with self._db.write() as connection:
            return keys.forget(connection, now=self._clock(), limit=limit)

    def _write(self, route: Route, body: bytes, key: str | None, company: str) -> Answer:
        """Do one write once: claim its key, work, remember the answer, all in one transaction."""
        if key is not None and not 1 <= len(key) <= keys.MAX_KEY:
            length = f"The Idempotency-Key header must be 1 to {keys.MAX_KEY} characters."
            raise Invalid({"Idempotency-Key": [length]})
        now = self._clock()
        with self._db.write() as connection:
            if key is None:
                return self._work(connection, route, body, company, now)
            digest = keys.digest(route.method, route.path, body)
            earlier = keys.claim(connection, company=company, key=key, digest=digest, now=now)
            if earlier is not None:
                return earlier
            done = self._work(connection, route, body, company, now)
            keys.remember(connection, company=company, key=key, answer=done)
            if next(self._writes) % PURGE_EVERY == 0:
                keys.forget(connection, now=now, limit=PURGE_AT_MOST)
            return done

    def _work(self, connection: Connection, route: Route, body: bytes, company: str, now: dt.datetime) -> Answer:
        """Return the answer to a write, a refusal as well: it is remembered like any other."""
        try:
            match (route.method, route.resource):
                case ("PUT", _):
                    given = read_object(wire.read_json(body))
                    return _retry(connection, lambda: _move_in(connection, route, given, company, now))
                case ("DELETE", _):
                    return _move_out(connection, route, company, now)
                case (_, "unit"):
                    return _patch(connection, route, wire.read_json(body), company, now)
                case _:
                    listed = bulk.check_bulk(wire.read_json(body))
                    return _retry(connection, lambda: _sync(connection, listed, company, now))
        except Refused as refused:
            return refused.answer
        except Invalid as invalid:
            return wire.invalid(invalid)

    def _read(self, route: Route, company: str) -> Answer:
        if route.resource == "health":
            return wire.answer(200, "Request successful.", {"status": "ok"})
        now = self._clock()
        with self._db.read() as connection:
            if route.resource == "unit":
                kept = rows.load(connection, company, [route.crm_unit_id]).get(route.crm_unit_id)
                if kept is None:
                    raise Refused(_unknown())
                found, meta = [kept], None
            else:
                page, size = wire.pages(route.query)
                location = route.query.get("location")
                total = rows.count(connection, company, location=location)
                found = rows.load_page(connection, company, location=location, skip=(page - 1) * size, take=size)
                meta = wire.pagination(page, size, total)
            sites = rows.locations(connection, company, sorted({kept.unit.pms_location_code for kept in found}))
        shown = [_show(kept, sites, now) for kept in found]
        if meta is None:
            return wire.answer(200, "Request successful.", shown[0])
        return wire.answer(200, "Request successful.", shown, meta=meta)


def ulid(now: dt.datetime, chance: bytes) -> str:
    """Return the ULID of an instant and ten bytes of chance."""
    number = (int(now.timestamp() * 1000) << 80) | int.from_bytes(chance[:10], "big")
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def _move_in(
    connection: Connection, route: Route, body: Mapping[str, object], company: str, now: dt.datetime
) -> Answer:
    kept = rows.load(connection, company, [route.crm_unit_id], lock=True).get(route.crm_unit_id)
    known = kept.unit if kept else None
    values = check_move_in(body, known=known is not None)
    code = known.pms_location_code if known else str(values["pms_location_code"])
    _refuse_pull_mode(connection, company, kept, code)
    unit = move_in(known, body, crm_unit_id=route.crm_unit_id, unit_id=ulid(now, os.urandom(10)))
    if known is None:
        _create(connection, company, [unit], now)
    elif unit != known:
        rows.update(connection, company, [unit], now=now)
    return _applied(201 if known is None else 200, "Request successful.", unit, now)


def _move_out(connection: Connection, route: Route, company: str, now: dt.datetime) -> Answer:
    kept = _known(connection, route, company)
    unit = move_out(kept.unit)
    if unit != kept.unit:
        rows.update(connection, company, [unit], now=now)
    return _applied(200, "Request successful.", unit, now)


def _patch(connection: Connection, route: Route, body: object, company: str, now: dt.datetime) -> Answer:
    values = check_patch(body)
    kept = _known(connection, route, company)
    unit = patch(kept.unit, values)
    if unit != kept.unit:
        rows.update(connection, company, [unit], now=now)
    return _applied(200, "Unit updated.", unit, now)


def _sync(connection: Connection, listed: tuple[bulk.Row, ...], company: str, now: dt.datetime) -> Answer:
    kept = rows.load(connection, company, [str(row["crm_unit_id"]) for row in listed], lock=True)
    codes = {unit.unit.pms_location_code for unit in kept.values()}
    codes.update(code for row in listed if isinstance(code := row.get("pms_location_code"), str))
    sites = rows.locations(connection, company, sorted(codes))
    pulled = {code for code, site in sites.items() if site.pull_mode}

    def refusal(unit: UnitState | None, row: bulk.Row) -> str | None:
        code = unit.pms_location_code if unit else row.get("pms_location_code")
        return wire.PULL_MODE if code in pulled or (unit and kept[unit.crm_unit_id].pull_mode) else None

    states = {name: unit.unit for name, unit in kept.items()}
    result = bulk.sync(listed, states, unit_ids=_unit_ids(now, len(listed)), refusal=refusal)
    _create(connection, company, result.created, now)
    rows.update(connection, company, result.updated, now=now)
    return wire.answer(
        200,
        result.message,
        {
            "synced_at": _z(now),
            "total": len(listed),
            "created": len(result.created),
            "updated": len(result.updated),
            "unchanged": result.unchanged,
            "errors": [{"crm_unit_id": name, "error": reason} for name, reason in result.errors],
        },
    )


def _retry(connection: Connection, attempt: Callable[[], Answer]) -> Answer:
    """Run an attempt that may create units; when another transaction was first, undo it and look again."""
    while True:
        try:
            with connection.begin_nested():
                return attempt()
        except _Raced:
            continue


def _create(
    connection: Connection, company: str, units: list[UnitState] | tuple[UnitState, ...], now: dt.datetime
) -> None:
    if not rows.create(connection, company, units, now=now):
        raise _Raced


def _known(connection: Connection, route: Route, company: str) -> rows.Kept:
    kept = rows.load(connection, company, [route.crm_unit_id], lock=True).get(route.crm_unit_id)
    if kept is None:
        raise Refused(_unknown())
    _refuse_pull_mode(connection, company, kept, kept.unit.pms_location_code)
    return kept


def _refuse_pull_mode(connection: Connection, company: str, kept: rows.Kept | None, code: str) -> None:
    site = rows.locations(connection, company, [code]).get(code)
    if (kept and kept.pull_mode) or (site and site.pull_mode):
        raise Refused(wire.answer(409, wire.PULL_MODE))


def _show(kept: rows.Kept, sites: Mapping[str, rows.Location], now: dt.datetime) -> dict[str, object]:
    unit = kept.unit
    site = sites.get(unit.pms_location_code)
    today = now.astimezone(ZoneInfo(site.timezone if site else DEFAULT_TIMEZONE)).date()
    access = evaluate(unit, today=today, threshold=site.threshold if site else None)
    names = ("unit_id", "crm_unit_id", *PLACE, "occupied", *TENANCY, *FACTS)
    shown = {name: getattr(unit, name) for name in names}
    return {**shown, "state": access.state, "reason": access.reason, "updated_at": _z(kept.updated_at)}


def _applied(status: int, message: str, unit: UnitState, now: dt.datetime) -> Answer:
    return wire.answer(status, message, {"unit_id": unit.unit_id, "applied_at": _z(now)})


def _unknown() -> Answer:
    return wire.answer(404, "Unit not found.")


def _unit_ids(now: dt.datetime, many: int) -> Iterator[str]:
    return (ulid(now, os.urandom(10)) for _ in range(many))


def _z(instant: dt.datetime) -> str:
    """Return an instant as RFC 3339 with Z, in whole seconds."""
    return instant.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
