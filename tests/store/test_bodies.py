"""Bodies come back byte for byte; what was never finished is swept, and nothing else."""

import datetime as dt
import os
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from worker.store.bodies import (
    CHUNK_BYTES,
    DamagedBody,
    NoSuchBody,
    Spool,
    mail_ids,
    new_id,
    read_body,
    sweep_orphan_chunks,
    time_prefix,
)
from worker.store.database import Database
from worker.store.tables import bodies, body_chunks

NOW = dt.datetime(2026, 3, 5, 12, tzinfo=dt.UTC)


def store(database: Database, body_id: str, chunks: list[bytes], *, finished: bool = True) -> None:
    with database.write() as connection:
        for n, content in enumerate(chunks):
            connection.execute(sa.insert(body_chunks), {"body_id": body_id, "n": n, "content": content})
        if finished:
            row = {"id": body_id, "size_bytes": sum(map(len, chunks)), "sha256": "", "received_at": NOW}
            connection.execute(sa.insert(bodies), row)


@given(pieces=st.lists(st.binary(max_size=40)), memory_bytes=st.integers(min_value=1, max_value=100))
def test_spool_gives_back_what_it_got(pieces: list[bytes], memory_bytes: int) -> None:
    """Whether in memory or in a file, a spool is the concatenation of what was written."""
    with Spool(memory_bytes=memory_bytes) as spool:
        for piece in pieces:
            spool.write(piece)
        expected = b"".join(pieces)
        assert expected == b"".join(spool.chunks())
        assert len(expected) == spool.size
        assert (len(expected) <= memory_bytes) == spool.in_memory
        assert expected[3:10] == spool.read_at(3, 7)


def test_spool_chunks_are_bounded() -> None:
    """A large body is given in pieces of at most 1 MiB, whichever way it is held."""
    content = os.urandom(2 * CHUNK_BYTES + 5)
    for memory_bytes in (1024, 4 * CHUNK_BYTES):
        with Spool(memory_bytes=memory_bytes) as spool:
            spool.write(content)
            pieces = list(spool.chunks())
        assert [len(piece) for piece in pieces] == [CHUNK_BYTES, CHUNK_BYTES, 5]
        assert content == b"".join(pieces)


def test_spool_leaves_no_file(tmp_path: Path) -> None:
    """The temporary file has no name while it is used, and its descriptor is closed at the end, twice if asked."""
    before = len(os.listdir("/dev/fd"))
    spool = Spool(memory_bytes=10, directory=tmp_path)
    spool.write(b"x" * 100)
    assert not spool.in_memory
    assert list(tmp_path.iterdir()) == []
    spool.close()
    spool.close()
    assert before == len(os.listdir("/dev/fd"))


def test_spool_uses_the_directory_that_it_is_given(tmp_path: Path) -> None:
    """A directory that is not there is an error at once, not a silent fall back to another one."""
    spool = Spool(memory_bytes=10, directory=tmp_path / "missing")
    with pytest.raises(OSError, match="missing"):
        spool.write(b"x" * 100)
    assert Path(tempfile.gettempdir()).is_dir()


def test_read_body_joins_chunks_in_order(database: Database) -> None:
    """More than ten pieces come back in number order, and through a connection as through the database."""
    chunks = [bytes([n]) * 3 for n in range(12)]
    store(database, "b1", chunks)
    assert b"".join(chunks) == read_body(database, "b1")
    with database.read() as connection:
        assert b"".join(chunks) == read_body(connection, "b1")


def test_read_body_says_what_is_wrong(database: Database) -> None:
    """A body that is not there, and one with pieces missing, are told apart and never read as shorter bytes."""
    with pytest.raises(NoSuchBody, match="b9"):
        read_body(database, "b9")
    store(database, "b1", [b"one", b"two"])
    with database.write() as connection:
        connection.execute(sa.delete(body_chunks).where(body_chunks.c.n == 1))
    with pytest.raises(DamagedBody, match="3 bytes in the store, but came with 6"):
        read_body(database, "b1")


def test_sweep_takes_old_orphans_only(database: Database) -> None:
    """Pieces go when they are old and have no body; young ones may still be on their way."""
    old, young = new_id(NOW - dt.timedelta(hours=2)), new_id(NOW)
    kept = new_id(NOW - dt.timedelta(hours=3))
    store(database, old, [b"a", b"b"], finished=False)
    store(database, young, [b"c"], finished=False)
    store(database, kept, [b"d"])
    before = NOW - dt.timedelta(hours=1)
    assert sweep_orphan_chunks(database, before, since=before) == 0
    assert sweep_orphan_chunks(database, before) == 2
    assert sweep_orphan_chunks(database, before) == 0
    with database.read() as connection:
        assert {young, kept} == set(connection.execute(sa.select(body_chunks.c.body_id)).scalars())
    assert read_body(database, kept) == b"d"


@given(
    first=st.integers(min_value=0, max_value=10**10).map(lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC)),
    later_ms=st.integers(min_value=1, max_value=10**9),
)
def test_ids_sort_by_time(first: dt.datetime, later_ms: int) -> None:
    """An id made a millisecond later is greater, whatever chance says."""
    second = first + dt.timedelta(milliseconds=later_ms)
    assert new_id(first) < new_id(second)
    assert time_prefix(first) <= new_id(first)


def test_ids_differ_and_fit() -> None:
    """Ids of one instant differ, and with the suffix of the hundredth recipient they still fit their column."""
    ids = [new_id(NOW) for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {len(one) for one in ids} == {24}
    assert mail_ids("b", 3) == ["b", "b-2", "b-3"]
    assert all(len(one) <= 40 for one in mail_ids(ids[0], 10_000))
