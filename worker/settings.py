"""The settings: every section and key of the configuration, its default and its check.

``docs/configuration.md`` lists them; ``worker/configuration.py`` reads them from files and the environment.

Errors:
    ConfigError(Exception)   says file, key, what is wrong, and the nearest known name
"""

import datetime as dt
import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from parsers.mailbox import Mailbox as ReadingMailbox
from parsers.template import template


class ConfigError(Exception):
    """The configuration cannot be used; the message says where and what to do."""


def nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean `{close[0]}`?)" if close else ""


def join_endpoint(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"`{name}` is not a time zone; write one like America/Chicago") from error
    return name


def _endpoint(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"`{text}` is not host:port; write one like 127.0.0.1:8025, port 0 for any free one")
    return text


Zone = Annotated[str, AfterValidator(_zone)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]


def split_endpoint(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port``; brackets of an IPv6 address are taken off."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Store(Section):
    """Where everything is kept."""

    url: str = Field(default="sqlite:///.gatepost/gatepost.db", pattern=r"^(sqlite:///|postgres(ql)?(\+psycopg)?://)")
    pool_size: int = Field(default=8, ge=1, le=200)


class Queue(Section):
    """The doorbell."""

    broker: str = Field(default="memory://", pattern=r"^(memory|rediss?|amqps?)://")
    concurrency: int = Field(default=2, ge=1, le=256)


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
    unit_pattern: str | None = None
    trust: tuple[Trust, ...] = ()

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
        self.reader()
        return self

    def reader(self) -> ReadingMailbox:
        """Return what the parsers need to know of a mailbox."""
        return ReadingMailbox(
            address=self.address,
            company=self.company,
            location=self.location,
            timezone=self.timezone,
            unit_id=self.unit_id,
            unit_pattern=self.unit_pattern,
            location_names=self.location_names,
        )

    @property
    def packs(self) -> tuple[str, ...]:
        return tuple(use.name for use in self.pms)


class Destination(Section):
    """Where calls go."""

    kind: Literal["local", "kiss"]
    profile: Literal["kiss-v2"] = "kiss-v2"
    base_url: str = ""
    token_env: str | None = None
    token_file: Path | None = None
    window: int = Field(default=16, ge=1, le=256)
    timeout_s: float = Field(default=3.0, gt=0, le=3.3)  # a third of the unit's lease, at most

    @model_validator(mode="after")
    def _is_whole(self) -> "Destination":
        if self.kind == "kiss":
            if not self.base_url.startswith(("http://", "https://")):
                raise ValueError('a kiss destination needs base_url = "https://..."')
            if (self.token_env is None) == (self.token_file is None):
                raise ValueError("a kiss destination needs one of token_env and token_file")
        return self


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
    mailbox: tuple[Mailbox, ...] = ()
    destination: dict[str, Destination] = {"local": Destination(kind="local")}

    @field_validator("destination", mode="after")
    @classmethod
    def _local_is_always_there(cls, value: dict[str, Destination]) -> dict[str, Destination]:
        return {"local": Destination(kind="local"), **value}

    @model_validator(mode="after")
    def _names_hang_together(self) -> "Settings":
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
        self._check_unit_ids()
        return self

    def _check_unit_ids(self) -> None:
        """Refuse two sites whose units could take each other's ids at one destination."""
        makers: dict[tuple[str, str], Mailbox] = {}
        for mailbox in self.mailbox:
            unit_id = template(mailbox.unit_id).fill({"location": mailbox.location, "unit": "UNIT"})
            shape = (mailbox.destination, unit_id)
            other = makers.setdefault(shape, mailbox)
            if (other.company, other.location) != (mailbox.company, mailbox.location):
                raise ValueError(
                    f"mailboxes {other.address} and {mailbox.address} can make the same unit id at "
                    f"{mailbox.destination}; put the location into unit_id"
                )

    @cached_property
    def mailboxes(self) -> dict[str, Mailbox]:
        """Return the mailboxes by their address, in lower case."""
        return {mailbox.address: mailbox for mailbox in self.mailbox}

    @property
    def uses_local_units(self) -> bool:
        return any(destination.kind == "local" for destination in self.destination.values())
