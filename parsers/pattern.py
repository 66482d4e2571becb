"""Patterns: google-re2, so that no pattern and no mail can make a match slow.

RE2 knows no look-around and no back-references; ``\\d``, ``\\w``, ``\\s`` and ``\\b`` are ASCII.
"""

import re
from collections.abc import Iterable
from typing import Any, cast

import re2  # pyright: ignore[reportMissingTypeStubs]

_re2 = cast(Any, re2)

MAX_PATTERN = 1000
"""The longest pattern, in characters."""


_MULTI_LINE = "(?m)"
_OPEN_COUNT = re.compile(r"\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^]\\])*\]|\{,(?P<most>[0-9]+)\}", re.DOTALL)
"""A count without its least, which RE2 takes for plain text; before it, what may hold such signs."""
_NOTHING = r"[^\s\S]"
"""What a set of no patterns looks for, since RE2 knows no empty set."""


class BadPattern(ValueError):
    """A pattern that RE2 refuses; the text says why."""


def _options() -> Any:
    options = _re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.max_mem = 64 << 20
    return options


_OPTIONS = _options()


class Pattern:
    """One pattern: case-insensitive, multi-line, found anywhere unless anchored."""

    __slots__ = ("_compiled", "_value", "groups", "text")

    def __init__(self, text: str) -> None:
        """Compile `text`; raise BadPattern when RE2 refuses it."""
        if len(text) > MAX_PATTERN:
            raise BadPattern(f"longer than {MAX_PATTERN} characters")
        most = next((found["most"] for found in _OPEN_COUNT.finditer(text) if found["most"]), None)
        if most:
            raise BadPattern(f"RE2 takes `{{,{most}}}` as plain text: write {{0,{most}}}")
        try:
            self._compiled = _re2.compile(_MULTI_LINE + text, _OPTIONS)
        except _re2.error as error:
            why = error.args[0] if error.args else "bad pattern"
            text = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
            raise BadPattern(text.replace(_MULTI_LINE, "")) from error
        self.text = text
        groups = cast("dict[str, int]", self._compiled.groupindex)
        self.groups = tuple(groups)
        self._value = groups.get("value", 0)

    def found(self, text: str) -> bool:
        """Return whether the pattern is found anywhere in `text`."""
        return self._compiled.search(text) is not None

    def whole(self, text: str) -> bool:
        """Return whether the pattern matches all of `text`."""
        return self._compiled.fullmatch(text) is not None

    def values(self, text: str) -> list[tuple[str, int, int]]:
        """Return each find of the group ``value`` (the whole match without one), with its span."""
        found: list[tuple[str, int, int]] = []
        for match in self._compiled.finditer(text):
            value = match.group(self._value)
            if value is not None:
                start, end = match.span(self._value)
                found.append((value, start, end))
            if len(found) == 50:
                break
        return found


class LinePatterns:
    """Several patterns as one, to tell the lines of a text in which any is found."""

    __slots__ = ("_joined", "texts")

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self.texts = tuple(pattern.text for pattern in patterns)
        self._joined = _re2.compile(_MULTI_LINE + "|".join(f"(?:{text})" for text in self.texts), _OPTIONS)

    def lines(self, text: str) -> set[int]:
        """Return the numbers, from 1, of the lines in which a pattern is found."""
        found: set[int] = set()
        line, counted = 1, 0
        octets = text.encode()  # else each match counts the characters before it
        for match in self._joined.finditer(octets):
            start = cast(int, match.start())
            line += octets.count(b"\n", counted, start)
            counted = start
            found.add(line)
        return found


class PatternSet:
    """Many patterns looked for at once: the cost does not grow with their number."""

    __slots__ = ("_set",)

    def __init__(self, patterns: list[str]) -> None:
        self._set = _re2.Set.SearchSet(_OPTIONS)
        for pattern in patterns or [_NOTHING]:
            self._set.Add(_MULTI_LINE + pattern)
        self._set.Compile()

    def found(self, text: str) -> frozenset[int]:
        """Return the places of those patterns that are found in `text`."""
        return frozenset(cast("list[int]", self._set.Match(text) or ()))
