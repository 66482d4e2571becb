"""What a pack may name as its senders: domains, and whole domains with all below them."""

import re
from typing import Final

from parsers.rule import ANY

DOMAIN: Final = r"(\*\.)?[^\s@*/:.]+(\.[^\s@*/:.]+)*"
"""A domain, or one with all its subdomains."""
BELOW_ALL: Final = r"\*\.([^.]+|(ac|co|com|edu|go|gob|gov|gv|ltd|ne|net|nom|or|org|plc)\.[a-z]{2})"
"""All domains below one that belongs to nobody: a top-level domain, or such as ``co.uk``."""
_DOMAIN, _BELOW_ALL = re.compile(DOMAIN), re.compile(BELOW_ALL)


def fault_of(sender: str) -> str | None:
    """Return what is wrong with a sender, in lower case; None where nothing is."""
    if sender == ANY:
        return None
    if not _DOMAIN.fullmatch(sender):
        return f"`{sender}` is no domain: write one such as example.com, or *.example.com for all below it"
    if _BELOW_ALL.fullmatch(sender):
        return f"`{sender}` would let strangers speak for the pack: name the domain of the sender, as in *.example.com"
    return None
