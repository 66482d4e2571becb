"""Listen with a stand-in: a process's own server until SIGTERM, or one in a thread for a test."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.settings import ConfigError, join_endpoint
from worker.standins.faults import DROP, LOG_PATH

GRACE_S = 0.2
"""How long the end waits for answers under way: one that is held back does not hold it up."""


class _Protocol(H11Protocol):
    """Lets the application close its connection without an answer, which ASGI by itself cannot."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        app = self.app

        async def with_drop(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "extensions": {DROP: transport.close}}, receive, send)

        self.app = with_drop


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0: any free one.

    Raises:
        ConfigError: the port cannot be had.
    """
    try:
        listener = socket.create_server((host, port), backlog=128)
    except OSError as error:
        raise ConfigError(f"{join_endpoint(host, port)} cannot be bound; choose another --port") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each answer waits 40 ms for an ACK
    return listener


def run(app: ASGIApp, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``ready`` is called once clients are answered."""
    server = _server(app)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _tell, server)
        ready()
        await server.serve(sockets=[listener])

    asyncio.run(main())


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve in a thread on a free loopback port; yield ``http://host:port``."""
    listener = bind("127.0.0.1", 0)
    server = _server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="stand-in")
    thread.start()
    try:
        yield f"http://{join_endpoint(*listener.getsockname()[:2])}"
    finally:
        _tell(server)
        thread.join()
        listener.close()


def announce(path: Path, *, url: str, token: str, root: str) -> None:
    """Write the ready file; it appears whole, or not yet, and only its owner reads it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(json.dumps({"url": url, "token": token, "log": root + LOG_PATH}), "utf-8")
    draft.replace(path)


def _tell(server: uvicorn.Server) -> None:
    server.should_exit = True


def _server(app: ASGIApp) -> uvicorn.Server:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    config = uvicorn.Config(
        application,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,  # pyright: ignore[reportArgumentType]  it takes fractions as well
    )
    return _Server(config)
