"""A whole Gatepost in one process on a clock that stands: mails are kept, read and applied to a model of KISS."""

import datetime as dt
from collections.abc import Callable
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from parsers import RuleSet, load_rules
from parsers.events import Kind
from tests.rigs.gatepost import ROOT
from tests.rigs.lane import Faulty
from worker.calls import Destination, Manners
from worker.drain import Drain
from worker.ingest import Ingest
from worker.replay import Replays
from worker.settings import Mailbox, PackUse, Trust
from worker.store import schema
from worker.store.database import Database
from worker.store.keep import Keeper, KeptMail
from worker.store.tables import events, lanes, mails
from worker.verdict import judge_mail
from worker.why import read_moment, why

RULES = load_rules([ROOT / "rules"])
ZONE = ZoneInfo("America/Chicago")
BOX = Mailbox(
    address="main@in.test",
    location="MAIN",
    company="acme",
    destination="kiss",
    pms=(PackUse(name="sitelink"),),
    trust=(Trust(network="127.0.0.0/8"),),
)
NAME = "Jane Q. Resident"


def moment(text: str) -> dt.datetime:
    """Return an instant from a site's clock: ``05-04 08:00`` of 2026."""
    return dt.datetime.fromisoformat(f"2026-{text}").replace(tzinfo=ZONE).astimezone(dt.UTC)


def letter(
    subject: str, sent: str, *, lines: dict[str, str], name: str = NAME, sender: str = "noreply@sitelink.com"
) -> bytes:
    """Return a mail as SiteLink sends it."""
    at = moment(sent).astimezone(ZONE)
    head = {
        "From": f"SiteLink Notifications <{sender}>",
        "To": "main@in.test",
        "Subject": subject,
        "Date": format_datetime(at),
        "Message-ID": f"<{subject.replace(' ', '-')}-{at:%m%d%H%M}@sitelink.com>",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=utf-8",
    }
    body = {"Facility": "Main Street Storage", "Tenant": name, **lines}
    text = [
        *(f"{key}: {value}" for key, value in head.items()),
        "",
        *(f"{key}: {value}" for key, value in body.items()),
    ]
    return "\r\n".join([*text, "", "Thank you for using SiteLink.", ""]).encode()


