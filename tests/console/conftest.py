"""The web port as the program serves it, on a store of the test's own."""

import asyncio
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.rigs.gatepost import ROOT
from worker.console.app import web_app
from worker.runtime import Runtime
from worker.service import _web
from worker.settings import Settings
from worker.store import schema
from worker.store.keep import KeptMail
from worker.store.tables import audit, events, mails

TOKEN = "ops-token-of-the-tests"
NOW = dt.datetime(2026, 5, 20, 12, 0, 0, 250_000, tzinfo=dt.UTC)
BOX = "sitelink@demo.test"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += dt.timedelta(seconds=seconds)


def configured(url: str, **more: Any) -> Settings:
    """Return settings with one mailbox that trusts this host."""
    box = {
        "address": BOX,
        "location": "SITELINK",
        "company": "demo",
        "pms": ["sitelink", "pmsevent"],
        "trust": [{"network": "127.0.0.0/8"}],
        **more.pop("box", {}),
    }
    rules = {"paths": [str(ROOT / "rules")]}
    return Settings.model_validate({"store": {"url": url}, "rules": rules, "mailbox": [box], **more})


class Ops:
    """A served web port, and a client of it."""

    def __init__(self, runtime: Runtime, clock: Clock, where: str) -> None:
        self.runtime = runtime
        self.clock = clock
        self.where = where
        self.client = httpx.Client(
            base_url=f"http://{where}/ops/v1", trust_env=False, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        )

    def get(self, path: str, **params: Any) -> Any:
        """Return the answer to a GET that must succeed."""
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def data(self, path: str, **params: Any) -> Any:
        """Return the data of a GET."""
        return self.get(path, **params)["data"]

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Return the answer to a POST of bytes or of JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=b"" if body is None else content, **more)

    def tell(self, **event: Any) -> httpx.Response:
        """Post an event for the mailbox."""
        return self.post("/events", {"mailbox": BOX, **event})

    def keep(self, raw: bytes) -> str:
        """Keep and read a mail that came by SMTP from this host; return its id."""
        mail_id = self.keep_unread(raw)
        self.runtime.ingest([mail_id])
        return mail_id

    def keep_unread(self, raw: bytes) -> str:
        """Keep a mail that came by SMTP from this host; return its id."""
        kept = KeptMail(body=raw, recipients=((BOX, BOX),), evidence={"peer": "127.0.0.1", "mail_from": None})
        return self.runtime.keeper.submit(kept).result()

    def drain(self) -> None:
        """Bring every unit that has been named to what its events want."""
        units = self.data("/units", page_size=100)
        self.runtime.drain([(unit["destination"], unit["crm_unit_id"]) for unit in units])

    def set_states(self, *states: str) -> None:
        """Give the events, first to last, these states, as if the machine had."""
        with self.runtime.db.write() as connection:
            ids = connection.execute(sa.select(events.c.id).order_by(events.c.id)).scalars().all()
            assert len(ids) == len(states)
            for event_id, state in zip(ids, states, strict=True):
                connection.execute(events.update().where(events.c.id == event_id).values(state=state))

    def rows(self, table: sa.Table) -> list[Any]:
        """Return all rows of a table, in the order of their ids."""
        with self.runtime.db.read() as connection:
            return list(connection.execute(sa.select(table).order_by(table.c.id)).all())

    def audits(self) -> list[tuple[str, str, str]]:
        """Return actor, action and subject of the audit."""
        return [(row.actor, row.action, row.subject) for row in self.rows(audit)]

    def mail_rows(self) -> list[Any]:
        """Return all mails."""
        return self.rows(mails)

    def event_rows(self) -> list[Any]:
        """Return all events."""
        return self.rows(events)


def serve(settings: Settings) -> Iterator[Ops]:
    """Serve the web port for settings until the test is over."""
    clock = Clock()
    runtime = Runtime(settings, clock=clock)
    schema.upgrade(runtime.db)
    loop = asyncio.new_event_loop()
    serving = _web("127.0.0.1:0", web_app(runtime, units_token="units", ops_token=TOKEN))
    ops = Ops(runtime, clock, loop.run_until_complete(serving.__aenter__()))
    try:
        yield ops
    finally:
        ops.client.close()
        loop.run_until_complete(serving.__aexit__(None, None, None))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        runtime.close()


@pytest.fixture
def ops(database_url: str) -> Iterator[Ops]:
    """The operator API on SQLite, then on PostgreSQL."""
    yield from serve(configured(database_url))


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ops]:
    """The operator API on one SQLite for a whole module: for what leaves nothing in the store."""
    yield from serve(configured(f"sqlite:///{tmp_path_factory.mktemp('ops')}/store.db"))
