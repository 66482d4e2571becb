"""Take in the content of one message within its limits; past one, go on reading but keep nothing."""

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
    """The content of one message on its way in; closing gives the budget back."""

    __slots__ = ("_budget", "_max_bytes", "_taken", "error", "refusal", "seen", "spool")

    def __init__(self, budget: Budget, *, max_bytes: int, memory_bytes: int, directory: Path | None) -> None:
        self._budget = budget
        self._max_bytes = max_bytes
        self._taken = 0
        self.spool = Spool(memory_bytes=memory_bytes, directory=directory)
        self.seen = 0
        """Bytes of content so far, kept or not."""
        self.refusal: Reply | None = None
        """Why the message cannot be kept; nothing of it is held any more."""
        self.error: OSError | None = None

    def add(self, content: bytes) -> None:
        self.seen += len(content)
        if self.refusal is not None:
            return
        if self.seen > self._max_bytes:
            self._refuse(replies.TOO_BIG)
        elif not self._budget.take(len(content)):
            self._refuse(replies.NO_ROOM)
        else:
            self._taken += len(content)
            try:
                self.spool.write(content)
            except OSError as error:
                self.error = error
                self._refuse(replies.FAULT)

    def release(self) -> None:
        """Give the budget back: the message is answered, or gone. May be called again."""
        self._budget.give_back(self._taken)
        self._taken = 0

    def close(self) -> None:
        """Throw the content away."""
        self.spool.close()
        self.release()

    def _refuse(self, reply: Reply) -> None:
        self.refusal = reply
        self.close()
