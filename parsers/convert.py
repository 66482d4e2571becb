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

Value: TypeAlias = str | bool | Decimal | dt.date | dt.datetime | None
"""What a field holds once converted; None clears the fact that it is written to."""

MAX_VALUE: Final = 255
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2200
"""The years within which a date is one: far from where zones overflow."""
_CENT: Final = Decimal("0.01")
_MAX_MONEY: Final = Decimal("10000000")

MONTHS: Final = {
    "en": [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ],
}
"""Month names by language; the short form is the first three letters. A language is added as a row."""
DAYS: Final = {"en": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]}
ORDINALS: Final = {"en": "(?:st|nd|rd|th)?"}

ISO: Final = "iso"
"""The one format that is a word: RFC 3339 dates and times."""

_DIRECTIVES: Final = {
    "Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d{2})", "m": r"(?P<m>\d{1,2})", "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<I>\d{1,2})", "M": r"(?P<M>\d{2})", "S": r"(?P<S>\d{2})", "p": r"(?P<p>[ap])\.?m\.?",
}  # fmt: skip
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
    def has_time(self) -> bool:
        """Return whether the format can tell an hour."""
        return "H" in self.regex.groupindex or "I" in self.regex.groupindex


@lru_cache(maxsize=256)
def date_format(text: str, language: str = "en") -> DateFormat:
    """Return the compiled form of a strptime-like format; raise BadFormat for a directive unknown to us."""
    if text == ISO:
        return DateFormat(text=text, regex=_ISO, language=language)
    months, days = MONTHS[language], DAYS[language]
    names = {
        **_DIRECTIVES,
        "d": rf"(?P<d>\d{{1,2}}){ORDINALS[language]}",
        "B": f"(?P<B>{'|'.join(months)})",
        "b": f"(?P<b>{'|'.join(month[:3] for month in months)})\\.?",
        "A": f"(?:{'|'.join(days)})",
        "a": f"(?:{'|'.join(day[:3] for day in days)})\\.?",
    }
    pieces: list[str] = []
    for literal, directive in re.findall(r"([^%\s]+|\s+)|%(.?)", text):
        if literal:
            pieces.append(r"\s+" if literal.isspace() else re.escape(literal))
        elif directive in names:
            pieces.append(names[directive])
        else:
            raise BadFormat(f"unknown date directive `%{directive}`")
    try:
        regex = re.compile("".join(pieces), re.ASCII | re.IGNORECASE)
    except re.error as error:
        raise BadFormat("a date directive stands twice") from error
    named = regex.groupindex.keys()
    if "d" not in named or not {"m", "B", "b"} & named or not {"Y", "y"} & named:
        raise BadFormat("a date format names day, month and year")
    return DateFormat(text=text, regex=regex, language=language)


def read_moment(text: str, formats: Iterable[DateFormat]) -> dt.datetime:
    """Return the moment that `text` names, naive unless it names a zone; raise NotConverted.

    Two formats that read one text differently make it unreadable: 05/04 is not a date to guess.
    """
    found = {moment for form in formats if (moment := _read_by(form, text)) is not None}
    if not found:
        raise NotConverted("is not a date in the pack's formats")
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


def _month(given: dict[str, str | None], language: str) -> int:
    name = (given.get("B") or given.get("b") or "").lower()
    if name:
        return next(number for number, month in enumerate(MONTHS[language], 1) if month.startswith(name[:3]))
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
