"""Names of templates that no field gives: the columns of unit maps that must have them. Pure.

A template may name a column of the unit map (``parsers/template.py``), and which maps there are is known here only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from parsers import RuleError, RuleSet
from parsers.directory import RESERVED
from parsers.errors import nearest
from parsers.rule import EventSpec, Pack, Rule
from parsers.template import Template

_GIVEN = frozenset(("occurred_on", "mailbox", "location"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A mailbox, as far as the columns of its map are concerned."""

    address: str
    packs: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A name of a template that no field of its rule gives."""

    pack: Pack
    rule: Rule
    spec: EventSpec
    name: str
    is_needed: bool


def find_unknown(rules: RuleSet, readers: Sequence[Reader]) -> list[RuleError]:
    """Return the names that are neither a field nor a column of any map that their pack is read with."""
    found: list[RuleError] = []
    for named in _names(rules):
        columns = _columns_for(named.pack, readers)
        if named.name not in columns:
            found.append(
                RuleError(
                    file=named.rule.path,
                    line=named.spec.line,
                    column=named.spec.column,
                    message=f"unknown name `{named.name}`: no field of {named.rule.name}, "
                    "and no column of a unit map that the pack is read with",
                    text=named.name,
                    nearest=nearest(named.name, (*named.rule.names, *_GIVEN, *columns)),
                )
            )
    return found


def find_lacking(rules: RuleSet, readers: Sequence[Reader]) -> list[str]:
    """Return a line for each mailbox whose map lacks a column that a template of its packs cannot do without."""
    return [
        f"mailbox {reader.address} reads {named.rule.name}, which names `{named.name}`: its unit map has no such "
        f"column{_hint(named.name, reader.columns)}, so these mails will be held incomplete"
        for named in _names(rules)
        for reader in readers
        if named.pack.name in reader.packs
        and named.is_needed
        and named.name not in reader.columns
        and named.name in _columns_for(named.pack, readers)
    ]


def _names(rules: RuleSet) -> Iterator[_Named]:
    for pack in rules.packs.values():
        for rule in pack.rules:
            given = _GIVEN.union(rule.names)
            for spec in rule.all_events:
                needed = _needed(spec)
                for name in sorted(spec.names - given):
                    yield _Named(pack=pack, rule=rule, spec=spec, name=name, is_needed=name in needed)


def _needed(spec: EventSpec) -> frozenset[str]:
    specs = [spec.unit, spec.on, *(value for _, value in (*spec.values, *spec.expect))]
    return frozenset(name for value in specs if isinstance(value, Template) for name in value.needed)


def _columns_for(pack: Pack, readers: Iterable[Reader]) -> Mapping[str, None]:
    """Return the columns of all maps that a pack is read with, in order."""
    return {
        column: None
        for reader in readers
        if pack.name in reader.packs
        for column in reader.columns
        if column not in RESERVED
    }


def _hint(name: str, columns: Iterable[str]) -> str:
    near = nearest(name, columns)
    return f" (did you mean `{near}`?)" if near else ""
