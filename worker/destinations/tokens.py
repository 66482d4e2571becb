"""Name a refused token without telling it: a digest of it stands at the end of what a destination's refusal says.

So the pause that follows says which token it is about, in the store, for every process. Pure.
"""

import hashlib
import re
from dataclasses import replace

from worker.calls import Outcome, Reply
from worker.destinations.answers import MAX_MESSAGE

_MARK = re.compile(r" \[token digest ([0-9a-f]{16})\]$")
_LONGEST = MAX_MESSAGE - len(" [token digest 0123456789abcdef]")


def digest_of(token: str) -> str:
    """Return 16 characters that tell one token from another, and from which none can be found."""
    return hashlib.sha256(f"gatepost-token\x1f{token}".encode()).hexdigest()[:16]


def marked(reply: Reply, token: str) -> Reply:
    """Return a reply that names the token with which it was asked for, if it refuses that; otherwise as it is."""
    if reply.outcome is not Outcome.UNAUTHORIZED:
        return reply
    return replace(reply, message=f"{reply.message[:_LONGEST]} [token digest {digest_of(token)}]")


def refused_digest(reason: str) -> str | None:
    """Return the digest of the token that a pause is about; None when it names none."""
    found = _MARK.search(reason)
    return found[1] if found else None
