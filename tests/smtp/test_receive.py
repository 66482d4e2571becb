"""A mail sent over a real socket is in the database, byte for byte, when its 250 is read; and nothing else is."""

import asyncio
import os
import smtplib
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.smtp.fake_ends import FAKE_ENDS
from tests.smtp.rig import ENVELOPE, Client, HeldKeeper, Rig, running, utc_now, wait_until
from worker.settings import Smtp
from worker.smtp.server import CannotListen, Receiver
from worker.store import bodies as bodies_module
from worker.store.database import Database
from worker.store.keep import Keeper
from worker.store.tables import metadata

Start = Callable[..., Rig]


def test_smtplib_sends_a_mail(rig: Rig) -> None:
    """An ordinary client's mail is kept as it was, for each of its mailboxes, with who sent it and how."""
    content = b"Subject: hi\r\n\r\n.dot\r\n..\r\n" + b"x" * 5000 + b"\r\n"
    with smtplib.SMTP(*rig.address) as client:
        assert client.sendmail("a@pms.test", ["Main@IN.test", "second@in.test", "main@in.test"], content) == {}
    first, second = rig.rows()
    assert (first["mailbox"], second["mailbox"]) == ("main@in.test", "second@in.test")
    assert second["id"] == f"{first['id']}-2"
    assert first["evidence"].pop("helo").startswith("[127.0.0.1]")
    assert first["evidence"] == {
        "peer": "127.0.0.1",
        "tls": False,
        "esmtp": True,
        "mail_from": "a@pms.test",
        "rcpt": "Main@IN.test",
        "body_type": "7BIT",
        "smtputf8": False,
        "received_at": first["received_at"].isoformat(),
    }
    assert rig.body(f"250 2.0.0 queued as {first['id']}") == content


def test_ehlo_offers_what_works(client: Client) -> None:
    """EHLO names the extensions that work, and STARTTLS, AUTH and CHUNKING are not among them."""
    client.send(b"EHLO pms.test\r\n")
    assert [client._stream.readline() for _ in range(6)] == [
        b"250-mx.test\r\n",
        b"250-SIZE 26214400\r\n",
        b"250-8BITMIME\r\n",
        b"250-SMTPUTF8\r\n",
        b"250-PIPELINING\r\n",
        b"250 ENHANCEDSTATUSCODES\r\n",
    ]


def test_greeting(rig: Rig) -> None:
    """The greeting names the host, and no version that an attacker could look up."""
    client = rig.client(greeted=False)
    assert client.reply() == "220 mx.test ESMTP Gatepost"
    client.close()


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("RCPT TO:<MAIN@In.TEST>", "250 2.1.5"),
        ('RCPT TO:<"main"@in.test>', "250 2.1.5"),
        ("RCPT TO:<postmaster>", "250 2.1.5"),
        ("RCPT TO:<PostMaster@mx.test>", "250 2.1.5"),
        ("RCPT TO:<POSTMASTER@IN.test>", "250 2.1.5"),
        ("RCPT TO:<postmaster@elsewhere.test>", "550 5.1.1"),
        ("RCPT TO:<main@mx.test>", "550 5.1.1"),
        ("RCPT TO:<main+x@in.test>", "550 5.1.1"),
        ("RCPT TO:<main@in.test> ORCPT=x", "555 5.5.4"),
        ("RCPT TO:<>", "553 5.1.3"),
        ("RCPT TO:main@in.test", "501 5.5.4"),
        ("RCPT TO:<@relay.test:main@in.test>", "553 5.1.3"),
        ("RCPT TO:<jürgen@in.test>", "553 5.6.7"),
        ("RCPT", "501 5.5.4"),
        ("MAIL FROM:<b@pms.test>", "503 5.5.1"),
    ],
)
def test_recipients(client: Client, line: str, reply: str) -> None:
    """A recipient is a mailbox of ours in any case, or postmaster here; all else is refused at RCPT."""
    client.ask("EHLO pms.test")
    client.ask("MAIL FROM:<a@pms.test>")
    assert client.ask(line)[:9] == reply


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("MAIL FROM:<>", "250 2.1.0"),
        ("mail from:<a@b.test> size=2000 body=8bitmime", "250 2.1.0"),
        ("MAIL FROM:<a@b.test> SMTPUTF8", "250 2.1.0"),
        ("MAIL FROM:<jürgen@b.test> SMTPUTF8", "250 2.1.0"),
        ("MAIL FROM:<a@b.test> SMTPUTF8=1", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> SIZE=x", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> SIZE", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> BODY=BINARYMIME", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> SIZE=2001", "552 5.3.4"),
        ("MAIL FROM:<a@b.test> SIZE=99999999999999999999", "552 5.3.4"),
        ("MAIL FROM:<a@b.test> SIZE=999999999999999999999", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> AUTH=<>", "555 5.5.4"),
        ("MAIL FROM:<a@b.test> AUTH=x", "555 5.5.4"),
        ("MAIL FROM:<postmaster>", "553 5.1.7"),
        ("MAIL FROM:<a b@c>", "553 5.1.7"),
        ("MAIL", "501 5.5.4"),
        ("EHLO", "501 5.5.4"),
        ("HELO", "501 5.5.4"),
        ("EHLO jürgen", "501 5.5.4"),
        ("HELO pms.test", "250 mx.te"),
        ("DATA", "503 5.5.1"),
        ("DATA now", "501 5.5.4"),
        ("RSET now", "501 5.5.4"),
        ("QUIT now", "501 5.5.4"),
        ("VRFY", "501 5.5.4"),
        ("NOOP anything", "250 2.0.0"),
        ("EXPN list", "502 5.5.1"),
        ("AUTH PLAIN x", "502 5.5.1"),
        ("", "500 5.5.1"),
        ("GET / HTTP/1.1", "554 5.5.1"),
    ],
)
def test_commands(start: Start, line: str, reply: str) -> None:
    """Each command and parameter gets its reply."""
    client = start(max_message_bytes=2000).client()
    client.ask("EHLO pms.test")
    assert client.ask(line)[:9] == reply
    client.close()


