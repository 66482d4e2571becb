"""Renew: where a destination refused a token, and its file has another one by now, the pause ends by itself."""

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path

import sqlalchemy as sa

from worker.actions import note
from worker.destinations.tokens import digest_of, refused_digest
from worker.notices import MACHINE, IssueKind
from worker.settings import Destination
from worker.store.database import Database
from worker.store.issues import close_issue
from worker.store.pauses import end_refusal
from worker.store.tables import pauses

AGAIN = dt.timedelta(minutes=10)
"""How long one and the same token is not tried again: the process that sends may have another file."""

WHY = "its token file has another token than the refused one"


class Renewals:
    """Ends pauses. One for each process that sweeps."""

    def __init__(
        self,
        db: Database,
        *,
        destinations: Callable[[], Mapping[str, Destination]],
        clock: Callable[[], dt.datetime],
        on_trouble: Callable[..., None] = lambda **_fields: None,
    ) -> None:
        self._db = db
        self._destinations = destinations
        self._clock = clock
        self._on_trouble = on_trouble
        self._tried: dict[str, tuple[str, dt.datetime]] = {}
        """The digest of the last token that ended a destination's pause, and when."""

    def look(self) -> list[str]:
        """End the pauses whose token was renewed; return the destinations."""
        with self._db.read() as connection:
            of_machine = sa.and_(pauses.c.actor == MACHINE, pauses.c.until.is_(None))
            statement = sa.select(pauses.c.name, pauses.c.reason).where(pauses.c.kind == "destination", of_machine)
            paused = [(str(name), str(reason)) for name, reason in connection.execute(statement)]
        return [name for name, reason in paused if self._is_renewed(name, reason) and self._resume(name, reason)]

    def _is_renewed(self, name: str, reason: str) -> bool:
        """Say whether the file of a destination has a token that was not refused, and was not tried just now."""
        refused, token = refused_digest(reason), _read(self._destinations().get(name))
        if refused is None or not token or digest_of(token) == refused:
            return False
        tried, at = self._tried.get(name, ("", self._clock()))
        return tried != digest_of(token) or self._clock() - at >= AGAIN

    def _resume(self, name: str, reason: str) -> bool:
        now = self._clock()
        with self._db.write() as connection:
            if not end_refusal(connection, name, reason):
                return False  # a person, or another process, was first
            close_issue(connection, IssueKind.UNAUTHORIZED, name, now=now, note=WHY)
            note(connection, actor=MACHINE, action="resume destination", subject=name, detail=WHY, now=now)
        self._tried[name] = (digest_of(_read(self._destinations().get(name))), now)
        self._on_trouble(event="token_renewed", destination=name)
        return True


def _read(chosen: Destination | None) -> str:
    """Return what the token file of a destination holds, or the file of its client secret; empty when there is none."""
    file: Path | None = (chosen.token_file or chosen.client_secret_file) if chosen is not None else None
    try:
        return file.read_text("utf-8").strip() if file is not None else ""
    except (OSError, UnicodeDecodeError):  # it is being written, or is not ours to read: the next look will tell
        return ""
