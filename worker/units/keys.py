"""The memory of idempotency keys: the same request under the same key gets the same answer for 24 hours.

A key is claimed by writing its row first, in the transaction that does the work. Two equal requests at once meet
on the unique constraint: the second waits for the first to commit and then reads its answer.
"""

import datetime as dt
import hashlib

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from worker.units.tables import local_keys
from worker.units.wire import KEY_REUSED, Answer, answer

REMEMBERED = dt.timedelta(hours=24)
MAX_KEY = 255

_UNANSWERED = 0


def digest(method: str, path: str, body: bytes) -> str:
    """Return what makes a request the same request: method, path and the exact bytes of the body."""
    whole = hashlib.sha256()
    for part in (method.encode(), path.encode(), body):
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def claim(connection: Connection, *, company: str, key: str, digest: str, now: dt.datetime) -> Answer | None:
    """Claim a key for a request; None: it is ours, do the work. Else the answer to give instead of working."""
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert
    row = {"digest": digest, "status": _UNANSWERED, "answer": b"", "expires_at": now + REMEMBERED}
    statement = (
        insert(local_keys)
        .values(company=company, key=key, **row)
        .on_conflict_do_update(
            index_elements=[local_keys.c.company, local_keys.c.key],
            set_=row,
            where=local_keys.c.expires_at <= now,  # forgotten: the key is free again
        )
        .returning(local_keys.c.id)
    )
    if connection.execute(statement).first() is not None:
        return None
    earlier = connection.execute(
        sa.select(local_keys.c.digest, local_keys.c.status, local_keys.c.answer).where(
            local_keys.c.company == company, local_keys.c.key == key
        )
    ).one()
    if earlier.digest != digest:
        return answer(409, KEY_REUSED)
    return Answer(status=earlier.status, body=bytes(earlier.answer))


def remember(connection: Connection, *, company: str, key: str, answer: Answer) -> None:
    """Keep the answer under a key that was claimed in this transaction. Refusals are remembered too."""
    connection.execute(
        sa.update(local_keys)
        .where(local_keys.c.company == company, local_keys.c.key == key)
        .values(status=answer.status, answer=answer.body)
    )


def forget(connection: Connection, *, now: dt.datetime, limit: int) -> int:
    """Delete at most ``limit`` forgotten keys; return how many. Keys that another transaction holds are left."""
    old = (
        sa.select(local_keys.c.id)
        .where(local_keys.c.expires_at <= now)
        .order_by(local_keys.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(sa.delete(local_keys).where(local_keys.c.id.in_(old))).rowcount
