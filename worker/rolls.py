"""The rent rolls that come by mail, and the comparisons that are kept."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers.events import Event, Kind
from worker.actions import CannotDo
from worker.notices import MACHINE
from worker.rentroll import RentRoll
from worker.rentroll import Row as RollRow
from worker.store.database import Database
from worker.store.tables import events, reconciles
from worker.views import NotThere, Plain, at_plain


def roll_of_events(told: Sequence[Event], *, what: str) -> RentRoll:
    """Return the rent roll that a mail's snapshots are.

    Raises:
        CannotDo: it tells none.
    """
    snapshots = [event for event in told if event.kind is Kind.SNAPSHOT]
    if not snapshots:
        raise CannotDo(f"{what} tells no snapshot: no rule of the mailbox reads it as a rent roll")
    rows = [
        RollRow(line=event.position, unit=event.unit, crm_unit_id=event.crm_unit_id, body=event.body)
        for event in snapshots
    ]
    return _roll_of(rows, {event.identity for event in snapshots}, max(event.effective_at for event in snapshots))


def _roll_of(rows: Sequence[RollRow], identities: set[str], as_of: dt.datetime) -> RentRoll:
    return RentRoll(rows=tuple(rows), identities=frozenset(identities), as_of=as_of)


def roll_of_mail(connection: Connection, mail_id: str) -> RentRoll:
    """Return the rent roll that a stored mail told, whatever became of its events."""
    told = sa.and_(events.c.mail_id == mail_id, events.c.kind == str(Kind.SNAPSHOT))
    found = connection.execute(sa.select(events).where(told).order_by(events.c.position)).all()
    rows = [RollRow(line=row.position, unit=row.unit, crm_unit_id=row.crm_unit_id, body=row.body) for row in found]
    return _roll_of(rows, {row.identity for row in found}, max(row.effective_at for row in found))


def source_of(mail_id: str) -> str:
    """Return how a report names a mail."""
    return f"mail {mail_id}"


def newest_mail(connection: Connection, mailbox: str) -> str | None:
    """Return the newest mail of a mailbox that told snapshots; None when none did."""
    told = sa.and_(events.c.mailbox == mailbox, events.c.kind == str(Kind.SNAPSHOT), events.c.mail_id.is_not(None))
    newest = sa.select(events.c.mail_id).where(told).order_by(events.c.received_at.desc(), events.c.id.desc())
    return connection.execute(newest.limit(1)).scalar()


def next_mail(connection: Connection, mailbox: str, before: dt.datetime) -> str | None:
    """Return the mail to compare; None: the last comparison is not old enough, or there is nothing new."""
    by_machine = sa.and_(reconciles.c.mailbox == mailbox, reconciles.c.actor == MACHINE)
    last = connection.execute(sa.select(sa.func.max(reconciles.c.at)).where(by_machine)).scalar()
    if last is not None and last > before:
        return None
    mail_id = newest_mail(connection, mailbox)
    return None if mail_id is None or is_compared(connection, mailbox, mail_id) else mail_id


def is_compared(connection: Connection, mailbox: str, mail_id: str) -> bool:
    """Say whether a mail has been compared."""
    its = sa.and_(reconciles.c.mailbox == mailbox, reconciles.c.source == source_of(mail_id))
    return connection.execute(sa.select(reconciles.c.id).where(its).limit(1)).scalar() is not None


def list_reconciles(db: Database, *, limit: int = 50) -> list[Plain]:
    """Return the comparisons, newest first, without their findings."""
    with db.read() as connection:
        rows = connection.execute(sa.select(reconciles).order_by(reconciles.c.id.desc()).limit(limit)).all()
    left = ("findings", "left_out", "columns", "unknown_columns")
    return [{name: value for name, value in _plain(row).items() if name not in left} for row in rows]


def show_reconcile(db: Database, number: int) -> Plain:
    """Return one comparison.

    Raises:
        NotThere: there is none of that number.
    """
    with db.read() as connection:
        row = connection.execute(sa.select(reconciles).where(reconciles.c.id == number)).one_or_none()
    if row is None:
        raise NotThere(f"no reconcile {number}; `gatepost reconcile --list` shows them")
    return _plain(row)


def _plain(row: Row[Any]) -> Plain:
    about = {"mailbox": row.mailbox, "source": row.source, "at": at_plain(row.at), "actor": row.actor}
    return {**row.report, "reconcile": row.id, **about}
