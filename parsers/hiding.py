"""What inline styles and style sheets hide: the text there is not read.

A style sheet counts as it does on a wide screen. What it hides under a media query that we do not know is hidden.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from math import comb
from typing import Final, NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from parsers.errors import Unreadable
from parsers.fontsize import Sizes, find_unsized, states_size, without_size

_MAX_KEPT_STYLE: Final = 500
_MAX_KEPT_SHEET: Final = 20_000
MAX_SELECTORS: Final = 200
"""The most selectors of rules that hide, or show what others hide."""
_MAX_MATCHED: Final = 400_000
"""Those selectors times tags."""
_MAX_SHEET: Final = 128 * 1024
"""The longest style sheet that hides anything, in characters."""
_MAX_STEPS: Final = 8
"""The most elements that one selector names, and the most blocks around a rule."""
_MAX_SLOW_TAGS: Final = 1_500
"""The most tags for selectors that look at all siblings."""
_MAX_LOOKS: Final = 20_000_000
"""The most elements that are looked at to match descendants: each chain of elements around each."""

_END = r"\s*+(?:;|!|$)"
_HIDDEN_STYLE = re.compile(
    rf"(?:^|;)\s*+(?:display\s*+:\s*+none|visibility\s*+:\s*+(?:hidden|collapse)|mso-hide\s*+:\s*+all"
    rf"|opacity\s*+:\s*+(?:0*(?:\.0\d*|\.10*|\.)?|\d(?:\.\d+)?%){_END}"
    rf"|font-size\s*+:\s*+(?:[01]?(?:\.\d+)?(?:px|pt)?|0?(?:\.[01]\d*)?r?em|\d?(?:\.\d+)?%|0+[a-z]*){_END}"
    r"|font\s*+:\s*+(?:[a-z]+\s+)*(?:0(?:\.\d+)?(?:[a-z]+|%)?|1px)(?:\s|/)"
    rf"|max-height\s*+:\s*+[01]?(?:px|pt)?{_END}|max-width\s*+:\s*+[01]?(?:px|pt)?{_END}"
    r"|(?:-webkit-text-fill-)?color\s*+:\s*+(?:transparent|(?:rgb|hsl)a?\((?:(?:[^,)]*,){3}|[^,/)]*/)\s*+0?\.?0*%?\s*+\)"
    r"|#(?:[0-9a-f]{3}0|[0-9a-f]{6}00)(?![0-9a-f]))"
    r"|clip-path\s*+:\s*+(?:inset\(\s*+(?:100|[5-9]\d)%|circle\(\s*+0)"
    r"|(?:-webkit-)?transform\s*+:[^;]*scale(?:[xy]|3d)?\(\s*+0*\.?0*\s*+[,)]"
    r"|text-decoration(?:-line)?\s*+:[^;]*line-through"
    r"|text-indent\s*+:\s*+-\d{3,}|(?:left|top)\s*+:\s*+-\d{3,})",
    re.IGNORECASE,
)
_NO_SIZE = re.compile(rf"(?:^|;)\s*+(?:height|width)\s*+:\s*+[01]?(?:px|pt)?{_END}", re.IGNORECASE)
_OVERFLOW = re.compile(r"(?:^|;)\s*+overflow(?:-[xy])?\s*+:\s*+(?:hidden|clip)", re.IGNORECASE)
_CLIP = re.compile(r"(?:^|;)\s*+clip\s*+:\s*+rect\(\s*+(?:[01](?:px)?[\s,]+){3}[01](?:px)?\s*+\)", re.IGNORECASE)
_OUT_OF_FLOW = re.compile(r"(?:^|;)\s*+position\s*+:\s*+(?:absolute|fixed)", re.IGNORECASE)
_COLOUR = re.compile(r"(?:^|;)\s*+(color|background(?:-color)?)\s*+:\s*+(#[0-9a-f]{3,8}|[a-z]+)", re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?(?:\*/|$)|<!--|-->", re.DOTALL)
_PIECE = re.compile(r"([^{}]*)([{}]|$)")
_NOT_WIDE = re.compile(r"\bprint\b|\bhandheld\b|max-(?:device-)?width|prefers-color-scheme\s*:\s*dark", re.IGNORECASE)
_WIDE = re.compile(
    r"@(?:media|supports)\s*(?:(?:only\s+)?(?:screen|all)\b)?(?:\s*(?:and)?\s*\(\s*min-width[^)]*\))?\s*", re.I
)
_STATEFUL = re.compile(r"::|:(?!not|is|where|has|first|last|nth|only|root|empty)", re.IGNORECASE)
"""A pseudo-element, or a state that no printed mail is in."""
_STEP = re.compile(r"(?:^|[\s>+~])([a-z*.#\[:])", re.IGNORECASE)
"""How each element begins that a selector names."""
_SLOW = re.compile(r"[(~]|:(?:first|last|only)")
_INHERITED = frozenset(("font-size", "font", "visibility", "color"))
_RESTATES = "[style], [class], [id], font"


class Rule(NamedTuple):
    """One property under one selector."""

    selector: str
    name: str
    hides: bool
    weight: tuple[bool, int, int, int]
    """Whether it is important, and how exactly the selector names its elements."""
    place: int = 0
    """Its place in all sheets: of two that weigh the same the later wins."""


def find_hidden(tree: LexborHTMLParser, *, has_sheets: bool, tags: int) -> list[LexborNode]:
    """Return the elements that a style hides; mails repeat few styles many times, so each is read once.

    `has_sheets`: whether the text may hold a style sheet. Raise Unreadable when one hides by too many selectors.
    """
    nodes = tree.css("[style], [bgcolor]")
    styles = [(has.get("style"), has.get("bgcolor")) for has in [node.attributes for node in nodes]]
    hiding = {style for style in set(styles) if _hides(style[0] or "", style[1] or "")}
    hidden = [node for node, style in zip(nodes, styles, strict=True) if style in hiding] if hiding else []
    if unsized := {style for style in hiding if _is_unsized(style[0] or "", style[1] or "")}:
        wrappers = {node.mem_id for node, style in zip(nodes, styles, strict=True) if style in unsized}
        numbers = {node.mem_id for node in hidden}
        sizes = Sizes(wrappers, numbers, _sized_by_sheets(tree, tags) if has_sheets else ())
        hidden = [one for node in hidden for one in (find_unsized(node, sizes) if node.mem_id in wrappers else (node,))]
    if has_sheets:
        known = {node.mem_id for node in hidden}
        hidden += [node for node in _hidden_by_sheets(tree, tags) if node.mem_id not in known]
    return hidden


def _hides(style: str, bgcolor: str) -> bool:
    """Return whether a style hides its element; what is said of short ones is kept, since mails repeat them."""
    read = is_hidden if len(style) + len(bgcolor) <= _MAX_KEPT_STYLE else is_hidden.__wrapped__
    return read(style, bgcolor)


def _is_unsized(style: str, bgcolor: str) -> bool:
    """Return whether a style that hides does so by the size of its text alone."""
    return "font" in style.lower() and not is_hidden.__wrapped__(without_size(style), bgcolor)


def _sized_by_sheets(tree: LexborHTMLParser, tags: int) -> set[int]:
    """Return the elements to which style sheets give a size at which text is seen; none where that is too much work."""
    rules: list[Rule] = []
    winners: dict[int, bool] = {}
    with suppress(Unreadable):
        for sheet in tree.css("style"):
            for selectors, text, is_known in blocks_of(sheet.text(), sheet.attributes.get("media") or ""):
                is_sized = states_size(text)
                if is_sized is not None and (is_known or not is_sized):
                    important = any(
                        "!" in value for name, value in _declarations(text) if name in ("font", "font-size")
                    )
                    rules += rules_of(selectors, [("font-size", not is_sized, important)])
        found = match_rules(tree, [rule._replace(place=place) for place, rule in enumerate(rules)], tags)
        for rule, nodes in sorted(found, key=lambda pair: (pair[0].weight, pair[0].place)):
            winners |= dict.fromkeys([node.mem_id for node in nodes], not rule.hides)
    return {mem_id for mem_id, is_sized in winners.items() if is_sized}


@lru_cache(maxsize=1024)
def is_hidden(style: str, bgcolor: str = "") -> bool:
    """Return whether declarations hide an element of a given background."""
    if "/*" in style:
        style = _COMMENT.sub("", style)
    if style and (
        _HIDDEN_STYLE.search(style)
        or (_NO_SIZE.search(style) and _OVERFLOW.search(style))
        or (_CLIP.search(style) and _OUT_OF_FLOW.search(style))
    ):
        return True
    colours = {name.lower().removesuffix("-color"): _colour(value) for name, value in _COLOUR.findall(style)}
    ground = colours.get("background") or _colour(bgcolor)
    return bool(ground) and colours.get("color") == ground


def _colour(value: str) -> str:
    value = value.lower()
    if value == "white":
        return "#ffffff"
    if value == "black":
        return "#000000"
    if len(value) == 4 and value[0] == "#":
        return "#" + "".join(digit * 2 for digit in value[1:])
    return value


def _hidden_by_sheets(tree: LexborHTMLParser, tags: int) -> list[LexborNode]:
    rules: list[Rule] = []
    for sheet in tree.css("style"):
        text = sheet.text()
        read = _rules if len(text) <= _MAX_KEPT_SHEET else _rules.__wrapped__
        rules += read(text, sheet.attributes.get("media") or "")
    rules = [rule._replace(place=place) for place, rule in enumerate(rules)] if rules else []
    hiding = [rule for rule in rules if rule.hides]
    found = match_rules(tree, hiding, tags)
    names = {rule.name for rule, nodes in found if nodes}
    shown = [rule for rule in rules if not rule.hides and rule.name in names]
    found += match_rules(tree, shown, tags)
    nodes: dict[int, LexborNode] = {}
    winners: dict[tuple[int, str], Rule] = {}
    for rule, matched in sorted(found, key=lambda pair: (pair[0].weight, pair[0].place)):
        for node in matched:
            winners[node.mem_id, rule.name] = rule
            nodes[node.mem_id] = node
    hidden = {key[0]: None for key, rule in winners.items() if rule.hides and not _is_restated(nodes[key[0]], rule)}
    return [nodes[mem_id] for mem_id in hidden]


def match_rules(tree: LexborHTMLParser, rules: list[Rule], tags: int) -> list[tuple[Rule, list[LexborNode]]]:
    """Return the elements of each rule: none where its selector cannot be read."""
    if len(rules) > MAX_SELECTORS or len(rules) * tags > _MAX_MATCHED:
        raise Unreadable("the style sheets of an HTML part hold too many selectors that count")
    found: list[tuple[Rule, list[LexborNode]]] = []
    depth = _depth(tree) if rules else 0
    looks = 0
    for rule in rules:
        steps = len(_STEP.findall(rule.selector))
        looks += tags * comb(depth, max(0, steps - 1))
        if steps > _MAX_STEPS or looks > _MAX_LOOKS or (tags > _MAX_SLOW_TAGS and _SLOW.search(rule.selector)):
            raise Unreadable("a style sheet of an HTML part holds a selector that takes too long")
        with suppress(SelectolaxError, ValueError):
            found.append((rule, tree.css(rule.selector)))
    return found


def _depth(tree: LexborHTMLParser) -> int:
    """Return how deep the elements nest."""
    deepest = 0
    nodes = [(tree.root, 1)]
    while nodes:
        node, depth = nodes.pop()
        deepest = max(deepest, depth)
        nodes += [(child, depth + 1) for child in node.iter()] if node is not None else []
    return deepest


def _is_restated(node: LexborNode, rule: Rule) -> bool:
    """Return whether the element's own style, or one within where the property is inherited, may say otherwise."""
    if rule.name in _INHERITED and any(below.mem_id != node.mem_id for below in node.css(_RESTATES)):
        return True
    own = {name for name, _ in _declarations(node.attributes.get("style") or "")}
    return rule.name in own and not rule.weight[0]


