"""A server on loopback that follows a script, well or badly."""

import contextlib
import socket
import threading
from collections.abc import Callable

Script = Callable[["Peer"], None]


class Peer:
    """One connection, as a scripted server sees it."""

    def __init__(self, connection: socket.socket, server: "Server") -> None:
        self.connection = connection
        self.server = server

    def read_request(self) -> bool:
        """Read one request and keep it; False at the end of the connection."""
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += (piece := self.connection.recv(65_536))
            if not piece:
                return False
        head, _, body = seen.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += self.connection.recv(65_536)
        self.server.requests.append((head, body))
        self.server.asked.set()
        return True

    def say(self, answer: bytes) -> None:
        self.connection.sendall(answer)

    def drip(self, answer: bytes, pause_s: float = 0.02) -> None:
        """Send a byte now and then; note it when the client has gone before the end."""
        try:
            for n in range(len(answer)):
                self.connection.sendall(answer[n : n + 1])
                self.server.stop.wait(pause_s)
        except OSError:
            self.server.left_early.set()

    def wait_for_end(self) -> None:
        """Say nothing until the client goes."""
        with contextlib.suppress(OSError):
            while self.connection.recv(65_536):
                pass
        self.server.left_early.set()


class Server:
    """A server on loopback that follows a script on each connection."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.asked = threading.Event()
        self.left_early = threading.Event()
        self.stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api/v2"

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.stop.is_set():
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._talk, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.script(Peer(connection, self))

    def close(self) -> None:
        self.stop.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self._listener.getsockname()).close()
        for thread in list(self._threads):
            thread.join()
        self._listener.close()
