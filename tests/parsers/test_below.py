"""What stands below an empty label: a value of a stacked layout is taken, the next sentence never."""

import pytest

from parsers import Outcome
from tests.parsers.test_fields import read, unit

PROSE = [
    "Thank you for your business",
    "Please call us",
    "Call 555-1234 to arrange your visit today",
    "Thank you!",
    "Regards,",
]


@pytest.mark.parametrize("below", PROSE)
@pytest.mark.parametrize("more", ["", "\n      by: {label: By, optional: true}", "\n      s: {const: locked}"])
def test_a_sentence_below_an_empty_label_is_no_value(below: str, more: str) -> None:
    """One label without a value does not make a stacked layout."""
    reading = read("{label: Unit}" + more, f"Unit:\n{below}\n")
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())
    assert "`unit`" in (reading.reason or "")


@pytest.mark.parametrize("below", PROSE)
def test_a_sentence_below_the_last_label_of_a_stack_is_no_unit(below: str) -> None:
    """Nor in a mail that sets its values below their labels."""
    reading = read("{label: Unit}\n      by: {label: By}", f"By:\nAnn\nUnit:\n{below}\n")
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())


@pytest.mark.parametrize("optional", ["", ", optional: true"])
def test_a_word_below_one_empty_label_is_no_certain_id(optional: str) -> None:
    """A word without a digit may be anything; it is neither taken nor passed over."""
    field = "[{subject: 'on (?P<value>.+)'" + optional + "}, {label: Unit}]"
    reading = read(field, "Unit:\nRegards\n", subject="Note")
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())
    assert "(line 1) of the field `unit` is empty, and whether line 2 is its value" in (reading.reason or "")


@pytest.mark.parametrize("below", ["A12", "12", "A", "Locker 5 b", "Unit 7 on level 2"])
def test_an_id_below_its_label_is_taken(below: str) -> None:
    """One label above its value is enough where the value is like one."""
    assert unit("{label: Unit}", f"Unit:\n{below}\n") == below


def test_a_stack_of_labels_is_read() -> None:
    """Several labels above their values show how the mail is written, so that any word may be a value."""
    assert (
        unit("{label: Unit}\n      by: {label: By}", "Unit:\nNorth Garage\nBy:\nwhoever has been here\n")
        == "North Garage"
    )
    assert unit("{label: Unit, pattern: '[A-Z][a-z]+'}", "Unit:\nPenthouse\n") == "Penthouse"
