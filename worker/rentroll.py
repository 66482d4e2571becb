"""Read a rent roll: bytes of a CSV file to one row a unit, with what it states. Pure, and nothing is guessed.

A value that does not convert leaves its row out, and the row is listed with its column. An empty cell says nothing. A
unit that the file does not name is nobody's business here.

Errors:
    RentRollError(Exception)   the file as a whole cannot be used: too large, no CSV, no column of units, a unit twice
"""

import csv
import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from io import StringIO
from typing import Literal

from parsers.directory import unit_key
from parsers.errors import Unreadable
from parsers.events import FACTS, FLAGS, TENANCY, Value
from parsers.text import normal

MAX_BYTES = 50 * 1024 * 1024
MAX_ROWS = 200_000
MAX_CELL = 255
MAX_MONEY = Decimal("9999999999.99")

DayOrder = Literal["mdy", "dmy"]
"""Which of the two numbers of 05/06/2026 is the month."""

UNIT, ID, LOCATION = "unit", "crm_unit_id", "pms_location_code"
NAMES = (UNIT, ID, LOCATION, "occupied", *TENANCY, *FACTS)
"""What a column may be, in our own words."""
WORDS: Mapping[str, tuple[str, ...]] = {
    UNIT: ("unit", "unit name", "unit number", "unit no", "unit #", "space"),
    LOCATION: ("location", "location code", "site", "site code", "facility"),
    "occupied": ("occupied", "status", "unit status", "occupancy", "rented"),
    "pms_tenant_id": ("tenant id", "tenant no", "tenant number", "customer id"),
    "ledger_id": ("ledger id", "ledger", "account", "account id", "account number", "lease id"),
    "move_in_date": ("move in date", "move in", "moved in", "movein", "lease start"),
    "balance_due": ("balance", "balance due", "total due", "amount due"),
    "paid_through_date": ("paid through", "paid through date", "paid to", "paid thru", "paid until"),
    "pms_lockout": ("locked out", "lockout", "overlocked", "overlock"),
    "pms_lock_exempt": ("lock exempt", "exempt"),
    "pms_auction": ("auction", "in auction"),
    "pms_unrentable": ("unrentable",),
    "pms_status_raw": ("pms status", "status text"),
}
"""Plain words for our names, as headings are compared: in lower case, without marks between words."""
_NAME_OF = {word: name for name, words in WORDS.items() for word in (*words, name.replace("_", " "))} | {
    ID.replace("_", " "): ID
}

_TRUE = frozenset(("true", "yes", "y", "1", "x"))
_FALSE = frozenset(("false", "no", "n", "0"))
_RENTED = _TRUE | {"rented", "occupied", "leased"}
_VACANT = _FALSE | {"vacant", "available", "empty", "unoccupied"}
_MONEY = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d{1,2}))?|(\d{1,3}(?:\.\d{3})+|\d+),(\d{2})", re.ASCII)
_GROUPED = re.compile(r"\d{1,3}[.,]\d{3}", re.ASCII)
_ISO = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)(?:[T ]00:00(?::00)?)?", re.ASCII)
_SLASHED = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})", re.ASCII)
_NAMED = ("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y", "%d %B %Y")


class RentRollError(Exception):
    """A file that cannot be used as a rent roll; the message says where and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a rent roll states of one unit."""

    line: int
    """Where it stands in the file, from 1; of a mail the place of its event."""
    unit: str
    body: Mapping[str, Value]
    """``occupied``, tenancy and facts, as far as they are stated."""
    crm_unit_id: str = ""
    """The id that the file itself gives; empty: it gives none."""
    location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A row that is not used, and why."""

    line: int
    unit: str
    column: str
    message: str

    def to_json(self) -> dict[str, object]:
        """Return it as plain values."""
        return {"row": self.line, "unit": self.unit, "column": self.column, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class RentRoll:
    """A rent roll as it was read."""

    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...] = ()
    encoding: str = ""
    delimiter: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    """Our name by the heading of its column."""
    unknown: tuple[str, ...] = ()
    """Headings that mean nothing to us."""
    as_of: dt.datetime | None = None
    """When it says that things were so; None: it does not say."""
    identities: frozenset[str] = frozenset()
    """Of the events that it was read from, where it is a mail."""


def read_rent_roll(raw: bytes, *, day_order: DayOrder | None = None) -> RentRoll:
    """Return what a CSV file states of each unit.

    ``day_order``: how to read 05/06/2026; None: as the other dates of the column show it, where they do.

    Raises:
        RentRollError: the file as a whole cannot be used.
    """
    if len(raw) > MAX_BYTES:
        raise RentRollError(f"larger than {MAX_BYTES >> 20} MiB")
    text, encoding = _decode(raw)
    delimiter = _delimiter(text)
    sheet = _sheet(text, delimiter)
    heads = [cell.strip() for cell in sheet[0][1]]
    mapping = _mapping(heads)
    reader = _Reader({name: heads.index(head) for head, name in mapping.items()}, heads, day_order, sheet[1:])
    rows, left_out = reader.read()
    _check_once(rows)
    return RentRoll(
        rows=rows,
        left_out=left_out,
        encoding=encoding,
        delimiter={"\t": "tab"}.get(delimiter, delimiter),
        mapping=mapping,
        unknown=tuple(head for head in heads if head and head not in mapping),
    )


def _decode(raw: bytes) -> tuple[str, str]:
    """Return the text and the name of its encoding."""
    try:
        return raw.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode("windows-1252"), "windows-1252"
    except UnicodeDecodeError as error:
        raise RentRollError("neither UTF-8 nor windows-1252: save it as CSV UTF-8") from error


def _delimiter(text: str) -> str:
    """Return what parts the cells of the first line: the mark that parts it into most."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=first.count)


