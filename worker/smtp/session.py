"""One client's session: aiosmtpd's protocol class with our own command loop.

What aiosmtpd gives: the protocol class, the facts of a session, and the place for STARTTLS and AUTH. What is ours: the
loop, which runs in the transport's own calls (no task, no stream, no timer a command; replies of pipelined commands in
one write), the reading of content, the limits, and that neither the client's going away nor a stop reaches a message
that is being committed.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, Protocol, cast

from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Session as Facts

from worker.settings import Smtp
from worker.smtp import replies
from worker.smtp.commands import Dialogue
from worker.smtp.content import ContentReader
from worker.smtp.intake import Intake
from worker.smtp.replies import Reply
from worker.store.keep import KeeperStopped, KeptMail, describe

AHEAD_BYTES = 65_536
"""So much may come in behind a message that is being committed before the client is made to wait."""
STEP_BYTES = 65_536
STEP_COMMANDS = 64
"""After so much the other sessions have their turn, however much a client has sent."""
ENDLESS_BYTES = 65_536
"""So much of one command line is read before the session ends."""
LINGER_S = 2.0
"""How long a client may take to read our last reply while it is still sending."""
RATE_GRACE_S = 30.0
"""A message may be slower than the minimum rate for so long."""


class Phase(Enum):
    """What a session is doing."""

    COMMAND = "waits for a command"
    CONTENT = "reads a message"
    COMMIT = "waits for the store"
    GOODBYE = "ends"


class Host(Protocol):
    """What a session asks of the receiver that it belongs to."""

    settings: Smtp
    greeting: bytes
    is_stopping: bool
    log: Any
    clock: Callable[[], dt.datetime]

    def admit(self, session: "Session") -> Reply | None: ...
    def forget(self, session: "Session") -> None: ...
    def count(self, reply: Reply) -> None: ...
    def open_dialogue(self) -> Dialogue: ...
    def open_intake(self, on_written: Callable[[], None]) -> Intake: ...
    def keep(self, mail: KeptMail, on_answer: Callable[[str | None], None]) -> None: ...


class Session(SMTP):
    """The protocol of one connection."""

    session: Facts
    transport: asyncio.Transport | None  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        # Not SMTP.__init__: it looks up every method by name for each connection, a quarter of a millisecond.
        self.loop = loop
        self.transport = None
        self.session = Facts(loop)
        self.phase = Phase.COMMAND
        self._host = host
        self._settings = host.settings
        self._dialogue = host.open_dialogue()
        self._deadline_s = loop.time() + host.settings.idle_timeout_s
        self._pending = bytearray()  # received, but not used yet
        self._searched = 0  # so much of it has no line end
        self._skipped = 0  # of a line that is too long
        self._out: list[bytes] = []  # replies of pipelined commands, written together
        self._errors = 0
        self._last_reply: Reply | None = None
        self._content = ContentReader()
        self._content_started_s = 0.0
        self._intake: Intake | None = None
        self._has_ended = False  # the client sends nothing more
        self._is_blocked = False  # the client does not read our replies
        self._is_closing = False

    # The transport's calls. None of them reaches a message that is being committed.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the session, unless the receiver has no room for it."""
        self.transport = cast(asyncio.Transport, transport)
        self.session.peer = transport.get_extra_info("peername")
        refusal = self._host.admit(self)
        if refusal is not None:
            self.say_goodbye(refusal)
        else:
            self.transport.write(self._host.greeting)

    def data_received(self, data: bytes) -> None:
        """Take octets and do all that they ask for."""
        if self.phase is Phase.GOODBYE:
            return
        self._pending += data
        if self.phase is not Phase.COMMIT:
            self._advance()
        elif len(self._pending) > AHEAD_BYTES and self.transport is not None:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Say whether the transport stays open: as long as an answer is owed."""
        self._has_ended = True
        return self.phase is Phase.COMMIT

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        """Forget an unfinished message; one that is being committed is kept all the same."""
        self.transport = None
        if self.phase is not Phase.COMMIT:
            self.phase = Phase.GOODBYE
            self._drop_intake()
            self._host.forget(self)

    def pause_writing(self) -> None:
        """Do nothing more for a client that does not read its replies."""
        self._is_blocked = True
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on where we stopped."""
        self._is_blocked = False
        self._go_on()

    # What the receiver may ask of a session.

    def say_goodbye(self, reply: Reply) -> None:
        """End the session from outside: no room, a stop, or its time is up."""
        self.phase = Phase.GOODBYE
        self._drop_intake()
        self._answer(reply)
        self._flush()

    def abort(self) -> None:
        """Cut the connection, and give up the answer that is owed; the message itself stays with the keeper."""
        self.phase = Phase.GOODBYE
        if self.transport is not None:
            self.transport.abort()
        else:
            self._drop_intake()
            self._host.forget(self)

    def check_time(self, now_s: float) -> None:
        """End the session if its time is up. The store's time is not the client's."""
        if self.phase is Phase.GOODBYE:
            if now_s > self._deadline_s:
                self.abort()
        elif self.phase is Phase.CONTENT:
            is_ours = self._intake is not None and self._intake.is_writing
            if not is_ours and (now_s > self._deadline_s or self._is_too_slow(now_s)):
                self.say_goodbye(replies.TOO_SLOW)
        elif self.phase is Phase.COMMAND and now_s > self._deadline_s:
            self.say_goodbye(replies.IDLE)

    def _is_too_slow(self, now_s: float) -> bool:
        seen = self._intake.seen if self._intake is not None else 0
        return now_s - self._content_started_s > RATE_GRACE_S + seen / self._settings.min_bytes_per_s

    # Commands.

    def _advance(self) -> None:
        """Do all that the received octets ask for, then write the replies together."""
        try:
            for _ in range(STEP_COMMANDS):
                if self._is_blocked:
                    break
                if self.phase is Phase.COMMAND:
                    goes_on = self._take_command()
                elif self.phase is Phase.CONTENT:
                    goes_on = self._take_content()
                else:
                    break
                if not goes_on:
                    break
            else:
                self._pause()
        except Exception as error:  # noqa: BLE001 - the edge: past here the place in the stream is not sure
            self._host.log.error("smtp_session_failed", error=describe(error))
            self._drop_intake()
            self._answer(replies.FAULT_BYE)
        self._flush()

    def _pause(self) -> None:
        """Let the other sessions have their turn. A transport reads on and on while its client is quick."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Read on where we stopped, unless there is still a reason not to, and do what has come meanwhile."""
        if self._is_blocked or (self._intake is not None and self._intake.is_writing):
            return
        if self.transport is not None and not self.transport.is_closing():
            if self.phase is not Phase.COMMIT:
                self.transport.resume_reading()
            self._advance()
        if self._has_ended and self.phase is not Phase.COMMIT and self.transport is not None:
            self.transport.close()

    def _take_command(self) -> bool:
        """Answer one command line; return whether there was one."""
        pending, limit = self._pending, self._settings.max_line_bytes
        end = pending.find(b"\n", self._searched)
        if end < 0:
            if len(pending) > limit:
                self._skipped += len(pending) - limit - 1
                del pending[limit + 1 :]
                if self._skipped > ENDLESS_BYTES:
                    self._answer(replies.ENDLESS_LINE)
            self._searched = len(pending)
            return False
        line = bytes(pending[: end + 1])
        del pending[: end + 1]
        self._searched = self._skipped = 0
        self._deadline_s = self.loop.time() + self._settings.idle_timeout_s
        reply = self._obey(line)
        if reply is replies.SEND_CONTENT:
            self._begin_content()
        self._answer(reply)
        if pending and reply is not replies.SEND_CONTENT and line[:4].upper() == b"DATA":
            # Refused, but the client has not waited: what follows may be a message, and must not be obeyed.
            self.phase = Phase.GOODBYE
        return True

    def _obey(self, line: bytes) -> Reply | bytes:
        try:
            return self._dialogue.obey(line)
        except Exception as error:  # noqa: BLE001 - the edge: no fault of ours is the client's
            self._host.log.error("smtp_command_failed", error=describe(error))
            return replies.FAULT

    def _answer(self, reply: Reply | bytes) -> None:
        if isinstance(reply, bytes):
            self._out.append(reply)
            return
        self._host.count(reply)
        self._last_reply = reply
        self._out.append(reply.line)
        if reply.closes:
            self.phase = Phase.GOODBYE
        elif reply.is_error:
            self._errors += 1
            if self._errors >= self._settings.max_errors:
                self._answer(replies.TOO_MANY_ERRORS)

    def _flush(self) -> None:
        """Write the replies, and close if the session ends with them."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._is_closing:
            return
        if self._out:
            transport.write(b"".join(self._out))
            self._out.clear()
        if self.phase is not Phase.GOODBYE:
            return
        self._is_closing = True
        self._deadline_s = self.loop.time() + LINGER_S
        if self._last_reply is replies.BYE or self._has_ended or self._is_blocked:
            transport.close()
        else:
            transport.write_eof()  # a client that is still sending is heard out a little, lest it never reads why

    # Messages.

    def _begin_content(self) -> None:
        self._intake = self._host.open_intake(self._written)
        self._content = ContentReader()
        self._content_started_s = self.loop.time()
        self._deadline_s = self._content_started_s + self._settings.data_timeout_s
        self.phase = Phase.CONTENT

    def _take_content(self) -> bool:
        """Take what has come of a message; return whether that was anything."""
        intake, reader = self._intake, self._content
        if not self._pending or intake is None or intake.is_writing:
            return False
        octets = bytes(self._pending)
        self._pending.clear()
        intake.add(reader.feed(octets))
        if reader.is_void:
            self._end_content(replies.BARE_LINE_END)
        elif reader.ended:
            self._pending += reader.rest
            self.phase = Phase.COMMIT
            if not intake.is_writing:
                self._close_content(intake)
        elif intake.seen > 2 * self._settings.max_message_bytes:
            self._end_content(replies.TOO_BIG_BYE)
        elif intake.is_writing:
            if self.transport is not None:
                self.transport.pause_reading()
        elif len(octets) >= STEP_BYTES:
            self._pause()
        return True

    def _written(self) -> None:
        """Go on after a piece of the message has reached its file."""
        if self.phase is Phase.COMMIT and self._intake is not None:
            self._close_content(self._intake)
        if self.transport is None and self.phase is not Phase.COMMIT:
            self._host.forget(self)
        else:
            self._go_on()

    def _close_content(self, intake: Intake) -> None:
        """Hand over a message that is whole, or say why not."""
        if intake.error is not None:
            self._host.log.error("smtp_spool_failed", error=describe(intake.error))
        if intake.refusal is not None:
            self._end_content(intake.refusal)
        else:
            self._submit(intake)

    def _end_content(self, reply: Reply | bytes) -> None:
        self._drop_intake()
        self._dialogue.reset()
        self.phase = Phase.COMMAND
        self._deadline_s = self.loop.time() + self._settings.idle_timeout_s
        self._answer(reply)
        if self._host.is_stopping and self.phase is Phase.COMMAND:
            self._answer(replies.STOPPING)

    def _drop_intake(self) -> None:
        if self._intake is not None:
            self._intake.close()
            self._intake = None

    def _submit(self, intake: Intake) -> None:
        """Hand the message to the keeper. From here on it does not matter whether the client is still there."""
        peer = self.session.peer
        address = peer[0] if isinstance(peer, tuple) else ""
        try:
            mail = KeptMail(
                body=intake.spool,
                recipients=tuple(self._dialogue.recipients),
                evidence={"peer": address, "tls": False, **self._dialogue.evidence()},
                received_at=self._host.clock(),
            )
            self._host.keep(mail, partial(self._settled, intake))
        except KeeperStopped:
            self._end_content(replies.STOPPING)
        except Exception as error:  # noqa: BLE001 - the edge: no fault of ours is the client's
            self._host.log.error("smtp_submit_failed", error=describe(error))
            self._end_content(replies.FAULT)
        else:
            self._intake = None  # the body is the keeper's now, and closed by it

    def _settled(self, intake: Intake, mail_id: str | None) -> None:
        """Answer a message that has been committed, or could not be; None says so."""
        intake.release()
        if self.phase is not Phase.COMMIT:
            return  # the answer was given up
        if self.transport is None:
            self.phase = Phase.GOODBYE
            self._host.forget(self)
            return
        if mail_id is None:
            self._end_content(replies.FAULT)
        else:
            self._dialogue.idle_commands = 0
            self._end_content(b"%b%b\r\n" % (replies.QUEUED_PREFIX, mail_id.encode("ascii")))
        self._go_on()
