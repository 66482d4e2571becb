"""Which events a mail repeats: those that it tells, and that another mail, a person or a program told before."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers.events import canonical
from worker.store.lanes import fingerprint
from worker.store.mails import MailState
from worker.store.tables import events, mails


def repeated_events(connection: Connection, mail: Row[Any], reading: Mapping[str, Any] | None) -> list[Row[Any]]:
    """Return the events that a mail repeats, in the order in which they were stored.

    They are found by what its reading says: identity and values. A mail with the same bytes as an earlier one, of which
    the rules of today say something else, repeats the events of that one.
    """
    told = {
        (event["identity"], fingerprint(event["kind"], canonical(event["body"])))
        for event in (reading or {}).get("events", ())
    }
    known = sa.and_(events.c.company.in_(_companies(connection)), events.c.identity.in_({one[0] for one in told}))
    rows = connection.execute(sa.select(events).where(known).order_by(events.c.id)).all() if told else []
    found = [row for row in rows if (row.identity, row.fingerprint) in told and row.mail_id != mail.id]
    if found or mail.state != MailState.DUPLICATE:
        return found
    twins = sa.select(mails.c.id).where(
        mails.c.digest == mail.digest, mails.c.mailbox == mail.mailbox, mails.c.id != mail.id
    )
    return list(connection.execute(sa.select(events).where(events.c.mail_id.in_(twins)).order_by(events.c.id)).all())


def _companies(connection: Connection) -> list[str]:
    """Return the companies that have events: few, and each found by one step in the index."""
    found: list[str] = []
    first = sa.select(sa.func.min(events.c.company))
    company = connection.execute(first).scalar()
    while company is not None:
        found.append(company)
        company = connection.execute(first.where(events.c.company > company)).scalar()
    return found
