"""Rule files to a rule set: whole or not at all, every fault with its place and the nearest known word.

What may stand where is a table: the keys of a pack, of a rule, of its conditions, fields and events. A new word
of the language is a row here and a reader beside it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, Final

from parsers.convert import MONTHS, BadFormat, DateFormat, Money, date_format
from parsers.errors import RuleError, RuleErrors, nearest
from parsers.events import FACTS, FLAGS, TENANCY, Kind
from parsers.nodes import NodeReader
from parsers.pattern import LinePatterns
from parsers.rule import (
    EventSpec,
    Field,
    FieldValue,
    From,
    Literal,
    NamedSpecs,
    Occurred,
    Pack,
    Rule,
    RuleSet,
    Source,
    Type,
    ValueSpec,
    When,
)
from parsers.template import BadTemplate, Template
from parsers.yamltree import Items, Node, Table, plain, read_yaml

_PACK_KEYS: Final = ("pack", "title", "senders", "dates", "locale", "money", "location", "rules")
_RULE_KEYS: Final = (
    "id", "when", "fields", "identity", "occurrence", "occurred", "events", "ignore", "ignore_lines",
)  # fmt: skip
_WHEN_KEYS: Final = ("subject", "body", "not", "from", "header", "jsonld")
_SOURCE_KEYS: Final = tuple(From)
_FIELD_KEYS: Final = (*_SOURCE_KEYS, "type", "optional", "default", "pattern", "true", "false", "credit")
_OCCURRED_KEYS: Final = (*_SOURCE_KEYS, "type", "pattern", "optional", "at", "shift_days")
_EVENT_KEYS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.MOVE_IN: ("unit", *TENANCY),
    Kind.MOVE_OUT: ("unit", "on", "expect"),
    Kind.PATCH: ("unit", "expect", *FACTS),
}
_NEEDED: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.MOVE_IN: ("unit", "pms_tenant_id", "move_in_date"),
    Kind.MOVE_OUT: ("unit",),
    Kind.PATCH: ("unit",),
}
_EXPECT_KEYS: Final = ("pms_tenant_id", "ledger_id")
_TYPES_OF: Final[Mapping[str, tuple[Type, ...]]] = {
    "move_in_date": (Type.DATE, Type.DATETIME),
    "on": (Type.DATE, Type.DATETIME),
    "paid_through_date": (Type.DATE, Type.DATETIME),
    "balance_due": (Type.MONEY,),
    **dict.fromkeys(FLAGS, (Type.FLAG,)),
}
"""What a field's type must be where it is used; any type where nothing is said."""
LOCATION_NAME: Final = "location_name"
_NAMES_GIVEN: Final = ("occurred_on", "mailbox", "location")
"""What templates may name beside the rule's fields."""
_CREDITS: Final = ("zero", "refuse")


def load_rules(paths: Iterable[Path]) -> RuleSet:
    """Return the set of all rule files among `paths` (files, or directories of ``*.yaml``); raise RuleErrors."""
    texts: dict[str, str] = {}
    for path in paths:
        for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
            try:
                texts[str(file)] = file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror or "not readable"
                raise RuleErrors([RuleError(file=str(file), line=1, column=1, message=why)]) from error
    return load_rules_text(texts)


def load_rules_text(texts: Mapping[str, str]) -> RuleSet:
    """Return the set of all rule files given as texts by file name; raise RuleErrors."""
    errors: list[RuleError] = []
    packs: dict[str, Pack] = {}
    content: dict[str, Any] = {}
    for file, text in texts.items():
        try:
            tree = read_yaml(text, file)
        except RuleErrors as broken:
            errors.extend(broken.errors)
            continue
        reader = _PackFile(file, errors)
        pack = reader.pack(tree)
        if pack.name in packs:
            reader.fault(tree, f"the pack `{pack.name}` stands in {packs[pack.name].file}, too", pack.name)
        packs[pack.name] = pack
        content[pack.name] = plain(tree)
    if errors:
        raise RuleErrors(errors)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return RuleSet(packs.values(), digest)


