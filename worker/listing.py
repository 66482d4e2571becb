"""Lists in pages: mails, events, units, rules, issues, replays, as the operator API shows them."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from parsers import RuleSet
from worker.mending import issue_plain
from worker.replayed import replay_plain
from worker.store import query
from worker.store.database import Database
from worker.store.tables import events, issues, lanes, mails, replays
from worker.views import Plain, event_plain, mail_plain, unit_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which page of a list is wanted."""

    page: int = 1
    page_size: int = 20
    sort_by: str | None = None
    """One of the list's columns; None: its own."""
    descending: bool | None = None
    """None: the list's own order."""
    created_after: dt.datetime | None = None
    created_before: dt.datetime | None = None
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list, and how many rows the whole list has."""

    rows: list[Plain]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _List:
    """How a table is listed."""

    columns: Mapping[str, Any]
    """What it may be sorted by; the first is its own order."""
    key: Sequence[Any]
    """What tells its rows apart: the order within equals."""
    created_at: Any
    descending: bool
    find: Callable[[str], list[sa.ColumnElement[bool]]]
    show: Callable[[Row[Any]], Plain]


def _words_in(*columns: Any) -> Callable[[str], list[sa.ColumnElement[bool]]]:
    """Return what finds rows of which some column holds each word of a query."""

    def find(text: str) -> list[sa.ColumnElement[bool]]:
        return [sa.or_(*(column.icontains(word, autoescape=True) for column in columns)) for word in text.split()]

    return find


_OF_LANE = (events.c.destination == lanes.c.destination, events.c.crm_unit_id == lanes.c.crm_unit_id)
LISTS: Mapping[str, _List] = {
    "mails": _List(
        columns={name: mails.c[name] for name in ("received_at", "mailed_at", "state", "mailbox", "id")},
        key=(mails.c.id,),
        created_at=mails.c.received_at,
        descending=True,
        find=query.mail_conditions,
        show=mail_plain,
    ),
    "events": _List(
        columns={name: events.c[name] for name in ("created_at", "effective_at", "state", "kind", "id")},
        key=(events.c.id,),
        created_at=events.c.created_at,
        descending=True,
        find=query.event_conditions,
        show=event_plain,
    ),
    "units": _List(
        columns={name: lanes.c[name] for name in ("crm_unit_id", "updated_at", "location")},
        key=(lanes.c.destination, lanes.c.crm_unit_id),
        # A unit is there from its first event on.
        created_at=sa.select(sa.func.min(events.c.created_at)).where(*_OF_LANE).correlate(lanes).scalar_subquery(),
        descending=False,
        find=_words_in(lanes.c.crm_unit_id, lanes.c.unit, lanes.c.location),
        show=unit_plain,
    ),
    "issues": _List(
        columns={name: issues.c[name] for name in ("last_at", "first_at", "count", "state", "kind", "id")},
        key=(issues.c.id,),
        created_at=issues.c.first_at,
        descending=True,
        find=_words_in(issues.c.kind, issues.c.state, issues.c.title),
        show=issue_plain,
    ),
    "replays": _List(
        columns={name: replays.c[name] for name in ("created_at", "state", "id")},
        key=(replays.c.id,),
        created_at=replays.c.created_at,
        descending=True,
        find=_words_in(replays.c.query, replays.c.state, replays.c.reason),
        show=replay_plain,
    ),
}
RULE_COLUMNS = ("name", "pack")


def list_page(db: Database, name: str, wish: Wish) -> Page:
    """Return a page of one of the lists: ``mails``, ``events``, ``units``, ``issues`` or ``replays``.

    Raises:
        QueryError: the query cannot be understood.
    """
    how = LISTS[name]
    conditions = how.find(wish.query)
    if wish.created_after is not None:
        conditions.append(how.created_at >= wish.created_after)
    if wish.created_before is not None:
        conditions.append(how.created_at < wish.created_before)
    column = next(iter(how.columns.values())) if wish.sort_by is None else how.columns[wish.sort_by]
    descending = how.descending if wish.descending is None else wish.descending
    order = [_ordered(one, descending) for one in (column, *how.key)]
    table = column.table
    rows = sa.select(table).where(*conditions).order_by(*order).limit(wish.page_size)
    count = sa.select(sa.func.count()).select_from(table).where(*conditions)
    with db.read() as connection:
        total = connection.execute(count).scalar_one()
        found = connection.execute(rows.offset((wish.page - 1) * wish.page_size)).all()
    return Page(rows=[how.show(row) for row in found], total=total)


def _ordered(column: Any, descending: bool) -> Any:
    """Return an order that is the same on both databases, and that an index can give."""
    order = column.desc() if descending else column.asc()
    return sa.nulls_last(order) if column.nullable else order


def list_rules(rules: RuleSet, wish: Wish) -> Page:
    """Return a page of the rules of a set; the times of the wish do not count."""
    found = [
        {
            "name": rule.name,
            "pack": rule.pack,
            "gives": [str(event.kind) for event in rule.all_events],
            "ignores": rule.ignore,
            "senders": list(pack.senders),
            "rule_set": rules.id,
        }
        for pack in rules.packs.values()
        for rule in pack.rules
        if all(word.lower() in rule.name for word in wish.query.split())
    ]
    found.sort(key=lambda row: (row[wish.sort_by or "name"], row["name"]), reverse=bool(wish.descending))
    first = (wish.page - 1) * wish.page_size
    return Page(rows=found[first : first + wish.page_size], total=len(found))
