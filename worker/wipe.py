"""Wipe: overwrite what the tables hold of a resident. ``worker/erase.py`` says whose, and what stands instead."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers.events import IDS
from worker.store.lanes import LaneKey
from worker.store.mails import MailState
from worker.store.tables import (
    attempts,
    audit,
    bodies,
    body_chunks,
    bulk_items,
    calls,
    event_log,
    events,
    hook_deliveries,
    issues,
    lanes,
    mails,
    past_readings,
    pauses,
    readings,
    reconciles,
    replay_items,
    replays,
    rule_sets,
)
from worker.units.tables import local_units

ERASED = "erased"
KEPT_EVIDENCE = ("trusted", "vouched", "tls", "received_at")
SHORTEST = 3
"""Letters of a word that is looked for in what people and programs have written."""

FREE_TEXTS: Mapping[sa.Table, tuple[str, ...]] = {
    audit: ("subject", "detail"),
    event_log: ("detail",),
    events: ("detail", "released_by"),
    hook_deliveries: ("message",),
    issues: ("title", "detail", "subject", "note"),
    mails: ("detail",),
    pauses: ("reason",),
    reconciles: ("source", "report"),
    replay_items: ("detail",),
    replays: ("query", "reason"),
    rule_sets: ("note",),
    attempts: ("message", "asked"),
}
"""Where people's and programs' own words stand, which may name anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What stands instead."""

    ids: Mapping[str, str]
    """Mark by the id of a tenant or ledger."""
    statuses: frozenset[str]
    """Words of the PMS for a unit's state; ``erased`` stands instead."""

    def over(self, values: Mapping[str, Any], *, everywhere: bool = False) -> dict[str, Any]:
        """Return values with marks instead of ids. ``everywhere``: whatever the words of status are."""
        after = dict(values)
        for name in IDS:
            if after.get(name) in self.ids:
                after[name] = self.ids[after[name]]
        status = after.get("pms_status_raw")
        if status and (everywhere or status in self.statuses):
            after["pms_status_raw"] = ERASED
        return after