class House:
    """A store, and what works on it."""

    def __init__(self, url: str, *, destination: Callable[["House"], Destination] | None = None) -> None:
        self.url = url
        self.now = moment("05-01 08:00")
        self.box = BOX
        self.rules: RuleSet = RULES
        self.far = Faulty()
        self._destination = destination
        self.open()

    def open(self) -> None:
        """Begin to work on the store, as a process does when it starts."""
        self.db = Database(self.url)
        schema.upgrade(self.db)
        self._keeper = Keeper(
            self.db, batch_mails=10, batch_bytes=1 << 20, clock=lambda: self.now, on_kept=lambda _ids: None
        )
        self._ingest = Ingest(
            self.db,
            mailboxes=lambda: {self.box.address: self.box},
            rules=lambda: self.rules,
            clock=lambda: self.now,
            clock_skew_s=900,
        )
        self.destination: Destination = self._destination(self) if self._destination else self.far
        self._drain = Drain(self.db, {"kiss": self.destination}, clock=lambda: self.now, by="house")
        self.replays = Replays(
            self.db,
            judge=lambda mail, rules: judge_mail(mail, self.box, rules, skew=dt.timedelta(seconds=900)),
            rules=lambda: self.rules,
            manners=self.manners,
            clock=lambda: self.now,
        )

    def close(self) -> None:
        """End, as a process does."""
        self._keeper.stop()
        self._drain.close()
        self.db.close()

    def manners(self, _name: str) -> Manners:
        """Return what the destination does."""
        return self.destination.manners

    def at(self, text: str) -> None:
        """Move the clock to a moment of 2026, on the site's clock."""
        self.now = moment(text)

    def keep(self, raw: bytes, *, peer: str = "127.0.0.1", to: tuple[str, ...] = ("main@in.test",)) -> str:
        """Keep a mail as the receiver does; return its id."""
        recipients = tuple((address, address) for address in to)
        return self._keeper.submit(KeptMail(body=raw, recipients=recipients, evidence={"peer": peer})).result()

    def send(self, raw: bytes, **how: Any) -> str:
        """Keep, read and apply a mail; return its id."""
        mail_id = self.keep(raw, **how)
        self._ingest.ingest([mail_id])
        self.settle()
        return mail_id

    def read_again(self) -> None:
        """Read what is new, and apply it."""
        with self.db.read() as connection:
            ids = list(connection.execute(sa.select(mails.c.id).where(mails.c.due_at <= self.now)).scalars())
        self._ingest.ingest(ids)
        self.settle()

    def settle(self) -> None:
        """Apply all that is due now."""
        for _ in range(5):
            with self.db.read() as connection:
                due = connection.execute(sa.select(lanes).where(lanes.c.due_at <= self.now)).all()
            if not due:
                return
            self._drain.drain([(row.destination, row.crm_unit_id) for row in due])

    def events(self) -> list[Any]:
        """Return all events."""
        with self.db.read() as connection:
            return list(connection.execute(sa.select(events).order_by(events.c.id)))

    def event(self, mail_id: str, kind: Kind = Kind.PATCH) -> Any:
        """Return the event of a kind that a mail tells."""
        (found,) = [event for event in self.events() if event.mail_id == mail_id and event.kind == kind]
        return found

    def mail(self, mail_id: str) -> Any:
        """Return a mail's row."""
        with self.db.read() as connection:
            return connection.execute(sa.select(mails).where(mails.c.id == mail_id)).one()

    def why(self, unit: str, at: str | None = None) -> dict[str, Any]:
        """Ask why the one unit of a name is as it is, or was."""
        zones = {"MAIN": "America/Chicago"}
        when = read_moment(at) if at else None
        (found,) = why(self.db, unit, zones=zones, now=self.now, at=when, manners=self.manners)
        return found

    # -- mails of the PMS ---------------------------------------------------------------------------------------------

    def move_in(self, unit: str, tenant: str, at: str, *, ledger: str = "L-77001", **how: Any) -> str:
        """A tenant moves in."""
        self.at(at)
        day = moment(at).astimezone(ZONE)
        lines = {
            "Tenant ID": tenant,
            "Ledger ID": ledger,
            "Unit": unit,
            "Move-In Date": how.pop("on", f"{day:%m/%d/%Y}"),
        }
        return self.send(letter("Move In Notification", at, lines=lines, name=how.pop("name", NAME)), **how)

    def move_out(self, unit: str, tenant: str, at: str, **how: Any) -> str:
        """A tenant moves out."""
        self.at(at)
        day = moment(at).astimezone(ZONE)
        lines = {"Tenant ID": tenant, "Unit": unit, "Move-Out Date": f"{day:%m/%d/%Y}"}
        return self.send(letter("Move Out Notification", at, lines=lines, name=how.pop("name", NAME)), **how)

    def overlock(self, unit: str, tenant: str, at: str, *, arrives: str | None = None, **how: Any) -> str:
        """A tenant is locked out. ``arrives``: when the mail comes, if not at once."""
        self.at(arrives or at)
        name = how.pop("name", NAME)
        return self.send(
            letter(f"Overlock: Unit {unit}", at, lines={"Tenant ID": tenant, "Unit": unit}, name=name), **how
        )

    def unlock(self, unit: str, tenant: str, at: str, *, arrives: str | None = None, **how: Any) -> str:
        """A tenant is let in again."""
        self.at(arrives or at)
        lines, name = {"Tenant ID": tenant, "Unit": unit}, how.pop("name", NAME)
        return self.send(letter(f"Reverse: Overlock: Unit {unit}", at, lines=lines, name=name), **how)

    def nsf(self, unit: str, tenant: str, at: str, *, balance: str, **how: Any) -> str:
        """A payment did not hold."""
        self.at(at)
        lines = {"Tenant ID": tenant, "Unit": unit, "New Balance": balance, "Paid Thru": "04/30/2026"}
        return self.send(letter("NSF Payment Reversal", at, lines=lines, name=how.pop("name", NAME)), **how)
