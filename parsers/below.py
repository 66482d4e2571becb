"""What stands below a label: a value that is stacked under it, or the next sentence of the mail."""

from typing import Final

from parsers.events import IDS
from parsers.rule import EventSpec, FieldValue, NamedSpecs, Rule
from parsers.template import Template

_FEW: Final = 3
"""Words that make a sentence at the least; characters that a unit without a digit has at the most."""


def is_prose(text: str) -> bool:
    """Say whether a text is a sentence or a courtesy, by its punctuation or by words in small letters."""
    words = text.split()
    small = sum(word.isalpha() and word.islower() for word in words)
    return text[-1] in ",!?" or (len(words) >= _FEW and 2 * small > len(words))


def is_like_an_id(text: str) -> bool:
    """Say whether a text may be told from a word of the mail: it holds a digit or is very short."""
    return len(text) <= _FEW or any(sign.isdigit() for sign in text)


def fields_of_ids(rule: Rule) -> frozenset[str]:
    """Return the names of the fields that name a unit, a tenant or a ledger."""
    names = frozenset[str]().union(*(_ids_of(spec) for spec in rule.all_events))
    return names | {rule.listed.field} if rule.listed and rule.listed.name in names else names


def _ids_of(spec: EventSpec) -> set[str]:
    told: NamedSpecs = tuple((name, one) for name, one in spec.values if name in IDS)
    found: set[str] = set()
    for one in (spec.unit, *(one for _, one in (*told, *spec.expect, *spec.tenancy))):
        if isinstance(one, FieldValue):
            found.add(one.name)
        elif isinstance(one, Template):
            found |= one.names
    return found
