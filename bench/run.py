"""Servers and loads as processes of their own, and what the kernel knows of them."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SENDER, RECIPIENT = "a@pms.test", "main@in.test"


class MissingTool(Exception):
    """A program that the bench needs is not installed; the message says how to get it."""


def need(program: str, package: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise MissingTool(f"{program} is missing: apt install {package}")
    return found


class Server:
    """A running server."""

    def __init__(self, popen: "subprocess.Popen[str]", port: int) -> None:
        self.pid = popen.pid
        self.port = port

    def memory_bytes(self, what: str) -> int:
        """Return ``VmRSS`` (now) or ``VmHWM`` (peak) of Linux."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
        raise KeyError(what)


@contextlib.contextmanager
def serving(kind: str, *options: str, preload: Path | None = None) -> Iterator[Server]:
    """Run ``stock`` or ``ours`` in a fresh directory, which goes with it."""
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as directory:
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TMPDIR": directory}
        if preload is not None:
            environment["LD_PRELOAD"] = str(preload)
        popen = subprocess.Popen(
            [sys.executable, "-m", "bench.server", kind, directory, *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert popen.stdout is not None
            yield Server(popen, int(popen.stdout.readline()))
        finally:
            popen.terminate()
            try:
                popen.wait(30)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
            if popen.stdout is not None:
                popen.stdout.close()


def load_command(server: Server, *, mails: int, connections: int, size: int, many: bool) -> list[str]:
    return [
        need("smtp-source", "postfix"),
        *("-s", str(connections), "-m", str(mails), "-l", str(size)),
        *(["-d"] if many else []),  # do not disconnect between mails
        *("-f", SENDER, "-t", RECIPIENT, f"127.0.0.1:{server.port}"),
    ]


def measure_rate(server: Server, *, mails: int, many: bool, size: int = 8192, connections: int = 50) -> float:
    """Return mails a second."""
    command = load_command(server, mails=mails, connections=connections, size=size, many=many)
    started_s = time.perf_counter()
    subprocess.run(command, check=True, timeout=300)
    return mails / (time.perf_counter() - started_s)
