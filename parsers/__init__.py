"""The parser library: bytes of a mail and rules in, unit events out; pure, and usable without the service.

from pathlib import Path
from parsers import Mailbox, load_rules, parse_mail

rules = load_rules([Path("rules")])
mailbox = Mailbox(address="main-st@in.example.com", company="acme", location="MAIN-ST")
reading = parse_mail(raw, rules, mailbox=mailbox)
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from parsers.events import Event, Kind

if TYPE_CHECKING:
    from parsers.directory import Directory, MapErrors, UnitMap, read_unit_map
    from parsers.errors import ParserError, RuleError, RuleErrors, Unreadable
    from parsers.load import load_rules, load_rules_text
    from parsers.mail import Mail, read_mail
    from parsers.mailbox import Mailbox
    from parsers.parse import parse, parse_mail
    from parsers.reading import Outcome, Reading
    from parsers.rule import Pack, Rule, RuleSet

_HOMES = {
    "Directory": "directory",
    "MapErrors": "directory",
    "UnitMap": "directory",
    "read_unit_map": "directory",
    "ParserError": "errors",
    "RuleError": "errors",
    "RuleErrors": "errors",
    "Unreadable": "errors",
    "load_rules": "load",
    "load_rules_text": "load",
    "Mail": "mail",
    "read_mail": "mail",
    "Mailbox": "mailbox",
    "Outcome": "reading",
    "Reading": "reading",
    "parse": "parse",
    "parse_mail": "parse",
    "Pack": "rule",
    "Rule": "rule",
    "RuleSet": "rule",
}
"""Where each name lives: imported when first asked for, so that importing one costs no other's libraries."""

__all__ = [
    "Directory",
    "Event",
    "Kind",
    "Mail",
    "Mailbox",
    "MapErrors",
    "Outcome",
    "Pack",
    "ParserError",
    "Reading",
    "Rule",
    "RuleError",
    "RuleErrors",
    "RuleSet",
    "UnitMap",
    "Unreadable",
    "load_rules",
    "load_rules_text",
    "parse",
    "parse_mail",
    "read_mail",
    "read_unit_map",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"parsers.{_HOMES[name]}"), name)


class _Package(ModuleType):
    """Keeps `parsers.parse` the function: importing the module of that name would put the module in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "parse" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
