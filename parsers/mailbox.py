"""A mailbox, as far as reading its mail needs it: place, zone, and how a unit's name becomes its id."""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from parsers.template import template

if TYPE_CHECKING:
    from parsers.directory import Directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """An address that mail is accepted for."""

    address: str
    company: str
    location: str
    timezone: str = "America/Chicago"
    unit_id: str = "{{ location }}-{{ unit }}"
    """Template of the id by which the destination knows a unit; names `location` and `unit`."""
    unit_pattern: str | None = None
    """What a unit of this site looks like; others are for the guards to hold, not for the parser."""
    location_names: tuple[str, ...] = ()
    directory: "Directory | None" = None
    """The site's units by its unit map, which alone says their ids then; None without a map."""

    def __post_init__(self) -> None:
        """Raise ValueError for a zone or a `unit_id` template that is none."""
        template(self.unit_id)
        try:
            _zone(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"unknown time zone `{self.timezone}`") from error

    @property
    def zone(self) -> ZoneInfo:
        """Return the facility's time zone."""
        return _zone(self.timezone)

    def local(self, moment: dt.datetime) -> dt.datetime:
        """Return a moment on the facility's clock; a naive one is taken to be on it already."""
        return moment.replace(tzinfo=self.zone) if moment.tzinfo is None else moment.astimezone(self.zone)


_zone = lru_cache(maxsize=128)(ZoneInfo)
