"""Events of rule files: what is told of a unit, and which field fills it."""

from collections.abc import Mapping
from typing import Final

from parsers.errors import RuleError, nearest
from parsers.events import FACTS, FLAGS, TENANCY, Kind
from parsers.fieldnodes import NAMES_GIVEN
from parsers.nodes import NodeReader
from parsers.rule import EventSpec, FieldValue, Literal, NamedSpecs, Type, ValueSpec, Words
from parsers.template import BadTemplate, Template
from parsers.yamltree import Node, Table

OCCUPIED: Final = "occupied"
"""What a snapshot says of a tenancy: whether there is one."""
EVENT_KEYS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.MOVE_IN: ("unit", *TENANCY),
    Kind.MOVE_OUT: ("unit", "on", "expect"),
    Kind.PATCH: ("unit", "expect", *FACTS),
    Kind.SNAPSHOT: ("unit", OCCUPIED, *TENANCY, *FACTS),
}
NEEDED_KEYS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.MOVE_IN: ("unit", "pms_tenant_id", "move_in_date"),
    Kind.MOVE_OUT: ("unit",),
    Kind.PATCH: ("unit",),
    Kind.SNAPSHOT: ("unit",),
}
EXPECT_KEYS: Final = ("pms_tenant_id", "ledger_id")
FLAG_KEYS: Final = (OCCUPIED, *FLAGS)
VALUE_KEYS: Final = ("value", "if")
WORDS_KEYS: Final = ("from", "true", "false")
_TYPES_OF: Final[Mapping[str, tuple[Type, ...]]] = {
    **dict.fromkeys(("unit", "pms_tenant_id", "ledger_id", "pms_status_raw"), (Type.TEXT,)),
    **dict.fromkeys(("move_in_date", "on", "paid_through_date"), (Type.DATE, Type.DATETIME)),
    "balance_due": (Type.MONEY,),
    **dict.fromkeys(FLAG_KEYS, (Type.FLAG,)),
}
"""What a field's type must be where it is used."""


