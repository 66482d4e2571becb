"""What people look at: mails, events, units. Plain arguments in, plain values out; ``worker/why.py`` says why.

Command line and, later, console and operator API show the same values.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from worker.repeats import repeated_events
from worker.store import query
from worker.store.bodies import read_body
from worker.store.database import Database
from worker.store.tables import attempts, audit, bulk_items, calls, events, lanes, mails, readings

Plain = dict[str, Any]

ERASED = "erased"
"""Stands where something of a resident stood."""


class NotThere(Exception):
    """Nothing has that name; the message says how to find what there is."""


def list_mails(db: Database, text: str = "", *, limit: int = 50, before_id: str | None = None) -> list[Plain]:
    """Return mails, newest first. ``before_id``: go on below that id (ids sort by time)."""
    conditions = query.mail_conditions(text)
    if before_id:
        conditions.append(mails.c.id < before_id)
    statement = sa.select(mails).where(*conditions).order_by(mails.c.id.desc()).limit(limit)
    with db.read() as connection:
        return [mail_plain(row) for row in connection.execute(statement)]


def show_mail(db: Database, mail_id: str) -> Plain:
    """Return one mail: how it was read, its events, their calls, and its write status.

    Raises:
        NotThere: no mail has this id.
    """
    with db.read() as connection:
        row, reading, own, repeated = _told_by(connection, mail_id)
        found = [event_plain(event) | {"calls": calls_of(connection, event)} for event in own]
    return mail_plain(row) | {
        "write_status": write_status(row.state, [event.state for event in (*own, *repeated)]),
        "events": found,
        "repeats": [event.id for event in repeated],
        "reading": reading,
    }


def show_write_status(db: Database, mail_id: str) -> Plain:
    """Return what became of a mail at its destination: status, what went wrong, and the calls.

    Raises:
        NotThere: no mail has this id.
    """
    with db.read() as connection:
        row, _, own, repeated = _told_by(connection, mail_id)
        told = (*own, *repeated)
        made: dict[int, Plain] = {}
        for event in told:
            for call in calls_of(connection, event):
                kept = made.setdefault(call["id"], call)  # one call may carry several events
                kept["writes_from"] = sorted({*kept["writes_from"], *call["writes_from"]})
    wrong = [(event.id, event) for event in told if event.state == "rejected"]
    wrong += [(None, row)] if row.state == "held" else []
    return {
        "write_status": write_status(row.state, [event.state for event in told]),
        "errors": [
            {"event": event_id, "code": one.reason or one.state, "message": one.detail or ""} for event_id, one in wrong
        ],
        "calls": [made[call_id] for call_id in sorted(made)],
    }


def write_status(mail_state: str, states: Sequence[str]) -> str:
    """Return the write status of a mail: PENDING, FAILURE, PARTIAL_SUCCESS, SUCCESS or IGNORED.

    ``states``: those of its events, and of the events that it repeats.
    """
    if mail_state == "new" or any(state in ("waiting", "uncertain", "held") for state in states):
        return "PENDING"
    if not states:
        return "IGNORED"
    rejected = states.count("rejected")
    return "FAILURE" if rejected == len(states) else "PARTIAL_SUCCESS" if rejected else "SUCCESS"


def _told_by(
    connection: Connection, mail_id: str
) -> tuple[Row[Any], Plain | None, Sequence[Row[Any]], Sequence[Row[Any]]]:
    """Return a mail, its reading, its events, and those that it repeats."""
    row = connection.execute(sa.select(mails).where(mails.c.id == mail_id)).one_or_none()
    if row is None:
        raise NotThere(f"no mail {mail_id}; `gatepost mail list` shows the newest")
    reading = connection.execute(sa.select(readings.c.reading).where(readings.c.mail_id == mail_id)).scalar()
    own = connection.execute(sa.select(events).where(events.c.mail_id == mail_id).order_by(events.c.position)).all()
    return row, reading, own, repeated_events(connection, row, reading)


def raw_mail(db: Database, mail_id: str) -> bytes:
    """Return the bytes of a mail as they came.

    Raises:
        NotThere: no mail has this id, or its bytes were let go.
    """
    with db.read() as connection:
        row = connection.execute(sa.select(mails).where(mails.c.id == mail_id)).one_or_none()
        if row is None:
            raise NotThere(f"no mail {mail_id}; `gatepost mail list` shows the newest")
        if row.purged_at is not None:
            raise NotThere(f"mail {mail_id}: {why_purged(row)}")
        return read_body(connection, row.body_id)


def why_purged(row: Row[Any]) -> str:
    """Return when and why the bytes of a mail were let go."""
    why = "was erased" if row.detail == ERASED else "is past its time ([retention] of the configuration)"
    return (
        f"its bytes were let go at {at_plain(row.purged_at)}: it {why}; how it was read: `gatepost mail show {row.id}`"
    )


def list_events(db: Database, text: str = "", *, limit: int = 50, before_id: int | None = None) -> list[Plain]:
    """Return events, newest first."""
    conditions = query.event_conditions(text)
    if before_id:
        conditions.append(events.c.id < before_id)
    statement = sa.select(events).where(*conditions).order_by(events.c.id.desc()).limit(limit)
    with db.read() as connection:
        return [event_plain(row) for row in connection.execute(statement)]


def show_event(db: Database, event_id: int) -> Plain:
    """Return one event with the calls that carried it.

    Raises:
        NotThere: no event has this id.
    """
    with db.read() as connection:
        row = connection.execute(sa.select(events).where(events.c.id == event_id)).one_or_none()
        if row is None:
            raise NotThere(f"no event {event_id}; `gatepost events list` shows the newest")
        return event_plain(row) | {"calls": calls_of(connection, row)}


def list_audit(db: Database, text: str = "", *, limit: int = 50, before_id: int | None = None) -> list[Plain]:
    """Return what people, and the machine by itself, have done; newest first."""
    conditions = query.audit_conditions(text)
    if before_id:
        conditions.append(audit.c.id < before_id)
    statement = sa.select(audit).where(*conditions).order_by(audit.c.id.desc()).limit(limit)
    with db.read() as connection:
        return [_audit(row) for row in connection.execute(statement)]


def _audit(row: Row[Any]) -> Plain:
    return {
        "id": row.id,
        "at": at_plain(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject,
        "detail": row.detail,
    }


def list_units(db: Database, text: str = "", *, limit: int = 50, after: str = "") -> list[Plain]:
    """Return units in the order of their ids; a plain word looks into id, unit and location."""
    statement = sa.select(lanes).where(lanes.c.crm_unit_id > after).order_by(lanes.c.crm_unit_id).limit(limit)
    for word in text.split():
        columns = (lanes.c.crm_unit_id, lanes.c.unit, lanes.c.location)
        statement = statement.where(sa.or_(*(column.icontains(word, autoescape=True) for column in columns)))
    with db.read() as connection:
        return [unit_plain(row) for row in connection.execute(statement)]


def calls_of(connection: Connection, event: Row[Any]) -> list[Plain]:
    """Return the calls that carried an event, with their attempts; those of many units among them."""
    mine = sa.and_(calls.c.destination == event.destination, calls.c.crm_unit_id == event.crm_unit_id)
    rows = connection.execute(sa.select(calls).where(mine).order_by(calls.c.id)).all()
    found = [call_plain(connection, row, event.id) for row in rows if event.id in row.sources.values()]
    its = sa.and_(bulk_items.c.destination == event.destination, bulk_items.c.crm_unit_id == event.crm_unit_id)
    items = connection.execute(sa.select(bulk_items).where(its).order_by(bulk_items.c.call_id)).all()
    return found + [item_plain(connection, item, event.id) for item in items if event.id in item.sources.values()]


def call_plain(connection: Connection, row: Row[Any], source: int, *, by: dt.datetime | None = None) -> Plain:
    """Return a call as plain values. ``source``: the event it is told for. ``by``: with its attempts until then."""
    started = [attempts.c.started_at <= by] if by is not None else []
    tries = connection.execute(
        sa.select(attempts).where(attempts.c.call_id == row.id, *started).order_by(attempts.c.id)
    ).all()
    return {
        "id": row.id,
        "request": f"{row.method} {row.path}",
        "body": row.body.decode("utf-8", "replace"),
        "key": row.key,
        "generation": row.generation,
        "state": row.state,
        "writes_from": sorted(name for name, event_id in row.sources.items() if event_id == source),
        "attempts": [_attempt(item) for item in tries],
    }


def item_plain(connection: Connection, item: Row[Any], source: int, *, by: dt.datetime | None = None) -> Plain:
    """Return a call of many units as it was for one of them."""
    row = connection.execute(sa.select(calls).where(calls.c.id == item.call_id)).one()
    writes_from = sorted(name for name, event_id in item.sources.items() if event_id == source)
    return call_plain(connection, row, source, by=by) | {"state": item.state, "writes_from": writes_from}


def _attempt(row: Row[Any]) -> Plain:
    return {
        "at": at_plain(row.started_at),
        "took_s": (row.ended_at - row.started_at).total_seconds(),
        "outcome": row.outcome,
        "status": row.status,
        "message": row.message,
        "answer": row.answer.decode("utf-8", "replace"),
        "by": row.by,
        **({"asked": row.asked} if row.asked else {}),
    }


def mail_plain(row: Row[Any]) -> Plain:
    """Return a mail as plain values."""
    return {
        "id": row.id,
        "state": row.state,
        "reason": row.reason,
        "detail": row.detail,
        "mailbox": row.mailbox,
        "received_at": at_plain(row.received_at),
        "mailed_at": at_plain(row.mailed_at),
        "from": row.from_address,
        "subject": row.subject,
        "message_id": row.message_id,
        "rule": row.rule,
        "rule_set": row.rule_set,
        "evidence": row.evidence,
        "due_at": at_plain(row.due_at),
        "purged_at": at_plain(row.purged_at),
    }


def event_plain(row: Row[Any]) -> Plain:
    """Return an event as plain values."""
    return {
        "id": row.id,
        "state": row.state,
        "reason": row.reason,
        "detail": row.detail,
        "kind": row.kind,
        "unit": row.unit,
        "crm_unit_id": row.crm_unit_id,
        "destination": row.destination,
        "effective_at": at_plain(row.effective_at, row.timezone),
        "body": row.body,
        "expect": row.expect,
        "rule": row.rule,
        "rule_set": row.rule_set,
        "mail": row.mail_id,
        "mailbox": row.mailbox,
        "identity": row.identity,
        "settled_at": at_plain(row.settled_at),
        "created_at": at_plain(row.created_at),
        "author": row.author,
        "released_by": row.released_by,
    }


def unit_plain(row: Row[Any]) -> Plain:
    """Return a unit as plain values."""
    return {
        "crm_unit_id": row.crm_unit_id,
        "destination": row.destination,
        "location": row.location,
        "unit": row.unit,
        "confirmed": row.shown,
        "due_at": at_plain(row.due_at),
        "tries": row.tries,
        "updated_at": at_plain(row.updated_at),
    }


def at_plain(value: dt.datetime | None, zone: str = "UTC") -> str | None:
    """Return an instant as text, in a zone."""
    return None if value is None else value.astimezone(ZoneInfo(zone)).isoformat()
