"""The webhooks that go out: stored with what they tell, claimed one at a time, sent until they are taken."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.store.lanes import insert_for
from worker.store.tables import hook_deliveries


class HookState(StrEnum):
    """The states of a delivery."""

    OPEN = "open"
    DONE = "done"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A claimed delivery."""

    id: str
    endpoint: str
    event: str
    body: bytes
    created_at: dt.datetime
    tries: int
    """This one counted."""


def store_hook(
    connection: Connection, *, hook_id: str, endpoint: str, event: str, body: bytes, now: dt.datetime
) -> None:
    """Store a delivery, due now; one that is there already is left alone."""
    row = {"id": hook_id, "endpoint": endpoint, "event": event, "body": body, "created_at": now, "due_at": now}
    statement = insert_for(connection)(hook_deliveries).values(**row, state=HookState.OPEN, tries=0)
    connection.execute(statement.on_conflict_do_nothing())


def has_due(connection: Connection, endpoint: str, *, now: dt.datetime) -> bool:
    """Say whether an endpoint has something due."""
    return connection.execute(_due(endpoint, now)).first() is not None


def claim_hook(connection: Connection, endpoint: str, *, now: dt.datetime, lease_s: float) -> Delivery | None:
    """Take the delivery that has been due for the longest, and count the try; None when there is none to take.

    If we die before its outcome is stored, it is due again after ``lease_s``.
    """
    row = connection.execute(_due(endpoint, now)).first()
    if row is None:
        return None
    table = hook_deliveries.c
    taken = connection.execute(
        hook_deliveries.update()
        .where(table.id == row.id, table.tries == row.tries, table.state == HookState.OPEN)
        .values(tries=table.tries + 1, due_at=now + dt.timedelta(seconds=lease_s))
        .returning(hook_deliveries)
    ).one_or_none()
    if taken is None:
        return None  # another process was first
    return Delivery(
        id=taken.id,
        endpoint=taken.endpoint,
        event=taken.event,
        body=taken.body,
        created_at=taken.created_at,
        tries=taken.tries,
    )


def settle_hook(
    connection: Connection,
    delivery: Delivery,
    state: HookState,
    *,
    status: int | None,
    message: str,
    due_at: dt.datetime | None,
    now: dt.datetime,
) -> bool:
    """Store what came of a try; False when it is settled already, or somebody else has tried since.

    That it was taken counts however late it is known.
    """
    table = hook_deliveries.c
    is_last = sa.true() if state is HookState.DONE else table.tries == delivery.tries
    changed = connection.execute(
        hook_deliveries.update()
        .where(table.id == delivery.id, table.state == HookState.OPEN, is_last)
        .values(
            state=state,
            status=status,
            message=message,
            due_at=due_at,
            ended_at=None if state is HookState.OPEN else now,
        )
    )
    return changed.rowcount > 0


def abandon_hooks(connection: Connection, known: Collection[str], *, before: dt.datetime, now: dt.datetime) -> int:
    """Give up what was stored before a moment for endpoints that are not configured any more; return how many."""
    table = hook_deliveries.c
    changed = connection.execute(
        hook_deliveries.update()
        .where(table.due_at <= now, table.created_at < before, table.endpoint.not_in(list(known)))
        .values(state=HookState.GIVEN_UP, due_at=None, ended_at=now, message="the webhook is not configured any more")
    )
    return changed.rowcount


def _due(endpoint: str, now: dt.datetime) -> sa.Select[Any, Any]:
    table = hook_deliveries.c
    return (
        sa.select(table.id, table.tries)
        .where(table.due_at <= now, table.endpoint == endpoint, table.state == HookState.OPEN)
        .order_by(table.due_at, table.id)
        .limit(1)
    )
