"""What must hold of the reading of a mutant, and whether it does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from parsers.rule import Field, FieldValue, NamedSpecs, Rule, ValueSpec, Words
from parsers.template import Template
from tests.mutants.cases import Case, is_needed
from tests.mutants.draft import Draft

NOT_A_VALUE = ("incomplete", "invalid")
HELD = ("unmatched", "ambiguous", "incomplete", "invalid", "contradiction", "unreadable", "untrusted")
_TENANCY = ("pms_tenant_id", "ledger_id", "move_in_date", "unit_name", "pms_location_code")
Events = list[dict[str, Any]]


class Must(StrEnum):
    """What a change leaves true."""

    SAME = "the same events"  # with the same identities, in the same order
    SAME_ROWS = "the same events, in any order"
    SAME_ONCE = "the same events, said once or more, or a held mail"
    SAME_OR_HELD = "the same events, or a held mail"
    PART_OR_HELD = "some of the events, or a held mail"
    LESS_OR_HELD = "the events without what one optional field says, or a held mail"
    HELD = "a held mail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A changed mail, and what must hold of it."""

    draft: Draft
    must: Must
    field: Field | None = None
    """The field that no longer says what it said, if it is one."""
    beside: Field | None = None
    """The field that another part of the same line was for: the reason may name that one."""
    old: str = ""
    """What it said."""
    reasons: tuple[str, ...] = HELD
    """The outcomes with which it may be held."""


class Verdict(StrEnum):
    """How a mutant was read."""

    PARSED = "parsed"  # the same events
    LESS = "parsed without what was left out"
    HELD = "held"
    MISREAD = "misread"
    WRONG_REASON = "held with the wrong reason"

    @property
    def is_failure(self) -> bool:
        return self in (Verdict.MISREAD, Verdict.WRONG_REASON)


def judge(case: Case, mutant: Mutant, found: Mapping[str, Any]) -> Verdict:
    """Return what a reading of a mutant is, in the form of ``gatepost parse --json``."""
    events: Events = found["events"]
    if not case.is_told:
        return _of_silent(case, found)
    if not events:
        return _of_held(case, mutant, found)
    if _are_same(case.expected["events"], events, mutant.must):
        return Verdict.PARSED
    if mutant.must is Must.PART_OR_HELD and set(map(_told, events)) < set(map(_told, case.expected["events"])):
        return Verdict.LESS
    without = _left(case, mutant)
    if without is not None and sorted(map(_told, events)) == sorted(map(_told, without)):
        return Verdict.LESS
    return Verdict.MISREAD


def _left(case: Case, mutant: Mutant) -> Events | None:
    """Return what the mail still says; None unless it may say less."""
    if mutant.must is not Must.LESS_OR_HELD or mutant.field is None or case.rule is None:
        return None
    return lessened(case.expected["events"], mutant.field, mutant.old, case.rule)


def _of_silent(case: Case, found: Mapping[str, Any]) -> Verdict:
    """Judge a mutant of a mail that tells no events: it tells none, and is held or ignored as before.

    What is no value may lack where it is set below its label: both are held for their field.
    """
    if found["events"]:
        return Verdict.MISREAD
    outcomes = (found["outcome"], case.expected["outcome"])
    return Verdict.PARSED if len(set(outcomes)) == 1 or outcomes == NOT_A_VALUE else Verdict.WRONG_REASON


def _of_held(case: Case, mutant: Mutant, found: Mapping[str, Any]) -> Verdict:
    """Judge a reading without events of a mail that tells some."""
    if found["outcome"] not in HELD:  # nobody would look at it
        return Verdict.LESS if _left(case, mutant) == [] else Verdict.MISREAD
    if mutant.must in (Must.SAME, Must.SAME_ROWS):
        return Verdict.HELD
    if found["outcome"] not in mutant.reasons or not found["reason"]:
        return Verdict.WRONG_REASON
    names_field = mutant.field is None or found["outcome"] not in ("incomplete", "invalid") or _names(mutant, found)
    return Verdict.HELD if names_field else Verdict.WRONG_REASON


def _names(mutant: Mutant, found: Mapping[str, Any]) -> bool:
    """Say whether the reason names a field that was changed, by its name or by a label or column of it."""
    changed = [field for field in (mutant.field, mutant.beside) if field is not None]
    words = [word for field in changed for source in field.sources for word in (field.name, *source.words)]
    return any(f"`{word}`" in found["reason"] for word in words)


def _are_same(expected: Events, found: Events, must: Must) -> bool:
    if must is Must.HELD:
        return False
    if must is Must.SAME_ROWS:
        return sorted(map(_whole, expected)) == sorted(map(_whole, found))
    if must is Must.SAME_ONCE:
        return set(map(_told, expected)) == set(map(_told, found))
    return expected == found


def _whole(event: Mapping[str, Any]) -> str:
    return json.dumps(event, sort_keys=True)


def _told(event: Mapping[str, Any]) -> str:
    """Return what an event says, without what makes it itself."""
    return json.dumps({name: value for name, value in event.items() if name != "identity"}, sort_keys=True)


def lessened(events: Sequence[Mapping[str, Any]], field: Field, old: str, rule: Rule) -> Events:
    """Return what is left of some events when a field that a mail may lack no longer says `old`.

    A text that names the field holds its default in place of it; a patch without a fact left is none.
    """
    left: Events = []
    for event in events:
        spec = next(one for one in rule.all_events if one.kind == event["kind"])
        less = {**event, "body": _without(event["body"], field, old, spec.values)}
        less["expect"] = _without(event.get("expect", {}), field, old, spec.expect)
        if not less["expect"]:
            del less["expect"]
        if event["kind"] != "patch" or set(less["body"]) - set(_TENANCY):
            left.append(less)
    return left


def _without(values: Mapping[str, Any], field: Field, old: str, specs: NamedSpecs) -> dict[str, Any]:
    left = dict(values)
    for name, spec in specs:
        if name not in left or not _uses(spec, field):
            continue
        if isinstance(spec, Template) and field.default is not None:
            left[name] = left[name].replace(old, field.default)
        else:
            del left[name]
    return left


def _uses(spec: ValueSpec, field: Field) -> bool:
    if isinstance(spec, Template):
        return field.name in spec.names
    return isinstance(spec, FieldValue | Words) and spec.name == field.name


def must_without(field: Field) -> Must:
    """Return what must hold of a mail in which one source of a field finds nothing."""
    if is_needed(field):
        return Must.HELD
    return Must.SAME_OR_HELD if len(field.sources) > 1 else Must.LESS_OR_HELD
