"""Placeholders: what a PMS writes where it has no value names no unit, tenant or ledger."""

import pytest

from parsers import Outcome, load_rules_text, parse_mail
from tests.parsers.test_fields import MAILBOX, RULE, read, unit

HEAD = "From: a@example.com\nSubject: Note\nDate: Fri, 01 May 2026 09:30:00 -0500\n\n"
MARKS = [
    "<<Unit>>",
    "${unit}",
    "{unit}",
    "%UNIT%",
    "%%unit%%",
    "*|UNIT|*",
    "{{unit}}",
    "[[unit]]",
    "__UNIT__",
    "UNIT_NAME",
]
WORDS = ["N/A", "n/a", "N.A.", "NA", "-", "--", "*", "(none)", "None", "null", "undefined", "TBD", "To be allocated"]
WORDS += ["not yet assigned", "#N/A", "[unit]", "[A]", "<unit>"]


@pytest.mark.parametrize("written", MARKS + WORDS)
def test_a_placeholder_is_no_unit(written: str) -> None:
    """The mail is held, and the reason does not repeat what it says."""
    reading = read("{label: Unit}", f"Unit: {written}\nBy: us\n")
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ()), reading.events
    assert "`unit`" in (reading.reason or "")


@pytest.mark.parametrize("written", WORDS)
@pytest.mark.parametrize("name", ["pms_tenant_id", "ledger_id"])
def test_a_placeholder_is_no_tenant_and_no_ledger(written: str, name: str) -> None:
    """What an event expects in the unit is named, or the event is not made."""
    field = "{label: Unit}\n      by: {label: By, optional: true}"
    expecting = load_rules_text(
        {"demo.yaml": RULE.format(field=field, more="").replace("unit: unit,", f"unit: unit, expect: {{{name}: by}},")}
    )
    mails = [HEAD + f"Unit: A1\nBy: {by}\n" for by in ("T-5", written)]
    told, reading = [parse_mail(mail.encode(), expecting, mailbox=MAILBOX) for mail in mails]
    assert told.events[0].expect == {name: "T-5"}
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())
    assert f"`{name}`" in (reading.reason or "")


@pytest.mark.parametrize("written", ["A1", "NA1", "Nil 2", "A[1]", "5%", "Null Street 4", "A_1", "To 7", "(A)", "0"])
def test_a_unit_that_is_only_like_a_placeholder_is_one(written: str) -> None:
    """Whole words and whole marks count."""
    assert unit("{label: Unit}", f"Unit: {written}\nBy: us\n") == written


@pytest.mark.parametrize("written", ["None", "N/A", "-", "[Locked]"])
def test_words_of_other_fields_stay(written: str) -> None:
    """A text that names no unit may say that there is none."""
    assert unit("{label: Unit}\n      by: {label: By}", f"Unit: A1\nBy: {written}\n") == "A1"
