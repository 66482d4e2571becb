"""Reconcile: a rent roll against what we applied. What differs is told, kept, and on a person's word put right.

Rows that differ become snapshot events of the person who says so, so that they are explained and undone like any other.
A destination that takes many units in one call gets pages of them (``worker/bulk.py``); the others just drain.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers.directory import unit_key
from parsers.events import Event, Kind
from worker.actions import CannotDo, note
from worker.bulk import LOST_S, PAGE, BulkSender, Sent
from worker.calls import BulkDestination, Destination, Manners
from worker.compare import NOTABLE, Finding, Found, Known, compare_unit
from worker.drain import Drain
from worker.keys import BULK
from worker.notices import IssueKind, differing_rent_roll, opened
from worker.places import Place, Resolver
from worker.rentroll import LeftOut, RentRoll
from worker.rentroll import Row as RollRow
from worker.rolls import MACHINE, is_compared, next_mail, roll_of_mail, source_of
from worker.settings import Guards, Mailbox
from worker.store import bulk
from worker.store import lanes as lane_store
from worker.store.database import Database
from worker.store.events import Telling, store_events
from worker.store.issues import close_issue, open_issue
from worker.store.lanes import LaneKey
from worker.store.tables import events, lanes, reconciles
from worker.views import Plain, at_plain

RULE = "person/reconcile"
"""The rule of an event that a rent roll stated and a person let in."""
KEPT = 10_000
"""Findings that a report keeps at most, beside its counts."""
LOOK_EVERY = dt.timedelta(seconds=60)


@dataclass(slots=True, kw_only=True)
class Comparison:
    """A rent roll, compared."""

    mailbox: Mailbox
    source: str
    roll: RentRoll
    as_of: dt.datetime
    guards: Guards
    counts: dict[str, int] = field(default_factory=lambda: {str(kind): 0 for kind in Found})
    findings: list[Finding] = field(default_factory=list[Finding])
    """All but those that are the same, by the unit's id."""
    left_out: list[LeftOut] = field(default_factory=list[LeftOut])
    places: dict[str, Place] = field(default_factory=dict[str, Place])
    number: int | None = None
    """Under which it is kept."""
    sent: Sent | None = None
    """What came of putting it right; None: nothing was sent."""

    @property
    def rows(self) -> int:
        """Return how many rows were compared."""
        return sum(count for kind, count in self.counts.items() if kind != Found.NOT_IN_FILE) - self._outside

    @property
    def _outside(self) -> int:
        return sum(finding.line is None and finding.kind is Found.PHANTOM for finding in self.findings)

    @property
    def flips(self) -> int:
        """Return how many units would change occupancy or lockout."""
        return sum(finding.flips for finding in self.findings if finding.body)

    @property
    def has_too_many_flips(self) -> bool:
        """Say whether so many would that a person has to look twice."""
        return self.rows >= self.guards.flips_least and self.flips > self.guards.flips * self.rows

    @property
    def differs(self) -> bool:
        """Say whether anything is missed, phantom or different."""
        return any(self.counts[kind] for kind in NOTABLE)

    def to_json(self) -> Plain:
        """Return it as plain values."""
        return {
            "reconcile": self.number,
            "mailbox": self.mailbox.address,
            "location": self.mailbox.location,
            "destination": self.mailbox.destination,
            "source": self.source,
            "as_of": at_plain(self.as_of, self.mailbox.timezone),
            "columns": dict(self.roll.mapping),
            "unknown_columns": list(self.roll.unknown),
            "rows": self.rows,
            "counts": {**self.counts, "left_out": len(self.left_out)},
            "flips": {"units": self.flips, "too_many": self.has_too_many_flips, "most_share": self.guards.flips},
            "findings": [finding.to_json() for finding in self.findings[:KEPT]],
            "left_out": [one.to_json() for one in self.left_out[:KEPT]],
            "done": self.sent is not None,
            "sent": self.sent.to_json() if self.sent else None,
        }


