"""Marks that mail programs put around words that were bold or slanted, in the plain text that they make of HTML."""

import re

from parsers.text import CELL, Line

_STARS = re.compile(r"(?<![^\W_])(?<!\*)(\*{1,3})(?![\s*|])([^*]+)\1(?!\*)")
_LOW_LINES = re.compile(r"(?<!\w)(_{1,2})(?![\s_|])([^_]+)\1(?!_)")


def bare_lines(lines: list[Line]) -> list[Line]:
    """Return readable lines without such marks."""
    return [_bare(line) if "*" in line.text or "_" in line.text else line for line in lines]


def _bare(line: Line) -> Line:
    cells = tuple([without_emphasis(cell) for cell in line.cells])
    return line if cells == line.cells else line._replace(text=CELL.join(cells).strip(), cells=cells)


def without_emphasis(text: str) -> str:
    """Return a text without the stars and low lines that pair around words of it.

    ``*Unit:* A12``, ``Unit: *A12*`` and ``*Unit: *A12`` are ``Unit: A12``. A mark without its twin, and one within a
    word, is the text's own.
    """
    if "*" in text:
        text = _STARS.sub(_inner, text)
    if "_" in text:
        text = _LOW_LINES.sub(_inner, text)
    return text


def _inner(match: re.Match[str]) -> str:
    """Return what a pair of marks holds; the whole, where the marks are none of typography."""
    mark, inner = match.groups()
    after = match.string[match.end() : match.end() + 1]
    if mark == "__" and ":" not in inner + after:
        return match[0]  # an unfilled field of a template is written so, too
    if inner.rstrip()[-1] == ":":
        return inner
    return match[0] if inner[-1] in " |" or after.isalnum() else inner
