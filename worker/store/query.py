"""The query language of lists: ``state:held pms:sitelink after:2026-05-01 Smith``.

Errors:
    QueryError(Exception)   an unknown token or a value that does not fit; names the nearest token
"""

import datetime as dt
import shlex
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from worker.settings import nearest
from worker.store.tables import audit, events, mails


class QueryError(Exception):
    """A query that cannot be understood."""


Condition = sa.ColumnElement[bool]


def mail_conditions(query: str) -> list[Condition]:
    """Return the conditions on mails for a query; plain words look into subject, sender and detail."""
    return _conditions(query, _MAIL_TOKENS, _mail_text)


def event_conditions(query: str) -> list[Condition]:
    """Return the conditions on events for a query; plain words look for a unit."""
    return _conditions(query, _EVENT_TOKENS, lambda word: events.c.crm_unit_id.icontains(word, autoescape=True))


def audit_conditions(query: str) -> list[Condition]:
    """Return the conditions on audit rows for a query; plain words look into subject and detail."""
    return _conditions(
        query,
        _AUDIT_TOKENS,
        lambda word: sa.or_(*(one.icontains(word, autoescape=True) for one in (audit.c.subject, audit.c.detail))),
    )


def _conditions(
    query: str, tokens: dict[str, Callable[[str], Condition]], text: Callable[[str], Condition]
) -> list[Condition]:
    try:
        words: Sequence[str] = shlex.split(query)
    except ValueError:
        words = query.split()  # an apostrophe in a name opens no quotation
    found: list[Condition] = []
    for word in words:
        name, colon, value = word.partition(":")
        if not colon or not value or not name.isalpha():
            found.append(text(word))
        elif name in tokens:
            found.append(tokens[name](value))
        else:
            raise QueryError(f"unknown token `{name}:`{nearest(name, tokens)}; known: {', '.join(sorted(tokens))}")
    return found


def _instant(value: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(value)
    except ValueError as error:
        raise QueryError(f"`{value}` is not a time; write 2026-05-01 or 2026-05-01T14:30") from error
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _number(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise QueryError(f"`{value}` is not a number")
    return int(value)


def _mail_text(word: str) -> Condition:
    return sa.or_(
        *(column.icontains(word, autoescape=True) for column in (mails.c.subject, mails.c.from_address, mails.c.detail))
    )


def _of_unit(value: str) -> Condition:
    return sa.or_(events.c.crm_unit_id == value, events.c.unit == value)


_MAIL_TOKENS: dict[str, Callable[[str], Condition]] = {
    "id": lambda value: mails.c.id == value,
    "state": lambda value: mails.c.state == value,
    "reason": lambda value: mails.c.reason == value,
    "pms": lambda value: mails.c.pack == value,
    "mailbox": lambda value: mails.c.mailbox == value.lower(),
    "rule": lambda value: mails.c.rule == value,
    "set": lambda value: mails.c.rule_set == value,
    "from": lambda value: mails.c.from_address.icontains(value, autoescape=True),
    "subject": lambda value: mails.c.subject.icontains(value, autoescape=True),
    "unit": lambda value: sa.exists().where(events.c.mail_id == mails.c.id, _of_unit(value)),
    "before": lambda value: mails.c.received_at < _instant(value),
    "after": lambda value: mails.c.received_at >= _instant(value),
}
_EVENT_TOKENS: dict[str, Callable[[str], Condition]] = {
    "id": lambda value: events.c.id == _number(value),
    "state": lambda value: events.c.state == value,
    "reason": lambda value: events.c.reason == value,
    "pms": lambda value: events.c.rule.startswith(value + "/", autoescape=True),
    "mailbox": lambda value: events.c.mailbox == value.lower(),
    "rule": lambda value: events.c.rule == value,
    "mail": lambda value: events.c.mail_id == value,
    "unit": _of_unit,
    "issue": lambda value: events.c.issue_id == _number(value),
    "set": lambda value: events.c.rule_set == value,
    "before": lambda value: events.c.effective_at < _instant(value),
    "after": lambda value: events.c.effective_at >= _instant(value),
}
_AUDIT_TOKENS: dict[str, Callable[[str], Condition]] = {
    "actor": lambda value: audit.c.actor == value,
    "action": lambda value: sa.or_(audit.c.action == value, audit.c.action.startswith(value + " ", autoescape=True)),
    "subject": lambda value: audit.c.subject == value,
    "before": lambda value: audit.c.at < _instant(value),
    "after": lambda value: audit.c.at >= _instant(value),
}
