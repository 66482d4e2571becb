"""What HTML is refused before it is parsed: lexbor takes time quadratic in nesting and in the attributes of a tag."""

import re
from typing import Final

from parsers.errors import Unreadable

MAX_HTML: Final = 1024 * 1024
MAX_TAGS: Final = 16_000
MAX_DEPTH: Final = 200
MAX_ATTRIBUTES: Final = 100
"""The most attributes of one tag."""
_MAX_ROOTS: Final = 40
"""The most ``<html>`` and ``<body>``: the attributes of all are gathered in one element each."""
_SHORT: Final = 24_000
"""In a text of fewer characters, no number of attributes can hurt."""
_SMALL: Final = 600
"""With fewer tags than this, no nesting can hurt and no counting is worth its time."""
_MAX_OPEN_STYLES: Final = 150_000
"""Unclosed formatting elements times tags: each is copied into every later block."""

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_ATTRIBUTE = (
    r"[\s/]*+[^\s/>][^\s/>=]*+"
    r"""(?:\s*+=\s*+(?:"[^"]*+"?|'[^']*+'?|[^\s>]*+))?+"""
)
_ATTRIBUTES = re.compile(
    rf"</?+[a-z][^\s/>]*+(?:{_ATTRIBUTE}){{0,{MAX_ATTRIBUTES}}}+({_ATTRIBUTE})?", re.ASCII | re.IGNORECASE
)
"""A tag up to its attributes, with the one that is too many. It takes in all that it looks at, and never goes back:
time is linear."""
_ROOT = re.compile(r"<(?:html|body)\b", re.IGNORECASE)
_NEVER_NEST = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "p", "li", "td", "th", "tr", "dt", "dd", "option", "tbody", "thead", "tfoot", "colgroup",
))  # fmt: skip
"""Tags without content, and those that their like closes."""
_MAY_NEST = re.compile(r"<(?!/|(?:td|tr|p|br|li|img)[ >])")
"""Opening tags other than the commonest of those: counted first, since counting is cheap."""
_STYLES = frozenset(("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"))


class Bounds:
    """What the HTML of one mail comes to: all of its parts together have the time of one."""

    __slots__ = ("_length", "_tags")

    def __init__(self) -> None:
        self._length = 0
        self._tags = 0

    def check(self, html: str) -> None:
        """Take in the next part; raise Unreadable when lexbor would take too long for it, or the parts are too long."""
        self._length += len(html)
        if self._length > MAX_HTML:
            raise Unreadable(f"the HTML of the mail is longer than {MAX_HTML} characters")
        if self._length > _SHORT:
            _check_attributes(html)
        tags = html.count("<")
        self._tags += tags
        if self._tags <= _SMALL:
            return
        if self._tags > MAX_TAGS:
            raise Unreadable(f"the HTML of the mail holds more than {MAX_TAGS} tags")
        _check_nesting(html, tags)


def _check_nesting(html: str, tags: int) -> None:
    nesting = len(_MAY_NEST.findall(html))
    if nesting <= MAX_DEPTH and nesting * tags <= _MAX_OPEN_STYLES:
        return
    depth = deepest = styles = most_styles = 0
    for slash, name in _TAG.findall(html):
        word = name.lower()
        if word in _NEVER_NEST:
            continue
        step = -1 if slash else 1
        depth += step
        if depth > deepest:
            deepest = depth
        if word in _STYLES:
            styles = max(0, styles + step)
            if styles > most_styles:
                most_styles = styles
    if deepest > MAX_DEPTH:
        raise Unreadable(f"an HTML part nests deeper than {MAX_DEPTH} tags")
    if most_styles * tags > _MAX_OPEN_STYLES:
        raise Unreadable("an HTML part leaves too many formatting tags open")


def _check_attributes(html: str) -> None:
    if any(_ATTRIBUTES.findall(html)):
        raise Unreadable(f"an HTML part holds a tag with more than {MAX_ATTRIBUTES} attributes")
    if len(_ROOT.findall(html)) > _MAX_ROOTS:
        raise Unreadable(f"an HTML part begins more than {_MAX_ROOTS} times")
