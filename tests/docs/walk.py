"""Walk a page: its commands are run in order, beside a running Gatepost, and print what the page says."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from pathlib import Path

from click.testing import CliRunner

from tests.rigs.gatepost import ROOT, Gatepost
from tests.rigs.services import wait_until
from worker.cli import main

LEFT_OUT = "…"
"""A line of a page that stands for any number of lines."""

_BLOCKS = r"console|yaml overlay|toml mailbox|csv [\w.-]+"
"""The blocks of a page that are acted on; a CSV file has its name behind it."""

_CHANGING = (
    (r"(?m)^(\{\"|reading stored mails).*\n", ""),
    (r"\b[0-9a-f]{24}\b", "MAIL"),
    (r"\b[0-9a-f]{16}\b", "SET"),
    (r"\bsince 20\d\d-\d\d-\d\d", "since DAY"),
    (r"\b20\d\d-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:\d\d|Z)?", "TIME"),
    (r"\bgpi?1-\w+", "KEY"),
    (r"(\.yaml):\d+", r"\1:LINE"),
    (r"\b(event|call|set|issue) \d+", r"\1 N"),
    (r"\b\d+ packs(?:, \d+ rules)?", "PACKS"),
    (r"(withdrawn:) [\d, ]+", r"\1 N"),
    (r"(?m)^\d+  ", "N  "),
    (r"[ \t]+", " "),
)
"""What differs from run to run, and what stands in its place."""


class Walk:
    """A Gatepost, and the words that a page uses for what has another name in each run."""

    def __init__(self, gatepost: Gatepost) -> None:
        self.gatepost = gatepost
        self.names: dict[str, str] = {}
        self.failed = False
        """Whether the last command ended with another exit code than 0."""

    def send(self, raw: bytes, to: str, sender: str = "pms@sitelink.com") -> str:
        """Send a mail, wait until it has come to rest, and return its id; the page calls it MAIL."""
        self.names["MAIL"] = self.gatepost.send(raw, to, sender)
        self.gatepost.settle()
        return self.names["MAIL"]

    def await_issue(self, kind: str, word: str) -> None:
        """Wait until an issue of a kind is there whose title has a word; the page calls it ISSUE."""

        def found() -> bool:
            issues = self.gatepost.cli("issues", "list")
            here = [one["id"] for one in issues if one["kind"] == kind and word in one["title"]]
            self.names |= {"ISSUE": str(here[0])} if here else {}
            return bool(here)

        wait_until(found, what=f"an issue {kind}")

    def go(self, section: str, before: Sequence[Callable[["Walk"], None]]) -> Iterator[str]:
        """Walk a part of a page; yield each command that printed something else, and the line that it is about.

        ``before``: what happens before each block of commands.
        """
        happenings = iter(before)
        for info, text in re.findall(rf"^```({_BLOCKS})\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            if info == "toml mailbox":
                self.set_mailbox(text)
                continue
            if info != "console":
                self._write(info.partition(" ")[2], text)
                continue
            next(happenings, lambda _walk: None)(self)
            for command, expected in told(text):
                printed = self.run(command)
                if self.failed and expected.strip() == LEFT_OUT:
                    yield f"$ {command}\n  failed, and the page does not say so\n{printed}"
                elif fault := differs(self.plain(expected), printed):
                    yield f"$ {command}\n  {fault}\n{printed}"

    def set_mailbox(self, text: str) -> None:
        """Put the mailbox of a page in the configuration's place, and have it read again; it trusts this host."""
        head = self.gatepost.config.read_text("utf-8").partition("[[mailbox]]")[0]
        self.gatepost.config.write_text(head + text.replace("192.0.2.25/32", "127.0.0.0/8"), "utf-8")
        before = self.gatepost.log().count("reloaded")
        self.gatepost.hang_up()
        wait_until(lambda: self.gatepost.log().count("reloaded") > before, what="the new configuration")

    def _write(self, name: str, text: str) -> None:
        """Write a file of the page: one that extends a pack has its name from the pack."""
        if name == "overlay":
            pack = re.search(r"^extends: (\w+)$", text, re.MULTILINE)
            assert pack
            name = f"own/{pack[1]}-own.yaml"
        (self.gatepost.folder / name).write_text(text, "utf-8")

    def run(self, command: str) -> str:
        """Run a command of a page, and return what it prints."""
        for name, value in self.names.items():
            command = re.sub(rf"\b{name}\b", value, command)
        with chdir(self.gatepost.folder):
            done = CliRunner().invoke(main, shlex.split(command)[1:], catch_exceptions=False)
        self.failed = done.exit_code != 0
        if listed := re.search(r"\A.*\n(\d+) ", done.output) if " events list" in command else None:
            self.names["EVENT"] = listed[1]
        if " replay " in command and "--go" in command:
            wait_until(self._has_replayed, what="the replay")
        self.gatepost.settle()
        return self.plain(done.output)

    def _has_replayed(self) -> bool:
        return all(one["state"] == "done" for one in self.gatepost.cli("replay", "--list"))

    def plain(self, text: str) -> str:
        """Return a text without what differs from run to run."""
        text = text.replace(f"{self.gatepost.folder}/", "").replace(f"{ROOT}/", "")
        for pattern, word in _CHANGING:
            text = re.sub(pattern, word, text)
        return "\n".join(line.strip() for line in text.splitlines())


def told(block: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a block, each with what it says that is printed."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def differs(page: str, printed: str) -> str:
    """Return the first line of a page that was not printed in its place; empty when all were."""
    lines, at, may_skip = printed.splitlines(), 0, False
    for line in (line.strip() for line in page.splitlines()):
        if line == LEFT_OUT:
            may_skip = True
            continue
        found = next((n for n in range(at, len(lines) if may_skip else at + 1) if lines[n : n + 1] == [line]), None)
        if found is None:
            return line
        at, may_skip = found + 1, False
    return "" if may_skip or at == len(lines) else f"not on the page: {lines[at]}"


def parts(page: Path) -> dict[str, str]:
    """Return the parts of a page by their headings, blocks and all."""
    found = re.split(r"^## (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))
