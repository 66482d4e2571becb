"""Processes that are killed and started again, one by one: those of the Procfile, ``gatepost up``, a stand-in."""

import contextlib
import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tests.rigs.gatepost import COMMAND, ROOT, Gatepost, environment, run
from tests.rigs.services import answers, free_port, wait_until


class Supervised:
    """Each line of the Procfile as a process of its own."""

    def __init__(self, folder: Path, config: Path, *, ports: dict[str, int]) -> None:
        """``ports``: by the name in the Procfile, of those that listen."""
        self._folder = folder
        self._config = config
        self._ports = ports
        lines = (ROOT / "Procfile").read_text("utf-8").splitlines()
        self._commands = {
            name: shlex.split(command.strip().removeprefix("exec gatepost "))
            for name, _, command in (line.partition(":") for line in lines if line.strip())
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._commands)

    def __enter__(self) -> "Supervised":
        done = run("--config", str(self._config), "db", "upgrade", cwd=self._folder)
        assert done.returncode == 0, done.stderr.decode()
        for name in self.names:
            self._begin(name)
        for name in self.names:
            self._wait_for(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self, name: str) -> None:
        """End a process as a power cut would, and start it again."""
        self._processes[name].kill()
        self._processes[name].wait()
        self._begin(name)
        self._wait_for(name)

    def children(self, name: str) -> list[int]:
        """Return the pids of a worker's pool: those of its children that are given tasks."""
        self._assert_alive(name)
        found = [self._processes[name].pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += [int(child) for child in (task / "children").read_text().split()]
        return [pid for pid in found[1:] if "--billiard-fork" in _command_line(pid)]

    def _assert_alive(self, name: str) -> None:
        """Hold that a process has not ended by itself: nobody starts it again, and the line would stand still."""
        status = self._processes[name].poll()
        assert status is None, f"{name} ended by itself with {status}:\n{self._log(name)[-4000:]}"

    def _log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text("utf-8")

    def _begin(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [*COMMAND, *self._commands[name]],
                cwd=self._folder,
                env=environment(GATEPOST_CONFIG=str(self._config)),
                stdout=log,
                stderr=log,
            )

    def _wait_for(self, name: str) -> None:
        """Wait until a process works: a database that goes away while it starts ends it."""

        def is_ready() -> bool:
            self._assert_alive(name)
            if name in self._ports:
                return answers(self._ports[name])
            return len(self.children(name)) > 0 if name == "worker" else '"started"' in self._log(name)

        wait_until(is_ready, seconds=60, what=f"the start of {name}")


class SupervisedUp:
    """``gatepost up``, as the one process that there is."""

    names = ("up",)

    def __init__(self, up: Gatepost) -> None:
        self._up = up

    def kill(self, name: str) -> None:
        """End it as a power cut would, and start it again."""
        self._up.kill()
        self._up.start()


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except OSError:
        return ""


class StandIn:
    """``gatepost standin kiss`` that listens."""

    def __init__(self, url: str, token_file: Path, log: str) -> None:
        self.url = url
        self.token_file = token_file
        self._log = log

    def shown(self) -> dict[str, Any]:
        """Return the log of what came, and what it holds now."""
        return httpx.get(self._log, trust_env=False, timeout=60).raise_for_status().json()

    def config(self, *, window: int = 16) -> str:
        """Return the destination's section of the configuration, and the mailbox that goes there."""
        return (
            f'\n[destination.kiss]\nkind = "kiss"\nbase_url = "{self.url}"\ntoken_file = "{self.token_file}"\n'
            f'window = {window}\nnew_units = "expected"\n'
            '[[mailbox]]\naddress = "sitelink@demo.test"\nlocation = "SITELINK"\ncompany = "demo"\n'
            'destination = "kiss"\npms = ["sitelink"]\ntrust = [{network = "127.0.0.0/8"}]\n'
        )


@contextlib.contextmanager
def standin(folder: Path, *options: str) -> Iterator[StandIn]:
    """Run a stand-in of KISS with faults."""
    folder.mkdir(parents=True, exist_ok=True)
    ready, token = folder / "standin.json", folder / "standin.token"
    token.write_text("token-of-the-stand-in", "utf-8")
    words = [*COMMAND, "standin", "kiss", "--token", "token-of-the-stand-in", "--ready-file", str(ready)]
    with (folder / "standin.log").open("ab") as log:
        process = subprocess.Popen([*words, *options], cwd=folder, env=environment(), stdout=log, stderr=log)
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None, what="the stand-in listening")
        assert process.poll() is None, (folder / "standin.log").read_text()
        told = json.loads(ready.read_text("utf-8"))
        yield StandIn(told["url"], token, told["log"])
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def listening_config(
    folder: Path, *, store: str, broker: str = "memory://", more: str = ""
) -> tuple[str, dict[str, int]]:
    """Return a configuration whose ports stay the same over restarts, and the ports by name of the Procfile."""
    ports = {"receiver": free_port(), "web": free_port()}
    text = (
        f'[store]\nurl = "{store}"\n[queue]\nbroker = "{broker}"\nconcurrency = 2\n'
        f'[smtp]\nlisten = ["127.0.0.1:{ports["receiver"]}"]\n[web]\nlisten = "127.0.0.1:{ports["web"]}"\n{more}'
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gatepost.toml").write_text(text, "utf-8")
    return text, ports
