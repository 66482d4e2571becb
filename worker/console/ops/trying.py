"""Try rules by the operator API: what ``gatepost parse`` and ``gatepost explain`` say of a mail. Nothing is stored."""

import base64
import binascii
import re

from parsers import RuleErrors, RuleSet
from worker.console.ops.asked import Asked, flag_field
from worker.console.ops.envelope import Answer, Refused
from worker.explained import explain_reading
from worker.reading import read_for
from worker.runtime import Runtime
from worker.telling import find_mailbox

TRY_BYTES = 4 << 20
"""Bytes of a whole request; it is read while the caller waits."""
RULE_CHARACTERS = 256 << 10
"""Characters of all rule files together."""
TOLD = 100
"""Mistakes of rule files that an answer names."""

_RULE_FILE = re.compile(r"[\w. -]{1,100}\.yaml", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+", re.ASCII)


def post_try(runtime: Runtime, asked: Asked) -> Answer:
    """Read a mail with some rules, or with the live ones, and say what comes of it."""
    needed = ("mail", "mailbox")
    checks = {"mail": _mail_field, "mailbox": _address_field, "rules": _rules_field, "trust": flag_field}
    wish = asked.read_fields(checks, needed=needed)
    mailbox = find_mailbox(runtime.mailboxes(), wish["mailbox"])
    rules = _load(runtime, wish["rules"]) if "rules" in wish else runtime.rules()
    reading, _, _ = read_for(wish["mail"], rules, mailbox, {"trusted": wish.get("trust", True)})
    return Answer(value=explain_reading(reading, runtime.settings, mailbox))


def _load(runtime: Runtime, files: dict[str, str]) -> RuleSet:
    """Return the set that some files make; refuse them with every mistake at its place."""
    try:
        return runtime.rulebook.read(files)
    except RuleErrors as broken:
        wrong = [("rules", str(error)) for error in broken.errors[:TOLD]]
        raise Refused(422, "The rules do not load.", wrong) from broken


def _mail_field(value: object) -> bytes:
    """Check a mail: base64 of its bytes, or its text. A text has headers, and so a colon, which base64 has not."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a mail: base64 of its bytes, or its text")
    if _BASE64.fullmatch(value):
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except binascii.Error:
            raise ValueError("is neither base64 nor a text with headers") from None
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("holds a character that no text has: send base64") from None


def _address_field(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be the address of a mailbox")
    return value


def _rules_field(value: object) -> dict[str, str]:
    """Check rule files: their texts by their names."""
    if not isinstance(value, dict) or not value:
        raise ValueError('must be an object of texts, such as {"harbor.yaml": "pack: harbor …"}')
    for name, text in value.items():
        if not _RULE_FILE.fullmatch(name):
            raise ValueError("each name must end in .yaml, and hold letters, digits, spaces, dots, _ and - only")
        if not isinstance(text, str):
            raise ValueError(f"{name} must be a text")
    if sum(map(len, value.values())) > RULE_CHARACTERS:
        raise ValueError(f"all files together must be at most {RULE_CHARACTERS} characters")
    return value
