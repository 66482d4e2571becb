"""Everything that a mail holds, decoded: each part, and each member of each archive."""

import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from io import BytesIO


def contents(raw: bytes) -> Iterator[bytes]:
    """Yield the octets of a mail as they came, of each part decoded, and of the members of archives."""
    yield raw
    for part in message_from_bytes(raw).walk():
        octets = part.get_payload(decode=True)
        if isinstance(octets, bytes):
            yield from _opened(octets)


def _opened(octets: bytes) -> Iterator[bytes]:
    yield octets
    if octets.startswith(b"PK"):
        archive = zipfile.ZipFile(BytesIO(octets))
        for member in archive.infolist():
            yield f"{member.filename} {member.comment!r}".encode()
            yield from _opened(archive.read(member))


def says(raw: bytes, text: str) -> bool:
    """Return whether a text stands anywhere in what a mail holds, in the charsets of its files."""
    return any(
        text.encode(codec, "xmlcharrefreplace") in octets
        for octets in contents(raw)
        for codec in ("utf-8", "utf-16-le", "cp1252")
    )
