"""Faults on request, and a log of what came: the wrapper around every stand-in's application.

Which requests fail is drawn from a seeded generator, one number a request in the order of arrival, so a run whose
requests come one after the other can be repeated.
"""

import asyncio
import contextlib
import datetime as dt
import json
import random
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.standins.registry import APPLIED_HEADER, StandIn
from worker.units.wire import Answer

FAILURES = (401, 409, 429, 500, 503)
LOG_PATH = "/_standin/log"
LOG_LENGTH = 100_000
DROP = "gatepost.standin.drop"
"""The name of the ASGI extension that closes the connection."""

_APPLIED = APPLIED_HEADER.encode()
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(%?)")
_SECONDS = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|)")
_RATE = re.compile(r"([1-9][0-9]{0,6})(?:/min)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How a stand-in misbehaves. Shares are from 0 to 1, of all requests."""

    fail: tuple[tuple[int, float], ...] = ()
    """Statuses that are answered without doing anything."""
    drop: float = 0.0
    """Requests that are done, and then not answered: the connection is closed."""
    delay_s: float = 0.0
    """How long each answer is held back; what was asked is done at once."""
    seed: int = 0

    def __post_init__(self) -> None:
        if sum(share for _, share in self.fail) + self.drop > 1.0:
            raise ValueError("the shares of --fail and --drop come to more than 100%")


def read_share(text: str) -> float:
    """Return a share written as ``10%`` or ``0.1``.

    Raises:
        ValueError: it is no share.
    """
    found = _SHARE.fullmatch(text)
    share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"`{text}` is not a share; write one like 10% or 0.1")
    return share


def read_failure(text: str) -> tuple[int, float]:
    """Return a status and its share, written as ``503:10%``.

    Raises:
        ValueError: it is not so written, or nobody plays that status.
    """
    status, colon, share = text.partition(":")
    if not colon or status not in map(str, FAILURES):
        raise ValueError(f"`{text}` is not STATUS:SHARE; statuses are {', '.join(map(str, FAILURES))}")
    return int(status), read_share(share)


def read_seconds(text: str) -> float:
    """Return seconds, written as ``2s``, ``200ms`` or ``2``.

    Raises:
        ValueError: it is no duration.
    """
    found = _SECONDS.fullmatch(text)
    if not found:
        raise ValueError(f"`{text}` is not a duration; write one like 2s or 200ms")
    return float(found[1]) / (1000 if found[2] == "ms" else 1)


def read_rate(text: str) -> int:
    """Return requests per minute, written as ``60/min``.

    Raises:
        ValueError: it is no rate.
    """
    found = _RATE.fullmatch(text)
    if not found:
        raise ValueError(f"`{text}` is not a rate; write one like 60/min")
    return int(found[1])


@dataclass(slots=True, kw_only=True)
class _Held:
    """An answer that is held back until it is sure that it goes out."""

    messages: list[Message] = field(default_factory=list[Message])
    status: int | None = None
    said: str = ""
    """What the application said of a write: ``yes``, ``no`` or nothing."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            self.status = message["status"]
            self.said = next((value.decode() for name, value in headers if name.lower() == _APPLIED), "")
            message = {**message, "headers": [pair for pair in headers if pair[0].lower() != _APPLIED]}
        self.messages.append(message)


class Faulty:
    """A stand-in's application with faults and a log. ``GET /_standin/log`` shows the log, and what it holds now."""

    def __init__(self, stand_in: StandIn, faults: Faults, *, clock: Callable[[], dt.datetime]) -> None:
        self._stand_in = stand_in
        self._faults = faults
        self._clock = clock
        self._chance = random.Random(faults.seed)  # noqa: S311  chance that can be repeated is what is wanted
        self._log: deque[Mapping[str, Any]] = deque(maxlen=LOG_LENGTH)
        self._done: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == LOG_PATH:
            shown = {"requests": list(self._log), "units": list(self._stand_in.units())}
            await _drain(receive)
            await _send(Answer(status=200, body=json.dumps(shown).encode()), send)
            return
        fault = self._draw()
        held = _Held()
        at = self._clock()
        if isinstance(fault, int):
            await _drain(receive)
            await _send(self._stand_in.refuse(fault), held.send)
            held.said = "no"
        else:
            await self._stand_in.app(scope, receive, held.send)
        self._note(scope, held, fault, at)
        try:
            await asyncio.sleep(self._faults.delay_s)
        except asyncio.CancelledError:  # the server ends: whoever waits is not answered
            with contextlib.suppress(asyncio.CancelledError):
                await _hang_up(scope, receive)
            return
        if fault == "drop":
            await _hang_up(scope, receive)
            return
        for message in held.messages:
            await send(message)

    def _draw(self) -> int | str | None:
        """Return what happens to the next request: a status, ``drop``, or None."""
        number = self._chance.random()
        for status, share in self._faults.fail:
            if number < share:
                return status
            number -= share
        return "drop" if number < self._faults.drop else None

    def _note(self, scope: Scope, held: _Held, fault: int | str | None, at: dt.datetime) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        key = headers.get("idempotency-key")
        raw = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
        query = scope.get("query_string", b"").decode("latin-1")
        applied = held.said == "yes"
        if not held.said and scope["method"] != "GET":
            applied = held.status is not None and held.status < 300 and key not in self._done
        if applied and key is not None:
            self._done.add(key)
        self._log.append(
            {
                "at": at.isoformat(),
                "method": scope["method"],
                "path": f"{raw}?{query}" if query else raw,
                "key": key,
                "status": None if fault == "drop" else held.status,
                "applied": applied,
                "fault": str(fault) if fault else None,
            }
        )


async def _drain(receive: Receive) -> None:
    """Read a body that nobody wants, so that the connection can go on."""
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return


async def _send(answer: Answer, send: Send) -> None:
    named = {"Content-Type": "application/json", "Content-Length": str(len(answer.body)), **answer.headers}
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _hang_up(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer, and wait until it is closed."""
    scope["extensions"][DROP]()
    while (await receive())["type"] != "http.disconnect":
        pass


def with_faults(stand_in: StandIn, faults: Faults, *, clock: Callable[[], dt.datetime]) -> ASGIApp:
    """Return a stand-in's application with faults and a log around it."""
    return Faulty(stand_in, faults, clock=clock)
