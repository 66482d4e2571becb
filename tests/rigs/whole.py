"""A whole process without its ports, put together from settings: mails are kept, read, and applied over HTTP."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from tests.rigs.gatepost import ROOT, demo_mail
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import schema
from worker.store.keep import KeptMail
from worker.store.tables import events, issues, lanes

BOX = "main@in.test"
NOW = dt.datetime(2026, 5, 20, 12, tzinfo=dt.UTC)
TOKEN_ENV = "FAR_TOKEN"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += dt.timedelta(seconds=seconds)


class Whole:
    """The parts of one process, and a person's view of its store."""

    def __init__(self, url: str, *, far: dict[str, Any], clock: Clock, box: dict[str, Any] | None = None) -> None:
        """``far``: the destination that its one mailbox names. ``box``: what that mailbox has of its own."""
        mailbox = {
            "address": BOX,
            "location": "MAIN",
            "pms": ["sitelink"],
            "trust": [{"network": "127.0.0.0/8"}],
            "destination": "far",
            **(box or {}),
        }
        told = {"store": {"url": url}, "rules": {"paths": [str(ROOT / "rules")]}, "mailbox": [mailbox]}
        self.clock = clock
        self.runtime = Runtime(Settings.model_validate({**told, "destination": {"far": far}}), clock=clock)
        schema.upgrade(self.runtime.db)

    def send(self, raw: bytes) -> str:
        """Keep and read a mail; return its id."""
        kept = KeptMail(body=raw, recipients=((BOX, BOX),), evidence={"peer": "127.0.0.1"})
        mail_id = self.runtime.keeper.submit(kept).result()
        self.runtime.ingest([mail_id])
        return mail_id

    def move_in(self) -> str:
        """Keep and read the move-in of Jane Smith into B204, paid through May."""
        return self.send(demo_mail("01"))

    def drain(self, rounds: int = 20) -> None:
        """Apply what is due, letting the time of the next try come, until nothing is due within the hour."""
        for _ in range(rounds):
            with self.runtime.db.read() as connection:
                soon = lanes.c.due_at <= self.clock.now + dt.timedelta(hours=1)
                due = connection.execute(sa.select(lanes).where(soon)).all()
            if not due:
                return
            self.clock.now = max(self.clock.now, min(row.due_at for row in due))
            self.runtime.drain([(row.destination, row.crm_unit_id) for row in due])
            self.clock.advance(1)
        raise AssertionError("the units never come to rest")

    def events(self) -> list[Any]:
        """Return the events, first to last."""
        return self._rows(events)

    def issues(self) -> list[Any]:
        """Return the issues, first to last."""
        return self._rows(issues)

    def _rows(self, table: sa.Table) -> list[Any]:
        with self.runtime.db.read() as connection:
            return list(connection.execute(sa.select(table).order_by(table.c.id)))


@contextlib.contextmanager
def whole(url: str, *, clock: Clock | None = None, **how: Any) -> Iterator[Whole]:
    """Yield a whole process, and close it."""
    made = Whole(url, clock=clock or Clock(), **how)
    try:
        yield made
    finally:
        made.runtime.close()
