"""Changes of structured data (JSON-LD) in a mail."""

import json
import re
from dataclasses import replace
from random import Random
from typing import Any, Final

from parsers.rule import Type
from tests.mutants.cases import Case
from tests.mutants.draft import Draft, Pairs, Raw
from tests.mutants.harmless import Mutation, same, swap
from tests.mutants.truth import Must, Mutant, must_without

_SCRIPT = re.compile(r'(<script type="application/ld\+json">)(.*?)(</script>)', re.DOTALL)
_NEEDED: Final = ("@type", "event")
_NO_DATES: Final = ("2026-02-30", "05/01/2026", "soon", 20260501, True, ["2026-05-01"], {"on": "2026-05-01"})


def _blocks(case: Case, draft: Draft) -> list[tuple[int, dict[str, Any]]]:
    """Return the objects that stand in scripts, by their places."""
    found: list[tuple[int, dict[str, Any]]] = []
    for place, block in enumerate(draft.body):
        match = _SCRIPT.search(block.html) if isinstance(block, Raw) and case.is_structured else None
        if match:
            value = json.loads(match[2])
            if isinstance(value, dict) and "@graph" not in value:
                found.append((place, value))
    return found


def _written(draft: Draft, place: int, text: str) -> Draft:
    block = draft.body[place]
    assert isinstance(block, Raw)
    return swap(draft, place, replace(block, html=_SCRIPT.sub(lambda found: found[1] + text + found[3], block.html)))


def _one(case: Case, draft: Draft, chance: Random) -> tuple[int, dict[str, Any]] | None:
    """Return the one object that says what the mail says; None where further parts or the text say it, too."""
    found = _blocks(case, draft)
    says_more = bool(draft.parts) or any(isinstance(block, Pairs) for block in draft.body)
    return found[0] if len(found) == 1 and not says_more else None


def names_in_another_order(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _one(case, draft, chance)
    if found is None:
        return None
    place, value = found
    names = chance.sample(sorted(value), len(value))
    text = json.dumps({name: value[name] for name in names}, indent=chance.choice((None, 1, "\t")))
    return same(_written(draft, place, text))


def other_names(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _one(case, draft, chance)
    if found is None:
        return None
    place, value = found
    more = {
        "unit_size": "10x15",
        "previous_unit": "Z999",
        "Unit": "Z999",
        "tenant": {"unit": "Z999"},
        "x": None,
        "n": 1.5,
    }
    return same(_written(draft, place, json.dumps(chance.choice(({**more, **value}, {**value, **more})))))


def within_a_list(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _one(case, draft, chance)
    if found is None:
        return None
    place, value = found
    other = {"@type": "Invoice", "unit": "Z999"}
    listed = [value] if chance.random() < 0.5 else [other, value]
    return same(_written(draft, place, json.dumps(chance.choice((listed, {"@graph": listed})))))


def name_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _one(case, draft, chance)
    if found is None:
        return None
    place, value = found
    name = chance.choice(sorted(value))
    text = json.dumps(value)[:-1] + f', {json.dumps(name)}: "Z999"}}'
    return Mutant(draft=_written(draft, place, text), must=Must.HELD)


def broken_json(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _one(case, draft, chance)
    if found is None:
        return None
    place, value = found
    text = json.dumps(value)
    cut = chance.choice(
        (text[:-1], text[1:], text.replace('"', "'"), text[: len(text) // 2], text + "}", text[:-1] + ",}")
    )
    return Mutant(draft=_written(draft, place, cut), must=Must.HELD)


def name_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _one(case, draft, chance)
    if found is None or case.rule is None:
        return None
    place, value = found
    fields = {word: field for field in case.rule.fields for source in field.sources for word in source.words}
    names = [name for name in value if name in _NEEDED or (name in fields and name != "id")]
    name = chance.choice(names)
    less = {key: one for key, one in value.items() if key != name}
    if name in _NEEDED:
        return Mutant(draft=_written(draft, place, json.dumps(less)), must=Must.HELD)
    if name == "unit" or not fields[name].optional:
        return Mutant(draft=_written(draft, place, json.dumps(less)), must=Must.HELD, field=fields[name])
    if len(case.expected["events"]) != 1 or set(case.expected["events"][0]["body"]) <= {name}:
        return None  # a patch that states nothing is ignored, which is right
    return Mutant(
        draft=_written(draft, place, json.dumps(less)), must=must_without(fields[name]), field=fields[name],
        old=str(value[name]),
    )  # fmt: skip


def value_of_another_type(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _one(case, draft, chance)
    if found is None or case.rule is None:
        return None
    place, value = found
    fields = {word: field for field in case.rule.all_fields for source in field.sources for word in source.words}
    names = [name for name in value if name in fields]
    name = chance.choice(names)
    kind = fields[name].type
    odd = {
        Type.DATE: _NO_DATES, Type.DATETIME: _NO_DATES, Type.FLAG: ("maybe", 1, 0, [True], {}),
        Type.MONEY: (True, "a lot", [1], 1.234, "1e3", {}), Type.TEXT: (True, ["B204"], {"id": "B"}, 1.5, "[[unit]]"),
    }[kind]  # fmt: skip
    return Mutant(
        draft=_written(draft, place, json.dumps({**value, name: chance.choice(odd)})),
        must=Must.HELD,
        field=fields[name],
    )


def broken_beside(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Add a second object that tells an event and cannot be read: what is told is then less than was sent."""
    found = _blocks(case, draft)
    if not found:
        return None
    place, value = found[0]
    text = json.dumps({**value, "unit": "Z999"})
    cut = chance.choice((text[:-1], text + "}", text[:-1] + ",}", text[:-1] + ', "unit": "Z998"}'))
    script = Raw(html=f'<script type="application/ld+json">{cut}</script>')
    body = (*draft.body[:place], *chance.sample((draft.body[place], script), 2), *draft.body[place + 1 :])
    return Mutant(draft=replace(draft, body=body), must=Must.HELD)


def another_kind(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _one(case, draft, chance)
    if found is None:
        return None
    place, value = found
    name = chance.choice(_NEEDED)
    odd = chance.choice(("transfer", "reserved", "", 1, None, ["PmsEvent"], "moveIn", "pmsevent "))
    return Mutant(draft=_written(draft, place, json.dumps({**value, name: odd})), must=Must.HELD)


HARMLESS_STRUCTURED: Final[tuple[Mutation, ...]] = (names_in_another_order, other_names, within_a_list)
HARMFUL_STRUCTURED: Final[tuple[Mutation, ...]] = (
    name_twice, broken_json, name_dropped, value_of_another_type, another_kind, broken_beside,
)  # fmt: skip
