"""Rules of rule files: conditions, tables and lists, and the fields and events of each."""

from collections.abc import Mapping
from typing import Final

from parsers.blocks import words_of
from parsers.charset import codec_of
from parsers.delimited import DELIMITERS
from parsers.errors import RuleError, nearest
from parsers.eventnodes import EventReader
from parsers.fieldnodes import NAMES_GIVEN, ROW_SOURCES, FieldReader
from parsers.nodes import NodeReader, whole_number
from parsers.pattern import LinePatterns, Pattern
from parsers.rule import Attachment, Case, EventSpec, Field, ListBlock, Rule, TableBlock, Type, When
from parsers.text import label_key
from parsers.yamltree import Node, Table

RULE_KEYS: Final = (
    "id", "when", "fields", "identity", "occurrence", "occurred", "each", "events", "ignore", "ignore_lines", "limits",
)  # fmt: skip
WHEN_KEYS: Final = ("subject", "body", "not", "from", "header", "attachment", "json", "jsonld")
TABLE_KEYS: Final = ("table", "attachment", "empty", "skip", "needs", "account", "fields", "events", "cases")
ATTACHMENT_KEYS: Final = (
    "name", "encoding", "delimiter", "header_row", "columns", "fill_down", "skip", "sheet", "group_rows",
    "may_be_empty",
)  # fmt: skip
PLACE_KEYS: Final = ("heading", "columns")
TEXT_KEYS: Final = ("table", "empty", "skip")
"""Keys of a table in the readable text that an attached file does not have."""
HEADERS: Final = ("auto", "none")
"""What `header_row` may be beside the number of a row."""
CASE_KEYS: Final = ("where", "events", "ignore")
LIST_KEYS: Final = ("list", "as")
ENCODINGS: Final = ("utf-8-sig", "windows-1252", "utf-8", "iso-8859-1", "utf-16")
"""The encodings of most files; the first two are tried where a rule names none."""
DELIMITER_WORDS: Final = ("tab", *DELIMITERS)
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
        rule_id = self.id(keys.get("id"), "a rule's id")
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
            column=node.column,
            when=self._when(keys.get("when")),
            fields=fields,
            identity=tuple(
                self.each(keys.get("identity"), lambda item: self.word(item, {**item_types, **row_types}, "field", ""))
            ),
            occurrence=f"{self._pack}/{self.id(keys.get('occurrence'), 'an occurrence') or rule_id}",
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
        found = [(block, self.table(block, (*TABLE_KEYS, *LIST_KEYS), "each")) for block in self.items(node)]
        lists = [(block, keys) for block, keys in found if "list" in keys]
        if lists:
            if len(found) > 1:
                self.fault(lists[0][0], "`each` goes through one list, or through tables")
            return (), self._list(*lists[0], fields)
        return tuple(self._table(block, keys, fields) for block, keys in found), None

    def _table(self, node: Node, keys: Mapping[str, Node], fields: tuple[Field, ...]) -> TableBlock:
        """Return a table of the readable text, or an attached file."""
        if ("table" in keys) == ("attachment" in keys):
            self.fault(node, "`each` needs the key `table`, `attachment` or `list`")
        if "fields" not in keys:
            self.fault(node, "`each` needs the key `fields`")
        if ("events" in keys) == ("cases" in keys):
            self.fault(node, "`each` needs either `events` or `cases`")
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
        named = {row.name: row for row in rows}
        attachment, skip = self._attachment(keys["attachment"], rows) if "attachment" in keys else (None, ())
        for key in TEXT_KEYS[1:] if attachment else ():
            if key in keys:
                self.fault(
                    keys[key], f"`{key}` stands beside a `table`; an attached file has `may_be_empty` and `skip`"
                )
        return TableBlock(
            line=node.line,
            heading=heading,
            columns=tuple((column,) for column in columns),
            attachment=attachment,
            empty=self.texts(keys.get("empty"), "a word for an empty table"),
            skip=skip or self.patterns(keys.get("skip"), "skip"),
            needs=tuple(name for name in self._names(keys.get("needs"), named) if name),
            fields=rows,
            account=self.word(keys.get("account"), named, "field", ""),
            events=self._all_events(keys.get("events"), types, listed="account" in keys),
            cases=self._cases(keys.get("cases"), named, types),
        )

    def _names(self, node: Node | None, known: Mapping[str, Field]) -> list[str]:
        """Return names of fields that a row may lack."""
        for name in self.texts(node, "field"):
            if node is not None and name in known and not known[name].optional:
                self.fault(node, f"`{name}` is no optional field, so that no row lacks it", name)
        return self.each(node, lambda item: self.word(item, known, "field", ""))

    def _cases(self, node: Node | None, rows: Mapping[str, Field], types: Mapping[str, Type]) -> tuple[Case, ...]:
        """Return what rows say by a word that they hold; all cases of a table look at one field."""
        found = self.each(node, lambda item: self._case(item, rows, types))
        if node is not None and len({case.field for case in found if case.field}) > 1:
            self.fault(node, "all cases of a table look at the same field")
        words = [word.casefold() for case in found for word in case.words]
        if node is not None and len(set(words)) < len(words):
            self.fault(node, "a word stands in more than one case")
        return tuple(found)

    def _case(self, node: Node, rows: Mapping[str, Field], types: Mapping[str, Type]) -> Case:
        keys = self.table(node, CASE_KEYS, "a case")
        where = self.table(keys.get("where"), None, "where")
        if len(where) != 1 or ("events" in keys) == ("ignore" in keys):
            self.fault(node, "a case has `where: {field: [words]}`, and either `events` or `ignore`")
            return Case(field="", words=(), events=())
        ((name, words),) = where.items()
        if name not in rows:
            self.fault(keys["where"], f"unknown field `{name}`", name, nearest(name, rows))
        elif rows[name].type is not Type.TEXT or rows[name].optional:
            self.fault(keys["where"], f"`where` looks at a text that no row lacks, and `{name}` is none", name)
        self.text(keys.get("ignore"), "the reason to ignore")
        events = self._all_events(keys.get("events"), types, listed=False)
        return Case(field=name, words=self.texts(words, "a word"), events=events)

    def _attachment(self, node: Node, rows: tuple[Field, ...]) -> tuple[Attachment, tuple[Pattern, ...]]:
        """Return an attached file and how it is set, and the patterns of rows that say nothing of a unit."""
        keys = self.table(node, ATTACHMENT_KEYS, "attachment")
        names = self.texts(keys.get("name"), "the name of a file")
        if not names:
            self.fault(node, "an attached file is found by its `name`, such as `*.csv`")
        columns = self.texts(keys.get("columns"), "a column")
        header = self.text(keys.get("header_row"), "header_row") or ("none" if columns else "auto")
        header_row = whole_number(header, 1, 999)
        if header not in HEADERS and header_row is None:
            self.fault(keys["header_row"], "header_row is `auto`, `none` or the number of a row", header)
            header = "auto"
        if header == "none" and not columns:
            self.fault(node, "a file without a row of headings needs `columns`, in their order")
        if columns and header_row is not None:
            self.fault(keys["columns"], "`columns` is for a file without a row of headings")
        known = {label_key(column) for column in columns}
        if columns and len(known) < len(columns):
            self.fault(keys["columns"], "a column stands twice")
        wanted = [
            *(words_of(row) for row in rows),
            *((word,) for word in self.texts(keys.get("fill_down"), "a column")),
        ]
        for words in wanted if columns else ():
            if words and not known & {label_key(word) for word in words}:
                self.fault(
                    keys["columns"], f"`columns` lacks the column `{words[0]}`", words[0], nearest(words[0], columns)
                )
        attachment = Attachment(
            names=names or ("",),
            encodings=self._encodings(keys.get("encoding")),
            delimiters=self._delimiters(keys.get("delimiter")),
            has_header=header != "none",
            header_row=header_row,
            columns=columns,
            fill_down=self.texts(keys.get("fill_down"), "a column"),
            sheet=self.text(keys.get("sheet"), "a sheet"),
            group_rows=self.flag(keys.get("group_rows"), "group_rows"),
            may_be_empty=self.flag(keys.get("may_be_empty"), "may_be_empty"),
        )
        return attachment, self.patterns(keys.get("skip"), "skip")

    def _encodings(self, node: Node | None) -> tuple[str, ...]:
        found = self.texts(node, "an encoding")
        for label in found:
            if node is not None and codec_of(label) is None:
                self.fault(node, f"unknown encoding `{label}`", label, nearest(label, ENCODINGS))
        return found or ENCODINGS[:2]

    def _delimiters(self, node: Node | None) -> tuple[str, ...]:
        found = self.texts(node, "a delimiter")
        for text in found:
            if node is not None and text not in DELIMITER_WORDS:
                self.fault(node, "a delimiter is one of `,`, `;`, `|` and tab", text)
        return tuple("\t" if text == "tab" else text for text in found if text in DELIMITER_WORDS) or DELIMITERS[:3]

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
        number = whole_number(text.removesuffix("%"), 0, _MAX_FLIPS) if text.endswith("%") else None
        if number is None:
            self.fault(keys["flips"], "flips is a share of all units, from 0% to 100%", text)
            return None
        return number / 100

    # -- conditions ----------------------------------------------------------------------------------------------

    def _when(self, node: Node | None) -> When:
        keys = self.table(node, WHEN_KEYS, "when")
        if node is not None and not keys:
            self.fault(node, "`when` needs at least one condition, or the rule would claim every mail")
        for key in ("header", "json", "jsonld"):
            if isinstance(given := keys.get(key), Table) and not given.items:
                self.fault(
                    given, f"an empty `{key}` holds for every mail: name what it looks at, or leave it out", "{}"
                )
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
            jsonld=self._stated(keys.get("jsonld"), "jsonld"),
            json=self._stated(keys.get("json"), "json"),
            attachment=self.texts(keys.get("attachment"), "the name of a file"),
        )

    def _stated(self, node: Node | None, what: str) -> tuple[tuple[str, str], ...]:
        return tuple(
            (name, self.text(value, f"a value of {what}")) for name, value in self.table(node, None, what).items()
        )
