"""Take in the content of one message within its limits; past one, go on reading but keep nothing."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from worker.smtp import replies
from worker.smtp.replies import Reply
from worker.store.bodies import Spool


class Budget:
    """The bytes of all messages between DATA and their reply."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def has_room(self, n_bytes: int) -> bool:
        return self.used + n_bytes <= self.limit

    def take(self, n_bytes: int) -> bool:
        """Take bytes if there are so many left."""
        if self.used + n_bytes > self.limit:
            return False
        self.used += n_bytes
        return True

    def give_back(self, n_bytes: int) -> None:
        self.used -= n_bytes


class Intake:
    """The content of one message on its way in; closing gives the budget back.

    What does not fit into memory is written to the file by a thread of ``writers``: a slow disk holds up this message,
    not the loop with all the others. One piece is under way at a time, so the pieces keep their order, and the caller
    reads no more until it is written.
    """

    __slots__ = (
        *("_budget", "_is_closed", "_max_bytes", "_on_written", "_taken", "_writers"),
        *("error", "is_writing", "refusal", "seen", "spool"),
    )

    def __init__(
        self,
        budget: Budget,
        *,
        max_bytes: int,
        memory_bytes: int,
        directory: Path | None,
        writers: Executor,
        on_written: Callable[[], None],
    ) -> None:
        """``on_written`` is called on the loop after each piece that a thread wrote, unless closed meanwhile."""
        self._budget = budget
        self._max_bytes = max_bytes
        self._writers = writers
        self._on_written = on_written
        self._taken = 0
        self._is_closed = False
        self.spool = Spool(memory_bytes=memory_bytes, directory=directory)
        self.seen = 0
        """Bytes of content so far, kept or not."""
        self.is_writing = False
        """Whether a piece is on its way to the file; nothing may be added meanwhile."""
        self.refusal: Reply | None = None
        """Why the message cannot be kept; nothing of it is held any more."""
        self.error: BaseException | None = None

    def add(self, content: bytes) -> None:
        """Take content in; look at ``is_writing`` before the next."""
        n_bytes = len(content)
        self.seen += n_bytes
        if self.refusal is not None:
            return
        if self.seen > self._max_bytes:
            self._refuse(replies.TOO_BIG)
        elif not self._budget.take(n_bytes):
            self._refuse(replies.NO_ROOM)
        else:
            self._taken += n_bytes
            if self.spool.fits(n_bytes):
                self.spool.write(content)
            elif n_bytes:
                writing = asyncio.get_running_loop().run_in_executor(self._writers, self.spool.write, content)
                writing.add_done_callback(self._written)
                self.is_writing = True

    def release(self) -> None:
        """Give the budget back: the message is answered, or gone. May be called again."""
        self._budget.give_back(self._taken)
        self._taken = 0

    def close(self) -> None:
        """Throw the content away, once no thread is at it any more."""
        self._is_closed = True
        if not self.is_writing:
            self.spool.close()
            self.release()

    def _written(self, writing: asyncio.Future[None]) -> None:
        self.is_writing = False
        error = writing.exception()
        if self._is_closed:
            self.close()
            return
        if error is not None:
            self.error = error
            self._refuse(replies.FAULT)
        self._on_written()

    def _refuse(self, reply: Reply) -> None:
        self.refusal = reply
        self.close()
