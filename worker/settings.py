"""The settings: every section and key of the configuration, its default and its check.

``docs/configuration.md`` lists them; ``worker/configuration.py`` reads them from files and the environment.
"""

import datetime as dt
import ipaddress
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from parsers.directory import Directory, MapErrors
from parsers.mailbox import Mailbox as ReadingMailbox
from worker import directory
from worker.sections import (
    ConfigError,
    Endpoint,
    Section,
    Span,
    Zone,
    join_endpoint,
    length_of,
    nearest,
    split_endpoint,
)
from worker.signing import check_webhook_url

__all__ = ["ConfigError", "Settings", "join_endpoint", "nearest", "split_endpoint"]

WITHOUT_MAPS = "without_maps"
"""Set in the context of a check that is to leave the unit maps alone: for the commands that mend them."""


HookEvent = Literal["mail.held", "event.applied", "event.rejected", "issue.opened", "mailbox.silent"]


class Store(Section):
    """Where everything is kept."""

    url: str = Field(default="sqlite:///.gatepost/gatepost.db", pattern=r"^(sqlite:///|postgres(ql)?(\+psycopg)?://)")
    pool_size: int = Field(default=8, ge=1, le=200)


class Queue(Section):
    """The doorbell."""

    broker: str = Field(default="memory://", pattern=r"^(memory|rediss?|amqps?)://")
    concurrency: int = Field(default=2, ge=1, le=256)
    stalled_s: float = Field(default=120.0, gt=0)  # a message may wait so long while no child works


class Smtp(Section):
    """The receiver."""

    listen: tuple[Endpoint, ...] = ("127.0.0.1:8025",)
    hostname: str = Field(default="localhost", pattern=r"^[!-~]+$")
    max_message_bytes: int = Field(default=26_214_400, ge=1024)
    max_recipients: int = Field(default=100, ge=1)
    max_connections: int = Field(default=1000, ge=1)
    max_errors: int = Field(default=20, ge=1)  # of one session, before it is told goodbye
    max_idle_commands: int = Field(default=100, ge=1)  # EHLO, RSET, NOOP and the like, since the last message
    max_line_bytes: int = Field(default=2048, ge=512)  # of one command, its CRLF included
    idle_timeout_s: float = Field(default=300.0, gt=0)
    data_timeout_s: float = Field(default=600.0, gt=0)  # for one whole message
    min_bytes_per_s: int = Field(default=100, ge=1)  # of a message, after its first half minute
    bytes_in_flight: int = Field(default=1_073_741_824, ge=1024)  # of all messages under way; over it 452
    memory_bytes: int = Field(default=1_048_576, ge=1024)  # a body above it goes to a temporary file
    spool_dir: Path | None = None  # where that file is; not set: the system's own
    batch_mails: int = Field(default=200, ge=1)
    batch_bytes: int = Field(default=4_194_304, ge=1)
    drain_s: float = Field(default=15.0, gt=0)  # how long a stop waits for messages under way


class Web(Section):
    """The web port: health, metrics, local units."""

    listen: Endpoint = "127.0.0.1:8080"


class Health(Section):
    """Health of the processes that have no web port; empty: none."""

    listen: Endpoint | Literal[""] = ""
    oldest_due_s: float = Field(default=300.0, gt=0)


class Rules(Section):
    """Where rule packs are."""

    paths: tuple[Path, ...] = ()
    publish: Literal["manual", "on_save"] = "manual"


class Units(Section):
    """The local units at /api/v2."""

    requests_per_minute: int = Field(default=0, ge=0)


class Sweep(Section):
    """The sweeper."""

    every_s: float = Field(default=2.0, gt=0)
    ring_again_s: float = Field(default=30.0, gt=0)
    clock_skew_s: float = Field(default=900.0, gt=0)  # an event further in the future is held `clock`
    unknown_unit_s: float = Field(default=259_200.0, gt=0)  # how long an event waits for its unit
    max_tries: int = Field(default=20, ge=1)


class Retention(Section):
    """How many days what is kept stays; 0: for ever. What a person or the machine still has to act on always stays."""

    raw_days: int = Field(default=90, ge=0)  # the bytes of mails that were read
    discarded_days: int = Field(default=30, ge=0)  # bytes and reading of mails that a person discarded
    readings_days: int = Field(default=400, ge=0)  # how mails were read
    records_days: int = Field(default=400, ge=0)  # calls, attempts, changes of events, webhooks, replays, rent rolls
    audit_days: int = Field(default=1100, ge=0)