class Wipe:
    """Wipes events, mails and all that hangs on them, in the caller's transaction."""

    def __init__(
        self,
        connection: Connection,
        *,
        keys: Sequence[LaneKey],
        events: Sequence[Row[Any]],
        mails: Sequence[Row[Any]],
        marks: Marks,
        texts: Sequence[str],
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._events = events
        self._event_ids = {event.id for event in events}
        self._mails = mails
        self._marks = marks
        words = [*marks.ids, *marks.statuses, *texts, *self._said()]
        self._words = sorted({word for word in words if len(word) >= SHORTEST}, key=lambda word: (-len(word), word))
        self._columns = [event.columns for event in events if event.columns]

    def everything(self, *, now: dt.datetime) -> dict[str, int]:
        """Wipe; return how many of each."""
        return {
            "mails": self._wipe_mails(now),
            "events": self._wipe_events(),
            "calls": self._wipe_calls(),
            "units": self._wipe_units(),
            "texts": self._wipe_linked() + self._wipe_texts(),
        }

    def scrub(self, text: str) -> str:
        """Return a text without the words of the resident."""
        for word in self._words:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", ERASED, text, flags=re.IGNORECASE)
        return text

    def _said(self) -> list[str]:
        """Return what people said of these events and mails: their reasons stand in other places, too."""
        people = set(self._connection.execute(sa.select(audit.c.actor).distinct()).scalars())
        log = sa.select(event_log.c.detail).where(event_log.c.event_id.in_(self._event_ids))
        details = [*self._connection.execute(log).scalars()]
        details += [text for event in self._events for text in (event.detail, event.released_by)]
        said = [text.partition(": ") for text in details if text]
        return [reason for actor, _, reason in said if actor in people and reason]

    def _wipe_mails(self, now: dt.datetime) -> int:
        its_bodies = {mail.body_id for mail in self._mails}
        for body_id in sorted(its_bodies):
            self._connection.execute(body_chunks.delete().where(body_chunks.c.body_id == body_id))
            self._connection.execute(bodies.update().where(bodies.c.id == body_id).values(sha256=""))
        for mail in self._mails:
            is_held = mail.state == MailState.HELD
            values: dict[str, Any] = {
                "subject": None,
                "from_address": None,
                "message_id": None,
                "detail": ERASED,
                "evidence": {name: mail.evidence[name] for name in KEPT_EVIDENCE if name in mail.evidence},
                "purged_at": mail.purged_at or now,
            }
            if is_held:
                values |= {"state": MailState.DISCARDED, "due_at": None}
            self._connection.execute(mails.update().where(mails.c.id == mail.id).values(**values))
            for table in (readings, past_readings):
                self._stub_readings(table, mail.id)
        return len(self._mails)

    def _stub_readings(self, table: sa.Table, mail_id: str) -> None:
        """Leave of a reading which rule read which line for which field, and the identities that came of it."""
        key = next(iter(table.primary_key))
        for row in self._connection.execute(sa.select(table).where(table.c.mail_id == mail_id)).all():
            before = row.reading
            proven = before.get("outcome") in ("events", "ignored")
            after = {
                "outcome": before.get("outcome"),
                "rule": before.get("rule"),
                "rule_set": before.get("rule_set"),
                "reason": None,
                "events": [
                    {"kind": one["kind"], "identity": one["identity"], "body": {}} for one in before.get("events", [])
                ],
                "proof": self.scrub(before["proof"]) if proven and before.get("proof") else None,
                "trace": {
                    "captures": [
                        {"field": one["field"], "line": one.get("line"), "text": ERASED}
                        for one in before.get("trace", {}).get("captures", [])
                    ]
                },
            }
            self._connection.execute(table.update().where(key == getattr(row, key.name)).values(reading=after))

    def _wipe_events(self) -> int:
        for event in self._events:
            values = {
                "body": self._marks.over(event.body, everywhere=True),
                "expect": self._marks.over(event.expect),
                "tenant_id": None,
                "ledger_id": None,
                "detail": None,
                "released_by": event.released_by.partition(": ")[0] if event.released_by else None,
                "columns": {},
            }
            self._connection.execute(events.update().where(events.c.id == event.id).values(**values))
            self._connection.execute(event_log.update().where(event_log.c.event_id == event.id).values(detail=None))
        return len(self._events)

    def _wipe_calls(self) -> int:
        """Wipe what was sent of them and answered; key, outcome and status stay."""
        many = 0
        for key in self._keys:
            its = sa.and_(calls.c.destination == key[0], calls.c.crm_unit_id == key[1])
            for row in self._connection.execute(sa.select(calls).where(its)).all():
                after = self._marks.over(row.writes)
                if after != row.writes or self._event_ids & set(row.sources.values()):
                    self._wipe_call(row, after)
                    many += 1
            its = sa.and_(bulk_items.c.destination == key[0], bulk_items.c.crm_unit_id == key[1])
            for item in self._connection.execute(sa.select(bulk_items).where(its)).all():
                one = sa.and_(bulk_items.c.call_id == item.call_id, bulk_items.c.crm_unit_id == key[1])
                values = {"writes": self._marks.over(item.writes), "message": None}
                self._connection.execute(bulk_items.update().where(one).values(**values))
                row = self._connection.execute(sa.select(calls).where(calls.c.id == item.call_id)).one()
                self._wipe_call(row, self._marks.over(row.writes))
                many += 1
        return many

    def _wipe_call(self, row: Row[Any], writes: Mapping[str, Any]) -> None:
        values = {"body": b"", "writes": dict(writes), "path": self._path(row.path), "job": None}
        self._connection.execute(calls.update().where(calls.c.id == row.id).values(**values))
        self._connection.execute(
            attempts.update().where(attempts.c.call_id == row.id).values(message="", answer=b"", asked=None)
        )

    def _path(self, path: str) -> str:
        """Return a path without ids that a unit map brought; a unit's own id stays."""
        named = [str(value) for columns in self._columns for value in columns.values() if value]
        return f"/{ERASED}" if any(word in path for word in (*named, *self._marks.ids)) else path

    def _wipe_units(self) -> int:
        """Wipe what units show, so that it stays what their events want; the local units themselves, too."""
        for key in self._keys:
            its = sa.and_(lanes.c.destination == key[0], lanes.c.crm_unit_id == key[1])
            row = self._connection.execute(sa.select(lanes).where(its)).one_or_none()
            if row is not None:
                values = {"shown": self._marks.over(row.shown), "origin": self._marks.over(row.origin)}
                if row.columns in self._columns:
                    values["columns"] = {}
                self._connection.execute(lanes.update().where(its).values(**values))
            for unit in self._connection.execute(
                sa.select(local_units).where(local_units.c.crm_unit_id == key[1])
            ).all():
                one = sa.and_(local_units.c.company == unit.company, local_units.c.crm_unit_id == key[1])
                shown = {name: getattr(unit, name) for name in (*IDS, "pms_status_raw")}
                self._connection.execute(local_units.update().where(one).values(**self._marks.over(shown)))
        return len(self._keys)

    def _wipe_linked(self) -> int:
        """Wipe the words of what is about one of them by its id."""
        of_mails, of_events = [mail.id for mail in self._mails], [str(event_id) for event_id in self._event_ids]
        about = sa.or_(
            sa.and_(audit.c.subject.in_(of_mails), audit.c.action.startswith("mail ")),
            sa.and_(audit.c.subject.in_(of_events), audit.c.action.startswith("event ")),
        )
        many = self._connection.execute(audit.update().where(about).values(detail=ERASED)).rowcount
        linked = {one.issue_id for one in (*self._mails, *self._events) if one.issue_id is not None}
        units = {key[1] for key in self._keys}
        for row in self._connection.execute(sa.select(issues.c.id, issues.c.subject)).all():
            if row.id in linked or row.subject.get("unit") in units or row.subject.get("event") in self._event_ids:
                values = {"detail": ERASED, "note": None}
                self._connection.execute(issues.update().where(issues.c.id == row.id).values(**values))
                many += 1
        one_of = sa.or_(replay_items.c.mail_id.in_(of_mails), replay_items.c.event_id.in_(self._event_ids))
        many += self._connection.execute(replay_items.update().where(one_of).values(detail=None)).rowcount
        return many

    def _wipe_texts(self) -> int:
        """Take the words of the resident out of all that people and programs have written."""
        many = 0
        for table, names in FREE_TEXTS.items():
            columns = [table.c[name] for name in names]
            for part in _parts(self._words):
                said = sa.or_(
                    *(
                        sa.type_coerce(column, sa.Text).icontains(word, autoescape=True)
                        for column in columns
                        for word in part
                    )
                )
                for row in self._connection.execute(sa.select(table).where(said)).all():
                    after = {name: self._scrubbed(getattr(row, name)) for name in names}
                    if any(after[name] != getattr(row, name) for name in names):
                        one = sa.and_(*(column == getattr(row, column.name) for column in table.primary_key))
                        self._connection.execute(table.update().where(one).values(**after))
                        many += 1
        return many

    def _scrubbed(self, value: Any) -> Any:
        """Return a text, or a JSON value, without the words of the resident."""
        if isinstance(value, str):
            return value if value.isdigit() else self.scrub(value)  # the id of an event or issue
        if isinstance(value, Mapping):
            return {self.scrub(name): self._scrubbed(inner) for name, inner in value.items()}
        return [self._scrubbed(inner) for inner in value] if isinstance(value, list) else value


def _parts(words: Sequence[str]) -> Iterable[Sequence[str]]:
    return [words[start : start + 20] for start in range(0, len(words), 20)]
