"""An API that a file describes: look-ups, at most one write, one sorted answer; jobs are asked for until they end.

Look-ups are GETs and may be repeated; whatever ends a call before its write leaves everything as it was.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx

from parsers.events import Value
from worker.calls import NO_MORE, Manners, Outcome, Reply, Request, Verb
from worker.destinations import verdict
from worker.destinations.answers import Raw
from worker.destinations.client import KeptClient
from worker.destinations.deadline import deadline
from worker.destinations.fill import (
    MAP_FILE,
    Ask,
    Plan,
    Unfit,
    complete_body,
    complete_path,
    encode,
    read_plan,
    render,
)
from worker.destinations.oauth import TokenKeeper
from worker.destinations.spec import ApiSpec
from worker.destinations.tokens import marked

_REQUEST_IDS = uuid.UUID("5b7a0a0e-6f0c-5b0f-9d3e-0c6f3f1f6a57")
"""The name space of the ids of requests, which are derived from keys."""


class HttpDestination:
    """Sends calls to one described API."""

    def __init__(
        self,
        *,
        name: str,
        spec: ApiSpec,
        base_url: str,
        clock: Callable[[], dt.datetime],
        token: Callable[[], str] | None = None,
        client_id: Callable[[], str] | None = None,
        client_secret: Callable[[], str] | None = None,
        ignore_unknown_fields: bool = False,
        map_file: Callable[[str], str] = lambda _location: "",
        window: int = 16,
        timeout_s: float = 3.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """``token`` for an API with a Bearer token; ``client_id`` and ``client_secret`` for one with OAuth2.

        ``map_file`` returns the unit map of a location, for messages; empty when there is none.
        """
        self._name = name
        self._spec = spec
        self._base_url = str(httpx.URL(base_url)).rstrip("/")
        self._clock = clock
        self._token = token or (lambda: "")
        self._secret = self._token if spec.oauth is None else client_secret or (lambda: "")
        self._drops_unknown = ignore_unknown_fields
        self._map_file = map_file
        self._window = window
        self._timeout_s = timeout_s
        self._client = KeptClient(window=window, transport=transport)
        self._keeper: TokenKeeper | None = None
        if spec.oauth is not None:
            self._keeper = TokenKeeper(
                spec.oauth,
                base_url=self._base_url,
                client_id=client_id or (lambda: ""),
                client_secret=client_secret or (lambda: ""),
                clock=clock,
            )

    def __repr__(self) -> str:
        return f"HttpDestination(name={self._name!r}, api={self._spec.name!r})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def window(self) -> int:
        return self._window

    @property
    def manners(self) -> Manners:
        return self._spec.manners

    def render(
        self, verb: Verb, crm_unit_id: str, body: Mapping[str, Value], *, about: Mapping[str, Value] = NO_MORE
    ) -> Request:
        """Return the request for one call. The same arguments give the same bytes; no I/O.

        A call that lacks a value becomes a request that ``send`` refuses, with a message that names what is missing.
        """
        known = {MAP_FILE: self._map_file(str(about.get("location", ""))), **about}
        return render(self._spec, verb, crm_unit_id, body, known, drops_unknown=self._drops_unknown)

    def send(self, request: Request, *, key: str, deadline_s: float) -> Reply:
        """Look up what the request needs, and write once; return within ``deadline_s`` seconds."""
        try:
            plan = read_plan(self._spec, request)
        except Unfit as unfit:
            return Reply(outcome=Outcome.REJECTED, message=str(unfit))
        secret = self._secret().strip()
        with deadline(min(deadline_s, self._timeout_s)):
            reply = self._without_secrets(self._carry_out(plan, request, self._headers(plan, key)))
        return marked(reply, secret)

    def ask(self, job: str, *, deadline_s: float) -> Reply:
        """Ask what came of an accepted call; ``ACCEPTED`` again while nobody knows."""
        if self._spec.job is None:
            return Reply(outcome=Outcome.FAILED, message="this destination takes no jobs on")
        path = self._spec.job.path
        secret = self._secret().strip()
        target = path.texts[0] + "".join(encode(job) + text for text in path.texts[1:])
        with deadline(min(deadline_s, self._timeout_s)):
            raw = self._exchange("GET", target, b"", {})
            if isinstance(raw, Raw):
                raw = verdict.sort_job(self._spec, self._spec.job, job, raw, now=self._clock())
            reply = self._without_secrets(raw)
        return marked(reply, secret)

    def close(self) -> None:
        """Close the kept connections; a later call opens new ones."""
        self._client.close()

    def _headers(self, plan: Plan, key: str) -> dict[str, str]:
        headers = dict(plan.headers)
        if self._spec.key_header:
            headers[self._spec.key_header] = key
        if self._spec.request_id_header:
            headers[self._spec.request_id_header] = str(uuid.uuid5(_REQUEST_IDS, key))
        return headers

    def _carry_out(self, plan: Plan, request: Request, headers: Mapping[str, str]) -> Reply:
        found: dict[str, Any] = {}
        for ask in plan.asks:
            value, ended = self._look_up(ask, found, headers)
            if ended is not None:
                return ended
            found[ask.spec.name] = value
        if plan.already is not None and (done := self._look_first(plan.already, found, headers)) is not None:
            return done
        path = complete_path(plan.path, found)
        raw = self._exchange(request.method, path, complete_body(request.body, found), headers)
        reply = verdict.sort_write(self._spec, plan.write, raw, now=self._clock()) if isinstance(raw, Raw) else raw
        return replace(reply, asked=f"{request.method} {path}") if found else reply

    def _look_up(self, ask: Ask, found: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[Any, Reply | None]:
        raw = self._exchange("GET", complete_path(ask.path, found), b"", headers)
        if isinstance(raw, Reply):
            return None, _before_the_write(raw)
        return verdict.sort_look_up(self._spec, ask, raw, now=self._clock())

    def _look_first(self, ask: Ask, found: Mapping[str, Any], headers: Mapping[str, str]) -> Reply | None:
        """Return the reply of a call whose write is in force already, or that cannot be looked at; else None."""
        path = complete_path(ask.path, found)
        raw = self._exchange("GET", path, b"", headers)
        if isinstance(raw, Reply):
            return _before_the_write(raw)
        in_force = False if raw.status in self._spec.answers.not_found else verdict.is_in_force(ask, raw)
        if in_force is None:
            reply = verdict.sort_refusal(self._spec.answers, raw, now=self._clock())
            return _before_the_write(reply)
        if not in_force:
            return None
        return Reply(
            outcome=Outcome.APPLIED,
            status=raw.status,
            message="it was so already: nothing was written",
            body=raw.body,
            asked=f"GET {path}",
        )

    def _exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Raw | Reply:
        """Return the answer; of OAuth2, a 401 fetches one new token and is asked once more: it changed nothing."""
        token = self._keeper.token(self._client) if self._keeper else self._token().strip()
        raw = self._with_token(method, path, body, headers, token)
        if self._keeper and isinstance(raw, Raw) and raw.status == 401 and isinstance(token, str):
            anew = self._keeper.token(self._client, refused=token)
            return self._with_token(method, path, body, headers, anew)
        return raw

    def _with_token(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], token: str | Reply
    ) -> Raw | Reply:
        if isinstance(token, Reply):
            return token
        if not token or not token.isascii() or not token.isprintable():
            return Reply(outcome=Outcome.UNAUTHORIZED, message="the token is empty or cannot stand in a header")
        sent = {**headers, "Authorization": f"Bearer {token}"}
        if body:
            sent["Content-Type"] = "application/json"
        return self._client.exchange(method, self._base_url + path, content=body, headers=sent)

    def _without_secrets(self, reply: Reply) -> Reply:
        for secret in self._keeper.secrets() if self._keeper else (self._token().strip(),):
            if secret and (secret in reply.message or secret.encode() in reply.body):
                message = reply.message.replace(secret, "[token]")
                reply = replace(reply, message=message, body=reply.body.replace(secret.encode(), b"[token]"))
        return reply


def _before_the_write(reply: Reply) -> Reply:
    """Return what a failed look-up means for the call: the write never went out."""
    return replace(reply, outcome=Outcome.UNREACHED) if reply.outcome is Outcome.UNKNOWN else reply
