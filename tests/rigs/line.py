"""Mails in, units at a separate model of KISS out: ingest, replay and drain on one store, without a network."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from parsers import RuleSet, load_rules_text
from tests.model import Kiss
from tests.rigs.lane import Clock, Faulty
from worker.calls import Manners
from worker.drain import Drain
from worker.ingest import Ingest
from worker.replay import Replays
from worker.settings import Guards, Mailbox, PackUse, Trust
from worker.store import lanes as lane_store
from worker.store.database import Database
from worker.store.keep import Keeper, KeptMail
from worker.store.tables import events, issues, lanes, mails
from worker.verdict import judge_mail

BOX = Mailbox(
    address="main@in.test",
    location="MAIN",
    company="acme",
    destination="kiss",
    pms=(PackUse(name="t"),),
    trust=(Trust(network="127.0.0.0/8"),),
)


class Line:
    """One store with what reads its mails and drains its units."""

    def __init__(self, database: Database, rules: str) -> None:
        self.db = database
        self.clock = Clock()
        self.far = Faulty()
        self.box = BOX
        self.rules: RuleSet = load_rules_text({"t.yaml": rules})
        self.keeper = Keeper(database, batch_mails=50, batch_bytes=1 << 20, clock=self.clock, on_kept=lambda _ids: None)
        self.ingest = Ingest(
            database,
            mailboxes=lambda: {self.box.address: self.box},
            rules=lambda: self.rules,
            clock=self.clock,
            clock_skew_s=900,
            guards=lambda: self.guards,
            on_trouble=lambda **fields: self.troubles.append(fields),
        )
        self.replays = Replays(
            database,
            judge=lambda mail, rules: judge_mail(mail, self.box, rules, skew=dt.timedelta(seconds=900)),
            rules=lambda: self.rules,
            manners=lambda _name: self.far.manners,
            clock=self.clock,
        )
        self.guards = Guards()
        self.troubles: list[dict[str, Any]] = []
        self.number = 0

    def close(self) -> None:
        """Stop the keeper."""
        self.keeper.stop()

    def use(self, rules: str) -> None:
        """Go on under other rules."""
        self.rules = load_rules_text({"t.yaml": rules})

    def mail(self, subject: str, *, hour: float = 0.0, drain: bool = True, **labels: str) -> str:
        """Receive, read and apply a mail of label lines; return its id."""
        self.number += 1
        at = dt.datetime(2026, 5, 1, 8, tzinfo=dt.UTC) + dt.timedelta(hours=hour)
        lines = "".join(f"{name.replace('_', ' ')}: {value}\r\n" for name, value in labels.items())
        raw = (
            f"From: notices@pms.test\r\nTo: main@in.test\r\nSubject: {subject}\r\n"
            f"Date: {at:%a, %d %b %Y %H:%M:%S +0000}\r\nMessage-ID: <{self.number}@pms.test>\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n\r\n{lines}"
        ).encode()
        return self.receive(raw, drain=drain)

    def receive(self, raw: bytes, *, drain: bool = True) -> str:
        """Receive, read and apply a mail."""
        kept = KeptMail(body=raw, recipients=((self.box.address, self.box.address),), evidence={"peer": "127.0.0.1"})
        mail_id = self.keeper.submit(kept).result()
        self.ingest.ingest([mail_id])
        if drain:
            self.drain()
        return mail_id

    def drain(self, rounds: int = 40, patience_s: float = 30.0) -> None:
        """Drain what is due, letting the time of the next try come, until nothing is due soon."""
        for _ in range(rounds):
            with self.db.read() as connection:
                soon = lanes.c.due_at <= self.clock.now + dt.timedelta(seconds=patience_s)
                due = connection.execute(sa.select(lanes.c.crm_unit_id, lanes.c.due_at).where(soon)).all()
            if not due:
                return
            self.clock.now = max(self.clock.now, min(row.due_at for row in due))
            Drain(self.db, {"kiss": self.far}, clock=self.clock, by="one").drain(
                [("kiss", row.crm_unit_id) for row in due]
            )
            self.clock.advance(1)
        raise AssertionError("the lanes never come to rest")

    def replay(self, text: str, layer: Any = "parse") -> int:
        """Replay and drain; return the replay's number."""
        number = self.replays.start(text, layer, limit=None, per_minute=0, actor="anna", reason="mended")
        while self.replays.carry_on():
            pass
        self.drain()
        return number

    @property
    def kiss(self) -> Kiss:
        """Return the model of the destination."""
        return self.far.kiss

    def events(self, **values: Any) -> list[Any]:
        """Return the events with these values, by id."""
        conditions = [events.c[name] == value for name, value in values.items()]
        with self.db.read() as connection:
            return list(connection.execute(sa.select(events).where(*conditions).order_by(events.c.id)))

    def mail_row(self, mail_id: str) -> Any:
        """Return a mail's row."""
        with self.db.read() as connection:
            return connection.execute(sa.select(mails).where(mails.c.id == mail_id)).one()

    def open_issues(self) -> list[Any]:
        """Return the open issues."""
        with self.db.read() as connection:
            return list(connection.execute(sa.select(issues).where(issues.c.state == "open").order_by(issues.c.id)))

    def lane(self, unit: str) -> Mapping[str, Any]:
        """Return the row of a unit's lane."""
        with self.db.read() as connection:
            return connection.execute(sa.select(lanes).where(lanes.c.crm_unit_id == unit)).one()._mapping

    def manners(self, _name: str) -> Manners:
        """Return what the destination takes."""
        return self.far.manners

    def lane_events(self, unit: str) -> list[Any]:
        """Return a unit's events as the order sees them."""
        with self.db.read() as connection:
            return lane_store.lane_events(connection, ("kiss", unit))
