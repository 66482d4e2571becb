"""``gatepost rules test``: every fixture, red or green, once or whenever something changes."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.gatepost import COMMAND, FIXTURES, ROOT, environment, run
from tests.rigs.services import wait_until
from worker.watching import changed, stamps_of


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with a pack and its fixtures, to be changed at will."""
    (tmp_path / "rules").mkdir()
    shutil.copy(ROOT / "rules" / "pmsevent.yaml", tmp_path / "rules")
    shutil.copytree(FIXTURES / "pmsevent", tmp_path / "fixtures" / "pmsevent")
    for told in ("13", "14", "15", "16", "17"):  # these are read with the pack sitelink, too
        for file in (tmp_path / "fixtures" / "pmsevent").glob(f"{told}-*"):
            file.unlink()
    return tmp_path


def spoil(work: Path) -> None:
    """Have the rule of move-ins look for the tenant where none stands."""
    pack = work / "rules" / "pmsevent.yaml"
    pack.write_text(pack.read_text("utf-8").replace("tenant_id:    {jsonld: pms_tenant_id}", "tenant_id: {jsonld: x}"))


TEST = ("rules", "test", "--rules", "rules", "--fixtures", "fixtures")


def test_every_fixture_is_named_green_or_red(work: Path) -> None:
    """Each fixture has its line; one that is red says which field differs and how, and the command ends with 1."""
    done = run(*TEST, cwd=work)
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, lines[-1]) == (0, "12 of 12 fixtures read as expected")
    assert sum(line.startswith("ok     fixtures/pmsevent/") for line in lines) == 12
    spoil(work)
    done = run(*TEST, cwd=work)
    said = done.stdout.decode()
    assert done.returncode == 1
    assert "FAILED fixtures/pmsevent/01-move-in.eml" in said
    assert '  outcome: expected "events", found "incomplete"' in said
    assert "ok     fixtures/pmsevent/04-move-out.eml" in said


def test_stamps_tell_what_came_went_and_changed(tmp_path: Path) -> None:
    """A file that is written, made or removed is told; what nobody touched is not."""
    for name in ("same", "written", "gone"):
        (tmp_path / name).write_text(name)
    before = stamps_of([tmp_path, tmp_path / "nowhere"])
    assert changed(before, stamps_of([tmp_path])) == []
    (tmp_path / "written").write_text("other")
    (tmp_path / "gone").unlink()
    (tmp_path / "made").write_text("")
    assert [path.name for path in changed(before, stamps_of([tmp_path]))] == ["gone", "made", "written"]


class Watching:
    """A ``rules test --watch`` that runs, and what it has said."""

    def __init__(self, work: Path) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *TEST, "--watch"],
            cwd=work,
            env=environment(PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def said(self, text: str, times: int = 1) -> None:
        """Wait until a line holds a text for so many times."""
        wait_until(lambda: sum(text in line for line in self.lines) >= times, what=f"`{text}`")

    def end(self) -> None:
        """End it, however it stands."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(30)
        self._reader.join(10)
        return code


@pytest.fixture
def watching(work: Path) -> Iterator[Watching]:
    """The command, watching."""
    made = Watching(work)
    yield made
    made.end()


def test_a_change_is_tested_at_once(work: Path, watching: Watching) -> None:
    """A spoilt rule is told, a broken file does not end it, a mended one is green; Ctrl-C ends it quietly."""
    pack = work / "rules" / "pmsevent.yaml"
    good = pack.read_text("utf-8")
    watching.said("12 of 12 fixtures read as expected")
    spoil(work)
    watching.said("changed: rules/pmsevent.yaml")
    watching.said("FAILED fixtures/pmsevent/01-move-in.eml")
    watching.said("watching", 2)
    pack.write_text(good.replace("senders:", "sendrs:"), "utf-8")
    watching.said("unknown key `sendrs`")
    watching.said("watching", 3)
    replacement = work / "new"
    replacement.write_text(good, "utf-8")
    os.replace(replacement, pack)
    watching.said("12 of 12 fixtures read as expected", 2)
    watching.said("watching", 4)
    assert watching.interrupt() == 0
    assert "Traceback" not in "".join(watching.lines)


def test_ctrl_c_on_red_ends_with_1(work: Path, watching: Watching) -> None:
    """Whoever ends it sees from the exit code whether all was green."""
    watching.said("watching")
    spoil(work)
    watching.said("watching", 2)
    assert watching.interrupt() == 1
