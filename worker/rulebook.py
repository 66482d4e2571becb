"""The rule sets: what is on disk is a draft; the current set in the store is what every process reads with."""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers import RuleError, RuleErrors, RuleSet, load_rules_text
from worker import log
from worker.actions import CannotDo, note
from worker.configuration import read_rule_files
from worker.probation import begin_probation
from worker.store.database import Database
from worker.store.tables import rule_sets
from worker.views import NotThere

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """One published set."""

    number: int
    rules: RuleSet


class RuleBook:
    """Knows the current rule set and how to make another one current."""

    def __init__(
        self,
        db: Database,
        paths: tuple[Path, ...],
        *,
        clock: Callable[[], dt.datetime],
        check: Callable[[RuleSet], Iterable[RuleError]] = lambda _rules: (),
        probation: Callable[[], int] = lambda: 0,
    ) -> None:
        self._db = db
        self._check = check
        self._paths = paths
        self._clock = clock
        self._probation = probation
        self._current: PublishedSet | None = None
        self._looked_at = float("-inf")
        self._seen: dict[str, str] = {}

    def current(self) -> RuleSet:
        """Return the set that is live; it is looked up again at most once a second.

        Raises:
            RuleErrors: when the store is empty and the files on disk cannot be loaded.
        """
        return self.live().rules

    def live(self) -> PublishedSet:
        """Return the set that is live, with its number, as ``current`` does."""
        if self._current is None or time.monotonic() - self._looked_at > LOOK_EVERY_S:
            self._look()
        assert self._current is not None  # noqa: S101
        return self._current

    def load(self, number: int) -> RuleSet:
        """Return a set by its number, whether it is live or not.

        Raises:
            NotThere: there is no such set.
        """
        with self._db.read() as connection:
            return load_rules_text(_numbered(connection, number).files)

    def sets(self, *, limit: int = 50) -> list[dict[str, Any]]:
        """Return the published sets as plain values, the live one first."""
        columns = (rule_sets.c.number, rule_sets.c.id, rule_sets.c.published_at, rule_sets.c.actor, rule_sets.c.note)
        statement = sa.select(*columns, rule_sets.c.restores).order_by(rule_sets.c.number.desc()).limit(limit)
        with self._db.read() as connection:
            rows = connection.execute(statement).all()
        return [
            {
                "number": row.number,
                "rule_set": row.id,
                "live": place == 0,
                "published_at": row.published_at.isoformat(),
                "actor": row.actor,
                "restores": row.restores,
                "note": row.note,
            }
            for place, row in enumerate(rows)
        ]

    def publish(
        self, files: dict[str, str], *, actor: str, reason: str = "", accepted: str = "", instead_of: int | None = None
    ) -> int:
        """Make these files the current set, unless they are it already; return the set's number.

        ``accepted``: what the actor knew that it would change, for the audit. ``instead_of``: the number of the set
        that it was compared with.

        Raises:
            RuleErrors: a set loads whole or not at all; the last good set stays.
            CannotDo: another set has become live than the one that it was compared with.
        """
        loaded = self.read(files)
        with self._db.write() as connection:
            live = _newest_locked(connection)
            if live is not None and live.id == loaded.id:
                self._current = PublishedSet(number=live.number, rules=loaded)
                return live.number
            _check_live(live, instead_of)
            number = self._store(connection, loaded.id, files, actor=actor, reason=reason)
            if live is not None:  # the first set of a store takes no other's place: that is no deed of anybody
                told = "; ".join(part for part in (f"set {loaded.id}", accepted, reason) if part)
                now = self._clock()
                note(connection, actor=actor, action="rules publish", subject=str(number), detail=told, now=now)
                begin_probation(connection, live.files, files, events=self._probation(), now=now)
        self._current = PublishedSet(number=number, rules=loaded)
        log.rules_published(number, loaded.id)
        return number

    def roll_back(self, number: int, *, actor: str, reason: str, accepted: str = "", instead_of: int) -> int:
        """Make an earlier set live again, as a new one with its files; return the new number.

        What it says was live before, so none of its rules is on probation.

        Raises:
            NotThere: there is no such set.
            CannotDo: it is live, or another set has become live than the one that it was compared with.
            RuleErrors: it names a column that no unit map has any more.
        """
        with self._db.read() as connection:
            files = _numbered(connection, number).files
        loaded = self.read(files)
        with self._db.write() as connection:
            live = _newest_locked(connection)
            if live is not None and live.id == loaded.id:
                raise CannotDo(f"set {number} says what the live set {live.number} says: nothing to roll back")
            _check_live(live, instead_of)
            made = self._store(connection, loaded.id, files, actor=actor, reason=reason, restores=number)
            detail = "; ".join(part for part in (f"to set {number} ({loaded.id})", accepted, reason) if part)
            note(connection, actor=actor, action="rules rollback", subject=str(made), detail=detail, now=self._clock())
            if live is not None:
                begin_probation(connection, live.files, files, events=0, now=self._clock())
        self._current = PublishedSet(number=made, rules=loaded)
        log.rules_published(made, loaded.id)
        return made

    def publish_saved(self) -> None:
        """Publish what was saved since the last look; a broken file is told, and the last good set stays.

        What was rolled back is not published again before it is saved anew.
        """
        try:
            files = read_rule_files(self._paths)
        except (OSError, UnicodeDecodeError) as error:
            log.rules_refused(f"{error}")
            return
        if files == self._seen:
            return
        try:
            if self._seen or not self._was_rolled_back(files):
                self.publish(files, actor="on_save")
        except RuleErrors as errors:
            log.rules_refused(str(errors))
        self._seen = files

    def _was_rolled_back(self, files: Mapping[str, str]) -> bool:
        """Say whether the live set was put in the place of just these files."""
        with self._db.read() as connection:
            live = _newest(connection)
            if live is None or live.restores is None:
                return False
            before = sa.select(rule_sets.c.id).where(rule_sets.c.number < live.number)
            replaced = connection.execute(before.order_by(rule_sets.c.number.desc()).limit(1)).scalar()
        return load_rules_text(files).id == replaced

    def read(self, files: Mapping[str, str]) -> RuleSet:
        """Return the set that some files make; nothing is stored.

        Raises:
            RuleErrors: there is none, one is broken, or names what neither a field nor a unit map has.
        """
        if not files:
            paths = ", ".join(str(path) for path in self._paths)
            raise RuleErrors([RuleError(file=paths, line=1, column=1, message="no rule pack (*.yaml) is there")])
        loaded = load_rules_text(files)
        if errors := tuple(self._check(loaded)):
            raise RuleErrors(errors)
        return loaded

    def _store(
        self,
        connection: Connection,
        digest: str,
        files: Mapping[str, str],
        *,
        actor: str,
        reason: str,
        restores: int | None = None,
    ) -> int:
        values = {"id": digest, "files": dict(files), "published_at": self._clock(), "actor": actor}
        statement = rule_sets.insert().values(**values, note=reason or None, restores=restores)
        return connection.execute(statement.returning(rule_sets.c.number)).scalar_one()

    def _look(self) -> None:
        with self._db.read() as connection:
            live = _newest(connection)
        self._looked_at = time.monotonic()
        if live is None:
            self.publish(read_rule_files(self._paths), actor="first start")
        elif self._current is None or self._current.number != live.number:
            self._current = PublishedSet(number=live.number, rules=load_rules_text(live.files))


def _newest(connection: Connection) -> Row[Any] | None:
    return connection.execute(sa.select(rule_sets).order_by(rule_sets.c.number.desc()).limit(1)).one_or_none()


def _newest_locked(connection: Connection) -> Row[Any] | None:
    """Return the newest set; of two who publish at once the second waits here for the first."""
    newest = sa.select(rule_sets.c.number).order_by(rule_sets.c.number.desc()).limit(1)
    connection.execute(newest.with_for_update())
    return _newest(connection)


def _numbered(connection: Connection, number: int) -> Row[Any]:
    row = connection.execute(sa.select(rule_sets).where(rule_sets.c.number == number)).one_or_none()
    if row is None:
        raise NotThere(f"no rule set {number}; `gatepost rules sets` lists them")
    return row


def _check_live(live: Row[Any] | None, instead_of: int | None) -> None:
    if instead_of is not None and live is not None and live.number != instead_of:
        raise CannotDo(f"set {live.number} has become live meanwhile: compare with it, do it once more")
