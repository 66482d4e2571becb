"""Large messages are written by threads: a slow or broken disk holds up its own message, and nothing else."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest

from tests.smtp.rig import PATIENCE_S, Client, Rig, wait_until
from worker.smtp import session as session_module
from worker.smtp.session import Phase, Session
from worker.store import bodies as bodies_module

Start = Callable[..., Rig]
FAULT = "451 4.3.0 Local error in processing, try again later"
LARGE = b"".join(b"%06d " % n + b"x" * 70 + b"\r\n" for n in range(4000))


class Disk:
    """The disk of the temporary files: it stands still while the test says so, or breaks."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.error: OSError | None = None
        self.files: list[IO[bytes]] = []
        self._may_write = threading.Event()
        self._may_write.set()
        self._write = bodies_module._write_whole
        self._make = bodies_module.tempfile.TemporaryFile
        patch.setattr(bodies_module, "_write_whole", self._write_whole)
        patch.setattr(bodies_module.tempfile, "TemporaryFile", self._make_file)

    def stand_still(self) -> None:
        self._may_write.clear()

    def go_on(self) -> None:
        self._may_write.set()

    def _make_file(self, **options: Any) -> IO[bytes]:
        self.files.append(self._make(**options))
        return self.files[-1]

    def _write_whole(self, file: IO[bytes], content: bytes) -> None:
        self.asked += 1
        assert self._may_write.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        self._write(file, content)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.go_on()


@pytest.fixture
def rig(disk: Disk, start: Start) -> Rig:
    return start(memory_bytes=1024, drain_s=0.1)


def stuck(rig: Rig, disk: Disk, content: bytes) -> Client:
    """Return a client whose message waits for the disk."""
    disk.stand_still()
    client = rig.client()
    client.envelope()
    client.send(content)
    wait_until(lambda: disk.asked)
    return client


def has_turned(rig: Rig) -> None:
    """Return when the loop has read what was sent before."""
    other = rig.client()
    for _ in range(3):
        assert other.ask("NOOP") == "250 2.0.0 Ok"
    other.close()


def test_the_disk_holds_up_only_its_own_message(rig: Rig, disk: Disk) -> None:
    """While the disk stands still small mails of other sessions are kept; then the large one is, byte for byte."""
    large = stuck(rig, disk, LARGE + b".\r\n")
    other = rig.client()
    other.envelope()
    assert rig.body(other.ask(b"small\r\n.")) == b"small\r\n"
    other.close()
    disk.go_on()
    assert rig.body(large.reply()) == LARGE
    wait_until(lambda: [file.closed for file in disk.files] == [True])


def test_pieces_keep_their_order(rig: Rig, disk: Disk) -> None:
    """A second piece waits until the first is written, however slow that is and however many threads there are."""
    large = stuck(rig, disk, LARGE[:2000])
    large.send(LARGE[2000:3000])
    has_turned(rig)
    large.send(LARGE[3000:] + b".\r\nNOOP\r\n")
    has_turned(rig)
    assert disk.asked == 1
    disk.go_on()
    assert rig.body(large.reply()) == LARGE
    assert large.reply() == "250 2.0.0 Ok"


def test_a_disk_that_breaks_is_451(rig: Rig, disk: Disk) -> None:
    """An error of the disk, at the first piece or a later one, is 451 at the end; the session is usable afterwards."""
    for first in (2000, 0):
        disk.asked = 0
        client = rig.client()
        client.envelope()
        if first:
            client.send(LARGE[:first])
            wait_until(lambda: disk.asked)
        disk.error = OSError(28, "No space left on device")
        assert client.ask(LARGE[first:] + b".") == FAULT
        disk.error = None
        client.envelope_again()
        assert rig.body(client.ask(LARGE + b".")) == LARGE
        client.close()
    assert len(rig.rows()) == 2
    wait_until(lambda: all(file.closed for file in disk.files))


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_cut_removes_the_file_once_no_thread_is_at_it(rig: Rig, disk: Disk, way: str) -> None:
    """A connection that is cut while a thread writes leaves no file, no descriptor and no bytes in flight."""
    large = stuck(rig, disk, LARGE[:2000])
    (session,) = rig.receiver._sessions
    getattr(large, way)()
    rig.loop.call_soon_threadsafe(session.abort)  # what a cut comes to while we do not read
    wait_until(lambda: not rig.receiver._sessions)
    assert (disk.files[0].closed, rig.receiver.budget.used) == (False, 2000)
    disk.go_on()
    wait_until(lambda: disk.files[0].closed)
    wait_until(lambda: rig.receiver.budget.used == 0)
    assert rig.rows() == []


