"""The KISS unit API over HTTPS: one sending, one sorted answer, where needed by the id that the API knows."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import httpx

from parsers.events import Value
from worker.calls import NO_MORE, Manners, Outcome, Reply, Request, Verb
from worker.destinations.answers import MAX_BODY_BYTES, MAX_BULK_BYTES, Raw, sort_answer
from worker.destinations.client import KeptClient
from worker.destinations.deadline import deadline
from worker.destinations.profiles import KISS_V2, PathKey, Profile, fill, render, render_bulk, unit_of
from worker.destinations.roster import MAX_LIST_BYTES, Roster
from worker.destinations.tokens import marked


class KissDestination:
    """Sends calls to a KISS unit API."""

    def __init__(
        self,
        *,
        name: str,
        base_url: str = "",
        token: str | Callable[[], str],
        clock: Callable[[], dt.datetime],
        profile: Profile = KISS_V2,
        window: int = 16,
        timeout_s: float = 3.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """``base_url`` empty: that of the profile. ``token``: itself, or what returns it at each sending. ``clock`` is
        read for a ``Retry-After`` date and for the age of the list of units.
        """
        self._name = name
        self._base_url = str(httpx.URL(base_url or profile.base_url)).rstrip("/")
        self._token = token
        self._clock = clock
        self._profile = profile
        self._window = window
        self._timeout_s = timeout_s
        self._roster = Roster(profile, clock=clock)
        self._client = KeptClient(window=window, transport=transport)

    def __repr__(self) -> str:
        return f"KissDestination(name={self._name!r}, profile={self._profile.name!r})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def window(self) -> int:
        return self._window

    @property
    def manners(self) -> Manners:
        return self._profile.manners

    def render(
        self,
        verb: Verb,
        crm_unit_id: str,
        body: Mapping[str, Value],
        *,
        about: Mapping[str, Value] = NO_MORE,  # noqa: ARG002
    ) -> Request:
        """Return the request for one call, by our own unit id. The same arguments give the same bytes."""
        return render(self._profile, verb, crm_unit_id, body)

    def render_bulk(self, units: Sequence[Mapping[str, Value]]) -> Request:
        """Return the request for many units in one call. The same arguments give the same bytes."""
        return render_bulk(self._profile, units)

    def send(self, request: Request, *, key: str, deadline_s: float) -> Reply:
        """Send one request once under its idempotency key; return within ``deadline_s`` seconds."""
        token = (self._token if isinstance(self._token, str) else self._token()).strip()
        if not token or not token.isascii() or not token.isprintable():
            empty = Reply(outcome=Outcome.UNAUTHORIZED, message="the token is empty or cannot stand in a header")
            return marked(empty, token)
        with deadline(min(deadline_s, self._timeout_s)):
            reply = self._send_found(request, key, token)
        if token not in reply.message and token.encode() not in reply.body:
            return marked(reply, token)
        told = replace(
            reply,
            message=reply.message.replace(token, "[token]"),
            body=reply.body.replace(token.encode(), b"[token]"),
        )
        return marked(told, token)

    def ask(self, job: str, *, deadline_s: float) -> Reply:  # noqa: ARG002
        """Say that there are no jobs here: every answer is final."""
        return Reply(outcome=Outcome.FAILED, message="this destination takes no jobs on")

    def close(self) -> None:
        """Close the kept connections; a later call opens new ones."""
        self._client.close()

    def _send_found(self, request: Request, key: str, token: str) -> Reply:
        """Send a request, where needed by the id that the API knows its unit by."""
        if self._profile.path_key is PathKey.OURS:
            return self._write(request, key, token)
        addressed = unit_of(self._profile, request)
        if addressed is None:
            reply = self._write(request, key, token)
            self._roster.expect_change()
            return reply
        crm_unit_id, pattern = addressed
        found = self._roster.find(crm_unit_id, lambda path, etag: self._list(path, etag, token))
        if isinstance(found, Reply):
            return replace(found, asked=f"GET {self._profile.bulk_path}")
        sent = Request(method=request.method, path=fill(pattern, found), body=request.body)
        reply = self._write(sent, key, token)
        if reply.outcome is Outcome.NOT_FOUND:
            self._roster.forget(crm_unit_id)
        return replace(reply, asked=f"{sent.method} {sent.path}")

    def _write(self, request: Request, key: str, token: str) -> Reply:
        headers = {"Authorization": f"Bearer {token}", self._profile.key_header: key}
        if request.body:
            headers["Content-Type"] = "application/json"
        is_bulk = request.path == self._profile.bulk_path
        answered = self._exchange(request, headers, MAX_BULK_BYTES if is_bulk else MAX_BODY_BYTES)
        if isinstance(answered, Reply):
            return answered
        return sort_answer(self._profile, request, answered, now=self._clock())

    def _list(self, path: str, etag: str | None, token: str) -> Raw | Reply:
        """Ask for a page of the list of units. Whatever goes wrong here, nothing was written."""
        headers = {"Authorization": f"Bearer {token}", **({"If-None-Match": etag} if etag else {})}
        answered = self._exchange(Request(method="GET", path=path, body=b""), headers, MAX_LIST_BYTES)
        if isinstance(answered, Reply) and answered.outcome is Outcome.UNKNOWN:
            return replace(answered, outcome=Outcome.UNREACHED)
        return answered

    def _exchange(self, request: Request, headers: Mapping[str, str], limit: int) -> Raw | Reply:
        """Return the answer, or what it means that there was none."""
        url = self._base_url + request.path
        return self._client.exchange(request.method, url, content=request.body, headers=headers, limit=limit)
