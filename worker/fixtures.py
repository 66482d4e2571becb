"""Fixtures: ``NN-name.eml`` with ``NN-name.expected.json`` beside it; one way to read and compare them.

``expected.json`` holds ``expected`` (the output of ``gatepost parse --json``, less the rule set) and, where they differ
from the default, ``mailbox`` (overrides of the fixture's mailbox) and ``packs`` (those that the mailbox reads; all).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from parsers import Mailbox, Reading, RuleSet, Unreadable, parse_mail, read_mail
from parsers.parse import parse

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
DEFAULT_PACK = "sitelink"
"""Whose mailbox gets the mails of a folder that is not named as a pack: demo, forwards, near_miss, hostile."""


def find_fixtures(folder: Path, pack: str | None = None) -> list[Path]:
    """Return the mails below a folder that have an expectation, in order; only one pack's where it is named."""
    below = folder / pack if pack else folder
    return sorted(path for path in below.rglob("*.eml") if path.with_suffix(".expected.json").is_file())


def fixture_mailbox(pack: str, overrides: Mapping[str, Any]) -> Mailbox:
    """Return the mailbox that a pack's fixtures are for: the demo's."""
    return Mailbox(**{"address": f"{pack}@demo.test", "company": "demo", "location": pack.upper(), **overrides})


def read_fixture(path: Path, rules: RuleSet) -> tuple[Reading, dict[str, Any]]:
    """Return how a fixture is read, and what is expected of it."""
    wanted = json.loads(path.with_suffix(".expected.json").read_text("utf-8"))
    return _read_for(path, path.read_bytes(), rules, wanted), wanted["expected"]


def read_in_place_of(path: Path, raw: bytes, rules: RuleSet) -> Reading:
    """Return how another mail would be read in a fixture's place: in its mailbox, with its packs."""
    return _read_for(path, raw, rules, json.loads(path.with_suffix(".expected.json").read_text("utf-8")))


def _read_for(path: Path, raw: bytes, rules: RuleSet, wanted: Mapping[str, Any]) -> Reading:
    pack = path.parent.name if path.parent.name in rules.packs else DEFAULT_PACK
    mailbox = fixture_mailbox(pack, wanted.get("mailbox", {}))
    try:
        mail = read_mail(raw)
    except Unreadable:
        return parse_mail(raw, rules, mailbox=mailbox)
    return parse(mail, rules, mailbox=mailbox, packs=rules.packs_for(mail.from_domain, wanted.get("packs")))


def check_fixture(path: Path, rules: RuleSet) -> dict[str, Any]:
    """Return a fixture's file and the differences from what is expected, a line each; none when it is green."""
    reading, expected = read_fixture(path, rules)
    found = {name: value for name, value in reading.to_json().items() if name != "rule_set"}
    return {"file": str(path), "differences": list(_differences("", expected, found))}


def _differences(where: str, expected: Any, found: Any) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in [*expected, *(name for name in found if name not in expected)]:
            yield from _differences(f"{where}.{name}" if where else name, expected.get(name), found.get(name))
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (left, right) in enumerate(zip(expected, found, strict=True)):
            yield from _differences(f"{where}[{index}]", left, right)
    elif expected != found:
        yield f"{where}: expected {json.dumps(expected)}, found {json.dumps(found)}"
