"""Attached files of a mail: their names, those inside an attached archive too, and what JSON files hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Final, cast

from parsers.archive import Archive, is_zip
from parsers.body import Part, strict_json
from parsers.charset import decode
from parsers.errors import NotRead
from parsers.text import normal

MAX_ATTACHED: Final = 16 * 1024 * 1024
MAX_JSON: Final = 256 * 1024
MAX_JSON_FILES: Final = 10
_MAX_NAME: Final = 255
_NAMES: Final[Mapping[str, str]] = {
    "text/csv": "attachment.csv",
    "application/json": "attachment.json",
    "application/zip": "attachment.zip",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "attachment.xlsx",
}
"""What a part without a name is called, by its type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One attached file, or one inside an attached archive."""

    name: str
    """Without the folders before it."""
    part: Part
    member: int | None = None
    """Its place in the archive; None for the attached file itself."""
    refused: str = ""
    """Why an archive was not looked into; empty for a file."""

    def matches(self, patterns: Sequence[str]) -> bool:
        """Say whether one of some patterns with ``*`` and ``?`` is its name; case does not count.

        An archive that cannot be looked into may hold any name.
        """
        name = self.name.casefold()
        return bool(self.refused) or any(fnmatchcase(name, pattern.casefold()) for pattern in patterns)

    def read(self) -> bytes:
        """Return its octets; raise NotRead beyond our bounds."""
        if self.refused:
            raise NotRead(self.refused)
        octets = self.part.octets
        if len(octets) > MAX_ATTACHED:
            raise NotRead(f"it is longer than {MAX_ATTACHED} octets")
        return octets if self.member is None else Archive(octets).read(self.member)


class Files:
    """The attached files of one mail, looked at when a rule first asks."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    @cached_property
    def all(self) -> tuple[File, ...]:
        """Return every file, in the order of the mail."""
        return tuple(file for part in self._parts if (name := _name_of(part)) for file in _files(part, name))

    def named(self, patterns: Sequence[str]) -> tuple[File, ...]:
        """Return the files whose names match."""
        return tuple(file for file in self.all if file.matches(patterns))

    @cached_property
    def json(self) -> tuple[Mapping[str, Any], ...]:
        """Return the objects of the attached JSON files; one that is not JSON, or too long, gives none."""
        files = [file for file in self.all if file.matches(("*.json",)) and not file.refused]
        return tuple(found for file in files[:MAX_JSON_FILES] for found in _object_of(file))


def json_value(item: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a path of names such as ``data.unit_id``; None where nothing does."""
    value: Any = item
    for name in path.split("."):
        value = cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None
    return value


def _name_of(part: Part) -> str:
    """Return the name of an attached file; empty for a part that is none."""
    name = normal(part.file_name or _NAMES.get(part.content_type, ""))
    return name.replace("\\", "/").rpartition("/")[2][:_MAX_NAME]


def _files(part: Part, name: str) -> Iterator[File]:
    if not name.casefold().endswith(".zip"):
        yield File(name=name, part=part)
        return
    octets = part.octets
    try:
        if len(octets) > MAX_ATTACHED:
            raise NotRead(f"it is longer than {MAX_ATTACHED} octets")
        if not is_zip(octets):
            raise NotRead("it is no archive")
        names = Archive(octets).names
    except NotRead as error:
        yield File(name=name, part=part, refused=str(error))
        return
    for place, inner in enumerate(names):
        short = normal(inner.replace("\\", "/").rpartition("/")[2])[:_MAX_NAME]
        nested = short.casefold().endswith(".zip")
        yield File(
            name=short,
            part=part,
            member=place,
            refused="it holds an archive, and one inside another is not opened" if nested else "",
        )


def _object_of(file: File) -> Iterator[Mapping[str, Any]]:
    try:
        octets = file.read()
        found = strict_json(decode(octets)) if len(octets) <= MAX_JSON else None
    except (NotRead, ValueError, RecursionError, ArithmeticError):
        return
    if isinstance(found, dict):
        yield cast("dict[str, Any]", found)
