"""The rule sets: what is on disk is a draft; the current set in the store is what every process reads with."""

import datetime as dt
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from parsers import RuleError, RuleErrors, RuleSet, load_rules_text
from worker import log
from worker.configuration import read_rule_files
from worker.store.database import Database
from worker.store.tables import rule_sets

LOOK_EVERY_S = 1.0


class RuleBook:
    """Knows the current rule set and how to make another one current."""

    def __init__(
        self,
        db: Database,
        paths: tuple[Path, ...],
        *,
        clock: Callable[[], dt.datetime],
        check: Callable[[RuleSet], Iterable[RuleError]] = lambda _rules: (),
    ) -> None:
        self._db = db
        self._check = check
        self._paths = paths
        self._clock = clock
        self._current: tuple[int, RuleSet] | None = None
        self._looked_at = float("-inf")
        self._seen: dict[str, str] = {}

    def current(self) -> RuleSet:
        """Return the set that is live; it is looked up again at most once a second.

        Raises:
            RuleErrors: when the store is empty and the files on disk cannot be loaded.
        """
        if self._current is None or time.monotonic() - self._looked_at > LOOK_EVERY_S:
            self._look()
        assert self._current is not None  # noqa: S101
        return self._current[1]

    def publish(self, files: dict[str, str], *, actor: str) -> int:
        """Make these files the current set, unless they are it already; return the set's number.

        Raises:
            RuleErrors: a set loads whole or not at all; the last good set stays.
        """
        if not files:
            paths = ", ".join(str(path) for path in self._paths)
            raise RuleErrors([RuleError(file=paths, line=1, column=1, message="no rule pack (*.yaml) is there")])
        loaded = load_rules_text(files)
        if errors := tuple(self._check(loaded)):
            raise RuleErrors(errors)
        with self._db.write() as connection:
            live = _newest(connection)
            is_live = live is not None and live.id == loaded.id
            if live is not None and is_live:
                number = live.number
            else:
                number = connection.execute(
                    rule_sets.insert()
                    .values(id=loaded.id, files=files, published_at=self._clock(), actor=actor)
                    .returning(rule_sets.c.number)
                ).scalar_one()
        self._current = (number, loaded)
        if not is_live:
            log.rules_published(number, loaded.id)
        return number

    def publish_saved(self) -> None:
        """Publish what was saved since the last look; a broken file is told, and the last good set stays."""
        try:
            files = read_rule_files(self._paths)
        except (OSError, UnicodeDecodeError) as error:
            log.rules_refused(f"{error}")
            return
        if files == self._seen:
            return
        try:
            self.publish(files, actor="on_save")
        except RuleErrors as errors:
            log.rules_refused(str(errors))
        self._seen = files

    def _look(self) -> None:
        with self._db.read() as connection:
            live = _newest(connection)
        self._looked_at = time.monotonic()
        if live is None:
            self.publish(read_rule_files(self._paths), actor="first start")
        elif self._current is None or self._current[0] != live.number:
            self._current = (live.number, load_rules_text(live.files))


def _newest(connection: Connection) -> sa.Row | None:
    return connection.execute(sa.select(rule_sets).order_by(rule_sets.c.number.desc()).limit(1)).one_or_none()
