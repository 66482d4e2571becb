"""What people look at: mails, events, units, and why a unit is as it is. Plain arguments in, plain values out.

Command line and, later, console and operator API show the same values.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers.events import FACTS, TENANCY
from worker import order
from worker.store import lanes as lane_store
from worker.store import query
from worker.store.bodies import read_body
from worker.store.database import Database
from worker.store.tables import attempts, calls, events, lanes, mails, readings
from worker.units.access import evaluate
from worker.units.tenancy import UnitState

Plain = dict[str, Any]


class NotThere(Exception):
    """Nothing has that name; the message says how to find what there is."""


def list_mails(db: Database, text: str = "", *, limit: int = 50, before_id: str | None = None) -> list[Plain]:
    """Return mails, newest first. ``before_id``: go on below that id (ids sort by time)."""
    conditions = query.mail_conditions(text)
    if before_id:
        conditions.append(mails.c.id < before_id)
    statement = sa.select(mails).where(*conditions).order_by(mails.c.id.desc()).limit(limit)
    with db.read() as connection:
        return [_mail(row) for row in connection.execute(statement)]


def show_mail(db: Database, mail_id: str) -> Plain:
    """Return one mail: how it was read, its events, their calls, and its write status.

    Raises:
        NotThere: no mail has this id.
    """
    with db.read() as connection:
        row = connection.execute(sa.select(mails).where(mails.c.id == mail_id)).one_or_none()
        if row is None:
            raise NotThere(f"no mail {mail_id}; `gatepost mail list` shows the newest")
        reading = connection.execute(sa.select(readings.c.reading).where(readings.c.mail_id == mail_id)).scalar()
        own = connection.execute(sa.select(events).where(events.c.mail_id == mail_id).order_by(events.c.position)).all()
        found = [_event(event) | {"calls": _calls_of(connection, event)} for event in own]
    return _mail(row) | {"write_status": write_status(row.state, found), "events": found, "reading": reading}


def write_status(mail_state: str, found: list[Plain]) -> str:
    """Return the write status of a mail: PENDING, FAILURE, PARTIAL_SUCCESS, SUCCESS or IGNORED."""
    states = [event["state"] for event in found]
    if mail_state in ("new",) or any(state in ("waiting", "uncertain", "held") for state in states):
        return "PENDING"
    if not states:
        return "IGNORED"
    rejected = states.count("rejected")
    return "FAILURE" if rejected == len(states) else "PARTIAL_SUCCESS" if rejected else "SUCCESS"


def raw_mail(db: Database, mail_id: str) -> bytes:
    """Return the bytes of a mail as they came.

    Raises:
        NotThere: no mail has this id.
    """
    with db.read() as connection:
        body_id = connection.execute(sa.select(mails.c.body_id).where(mails.c.id == mail_id)).scalar()
        if body_id is None:
            raise NotThere(f"no mail {mail_id}; `gatepost mail list` shows the newest")
        return read_body(connection, body_id)


def list_events(db: Database, text: str = "", *, limit: int = 50, before_id: int | None = None) -> list[Plain]:
    """Return events, newest first."""
    conditions = query.event_conditions(text)
    if before_id:
        conditions.append(events.c.id < before_id)
    statement = sa.select(events).where(*conditions).order_by(events.c.id.desc()).limit(limit)
    with db.read() as connection:
        return [_event(row) for row in connection.execute(statement)]


def show_event(db: Database, event_id: int) -> Plain:
    """Return one event with the calls that carried it.

    Raises:
        NotThere: no event has this id.
    """
    with db.read() as connection:
        row = connection.execute(sa.select(events).where(events.c.id == event_id)).one_or_none()
        if row is None:
            raise NotThere(f"no event {event_id}; `gatepost events list` shows the newest")
        return _event(row) | {"calls": _calls_of(connection, row)}


def list_units(db: Database, text: str = "", *, limit: int = 50, after: str = "") -> list[Plain]:
    """Return units in the order of their ids; a plain word looks into id, unit and location."""
    statement = sa.select(lanes).where(lanes.c.crm_unit_id > after).order_by(lanes.c.crm_unit_id).limit(limit)
    for word in text.split():
        columns = (lanes.c.crm_unit_id, lanes.c.unit, lanes.c.location)
        statement = statement.where(sa.or_(*(column.icontains(word, autoescape=True) for column in columns)))
    with db.read() as connection:
        return [_unit(row) for row in connection.execute(statement)]


def why(db: Database, unit: str, *, zones: Mapping[str, str], now: dt.datetime) -> list[Plain]:
    """Return, for each unit of this name, its access and where every fact comes from.

    ``unit``: the id at the destination, or the unit as mails name it. ``zones``: time zone by location.

    Raises:
        NotThere: no mail has ever named such a unit.
    """
    named = sa.or_(lanes.c.crm_unit_id == unit, lanes.c.unit == unit)
    with db.read() as connection:
        found = connection.execute(sa.select(lanes).where(named).order_by(lanes.c.crm_unit_id)).all()
        if not found:
            near = connection.execute(
                sa.select(lanes.c.crm_unit_id).where(lanes.c.crm_unit_id.icontains(unit, autoescape=True)).limit(3)
            ).scalars()
            hint = ", ".join(near)
            raise NotThere(f"no mail has named a unit {unit}" + (f"; did you mean {hint}?" if hint else ""))
        return [_why_one(connection, row, zones, now) for row in found]


def _why_one(connection: Connection, row: Row[Any], zones: Mapping[str, str], now: dt.datetime) -> Plain:
    key = (row.destination, row.crm_unit_id)
    counted = order.counting(lane_store.lane_events(connection, key), now)
    wanted = order.fold(counted)
    rows = connection.execute(
        sa.select(events)
        .where(events.c.destination == row.destination, events.c.crm_unit_id == row.crm_unit_id)
        .order_by(events.c.effective_at, events.c.mailed_at, events.c.identity, events.c.position)
    ).all()
    by_id = {event.id: event for event in rows}
    zone = zones.get(row.location, "UTC")
    origins = {source: _origin(connection, by_id[source], zone) for source in set(wanted.sources.values())}
    facts: list[Plain] = []
    for name in ("occupied", *FACTS):
        if name not in wanted.sources:
            continue
        origin = origins[wanted.sources[name]]
        values = {part: wanted.values.get(part) for part in TENANCY} if name == "occupied" else {}
        facts.append(
            {
                "fact": name,
                "value": wanted.values[name],
                **({"tenancy": values} if values else {}),
                "confirmed": row.shown.get(name) == wanted.values[name] and name in row.shown,
                "from": {key: value for key, value in origin.items() if key != "calls"}
                | {"call": _call_for(name, origin)},
            }
        )
    return {
        **_unit(row),
        "access": _access(row.shown, zone, now),
        "facts": facts,
        "events": [_event(event) for event in rows],
    }


def _call_for(fact: str, origin: Plain) -> Plain | None:
    """Return the last call that was applied and wrote the fact for its event; None when none did."""
    made = [call for call in origin["calls"] if fact in call["writes_from"] and call["state"] == "done"]
    return made[-1] if made else None


def _origin(connection: Connection, event: Row[Any], zone: str) -> Plain:
    """Return what an event comes from: the mail, its lines, rule and proof; and its calls."""
    reading = (
        connection.execute(sa.select(readings.c.reading).where(readings.c.mail_id == event.mail_id)).scalar() or {}
    )
    mail = connection.execute(sa.select(mails).where(mails.c.id == event.mail_id)).one_or_none()
    return {
        "event": event.id,
        "kind": event.kind,
        "mail": event.mail_id,
        "subject": mail.subject if mail else None,
        "at": _at(event.effective_at, zone),
        "rule": event.rule,
        "rule_set": event.rule_set,
        "proof": reading.get("proof"),
        "lines": _lines(reading),
        "calls": _calls_of(connection, event),
    }


def _lines(reading: Mapping[str, Any]) -> list[Plain]:
    """Return the lines of text that the values were read from; line 0 is the subject."""
    trace = reading.get("trace", {})
    text: list[str] = [trace.get("subject") or "", *trace.get("text", [])]
    return [
        {
            "field": item["field"],
            "line": item.get("line"),
            "text": text[item["line"]] if item.get("line") is not None and item["line"] < len(text) else item["text"],
            "value": item.get("value"),
        }
        for item in trace.get("captures", [])
    ]


def _access(shown: Mapping[str, Any], zone: str, now: dt.datetime) -> Plain:
    """Return the access that the destination must show for what it has confirmed; unknown facts count as unset."""
    if "occupied" not in shown:
        return {"state": "unknown", "reason": "no tenancy of this unit has been confirmed", "opens": None}
    known = {name: shown[name] for name in (*TENANCY, *FACTS) if shown.get(name) is not None}
    state = UnitState(crm_unit_id="", occupied=bool(shown["occupied"]), **known)
    access = evaluate(state, today=now.astimezone(ZoneInfo(zone)).date())
    return {"state": str(access.state), "reason": str(access.reason) if access.reason else None, "opens": access.opens}


def _calls_of(connection: Connection, event: Row[Any]) -> list[Plain]:
    """Return the calls that carried an event, with their attempts."""
    rows = connection.execute(
        sa.select(calls)
        .where(calls.c.destination == event.destination, calls.c.crm_unit_id == event.crm_unit_id)
        .order_by(calls.c.id)
    ).all()
    mine = [row for row in rows if event.id in row.sources.values()]
    found: list[Plain] = []
    for row in mine:
        tries = connection.execute(
            sa.select(attempts).where(attempts.c.call_id == row.id).order_by(attempts.c.id)
        ).all()
        found.append(
            {
                "id": row.id,
                "request": f"{row.method} {row.path}",
                "body": row.body.decode("utf-8", "replace"),
                "key": row.key,
                "generation": row.generation,
                "state": row.state,
                "writes_from": sorted(name for name, source in row.sources.items() if source == event.id),
                "attempts": [_attempt(item) for item in tries],
            }
        )
    return found


def _attempt(row: Row[Any]) -> Plain:
    return {
        "at": _at(row.started_at),
        "took_s": (row.ended_at - row.started_at).total_seconds(),
        "outcome": row.outcome,
        "status": row.status,
        "message": row.message,
        "answer": row.answer.decode("utf-8", "replace"),
        "by": row.by,
    }


def _mail(row: Row[Any]) -> Plain:
    return {
        "id": row.id,
        "state": row.state,
        "reason": row.reason,
        "detail": row.detail,
        "mailbox": row.mailbox,
        "received_at": _at(row.received_at),
        "mailed_at": _at(row.mailed_at),
        "from": row.from_address,
        "subject": row.subject,
        "message_id": row.message_id,
        "rule": row.rule,
        "rule_set": row.rule_set,
        "evidence": row.evidence,
        "due_at": _at(row.due_at),
    }


def _event(row: Row[Any]) -> Plain:
    return {
        "id": row.id,
        "state": row.state,
        "reason": row.reason,
        "detail": row.detail,
        "kind": row.kind,
        "unit": row.unit,
        "crm_unit_id": row.crm_unit_id,
        "destination": row.destination,
        "effective_at": _at(row.effective_at, row.timezone),
        "body": row.body,
        "expect": row.expect,
        "rule": row.rule,
        "rule_set": row.rule_set,
        "mail": row.mail_id,
        "mailbox": row.mailbox,
        "identity": row.identity,
        "settled_at": _at(row.settled_at),
    }


def _unit(row: Row[Any]) -> Plain:
    return {
        "crm_unit_id": row.crm_unit_id,
        "destination": row.destination,
        "location": row.location,
        "unit": row.unit,
        "confirmed": row.shown,
        "due_at": _at(row.due_at),
        "tries": row.tries,
        "updated_at": _at(row.updated_at),
    }


def _at(value: dt.datetime | None, zone: str = "UTC") -> str | None:
    return None if value is None else value.astimezone(ZoneInfo(zone)).isoformat()
