"""The page of changing the PMS: it is walked from top to bottom, and each command prints what it says."""

from collections.abc import Callable
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.docs.pages import DOCS
from tests.docs.walk import Walk, parts
from tests.rigs.gatepost import ROOT, Gatepost

pytestmark = pytest.mark.xdist_group("docs-change-pms")

PAGE = DOCS / "change-pms.md"
BOX = "main-st@in.example.com"
CONFIG = f"""
[rules]
paths = ["{ROOT}/rules"]

[smtp]
listen = ["127.0.0.1:0"]

[web]
listen = "127.0.0.1:0"
"""
BEFORE = f"""
[[mailbox]]
address = "{BOX}"
location = "MAIN-ST"
company = "acme"
pms = ["sitelink"]
trust = [{{network = "127.0.0.0/8"}}]
"""


def mail(sender: str, subject: str, day: str, text: str) -> bytes:
    """Return a mail of ten in the morning on a day such as ``02 May``."""
    made = EmailMessage(policy=policy.SMTP)
    made["From"] = sender
    made["To"] = BOX
    made["Subject"] = subject
    made["Date"] = f"{day} 2026 10:00:00 -0500"
    made.set_content(text)
    return made.as_bytes()


def old_move_in(unit: str, tenant: str) -> bytes:
    """Return a move-in of the old PMS."""
    text = f"Tenant ID: {tenant}\nUnit: {unit}\nMove-In Date: 04/01/2026\n"
    return mail("noreply@sitelink.com", "Move In Notification", "01 Apr", text)


def old_move_out(day: str, on: str) -> bytes:
    """Return a move-out of the old PMS."""
    text = f"Tenant ID: T-2\nUnit: B205\nMove-Out Date: {on}\n"
    return mail("noreply@sitelink.com", "Move Out Notification", day, text)


def new_move_in(unit: str, account: str) -> bytes:
    """Return a move-in of the new PMS."""
    text = f"Hi Jane,\n\nyou have rented unit {unit} on 05/02/2026, account {account}.\n"
    return mail("notices@storedge.com", f"Welcome to unit {unit}!", "02 May", text)


def tenants_of_before(walk: Walk) -> None:
    for unit, tenant in (("B204", "T-1"), ("B205", "T-2"), ("B206", "T-3")):
        walk.send(old_move_in(unit, tenant), BOX)


def sample(walk: Walk) -> None:
    (walk.gatepost.folder / "sample.eml").write_bytes(new_move_in("204", "00777"))


def first_days(walk: Walk) -> None:
    walk.send(old_move_out("30 Apr", "04/30/2026"), BOX)
    walk.send(new_move_in("205", "00779"), BOX)
    walk.send(new_move_in("207", "00778"), BOX)


def late_mail(walk: Walk) -> None:
    walk.send(old_move_out("02 May", "05/02/2026"), BOX)


STEPS: dict[str, Callable[[Walk], None] | None] = {
    "Before the day: write down which unit is which": tenants_of_before,
    "Before the day: the new names": None,
    "Before the day: does the new pack read the new mails?": sample,
    "The day, and the days after": first_days,
    "Mails of the old PMS that come late": late_mail,
    "Reconcile with the rent roll of the new PMS": None,
    "When it went wrong": None,
}


def test_the_page_is_walked(tmp_path: Path) -> None:
    """One site changes its PMS beside a running Gatepost; each command prints what the page says."""
    sections = parts(PAGE)
    assert list(sections) == list(STEPS)
    wrong: list[str] = []
    with Gatepost(tmp_path, f'{CONFIG}\n[store]\nurl = "sqlite:///{tmp_path}/gatepost.db"\n{BEFORE}') as gatepost:
        walk = Walk(gatepost)
        for heading, section in sections.items():
            step = STEPS[heading]
            wrong += [f"{heading}: {fault}" for fault in walk.go(section, (step,) if step else ())]
        assert not wrong, "\n\n".join(wrong)
        shown = {name: gatepost.unit(name) for name in ("MAIN-ST-B204", "MAIN-ST-B205", "MAIN-ST-204", "MAIN-ST-205")}
    assert shown["MAIN-ST-204"] is shown["MAIN-ST-205"] is None
    assert shown["MAIN-ST-B204"] is not None
    assert shown["MAIN-ST-B204"]["pms_tenant_id"] == "T-1"
