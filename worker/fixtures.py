"""Fixtures: ``NN-name.eml`` with ``NN-name.expected.json`` beside it; one way to read, compare and accept them.

``expected.json`` holds ``expected`` (the output of ``gatepost parse --json``, less the rule set) and, where they differ
from the default, ``mailbox`` (overrides of the fixture's mailbox) and ``packs`` (those that the mailbox reads; all).
``gatepost rules test``, the pytest plugin and our own suite all go through here. Only the parser library is needed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from parsers import Mailbox, Reading, RuleSet, Unreadable, parse_mail, read_mail
from parsers.parse import parse

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"
SHIPPED_RULES = ROOT / "rules"
DEFAULT_PACK = "sitelink"
"""Whose mailbox gets the mails of a folder that is not named as a pack: demo, forwards, near_miss, hostile."""


class BadExpectation(Exception):
    """An ``.expected.json`` that is none; says which, and what is wrong with it."""


def expectation_of(mail: Path) -> Path:
    """Return the file that says how a mail is to be read."""
    return mail.with_suffix(".expected.json")


def find_fixtures(folder: Path, pack: str | None = None) -> list[Path]:
    """Return the mails below a folder that have an expectation, in order; only one pack's where it is named."""
    below = folder / pack if pack else folder
    return sorted(path for path in below.rglob("*.eml") if expectation_of(path).is_file())


def folders_beside(rule_paths: Iterable[Path]) -> list[Path]:
    """Return each folder ``fixtures`` that stands beside a folder of rules; Gatepost's own where none does."""
    beside = ((path if path.is_dir() else path.parent).resolve().parent / "fixtures" for path in rule_paths)
    return [folder for folder in dict.fromkeys(beside) if folder.is_dir()] or [FIXTURES]


def fixture_mailbox(pack: str, overrides: Mapping[str, Any]) -> Mailbox:
    """Return the mailbox that a pack's fixtures are for: the demo's."""
    return Mailbox(**{"address": f"{pack}@demo.test", "company": "demo", "location": pack.upper(), **overrides})


def mailbox_pack(folder: Path, rules: RuleSet) -> str:
    """Return the pack whose mailbox gets the mails of a folder: the one of its name, else a fixed one of the set."""
    if folder.name in rules.packs or not rules.packs:
        return folder.name
    return DEFAULT_PACK if DEFAULT_PACK in rules.packs else min(rules.packs)


def read_fixture(path: Path, rules: RuleSet) -> tuple[Reading, dict[str, Any]]:
    """Return how a fixture is read, and what is expected of it.

    Raises:
        BadExpectation: its ``.expected.json`` is not what it should be.
    """
    wanted = _wanted(expectation_of(path))
    return _read(path, path.read_bytes(), rules, wanted), wanted["expected"]


def read_in_place_of(path: Path, raw: bytes, rules: RuleSet) -> Reading:
    """Return how another mail would be read in a fixture's place: in its mailbox, with its packs.

    Raises:
        BadExpectation: the fixture's ``.expected.json`` is not what it should be.
    """
    return _read(path, raw, rules, _wanted(expectation_of(path)))


def check_fixture(path: Path, rules: RuleSet) -> dict[str, Any]:
    """Return a fixture's file and the differences from what is expected, a line each; none when it is green.

    Raises:
        BadExpectation: its ``.expected.json`` is not what it should be.
    """
    reading, expected = read_fixture(path, rules)
    return {"file": str(path), "differences": list(_differences("", expected, _told(reading)))}


def accept_fixture(path: Path, rules: RuleSet) -> bool:
    """Write how a mail is read now as what is expected of it; return whether that changed its ``.expected.json``.

    What the file says of mailbox and packs stays. A mail without an expectation gets one.

    Raises:
        BadExpectation: its ``.expected.json`` is not what it should be.
    """
    file = expectation_of(path)
    before = file.read_text("utf-8") if file.is_file() else ""
    wanted = _wanted(file) if before else {}
    after = written({**wanted, "expected": _told(_read(path, path.read_bytes(), rules, wanted))})
    if after != before:
        file.write_text(after, "utf-8")
    return after != before


def written(wanted: Mapping[str, Any]) -> str:
    """Return an expectation as its file holds it."""
    return json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"


def _wanted(file: Path) -> dict[str, Any]:
    try:
        wanted = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadExpectation(f"{file}: is not JSON that can be read: {error}") from error
    if not isinstance(wanted, dict) or not isinstance(wanted.get("expected"), dict):
        raise BadExpectation(f"{file}: is an object with the key `expected`, which holds what `gatepost parse` prints")
    if strange := sorted(wanted.keys() - {"expected", "mailbox", "packs"}):
        raise BadExpectation(f"{file}: unknown key `{strange[0]}`; known: expected, mailbox, packs")
    return wanted


def _read(path: Path, raw: bytes, rules: RuleSet, wanted: Mapping[str, Any]) -> Reading:
    try:
        mailbox = fixture_mailbox(mailbox_pack(path.parent, rules), wanted.get("mailbox", {}))
    except (TypeError, ValueError) as error:
        raise BadExpectation(f"{expectation_of(path)}: `mailbox` makes no mailbox: {error}") from error
    try:
        mail = read_mail(raw)
    except Unreadable:
        return parse_mail(raw, rules, mailbox=mailbox)
    return parse(mail, rules, mailbox=mailbox, packs=rules.packs_for(mail.from_domain, wanted.get("packs")))


def _told(reading: Reading) -> dict[str, Any]:
    return {name: value for name, value in reading.to_json().items() if name != "rule_set"}


def _differences(where: str, expected: Any, found: Any) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in [*expected, *(name for name in found if name not in expected)]:
            yield from _differences(f"{where}.{name}" if where else name, expected.get(name), found.get(name))
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (left, right) in enumerate(zip(expected, found, strict=True)):
            yield from _differences(f"{where}[{index}]", left, right)
    elif expected != found:
        yield f"{where}: expected {json.dumps(expected)}, found {json.dumps(found)}"
