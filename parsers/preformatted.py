"""Text of HTML whose line breaks are shown as they are set: ``<pre>``, and what ``white-space`` makes like it."""

import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from parsers.errors import Unreadable
from parsers.hiding import Rule, blocks_of, match_rules, rules_of
from parsers.text import MAX_LINES

MARK: Final = r"<(?:pre|listing|plaintext|xmp)[\s/>]|white-space(?:-collapse)?\s*:\s*(?:pre|break-)"
"""What stands in every text that holds any."""
TAGS: Final = ("listing", "plaintext", "pre", "xmp")
_STATED = ", ".join((*TAGS, "[style*=white-space i]"))
_WHITE_SPACE = re.compile(
    r"(?:^|[;\s])white-space(?:-collapse)?\s*:\s*(normal|nowrap|initial|collapse|pre-wrap|pre-line|pre|break-spaces"
    r"|preserve-breaks|preserve-spaces|preserve)\s*(?=(;|!|$))",
    re.IGNORECASE,
)
_SHOWS = {"pre-line": False, "preserve-breaks": False} | dict.fromkeys(
    ("pre", "pre-wrap", "break-spaces", "preserve"), True
)
_BREAK = re.compile(r"\r\n?|\n")


def find_preformatted(tree: LexborHTMLParser, *, tags: int) -> dict[int, bool]:
    """Return the texts whose line breaks are shown, by the node's number in memory, and whether runs of spaces are too.

    Raise Unreadable when they hold more lines than we read, or style sheets too much; `tags`: how many there may be.
    """
    by_sheets = _stated_by_sheets(tree, tags)
    nodes = {node.mem_id: node for node in [*tree.css(_STATED), *(node for node, _ in by_sheets.values())]}
    stated: dict[int, bool | None] = {}
    for mem_id, node in nodes.items():
        word, is_important = _stated_in(node.attributes.get("style") or "")
        _, rule = by_sheets.get(mem_id, (node, None))
        if rule and (not word or (rule.weight[0] and not is_important)):
            word = rule.name
        if word or node.tag in TAGS:
            stated[mem_id] = _SHOWS.get(word) if word else True
    texts: dict[int, bool] = {}
    breaks = 0
    for mem_id, shows in stated.items():
        if shows is not None:
            breaks += _gather(nodes[mem_id], shows, stated, texts)
    if breaks > 4 * MAX_LINES:
        raise Unreadable(f"the preformatted text of an HTML part holds more than {4 * MAX_LINES} lines")
    return texts


def _stated_in(declarations: str) -> tuple[str, bool]:
    """Return the word that declarations end up with, in small letters, and whether it is important; "" without one."""
    words = [(word.lower(), end == "!") for word, end in _WHITE_SPACE.findall(declarations)]
    return next((one for one in reversed(words) if one[1]), words[-1] if words else ("", False))


def _stated_by_sheets(tree: LexborHTMLParser, tags: int) -> dict[int, tuple[LexborNode, Rule]]:
    """Return the elements of which style sheets state it, with the rule that wins; none where nothing shows breaks."""
    rules: list[Rule] = []
    for sheet in tree.css("style"):
        text = sheet.text()
        if "white-space" in text.lower():
            for selectors, declarations, is_known in blocks_of(text, sheet.attributes.get("media") or ""):
                word, is_important = _stated_in(declarations)
                if word and is_known:
                    rules += rules_of(selectors, [(word, word in _SHOWS, is_important)])
    rules = [rule._replace(place=place) for place, rule in enumerate(rules)]
    found = match_rules(tree, [rule for rule in rules if rule.hides], tags)
    if any(nodes for _, nodes in found) or tree.css_first(_STATED) is not None:
        found += match_rules(tree, [rule for rule in rules if not rule.hides], tags)
    found.sort(key=lambda pair: (pair[0].weight, pair[0].place))
    return {node.mem_id: (node, rule) for rule, nodes in found for node in nodes}


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
