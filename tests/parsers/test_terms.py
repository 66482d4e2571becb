"""Lists of terms (``<dl>``): a term and its one description read as the two cells of a row."""

import pytest

from parsers import Outcome
from parsers.html import read_html
from tests.parsers.test_fields import read

LABELS = "{label: Unit}\n      by: {label: By, optional: true}"


@pytest.mark.parametrize(
    ("page", "cells"),
    [
        ("<dl><dt>Unit</dt><dd>B204</dd><dt>By</dt><dd>Ann</dd></dl>", [("Unit", "B204"), ("By", "Ann")]),
        ("<dl>\n<dt>Unit:\n<dd>B204\n<dt><b>By</b><dd><p>Ann</p><br></dl>", [("Unit:", "B204"), ("By", "Ann")]),
        ("<dl><div><dt>Unit<dd>B204</div><div><dt>By<dd>Ann</div></dl>", [("Unit", "B204"), ("By", "Ann")]),
        ("<dl><dt>Unit:</dt><dd></dd><dt>By:</dt><dd>Ann</dd></dl>", [("Unit:", ""), ("By:", "Ann")]),
        ("<table><tr><td><dl><dt>Unit<dd>B204</dl></table>", [("Unit", "B204")]),
        ("<dl><dt>A<dt>B<dd>c<dt>D</dl>", [("A",), ("B",), ("c",), ("D",)]),
        ("<dl><dt>A<dd>b<br>c<dd>d</dl>e", [("A",), ("b",), ("c",), ("d",), ("e",)]),
        ("<dl><dd>a</dd><p>b</p><!-- c --><script>d</script><dt>E<dd>f</dl>", [("a",), ("b",), ("E", "f")]),
        ("<dl><dt>A<dd><dl><dt>B<dd>c</dl></dl>", [("A",), ("B", "c")]),
        ("x<dl>a <b>b</b><dt>C<dd>d</dl>y", [("x",), ("a b",), ("C",), ("d",), ("y",)]),
        ("<dt>Unit<dd>B204", [("Unit",), ("B204",)]),
    ],
)
def test_a_term_and_its_description_are_a_row(page: str, cells: list[tuple[str, ...]]) -> None:
    """Where they are one line each; else each line is one of its own, and nothing that is seen is lost."""
    assert [line.cells for line in read_html(page).lines] == cells


@pytest.mark.parametrize("colon", ["", ":"])
def test_terms_are_labels(colon: str) -> None:
    """With a colon and without one; an empty description is no value, nor is the next term."""
    page = f"<dl><dt>Unit{colon}</dt><dd>B204</dd><dt>By{colon}</dt><dd></dd><dt>x{colon}</dt><dd>y</dd></dl>"
    (event,) = read(LABELS, page, kind="text/html").events
    assert event.unit == "B204"
    page = f"<dl><dt>Unit{colon}</dt><dd></dd></dl><p>B204</p>"
    assert read(LABELS, page, kind="text/html").outcome is Outcome.INCOMPLETE


@pytest.mark.parametrize("colon", ["", ":"])
@pytest.mark.parametrize(
    "values", ["<dd>B204</dd><dd>B205</dd>", "<dd>B204<br>B205</dd>", "<dd><p>B204</p><p>5</p></dd>"]
)
def test_of_several_descriptions_none_is_taken(colon: str, values: str) -> None:
    """Neither the first nor all of them are the value, of a term alone and of two terms together."""
    for terms in (f"<dt>Unit{colon}</dt>", f"<dt>Space{colon}</dt><dt>Unit{colon}</dt>"):
        reading = read(LABELS, f"<dl>{terms}{values}</dl>", kind="text/html")
        assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())
        assert "several lines stand beside the label `Unit`" in (reading.reason or "")
