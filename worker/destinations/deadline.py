"""One deadline over a whole HTTP exchange, which httpx by itself does not have.

Its timeouts bound each wait, so a server that sends a byte now and then is never late. Here every wait on the
network, in the headers as well, gets what is left until the deadline; and nothing is sent after it, so a call that
was stuck in name resolution can never reach the destination late.
"""

import contextlib
import contextvars
import functools
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

SLICE_BYTES = 65_536


@dataclass(slots=True, kw_only=True)
class _Exchange:
    ends_at_s: float  # of the monotonic clock
    begun: bool = False  # a byte of the request may have gone out


_exchange: contextvars.ContextVar[_Exchange | None] = contextvars.ContextVar("exchange", default=None)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bound what the transport does on this thread inside the block."""
    token = _exchange.set(_Exchange(ends_at_s=time.monotonic() + seconds))
    try:
        yield
    finally:
        _exchange.reset(token)


def left_s() -> float:
    """Return the seconds that are left; at most 0 when the deadline has passed."""
    exchange = _exchange.get()
    return float("inf") if exchange is None else exchange.ends_at_s - time.monotonic()


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's transport on a pool whose every socket keeps to the deadline."""

    def __init__(self, *, limits: httpx.Limits) -> None:
        super().__init__(verify=_ssl_context(), trust_env=False, limits=limits)
        self._pool.close()
        self._pool = httpcore.ConnectionPool(
            ssl_context=_ssl_context(),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Backend(),
        )


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    """Return the process's one context: reading the authorities takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        wait_s = _wait_s(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, wait_s, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _wait_s(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), SLICE_BYTES):
            exchange = _exchange.get()
            late = httpcore.WriteTimeout if exchange and exchange.begun else httpcore.ConnectTimeout
            wait_s = _wait_s(timeout, late)
            if exchange:
                exchange.begun = True
            self._stream.write(buffer[start : start + SLICE_BYTES], wait_s)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        wait_s = _wait_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, wait_s))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _wait_s(timeout: float | None, late: type[Exception]) -> float | None:
    """Return how long one wait may be; raise ``late`` when the deadline has passed."""
    remaining_s = left_s()
    if remaining_s <= 0:
        raise late("the deadline of the call has passed")
    if remaining_s == float("inf"):
        return timeout
    return remaining_s if timeout is None else min(timeout, remaining_s)
