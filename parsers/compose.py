"""Write MIME entities: the other direction of ``parsers.body``, for the dressings."""

import base64
from collections.abc import Iterable
from typing import Final

CRLF: Final = "\r\n"
_WORD: Final = 42
"""Octets that fit into one encoded word."""
_LITERAL: Final = frozenset(range(0x21, 0x7F)) - {0x3D}


def write_text(
    kind: str,
    text: str,
    *,
    charset: str = "utf-8",
    label: str = "",
    encoding: str = "quoted-printable",
    width: int = 72,
) -> bytes:
    """Return a text as an entity: its header, a blank line, its octets.

    `charset` writes it, `label` is what the header says (`charset` when empty). A line has at most `width` characters.
    `encoding`: ``quoted-printable``, ``base64`` or ``8bit``. HTML writes letters that the charset lacks as references.
    """
    octets = text.replace("\n", CRLF).encode(charset, "xmlcharrefreplace" if kind == "text/html" else "replace")
    if encoding == "base64":
        octets = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        octets = quoted_printable(octets, width)
    head = f"Content-Type: {kind}; charset={label or charset}{CRLF}Content-Transfer-Encoding: {encoding}{CRLF * 2}"
    return head.encode() + octets


def quoted_printable(octets: bytes, width: int) -> bytes:
    """Return octets as quoted-printable (RFC 2045, section 6.7), with a soft break before every line is too wide."""
    lines: list[str] = []
    for line in octets.split(b"\r\n"):
        written = ""
        for place, octet in enumerate(line):
            plain = octet in _LITERAL or (octet in b" \t" and place < len(line) - 1)
            piece = chr(octet) if plain else f"={octet:02X}"
            if len(written) + len(piece) >= width:
                lines.append(f"{written}=")
                written = ""
            written += piece
        lines.append(written)
    return CRLF.join(lines).encode()


def write_multipart(kind: str, entities: Iterable[bytes], *, boundary: str) -> bytes:
    """Return entities as one of type multipart."""
    open_line = f"--{boundary}{CRLF}".encode()
    body = b"".join(open_line + entity.rstrip(b"\r\n") + b"\r\n\r\n" for entity in entities)
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"{CRLF * 2}'.encode()
    return head + body + f"--{boundary}--{CRLF}".encode()


def write_mail(headers: Iterable[tuple[str, str]], entity: bytes) -> bytes:
    """Return a mail: its headers, then an entity with its own. Folds within a header's value are kept."""
    head = "".join(f"{name}: {value}{CRLF}" for name, value in headers)
    return head.encode("utf-8", "surrogateescape") + b"MIME-Version: 1.0\r\n" + entity


def encoded_words(text: str, *, split: int = _WORD) -> str:
    """Return a header's text as encoded words (RFC 2047) of `split` octets each, wherever that parts a character."""
    octets = text.encode()
    pieces = [octets[at : at + split] for at in range(0, len(octets), split)]
    return f"{CRLF} ".join(f"=?utf-8?B?{base64.b64encode(piece).decode()}?=" for piece in pieces)


def parted_words(text: str) -> str:
    """Return a header's text that is not all ASCII as encoded words of which some part a character."""
    octets = text.encode()
    return encoded_words(text, split=max(n for n in range(1, _WORD) if any(o & 0xC0 == 0x80 for o in octets[n::n])))


def header_value(text: str) -> str:
    """Return a header's text as it may stand in a header: as it is when it is ASCII, else as encoded words."""
    return text if text.isascii() else encoded_words(text)
