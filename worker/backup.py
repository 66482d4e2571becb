"""Backup and restore: a consistent copy while everything runs, and a way back that sends nothing by itself.

A restored store knows nothing of what was sent since its backup. So everything is paused in the very copy, before it
takes the store's place; when a person resumes it, what the destinations show is taken for unknown, and every
difference is stated anew.
"""

import contextlib
import datetime as dt
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DatabaseError

from worker.actions import note
from worker.store import pauses, schema
from worker.store.database import Database
from worker.store.restored import RESTORED
from worker.store.running import alone
from worker.store.tables import calls, events, lanes, mails
from worker.store.types import microseconds


class BackupError(Exception):
    """It cannot be backed up or restored; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did."""

    version: str
    aside: Path | None
    """Where the SQLite file is that stood in its place; None: there was none."""
    counts: dict[str, int]
    """What the store holds now."""


def backup(db: Database, target: Path) -> int:
    """Write a consistent copy of the store to a new file, while it is in use; return its bytes.

    Raises:
        BackupError: the file is there already, or PostgreSQL's own program is missing or fails.
    """
    if target.exists():
        raise BackupError(f"{target} is there already; name a new file")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.touch(mode=0o600)
        if db.is_sqlite:
            _copy_sqlite(Path(str(db.url.database)), draft)
        else:
            line = ["pg_dump", "--format=custom", "--no-owner", "--no-privileges"]
            _run([*line, f"--file={draft}", _without_password(db.url)], db.url, instead=[*line, f"--file={target}"])
        _sync(draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target.stat().st_size


def restore(db: Database, source: Path, *, over: bool, actor: str, now: dt.datetime) -> Restored:
    """Put a backup in the store's place, with everything paused.

    ``over``: also where the store holds something. An SQLite file that stood there is kept beside it.

    Raises:
        BackupError: the file is no backup, the store is not empty, or PostgreSQL's own programs are missing or fail.
        InUse: a process works on the store.
    """
    if not source.is_file():
        raise BackupError(f"{source} is not there")
    with alone(db):
        held = _held(db)
        if held and not over:
            raise BackupError(f"the store is not empty ({held}); replace it with --over, or name another [store] url")
        if db.is_sqlite:
            aside = _restore_sqlite(db, source, bool(held), actor, now)
        else:
            aside = _restore_postgres(db, source, actor, now)
        version = schema.upgrade(db)
        with db.write() as connection:
            note(
                connection,
                actor=actor,
                action="db restore",
                subject=source.name,
                detail=f"{held or 'empty'} before",
                now=now,
            )
            counts = _counts(connection)
    return Restored(version=version, aside=aside, counts=counts)


def _held(db: Database) -> str:
    """Return in words what the store holds; empty when it holds nothing."""
    if db.is_sqlite and not Path(str(db.url.database)).exists():
        return ""
    try:
        with db.read() as connection:
            if not sa.inspect(connection).has_table("mails"):
                return ""
            counts = _counts(connection)
    except DatabaseError:
        if not db.is_sqlite:
            raise
        return "it cannot be read"
    return ", ".join(f"{many} {name}" for name, many in counts.items() if many)


def _counts(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        for table in (mails, events, lanes, calls)
    }


def _pause_everything(connection: Connection, source: Path, actor: str, now: dt.datetime) -> None:
    reason = f"restored from {source.name}"
    pauses.pause(connection, pauses.EVERYTHING, RESTORED, reason=reason, actor=actor, now=now)


# -- SQLite ----------------------------------------------------------------------------------------------------------


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment, and look whether the copy is whole."""
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as there,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            there.execute("PRAGMA busy_timeout=5000")
            there.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, whole by itself
            (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
            known = copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"{source} cannot be copied: {error}") from error
    if verdict != "ok":
        raise BackupError(f"{source} is damaged: {verdict}")
    if known is None:
        raise BackupError(f"{source} is no store of Gatepost")


def _restore_sqlite(db: Database, source: Path, is_filled: bool, actor: str, now: dt.datetime) -> Path | None:
    target = Path(str(db.url.database))
    draft = target.with_name(f".{target.name}.restoring")
    aside = target.with_name(f"{target.name}.before-{now:%Y%m%dT%H%M%S}") if is_filled else None
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        _copy_sqlite(source, draft)
        made = Database(f"sqlite:///{draft}")
        try:
            schema.upgrade(made)
            with made.write() as connection:
                _pause_everything(connection, source, actor, now)
        finally:
            made.close()
        _sync(draft)
        db.close()  # what its journal holds is in the file now
        if aside is not None:
            os.link(target, aside)
        for path in _beside(target):
            path.unlink(missing_ok=True)
        draft.replace(target)
    finally:
        for path in (draft, *_beside(draft)):
            path.unlink(missing_ok=True)
    return aside


def _beside(path: Path) -> list[Path]:
    """Return the files that SQLite keeps beside a database."""
    return [path.with_name(path.name + end) for end in ("-journal", "-wal", "-shm")]


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


def _restore_postgres(db: Database, source: Path, actor: str, now: dt.datetime) -> None:
    """Replace all tables in one transaction, the pause among it."""
    url = db.url
    db.close()
    with tempfile.TemporaryDirectory(prefix="gatepost-restore-") as folder:
        dump, first, last = (Path(folder) / name for name in ("dump.sql", "first.sql", "last.sql"))
        _run(["pg_restore", "--no-owner", "--no-privileges", f"--file={dump}", str(source)], url)
        first.write_text("DROP SCHEMA public CASCADE;\nCREATE SCHEMA public;\n", "utf-8")
        last.write_text(_pause_statement(source, actor, now) + ";\n", "utf-8")
        files = [f"--file={path}" for path in (first, dump, last)]
        quiet = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
        _run(["psql", *quiet, *files, f"--dbname={_without_password(url)}"], url)


def _pause_statement(source: Path, actor: str, now: dt.datetime) -> str:
    """Return the pause as a statement; a dump leaves no search path, so the schema is named."""
    values = {"kind": pauses.EVERYTHING, "name": RESTORED, "actor": actor, "reason": f"restored from {source.name}"}
    quoted = {name: "'" + value.replace("'", "''") + "'" for name, value in values.items()}
    names, these = ", ".join((*quoted, "since")), ", ".join((*quoted.values(), str(microseconds(now))))
    return f"INSERT INTO public.pauses ({names}) VALUES ({these}) ON CONFLICT DO NOTHING"


def _run(command: Sequence[str], url: URL, *, instead: Sequence[str] | None = None) -> None:
    """Run one of PostgreSQL's own programs; the password goes by the environment."""
    program = shutil.which(command[0])
    if program is None:
        line = " ".join([*(instead or command), *([_without_password(url)] if instead else [])])
        raise BackupError(f"{command[0]} is not installed here; run where it is: {line}")
    password = {"PGPASSWORD": str(url.password)} if url.password else {}
    done = subprocess.run(  # noqa: S603  a fixed program
        [program, *command[1:]], env={**os.environ, **password}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise BackupError(f"{command[0]} failed: {said[0] if said else done.returncode}")


def _without_password(url: URL) -> str:
    plain = URL.create(
        "postgresql", username=url.username, host=url.host, port=url.port, database=url.database, query=url.query
    )
    return plain.render_as_string()
