"""Texts to values: a text converts whole, or not at all; nothing is guessed.

Dates are read by the pack's explicit formats, money by its decimal and group signs, flags by listed words.
"""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeAlias

from parsers.names import CALENDARS

Value: TypeAlias = str | bool | int | Decimal | dt.date | dt.datetime | tuple[str, ...] | None
"""What a field holds once converted; None clears the fact that it is written to."""

MAX_VALUE: Final = 255
MAX_LIST: Final = 2000
"""The longest text of a list, in characters."""
_MAX_DIGITS: Final = 9
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2200
"""The years within which a date is one: far from where zones overflow."""
_CENT: Final = Decimal("0.01")
_MAX_MONEY: Final = Decimal("10000000")

ISO: Final = "iso"
"""The one format that is a word: RFC 3339 dates and times."""

_DIRECTIVES: Final = {
    "Y": "(?P<Y>[0-9]{4})", "y": "(?P<y>[0-9]{2})", "m": "(?P<m>[0-9]{1,2})", "H": "(?P<H>[0-9]{1,2})",
    "I": "(?P<I>[0-9]{1,2})", "M": "(?P<M>[0-9]{2})", "S": "(?P<S>[0-9]{2})", "p": r"(?P<p>[ap])\.?m\.?",
}  # fmt: skip
_DAY: Final = "(?P<d>[0-9]{1,2})"
_OF_DIGITS: Final = "YymdHIMS"
_ONE_OR_TWO: Final = "[0-9]{1,2}"
_ISO = re.compile(
    r"(?P<Y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)"
    r"(?:[T ](?P<H>\d\d):(?P<M>\d\d)(?::(?P<S>\d\d)(?:\.\d{1,9})?)?(?P<z>Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)


class BadFormat(ValueError):
    """A date format with a directive that we do not know."""


class NotConverted(ValueError):
    """A text that is not a value of the type; the text says why, without the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """How a pack writes amounts."""

    decimal: str = "."
    group: str = ","
    symbols: tuple[str, ...] = ("$", "USD")


@dataclass(frozen=True, slots=True, kw_only=True)
class DateFormat:
    """One compiled date format."""

    text: str
    regex: re.Pattern[str]
    language: str

    @property
    def names_day(self) -> bool:
        """Return whether the format names the day of the week."""
        return "A" in self.regex.groupindex or "a" in self.regex.groupindex

    @property
    def has_time(self) -> bool:
        """Return whether the format can tell an hour."""
        return "H" in self.regex.groupindex or "I" in self.regex.groupindex


@lru_cache(maxsize=256)
def date_format(text: str, language: str = "en") -> DateFormat:
    """Return the compiled form of a strptime-like format; raise BadFormat for a directive unknown to us."""
    if text == ISO:
        return DateFormat(text=text, regex=_ISO, language=language)
    names = {**_DIRECTIVES, **_named_by(language)}
    pieces: list[str] = []
    runs: list[list[int]] = [[]]  # the places of directives of digits that touch
    for literal, directive in re.findall(r"([^%\s]+|\s+)|%(.?)", text):
        if literal:
            if pieces and pieces[-1] == names["d"] and literal[0] == ".":
                pieces[-1] = _DAY  # the format itself has what an ordinal of this language ends in
            pieces.append(r"\s+" if literal.isspace() else re.escape(literal))
        elif directive in names:
            pieces.append(names[directive])
        else:
            raise BadFormat(f"unknown date directive `%{directive}`")
        if directive and directive in _OF_DIGITS:
            runs[-1].append(len(pieces) - 1)
        else:
            runs.append([])
    for run in runs:
        if sum(_ONE_OR_TWO in pieces[place] for place in run) > 1:  # else nobody knows where one of them ends
            for place in run:
                pieces[place] = pieces[place].replace(_ONE_OR_TWO, "[0-9]{2}")
    try:
        regex = re.compile("".join(pieces), re.IGNORECASE)
    except re.error as error:
        raise BadFormat("a date directive stands twice") from error
    named = regex.groupindex.keys()
    if "d" not in named or not {"m", "B", "b"} & named or not {"Y", "y"} & named:
        raise BadFormat("a date format names day, month and year")
    return DateFormat(text=text, regex=regex, language=language)


def _named_by(language: str) -> dict[str, str]:
    """Return the directives that a language fills: days with their ordinals, names of months and days."""
    calendar = CALENDARS[language]
    short_months = [word for words in calendar.short_months for word in words]
    return {
        "d": f"{_DAY}{calendar.ordinal}",
        "B": f"(?P<B>{_longest_first([*calendar.months, *dict(calendar.further_months)])})",
        "b": f"(?P<b>{_longest_first(short_months)})\\.?",
        "A": f"(?P<A>{_longest_first([*calendar.days, *dict(calendar.further_days)])})",
        "a": f"(?P<a>{_longest_first(calendar.short_days)})\\.?",
    }


def _longest_first(words: Iterable[str]) -> str:
    return "|".join(sorted(set(words), key=lambda word: (-len(word), word)))


def read_moment(text: str, formats: Iterable[DateFormat]) -> dt.datetime:
    """Return the moment that `text` names, naive unless it names a zone; raise NotConverted.

    Two formats that read one text differently make it unreadable: 05/04 is not a date to guess.
    """
    read = [(form, moment) for form in formats if (moment := _read_by(form, text)) is not None]
    found = {moment for form, moment in read if _is_on_its_day(form, moment, text)}
    if not found:
        raise NotConverted(
            "is on another day of the week than it says" if read else "is not a date in the pack's formats"
        )
    if len(found) > 1:
        raise NotConverted("is read differently by two of the pack's date formats")
    return found.pop()


def _read_by(form: DateFormat, text: str) -> dt.datetime | None:
    match = form.regex.fullmatch(text)
    if match is None:
        return None
    given = match.groupdict()
    year = int(given["Y"]) if "Y" in given else 2000 + int(given["y"])
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        return dt.datetime(
            year,
            _month(given, form.language),
            int(given["d"]),
            _hour(given),
            int(given.get("M") or 0),
            int(given.get("S") or 0),
            tzinfo=_zone(given.get("z")),
        )
    except (ValueError, KeyError):
        return None


def _is_on_its_day(form: DateFormat, moment: dt.datetime, text: str) -> bool:
    """Return whether a moment is on the day of the week that its text names, if it names one."""
    match = form.regex.fullmatch(text) if form.names_day else None
    given = match.groupdict() if match else {}
    named = {word.lower() for key in "Aa" if (word := given.get(key))}
    return named <= CALENDARS[form.language].names_of_day(moment.weekday())


def _month(given: dict[str, str | None], language: str) -> int:
    name = (given.get("B") or given.get("b") or "").lower()
    if name:
        return CALENDARS[language].number_of(name)
    return int(given["m"] or 0)


def _hour(given: dict[str, str | None]) -> int:
    if not given.get("I"):
        return int(given.get("H") or 0)
    hour = int(given["I"] or 0)
    if not 1 <= hour <= 12:
        raise ValueError("no such hour")
    afternoon = (given.get("p") or "a").lower() == "p"
    return hour % 12 + (12 if afternoon else 0)


def _zone(text: str | None) -> dt.tzinfo | None:
    if not text:
        return None
    if text in "Zz":
        return dt.UTC
    offset = dt.timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return dt.timezone(-offset if text[0] == "-" else offset)


def read_money(text: str, money: Money, *, credit_is_zero: bool) -> Decimal:
    """Return the amount that `text` names, two decimals; raise NotConverted."""
    amount, negative = _bare_amount(text, money)
    group, point = re.escape(money.group), re.escape(money.decimal)
    if not re.fullmatch(
        rf"(?:\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}}|\d+)(?:{point}\d{{1,2}})?", amount, re.ASCII
    ):
        raise NotConverted("is not an amount in the pack's money format")
    number = Decimal(amount.replace(money.group, "").replace(money.decimal, "."))
    return bounded_money(-number if negative else number, credit_is_zero=credit_is_zero)


def bounded_money(number: Decimal, *, credit_is_zero: bool) -> Decimal:
    """Return an amount that a destination takes: not below zero, two decimals; raise NotConverted."""
    if not number.is_finite() or abs(number) >= _MAX_MONEY or number != number.quantize(_CENT):
        raise NotConverted("is not an amount below ten million with two decimals")
    if number < 0 and not credit_is_zero:
        raise NotConverted("is a credit, and the field does not say `credit: zero`")
    return max(number, Decimal(0)).quantize(_CENT)


def _bare_amount(text: str, money: Money) -> tuple[str, bool]:
    """Return the amount without symbols and signs, and whether it is a credit."""
    text = text.strip().replace("\u2212", "-")
    negative = False
    for _ in range(6):
        before = text
        if text.startswith("(") and text.endswith(")"):
            text, negative = text[1:-1], _once(negative)
        elif text[:1] == "-" or text[-1:] == "-":
            text, negative = text.removeprefix("-") if text[0] == "-" else text[:-1], _once(negative)
        elif text[-2:].upper() == "CR":
            text, negative = text[:-2], _once(negative)
        else:
            for symbol in money.symbols:
                text = text.removeprefix(symbol).removesuffix(symbol)
        text = text.strip()
        if text == before:
            break
    return text, negative


def _once(negative: bool) -> bool:
    if negative:
        raise NotConverted("is marked as a credit twice")
    return True


def read_flag(text: str, trues: Iterable[str], falses: Iterable[str]) -> bool:
    """Return whether `text` is one of the words for true; raise NotConverted when it is neither's."""
    word = text.casefold()
    if word in {one.casefold() for one in trues}:
        return True
    if word in {one.casefold() for one in falses}:
        return False
    raise NotConverted("is none of the words listed for true and false")


def read_integer(text: str, money: Money) -> int:
    """Return the whole number that `text` names, grouped as amounts are or not; raise NotConverted."""
    group = re.escape(money.group)
    if not re.fullmatch(rf"-?(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)", text):
        raise NotConverted("is not a whole number")
    digits = text.replace(money.group, "")
    if len(digits.lstrip("-0")) > _MAX_DIGITS:
        raise NotConverted(f"is a number of more than {_MAX_DIGITS} digits")
    return int(digits)


def read_list(text: str, split: Iterable[str]) -> tuple[str, ...]:
    """Return the items of a list, parted by any of `split`; raise NotConverted.

    Two different separators may stand together (`A12, and A14`). One that stands twice, or at an end, leaves an item
    out; an item that stands twice may be two things: neither is a list to go by.
    """
    separators = "|".join(re.escape(one) for one in sorted(split, key=len, reverse=True))
    parts = [part.strip() for part in re.split(f"({separators})", text, flags=re.IGNORECASE)]
    items, between = parts[::2], parts[1::2]
    for place, item in enumerate(items):
        apart = 0 < place < len(items) - 1 and between[place - 1].casefold() != between[place].casefold()
        if not item and not apart:
            raise NotConverted("is a list with an item left out")
    found = tuple(item for item in items if item)
    if len({item.casefold() for item in found}) < len(found):
        raise NotConverted("is a list that names an item twice")
    return found