class Reconciles:
    """Compares rent rolls, and puts right what differs. One for each process."""

    def __init__(
        self,
        db: Database,
        *,
        destinations: Mapping[str, Destination],
        drain: Callable[[], Drain],
        manners: Callable[[str], Manners],
        clock: Callable[[], dt.datetime],
        by: str,
        guards: Callable[[], Guards] = Guards,
        expects_new_units: Callable[[str], bool] = lambda _name: True,
        on_told: Callable[[Connection, Sequence[tuple[str, int]]], None] = lambda _connection, _told: None,
        on_trouble: Callable[..., None] = lambda **_fields: None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """``on_told``: the issues that it opens, in their transaction; ``on_trouble``: their log lines, after it."""
        self._db = db
        self._destinations = destinations
        self._drain = drain
        self._manners = manners
        self._clock = clock
        self._by = by
        self._guards = guards
        self._expects_new_units = expects_new_units
        self._on_told = on_told
        self._on_trouble = on_trouble
        self._sleep = sleep
        self._looked: dict[str, dt.datetime] = {}

    def compare(self, roll: RentRoll, mailbox: Mailbox, *, source: str, as_of: dt.datetime | None = None) -> Comparison:
        """Compare a rent roll with what we applied; nothing is changed.

        ``as_of``: when things were as it says; None: as it says itself, else now.

        Raises:
            CannotDo: that moment has not come yet, or two rows are one unit.
        """
        now = self._clock()
        at = as_of or roll.as_of or now
        if at > now:
            raise CannotDo(f"{at.isoformat()} has not come yet: a rent roll states what is")
        found = Comparison(mailbox=mailbox, source=source, roll=roll, as_of=at, guards=self._guards())
        resolver = Resolver(mailbox, at)
        found.left_out += roll.left_out
        rows: dict[str, RollRow] = {}
        for row in roll.rows:
            place = resolver.place(row)
            if isinstance(place, LeftOut):
                found.left_out.append(place)
                continue
            first = rows.setdefault(place.crm_unit_id, row)
            if first is not row:
                raise CannotDo(f"rows {first.line} and {row.line} are one unit: {place.crm_unit_id}")
            found.places[place.crm_unit_id] = place
        with self._db.read() as connection:
            for some in lane_store.chunks(sorted(rows)):
                self._compare_some(connection, found, {unit: rows[unit] for unit in some}, now)
            self._add_absent(connection, found, rows, resolver)
        found.findings.sort(key=lambda finding: finding.crm_unit_id)
        return found

    def _compare_some(
        self, connection: Connection, found: Comparison, rows: Mapping[str, RollRow], now: dt.datetime
    ) -> None:
        box = found.mailbox
        ours = bulk.lanes_of(connection, box.destination, rows)
        told = lane_store.events_of(connection, box.destination, rows)
        for unit, row in rows.items():
            lane = ours.get(unit)
            known = Known(
                events=told.get(unit, []), shown=lane.shown if lane else {}, origin=lane.origin if lane else {}
            )
            finding = compare_unit(
                row,
                known,
                crm_unit_id=unit,
                location=box.location,
                manners=self._manners(box.destination),
                as_of=found.as_of,
                now=now,
                without=found.roll.identities,
            )
            found.counts[finding.kind] += 1
            if finding.kind is not Found.SAME:
                found.findings.append(finding)

    def _add_absent(
        self, connection: Connection, found: Comparison, rows: Mapping[str, RollRow], resolver: Resolver
    ) -> None:
        """Add the units of the site that the file does not name. They are left alone: absent is not vacant."""
        box, named = found.mailbox, {unit_key(one.unit) for one in found.left_out if one.unit}
        of_site = sa.and_(
            lanes.c.destination == box.destination, lanes.c.company == box.company, lanes.c.location == box.location
        )
        for lane in connection.execute(sa.select(lanes).where(of_site).order_by(lanes.c.crm_unit_id)):
            if lane.crm_unit_id in rows or unit_key(lane.unit) in named:
                continue
            unknown = resolver.is_unknown(lane.unit, lane.crm_unit_id)
            kind, word = (Found.PHANTOM, unknown) if unknown else (Found.NOT_IN_FILE, _held_by(lane))
            found.counts[kind] += 1
            found.findings.append(Finding(kind=kind, unit=lane.unit, crm_unit_id=lane.crm_unit_id, note=word))

    def keep(self, found: Comparison, *, actor: str) -> int:
        """Keep a comparison's report; return its number."""
        now = self._clock()
        with self._db.write() as connection:
            return self._insert(connection, found, actor=actor, now=now)

    def _insert(self, connection: Connection, found: Comparison, *, actor: str, now: dt.datetime) -> int:
        values = {"mailbox": found.mailbox.address, "source": found.source, "at": now, "actor": actor}
        statement = reconciles.insert().values(**values, report={}).returning(reconciles.c.id)
        number = found.number = connection.execute(statement).scalar_one()
        self._store_report(connection, found)
        return number

    def _store_report(self, connection: Connection, found: Comparison) -> None:
        its = reconciles.c.id == found.number
        connection.execute(reconciles.update().where(its).values(report=found.to_json()))

    def go(self, found: Comparison, *, actor: str, reason: str, flips_ok: bool = False) -> Sent:
        """Put right what differs, and keep the report with what came of it.

        Raises:
            CannotDo: so many units would change occupancy or lockout that a person must say that this is meant.
        """
        if found.has_too_many_flips and not flips_ok:
            raise CannotDo(
                f"{found.flips} of {found.rows} units would change occupancy or lockout, more than "
                f"{found.guards.flips:.0%}: is this the right file? Look at the table, then say --flips-ok"
            )
        if found.number is None:
            self.keep(found, actor=actor)
        todo = [finding for finding in found.findings if finding.body]
        found.sent = Sent()
        sender = self._sender(found.mailbox)
        for page in lane_store.chunks(todo) if todo else []:
            store = partial(self._store_page, found=found, page=page[:PAGE], actor=actor, reason=reason)
            if sender is not None:
                found.sent.add(sender.send(store))
                continue
            with self._db.write() as connection:
                found.sent.left += len(store(connection))
        now = self._clock()
        with self._db.write() as connection:
            self._store_report(connection, found)
            detail = f"{len(todo)} units of {found.mailbox.address} by {found.source}: {reason}"
            note(connection, actor=actor, action="reconcile", subject=str(found.number), detail=detail, now=now)
        return found.sent

    def _sender(self, mailbox: Mailbox) -> BulkSender | None:
        """Return what sends pages to a mailbox's destination; None: it takes one unit a call."""
        destination = self._destinations.get(mailbox.destination)
        if destination is None or not hasattr(destination, "render_bulk"):
            return None
        return BulkSender(
            self._drain(),
            cast("BulkDestination", destination),
            company=mailbox.company,
            by=self._by,
            expects_new_units=self._expects_new_units(mailbox.destination),
            **({} if self._sleep is None else {"sleep": self._sleep}),
        )

    def _store_page(
        self, connection: Connection, *, found: Comparison, page: Sequence[Finding], actor: str, reason: str
    ) -> list[tuple[LaneKey, int]]:
        """Store the events of a page, in the caller's transaction."""
        now = self._clock()
        stored = store_events(connection, [_telling(found, finding, actor, now) for finding in page], now=now)
        ids = [one.event_id for one in stored]
        said = {"released_by": f"{actor}: {reason}"}
        connection.execute(events.update().where(events.c.id.in_(ids)).values(**said))
        return [(one.key, one.event_id) for one in stored]

    def compare_due(self, wishes: Sequence[tuple[Mailbox, dt.timedelta]]) -> int:
        """Compare the newest rent-roll mail of each mailbox whose time has come; return how many were.

        Nothing is sent because of it: what differs opens an issue.
        """
        now, done = self._clock(), 0
        for mailbox, every in wishes:
            if now - self._looked.get(mailbox.address, now - LOOK_EVERY) < min(LOOK_EVERY, every):
                continue
            self._looked[mailbox.address] = now
            with self._db.read() as connection:
                mail_id = next_mail(connection, mailbox.address, now - every)
                roll = roll_of_mail(connection, mail_id) if mail_id else None
            if mail_id is not None and roll is not None:
                self._compare_mail(mailbox, mail_id, roll, now)
                done += 1
        return done

    def _compare_mail(self, mailbox: Mailbox, mail_id: str, roll: RentRoll, now: dt.datetime) -> None:
        source, why = source_of(mail_id), ""
        try:
            found = self.compare(roll, mailbox, source=source, as_of=min(roll.as_of or now, now))
        except CannotDo as error:
            found = Comparison(mailbox=mailbox, source=source, roll=roll, as_of=now, guards=self._guards())
            why = str(error)
        with self._db.write() as connection:
            if is_compared(connection, mailbox.address, mail_id):
                return  # another process was first
            number = self._insert(connection, found, actor=MACHINE, now=now)
            if not found.differs and not why:
                agrees = f"reconcile {number} agrees"
                close_issue(connection, IssueKind.RECONCILE, mailbox.address, now=now, note=agrees)
                return
            told = {str(kind): found.counts[kind] for kind in NOTABLE}
            notice = differing_rent_roll(mailbox.address, number, told, why)
            issue_id, is_new = open_issue(connection, notice, now=now)
            if is_new:
                self._on_told(connection, [("issue.opened", issue_id)])
        if is_new:
            self._on_trouble(**opened(issue_id, notice.kind))

    def abandon_lost(self) -> int:
        """Give up calls of many units whose sender is gone; their units state everything anew by themselves."""
        now = self._clock()
        with self._db.write() as connection:
            return bulk.abandon_lost(connection, verb=BULK, before=now - dt.timedelta(seconds=LOST_S), now=now)


def _held_by(lane: Row[Any]) -> str:
    return "occupied, as far as we know" if lane.shown.get("occupied") else ""


def _telling(found: Comparison, finding: Finding, actor: str, now: dt.datetime) -> Telling:
    """Return a finding as the snapshot event that makes it right."""
    box, place = found.mailbox, found.places[finding.crm_unit_id]
    told = f"{box.company}\x1f{box.destination}\x1f{finding.crm_unit_id}\x1f{found.number}"
    event = Event(
        kind=Kind.SNAPSHOT,
        unit=finding.unit,
        crm_unit_id=finding.crm_unit_id,
        effective_at=found.as_of,
        mailed_at=now,
        position=finding.line or 0,
        identity="reconcile-" + hashlib.sha256(told.encode()).hexdigest()[:40],
        rule=RULE,
        body=finding.body,
        columns=place.columns,
    )
    return Telling(
        event=event,
        mail_id=None,
        company=box.company,
        mailbox=box.address,
        location=box.location,
        destination=box.destination,
        timezone=box.timezone,
        rule_set="",
        received_at=now,
        author=actor,
    )
