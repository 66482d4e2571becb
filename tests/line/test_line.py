"""The line: a mail sent over SMTP to ``gatepost up`` becomes an applied unit event, exactly once."""

import re
from pathlib import Path

import pytest

from tests.rigs.gatepost import TOKEN, Gatepost, demo_mail, run
from tests.rigs.services import free_port, wait_until

UNIT = "SITELINK-B204"


@pytest.fixture
def up(tmp_path: Path):
    """A running ``gatepost up`` with the demo's own configuration."""
    with Gatepost(tmp_path / "up") as running:
        yield running


def test_a_tenancy_from_move_in_to_move_out(up: Gatepost) -> None:
    """Move-in opens, overlock locks, its removal opens, move-out vacates: each mail within seconds."""
    states = []
    for name in ("01", "03", "04", "05"):
        up.send(demo_mail(name))
        up.settle()
        states.append(up.unit(UNIT)["state"])
    assert states == ["tenant_permitted", "tenant_denied", "tenant_permitted", "vacant"]


def test_the_same_mail_twice_is_applied_once(up: Gatepost) -> None:
    """A repetition is a duplicate, and no call is made for it."""
    up.send(demo_mail("01"))
    up.settle()
    calls = len(up.cli("events", "show", "1")["calls"])
    again = up.send(demo_mail("01"))
    up.settle()
    assert up.cli("mail", "show", again)["state"] == "duplicate"
    assert len(up.cli("events", "show", "1")["calls"]) == calls == 1


def test_arrival_does_not_matter(up: Gatepost) -> None:
    """The same mails in the wrong order end in the same unit."""
    for name in ("04", "03", "02", "01"):
        up.send(demo_mail(name))
        up.settle()
    unit = up.unit(UNIT)
    assert (unit["state"], unit["pms_lockout"], unit["paid_through_date"]) == ("tenant_permitted", False, "2026-06-30")


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [("08", "ignored", None), ("09", "held", "incomplete"), ("10", "held", "untrusted")],
)
def test_what_is_no_event_writes_nothing(up: Gatepost, name: str, state: str, reason: str | None) -> None:
    """Reservation, renamed label and forged sender end where a person can see them, and no unit is written."""
    mail = up.cli("mail", "show", _settled(up, demo_mail(name)))
    assert (mail["state"], mail["reason"]) == (state, reason)
    assert up.unit(UNIT) is None
    assert up.cli("events", "list") == []


def test_a_malformed_mail_is_held(up: Gatepost) -> None:
    """Bytes that are hardly a mail are kept and held, and the next mail is read."""
    for raw in (b"\r\n", b"\xff\xfe\x00\r\n", b"From: \x00\r\nContent-Type: multipart/mixed; boundary=\r\n\r\n--\r\n"):
        assert up.cli("mail", "show", _settled(up, raw))["state"] == "held"
    _settled(up, demo_mail("01"))
    assert up.unit(UNIT)["occupied"] is True


def test_why_names_everything(up: Gatepost) -> None:
    """``why`` names mail, line, rule, proof, call, key and answer of each fact."""
    mail_id = _settled(up, demo_mail("01"))
    (unit,) = up.cli("why", UNIT)
    origin = unit["facts"][0]["from"]
    assert origin["mail"] == mail_id
    assert origin["rule"] == "sitelink/move-in"
    assert origin["proof"].startswith("network 127.")
    assert {line["field"] for line in origin["lines"]} >= {"unit", "tenant_id", "moved_in"}
    assert re.fullmatch(r"gp1-[a-z2-7]{52}", origin["call"]["key"])
    assert origin["call"]["attempts"][0]["status"] == 201


def test_why_prints_every_call(up: Gatepost) -> None:
    """One event whose facts were confirmed by several calls, or some by none, is printed with all of its calls."""
    _settled(up, demo_mail("01"))
    _settled(up, demo_mail("02"))
    printed = run("--config", str(up.config), "why", UNIT, cwd=up.folder).stdout.decode()
    (unit,) = up.cli("why", UNIT)
    calls = {call["key"] for fact in unit["facts"] if (call := fact["from"]["call"])}
    assert len(calls) == 2
    assert {line.split()[1] for line in printed.splitlines() if line.strip().startswith("key ")} == calls


def test_killed_at_any_moment_nothing_is_lost_or_done_twice(up: Gatepost) -> None:
    """SIGKILL while mails are under way: what was acknowledged is applied once after the restart."""
    acknowledged = []
    for number in range(24):
        raw = demo_mail("01").replace(b"B204", b"C%03d" % number).replace(b"T-5001", b"T-%d" % number)
        acknowledged.append(up.send(raw))
        if number % 8 == 5:
            up.kill()
            up.start()
    up.settle()
    mails = {mail["id"]: mail["state"] for mail in up.cli("mail", "list", "--limit", "100")}
    assert [mails.get(mail_id) for mail_id in acknowledged] == ["parsed"] * len(acknowledged)
    for number in range(24):
        (unit,) = up.cli("why", f"SITELINK-C{number:03}") if number % 8 == 5 else (None,)
        assert up.unit(f"SITELINK-C{number:03}")["pms_tenant_id"] == f"T-{number}"
        if unit:
            calls = [fact["from"]["call"] for fact in unit["facts"]]
            assert all(call["generation"] == 0 for call in calls if call)
    assert up.cli("db", "check")["faults"] == []


