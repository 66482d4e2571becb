"""YAML with positions: a file becomes a tree of nodes that know their line and column.

Every scalar stays text. What YAML offers beyond lists, mappings and scalars (aliases, anchors, tags, duplicate
keys, several documents) is refused: a rule is plain data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias, cast

import yaml

from parsers.errors import RuleError, RuleErrors

MAX_FILE: Final = 256 * 1024
_MAX_DEPTH: Final = 20
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One text."""

    line: int
    column: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list."""

    line: int
    column: int
    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping; keys are texts and stand once."""

    line: int
    column: int
    items: "tuple[tuple[Scalar, Node], ...]"


Node: TypeAlias = Scalar | Items | Table


def read_yaml(text: str, file: str) -> Node:
    """Return the tree of one YAML text; raise RuleErrors at the first place that is not plain data."""
    if len(text) > MAX_FILE:
        raise RuleErrors([_error(file, 1, 1, f"a rule file is at most {MAX_FILE} characters long")])
    try:
        events = cast("Iterator[Any]", cast(Any, yaml).parse(text, Loader=_PARSER))
        tree = _Tree(events, file)
        return tree.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise RuleErrors([_error(file, *place, f"not YAML: {error.problem or error.context}")]) from error
    except yaml.YAMLError as error:
        raise RuleErrors([_error(file, 1, 1, "not YAML: a character that YAML does not allow")]) from error


def plain(node: Node) -> Any:
    """Return the tree as texts, lists and dicts, without positions."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.items}


def _error(file: str, line: int, column: int, message: str, text: str = "") -> RuleError:
    return RuleError(file=file, line=line, column=column, message=message, text=text)


class _Tree:
    """Builds nodes from the parser's events."""

    def __init__(self, events: "Iterator[Any]", file: str) -> None:
        self._events = events
        self._file = file

    def document(self) -> Node:
        next(self._events)  # the stream begins
        event = next(self._events)
        if not isinstance(event, yaml.DocumentStartEvent):
            raise RuleErrors([_error(self._file, 1, 1, "the file is empty")])
        node = self._node(next(self._events), 0)
        next(self._events)  # the document ends
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, "a rule file holds one document")
        return node

    def _node(self, event: Any, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            self._refuse(event, f"nested deeper than {_MAX_DEPTH}")
        kind = type(event).__name__
        if kind == "AliasEvent":
            self._refuse(event, "aliases are not allowed: write the value out")
        if event.anchor:
            self._refuse(event, "anchors are not allowed: write the value out")
        if event.tag:
            self._refuse(event, "tags are not allowed: every scalar is text")
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if kind == "ScalarEvent":
            return Scalar(line=line, column=column, text=cast(str, event.value))
        if kind == "SequenceStartEvent":
            return Items(line=line, column=column, items=tuple(self._items(depth)))
        return Table(line=line, column=column, items=tuple(self._pairs(depth)))

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _pairs(self, depth: int) -> "Iterator[tuple[Scalar, Node]]":
        seen: set[str] = set()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                self._refuse(event, "a key is one word")
            if key.text in seen:
                self._refuse(event, f"the key `{key.text}` stands twice", key.text)
            seen.add(key.text)
            yield key, self._node(next(self._events), depth + 1)

    def _refuse(self, event: Any, message: str, text: str = "") -> NoReturn:
        mark = event.start_mark
        raise RuleErrors([_error(self._file, mark.line + 1, mark.column + 1, message, text)])
