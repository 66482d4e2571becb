"""Guards that look at how many events come: reports that turn too many units, days that bring too much, and the
first events of a rule that was changed.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from parsers.events import Kind
from worker import guard
from worker.notices import IssueKind, held_by_number, on_probation
from worker.order import Hold, State
from worker.probation import count_probation, hold_on_probation
from worker.settings import Guards
from worker.store import counts
from worker.store.events import Telling
from worker.store.issues import open_issue
from worker.store.tables import events, lanes

_BY_NUMBER = (Hold.FLIPS, Hold.SURGE, Hold.PROBATION)
LOOK_BACK = dt.timedelta(days=190)


def hold_by_number(
    connection: Connection,
    tellings: Sequence[Telling],
    guards: Guards,
    *,
    now: dt.datetime,
    flips: float | None = None,
) -> Sequence[Telling]:
    """Return what one mail or caller tells, held where there is too much of its kind; otherwise the same tellings.

    ``flips``: the share that the rule itself allows, of snapshots and patches; None: that of the guards, of snapshots.
    """
    waiting = [telling for telling in tellings if telling.state is State.WAITING]
    if not waiting:
        return tellings
    says = _flips(connection, waiting, guards, flips)
    if says:
        return _held(tellings, Hold.FLIPS, says)
    says = _surges(connection, waiting, guards, now) if guards.surge else None
    if says:
        return _held(tellings, Hold.SURGE, says)
    return hold_on_probation(connection, tellings) if guards.probation else tellings


def note_numbers(
    connection: Connection, tellings: Sequence[Telling], stored: Callable[[], Sequence[int]], *, now: dt.datetime
) -> tuple[int, IssueKind] | None:
    """Open the issue of tellings that were held by their number, and count it up with each further one.

    ``stored``: looks up the events that were stored of them. Returns the issue when it is open anew, otherwise None.
    """
    held = [telling for telling in tellings if telling.reason in _BY_NUMBER]
    event_ids = stored() if held else ()
    if not event_ids:
        return None
    kind, first = IssueKind(str(held[0].reason)), held[0]
    if kind is IssueKind.PROBATION:
        version, left = count_probation(connection, first.event.rule, len(event_ids))
        notice = on_probation(first.event.rule, version, left)
    else:
        day = now.astimezone(ZoneInfo(first.timezone)).date().isoformat()
        notice = held_by_number(kind, first.mailbox, first.event.rule, first.detail or "", day)
    issue_id, is_new = open_issue(connection, notice, now=now, event_ids=event_ids)
    return (issue_id, kind) if is_new else None


def held_of_mail(connection: Connection, mail_id: str) -> list[int]:
    """Return the events of a mail that are held by their number."""
    reasons = [str(hold) for hold in _BY_NUMBER]
    statement = sa.select(events.c.id).where(events.c.mail_id == mail_id, events.c.reason.in_(reasons))
    return list(connection.execute(statement).scalars())


def _flips(connection: Connection, waiting: Sequence[Telling], guards: Guards, limit: float | None) -> str | None:
    kinds = (Kind.SNAPSHOT,) if limit is None else (Kind.SNAPSHOT, Kind.PATCH)
    rows = {telling.event.crm_unit_id: telling for telling in waiting if telling.event.kind in kinds}
    if len(rows) < guards.flips_least:
        return None
    shown: dict[str, Any] = {}
    for destination in sorted({telling.destination for telling in rows.values()}):
        statement = sa.select(lanes.c.crm_unit_id, lanes.c.shown).where(
            lanes.c.destination == destination, lanes.c.crm_unit_id.in_(list(rows))
        )
        shown |= {row.crm_unit_id: row.shown for row in connection.execute(statement)}
    stated = [(telling.event.body, shown.get(unit, {})) for unit, telling in rows.items()]
    return guard.flips(stated, share=guards.flips if limit is None else limit, least=guards.flips_least)


def _surges(connection: Connection, waiting: Sequence[Telling], guards: Guards, now: dt.datetime) -> str | None:
    first = waiting[0]
    days = counts.events_by_day(
        connection, mailbox=first.mailbox, rule=first.event.rule, since=now - LOOK_BACK, zone=first.timezone
    )
    today = now.astimezone(ZoneInfo(first.timezone)).date()
    days[today] = days.get(today, 0) + len(waiting)
    return guard.surges(days, today, factor=guards.surge_factor, least=guards.surge_least)


def _held(tellings: Sequence[Telling], reason: Hold, says: str) -> list[Telling]:
    return [
        replace(telling, state=State.HELD, reason=str(reason), detail=says)
        if telling.state is State.WAITING
        else telling
        for telling in tellings
    ]
