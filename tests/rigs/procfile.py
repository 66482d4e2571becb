"""The Procfile of this project under honcho, with a real Redis and a real PostgreSQL: ``make demo-redis``."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.rigs import services
from tests.rigs.gatepost import ROOT, Gatepost, demo_mail, environment, run
from tests.rigs.services import answers, free_port, wait_until


class Processes(Gatepost):
    """All the processes of the Procfile, started and ended by honcho."""

    def __init__(self, folder: Path, *, store: str, broker: str, more: str = "") -> None:
        self.store = store
        self.smtp, self.web = free_port(), free_port()
        config = (
            f'[store]\nurl = "{store}"\n[queue]\nbroker = "{broker}"\n'
            f'[smtp]\nlisten = ["127.0.0.1:{self.smtp}"]\n[web]\nlisten = "127.0.0.1:{self.web}"\n{more}'
        )
        super().__init__(folder, config)
        self.ports = {"smtp": f"127.0.0.1:{self.smtp}", "web": f"127.0.0.1:{self.web}"}

    def start(self) -> None:
        """Bring the database up to date, start honcho, and return once mail and web ports listen."""
        done = run("--config", str(self.config), "db", "upgrade", cwd=self.folder)
        assert done.returncode == 0, done.stderr.decode()
        bin_folder = str(Path(sys.executable).parent)
        env = environment(GATEPOST_CONFIG=str(self.config), PATH=f"{bin_folder}:{os.environ['PATH']}")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "honcho", "-f", str(ROOT / "Procfile"), "-d", str(self.folder), "start"],
                cwd=self.folder,
                env=env,
                stdout=log,
                stderr=log,
            )

        def listens() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            return answers(self.smtp) and answers(self.web)

        wait_until(listens, seconds=60, what="the Procfile's processes listening")

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            finally:
                self.process.kill()

    def children(self) -> list[int]:
        """Return the pids of every process below honcho, its grandchildren too."""
        assert self.process is not None
        found = [self.process.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += [int(child) for child in (task / "children").read_text().split()]
        return found[1:]


@contextlib.contextmanager
def running(folder: Path, more: str = "") -> Iterator[tuple[Processes, services.Redis]]:
    """Yield the Procfile's processes on services of their own."""
    with services.redis() as redis, services.postgres() as postgres:
        with Processes(folder, store=postgres.database("gatepost"), broker=redis.url, more=more) as processes:
            yield processes, redis


def main() -> int:
    """Show that a mail reaches its unit through every process of the Procfile."""
    with tempfile.TemporaryDirectory(prefix="gatepost-procfile-") as folder:
        print("starting Redis, PostgreSQL and the Procfile's processes on loopback ...", flush=True)
        with running(Path(folder)) as (processes, _):
            print((ROOT / "Procfile").read_text("utf-8"))
            began = time.monotonic()
            for name, caption in (("01", "moves in"), ("03", "is overlocked"), ("04", "is let in again")):
                mail_id = processes.send(demo_mail(name))
                processes.settle()
                unit = processes.unit("SITELINK-B204")
                assert unit is not None
                print(f"  250 queued as {mail_id}: Jane Smith {caption} -> {unit['state']} {unit['reason'] or ''}")
            print(f"  ready: {processes.get('/readyz').json()}")
            print(
                f"three mails through receiver, Redis, worker, PostgreSQL and units in {time.monotonic() - began:.1f} s"
            )
        log = processes.log()
    if "Traceback" in log:
        print(log)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
