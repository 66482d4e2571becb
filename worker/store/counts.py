"""What the store holds: counts by state, what is due, how old the oldest due row is."""

import datetime as dt
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.store.lanes import not_paused
from worker.store.tables import body_chunks, events, lanes, mails

MOMENT = dt.timedelta(seconds=1)
_TABLES = {"mails": mails, "events": events}


def by_state(connection: Connection, name: str) -> dict[str, int]:
    """Return how many ``mails`` or ``events`` are in each state."""
    table = _TABLES[name]
    rows = connection.execute(sa.select(table.c.state, sa.func.count()).group_by(table.c.state))
    return {row[0]: row[1] for row in rows}


def oldest_due_s(connection: Connection, *, now: dt.datetime) -> float:
    """Return the age in seconds of the oldest row that is due and not paused; 0 when nothing is due."""
    due = [
        connection.execute(sa.select(sa.func.min(mails.c.due_at)).where(mails.c.due_at <= now)).scalar(),
        connection.execute(
            sa.select(sa.func.min(lanes.c.due_at)).where(lanes.c.due_at <= now, not_paused(now))
        ).scalar(),
    ]
    return max(((now - at).total_seconds() for at in due if at is not None), default=0.0)


def busy(connection: Connection, *, now: dt.datetime) -> dict[str, int]:
    """Return how much the machine still has to do now: mails and lanes that are due, and lanes under way.

    What is due within a moment counts: a worker may have stored it between the caller's look at its clock and this
    look at the store.
    """
    soon = now + MOMENT
    due_mails = sa.select(sa.func.count()).select_from(mails).where(mails.c.due_at <= soon)
    due_lanes = sa.select(sa.func.count()).select_from(lanes).where(lanes.c.due_at <= soon, not_paused(now))
    return {
        "mails": connection.execute(due_mails).scalar_one(),
        "units": connection.execute(due_lanes).scalar_one(),
    }


def check(connection: Connection) -> list[str]:
    """Return what is wrong with the store; empty when every sum is right."""
    faults: list[str] = []
    states = by_state(connection, "mails")
    total = connection.execute(sa.select(sa.func.count()).select_from(mails)).scalar_one()
    known = {"new", "parsed", "ignored", "duplicate", "held", "discarded"}
    if sum(count for state, count in states.items() if state in known) != total:
        faults.append(f"mails: {total} accepted, but the states sum up to {states}")
    missing = connection.execute(
        sa.select(sa.func.count())
        .select_from(mails)
        .where(mails.c.purged_at.is_(None), ~sa.exists().where(body_chunks.c.body_id == mails.c.body_id))
    ).scalar_one()
    if missing:
        faults.append(f"mails: {missing} have no bytes")
    stuck = connection.execute(
        sa.select(sa.func.count()).select_from(mails).where(mails.c.state == "new", mails.c.due_at.is_(None))
    ).scalar_one()
    if stuck:
        faults.append(f"mails: {stuck} are new, but due at no time")
    return faults


def events_by_day(
    connection: Connection, *, mailbox: str, rule: str, since: dt.datetime, zone: str
) -> dict[dt.date, int]:
    """Return how many events of a rule a mailbox brought on each day of the site's calendar."""
    rows = connection.execute(
        sa.select(events.c.created_at).where(
            events.c.mailbox == mailbox, events.c.created_at >= since, events.c.rule == rule
        )
    ).scalars()
    found: dict[dt.date, int] = {}
    for at in rows:
        day = at.astimezone(ZoneInfo(zone)).date()
        found[day] = found.get(day, 0) + 1
    return found
