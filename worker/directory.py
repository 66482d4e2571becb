"""The unit maps that mailboxes name: read and checked, kept by each process, and read again when a file has changed.

A changed file that is broken, or that gives one id to two units, is told in the log, and the last good one stays.

Errors:
    parsers.MapErrors(ParserError)   a map that does not load: a line for each fault
    ClashingIds(ValueError)          two mailboxes can make one id of two units
"""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from parsers.directory import Directory, MapErrors, MapFault, UnitMap, read_unit_map
from worker.columns import Reader
from worker.unitids import IdMaker, find_clash

LOOK_EVERY_S = 2.0
MAX_BYTES = 32 * 1024 * 1024


class ClashingIds(ValueError):
    """Two mailboxes can make one id of two units; the message says which and what to do."""


class MappedMailbox(Protocol):
    """A mailbox of the settings, as far as maps are concerned."""

    @property
    def address(self) -> str: ...
    @property
    def company(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def destination(self) -> str: ...
    @property
    def unit_id(self) -> str: ...
    @property
    def unit_pattern(self) -> str | None: ...
    @property
    def unit_map(self) -> Path | None: ...
    @property
    def packs(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Stamp:
    """What shows that a file is another one; all zero: it is not there."""

    modified_ns: int = 0
    size_bytes: int = 0
    number: int = 0

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """Return the stamp of a file as it is now."""
        try:
            found = path.stat()
        except OSError:
            return cls()
        return cls(found.st_mtime_ns, found.st_size, found.st_ino)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMap:
    """The last good map of a file."""

    path: Path
    stamp: Stamp
    """Of the file when it was looked at last, good or not."""
    digest: str
    """Of the bytes that the map was read from."""
    units: UnitMap
    fault: str | None = None
    """What is wrong with the file as it is now; None: it is this map."""


def read_map(path: Path, raw: bytes | None = None) -> KeptMap:
    """Return the map in a file, or in the bytes that it will hold; raise MapErrors with the line of every fault."""
    stamp = Stamp.of(path)
    raw = read_map_bytes(path) if raw is None else raw
    digest = hashlib.sha256(raw).hexdigest()
    return KeptMap(path=path, stamp=stamp, digest=digest, units=read_unit_map(decode_map(raw, path), file=str(path)))


def read_map_bytes(path: Path) -> bytes:
    """Return the bytes of a map; raise MapErrors where they cannot be had."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MapErrors([MapFault(file=str(path), line=1, message=f"larger than {MAX_BYTES >> 20} MiB")])
        return path.read_bytes()
    except OSError as error:
        why = f"cannot be read: {error.strerror}; draft one with `gatepost units map build`"
        raise MapErrors([MapFault(file=str(path), line=1, message=why)]) from error


def decode_map(raw: bytes, path: Path) -> str:
    """Return the text of a map, with its byte order mark if it has one; raise MapErrors where it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise MapErrors([MapFault(file=str(path), line=line, message="not UTF-8: save it as CSV UTF-8")]) from error


class UnitMaps:
    """The maps that one process knows. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Path, KeptMap] = {}
        self._lock = threading.Lock()
        self._looked_at = float("-inf")

    def check(self, mailboxes: Sequence[MappedMailbox]) -> None:
        """Look at the files of all mailboxes now; raise MapErrors where there is no good map to go on with."""
        with self._lock:
            self._settle(mailboxes, self._look(mailboxes))

    def refresh(self, mailboxes: Sequence[MappedMailbox]) -> None:
        """Look at the files again, at most every two seconds; a file that cannot be used is told in the log."""
        if self._clock() - self._looked_at < LOOK_EVERY_S or not self._lock.acquire(blocking=False):
            return
        try:
            found = self._look(mailboxes)
            if any(kept is not self._kept.get(path) for path, kept in found.items()):
                self._settle(mailboxes, found)
        finally:
            self._lock.release()

    def of(self, path: Path) -> KeptMap:
        """Return the map in force for a file; raise MapErrors when it was never good."""
        kept = self._kept.get(path)
        if kept is None:
            kept = self._kept[path] = read_map(path)
        return kept

    def _look(self, mailboxes: Sequence[MappedMailbox]) -> dict[Path, KeptMap]:
        """Return the map of each file: the one on disk where it is good, else the kept one."""
        self._looked_at = self._clock()
        faults: list[MapFault] = []
        found: dict[Path, KeptMap] = {}
        for path in dict.fromkeys(mailbox.unit_map for mailbox in mailboxes if mailbox.unit_map):
            try:
                found[path] = self._read(path)
            except MapErrors as errors:
                faults += errors.faults
        if faults:
            raise MapErrors(faults)
        return found

    def _read(self, path: Path) -> KeptMap:
        """Return the map of a file as it is now, or the kept one where that is broken."""
        kept = self._kept.get(path)
        if kept is None:
            return read_map(path)
        stamp = Stamp.of(path)
        if stamp == kept.stamp:
            return kept
        try:
            fresh = read_map(path)
        except MapErrors as errors:
            return _refused(kept, stamp, str(errors))
        return fresh if Stamp.of(path) == stamp else kept  # it is being written: the next look will do

    def _settle(self, mailboxes: Sequence[MappedMailbox], found: dict[Path, KeptMap]) -> None:
        """Put maps in force, unless an id would be that of two units."""
        changed = [path for path, kept in found.items() if path in self._kept and kept.digest != self._digest(path)]
        clash = find_clash(makers_of(mailboxes, found))
        if clash and changed:
            back = {path: _refused(self._kept[path], found[path].stamp, clash) for path in changed}
            found, changed = {**found, **back}, []
            clash = find_clash(makers_of(mailboxes, found))
        if clash:
            raise ClashingIds(clash)
        self._kept.update(found)
        for path in changed:
            _tell_read(found[path])

    def _digest(self, path: Path) -> str:
        return self._kept[path].digest


def makers_of(mailboxes: Iterable[MappedMailbox], maps: dict[Path, KeptMap]) -> list[IdMaker]:
    """Return how each mailbox makes ids, by the given maps."""
    return [
        IdMaker(
            address=mailbox.address,
            company=mailbox.company,
            location=mailbox.location,
            destination=mailbox.destination,
            unit_id=mailbox.unit_id,
            unit_pattern=mailbox.unit_pattern,
            directory=maps[mailbox.unit_map].units.of(mailbox.location) if mailbox.unit_map else None,
        )
        for mailbox in mailboxes
    ]


def _refused(kept: KeptMap, stamp: Stamp, fault: str) -> KeptMap:
    """Tell that a changed file is refused, and return the kept map with the fault."""
    from worker import log

    log.trouble(event="unit_map_refused", file=str(kept.path), errors=fault)
    return replace(kept, stamp=stamp, fault=fault)


def _tell_read(kept: KeptMap) -> None:
    from worker import log

    sites = kept.units.sites.values()
    log.lines().info("unit_map_read", file=str(kept.path), units=sum(len(site.units) for site in sites))


_of_process = UnitMaps()
"""The maps of this process. Empty at first; each is read when a configuration that names it is checked."""


def check(mailboxes: Sequence[MappedMailbox]) -> None:
    """Look at all maps of a configuration now.

    Raises:
        MapErrors: a map that was never good in this process cannot be used; file and line of every fault.
        ClashingIds: two mailboxes can make one id of two units.
    """
    _of_process.check(mailboxes)


def check_changed(mailboxes: Sequence[MappedMailbox], path: Path, raw: bytes) -> None:
    """Refuse what a map is to become, where it or the ids that it gives would be refused later.

    Maps that cannot be read are left out: they are told when the configuration is checked.

    Raises:
        MapErrors: the map would be broken.
        ClashingIds: two mailboxes could make one id of two units.
    """
    maps = {path: read_map(path, raw)}
    for other in dict.fromkeys(mailbox.unit_map for mailbox in mailboxes if mailbox.unit_map):
        if other != path:
            with contextlib.suppress(MapErrors):
                maps[other] = read_map(other)
    clash = find_clash(makers_of([box for box in mailboxes if box.unit_map is None or box.unit_map in maps], maps))
    if clash:
        raise ClashingIds(clash)


def refresh(mailboxes: Sequence[MappedMailbox]) -> None:
    """Take up maps that have changed, looking at most every two seconds."""
    _of_process.refresh(mailboxes)


def directory_of(mailbox: MappedMailbox) -> Directory | None:
    """Return the units of a mailbox's site by the map in force; None where it has no map."""
    return _of_process.of(mailbox.unit_map).units.of(mailbox.location) if mailbox.unit_map else None


def column_readers(mailboxes: Iterable[MappedMailbox]) -> list[Reader]:
    """Return what the templates of each mailbox's packs may name beside their fields."""
    found = [(mailbox, directory_of(mailbox)) for mailbox in mailboxes]
    return [
        Reader(address=mailbox.address, packs=mailbox.packs, columns=units.columns if units else ())
        for mailbox, units in found
    ]


def digest_of(mailbox: MappedMailbox) -> str | None:
    """Return the digest of the map in force; None where the mailbox has no map.

    Another digest than before means that mails whose events are held for their unit are worth reading again.
    """
    return _of_process.of(mailbox.unit_map).digest if mailbox.unit_map else None


def fault_of(mailbox: MappedMailbox) -> str | None:
    """Return what is wrong with a mailbox's map as it is on disk, while the last good one is in force."""
    return _of_process.of(mailbox.unit_map).fault if mailbox.unit_map else None
