"""One kept HTTP client: one exchange within the deadline, its answer as it came, or what its failure means.

What an error of the transport means for a write:
    never connected, no free connection     UNREACHED   it did not happen
    anything after a byte may have gone out UNKNOWN     it may have happened
Note that httpx's ``RemoteProtocolError`` (the server hung up) is no ``NetworkError``.
"""

import contextlib
import queue
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

import httpx

from worker.calls import Outcome, Reply
from worker.destinations.answers import MAX_BODY_BYTES, MAX_MESSAGE, Raw
from worker.destinations.deadline import DeadlineTransport, left_s

KEEP_ALIVE_S = 15.0
_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOT_SENDABLE = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL)


class KeptClient:
    """A client that keeps its connections, at most ``window``. Safe to use from several threads.

    It works on httpx's transport, below its client: no redirects, cookies or logins, and half of the time a call.
    Each transport has one connection, for a pool of many looks at all of them for each call.
    """

    def __init__(self, *, window: int, transport: httpx.BaseTransport | None = None) -> None:
        self._idle: queue.LifoQueue[httpx.BaseTransport | None] = queue.LifoQueue()
        for _ in range(window):
            self._idle.put(transport)
        self._headers = {
            "User-Agent": f"gatepost/{_version()}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a packed answer could unpack without bound
        }

    def exchange(
        self, method: str, url: str, *, content: bytes, headers: Mapping[str, str], limit: int = MAX_BODY_BYTES
    ) -> Raw | Reply:
        """Return the answer, its body cut at ``limit`` bytes; a reply when there is none. Called inside a deadline."""
        status: int | None = None
        wait_s = max(left_s(), 0.001)
        try:
            request = httpx.Request(
                method,
                url,
                content=content or None,
                headers=self._headers | dict(headers),
                extensions={"timeout": {"connect": wait_s, "read": wait_s, "write": wait_s, "pool": wait_s}},
            )
            with self._transport() as transport:
                response = transport.handle_request(request)
                try:
                    status = response.status_code
                    body = _read_body(response, limit)
                finally:
                    response.close()
        except _NEVER_SENT as error:
            return Reply(outcome=Outcome.UNREACHED, message=_describe(error))
        except _NOT_SENDABLE as error:
            return Reply(outcome=Outcome.FAILED, message=_describe(error))
        except httpx.TransportError as error:
            return Reply(outcome=Outcome.UNKNOWN, status=status, message=_describe(error))
        return Raw(status=response.status_code, headers=response.headers, body=body)

    def close(self) -> None:
        """Close the connections that are kept and not in use; a later exchange opens new ones."""
        kept: list[httpx.BaseTransport | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                kept.append(self._idle.get_nowait())
        for transport in kept:
            if transport is not None:
                transport.close()
            self._idle.put(transport)

    @contextlib.contextmanager
    def _transport(self) -> Iterator[httpx.BaseTransport]:
        """Take the transport that was used last, which no other exchange uses meanwhile.

        Raises:
            httpx.PoolTimeout: all are in use until the deadline.
        """
        try:
            kept = self._idle.get(timeout=max(left_s(), 0.001))
        except queue.Empty:
            raise httpx.PoolTimeout("no free connection until the deadline") from None
        transport = kept or DeadlineTransport(limits=_ONE)
        try:
            yield transport
        finally:
            self._idle.put(transport)


def _read_body(response: httpx.Response, limit: int) -> bytes:
    """Return the answer's body as sent, cut at ``limit`` bytes.

    Raises:
        httpx.ReadTimeout: the deadline passed before the body was whole.
    """
    body = bytearray()
    for chunk in (response.content,) if response.is_stream_consumed else response.iter_raw():
        body += chunk
        if len(body) >= limit:
            break
        if left_s() <= 0:
            raise httpx.ReadTimeout("the deadline of the call has passed")
    return bytes(body[:limit])


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_MESSAGE]


def _version() -> str:
    try:
        return version("gatepost")
    except PackageNotFoundError:
        return "0"
