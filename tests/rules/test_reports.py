"""Tables and files as templates: rows written as a report of their pack, and read again, are the same events."""

import csv
import datetime as dt
import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from io import StringIO
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mutants.draft import Draft, Form, Grid, Heading, Note, Setting
from tests.rigs.sheets import xlsx
from tests.rules.written import (
    Told,
    amounts,
    attached,
    dates,
    dollars,
    draft,
    ids,
    move_in,
    move_out,
    names,
    read,
    told,
    units,
)

pytestmark = pytest.mark.law

_KEPT_DIGITS = 15
"""A spreadsheet keeps so many of a number: nobody writes a longer one as a number and gets it back."""

Cell: TypeAlias = str | dt.date | Decimal


class Written(StrEnum):
    """What the file of a report is."""

    COMMAS = "commas"
    SEMICOLONS = "semicolons"
    TABS = "tabs"  # in UTF-16, as a spreadsheet saves a text
    XLSX = "xlsx"


_DELIMITERS = {Written.COMMAS: ",", Written.SEMICOLONS: ";", Written.TABS: "\t"}


def report(sender: str, subject: str, rows: Sequence[Sequence[Cell]], form: Written) -> Draft:
    """Return a mail with rows as an attached file."""
    if form is Written.XLSX:
        part = attached("report.xlsx", xlsx([[_in_a_sheet(cell) for cell in row] for row in rows]))
    else:
        out = StringIO()
        csv.writer(out, delimiter=_DELIMITERS[form]).writerows([[_in_a_text(cell) for cell in row] for row in rows])
        part = attached("report.csv", out.getvalue().encode("utf-16" if form is Written.TABS else "utf-8-sig"))
    return draft(sender, subject, Note(text="The report is attached."), parts=(part,))


def _in_a_sheet(cell: Cell) -> Any:
    """Return what a spreadsheet makes of a cell: a number of what looks like one to it."""
    if isinstance(cell, str):
        return int(cell) if _is_number(cell) else cell or None
    return cell


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and str(int(text)) == text and len(text) <= _KEPT_DIGITS


def _in_a_text(cell: Cell) -> str:
    if isinstance(cell, Decimal):
        return dollars(cell) if cell >= 0 else f"({dollars(-cell)})"
    return cell.strftime("%m/%d/%Y") if isinstance(cell, dt.date) else cell


@pytest.mark.parametrize("subject", ["Payment Received", "Bounced Payment"])
@given(
    rows=st.lists(st.tuples(units, dates, dates, amounts, st.booleans()), min_size=1, max_size=12),
    form=st.sampled_from(Form),
    setting=st.sampled_from((Setting.TABS, Setting.BARS, Setting.COLUMNS)),
)
def test_rows_that_are_written_are_read(
    subject: str, rows: list[tuple[str, dt.date, dt.date, Decimal, bool]], form: Form, setting: Setting
) -> None:
    """Each row of a table is one event, in its order; a credit is a balance of nothing."""
    cells = [
        (unit, due.isoformat(), through.isoformat(), f"({dollars(amount)})" if is_credit else dollars(amount))
        for unit, due, through, amount, is_credit in rows
    ]
    grid = Grid(rows=(("Unit", "Due Date", "Paid Through", "Balance"), *cells), setting=setting)
    _, events = told(draft("domico.com", subject, grid, Note(text="Thank you."), form=form))
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


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(("Ann Lee", "李雷", "Ñu, Bo")) | names, units, dates, amounts, st.booleans()),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[1],
    ),
    form=st.sampled_from(Written),
)
def test_a_delinquency_report_grouped_by_stage_is_read(
    rows: list[tuple[str, str, dt.date, Decimal, bool]], form: Written
) -> None:
    """Each row tells its paid-through date; the balance of the account is told of a tenant's only unit."""
    written: list[Sequence[Cell]] = [
        ("Delinquency Stages",),
        ("As of", dt.date(2026, 5, 1)),
        (),
        ("Tenant", "Unit", "Move-in date", "Days past due", "Paid through date", "Account balance"),
    ]
    for tenant, unit, through, amount, begins_stage in rows:
        written += [("Stage 2: Overlock",)] if begins_stage else []
        written.append((tenant, unit, dt.date(2024, 3, 1), "8", through, amount))
    written.append(("Total", "", "", "", "", Decimal(1)))
    count = Counter(tenant for tenant, *_ in rows)
    mail = report("storedge.com", "Delinquency Stages", written, form)
    expected: list[Told] = []
    for tenant, unit, through, amount, _ in rows:
        balance = {"balance_due": amount} if count[tenant] == 1 else {}
        expected.append(("patch", unit, {"paid_through_date": through.isoformat(), **balance}))
    assert told(mail) == ("storedge/delinquency-report", expected)


