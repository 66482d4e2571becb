"""``gatepost explain`` on a terminal and off it."""

import os
import pty
import subprocess
from pathlib import Path

from tests.rigs.gatepost import COMMAND, FIXTURES, environment, run

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
    assert "calls    are made of what the store knows" in plain
    assert on_a_terminal(tmp_path, NO_COLOR="1").replace("\r", "") == plain
    assert "\x1b[36mfield    " in on_a_terminal(tmp_path)
