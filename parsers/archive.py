"""Zip archives within bounds: members are counted, measured and read, never trusted.

A ``zipfile.ZipFile`` reads no more of a member than its directory says, so that the sums of the directory bound the
memory; the number of members is bounded before that directory is read.
"""

import zlib
from io import BytesIO
from typing import Any, Final

from parsers.errors import NotRead

MAX_MEMBERS: Final = 500
MAX_UNPACKED: Final = 48 * 1024 * 1024
MAX_RATIO: Final = 200
"""The most octets that one packed octet may become, of a member beyond `_SMALL`."""
_SMALL: Final = 256 * 1024
_ENTRY: Final = b"PK\x01\x02"
_FOREIGN: Final = "__macosx/"
"""The folder that a packer adds, and that holds nothing of what was packed."""
SIGNATURES: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip archive begins; the second one is empty."""


def is_zip(octets: bytes) -> bool:
    """Say whether octets begin as a zip archive does."""
    return octets.startswith(SIGNATURES)


class Archive:
    """The members of one archive."""

    def __init__(self, octets: bytes) -> None:
        """Read the directory; raise NotRead for what is no archive, or beyond our bounds."""
        import zipfile  # only an archive pays for it

        if octets.count(_ENTRY) > MAX_MEMBERS:
            raise NotRead(f"it is an archive of more than {MAX_MEMBERS} files")
        try:
            self._zip = zipfile.ZipFile(BytesIO(octets))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise NotRead("it is a broken archive") from error
        members = self._zip.infolist()
        if len(members) > MAX_MEMBERS:
            raise NotRead(f"it is an archive of more than {MAX_MEMBERS} files")
        if any(member.flag_bits & 0x1 for member in members):
            raise NotRead("it is encrypted")
        if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
            raise NotRead("it is packed in a way that we do not read")
        if sum(member.file_size for member in members) > MAX_UNPACKED:
            raise NotRead(f"it is an archive of more than {MAX_UNPACKED} octets")
        if any(m.file_size > _SMALL and m.file_size > MAX_RATIO * max(m.compress_size, 1) for m in members):
            raise NotRead(f"it is packed more than {MAX_RATIO} times")
        self._members = [m for m in members if not m.is_dir() and not m.filename.casefold().startswith(_FOREIGN)]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the files, folders before them, in the order of the directory."""
        return tuple(member.filename for member in self._members)

    def read(self, place: int) -> bytes:
        """Return the content of a file by its place among the names; raise NotRead where it is broken."""
        from zipfile import BadZipFile

        try:
            return self._zip.read(self._members[place])
        except (BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
            raise NotRead("it is a broken archive") from error

    def opened(self) -> Any:
        """Return the ``ZipFile``."""
        return self._zip
