"""The command line as a user meets it: exit codes, plain errors, JSON, and the demo's story."""

import json
import re
import sqlite3
from pathlib import Path

import click
import pytest

from tests.rigs.gatepost import FIXTURES, ROOT, Gatepost, demo_mail, run
from worker.cli import COMMANDS, main

SITELINK = "sitelink@demo.test"


def parse(raw: bytes, tmp_path: Path, *more: str, mailbox: str = SITELINK):
    """Run ``gatepost parse`` on a mail."""
    (tmp_path / "m.eml").write_bytes(raw)
    return run("parse", "m.eml", "--mailbox", mailbox, "--json", *more, cwd=tmp_path)


@pytest.mark.parametrize(
    ("raw", "more", "code", "outcome"),
    [
        (demo_mail("01"), ("--trust",), 0, "events"),
        (demo_mail("08"), ("--trust",), 0, "ignored"),
        (b"From: a@sitelink.com\r\nSubject: hello\r\n\r\nhi\r\n", ("--trust",), 3, "unmatched"),
        (demo_mail("09"), ("--trust",), 4, "incomplete"),
        (demo_mail("01").replace(b"05/01/2026", b"31/31/2026"), ("--trust",), 4, "invalid"),
        (demo_mail("01"), (), 6, "untrusted"),
        (demo_mail("10"), ("--trust",), 6, "untrusted"),
        (b"a: b\r\n" * 30_000 + b"\r\n", ("--trust",), 7, "unreadable"),
    ],
)
def test_parse_says_what_came_of_it(raw: bytes, more: tuple[str, ...], code: int, outcome: str, tmp_path: Path) -> None:
    """Each outcome has its exit code; nothing is written."""
    done = parse(raw, tmp_path, *more)
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (code, outcome)
    assert [path.name for path in tmp_path.iterdir()] == ["m.eml"]


def test_a_file_that_nothing_proves_is_told_of_trust(tmp_path: Path) -> None:
    """Whoever tries a rule on a file learns how to go on, where that would help."""
    assert b"--trust takes it as proven" in parse(demo_mail("01"), tmp_path).stderr
    assert parse(demo_mail("10"), tmp_path, "--trust").stderr == b""


def test_parse_has_the_stable_shape(tmp_path: Path) -> None:
    """The JSON of ``parse`` is what tools build on."""
    found = json.loads(parse(demo_mail("01"), tmp_path, "--trust").stdout)
    assert set(found) == {"outcome", "rule", "rule_set", "reason", "events"}
    event = found["events"][0]
    assert set(event) >= {"kind", "unit", "crm_unit_id", "effective_at", "identity", "body"}
    assert event["body"] == {
        "pms_tenant_id": "T-5001",
        "ledger_id": "L-9911",
        "move_in_date": "2026-05-01",
        "unit_name": "B204",
        "pms_location_code": "SITELINK",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("pars",), 2, ["did you mean `parse`"]),
        (("parse", "nowhere.eml", "--mailbox", SITELINK), 2, ["nowhere.eml", "does not exist"]),
        (("explain", "no-such-id"), 1, ["no mail no-such-id", "gatepost mail list"]),
        (("mail", "show", "no-such-id"), 1, ["no mail no-such-id"]),
        (("mail", "list", "stat:held"), 2, ["unknown token `stat:`", "did you mean `state`"]),
        (("mail", "list", "after:yesterday"), 2, ["`yesterday` is not a time"]),
        (("why", "B999"), 1, ["no mail has named a unit B999"]),
        (("pause", "destination", "lokal"), 2, ["no destination lokal", "did you mean `local`"]),
        (("pause", "pack", "sitelinc"), 2, ["no pack sitelinc", "did you mean `sitelink`"]),
        (("pause", "rule", "sitelink/move-inn"), 2, ["no rule sitelink/move-inn", "did you mean `sitelink/move-in`"]),
        (("pause", "mailbox"), 2, ["Missing argument 'NAME'"]),
        (("resume", "mailbox", SITELINK, "--go"), 1, ["is not paused"]),
        (("events", "show", "7"), 1, ["no event 7"]),
        (("send", "m.eml", "--to", SITELINK, "--server", "127.0.0.1:1"), 1, ["127.0.0.1:1", "gatepost up"]),
        (("ingest", "m.eml", "--mailbox", "sitelinc@demo.test"), 2, ["did you mean `sitelink@demo.test`"]),
        (("rules", "test", "nopack"), 2, ["no fixture in"]),
    ],
)
def test_what_goes_wrong_is_told_plainly(
    arguments: tuple[str, ...], code: int, words: list[str], tmp_path: Path
) -> None:
    """A mistake is answered with what, where and what next; never with a traceback."""
    (tmp_path / "m.eml").write_bytes(demo_mail("01"))
    done = run(*arguments, cwd=tmp_path)
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert all(word in said for word in words), said
    assert "Traceback" not in said


