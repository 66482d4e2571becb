"""``rules new`` over tables: rows of a mail or of an attached file become a rule with `each`, or are refused."""

import datetime as dt
import json
from typing import Any

import pytest

from parsers import RuleSet, load_rules_text, parse_mail, read_mail
from tests.rigs.gatepost import FIXTURES
from tests.rigs.sheets import mail_with, xlsx
from worker.draft import Draft, draft_rule
from worker.fixtures import fixture_mailbox
from worker.lexicon import Happening
from worker.sampled import NotDrafted

REPORT = "Lockout and Lockout Removal Report - Pier"


def page(subject: str, body: str) -> bytes:
    """Return a mail of HTML."""
    head = f"From: office@pier.test\nSubject: {subject}\nDate: Fri, 01 May 2026 09:30:00 -0500\n"
    return f"{head}Content-Type: text/html; charset=utf-8\n\n<html><body>{body}</body></html>\n".encode()


def table(head: tuple[str, ...], *rows: tuple[str, ...]) -> str:
    """Return a table of HTML with the headings of its columns."""
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{title}</th>' for title in head)}</tr>{lines}</table>"


def digest(out: str, removed: str) -> bytes:
    return page(REPORT, f"<h3>Locked Out</h3>{out}<h3>Lockouts Removed</h3>{removed}")


def draft(*mails: bytes, event: Happening | None = None) -> Draft:
    return draft_rule([read_mail(raw) for raw in mails], "pier", {}, event=event)


def told(made: Draft, raw: bytes) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """Return the outcome, and unit and body of each event, of a mail that a draft reads."""
    rules: RuleSet = load_rules_text({"pier.yaml": made.text})
    reading = parse_mail(raw, rules, mailbox=fixture_mailbox("pier", {}))
    return str(reading.outcome), [(event.unit, dict(event.body)) for event in reading.events]


def test_each_table_says_what_its_heading_says() -> None:
    """Two tables under headings become two blocks, in their order, and what stands for no rows is known."""
    head = ("Unit", "Customer", "Days Past Due")
    none = "<p>None</p>"
    made = draft(
        digest(table(head, ("A1", "Ann", "8"), ("A2", "Bo", "9")), none), digest(none, table(head, ("B1", "Cy", "0")))
    )
    further = digest(table(head, ("C7", "Di", "3")), table(head, ("C8", "Ed", "0")))
    assert told(made, further) == ("events", [("C7", {"pms_lockout": True}), ("C8", {"pms_lockout": False})])
    nothing = digest(none, none)
    assert told(made, nothing)[1] == []
    assert any("Days Past Due" in doubt for doubt in made.doubts)


def test_a_shipped_digest_is_read_as_its_pack_reads_it() -> None:
    """A draft of two digests reads the others of the pack: the same units, locked and let in."""
    paths = sorted((FIXTURES / "easystorage").glob("*-lockout-report-*.eml"))
    expected = {path: json.loads(path.with_suffix(".expected.json").read_text("utf-8"))["expected"] for path in paths}
    good = [path for path in paths if expected[path]["outcome"] == "events"]
    samples = [path for path in good if "-none-" in path.stem]
    made = draft(*(path.read_bytes() for path in samples))
    assert (len(samples), len(good)) >= (2, 5)
    for path in good:
        wanted = [(event["unit"], event["body"]["pms_lockout"]) for event in expected[path]["events"]]
        outcome, events = told(made, path.read_bytes())
        assert (outcome, [(unit, body["pms_lockout"]) for unit, body in events]) == ("events", wanted), path


@pytest.mark.parametrize("name", ["report.csv", "report.xlsx"])
def test_the_rows_of_an_attached_file_are_read(name: str) -> None:
    """Groups and totals of a file are passed over, and the balance of an account is left out."""

    def mail(*units: str) -> bytes:
        rows = [("Report",), ("Unit", "Tenant", "Paid Through", "Balance"), ("Stage 1",)]
        rows += [(unit, "Ann", "05/31/2026", "1.00") for unit in units] + [("Total", "", "", "9.00")]
        text = "\n".join(",".join(row) for row in rows).encode()
        return mail_with(
            {name: xlsx(rows) if name.endswith("xlsx") else text}, subject="Payments", sender="a@pier.test"
        )

    made = draft(mail("A1", "A2"), mail("B1"))
    expected = [(unit, {"paid_through_date": "2026-05-31"}) for unit in ("0012", "C-9")]
    assert told(made, mail("0012", "C-9")) == ("events", expected)
    assert any("`Balance` is left out" in doubt for doubt in made.doubts)
    assert told(made, mail("A1", "office"))[0] == "invalid"


