"""Tell by API what would else come by mail: a raw mail, or one event. Each takes an actor and leaves an audit row.

An event is read as if it stood in a mail, by ``worker/pmsevent.py``. So the same event by mail and by API is one event
where ``id`` and values agree.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from parsers import RuleSet
from worker.actions import CannotDo, note
from worker.notices import opened
from worker.numbers import hold_by_number, note_numbers
from worker.order import State
from worker.pmsevent import PACK, Untellable, read_event, resolve_unit
from worker.settings import Guards, Mailbox, nearest
from worker.store import pauses
from worker.store.bodies import Spool
from worker.store.database import Database
from worker.store.events import Stored, Telling, store_events
from worker.store.keep import KeptMail, NotKept
from worker.store.tables import events, lanes
from worker.units.fields import text
from worker.verdict import first_words
from worker.views import NotThere, Plain, event_plain

KEEP_WITHIN_S = 30.0
VIA = "by the operator API"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of an event that was told."""

    event: Plain
    stored: Stored


class Keeps(Protocol):
    """The group commit."""

    def submit(self, mail: KeptMail) -> Future[str]: ...


def find_mailbox(mailboxes: Mapping[str, Mailbox], address: str) -> Mailbox:
    """Return a mailbox by its address.

    Raises:
        NotThere: there is none, and the nearest is named.
    """
    found = mailboxes.get(address.lower())
    if found is None:
        raise NotThere(f"no mailbox {address}{nearest(address.lower(), mailboxes)}")
    return found


def tell_mail(
    db: Database,
    keeper: Keeps,
    body: Spool | bytes,
    mailbox: Mailbox,
    *,
    address: str,
    peer: str | None,
    mail_from: str | None,
    token: str,
    actor: str,
    now: dt.datetime,
) -> str:
    """Keep a raw mail as the receiver does; return its id once it is committed.

    The token says who posted it, not who wrote it: as evidence of its sender there is the peer alone, as with SMTP, and
    it proves one only where the mailbox's ``trust`` names the peer's network. ``body`` is the keeper's from here on.

    Raises:
        KeeperStopped: nothing more is taken.
        NotKept: the store failed, or has not answered in time; the same mail may be told again.
    """
    evidence = {"peer": peer, "mail_from": mail_from, "tls": False, "by": "ops", "token": token, "actor": actor}
    kept = keeper.submit(KeptMail(body=body, recipients=((mailbox.address, address),), evidence=evidence))
    try:
        mail_id = kept.result(timeout=KEEP_WITHIN_S)
    except TimeoutError as error:
        raise NotKept("the store has not answered in time") from error
    detail = f"for {mailbox.address} {VIA}"
    with db.write() as connection:
        note(connection, actor=actor, action="mail post", subject=mail_id, detail=detail, now=now)
    return mail_id


def tell_event(
    db: Database,
    told: Mapping[str, object],
    *,
    mailboxes: Callable[[], Mapping[str, Mailbox]],
    rules: Callable[[], RuleSet],
    guards: Guards,
    skew_s: float,
    actor: str,
    now: dt.datetime,
    on_told: Callable[[Connection, Sequence[tuple[str, int]]], None] = lambda _connection, _told: None,
    on_trouble: Callable[..., None] = lambda **_fields: None,
) -> Told:
    """Store one event, once; a repetition changes nothing but an earlier moment.

    ``on_told``: the issue that it opens, still in its transaction; ``on_trouble``: the log line of it, afterwards.

    Raises:
        Untellable: a field is missing, unknown, or does not fit.
        CannotDo: the mailbox or the pack is paused.
    """
    address = told.get("mailbox")
    if not isinstance(address, str):
        raise Untellable({"mailbox": "is required: the address of a mailbox"})
    try:
        mailbox = find_mailbox(mailboxes(), address)
    except NotThere as error:
        raise Untellable({"mailbox": str(error)}) from error
    reader = mailbox.reader()
    with db.read() as connection:
        _check_not_paused(connection, mailbox, now)
        known_as = _unit_named(connection, mailbox, told.get("crm_unit_id"))
    block = resolve_unit(told, reader, known_as)
    event, rule_set = read_event(block, rules(), reader, now=now)
    if "crm_unit_id" in told and event.crm_unit_id != told["crm_unit_id"]:
        raise Untellable({"crm_unit_id": f"the mailbox knows unit {event.unit} as `{event.crm_unit_id}`"})
    (word,) = first_words([event], mailbox, received_at=now, skew=dt.timedelta(seconds=skew_s))
    telling = Telling(
        event=event,
        mail_id=None,
        company=mailbox.company,
        mailbox=mailbox.address,
        location=mailbox.location,
        destination=mailbox.destination,
        timezone=mailbox.timezone,
        rule_set=rule_set,
        received_at=now,
        state=State.HELD if word else State.WAITING,
        reason=word[0] if word else None,
        detail=word[1] if word else None,
        author=actor,
    )
    with db.write() as connection:
        known_at = _told_first_at(connection, telling)
        if known_at is None:  # what is known neither counts nor is held once more
            (telling,) = hold_by_number(connection, [telling], guards, now=now)
        else:
            telling = replace(telling, event=replace(event, mailed_at=min(event.mailed_at, known_at)))
        (stored,) = store_events(connection, [telling], now=now)
        issue = note_numbers(connection, [telling], lambda: [stored.event_id], now=now)
        if issue is not None:
            on_told(connection, [("issue.opened", issue[0])])
        detail = VIA if stored.is_new else f"{VIA}; it was known"
        note(connection, actor=actor, action="event tell", subject=str(stored.event_id), detail=detail, now=now)
        row = connection.execute(sa.select(events).where(events.c.id == stored.event_id)).one()
    if issue is not None:
        on_trouble(**opened(*issue))
    return Told(event=event_plain(row), stored=stored)


def _told_first_at(connection: Connection, telling: Telling) -> dt.datetime | None:
    """Return when the same event was told first; None when it is not known.

    A caller that had no answer tells again: that must not put an event above a revision that came in between.
    """
    return connection.execute(
        sa.select(events.c.mailed_at).where(
            events.c.company == telling.company,
            events.c.identity == telling.event.identity,
            events.c.fingerprint == telling.mark,
        )
    ).scalar()


def _check_not_paused(connection: Connection, mailbox: Mailbox, now: dt.datetime) -> None:
    for kind, name in (("mailbox", mailbox.address), ("pack", PACK)):
        if pauses.paused_until(connection, kind, name, now) is not None:
            raise CannotDo(f"{kind} {name} is paused: tell it again later, or `gatepost resume {kind} {name} --go`")


def _unit_named(connection: Connection, mailbox: Mailbox, crm_unit_id: object) -> str | None:
    """Return the unit that the destination knows by an id, as mails have named it; None when none has."""
    if crm_unit_id is None:
        return None
    try:
        wanted = text("crm_unit_id", crm_unit_id)
    except ValueError as error:
        raise Untellable({"crm_unit_id": str(error)}) from error
    known = sa.select(lanes.c.unit).where(
        lanes.c.destination == mailbox.destination,
        lanes.c.crm_unit_id == wanted,
        lanes.c.location == mailbox.location,
    )
    return connection.execute(known).scalar()
