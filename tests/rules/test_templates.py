"""Packs as templates: an event written as the mail of its pack, and read again, is the same event.

Names, numbers of tenants and units are of any script; amounts and dates are written as the pack's system writes them.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import Mailbox, Outcome, RuleSet, load_rules, parse_mail
from parsers.text import normal
from tests.mutants.draft import Draft, Form, Grid, Heading, Note, Pair, Pairs, Raw, Setting, octets_of

ROOT = Path(__file__).resolve().parents[2]
RULES = load_rules([ROOT / "rules"])
MAILBOX = Mailbox(address="main@demo.test", company="demo", location="MAIN")
DATE = "Fri, 01 May 2026 09:30:00 -0500"

pytestmark = pytest.mark.law

_letters = st.characters(categories=("Lu", "Ll", "Lt", "Lo", "Mn", "Mc", "Nd"))


def is_plain(text: str) -> bool:
    """Say whether a text is in the normal form, begins as a value does, and is no word that a table knows."""
    return normal(text) == text and text[:1].isalnum() and not text.casefold().startswith(("none", "total"))


def words(longest: int, between: str) -> st.SearchStrategy[str]:
    """Return texts of letters and digits of any script, with some signs between them."""
    return st.text(_letters | st.sampled_from(between), min_size=1, max_size=longest).filter(is_plain)


units = st.one_of(
    st.sampled_from(("B204", "12", "A-12.3", "0012", "1-2", "Ä7", "7é", "Ж-9", "مخزن5", "倉庫12")), words(12, "-./#")
)
ids = st.one_of(st.sampled_from(("T-5001", "000123", "88123", "SZ-40031")), words(16, "-."))
names = st.one_of(st.sampled_from(("Jane Smith", "José Ñandú", "Łucja Żak", "李雷", "O'Brien, Pat")), words(30, " -'."))
dates = st.dates(dt.date(2000, 1, 1), dt.date(2060, 12, 31))
amounts = st.decimals(0, 99_999, places=2)


def dollars(amount: Decimal) -> str:
    return f"${amount:,.2f}"


@dataclass(frozen=True, kw_only=True)
class Template:
    """How a pack's system writes one kind of mail, and the events that it tells."""

    rule: str
    sender: str
    subject: str
    labels: Mapping[str, str]
    """The text behind each label, with the names of values in braces."""
    style: str
    """How dates are written."""
    tells: Callable[[dict[str, Any]], list[tuple[str, str, dict[str, Any]]]]
    """Kind, unit and body of each event."""


def move_in(values: dict[str, Any], *, ledger: bool = True) -> tuple[str, str, dict[str, Any]]:
    body = {
        "pms_tenant_id": values["tenant"], "move_in_date": values["on"].isoformat(), "unit_name": values["unit"],
        "pms_location_code": "MAIN",
    }  # fmt: skip
    return "move_in", values["unit"], body | ({"ledger_id": values["ledger"]} if ledger else {})


