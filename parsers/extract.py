"""Fields of a rule to captured texts, and captured texts to values.

A label found twice with different values is never a choice to make: the mail is held `invalid`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, NoReturn, TypeAlias

from parsers.below import fields_of_ids, is_like_an_id, is_prose
from parsers.convert import Value
from parsers.errors import Incomplete, Invalid
from parsers.files import json_value
from parsers.labels import Labels, key_of_word, opens_label
from parsers.lists import continues, goes_on
from parsers.mail import Mail
from parsers.placeholders import is_merge_field
from parsers.rule import Field, From, Rule, Source, Type
from parsers.text import Line, label_key, normal
from parsers.wrapped import may_go_on

Values: TypeAlias = Mapping[str, Value]
Block: TypeAlias = Mapping[str, Any]

_SECOND_LABEL = re.compile(r"[\s|,;][^\W\d_][\w#./()' -]{0,40}:\s")
"""What stands in a value behind which a line break was lost."""


class Capture(NamedTuple):
    """One text taken for a field, and where it stood."""

    field: str
    source: From
    label: str
    line: int
    """Line of the readable text, from 1; 0 for what stands elsewhere."""
    label_line: int
    start: int
    end: int
    raw: Any
    """The text; for JSON-LD, the JSON value."""
    value: Value = None
    """What it was converted to, of a cell of a row; None elsewhere."""
    file: str = ""
    """The attached file that it stands in; empty elsewhere."""
    row: int = 0
    """Where its row begins in that file, from 1; 0 elsewhere."""
    rule_line: int = 0
    """Where the field of a row stands in the rule file; 0 for the fields of the mail, whose names tell it."""


def _may_go_on(text: str, below: Line, split: tuple[str, ...]) -> bool:
    """Say whether the line below a list, which nothing read, may hold more of its items."""
    cells = [cell for cell in below.cells if cell]
    if opens_label(below.text):
        return False
    if len(cells) == 1 and not below.gap and goes_on(text, split):
        return True
    return continues(text, cells[0], split, is_apart=below.gap or len(cells) > 1)


def _holds(text: str, piece: str) -> bool:
    """Say whether a text holds another one, and not as a piece of a longer word or number."""
    return re.search(rf"(?<!\w){re.escape(piece)}(?!\w)", text) is not None


class Extraction:
    """Reads the fields of one rule from one mail (or one JSON-LD block of it)."""

    def __init__(
        self, mail: Mail, labels: Labels, rule: Rule, block: Block | None, *, fields: tuple[Field, ...] | None = None
    ) -> None:
        """Read `fields` in place of the rule's own, where they are given."""
        self._mail = mail
        self._labels = labels
        self._rule = rule
        self._block = block
        self._fields = rule.all_fields if fields is None else fields
        self._holds = fields is None
        """Whether a value that is not certain holds the mail; else it is taken as far as it is read."""
        self.captures: list[Capture] = []
        self.nearest: dict[str, str] = {}
        self._unclear: dict[str, Capture] = {}
        """The empty texts of fields beside whose label several lines stand, and which the mail states nowhere else."""
        self.known: set[int] = set()
        """Further lines that are accounted for: those of tables, and headings that fields name."""

    @cached_property
    def _stacked(self) -> bool:
        """Whether no label of the rule has its value beside it, so that values may stand below."""
        return not any(
            one.value
            for field in self._fields
            for source in field.sources
            if source.kind is From.LABEL
            for one in self._labels.of(source.words)
        )

    def texts(self) -> dict[str, Any]:
        """Return each field's raw text; absent optional fields are left out.

        Raises Incomplete naming every field that is missing, Invalid for one that is stated twice.
        """
        found: dict[str, Any] = {}
        missing: list[Field] = []
        for field in self._fields:
            captures = self._captures(field)
            if captures:
                found[field.name] = self._agreed(field, captures)
            elif field.default is not None:
                found[field.name] = field.default
            elif not field.optional:
                missing.append(field)
        if missing:
            raise self._incomplete(missing)
        for field in self._fields:
            if field.name in self._unclear:
                raise Invalid(self._told_unclear(field), (field.name,))
        for field in self._fields:
            if field.type is Type.LIST:
                self._check_continued(field)
            elif field.type is Type.TEXT and field.pattern is None and self._holds and self._mail.text_kind != "html":
                self._check_wrapped(field)
        return found

    def accounted(self) -> set[int]:
        """Return the numbers of the lines that a capture, a label, a table or the rule's known noise accounts for."""
        if self._block is not None or self._rule.reads_files_only:
            return set(range(1, len(self._mail.lines) + 1))  # the text is not what this rule reads
        labels = {one.line for field in self._fields for one in self._labels.of(labels_of(field))}
        return labels | self._captured()

    def _captured(self) -> set[int]:
        captured = {line for capture in self.captures for line in (capture.line, capture.label_line)}
        return captured | self.known | self.noise

    @cached_property
    def noise(self) -> frozenset[int]:
        """The numbers of the lines that the rule names as known noise."""
        noise = self._rule.ignore_lines
        return frozenset(noise.lines(self._mail.text) if noise else ())

    def found_count(self) -> int:
        """Return how many of the rule's fields the mail states: how near a miss is."""
        return sum(any(self._states(source) for source in field.sources) for field in self._rule.fields)

    def _states(self, source: Source) -> bool:
        if source.kind is From.LABEL:
            seen = self._labels.of(source.words)
            return bool(seen) and any(one.value or (self._stacked and one.below) for one in seen)
        return any(find[-1] != "" for find in self._finds(source))

    def _agreed(self, field: Field, captures: list[Capture]) -> Any:
        self.captures += captures
        for one in captures:
            check_merge_field(self._rule, field.name, one.raw)
            self._check_second_label(field, one)
        first = captures[0].raw
        if any(one.raw != first for one in captures[1:]):
            raise self._contradicted(field, captures)
        return first

    def _contradicted(self, field: Field, captures: list[Capture]) -> Invalid:
        places = ", ".join(sorted({_place(one) for one in captures}))
        return Invalid(
            f"{self._rule.name}: the field `{field.name}` is stated with different values ({places}): "
            "read the mail and enter the event by hand",
            (field.name,),
        )

    def _check_second_label(self, field: Field, found: Capture) -> None:
        """Raise Invalid for a text beside a label that goes on with another; a field with a pattern knows better."""
        is_text = field.type in (Type.TEXT, Type.LIST) and field.pattern is None and found.source is From.LABEL
        if is_text and ":" in found.raw and _SECOND_LABEL.search(found.raw):
            raise Invalid(
                f"{self._rule.name}: what stands for the field `{field.name}` ({_place(found)}) holds another label: "
                "read the mail and enter the event by hand, or give the field a `pattern` "
                f"({self._rule.file}:{field.line})",
                (field.name,),
            )

    def _check_continued(self, field: Field) -> None:
        """Raise Invalid for a list whose text may go on in the line below: what stands there would be left out."""
        known = self._captured()
        for one in self.captures:
            if one.field != field.name or one.source is not From.LABEL:
                continue
            number = one.line + 1
            if number <= len(self._mail.lines) and number not in known:
                below = self._mail.lines[number - 1]
                if _may_go_on(one.raw, below, field.split):
                    self._cut(
                        field, one, f"may go on in line {number} (if that says nothing, name it in `ignore_lines`)"
                    )
            if one.raw[-1].isalpha() and goes_on(one.raw, field.split):  # signs are seen when it is parted
                self._cut(field, one, "ends with what parts its items, so that one is left out")

    def _check_wrapped(self, field: Field) -> None:
        """Raise Invalid for a text that may go on in the line below, which nothing read: half of it is no value."""
        for one in self.captures:
            if one.field != field.name or one.source is not From.LABEL or one.line == len(self._mail.lines):
                continue
            line, below = self._mail.lines[one.line - 1 : one.line + 1]
            if below.gap or len(below.cells) > 1 or opens_label(below.text) or one.end < len(line.text):
                continue
            if may_go_on(line.text, one.raw, below.text) and one.line + 1 not in self._captured():
                raise Invalid(
                    f"{self._rule.name}: the text of the field `{field.name}` ({_place(one)}) may go on in line "
                    f"{one.line + 1} (if that says nothing, name it in `ignore_lines`): read the mail and enter the "
                    f"event by hand ({self._rule.file}:{field.line})",
                    (field.name,),
                )

    def _cut(self, field: Field, found: Capture, why: str) -> NoReturn:
        raise Invalid(
            f"{self._rule.name}: the list of the field `{field.name}` ({_place(found)}) {why}: read the mail and enter "
            f"the events by hand ({self._rule.file}:{field.line})",
            (field.name,),
        )

    def _incomplete(self, missing: list[Field]) -> Incomplete:
        for field in missing:
            if field.name in self._unclear:
                return Incomplete(self._told_unclear(field), (field.name,))
        parts: list[str] = []
        known = self._captured()
        for field in missing:
            near = self._labels.nearest(labels_of(field), known)
            if near is not None:
                self.nearest[field.name] = near
            labels = " or ".join(f"`{label}`" for label in labels_of(field))
            wanted = f" (label {labels})" if labels else ""
            parts.append(f"`{field.name}`{wanted}" + (f", nearest label seen: `{near}`" if near else ""))
        return Incomplete(
            f"{self._rule.name}: no value for {'; '.join(parts)}: "
            f"if the wording changed, add it to the rule ({self._rule.file}:{missing[0].line}) and retry",
            tuple(field.name for field in missing),
        )

    def _captures(self, field: Field) -> list[Capture]:
        """Return what the sources of a field find."""
        region = self._region(field) if field.after or field.before else None
        found = [one for source in field.sources for one in self._look(field.name, source)]
        if field.nth is None and not self._stacked and any(one.raw != "" for one in found):
            found += self._below(field)
        elif self._stacked:
            found = [one for one in found if one.line == one.label_line or self._is_value_below(field, one)]
        if region is not None:
            found = [one for one in found if one.line in region and one.label_line in region]
        if field.nth is not None:
            found = sorted(found, key=lambda one: (one.label_line, one.start))[field.nth - 1 : field.nth]
        stated = [one for one in found if one.raw != ""]
        if self._labels.several and self._holds:
            self._check_several(field, [one for one in found if one.raw == ""], stated)
        return stated

    def _check_several(self, field: Field, empty: list[Capture], stated: list[Capture]) -> None:
        """Note where several lines stand beside a label; raise Invalid if they lack what the mail states elsewhere."""
        for one in empty:
            texts = self._labels.several.get(one.label_line, ()) if one.source is From.LABEL else ()
            if texts and not stated:
                self._unclear[field.name] = one
            for other in stated if texts else ():
                if isinstance(other.raw, str) and not any(_holds(text, other.raw) for text in texts):
                    raise self._contradicted(field, [other, one])

    def _told_unclear(self, field: Field) -> str:
        label = self._unclear[field.name]
        return (
            f"{self._rule.name}: several lines stand beside the label `{label.label}` (line {label.label_line}), and "
            f"which of them is the value of the field `{field.name}` is not certain: read the mail and enter the event "
            f"by hand, or take it by a `regex` ({self._rule.file}:{field.line})"
        )

    def _is_value_below(self, field: Field, found: Capture) -> bool:
        """Say whether what stands below a label is its value; raise Incomplete for an id of which it is not certain.

        A mail that sets several labels above their values shows that it is written so; one label alone does not.
        """
        if found.raw == "" or field.type not in (Type.TEXT, Type.LIST) or field.pattern is not None:
            return True  # what it is converted to says whether it is a value
        is_id = field.name in self._ids
        if is_prose(found.raw):
            return self._is_stack and not is_id
        if is_id and not self._is_stack and not is_like_an_id(found.raw):
            raise Incomplete(
                f"{self._rule.name}: the label `{found.label}` (line {found.label_line}) of the field `{field.name}` "
                f"is empty, and whether line {found.line} is its value is not certain: read the mail and enter the "
                f"event by hand, or give the field a `pattern` ({self._rule.file}:{field.line})",
                (field.name,),
            )
        return True

    @cached_property
    def _ids(self) -> frozenset[str]:
        """The names of the fields that name a unit, a tenant or a ledger."""
        return fields_of_ids(self._rule)

    @cached_property
    def _is_stack(self) -> bool:
        """Whether several labels of the rule have a value below them."""
        stacked = {one.line for field in self._fields for one in self._labels.of(labels_of(field)) if one.below}
        return len(stacked) > 1

    def _below(self, field: Field) -> Iterator[Capture]:
        """Yield what stands below the labels of a field that have nothing beside them.

        Where the mail says the value elsewhere, too, it must be the same: nobody knows which of the two is meant.
        """
        for one in self._labels.of(labels_of(field)):
            if one.below and not one.value:
                line = one.line + 1
                yield Capture(field.name, From.LABEL, one.label, line, one.line, 0, len(one.below), one.below)

    def _look(self, field: str, source: Source) -> Iterator[Capture]:
        """Yield what one source finds, empty texts too."""
        for label, label_line, line, start, raw in self._finds(source):
            end = start + len(raw) if isinstance(raw, str) else start
            yield Capture(field, source.kind, label, line, label_line, start, end, raw)

    def _region(self, field: Field) -> range:
        """Return the lines between the headings that a field names."""
        first = self._heading(field, field.after) + 1 if field.after else 1
        end = self._heading(field, field.before) if field.before else len(self._mail.lines) + 1
        return range(first, end)

    def _heading(self, field: Field, words: tuple[str, ...]) -> int:
        """Return the line that is a heading; raise Incomplete without one, Invalid with several."""
        wanted = {key_of_word(word) for word in words}
        found = [number for number, line in enumerate(self._mail.lines, 1) if label_key(line.text) in wanted]
        named = " or ".join(f"`{word}`" for word in words)
        if len(found) == 1:
            self.known.add(found[0])
            return found[0]
        if found:
            places = ", ".join(f"line {number}" for number in found)
            raise Invalid(
                f"{self._rule.name}: the heading {named} of the field `{field.name}` stands more than once ({places}): "
                "read the mail and enter the event by hand",
                (field.name,),
            )
        raise Incomplete(
            f"{self._rule.name}: no heading {named}, by which the field `{field.name}` is found: if the wording "
            f"changed, add it to the rule ({self._rule.file}:{field.line}) and retry",
            (field.name,),
        )

    def _finds(self, source: Source) -> Iterator[tuple[str, int, int, int, Any]]:
        """Yield label, line of the label, line and column of the value, and the value."""
        if source.kind is From.LABEL:
            for one in self._labels.of(source.words):
                if one.value or not self._stacked:
                    yield one.label, one.line, one.line, one.start, one.value
                else:
                    yield one.label, one.line, one.line + 1, 0, one.below
        elif source.kind is From.JSONLD:
            name = source.words[0]
            if self._block is not None and name in self._block:
                yield name, 0, 0, 0, self._block[name]
        elif source.kind is From.JSON:
            for item in self._mail.files.json:
                value = json_value(item, source.words[0])
                if value is not None:
                    yield source.words[0], 0, 0, 0, value
        else:
            for label, line, start, text in self._look_elsewhere(source):
                yield label, line, line, start, text

    def _look_elsewhere(self, source: Source) -> Iterator[tuple[str, int, int, str]]:
        """Yield the label, line, column and text of each find outside labels and JSON-LD."""
        if source.kind is From.CONST:
            yield "constant", 0, 0, source.words[0]
        elif source.kind is From.HEADER:
            for value in self._mail.headers.get(source.words[0].lower(), ()):
                yield source.words[0], 0, 0, normal(value)
        elif source.pattern is not None and source.kind is From.SUBJECT:
            for value, start, _ in source.pattern.values(self._mail.subject):
                yield "Subject", 0, start, normal(value)
        elif source.pattern is not None:
            text = self._mail.text
            for value, start, _ in source.pattern.values(text):
                yield "text", text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start) - 1, normal(value)


def check_merge_field(rule: Rule, field: str, raw: Any, where: str = "") -> None:
    """Raise Incomplete for a merge field that the sender's system did not fill."""
    if isinstance(raw, str) and is_merge_field(raw):
        raise Incomplete(
            f"{rule.name}: the field `{field}`{where} holds an unresolved merge field: "
            "the sender's template is broken, ask for a corrected mail",
            (field,),
        )


def labels_of(field: Field) -> tuple[str, ...]:
    return tuple(word for source in field.sources if source.kind is From.LABEL for word in source.words)


def _place(capture: Capture) -> str:
    return f"line {capture.line}" if capture.line else capture.label
