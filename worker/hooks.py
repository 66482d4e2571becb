"""What webhooks tell, stored in the transaction that changes what they tell of: neither is there without the other.

Sending is ``worker/deliver.py``'s. The payload holds ids, states, unit and rule, and nothing else of a mail or a
resident. What cannot be stored is logged and left: a webhook never holds up a mail or a call.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from parsers.events import canonical
from worker.log import where
from worker.store.hooks import store_hook
from worker.store.tables import event_log, events, issues, mails

Told = tuple[str, int | str]
"""A word of the closed list, and what it is about: the id of a mail, event or issue, or the address of a mailbox."""

_OF_SUBJECT = ("destination", "unit", "event", "mailbox", "rule", "webhook")
"""What of an issue's subject is told."""


class Endpoint(Protocol):
    """As much of a webhook's settings as telling needs."""

    @property
    def name(self) -> str: ...
    @property
    def events(self) -> Sequence[str]: ...


class Hooks:
    """Stores what there is to tell. One for each process; safe to use from several threads."""

    def __init__(
        self,
        *,
        endpoints: Callable[[], Sequence[Endpoint]],
        clock: Callable[[], dt.datetime],
        on_trouble: Callable[..., None] = lambda **_fields: None,
    ) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._on_trouble = on_trouble

    def tell(self, connection: Connection, told: Sequence[Told], *, but: str = "") -> None:
        """Store a delivery for each endpoint that listens, in the caller's transaction. ``but``: not to this one."""
        heard = {
            word: [one.name for one in self._endpoints() if word in one.events and one.name != but] for word, _ in told
        }
        if not any(heard.values()):
            return
        try:
            with connection.begin_nested():
                for word, subject in dict.fromkeys(told):
                    self._store(connection, heard[word], word, subject)
        except Exception as error:  # noqa: BLE001  whatever it is, the mail or call that is told of must go on
            self._on_trouble(event="hook_not_stored", told=[list(one) for one in told], error=where(error))

    def _store(self, connection: Connection, endpoints: Sequence[str], word: str, subject: int | str) -> None:
        if not endpoints:
            return
        now = self._clock()
        found = _ABOUT[word](connection, subject, now)
        if found is None:
            return
        mark, about = found
        for endpoint in endpoints:
            hook_id = _hook_id(endpoint, word, str(subject), mark)
            payload = {"event": word, "timestamp": now.isoformat(), "data": about, "webhook_id": hook_id}
            body = canonical(payload).encode()
            store_hook(connection, hook_id=hook_id, endpoint=endpoint, event=word, body=body, now=now)


def _hook_id(*parts: str) -> str:
    """Return the id of a delivery: told twice, it is still one."""
    return "gph1-" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


About = tuple[str, Mapping[str, Any]]
"""What tells one occurrence from the next of the same thing, and the payload's data."""


def _mail(connection: Connection, mail_id: int | str, _now: dt.datetime) -> About | None:
    row = connection.execute(sa.select(mails).where(mails.c.id == mail_id)).one()
    if row.state != "held":
        return None  # another worker was first, and read it otherwise
    told = {
        "mail_id": row.id,
        "mailbox": row.mailbox,
        "state": row.state,
        "reason": row.reason,
        "rule": row.rule,
    }
    return row.parsed_at.isoformat(), told


def _event(connection: Connection, event_id: int | str, _now: dt.datetime) -> About:
    row = connection.execute(sa.select(events).where(events.c.id == event_id)).one()
    changes = sa.select(sa.func.max(event_log.c.id)).where(event_log.c.event_id == event_id)
    told = {
        "event_id": row.id,
        "mail_id": row.mail_id,
        "mailbox": row.mailbox,
        "kind": row.kind,
        "state": row.state,
        "reason": row.reason,
        "destination": row.destination,
        "crm_unit_id": row.crm_unit_id,
        "rule": row.rule,
        "rule_set": row.rule_set,
    }
    return str(connection.execute(changes).scalar()), told


def _issue(connection: Connection, issue_id: int | str, _now: dt.datetime) -> About:
    row = connection.execute(sa.select(issues).where(issues.c.id == issue_id)).one()
    subject = {name: row.subject[name] for name in _OF_SUBJECT if name in row.subject}
    told = {"issue_id": row.id, "kind": row.kind, "state": row.state, "subject": subject}
    return str(row.count), told


def _mailbox(_connection: Connection, address: int | str, now: dt.datetime) -> About:
    return now.isoformat(), {"mailbox": address}


_ABOUT: Mapping[str, Callable[[Connection, int | str, dt.datetime], About | None]] = {
    "mail.held": _mail,
    "event.applied": _event,
    "event.rejected": _event,
    "issue.opened": _issue,
    "mailbox.silent": _mailbox,
}
