"""Read one ``PmsEvent`` that came without a mail: by the rules of its pack, as if it stood in one.

The pack of the live rule set reads it; where that set has none, the one that ships. A snapshot, for which the pack has
no rule, is read by its parts: moment and unit as of a move-out, tenancy as of a move-in, facts as of a patch.

Errors:
    Untellable(Exception)   what is told does not fit; says which field, and why
"""

import datetime as dt
import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from email.utils import format_datetime

from parsers import Mailbox, Outcome, Reading, Rule, RuleSet, load_rules, parse, read_mail
from parsers.errors import ParserError
from parsers.events import FACTS, PLACE, TENANCY, Event, Kind, Value, canonical
from parsers.identity import canonical_text, identity_of, minute_of
from parsers.rule import Field, From
from parsers.template import template
from parsers.text import normal
from worker.configuration import SHIPPED_RULES
from worker.settings import nearest

PACK = "pmsevent"
COMMON = ("event", "mailbox", "unit", "crm_unit_id", "@context", "@type")
"""The names that every event may have, beside those that its rule reads."""

_ADVICE = re.compile(r": (?:if the wording changed|read the mail)\b.*", re.DOTALL)
_NAMED = re.compile(r"`(\w+)`")
_UNIT = "zqxunitxqz"


class Untellable(Exception):
    """What is told does not fit: what is wrong, by field."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        self.wrong = dict(wrong)
        super().__init__("; ".join(f"{name}: {text}" for name, text in wrong.items()))


def resolve_unit(told: Mapping[str, object], mailbox: Mailbox, known_as: str | None) -> dict[str, object]:
    """Return what is told with its unit as mails name it, where only the destination's id is given.

    ``known_as``: the unit that has been known by this id.

    Raises:
        Untellable: neither is given, or nobody knows the unit of the id.
    """
    crm_unit_id = told.get("crm_unit_id")
    if "crm_unit_id" in told and (not isinstance(crm_unit_id, str) or not crm_unit_id):
        raise Untellable({"crm_unit_id": "must be a text"})
    if "unit" in told:
        return dict(told)
    if not isinstance(crm_unit_id, str):
        raise Untellable({"unit": "is required, or crm_unit_id"})
    unit = known_as or _unit_of_id(crm_unit_id, mailbox)
    if unit is None:
        raise Untellable({"crm_unit_id": "no unit of the mailbox is known by this id: give `unit`"})
    return {**told, "unit": unit}


def _unit_of_id(crm_unit_id: str, mailbox: Mailbox) -> str | None:
    """Return the unit that the mailbox's map, or else its template, gives an id."""
    if mailbox.directory is not None:
        return next((entry.unit for entry in mailbox.directory.entries if entry.crm_unit_id == crm_unit_id), None)
    shape = template(mailbox.unit_id).fill({"location": mailbox.location, "unit": _UNIT})
    head, found, tail = shape.partition(_UNIT)
    fits = found and crm_unit_id.startswith(head) and crm_unit_id.endswith(tail)
    return crm_unit_id[len(head) : len(crm_unit_id) - len(tail)] or None if fits else None


def read_event(told: Mapping[str, object], rules: RuleSet, mailbox: Mailbox, *, now: dt.datetime) -> tuple[Event, str]:
    """Return the event that is told, and the id of the rule set that read it.

    Raises:
        Untellable: a field is missing, unknown, or does not fit.
    """
    rules = rules if PACK in rules.packs else _shipped()
    kind = told.get("event")
    if kind not in list(Kind):
        raise Untellable({"event": f"must be one of {', '.join(Kind)}"})
    if told.get("@type", "PmsEvent") != "PmsEvent":
        raise Untellable({"@type": "must be PmsEvent"})
    reader = _Reader(rules, mailbox, now)
    known = {*COMMON, *reader.names(Kind(str(kind)))}
    if unknown := [name for name in told if name not in known]:
        raise Untellable({name: f"is not a field of a {kind}{nearest(name, known)}" for name in unknown})
    if wrong := [name for name, value in told.items() if isinstance(value, dict | list) and name != "@context"]:
        raise Untellable(dict.fromkeys(wrong, "must be a plain value"))
    in_parts = kind == Kind.SNAPSHOT and not reader.rules_for(Kind.SNAPSHOT)
    event = reader.snapshot(told) if in_parts else reader.read(told)
    place = {name: told[name] for name in PLACE if name in told}
    if wrong := [name for name, value in place.items() if event.body.get(name) != value]:
        raise Untellable({name: f"the mailbox says `{event.body.get(name)}`" for name in wrong})
    return event, rules.id


@functools.cache
def _shipped() -> RuleSet:
    return load_rules([SHIPPED_RULES / f"{PACK}.yaml"])


