"""Our trouble is 451 with a fixed text, the session stays usable; and a 250 is true whatever kills us afterwards."""

import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tests.smtp.rig import PATIENCE_S, Client, HeldKeeper, Rig, running, wait_until
from worker.store import bodies as bodies_module
from worker.store import database as database_module
from worker.store.bodies import read_body
from worker.store.database import Database
from worker.store.keep import KeptMail
from worker.store.tables import mails

Start = Callable[..., Rig]
FAULT = "451 4.3.0 Local error in processing, try again later"
ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("GATEPOST_TEST_KILLS", "5"))


class FailingDatabase:
    """A database whose commits fail while it is told so."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.engine = database.engine
        self.error: BaseException | None = None

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        with self._database.write() as connection:
            yield connection
            if self.error is not None:
                raise self.error


def send(client: Client, content: bytes = b"Subject: x\r\n\r\nbody\r\n", *to: str) -> str:
    client.envelope_again(*to)
    return client.ask(content + b".")


@pytest.mark.parametrize(
    "error",
    [
        sa.exc.OperationalError("INSERT Jane Smith", {}, sqlite3.OperationalError("database or disk is full")),
        sa.exc.OperationalError("INSERT Jane Smith", {}, sqlite3.OperationalError("disk I/O error")),
        sa.exc.InterfaceError("INSERT Jane Smith", {}, Exception("connection closed")),
        sa.exc.IntegrityError("INSERT Jane Smith", {}, Exception("duplicate key")),
        sa.exc.TimeoutError("QueuePool limit reached"),
        OSError(28, "No space left on device"),
        ConnectionResetError("server gone"),
        TimeoutError(),
        asyncio.CancelledError(),
        asyncio.IncompleteReadError(b"", 1),
        ValueError("Jane Smith"),
        UnicodeDecodeError("utf-8", b"Jane", 0, 1, "x"),
        MemoryError(),
        RecursionError(),
        StopIteration(),
        SystemExit(1),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_store_trouble_is_451(start: Start, database: Database, error: BaseException) -> None:
    """Whatever the store raises, the sender hears the fixed 451, nothing is kept, and the session goes on."""
    failing = FailingDatabase(database)
    rig = start(db=failing)
    client = rig.client()
    client.ask("EHLO pms.test")
    failing.error = error
    assert send(client, b"one\r\n", "main@in.test", "second@in.test") == FAULT
    assert send(client, b"x" * 2_500_000 + b"\r\n") == FAULT
    assert rig.rows() == []
    failing.error = None
    assert rig.body(send(client, b"two\r\n")) == b"two\r\n"
    assert (len(rig.rows()), rig.receiver.accepted) == (1, 1)
    client.close()


@pytest.mark.parametrize("error", [ValueError("x"), CancelledError(), SystemExit(1), KeyboardInterrupt()], ids=type)
def test_keeper_of_any_kind_of_trouble_is_451(error: BaseException) -> None:
    """A keeper that raises at submit, or fails its future with anything, or cancels it, is 451."""

    class Keeper(HeldKeeper):
        def submit(self, mail: KeptMail) -> Future[str]:
            if isinstance(error, ValueError) and len(self.submitted) == 0:
                self.submitted.append((mail, Future()))
                raise error
            return super().submit(mail)

    keeper = Keeper()
    with running(keeper) as rig:
        client = rig.client()
        client.envelope()
        if isinstance(error, ValueError):
            assert client.ask(b"x\r\n.") == FAULT
            keeper.submitted.clear()
        else:
            client.send(b"x\r\n.\r\n")
            keeper.answer_next().set_exception(error)
            assert client.reply() == FAULT
        client.envelope_again()
        client.send(b"x\r\n.\r\n")
        if isinstance(error, ValueError):
            keeper.submitted.clear()
        else:
            assert keeper.answer_next().cancel()
            assert client.reply() == FAULT
            assert client.ask("NOOP") == "250 2.0.0 Ok"
        client.close()


@pytest.mark.parametrize("error", [ValueError("Jane"), OSError(), MemoryError(), TimeoutError()], ids=type)
def test_mailbox_lookup_trouble_is_451(start: Start, error: Exception) -> None:
    """A recipient that cannot be looked up is not unknown: it is our trouble."""
    errors = [error]

    def find(address: str) -> Any:
        if errors:
            raise errors.pop()

    client = start(find=find).client()
    client.ask("EHLO pms.test")
    client.ask("MAIL FROM:<>")
    assert client.ask("RCPT TO:<main@in.test>") == FAULT
    assert client.ask("RCPT TO:<main@in.test>").startswith("550 5.1.1")
    client.close()


def test_spool_trouble_is_451(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the temporary file cannot be written the message is read to its end, answered 451, the session goes on."""
    rig = start(memory_bytes=1024)
    client = rig.client()
    client.ask("EHLO pms.test")

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(bodies_module.tempfile, "TemporaryFile", full)
        assert send(client, b"x" * 100_000 + b"\r\n") == FAULT
        assert rig.body(send(client, b"small\r\n")) == b"small\r\n"
    content = b"x" * 100_000 + b"\r\n"
    assert rig.body(send(client, content)) == content
    client.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_database_locked_by_another_process(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the lock senders hear 451; when it lets go, the same session's mail is kept."""
    rig = start()
    client = rig.client()
    client.ask("EHLO pms.test")
    with rig.database.engine.connect() as connection:  # the one connection of this database
        connection.exec_driver_sql("PRAGMA busy_timeout=50")
    hold = "import sqlite3,sys;c=sqlite3.connect(sys.argv[1]);c.execute('BEGIN EXCLUSIVE');print(1,flush=True);input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "store.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "1\n"
        assert send(client) == FAULT
        assert send(client, b"x" * 2_000_000 + b"\r\n") == FAULT
        others = [rig.client() for _ in range(5)]
        for one in others:
            one.envelope()
            one.send(b"x\r\n.\r\n")
        assert [one.reply() for one in others] == [FAULT] * 5
        assert client.ask("NOOP") == "250 2.0.0 Ok"
        other.communicate("\n")
    assert rig.body(send(client, b"later\r\n")) == b"later\r\n"
    assert len(rig.rows()) == 1
    for one in [client, *others]:
        one.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_tables_locked_by_another_session(
    database: Database, database_url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another session locks the table senders hear 451; when it lets go, the same session's mail is kept."""
    monkeypatch.setattr(database_module, "LOCK_TIMEOUT_S", 0.05)
    impatient = Database(database_url)
    rig = start(db=impatient)
    client = rig.client()
    client.ask("EHLO pms.test")
    with database.write() as other:
        other.exec_driver_sql("LOCK TABLE mails IN ACCESS EXCLUSIVE MODE")
        assert send(client) == FAULT
    assert rig.body(send(client, b"later\r\n")) == b"later\r\n"
    assert len(rig.rows()) == 1
    client.close()
    impatient.close()


def test_logs_hold_nothing_of_a_mail(start: Start, database: Database, capfd: pytest.CaptureFixture[str]) -> None:
    """The log of a failed mail names the error and the id, and nothing of sender, recipient or content."""
    failing = FailingDatabase(database)
    failing.error = sa.exc.OperationalError("INSERT", {"x": "planted-name"}, Exception("disk full"))
    client = start(db=failing).client()
    client.ask("EHLO planted-name")
    client.ask("MAIL FROM:<planted-name@x.test>")
    client.ask("RCPT TO:<main@in.test>")
    client.ask("DATA")
    assert client.ask(b"Subject: planted-name\r\n.") == FAULT
    client.close()
    said = capfd.readouterr()
    assert "disk full" in said.out + said.err
    assert "planted-name" not in said.out + said.err


class Process:
    """A receiver in a process of its own."""

    def __init__(self, url: str, *prefix: str) -> None:
        self.popen = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.smtp.server_process", url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line.strip().isdigit(), f"the receiver did not start: {line!r}"
        self.address = ("127.0.0.1", int(line))

    def end(self, number: signal.Signals) -> int:
        self.popen.send_signal(number)
        code = self.popen.wait(PATIENCE_S)
        self.popen.stdout.close()
        return code


class Load(threading.Thread):
    """A sender that sends until it is cut, and remembers what was acknowledged."""

    def __init__(self, address: tuple[str, int], seed: int) -> None:
        super().__init__()
        self.address = address
        self.chance = random.Random(seed)
        self.acknowledged: dict[str, bytes] = {}

    def run(self) -> None:
        with contextlib.suppress(OSError, AssertionError), contextlib.closing(Client(self.address)) as client:
            client.ask("EHLO pms.test")
            while True:
                size = 1_500_000 if self.chance.random() < 0.05 else self.chance.randrange(20_000)
                content = self.chance.randbytes(16).hex().encode() + b"x" * size + b"\r\n"
                reply = send(client, content)
                if not reply.startswith("250 "):
                    break
                self.acknowledged[reply.rsplit(" ", 1)[1]] = content


@pytest.fixture
def url(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def test_kill_9_loses_nothing_acknowledged(database: Database, url: str, tmp_path: Path) -> None:
    """Each mail that was answered 250 is whole in the database, however often the receiver is killed under load."""
    chance = random.Random(1)
    acknowledged: dict[str, bytes] = {}
    for kill in range(KILLS):
        process = Process(url)
        loads = [Load(process.address, 100 * kill + n) for n in range(6)]
        for load in loads:
            load.start()
        target = chance.randrange(1, 200)
        wait_until(lambda loads=loads, target=target: sum(len(load.acknowledged) for load in loads) >= target)
        time.sleep(chance.random() / 100)  # somewhere within a batch: chance, not timing
        assert process.end(signal.SIGKILL) == -signal.SIGKILL
        for load in loads:
            load.join(PATIENCE_S)
            acknowledged |= load.acknowledged
    again = Database(url)
    with again.read() as connection:
        kept = set(connection.execute(sa.select(mails.c.id)).scalars())
        lost = set(acknowledged) - kept
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged mails are lost"
        for mail_id, content in acknowledged.items():
            assert read_body(connection, mail_id) == content
    again.close()
    assert len(acknowledged) >= KILLS
    print(f"{len(acknowledged)} acknowledged, {KILLS} kills, 0 lost")


def test_sigterm_under_load_loses_nothing(database: Database, url: str) -> None:
    """A stop under load ends by itself, and keeps all that was acknowledged, too."""
    process = Process(url)
    loads = [Load(process.address, n) for n in range(6)]
    for load in loads:
        load.start()
    wait_until(lambda: sum(len(load.acknowledged) for load in loads) >= 30)
    assert process.end(signal.SIGTERM) == 0
    for load in loads:
        load.join(PATIENCE_S)
    acknowledged = {mail_id for load in loads for mail_id in load.acknowledged}
    with database.read() as connection:
        kept = set(connection.execute(sa.select(mails.c.id)).scalars())
    assert acknowledged == kept


def _need_strace() -> None:
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is missing: make deps")
        pytest.skip("strace is missing: apt install strace, or make deps")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # that of PostgreSQL is below
def test_every_250_comes_after_a_sync(database: Database, url: str, tmp_path: Path) -> None:
    """strace sees a sync of the database between the write of a mail and its 250, every time."""
    _need_strace()
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,pwrite64,write,sendto,sendmsg"
    process = Process(url, "strace", "-f", "-y", "-s", "64", "-o", str(trace), "-e", calls)
    client = Client(process.address)
    client.ask("EHLO pms.test")
    for _ in range(20):
        assert send(client).startswith("250 2.0.0 queued as ")
    client.close()
    (pid,) = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children").read_text().split()
    os.kill(int(pid), signal.SIGTERM)
    process.popen.wait(PATIENCE_S)
    process.popen.stdout.close()
    counted: Counter[str] = Counter()
    is_dirty = True  # the database has been written since its last sync
    for line in trace.read_text().splitlines():
        if re.search(r"(pwrite64|write)\(\d+<[^>]*store\.db>", line):
            is_dirty = True
            counted["writes"] += 1
        elif re.search(r"f(data)?sync\(\d+<[^>]*store\.db>", line):
            is_dirty = False
            counted["syncs"] += 1
        elif "250 2.0.0 queued as " in line:
            assert not is_dirty, "a 250 was sent before the database was synced"
            counted["answers"] += 1
    assert counted["answers"] == 20
    assert counted["writes"] >= 20
    assert counted["syncs"] >= 20


@pytest.mark.parametrize("database_url", [pytest.param("postgresql", marks=pytest.mark.service)], indirect=True)
def test_every_250_comes_after_a_sync_of_the_log(database: Database, url: str, tmp_path: Path) -> None:
    """strace, on PostgreSQL and the receiver at once, sees the log written, then synced, before each 250."""
    _need_strace()
    trace, receiver = tmp_path / "trace", Process(url)
    client = Client(receiver.address)
    client.ask("EHLO pms.test")
    assert send(client).startswith("250 2.0.0 queued as ")  # from now on it has its connection to the database
    with database.read() as connection:
        backend = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    postmaster = int(re.findall(r"PPid:\s+(\d+)", Path(f"/proc/{backend}/status").read_text())[0])
    pids = [receiver.popen.pid, postmaster, *_children(postmaster)]
    calls = "trace=fsync,fdatasync,pwrite64,pwritev,write,sendto,sendmsg"
    strace = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "64", "-o", str(trace), "-e", calls, *(f"-p{pid}" for pid in pids)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: strace.poll() is not None or all(_is_traced(pid) for pid in pids))
        if strace.poll() is not None:
            said = strace.communicate()[1]
            assert "not permitted" in said, said
            pytest.skip("strace may not attach to processes here: set kernel.yama.ptrace_scope = 0")
        for _ in range(20):
            assert send(client).startswith("250 2.0.0 queued as ")
        client.close()
    finally:
        if strace.poll() is None:
            strace.send_signal(signal.SIGINT)  # it lets go of them
            strace.communicate(timeout=PATIENCE_S)
    assert receiver.end(signal.SIGTERM) == 0
    answers = 0
    is_written = is_synced = False  # since the 250 before
    for line in trace.read_text().splitlines():
        if re.search(r"pwritev?(64)?\(\d+<[^>]*/pg_wal/", line):
            is_written, is_synced = True, False
        elif re.search(r"f(data)?sync(\(\d+<[^>]*/pg_wal/[^>]*>\)| resumed>\)) += 0", line):
            is_synced = is_written
        elif "250 2.0.0 queued as " in line:
            assert is_synced, "a 250 was sent before the write-ahead log was synced"
            answers += 1
            is_written = is_synced = False
    assert answers == 20


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return not re.search(r"TracerPid:\s+0\b", status)


def test_lock_patience_is_bounded() -> None:
    """The store gives up on a lock long before a sender gives up on us (RFC 5321 section 4.5.3.2.6: 10 minutes)."""
    assert 4 * database_module.BUSY_TIMEOUT_S < 600
