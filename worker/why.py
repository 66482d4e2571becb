"""Why a unit is as it is, or was at a past moment: each fact with its mail, line, rule, call, key, answer and person.

Of now it tells what the events want, and whether that is confirmed. Of a past moment it tells what the destination had
been told by then, and the states that the events had. Pauses and circuits leave no history.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers.events import FACTS, TENANCY, Value
from worker import order, past
from worker.calls import Manners
from worker.mending import open_drifts
from worker.store import history
from worker.store import lanes as lane_store
from worker.store.database import Database
from worker.store.query import QueryError
from worker.store.tables import audit, bulk_items, calls, lanes, mails, past_readings, readings
from worker.units.access import evaluate
from worker.units.tenancy import UnitState
from worker.views import (
    NotThere,
    Plain,
    at_plain,
    call_plain,
    calls_of,
    event_plain,
    item_plain,
    unit_plain,
)

UNKNOWN = {"state": "unknown", "reason": "no tenancy of this unit has been confirmed", "opens": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A past moment as a person writes it: each site reads it in its own zone."""

    written: dt.date | dt.datetime

    def at(self, zone: str) -> dt.datetime:
        """Return the instant; of a day without an hour its end."""
        if isinstance(self.written, dt.datetime):
            return self.written if self.written.tzinfo else self.written.replace(tzinfo=ZoneInfo(zone))
        midnight = dt.datetime.combine(self.written + dt.timedelta(days=1), dt.time(), ZoneInfo(zone))
        return midnight.astimezone(dt.UTC) - dt.timedelta(microseconds=1)


def read_moment(text: str) -> Moment:
    """Return the moment that a text names: a day, or a day and a time.

    Raises:
        QueryError: it names none.
    """
    try:
        if len(text) <= len("2026-05-01"):
            return Moment(written=dt.date.fromisoformat(text))
        return Moment(written=dt.datetime.fromisoformat(text))
    except ValueError as error:
        raise QueryError(f"`{text}` is not a time; write 2026-05-01, 2026-05-01T14:30 or with a zone +02:00") from error