def test_ingest_is_a_pipe_target(tmp_path: Path) -> None:
    """A mail on standard input is kept; what cannot be kept is tried again (75), never bounced."""
    done = run("ingest", "-", "--mailbox", SITELINK, "--trust", cwd=tmp_path, stdin=demo_mail("01"))
    assert (done.returncode, done.stderr) == (0, b"")
    broken = run("ingest", "-", "--mailbox", "nobody@x.test", cwd=tmp_path, stdin=demo_mail("01"))
    assert broken.returncode == 75
    store = sqlite3.connect(tmp_path / ".gatepost" / "gatepost.db")
    store.execute("BEGIN EXCLUSIVE")
    locked = run("ingest", "-", "--mailbox", SITELINK, cwd=tmp_path, stdin=demo_mail("01"))
    store.close()
    assert locked.returncode == 75
    assert b"Traceback" not in broken.stderr + locked.stderr


def test_ingest_takes_folders_and_mboxes(tmp_path: Path) -> None:
    """A folder of mails and an mbox are kept mail by mail, and a later ``up`` reads them."""
    (tmp_path / "box.mbox").write_bytes(
        b"".join(
            b"From x Thu Jan  1 00:00:00 1970\n" + demo_mail(name).replace(b"\r\n", b"\n") + b"\n"
            for name in ("01", "03")
        )
    )
    with Gatepost(tmp_path / "up") as up:
        assert len(up.cli("ingest", str(tmp_path / "box.mbox"), "--mailbox", SITELINK, "--trust")["kept"]) == 2
        assert len(up.cli("ingest", str(FIXTURES / "demo"), "--mailbox", SITELINK, "--trust")["kept"]) >= 10
        up.settle()
        assert up.unit("SITELINK-B205")["occupied"] is True