class EventReader(NodeReader):
    """Reads events."""

    def __init__(self, file: str, errors: list[RuleError]) -> None:
        super().__init__(file, errors)
        self._listed = False

    def event(self, node: Node, types: Mapping[str, Type], *, listed: bool = False) -> EventSpec | None:
        """Return one event that is made of the fields in `types`; `listed`: once for each item of a list."""
        self._listed = listed
        kinds = self.table(node, tuple(EVENT_KEYS), "an event")
        if len(kinds) != 1:
            self.fault(node, f"an event is exactly one of {', '.join(EVENT_KEYS)}")
            return None
        ((word, body),) = kinds.items()
        kind = Kind(word)
        keys = self.table(body, EVENT_KEYS[kind], kind)
        for needed in NEEDED_KEYS[kind]:
            if needed not in keys:
                self.fault(body, f"`{kind}` needs the key `{needed}`")
        if kind is Kind.PATCH and not keys.keys() & set(FACTS):
            self.fault(body, f"`patch` names at least one of {', '.join(FACTS)}")
        if kind is Kind.SNAPSHOT:
            self._check_snapshot(body, keys)
        named = _tenancy_node(keys.get("unit"))
        tenancy = self._tenancy(kind, keys["unit"], named, types) if named else ()
        apart = ("expect", "unit") if named else ("expect",)
        specs = {
            key: spec for key, value in keys.items() if key not in apart and (spec := self._spec(key, value, types))
        }
        expect = self.table(keys.get("expect"), EXPECT_KEYS, "expect")
        unit = specs.pop("unit", None)
        if unit is None and not tenancy:
            return None
        return EventSpec(
            kind=kind,
            line=node.line,
            column=node.column,
            unit=unit,
            on=specs.pop("on", None),
            values=tuple(specs.items()),
            expect=self._named(expect, types),
            tenancy=tenancy,
        )

    def _tenancy(self, kind: Kind, unit: Node, node: Node, types: Mapping[str, Type]) -> NamedSpecs:
        """Return what finds the unit by its tenancy."""
        self.table(unit, ("tenancy",), "the unit")
        if kind is Kind.MOVE_IN:
            self.fault(unit, "a move-in names its unit: nobody lives there yet")
        named = self._named(self.table(node, EXPECT_KEYS, "tenancy"), types)
        if not named:
            self.fault(node, f"`tenancy` names at least one of {', '.join(EXPECT_KEYS)}")
        return named

    def _named(self, keys: Mapping[str, Node], types: Mapping[str, Type]) -> NamedSpecs:
        return tuple((key, spec) for key, value in keys.items() if (spec := self._spec(key, value, types)))

    def _check_snapshot(self, body: Node, keys: Mapping[str, Node]) -> None:
        """See that a snapshot states something, and of a tenancy enough to be one."""
        if not keys.keys() & {OCCUPIED, *FACTS}:
            self.fault(body, f"`snapshot` names at least one of {', '.join((OCCUPIED, *FACTS))}")
        needed = (OCCUPIED, "pms_tenant_id", "move_in_date")
        if keys.keys() & set(TENANCY) and not keys.keys() >= set(needed):
            self.fault(body, f"a `snapshot` that names a tenancy names {', '.join(needed)}")

    def _spec(self, key: str, node: Node, types: Mapping[str, Type]) -> ValueSpec | None:
        """Return what `key` of an event is filled with: a field, a flag, a field's words, or a template."""
        if_single = False
        if isinstance(node, Table):
            keys = self.table(node, (*VALUE_KEYS, *WORDS_KEYS), f"the value of `{key}`")
            if "from" in keys:
                return self._words(key, node, keys, types)
            if_single = self._if_single(keys.get("if"))
            if "value" not in keys:
                self.fault(node, f"the value of `{key}` needs the key `value` or `from`")
                return None
            node = keys["value"]
        text = self.text(node, f"the value of `{key}`")
        wanted = _TYPES_OF.get(key)
        if "{{" in text or "{%" in text:
            if if_single:
                self.fault(node, "`if: single` is for a field, not for a template", text)
            return self._template(key, text, node, types)
        if key in FLAG_KEYS and text in ("true", "false"):
            return Literal(value=text == "true")
        if text not in types:
            if text:
                self.fault(node, f"unknown field `{text}`", text, nearest(text, types))
            return None
        if wanted and types[text] not in wanted:
            self.fault(node, f"`{key}` takes a field of type {wanted[0]}; `{text}` is {types[text]}", text)
        return FieldValue(name=text, if_single=if_single)

    def _if_single(self, node: Node | None) -> bool:
        """Return whether a value counts only where the list has one item."""
        is_single = self.word(node, ("single",), "if", "") == "single"
        if node is not None and not self._listed:
            self.fault(node, "`if: single` is for a rule whose `each` goes through a list")
        return is_single

    def _words(self, key: str, node: Table, keys: Mapping[str, Node], types: Mapping[str, Type]) -> Words | None:
        """Return a flag that the word of a field tells."""
        if key not in FLAG_KEYS:
            self.fault(node, f"`from` tells a flag by its words: one of {', '.join(FLAG_KEYS)}", key)
        trues = self.texts(keys.get("true"), "a word")
        falses = self.texts(keys.get("false"), "a word")
        if not trues or not falses or keys.keys() & set(VALUE_KEYS):
            self.fault(node, f"`{key}` needs the words of both `true` and `false` beside `from`, and nothing else")
        for word in trues:
            if word.casefold() in {other.casefold() for other in falses}:
                self.fault(keys["true"], f"the word `{word}` stands for true and for false", word)
        name = self.text(keys["from"], "from")
        if name and types.get(name) is not Type.TEXT:
            if name in types:
                self.fault(keys["from"], f"`from` names a field of type text; `{name}` is {types[name]}", name)
            else:
                self.fault(keys["from"], f"unknown field `{name}`", name, nearest(name, types))
            return None
        return Words(name=name, trues=trues, falses=falses) if name else None

    def _template(self, key: str, text: str, node: Node, types: Mapping[str, Type]) -> Template | None:
        if _TYPES_OF.get(key) != (Type.TEXT,):
            self.fault(node, f"`{key}` takes a field, not a template", text)
            return None
        try:
            made = Template(text, (*types, *NAMES_GIVEN))
        except BadTemplate as error:
            self.fault(node, str(error), text, error.nearest)
            return None
        for name in sorted(made.names):
            if types.get(name) is Type.LIST:
                self.fault(node, f"`{name}` is a list: a template takes one item, which `each` names", text)
        for name in sorted(made.dated - {"occurred_on"}):
            if types.get(name, Type.TEXT) not in (Type.DATE, Type.DATETIME):
                self.fault(node, f"the filter `date` takes a date; `{name}` is {types.get(name, Type.TEXT)}", text)
        return made


def _tenancy_node(unit: Node | None) -> Node | None:
    """Return what names the tenancy by which a unit is found; None where the mail names the unit itself."""
    return (
        next((value for key, value in unit.items if key.text == "tenancy"), None) if isinstance(unit, Table) else None
    )
