"""What rule files say once loaded: frozen values, every pattern, format and template compiled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from parsers.convert import DateFormat, Money
from parsers.events import Kind
from parsers.pattern import LinePatterns, Pattern, PatternSet
from parsers.template import Template

ANY = "any"
"""The sender of a pack that every proven sender may speak for."""


class Type(StrEnum):
    """What a field's text is converted to."""

    TEXT = "text"
    DATE = "date"
    DATETIME = "datetime"
    MONEY = "money"
    INTEGER = "integer"
    FLAG = "flag"
    LIST = "list"


class From(StrEnum):
    """Where a field's text comes from."""

    LABEL = "label"
    REGEX = "regex"
    SUBJECT = "subject"
    HEADER = "header"
    JSONLD = "jsonld"
    CONST = "const"
    COLUMN = "column"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place where a field's text may stand."""

    kind: From
    words: tuple[str, ...] = ()
    """The labels, the header's name, the name in JSON, the constant or the column headings."""
    pattern: Pattern | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One named value of a rule; all of its sources that find a text must find the same."""

    name: str
    line: int
    column: int
    sources: tuple[Source, ...]
    type: Type = Type.TEXT
    optional: bool = False
    default: str | None = None
    pattern: Pattern | None = None
    trues: tuple[str, ...] = ("true", "yes")
    falses: tuple[str, ...] = ("false", "no")
    credit_is_zero: bool = False
    split: tuple[str, ...] = (",",)
    """What parts the items of a list."""
    after: tuple[str, ...] = ()
    """Headings: the value stands below the one of them that the mail has."""
    before: tuple[str, ...] = ()
    """Headings: the value stands above the one of them that the mail has."""
    nth: int | None = None
    """Which of several finds counts, from 1; None: all must be the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurred:
    """What tells when it happened, where that is not the Date of the mail."""

    field: Field
    at_end: bool | None = None
    """For a date without an hour: its end or its start; None for a datetime."""
    shift_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldValue:
    """A value taken from a field."""

    name: str
    if_single: bool = False
    """Whether it is stated only where the list of the rule has exactly one item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A flag that the word in a field tells; a word of neither list is no flag."""

    name: str
    trues: tuple[str, ...]
    falses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A flag written in the rule."""

    value: bool


ValueSpec: TypeAlias = FieldValue | Words | Literal | Template
NamedSpecs: TypeAlias = tuple[tuple[str, ValueSpec], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSpec:
    """One event that a rule makes."""

    kind: Kind
    line: int
    column: int
    unit: ValueSpec | None
    """None where the unit is found by its tenancy."""
    values: NamedSpecs = ()
    expect: NamedSpecs = ()
    on: ValueSpec | None = None
    tenancy: NamedSpecs = ()
    """What names the unit where the mail does not: the tenant or ledger that is in it at the moment."""

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all fields that the event is made of."""
        specs = [self.unit, self.on, *(spec for _, spec in (*self.values, *self.expect, *self.tenancy))]
        plain = {spec.name for spec in specs if isinstance(spec, FieldValue | Words)}
        return frozenset(plain.union(*(spec.names for spec in specs if isinstance(spec, Template))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An attached file whose rows a rule goes through, and how it is set."""

    names: tuple[str, ...]
    """Patterns of its name, with ``*`` and ``?``."""
    encodings: tuple[str, ...]
    delimiters: tuple[str, ...]
    has_header: bool = True
    header_row: int | None = None
    """The row of the headings, from 1; None: the first one that has all columns that are needed."""
    columns: tuple[str, ...] = ()
    """The columns by their places, of a file without headings."""
    fill_down: tuple[str, ...] = ()
    """Columns whose empty cells mean what stands above."""
    sheet: str = ""
    """The sheet to read; empty: the one that has the columns, among those that are shown."""
    group_rows: bool = False
    """Whether a row with a text in its first cell alone heads a group, and says nothing of a unit."""
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What rows say in which a field holds one of some words."""

    field: str
    words: tuple[str, ...]
    events: tuple[EventSpec, ...]
    """None of rows that say nothing of a unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableBlock:
    """One table of a mail: where it stands, and what each of its rows says."""

    line: int
    heading: tuple[str, ...] = ()
    """The spellings of the line above it; empty for a table that is found by its columns, and for an attached file."""
    columns: tuple[tuple[str, ...], ...] = ()
    """The spellings of each column by which the table is found; empty for one with a heading."""
    attachment: Attachment | None = None
    """The attached file that it is; None of a table in the readable text."""
    empty: tuple[str, ...] = ()
    """What stands in place of rows where there are none."""
    skip: tuple[Pattern, ...] = ()
    """What marks a row that says nothing of a unit, such as a total."""
    needs: tuple[str, ...] = ()
    """Fields without which a row says nothing of a unit."""
    account: str = ""
    """The field that tells whose account a row is of; empty where each row is of its own."""
    fields: tuple[Field, ...]
    events: tuple[EventSpec, ...] = ()
    """What every row says; none where that depends on a word of the row."""
    cases: tuple[Case, ...] = ()

    @property
    def all_events(self) -> tuple[EventSpec, ...]:
        """Return the events that a row may make."""
        return (*self.events, *(event for case in self.cases for event in case.events))

    @property
    def title(self) -> str:
        """Return what the table is called: its heading, the columns by which it is found, or the name of the file."""
        if self.attachment:
            return self.attachment.names[0]
        return self.heading[0] if self.heading else ", ".join(words[0] for words in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBlock:
    """A list of a mail whose items each make the events of the rule."""

    field: str
    name: str
    """What one item is called in events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The conditions under which a rule claims a mail; all must hold."""

    subject: Pattern | None = None
    body: tuple[Pattern, ...] = ()
    absent: tuple[Pattern, ...] = ()
    sender: Pattern | None = None
    headers: tuple[tuple[str, Pattern], ...] = ()
    jsonld: tuple[tuple[str, str], ...] = ()
    json: tuple[tuple[str, str], ...] = ()
    """Paths of names, and what stands there in one attached JSON file."""
    attachment: tuple[str, ...] = ()
    """Patterns of names: one of them is that of an attached file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Recognises one kind of mail and says how to read it."""

    pack: str
    id: str
    path: str
    """The rule file as the set has it: that of the pack, or the operator's own that extends it."""
    line: int
    column: int
    when: When
    fields: tuple[Field, ...] = ()
    identity: tuple[str, ...] = ()
    occurrence: str
    occurred: Occurred | None = None
    events: tuple[EventSpec, ...] = ()
    """What the mail says once, or once for each item of the list."""
    tables: tuple[TableBlock, ...] = ()
    listed: ListBlock | None = None
    flips: float | None = None
    """The largest share of the units of one mail whose occupancy or lockout it may turn; None: as is configured."""
    ignore: str | None = None
    """Why a mail of this kind gives no event; None for a rule that makes events."""
    ignore_lines: LinePatterns | None = None
    """Known noise; every other line that nothing captured is unaccounted."""

    @property
    def name(self) -> str:
        """Return the rule's name in the set: ``pack/rule``."""
        return f"{self.pack}/{self.id}"

    @property
    def file(self) -> str:
        """Return the name of the rule file, without its folder."""
        return self.path.rpartition("/")[2]

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """Return the fields, and the one that tells when it happened, if there is one."""
        return (*self.fields, self.occurred.field) if self.occurred else self.fields

    @property
    def reads_files_only(self) -> bool:
        """Say whether its values stand in attached files, so that the readable text is not what it reads."""
        kinds = {source.kind for field in self.all_fields for source in field.sources}
        reads_text = bool(kinds & {From.LABEL, From.REGEX}) or any(block.attachment is None for block in self.tables)
        return not reads_text and (bool(self.tables) or From.JSON in kinds)

    @property
    def all_events(self) -> tuple[EventSpec, ...]:
        """Return the events of the mail and of the rows of its tables."""
        return (*self.events, *(event for block in self.tables for event in block.all_events))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of everything that events may be filled from: fields, columns of tables, items of a list."""
        rows = (field.name for block in self.tables for field in block.fields)
        return (*(field.name for field in self.fields), *rows, *((self.listed.name,) if self.listed else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """One rule file, usually one property-management system."""

    name: str
    title: str
    file: str
    senders: tuple[str, ...]
    dates: tuple[DateFormat, ...]
    language: str = "en"
    """That of the names of months and days."""
    money: Money
    location: Field | None = None
    """What tells which site a mail is about; None when its mails name none."""
    rules: tuple[Rule, ...]
    extended_in: str | None = None
    """The operator's own file that adds to the pack or replaces rules of it; None without one."""


class RuleSet:
    """Every pack that is in force at once, with the indexes that make choosing cheap."""

    def __init__(self, packs: Iterable[Pack], digest: str) -> None:
        """Index `packs`; `digest` names their content."""
        self.id = digest
        self.packs: Mapping[str, Pack] = {pack.name: pack for pack in sorted(packs, key=lambda pack: pack.name)}
        self._by_sender: dict[str, tuple[str, ...]] = {}
        for pack in self.packs.values():
            for sender in pack.senders:
                self._by_sender[sender] = (*self._by_sender.get(sender, ()), pack.name)
        conditions = [
            (rule.name, rule.when.subject.text)
            for pack in self.packs.values()
            for rule in pack.rules
            if rule.when.subject
        ]
        self._named = tuple(name for name, _ in conditions)
        self._subjects = PatternSet([text for _, text in conditions])

    def __repr__(self) -> str:
        return f"RuleSet({self.id}, {', '.join(self.packs)})"

    def packs_for(self, domain: str | None, among: Iterable[str] | None = None) -> tuple[str, ...]:
        """Return the packs that a sender of `domain` may speak for, in order of name; none for no one sender."""
        if not domain:
            return ()
        found = [*self._by_sender.get(ANY, ()), *self._by_sender.get(domain, ())]
        labels = domain.split(".")
        for cut in range(1, len(labels)):
            found += self._by_sender.get(f"*.{'.'.join(labels[cut:])}", ())
        allowed = set(self.packs) if among is None else set(among)
        return tuple(sorted(set(found) & allowed))

    def rules_of(self, packs: Iterable[str]) -> tuple[Rule, ...]:
        """Return the rules of some packs, in order of name and file."""
        return tuple(rule for name in sorted(set(packs) & self.packs.keys()) for rule in self.packs[name].rules)

    def flips_of(self, name: str | None) -> float | None:
        """Return the share of units that a mail may turn by the limit of a rule; None where the rule has none."""
        rules = self.rules_of((name.partition("/")[0],)) if name else ()
        return next((rule.flips for rule in rules if rule.name == name), None)

    def subject_claims(self, subject: str) -> frozenset[str]:
        """Return the names of the rules whose subject condition holds."""
        return frozenset([self._named[place] for place in self._subjects.found(subject)])
