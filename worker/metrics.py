"""The figures at ``/metrics``: histograms of this process, and counts read from the store when asked."""

import datetime as dt
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.store import counts
from worker.store.database import Database

BATCH_MAILS = Histogram("gatepost_commit_batch_mails", "Mails in one commit.", buckets=(1, 2, 5, 10, 20, 50, 100, 200))
BATCH_SECONDS = Histogram("gatepost_commit_seconds", "How long one commit took.")
ACCEPT_TO_APPLIED = Histogram(
    "gatepost_accept_to_applied_seconds",
    "From the 250 to the destination's confirmation.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
CALLS = Counter("gatepost_call_trouble_total", "Calls that were not applied, by outcome.", ["event"])
RINGS_FAILED = Counter("gatepost_rings_failed_total", "Times that the queue could not be told.")


def batch_kept(mails: int, _size_bytes: int, seconds: float) -> None:
    """Note one group commit."""
    BATCH_MAILS.observe(mails)
    BATCH_SECONDS.observe(seconds)


class StoreCollector(Collector):
    """Reads the store's counts at each scrape."""

    def __init__(self, db: Database, clock: Callable[[], dt.datetime]) -> None:
        self._db = db
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield mails and events by state and the age of the oldest due row."""
        with self._db.read() as connection:
            states = {name: counts.by_state(connection, name) for name in ("mails", "events")}
            oldest = counts.oldest_due_s(connection, now=self._clock())
        for name, found in states.items():
            gauge = GaugeMetricFamily(f"gatepost_{name}", f"{name.capitalize()} by state.", labels=["state"])
            for state, count in sorted(found.items()):
                gauge.add_metric([state], count)
            yield gauge
        yield GaugeMetricFamily("gatepost_oldest_due_seconds", "Age of the oldest row that is due.", value=oldest)


def exposition(db: Database, clock: Callable[[], dt.datetime]) -> bytes:
    """Return the text that Prometheus scrapes: this process's own figures and the store's."""
    registry = CollectorRegistry()
    registry.register(StoreCollector(db, clock))
    return generate_latest(own_figures()) + generate_latest(registry)


def own_figures() -> CollectorRegistry:
    """Return the histograms of this process, or of all the worker's children where they share a folder."""
    import os

    from prometheus_client import REGISTRY, multiprocess

    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    shared = CollectorRegistry()
    multiprocess.MultiProcessCollector(shared)
    return shared
