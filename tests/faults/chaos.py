"""Chaos: kills, stops and outages, drawn by a seeded generator, while mails are delivered."""

import contextlib
import datetime as dt
import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import redis as redis_client
import sqlalchemy as sa

from tests.faults.senders import Senders
from tests.rigs.proxy import Proxy
from tests.rigs.services import Postgres, Redis, wait_until
from tests.rigs.supervised import Supervised, SupervisedUp
from worker.store.database import Database
from worker.store.lanes import LEASE_S
from worker.store.tables import lanes
from worker.turn import DEADLINE_S

DURING = 10
"""Mails that are acknowledged while the broker is out, before it comes back."""


@dataclass(slots=True, kw_only=True)
class Outage:
    """Something that was done to the line."""

    what: str
    began_at: dt.datetime
    ended_at: dt.datetime
    recovered_at: dt.datetime | None = None
    """When every mail that was acknowledged until its end had been read."""


class Chaos(threading.Thread):
    """Does one act after another, each once so many mails have been acknowledged."""

    def __init__(self, acts: Mapping[str, Callable[[], None]], senders: Senders, *, kills: int, sent: int) -> None:
        super().__init__(name="chaos")
        chance = random.Random(7)
        names = list(acts)
        chance.shuffle(names)
        chosen = [*names, *chance.choices(names, k=max(0, kills - len(names)))][:kills]
        # The senders keep step with the acts, so that mail comes during each of them.
        self._plan = [(sent * (number + 1) // (kills + 1), name) for number, name in enumerate(chosen)]
        senders.limit = self._plan[0][0]
        self._acts = acts
        self._senders = senders
        self.outages: list[Outage] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Go through the plan; what goes wrong is kept for the test."""
        try:
            limits = [*(after for after, _ in self._plan[1:]), float("inf")]
            for (after, name), limit in zip(self._plan, limits, strict=True):
                wait_until(
                    lambda after=after: self._senders.count >= after or not self._senders.are_sending,
                    seconds=600,
                    what=f"{after} mails being acknowledged",
                )
                began_at = _now()
                self._senders.going_on, self._senders.limit = name, limit
                self._acts[name]()
                self._senders.going_on = "calm"
                self.outages.append(Outage(what=name, began_at=began_at, ended_at=_now()))
        except BaseException as error:  # noqa: BLE001  the thread's edge: the test raises it
            self.error = error
            self._senders.limit = float("inf")


def acts_on_up(up: SupervisedUp) -> dict[str, Callable[[], None]]:
    """Return what is done to ``gatepost up``: there is nothing but the process."""
    return {"kill up": lambda: up.kill("up")}


def acts_on_procfile(
    processes: Supervised, senders: Senders, db: Database, *, redis: Redis, proxy: Proxy, postgres: Postgres
) -> dict[str, Callable[[], None]]:
    """Return what is done to the Procfile's processes and their services."""
    kills = {f"kill {name}": lambda name=name: processes.kill(name) for name in processes.names}

    def until_mails_came() -> None:
        """Wait until mails were taken meanwhile, or none is left to be sent."""
        before = senders.count

        def came() -> bool:
            return senders.count >= before + DURING or senders.are_held or not senders.are_sending

        wait_until(came, seconds=120, what="mail taken")

    def kill_child() -> None:
        for pid in processes.children("worker")[:1]:
            os.kill(pid, signal.SIGKILL)

    def stop_child() -> None:
        """Let a pool child stand still for longer than its leases, and those who wait for them, allow."""
        wait_until(lambda: len(processes.children("worker")) > 0, seconds=60, what="the pool")
        pid = processes.children("worker")[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            stopped_at = _now()
            over = dt.timedelta(seconds=LEASE_S + DEADLINE_S + 1)
            wait_until(
                lambda: _now() > stopped_at + over and _no_lease_before(db, stopped_at),
                seconds=600,  # those who take over have a queue before them
                what="its leases taken over",
            )
        finally:
            with contextlib.suppress(ProcessLookupError):  # the pool ends a child that stands still for too long
                os.kill(pid, signal.SIGCONT)

    def flush() -> None:
        client = redis_client.Redis(port=redis.port)
        client.flushall()
        client.close()

    def kill_redis() -> None:
        redis.kill()
        until_mails_came()
        redis.start()

    def swallow() -> None:
        proxy.swallow()
        until_mails_came()
        proxy.forward()

    def restart_postgres() -> None:
        postgres.stop(signal.SIGINT)
        postgres.start()

    def crash_postgres() -> None:
        postgres.stop(signal.SIGQUIT)
        postgres.start()

    return {
        **kills,
        "kill a pool child": kill_child,
        "stop a pool child": stop_child,
        "redis flushed": flush,
        "redis killed": kill_redis,
        "redis black-holed": swallow,
        "postgres restarted": restart_postgres,
        "postgres crashed": crash_postgres,
    }


BROKER_OUT = ("redis killed", "redis black-holed")


def _no_lease_before(db: Database, at: dt.datetime) -> bool:
    """Say whether no lane is still leased since before an instant."""
    with db.read() as connection:
        until = sa.select(sa.func.min(lanes.c.lease_until))
        first = connection.execute(until).scalar()
    return first is None or first > at


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
