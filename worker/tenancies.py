"""Units that a mail does not name: found by the tenant or ledger that is in them at the moment.

Exactly one unit must have the tenancy, in the fold of what is known by now; otherwise the event stays held
``unknown_unit``, and is looked at again when a move-in of that tenant or ledger comes.
"""

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from parsers.events import Kind
from worker import order
from worker.order import Hold, State
from worker.store import lanes as lane_store
from worker.store.events import Telling
from worker.store.lanes import LaneKey
from worker.store.mails import Verdict
from worker.store.tables import events, lanes


def find_units(connection: Connection, verdict: Verdict) -> Verdict:
    """Return a verdict whose events without a unit have theirs, where the tenancy tells it."""
    if not any(telling.event.tenancy for telling in verdict.tellings):
        return verdict
    return replace(verdict, tellings=[_found(connection, telling) for telling in verdict.tellings])


def _found(connection: Connection, telling: Telling) -> Telling:
    event = telling.event
    if not event.tenancy or event.crm_unit_id:
        return telling
    units = [unit for unit in _candidates(connection, telling) if _has_tenancy(connection, telling, unit)]
    if len(units) != 1:
        named = " and ".join(name.replace("pms_", "").replace("_", " ") for name in event.tenancy)
        how_many = f"{len(units)} units have" if units else "no unit has"
        detail = f"{how_many} this {named} at the moment of the mail; a move-in that comes later may tell"
        return replace(telling, state=State.HELD, reason=Hold.UNKNOWN_UNIT, detail=detail)
    key = (telling.destination, units[0])
    unit = connection.execute(
        sa.select(lanes.c.unit).where(lanes.c.destination == key[0], lanes.c.crm_unit_id == key[1])
    ).scalar_one()
    return replace(telling, event=replace(event, crm_unit_id=units[0], unit=unit))


def _candidates(connection: Connection, telling: Telling) -> Sequence[str]:
    """Return the units of the site into which somebody of that tenancy moved at any time."""
    named = [_COLUMNS[name] == value for name, value in telling.event.tenancy.items()]
    statement = (
        sa.select(events.c.crm_unit_id)
        .where(
            events.c.company == telling.company,
            events.c.destination == telling.destination,
            events.c.mailbox == telling.mailbox,
            events.c.kind.in_([Kind.MOVE_IN, Kind.SNAPSHOT]),
            events.c.crm_unit_id != "",
            *named,
        )
        .distinct()
        .order_by(events.c.crm_unit_id)
    )
    return list(connection.execute(statement).scalars())


_COLUMNS = {"pms_tenant_id": events.c.tenant_id, "ledger_id": events.c.ledger_id}


def _has_tenancy(connection: Connection, telling: Telling, unit: str) -> bool:
    """Say whether a unit has the tenancy at the moment of an event."""
    event, key = telling.event, (telling.destination, unit)
    before = [
        one
        for one in lane_store.lane_events(connection, key)
        if (one.effective_at, one.mailed_at) <= (event.effective_at, event.mailed_at)
    ]
    values = order.fold(order.counting(before, event.effective_at)).values
    return bool(values.get("occupied")) and all(values.get(name) == want for name, want in event.tenancy.items())


def waiting_for(connection: Connection, keys: Sequence[LaneKey]) -> list[str]:
    """Return the mails whose events wait for a unit of a tenancy that has just begun in one of these units."""
    units: dict[str, list[str]] = {}
    for destination, unit in keys:
        units.setdefault(destination, []).append(unit)
    found: dict[str, None] = {}
    for destination, its in units.items():
        for some in lane_store.chunks(its):
            values = {"destination": destination, "units": some}
            found |= dict.fromkeys(map(str, connection.execute(_WAITING, values).scalars()))
    return list(found)


_begun = events.alias("begun")
_WAITING = (
    sa.select(events.c.mail_id)
    .join(
        _begun,
        sa.and_(
            _begun.c.company == events.c.company,
            _begun.c.mailbox == events.c.mailbox,
            sa.or_(_begun.c.tenant_id == events.c.tenant_id, _begun.c.ledger_id == events.c.ledger_id),
        ),
    )
    .where(
        _begun.c.destination == sa.bindparam("destination"),
        _begun.c.crm_unit_id.in_(sa.bindparam("units", expanding=True)),
        _begun.c.kind.in_([Kind.MOVE_IN, Kind.SNAPSHOT]),
        events.c.crm_unit_id == "",
        events.c.state == str(State.HELD),
        events.c.reason == str(Hold.UNKNOWN_UNIT),
        events.c.mail_id.is_not(None),
    )
    .distinct()
)
