"""The body of one request on its way in, within its limits: in memory at first, in a temporary file once large."""

from pathlib import Path

import anyio.to_thread

from worker.console.ops.envelope import Refused
from worker.smtp.intake import Budget
from worker.store.bodies import Spool


class Body:
    """What has come of a body; closing gives the budget back."""

    def __init__(self, budget: Budget, *, max_bytes: int, memory_bytes: int, directory: Path | None) -> None:
        self._budget = budget
        self._taken = 0
        self._is_given = False
        self._spool = Spool(memory_bytes=memory_bytes, directory=directory)
        self.max_bytes = max_bytes

    @property
    def size(self) -> int:
        return self._spool.size

    async def take(self, piece: bytes) -> None:
        """Take a piece in; refuse one for which there is no room.

        Raises:
            Refused: 413 over its own limit, 503 over that of all bodies together.
            OSError: the temporary file cannot be made or written.
        """
        if self._taken + len(piece) > self.max_bytes:
            raise too_large(self.max_bytes)
        if not self._budget.take(len(piece)):
            close = {"Connection": "close", "Retry-After": "5"}
            raise Refused(503, "There is no room for it now; try again later.", headers=close)
        self._taken += len(piece)
        if self._spool.fits(len(piece)):
            self._spool.write(piece)
        elif piece:
            await anyio.to_thread.run_sync(self._spool.write, piece)  # a slow disk holds up this request alone

    def read(self) -> bytes:
        """Return the whole body."""
        return self._spool.read_at(0, self._spool.size)

    def give(self) -> Spool:
        """Hand the bytes over to whoever closes them."""
        self._is_given = True
        return self._spool

    def close(self) -> None:
        """Give the budget back, and throw away what was not handed over."""
        if not self._is_given:
            self._spool.close()
        self._budget.give_back(self._taken)
        self._taken = 0


def too_large(limit: int) -> Refused:
    """Return the refusal of a body that is too large."""
    return Refused(413, f"The body must not be larger than {limit} bytes.", headers={"Connection": "close"})
