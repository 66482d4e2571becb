"""Forwarded mail on its way through the worker: proven by who forwards, one with the original, current by its date."""

import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from parsers import load_rules
from parsers.dress import dress
from tests.rigs.gatepost import ROOT, demo_mail
from worker.settings import Mailbox, PackUse, Trust
from worker.store.mails import MailHold, MailState, NewMail, Verdict
from worker.verdict import judge_mail

RULES = load_rules([ROOT / "rules"])
RELAY = Trust(forwarder="operator.example.com", network="127.0.0.0/8")
BOX = Mailbox(
    address="main@in.test", location="SITELINK", company="acme", pms=(PackUse(name="sitelink"),), trust=(RELAY,)
)
FORWARDS = ("gmail-forward", "outlook-forward-de", "apple-forward", "rfc822", "forward-of-forward")
MANAGER = "manager@operator.example.com"


@pytest.fixture
def judge() -> Callable[..., Verdict]:
    def judged(raw: bytes, *, box: Mailbox = BOX, mail_from: str = MANAGER, peer: str = "127.0.0.1") -> Verdict:
        mail = NewMail(
            id="1",
            mailbox=box.address,
            raw=raw,
            evidence={"peer": peer, "mail_from": mail_from},
            received_at=dt.datetime(2026, 6, 1, tzinfo=dt.UTC),
            tries=0,
        )
        return judge_mail(mail, box, RULES, skew=dt.timedelta(minutes=15))

    return judged


def forwarded(name: str) -> bytes:
    return dress(demo_mail("01"), name, zone=ZoneInfo("America/Chicago"))


@pytest.mark.parametrize("name", FORWARDS)
def test_a_proven_forwarder_speaks_for_what_they_forward(name: str, judge) -> None:
    """What the operator's own person forwards gives the same events as the original."""
    original = judge(demo_mail("01"), box=BOX.model_copy(update={"trust": (Trust(network="127.0.0.0/8"),)}))
    verdict = judge(forwarded(name))
    assert (verdict.state, verdict.from_address) == (MailState.PARSED, original.from_address)
    assert [telling.event.identity for telling in verdict.tellings] == [
        telling.event.identity for telling in original.tellings
    ]
    assert len(verdict.tellings) == 2


@pytest.mark.parametrize("name", FORWARDS)
def test_a_forged_inner_sender_never_acts(name: str, judge) -> None:
    """Whoever writes a forward of a mail that never was gets no event: by peer, envelope or From they are unproven."""
    forged = forwarded(name).replace(MANAGER.encode(), b"manager@evil.example")
    assert forged != forwarded(name)
    for verdict in (
        judge(forged, mail_from="manager@evil.example"),
        judge(forged),
        judge(forwarded(name), mail_from="manager@evil.example"),
        judge(forwarded(name), mail_from=""),
        judge(forwarded(name), peer="192.0.2.9"),
    ):
        assert (verdict.state, verdict.reason, verdict.tellings) == (MailState.HELD, MailHold.UNTRUSTED, [])


def test_a_doubtful_forward_of_nobody_tells_both_reasons(judge) -> None:
    """A forward without a header has no sender inside: held untrusted, and why it could not be unwrapped is told."""
    raw = forwarded("gmail-forward-text").replace(b"From: SiteLink", b"Unit: SiteLink", 1)
    verdict = judge(raw)
    assert (verdict.state, verdict.reason) == (MailState.HELD, MailHold.UNTRUSTED)
    assert "header of the mail that it forwards" in (verdict.detail or "")


@pytest.mark.parametrize(("until", "state"), [("2026-04-30", MailState.HELD), ("2026-05-01", MailState.PARSED)])
def test_a_pack_is_current_at_the_inner_date(until: str, state: MailState, judge) -> None:
    """A forward counts at the date of the mail inside, also where its program names no zone."""
    use = PackUse(name="sitelink", until=dt.date.fromisoformat(until))
    verdict = judge(forwarded("gmail-forward"), box=BOX.model_copy(update={"pms": (use,)}))
    assert (verdict.state, verdict.mailed_at) == (state, dt.datetime(2026, 5, 1, 14, 30, tzinfo=dt.UTC))
