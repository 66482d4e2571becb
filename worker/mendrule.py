"""Mend a rule whose label was renamed: the further spelling goes into the rule's text, or into a file that extends it.

Pure: texts in, texts out. Comments and layout of a text stay as they are.

Errors:
    NotMended(Exception)    there is nothing to mend, or the place is not found; says why, and what to do
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from parsers import Outcome, Reading, RuleSet
from parsers.errors import Invalid
from parsers.rule import Field, From, Pack, Rule, Type
from parsers.text import CELL
from parsers.values import to_value
from parsers.yamltree import Items, Node, Scalar, Table, read_yaml

_NO_LABELS: Final[Mapping[str, str]] = {}
_KEY: Final = re.compile(r"labels:[ \t]*(?:#.*)?$", re.MULTILINE)


class NotMended(Exception):
    """No proposal; says why."""


def rule_of(reading: Reading, rules: RuleSet) -> Rule:
    """Return the rule that claims a mail and lacks values of it.

    Raises:
        NotMended: the mail is held for another reason, or not at all.
    """
    if reading.outcome is not Outcome.INCOMPLETE or reading.rule is None:
        raise NotMended(f"the mail is {reading.outcome}, not incomplete: a further label would change nothing")
    pack, _, rule_id = reading.rule.partition("/")
    return next(rule for rule in rules.packs[pack].rules if rule.id == rule_id)


def proposed(
    reading: Reading, rule: Rule, named: Mapping[str, str], by_value: Mapping[str, str] = _NO_LABELS
) -> dict[str, str]:
    """Return by field the label to add: what is named, else the nearest one that the mail has, else ``by_value``.

    Raises:
        NotMended: no field lacks a value and has a label that is near.
    """
    fields = {one.name: one for one in rule.all_fields}
    for name in named:
        if name not in fields:
            raise NotMended(f"{rule.name} has no field `{name}`; it has {', '.join(fields)}")
    found = {**by_value, **reading.trace.get("nearest", {}), **named}
    if not found:
        raise NotMended(
            f"no label of the mail is near to one of {rule.name}, nor is there just one whose value reads as what is "
            "missing; `gatepost explain` shows its lines: "
            "say which it is, as --label FIELD=LABEL"
        )
    for name in found:
        if not labels_of(rule, name):
            raise NotMended(f"the field `{name}` of {rule.name} is not read from a label: mend the rule by hand")
    return found


def told_by_value(reading: Reading, rule: Rule, pack: Pack, named: Collection[str]) -> dict[str, str]:
    """Return by field the one label that nothing reads and whose value reads as the type of the field.

    Of fields that are missing, are not ``named`` and have no label that is near. A field without a type reads
    everything, so that none is told; neither is a label that two fields could have.
    """
    taken = set(reading.trace.get("nearest", {}).values())
    captured = {one["field"] for one in reading.trace.get("captures", ())}
    missing = [
        one
        for one in rule.all_fields
        if one.type not in (Type.TEXT, Type.LIST)
        and one.name not in captured.union(named, reading.trace.get("nearest", {}))
        and not one.optional
        and one.default is None
        and labels_of(rule, one.name)
    ]
    free = [(label, value) for label, value in _unread_labels(reading) if label not in taken]
    could = {one.name: [label for label, value in free if _reads(one, value, pack, rule)] for one in missing}
    wanted = Counter(label for labels in could.values() for label in labels)
    return {name: labels[0] for name, labels in could.items() if len(labels) == 1 and wanted[labels[0]] == 1}


def _unread_labels(reading: Reading) -> Iterator[tuple[str, str]]:
    """Yield the labels, with their values, of the lines that nothing accounts for."""
    text = reading.trace.get("text", ())
    for line in (text[number - 1] for number in reading.trace.get("unaccounted", ()) if number <= len(text)):
        cells = line.split(CELL)
        head, sign, rest = cells[0].partition(":")
        label, value = (head, rest.strip()) if len(cells) == 1 else (cells[0].rstrip(": "), cells[1].strip())
        if label.strip() and value and (sign or len(cells) == 2) and len(cells) <= 2:
            yield label.strip(), value


def _reads(field: Field, value: str, pack: Pack, rule: Rule) -> bool:
    try:
        return to_value(field, value, pack, rule) is not None
    except Invalid:
        return False


def labels_of(rule: Rule, field: str) -> tuple[str, ...]:
    """Return the labels that a field is read from."""
    one = next(one for one in rule.all_fields if one.name == field)
    return tuple(word for source in one.sources if source.kind is From.LABEL for word in source.words)


def with_label(text: str, file: str, rule_id: str, field: str, label: str) -> str:
    """Return the text of a rule file in which a field of a rule has one more label.

    Raises:
        NotMended: the file has no such field with a label, or writes it in a way that is not known here.
    """
    node = _label_node(read_yaml(text, file), rule_id, field)
    if node is None:
        raise NotMended(f"{file}: the field `{field}` of `{rule_id}` has no label to add one to")
    lines = text.splitlines(keepends=True)
    line, start = lines[node.line - 1], node.column - 1
    more = json.dumps(label, ensure_ascii=False)
    if isinstance(node, Scalar):
        end = start + _width(line, start, node, file)
        lines[node.line - 1] = f"{line[:start]}[{line[start:end]}, {more}]{line[end:]}"
    elif line[start] == "[":
        lines[node.line - 1] = f"{line[: start + 1]}{more}, {line[start + 1 :]}"
    else:
        lines.insert(node.line - 1, f"{line[:start]}- {more}\n")
    return "".join(lines)


def overlay(pack: str, labels: Mapping[str, str]) -> str:
    """Return a file that extends a pack by further spellings of its labels."""
    rows = "".join(f"  {json.dumps(old)}: [{json.dumps(new, ensure_ascii=False)}]\n" for old, new in labels.items())
    return f"# Labels that this site's mails have in place of those of the pack.\nextends: {pack}\nlabels:\n{rows}"


def with_overlaid(text: str, file: str, labels: Mapping[str, str]) -> str:
    """Return the text of a file that extends a pack, with further spellings.

    Raises:
        NotMended: it has the label already, or writes its labels in a way that is not known here.
    """
    tree = read_yaml(text, file)
    table = (
        next((value for key, value in tree.items if key.text == "labels"), None) if isinstance(tree, Table) else None
    )
    rows = "".join(f"  {json.dumps(old)}: [{json.dumps(new, ensure_ascii=False)}]\n" for old, new in labels.items())
    if table is None:
        return f"{text.rstrip()}\nlabels:\n{rows}"
    known = {key.text.casefold() for key, _ in table.items} if isinstance(table, Table) else set[str]()
    found = _KEY.search(text)
    if found is None or known & {label.casefold() for label in labels}:
        raise NotMended(f"{file}:{table.line}: add by hand under `labels`: {rows.strip()}")
    return f"{text[: found.end()]}\n{rows.rstrip()}{text[found.end() :]}"


def _label_node(tree: Node, rule_id: str, field: str) -> Scalar | Items | None:
    for rule in _items(_value(tree, "rules")):
        name = _value(rule, "id")
        if isinstance(name, Scalar) and name.text == rule_id:
            for source in _items(_value(_value(rule, "fields"), field)):
                found = _value(source, "label")
                if isinstance(found, Scalar | Items):
                    return found
    return None


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Items) else (node,) if node is not None else ()


def _value(node: Node | None, key: str) -> Node | None:
    return next((value for name, value in node.items if name.text == key), None) if isinstance(node, Table) else None


def _width(line: str, start: int, node: Scalar, file: str) -> int:
    """Return how many characters a scalar takes where it is written."""
    sign = line[start]
    for written in (node.text, f'"{node.text}"', f"'{node.text}'"):
        if line.startswith(written, start) and (sign in "\"'") == (written[0] == sign and written != node.text):
            return len(written)
    raise NotMended(
        f"{file}:{node.line}:{node.column}: add the label by hand, the text is written in more than one line"
    )
