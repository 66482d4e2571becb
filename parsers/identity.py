"""Identity: what makes an occurrence itself, so that one notice told twice is one event.

Built from what happened (company, unit, occurrence, kind, the values that the rule declares), never from how the
news travelled: not the Message-ID, not the host, not the clock of arrival.
"""

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Iterable

from parsers.convert import Value
from parsers.events import Kind

PREFIX = "gpi1-"
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


def identity_of(
    *, company: str, crm_unit_id: str, occurrence: str, kind: Kind, ordinal: int, values: Iterable[tuple[str, str]]
) -> str:
    """Return the identity of one event.

    `ordinal` counts, from 0, the events of that kind for that unit in the mail, or in one table of it. `values` are
    names and canonical texts, in the order that the rule gives them.
    """
    parts = [company, crm_unit_id, occurrence, kind, ordinal, list(values)]
    digest = hashlib.sha256(_ENCODER.encode(parts).encode()).digest()
    return PREFIX + base64.b32encode(digest[:20]).decode().lower()


def canonical_text(value: Value) -> str:
    """Return the one text of a value, whatever its type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return minute_of(value) if value.tzinfo else value.isoformat(timespec="minutes")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def minute_of(moment: dt.datetime) -> str:
    """Return the minute of an aware moment, in UTC."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%MZ")