def test_a_whole_message_is_kept_though_its_sender_is_gone(rig: Rig, disk: Disk) -> None:
    """A client that goes away while the last piece is written has sent a whole message: it is kept and counted."""
    large = stuck(rig, disk, LARGE[:2000] + b"\r\n.\r\n")
    has_turned(rig)
    large.close()
    disk.go_on()
    wait_until(lambda: rig.receiver.accepted == 1)
    assert len(rig.rows()) == 1
    wait_until(lambda: not rig.receiver._sessions)


@pytest.mark.parametrize(("end", "is_gone"), [(b"", False), (b"\r\n.\r\n", False), (b"\r\n.\r\n", True)])
def test_a_stop_gives_up_what_the_disk_holds_up(rig: Rig, disk: Disk, end: bytes, is_gone: bool) -> None:
    """A stop cuts a message that a thread still writes, and waits for the thread; nothing of it stays."""
    large = stuck(rig, disk, LARGE[:2000] + end)
    if is_gone:
        (session,) = rig.receiver._sessions
        large.reset()
        wait_until(lambda: session.transport is None)
    stopping = asyncio.run_coroutine_threadsafe(rig.receiver.stop(), rig.loop)
    wait_until(lambda: not rig.receiver._sessions)
    assert not stopping.done()
    disk.go_on()
    stopping.result(PATIENCE_S)
    assert is_gone or large.reply() in ("421 4.3.2 Service shutting down", "")
    assert [file.closed for file in disk.files] == [True]
    assert rig.receiver.budget.used == 0
    assert rig.rows() == []


def test_our_disk_is_not_the_clients_slowness(rig: Rig, disk: Disk) -> None:
    """While a thread writes, no deadline of the client's passes; when it is the client's turn, it does."""
    large = stuck(rig, disk, LARGE[:2000])
    (session,) = rig.receiver._sessions

    def check() -> None:
        session.check_time(rig.loop.time() + 1e6)

    rig.loop.call_soon_threadsafe(check)
    has_turned(rig)
    assert session.phase is Phase.CONTENT
    disk.go_on()
    wait_until(lambda: not session._intake.is_writing)
    rig.loop.call_soon_threadsafe(check)
    assert large.reply() == "421 4.4.2 Message takes too long, closing connection"


def test_large_pieces_take_turns(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that pours is read a step at a time, in memory, too; what it sent comes out whole."""
    turns: list[int] = []
    honest = Session._pause
    monkeypatch.setattr(Session, "_pause", lambda session: (turns.append(1), honest(session))[1])
    rig = start(memory_bytes=1 << 23)
    client = rig.client()
    client.envelope()
    content = os.urandom(1 << 22).replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"
    assert rig.body(client.ask(content + b".")) == content
    assert len(turns) > 4


def test_many_commands_take_turns(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many commands come in one packet, each is answered, in order, and so is the message behind them."""
    turns: list[int] = []
    honest = Session._pause
    monkeypatch.setattr(Session, "_pause", lambda session: (turns.append(1), honest(session))[1])
    rig = start(max_recipients=10)
    client = rig.client()
    n = 3 * session_module.STEP_COMMANDS
    client.send(b"EHLO a\r\nMAIL FROM:<>\r\n" + n * b"RCPT TO:<main@in.test>\r\n" + b"DATA\r\n")
    said = [client.reply()[:3] for _ in range(n + 3)]
    assert said == ["250"] * 12 + ["452"] * (n - 10) + ["354"]
    assert rig.body(client.ask(b"x\r\n.")) == b"x\r\n"
    assert len(turns) >= 3
