"""Values that a mail program broke over two lines of plain text: whether a text may go on in the line below."""

from typing import Final

_WIDTH: Final = 72
"""In how many characters a line fits that no program breaks."""
_MAX_WIDTH: Final = 80
"""The most characters of a line that a program broke."""
_OPEN_WORDS: Final = frozenset(
    (
        "and", "or", "of", "the", "with", "for", "at", "&", "+", "-", "–", "/", "und", "oder", "von", "mit", "et", "ou",
        "du", "des", "y", "del", "di", "della", "en", "met", "van", "het", "com", "do", "da",
    )
)  # fmt: skip
"""What no value of several words ends with: it leads to another one."""
_OPEN_SIGNS: Final = (",", "&", "/")


def may_go_on(line: str, value: str, below: str) -> bool:
    """Say whether a value that ends its line may go on in the line below, which directly follows and has no label.

    It may where it ends with what leads to another word, or where its line is so long that a program would break it
    before the first word of the line below.
    """
    _, blank, last = value.rpartition(" ")
    if (blank and last.casefold() in _OPEN_WORDS) or value.endswith(_OPEN_SIGNS):
        return True
    return len(line) <= _MAX_WIDTH and len(line) + 1 + len(below.partition(" ")[0]) > _WIDTH