def test_sigterm_ends_in_order(up: Gatepost) -> None:
    """SIGTERM ends the process with 0, and what was under way is there after a restart."""
    up.send(demo_mail("01"))
    assert up.terminate() == 0
    up.start()
    up.settle()
    assert up.unit(UNIT)["occupied"] is True


def test_a_paused_mailbox_keeps_its_mail(up: Gatepost) -> None:
    """While a mailbox is paused its mail is kept unread; after ``resume`` it is read."""
    assert (
        run("--config", str(up.config), "pause", "mailbox", "sitelink@demo.test", "--go", cwd=up.folder).returncode == 0
    )
    mail_id = up.send(demo_mail("01"))
    wait_until(lambda: up.cli("mail", "show", mail_id)["detail"] == "mailbox is paused", what="the pause")
    assert (
        run("--config", str(up.config), "resume", "mailbox", "sitelink@demo.test", "--go", cwd=up.folder).returncode
        == 0
    )
    wait_until(lambda: up.cli("mail", "show", mail_id)["state"] == "parsed", what="the mail being read")


def test_a_paused_destination_is_sent_nothing(up: Gatepost) -> None:
    """While a destination is paused its events wait; after ``resume`` they are applied."""
    assert run("--config", str(up.config), "pause", "destination", "local", "--go", cwd=up.folder).returncode == 0
    mail_id = up.send(demo_mail("01"))
    wait_until(lambda: up.cli("mail", "show", mail_id)["state"] == "parsed", what="the mail being read")
    assert up.unit(UNIT) is None
    assert run("--config", str(up.config), "resume", "destination", "local", "--go", cwd=up.folder).returncode == 0
    wait_until(lambda: up.unit(UNIT) is not None, what="the event being applied")


def test_a_held_mail_is_released_by_a_person(up: Gatepost) -> None:
    """A mail that is held untrusted is read once somebody vouches for it; the audit names who."""
    forged = up.cli("mail", "show", _settled(up, demo_mail("10")))
    dry = run("--config", str(up.config), "mail", "release", forged["id"], "--reason", "known", cwd=up.folder)
    assert b"--go" in dry.stdout
    assert up.cli("mail", "show", forged["id"])["state"] == "held"
    run("--config", str(up.config), "mail", "release", forged["id"], "--reason", "known", "--go", cwd=up.folder)
    wait_until(lambda: up.cli("mail", "show", forged["id"])["state"] != "held", what="the mail being read again")
    up.settle()
    assert up.cli("mail", "show", forged["id"])["state"] == "parsed"


def test_health_and_metrics(up: Gatepost) -> None:
    """The health pages tell alive, ready and the figures; no page tells a resident's name."""
    _settled(up, demo_mail("01"))
    assert up.get("/healthz").text == "ok\n"
    assert up.get("/readyz").json() == {"ready": True, "store": "ok", "broker": "ok", "oldest_due": "ok"}
    figures = up.get("/metrics").text
    assert 'gatepost_mails{state="parsed"} 1.0' in figures
    assert 'gatepost_events{state="applied"} 2.0' in figures
    assert "gatepost_oldest_due_seconds 0.0" in figures
    assert "gatepost_commit_batch_mails_count 1.0" in figures
    assert "gatepost_accept_to_applied_seconds_count 2.0" in figures
    assert up.get("/").status_code == 200


def test_logs_hold_no_resident_and_no_token(up: Gatepost) -> None:
    """What is logged names ids, never a resident, a unit's tenant or a token."""
    for name in ("01", "02", "03", "09", "10"):
        _settled(up, demo_mail(name))
    logged = up.log()
    assert "mail_read" in logged
    for secret in ("Jane", "Smith", "T-5001", "L-9911", TOKEN):
        assert secret not in logged


def test_the_trace_leads_from_the_reply_to_the_call(up: Gatepost) -> None:
    """The id of the SMTP reply names the mail in the log, the store, its events and their calls."""
    mail_id = _settled(up, demo_mail("01"))
    assert mail_id in up.log()
    found = up.cli("mail", "show", mail_id)
    assert found["write_status"] == "SUCCESS"
    assert [call["attempts"][0]["outcome"] for event in found["events"] for call in event["calls"]] == ["applied"] * 2


def test_a_busy_port_is_told(tmp_path: Path, up: Gatepost) -> None:
    """A port that another program has is named, with what to do; the exit code is 2."""
    for section, taken in (("smtp", up.ports["smtp"]), ("web", up.ports["web"])):
        listen = f'["{taken}"]' if section == "smtp" else f'"{taken}"'
        other = {"smtp": "web", "web": "smtp"}[section]
        free = f"127.0.0.1:{free_port()}"
        config = tmp_path / f"{section}.toml"
        config.write_text(
            f'[store]\nurl = "sqlite:///{tmp_path / section}.db"\n[{section}]\nlisten = {listen}\n'
            f"[{other}]\nlisten = {[free] if other == 'smtp' else free!r}\n".replace("'", '"')
        )
        done = run("--config", str(config), "up", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert taken in done.stderr.decode()
        assert "Traceback" not in done.stderr.decode()


def _settled(up: Gatepost, raw: bytes) -> str:
    mail_id = up.send(raw)
    up.settle()
    return mail_id
