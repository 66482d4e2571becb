"""Real processes under kills, stops and outages: every acknowledged mail takes effect once, in its order.

``GATEPOST_TEST_MAILS`` and ``GATEPOST_TEST_KILLS`` make it longer: `make faults`.
"""

import contextlib
import datetime as dt
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.faults.chaos import BROKER_OUT, Chaos, Outage, acts_on_procfile, acts_on_up
from tests.faults.judge import Verdict, differing, judge
from tests.faults.senders import Senders
from tests.faults.tale import Tale, deliveries
from tests.faults.watch import Watch
from tests.rigs import services
from tests.rigs.gatepost import Gatepost, run
from tests.rigs.proxy import Proxy
from tests.rigs.services import wait_until
from tests.rigs.supervised import StandIn, Supervised, SupervisedUp, listening_config, standin
from worker.store import counts
from worker.store.database import Database
from worker.store.tables import events

pytestmark = [pytest.mark.xdist_group("processes")]

MAILS = int(os.environ.get("GATEPOST_TEST_MAILS", "150"))
LONGEST_WAIT_S = 450
"""Between two tries of a unit, of which many failed in a row: ``Patience.longest_wait_s`` and half of it."""
KILLS = int(os.environ.get("GATEPOST_TEST_KILLS", "11"))
CONNECTIONS = 4
SEED = 11
MISBEHAVES = (
    *("--drop", "5%", "--fail", "500:3%", "--fail", "503:3%", "--fail", "429:1%", "--fail", "409:2%"),
    *("--delay", "5ms", "--seed", "5"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A line that mails can be sent to, its store, and what can be done to it."""

    folder: Path
    """Where its ``gatepost.toml`` is."""
    db: Database
    senders: Senders
    acts: dict[str, Callable[[], None]]
    far: StandIn


def _tell(name: str, stage: Stage, verdict: Verdict, outages: list[Outage], watch: Watch) -> None:
    done = stage.senders.done
    print(f"\n{name}: {len(done.mails)} mails acknowledged ({done.again} sendings again), {verdict.mails} stored,")
    print(f"  {verdict.events} events, {verdict.writes} writes with effect; the stand-in did {dict(verdict.faults)}")
    print(f"  lost {len(verdict.lost)}, missing {len(verdict.missing)}, double {len(verdict.double)},", end=" ")
    print(f"differs {len(verdict.differs)}, stepped back {len(verdict.stepped_back)}; ", end="")
    print(f"{verdict.repeated} written anew after an unknown outcome")
    print(f"  conservation: {len(watch.breaches)} breaches in {watch.samples} samples, {watch.missed} while out")
    took: dict[str, list[float]] = {}
    for outage in outages:
        if outage.recovered_at:
            took.setdefault(outage.what, []).append((outage.recovered_at - outage.ended_at).total_seconds())
    for what, seconds in sorted(took.items()):
        print(f"  {what}: {len(seconds)} times, all read within {max(seconds):.1f} s (median {_median(seconds):.1f})")
    calm = done.latencies_s.get("calm", [])
    out = [took_s for what in BROKER_OUT for took_s in done.latencies_s.get(what, [])]
    for what, found in (("calm", calm), ("broker out", out)):
        if len(found) > 1:
            print(f"  accept, {what}: {_tail(found)} of {len(found)}")


def _median(found: list[float]) -> float:
    return statistics.median(found)


def _tail(found: list[float]) -> str:
    cuts = statistics.quantiles(found, n=100)
    return f"p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms"


@contextlib.contextmanager
def _on_procfile(tmp_path: Path, tale: Tale, numbers: list[int]) -> Iterator[Stage]:
    """The Procfile's processes on Redis behind a proxy and PostgreSQL."""
    with contextlib.ExitStack() as stack:
        far = stack.enter_context(standin(tmp_path / "far", *MISBEHAVES))
        redis, postgres = stack.enter_context(services.redis()), stack.enter_context(services.postgres())
        proxy = stack.enter_context(Proxy(redis.port))
        store = postgres.database("gatepost")
        folder = tmp_path / "line"
        broker = f"redis://127.0.0.1:{proxy.port}/0"
        _, ports = listening_config(folder, store=store, broker=broker, more=far.config())
        processes = stack.enter_context(Supervised(folder, folder / "gatepost.toml", ports=ports))
        db = Database(store)
        stack.callback(db.close)
        senders = Senders(tale.mails, numbers, port=ports["receiver"], connections=CONNECTIONS)
        stack.callback(senders.stop)
        acts = acts_on_procfile(processes, senders, db, redis=redis, proxy=proxy, postgres=postgres)
        yield Stage(folder=folder, db=db, senders=senders, acts=acts, far=far)


@contextlib.contextmanager
def _on_up(tmp_path: Path, tale: Tale, numbers: list[int]) -> Iterator[Stage]:
    """``gatepost up`` on SQLite."""
    with contextlib.ExitStack() as stack:
        far = stack.enter_context(standin(tmp_path / "far", *MISBEHAVES))
        folder = tmp_path / "line"
        store = f"sqlite:///{folder / 'gatepost.db'}"
        text, ports = listening_config(folder, store=store, more=far.config())
        up = stack.enter_context(Gatepost(folder, text))
        db = Database(store)
        stack.callback(db.close)
        senders = Senders(tale.mails, numbers, port=ports["receiver"], connections=CONNECTIONS)
        stack.callback(senders.stop)
        yield Stage(folder=folder, db=db, senders=senders, acts=acts_on_up(SupervisedUp(up)), far=far)


@pytest.mark.parametrize("kind", ["up", pytest.param("procfile", marks=pytest.mark.service)])
def test_every_mail_takes_effect_once_and_in_order(kind: str, tmp_path: Path) -> None:
    """Whatever is killed, stopped or cut off: nothing lost, nothing double, each unit as its mails say in order."""
    tale = Tale(mails=MAILS, seed=SEED, now=dt.datetime.now(dt.UTC))
    numbers = deliveries(tale, seed=SEED)
    patience_s = 120 + MAILS / 5
    with _stage(kind, tmp_path, tale, numbers) as stage:
        kills = KILLS if kind == "procfile" else max(2, KILLS // 4)
        chaos = Chaos(stage.acts, stage.senders, kills=kills, sent=len(numbers))
        watch = Watch(stage.db, acknowledged=lambda: stage.senders.count, outages=lambda: chaos.outages)
        watch.start()
        try:
            stage.senders.start()
            chaos.start()
            stage.senders.join(patience_s)
            chaos.join(patience_s)
            _settle(stage, tale, patience_s + LONGEST_WAIT_S)
        finally:
            stage.senders.stop()
            chaos.join(60)
            watch.stop()
        verdict = judge(tale, stage.senders.done.mails, stage.far.shown(), stage.db)
        _tell(kind, stage, verdict, chaos.outages, watch)
    if chaos.error is not None:
        raise chaos.error
    assert verdict.bad == {}
    assert watch.breaches == []
    assert watch.samples > 0
    assert len(stage.senders.done.mails) == len(numbers)
    assert len(chaos.outages) == kills
    assert verdict.faults


def _stage(kind: str, tmp_path: Path, tale: Tale, numbers: list[int]) -> contextlib.AbstractContextManager[Stage]:
    if kind == "up":
        return _on_up(tmp_path, tale, numbers)
    if os.environ.get("CI") != "true":
        try:
            services.Postgres().remove()
        except services.Missing as error:
            pytest.skip(f"{error} is missing: `make deps` installs it")
    return _on_procfile(tmp_path, tale, numbers)


def _release(stage: Stage, ids: Sequence[int]) -> None:
    config = str(stage.folder / "gatepost.toml")
    why = ("--reason", "the destination takes them again")
    done = run("--config", config, "events", "release", *map(str, ids), *why, "--go", cwd=stage.folder)
    assert done.returncode == 0, done.stderr.decode()
    print(f"  released {len(ids)} events that were refused")


def _settle(stage: Stage, tale: Tale, seconds: float) -> None:
    """Wait until nothing is left to do; what is then not as it should be is the judge's to say.

    What the destination refused for good with a 409, of either kind, is tried once more meanwhile, as an operator does.
    """

    def is_done() -> bool:
        with stage.db.read() as connection:
            busy = counts.busy(connection, now=dt.datetime.now(dt.UTC))
            moving = sa.select(sa.func.count()).where(events.c.state.in_(["waiting", "uncertain"]))
            is_refused = sa.or_(events.c.state == "rejected", events.c.reason == "tries_exhausted")
            refused = sa.select(events.c.id).where(is_refused).order_by(events.c.id).limit(200)
            if any(busy.values()):
                return False
            ids = connection.execute(refused).scalars().all()
            are_waiting = connection.execute(moving).scalar_one() > 0
        if ids:  # what waits may wait for these: facts of a unit whose move-in was refused
            _release(stage, ids)
        return not ids and not are_waiting and not differing(tale, stage.far.shown()["units"])

    with contextlib.suppress(TimeoutError):
        wait_until(is_done, seconds=seconds, what="the line coming to rest")
