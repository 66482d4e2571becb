"""A server in a process of its own for the benches: ``python -m bench.server stock|ours DIRECTORY [KEY=VALUE...]``.

``stock`` is aiosmtpd's Controller as its manual shows it, with a handler that does nothing. ``ours`` is the receiver
and the keeper on SQLite with the settings of production; ``KEY=VALUE`` overrides a key of ``[smtp]``.
Prints its port once it listens, and ends at SIGTERM.
"""

import asyncio
import datetime as dt
import logging
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """The one mailbox of the benches."""

    address: str


def serve_stock() -> None:
    from aiosmtpd.controller import Controller

    class Nothing:
        """A handler that does nothing: aiosmtpd answers 250 itself."""

    # The Controller must be told a port: it connects to it to see whether it listens.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(Nothing(), hostname="127.0.0.1", port=port, data_size_limit=26_214_400)
    controller.start()
    print(port, flush=True)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    controller.stop(no_assert=True)


def serve_ours(directory: Path, options: dict[str, str]) -> None:
    import structlog
    import uvloop

    from worker.settings import Smtp
    from worker.smtp.server import Receiver
    from worker.store.database import Database
    from worker.store.keep import Keeper
    from worker.store.tables import metadata

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    settings = Smtp.model_validate({"listen": ["127.0.0.1:0"], "spool_dir": directory, **options})
    database = Database(f"sqlite:///{directory}/bench.db")
    database.check_durability()
    metadata.create_all(database.engine)

    def now() -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    async def serve() -> None:
        keeper = Keeper(
            database,
            batch_mails=settings.batch_mails,
            batch_bytes=settings.batch_bytes,
            clock=now,
            on_kept=lambda _: None,
        )
        mailbox = Mailbox(address="main@in.test")
        receiver = Receiver(
            settings,
            find_mailbox=lambda address: mailbox if address == mailbox.address else None,
            keeper=keeper,
            clock=now,
            log=structlog.get_logger("bench"),
        )
        ((_, port),) = await receiver.start()
        print(port, flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await ended.wait()
        await receiver.stop()
        await asyncio.to_thread(keeper.stop)
        stats = keeper.stats
        print(f"{stats.kept} kept in {stats.batches} batches", file=sys.stderr)

    uvloop.run(serve())


if __name__ == "__main__":
    if sys.argv[1] == "stock":
        serve_stock()
    else:
        serve_ours(Path(sys.argv[2]), dict(pair.split("=", 1) for pair in sys.argv[3:]))
