"""Nodes to texts, flags and patterns, with a fault at the node's place for what is not as it should be."""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from parsers.errors import RuleError, nearest
from parsers.pattern import BadPattern, Pattern
from parsers.yamltree import Items, Node, Scalar, Table

T = TypeVar("T")
_WHOLE = re.compile("-?[0-9]{1,4}")
ID = "[A-Za-z0-9][A-Za-z0-9._-]*"
"""What a pack or a rule is called."""
_ID = re.compile(ID)


def whole_number(text: str, least: int, most: int) -> int | None:
    """Return the whole number that a text is, of four digits at most; None for another text or beyond the bounds."""
    number = int(text) if _WHOLE.fullmatch(text) else None
    return number if number is not None and least <= number <= most else None


class NodeReader:
    """Reads nodes of one file; a fault gives an empty value and goes on, so that one run shows them all."""

    def __init__(self, file: str, errors: list[RuleError]) -> None:
        self._file = file
        self._errors = errors

    def fault(self, node: Node, message: str, text: str = "", near: str | None = None) -> None:
        self._errors.append(
            RuleError(file=self._file, line=node.line, column=node.column, message=message, text=text, nearest=near)
        )

    def table(self, node: Node | None, known: Iterable[str] | None, what: str) -> dict[str, Node]:
        """Return a mapping's values by key, refusing keys outside `known` (None: any)."""
        if node is None:
            return {}
        if not isinstance(node, Table):
            self.fault(node, f"{what} is a mapping")
            return {}
        found: dict[str, Node] = {}
        for key, value in node.items:
            if known is not None and key.text not in known:
                self.fault(key, f"unknown key `{key.text}` in {what}", key.text, nearest(key.text, known))
            else:
                found[key.text] = value
        return found

    def text(self, node: Node | None, what: str) -> str:
        if node is None:
            return ""
        if not isinstance(node, Scalar) or not node.text:
            self.fault(node, f"{what} is a text")
            return ""
        return node.text

    def texts(self, node: Node | None, what: str) -> tuple[str, ...]:
        """Return one text or a list of them."""
        return tuple(self.each(node, lambda item: self.text(item, what)))

    def id(self, node: Node | None, what: str) -> str:
        """Return what something is called: `pack/rule` has to be one word, and to part at one place."""
        text = self.text(node, what)
        if node is not None and text and not _ID.fullmatch(text):
            self.fault(node, f"{what} is of letters a-z, digits, `-`, `_` and `.`; `{text}` is not", text)
        return text

    def each(self, node: Node | None, read: Callable[[Node], T]) -> list[T]:
        """Return what `read` makes of each item of a list, or of the one item that stands without a list."""
        return [read(item) for item in self.items(node)]

    def items(self, node: Node | None) -> tuple[Node, ...]:
        """Return the items of a list, or the one that stands without a list; a list without any is a fault."""
        if node is None:
            return ()
        if not isinstance(node, Items):
            return (node,)
        if not node.items:
            self.fault(node, "an empty list says nothing: fill it, or leave the key out", "[]")
        return node.items

    def word(self, node: Node | None, known: Iterable[str], what: str, default: str) -> str:
        if node is None:
            return default
        text = self.text(node, what)
        known = tuple(known)
        if text and text not in known:
            self.fault(node, f"unknown {what} `{text}`: one of {', '.join(known)}", text, nearest(text, known))
            return default
        return text or default

    def flag(self, node: Node | None, what: str) -> bool:
        return self.word(node, ("true", "false"), what, "false") == "true"

    def pattern(self, node: Node | None, what: str) -> Pattern | None:
        text = self.text(node, what)
        if node is None or not text:
            return None
        try:
            return Pattern(text)
        except BadPattern as error:
            self.fault(node, f"bad pattern in {what}: {error}", text)
            return None

    def patterns(self, node: Node | None, what: str) -> tuple[Pattern, ...]:
        return tuple(filter(None, self.each(node, lambda item: self.pattern(item, what))))