def test_send_as_forwarded_acts_as_the_original(tmp_path: Path) -> None:
    """A mail that is sent as people forward it is read as the mail inside; all four are one event."""
    (tmp_path / "m.eml").write_bytes(demo_mail("01"))
    with Gatepost(tmp_path / "up") as up:
        base = ("--config", str(up.config), "send", str(tmp_path / "m.eml"), "--to", SITELINK, "--wait", "--json")
        mails = []
        for program in ("gmail", "outlook", "apple", "attached"):
            done = run(*base, "--server", up.ports["smtp"], "--as-forwarded", program, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            mails.append(json.loads(done.stdout)[0]["mail"])
        assert [mail["state"] for mail in mails] == ["parsed", "duplicate", "duplicate", "duplicate"]
        assert {mail["from"] for mail in mails} == {"noreply@sitelink.com"}
        assert up.unit("SITELINK-B204")["occupied"] is True
        chain = run("--config", str(up.config), "explain", mails[0]["id"], cwd=tmp_path).stdout
        assert b"forward  by manager@operator.example.com, 2026-05-01T10:30:00-05:00, text: Fwd:" in chain
    (tmp_path / "m.eml").write_bytes(b"a: b\r\n" * 30_000 + b"\r\n")
    wrong = run("send", "m.eml", "--to", SITELINK, "--as-forwarded", "gmail", cwd=tmp_path)
    assert (wrong.returncode, b"Traceback" in wrong.stderr) == (2, False)
    assert b"m.eml: the mail holds more than 1000 headers" in wrong.stderr


def test_send_prints_the_whole_path(tmp_path: Path) -> None:
    """``send --wait`` shows reply, state, rule, event, call, key and answer."""
    with Gatepost(tmp_path / "up") as up:
        (tmp_path / "m.eml").write_bytes(demo_mail("01"))
        base = ("--config", str(up.config), "send", str(tmp_path / "m.eml"), "--to", SITELINK)
        done = run(*base, "--server", up.ports["smtp"], "--wait", cwd=tmp_path)
        said = done.stdout.decode()
        assert done.returncode == 0, done.stderr
        for word in (
            "250 2.0.0 queued as",
            "parsed",
            "sitelink/move-in",
            "move_in SITELINK-B204",
            "PUT ",
            "gp1-",
            "201",
        ):
            assert word in said
        refused = run(*base[:-1], "nobody@demo.test", "--server", up.ports["smtp"], cwd=tmp_path)
        assert refused.returncode == 1
        assert b"550 5.1.1" in refused.stderr


def test_config_stands_before_or_after_the_command(tmp_path: Path) -> None:
    """``--config`` is taken in both places, and from the environment."""
    (tmp_path / "g.toml").write_text('[smtp]\nhostname = "in.x.test"\n')
    for arguments, env in (
        (("--config", "g.toml", "config", "show", "--json"), {}),
        (("config", "show", "--json", "--config", "g.toml"), {}),
        (("config", "show", "--json"), {"GATEPOST_CONFIG": "g.toml"}),
    ):
        done = run(*arguments, cwd=tmp_path, **env)
        assert json.loads(done.stdout)["smtp"]["hostname"] == "in.x.test", done.stderr


def test_config_show_tells_no_password(tmp_path: Path) -> None:
    """Passwords in URLs are not shown."""
    env = {"GATEPOST_STORE__URL": "postgresql://u:hush@h/d", "GATEPOST_QUEUE__BROKER": "redis://:hush@h:1/0"}
    done = run("config", "show", cwd=tmp_path, **env)
    assert b"hush" not in done.stdout
    assert b"postgresql://u@h/d" in done.stdout


def test_init_asks_five_questions_and_writes_what_works(tmp_path: Path) -> None:
    """The file that ``init`` writes is good, and it does not write over another."""
    answers = b"acme\nMAIN-ST\nAmerica/Chicago\nsitelink\nmain-st@in.example.com\n"
    assert run("init", cwd=tmp_path, stdin=answers).returncode == 0
    assert b"all is well" in run("config", "check", cwd=tmp_path).stdout
    shown = json.loads(run("config", "show", "--json", cwd=tmp_path).stdout)
    assert (shown["rules"]["publish"], shown["guards"]["probation"]) == ("manual", 5)
    again = run("init", cwd=tmp_path, stdin=answers)
    assert again.returncode == 2
    assert b"is there already" in again.stderr


def test_init_for_a_pms_without_a_pack_says_how_to_draft_one(tmp_path: Path) -> None:
    """A pack that does not ship is no mistake: its folder is there, and its mails are held until it has rules."""
    answers = ("--company", "acme", "--location", "HARBOR", "--timezone", "UTC", "--pack", "harbor")
    done = run("init", *answers, "--address", "harbor@in.acme.test", cwd=tmp_path)
    assert b"gatepost rules new a-mail.eml another.eml --pack harbor --out ." in done.stdout
    assert (tmp_path / "rules").is_dir()
    checked = run("config", "check", cwd=tmp_path)
    assert checked.returncode == 2
    assert b"names the pack `harbor`, and there is none" in checked.stderr
    mailbox = '[[mailbox]]\naddress = "harbor@in.acme.test"\nlocation = "HARBOR"\npms = ["harbor"]\n'
    with Gatepost(tmp_path / "up", mailbox) as up:
        assert "names the pack `harbor`, and there is none" in up.log()


def test_doctor_and_database_commands(tmp_path: Path) -> None:
    """A fresh place is healthy; its database is upgraded, checked and copied."""
    assert run("doctor", cwd=tmp_path).returncode == 0
    assert json.loads(run("db", "upgrade", "--json", cwd=tmp_path).stdout)["version"]
    found = json.loads(run("db", "check", "--json", cwd=tmp_path).stdout)
    assert found["ok"] is True
    assert found["settings"]["synchronous"] in ("2", "3")
    assert run("db", "backup", "copy.db", cwd=tmp_path).returncode == 0
    assert sqlite3.connect(tmp_path / "copy.db").execute("select count(*) from mails").fetchone() == (0,)


def test_rules_commands(tmp_path: Path) -> None:
    """The shipped packs load, list their rules, and read every fixture as expected."""
    assert b"they load" in run("rules", "check", cwd=tmp_path).stdout
    listed = json.loads(run("rules", "list", "--json", cwd=tmp_path).stdout)
    assert {"sitelink/move-in", "pmsevent/patch"} <= {row["rule"] for row in listed}
    tested = run("rules", "test", cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    assert re.search(rb"(\d+) of \1 fixtures", tested.stdout)


def test_the_help_of_all_commands_says_what_each_says() -> None:
    """The list is shown without importing a command: its words are those of the commands."""
    told = {name: short_help for name, (_, short_help) in COMMANDS.items()}
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in COMMANDS}
    assert told == {name: command.get_short_help_str(limit=200) for name, command in commands.items() if command}
    assert list(told) == sorted(told)


def test_fixtures_beside_one_s_own_rules_are_tested(tmp_path: Path) -> None:
    """Without ``--fixtures`` the folder beside the rules is read; the name of a pack that has none there is refused."""
    assert run("rules", "init", "mine", cwd=tmp_path).returncode == 0
    tested = run("rules", "test", "--rules", "mine/rules", cwd=tmp_path)
    assert (tested.returncode, tested.stdout.splitlines()[-1]) == (0, b"1 of 1 fixtures read as expected")
    refused = run("rules", "test", "sitelink", "--rules", "mine/rules", cwd=tmp_path)
    assert refused.returncode == 2
    assert str(tmp_path / "mine" / "fixtures" / "sitelink").encode() in refused.stderr


def test_a_red_fixture_is_shown_with_its_difference(tmp_path: Path) -> None:
    """A fixture that is read otherwise is red, with the field that differs."""
    folder = tmp_path / "fixtures" / "sitelink"
    folder.mkdir(parents=True)
    source = next(FIXTURES.glob("sitelink/*move-in*.eml"))
    (folder / "01-x.eml").write_bytes(source.read_bytes())
    expected = source.with_suffix(".expected.json").read_text("utf-8")
    (folder / "01-x.expected.json").write_text(expected.replace("T-", "X-"), "utf-8")
    done = run("rules", "test", "--fixtures", str(tmp_path / "fixtures"), cwd=tmp_path)
    assert done.returncode == 1
    assert b"pms_tenant_id: expected" in done.stdout


def test_publish_is_dry_without_go(tmp_path: Path) -> None:
    """``rules publish`` says what it would do, and does it with ``--go``."""
    (tmp_path / "rules").mkdir()
    text = (ROOT / "rules" / "sitelink.yaml").read_text("utf-8")
    (tmp_path / "rules" / "sitelink.yaml").write_text(text, "utf-8")
    (tmp_path / "g.toml").write_text('[rules]\npaths = ["rules"]\npublish = "manual"\n')
    base = ("--config", "g.toml", "rules", "publish")
    assert b"which is live already" in run(*base, cwd=tmp_path).stdout
    (tmp_path / "rules" / "sitelink.yaml").write_text(text.replace("{label: Tenant ID}", "{label: Resident}"), "utf-8")
    assert b"--go" in run(*base, cwd=tmp_path).stdout
    assert b"set 2 (" in run(*base, "--go", cwd=tmp_path).stdout


def test_the_demo_ends_as_expected(tmp_path: Path) -> None:
    """The story of the demo, killed in the middle, ends with nothing lost and nothing twice; twice the same table."""
    tables = []
    for _ in range(2):
        done = run("demo", "--once", cwd=tmp_path)
        said = done.stdout.decode()
        assert done.returncode == 0, said + done.stderr.decode()
        assert "0 lost, 0 twice" in said
        story = said.partition("more mails")[0].partition(" 1  ")[2]
        tables.append(re.sub(r"mail [0-9a-z]{20,}|explain [0-9a-z]{20,}", "", story))
    assert tables[0] == tables[1]
    assert "SITELINK-B204 is LOCKED" in tables[0]
