"""What every section of the configuration is made of: zones, endpoints, the nearest known word.

Errors:
    ConfigError(Exception)   says file, key, what is wrong, and the nearest known name
"""

import datetime as dt
import difflib
from collections.abc import Iterable
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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
Span = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}[smhd]$")]
"""A length of time as a person writes it: a number and ``s``, ``m``, ``h`` or ``d``."""


def length_of(span: str) -> dt.timedelta:
    """Return the length that a span writes."""
    return dt.timedelta(seconds=int(span[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[span[-1]])


def split_endpoint(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port``; brackets of an IPv6 address are taken off."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
