"""What stands where a value is lacking: fields of a template that were not filled, and words that say so."""

import re

_SIGNS = ("{", "_", "[", "<<", "%", "*|")
"""What every merge field has, so that most texts need no more than a look."""
_PAIRS = (("[[", "]]"), ("{{", "}}"), ("{%", "%}"), ("<<", ">>"), ("*|", "|*"), ("${", "}"))
"""What stands around a merge field; no pattern, which would look for the end from each mark of a long line anew."""
_MERGE_FIELD = re.compile(r"\{[^{}>]*>[^{}]*\}|^[A-Z]+(?:_[A-Z]+)+$|^\{[^{}]+\}$|^%+[^\s%]*[^\W\d][^\s%]*%+$|^__.+__$")
_LONGEST = 200
"""Characters of a merge field that is told by its whole text."""
_BRACKETED = re.compile(r"\[.*\]|<.*>")
_NONE = re.compile(
    r"n\.? ?/? ?a\.?|none|null|nil|nan|undefined|unknown|unassigned|unallocated|t\.?b\.?[acd]\.?|to be [a-z]+"
    r"|not (?:yet )?(?:assigned|allocated|available|applicable|known|set|specified|provided|found)(?: yet)?",
    re.IGNORECASE,
)


def is_merge_field(text: str) -> bool:
    """Say whether a text holds a field of a template that the sender's system did not fill."""
    if not any(sign in text for sign in _SIGNS):
        return False
    if any(end in text.partition(mark)[2] for mark, end in _PAIRS):
        return True
    return len(text) <= _LONGEST and _MERGE_FIELD.search(text) is not None


def is_placeholder(text: str) -> bool:
    """Say whether what stands for a unit, tenant or ledger names none."""
    return (
        _NONE.fullmatch(text.strip(" ()-–—*#'\".")) is not None
        or _BRACKETED.fullmatch(text) is not None
        or not any(sign.isalnum() for sign in text)
        or is_merge_field(text)
    )
