"""Values that a mail program broke over two lines: half of one is never taken where that can be told."""

import pytest

from parsers import Mailbox, Outcome, Reading, load_rules, parse_mail
from tests.parsers.test_fields import read
from worker.fixtures import FIXTURES

FIELDS = "{label: Unit}\n      by: {label: Facility, optional: true}"
LONG = "Main Street Storage, Parking, Lockers, Mailboxes and Cellars in Harborview"


def reading_of(text: str, *, fields: str = FIELDS, more: str = "", kind: str = "text/plain") -> Reading:
    return read(fields, f"Unit: A1\n{text}", more=more, kind=kind)


@pytest.mark.parametrize(
    "text",
    [
        "Facility: Main Street Storage and\nWine Cellar\n",
        "Facility:\tSmith &\nSons\n",
        "Facility: Main Street 12,\nSpringfield\nThank you\n",
        "Facility: Lager für Möbel und\nWein\n",
        f"Facility: {LONG[:60]}\nHarborview\n",
    ],
)
def test_a_text_that_may_go_on_below_is_held(text: str) -> None:
    """The line is named, so that a rule may say that it is none of the value."""
    reading = reading_of(text)
    assert (reading.outcome, reading.events) == (Outcome.INVALID, ())
    assert "`by` (line 2) may go on in line 3" in (reading.reason or "")
    below = text.split("\n")[1]
    assert reading_of(text, more=f'ignore_lines: ["^{below}"]').events
    pattern = FIELDS.replace("optional", "pattern: '.+', optional")
    assert reading_of(text, fields=pattern).events


@pytest.mark.parametrize(
    "text",
    [
        "Facility: Main Street Storage\nThank you for your business\n",
        "Facility: Main Street Storage and\n\nWine Cellar\n",
        "Facility: Main Street Storage and\nTenant: Ann\n",
        "Facility: Main Street Storage and\nTenant\tAnn\n",
        "Facility: Main Street Storage and",
        "Facility: -\nThank you\n",
        f"Facility: {LONG[:40]}\nHarborview\n",
        f"Facility: {LONG} {LONG}\nHarborview\n",
    ],
)
def test_a_text_that_ends_where_its_line_ends_is_read(text: str) -> None:
    """What stands apart or is a label of its own is no rest, nor is a line below one that no program breaks there."""
    assert reading_of(text).events


def test_lines_of_html_and_of_flowed_text_are_no_halves() -> None:
    """Line breaks of HTML are none of a program that breaks lines, and those of format=flowed are undone."""
    page = "<p>Unit: A1</p><div>Facility: Storage and</div><div>Wine Cellar</div>"
    assert read(FIELDS, page, kind="text/html").events
    flowed = read(FIELDS, "Unit: A1\nFacility: Main Street \nCellar and \nWine\n", kind="text/plain; format=flowed")
    assert len(flowed.events) == 1


def test_a_site_that_is_named_by_half_is_another_site_still() -> None:
    """What a mail says of its site is compared as far as it is read: a doubt would pass for a mail that names none."""
    raw = (FIXTURES / "sitelink" / "01-move-in-text.eml").read_bytes()
    wrapped = raw.replace(b"Demo Self Storage", b"Demo Self Storage and\r\nWine Cellar")
    assert wrapped != raw
    mailbox = Mailbox(address="main@in.example.com", company="acme", location="MAIN")
    reading = parse_mail(wrapped, load_rules([FIXTURES.parent / "rules"]), mailbox=mailbox)
    assert reading.location_name == "Demo Self Storage and"
    assert reading.events