def test_dates_that_a_spreadsheet_keeps_need_no_format() -> None:
    """A date of a workbook is read as one, be it a number there, a date or a text."""
    kept = (("A1", dt.date(2026, 5, 31)), ("A2", 46173), ("A3", "05/31/2026"))
    mail = mail_with({"r.xlsx": xlsx([("Unit", "Paid Through"), *kept])}, subject="Payments", sender="a@pier.test")
    assert told(draft(mail), mail)[1] == [(unit, {"paid_through_date": "2026-05-31"}) for unit, _ in kept]
    serials = mail_with({"r.xlsx": xlsx([("Unit", "Paid Through"), kept[1]])}, subject="Payments", sender="a@pier.test")
    assert told(draft(serials), serials)[1] == [("A2", {"paid_through_date": "2026-05-31"})]


@pytest.mark.parametrize(
    ("subject", "heading", "head", "row", "why"),
    [
        ("Gate Lockout", "", ("Unit", "Customer", "Locked out"), ("A1", "Ann", "Yes"), "tells rows apart"),
        ("Gate Lockout", "", ("Unit", "Customer", "Gate"), ("A1", "Ann", "no"), "tells rows apart"),
        ("Moved in", "", ("Unit", "Type", "Date"), ("A1", "Move In", "05/01/2026"), "tells rows apart"),
        ("Gate Lockout", "Entsperrt", ("Unit", "Customer", "Days"), ("A1", "Ann", "3"), "`Entsperrt`, does not say"),
        (REPORT, "", ("Unit", "Customer", "Days"), ("A1", "Ann", "3"), "the subject does not say"),
        ("Moved in", "", ("Unit", "Customer", "Days"), ("A1", "Ann", "3"), "no column for tenant_id, moved_in"),
    ],
)  # fmt: skip
def test_a_table_that_is_not_understood_is_refused(
    subject: str, heading: str, head: tuple[str, ...], row: tuple[str, ...], why: str
) -> None:
    """Rows are never taken to say what another column, or a heading, may say otherwise."""
    above = f"<h3>{heading}</h3>" if heading else ""
    with pytest.raises(NotDrafted, match=why):
        draft(page(subject, above + table(head, row)))


def test_tables_without_headings_are_refused() -> None:
    """Two tables that nothing tells apart, and what one word says of several tables, are for a person."""
    one = table(("Unit", "Customer", "Days"), ("A1", "Ann", "3"))
    with pytest.raises(NotDrafted, match="told apart by headings"):
        draft(page("Gate Lockout", f"{one}<p>And:</p>{one}"))
    with pytest.raises(NotDrafted, match="--event takes to say the same"):
        draft(page("Gates", f"<h3>Locked Out</h3>{one}<h3>Back</h3>{one}"), event=Happening.LOCKED)


def test_a_table_that_tells_nothing_is_ignored() -> None:
    """What is only requested stands in a table as well as beside labels."""
    rows = table(("Unit", "Customer", "Days"), ("A1", "Ann", "3"))
    assert "    ignore:" in draft(page("Move Out Request", rows)).text
    assert "    ignore:" in draft(page("Gate Lockout", rows), event=Happening.NOTHING).text


def test_a_unit_beside_its_label_goes_before_a_table() -> None:
    """A notice with a table of prices is a notice."""
    made = draft(page("Gate Lockout", f"<p>Unit: A1</p>{table(('Unit', 'Fee', 'Tax'), ('1', '$2.00', '$0.10'))}"))
    assert "each:" not in made.text


def test_label_rows_are_no_table() -> None:
    """Two cells of a label and its value are read as before, whether or not the value has a digit."""
    rows = "<table><tr><td>Unit</td><td>K</td></tr><tr><td>Customer</td><td>Ann</td></tr></table>"
    assert "each:" not in draft(page("Gate Lockout", rows)).text