def why(
    db: Database,
    unit: str,
    *,
    zones: Mapping[str, str],
    now: dt.datetime,
    at: Moment | None = None,
    manners: Callable[[str], Manners] = lambda _name: order.PLAIN,
) -> list[Plain]:
    """Return, for each unit of this name, its access and where every fact comes from.

    ``unit``: the id at the destination, or the unit as mails name it. ``zones``: time zone by location. ``at``: as it
    was then; None: now. ``manners``: what each destination's tenancy calls do.

    Raises:
        NotThere: no mail has ever named such a unit.
        QueryError: the moment has not come yet.
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
        return [
            _now(connection, row, zones.get(row.location, "UTC"), manners(row.destination), now)
            if at is None
            else _then(connection, row, zones.get(row.location, "UTC"), manners(row.destination), at, now)
            for row in found
        ]


def _now(connection: Connection, row: Row[Any], zone: str, manners: Manners, now: dt.datetime) -> Plain:
    key = (row.destination, row.crm_unit_id)
    counted = order.counting(lane_store.lane_events(connection, key), now)
    wanted = order.fold(counted, manners, row.origin)
    told = past.tell(history.past_calls(connection, key, by=now), manners, row.origin)
    rows = history.events_of(connection, key)
    by_id = {event.id: event for event in rows}
    sources = dict.fromkeys(wanted.sources.values())
    origins = {source: _origin(connection, by_id[source], zone, by=now) for source in sources}
    made = {source: calls_of(connection, by_id[source]) for source in sources}
    facts: list[Plain] = []
    for name in ("occupied", *FACTS):
        if name not in wanted.sources:
            continue
        source = wanted.sources[name]
        call = _last_call(name, made[source])
        writer = told.writers.get(name)
        if call is None and writer is not None and writer.event_id == source:  # its call cleared the fact
            call = _call(connection, key, writer, by=now)
        is_shown = name in row.shown and row.shown[name] == wanted.values[name]
        facts.append(_fact(name, wanted.values, origins[source] | {"call": call}, confirmed=is_shown))
    return {
        **unit_plain(row),
        "access": access(row.shown, zone, now),
        "facts": facts,
        "events": [event_plain(event) for event in rows],
        "drift": open_drifts(connection, {origin["rule"] for origin in origins.values()}),
    }


def _then(
    connection: Connection, row: Row[Any], zone: str, manners: Manners, moment: Moment, now: dt.datetime
) -> Plain:
    at = moment.at(zone)
    if at > now and (isinstance(moment.written, dt.datetime) or at - now > dt.timedelta(days=1)):
        raise QueryError(f"{moment.written.isoformat()} has not come yet; without --at it is told as of now")
    key = (row.destination, row.crm_unit_id)
    origin = {} if history.was_made(connection, key) else row.origin
    told = past.tell(history.past_calls(connection, key, by=at), manners, origin)
    rows = history.events_of(connection, key)
    then = history.events_at(connection, rows, at=at)
    by_id = {event.id: event for event in rows}
    facts: list[Plain] = []
    for name in ("occupied", *FACTS):
        if name not in told.shown:
            continue
        writer = told.writers.get(name)
        event = by_id.get(writer.event_id) if writer else None
        told_by = _origin(connection, event, zone, by=at) if event is not None else _nobody()
        call = _call(connection, key, writer, by=at) if writer else None
        facts.append(_fact(name, told.shown, told_by | {"call": call}, confirmed=True))
    waiting = [call_plain(connection, call, 0, by=at) for call in history.under_way(connection, key, at=at)]
    return {
        **unit_plain(row),
        "at": at_plain(at, zone),
        "confirmed": told.shown,
        "due_at": None,
        "tries": 0,
        "access": access(told.shown, zone, at),
        "facts": facts,
        "under_way": [call | {"state": "open"} for call in waiting],
        "events": [_event_then(event, then[event.id]) for event in rows if event.id in then],
    }


def _event_then(row: Row[Any], then: Mapping[str, Any]) -> Plain:
    return event_plain(row) | {**then, "settled_at": at_plain(then["settled_at"])}


def _fact(name: str, values: Mapping[str, Value], origin: Plain, *, confirmed: bool) -> Plain:
    tenancy = {"tenancy": {part: values.get(part) for part in TENANCY}} if name == "occupied" else {}
    return {"fact": name, "value": values[name], **tenancy, "confirmed": confirmed, "from": origin}


def _last_call(fact: str, made: Sequence[Plain]) -> Plain | None:
    """Return the last call that was applied and wrote the fact for its event; None when none did."""
    wrote = [call for call in made if fact in call["writes_from"] and call["state"] == "done"]
    return wrote[-1] if wrote else None


def _call(connection: Connection, key: lane_store.LaneKey, writer: past.Writer, *, by: dt.datetime) -> Plain:
    """Return the call by which the destination was told a value."""
    its = sa.and_(bulk_items.c.call_id == writer.call_id, bulk_items.c.crm_unit_id == key[1])
    item = connection.execute(sa.select(bulk_items).where(its)).one_or_none()
    if item is not None:
        return item_plain(connection, item, writer.event_id, by=by)
    row = connection.execute(sa.select(calls).where(calls.c.id == writer.call_id)).one()
    return call_plain(connection, row, writer.event_id, by=by)


def _origin(connection: Connection, event: Row[Any], zone: str, *, by: dt.datetime) -> Plain:
    """Return what an event comes from: the mail, its lines, rule and proof, and whose word let it in by an instant."""
    mail = connection.execute(sa.select(mails).where(mails.c.id == event.mail_id)).one_or_none()
    reading = _reading(connection, event)
    released = history.events_at(connection, [event], at=by).get(event.id, {}).get("released_by")
    return {
        "event": event.id,
        "kind": event.kind,
        "mail": event.mail_id,
        "subject": mail.subject if mail else None,
        "at": at_plain(event.effective_at, zone),
        "rule": event.rule,
        "rule_set": event.rule_set,
        "proof": reading.get("proof"),
        "lines": _lines(reading),
        "author": event.author,
        "released_by": released,
        "vouched_by": _vouched_by(connection, event.mail_id, by) if mail else None,
        "purged_at": at_plain(mail.purged_at) if mail else None,
    }


def _nobody() -> Plain:
    """Return the origin of a value that no event asked for: what was there before any of them."""
    names = ("event", "kind", "mail", "subject", "at", "rule", "rule_set", "proof")
    return {**dict.fromkeys(names), "lines": []}


def _reading(connection: Connection, event: Row[Any]) -> Mapping[str, Any]:
    """Return how a mail was read when the event came of it: by the event's own rule set, now or before."""
    present = sa.select(readings.c.reading).where(readings.c.mail_id == event.mail_id)
    before = (
        sa.select(past_readings.c.reading)
        .where(past_readings.c.mail_id == event.mail_id)
        .order_by(past_readings.c.id.desc())
    )
    found = [*connection.execute(present).scalars(), *connection.execute(before).scalars()]
    own = [one for one in found if one.get("rule_set") == event.rule_set]
    telling = [one for one in own if any(told["identity"] == event.identity for told in one.get("events", []))]
    return next(iter([*telling, *own, *found]), {})


def _vouched_by(connection: Connection, mail_id: str, by: dt.datetime) -> str | None:
    """Return who had a mail read that nothing proved, and why; None: nobody had to."""
    row = connection.execute(
        sa.select(audit)
        .where(audit.c.action == "mail release", audit.c.subject == mail_id, audit.c.at <= by)
        .order_by(audit.c.id.desc())
        .limit(1)
    ).one_or_none()
    return f"{row.actor}: {row.detail}" if row is not None else None


def _lines(reading: Mapping[str, Any]) -> list[Plain]:
    """Return the lines of text that the values were read from; line 0 is the subject."""
    trace = reading.get("trace", {})
    text: list[str] = [trace.get("subject") or "", *trace.get("text", [])]
    return [
        {
            "field": item["field"],
            "line": item.get("line"),
            "text": text[item["line"]]
            if item.get("line") is not None and item["line"] < len(text)
            else item.get("text", ""),
            "value": item.get("value"),
        }
        for item in trace.get("captures", [])
    ]


def access(shown: Mapping[str, Any], zone: str, at: dt.datetime) -> Plain:
    """Return the access that the destination must show for what it has confirmed, on the site's day of an instant.

    Unknown facts count as unset.
    """
    if order.is_unknown(shown, "occupied"):
        return dict(UNKNOWN)
    known = {name: shown[name] for name in (*TENANCY, *FACTS) if shown.get(name) not in (None, order.DOUBTFUL)}
    state = UnitState(crm_unit_id="", occupied=bool(shown["occupied"]), **known)
    judged = evaluate(state, today=at.astimezone(ZoneInfo(zone)).date())
    return {"state": str(judged.state), "reason": str(judged.reason) if judged.reason else None, "opens": judged.opens}
