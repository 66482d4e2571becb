"""A watch on the store while a run goes on: conservation every second, and how soon each outage is made good."""

import datetime as dt
import threading
from collections.abc import Callable

import sqlalchemy as sa

from tests.faults.chaos import Outage
from worker.store.database import Database
from worker.store.tables import mails

EVERY_S = 0.5
STATES = ("new", "parsed", "ignored", "duplicate", "held", "discarded")


class Watch(threading.Thread):
    """Looks at the store until it is told to stop."""

    def __init__(self, db: Database, *, acknowledged: Callable[[], int], outages: Callable[[], list[Outage]]) -> None:
        super().__init__(name="watch")
        self._db = db
        self._acknowledged = acknowledged
        self._outages = outages
        self._told = threading.Event()
        self.samples = 0
        self.missed = 0
        """Looks at which the database was out."""
        self.breaches: list[str] = []

    def run(self) -> None:
        """Look, again and again."""
        while not self._told.wait(EVERY_S):
            try:
                self.look()
            except sa.exc.SQLAlchemyError:
                self.missed += 1

    def stop(self) -> None:
        """Look no more."""
        self._told.set()
        self.join()

    def look(self) -> None:
        """Take one sample: every mail is in one known state, and none that was acknowledged is gone."""
        acknowledged = self._acknowledged()
        with self._db.read() as connection:
            counted = connection.execute(sa.select(mails.c.state, sa.func.count()).group_by(mails.c.state)).all()
            by_state: dict[str, int] = {row[0]: row[1] for row in counted}
            stuck = connection.execute(
                sa.select(sa.func.count()).where(mails.c.state == "new", mails.c.due_at.is_(None))
            ).scalar_one()
            oldest = connection.execute(
                sa.select(sa.func.min(mails.c.received_at)).where(mails.c.state == "new")
            ).scalar()
        self.samples += 1
        known = sum(by_state.get(state, 0) for state in STATES)
        if known != sum(by_state.values()) or known < acknowledged or stuck:
            self.breaches.append(f"{acknowledged} acknowledged, {by_state}, {stuck} new and never due")
        now = dt.datetime.now(dt.UTC)
        for outage in self._outages():
            if outage.recovered_at is None and (oldest is None or oldest > outage.ended_at):
                outage.recovered_at = now
