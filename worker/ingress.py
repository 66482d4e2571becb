"""A whole Gatepost for a test of one's own: a real receiver, a store of its own, local units, and a clock that stands.

Mail comes by SMTP on loopback and is read and applied before ``send`` returns, so a test waits for nothing. The clock
stands at the Date of the newest mail, so that a test says the same in any year.
"""

import asyncio
import contextlib
import datetime as dt
import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from parsers import Mailbox, Unreadable, read_mail
from worker import views
from worker.cli.sending import send_mail
from worker.runtime import Runtime
from worker.service import receiving
from worker.settings import Settings
from worker.store import schema
from worker.store.tables import lanes

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
"""When it is until the first mail comes."""
_ROUNDS = 100


class NeverSettles(Exception):
    """Units stay due however often they are worked on; says which."""


class ShownUnits:
    """The local units, as their API shows them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def show(self, crm_unit_id: str) -> dict[str, Any] | None:
        """Return a unit as ``GET /units/{id}`` shows it, ``state`` and ``reason`` among it; None when it is unknown."""
        answer = self._runtime.units.handle("GET", f"/units/{quote(crm_unit_id, safe='')}", b"", None)
        return None if answer.status == 404 else json.loads(answer.body)["data"]


class Ingress:
    """One mailbox behind a receiver that listens."""

    def __init__(self, folder: Path, *, rules: Iterable[Path], packs: Iterable[str], mailbox: Mailbox) -> None:
        """``folder``: an empty one, for the store. ``packs``: those that the mailbox reads."""
        box = {
            "address": mailbox.address,
            "company": mailbox.company,
            "location": mailbox.location,
            "location_names": mailbox.location_names,
            "timezone": mailbox.timezone,
            "unit_id": mailbox.unit_id,
            "unit_pattern": mailbox.unit_pattern,
            "pms": list(packs),
            "trust": [{"network": "127.0.0.0/8"}],
        }
        told = {
            "store": {"url": f"sqlite:///{folder / 'gatepost.db'}"},
            "smtp": {"listen": ["127.0.0.1:0"]},
            "rules": {"paths": [str(path) for path in rules]},
            "mailbox": [box],
        }
        self.now = START
        self.mailbox = mailbox
        self.runtime = Runtime(Settings.model_validate(told), clock=lambda: self.now)
        self.units = ShownUnits(self.runtime)
        self.address = ""
        """Where the receiver listens, as ``host:port``."""
        schema.upgrade(self.runtime.db)

    def send(self, mail: bytes, *, to: str | None = None, sender: str | None = None) -> dict[str, Any]:
        """Send a mail by SMTP, have it read and applied, and return it as ``gatepost mail show --json`` does.

        The clock goes on to the mail's Date, never back. ``to`` None: the mailbox. ``sender`` None: the From address.

        Raises:
            NotSent: the receiver refused it; says the reply.
        """
        self.now = max(self.now + dt.timedelta(seconds=1), _date_of(mail) or self.now)
        reply = send_mail(self.address, mail, to=to or self.mailbox.address, sender=sender)
        mail_id = reply.rpartition(" ")[2]
        self.runtime.ingest([mail_id])
        self._settle()
        return views.show_mail(self.runtime.db, mail_id)

    def pass_time(self, span: dt.timedelta) -> None:
        """Let time pass, and what comes due in it take effect."""
        self.now += span
        self._settle()

    def _settle(self) -> None:
        """Bring every unit that is due now to what its events want."""
        due: list[Any] = []
        for _ in range(_ROUNDS):
            with self.runtime.db.read() as connection:
                due = list(connection.execute(sa.select(lanes).where(lanes.c.due_at <= self.now)))
            if not due:
                return
            self.runtime.drain([(row.destination, row.crm_unit_id) for row in due])
        raise NeverSettles(f"still due after {_ROUNDS} rounds: {', '.join(row.crm_unit_id for row in due[:5])}")


@contextlib.contextmanager
def listening(ingress: Ingress) -> Iterator[Ingress]:
    """Yield an ingress whose receiver listens, and end it with all that it opened."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="ingress", daemon=True)
    thread.start()
    stack = contextlib.AsyncExitStack()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    try:
        ingress.address = run(stack.enter_async_context(receiving(ingress.runtime)))
        yield ingress
    finally:
        run(stack.aclose())
        run(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
        ingress.runtime.close()


def _date_of(mail: bytes) -> dt.datetime | None:
    try:
        return read_mail(mail).date
    except Unreadable:
        return None
