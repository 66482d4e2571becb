"""Column types that read and write the same on SQLite and PostgreSQL."""

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from parsers.events import canonical, from_json

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def microseconds(at: dt.datetime) -> int:
    """Return an instant as it is kept: whole microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


class Instant(TypeDecorator[dt.datetime]):
    """An aware UTC instant, kept as whole microseconds since 1970: exact, ordered, the same on both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002
        return None if value is None else _EPOCH + value * _MICROSECOND


class Json(TypeDecorator[Any]):
    """A JSON value, kept as its canonical text; numbers with a fraction come back as Decimal."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else canonical(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any | None:  # noqa: ARG002
        if value == "{}":  # most are
            return {}
        return None if value is None else from_json(value)
