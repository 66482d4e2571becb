"""Mend a rule whose label was renamed: the further spelling goes into the rule's text, or into a file that extends it.

Pure: texts in, texts out. Comments and layout of a text stay as they are.

Errors:
    NotMended(Exception)    there is nothing to mend, or the place is not found; says why, and what to do
"""

import json
import re
from collections.abc import Mapping
from typing import Final

from parsers import Outcome, Reading, RuleSet
from parsers.rule import From, Rule
from parsers.yamltree import Items, Node, Scalar, Table, read_yaml

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


def proposed(reading: Reading, rule: Rule, named: Mapping[str, str]) -> dict[str, str]:
    """Return by field the label to add: what is named, else the nearest one that the mail has.

    Raises:
        NotMended: no field lacks a value and has a label that is near.
    """
    fields = {one.name: one for one in rule.all_fields}
    for name in named:
        if name not in fields:
            raise NotMended(f"{rule.name} has no field `{name}`; it has {', '.join(fields)}")
    found = {**reading.trace.get("nearest", {}), **named}
    if not found:
        raise NotMended(
            f"no label of the mail is near to one of {rule.name}; `gatepost explain` shows its lines: "
            "say which it is, as --label FIELD=LABEL"
        )
    for name in found:
        if not labels_of(rule, name):
            raise NotMended(f"the field `{name}` of {rule.name} is not read from a label: mend the rule by hand")
    return found


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
