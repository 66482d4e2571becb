"""Applying, measured: ``python -m bench.apply [--rounds N] [--only NAME] [--lanes N] [--million]``.

Every figure but the latencies is a ratio within this run, and the load of the machine is printed with them. The
destination is a process of its own (``bench/far.py``; for the latencies the stand-in of KISS). Nothing leaves the
loopback.
"""

import argparse
import contextlib
import datetime as dt
import os
import smtplib
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import sqlalchemy as sa

from bench.bare import send_bare
from bench.far import far_away
from bench.filled import NullDestination, cpu_of_mails, fill
from bench.lanes import LATENCY_S, WINDOW, Kept, drain_all, kiss_for, open_lanes
from bench.outage import bench_outage
from bench.table import Figure, at_least, at_most, below, print_figures, print_head
from tests.faults.tale import MAILBOX, move_in_mail
from tests.rigs import services
from tests.rigs.gatepost import Gatepost
from tests.rigs.services import wait_until
from tests.rigs.supervised import listening_config, standin
from worker.store import schema
from worker.store.database import Database
from worker.store.tables import events, mails

LANES = 2000
"""Units that are due, two calls each."""
TOKEN = "token-of-the-bench"
WINDOW_BAR, LOOPBACK_BAR, STORED_BAR = 0.75, 0.8, 1.15
PER_SECOND, FOR_S = 50, 10
PATIENCE_S = 300.0
P50_BAR_MS, P99_BAR_MS = 100, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What draining came to."""

    rate: float
    """Calls a second."""
    cpu_ms: float
    """Of our process, a call."""
    sent: list[Kept]
    is_in_order: bool
    """Whether the calls of each unit came in their order, each once."""


@contextlib.contextmanager
def _stores() -> Iterator[dict[str, Callable[[], str]]]:
    """Yield what makes the URL of an empty database, by kind."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-bench-")))
        made: list[str] = []

        def number() -> str:
            made.append("")
            return f"b{len(made)}"

        kinds: dict[str, Callable[[], str]] = {"SQLite": lambda: f"sqlite:///{folder / number()}.db"}
        try:
            server = stack.enter_context(services.postgres())
        except services.Missing as error:
            print(f"  PostgreSQL: skipped, {error} is missing")
        else:
            kinds["PostgreSQL"] = lambda: server.database(number())
        yield kinds


def _drained(url: str, lanes: int, delay_s: float = 0.0) -> Drained:
    """Drain many due units."""
    with far_away(delay_s) as far:
        db = Database(url)
        schema.upgrade(db)
        open_lanes(db, lanes)
        took_s, cpu_s, sent = drain_all(db, kiss_for(far.url, TOKEN))
        db.close()
        order: dict[str, list[str]] = defaultdict(list)
        came = far.requests()
        for method, path in came:
            order[path.split("/")[2]].append(method)
        is_kept = len(order) == lanes and all(methods == ["PUT", "PATCH"] for methods in order.values())
        return Drained(rate=len(came) / took_s, cpu_ms=1000 * cpu_s / len(came), sent=sent, is_in_order=is_kept)


def bench_window(rounds: int, *, lanes: int) -> list[Figure]:
    """Calls a second of one process at 50 ms a call, to what a window that is always full would send."""
    figures: list[Figure] = []
    with _stores() as kinds:
        for kind, new in kinds.items():
            found = [_drained(new(), lanes, LATENCY_S) for _ in range(rounds)]
            rate = median(one.rate for one in found)
            is_kept = all(one.is_in_order for one in found)
            figures.append(
                at_least(
                    WINDOW_BAR,
                    what=f"calls to window / latency, {kind}",
                    value=rate / (WINDOW / LATENCY_S),
                    detail=f"{rate:,.0f}/s of {WINDOW / LATENCY_S:,.0f}/s, {len(found[0].sent)} calls, "
                    f"{found[0].cpu_ms:.1f} ms CPU a call, order {'kept' if is_kept else 'BROKEN'}",
                )
            )
    return figures


def bench_loopback(rounds: int, *, lanes: int) -> list[Figure]:
    """Calls a second without delay, to a bare client that sends the same requests on as many connections."""
    figures: list[Figure] = []
    with _stores() as kinds:
        for kind, new in kinds.items():
            ours: list[float] = []
            bare: list[float] = []
            for _ in range(rounds):
                drained = _drained(new(), lanes)
                ours.append(drained.rate)
                with far_away() as far:
                    bare.append(send_bare(drained.sent, far.url, TOKEN, connections=WINDOW))
            figures.append(
                at_least(
                    LOOPBACK_BAR,
                    what=f"calls to a bare client, {kind}",
                    value=median(ours) / median(bare),
                    detail=f"{median(ours):,.0f}/s to {median(bare):,.0f}/s",
                )
            )
    return figures