@lru_cache(maxsize=32)
def _rules(sheet: str, media: str) -> tuple[Rule, ...]:
    """Return what a sheet says of properties that can hide, in its order; nothing of one that hides nothing."""
    if not is_hidden.__wrapped__(re.sub(r"[{}]", ";", _COMMENT.sub("", sheet))):
        return ()
    blocks = blocks_of(sheet, media)
    return tuple(rule for selectors, text, is_known in blocks for rule in _rules_of(selectors, text, is_known=is_known))


def blocks_of(sheet: str, media: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the selectors and declarations of each block that may count on a wide screen, and whether it does.

    Raise Unreadable for a sheet that is too long or nests too deep.
    """
    sheet = _COMMENT.sub("", sheet)
    if len(sheet) > _MAX_SHEET:
        raise Unreadable(f"a style sheet of an HTML part is longer than {_MAX_SHEET} characters")
    around = [f"@media {media}"] if media else []
    depth = len(around)
    for text, mark in _PIECE.findall(sheet):
        if mark == "{":
            if len(around) > _MAX_STEPS:
                raise Unreadable("the rules of a style sheet of an HTML part nest too deep")
            around.append(" ".join(text.rpartition(";")[2].split()))
        elif len(around) > depth:
            selector = around.pop()
            if selector[:1] != "@" and not any(_NOT_WIDE.search(query) for query in around):
                yield selector, text, all(_WIDE.fullmatch(query) for query in around)


def _rules_of(selectors: str, declarations: str, *, is_known: bool) -> list[Rule]:
    """Return what a block says of properties: where it is not known whether it counts, what hides alone."""
    stated = _declarations(declarations)
    of_one = [(name, is_hidden(f"{name}:{value}"), "!" in value) for name, value in stated]
    if not any(hides for _, hides, _ in of_one) and is_hidden.__wrapped__(declarations):
        of_one = [
            (name, True, important) for name, _, important in of_one if name in ("height", "width", "clip", "color")
        ]
    return [rule for rule in rules_of(selectors, of_one) if rule.hides or is_known]


def rules_of(selectors: str, stated: list[tuple[str, bool, bool]]) -> list[Rule]:
    """Return the rules of a block's selectors for properties, each with whether it hides and is important."""
    rules: list[Rule] = []
    for written in selectors.split(","):
        selector = written.strip()
        if selector and not _STATEFUL.search(selector):
            tags = sum(step.isalpha() for step in _STEP.findall(selector))
            exact = (selector.count("#"), len(re.findall(r"[.\[:]", selector)), tags)
            rules += [Rule(selector, name, hides, (important, *exact)) for name, hides, important in stated]
    return rules


def _declarations(text: str) -> list[tuple[str, str]]:
    pairs = [declaration.partition(":") for declaration in text.split(";")]
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs if value.strip()]
