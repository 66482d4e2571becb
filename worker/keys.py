"""Keys: the derived idempotency key of a call, the same wherever and whenever the call is made. Pure."""

import hashlib
from base64 import b32encode
from collections.abc import Iterable

from parsers.events import canonical
from worker.order import Call, UnitEvent

BULK = "bulk"
"""The verb of a call of many units."""


def key_base(company: str, destination: str, crm_unit_id: str, call: Call, events: Iterable[UnitEvent]) -> str:
    """Return the digest of all that a key is made of, but the generation: nothing of host, clock or chance."""
    carried = set(call.sources.values())
    identities = sorted({event.identity for event in events if event.id in carried})
    parts = (company, destination, *identities, call.verb, crm_unit_id, canonical(call.writes))
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def bulk_key_base(company: str, destination: str, identities: Iterable[str], body: bytes) -> str:
    """Return the digest of all that the key of a call of many units is made of, but the generation."""
    parts = (company, destination, *sorted(set(identities)), BULK, "", body.decode())
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def derive_key(base: str, generation: int) -> str:
    """Return the idempotency key of a call: ``gp1-`` and 52 characters; no personal data."""
    digest = hashlib.sha256(f"{base}\x1f{generation}".encode()).digest()
    return "gp1-" + b32encode(digest).decode().rstrip("=").lower()