@given(
    rows=st.lists(
        st.tuples(
            dates, st.sampled_from(("Move In", "Move-In", "TRANSFER IN", "Move Out", "Transfer Out")), names, units, ids
        ),
        min_size=1,
        max_size=8,
    ),
    title=st.sampled_from(("Tenant ID", "Account", "Account Number")),
    form=st.sampled_from(Written),
)
def test_a_report_of_moves_is_read(rows: list[tuple[dt.date, str, str, str, str]], title: str, form: Written) -> None:
    """Each row is a move-in or a move-out by its type, in its order."""
    head = ("Date", "Type", "Tenant", "Unit", "Rate", "User", title)
    written = [head, *((on, kind, name, unit, Decimal(99), "Kim", tenant) for on, kind, name, unit, tenant in rows)]
    expected: list[Told] = []
    for on, kind, _, unit, tenant in rows:
        values = {"on": on, "unit": unit, "tenant": tenant}
        expected.append((move_out if kind.endswith("Out") else move_in)(values, ledger=""))
    mail = report("storedge.com", "Move Ins/Outs/Transfers", written, form)
    assert told(mail) == ("storedge/moves-report", expected)


@given(
    rows=st.lists(st.tuples(units, st.booleans()), min_size=1, max_size=8, unique_by=lambda row: row[0]),
    form=st.sampled_from(Written),
)
def test_a_report_of_gate_access_is_read(rows: list[tuple[str, bool]], form: Written) -> None:
    """Each row says whether its unit is locked out."""
    written = [("Unit", "Locked out"), *((unit, "Yes" if is_locked else "No") for unit, is_locked in rows)]
    expected = [("patch", unit, {"pms_lockout": is_locked}) for unit, is_locked in rows]
    assert told(report("storedge.com", "Gate Access", written, form)) == ("storedge/gate-report", expected)


@given(
    groups=st.lists(
        st.tuples(names, st.lists(st.tuples(units, names, amounts, st.booleans()), min_size=1, max_size=4)),
        min_size=1,
        max_size=4,
        unique_by=lambda group: group[0],
    ),
    preamble=st.integers(0, 24),
    has_headings=st.booleans(),
)
def test_a_delinquency_report_in_both_layouts_is_read(
    groups: list[tuple[str, list[tuple[str, str, Decimal, bool]]]], preamble: int, has_headings: bool
) -> None:
    """Each row tells its balance, with headings below a preamble or without; totals tell nothing."""
    lead = [("Delinquency",), *[("",)] * preamble, ("Property", "Unit", "Tenant", "Amount")]
    written: list[Sequence[Cell]] = list(lead) if has_headings else []
    expected: dict[str, Decimal] = {}
    for number, (place, rows) in enumerate(groups):
        for row, (unit, tenant, amount, is_credit) in enumerate(rows):
            unit = f"{unit}.{number}{row}"  # a report says of no unit two things
            expected[unit] = Decimal(0) if is_credit else amount
            written.append(("" if row else place, unit, tenant, -amount if is_credit else amount))
        written.append((f"Total {place}", "", "", Decimal(1)))
    mail = report("appfolio.com", "Scheduled report: Delinquency", written, Written.XLSX)
    assert told(mail) == (
        "appfolio/delinquency-report",
        [("patch", unit, {"balance_due": amount}) for unit, amount in expected.items()],
    )


@pytest.mark.parametrize("event", ["tenant.created", "tenant.deleted", "payment.received"])
@given(
    values=st.fixed_dictionaries(
        {"unit": units, "tenant": ids, "ledger": ids, "on": dates, "through": dates, "amount": amounts}
    ),
    seconds=st.integers(0, 200_000_000),
    is_escaped=st.booleans(),
    are_numbers=st.booleans(),
)
def test_an_attached_event_is_read(
    event: str, values: dict[str, Any], seconds: int, is_escaped: bool, are_numbers: bool
) -> None:
    """A file of JSON gives the event that it states, at the moment that it states."""
    unit, tenant, ledger = (
        int(text) if are_numbers and _is_number(text) else text
        for text in (values["unit"], values["tenant"], values["ledger"])
    )
    at = dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    stated = {
        "event": event,
        "timestamp": at.isoformat(),
        "data": {
            "unit_id": unit, "tenant_id": tenant, "lease_id": ledger,
            "move_in_date": values["on"].isoformat() if event == "tenant.created" else None,
            "balance": float(values["amount"]), "paid_through": values["through"].isoformat(),
        },
        "webhook_id": "wh_1",
    }  # fmt: skip
    part = attached("event.json", json.dumps(stated, ensure_ascii=is_escaped).encode())
    mail = draft("propertymgmt.com", event, Note(text=f"The event {event} is attached."), parts=(part,))
    kind, unit_name, guarded = move_out(values)
    expected: dict[str, Told] = {
        "tenant.created": move_in(values),
        "tenant.deleted": (kind, unit_name, {key: text for key, text in guarded.items() if key != "on"}),
        "payment.received": (
            "patch", values["unit"],
            {"balance_due": values["amount"], "paid_through_date": values["through"].isoformat()},
        ),
    }  # fmt: skip
    assert told(mail) == (f"propertysaas/{event.replace('.', '-')}", [expected[event]])
    if event != "tenant.created":
        assert [one.effective_at for one in read(mail).events] == [at]
