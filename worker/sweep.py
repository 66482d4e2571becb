"""Sweep: ring for all that is due. Whatever the queue loses, repeats or reorders is mended here."""

import datetime as dt
import math
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from worker.store import gates, lanes
from worker.store.database import Database
from worker.store.lanes import LaneKey
from worker.store.tables import mails

BATCH = 500
ROUNDS = 40


class Sweep:
    """Finds what is due and rings for it."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Callable[[], dt.datetime],
        ring_mails: Callable[[Sequence[str]], bool],
        ring_lanes: Callable[[Sequence[LaneKey]], bool],
        queue_length: Callable[[], int | None],
        every_s: float,
        ring_again_s: float,
        per_minute: Callable[[str], int] = lambda _name: 0,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ring_mails = ring_mails
        self._ring_lanes = ring_lanes
        self._queue_length = queue_length
        self._every_s = every_s
        self._ring_again_s = ring_again_s
        self._per_minute = per_minute

    def sweep(self) -> tuple[int, int]:
        """Ring for the mails and lanes that are due; return how many of each.

        What was rung for a moment ago is left alone, unless the queue stands empty: then the ring was lost. Nothing
        is rung for while the queue cannot be reached, nor for a destination that is paused or does not answer; of one
        whose calls are counted the units that open access are rung for first.
        """
        length = self._queue_length()
        if length is None:
            return 0, 0
        patience_s = self._every_s if length == 0 else self._ring_again_s
        rung_mails = rung_lanes = 0
        budgets = self._budgets()
        for _ in range(ROUNDS):
            ids, keys = self._take(patience_s, budgets)
            if ids and not self._ring_mails(ids):
                break
            if keys and not self._ring_lanes(keys):
                break
            rung_mails += len(ids)
            rung_lanes += len(keys)
            if len(ids) < BATCH and len(keys) < BATCH:
                break
        return rung_mails, rung_lanes

    def _take(self, patience_s: float, budgets: dict[str, int]) -> tuple[list[str], list[LaneKey]]:
        now = self._clock()
        before = now - dt.timedelta(seconds=patience_s)
        with self._db.write() as connection:
            ids = list(
                connection.execute(
                    sa.select(mails.c.id)
                    .where(mails.c.due_at <= now, sa.or_(mails.c.rung_at.is_(None), mails.c.rung_at <= before))
                    .order_by(mails.c.due_at)
                    .limit(BATCH)
                ).scalars()
            )
            if ids:
                connection.execute(mails.update().where(mails.c.id.in_(ids)).values(rung_at=now))
            keys: list[LaneKey] = []
            for destination, budget in budgets.items():
                limit = min(budget, BATCH - len(keys))
                units = lanes.due(connection, destination, now=now, limit=limit, rung_before=before) if limit else []
                lanes.note_rung(connection, destination, units, now=now)
                budgets[destination] -= len(units)
                keys += [(destination, unit) for unit in units]
        return ids, keys

    def _budgets(self) -> dict[str, int]:
        """Return how many units of each destination may be rung for: no more than can leave until the next sweep."""
        now = self._clock()
        with self._db.read() as connection:
            names = lanes.due_destinations(connection, now=now)
            shut = gates.shut(connection, now=now)
        budgets: dict[str, int] = {}
        for name in names:
            per_minute = self._per_minute(name)
            budgets[name] = BATCH * ROUNDS if per_minute == 0 else math.ceil(per_minute / 60 * self._every_s * 2) + 1
        return budgets | {name: budget for name, budget in shut.items() if name in budgets}
