"""Changes of attached JSON files that a rule takes values from."""

import email
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from parsers.rule import Field, From, Type
from tests.mutants.cases import Case, is_needed
from tests.mutants.draft import Draft
from tests.mutants.harmless import Mutation, same
from tests.mutants.sheets import entity, with_part
from tests.mutants.truth import Must, Mutant, must_without

_NO_DATES: Final = ("2026-02-30", "05/01/2026", "soon", 20260501, True, ["2026-05-01"])
_ODD: Final = {
    Type.DATE: _NO_DATES, Type.DATETIME: _NO_DATES, Type.MONEY: (True, "a lot", [1], 1.234, "1e3", {}),
    Type.TEXT: (True, ["B204"], {"id": "B"}, 1.5, "[[unit]]", "{{ unit }}"),
}  # fmt: skip
_DECOYS: Final = {"unit": "Z999", "previous_unit_id": "Z999", "tenant": {"unit_id": "Z999"}, "n": 1.5, "old": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """The JSON file of a mail: which part it is, its name and what it holds."""

    place: int
    name: str
    value: dict[str, Any]
    fields: Mapping[str, Field]
    """The fields that it states, by their paths; without the one that tells when it happened."""

    def within(self, draft: Draft, text: str) -> Draft:
        """Return the mail with another text as the file."""
        return with_part(draft, self.place, entity(self.name, text.encode()))


def _item(case: Case, draft: Draft) -> _Item | None:
    """Return the JSON file of a mail that tells events by it."""
    rule = case.rule
    if rule is None or not case.is_told or not rule.when.json:
        return None
    place, part = next((n, part) for n, part in enumerate(draft.parts) if b"json" in part.lower())
    message = email.message_from_bytes(part)
    octets = message.get_payload(decode=True)
    assert isinstance(octets, bytes)
    value = json.loads(octets)
    paths = {source.words[0]: field for field in rule.fields for source in field.sources if source.kind is From.JSON}
    fields = {path: field for path, field in paths.items() if _at(value, path) is not None}
    return _Item(place=place, name=message.get_filename() or "", value=value, fields=fields)


def _at(value: Mapping[str, Any], path: str) -> Any:
    found: Any = value
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _put(value: Mapping[str, Any], path: str, *to: Any) -> dict[str, Any]:
    """Return an object with another value at a path; without the name where none is given."""
    name, _, rest = path.partition(".")
    inner = (_put(value[name], rest, *to),) if rest else to
    kept = {key: one for key, one in value.items() if key != name}
    return {**kept, name: inner[0]} if inner else kept


def attached_json_otherwise(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Write the names in another order, and otherwise set."""
    item = _item(case, draft)
    if item is None:
        return None
    names = chance.sample(sorted(item.value), len(item.value))
    text = json.dumps({name: item.value[name] for name in names}, indent=chance.choice((None, 1, "\t")))
    return same(item.within(draft, text))


def attached_json_other_names(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    item = _item(case, draft)
    if item is None:
        return None
    free = {name: value for name, value in _DECOYS.items() if name not in item.value}
    inside = item.value | {"data": {**item.value["data"], **free}}
    return same(item.within(draft, json.dumps(chance.choice(({**free, **item.value}, inside)))))


def attached_json_name_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    item = _item(case, draft)
    if item is None:
        return None
    needed = [path for path, field in item.fields.items() if is_needed(field)]
    path = chance.choice([*needed, *(path for path, _ in case.rule.when.json)] if case.rule else needed)
    less = _put(item.value, path) if chance.random() < 0.7 else _put(item.value, path, None)
    return Mutant(draft=item.within(draft, json.dumps(less)), must=Must.HELD, field=item.fields.get(path))


def attached_json_optional_name_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    item = _item(case, draft)
    found = {path: field for path, field in item.fields.items() if not is_needed(field)} if item else {}
    if item is None or not found:
        return None
    path = chance.choice(sorted(found))
    less = item.within(draft, json.dumps(_put(item.value, path)))
    return Mutant(draft=less, must=must_without(found[path]), field=found[path], old=str(_at(item.value, path)))


def attached_json_value_of_another_type(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    item = _item(case, draft)
    if item is None:
        return None
    path, field = chance.choice(sorted(item.fields.items(), key=lambda one: one[0]))
    odd = _put(item.value, path, chance.choice(_ODD[field.type]))
    return Mutant(draft=item.within(draft, json.dumps(odd)), must=Must.HELD, field=field)


def attached_json_name_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    item = _item(case, draft)
    if item is None:
        return None
    name = chance.choice(sorted(item.value["data"]))
    text = json.dumps(item.value["data"])[:-1] + f', {json.dumps(name)}: "Z999"}}'
    whole = json.dumps(item.value | {"data": "HERE"}).replace('"HERE"', text)
    return Mutant(draft=item.within(draft, whole), must=Must.HELD)


def attached_json_broken(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    item = _item(case, draft)
    if item is None:
        return None
    text = json.dumps(item.value)
    broken = (text[:-1], text[1:], text.replace('"', "'"), text[: len(text) // 2], text + "}", text[:-1] + ",}")
    return Mutant(draft=item.within(draft, chance.choice(broken)), must=Must.HELD)


def attached_json_of_another_event(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    item = _item(case, draft)
    if item is None:
        return None
    odd = chance.choice(("tenant.updated", "payment.failed", "", None, 1, ["tenant.created"], "tenant.created "))
    return Mutant(draft=item.within(draft, json.dumps(_put(item.value, "event", odd))), must=Must.HELD)


def attached_json_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Attach a second file of the event that says another thing."""
    item = _item(case, draft)
    if item is None:
        return None
    path = chance.choice([path for path, field in item.fields.items() if field.type is Type.TEXT])
    second = entity("event.json", json.dumps(_put(item.value, path, "Z999")).encode())
    parts = chance.sample((*draft.parts, second), len(draft.parts) + 1)
    return Mutant(draft=replace(draft, parts=tuple(parts)), must=Must.HELD)


HARMLESS_JSON: Final[tuple[Mutation, ...]] = (attached_json_otherwise, attached_json_other_names)
HARMFUL_JSON: Final[tuple[Mutation, ...]] = (
    attached_json_name_dropped, attached_json_optional_name_dropped, attached_json_value_of_another_type,
    attached_json_name_twice, attached_json_broken, attached_json_of_another_event, attached_json_twice,
)  # fmt: skip