class _Reader:
    """Reads blocks of structured data by the rules of the pack."""

    def __init__(self, rules: RuleSet, mailbox: Mailbox, now: dt.datetime) -> None:
        self._rules = rules
        self._mailbox = mailbox
        self._now = now

    def rules_for(self, kind: Kind) -> list[Rule]:
        """Return the rules that claim events of a kind."""
        return [rule for rule in self._rules.packs[PACK].rules if dict(rule.when.jsonld).get("event") == kind]

    def names(self, kind: Kind) -> set[str]:
        """Return the names that the rules of a kind read."""
        if kind is Kind.SNAPSHOT and not self.rules_for(kind):
            return {"occupied", *PLACE, *self.names(Kind.MOVE_IN), *self.names(Kind.PATCH)}
        own = {_name_of(one) for rule in self.rules_for(kind) for one in rule.all_fields}
        return own | set(PLACE if kind is Kind.MOVE_IN else ())

    def read(self, told: Mapping[str, object]) -> Event:
        """Return the one event of a block."""
        rules = self.rules_for(Kind(str(told["event"])))
        needed = [one for rule in rules[:1] for one in rule.fields if not one.optional and one.default is None]
        if wrong := [name for name in map(_name_of, needed) if told.get(name) in (None, "")]:
            raise Untellable(dict.fromkeys(wrong, "is required"))
        block = {name: value for name, value in told.items() if name not in ("mailbox", "crm_unit_id", *PLACE)}
        reading, date = self._reading(block)
        if reading.outcome is not Outcome.EVENTS or len(reading.events) != 1:
            raise Untellable(_wrong(reading, rules))
        (event,) = reading.events
        # The Date of a mail has whole seconds; what is told here has a finer moment.
        is_now = event.effective_at == date and "occurred_at" not in told
        happened_at = self._mailbox.local(self._now) if is_now else event.effective_at
        return replace(event, effective_at=happened_at, mailed_at=self._mailbox.local(self._now))

    def snapshot(self, told: Mapping[str, object]) -> Event:
        """Return the snapshot that a block states."""
        common = {name: told[name] for name in ("unit", "occurred_at", "id") if name in told}
        facts = {name: told[name] for name in FACTS if name in told}
        tenancy = {name: told[name] for name in TENANCY if name in told}
        occupied = told.get("occupied")
        if "occupied" in told and not isinstance(occupied, bool):
            raise Untellable({"occupied": "must be true or false"})
        if tenancy and not occupied:
            raise Untellable(dict.fromkeys(tenancy, "is said of a unit that is occupied only"))
        if not facts and occupied is None:
            raise Untellable({"event": "states nothing: give `occupied`, or a fact"})
        base = self.read({**common, "event": Kind.MOVE_OUT})
        body: dict[str, Value] = {"occupied": occupied} if isinstance(occupied, bool) else {}
        if occupied:
            body |= self.read({**common, **tenancy, "event": Kind.MOVE_IN}).body
        if facts:
            body |= self.read({**common, **facts, "event": Kind.PATCH}).body
        values = [("id", canonical_text(normal(str(told["id"]))))] if told.get("id") is not None else []
        stated = [(name, canonical_text(body[name])) for name in sorted(body)]
        identity = identity_of(
            company=self._mailbox.company,
            crm_unit_id=base.crm_unit_id or base.unit,
            occurrence=f"{PACK}/{Kind.SNAPSHOT}",
            kind=Kind.SNAPSHOT,
            ordinal=0,
            values=values or [*stated, ("minute", minute_of(base.effective_at))],
        )
        rule = f"{PACK}/{Kind.SNAPSHOT}"
        return replace(base, kind=Kind.SNAPSHOT, body=body, identity=identity, rule=rule, expect={}, on=None)

    def _reading(self, block: Mapping[str, object]) -> tuple[Reading, dt.datetime]:
        """Return the reading of a mail that would hold just the block, and its Date."""
        date = self._now.replace(microsecond=0)
        # What no text holds stays an escape of JSON.
        text = canonical({"@type": "PmsEvent", **block}).encode("utf-8", "backslashreplace")
        head = f"Date: {format_datetime(date)}\r\nContent-Type: application/ld+json; charset=utf-8\r\n"
        head += "Content-Transfer-Encoding: 8bit\r\n\r\n"
        try:
            mail = read_mail(head.encode() + text)
            return parse(mail, self._rules, mailbox=self._mailbox, packs=(PACK,)), self._mailbox.local(date)
        except ParserError as error:
            raise Untellable({"body": str(error)}) from error


def _name_of(field: Field) -> str:
    """Return the name in the data that a field of a rule reads; empty when it reads none."""
    return next((source.words[0] for source in field.sources if source.kind is From.JSONLD), "")


def _wrong(reading: Reading, rules: list[Rule]) -> dict[str, str]:
    """Return what a reading says is wrong, by the names of the data."""
    named = {one.name: _name_of(one) for rule in rules for one in rule.all_fields}
    text = _ADVICE.sub("", reading.reason or f"it does not read as one event: {reading.outcome}")
    text = text.removeprefix(f"{reading.rule}: ").replace("the mail states", "it states")
    found: list[str] = [word for word in _NAMED.findall(text) if word in named or word in named.values()]
    text = _NAMED.sub(lambda match: f"`{named.get(match[1], match[1])}`", text)
    by_field: dict[str, str] = {named.get(word, word): text for word in found}
    return by_field or {"unit" if "the unit" in text else "event": text}
