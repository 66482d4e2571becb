"""Sweep: ring for all that is due. Whatever the queue loses, repeats or reorders is mended here."""

import datetime as dt
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from worker.store import counts
from worker.store.database import Database
from worker.store.lanes import LaneKey
from worker.store.tables import lanes, mails

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
    ) -> None:
        self._db = db
        self._clock = clock
        self._ring_mails = ring_mails
        self._ring_lanes = ring_lanes
        self._queue_length = queue_length
        self._every_s = every_s
        self._ring_again_s = ring_again_s

    def sweep(self) -> tuple[int, int]:
        """Ring for the mails and lanes that are due; return how many of each.

        What was rung for a moment ago is left alone, unless the queue stands empty: then the ring was lost. Nothing
        is rung for while the queue cannot be reached.
        """
        length = self._queue_length()
        if length is None:
            return 0, 0
        patience_s = self._every_s if length == 0 else self._ring_again_s
        rung_mails = rung_lanes = 0
        for _ in range(ROUNDS):
            ids, keys = self._take(patience_s)
            if ids and not self._ring_mails(ids):
                break
            if keys and not self._ring_lanes(keys):
                break
            rung_mails += len(ids)
            rung_lanes += len(keys)
            if len(ids) < BATCH and len(keys) < BATCH:
                break
        return rung_mails, rung_lanes

    def _take(self, patience_s: float) -> tuple[list[str], list[LaneKey]]:
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
            free = sa.or_(lanes.c.lease_until.is_(None), lanes.c.lease_until < now)
            rows = connection.execute(
                sa.select(lanes.c.destination, lanes.c.crm_unit_id)
                .where(
                    lanes.c.due_at <= now,
                    sa.or_(lanes.c.rung_at.is_(None), lanes.c.rung_at <= before),
                    free,
                    counts.not_paused(now),
                )
                .order_by(lanes.c.due_at)
                .limit(BATCH)
            ).all()
            keys: list[LaneKey] = [(row.destination, row.crm_unit_id) for row in rows]
            if ids:
                connection.execute(mails.update().where(mails.c.id.in_(ids)).values(rung_at=now))
            for destination in {key[0] for key in keys}:
                units = [unit for name, unit in keys if name == destination]
                connection.execute(
                    lanes.update()
                    .where(lanes.c.destination == destination, lanes.c.crm_unit_id.in_(units))
                    .values(rung_at=now)
                )
        return ids, keys
