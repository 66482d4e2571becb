"""``gatepost standin`` as a process: it says where it listens, does what its options say, and ends when it is told."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.rigs.gatepost import COMMAND, environment, run
from tests.rigs.services import wait_until

UNITS = "crm_unit_id,unit_name,pms_location_code,unit_id\nMAIN-B204,B204,MAIN,01JZZZZZZZZZZZZZZZZZZZZZZZ\n"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], dict[str, str]]]]:
    """Start a stand-in; return the process and what its ready file says."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*options: str) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
        ready = tmp_path / "ready.json"
        arguments = [*COMMAND, "standin", *options, "--ready-file", str(ready)]
        process = subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE)
        begun.append(process)

        def is_ready() -> bool:
            assert process.poll() is None
            return ready.exists()

        wait_until(is_ready, what="the stand-in listening")
        return process, json.loads(ready.read_text("utf-8"))

    yield begin
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_it_serves_what_it_was_asked_for_until_it_is_told(start: Any, tmp_path: Path) -> None:
    """Profile, units, token and delay are those of the options; SIGTERM ends it though an answer is held back."""
    (tmp_path / "units.csv").write_text(UNITS, "utf-8")
    process, ready = start("kiss", "--profile", "kiss-ulid-2", "--units", "units.csv", "--token", "chosen")
    assert set(ready) == {"url", "token", "log"}
    assert (ready["token"], (tmp_path / "ready.json").stat().st_mode & 0o777) == ("chosen", 0o600)
    headers = {"Authorization": "Bearer chosen"}
    listed = httpx.get(ready["url"] + "/units", headers=headers, trust_env=False).json()
    assert [(row["external_unit_id"], row["unit_id"][-3:]) for row in listed["data"]] == [("MAIN-B204", "ZZZ")]
    assert httpx.get(ready["log"], trust_env=False).json()["requests"][0]["path"] == "/api/v2/units"
    process.terminate()
    assert process.wait(20) == 0
    assert b"token  chosen" in process.stdout.read()


def test_an_answer_that_is_held_back_does_not_hold_up_the_end(start: Any) -> None:
    """SIGTERM ends it while a client waits for an answer that is an hour away; the client gets none."""
    process, ready = start("kiss", "--delay", "3600s", "--port", "0")
    failed: list[type[Exception]] = []

    def wait() -> None:
        try:
            httpx.get(ready["url"] + "/units", trust_env=False, timeout=60)
        except httpx.HTTPError as error:
            failed.append(type(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: httpx.get(ready["log"], trust_env=False).json()["requests"], what="the request in the log")
    process.terminate()
    assert process.wait(20) == 0
    waiting.join()
    assert failed == [httpx.RemoteProtocolError]


def test_faults_are_those_of_the_options(start: Any) -> None:
    """Failures, drops, rate and seed of the command line reach the server."""
    _, ready = start("kiss", "--fail", "503:50%", "--fail", "500:0.5", "--seed", "3", "--rate", "60/min")
    headers = {"Authorization": f"Bearer {ready['token']}"}
    seen = [httpx.get(ready["url"] + "/units", headers=headers, trust_env=False).status_code for _ in range(8)]
    assert set(seen) == {503, 500}
    assert len(ready["token"]) > 20


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("nobody",), "nobody"),
        (("kiss", "--profile", "kiss-v9"), "known: kiss-v2"),
        (("kiss", "--fail", "503"), "STATUS:SHARE"),
        (("kiss", "--fail", "503:60%", "--drop", "50%"), "more than 100%"),
        (("kiss", "--units", "missing.csv"), "missing.csv"),
        (("kiss", "--rate", "1/s"), "60/min"),
    ],
)
def test_a_wrong_option_is_told(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    """A mistake ends it with 2 and says what to write."""
    done = run("standin", *options, cwd=tmp_path)
    assert (done.returncode, told in done.stderr.decode()) == (2, True), done.stderr.decode()
