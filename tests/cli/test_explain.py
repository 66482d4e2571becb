"""``gatepost explain`` on a terminal and off it."""

import json
import os
import pty
import subprocess
from pathlib import Path

from tests.docs.schema import faults
from tests.rigs.gatepost import COMMAND, FIXTURES, Gatepost, environment, run

MAIL = str(FIXTURES / "sitelink" / "01-move-in-text.eml")
EXPLAIN = ("explain", MAIL, "--mailbox", "sitelink@demo.test", "--trust")


def on_a_terminal(cwd: Path, **extra: str) -> str:
    """Return what the command prints to a terminal."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, *EXPLAIN], cwd=cwd, env={**environment(), **extra}, stdout=theirs, timeout=60, check=True
        )
        assert done.returncode == 0
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux tells the end of a terminal so
                piece = b""
            if not piece:
                return said.decode()
            said += piece
    finally:
        os.close(ours)


def test_colours_are_for_terminals(tmp_path: Path) -> None:
    """On a terminal the lines are coloured, unless NO_COLOR is set; in a pipe they are plain, and the same."""
    plain = run(*EXPLAIN, cwd=tmp_path).stdout.decode()
    assert "\x1b" not in plain
    assert "(sitelink.yaml:" in plain
    assert "calls    of each event as the only event of its unit, to the destination `local`" in plain
    assert on_a_terminal(tmp_path, NO_COLOR="1").replace("\r", "") == plain
    assert "\x1b[36mfield    " in on_a_terminal(tmp_path)


def test_a_file_is_told_with_the_calls_that_are_then_made(tmp_path: Path) -> None:
    """Of events that are the only ones of their unit, method, path, body and key are those that are really sent."""
    words = ("explain", MAIL, "--mailbox", "sitelink@demo.test", "--trust", "--json")
    told = json.loads(run(*words, cwd=tmp_path).stdout)
    with Gatepost(tmp_path / "up") as gatepost:
        gatepost.send(Path(MAIL).read_bytes(), "sitelink@demo.test")
        gatepost.settle()
        (mail,) = gatepost.cli("mail", "list")
        events = gatepost.cli("mail", "show", mail["id"])["events"]
    made = [(call["request"], call["body"], call["key"]) for event in events for call in event["calls"]]
    assert [event["state"] for event in events] == ["applied", "applied"]
    assert [(call["request"], call["body"], call["key"]) for call in told["calls"]] == made
    assert [call["event"] for call in told["calls"]] == [0, 1]
    assert faults(told, "explain.json") == []
