"""The page of the first rule: each command, in a folder of its own, prints what the page says."""

import shlex
import shutil
from pathlib import Path

from tests.docs.pages import DOCS, blocks
from tests.rigs.gatepost import run

PAGE = DOCS / "first-rule.md"


def test_every_command_prints_what_the_page_says(tmp_path: Path) -> None:
    """The commands are run in the order of the page, each where the one before left off."""
    samples = [block.text for block in blocks("eml sample") if block.page == PAGE]
    for number, text in enumerate(samples, 1):
        (tmp_path / f"{number}.eml").write_bytes(text.replace("\n", "\r\n").encode())
    ran = 0
    for block in (block for block in blocks("console") if block.page == PAGE):
        for told in block.text.split("$ ")[1:]:
            command, _, expected = told.partition("\n")
            words = shlex.split(command)
            if words[0] == "cp":
                shutil.copy(tmp_path / words[1], tmp_path / words[2])
                continue
            done = run(*words[1:], cwd=tmp_path)
            said = done.stdout.decode() + done.stderr.decode()
            assert (command, said) == (command, expected)
            assert done.returncode == 0
            ran += 1
    assert (len(samples), ran) == (2, 5)
