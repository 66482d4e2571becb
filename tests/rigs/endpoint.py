"""An endpoint of webhooks: a listening server that answers as the test says."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "a-secret-of-the-tests"


class Endpoint:
    """A listening server that answers as the test says, and notes what it was sent."""

    def __init__(self, port: int = 0) -> None:
        self.statuses: list[int] = []
        """Of the next requests; 200 after them. 0 hangs up without an answer."""
        self.headers: dict[str, str] = {}
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.before: Callable[[], object] = lambda: None
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.before()
                endpoint.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = endpoint.statuses.pop(0) if endpoint.statuses else 200
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in endpoint.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook?a=b"

    def told(self) -> list[dict[str, Any]]:
        """Return what was told, each as it came."""
        return [json.loads(body) for _, body in self.got]

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
