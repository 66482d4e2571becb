"""The broker goes away while mail comes: how long a 250 takes meanwhile, and how soon all is applied afterwards."""

import datetime as dt
import smtplib
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import redis as redis_client
import sqlalchemy as sa

from bench.table import Figure, at_most
from tests.faults.tale import MAILBOX, move_in_mail
from tests.rigs import services
from tests.rigs.proxy import Proxy
from tests.rigs.services import wait_until
from tests.rigs.supervised import Supervised, listening_config, standin
from worker.settings import Sweep
from worker.store.database import Database
from worker.store.tables import events, mails

PER_SECOND = 10
CALM_S, OUT_S = 20.0, 10.0
SWEEPS = 2
"""So many sweep intervals after the broker is back all is applied."""
GROWTH = 1.1


@dataclass(slots=True)
class _Steady:
    """One connection that delivers mails at a steady rate, each of a unit of its own."""

    port: int
    phase: str = "warm"
    took_s: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    count: int = 0
    is_over: bool = False

    def run(self) -> None:
        began_s, now = time.perf_counter(), dt.datetime.now(dt.UTC)
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="pms.example.com", timeout=60) as client:
            client.ehlo()
            while not self.is_over:
                time.sleep(max(0.0, began_s + self.count / PER_SECOND - time.perf_counter()))
                client.mail("pms@sitelink.com")
                client.rcpt(MAILBOX)
                phase, before_s = self.phase, time.perf_counter()
                code, text = client.data(move_in_mail(self.count, now))
                assert code == 250, text
                self.took_s.setdefault(phase, []).append(time.perf_counter() - before_s)
                self.count += 1


def bench_outage(rounds: int) -> list[Figure]:
    """The Procfile on PostgreSQL and Redis behind a proxy; the broker is flushed, killed and black-holed in turn."""
    recovered: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="gatepost-bench-") as name,
        services.redis() as redis,
        services.postgres() as postgres,
        Proxy(redis.port) as proxy,
        standin(Path(name) / "far") as far,
    ):
        folder, store = Path(name) / "line", postgres.database("gatepost")
        broker = f"redis://127.0.0.1:{proxy.port}/0"
        _, ports = listening_config(folder, store=store, broker=broker, more=far.config())

        def flush() -> None:
            with redis_client.Redis(port=redis.port) as client:
                client.flushall()

        outages: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "flushed": (flush, flush),
            "killed": (redis.kill, redis.start),
            "black-holed": (proxy.swallow, proxy.forward),
        }
        db = Database(store)
        try:
            with Supervised(folder, folder / "gatepost.toml", ports=ports):
                steady = _Steady(ports["receiver"])
                thread = threading.Thread(target=steady.run, name="steady")
                thread.start()
                try:
                    time.sleep(5)
                    for _ in range(rounds):
                        for what, (begin, end) in outages.items():
                            steady.phase = "calm"
                            time.sleep(CALM_S)
                            begin()
                            steady.phase = "out"
                            time.sleep(OUT_S)
                            end()
                            steady.phase = "after"
                            recovered.setdefault(what, []).append(_recovery_s(db, dt.datetime.now(dt.UTC)))
                finally:
                    steady.is_over = True
                    thread.join()
        finally:
            db.close()
    return _figures(steady.took_s, recovered)


def _recovery_s(db: Database, back_at: dt.datetime) -> float:
    """Wait until all that came before is applied; return how long after the broker was back the last of it was."""
    before = events.c.received_at <= back_at
    unread = sa.select(mails.c.id).where(mails.c.state == "new", mails.c.received_at <= back_at).limit(1)
    waiting = sa.select(events.c.id).where(before, events.c.settled_at.is_(None)).limit(1)

    def is_done() -> bool:
        with db.read() as connection:
            return connection.execute(unread).first() is None and connection.execute(waiting).first() is None

    wait_until(is_done, seconds=120, what="all being applied")
    with db.read() as connection:
        last = connection.execute(sa.select(sa.func.max(events.c.settled_at)).where(before)).scalar_one()
    return max(0.0, (last - back_at).total_seconds())


def _figures(took_s: dict[str, list[float]], recovered: dict[str, list[float]]) -> list[Figure]:
    bar_s = SWEEPS * Sweep().every_s
    figures = [
        at_most(
            bar_s,
            what=f"all applied after Redis was {what}",
            value=max(found),
            unit="s",
            detail=f"{len(found)} times, median {median(found):.1f} s",
        )
        for what, found in recovered.items()
    ]
    calm, out = (quantiles(took_s[phase], n=100)[98] * 1000 for phase in ("calm", "out"))
    figures.append(
        at_most(
            GROWTH,
            what="p99 of a 250, broker out to calm",
            value=out / calm,
            detail=f"{out:.1f} ms of {len(took_s['out'])} to {calm:.1f} ms of {len(took_s['calm'])}",
        )
    )
    return figures
