"""Real Redis and PostgreSQL on loopback, each in a folder of its own, ended by their own pid."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO


class Missing(Exception):
    """A service is not installed; `make deps` installs it."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(holds: Callable[[], bool], *, seconds: float = 30.0, what: str = "it") -> None:
    """Wait for a condition; raise TimeoutError naming it when it does not come."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Say whether something listens on a port of loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Redis:
    """A Redis server without persistence."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it answers."""
        program = shutil.which("redis-server")
        if program is None:
            raise Missing("redis-server")
        self._process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: answers(self.port), what="redis-server listening")

    def kill(self) -> None:
        """End it as a power cut would: what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop_answering(self) -> None:
        """Let it hold its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def answer_again(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class Postgres:
    """A PostgreSQL cluster of its own, run as the user postgres where the tests run as root."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        program = str(found[-1]) if found else shutil.which("initdb")
        if program is None:
            raise Missing("postgresql")
        self._bin = Path(program).parent
        self._folder = Path(tempfile.mkdtemp(prefix="gatepost-pg-"))
        self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if self._as:
            account = pwd.getpwnam("postgres")
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "-D", str(self._folder / "data"), "-U", "gatepost", "-A", "trust", "-E", "UTF8", "--no-sync"
        )

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as, str(self._bin / program), *arguments], capture_output=True, check=False, cwd=self._folder
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode())

    def start(self) -> None:
        """Start it with the settings that durability needs, and return once it takes connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = self._postgres(log)
        wait_until(self._is_up, what="postgres taking connections")

    def _postgres(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(*self._as, str(self._bin / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)),
                *("-h", "127.0.0.1", "-k", str(self._folder), "-c", "max_connections=100"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=self._folder,
        )

    def _is_up(self) -> bool:
        try:
            self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port))
        except RuntimeError:
            return False
        return True

    def database(self, name: str) -> str:
        """Make a database of this name and return its URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "gatepost", name)
        return f"postgresql://gatepost@127.0.0.1:{self.port}/{name}"

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks off what is under way, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """End it and remove its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def redis() -> Iterator[Redis]:
    """Yield a running Redis."""
    server = Redis()
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Yield a running PostgreSQL."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()
