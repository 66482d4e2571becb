"""A receiver in a process of its own, for tests that kill or trace it: ``python server_process.py STORE_URL``.

Prints its port once it listens, and ends well at SIGTERM.
"""

import asyncio
import signal
import sys

import structlog

from tests.smtp.rig import find_mailbox, utc_now
from worker.settings import Smtp
from worker.smtp.server import Receiver
from worker.store.database import Database
from worker.store.keep import Keeper


async def serve(url: str) -> None:
    database = Database(url)
    database.check_durability()
    keeper = Keeper(database, batch_mails=50, batch_bytes=1 << 22, clock=utc_now, on_kept=lambda _: None)
    receiver = Receiver(
        Smtp(listen=("127.0.0.1:0",)),
        find_mailbox=find_mailbox,
        keeper=keeper,
        clock=utc_now,
        log=structlog.get_logger("test"),
    )
    ((_, port),) = await receiver.start()
    print(port, flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await receiver.stop()
    await asyncio.to_thread(keeper.stop)
    database.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
