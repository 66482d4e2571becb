"""Lists that a line break cut: an item in the line below is never left out in silence."""

from decimal import Decimal
from email.message import EmailMessage

import pytest

from parsers import Mailbox, Outcome, Reading, load_rules_text, parse_mail

MAILBOX = Mailbox(address="main@demo.test", company="demo", location="MAIN")
RULES = load_rules_text(
    {
        "demo.yaml": """\
pack: demo
senders: [example.com]
rules:
  - id: paid
    when: {subject: ^Paid}
    fields:
      units: {label: ["Unit(s)"], type: list, split: [",", "&", " and "]}
      balance: {label: Balance, type: money, optional: true}
    ignore_lines: ["^Receipt", "^Thank you"]
    each: {list: units, as: unit}
    events: [{patch: {unit: unit, balance_due: {value: balance, if: single}}}]
"""
    }
)
TAIL = "Balance: 25.00\n\nThank you for your business.\nSuite 12, Main Street\n"


def read(body: str, kind: str = "plain") -> Reading:
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "a@example.com", "Paid"
    mail["Date"] = "Fri, 01 May 2026 09:30:00 -0500"
    mail.set_content(body, subtype=kind)
    return parse_mail(mail.as_bytes(), RULES, mailbox=MAILBOX)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("Unit(s): A12\nA14\n", 2),
        ("Unit(s): A12\n         A14\n", 2),
        ("Unit(s): A12, A14\n& B3\n", 2),
        ("Unit(s): A12\nand Penthouse\n", 2),
        ("Unit(s): A12 and\nA14\n", 2),
        ("Unit(s): A12,\nA14\n", 2),
        ("Unit(s): A12\nB 3, C4\n", 2),
        ("Unit(s): A12\n*A14*\n", 2),
        ("Unit(s): Garage 2\nGarage 3\n", 2),
        ("Unit(s): A12\n\nA14\n\n", 2),
        ("Unit(s):\nA12\nA14\n", 3),
        ("Unit(s):\n- A12\n- A14\n", 3),
        ("Unit(s)\tA12\nA14\n", 2),
        ("Unit(s)\tA12\nA14\tJane\n", 2),
    ],
)
def test_a_list_that_may_go_on_in_the_line_below_is_held(body: str, line: int) -> None:
    """The reason names the line; nothing is told of the units that are left."""
    tail = TAIL if "Unit(s):\n" not in body else TAIL.replace("Balance: ", "Balance:\n")
    reading = read(body + tail)
    assert (reading.outcome, reading.events) == (Outcome.INVALID, ()), reading.events
    assert f"may go on in line {line}" in (reading.reason or ""), reading.reason


def test_a_cell_that_goes_over_two_rows_is_a_list_that_goes_on() -> None:
    """A label beside two rows of a table of HTML has two values."""
    rows = "<tr><td rowspan=2>Unit(s)</td><td>A12</td></tr><tr><td>A14</td></tr><tr><td>Balance</td><td>25.00</td></tr>"
    reading = read(f"<table>{rows}</table>", "html")
    assert (reading.outcome, reading.events) == (Outcome.INVALID, ())
    assert "may go on in line 2" in (reading.reason or "")


@pytest.mark.parametrize("body", ["Unit(s): A12 and\n", "Unit(s): A12 &\n", "Unit(s): A12,\n"])
def test_a_list_that_ends_with_a_separator_lacks_an_item(body: str) -> None:
    """A list is whole or it is held."""
    reading = read(body + TAIL)
    assert (reading.outcome, reading.events) == (Outcome.INVALID, ())
    assert "left out" in (reading.reason or "")


@pytest.mark.parametrize(
    "below",
    [
        "Thanks for your payment\n",
        "We have received it, thank you\n",
        "Demo Self Storage\n",
        "Regards\n",
        "Gate code 1234\n",
        "12 miles from the next town we have more units\n",
        "Receipt 5\n",
        "Unit size\t10x10\n",
        "Paid on: 5\n",
        "\nSuite 12\n",
        "\nSome prose.\nA14\n",
    ],
)
def test_what_is_no_item_below_a_list_says_nothing_of_it(below: str) -> None:
    """Sentences, labels, known noise, and what stands further below."""
    reading = read(f"Unit(s): A12\n{below}{TAIL}")
    assert [(event.unit, dict(event.body)["balance_due"]) for event in reading.events] == [("A12", Decimal("25.00"))], (
        reading.reason
    )
