"""Celery's pool of child processes, which goes on where one of them ends before the first message.

As it comes (Celery 5.7), a worker whose child was killed that early gives up, and then waits for its other children for
ever: nobody starts it again, for it does not end.
"""

from celery.concurrency import ALIASES
from celery.concurrency.prefork import TaskPool


def use_our_pool() -> None:
    """Let ``prefork`` be the pool of this module, in this process."""
    ALIASES["prefork"] = f"{__name__}:Pool"


class Pool(TaskPool):
    """A pool that takes a child which ended early for one like any other: it starts another in its place."""

    def did_start_ok(self) -> bool:
        """Return that the worker may go on."""
        return True
