"""Admit: for which packs a mail may speak follows from policy and proofs alone."""

import pytest

from worker.admit import admit
from worker.settings import Trust

LOOPBACK = Trust(network="127.0.0.0/8")
RELAY = Trust(forwarder="op.test", network="127.0.0.0/8")
SENDERS = ("sitelink",)


@pytest.mark.parametrize(
    ("trust", "evidence", "domain", "packs"),
    [
        ((LOOPBACK,), {"peer": "127.0.0.1"}, "sitelink.com", SENDERS),
        ((LOOPBACK,), {"peer": "::ffff:127.0.0.1"}, "sitelink.com", SENDERS),
        ((Trust(network="2001:db8::/32"),), {"peer": "2001:db8::7"}, "sitelink.com", SENDERS),
        ((LOOPBACK,), {"peer": "192.0.2.1"}, "sitelink.com", ()),
        ((LOOPBACK,), {"peer": "::1"}, "sitelink.com", ()),
        ((LOOPBACK,), {"peer": None}, "sitelink.com", ()),
        ((LOOPBACK,), {"peer": "localhost"}, "sitelink.com", ()),
        ((LOOPBACK,), {"peer": "127.0.0.1"}, None, ()),
        ((), {"peer": "127.0.0.1"}, "sitelink.com", ()),
        ((), {"trusted": True}, "sitelink.com", SENDERS),
        ((), {"trusted": True}, None, ()),
        ((), {"vouched": "anna"}, None, SENDERS),
        ((Trust(dkim="sitelink.com"),), {"peer": "127.0.0.1"}, "sitelink.com", ()),
        ((Trust(dkim="sitelink.com", network="127.0.0.0/8"),), {"peer": "127.0.0.1"}, "sitelink.com", ()),
        ((Trust(login="pms"),), {"peer": "127.0.0.1"}, "sitelink.com", ()),
        ((Trust(forwarder="op.test"),), {"mail_from": "a@op.test"}, "sitelink.com", ()),
        (
            (Trust(forwarder="op.test", network="127.0.0.0/8"),),
            {"peer": "127.0.0.1", "mail_from": "a@op.test"},
            "x",
            SENDERS,
        ),
        (
            (Trust(forwarder="op.test", network="127.0.0.0/8"),),
            {"peer": "127.0.0.1", "mail_from": "a@ev.test"},
            "x",
            (),
        ),
        ((Trust(network="127.0.0.0/8", **{"for": ("pmsevent",)}),), {"peer": "127.0.0.1"}, "sitelink.com", ()),
    ],
)
def test_who_may_speak(trust, evidence, domain, packs) -> None:
    """Every key of one entry must hold; a claim that nothing proves holds nothing."""
    assert admit(trust, evidence, domain, SENDERS).packs == packs


def test_entries_are_alternatives() -> None:
    """What one entry does not speak for another may: a mail is proven for all that any holding entry gives."""
    trust = (
        Trust(network="127.0.0.0/8", **{"for": ("pmsevent",)}),
        Trust(network="127.0.0.0/8", **{"for": ("sitelink",)}),
    )
    assert admit(trust, {"peer": "127.0.0.1"}, "sitelink.com", ("sitelink", "pmsevent")).packs == (
        "sitelink",
        "pmsevent",
    )


def test_allow_is_as_wide_as_the_widest_entry() -> None:
    """An entry that allows some kinds does not narrow one that allows all."""
    narrow, wide = Trust(network="127.0.0.0/8", allow=("patch",)), Trust(network="127.0.0.0/8")
    assert admit((narrow,), {"peer": "127.0.0.1"}, "sitelink.com", SENDERS).allow == {"sitelink": ("patch",)}
    assert admit((narrow, wide), {"peer": "127.0.0.1"}, "sitelink.com", SENDERS).allow == {}


def test_allow_of_one_pack_widens_no_other() -> None:
    """What one entry allows to one pack does not widen what another allows to another."""
    trust = (
        Trust(network="127.0.0.0/8", allow=("patch",), **{"for": ("sitelink",)}),
        Trust(network="127.0.0.0/8", **{"for": ("pmsevent",)}),
    )
    found = admit(trust, {"peer": "127.0.0.1"}, "sitelink.com", ("sitelink", "pmsevent"))
    assert (found.packs, found.allow) == (("sitelink", "pmsevent"), {"sitelink": ("patch",)})


def test_why_not_is_told() -> None:
    """A refusal names the peer, or the domain that no pack lists."""
    assert "192.0.2.1" in admit((LOOPBACK,), {"peer": "192.0.2.1"}, "sitelink.com", SENDERS).proof
    assert "evil.test" in admit((LOOPBACK,), {"peer": "127.0.0.1"}, "evil.test", ()).proof


@pytest.mark.parametrize(
    ("trust", "mail_from", "forwarded_by", "packs"),
    [
        ((RELAY,), "anna@op.test", "op.test", SENDERS),
        ((RELAY,), "anna+caf_=in@op.test", None, SENDERS),
        ((RELAY,), "anna@op.test", "ev.test", ()),
        ((RELAY,), "anna@op.test", "sub.op.test", ()),
        ((RELAY,), "eve@ev.test", "op.test", ()),
        ((RELAY,), "", "op.test", ()),
        ((LOOPBACK,), "eve@ev.test", "ev.test", SENDERS),
    ],
)
def test_a_forward_is_worth_what_proves_the_forwarder(trust, mail_from, forwarded_by, packs) -> None:
    """An inner From counts only when envelope and From of the one who forwards are the proven domain's."""
    evidence = {"peer": "127.0.0.1", "mail_from": mail_from}
    assert admit(trust, evidence, "sitelink.com", SENDERS, forwarded_by=forwarded_by).packs == packs
    assert (
        admit(trust, {**evidence, "peer": "192.0.2.1"}, "sitelink.com", SENDERS, forwarded_by=forwarded_by).packs == ()
    )


def test_the_proof_names_who_forwards() -> None:
    """A forward that nobody is proven for says whose it was, for the operator who wants to trust them."""
    refused = admit(
        (RELAY,), {"peer": "127.0.0.1", "mail_from": "a@ev.test"}, "sitelink.com", SENDERS, forwarded_by="ev.test"
    )
    assert "ev.test" in refused.proof