def test_a_refused_mail_leaves_no_transaction(client: Client) -> None:
    """After a refused MAIL, RCPT has nothing to belong to; after RSET and EHLO neither."""
    client.ask("EHLO pms.test")
    client.ask("MAIL FROM:<a@pms.test> SIZE=99999999999")
    assert client.ask("RCPT TO:<main@in.test>").startswith("503 ")
    for command in ("RSET", "EHLO again", "HELO again"):
        client.ask("MAIL FROM:<a@pms.test>")
        client.ask("RCPT TO:<main@in.test>")
        client.ask(command)
        assert client.ask("DATA").startswith("503 ")
    client.ask("MAIL FROM:<a@pms.test> SIZE=10")  # HELO: no parameters
    assert client.ask("RCPT TO:<main@in.test>").startswith("503 ")


def test_many_mails_in_one_session(rig: Rig, client: Client) -> None:
    """A session takes any number of mails; each is its own."""
    client.ask("EHLO pms.test")
    for n in range(30):
        client.envelope_again()
        assert rig.body(client.ask(b"mail %d\r\n." % n)) == b"mail %d\r\n" % n
    assert len(rig.rows()) == 30
    assert rig.receiver.accepted == 30


def test_pipelined_commands_and_mails(rig: Rig, client: Client) -> None:
    """Commands in one packet are answered in order; those behind an end of data are commands, not lost."""
    client.send(ENVELOPE)
    assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
    client.send(b"first\r\n.\r\n" + ENVELOPE)
    first = client.reply()
    assert rig.body(first) == b"first\r\n"
    assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
    client.send(b"second\r\n.\r\nNOOP\r\nRSET\r\nQUIT\r\n")
    assert rig.body(client.reply()) == b"second\r\n"
    assert [client.reply() for _ in range(4)] == ["250 2.0.0 Ok", "250 2.0.0 Ok", "221 2.0.0 Bye", ""]


def test_everything_in_one_packet(rig: Rig, client: Client) -> None:
    """A client that does not even wait for 354 is understood: there is only one way to read it."""
    client.send(ENVELOPE + b"first\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<second@in.test>\r\nDATA\r\nsecond\r\n.\r\nQUIT\r\n")
    replies = [client.reply() for _ in range(10)]
    assert [reply[:3] for reply in replies] == ["250", "250", "250", "354", "250", "250", "250", "354", "250", "221"]
    assert (rig.body(replies[4]), rig.body(replies[8])) == (b"first\r\n", b"second\r\n")


