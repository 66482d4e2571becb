"""A TCP proxy on loopback that can stop forwarding: what a network does that swallows packets."""

import contextlib
import socket
import threading
from types import TracebackType

PIECE_BYTES = 65_536


class Proxy:
    """Forwards every connection to a port of loopback, as long as it is told to."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._forwards = threading.Event()
        self._forwards.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._turn = threading.Lock()
        self._is_closed = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._forwards.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._turn:
            for one in self._open:
                _end(one)

    def swallow(self) -> None:
        """Forward nothing from now on; connections are still taken, and stay open."""
        self._forwards.clear()

    def forward(self) -> None:
        """Forward again, what was kept back first."""
        self._forwards.set()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._forwards.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = (client, server)
        with self._turn:
            self._open.update(pair)
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        with self._turn:
            self._open.difference_update(pair)
        for one in pair:
            one.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                self._forwards.wait()
                sink.sendall(piece)
        _end(source)
        _end(sink)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
