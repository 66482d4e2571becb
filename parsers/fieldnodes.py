"""Fields of rule files: where a value stands, and what it is converted to."""

from collections.abc import Mapping
from typing import Final

from parsers.errors import nearest
from parsers.nodes import NodeReader, whole_number
from parsers.pattern import Pattern
from parsers.rule import Field, From, Occurred, Source, Type
from parsers.yamltree import Items, Node, Scalar

SOURCES: Final = tuple(kind for kind in From if kind is not From.COLUMN)
"""What a value of the whole mail may be taken from."""
ROW_SOURCES: Final = (From.COLUMN, From.CONST)
"""What a value of a row may be taken from."""
PATTERN_SOURCES: Final = (From.REGEX, From.SUBJECT)
"""Sources that are a pattern."""
WORD_SOURCES: Final = (From.LABEL, From.COLUMN)
"""Sources that may be a list of spellings; each other one is a single text."""
NAMES_GIVEN: Final = ("occurred_on", "mailbox", "location")
"""What templates may name beside the rule's fields."""
FIELD_KEYS: Final = (
    "type", "optional", "default", "pattern", "true", "false", "credit", "split", "after", "before", "nth",
)  # fmt: skip
OCCURRED_KEYS: Final = (*SOURCES, "type", "pattern", "optional", "at", "shift_days")
CREDITS: Final = ("zero", "refuse")
_MAX_NTH: Final = 50
_MAX_SHIFT: Final = 31


class FieldReader(NodeReader):
    """Reads fields, and what tells when it happened."""

    def fields(self, node: Node | None, what: str = "fields", known: tuple[From, ...] = SOURCES) -> tuple[Field, ...]:
        """Return the fields of a mapping; `known` are the sources that they may have."""
        return tuple(self.field(name, value, known) for name, value in self.table(node, None, what).items())

    def field(self, name: str, node: Node, known: tuple[From, ...] = SOURCES) -> Field:
        """Return one field: a mapping, or a list of mappings that hold its sources (the first holds the rest)."""
        if not name.isidentifier() or name in NAMES_GIVEN:
            self.fault(node, f"`{name}` cannot name a field", name)
        sources: list[Source] = []
        keys: dict[str, Node] = {}
        for place, item in enumerate(self.items(node)):
            found = self.table(item, (*known, *(FIELD_KEYS if place == 0 else ())), f"the field `{name}`")
            sources += self._sources(item, found, name, known)
            keys = keys or found
        kind = Type(self.word(keys.get("type"), tuple(Type), "type", Type.TEXT))
        self._check_region(keys, sources, name)
        return Field(
            name=name,
            line=node.line,
            column=node.column,
            sources=tuple(sources),
            type=kind,
            optional=self.flag(keys.get("optional"), "optional"),
            default=self.text(keys["default"], "a default") if "default" in keys else None,
            pattern=self.pattern(keys.get("pattern"), "pattern"),
            trues=self.texts(keys.get("true"), "a word") or ("true", "yes"),
            falses=self.texts(keys.get("false"), "a word") or ("false", "no"),
            credit_is_zero=self.word(keys.get("credit"), CREDITS, "credit", "refuse") == "zero",
            split=self._split(keys.get("split"), kind),
            after=self.texts(keys.get("after"), "a heading"),
            before=self.texts(keys.get("before"), "a heading"),
            nth=self._nth(keys.get("nth"), sources),
        )

    def _split(self, node: Node | None, kind: Type) -> tuple[str, ...]:
        """Return what parts the items of a list; a word among it has a space on either side."""
        found = self.texts(node, "a separator")
        if node is not None and kind is not Type.LIST:
            self.fault(node, "only a field of type list has `split`")
        for text in found:
            if any(sign.isalnum() for sign in text) and (text[0] != " " or text[-1] != " "):
                self.fault(
                    node or Scalar(line=1, column=1, text=""), f"write the separator `{text}` as ` {text} `", text
                )
        return found or (",",)

    def _nth(self, node: Node | None, sources: list[Source]) -> int | None:
        text = self.text(node, "nth")
        if node is None or not text:
            return None
        nth = whole_number(text, 1, _MAX_NTH)
        if nth is None:
            self.fault(node, f"nth is a whole number from 1 to {_MAX_NTH}", text)
        elif len(sources) > 1:
            self.fault(node, "nth counts the finds of one source, and the field has several")
        return nth

    def _check_region(self, keys: Mapping[str, Node], sources: list[Source], name: str) -> None:
        """See that only what is read from the lines of the mail has a place among them."""
        given = [key for key in ("after", "before", "nth") if key in keys]
        if given and any(source.kind not in (From.LABEL, From.REGEX) for source in sources):
            self.fault(keys[given[0]], f"only a field with `label` or `regex` has `{given[0]}`", name)

    def _sources(self, node: Node, keys: Mapping[str, Node], name: str, known: tuple[From, ...]) -> list[Source]:
        named = [key for key in keys if key in known]
        if len(named) != 1:
            self.fault(node, f"the field `{name}` needs exactly one of {', '.join(known)}")
        return [self._source(From(key), keys[key]) for key in named[:1]]

    def _source(self, kind: From, node: Node) -> Source:
        if kind not in WORD_SOURCES and isinstance(node, Items):
            self.fault(
                node, f"`{kind}` takes one text; for others give the field a list of sources: [{{{kind}: …}}, …]"
            )
            return Source(kind=kind)
        if kind in PATTERN_SOURCES:
            return Source(kind=kind, pattern=self._value_pattern(node, kind))
        return Source(kind=kind, words=self.texts(node, kind))

    def _value_pattern(self, node: Node, kind: From) -> Pattern | None:
        """Return the pattern that a value is taken by: its group `value`, or the whole match."""
        pattern = self.pattern(node, kind)
        other = next((name for name in pattern.groups if name != "value"), None) if pattern else None
        if pattern and other:
            why = f"the pattern names the group `{other}`, and `{kind}` takes the one that is named `value`"
            self.fault(
                node, f"{why}: name that one so, and the others not at all", pattern.text, nearest(other, ["value"])
            )
        return pattern

    def occurred(self, node: Node | None) -> Occurred | None:
        if node is None:
            return None
        keys = self.table(node, OCCURRED_KEYS, "occurred")
        kind = Type(self.word(keys.get("type"), (Type.DATE, Type.DATETIME), "type", Type.DATETIME))
        if (kind is Type.DATE) != ("at" in keys):
            self.fault(node, "a date without an hour needs `at: start` or `at: end`; a datetime takes none")
        shift = self.text(keys.get("shift_days"), "shift_days") or "0"
        shift_days = whole_number(shift, -_MAX_SHIFT, _MAX_SHIFT)
        if shift_days is None:
            self.fault(keys["shift_days"], f"shift_days is a whole number from -{_MAX_SHIFT} to {_MAX_SHIFT}", shift)
        at = self.word(keys.get("at"), ("start", "end"), "at", "")
        return Occurred(
            field=Field(
                name="occurred",
                line=node.line,
                column=node.column,
                sources=tuple(self._sources(node, keys, "occurred", SOURCES)),
                type=kind,
                optional=self.flag(keys.get("optional"), "optional"),
                pattern=self.pattern(keys.get("pattern"), "pattern"),
            ),
            at_end=at == "end" if at else None,
            shift_days=shift_days or 0,
        )
