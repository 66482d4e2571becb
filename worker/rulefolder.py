"""A folder for rules of one's own: what ``gatepost rules init`` writes."""

import re
from collections.abc import Mapping
from pathlib import Path

from parsers import load_rules
from worker.fixtures import accept_fixture

_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")


class NotMade(Exception):
    """The folder cannot be made; says why, and what to do."""


def make_folder(folder: Path, *, pack: str, sender: str) -> list[Path]:
    """Write a repository of rules with one pack, one mail and its expectation; return its files.

    Raises:
        NotMade: something stands there already, or pack or sender are no names.
    """
    if not _NAME.fullmatch(pack):
        raise NotMade(f"`{pack}` cannot name a pack: small letters, digits and hyphens, a letter first")
    if not _DOMAIN.fullmatch(sender):
        raise NotMade(f"`{sender}` is not a domain; write one like {pack}.example")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotMade(f"{folder} is there and not empty: name a new folder")
    files = _files(pack, sender)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    mail = folder / _mail_name(pack)
    accept_fixture(mail, load_rules([folder / "rules"]))
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _mail_name(pack: str) -> str:
    return f"fixtures/{pack}/01-move-in.eml"


def _files(pack: str, sender: str) -> Mapping[str, str]:
    return {
        ".gitattributes": _GIT_ATTRIBUTES,
        ".gitignore": "__pycache__/\n.pytest_cache/\n.venv/\n",
        ".github/workflows/rules.yml": _CI,
        "README.md": _README.replace("PACK", pack),
        "pyproject.toml": _PYPROJECT.replace("PACK", pack),
        f"rules/{pack}.yaml": _RULES.replace("PACK", pack).replace("SENDER", sender),
        _mail_name(pack): _MAIL.replace("PACK", pack).replace("SENDER", sender).replace("\n", "\r\n"),
    }


_GIT_ATTRIBUTES = """\
# Line ends are part of a mail: a rewritten one is another mail, and its DKIM signature no longer holds.
*.eml -text
"""
_CI = """\
name: rules
on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: python -m pip install gatepost pytest
      - run: python -m pytest
"""
_PYPROJECT = """\
[project]
name = "PACK-rules"
version = "0"
description = "Rules that read the notification mails of PACK."
requires-python = ">=3.11"
dependencies = ["gatepost"]

[dependency-groups]
dev = ["pytest>=9"]

[tool.pytest.ini_options]
gatepost_rules = ["rules"]
testpaths = ["fixtures"]
"""
_README = """\
# Rules for PACK

`rules/` holds the pack, `fixtures/PACK/` one mail for each case and beside it what is expected of it.

    python -m pip install 'gatepost[worker]' pytest
    python -m pytest                                                   every mail is read as expected
    gatepost rules test --rules rules --fixtures fixtures --watch      the same, again at every change

A new case:

1. Save the mail as `fixtures/PACK/NN-name.eml`. Take out the names of real people before you commit it:
   `gatepost mail to-fixture FILE --redact` does so.
2. Change the rule until it reads what you mean.
3. `python -m pytest --gatepost-accept` writes the expectation. Look at it before you commit it.

To use the pack, put this folder's `rules` into `[rules] paths` of `gatepost.toml`, and `pms = ["PACK"]` into a mailbox.
"""
_RULES = """\
# The mails of PACK. A rule is data; every scalar is text until a field's `type` converts it.
pack: PACK
title: PACK
senders: [SENDER]            # whose mail may speak for this pack
dates: ["%m/%d/%Y"]          # the formats that its mails write; nothing is guessed

rules:
  - id: move-in
    when:
      subject: ^Move-in notice
    fields:
      unit:      {label: Unit}
      tenant_id: {label: Tenant ID}
      moved_in:  {label: Move-in date, type: date}
    ignore_lines: ["^Regards"]
    identity: [unit, tenant_id, moved_in]
    events:
      - move_in: {unit: unit, pms_tenant_id: tenant_id, move_in_date: moved_in}
"""
_MAIL = """\
From: Notices <notices@SENDER>
To: <PACK@demo.test>
Subject: Move-in notice
Date: Fri, 01 May 2026 10:05:00 -0500
Message-ID: <01@SENDER>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Unit: C12
Tenant ID: H-204
Move-in date: 05/01/2026

Regards
"""
