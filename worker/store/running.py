"""Who works on a store: what has to be known before its tables are replaced.

On SQLite a process says so with a lock on a file beside the database, which is gone with the process, however it ends.
PostgreSQL knows its sessions.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from worker.store.database import Database, StoreError


class InUse(StoreError):
    """Something else runs on the store."""


@contextlib.contextmanager
def marked_running(db: Database) -> Iterator[None]:
    """Say, while this goes on, that a process works on the store.

    Raises:
        InUse: the store is being restored.
    """
    path = _lock_path(db)
    if path is None:
        yield
        return
    with path.open("a") as file:
        if not _lock(file, fcntl.LOCK_SH):
            raise InUse("the store is being restored; start again when that is done")
        yield


@contextlib.contextmanager
def alone(db: Database) -> Iterator[None]:
    """Keep every other process off the store while this goes on.

    Raises:
        InUse: a process works on it.
    """
    path = _lock_path(db)
    if path is None:
        others = _other_sessions(db)
        if others:
            raise InUse(f"{others} other sessions use the database: stop all processes of Gatepost first")
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        if not _lock(file, fcntl.LOCK_EX):
            raise InUse("`gatepost up` runs on this store: stop it first")
        yield


def _lock(file: IO[str], mode: int) -> bool:
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lock_path(db: Database) -> Path | None:
    """Return the file whose lock says that a process runs; None where there is none."""
    if not db.is_sqlite or not db.url.database or db.url.database == ":memory:":
        return None
    return Path(db.url.database + ".running")


def _other_sessions(db: Database) -> int:
    if db.is_sqlite:
        return 0
    others = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    with db.read() as connection:
        return connection.execute(others).scalar_one()
