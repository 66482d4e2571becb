"""Line breaks that a style sheet shows: they end lines as those of an inline style do."""

import pytest

from parsers.errors import Unreadable
from parsers.html import read_html
from parsers.text import plain_lines


def lines_of(html: str) -> list[str]:
    return [line.text for line in read_html(html).lines]


PAGE = "<div class=w><p class=h id=i>a\nb</p></div>"


@pytest.mark.parametrize(
    "sheet",
    [
        ".h{white-space:pre-wrap}",
        ".w{color:red;white-space: PRE-LINE}",
        "p.x, div > .h { white-space : pre !important }",
        "@media screen{#i{white-space:break-spaces}}",
        "<!-- /* .h{} */ .h{white-space:pre /* */} -->",
        ".h{white-space:normal} .w .h{white-space:pre}",
        ".w .h{white-space:pre} .h{white-space:normal}",
        ".h{white-space:pre !important} #i{white-space:normal}",
        ".h{white-space:pre-wrap;white-space:-moz-pre-wrap}",
        ".w{white-space-collapse:preserve-breaks}",
        ".h{white-space:pre} .y{display:none}",
    ],
)
def test_breaks_that_a_sheet_shows_are_lines(sheet: str) -> None:
    """Whatever way a rule names the element or one around it."""
    assert lines_of(f"<style>{sheet}</style>{PAGE}c\nd") == ["a", "b", "c d"]


@pytest.mark.parametrize(
    "sheet",
    [
        ".x{white-space:pre}",
        ".h{white-space:nowrap} /* .h{white-space:pre} */",
        "@media print{.h{white-space:pre}}",
        "@media (max-width:600px){.h{white-space:pre}}",
        "@media (unheard-of:1){.h{white-space:pre}}",
        ".h:hover{white-space:pre}",
        ".w{white-space:pre} .h{white-space:normal}",
        ".h{white-space:pre;white-space:normal}",
        ".h{white-space:pre} #i{white-space:normal}",
        ".h{white-space:normal !important} #i{white-space:pre}",
        ".h[{white-space:pre}",
    ],
)
def test_breaks_that_no_sheet_shows_are_spaces(sheet: str) -> None:
    """Rules that do not count on a wide screen, or that others win over, show none."""
    assert lines_of(f"<style>{sheet}</style>{PAGE}") == ["a b"]


def test_an_inline_style_and_a_sheet_are_weighed() -> None:
    """The element's own style is stronger, but for what is important; a sheet is stronger than what a tag means."""
    own = PAGE.replace("id=i", "style='white-space:normal'")
    assert lines_of(f"<style>.h{{white-space:pre}}</style>{own}") == ["a b"]
    assert lines_of(f"<style>.h{{white-space:pre !important}}</style>{own}") == ["a", "b"]
    own = own.replace("normal", "normal !important")
    assert lines_of(f"<style>.h{{white-space:pre !important}}</style>{own}") == ["a b"]
    assert lines_of("<style>pre{white-space:normal}</style><pre>a\nb</pre>") == ["a b"]
    assert lines_of("<style media=print>p{white-space:pre}</style><p>a\nb") == ["a b"]


def test_text_that_a_sheet_sets_reads_as_plain_text() -> None:
    """Tabs and aligned columns are what they are in plain text, cells keep their lines."""
    text = "Unit\tPaid  Through\n\nA1\t\t05/31/2026\n| a | b |\nc"
    assert read_html(f"<style>div{{white-space:pre-wrap}}</style><div>{text}</div>").lines == plain_lines(text)
    row = "<table><tr><td>Unit<td>A1\nx</table>"
    assert lines_of(f"<style>td{{white-space:pre-line}}</style>{row}") == ["Unit", "A1", "x"]


@pytest.mark.parametrize(
    "sheet",
    [
        ".a{white-space:pre}" * 1_000,
        "a " * 1_000 + "{white-space:pre}",
        "p{white-space:pre}" + " " * 128 * 1024,
    ],
)
def test_sheets_that_show_too_much_are_refused(sheet: str) -> None:
    """Their cost is bounded as that of sheets that hide."""
    with pytest.raises(Unreadable):
        read_html(f"<style>{sheet}</style>{PAGE}")
