"""Receiving, measured: ``python -m bench.smtp [--rounds N] [--only rate|sync|memory|parse]``.

Every figure is a ratio within this run, since machines differ; servers run in processes of their own, in turn, and the
median of the rounds is shown. Nothing is written outside temporary directories, nothing leaves the loopback.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from bench.memory import bench_memory
from bench.parse import bench_parse
from bench.run import MissingTool, measure_rate, need, serving
from bench.table import Figure, at_least, print_figures, print_head

RATE_MAILS = {False: 2000, True: 4000}
"""Mails of one run, by whether a connection carries many of them."""
RATE_BARS = {False: 1.5, True: 2.0}
SYNC_MAILS = {"grouped": 3000, "alone": 600}


def bench_rate(rounds: int) -> list[Figure]:
    """8 KB mails over 50 connections: ours, each on disk before its 250, to stock with a handler that does nothing."""
    figures: list[Figure] = []
    for many in (False, True):
        rates: dict[str, list[float]] = {"stock": [], "ours": []}
        for _ in range(rounds):
            for kind in ("stock", "ours"):
                with serving(kind) as server:
                    measure_rate(server, mails=200, many=many)  # warm
                    rates[kind].append(measure_rate(server, mails=RATE_MAILS[many], many=many))
        ours, stock = median(rates["ours"]), median(rates["stock"])
        figures.append(
            at_least(
                RATE_BARS[many],
                what=f"rate to stock aiosmtpd, {'many mails' if many else 'one mail'} a connection",
                value=ours / stock,
                detail=f"ours {ours:,.0f}/s {_spread(rates['ours'])}, stock {stock:,.0f}/s {_spread(rates['stock'])}",
            )
        )
    return figures


def bench_sync(rounds: int) -> list[Figure]:
    """What group commit gains when each sync takes 2 ms more: ours to ours with batches of one."""
    rates: dict[str, list[float]] = {"grouped": [], "alone": []}
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as directory:
        library = Path(directory) / "slow_fsync.so"
        source = Path(__file__).with_name("slow_fsync.c")
        subprocess.run(
            [need("cc", "gcc"), "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True
        )
        for _ in range(rounds):
            for way, options in (("grouped", ()), ("alone", ("batch_mails=1",))):
                with serving("ours", *options, preload=library) as server:
                    rates[way].append(measure_rate(server, mails=SYNC_MAILS[way], many=True))
    grouped, alone = median(rates["grouped"]), median(rates["alone"])
    return [
        at_least(
            5,
            what="group commit to one commit a mail, syncs 2 ms slower",
            value=grouped / alone,
            detail=f"{grouped:,.0f}/s to {alone:,.0f}/s",
        )
    ]


def _spread(rates: list[float]) -> str:
    return f"({min(rates):,.0f}-{max(rates):,.0f})"


BENCHES = {
    "rate": bench_rate,
    "sync": bench_sync,
    "memory": lambda rounds: bench_memory(min(rounds, 2)),
    "parse": lambda _: bench_parse(),
}


def main() -> int:
    """Run the benches that were asked for, and print their table."""
    arguments = argparse.ArgumentParser(description="Receiving, measured against its bars.")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", choices=sorted(BENCHES), action="append")
    chosen = arguments.parse_args()
    print_head()
    for name, bench in BENCHES.items():
        if chosen.only is None or name in chosen.only:
            try:
                print_figures(bench(chosen.rounds))
            except MissingTool as error:
                print(f"  {name}: skipped, {error}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
