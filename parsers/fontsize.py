"""Text that a style gives no size, and what stands within it with a size of its own.

MJML and its like write ``font-size:0`` around blocks that state theirs, to close the gaps between them.
"""

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from selectolax.lexbor import LexborNode

_STATED = re.compile(r"(?:^|;)\s*+font(-size)?\s*+:([^;]*)", re.IGNORECASE)
_LENGTH = re.compile(r"(\d{0,6}(?:\.\d*)?)(px|pt|pc|in|cm|mm|rem)", re.IGNORECASE)
_KEYWORDS: Final = frozenset(
    ("xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "xxx-large", "initial")
)
_PIXELS: Final = {"px": 1, "pt": 1, "pc": 16, "in": 96, "cm": 38, "mm": 4, "rem": 16}
_LEAST: Final = 2
"""The least size at which a text is seen, in pixels."""


def without_size(style: str) -> str:
    """Return declarations without those of a size of text."""
    return _STATED.sub("", style)


class Sizes(NamedTuple):
    """Elements by their numbers in memory."""

    wrappers: Collection[int]
    """Those whose text has no size, and that nothing else hides."""
    hidden: Collection[int]
    """Those that a style of their own hides."""
    by_sheets: Collection[int]
    """Those to which style sheets give a size."""


def find_unsized(wrapper: LexborNode, sizes: Sizes) -> list[LexborNode]:
    """Return what is not shown of an element whose text has no size: all of it where nothing in it states one."""
    unsized = _unsized_in(wrapper, sizes)
    return [wrapper] if unsized is None else unsized


def _unsized_in(node: LexborNode, sizes: Sizes) -> list[LexborNode] | None:
    """Return the texts and elements in a node that have no size; None when nothing in it has one."""
    unsized: list[LexborNode] = []
    has_sized = False
    for child in node.iter(include_text=True):
        if child.is_text_node:
            if (child.text_content or "").strip():
                unsized.append(child)
        elif child.mem_id in sizes.wrappers or _has_size(child, sizes):
            has_sized = True
        elif child.mem_id not in sizes.hidden:
            below = _unsized_in(child, sizes)
            has_sized = has_sized or below is not None
            unsized += [child] if below is None else below
    return unsized if has_sized else None


def _has_size(node: LexborNode, sizes: Sizes) -> bool:
    """Return whether an element has a size at which its text is seen, whatever the size around it."""
    stated = states_size(node.attributes.get("style") or "")
    if stated is None:
        return node.mem_id in sizes.by_sheets or (node.tag == "font" and bool(node.attributes.get("size")))
    return stated


def states_size(declarations: str) -> bool | None:
    """Return whether declarations state a size at which text is seen; None where they state none at all."""
    stated = _STATED.findall(declarations)
    if not stated:
        return None
    name, value = stated[-1]
    words = value.lower().partition("!")[0].split()
    return any(_is_size(word if name else word.partition("/")[0]) for word in words)


def _is_size(word: str) -> bool:
    if word in _KEYWORDS:
        return True
    match = _LENGTH.fullmatch(word)
    return match is not None and float(f"0{match[1]}") * _PIXELS[match[2]] >= _LEAST