class Guards(Section):
    """What holds events that look wrong by their number."""

    surge: bool = False
    surge_factor: float = Field(default=3.0, gt=1)  # so many times the busiest like day
    surge_least: int = Field(default=20, ge=1)  # fewer in a day are never a surge
    flips: float = Field(default=0.2, gt=0, le=1)  # share of a report's units that may change occupancy or lockout
    flips_least: int = Field(default=10, ge=1)  # a report of fewer units is never held for it
    probation: int | None = Field(default=None, ge=0)  # not set: see `Settings.guards_in_force`; 0: none


class Trust(Section):
    """One way to prove a sender; all keys of one entry must hold."""

    network: str | None = None
    dkim: str | None = None
    forwarder: str | None = None
    login: str | None = None
    for_packs: tuple[str, ...] = Field(default=(), alias="for")
    allow: tuple[Literal["move_in", "move_out", "patch", "snapshot"], ...] = ()

    @field_validator("network")
    @classmethod
    def _is_network(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ipaddress.ip_network(value)
            except ValueError as error:
                raise ValueError(f"`{value}` is not a network; write one like 192.0.2.0/24") from error
        return value

    @model_validator(mode="after")
    def _says_something(self) -> "Trust":
        if not (self.network or self.dkim or self.forwarder or self.login):
            raise ValueError("names no proof; give network, dkim, forwarder or login")
        return self


PROBATION = 5
"""So many first events of a changed rule wait for a person where sets are published by hand, unless a number is set."""

LOOPBACK = (Trust(network="127.0.0.0/8"), Trust(network="::1/128"))


class PackUse(Section):
    """A pack that a mailbox reads, perhaps only until or from a date."""

    name: str
    from_on: dt.date | None = Field(default=None, alias="from")
    until: dt.date | None = None

    def holds(self, day: dt.date) -> bool:
        """Say whether the mailbox reads the pack on a day; both ends belong to it."""
        return (self.from_on is None or self.from_on <= day) and (self.until is None or day <= self.until)


class Mailbox(Section):
    """An address that mail is accepted for."""

    address: str
    location: str
    location_names: tuple[str, ...] = ()
    company: str = "default"
    timezone: Zone = "America/Chicago"
    destination: str = "local"
    mode: Literal["observe", "review", "apply"] = "apply"
    pms: tuple[PackUse, ...] = ()
    unit_id: str = "{{ location }}-{{ unit }}"
    unit_map: Path | None = None  # where it is set, it alone says the ids
    unit_pattern: str | None = None
    trust: tuple[Trust, ...] = ()
    silent_after: Span | None = None  # how long no mail may come before an issue says so

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        local, _, domain = value.partition("@")
        if not local or not domain or not value.isascii() or re.search(r"\s", value):
            raise ValueError(f"`{value}` is not an address; write one like main-st@in.example.com")
        return value.lower()

    @field_validator("pms", mode="before")
    @classmethod
    def _names_are_packs(cls, value: Any) -> Any:
        items = [value] if isinstance(value, str | Mapping) else value
        return [{"name": item} if isinstance(item, str) else item for item in items]

    @field_validator("unit_pattern")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"`{value}` is not a pattern: {error}") from error
        return value

    @model_validator(mode="after")
    def _template_is_sound(self) -> "Mailbox":
        self._reader(None)
        return self

    def reader(self) -> ReadingMailbox:
        """Return what the parsers need to know of a mailbox, with the units of its map as they are now."""
        return self._reader(directory.directory_of(self))

    def _reader(self, units: Directory | None) -> ReadingMailbox:
        return ReadingMailbox(
            address=self.address,
            company=self.company,
            location=self.location,
            timezone=self.timezone,
            unit_id=self.unit_id,
            unit_pattern=self.unit_pattern,
            location_names=self.location_names,
            directory=units,
        )

    @property
    def packs(self) -> tuple[str, ...]:
        return tuple(use.name for use in self.pms)


class Destination(Section):
    """Where calls go."""

    kind: Literal["local", "kiss", "http"]
    api: str = ""  # of http: the name of a shipped file, or the path of one's own
    profile: Literal["kiss-v2", "kiss-ulid", "kiss-ulid-2"] = "kiss-v2"
    base_url: str = ""
    token_env: str | None = None
    token_file: Path | None = None
    client_id_env: str | None = None
    client_secret_env: str | None = None
    client_secret_file: Path | None = None
    ignore_unknown_fields: bool = False  # what it does not take is dropped and recorded, not refused
    requests_per_minute: int | None = Field(default=None, ge=0)  # not set: what the API's file says; 0: no limit
    new_units: Literal["issue", "expected"] = "issue"  # whether a unit that a move-in made there opens an issue
    window: int = Field(default=16, ge=1, le=256)
    timeout_s: float = Field(default=3.0, gt=0, le=3.3)  # a third of the unit's lease, at most

    @model_validator(mode="after")
    def _is_whole(self) -> "Destination":
        if self.kind == "kiss":
            if self.base_url and not self.base_url.startswith(("http://", "https://")):
                raise ValueError("base_url must begin with http:// or https://; without one it is that of the profile")
            if (self.token_env is None) == (self.token_file is None):
                raise ValueError("a kiss destination needs one of token_env and token_file")
        elif self.kind == "http":
            self._check_http()
        return self

    def _check_http(self) -> None:
        if not self.api:
            raise ValueError('an http destination needs api = "propexo", another shipped name, or a path of your own')
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError('an http destination needs base_url = "https://..."')
        tokens = sum(value is not None for value in (self.token_env, self.token_file))
        secrets = sum(value is not None for value in (self.client_secret_env, self.client_secret_file))
        if (tokens, secrets, self.client_id_env is None) not in ((1, 0, True), (0, 1, False)):
            raise ValueError(
                "an http destination needs one of token_env and token_file; or, for OAuth2, client_id_env and one of "
                "client_secret_env and client_secret_file"
            )


