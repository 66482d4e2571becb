"""The places that a rent roll names: by which id the destination knows each, or why it may not be used. Pure."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from parsers.directory import unit_key
from parsers.template import Unfilled, template
from worker.rentroll import ID, LOCATION, UNIT, LeftOut, Row
from worker.settings import Mailbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A unit as the destination knows it."""

    crm_unit_id: str
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further columns of the unit map."""


class Resolver:
    """Finds the places of one mailbox on one day of its site."""

    def __init__(self, mailbox: Mailbox, at: dt.datetime) -> None:
        self._mailbox = mailbox
        self._reader = mailbox.reader()
        self._on = at.astimezone(ZoneInfo(mailbox.timezone)).date()
        directory = self._reader.directory
        self._ids = {entry.crm_unit_id for entry in directory.entries} if directory else None
        self._sites = {unit_key(name) for name in (mailbox.location, *mailbox.location_names)}

    def place(self, row: Row) -> Place | LeftOut:
        """Return the place of a row; why it is left out where it is none of this mailbox."""
        if row.location and unit_key(row.location) not in self._sites:
            return self._left_out(row, LOCATION, f"of another site than {self._mailbox.location}")
        pattern = self._mailbox.unit_pattern
        if pattern and not re.fullmatch(pattern, row.unit):
            return self._left_out(row, UNIT, f"no unit of {self._mailbox.location} looks like that: {pattern}")
        place = self._resolve(row.unit)
        if place is None:
            return self._left_out(row, UNIT, f"{self._mailbox.unit_map} has no row for it on {self._on}")
        if row.crm_unit_id and row.crm_unit_id != place.crm_unit_id:
            return self._left_out(row, ID, f"the mailbox knows the unit as {place.crm_unit_id}")
        return place

    def _resolve(self, unit: str) -> Place | None:
        if self._reader.directory is not None:
            entry = self._reader.directory.resolve(unit, self._on)
            return Place(crm_unit_id=entry.crm_unit_id, columns=entry.columns) if entry else None
        try:
            names = {"location": self._mailbox.location, "unit": unit}
            return Place(crm_unit_id=template(self._mailbox.unit_id).fill(names))
        except Unfilled:
            return None

    def is_unknown(self, unit: str, crm_unit_id: str) -> str:
        """Return why a unit of ours is none of the site; empty: it is one, or nobody can tell."""
        advice = f"look at `gatepost why {crm_unit_id}`, undo what made it, and remove it there by hand"
        if self._ids is not None and crm_unit_id not in self._ids:
            return f"{self._mailbox.unit_map} does not know it: {advice}"
        pattern = self._mailbox.unit_pattern
        if pattern and not re.fullmatch(pattern, unit):
            return f"no unit of {self._mailbox.location} looks like that: {advice}"
        return ""

    @staticmethod
    def _left_out(row: Row, column: str, message: str) -> LeftOut:
        return LeftOut(line=row.line, unit=row.unit, column=column, message=message)
