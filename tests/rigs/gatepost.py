"""Gatepost as a process of its own: started with a configuration, spoken to over SMTP and HTTP, ended by its pid."""

import datetime as dt
import json
import os
import signal
import smtplib
import subprocess
import sys
import tomllib
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tests.rigs.services import wait_until
from worker.store import counts
from worker.store.database import Database

ROOT = Path(__file__).resolve().parent.parent.parent
FIXTURES = ROOT / "fixtures"
COMMAND = (sys.executable, "-m", "worker.cli")
TOKEN = "units-token-of-the-tests"


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child: ours, without settings of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEPOST_")}
    return {**kept, "PYTHONPATH": str(ROOT), "GATEPOST_UNITS_TOKEN": TOKEN, **more}


def run(*arguments: str, cwd: Path, stdin: bytes | None = None, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run one command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(**env),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=120,
    )


class Gatepost:
    """A ``gatepost up`` (or another process with a ready file) in a folder."""

    def __init__(self, folder: Path, config: str = "", *, command: str = "up", dev: bool = False, **env: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "gatepost.toml"
        text = config if "[smtp]" in config else config + '\n[smtp]\nlisten = ["127.0.0.1:0"]\n'
        text = text if "[web]" in text else text + '\n[web]\nlisten = "127.0.0.1:0"\n'
        text = text if "[store]" in text else text + f'\n[store]\nurl = "sqlite:///{folder / "gatepost.db"}"\n'
        self.config.write_text(text, "utf-8")
        self._command = command
        self._options = ["--dev"] if dev else []
        self._env = env
        self.process: subprocess.Popen[bytes] | None = None
        self.ports: dict[str, str] = {}

    def __enter__(self) -> "Gatepost":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def start(self) -> None:
        """Start it, and return once it listens."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "--config", str(self.config), self._command, *self._options, "--ready-file", str(ready)],
                cwd=self.folder,
                env=environment(**self._env),
                stdout=log,
                stderr=log,
            )

        def is_ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            return ready.exists()

        wait_until(is_ready, what=f"gatepost {self._command} listening")
        self.ports = json.loads(ready.read_text("utf-8"))

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """Ask it to end; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def hang_up(self) -> None:
        """Tell it to read its configuration again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def log(self) -> str:
        """Return what it has logged."""
        return (self.folder / "log").read_text("utf-8")

    def send(self, raw: bytes, to: str = "sitelink@demo.test", sender: str = "pms@sitelink.com") -> str:
        """Send one mail over SMTP; return its id."""
        host, _, port = self.ports["smtp"].rpartition(":")
        with smtplib.SMTP(host, int(port), timeout=30) as client:
            client.ehlo("pms.example.com")
            client.mail(sender)
            client.rcpt(to)
            code, text = client.data(raw)
        assert code == 250, text
        return text.decode().rpartition(" ")[2]

    def cli(self, *arguments: str) -> Any:
        """Return what a command prints as JSON."""
        done = run("--config", str(self.config), *arguments, "--json", cwd=self.folder)
        assert done.returncode in (0, 1), done.stderr.decode()
        assert done.stdout, done.stderr.decode()
        return json.loads(done.stdout)

    def settle(self) -> None:
        """Wait until nothing is due."""
        url = tomllib.loads(self.config.read_text("utf-8"))["store"]["url"]
        database = Database(url)

        def is_idle() -> bool:
            with database.read() as connection:
                return not any(counts.busy(connection, now=dt.datetime.now(dt.UTC)).values())

        try:
            wait_until(is_idle, seconds=60, what="gatepost coming to rest")
        finally:
            database.close()

    def unit(self, crm_unit_id: str) -> dict[str, Any] | None:
        """Return a local unit as the API shows it; None when it is unknown."""
        url = f"http://{self.ports['web']}/api/v2/units/{crm_unit_id}"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)
        return None if answer.status_code == 404 else answer.raise_for_status().json()["data"]

    def get(self, path: str) -> httpx.Response:
        """Return a page of the web port."""
        return httpx.get(f"http://{self.ports['web']}{path}", trust_env=False, timeout=20)


def demo_mail(name: str) -> bytes:
    """Return a mail of the demo's story by the beginning of its file name."""
    (path,) = sorted((FIXTURES / "demo").glob(f"{name}*.eml"))
    return path.read_bytes()