def bench_stored(rounds: int, *, many: int) -> list[Figure]:
    """CPU of reading and applying a mail with many stored, to that with a thousand (SQLite, its own CPU included)."""
    found: dict[int, list[float]] = {1000: [], many: []}
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as name:
        stores: dict[int, Database] = {}
        for count in found:
            stores[count] = Database(f"sqlite:///{Path(name) / str(count)}.db")
            schema.upgrade(stores[count])
            fill(stores[count], count)
        for number in range(max(rounds, 3) + 1):
            for count, db in stores.items():
                cpu_s = cpu_of_mails(db, NullDestination(), first=1000 * number)
                if number:  # the first round warms
                    found[count].append(cpu_s)
        for db in stores.values():
            db.close()
    few_s, many_s = median(found[1000]), median(found[many])
    return [
        at_most(
            STORED_BAR,
            what=f"CPU a mail, {many:,} stored to 1,000",
            value=many_s / few_s,
            detail=f"{many_s * 1000:.2f} ms to {few_s * 1000:.2f} ms",
        )
    ]


def bench_latency(_rounds: int) -> list[Figure]:
    """From the 250 to the destination's answer, at a steady rate and after idle, through ``gatepost up``."""
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as name:
        folder = Path(name)
        with standin(folder / "far") as far:
            store = f"sqlite:///{folder / 'line' / 'gatepost.db'}"
            text, ports = listening_config(folder / "line", store=store, more=far.config())
            with Gatepost(folder / "line", text):
                _send_steadily(ports["receiver"], 50)  # warm
                _wait_for_rest(store)
                _send_steadily(ports["receiver"], PER_SECOND * FOR_S, first=1000)
                _wait_for_rest(store)
                for number in range(30):
                    _send_steadily(ports["receiver"], 1, first=5000 + number)
                    _wait_for_rest(store)
            db = Database(store)
            steady, idle = _latencies_ms(db, 1000, 5000), _latencies_ms(db, 5000, 9999)
            db.close()
    figures: list[Figure] = []
    for what, found in ((f"at {PER_SECOND} mails/s", steady), ("one mail after idle", idle)):
        cuts = quantiles(found, n=100)
        for label, value, bar in (("p50", cuts[49], P50_BAR_MS), ("p99", cuts[98], P99_BAR_MS)):
            detail = f"{len(found)} events"
            figures.append(below(bar, what=f"accept to applied {label}, {what}", value=value, unit="ms", detail=detail))
    return figures


def _send_steadily(port: int, count: int, first: int = 0) -> None:
    """Send so many mails, each of its own unit, at the steady rate over four connections."""
    began_s = time.perf_counter()
    now = dt.datetime.now(dt.UTC)

    def run(offset: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="pms.example.com", timeout=60) as client:
            client.ehlo()
            for number in range(offset, count, 4):
                time.sleep(max(0.0, began_s + number / PER_SECOND - time.perf_counter()))
                client.mail("pms@sitelink.com")
                client.rcpt(MAILBOX)
                code, text = client.data(move_in_mail(first + number, now))
                assert code == 250, text

    threads = [threading.Thread(target=run, args=(offset,)) for offset in range(min(4, count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _wait_for_rest(store: str) -> None:
    """Wait until every mail is read and every event applied."""
    db = Database(store)

    def is_at_rest() -> bool:
        with db.read() as connection:
            new = sa.select(mails.c.id).where(mails.c.state == "new").limit(1)
            open_events = sa.select(events.c.id).where(events.c.settled_at.is_(None)).limit(1)
            return not connection.execute(new).first() and not connection.execute(open_events).first()

    try:
        wait_until(is_at_rest, seconds=PATIENCE_S, what="all events being applied")
    finally:
        db.close()


def _latencies_ms(db: Database, first: int, end: int) -> list[float]:
    with db.read() as connection:
        rows = connection.execute(sa.select(events.c.unit, events.c.received_at, events.c.settled_at)).all()
    return [
        (row.settled_at - row.received_at).total_seconds() * 1000 for row in rows if first <= int(row.unit[1:]) < end
    ]


def main() -> int:
    """Run the benches that were asked for, and print their table."""
    arguments = argparse.ArgumentParser(description="Applying, measured against its bars.")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", choices=["window", "loopback", "stored", "latency", "outage"], action="append")
    arguments.add_argument("--lanes", type=int, default=LANES, help="units that are due, for window and loopback")
    arguments.add_argument("--million", action="store_true", help="stored: a million mails instead of 100,000")
    chosen = arguments.parse_args()
    many = 1_000_000 if chosen.million else 100_000
    benches: dict[str, Callable[[int], list[Figure]]] = {
        "window": lambda rounds: bench_window(rounds, lanes=chosen.lanes),
        "loopback": lambda rounds: bench_loopback(rounds, lanes=chosen.lanes),
        "stored": lambda rounds: bench_stored(rounds, many=many),
        "latency": bench_latency,
        "outage": bench_outage,
    }
    print_head()
    for name, bench in benches.items():
        if chosen.only is None or name in chosen.only:
            print_figures(bench(chosen.rounds))
            print(f"  load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
