"""How samples write dates and amounts: the formats that read all of them. Pure."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final

from parsers.convert import Money, NotConverted, date_format, read_moment, read_money

_DATES: Final = (
    "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d.%m.%Y", "iso", "%B %d, %Y", "%d %B %Y", "%b %d, %Y", "%d %b %Y",
    "%d of %B, %Y", "%B %d, %Y %I:%M %p", "%b %d, %Y %I:%M %p",
)  # fmt: skip
_TIMES: Final = (
    "iso", "%Y-%m-%d %I:%M %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%b %d, %Y %I:%M %p",
)  # fmt: skip
_MONEYS: Final = (Money(), Money(decimal=",", group=".", symbols=("EUR", "€")))


def is_date(text: str) -> bool:
    """Say whether a text is a date by a format that is known."""
    return any(_day(text, form) for form in _DATES)


def date_formats(values: Sequence[str], sent: dt.datetime | None, doubts: list[str]) -> list[str] | None:
    """Return the fewest date formats that read every value, and those that read the same values alike; None without.

    Where the values do not tell two formats apart, the one nearer to the Date of the mail is taken, and a doubt noted.
    """
    chosen: list[str] = []
    left = list(dict.fromkeys(values))
    while left:
        read = {form: [day for value in left if (day := _day(value, form))] for form in _DATES if _day(left[0], form)}
        most = max(map(len, read.values()), default=0)
        fit = [form for form, days in read.items() if len(days) == most]
        if not fit:
            return None
        best = min(fit, key=lambda form: _distance(read[form], sent))
        otherwise = [form for form in fit if read[form] != read[best]]
        if otherwise:
            doubts.append(
                f"the samples do not tell {best} from {' or '.join(otherwise)}; the first is nearer to the Date of the "
                "mail: add a sample with a day after the twelfth"
            )
        chosen += [form for form in fit if form not in otherwise]
        left = [value for value in left if not _day(value, best)]
    return [form for form in _DATES if form in chosen]


def time_format(values: Iterable[str]) -> str | None:
    """Return the format of a date and an hour that reads every value; None without one."""
    told = list(values)
    return next((form for form in _TIMES if all(_moment(value, form) for value in told)), None)


def money_of(values: Iterable[str]) -> Money | None:
    """Return how amounts are written so that every value is read; None when no known way reads them all."""
    told = list(values)
    return next((money for money in _MONEYS if all(_is_amount(value, money) for value in told)), None)


def _day(text: str, form: str) -> dt.date | None:
    found = _moment(text, form)
    return found.date() if found else None


def _moment(text: str, form: str) -> dt.datetime | None:
    try:
        return read_moment(text, [date_format(form)])
    except NotConverted:
        return None


def _distance(days: Iterable[dt.date], sent: dt.datetime | None) -> dt.timedelta:
    """Return how far some days lie from the Date of the mail, in sum."""
    return sum((abs(day - sent.date()) for day in days), dt.timedelta(0)) if sent else dt.timedelta(0)


def _is_amount(text: str, money: Money) -> bool:
    try:
        read_money(text, money, credit_is_zero=True)
    except NotConverted:
        return False
    return True
