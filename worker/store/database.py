"""Open the database so that a commit is on disk when it returns, and hand out transactions.

SQLite 3.7.0 to 3.51.2 can lose commits in WAL mode when two connections meet, so WAL is used only from 3.51.3 on;
older libraries get a rollback journal (``PERSIST``, ``synchronous=EXTRA``), and group commit pays for it. ``PERSIST``
ends a transaction by zeroing the journal's header, and syncs that: as safe as ``TRUNCATE``, without the file system's
work for a file that changes its size twice a commit. All settings are read back, since SQLite ignores what it does not
understand.

Errors:
    StoreError(Exception)
    +-- UnsafeStore     settings under which a commit may be lost; refused at start
    +-- OldSchema       the tables are of another version: ``gatepost db upgrade``
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.pool import StaticPool

SAFE_WAL = (3, 51, 3)
JOURNAL_BYTES = 16_777_216
"""A journal that one large transaction made longer is cut to so much behind it."""
BUSY_TIMEOUT_S = 5.0
LOCK_TIMEOUT_S = 10.0
STATEMENT_TIMEOUT_S = 30.0


class StoreError(Exception):
    """Something is wrong with the store as a whole."""


class UnsafeStore(StoreError):
    """The database runs with settings under which a commit may be lost."""


class OldSchema(StoreError):
    """The tables are of another version than this code."""


class _Turn:
    """The one connection of SQLite is one hand's at a time; a hand that asks twice would wait for itself for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def __enter__(self) -> None:
        if self._owner == threading.get_ident():
            raise RuntimeError("a transaction inside a transaction of the same thread")
        self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._owner = None
        self._lock.release()


class Database:
    """One process's way to the database. Made after fork or spawn, never at import.

    On SQLite there is one connection, and a lock hands it from thread to thread: waiting in line is fairer and
    faster than SQLite's own busy sleep. On PostgreSQL every transaction takes a pooled connection.
    """

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url: URL = _normal_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._turn = _Turn() if self.is_sqlite else contextlib.nullcontext()
        self.engine: Engine = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url, pool_size)

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection inside a transaction that may write; commit at the end, roll back on any error."""
        with self._turn, self.engine.connect() as connection:
            with connection.execution_options(immediate=True).begin():
                yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection inside a transaction that only reads."""
        with self._turn, self.engine.connect() as connection:
            with connection.execution_options(immediate=False).begin():
                yield connection

    def check_durability(self) -> dict[str, str]:
        """Return the settings that durability hangs on, read back from the database.

        Raises:
            UnsafeStore: naming the setting, its value and the value that it needs.
        """
        wanted = _sqlite_settings() if self.is_sqlite else _POSTGRES_SETTINGS
        found: dict[str, str] = {}
        with self.read() as connection:
            for name in wanted:
                statement = f"PRAGMA {name}" if self.is_sqlite else f"SHOW {name}"
                found[name] = str(connection.execute(sa.text(statement)).scalar_one()).lower()
        for name, value in wanted.items():
            if found[name] not in value:
                raise UnsafeStore(f"{name} is {found[name]}, but must be {' or '.join(value)}: a commit could be lost")
        return found

    def close(self) -> None:
        self.engine.dispose()


_POSTGRES_SETTINGS = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply"),
}


def _sqlite_settings() -> dict[str, tuple[str, ...]]:
    if sqlite3.sqlite_version_info >= SAFE_WAL:
        return {"journal_mode": ("wal",), "synchronous": ("2",), "foreign_keys": ("1",)}
    return {"journal_mode": ("persist",), "synchronous": ("3",), "foreign_keys": ("1",)}


def _normal_url(url: str) -> URL:
    parsed = make_url(url)
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername in ("postgresql", "postgres") else parsed


def _sqlite_engine(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url,
        poolclass=StaticPool,
        hide_parameters=True,  # an error's text must not hold a resident's data
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        wal = sqlite3.sqlite_version_info >= SAFE_WAL
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA journal_mode={'WAL' if wal else 'PERSIST'}")
        cursor.execute(f"PRAGMA synchronous={'FULL' if wal else 'EXTRA'}")
        cursor.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten: no word of it stays in the file
        cursor.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone does not reach the disk there
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        immediate = connection.get_execution_options().get("immediate", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _postgres_engine(url: URL, pool_size: int) -> Engine:
    return sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        hide_parameters=True,  # an error's text must not hold a resident's data
        connect_args={
            "connect_timeout": 5,
            # A role's own default must not weaken a commit; a dead server must not hold a session for ever.
            "options": (
                f"-c synchronous_commit=on -c statement_timeout={STATEMENT_TIMEOUT_S * 1000:.0f}"
                f" -c lock_timeout={LOCK_TIMEOUT_S * 1000:.0f}"
            ),
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )
