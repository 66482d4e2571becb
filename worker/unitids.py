"""Which ids mailboxes can make of units, and whether two of different units can be one. Pure.

A mailbox makes ids by its unit map, else by its template. Two units with one id at one destination would open and close
each other's gates.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from parsers.directory import Directory, Entry, unit_key
from parsers.template import template

_UNIT = "zqxunitxqz"
"""A unit that no site has: where it shows in a filled template, a unit's name stands."""
_PLAIN = re.compile(r"\{\{ *unit *\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMaker:
    """A mailbox, as far as it makes ids."""

    address: str
    company: str
    location: str
    destination: str
    unit_id: str
    unit_pattern: str | None = None
    directory: Directory | None = None

    @property
    def site(self) -> tuple[str, str]:
        """Return whose units these are."""
        return (self.company, self.location)


class _Mapped(NamedTuple):
    """One row of a map, and the mailbox that reads it."""

    maker: IdMaker
    entry: Entry

    @property
    def unit(self) -> tuple[str, str, str]:
        """Return which unit this is, of all units."""
        return (*self.maker.site, unit_key(self.entry.unit))

    @property
    def file(self) -> str:
        """Return the map that the row stands in."""
        return self.maker.directory.file if self.maker.directory else ""

    @property
    def where(self) -> str:
        """Return the place of the row."""
        return f"{self.file}:{self.entry.line}"


def find_clash(makers: Iterable[IdMaker]) -> str | None:
    """Return what is wrong when two mailboxes can make one id of two units; None when none can."""
    by_destination: dict[str, list[IdMaker]] = {}
    for maker in makers:
        by_destination.setdefault(maker.destination, []).append(maker)
    for destination, group in by_destination.items():
        templates = [maker for maker in group if maker.directory is None]
        mapped = _by_id(maker for maker in group if maker.directory is not None)
        for clash in (*_templates(templates), *_maps(mapped), *_across(templates, mapped)):
            return f"{clash} at {destination}"
    return None


def _templates(makers: Sequence[IdMaker]) -> Iterator[str]:
    """Yield what two templates have in common."""
    seen: dict[str, IdMaker] = {}
    for maker in makers:
        shape = template(maker.unit_id).fill({"location": maker.location, "unit": "UNIT"})
        other = seen.setdefault(shape, maker)
        if other.site != maker.site:
            yield (
                f"mailboxes {other.address} and {maker.address} can make the same unit id "
                "(put the location into unit_id)"
            )


def _by_id(makers: Iterable[IdMaker]) -> dict[str, list[_Mapped]]:
    """Return the rows of all maps by id; two mailboxes of one site that read one map count once."""
    found: dict[str, list[_Mapped]] = {}
    seen: set[tuple[str, str, str]] = set()
    for maker in makers:
        assert maker.directory is not None  # noqa: S101
        read = (*maker.site, maker.directory.file)
        if read not in seen:
            seen.add(read)
            for rows in maker.directory.units.values():
                for entry in rows:
                    found.setdefault(entry.crm_unit_id, []).append(_Mapped(maker, entry))
    return found


def _maps(mapped: Mapping[str, Sequence[_Mapped]]) -> Iterator[str]:
    """Yield the ids that two maps give two units for the same days."""
    for crm_unit_id, rows in mapped.items():
        if len({(row.maker.site, row.file) for row in rows}) == 1:
            continue  # within one map the map itself sees to it
        for place, row in enumerate(rows):
            other = next((one for one in rows[:place] if one.unit != row.unit and one.entry.overlaps(row.entry)), None)
            if other is not None:
                why = f"{other.where} has it, too, for the same days"
                yield (
                    f"{row.where}: mailboxes {other.maker.address} and {row.maker.address} can make the same unit id "
                    f"`{crm_unit_id}` ({why if other.file != row.file else 'give the map a column `location`'})"
                )


def _across(makers: Sequence[IdMaker], mapped: Mapping[str, Sequence[_Mapped]]) -> Iterator[str]:
    """Yield the ids of maps that the template of a mailbox without a map gives another unit."""
    ids = sorted(mapped)
    for maker in makers:
        text = template(maker.unit_id).fill({"location": maker.location, "unit": _UNIT})
        head, *rest = re.split(_UNIT, text, flags=re.IGNORECASE)
        tail = rest[-1] if rest else ""
        pattern = maker.unit_pattern if _PLAIN.search(maker.unit_id) else None  # what a filter made fits no pattern
        for place in range(bisect_left(ids, head), len(ids)):
            crm_unit_id = ids[place]
            if not crm_unit_id.startswith(head):
                break
            unit = crm_unit_id[len(head) : len(crm_unit_id) - len(tail)]
            fits = crm_unit_id.endswith(tail) and unit if rest else crm_unit_id == head
            if not fits or (pattern and not re.fullmatch(pattern, unit)):
                continue
            for row in mapped[crm_unit_id]:
                if row.unit != (*maker.site, unit_key(unit)):
                    yield (
                        f"{row.where}: mailboxes {maker.address} and {row.maker.address} can make the same unit id "
                        f"`{crm_unit_id}` (give {maker.address} a unit_pattern or a unit map)"
                    )
