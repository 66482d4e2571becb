"""Cells of attached files: what one holds, its text, and what a field's type makes of it.

A spreadsheet keeps values, not texts: a unit may have become a number or a date on its way. What cannot be told for
certain is no value.
"""

import datetime as dt
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from parsers.convert import NotConverted
from parsers.rule import Type

_MAX_WHOLE: Final = Decimal(10**15)
"""A spreadsheet keeps fifteen digits of a number."""
_SERIAL_YEARS: Final = range(1950, 2101)
"""The years within which a plain number may be a date."""
_DAY_ZERO: Final = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet knows no zones
_DAY_ZERO_1904: Final = dt.datetime(1904, 1, 1)  # noqa: DTZ001
_ZEROS = re.compile("0{2,15}")
_PLAIN = re.compile(r"General|@|[#,0](?:[_ ;()$\\#,0-]|\.0)*", re.IGNORECASE)
"""Number formats that show a whole number as its digits. A file chooses its formats: each sign fits in one way only."""
_SCALED = re.compile(r"(?<=[#0]),[^#0.;]*(?:[.;]|$)")
"""What shows thousands, or millions: a comma behind the last digit of a format."""


class Number(NamedTuple):
    """A number of a spreadsheet."""

    amount: Decimal
    layout: str = "General"
    """Its number format."""
    from_1904: bool = False
    """Whether days are counted from 1904, not from 1900."""


class Broken(NamedTuple):
    """A cell of a spreadsheet that holds no value to go by."""

    text: str
    why: str


CellValue: TypeAlias = str | bool | Number | dt.datetime | Broken
"""What a cell holds. That of a CSV file is always a text; the empty text is an empty cell."""


def text_of(value: CellValue) -> str:
    """Return a cell as a text for headings, patterns and traces."""
    if isinstance(value, str):
        return value
    if isinstance(value, Number):
        whole = value.amount == value.amount.to_integral_value()
        return f"{value.amount:.0f}" if whole else f"{value.amount:f}"
    if isinstance(value, Broken):
        return value.text
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ") if value.time() != dt.time.min else value.date().isoformat()
    return "TRUE" if value else "FALSE"


def texts_of(cells: Iterable[CellValue]) -> tuple[str, ...]:
    """Return each cell as a text."""
    return tuple([cell if type(cell) is str else text_of(cell) for cell in cells])


def raw_of(value: Number | dt.datetime | Broken, kind: Type) -> str | Decimal | dt.datetime:
    """Return what a field of a type is converted from; raise NotConverted where it cannot be told for certain."""
    if isinstance(value, Broken):
        raise NotConverted(value.why)
    if kind in (Type.DATE, Type.DATETIME):
        return value if isinstance(value, dt.datetime) else _moment(value)
    if isinstance(value, dt.datetime):
        raise NotConverted("is a date, which the spreadsheet may have made of something else")
    if kind is Type.MONEY:
        return value.amount
    return _digits(value)


def _digits(number: Number) -> str:
    """Return a whole number as the spreadsheet shows it: with zeros before it only where its format has them."""
    amount, layout = number.amount, number.layout
    if amount != amount.to_integral_value() or abs(amount) >= _MAX_WHOLE:
        raise NotConverted("is a number with a fraction or with more digits than a spreadsheet keeps")
    digits = f"{amount:.0f}"
    if _ZEROS.fullmatch(layout) and amount >= 0:
        return digits.zfill(len(layout))
    if not _PLAIN.fullmatch(layout) or _SCALED.search(layout):
        raise NotConverted("is a number that the spreadsheet shows otherwise")
    return digits


def _moment(number: Number) -> dt.datetime:
    """Return the moment that a number is as a serial date."""
    day_zero = _DAY_ZERO_1904 if number.from_1904 else _DAY_ZERO
    try:
        moment = day_zero + dt.timedelta(seconds=round(float(number.amount) * 86_400))
    except (OverflowError, ValueError) as error:
        raise NotConverted("is a number that is no date") from error
    if moment.year not in _SERIAL_YEARS:
        raise NotConverted("is a number that is no date")
    return moment
