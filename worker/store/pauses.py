"""The pauses: what people, or a destination's own answers, have told the machine to leave alone for a while."""

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.notices import MACHINE
from worker.store.lanes import insert_for
from worker.store.tables import pauses


def pause(
    connection: Connection,
    kind: str,
    name: str,
    *,
    reason: str,
    actor: str,
    now: dt.datetime,
    until: dt.datetime | None = None,
) -> None:
    """Pause a mailbox, rule, pack or destination; a pause without end is not shortened by one with an end.

    What a person pauses without end is the person's, though the machine had paused it before.
    """
    values = {"reason": reason, "actor": actor, "until": until}
    insert = insert_for(connection)(pauses).values(kind=kind, name=name, since=now, **values)
    has_end = pauses.c.until.is_not(None)
    longer = has_end if until is None else sa.and_(has_end, pauses.c.until < until)
    if until is None and actor != MACHINE:
        longer = sa.or_(has_end, pauses.c.actor == MACHINE)
    connection.execute(
        insert.on_conflict_do_update(index_elements=[pauses.c.kind, pauses.c.name], set_=values, where=longer)
    )


def resume(connection: Connection, kind: str, name: str) -> bool:
    """End a pause; say whether there was one."""
    gone = connection.execute(pauses.delete().where(pauses.c.kind == kind, pauses.c.name == name))
    return gone.rowcount > 0


def end_refusal(connection: Connection, destination: str, reason: str) -> bool:
    """End the machine's own pause of a destination that refused our token, if it is still the one of this reason."""
    its = sa.and_(pauses.c.kind == "destination", pauses.c.name == destination, pauses.c.actor == MACHINE)
    gone = connection.execute(pauses.delete().where(its, pauses.c.until.is_(None), pauses.c.reason == reason))
    return gone.rowcount > 0


EVERYTHING = "everything"
"""The kind of a pause that stops all sending, whatever its name."""
FOR_GOOD = dt.datetime.max.replace(tzinfo=dt.UTC)


def paused_until(connection: Connection, kind: str, name: str, now: dt.datetime) -> dt.datetime | None:
    """Return until when something is paused, ``FOR_GOOD`` for a pause without end; None when it is not paused."""
    row = connection.execute(
        sa.select(pauses.c.until).where(
            pauses.c.kind == kind, pauses.c.name == name, sa.or_(pauses.c.until.is_(None), pauses.c.until > now)
        )
    ).one_or_none()
    return None if row is None else row.until or FOR_GOOD


def sending_paused_until(connection: Connection, destination: str, now: dt.datetime) -> dt.datetime | None:
    """Return until when nothing is sent to a destination: it is paused, or everything; None when it may be sent to."""
    found = connection.execute(_SENDING, {"destination": destination, "now": now})
    return max((until or FOR_GOOD for until in found.scalars()), default=None)


_SENDING = sa.select(pauses.c.until).where(
    sa.or_(
        sa.and_(pauses.c.kind == "destination", pauses.c.name == sa.bindparam("destination")),
        pauses.c.kind == EVERYTHING,
    ),
    sa.or_(pauses.c.until.is_(None), pauses.c.until > sa.bindparam("now")),
)


def everything_paused(connection: Connection, now: dt.datetime) -> str | None:
    """Return in words why nothing at all is sent, and what ends that; None when things are sent."""
    row = connection.execute(
        sa.select(pauses)
        .where(pauses.c.kind == EVERYTHING, sa.or_(pauses.c.until.is_(None), pauses.c.until > now))
        .order_by(pauses.c.since, pauses.c.name)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    since = row.since.isoformat(timespec="seconds")
    why = f" ({row.reason})" if row.reason else ""
    return f"nothing is sent since {since}{why}; look, then `gatepost resume everything {row.name} --go`"


def list_pauses(connection: Connection, now: dt.datetime) -> list[dict[str, Any]]:
    """Return what is paused now, the oldest first: kind, name, since, until (None: for good), why, by whom."""
    statement = (
        sa.select(*(pauses.c[name] for name in ("kind", "name", "since", "until", "reason", "actor")))
        .where(_LASTS)
        .order_by(pauses.c.since, pauses.c.kind, pauses.c.name)
    )
    return [dict(row._mapping) for row in connection.execute(statement, {"now": now})]


def paused_now(connection: Connection, now: dt.datetime) -> set[tuple[str, str]]:
    """Return what is paused now, each by its kind and name."""
    return {(row.kind, row.name) for row in connection.execute(_PAUSED, {"now": now})}


_LASTS = sa.or_(pauses.c.until.is_(None), pauses.c.until > sa.bindparam("now"))
_PAUSED = sa.select(pauses.c.kind, pauses.c.name).where(_LASTS)
