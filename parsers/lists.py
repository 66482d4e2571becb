"""Lists that a line break cut: whether the text of a list may go on in the line below."""

import re
from typing import Final

_MAX_WORDS: Final = 3
_MAX_BARE: Final = 3
"""The longest item without a digit that is told from a word of a sentence, in characters."""
_BULLETS: Final = " *•·-–"
_LETTERS = re.compile(r"[^\W\d_]+")
_DIGITS = re.compile(r"[0-9]+")


def goes_on(text: str, split: tuple[str, ...]) -> bool:
    """Say whether a list ends with what parts its items, so that one is lacking."""
    text = text.casefold()
    return any(one.strip() and (text.endswith(one) or f"{text} ".endswith(one)) for one in map(str.casefold, split))


def continues(text: str, below: str, split: tuple[str, ...], *, is_apart: bool) -> bool:
    """Say whether what stands below a list may be more of its items.

    An item is short, has no word in small letters and holds a digit, or is of the shape of one that the list has
    (``A12``, ``A14``). `is_apart`: a blank line stands between, or other cells beside; then only the shape counts.
    """
    opened = below.casefold()
    if not is_apart and any(
        one.strip() and (opened.startswith(one) or f" {opened}".startswith(one)) for one in map(str.casefold, split)
    ):
        return True
    first = _pieces(below.strip(_BULLETS), split)[0]
    if _DIGITS.search(first) and _shape(first) in map(_shape, _pieces(text, split)):
        return True
    return not is_apart and _is_item(first)


def _pieces(text: str, split: tuple[str, ...]) -> list[str]:
    return [piece.strip() for piece in re.split("|".join(map(re.escape, split)), text, flags=re.IGNORECASE)]


def _shape(item: str) -> str:
    """Return what items that are named alike share: runs of letters and of digits as one sign each."""
    return _DIGITS.sub("9", _LETTERS.sub("A", item))


def _is_item(text: str) -> bool:
    words = text.split()
    if not 0 < len(words) <= _MAX_WORDS or any(word.isalpha() and word.islower() for word in words):
        return False
    return _DIGITS.search(text) is not None or (len(text) <= _MAX_BARE and text.isupper())