class _PackFile(NodeReader):
    """Reads one file's tree as a pack."""

    def __init__(self, file: str, errors: list[RuleError]) -> None:
        super().__init__(file, errors)
        self._language = "en"
        self._pack = ""

    def pack(self, tree: Node) -> Pack:
        keys = self.table(tree, _PACK_KEYS, "a pack")
        for needed in ("pack", "senders", "rules"):
            if needed not in keys:
                self.fault(tree, f"a pack needs the key `{needed}`")
        self._language = self._locale(keys.get("locale"))
        self._pack = self.text(keys.get("pack"), "a pack's name")
        dates = self.each(keys.get("dates"), self._date_format)
        rules = self.each(keys.get("rules"), self._rule)
        self._unique_rules(keys.get("rules"), rules)
        return Pack(
            name=self._pack,
            title=self.text(keys.get("title"), "a title") or self._pack,
            file=self._file,
            senders=tuple(sender.lower() for sender in self.texts(keys.get("senders"), "a sender")),
            dates=tuple(form for form in dates if form),
            money=self._money(keys.get("money")),
            location=self._location(keys.get("location")),
            rules=tuple(rules),
        )

    def _location(self, node: Node | None) -> Field | None:
        """Return the field that tells which site a mail is about; None when the pack has none."""
        return None if node is None else replace(self._field(LOCATION_NAME, node), optional=True)

    def _locale(self, node: Node | None) -> str:
        language = self.text(node, "a locale").partition("_")[0] or "en"
        if node is not None and language not in MONTHS:
            self.fault(node, f"unknown locale `{language}`: one of {', '.join(MONTHS)}", language)
            return "en"
        return language

    def _date_format(self, node: Node) -> DateFormat | None:
        text = self.text(node, "a date format")
        try:
            return date_format(text, self._language) if text else None
        except BadFormat as error:
            self.fault(node, str(error), text)
            return None

    def _money(self, node: Node | None) -> Money:
        keys = self.table(node, ("decimal", "group", "symbols"), "money")
        usual = Money()
        return Money(
            decimal=self.text(keys.get("decimal"), "the decimal sign") or usual.decimal,
            group=self.text(keys.get("group"), "the group sign") or usual.group,
            symbols=self.texts(keys.get("symbols"), "a symbol") or usual.symbols,
        )

    def _unique_rules(self, node: Node | None, rules: list[Rule]) -> None:
        seen: set[str] = set()
        for item, rule in zip(node.items if isinstance(node, Items) else (), rules, strict=False):
            if rule.id in seen:
                self.fault(item, f"the rule `{rule.id}` stands twice in this pack", rule.id)
            seen.add(rule.id)

    # -- a rule ------------------------------------------------------------------------------------------------

    def _rule(self, node: Node) -> Rule:
        keys = self.table(node, _RULE_KEYS, "a rule")
        for needed in ("id", "when"):
            if needed not in keys:
                self.fault(node, f"a rule needs the key `{needed}`")
        if ("events" in keys) == ("ignore" in keys):
            self.fault(node, "a rule has either `events` or `ignore`")
        rule_id = self.text(keys.get("id"), "a rule's id")
        fields = self._fields(keys.get("fields"))
        types = {field.name: field.type for field in fields}
        noise = self.patterns(keys.get("ignore_lines"), "ignore_lines")
        return Rule(
            pack=self._pack,
            id=rule_id,
            file=PurePath(self._file).name,
            line=node.line,
            when=self._when(keys.get("when")),
            fields=fields,
            identity=tuple(self.each(keys.get("identity"), lambda item: self.word(item, types, "field", ""))),
            occurrence=f"{self._pack}/{self.text(keys.get('occurrence'), 'an occurrence') or rule_id}",
            occurred=self._occurred(keys.get("occurred")),
            events=tuple(filter(None, self.each(keys.get("events"), lambda item: self._event(item, types)))),
            ignore=self.text(keys.get("ignore"), "the reason to ignore") or None,
            ignore_lines=LinePatterns(noise) if noise else None,
        )

    def _when(self, node: Node | None) -> When:
        keys = self.table(node, _WHEN_KEYS, "when")
        if node is not None and not keys:
            self.fault(node, "`when` needs at least one condition, or the rule would claim every mail")
        headers = [
            (name.lower(), pattern)
            for name, value in self.table(keys.get("header"), None, "header").items()
            if (pattern := self.pattern(value, "header"))
        ]
        return When(
            subject=self.pattern(keys.get("subject"), "subject"),
            body=self.patterns(keys.get("body"), "body"),
            absent=self.patterns(keys.get("not"), "not"),
            sender=self.pattern(keys.get("from"), "from"),
            headers=tuple(headers),
            jsonld=tuple(
                (name, self.text(value, "a JSON-LD value"))
                for name, value in self.table(keys.get("jsonld"), None, "jsonld").items()
            ),
        )

    # -- fields ------------------------------------------------------------------------------------------------

    def _fields(self, node: Node | None) -> tuple[Field, ...]:
        return tuple(self._field(name, value) for name, value in self.table(node, None, "fields").items())

    def _field(self, name: str, node: Node) -> Field:
        """Return one field: a mapping, or a list of mappings that hold its sources (the first holds the rest)."""
        if not name.isidentifier() or name in _NAMES_GIVEN:
            self.fault(node, f"`{name}` cannot name a field", name)
        sources: list[Source] = []
        keys: dict[str, Node] = {}
        for place, item in enumerate(node.items if isinstance(node, Items) else (node,)):
            known = _FIELD_KEYS if place == 0 else _SOURCE_KEYS
            found = self.table(item, known, f"the field `{name}`")
            sources += self._sources(item, found, name)
            keys = keys or found
        return Field(
            name=name,
            line=node.line,
            sources=tuple(sources),
            type=Type(self.word(keys.get("type"), tuple(Type), "type", Type.TEXT)),
            optional=self.flag(keys.get("optional"), "optional"),
            default=self.text(keys["default"], "a default") if "default" in keys else None,
            pattern=self.pattern(keys.get("pattern"), "pattern"),
            trues=self.texts(keys.get("true"), "a word") or ("true", "yes"),
            falses=self.texts(keys.get("false"), "a word") or ("false", "no"),
            credit_is_zero=self.word(keys.get("credit"), _CREDITS, "credit", "refuse") == "zero",
        )

    def _sources(self, node: Node, keys: Mapping[str, Node], name: str) -> list[Source]:
        named = [key for key in keys if key in _SOURCE_KEYS]
        if len(named) != 1:
            self.fault(node, f"the field `{name}` needs exactly one of {', '.join(_SOURCE_KEYS)}")
        return [self._source(From(key), keys[key]) for key in named[:1]]

    def _source(self, kind: From, node: Node) -> Source:
        if kind in (From.REGEX, From.SUBJECT):
            return Source(kind=kind, pattern=self.pattern(node, kind))
        return Source(kind=kind, words=self.texts(node, kind))

    def _occurred(self, node: Node | None) -> Occurred | None:
        if node is None:
            return None
        keys = self.table(node, _OCCURRED_KEYS, "occurred")
        kind = Type(self.word(keys.get("type"), (Type.DATE, Type.DATETIME), "type", Type.DATETIME))
        if (kind is Type.DATE) != ("at" in keys):
            self.fault(node, "a date without an hour needs `at: start` or `at: end`; a datetime takes none")
        shift = self.text(keys.get("shift_days"), "shift_days") or "0"
        if not shift.lstrip("-").isdecimal() or abs(int(shift)) > 31:
            self.fault(keys["shift_days"], "shift_days is a whole number from -31 to 31", shift)
            shift = "0"
        at = self.word(keys.get("at"), ("start", "end"), "at", "")
        return Occurred(
            field=Field(
                name="occurred",
                line=node.line,
                sources=tuple(self._sources(node, keys, "occurred")),
                type=kind,
                optional=self.flag(keys.get("optional"), "optional"),
                pattern=self.pattern(keys.get("pattern"), "pattern"),
            ),
            at_end=at == "end" if at else None,
            shift_days=int(shift),
        )

    # -- events ------------------------------------------------------------------------------------------------

    def _event(self, node: Node, types: Mapping[str, Type]) -> EventSpec | None:
        kinds = self.table(node, tuple(_EVENT_KEYS), "an event")
        if len(kinds) != 1:
            self.fault(node, f"an event is exactly one of {', '.join(_EVENT_KEYS)}")
            return None
        ((word, body),) = kinds.items()
        kind = Kind(word)
        keys = self.table(body, _EVENT_KEYS[kind], kind)
        for needed in _NEEDED[kind]:
            if needed not in keys:
                self.fault(body, f"`{kind}` needs the key `{needed}`")
        if kind is Kind.PATCH and not keys.keys() & set(FACTS):
            self.fault(body, f"`patch` names at least one of {', '.join(FACTS)}")
        tenancy = self._tenancy(kind, keys.get("unit"), types)
        apart = ("expect", "unit") if tenancy else ("expect",)
        specs = {
            key: spec for key, value in keys.items() if key not in apart and (spec := self._spec(key, value, types))
        }
        expect = self.table(keys.get("expect"), _EXPECT_KEYS, "expect")
        unit = specs.pop("unit", None)
        if unit is None and not tenancy:
            return None
        return EventSpec(
            kind=kind,
            line=node.line,
            unit=unit,
            on=specs.pop("on", None),
            values=tuple(specs.items()),
            expect=self._named(expect, types),
            tenancy=tenancy,
        )

    def _tenancy(self, kind: Kind, node: Node | None, types: Mapping[str, Type]) -> NamedSpecs:
        """Return what finds the unit by its tenancy; nothing where the mail names the unit."""
        if not isinstance(node, Table) or "tenancy" not in (keys := self.table(node, ("tenancy", "value"), "the unit")):
            return ()
        if kind is Kind.MOVE_IN:
            self.fault(node, "a move-in names its unit: nobody lives there yet")
        named = self.table(keys["tenancy"], _EXPECT_KEYS, "tenancy")
        if not named:
            self.fault(node, f"`tenancy` names at least one of {', '.join(_EXPECT_KEYS)}")
        return self._named(named, types)

    def _named(self, keys: Mapping[str, Node], types: Mapping[str, Type]) -> NamedSpecs:
        return tuple((key, spec) for key, value in keys.items() if (spec := self._spec(key, value, types)))

    def _spec(self, key: str, node: Node, types: Mapping[str, Type]) -> ValueSpec | None:
        """Return what `key` of an event is filled with: a field, a flag, or a template."""
        if isinstance(node, Table):
            node = self.table(node, ("value",), f"the value of `{key}`").get("value", node)
        text = self.text(node, f"the value of `{key}`")
        wanted = _TYPES_OF.get(key)
        if "{{" in text or "{%" in text:
            return self._template(key, text, node, types)
        if key in FLAGS and text in ("true", "false"):
            return Literal(value=text == "true")
        if text not in types:
            if text:
                self.fault(node, f"unknown field `{text}`", text, nearest(text, types))
            return None
        if wanted and types[text] not in wanted:
            self.fault(node, f"`{key}` takes a field of type {wanted[0]}; `{text}` is {types[text]}", text)
        return FieldValue(name=text)

    def _template(self, key: str, text: str, node: Node, types: Mapping[str, Type]) -> Template | None:
        if key in _TYPES_OF:
            self.fault(node, f"`{key}` takes a field, not a template", text)
            return None
        try:
            return Template(text, (*types, *_NAMES_GIVEN))
        except BadTemplate as error:
            self.fault(node, str(error), text, error.nearest)
            return None
