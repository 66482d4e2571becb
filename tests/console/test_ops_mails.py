"""Mail by the operator API: the durability of SMTP, and no proof but that of the peer."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import httpx
import pytest

from tests.console.conftest import BOX, Ops, configured, serve
from tests.rigs.gatepost import demo_mail
from tests.rigs.services import wait_until
from worker.store.keep import KeeperStopped, KeptMail, NotKept

MAIL = demo_mail("01")


def post(ops: Ops, body: bytes = MAIL, mailbox: str | None = BOX, **more: Any) -> httpx.Response:
    """Post a mail."""
    params = {**({"mailbox": mailbox} if mailbox is not None else {}), **more.pop("params", {})}
    return ops.client.post("/mails", params=params, content=body, **more)


class HeldKeeper:
    """A keeper whose answers the test gives."""

    def __init__(self) -> None:
        self.submitted: list[tuple[KeptMail, Future[str]]] = []

    def submit(self, mail: KeptMail) -> Future[str]:
        future: Future[str] = Future()
        self.submitted.append((mail, future))
        return future

    def stop(self) -> None:
        """Nothing to stop."""


@pytest.fixture
def held(ops: Ops) -> Iterator[HeldKeeper]:
    """A keeper in the place of the real one."""
    real, keeper = ops.runtime.keeper, HeldKeeper()
    ops.runtime.__dict__["keeper"] = keeper
    yield keeper
    ops.runtime.__dict__["keeper"] = real


def test_a_mail_is_kept_as_it_came_and_takes_effect(ops: Ops) -> None:
    """A posted mail is read and applied like one that came by SMTP, byte for byte the same."""
    answer = post(ops)
    assert answer.status_code == 202, answer.text
    mail_id = answer.json()["data"]["id"]
    assert answer.json()["data"] == {"id": mail_id, "mailbox": BOX, "state": "new"}
    assert ops.client.get(f"/mails/{mail_id}/raw").content == MAIL
    ops.runtime.ingest([mail_id])
    ops.drain()
    assert ops.data(f"/write-status/{mail_id}")["write_status"] == "SUCCESS"


def test_202_comes_only_after_the_commit(ops: Ops, held: HeldKeeper) -> None:
    """While the store has not answered, neither have we; what was asked for is in nobody's list."""
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(post(ops)))
    asking.start()
    wait_until(lambda: bool(held.submitted), what="the mail reaching the keeper")
    assert ops.data("/mails") == []
    assert not answers
    held.submitted[0][1].set_result("0123456789abcdef01234567")
    asking.join(30)
    assert [answer.status_code for answer in answers] == [202]
    assert answers[0].json()["data"]["id"] == "0123456789abcdef01234567"


@pytest.mark.parametrize("error", [NotKept("no"), KeeperStopped("stopping")])
def test_what_is_not_kept_is_503(ops: Ops, held: HeldKeeper, error: Exception) -> None:
    """A mail that the store did not keep is never accepted, and leaves no audit row."""

    def submit(_mail: KeptMail) -> Future[str]:
        future: Future[str] = Future()
        future.set_exception(error)
        return future

    held.submit = submit  # type: ignore[method-assign]
    assert post(ops).status_code == 503
    assert (ops.mail_rows(), ops.audits()) == ([], [])


def test_a_keeper_that_has_stopped_is_503(ops: Ops) -> None:
    """While the process ends, the caller is told to come again."""
    ops.runtime.keeper.stop()
    assert post(ops).status_code == 503
    assert ops.mail_rows() == []