def test_a_refused_data_with_content_behind_ends_the_session(rig: Rig, client: Client) -> None:
    """Content that was sent blindly behind a refused DATA is never obeyed as commands."""
    client.send(
        b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<none@in.test>\r\nDATA\r\n"
        b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<main@in.test>\r\nDATA\r\nevil\r\n.\r\n"
    )
    assert [client.reply()[:3] for _ in range(5)] == ["250", "250", "550", "503", ""]
    assert rig.rows() == []


@settings(max_examples=25, deadline=None)
@given(
    lines=st.lists(st.sampled_from([b"", b".", b"..", b".x", b"a", b"\0", b"\xff\xfe", b"x" * 1500]), max_size=9),
    cuts=st.lists(st.integers(min_value=0, max_value=5000), max_size=5),
)
def test_content_is_kept_byte_for_byte(shared_rig: Rig, lines: list[bytes], cuts: list[int]) -> None:
    """Any CRLF content, cut anywhere, is in the database as it was meant."""
    content = b"".join(line + b"\r\n" for line in lines)
    wire = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"
    client = shared_rig.client()
    client.envelope()
    places = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    for at, end in zip(places, places[1:] or [len(wire)], strict=False):
        client.send(wire[at:end])
    assert shared_rig.body(client.reply()) == content
    client.close()


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One receiver for the tests that send hundreds of mails."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('rig')}/store.db")
    metadata.create_all(database.engine)
    keeper = Keeper(database, batch_mails=9, batch_bytes=1 << 20, clock=utc_now, on_kept=lambda _: None)
    with running(keeper) as rig:
        rig.database, rig.keeper = database, keeper
        yield rig
    keeper.stop()
    database.close()


def test_no_fake_end_smuggles_a_mail(shared_rig: Rig) -> None:
    """None of the fake ends lets a second mail in: the connection is closed, or the fake is content."""
    before = len(shared_rig.rows())
    kept = 0
    for fake in FAKE_ENDS:
        client = shared_rig.client()
        client.envelope()
        inner = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<second@in.test>\r\nDATA\r\nevil\r\n.\r\n"
        client.send(b"first" + fake + inner)
        reply = client.reply()
        if reply.startswith("250 "):
            kept += 1
            assert b"DATA\r\nevil" in shared_rig.body(reply), fake
            assert client.ask("QUIT").startswith("221 "), fake
        else:
            assert reply == "554 5.6.0 Bare <CR> or <LF> in message, closing connection", fake
        assert client.is_closed(), fake
        client.close()
    rows = shared_rig.rows()
    assert len(rows) == before + kept
    assert "second@in.test" not in {row["mailbox"] for row in rows}


def test_long_lines_are_kept(rig: Rig, client: Client) -> None:
    """A line of 300,000 octets is a line: senders of notifications write them."""
    client.envelope()
    content = b"x" * 300_000 + b"\r\n"
    assert rig.body(client.ask(content + b".")) == content


