"""Read the arguments of MAIL and RCPT: a path in angle brackets and its parameters (RFC 5321 section 4.1.2).

The grammar is strict: an address that two programs could read differently is refused, not guessed at. Source
routes and angle brackets left out are errors.

Errors:
    PathError(Exception)
    +-- NoPath        not ``<...>`` at all
    +-- BadAddress    brackets, but no address in them
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache


class PathError(Exception):
    """The argument holds no path."""


class NoPath(PathError):
    """There are no angle brackets where they must be."""


class BadAddress(PathError):
    """What is between the brackets is no address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """An address as it was written, and what to look it up by."""

    written: str
    """As the client wrote it; empty for the null sender."""
    lookup: str
    """In lower case, a needless quoting taken off."""
    is_ascii: bool
    parameters: Mapping[str, str | None]
    """Name in upper case -> value; None when it has none."""


_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_DOTTED = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED = r'"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*"'
_LABEL = r"[A-Za-z0-9_\u0080-\U0010ffff](?:[A-Za-z0-9_\u0080-\U0010ffff-]*[A-Za-z0-9_\u0080-\U0010ffff])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_LITERAL = r"\[[A-Za-z0-9.:-]{1,64}\]"

_ADDRESS = re.compile(rf"(?P<local>{_DOTTED}|{_QUOTED})@(?P<domain>{_DOMAIN}|{_LITERAL})")
_UNQUOTED = re.compile(_DOTTED)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")

MAX_LOCAL_OCTETS = 64  # RFC 5321 section 4.5.3.1.1
MAX_DOMAIN_OCTETS = 255  # section 4.5.3.1.2


@lru_cache(maxsize=256)  # the same few senders and mailboxes over and over
def read_path(argument: bytes, keyword: bytes) -> Path:
    """Return the path behind ``FROM:`` or ``TO:``; bare ``postmaster`` is an address (section 4.5.1).

    Seen in practice: a space behind the colon. It cannot be misread, so it is let through.

    Raises:
        NoPath, BadAddress
    """
    if argument[: len(keyword)].upper() != keyword:
        raise NoPath("the keyword is missing")
    rest = argument[len(keyword) :].lstrip(b" ")
    if not rest.startswith(b"<"):
        raise NoPath("no angle bracket")
    try:
        text = rest.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadAddress("not UTF-8") from error
    matched = _ADDRESS.match(text, 1)
    end = matched.end() if matched else text.find(">")
    if end < 0 or text[end : end + 1] != ">":
        raise BadAddress("no address between the brackets")
    written = text[1:end]
    return Path(
        written=written,
        lookup=_lookup(matched, written),
        is_ascii=written.isascii(),
        parameters=_parameters(text[end + 1 :]),
    )


def _lookup(matched: re.Match[str] | None, written: str) -> str:
    if matched is None:
        if written == "" or written.lower() == "postmaster":
            return written.lower()
        raise BadAddress("no address between the brackets")
    local, domain = matched["local"], matched["domain"]
    if len(local.encode()) > MAX_LOCAL_OCTETS or len(domain.encode()) > MAX_DOMAIN_OCTETS:
        raise BadAddress("longer than RFC 5321 allows")
    if local.startswith('"'):
        inner = re.sub(r"\\(.)", r"\1", local[1:-1])
        local = inner if _UNQUOTED.fullmatch(inner) else local
    return f"{local}@{domain}".lower()


def _parameters(text: str) -> dict[str, str | None]:
    """Return the ESMTP parameters behind a path (section 4.1.2, ``esmtp-param``)."""
    if not text:
        return {}
    if not text.startswith(" "):
        raise NoPath("something sticks to the closing bracket")
    found: dict[str, str | None] = {}
    for word in text.split():
        matched = _PARAMETER.fullmatch(word)
        if matched is None or matched[1].upper() in found:
            raise NoPath("a parameter is malformed or there twice")
        found[matched[1].upper()] = matched[2]
    return found
