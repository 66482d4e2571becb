"""Invented people who rent units: their mails as SiteLink sends them, and the state that their units must end in.

The state is that of the separate model of KISS, to which each mail's facts are told once and in order.
"""

import datetime as dt
import random
from email.utils import format_datetime
from zoneinfo import ZoneInfo

from tests.model import Kiss

ZONE = ZoneInfo("America/Chicago")
LOCATION = "SITELINK"
MAILBOX = "sitelink@demo.test"
STEPS = 40
"""Mails of one unit at most, one a day."""
LEAST_UNITS = 5
_GIVEN = ("Alma", "Boris", "Chidi", "Dana", "Emre", "Farah", "Goran", "Hanna")
_FAMILY = ("Attic", "Barrow", "Cellar", "Drawer", "Easel", "Funnel", "Gasket", "Hinge")


class Tale:
    """The mails of some units, in the order of their moments, and the model after all of them."""

    def __init__(self, *, mails: int, seed: int, now: dt.datetime) -> None:
        self.mails: list[bytes] = []
        self.kiss = Kiss()
        self.events = 0
        """Distinct events that the mails tell."""
        self._chance = random.Random(seed)
        self._tenants: dict[str, int] = {}
        first_on = now.astimezone(ZONE).date() - dt.timedelta(days=STEPS + 5)
        units = [f"U{number:05}" for number in range(max(LEAST_UNITS, -(-mails // 15)))]
        for step in range(STEPS):
            for unit in units:
                if len(self.mails) == mails:
                    return
                self._tell(unit, first_on + dt.timedelta(days=step), is_first=step == 0)
        raise ValueError(f"{len(units)} units cannot tell {mails} mails")

    def _tell(self, unit: str, day: dt.date, *, is_first: bool) -> None:
        crm_unit_id = f"{LOCATION}-{unit}"
        if is_first or not self.kiss.units[crm_unit_id]["occupied"]:
            self._move_in(unit, crm_unit_id, day)
            return
        tell = self._chance.choices((self._payment, self._overlock, self._removal, self._move_out), (4, 3, 3, 2))[0]
        tell(unit, crm_unit_id, day)

    def _move_in(self, unit: str, crm_unit_id: str, day: dt.date) -> None:
        self._tenants[unit] = self._tenants.get(unit, 0) + 1
        paid_through = day + dt.timedelta(days=30)
        self._mail(
            "Move In Notification",
            day,
            unit,
            *(
                f"Ledger ID: {self._ledger(unit)}",
                f"Move-In Date: {day:%m/%d/%Y}",
                f"Paid Thru: {paid_through:%m/%d/%Y}",
            ),
        )
        body = {"pms_tenant_id": self._tenant(unit), "ledger_id": self._ledger(unit), "move_in_date": day.isoformat()}
        self.kiss.move_in(crm_unit_id, body)
        self.kiss.patch(crm_unit_id, {"paid_through_date": paid_through.isoformat()})
        self.events += 2

    def _move_out(self, unit: str, crm_unit_id: str, day: dt.date) -> None:
        self._mail("Move Out Notification", day, unit, f"Move-Out Date: {day:%m/%d/%Y}")
        self.kiss.move_out(crm_unit_id)
        self.events += 1

    def _payment(self, unit: str, crm_unit_id: str, day: dt.date) -> None:
        paid_through = day + dt.timedelta(days=30)
        balance = self._chance.choice((0, 0, 12.5, 48))
        self._mail(
            "Payment Receipt",
            day,
            unit,
            *("Receipt: R-20877", "Amount Paid: $129.00", f"Payment Date: {day:%m/%d/%Y}"),
            *(f"Paid Thru: {paid_through:%m/%d/%Y}", f"Balance: ${balance:.2f}"),
        )
        self.kiss.patch(crm_unit_id, {"paid_through_date": paid_through.isoformat(), "balance_due": balance})
        self.events += 1

    def _overlock(self, unit: str, crm_unit_id: str, day: dt.date) -> None:
        self._mail(f"Overlock: Unit {unit}", day, unit, "By: facility", f"Date: {day:%m/%d/%Y}")
        raw = f"Overlocked per facility {day.isoformat()}"
        self.kiss.patch(crm_unit_id, {"pms_lockout": True, "pms_status_raw": raw})
        self.events += 1

    def _removal(self, unit: str, crm_unit_id: str, day: dt.date) -> None:
        self._mail(f"Reverse: Overlock: Unit {unit}", day, unit, "By: facility", f"Date: {day:%m/%d/%Y}")
        raw = f"Overlock removed per facility {day.isoformat()}"
        self.kiss.patch(crm_unit_id, {"pms_lockout": False, "pms_status_raw": raw})
        self.events += 1

    def _tenant(self, unit: str) -> str:
        return f"T-{unit}-{self._tenants[unit]:03}"

    def _ledger(self, unit: str) -> str:
        return f"L-{unit}-{self._tenants[unit]:03}"

    def _mail(self, subject: str, day: dt.date, unit: str, *lines: str) -> None:
        at = dt.datetime.combine(day, dt.time(9, self._chance.randrange(60)), ZONE)
        number = len(self.mails)
        person = f"{self._chance.choice(_GIVEN)} {self._chance.choice(_FAMILY)}"
        said = (
            *("Facility: Demo Self Storage", f"Tenant: {person}", f"Unit: {unit}"),
            *(() if subject == "Payment Receipt" else (f"Tenant ID: {self._tenant(unit)}",)),
            *lines,
        )
        head = (
            *("From: SiteLink Notifications <noreply@sitelink.com>", f"To: <{MAILBOX}>", f"Subject: {subject}"),
            *(f"Date: {format_datetime(at)}", f"Message-ID: <tale-{number}@sitelink.com>", "MIME-Version: 1.0"),
            "Content-Type: text/plain; charset=utf-8",
        )
        self.mails.append("\r\n".join((*head, "", *said, "", "Thank you for using SiteLink.", "")).encode())


def deliveries(tale: Tale, *, seed: int) -> list[int]:
    """Return the mails to send by their number, each one to three times, in an order that chance chooses.

    A sending is moved by up to a third of the whole, so that a unit's events come in any order, and yet bit by bit.
    """
    chance = random.Random(seed)
    span = len(tale.mails) / 3
    placed = [
        (number + chance.random() * span, number)
        for number in range(len(tale.mails))
        for _ in range(chance.randint(1, 3))
    ]
    return [number for _, number in sorted(placed)]


def move_in_mail(number: int, now: dt.datetime) -> bytes:
    """Return a move-in of a unit and a tenant of its own, told a day ago: for the benches."""
    at = (now - dt.timedelta(days=1)).astimezone(ZONE).replace(microsecond=0)
    head = (
        *("From: SiteLink Notifications <noreply@sitelink.com>", f"To: <{MAILBOX}>", "Subject: Move In Notification"),
        *(f"Date: {format_datetime(at)}", f"Message-ID: <one-{number}@sitelink.com>", "MIME-Version: 1.0"),
        "Content-Type: text/plain; charset=utf-8",
    )
    said = (
        *("Facility: Demo Self Storage", "Tenant: Alma Attic", f"Unit: U{number:05}", f"Tenant ID: T-{number}"),
        *(
            f"Ledger ID: L-{number}",
            f"Move-In Date: {at:%m/%d/%Y}",
            f"Paid Thru: {at + dt.timedelta(days=30):%m/%d/%Y}",
        ),
    )
    return "\r\n".join((*head, "", *said, "", "Thank you for using SiteLink.", "")).encode()
