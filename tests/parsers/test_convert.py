"""Texts convert whole or not at all."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.convert import BadFormat, Money, NotConverted, date_format, read_flag, read_moment, read_money

US = Money()
GERMAN = Money(decimal=",", group=".", symbols=("EUR", "€"))


@pytest.mark.parametrize(
    ("written", "money", "expected"),
    [
        ("$1,234.50", US, "1234.50"),
        ("USD 12", US, "12.00"),
        ("0", US, "0.00"),
        ("(25.00)", US, "0.00"),
        ("($25.00)", US, "0.00"),
        ("-25.00", US, "0.00"),
        ("$-25.00", US, "0.00"),
        ("25.00-", US, "0.00"),
        ("25.00 CR", US, "0.00"),
        ("1,23,456.00", US, "123456.00"),
        ("1.234,50 EUR", GERMAN, "1234.50"),
    ],
)
def test_money(written: str, money: Money, expected: str) -> None:
    """Amounts are read by the pack's signs; a credit is zero where the rule says so."""
    assert expected == str(read_money(written, money, credit_is_zero=True))


@pytest.mark.parametrize(
    "written",
    ["", "$", "about 20", "20 or 30", "1,2345", "1,23", "12.345", "1.234,50", "--5", "(-5)", "٣", "1e3", "10000000"],
)
def test_no_half_amounts(written: str) -> None:
    """What is not an amount from end to end is none."""
    with pytest.raises(NotConverted):
        read_money(written, US, credit_is_zero=True)


def test_a_credit_is_refused_unless_the_rule_says_zero() -> None:
    """A credit never becomes a balance by accident."""
    with pytest.raises(NotConverted, match="credit"):
        read_money("(25.00)", US, credit_is_zero=False)


@pytest.mark.parametrize(
    ("form", "written", "expected"),
    [
        ("%m/%d/%Y", "5/1/2026", "2026-05-01T00:00:00"),
        ("%m/%d/%Y", "05/31/2026", "2026-05-31T00:00:00"),
        ("%m/%d/%y", "05/31/26", "2026-05-31T00:00:00"),
        ("%B %d, %Y", "December 31, 2017", "2017-12-31T00:00:00"),
        ("%d of %B, %Y", "31st of December, 2017", "2017-12-31T00:00:00"),
        ("%b %d, %Y %I:%M %p", "Dec 31, 2017 12:00 AM", "2017-12-31T00:00:00"),
        ("%b %d, %Y %I:%M %p", "Dec 31, 2017 12:05 pm", "2017-12-31T12:05:00"),
        ("%Y-%m-%d %H:%M", "2026-05-01 14:30", "2026-05-01T14:30:00"),
        ("%d%m%Y", "01112026", "2026-11-01T00:00:00"),
        ("%Y%m%d", "20260111", "2026-01-11T00:00:00"),
        ("%Y%m%d%H%M%S", "20260111093000", "2026-01-11T09:30:00"),
        ("%d%b%Y", "1May2026", "2026-05-01T00:00:00"),
        ("%m/%d/%Y %I%M%p", "5/1/2026 930am", "2026-05-01T09:30:00"),
        ("%A, %B %d, %Y", "FRIDAY, May 1, 2026", "2026-05-01T00:00:00"),
        ("%a. %m/%d/%Y", "Fri. 5/1/2026", "2026-05-01T00:00:00"),
        ("iso", "2026-05-01", "2026-05-01T00:00:00"),
        ("iso", "2026-05-01T14:30:00Z", "2026-05-01T14:30:00+00:00"),
        ("iso", "2026-05-01T14:30:00.25-05:00", "2026-05-01T14:30:00-05:00"),
    ],
)
def test_moments(form: str, written: str, expected: str) -> None:
    """Dates are read by explicit formats."""
    assert expected == read_moment(written, [date_format(form)]).isoformat()


@pytest.mark.parametrize(
    "written",
    ["13/01/2026", "05/01/9999", "05/01/0026", "02/30/2026", "05/01/26", "05/01/2026 or later", "٥/1/2026", ""],
)
def test_no_half_dates(written: str) -> None:
    """What is not a date from end to end is none."""
    with pytest.raises(NotConverted):
        read_moment(written, [date_format("%m/%d/%Y")])


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("%d%m%Y", "1112026"),
        ("%Y%m%d", "2026111"),
        ("%m%d%y", "1126"),
        ("%Y-%m-%d %I%H%M", "2026-05-01 1930"),
    ],
)
def test_directives_that_touch_take_their_full_width(form: str, written: str) -> None:
    """Where two numbers of one digit or two touch, nobody knows where the first ends."""
    with pytest.raises(NotConverted, match="not a date"):
        read_moment(written, [date_format(form)])


@pytest.mark.parametrize(
    ("form", "language", "written", "other"),
    [
        ("%A, %B %d, %Y", "en", "Friday, May 1, 2026", "Tuesday, May 1, 2026"),
        ("%a %d/%m/%Y", "en", "fri. 1/5/2026", "thu. 1/5/2026"),
        ("%A %d.%m.%Y", "de", "Samstag 2.5.2026", "Sonntag 2.5.2026"),
        ("%a %d %b %Y", "it", "mar 5 mag 2026", "mer 5 mag 2026"),
    ],
)
def test_a_day_of_the_week_agrees_with_its_date(form: str, language: str, written: str, other: str) -> None:
    """A date that names another day of the week is wrong in one of the two, and nobody knows in which."""
    formats = [date_format(form, language), date_format("%m/%d/%Y", language)]
    assert read_moment(written, formats).year == 2026
    with pytest.raises(NotConverted, match="another day of the week"):
        read_moment(other, formats)


def test_two_formats_that_differ_are_no_date() -> None:
    """05/04 is not a date to guess; 05/05 reads the same either way."""
    both = [date_format("%m/%d/%Y"), date_format("%d/%m/%Y")]
    with pytest.raises(NotConverted, match="differently"):
        read_moment("05/04/2026", both)
    assert dt.date(2026, 5, 5) == read_moment("05/05/2026", both).date()


@pytest.mark.parametrize("form", ["%q", "%m/%Y", "%d %d %m %Y", "100%"])
def test_bad_formats_are_refused(form: str) -> None:
    """A format with an unknown, missing or doubled directive does not load."""
    with pytest.raises(BadFormat):
        date_format(form)


def test_flags_are_listed_words() -> None:
    """A flag is one of the listed words, whatever its case; anything else is none."""
    assert (read_flag("YES", ["yes"], ["no"]), read_flag("No", ["yes"], ["no"])) == (True, False)
    with pytest.raises(NotConverted):
        read_flag("perhaps", ["yes"], ["no"])


@given(st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1)), st.sampled_from(["%m/%d/%Y", "%d %B %Y", "%Y-%m-%d"]))
def test_dates_come_back(day: dt.date, form: str) -> None:
    """A date written by a format is read back by it."""
    assert day == read_moment(day.strftime(form), [date_format(form)]).date()


@given(st.decimals(0, Decimal("9999999.99"), places=2))
def test_amounts_come_back(amount: Decimal) -> None:
    """An amount written in the pack's format is read back."""
    assert amount == read_money(f"${amount:,.2f}", US, credit_is_zero=False)
