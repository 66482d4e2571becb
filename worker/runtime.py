"""One process's working parts, put together from the settings: store, rules, units, destinations, steps.

Made per process, after fork or spawn, never at import.
"""

import datetime as dt
import os
import socket
import threading
from collections.abc import Callable, Sequence
from functools import cached_property

import celery

from parsers import RuleError, RuleSet
from worker import directory, log, metrics, retention
from worker.backtest import Backtest
from worker.calls import Destination, Manners
from worker.catalogue import check_capabilities, manners_of, missing_packs, requests_per_minute, secret_reader
from worker.columns import find_unknown
from worker.configuration import load_settings
from worker.deliver import Deliver
from worker.drain import Drain, Patience
from worker.flows import Flows
from worker.hooks import Hooks
from worker.ingest import Ingest
from worker.notices import MACHINE
from worker.queue import Doorbell, make_app
from worker.reconcile import Reconciles
from worker.renew import Renewals
from worker.replay import Replays
from worker.rulebook import RuleBook
from worker.settings import Destination as DestinationSettings
from worker.settings import Mailbox, Settings
from worker.silence import Silence
from worker.store.bodies import sweep_orphan_chunks
from worker.store.database import Database
from worker.store.keep import Keeper
from worker.store.lanes import LaneKey
from worker.store.mails import NewMail, Verdict
from worker.survey import Survey
from worker.sweep import Sweep
from worker.units.store import LocalUnits
from worker.verdict import judge_mail

Clock = Callable[[], dt.datetime]

EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LONGEST = dt.timedelta(days=36_500)
"""What a span that goes back before any mail is cut to."""
TIDY_EVERY = dt.timedelta(hours=1)
PURGE_ROUNDS = 4
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
        self._map_digests: dict[str, str | None] = {}
        self._tidied_at = self._purged_at = dt.datetime.min.replace(tzinfo=dt.UTC)
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    @cached_property
    def db(self) -> Database:
        return Database(self.settings.store.url, pool_size=self.settings.store.pool_size)

    @cached_property
    def rulebook(self) -> RuleBook:
        return RuleBook(
            self.db,
            self.settings.rules.paths,
            clock=self.clock,
            check=self._unknown_names,
            probation=lambda: self.settings.guards_in_force.probation or 0,
        )

    def _unknown_names(self, rules: RuleSet) -> list[RuleError]:
        return find_unknown(rules, directory.column_readers(self.settings.mailbox))

    def check(self, settings: Settings) -> None:
        """Hold a configuration against the live rules. A pack that is not there is told: its mails will be held.

        Raises:
            ConfigError, RuleErrors: a destination does not take what its mailboxes make, or its file is broken.
        """
        rules = self.rules()
        check_capabilities(settings, rules)
        for line in missing_packs(settings, rules):
            log.trouble(event="pack_missing", error=line)

    def reload(self, settings: Settings) -> None:
        """Go on with other settings: mailboxes, packs, destinations. Ports and the store stay as they are."""
        if "units" in self.__dict__:
            self._ensure_locations(self.units, settings)
        before, self.settings = self.settings, settings
        if "destinations" in self.__dict__:
            for name, chosen in settings.destination.items():
                if before.destination.get(name) != chosen:
                    self.destinations[name] = self._destination(name, chosen)

    @cached_property
    def units(self) -> LocalUnits:
        units = LocalUnits(self.db, clock=self.clock)
        self._ensure_locations(units, self.settings)
        return units

    def _ensure_locations(self, units: LocalUnits, settings: Settings) -> None:
        for mailbox in settings.mailbox:
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
        if chosen.kind == "http":
            from worker.catalogue import http_destination

            return http_destination(name, chosen, clock=self.clock, map_file=lambda site: self._map_file(name, site))
        from worker.destinations.kiss import KissDestination
        from worker.destinations.profiles import PROFILES

        return KissDestination(
            name=name,
            base_url=chosen.base_url,
            token=secret_reader(name, chosen.token_env, chosen.token_file),
            window=chosen.window,
            timeout_s=chosen.timeout_s,
            profile=PROFILES[chosen.profile],
            clock=self.clock,
        )

    def _map_file(self, destination: str, location: str) -> str:
        """Return the unit map that says the ids of a location at a destination; empty when there is none."""
        boxes = [box for box in self.settings.mailbox if (box.destination, box.location) == (destination, location)]
        return next((str(box.unit_map) for box in boxes if box.unit_map is not None), "")

    @cached_property
    def _ingest(self) -> Ingest:
        return Ingest(
            self.db,
            mailboxes=self.mailboxes,
            rules=self.rules,
            clock=self.clock,
            clock_skew_s=self.settings.sweep.clock_skew_s,
            guards=lambda: self.settings.guards_in_force,
            on_read=log.read,
            on_told=self.hooks.tell,
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
            per_minute=self.per_minute,
            expects_new_units=self._expects_new_units,
            on_applied=metrics.ACCEPT_TO_APPLIED.observe,
            on_trouble=_note_trouble,
            on_told=self.hooks.tell,
            on_wake=self.doorbell.ring_lanes,
            is_stopping=self._stopping.is_set,
        )

    def per_minute(self, name: str) -> int:
        """Return how many calls may leave for a destination in a minute, over all workers; 0: no limit."""
        chosen = self.settings.destination.get(name)
        return 0 if chosen is None else requests_per_minute(chosen)

    def _expects_new_units(self, name: str) -> bool:
        chosen = self.settings.destination.get(name)
        return chosen is None or chosen.kind == "local" or chosen.new_units == "expected"

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
            per_minute=self.per_minute,
        )

    @cached_property
    def hooks(self) -> Hooks:
        """What stores the webhooks to send, with what they tell of."""
        return Hooks(endpoints=lambda: self.settings.webhook, clock=self.clock, on_trouble=log.trouble)

    @cached_property
    def deliver(self) -> Deliver:
        """What sends the webhooks."""
        return Deliver(
            self.db,
            webhooks=lambda: self.settings.webhook,
            hooks=self.hooks,
            clock=self.clock,
            on_trouble=log.trouble,
        )

    @cached_property
    def keeper(self) -> Keeper:
        """The one hand of this process that writes new mails, by SMTP or by the operator API."""
        return Keeper(
            self.db,
            batch_mails=self.settings.smtp.batch_mails,
            batch_bytes=self.settings.smtp.batch_bytes,
            clock=self.clock,
            on_kept=self._ring_kept,
            observe_batch=metrics.batch_kept,
            on_trouble=log.trouble,
        )

    def _ring_kept(self, ids: Sequence[str]) -> None:
        log.kept(list(ids))
        self.doorbell.ring_mails(ids)

    @cached_property
    def _silence(self) -> Silence:
        return Silence(
            self.db,
            mailboxes=lambda: self.settings.mailboxes,
            clock=self.clock,
            on_told=self.hooks.tell,
            on_trouble=log.trouble,
        )

    @cached_property
    def _survey(self) -> Survey:
        return Survey(
            self.db,
            mailboxes=lambda: self.settings.mailboxes,
            clock=self.clock,
            on_told=self.hooks.tell,
            on_trouble=log.trouble,
        )

    @cached_property
    def _flows(self) -> Flows:
        return Flows(
            self.db,
            mailboxes=lambda: self.settings.mailboxes,
            rules=self.rules,
            clock=self.clock,
            on_told=self.hooks.tell,
            on_trouble=log.trouble,
        )

    @cached_property
    def _renewals(self) -> Renewals:
        return Renewals(
            self.db, destinations=lambda: self.settings.destination, clock=self.clock, on_trouble=log.trouble
        )

    @cached_property
    def replays(self) -> Replays:
        return Replays(
            self.db,
            judge=self._judge,
            rules=self.rules,
            manners=self.manners,
            clock=self.clock,
            on_trouble=log.trouble,
        )

    @cached_property
    def reconciles(self) -> Reconciles:
        return Reconciles(
            self.db,
            destinations=self.destinations,
            drain=lambda: self._drain,
            manners=self.manners,
            clock=self.clock,
            by=self.name,
            guards=lambda: self.settings.guards_in_force,
            expects_new_units=self._expects_new_units,
            on_told=self.hooks.tell,
            on_trouble=log.trouble,
        )

    def _compare_rent_rolls(self) -> None:
        """Compare the rent rolls that have come by mail, where that is wished."""
        if not self.settings.reconcile:
            return
        boxes = self.mailboxes()
        wishes = [(boxes[wish.mailbox.lower()], wish.interval) for wish in self.settings.reconcile]
        self.reconciles.compare_due(wishes)

    def backtest(self, draft: RuleSet, since: dt.timedelta) -> Backtest:
        """Return the comparison of some rules with the live ones over the mails of the last while."""
        start = max(EARLIEST, self.clock() - min(since, LONGEST))
        return Backtest(self.db, judge=self._judge, live=self.rules(), draft=draft, since=start)

    def _judge(self, mail: NewMail, rules: RuleSet) -> Verdict:
        skew = dt.timedelta(seconds=self.settings.sweep.clock_skew_s)
        return judge_mail(mail, self.mailboxes().get(mail.mailbox), rules, skew=skew)

    def manners(self, name: str) -> Manners:
        """Return what a destination takes; of one that is configured no more, what KISS takes."""
        chosen = self.settings.destination.get(name)
        return manners_of(chosen) if chosen is not None else Manners()

    def mailboxes(self) -> dict[str, Mailbox]:
        """Return the mailboxes by address, after a look at whether a unit map has changed."""
        directory.refresh(self.settings.mailbox)
        return self.settings.mailboxes

    def rules(self) -> RuleSet:
        """Return the live rule set."""
        return self.rulebook.current()

    def ingest(self, mail_ids: Sequence[str]) -> None:
        """Read mails and ring for the units that they touch."""
        keys = self._ingest.ingest(mail_ids)
        if keys:
            self.replays.look_for_units(keys)
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
            self.deliver.abandon()
            self.reconciles.abandon_lost()
            sweep_orphan_chunks(self.db, self._tidied_at - ORPHAN_AGE, since=self._tidied_at - 30 * ORPHAN_AGE)
        self._read_again_where_maps_changed()
        self.replays.carry_on()
        self._compare_rent_rolls()
        self._silence.look()
        self._flows.look(self._survey.look())
        self._renewals.look()
        mails, lanes = self._sweep.sweep()
        if mails or lanes:
            log.swept(mails=mails, lanes=lanes)
        if self.clock() - self._purged_at > TIDY_EVERY:
            self._purge()

    def _purge(self) -> None:
        """Let go of what is past its time, a bounded piece; what is left goes with the next sweep."""
        now = self.clock()
        gone = retention.purge(
            self.db, self.settings.retention, actor=MACHINE, now=now, manners=self.manners, rounds=PURGE_ROUNDS
        )
        if max(gone.values()) < PURGE_ROUNDS * retention.BATCH:
            self._purged_at = now

    def _read_again_where_maps_changed(self) -> None:
        """Replay the mails whose units a changed unit map may know by now."""
        for address, mailbox in self.mailboxes().items():
            digest = directory.digest_of(mailbox)
            before = self._map_digests.setdefault(address, digest)
            if digest == before:
                continue
            self._map_digests[address] = digest
            mail_ids = self.replays.mails_without_unit(address)
            if mail_ids:
                self.replays.start_for(mail_ids, f"mailbox:{address}", reason="its unit map changed")

    def prepare(self) -> None:
        """Make what tasks need, once, before several threads ask for it."""
        _ = self.units, self.destinations, self.doorbell, self._ingest, self._drain, self._sweep

    def stop(self) -> None:
        """Begin nothing more: what is under way ends, the rest stays due."""
        self._stopping.set()

    def close(self) -> None:
        """Close what was opened."""
        if "keeper" in self.__dict__:
            self.keeper.stop()
        if "deliver" in self.__dict__:
            self.deliver.close()
        if "_drain" in self.__dict__:
            self._drain.close()
        if "destinations" in self.__dict__:
            for destination in self.destinations.values():
                destination.close()
        if "db" in self.__dict__:
            self.db.close()


def _note_trouble(**fields: object) -> None:
    metrics.CALLS.labels(event=str(fields.get("event"))).inc()
    log.trouble(**fields)  # pyright: ignore[reportArgumentType]


_of_process: Runtime | None = None
_making = threading.Lock()


def runtime_if_made() -> Runtime | None:
    """Return the runtime of a spawned worker child; None while it has had nothing to do."""
    with _making:
        return _of_process


def runtime_of_process() -> Runtime:
    """Return the runtime of a spawned worker child, made from ``GATEPOST_CONFIG`` on first use."""
    global _of_process
    with _making:
        if _of_process is None:
            _of_process = Runtime(load_settings())
        return _of_process