def moved_in_and_paid(values: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [move_in(values), ("patch", values["unit"], {"paid_through_date": values["through"].isoformat()})]


def paid(values: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    body = {"paid_through_date": values["through"].isoformat(), "balance_due": values["amount"]}
    return [("patch", values["unit"], body)]


def moved_out(values: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [("move_out", values["unit"], {})]


TEMPLATES = (
    Template(
        rule="sitelink/move-in", sender="sitelink.com", subject="Move In Notification", style="%m/%d/%Y",
        labels={"Tenant": "{name}", "Tenant ID": "{tenant}", "Ledger ID": "{ledger}", "Unit": "{unit}",
                "Move-In Date": "{on}",
                "Paid Thru": "{through}"},
        tells=moved_in_and_paid,
    ),
    Template(
        rule="sitelink/move-out", sender="sitelink.com", subject="Move Out Notification", style="%m/%d/%Y",
        labels={"Unit": "{unit}", "Tenant": "{name}", "Tenant ID": "{tenant}",
                "Move-Out Date": "{on}"}, tells=moved_out,
    ),
    Template(
        rule="sitelink/overlock", sender="sitelink.com", subject="Overlock: Unit {unit}", style="%m/%d/%Y",
        labels={"Unit": "{unit}", "Tenant ID": "{tenant}", "By": "facility"},
        tells=lambda values: [("patch", values["unit"], {"pms_lockout": True})],
    ),
    Template(
        rule="sitelink/overlock-reversed", sender="sitelink.com", subject="Reverse: Overlock: Unit {unit}",
        style="%m/%d/%Y",
        labels={"Unit": "{unit}", "Tenant ID": "{tenant}"},
        tells=lambda values: [("patch", values["unit"], {"pms_lockout": False})],
    ),
    Template(
        rule="sitelink/nsf-reversal", sender="sitelink.com", subject="NSF Payment Reversal", style="%m/%d/%Y",
        labels={"Unit": "{unit}", "Tenant ID": "{tenant}", "New Balance": "{amount}",
                "Paid Thru": "{through}"}, tells=paid,
    ),
    Template(
        rule="sitelink/transfer", sender="sitelink.com", subject="Transfer Notification", style="%m/%d/%Y",
        labels={"From Unit": "{other}", "To Unit": "{unit}", "Tenant ID": "{tenant}", "Ledger ID": "{ledger}",
                "Transfer Date": "{on}"},
        tells=lambda values: [move_in(values), ("move_out", values["other"], {})],
    ),
    Template(
        rule="easystorage/new-rental", sender="storageunitsoftware.com", subject="New Rental - Unit {unit}",
        style="%m/%d/%Y",
        labels={"Unit": "{unit}", "Customer": "{name}", "Customer ID": "{tenant}", "Rental ID": "{ledger}",
                "Status": "Active",
                "Move In Date": "{on}"},
        tells=lambda values: [move_in(values)],
    ),
    Template(
        rule="easystorage/payment-receipt", sender="storageunitsoftware.com", subject="Payment Receipt - {name}",
        style="%m/%d/%Y", tells=paid,
        labels={"Unit(s)": "{unit}", "Customer": "{name}", "Amount Paid": "$129.00", "Payment Date": "{on}",
                "Paid Through": "{through}", "Account Balance": "{amount}"},
    ),
    Template(
        rule="storitz/move-in", sender="storitz.com", subject="Storitz - Confirmation for {name}", style="%m/%d/%y",
        labels={"Storitz ID#": "{tenant}", "Transaction #": "{ledger}",
                "Property Name": "Demo Self Storage", "Unit #": "{unit}",
                "Move-in Date": "{on}", "Rent is Paid Through": "{through}", "Payment Received": "$99.00",
                "Tenant Name": "{name}"},
        tells=moved_in_and_paid,
    ),
    Template(
        rule="sixstorage/move-in", sender="6storage.com", subject="New Move-In: {unit}", style="%m/%d/%Y",
        labels={"Unit Number": "{unit}", "Customer": "{name}", "Customer ID": "{tenant}", "Lease ID": "{ledger}",
                "Move-In Date": "{on}"},
        tells=lambda values: [move_in(values)],
    ),
    Template(
        rule="sixstorage/access-granted", sender="6storage.com", subject="Access Granted: {unit}", style="%m/%d/%Y",
        labels={"Unit Number": "{unit}", "Customer": "{name}"},
        tells=lambda values: [("patch", values["unit"], {"pms_lockout": False})],
    ),
    Template(
        rule="doorswap/lease-creation", sender="domico.com", subject="Lease Creation", style="%Y-%m-%d",
        labels={"Unit": "{unit}", "Customer": "{name}", "Customer No.": "{tenant}", "Lease No.": "{ledger}",
                "Start Date": "{on}"},
        tells=lambda values: [move_in(values)],
    ),
    Template(
        rule="doorswap/lease-closed", sender="domico.com", subject="Lease Closed", style="%Y-%m-%d",
        labels={"Unit": "{unit}", "Customer No.": "{tenant}", "Lease No.": "{ledger}",
                "End Date": "{on}"}, tells=moved_out,
    ),
    Template(
        rule="storagetreasures/auction-scheduled", sender="storagetreasures.com",
        subject="Auction Scheduled - Unit {unit}",
        labels={"Unit": "{unit}", "Auction ID": "{ledger}", "Reason": "Past due"}, style="%m/%d/%Y",
        tells=lambda values: [("patch", values["unit"], {"pms_auction": True})],
    ),
    Template(
        rule="noke/locked", sender="janusintl.com", subject="Unit {unit}: Overlocked", style="%Y-%m-%d",
        labels={"Unit": "{unit}", "Status": "Overlocked", "Time": "2026-05-01 09:12"},
        tells=lambda values: [("patch", values["unit"], {"pms_lockout": True, "pms_status_raw": "Overlocked"})],
    ),
)  # fmt: skip


def draft(sender: str, subject: str, *body: Any, form: Form = Form.PLAIN) -> Draft:
    return Draft(head=(("From", f"notices@{sender}"), ("Date", DATE)), subject=subject, body=body, form=form)


def told(written: Draft, rules: RuleSet = RULES) -> tuple[str | None, list[tuple[str, str, dict[str, Any]]]]:
    """Return the rule that reads a mail and the events that it gives."""
    reading = parse_mail(octets_of(written), rules, mailbox=MAILBOX)
    assert reading.outcome is Outcome.EVENTS, f"{reading.rule}: {reading.reason}"
    return reading.rule, [(str(event.kind), event.unit, dict(event.body)) for event in reading.events]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.rule)
@given(
    values=st.fixed_dictionaries({
        "unit": units, "other": units, "tenant": ids, "ledger": ids, "name": names, "on": dates, "through": dates,
        "amount": amounts,
    }),
    form=st.sampled_from(Form),
    setting=st.sampled_from((Setting.LINES, Setting.ROWS, Setting.ITEMS)),
    chance=st.randoms(use_true_random=False),
)  # fmt: skip
def test_what_is_written_is_read(
    template: Template, values: dict[str, Any], form: Form, setting: Setting, chance: Any
) -> None:
    """Whatever stands for the values, in text or HTML and in any order, the events are those that were written."""
    texts = {
        name: value.strftime(template.style) if isinstance(value, dt.date) else value for name, value in values.items()
    }
    texts["amount"] = dollars(values["amount"])
    pairs = [Pair(label=label, value=text.format(**texts)) for label, text in template.labels.items()]
    chance.shuffle(pairs)
    written = draft(
        template.sender,
        template.subject.format(**texts),
        Pairs(pairs=tuple(pairs), setting=setting),
        Note(text="Thank you."),
        form=form,
    )
    rule, events = told(written)
    assert rule == template.rule
    expected = template.tells(values)
    assert [(kind, unit) for kind, unit, _ in events] == [(kind, unit) for kind, unit, _ in expected]
    for (_, _, found), (_, _, body) in zip(events, expected, strict=True):
        assert {name: found.get(name) for name in body} == body
        assert set(found) - set(body) <= {"pms_status_raw"}


@given(
    rows=st.lists(st.tuples(units, dates, dates, amounts, st.booleans()), min_size=1, max_size=12),
    form=st.sampled_from(Form),
    setting=st.sampled_from((Setting.TABS, Setting.BARS, Setting.COLUMNS)),
)
def test_rows_that_are_written_are_read(
    rows: list[tuple[str, dt.date, dt.date, Decimal, bool]], form: Form, setting: Setting
) -> None:
    """Each row of a table is one event, in its order; a credit is a balance of nothing."""
    cells = [
        (unit, due.isoformat(), through.isoformat(), f"({dollars(amount)})" if is_credit else dollars(amount))
        for unit, due, through, amount, is_credit in rows
    ]
    grid = Grid(rows=(("Unit", "Due Date", "Paid Through", "Balance"), *cells), setting=setting)
    _, events = told(draft("domico.com", "Payment Received", grid, Note(text="Thank you."), form=form))
    assert events == [
        ("patch", unit, {"paid_through_date": through.isoformat(), "balance_due": Decimal(0) if is_credit else amount})
        for unit, _, through, amount, is_credit in rows
    ]


@given(out=st.lists(units, max_size=6), removed=st.lists(units, max_size=6), form=st.sampled_from(Form))
def test_both_tables_of_a_digest_are_read(out: list[str], removed: list[str], form: Form) -> None:
    """Every unit that was locked out and every one that was let in is told, and no other."""

    def table(of: list[str]) -> Grid | Note:
        rows = (("Unit", "Customer", "Balance"), *((unit, "Jane Smith", "$1.00") for unit in of))
        return Grid(rows=rows, setting=Setting.TABS) if of else Note(text="None")

    body = (Heading(text="Locked Out"), table(out), Heading(text="Lockouts Removed"), table(removed))
    if not out and not removed:
        return
    subject = "Lockout and Lockout Removal Report - Demo - 05/02/2026"
    _, events = told(draft("storageunitsoftware.com", subject, *body, Note(text="Thank you."), form=form))
    expected = [(unit, {"pms_lockout": True}) for unit in out] + [(unit, {"pms_lockout": False}) for unit in removed]
    assert [(unit, body) for _, unit, body in events] == expected


@given(unit=units, tenant=ids, ledger=ids, on=dates)
def test_structured_data_that_is_written_is_read(unit: str, tenant: str, ledger: str, on: dt.date) -> None:
    """A block of structured data gives the move-in that it states."""
    block = {
        "@type": "PmsEvent", "event": "move_in", "unit": unit, "pms_tenant_id": tenant, "ledger_id": ledger,
        "move_in_date": on.isoformat(),
    }  # fmt: skip
    script = Raw(html=f'<script type="application/ld+json">{json.dumps(block)}</script><p>Notice</p>')
    _, events = told(draft("sitelink.com", "Notice", script, form=Form.HTML))
    assert events == [move_in({"unit": unit, "tenant": tenant, "ledger": ledger, "on": on})]