class Webhook(Section):
    """An endpoint that is told what happens."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    url: str = Field(pattern=r"^https?://[!-~]+$")
    events: tuple[HookEvent, ...] = Field(min_length=1)
    secret_env: str | None = None
    secret_file: Path | None = None
    allow_http: bool = False  # http to another host than this one
    timeout_s: float = Field(default=5.0, gt=0, le=10)
    give_up_s: float = Field(default=259_200.0, gt=0)  # how old a delivery may become

    @model_validator(mode="after")
    def _is_whole(self) -> "Webhook":
        if (self.secret_env is None) == (self.secret_file is None):
            raise ValueError("a webhook needs one of secret_env and secret_file")
        check_webhook_url(self.url, allow_http=self.allow_http)
        return self


class Reconcile(Section):
    """A mailbox whose rent rolls are compared by themselves."""

    mailbox: str
    every: Span = "24h"

    @property
    def interval(self) -> dt.timedelta:
        return length_of(self.every)


class Settings(Section):
    """The whole configuration, checked."""

    store: Store = Store()
    queue: Queue = Queue()
    smtp: Smtp = Smtp()
    web: Web = Web()
    health: Health = Health()
    rules: Rules = Rules()
    units: Units = Units()
    sweep: Sweep = Sweep()
    guards: Guards = Guards()
    retention: Retention = Retention()
    mailbox: tuple[Mailbox, ...] = ()
    destination: dict[str, Destination] = Field(default_factory=lambda: {"local": Destination(kind="local")})
    webhook: tuple[Webhook, ...] = ()
    reconcile: tuple[Reconcile, ...] = ()

    @field_validator("destination", mode="after")
    @classmethod
    def _local_is_always_there(cls, value: dict[str, Destination]) -> dict[str, Destination]:
        return {"local": Destination(kind="local"), **value}

    @model_validator(mode="after")
    def _names_hang_together(self, info: ValidationInfo) -> "Settings":
        seen: set[str] = set()
        for mailbox in self.mailbox:
            if mailbox.address in seen:
                raise ValueError(f"mailbox {mailbox.address} is there twice")
            seen.add(mailbox.address)
            if mailbox.destination not in self.destination:
                known = ", ".join(sorted(self.destination))
                raise ValueError(
                    f"mailbox {mailbox.address} names the destination `{mailbox.destination}`"
                    f"{nearest(mailbox.destination, self.destination)}; known: {known}"
                )
        for wish in self.reconcile:
            if wish.mailbox.lower() not in seen:
                near = nearest(wish.mailbox.lower(), sorted(seen))
                raise ValueError(f"reconcile names no mailbox: `{wish.mailbox}`{near}")
        names = [webhook.name for webhook in self.webhook]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"webhook {twice} is there twice")
        if not (info.context or {}).get(WITHOUT_MAPS):
            self._check_unit_ids()
        return self

    def _check_unit_ids(self) -> None:
        """Refuse broken unit maps, and two mailboxes of which one could take the other's ids at one destination."""
        try:
            directory.check(self.mailbox)
        except MapErrors as errors:
            raise ValueError(str(errors)) from errors

    @property
    def guards_in_force(self) -> Guards:
        """Return the guards with the number that probation has: a store that publishes on save is a workbench."""
        if self.guards.probation is not None:
            return self.guards
        number = PROBATION if self.rules.publish == "manual" else 0
        return self.guards.model_copy(update={"probation": number})

    @cached_property
    def mailboxes(self) -> dict[str, Mailbox]:
        """Return the mailboxes by their address, in lower case."""
        return {mailbox.address: mailbox for mailbox in self.mailbox}

    @property
    def uses_local_units(self) -> bool:
        return any(destination.kind == "local" for destination in self.destination.values())
