"""The KISS unit API over HTTPS: one kept client, one sending, one sorted answer.

What an error of the transport means for the call:
    never connected, no free connection     UNREACHED   it did not happen
    anything after a byte may have gone out UNKNOWN     it may have happened
Note that httpx's ``RemoteProtocolError`` (the server hung up) is no ``NetworkError``.
"""

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

import httpx

from parsers.events import Value
from worker.calls import Outcome, Reply, Request, Verb
from worker.destinations.answers import MAX_BODY_BYTES, MAX_MESSAGE, Raw, sort_answer
from worker.destinations.deadline import DeadlineTransport, deadline, left_s
from worker.destinations.profiles import KISS_V2, Profile, render

KEEP_ALIVE_S = 15.0

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOT_SENDABLE = (httpx.LocalProtocolError, httpx.UnsupportedProtocol)


class KissDestination:
    """Sends calls to a KISS unit API."""

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        token: str | Callable[[], str],
        clock: Callable[[], dt.datetime],
        profile: Profile = KISS_V2,
        window: int = 16,
        timeout_s: float = 3.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """``token``: itself, or what returns it at each sending. ``clock`` is read for a ``Retry-After`` date."""
        self._name = name
        self._base_url = str(httpx.URL(base_url)).rstrip("/")
        self._token = token
        self._clock = clock
        self._profile = profile
        self._window = window
        self._timeout_s = timeout_s
        self._transport = transport
        self._client: httpx.Client | None = None
        self._making = threading.Lock()

    def __repr__(self) -> str:
        return f"KissDestination(name={self._name!r}, profile={self._profile.name!r})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def window(self) -> int:
        return self._window

    def render(self, verb: Verb, crm_unit_id: str, body: Mapping[str, Value]) -> Request:
        """Return the request for one call. The same arguments give the same bytes."""
        return render(self._profile, verb, crm_unit_id, body)

    def send(self, request: Request, *, key: str, deadline_s: float) -> Reply:
        """Send one request once under its idempotency key; return within ``deadline_s`` seconds."""
        token = (self._token if isinstance(self._token, str) else self._token()).strip()
        if not token or not token.isascii() or not token.isprintable():
            return Reply(outcome=Outcome.UNAUTHORIZED, message="the token is empty or cannot stand in a header")
        with deadline(min(deadline_s, self._timeout_s)):
            reply = self._exchange(request, key, token)
        if token not in reply.message and token.encode() not in reply.body:
            return reply
        return Reply(
            outcome=reply.outcome,
            status=reply.status,
            message=reply.message.replace(token, "[token]"),
            body=reply.body.replace(token.encode(), b"[token]"),
            created=reply.created,
            retry_after_s=reply.retry_after_s,
        )

    def close(self) -> None:
        """Close the kept connections; a later call opens new ones."""
        with self._making:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _exchange(self, request: Request, key: str, token: str) -> Reply:
        headers = {"Authorization": f"Bearer {token}", self._profile.key_header: key}
        if request.body:
            headers["Content-Type"] = "application/json"
        status: int | None = None
        try:
            with self._kept_client().stream(
                request.method,
                self._base_url + request.path,
                content=request.body or None,
                headers=headers,
                timeout=max(left_s(), 0.001),
            ) as response:
                status = response.status_code
                body = _read_body(response)
        except _NEVER_SENT as error:
            return Reply(outcome=Outcome.UNREACHED, message=_describe(error))
        except _NOT_SENDABLE as error:
            return Reply(outcome=Outcome.FAILED, message=_describe(error))
        except httpx.TransportError as error:
            return Reply(outcome=Outcome.UNKNOWN, status=status, message=_describe(error))
        raw = Raw(status=status, headers=response.headers, body=body)
        return sort_answer(self._profile, request, raw, now=self._clock())

    def _kept_client(self) -> httpx.Client:
        with self._making:
            if self._client is None:
                limits = httpx.Limits(
                    max_connections=self._window,
                    max_keepalive_connections=self._window,
                    keepalive_expiry=KEEP_ALIVE_S,
                )
                self._client = httpx.Client(
                    transport=self._transport or DeadlineTransport(limits=limits),
                    follow_redirects=False,
                    trust_env=False,
                    headers={
                        "User-Agent": f"gatepost/{_version()}",
                        "Accept": "application/json",
                        "Accept-Encoding": "identity",  # a packed answer could unpack without bound
                    },
                )
            return self._client


def _read_body(response: httpx.Response) -> bytes:
    """Return the answer's body as sent, cut at 64 KiB.

    Raises:
        httpx.ReadTimeout: the deadline passed before the body was whole.
    """
    body = bytearray()
    for chunk in (response.content,) if response.is_stream_consumed else response.iter_raw():
        body += chunk
        if len(body) >= MAX_BODY_BYTES:
            break
        if left_s() <= 0:
            raise httpx.ReadTimeout("the deadline of the call has passed")
    return bytes(body[:MAX_BODY_BYTES])


def _describe(error: httpx.TransportError) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_MESSAGE]


def _version() -> str:
    try:
        return version("gatepost")
    except PackageNotFoundError:
        return "0"
