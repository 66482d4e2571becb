"""A real receiver on a loopback port for the tests, with a raw client that sends exactly the octets it is given."""

import asyncio
import contextlib
import datetime as dt
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
import structlog
import uvloop

from worker.settings import Smtp
from worker.smtp.server import Receiver
from worker.store.bodies import read_body
from worker.store.database import Database
from worker.store.keep import Keeper, KeptMail
from worker.store.tables import mails

PATIENCE_S = 20.0
USES_UVLOOP = os.environ.get("GATEPOST_TEST_LOOP", "uvloop") == "uvloop"
MAILBOXES = ("main@in.test", "second@in.test", "third@in.test", "postmaster")
ENVELOPE = b"EHLO pms.test\r\nMAIL FROM:<a@pms.test>\r\nRCPT TO:<main@in.test>\r\nDATA\r\n"


def find_mailbox(address: str) -> SimpleNamespace | None:
    return SimpleNamespace(address=address) if address in MAILBOXES else None


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait for a condition; fail when it does not come."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "the condition did not come"
        time.sleep(0.002)


class Client:
    """A client that sends octets and reads replies."""

    def __init__(self, address: tuple[str, int], *, greeted: bool = True) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE_S)
        self._stream = self.socket.makefile("rb")
        if greeted:
            self.greet()

    def greet(self) -> None:
        said = self.reply()
        if not said.startswith("220 "):
            self.close()
            raise AssertionError(f"no greeting, but {said!r}")

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def reply(self) -> str:
        """Return the last line of the next reply; empty when the server has closed."""
        while True:
            try:
                line = self._stream.readline()
            except ConnectionResetError:
                return ""
            if not line or line[3:4] != b"-":
                assert line == b"" or line.endswith(b"\r\n")
                return line.decode("ascii").rstrip("\r\n")

    def ask(self, line: str | bytes) -> str:
        """Send one command and return the last line of its reply."""
        self.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.reply()

    def envelope(self, *to: str) -> None:
        """Go as far as 354."""
        assert self.ask("EHLO pms.test").startswith("250 ")
        self.envelope_again(*to)

    def envelope_again(self, *to: str) -> None:
        assert self.ask("MAIL FROM:<a@pms.test>").startswith("250 ")
        for address in to or ("main@in.test",):
            assert self.ask(f"RCPT TO:<{address}>").startswith("250 ")
        assert self.ask("DATA").startswith("354 ")

    def is_closed(self) -> bool:
        """Whether the server has nothing more to say and has closed."""
        return self.reply() == ""

    def close(self) -> None:
        self._stream.close()
        self.socket.close()

    def reset(self) -> None:
        """Go away without a word: the connection is cut, not closed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()


class HeldKeeper:
    """A keeper whose answers the test gives."""

    def __init__(self) -> None:
        self.submitted: list[tuple[KeptMail, Future[str]]] = []

    def submit(self, mail: KeptMail) -> Future[str]:
        future: Future[str] = Future()
        self.submitted.append((mail, future))
        return future

    def answer_next(self) -> Future[str]:
        wait_until(lambda: self.submitted)
        return self.submitted.pop(0)[1]


@dataclass
class Rig:
    """A running receiver."""

    receiver: Receiver
    address: tuple[str, int]
    loop: asyncio.AbstractEventLoop
    database: Database | None = None
    keeper: Keeper | None = None
    clients: list[Client] = field(default_factory=list)

    def client(self, *, greeted: bool = True) -> Client:
        """Return a client, which is closed with the rig at the latest."""
        client = Client(self.address, greeted=False)
        self.clients.append(client)
        if greeted:
            client.greet()
        return client

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    def rows(self) -> list[sa.RowMapping]:
        assert self.database is not None
        with self.database.read() as connection:
            return list(connection.execute(sa.select(mails).order_by(mails.c.received_at, mails.c.id)).mappings())

    def body(self, reply: str) -> bytes:
        """Return what was stored of the mail that a 250 names."""
        assert self.database is not None
        matched = re.fullmatch(r"250 2\.0\.0 queued as ([0-9a-f]{24})", reply)
        assert matched, reply
        return read_body(self.database, matched[1])


@contextlib.contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = uvloop.new_event_loop() if USES_UVLOOP else asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


@contextlib.contextmanager
def running(keeper: Any, *, find: Callable[[str], Any] = find_mailbox, **settings: Any) -> Iterator[Rig]:
    """Run a receiver in a thread; ``settings`` are keys of ``[smtp]``."""
    smtp = Smtp(**{"listen": ("127.0.0.1:0",), "hostname": "mx.test", "drain_s": 5.0, **settings})
    log = structlog.get_logger("test")

    async def make() -> Receiver:
        return Receiver(
            smtp,
            find_mailbox=find,
            keeper=keeper,
            clock=utc_now,
            log=log,
            hosts_domain=lambda domain: domain == "in.test",
        )

    with loop_in_thread() as loop:
        receiver = asyncio.run_coroutine_threadsafe(make(), loop).result(PATIENCE_S)
        (address,) = asyncio.run_coroutine_threadsafe(receiver.start(), loop).result(PATIENCE_S)
        rig = Rig(receiver=receiver, address=address, loop=loop)
        try:
            yield rig
        finally:
            for client in rig.clients:
                client.close()
            asyncio.run_coroutine_threadsafe(receiver.stop(), loop).result(PATIENCE_S)
            assert receiver.budget.used == 0, "bytes in flight were not given back"
