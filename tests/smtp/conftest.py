"""A running receiver with a real store."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.smtp.rig import Client, Rig, running, utc_now
from worker import log
from worker.store.database import Database
from worker.store.keep import Keeper


@pytest.fixture
def start(database: Database) -> Iterator[Callable[..., Rig]]:
    """Start a receiver with the given keys of ``[smtp]``; ``db`` replaces what the keeper writes to."""
    with contextlib.ExitStack() as stack:

        def _start(*, db: Any = None, **settings: Any) -> Rig:
            keeper = Keeper(
                db or database,
                batch_mails=100,
                batch_bytes=1 << 22,
                clock=utc_now,
                on_kept=lambda _: None,
                on_trouble=log.trouble,
            )
            stack.callback(keeper.stop)
            rig = stack.enter_context(running(keeper, **settings))
            rig.database, rig.keeper = database, keeper
            return rig

        yield _start


@pytest.fixture
def rig(start: Callable[..., Rig]) -> Rig:
    return start()


@pytest.fixture
def client(rig: Rig) -> Iterator[Client]:
    client = rig.client()
    yield client
    client.close()
