"""Text of HTML whose line breaks are shown as they are set: ``<pre>``, and what ``white-space`` makes like it."""

import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from parsers.errors import Unreadable
from parsers.text import MAX_LINES

MARK: Final = r"<(?:pre|listing|plaintext|xmp)[\s/>]|white-space(?:-collapse)?\s*:\s*(?:pre|break-)"
"""What stands in every text that holds any."""
TAGS: Final = ("listing", "plaintext", "pre", "xmp")
_STATED = ", ".join((*TAGS, "[style*=white-space i]"))
_WHITE_SPACE = re.compile(
    r"(?:^|[;\s])white-space(?:-collapse)?\s*:\s*(normal|nowrap|initial|collapse|pre-wrap|pre-line|pre|break-spaces"
    r"|preserve-breaks|preserve-spaces|preserve)\s*(?:;|!|$)",
    re.IGNORECASE,
)
_SHOWS = {"pre-line": False, "preserve-breaks": False} | dict.fromkeys(
    ("pre", "pre-wrap", "break-spaces", "preserve"), True
)
_BREAK = re.compile(r"\r\n?|\n")


def find_preformatted(tree: LexborHTMLParser) -> dict[int, bool]:
    """Return the texts whose line breaks are shown, by the node's number in memory, and whether runs of spaces are too.

    Raise Unreadable when they hold more lines than we read.
    """
    stated: dict[int, bool | None] = {}
    nodes: list[LexborNode] = []
    for node in tree.css(_STATED):
        words = _WHITE_SPACE.findall(node.attributes.get("style") or "")
        if words or node.tag in TAGS:
            stated[node.mem_id] = _SHOWS.get(words[-1].lower()) if words else True
            nodes.append(node)
    texts: dict[int, bool] = {}
    breaks = 0
    for node in nodes:
        shows = stated[node.mem_id]
        if shows is not None:
            breaks += _gather(node, shows, stated, texts)
    if breaks > 4 * MAX_LINES:
        raise Unreadable(f"the preformatted text of an HTML part holds more than {4 * MAX_LINES} lines")
    return texts


def _gather(node: LexborNode, shows: bool, stated: dict[int, bool | None], texts: dict[int, bool]) -> int:
    """Add the texts of a node to `texts`, but for those of elements that state it themselves; return their breaks."""
    breaks = 0
    for child in node.iter(include_text=True):
        if child.is_text_node:
            texts[child.mem_id] = shows
            breaks += (child.text_content or "").count("\n")
        elif child.mem_id not in stated:
            breaks += _gather(child, shows, stated, texts)
    return breaks


def split_lines(text: str) -> list[str]:
    """Return the lines of a preformatted text: one more than it holds breaks."""
    return _BREAK.split(text)
