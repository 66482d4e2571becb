"""Listen for SMTP, hold all sessions together, and stop without losing a message.

Errors:
    ReceiverError(Exception)
    +-- CannotListen     an address is taken or not ours; says which, and what to do
"""

import asyncio
import contextlib
import datetime as dt
import errno
import os
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from worker.settings import Smtp, split_endpoint
from worker.smtp import replies
from worker.smtp.commands import Dialogue, HasAddress
from worker.smtp.intake import Budget, Intake
from worker.smtp.replies import Reply
from worker.smtp.session import Phase, Session
from worker.store.keep import KeptMail, describe

WATCH_S = 1.0
"""How often the sessions' deadlines are looked at: one timer for all, none a command."""
SPOOL_THREADS = 2
"""So many write large messages to their files."""


class ReceiverError(Exception):
    """The receiver cannot do its work."""


class CannotListen(ReceiverError):
    """An address of ``[smtp] listen`` cannot be listened on."""


class KeepsMail(Protocol):
    """What is asked of the keeper here."""

    def submit(self, mail: KeptMail) -> Future[str]: ...


class Receiver:
    """The SMTP server. Made and used on one event loop; the keeper is started and stopped by whoever made it."""

    def __init__(
        self,
        settings: Smtp,
        *,
        find_mailbox: Callable[[str], HasAddress | None],
        keeper: KeepsMail,
        clock: Callable[[], dt.datetime],
        log: Any,
        hosts_domain: Callable[[str], bool] | None = None,
    ) -> None:
        """``find_mailbox`` is asked for addresses in lower case, and for ``postmaster``.

        ``hosts_domain`` says of a domain in lower case whether ``postmaster`` at it is ours; without it only the
        hostname's is.
        """
        self.settings = settings
        self.clock = clock
        self.log = log
        self.is_stopping = False
        self.greeting = b"220 %b ESMTP Gatepost\r\n" % settings.hostname.encode("ascii")
        self.accepted = 0
        """Messages answered 250, or committed while their client went away."""
        self.connections = 0
        self.replies: Counter[str] = Counter()
        """How often each fixed reply was given, by ``code enhanced-code``."""
        self.budget = Budget(settings.bytes_in_flight)
        self._find_mailbox = find_mailbox
        self._hosts_domain = hosts_domain or (lambda _: False)
        self._keeper = keeper
        self._landing = _Landing()
        self._spool_writers = ThreadPoolExecutor(SPOOL_THREADS, thread_name_prefix="spool")
        self._all_gone = asyncio.Event()
        self._sessions: dict[Session, None] = {}
        self._servers: list[asyncio.Server] = []
        self._watch_handle: asyncio.TimerHandle | None = None

    async def start(self) -> list[tuple[str, int]]:
        """Listen on every address, and return them as they are, port 0 resolved.

        Raises:
            CannotListen: one of them is taken or not ours; none is listened on then.
        """
        loop = asyncio.get_running_loop()
        for endpoint in self.settings.listen:
            host, port = split_endpoint(endpoint)
            try:
                server = await loop.create_server(lambda: Session(self, loop), host, port, backlog=1024)
            except OSError as error:
                await self.stop()
                raise CannotListen(_advice(endpoint, error)) from error
            self._servers.append(server)
        self._watch()
        return [socket.getsockname()[:2] for server in self._servers for socket in server.sockets]

    async def stop(self) -> None:
        """Take no more; tell idle sessions goodbye; let messages under way end within ``drain_s``."""
        self.is_stopping = True
        for server in self._servers:
            server.close()
        for session in list(self._sessions):
            if session.phase is Phase.COMMAND:
                session.say_goodbye(replies.STOPPING)
        await self._wait_for_sessions(self.settings.drain_s)
        for session in list(self._sessions):
            if session.phase is Phase.CONTENT:
                session.say_goodbye(replies.STOPPING)
            session.abort()
        await self._wait_for_sessions(1.0)
        if self._watch_handle is not None:
            self._watch_handle.cancel()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        # What was cut while a thread wrote it gives its file and its budget back on this loop, before we go on.
        await asyncio.to_thread(self._spool_writers.shutdown)

    async def _wait_for_sessions(self, patience_s: float) -> None:
        if self._sessions:
            self._all_gone.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), patience_s)

    # What sessions ask of us.

    def admit(self, session: Session) -> Reply | None:
        """Count a session in; return why it cannot be served."""
        self.connections += 1
        is_full = len(self._sessions) >= self.settings.max_connections
        self._sessions[session] = None
        if self.is_stopping:
            return replies.STOPPING
        return replies.TOO_MANY_CONNECTIONS if is_full else None

    def forget(self, session: Session) -> None:
        self._sessions.pop(session, None)
        if not self._sessions:
            self._all_gone.set()

    def count(self, reply: Reply) -> None:
        self.replies[reply.name] += 1

    def open_dialogue(self) -> Dialogue:
        return Dialogue(
            self.settings,
            find_mailbox=self._find_mailbox,
            hosts_domain=self._hosts_domain,
            has_room=self.budget.has_room,
        )

    def open_intake(self, on_written: Callable[[], None]) -> Intake:
        settings = self.settings
        return Intake(
            self.budget,
            max_bytes=settings.max_message_bytes,
            memory_bytes=settings.memory_bytes,
            directory=settings.spool_dir,
            writers=self._spool_writers,
            on_written=on_written,
        )

    def keep(self, mail: KeptMail, on_answer: Callable[[str | None], None]) -> None:
        """Have a message kept; ``on_answer`` gets the queue id once it is committed, None if it could not be.

        Raises:
            KeeperStopped: the body still belongs to the caller.
        """

        def settled(mail_id: str | None) -> None:
            self.accepted += mail_id is not None
            try:
                on_answer(mail_id)
            except Exception as error:  # noqa: BLE001 - the edge: the other sessions of the batch wait for theirs
                self.log.error("smtp_answer_failed", error=describe(error))

        self._landing.wait(asyncio.get_running_loop(), self._keeper.submit(mail), settled)

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for session in list(self._sessions):
            session.check_time(now_s)
        pause_s = min(WATCH_S, self.settings.idle_timeout_s / 4, self.settings.data_timeout_s / 4)
        self._watch_handle = loop.call_later(pause_s, self._watch)


class _Landing:
    """Bring answers from the keeper's thread to the loop: one wake-up for a whole batch, not one a message."""

    def __init__(self) -> None:
        self._landed: deque[tuple[Future[str], Callable[[str | None], None]]] = deque()
        self._is_called = False

    def wait(
        self, loop: asyncio.AbstractEventLoop, future: Future[str], on_answer: Callable[[str | None], None]
    ) -> None:
        future.add_done_callback(partial(self._land, loop, on_answer))

    def _land(
        self, loop: asyncio.AbstractEventLoop, on_answer: Callable[[str | None], None], future: Future[str]
    ) -> None:
        self._landed.append((future, on_answer))
        if not self._is_called:
            self._is_called = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._is_called = False  # before looking: what lands from now on calls again
        while self._landed:
            future, on_answer = self._landed.popleft()
            try:
                mail_id = future.result()
            except BaseException:  # noqa: BLE001 - whatever it was: not kept; the keeper has said why
                mail_id = None
            on_answer(mail_id)


def _advice(endpoint: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{endpoint} is in use: stop the program that listens there, or choose another in [smtp] listen"
    if error.errno == errno.EACCES:
        return f"{endpoint} needs a privilege: choose a port from 1024 on in [smtp] listen, and forward 25 to it"
    return f"cannot listen on {endpoint}: {os.strerror(error.errno) if error.errno else error}; see [smtp] listen"
