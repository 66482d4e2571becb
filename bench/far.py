"""A destination that costs next to nothing, so that a bench measures its client: ``python -m bench.far FILE DELAY``.

It answers every write as KISS answers one that took effect, after the delay, and ``GET /`` with what came: a list of
method and path.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.rigs.services import wait_until

DONE = b'{"message":"Request successful.","data":{"unit_id":"01","applied_at":"2026-01-01T00:00:00Z"}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """A destination that listens."""

    url: str

    def requests(self) -> list[tuple[str, str]]:
        """Return the method and path of each write, in the order in which they came."""
        return [(method, path) for method, path in httpx.get(self.url, trust_env=False, timeout=60).json()]


@contextlib.contextmanager
def far_away(delay_s: float = 0.0) -> Iterator[Far]:
    """Run it in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as folder:
        ready = Path(folder) / "port"
        process = subprocess.Popen([sys.executable, "-m", "bench.far", str(ready), str(delay_s)])
        try:
            wait_until(lambda: ready.exists() or process.poll() is not None, what="the destination listening")
            yield Far(url=f"http://127.0.0.1:{int(ready.read_text())}")
        finally:
            process.terminate()
            process.wait(20)


class _Connection(asyncio.Protocol):
    def __init__(self, delay_s: float, came: list[tuple[str, str]]) -> None:
        self._delay_s = delay_s
        self._came = came
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take one request after the other; a client waits for its answer before the next."""
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        lengths = [int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")]
        if not end or len(body) < sum(lengths):
            return
        self._read = b""
        method, path = lines[0].decode().split(" ")[:2]
        if method == "GET":
            self._answer(json.dumps(self._came).encode())
            return
        self._came.append((method, path))
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._answer, DONE)
        else:
            self._answer(DONE)

    def _answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


async def _serve(ready: Path, delay_s: float) -> None:
    came: list[tuple[str, str]] = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(delay_s, came), sock=listener)
    draft = ready.with_suffix(".draft")
    draft.write_text(str(listener.getsockname()[1]), "utf-8")
    draft.replace(ready)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), float(sys.argv[2])))
