"""Rule files to a rule set: whole or not at all, every fault with its place and the nearest known word.

What may stand where is a table: the keys of a pack here, those of rules, fields and events in ``rulenodes``,
``fieldnodes`` and ``eventnodes``. A new word of the language is a row there and a reader beside it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, Final

from parsers.convert import BadFormat, DateFormat, Money, date_format
from parsers.errors import RuleError, RuleErrors, nearest
from parsers.fieldnodes import FieldReader
from parsers.names import CALENDARS
from parsers.nodes import NodeReader
from parsers.overlay import labels_of, with_labels
from parsers.rule import ANY, Field, Pack, Rule, RuleSet
from parsers.rulenodes import RuleReader
from parsers.senders import fault_of
from parsers.text import label_key
from parsers.yamltree import Items, Node, Scalar, Table, plain, read_yaml

PACK_KEYS: Final = ("pack", "title", "senders", "dates", "locale", "money", "location", "rules")
OVERLAY_KEYS: Final = ("extends", "title", "senders", "dates", "locale", "money", "location", "labels", "rules")
LOCATION_NAME: Final = "location_name"
_COUNTERPARTS: Final = {",": ".", ".": ","}
"""The signs of amounts that go with each other."""
_CREDIT_SIGNS: Final = "-\u2212()"
"""What marks a credit."""


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
    trees: dict[str, Node] = {}
    for file, text in texts.items():
        try:
            trees[file] = read_yaml(text, file)
        except RuleErrors as broken:
            errors.extend(broken.errors)
    packs: dict[str, Pack] = {}
    content: dict[str, Any] = {}
    overlays = {file: tree for file, tree in trees.items() if _extended(tree) is not None}
    for file, tree in trees.items():
        if file in overlays:
            continue
        reader = _PackFile(file, errors)
        pack = reader.pack(tree)
        if pack.name in packs:
            reader.fault(tree, f"the pack `{pack.name}` stands in {packs[pack.name].file}, too", pack.name)
        packs[pack.name] = pack
        content[pack.name] = plain(tree)
    for file, tree in overlays.items():
        reader = _PackFile(file, errors)
        pack = reader.overlay(tree, packs, broken=len(trees) < len(texts))
        if pack is not None:
            packs[pack.name] = pack
            content[f"extends {pack.name}"] = plain(tree)
    if errors:
        raise RuleErrors(errors)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return RuleSet(packs.values(), digest)


def _extended(tree: Node) -> Node | None:
    """Return what a file says that it extends; None for a pack of its own."""
    if not isinstance(tree, Table):
        return None
    return next((value for key, value in tree.items if key.text == "extends"), None)


class _PackFile(NodeReader):
    """Reads one file's tree as a pack."""

    def __init__(self, file: str, errors: list[RuleError]) -> None:
        super().__init__(file, errors)
        self._language = "en"

    def pack(self, tree: Node) -> Pack:
        keys = self.table(tree, PACK_KEYS, "a pack")
        for needed in ("pack", "senders", "rules"):
            if needed not in keys:
                self.fault(tree, f"a pack needs the key `{needed}`")
        self._language = self._locale(keys.get("locale"))
        name = self.id(keys.get("pack"), "a pack's name")
        senders, rules = self._senders(keys.get("senders")), self._rules(keys.get("rules"), name)
        self._check_any(keys.get("senders"), senders, rules)
        return Pack(
            name=name,
            title=self.text(keys.get("title"), "a title") or name,
            file=self._file,
            senders=senders,
            dates=self._dates(keys.get("dates")),
            language=self._language,
            money=self._money(keys.get("money"), Money()),
            location=self._location(keys.get("location")),
            rules=rules,
        )

    def overlay(self, tree: Node, packs: Mapping[str, Pack], *, broken: bool) -> Pack | None:
        """Return the pack that the file extends, with what it adds and replaces; None where there is no such pack.

        `broken`: some file of the set is no YAML, so that a pack that is not there may stand in it.
        """
        keys = self.table(tree, OVERLAY_KEYS, "a file that extends a pack")
        name = self.text(keys.get("extends"), "the pack to extend")
        base = packs.get(name)
        if base is None:
            if name and not broken:
                known = ", ".join(f"`{pack.name}` in {pack.file}" for pack in packs.values()) or "none"
                why = f"no pack `{name}` is loaded: {known}"
                if PurePath(self._file).stem == name:
                    why += ": a file of the same name takes the place of the pack's, so give this one another name"
                self.fault(keys["extends"], why, name, nearest(name, packs))
            return None
        if base.extended_in:
            self.fault(
                keys["extends"], f"the pack `{name}` of {base.file} is extended in {base.extended_in}, too", name
            )
        self._language = self._locale(keys["locale"]) if "locale" in keys else base.language
        rules = {rule.id: rule for rule in (*base.rules, *self._rules(keys.get("rules"), name))}
        self._check_occurrences(keys.get("rules"), tuple(rules.values()))
        pack = replace(
            base,
            title=self.text(keys.get("title"), "a title") or base.title,
            senders=tuple(dict.fromkeys((*base.senders, *self._senders(keys.get("senders"))))),
            dates=tuple(dict.fromkeys((*base.dates, *self._dates(keys.get("dates"))))),
            language=self._language,
            money=self._money(keys.get("money"), base.money),
            location=self._location(keys.get("location")) or base.location,
            rules=tuple(rules.values()),
            extended_in=self._file,
        )
        self._check_any(keys.get("senders") or keys.get("rules"), pack.senders, pack.rules)
        return with_labels(pack, self._labels(keys.get("labels"), pack))

    def _labels(self, node: Node | None, pack: Pack) -> dict[str, tuple[str, ...]]:
        """Return the further spellings of labels that the pack reads, by the key of the label."""
        known = labels_of(pack)
        found: dict[str, tuple[str, ...]] = {}
        for label, words in node.items if isinstance(node, Table) else ():
            if label_key(label.text) not in known:
                why = f"`{label.text}` is no label of the pack `{pack.name}` in {pack.file}"
                self.fault(label, why, label.text, nearest(label.text, known.values()))
            found[label_key(label.text)] = self.texts(words, "a label")
            for word in words.items if isinstance(words, Items) else (words,):
                if isinstance(word, Scalar) and label_key(word.text) in known:
                    self.fault(word, f"`{word.text}` is a label of {pack.file} already", word.text)
        if node is not None and not isinstance(node, Table):
            self.fault(node, "labels is a mapping: a label of the pack, and its further spellings")
        return found

    def _senders(self, node: Node | None) -> tuple[str, ...]:
        return tuple(self.each(node, self._sender))

    def _sender(self, node: Node) -> str:
        sender = self.text(node, "a sender").lower()
        if sender and (why := fault_of(sender)):
            self.fault(node, why, sender)
        return sender

    def _check_any(self, node: Node | None, senders: tuple[str, ...], rules: tuple[Rule, ...]) -> None:
        """See that only structured data may come from any sender: prose of strangers proves nothing."""
        text = next((rule for rule in rules if not rule.when.jsonld), None) if ANY in senders else None
        if node is not None and text:
            why = f"`{ANY}` is for packs whose rules all have `jsonld` in `when`, and `{text.id}` has none"
            self.fault(node, f"{why}: name the domains that may speak for the pack", ANY)

    def _dates(self, node: Node | None) -> tuple[DateFormat, ...]:
        return tuple(form for form in self.each(node, self._date_format) if form)

    def _rules(self, node: Node | None, pack: str) -> tuple[Rule, ...]:
        rules = self.each(node, RuleReader(self._file, self._errors, pack).rule)
        self._unique_rules(node, rules)
        self._check_occurrences(node, tuple(rules))
        return tuple(rules)

    def _location(self, node: Node | None) -> Field | None:
        """Return the field that tells which site a mail is about; None when the pack has none."""
        return (
            None
            if node is None
            else replace(FieldReader(self._file, self._errors).field(LOCATION_NAME, node), optional=True)
        )

    def _locale(self, node: Node | None) -> str:
        language = self.text(node, "a locale").replace("-", "_").partition("_")[0] or "en"
        if node is not None and language not in CALENDARS:
            self.fault(node, f"unknown locale `{language}`: one of {', '.join(CALENDARS)}", language)
            return "en"
        return language

    def _date_format(self, node: Node) -> DateFormat | None:
        text = self.text(node, "a date format")
        try:
            return date_format(text, self._language) if text else None
        except BadFormat as error:
            self.fault(node, str(error), text)
            return None

    def _money(self, node: Node | None, usual: Money) -> Money:
        """Return how a pack writes amounts; a sign that is not given is the usual one, or its counterpart."""
        keys = self.table(node, ("decimal", "group", "symbols"), "money")
        decimal = self._sign(keys.get("decimal"), "decimal")
        group = self._sign(keys.get("group"), "group")
        if decimal and decimal == (group or usual.group):
            group = self._counterpart(
                keys["group"] if group else keys["decimal"], decimal, "group", is_given=bool(group)
            )
        elif group and group == (decimal or usual.decimal):
            decimal = self._counterpart(keys["group"], group, "decimal", is_given=False)
        decimal, group = decimal or usual.decimal, group or usual.group
        for symbol in self.each(keys.get("symbols"), lambda item: item):
            self._check_symbol(symbol, (decimal, group))
        symbols = self.texts(keys.get("symbols"), "a symbol") or usual.symbols
        if node is not None and "symbols" not in keys and {decimal, group} & set(symbols):
            self.fault(node, "a sign is a symbol of the pack already: give `symbols`, too")
        return Money(decimal=decimal, group=group, symbols=symbols)

    def _sign(self, node: Node | None, what: str) -> str:
        """Return the sign of amounts that a node names; empty without one, and for a text that cannot be one."""
        text = self.text(node, f"the {what} sign")
        if node is None or not text:
            return ""
        if len(text) != 1 or text.isalnum() or text in _CREDIT_SIGNS or (text.isspace() and what == "decimal"):
            space = ", space" if what == "decimal" else ""
            self.fault(node, f"the {what} sign is one character, and no digit, letter{space} or minus", text)
            return ""
        return text

    def _counterpart(self, node: Node, sign: str, what: str, *, is_given: bool) -> str:
        """Return the sign that goes with another, of comma and point; empty where nothing tells it."""
        if is_given:
            self.fault(node, "the decimal and the group sign are the same", sign)
        elif sign not in _COUNTERPARTS:
            self.fault(node, f"this is the usual {what} sign: give `{what}`, too", sign)
        return "" if is_given else _COUNTERPARTS.get(sign, "")

    def _check_symbol(self, node: Node, signs: tuple[str, ...]) -> None:
        """See that a symbol takes nothing off an amount that is a part of it."""
        text = node.text if isinstance(node, Scalar) else ""
        if text in signs or text.casefold() == "cr" or any(sign.isdigit() or sign in _CREDIT_SIGNS for sign in text):
            self.fault(
                node, "a symbol has no digit, and is nothing that amounts have: signs, minus, CR, brackets", text
            )

    def _unique_rules(self, node: Node | None, rules: list[Rule]) -> None:
        seen: set[str] = set()
        for item, rule in zip(node.items if isinstance(node, Items) else (), rules, strict=False):
            if rule.id in seen:
                self.fault(item, f"the rule `{rule.id}` stands twice in this pack", rule.id)
            seen.add(rule.id)

    def _check_occurrences(self, node: Node | None, rules: tuple[Rule, ...]) -> None:
        """See that rules of one occurrence have one identity: else the two tellings would be two events."""
        places = {item.line: item for item in node.items} if isinstance(node, Items) else {}
        first: dict[str, Rule] = {}
        for rule in rules:
            if rule.ignore or (other := first.setdefault(rule.occurrence, rule)) is rule:
                continue
            if rule.identity and other.identity == rule.identity:
                continue
            self.fault(
                places.get(rule.line) or node or Table(line=rule.line, column=rule.column, items=()),
                f"`{other.id}` ({other.file}:{other.line}) and `{rule.id}` ({rule.file}:{rule.line}) share an "
                "occurrence: both name the same fields as `identity`, in the same order",
                rule.id,
            )