def _sheet(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the rows that hold anything, each with its line."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((line, cells))
            line = reader.line_num + 1
            if len(rows) > MAX_ROWS + 1:
                raise RentRollError(f"more than {MAX_ROWS:,} rows")
    except csv.Error as error:
        raise RentRollError(f"line {line}: not CSV: {error}") from error
    if not rows:
        raise RentRollError("empty: the first line holds the headings, such as Unit,Status,Balance")
    return rows


def _mapping(heads: Sequence[str]) -> dict[str, str]:
    """Return our name by heading.

    Raises:
        RentRollError: no column of units, or two columns of one name.
    """
    mapping: dict[str, str] = {}
    for head in heads:
        name = _NAME_OF.get(_plain_words(head))
        if name is None:
            continue
        other = next((one for one, its in mapping.items() if its == name), None)
        if other is not None:
            raise RentRollError(f"the columns `{other}` and `{head}` both mean {name}: rename one")
        mapping[head] = name
    if UNIT not in mapping.values():
        raise RentRollError(f"no column of units; headings: {', '.join(heads[:20])}; call one `Unit`")
    if not set(mapping.values()) - {UNIT, ID, LOCATION}:
        raise RentRollError(f"no column states anything of the units; headings: {', '.join(heads[:20])}")
    return mapping


def _plain_words(head: str) -> str:
    return re.sub(r"[\s_.:/-]+", " ", head.casefold()).strip().removesuffix("?").strip()


def _check_once(rows: Iterable[Row]) -> None:
    """Refuse a file that states one unit twice: nobody knows which row counts."""
    seen: dict[tuple[str, str], Row] = {}
    for row in rows:
        first = seen.setdefault((unit_key(row.location), unit_key(row.unit)), row)
        if first is not row:
            raise RentRollError(f"the unit `{row.unit}` stands in line {first.line} and in line {row.line}")


class _Wrong(ValueError):
    """A cell that cannot be used; the text says what would do."""


class _Reader:
    """Reads the rows of one sheet."""

    def __init__(
        self,
        places: Mapping[str, int],
        heads: Sequence[str],
        day_order: DayOrder | None,
        rows: Sequence[tuple[int, list[str]]],
    ) -> None:
        self._places = places
        self._heads = heads
        self._rows = rows
        dates = [name for name in ("move_in_date", "paid_through_date") if name in places]
        self._order: dict[str, DayOrder | None] = {name: day_order or self._order_shown(name) for name in dates}

    def read(self) -> tuple[tuple[Row, ...], tuple[LeftOut, ...]]:
        """Return the rows, and those that are left out."""
        rows: list[Row] = []
        left_out: list[LeftOut] = []
        for line, cells in self._rows:
            found = self._row(line, cells)
            (rows if isinstance(found, Row) else left_out).append(found)  # type: ignore[arg-type]
        return tuple(rows), tuple(left_out)

    def _row(self, line: int, cells: Sequence[str]) -> Row | LeftOut:
        column, unit = UNIT, ""
        try:
            if len(cells) > len(self._heads):
                raise _Wrong(f"{len(cells)} cells under {len(self._heads)} headings")
            unit = _unit(self._cell(cells, UNIT))
            body: dict[str, Value] = {}
            for column in ("occupied", *TENANCY, *FACTS):
                cell = self._cell(cells, column)
                if cell:
                    body[column] = self._value(column, cell)
            column = "pms_tenant_id"
            if "occupied" not in body and body.get("pms_tenant_id"):
                body["occupied"] = True
            if body.get("occupied") is False and any(name in body for name in TENANCY):
                column = next(name for name in TENANCY if name in body)
                raise _Wrong("the row says that the unit is vacant, and names a tenancy")
            column = ID
            return Row(
                line=line,
                unit=unit,
                body=body,
                crm_unit_id=_text(self._cell(cells, ID)),
                location=_text(self._cell(cells, LOCATION)),
            )
        except _Wrong as wrong:
            return LeftOut(line=line, unit=unit, column=self._head(column), message=str(wrong))

    def _cell(self, cells: Sequence[str], name: str) -> str:
        place = self._places.get(name, len(cells))
        return cells[place].strip() if place < len(cells) else ""

    def _head(self, name: str) -> str:
        return self._heads[self._places[name]] if name in self._places else name

    def _value(self, name: str, cell: str) -> Value:
        if name == "occupied":
            return _word(cell, _RENTED, _VACANT, "write Occupied or Vacant")
        if name in FLAGS:
            return _word(cell, _TRUE, _FALSE, "write Yes or No")
        if name == "balance_due":
            return _money(cell)
        return _date(cell, self._order[name]) if name in self._order else _text(cell)

    def _order_shown(self, name: str) -> DayOrder | None:
        """Return the order that the dates of a column show beyond doubt; None when none does, or two disagree."""
        shown: set[DayOrder] = set()
        for _, cells in self._rows:
            found = _SLASHED.fullmatch(self._cell(cells, name))
            if found and int(found[1]) > 12:
                shown.add("dmy")
            elif found and int(found[3]) > 12:
                shown.add("mdy")
        return shown.pop() if len(shown) == 1 else None


def _text(cell: str) -> str:
    """Return a text in the normal form of values; zeros in front stay."""
    try:
        text = normal(cell)
    except Unreadable as error:
        raise _Wrong("holds what no text has") from error
    if len(text) > MAX_CELL or "\ufffd" in text:
        raise _Wrong(f"longer than {MAX_CELL} characters, or holds a character that no text has")
    return text


def _unit(cell: str) -> str:
    unit = _text(cell)
    if not unit:
        raise _Wrong("the unit is empty")
    if not unit.isprintable() or any(part in (".", "..") for part in unit.split("/")) or "?" in unit or "\\" in unit:
        raise _Wrong("holds a character or a path segment that no unit has")
    return unit


def _word(cell: str, yes: Iterable[str], no: Iterable[str], advice: str) -> bool:
    word = cell.casefold()
    if word in yes or word in no:
        return word in yes
    raise _Wrong(f"neither the one nor the other: {advice}")


def _money(cell: str) -> Decimal:
    """Return an amount of at least 0; a credit is 0, as the unit API takes it."""
    text = cell.replace("\u00a0", "").replace(" ", "")
    is_credit = (text.startswith("(") and text.endswith(")")) or "-" in (text[:1], text[1:2], text[-1:])
    text = re.sub(r"[()$€£-]", "", text)
    if _GROUPED.fullmatch(text):
        raise _Wrong("may be thousands or a fraction: write it with cents")
    found = _MONEY.fullmatch(text)
    if not found:
        raise _Wrong("not an amount: write one like 1234.50")
    whole, cents = (found[1], found[2]) if found[1] else (found[3], found[4])
    amount = Decimal(f"{whole.replace(',', '').replace('.', '')}.{(cents or '0').ljust(2, '0')}")
    if amount > MAX_MONEY:
        raise _Wrong(f"more than {MAX_MONEY}")
    return Decimal("0.00") if is_credit else amount


def _date(cell: str, order: DayOrder | None) -> str:
    """Return a date as ``YYYY-MM-DD``."""
    iso, slashed = _ISO.fullmatch(cell), _SLASHED.fullmatch(cell)
    try:
        if iso:
            return dt.date(int(iso[1]), int(iso[2]), int(iso[3])).isoformat()
        if slashed:
            first, second, year = int(slashed[1]), int(slashed[3]), int(slashed[4])
            if first != second and order is None:
                raise _Wrong("day and month cannot be told apart: say --dates mdy or --dates dmy")
            day, month = (first, second) if order == "dmy" else (second, first)
            return dt.date(year, month, day).isoformat()
    except _Wrong:
        raise
    except ValueError as error:
        raise _Wrong("no day of the calendar" + (f" as {order}" if slashed else "")) from error
    for style in _NAMED:
        try:
            return dt.datetime.strptime(cell, style).date().isoformat()  # noqa: DTZ007  a date has no zone
        except ValueError:
            continue
    raise _Wrong("not a date: write one like 2026-05-31")
