"""Rules of rule files: conditions, tables and lists, and the fields and events of each."""

from collections.abc import Mapping
from typing import Final

from parsers.errors import RuleError
from parsers.eventnodes import EventReader
from parsers.fieldnodes import NAMES_GIVEN, ROW_SOURCES, FieldReader
from parsers.nodes import NodeReader
from parsers.pattern import LinePatterns
from parsers.rule import EventSpec, Field, ListBlock, Rule, TableBlock, Type, When
from parsers.yamltree import Items, Node

RULE_KEYS: Final = (
    "id", "when", "fields", "identity", "occurrence", "occurred", "each", "events", "ignore", "ignore_lines", "limits",
)  # fmt: skip
WHEN_KEYS: Final = ("subject", "body", "not", "from", "header", "jsonld")
TABLE_KEYS: Final = ("table", "empty", "skip", "fields", "events")
PLACE_KEYS: Final = ("heading", "columns")
LIST_KEYS: Final = ("list", "as")
_MAX_FLIPS: Final = 100


class RuleReader(NodeReader):
    """Reads the rules of one pack."""

    def __init__(self, file: str, errors: list[RuleError], pack: str) -> None:
        super().__init__(file, errors)
        self._pack = pack
        self._fields = FieldReader(file, errors)
        self._events = EventReader(file, errors)

    def rule(self, node: Node) -> Rule:
        keys = self.table(node, RULE_KEYS, "a rule")
        for needed in ("id", "when"):
            if needed not in keys:
                self.fault(node, f"a rule needs the key `{needed}`")
        rule_id = self.text(keys.get("id"), "a rule's id")
        fields = self._fields.fields(keys.get("fields"))
        types = {field.name: field.type for field in fields}
        tables, listed = self._each(keys.get("each"), fields)
        self._check_says(node, keys, is_of_tables=bool(tables))
        item_types = {**types, listed.name: Type.TEXT} if listed else types
        row_types = {field.name: field.type for table in tables for field in table.fields}
        noise = self.patterns(keys.get("ignore_lines"), "ignore_lines")
        return Rule(
            pack=self._pack,
            id=rule_id,
            path=self._file,
            line=node.line,
            when=self._when(keys.get("when")),
            fields=fields,
            identity=tuple(
                self.each(keys.get("identity"), lambda item: self.word(item, {**item_types, **row_types}, "field", ""))
            ),
            occurrence=f"{self._pack}/{self.text(keys.get('occurrence'), 'an occurrence') or rule_id}",
            occurred=self._fields.occurred(keys.get("occurred")),
            events=self._all_events(keys.get("events"), item_types, listed=listed is not None),
            tables=tables,
            listed=listed,
            flips=self._limits(keys.get("limits")),
            ignore=self.text(keys.get("ignore"), "the reason to ignore") or None,
            ignore_lines=LinePatterns(noise) if noise else None,
        )

    def _check_says(self, node: Node, keys: Mapping[str, Node], *, is_of_tables: bool) -> None:
        """See that a rule has one way to say what a mail tells."""
        if is_of_tables:
            for key in ("events", "ignore"):
                if key in keys:
                    self.fault(keys[key], f"a rule whose `each` has tables has no `{key}` beside it")
        elif ("events" in keys) == ("ignore" in keys):
            self.fault(node, "a rule has either `events` or `ignore`")
        elif "ignore" in keys and "each" in keys:
            self.fault(keys["each"], "a rule that ignores a mail goes through nothing")

    def _all_events(self, node: Node | None, types: Mapping[str, Type], *, listed: bool) -> tuple[EventSpec, ...]:
        return tuple(filter(None, self.each(node, lambda item: self._events.event(item, types, listed=listed))))

    # -- each ----------------------------------------------------------------------------------------------------

    def _each(self, node: Node | None, fields: tuple[Field, ...]) -> tuple[tuple[TableBlock, ...], ListBlock | None]:
        """Return the tables that a rule goes through, or its list."""
        blocks = node.items if isinstance(node, Items) else (node,) if node else ()
        found = [(block, self.table(block, (*TABLE_KEYS, *LIST_KEYS), "each")) for block in blocks]
        lists = [(block, keys) for block, keys in found if "list" in keys]
        if lists:
            if len(found) > 1:
                self.fault(lists[0][0], "`each` goes through one list, or through tables")
            return (), self._list(*lists[0], fields)
        return tuple(self._table(block, keys, fields) for block, keys in found), None

    def _table(self, node: Node, keys: Mapping[str, Node], fields: tuple[Field, ...]) -> TableBlock:
        for key in ("table", "fields", "events"):
            if key not in keys:
                self.fault(node, f"`each` needs the key `{key}`" + (" or `list`" if key == "table" else ""))
        if "as" in keys:
            self.fault(keys["as"], "`as` names the items of a `list`")
        place = self.table(keys.get("table"), PLACE_KEYS, "table")
        heading = self.texts(place.get("heading"), "a heading")
        columns = self.texts(place.get("columns"), "a column")
        if "table" in keys and bool(heading) == bool(columns):
            self.fault(keys["table"], "a table is found either by its `heading` or by its `columns`")
        mails = {field.name: field.type for field in fields}
        rows = self._fields.fields(keys.get("fields"), "the fields of a row", ROW_SOURCES)
        for row in rows:
            if row.name in mails:
                self.fault(keys["fields"], f"`{row.name}` names a field of the mail already", row.name)
            if row.type is Type.LIST:
                self.fault(keys["fields"], f"`{row.name}` is a list, which a row does not go through", row.name)
        types = {**mails, **{row.name: row.type for row in rows}}
        return TableBlock(
            line=node.line,
            heading=heading,
            columns=tuple((column,) for column in columns),
            empty=self.texts(keys.get("empty"), "a word for an empty table"),
            skip=self.patterns(keys.get("skip"), "skip"),
            fields=rows,
            events=self._all_events(keys.get("events"), types, listed=False),
        )

    def _list(self, node: Node, keys: Mapping[str, Node], fields: tuple[Field, ...]) -> ListBlock | None:
        for key in TABLE_KEYS:
            if key in keys:
                self.fault(keys[key], f"`{key}` is for a table, and this `each` goes through a list")
        if "as" not in keys:
            self.fault(node, "a list needs `as`: what one item is called")
        known = {field.name: field for field in fields}
        name = self.word(keys["list"], known, "field", "")
        if name and known[name].type is not Type.LIST:
            self.fault(keys["list"], f"`each` goes through a field of type list; `{name}` is {known[name].type}", name)
        if name and known[name].optional:
            self.fault(keys["list"], f"`{name}` may not be optional: without it the mail would say nothing", name)
        item = self.text(keys.get("as"), "as")
        if item and (not item.isidentifier() or item in (*known, *NAMES_GIVEN)):
            self.fault(keys["as"], f"`{item}` cannot name the items of a list", item)
        return ListBlock(field=name, name=item) if name and item else None

    def _limits(self, node: Node | None) -> float | None:
        """Return the share of units that one mail may turn; None without a limit of the rule."""
        keys = self.table(node, ("flips",), "limits")
        text = self.text(keys.get("flips"), "flips")
        if not text:
            return None
        number = text.removesuffix("%")
        if number == text or not number.isdecimal() or not number.isascii() or int(number) > _MAX_FLIPS:
            self.fault(keys["flips"], "flips is a share of all units, from 0% to 100%", text)
            return None
        return int(number) / 100

    # -- conditions ----------------------------------------------------------------------------------------------

    def _when(self, node: Node | None) -> When:
        keys = self.table(node, WHEN_KEYS, "when")
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
