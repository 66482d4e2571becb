"""Admit: for which packs may this mail speak? A pure function of the mailbox's policy and what is proven.

A proof is stored with its mail as evidence, so that the answer can be explained and judged again. Today the network
of the peer is the one thing that can prove a sender; an entry that asks for another proof (``dkim``, ``login``) does
not hold.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class TrustEntry(Protocol):
    """One alternative of a mailbox's ``trust``; all the keys that it names must hold."""

    @property
    def network(self) -> str | None: ...
    @property
    def dkim(self) -> str | None: ...
    @property
    def forwarder(self) -> str | None: ...
    @property
    def login(self) -> str | None: ...
    @property
    def for_packs(self) -> tuple[str, ...]: ...
    @property
    def allow(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Who may speak for what."""

    packs: tuple[str, ...]
    """The packs whose rules may be tried; empty: untrusted."""
    proof: str
    """What proves the sender, or why nothing does: for a person to read."""
    allow: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """The kinds of event that the proof is good for, by pack; a pack that is not there: all."""


def admit(
    trust: Sequence[TrustEntry],
    evidence: Mapping[str, Any],
    from_domain: str | None,
    sender_packs: Sequence[str],
    *,
    forwarded_by: str | None = None,
) -> Admission:
    """Return the packs that the mail may speak for.

    ``evidence``: ``peer`` (address of the SMTP client), ``mail_from`` (envelope sender), ``trusted`` (true when an
    operator vouches, as ``--trust`` does). ``sender_packs``: the mailbox's packs that list ``from_domain``.
    ``forwarded_by``: the domain of the person who forwarded it last; None when nobody did. The From of what is
    forwarded can be written by anybody, so it counts only as far as that person is proven.
    """
    if evidence.get("vouched"):
        return Admission(packs=tuple(sender_packs), proof=f"{evidence['vouched']} vouches for it")
    if from_domain is None:
        return Admission(packs=(), proof="From is not one plain address: nobody can be proven")
    holding = [entry for entry in trust if _holds(entry, evidence, forwarded_by)]
    if evidence.get("trusted"):
        proven, allow, proof = tuple(sender_packs), {}, "an operator vouches for it"
    elif not holding:
        peer = evidence.get("peer") or "unknown"
        forwarded = f", and for what {forwarded_by} forwards" if forwarded_by else ""
        proof = f"nothing proves the sender: no trust entry of the mailbox holds for peer {peer}{forwarded}"
        return Admission(packs=(), proof=proof)
    else:
        speaking = [entry for entry in holding if not entry.for_packs or set(entry.for_packs) & set(sender_packs)]
        proven = tuple(pack for pack in sender_packs if any(_speaks_for(entry, pack) for entry in speaking))
        allow = {pack: kinds for pack in proven if (kinds := _allowed(speaking, pack))}
        proof = " and ".join(dict.fromkeys(_name(entry) for entry in speaking or holding))
    if not proven:
        return Admission(packs=(), proof=f"{proof}, but no pack of this mailbox has {from_domain} among its senders")
    return Admission(packs=proven, proof=proof, allow=allow)


def _speaks_for(entry: TrustEntry, pack: str) -> bool:
    return not entry.for_packs or pack in entry.for_packs


def _allowed(entries: Sequence[TrustEntry], pack: str) -> tuple[str, ...]:
    """Return the kinds of event that some entry allows for a pack; empty when one of them allows all."""
    mine = [entry for entry in entries if _speaks_for(entry, pack)]
    if not all(entry.allow for entry in mine):
        return ()
    return tuple(dict.fromkeys(kind for entry in mine for kind in entry.allow))


def _holds(entry: TrustEntry, evidence: Mapping[str, Any], forwarded_by: str | None) -> bool:
    if entry.dkim or entry.login or not entry.network:
        return False
    if not _inside(str(evidence.get("peer") or ""), entry.network):
        return False
    if entry.forwarder is None:
        return True
    proven = entry.forwarder.lower()
    domain = str(evidence.get("mail_from") or "").rpartition("@")[2].lower()
    return domain == proven and forwarded_by in (None, proven)


def _inside(peer: str, network: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address in ipaddress.ip_network(network)


def _name(entry: TrustEntry) -> str:
    return f"network {entry.network}" + (f", forwarder {entry.forwarder}" if entry.forwarder else "")
