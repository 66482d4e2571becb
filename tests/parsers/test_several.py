"""Cells that hold more than a line: one line is a value, of several none is taken."""

import pytest

from parsers import Outcome, Reading
from parsers.html import read_html
from tests.parsers.test_fields import read

ROW = "<table><tr><td>Unit</td><td>{}</td></tr><tr><td>By</td><td>Ann</td></tr></table>"


@pytest.mark.parametrize(
    "cell",
    [
        "<div>B204</div>",
        "<p>B204</p>",
        "<br>B204<br><br>",
        "<ul><li>B204</li></ul>",
        "<div>&nbsp;</div><div><p>B204</p></div>",
        "<table><tr><td>B204</td></tr></table>",
    ],
)
def test_one_line_of_a_cell_is_its_text(cell: str) -> None:
    """Blocks and empty lines around the one line of a cell make it no other value."""
    assert [line.cells for line in read_html(ROW.format(cell)).lines] == [("Unit", "B204"), ("By", "Ann")]


def read_page(field: str, page: str, *, subject: str = "Note") -> Reading:
    return read(field, page, subject=subject, kind="text/html")


SEVERAL = [
    "B204<br>Upper floor",
    "<div>B204</div><div>(10x10)</div>",
    "<p>B204</p><p>B205</p>",
    "<ul><li>B204</li><li>B205</li></ul>",
    "<pre>B204\nB205</pre>",
]


@pytest.mark.parametrize("label", ["Unit", "Unit:", "<b>Unit</b>", "<p>Unit:</p>"])
@pytest.mark.parametrize("cell", SEVERAL)
def test_of_several_lines_none_is_taken(cell: str, label: str) -> None:
    """The reason says what stands where, and neither the first line nor all of them are the value."""
    reading = read_page("{label: Unit}", ROW.replace("Unit", label).format(cell))
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())
    assert "several lines stand beside the label `Unit` (line 1)" in (reading.reason or "")


@pytest.mark.parametrize("cell", SEVERAL)
@pytest.mark.parametrize("more", ["optional: true", "default: nobody"])
def test_a_field_that_may_be_missing_is_not_lost_in_several_lines(cell: str, more: str) -> None:
    """What the mail states is not left out as if it were not there; an empty cell is nothing stated."""
    page = ROW.replace("Ann", cell).format("B204")
    reading = read_page(f"{{label: Unit}}\n      by: {{label: By, {more}}}", page)
    assert (reading.outcome, reading.events) == (Outcome.INVALID, ())
    assert "of the field `by` is not certain" in (reading.reason or "")
    empty = page.replace(cell, "<br><p>&nbsp;</p>")
    assert len(read_page(f"{{label: Unit}}\n      by: {{label: By, {more}}}", empty).events) == 1


def test_several_lines_that_hold_what_is_stated_elsewhere_are_no_contradiction() -> None:
    """And those that lack it are: a piece of a longer number is not it."""
    field = "[{subject: 'Note (?P<value>.+)'}, {label: Unit}]"
    for cell in SEVERAL:
        reading = read_page(field, ROW.format(cell), subject="Note B204")
        assert [event.unit for event in reading.events] == ["B204"]
        assert read_page(field, ROW.format(cell), subject="Note B20").outcome is Outcome.INVALID


def test_a_cell_with_labels_of_its_own_is_no_value() -> None:
    """A column that holds the notice stands beside a heading as beside any other text."""
    page = "<table><tr><td>Unit</td><td><p>Unit: B204</p><p>By: Ann</p></td></tr></table>"
    assert [event.unit for event in read_page("{label: Unit}", page).events] == ["B204"]
