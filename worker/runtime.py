"""One process's working parts, put together from the settings: store, rules, units, destinations, steps.

Made per process, after fork or spawn, never at import.
"""

import datetime as dt
import os
import socket
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import celery

from parsers import RuleSet
from worker import log, metrics
from worker.calls import Destination
from worker.configuration import load_settings
from worker.drain import Drain, Patience
from worker.ingest import Ingest
from worker.queue import Doorbell, make_app
from worker.rulebook import RuleBook
from worker.settings import Destination as DestinationSettings
from worker.settings import Settings
from worker.store.bodies import sweep_orphan_chunks
from worker.store.database import Database
from worker.store.lanes import LaneKey
from worker.sweep import Sweep
from worker.units.store import LocalUnits

Clock = Callable[[], dt.datetime]

TIDY_EVERY = dt.timedelta(hours=1)
ORPHAN_AGE = dt.timedelta(days=1)
"""When the pieces of a body that was never finished are surely nobody's."""


def utc_now() -> dt.datetime:
    """Return the time; the one clock of production."""
    return dt.datetime.now(dt.UTC)


class Runtime:
    """The parts of one process. Each is made when it is first asked for."""

    def __init__(self, settings: Settings, *, clock: Clock = utc_now) -> None:
        self.settings = settings
        self.clock = clock
        self._stopping = threading.Event()
        self._tidied_at = dt.datetime.min.replace(tzinfo=dt.UTC)
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    @cached_property
    def db(self) -> Database:
        return Database(self.settings.store.url, pool_size=self.settings.store.pool_size)

    @cached_property
    def rulebook(self) -> RuleBook:
        return RuleBook(self.db, self.settings.rules.paths, clock=self.clock)

    def reload(self, settings: Settings) -> None:
        """Go on with other settings: mailboxes, packs, destinations. Ports and the store stay as they are."""
        before, self.settings = self.settings, settings
        if "units" in self.__dict__:
            self._ensure_locations(self.units)
        if "destinations" in self.__dict__:
            for name, chosen in settings.destination.items():
                if before.destination.get(name) != chosen:
                    self.destinations[name] = self._destination(name, chosen)

    @cached_property
    def units(self) -> LocalUnits:
        units = LocalUnits(self.db, clock=self.clock)
        self._ensure_locations(units)
        return units

    def _ensure_locations(self, units: LocalUnits) -> None:
        for mailbox in self.settings.mailbox:
            units.ensure_location(mailbox.location, timezone=mailbox.timezone)

    @cached_property
    def celery(self) -> celery.Celery:
        return make_app(self.settings)

    @cached_property
    def doorbell(self) -> Doorbell:
        return Doorbell(self.celery)

    @cached_property
    def destinations(self) -> dict[str, Destination]:
        return {name: self._destination(name, chosen) for name, chosen in self.settings.destination.items()}

    def _destination(self, name: str, chosen: DestinationSettings) -> Destination:
        if chosen.kind == "local":
            from worker.destinations.local import LocalDestination

            return LocalDestination(name=name, units=self.units, clock=self.clock, window=1)
        from worker.destinations.kiss import KissDestination
        from worker.destinations.profiles import PROFILES

        return KissDestination(
            name=name,
            base_url=chosen.base_url,
            token=token_reader(name, chosen),
            window=chosen.window,
            timeout_s=chosen.timeout_s,
            profile=PROFILES[chosen.profile],
            clock=self.clock,
        )

    @cached_property
    def _ingest(self) -> Ingest:
        return Ingest(
            self.db,
            mailboxes=lambda: self.settings.mailboxes,
            rules=self.rules,
            clock=self.clock,
            clock_skew_s=self.settings.sweep.clock_skew_s,
            on_read=log.read,
            on_trouble=log.trouble,
            is_stopping=self._stopping.is_set,
        )

    @cached_property
    def _drain(self) -> Drain:
        return Drain(
            self.db,
            self.destinations,
            clock=self.clock,
            by=self.name,
            patience=Patience(
                max_tries=self.settings.sweep.max_tries, unknown_unit_s=self.settings.sweep.unknown_unit_s
            ),
            on_applied=metrics.ACCEPT_TO_APPLIED.observe,
            on_trouble=_note_trouble,
            is_stopping=self._stopping.is_set,
        )

    @cached_property
    def _sweep(self) -> Sweep:
        return Sweep(
            self.db,
            clock=self.clock,
            ring_mails=self.doorbell.ring_mails,
            ring_lanes=self.doorbell.ring_lanes,
            queue_length=self.doorbell.length,
            every_s=self.settings.sweep.every_s,
            ring_again_s=self.settings.sweep.ring_again_s,
        )

    def rules(self) -> RuleSet:
        """Return the live rule set."""
        return self.rulebook.current()

    def ingest(self, mail_ids: Sequence[str]) -> None:
        """Read mails and ring for the units that they touch."""
        keys = self._ingest.ingest(mail_ids)
        if keys:
            self.doorbell.ring_lanes(keys)

    def drain(self, keys: Sequence[LaneKey]) -> None:
        """Bring units to what their events want."""
        self._drain.drain(keys)

    def sweep(self) -> None:
        """Ring for all that is due; publish saved rules where that is configured."""
        if self.settings.rules.publish == "on_save":
            self.rulebook.publish_saved()
        if self.clock() - self._tidied_at > TIDY_EVERY:
            self._tidied_at = self.clock()
            sweep_orphan_chunks(self.db, self._tidied_at - ORPHAN_AGE, since=self._tidied_at - 30 * ORPHAN_AGE)
        mails, lanes = self._sweep.sweep()
        if mails or lanes:
            log.swept(mails=mails, lanes=lanes)

    def prepare(self) -> None:
        """Make what tasks need, once, before several threads ask for it."""
        _ = self.units, self.destinations, self.doorbell, self._ingest, self._drain, self._sweep

    def stop(self) -> None:
        """Begin nothing more: what is under way ends, the rest stays due."""
        self._stopping.set()

    def close(self) -> None:
        """Close what was opened."""
        if "destinations" in self.__dict__:
            for destination in self.destinations.values():
                destination.close()
        if "db" in self.__dict__:
            self.db.close()


def token_reader(name: str, chosen: DestinationSettings) -> Callable[[], str]:
    """Return the function that reads a destination's token, anew each time; empty when there is none."""

    def read() -> str:
        if chosen.token_env is not None:
            token = os.environ.get(chosen.token_env, "")
            where = f"environment variable {chosen.token_env}"
        else:
            path = chosen.token_file or Path()
            token = path.read_text("utf-8").strip() if path.is_file() else ""
            where = f"file {path}"
        if not token:
            log.trouble(event="token_missing", destination=name, where=where)
        return token

    return read


def _note_trouble(**fields: object) -> None:
    metrics.CALLS.labels(event=str(fields.get("event"))).inc()
    log.trouble(**fields)  # pyright: ignore[reportArgumentType]


_of_process: Runtime | None = None
_making = threading.Lock()


def runtime_of_process() -> Runtime:
    """Return the runtime of a spawned worker child, made from ``GATEPOST_CONFIG`` on first use."""
    global _of_process
    with _making:
        if _of_process is None:
            log.configure()
            _of_process = Runtime(load_settings())
        return _of_process
