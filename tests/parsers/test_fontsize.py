"""What stands in elements whose text has no size is read where it states a size of its own."""

import pytest

from parsers import Mailbox, load_rules, parse_mail
from parsers.html import read_html
from worker.fixtures import FIXTURES


def lines_of(html: str) -> list[str]:
    return [line.text for line in read_html(html).lines]


@pytest.mark.parametrize(
    "size",
    [
        "font-size:13px",
        "color:red; FONT-SIZE : 13PX !important",
        "font-size:10.5pt",
        "font-size:1rem",
        "font-size:medium",
        "font:bold 13px/1.5 Arial",
        "font:400 12pt Arial",
        "font-size:inherit;font-size:13px",
    ],
)
def test_a_size_of_its_own_shows_what_stands_in_no_size(size: str) -> None:
    """A block that states a size is read, and the text beside it, which has none, is not."""
    wrapper = f"<td style='font-size:0;padding:10px'>Unit: A000<div style='{size}'>Unit: B204</div> Unit: A001</td>"
    assert lines_of(f"<table><tr>{wrapper}</tr></table>") == ["Unit: B204"]


@pytest.mark.parametrize(
    "inside",
    [
        "Unit: A000",
        "<div>Unit: A000</div>",
        "<div style='color:red'>Unit: A000</div>",
        *[
            f"<div style='{style}'>Unit: A000</div>"
            for style in (
                "font-size:0",
                "font-size:1px",
                "font-size:1em",
                "font-size:100%",
                "font-size:larger",
                "font-size:inherit",
                "font-size:calc(1px + 1em)",
                "font:1em Arial",
                "font:inherit",
                "font-family:12px",
                "x-font-size:13px",
                "font-size:13px;font-size:1em",
                "font-size:13px;display:none",
            )
        ],
        "<h1>Unit: A000</h1><!-- <p style='font-size:13px'>x</p> -->",
        "<p style='font-size:13px' hidden>Unit: A000</p>",
        "<font color=red>Unit: A000</font>",
    ],
)
def test_text_of_no_size_is_never_read(inside: str) -> None:
    """A size that hangs on the one around it is none, and what else hides does so in any size."""
    assert lines_of(f"<p>B204</p><div style='font-size:0px'>{inside}</div>") == ["B204"]
    beside = "<p style='font-size:13px'>7</p>"
    assert lines_of(f"<p>B204</p><div style='font-size:0px'>{inside}{beside}</div>") == ["B204", "7"]


def test_a_wrapper_that_more_than_its_size_hides_is_left_out_whole() -> None:
    """A size within shows nothing of what is hidden otherwise, too."""
    for style in ("font-size:0;display:none", "font-size:0;max-height:0", "font:0/0 a;opacity:0"):
        assert lines_of(f"a<div style='{style}'><p style='font-size:13px'>b</p></div>") == ["a"]


def test_wrappers_within_wrappers_are_each_told_for_themselves() -> None:
    """A wrapper in a block of some size has none again, and rows keep the cells that are seen."""
    outer = "<div style='font-size:0'>x<div style='font-size:13px'>a<p style='font-size:0'>y<b style='font-size:9px'>b"
    assert lines_of(outer) == ["a", "b"]
    cells = "<td style='font-size:0'><p style='font-size:13px'>Unit</p><td>x<td style='font-size:13px'>B204"
    page = read_html(f"<div style='font-size:0'><table><tr>{cells}</table></div>")
    assert [line.cells for line in page.lines] == [("Unit", "B204")]
    assert lines_of("<html style='font-size:0'><body>a<font size=3>b</font>") == ["b"]


@pytest.mark.parametrize(
    ("sheet", "is_read"),
    [
        (".h{font-size:13px}", True),
        ("p{color:red;font:13px Arial}", True),
        ("p{font-size:1em} .h{font-size:13px}", True),
        ("p{font-size:13px} .h{font-size:1em}", False),
        ("p{font-size:13px;color:red!important} .h{font-size:1em}", False),
        ("p{font-size:13px!important} .h{font-size:1em}", True),
        (".h{font-size:100%}", False),
        (".x{font-size:13px}", False),
        ("@media (max-width:600px){.h{font-size:13px}}", False),
        ("@media (unheard-of:1){.h{font-size:13px}}", False),
        (".h{font-size:13px} .h{display:none}", False),
        (".h{font-size:13px}" * 300, False),
    ],
)
def test_a_size_that_a_sheet_states_shows_what_stands_in_no_size(sheet: str, is_read: bool) -> None:
    """As that of a style does, where the sheet counts on a wide screen; where it is too much to match it shows none."""
    page = "<div style='font-size:0'>Unit: A000<p class=h>Unit: B204</p></div><p>x"
    assert lines_of(f"<style>{sheet}</style>{page}") == (["Unit: B204", "x"] if is_read else ["x"])


def test_a_size_of_the_element_wins_over_that_of_a_sheet() -> None:
    """What it states itself is none where it hangs on the size around it."""
    page = "<style>p{font-size:13px}</style><div style='font-size:0'><p style='font-size:1em'>a</p><p>b</p></div>"
    assert lines_of(page) == ["b"]


def test_a_notice_in_wrappers_of_no_size_tells_its_event() -> None:
    """What generators of mails write around every block takes no event away, and none is read of what it hides."""
    raw = (FIXTURES / "sitelink" / "02-move-in-html.eml").read_bytes()
    rules = load_rules([FIXTURES.parent / "rules"])
    mailbox = Mailbox(address="main-st@in.example.com", company="acme", location="MAIN-ST")
    plain = parse_mail(raw, rules, mailbox=mailbox)
    wrapped = raw.replace(b"dy>", b"dy><div style=3D'font-size:0'>Unit: A000<div style=3D'font-size:13px'>", 1)
    assert wrapped != raw
    assert plain.events
    assert parse_mail(wrapped, rules, mailbox=mailbox).events == plain.events
