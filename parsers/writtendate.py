"""Dates as mail programs write them for people: in the header of a forward, not in that of a mail.

Read whole or not at all: a word that is not known, a month told by number alone where it could be the day, a weekday
that is another, and there is no date.
"""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Final

from parsers.convert import FIRST_YEAR, LAST_YEAR
from parsers.names import CALENDARS

MAX_LENGTH: Final = 100

_LANGUAGES: Final = ("en", "de", "fr", "es")
"""Those of the mail programs whose forwards are read."""
_FURTHER_MONTHS: Final = {
    "fév": 2, "mrz": 3,
}  # fmt: skip
"""What people and programs write beside the names of the calendars."""
_FURTHER_DAYS: Final = {"tues": 1, "thur": 3, "thurs": 3}


def _months() -> Iterator[tuple[str, int]]:
    for language in _LANGUAGES:
        calendar = CALENDARS[language]
        for number, (name, short) in enumerate(zip(calendar.months, calendar.short_months, strict=True), 1):
            yield from ((word, number) for word in (name, *short))
        yield from calendar.further_months


def _days() -> Iterator[tuple[str, int]]:
    for language in _LANGUAGES:
        calendar = CALENDARS[language]
        yield from (
            (word, number) for names in (calendar.days, calendar.short_days) for number, word in enumerate(names)
        )
        yield from calendar.further_days


_MONTHS: Final = {**dict(_months()), **_FURTHER_MONTHS}
_DAYS: Final = {**dict(_days()), **_FURTHER_DAYS}
_LINKS: Final = frozenset(("at", "um", "à", "a", "las", "la", "de", "del", "den", "le", "el"))
_ZONES: Final = {
    "gmt": 0, "utc": 0, "z": 0, "ut": 0, "wet": 0, "west": 60, "edt": -240, "est": -300, "cdt": -300, "cst": -360,
    "mdt": -360, "mst": -420, "pdt": -420, "pst": -480, "akdt": -480, "akst": -540, "hst": -600, "cet": 60, "mez": 60,
    "hnec": 60, "cest": 120, "mesz": 120, "haec": 120,
}  # fmt: skip
"""Minutes east of Greenwich: the names of RFC 5322, section 4.3, and those that mean one zone only."""

_TIME = re.compile(r"(?<![\d:])(\d{1,2})(?::|\s?h\s?)(\d\d)(?::(\d\d))?(?![\d:])(?:\s?([ap])\.?\s?m\b\.?)?")
_OFFSET = re.compile(r"(?:(?:utc|gmt)\s?)?([+-])(\d\d):?(\d\d)|(?:utc|gmt)\s?([+-])(\d{1,2})")
_COMMENT = re.compile(r"\s\([^()]{1,40}\)$")
_NUMBERS = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{4}|\d{1,2})\.?")
_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th|er|\.)?")


def read_written_date(text: str) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return a date as (aware, None), or as (None, naive) when it names no zone; two None when it cannot be read."""
    text = text.casefold().replace("\u2212", "-").strip()
    times = list(_TIME.finditer(text)) if len(text) <= MAX_LENGTH else []
    if len(times) != 1:
        return None, None
    on = _read_day(text[: times[0].start()])
    at = _read_time(times[0])
    if on is None or at is None:
        return None, None
    zone = text[times[0].end() :].strip(" ,").removeprefix("uhr").strip(" ,")
    moment = dt.datetime.combine(on, at)
    if not zone:
        return None, moment
    minutes = _read_zone(_COMMENT.sub("", zone))
    if minutes is None:
        return None, None
    return moment.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes))), None


def _read_time(match: re.Match[str]) -> dt.time | None:
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if match[4]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match[4] == "p" else 0)
    return dt.time(hour, minute, second) if hour < 24 and minute < 60 and second < 60 else None


def _read_zone(text: str) -> int | None:
    """Return the minutes east of Greenwich; None for a zone that is not known to be one only."""
    match = _OFFSET.fullmatch(text)
    if match is None:
        return _ZONES.get(text)
    sign, hours, minutes = match[1] or match[4], int(match[2] or match[5]), int(match[3] or 0)
    found = (hours * 60 + minutes) * (1 if sign == "+" else -1)
    return found if minutes < 60 and abs(found) < 24 * 60 else None


def _read_day(text: str) -> dt.date | None:
    """Return the day of the part before the time."""
    words = [word for word in re.split(r"[\s,]+", text) if word and word not in _LINKS]
    weekday = None
    if len(words) > 1 and words[0].rstrip(".") in _DAYS and (words[0].rstrip(".") not in _MONTHS or len(words) > 3):
        weekday = _DAYS[words.pop(0).rstrip(".")]
    on = _from_numbers(words[0]) if len(words) == 1 else _from_words(words)
    return on if on is None or weekday is None or on.weekday() == weekday else None


def _from_numbers(word: str) -> dt.date | None:
    """Return the day of ``2026-05-01``, ``01.05.2026`` or ``05/13/2026``; None where day and month could be swapped."""
    match = _NUMBERS.fullmatch(word)
    if match is None:
        return None
    first, second, third = match[1], int(match[3]), match[4]
    if len(first) == 4:
        return _day_of(int(first), second, int(third)) if len(third) <= 2 else None
    if len(third) != 4 or len(first) > 2:
        return None
    day, month = int(first), second
    if match[2] != ".":
        if day <= 12 and month <= 12 and day != month:
            return None
        if month > 12:
            day, month = month, day
    return _day_of(int(third), month, day)


def _from_words(words: list[str]) -> dt.date | None:
    """Return the day of ``May 1 2026``, ``1. Mai 2026`` and the like: month and day, then a year of four digits."""
    if len(words) != 3 or not re.fullmatch(r"\d{4}", words[2]):
        return None
    for name, number in ((words[0], words[1]), (words[1], words[0])):
        month, day = _MONTHS.get(name.rstrip(".")), _DAY.fullmatch(number)
        if month and day:
            return _day_of(int(words[2]), month, int(day[1]))
    return None


def _day_of(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day) if FIRST_YEAR <= year <= LAST_YEAR else None
    except ValueError:
        return None