def test_large_mail_goes_through_a_file(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body above memory_bytes is collected in a file, and kept byte for byte all the same."""
    files: list[object] = []
    honest = bodies_module.tempfile.TemporaryFile
    monkeypatch.setattr(
        bodies_module.tempfile, "TemporaryFile", lambda **options: (files.append(options), honest(**options))[1]
    )
    rig = start(memory_bytes=1024)
    client = rig.client()
    content = os.urandom(3_000_000).replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"
    client.envelope()
    assert rig.body(client.ask(content + b".")) == content
    assert len(files) == 1
    client.envelope_again()
    assert rig.body(client.ask(b"small\r\n.")) == b"small\r\n"
    assert len(files) == 1
    client.close()


def test_oversize_is_refused_and_the_session_goes_on(start: Start) -> None:
    """A message over the limit, undeclared, is read to its end, refused, and the next one is taken."""
    rig = start(max_message_bytes=2000)
    client = rig.client()
    client.envelope()
    assert client.ask(b"x" * 2001 + b"\r\n.").startswith("552 5.3.4")
    assert rig.rows() == []
    client.envelope_again()
    exact = b"." * 1998 + b"\r\n"  # as it is kept, without the stuffed dot
    assert rig.body(client.ask(b"." + exact + b".")) == exact
    client.close()


def test_budget_of_bytes_in_flight(start: Start) -> None:
    """Over the budget of all sessions a message is refused for now; when the others are done it is taken."""
    keeper = HeldKeeper()
    with running(keeper, bytes_in_flight=3000) as rig:
        first, second = rig.client(), rig.client()
        first.envelope()
        first.send(b"x" * 2500 + b"\r\n.\r\n")
        held = keeper.answer_next()
        second.envelope()
        assert second.ask(b"y" * 1000 + b"\r\n.").startswith("452 4.3.1")
        assert second.ask("MAIL FROM:<> SIZE=1000").startswith("452 4.3.1")
        held.set_result("x1")
        assert first.reply() == "250 2.0.0 queued as x1"
        second.envelope_again()
        second.send(b"y" * 1000 + b"\r\n.\r\n")
        keeper.answer_next().set_result("x2")
        assert second.reply() == "250 2.0.0 queued as x2"
        first.close()
        second.close()


def test_data_is_refused_when_the_budget_is_gone(start: Start) -> None:
    """With nothing left at all, DATA itself is refused, before the client sends anything."""
    keeper = HeldKeeper()
    with running(keeper, bytes_in_flight=1024) as rig:
        first, second = rig.client(), rig.client()
        first.envelope()
        first.send(b"x" * 1022 + b"\r\n.\r\n")
        held = keeper.answer_next()
        for line in ("EHLO a", "MAIL FROM:<>", "RCPT TO:<main@in.test>"):
            assert second.ask(line).startswith("250 ")
        assert second.ask("DATA").startswith("452 4.3.1")
        held.set_result("x1")
        assert first.reply().startswith("250 ")
        first.close()
        second.close()


@pytest.mark.parametrize("way", ["close", "reset", "half"])
def test_cut_within_a_message(rig: Rig, way: str) -> None:
    """A connection that is cut within a message leaves nothing, whatever was sent; the next one is served."""
    for sent in (b"", b"Subject: x\r\n\r\nbody\r\n", b"Subject: x\r\n\r\nbody\r\n.", b"x" * 2_000_000):
        client = rig.client()
        client.envelope()
        client.send(sent)
        if way == "half":
            client.socket.shutdown(socket.SHUT_WR)
            assert client.is_closed()
        getattr(client, "reset" if way == "reset" else "close")()
    wait_until(lambda: not rig.receiver._sessions)
    assert rig.rows() == []
    assert rig.receiver.budget.used == 0
    client = rig.client()
    client.envelope()
    assert client.ask(b"x\r\n.").startswith("250 2.0.0 queued")
    client.close()


@pytest.mark.parametrize("way", ["close", "reset"])
def test_client_goes_away_while_its_mail_is_committed(way: str) -> None:
    """A mail that was whole is kept and counted although its sender is no longer there to hear it."""
    keeper = HeldKeeper()
    with running(keeper) as rig:
        client = rig.client()
        client.envelope()
        client.send(b"x\r\n.\r\n")
        future = keeper.answer_next()
        getattr(client, way)()
        (session,) = rig.receiver._sessions
        wait_until(lambda: session.transport is None or session._has_ended)
        assert not future.cancelled()
        future.set_result("x1")
        wait_until(lambda: not rig.receiver._sessions)
        assert rig.receiver.accepted == 1


def test_client_that_has_said_all_still_hears_its_answer() -> None:
    """A client that shuts its half of the connection behind the message reads its 250, and QUIT's 221."""
    keeper = HeldKeeper()
    with running(keeper) as rig:
        client = rig.client()
        client.envelope()
        client.send(b"x\r\n.\r\nQUIT\r\n")
        future = keeper.answer_next()
        client.socket.shutdown(socket.SHUT_WR)
        (session,) = rig.receiver._sessions
        wait_until(lambda: session._has_ended)
        future.set_result("x1")
        assert [client.reply() for _ in range(3)] == ["250 2.0.0 queued as x1", "221 2.0.0 Bye", ""]


def test_stop_tells_idle_sessions_and_waits_for_messages(start: Start) -> None:
    """At a stop idle sessions hear 421, a message under way is finished and answered, new ones are not taken."""
    keeper = HeldKeeper()
    with running(keeper) as rig:
        idle, reading, committing = rig.client(), rig.client(), rig.client()
        idle.ask("EHLO a")
        reading.envelope()
        reading.send(b"first half ")
        committing.envelope()
        committing.send(b"whole\r\n.\r\n")
        future = keeper.answer_next()
        stopping = asyncio.run_coroutine_threadsafe(rig.receiver.stop(), rig.loop)
        assert idle.reply() == "421 4.3.2 Service shutting down"
        assert idle.is_closed()
        with pytest.raises(ConnectionError):
            socket.create_connection(rig.address)
        assert not stopping.done()
        future.set_result("x1")
        assert committing.reply() == "250 2.0.0 queued as x1"
        assert committing.reply() == "421 4.3.2 Service shutting down"
        reading.send(b"second half\r\n.\r\n")
        keeper.answer_next().set_result("x2")
        assert [reading.reply() for _ in range(3)] == [
            "250 2.0.0 queued as x2",
            "421 4.3.2 Service shutting down",
            "",
        ]
        stopping.result(20)
        for client in (idle, reading, committing):
            client.close()


def test_stop_does_not_wait_for_ever() -> None:
    """After drain_s a message under way is told 421, and one that is being committed stays with the keeper."""
    keeper = HeldKeeper()
    with running(keeper, drain_s=0.1) as rig:
        reading, committing = rig.client(), rig.client()
        reading.envelope()
        committing.envelope()
        committing.send(b"whole\r\n.\r\n")
        future = keeper.answer_next()
        rig.run(rig.receiver.stop())
        assert reading.reply() in ("421 4.3.2 Service shutting down", "")
        assert committing.is_closed()
        assert not future.cancelled()
        future.set_result("x1")
        reading.close()
        committing.close()
        wait_until(lambda: rig.receiver.accepted == 1)


def test_listening(rig: Rig) -> None:
    """Port 0 becomes a real one, several addresses can be listened on, a busy port is named with what to do."""

    async def listen(*endpoints: str) -> list[tuple[str, int]]:
        receiver = Receiver(
            Smtp(listen=endpoints),
            find_mailbox=lambda _: SimpleNamespace(address=""),
            keeper=HeldKeeper(),
            clock=utc_now,
            log=None,
        )
        try:
            return await receiver.start()
        finally:
            await receiver.stop()

    (host, port), (_, other) = asyncio.run(listen("127.0.0.1:0", "127.0.0.1:0"))
    assert host == "127.0.0.1"
    assert port
    assert other
    assert port != other
    busy = f"127.0.0.1:{rig.address[1]}"
    with pytest.raises(CannotListen, match=rf"{busy} is in use: stop the program .* \[smtp\] listen"):
        asyncio.run(listen("127.0.0.1:0", busy))
    with pytest.raises(CannotListen, match=r"cannot listen on 192\.0\.2\.1:25"):
        asyncio.run(listen("192.0.2.1:2525"))


def test_bare_line_ends_in_commands(rig: Rig) -> None:
    """A command that ends with a bare LF, or holds a CR, NUL or escape, ends the session; nothing of it is done."""
    for line in (b"NOOP\n", b"NOOP\r\r\n", b"NO\rOP\r\n", b"NOOP \0\r\n", b"NOOP \x1b[2J\r\n", b"RCPT\tTO\r\n"):
        client = rig.client()
        client.send(line + b"NOOP\r\n")
        assert client.reply().startswith("500 5.5.2 Bare"), line
        assert client.is_closed(), line
        client.close()


def test_last_reply_reaches_a_client_that_is_still_sending(start: Start) -> None:
    """When a session ends in the middle of what the client sends, the client reads why, and is not just cut."""
    client = start().client()
    client.envelope()
    client.send(b"bare\n" + b"x" * 1_000_000)
    client.send(b"x" * 1_000_000)
    assert client.reply().startswith("554 5.6.0")
    assert client.is_closed()
    client.close()


def test_connections_are_counted_out(start: Start) -> None:
    """However sessions end, their place is free again."""
    rig = start(max_connections=3, idle_timeout_s=0.3)
    for _ in range(3):
        clients = [rig.client() for _ in range(3)]
        clients[0].reset()
        clients[1].ask("QUIT")
        assert clients[2].reply().startswith("421 4.4.2")
        clients[1].close()
        clients[2].close()
        wait_until(lambda: not rig.receiver._sessions)


def test_two_thousand_recipients(start: Start) -> None:
    """A flood of recipients is cut off by the limit, pipelined or not; those accepted get the mail."""
    rig = start(max_recipients=10)
    client = rig.client()
    client.send(b"EHLO a\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<main@in.test>\r\n" * 2000 + b"DATA\r\n")
    replies = [client.reply()[:9] for _ in range(2003)]
    assert replies.count("250 2.1.5") == 10
    assert replies.count("452 4.5.3") == 1990
    assert replies[-1].startswith("354")
    assert client.ask(b"x\r\n.").startswith("250 2.0.0")
    assert len(rig.rows()) == 1
    client.close()
