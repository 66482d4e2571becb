"""A request as the routes see it: path, parameters, actor and body, each checked when it is asked for."""

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from worker.console.ops.body import Body
from worker.console.ops.envelope import invalid
from worker.listing import Wish
from worker.settings import nearest
from worker.units import wire
from worker.units.fields import Invalid

TOKEN_NAME = "ops-token"  # noqa: S105  a name, for the audit
"""Who acts where no ``X-Actor`` says it: whoever has the token."""
MAX_ACTOR = 100
MAX_WORDS = 1000
"""Characters of a text in a body, such as a query or a reason."""

FieldCheck = Callable[[object], Any]
"""Takes a field's value; returns it, or raises ValueError with what is wrong with it."""
LIST_NAMES = ("page", "page_size", "sort_by", "sort_order", "created_after", "created_before", "q")

_BARE_PLUS = re.compile(r"(?<=\d) (?=\d\d:\d\d$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    path: Mapping[str, str]
    """What stands in the path where the route has a name."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By their names in lower case."""
    peer: str | None
    now: dt.datetime
    body: Body

    def actor(self) -> str:
        """Return who acts, for the audit; refuse a name that cannot stand there."""
        name = self.headers.get("x-actor", "").strip() or TOKEN_NAME
        if len(name) > MAX_ACTOR or not name.isascii() or not name.isprintable():
            raise invalid({"X-Actor": f"must be at most {MAX_ACTOR} printable ASCII characters"})
        return name

    def read_object(self) -> dict[str, Any]:
        """Return the JSON object of the body, numbers with a fraction as Decimal; refuse what is none."""
        try:
            told = json.loads(
                self.body.read().decode("utf-8"), parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_once
            )
        except (ValueError, ArithmeticError, RecursionError):
            raise invalid({"body": "must be JSON, in UTF-8, no name twice"}) from None
        if not isinstance(told, dict):
            raise invalid({"body": "must be a JSON object"})
        return told

    def read_fields(self, checks: Mapping[str, FieldCheck], *, needed: Sequence[str] = ()) -> dict[str, Any]:
        """Return the checked fields of the body's JSON object; refuse all that is wrong with it at once."""
        told = self.read_object()
        values: dict[str, Any] = {}
        wrong = {name: f"is unknown{nearest(name, checks)}" for name in told if name not in checks}
        wrong |= {name: "is required" for name in needed if name not in told}
        for name, check in checks.items():
            if name in told:
                try:
                    values[name] = check(told[name])
                except ValueError as error:
                    wrong[name] = str(error)
        if wrong:
            raise invalid(wrong)
        return values

    def check_query(self, known: Sequence[str]) -> None:
        """Refuse a parameter that the route does not have: a misspelt filter must not be a missing one."""
        wrong = {name: f"is unknown{nearest(name, known)}" for name in self.query if name not in known}
        wrong |= {name: "holds a character that no text has" for name, value in self.query.items() if "\0" in value}
        if wrong:
            raise invalid(wrong)

    def wish(self, columns: Sequence[str]) -> Wish:
        """Return which page of a list is wanted; refuse all that is wrong with it at once."""
        wrong: dict[str, str] = {}
        page = page_size = 1
        try:
            page, page_size = wire.pages(self.query)
        except Invalid as error:
            wrong |= {name: messages[0] for name, messages in error.errors.items()}
        sort_by, order = self.query.get("sort_by"), self.query.get("sort_order")
        if sort_by is not None and sort_by not in columns:
            wrong["sort_by"] = f"must be one of {', '.join(columns)}"
        if order not in (None, "asc", "desc"):
            wrong["sort_order"] = "must be asc or desc"
        times: dict[str, dt.datetime] = {}
        for name in ("created_after", "created_before"):
            if name in self.query:
                try:
                    times[name] = _instant(self.query[name])
                except ValueError:
                    wrong[name] = "must be a date or a time, such as 2026-05-01 or 2026-05-01T14:30:00Z"
        if wrong:
            raise invalid(wrong)
        return Wish(
            page=page,
            page_size=page_size,
            sort_by=sort_by,
            descending=None if order is None else order == "desc",
            created_after=times.get("created_after"),
            created_before=times.get("created_before"),
            query=self.query.get("q", ""),
        )


def text_field(value: object) -> str:
    """Check a text that both databases can keep; it may be empty."""
    if not isinstance(value, str) or len(value) > MAX_WORDS:
        raise ValueError(f"must be a text of at most {MAX_WORDS} characters")
    if "\0" in value or any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        raise ValueError("holds a character that no text has")
    return value


def query_field(value: object) -> str:
    """Check a query that names something: none is taken for all."""
    text = text_field(value)
    if not text.strip():
        raise ValueError("must name something, such as rule:sitelink/move-in after:2026-05-01")
    return text


def flag_field(value: object) -> bool:
    """Check a flag."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def whole_field(least: int) -> FieldCheck:
    """Return the check of a whole number."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 1_000_000:
            raise ValueError(f"must be a whole number from {least} to 1000000")
        return value

    return check


def word_field(words: Sequence[str]) -> FieldCheck:
    """Return the check of a word of a closed list."""

    def check(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return check


def _instant(text: str) -> dt.datetime:
    """Return an instant; without a zone it is in UTC. A plus sign that was not escaped came as a space."""
    found = dt.datetime.fromisoformat(_BARE_PLUS.sub("+", text) if "T" in text else text)
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(name)