def test_a_broken_store_keeps_nothing_and_says_so(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that fails is a 503, with the real keeper."""

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ops.runtime.keeper._inserts, "run", fail)
    assert post(ops).status_code == 503
    monkeypatch.undo()
    assert ops.mail_rows() == []
    assert post(ops).status_code == 202


def test_who_posted_it_stands_in_evidence_and_audit(ops: Ops) -> None:
    """The evidence says by which way it came, from which peer, and under which token; the audit says who."""
    ids = [
        post(ops, headers={"X-Actor": "mail-service"}, params={"mail_from": "a@b.test"}).json()["data"]["id"],
        post(ops).json()["data"]["id"],
    ]
    kept = {row.id: dict(row.evidence) for row in ops.mail_rows()}
    evidence = [kept[mail_id] for mail_id in ids]
    for one in evidence:
        assert one.pop("received_at")
    assert evidence == [
        {
            "by": "ops",
            "peer": "127.0.0.1",
            "mail_from": "a@b.test",
            "tls": False,
            "token": "ops-token",
            "actor": "mail-service",
            "rcpt": BOX,
        },
        {
            "by": "ops",
            "peer": "127.0.0.1",
            "mail_from": None,
            "tls": False,
            "token": "ops-token",
            "actor": "ops-token",
            "rcpt": BOX,
        },
    ]
    assert ops.audits() == [("mail-service", "mail post", ids[0]), ("ops-token", "mail post", ids[1])]


@pytest.mark.parametrize(
    ("trust", "held"),
    [
        ([{"network": "127.0.0.0/8"}], False),
        ([{"network": "192.0.2.0/24"}], True),
        ([{"dkim": "sitelink.com"}], True),
        ([], True),
        ([{"network": "127.0.0.0/8", "forwarder": "operator.test"}], True),
    ],
)
def test_the_token_proves_no_sender(tmp_path: Any, trust: list[dict[str, str]], held: bool) -> None:
    """A posted mail is proven where the mailbox trusts the network of the poster, and held untrusted elsewhere."""
    for ops in serve(configured(f"sqlite:///{tmp_path / 'store.db'}", box={"trust": trust})):
        forged = {"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7", "X-Real-IP": "192.0.2.7"}
        mail_id = post(ops, headers=forged).json()["data"]["id"]
        ops.runtime.ingest([mail_id])
        shown = ops.data(f"/mails/{mail_id}")
        assert (shown["state"], shown["reason"]) == (("held", "untrusted") if held else ("parsed", None))
        assert shown["evidence"]["peer"] == "127.0.0.1"


def test_the_envelope_sender_of_a_trusted_poster_counts(tmp_path: Any) -> None:
    """A forwarder entry holds for the envelope sender that a poster from its network names."""
    box = {"trust": [{"network": "127.0.0.0/8", "forwarder": "operator.test"}]}
    for ops in serve(configured(f"sqlite:///{tmp_path / 'store.db'}", box=box)):
        mail_id = post(ops, params={"mail_from": "desk@operator.test"}).json()["data"]["id"]
        ops.runtime.ingest([mail_id])
        assert ops.data(f"/mails/{mail_id}")["state"] == "parsed"


def test_an_unknown_mailbox_is_404_and_names_the_nearest(ops: Ops) -> None:
    """Nothing is kept for nobody; case does not count."""
    answer = post(ops, mailbox="sitelnk@demo.test")
    assert answer.status_code == 404
    assert BOX in answer.json()["error"]["message"]
    assert ops.mail_rows() == []
    assert post(ops, mailbox="SiteLink@Demo.TEST").status_code == 202


@pytest.mark.parametrize(
    ("mailbox", "params", "body", "field"),
    [
        (None, {}, MAIL, "mailbox"),
        ("", {}, MAIL, "mailbox"),
        (BOX, {}, b"", "body"),
        (BOX, {"mail_from": "nobody"}, MAIL, "mail_from"),
        (BOX, {"mail_from": "a b@c.test"}, MAIL, "mail_from"),
        (BOX, {"mailbx": BOX}, MAIL, "mailbx"),
    ],
)
def test_what_does_not_fit_is_422(
    lite: Ops, mailbox: str | None, params: dict[str, str], body: bytes, field: str
) -> None:
    """What is wrong is named, and nothing is kept."""
    answer = post(lite, body, mailbox, params=params)
    assert (answer.status_code, [one["field"] for one in answer.json()["error"]["details"]]) == (422, [field])
    assert lite.mail_rows() == []


def test_an_oversize_mail_is_413_and_a_large_one_is_kept_whole(tmp_path: Any) -> None:
    """The limit is that of SMTP, told before or not; a large mail goes through its file and comes back the same."""
    large = MAIL + b"x" * 3_000_000
    smtp = {"max_message_bytes": len(large), "memory_bytes": 65_536}
    for ops in serve(configured(f"sqlite:///{tmp_path / 'store.db'}", smtp=smtp)):
        assert post(ops, large + b"y").status_code == 413
        pieces = ((large + b"y")[n : n + 65_536] for n in range(0, len(large) + 1, 65_536))
        assert ops.client.post("/mails", params={"mailbox": BOX}, content=pieces).status_code == 413
        assert ops.mail_rows() == []
        mail_id = post(ops, large).json()["data"]["id"]
        assert ops.client.get(f"/mails/{mail_id}/raw").content == large


def test_bodies_share_a_budget_and_give_it_back(tmp_path: Any) -> None:
    """Over what all bodies together may take it is 503; nothing of the budget is lost, however a request ends."""
    for ops in serve(configured(f"sqlite:///{tmp_path / 'store.db'}", smtp={"bytes_in_flight": 2000})):
        for _ in range(3):
            assert post(ops, b"x" * 2001).status_code == 503
            assert post(ops, b"x" * 2000, mailbox="nobody@demo.test").status_code == 404
            assert post(ops, b"x" * 2000).status_code == 202


def test_a_held_mail_is_read_again(ops: Ops) -> None:
    """Retry moves a held mail and leaves an audit row; it refuses another, and does not know one that is not there."""
    held = ops.keep(b"From: a@b.test\r\nSubject: x\r\n\r\nx\r\n")
    parsed = ops.keep(MAIL)
    answer = ops.client.post(f"/mails/{held}/retry", headers={"X-Actor": "jane"})
    assert (answer.status_code, answer.json()["data"]) == (202, {"id": held, "state": "new"})
    refused = ops.client.post(f"/mails/{parsed}/retry")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONFLICT")
    assert ops.client.post("/mails/nothing/retry").status_code == 404
    assert ops.audits() == [("jane", "mail retry", held)]
    ops.runtime.ingest([held])
    assert ops.data(f"/mails/{held}")["state"] == "held"
