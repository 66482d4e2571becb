"""Keep the bytes of messages: collect them as they come, store them in pieces, read them back whole.

Errors:
    BodyError(StoreError)
    +-- NoSuchBody     no row of that id: purged, or never kept
    +-- DamagedBody    the pieces do not add up to the size that was kept
"""

import datetime as dt
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import IO

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.store.database import Database, StoreError
from worker.store.tables import bodies, body_chunks

CHUNK_BYTES = 1_048_576
"""The largest piece of a body in one row."""


class BodyError(StoreError):
    """The bytes of a message cannot be had."""


class NoSuchBody(BodyError):
    """There is no body of that id."""


class DamagedBody(BodyError):
    """The pieces of a body do not add up to its size."""


class Spool:
    """The bytes of one message while they come in: in memory at first, in an unlinked temporary file once large."""

    __slots__ = ("_directory", "_file", "_memory", "_memory_bytes", "size")

    def __init__(self, *, memory_bytes: int, directory: Path | None = None) -> None:
        self.size = 0
        self._memory = bytearray()
        self._memory_bytes = memory_bytes
        self._directory = directory
        self._file: IO[bytes] | None = None

    def fits(self, n_bytes: int) -> bool:
        """Say whether so many bytes more are held in memory, too; if not, writing them waits for the disk."""
        return self._file is None and self.size + n_bytes <= self._memory_bytes

    def write(self, content: bytes) -> None:
        """Append bytes.

        Raises:
            OSError: the temporary file cannot be made or written; what was collected is then of no use.
        """
        if self._file is None:
            self._memory += content
            self.size += len(content)
            if self.size > self._memory_bytes:
                self._move_to_file()
            return
        _write_whole(self._file, content)
        self.size += len(content)

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Return up to ``n_bytes`` from ``offset`` on."""
        if self._file is None:
            return bytes(memoryview(self._memory)[offset : offset + n_bytes])
        self._file.seek(offset)
        pieces: list[bytes] = []
        while n_bytes > 0 and (piece := self._file.read(n_bytes)):
            pieces.append(piece)
            n_bytes -= len(piece)
        return b"".join(pieces)

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole body in pieces of at most ``CHUNK_BYTES``."""
        for offset in range(0, self.size, CHUNK_BYTES):
            yield self.read_at(offset, CHUNK_BYTES)

    @property
    def in_memory(self) -> bool:
        return self._file is None

    def close(self) -> None:
        """Free memory and file; may be called again."""
        self._memory = bytearray()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _move_to_file(self) -> None:
        # Without a buffer of its own: our writes are large, and a write error shows at the write.
        self._file = tempfile.TemporaryFile(buffering=0, dir=self._directory)  # noqa: SIM115 - see close
        _write_whole(self._file, self._memory)
        self._memory = bytearray()


def read_body(source: Database | Connection, body_id: str) -> bytes:
    """Return the bytes of a message exactly as they came.

    Raises:
        NoSuchBody: there is none of that id.
        DamagedBody: pieces are missing.
    """
    with nullcontext(source) if isinstance(source, Connection) else source.read() as connection:
        size_bytes = connection.execute(_SIZE, {"id": body_id}).scalar_one_or_none()
        if size_bytes is None:
            raise NoSuchBody(f"there is no body {body_id}; it may have been purged")
        content = b"".join(connection.execute(_CHUNKS, {"id": body_id}).scalars())
    if len(content) != size_bytes:
        raise DamagedBody(f"body {body_id} has {len(content)} bytes in the store, but came with {size_bytes}")
    return content


def sweep_orphan_chunks(db: Database, older_than: dt.datetime, *, since: dt.datetime | None = None) -> int:
    """Delete pieces whose body was never finished, and return how many.

    Their age is read off their ids, so ``older_than`` must leave the largest message time to be written; ``since``
    bounds the search when the store is large.
    """
    orphans = sa.delete(body_chunks).where(
        body_chunks.c.body_id < time_prefix(older_than),
        ~sa.exists().where(bodies.c.id == body_chunks.c.body_id),
    )
    if since is not None:
        orphans = orphans.where(body_chunks.c.body_id >= time_prefix(since))
    with db.write() as connection:
        return connection.execute(orphans).rowcount


def new_id(now: dt.datetime) -> str:
    """Return a fresh id of 24 characters that sorts by time, to bytes as to any collation."""
    return f"{time_prefix(now)}{secrets.randbits(52):013x}"


def mail_ids(body_id: str, n_mails: int) -> list[str]:
    """Return the ids of the mails of one body: the first is the body's own, the one that the sender was told."""
    return [body_id, *(f"{body_id}-{n}" for n in range(2, n_mails + 1))]


def time_prefix(at: dt.datetime) -> str:
    """Return how the ids made at that millisecond begin; the eleven characters last until the year 2527."""
    return f"{(at - _EPOCH) // _MILLISECOND:011x}"


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)

_SIZE = sa.select(bodies.c.size_bytes).where(bodies.c.id == sa.bindparam("id"))
_CHUNKS = sa.select(body_chunks.c.content).where(body_chunks.c.body_id == sa.bindparam("id")).order_by(body_chunks.c.n)


def _write_whole(file: IO[bytes], content: bytes | bytearray) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
