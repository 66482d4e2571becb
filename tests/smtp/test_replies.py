"""Every fixed reply is shown by a scene over a real socket; a reply without a scene fails here."""

import socket
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.smtp.rig import Client, HeldKeeper, Rig, running, wait_until
from worker.smtp import session as session_module
from worker.smtp.replies import REPLIES, Reply

Start = Callable[..., Rig]
Scene = Callable[[Start], tuple[Client, str]]
SCENES: dict[str, Scene] = {}


def shows(name: str) -> Callable[[Scene], Scene]:
    def add(scene: Scene) -> Scene:
        assert name not in SCENES
        SCENES[name] = scene
        return scene

    return add


def after(*lines: str, **settings: object) -> Scene:
    """A scene that says some commands and shows the last one's reply."""

    def scene(start: Start) -> tuple[Client, str]:
        client = start(**settings).client()
        return client, [client.ask(line) for line in lines][-1]

    return scene


HELLO = "EHLO pms.test"
MAIL = "MAIL FROM:<a@pms.test>"
RCPT = "RCPT TO:<main@in.test>"

SCENES |= {
    "OK": after("NOOP"),
    "BYE": after("QUIT"),
    "HELP": after("HELP MAIL"),
    "VERIFY": after("VRFY main@in.test"),
    "SENDER_OK": after(HELLO, MAIL),
    "RECIPIENT_OK": after(HELLO, MAIL, RCPT),
    "SEND_CONTENT": after(HELLO, MAIL, RCPT, "DATA"),
    "TOO_MANY_RECIPIENTS": after(HELLO, MAIL, RCPT, RCPT, RCPT, max_recipients=2),
    "TOO_MANY_ERRORS": after("X", "X", max_errors=3),
    "TOO_MANY_COMMANDS": after("NOOP", "RSET", "NOOP", max_idle_commands=2),
    "LINE_TOO_LONG": after("NOOP " + "x" * 2100),
    "BARE_LINE_END_COMMAND": after("NOOP\nNOOP"),
    "UNKNOWN_COMMAND": after("XYZZY"),
    "NOT_SMTP": after("POST / HTTP/1.1"),
    "SYNTAX": after(HELLO, "MAIL FROM a@pms.test"),
    "NOT_IMPLEMENTED": after(HELLO, "STARTTLS"),
    "CHUNKING_NOT_OFFERED": after(HELLO, MAIL, RCPT, "BDAT 10 LAST"),
    "HELLO_FIRST": after(MAIL),
    "NESTED_MAIL": after(HELLO, MAIL, MAIL),
    "MAIL_FIRST": after(HELLO, RCPT),
    "RECIPIENT_FIRST": after(HELLO, MAIL, "DATA"),
    "UNKNOWN_PARAMETER": after(HELLO, MAIL + " RET=HDRS"),
    "UNKNOWN_RECIPIENT": after(HELLO, MAIL, "RCPT TO:<nobody@in.test>"),
    "BAD_SENDER": after(HELLO, "MAIL FROM:<a@@pms.test>"),
    "BAD_RECIPIENT": after(HELLO, MAIL, "RCPT TO:<main>"),
    "NEEDS_SMTPUTF8": after(HELLO, "MAIL FROM:<jürgen@pms.test>"),
    "TOO_BIG": after(HELLO, MAIL + " SIZE=2001", max_message_bytes=2000),
    "NO_ROOM": after(HELLO, MAIL + " SIZE=2001", bytes_in_flight=2000),
}


@shows("TOO_MANY_CONNECTIONS")
def _(start: Start) -> tuple[Client, str]:
    rig = start(max_connections=1)
    first = rig.client()
    second = rig.client(greeted=False)
    reply = second.reply()
    assert first.ask("QUIT").startswith("221 ")
    first.close()
    wait_until(lambda: not rig.receiver._sessions)
    third = rig.client()
    third.close()
    return second, reply


@shows("STOPPING")
def _(start: Start) -> tuple[Client, str]:
    rig = start()
    client = rig.client()
    assert client.ask(HELLO).startswith("250 ")
    rig.run(rig.receiver.stop())
    return client, client.reply()


@shows("FAULT")
def _(start: Start) -> tuple[Client, str]:
    def find(_: str) -> None:
        raise LookupError("Jane Smith")

    client = start(find=find).client()
    return client, [client.ask(line) for line in (HELLO, MAIL, RCPT)][-1]


@shows("FAULT_BYE")
def _(start: Start) -> tuple[Client, str]:
    rig = start()
    client = rig.client()

    def broken(_: bytes) -> None:
        raise RuntimeError("Jane Smith")

    rig.receiver.open_intake = lambda _: SimpleNamespace(add=broken, close=lambda: None, seen=0, is_writing=False)
    client.envelope()
    return client, client.ask("x")


@shows("TOO_SLOW")
def _(start: Start) -> tuple[Client, str]:
    client = start(data_timeout_s=0.1).client()
    client.envelope()
    client.send(b"Subject: never ends\r\n")
    return client, client.reply()


@shows("IDLE")
def _(start: Start) -> tuple[Client, str]:
    client = start(idle_timeout_s=0.1).client()
    return client, client.reply()


@shows("ENDLESS_LINE")
def _(start: Start) -> tuple[Client, str]:
    client = start().client()
    client.send(b"x" * 200_000)
    return client, client.reply()


@shows("TOO_BIG_BYE")
def _(start: Start) -> tuple[Client, str]:
    client = start(max_message_bytes=2000).client()
    client.envelope()
    client.send(b"x" * 10_000)
    return client, client.reply()


@shows("BARE_LINE_END")
def _(start: Start) -> tuple[Client, str]:
    client = start().client()
    client.envelope()
    client.send(b"Subject: x\n.\r\n")
    return client, client.reply()


def test_every_reply_has_a_scene() -> None:
    """No reply is without a scene, and no scene without a reply."""
    assert set(SCENES) == set(REPLIES)


@pytest.mark.parametrize("name", sorted(REPLIES))
def test_reply(name: str, start: Start) -> None:
    """The scene gives exactly the fixed text; the session ends with it, or goes on."""
    reply: Reply = REPLIES[name]
    client, said = SCENES[name](start)
    if name == "TOO_MANY_ERRORS":
        said = [client.ask("X"), client.reply()][-1]
    assert said == f"{reply.code} {reply.text}"
    if reply.closes:
        assert client.is_closed()
    elif name != "SEND_CONTENT":
        assert client.ask("RSET") in ("250 2.0.0 Ok", f"421 {REPLIES['TOO_MANY_COMMANDS'].text}")
    client.close()


@pytest.mark.parametrize("name", sorted(REPLIES))
def test_reply_is_well_formed(name: str) -> None:
    """Each says its cause; the enhanced code agrees with the code; a closing one has 221, 421 or a reason."""
    reply = REPLIES[name]
    assert reply.cause
    assert reply.line.endswith(b"\r\n")
    assert len(reply.line) <= 512
    if reply.code != 354:
        assert reply.text[0] == str(reply.code)[0]
        assert reply.name == f"{reply.code} {reply.text.split()[0]}"
    if reply.code in (221, 421):
        assert reply.closes


def test_minimum_rate(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that comes slower than the minimum rate is ended long before the time for a whole one."""
    monkeypatch.setattr(session_module, "RATE_GRACE_S", 0.05)
    client = start(min_bytes_per_s=10**9, data_timeout_s=4.0).client()
    client.envelope()
    client.send(b"Subject: drip\r\n")
    assert client.reply().startswith("421 4.4.2 Message takes too long")
    client.close()


def test_client_that_reads_nothing_is_cut(start: Start) -> None:
    """A client that never reads its replies does not hold its session for ever."""
    rig = start(idle_timeout_s=0.2)
    client = rig.client()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.send(b"EHLO a\r\n")
    wait_until(lambda: not rig.receiver._sessions)
    client.close()


def test_replies_are_counted(start: Start) -> None:
    """Metrics see how often each reply was given."""
    rig = start()
    client = rig.client()
    for line in (HELLO, MAIL, RCPT, "RCPT TO:<nobody@in.test>", "RCPT TO:<none@in.test>"):
        client.ask(line)
    assert rig.receiver.replies == {"250 2.1.0": 1, "250 2.1.5": 1, "550 5.1.1": 2}
    assert rig.receiver.connections == 1
    client.close()


def test_held_keeper_has_no_deadline(start: Start) -> None:
    """While the store takes its time the client's own time limits do not run."""
    keeper = HeldKeeper()
    with running(keeper, idle_timeout_s=0.05, data_timeout_s=0.05) as rig:
        client = rig.client()
        client.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<main@in.test>\r\nDATA\r\nx\r\n.\r\n")
        future = keeper.answer_next()
        beats: list[float] = []
        rig.loop.call_soon_threadsafe(rig.loop.call_later, 0.2, lambda: beats.append(1))
        wait_until(lambda: beats)
        future.set_result("x1")
        replies = [client.reply() for _ in range(5)]
        assert replies[-1] == "250 2.0.0 queued as x1"
        client.close()
