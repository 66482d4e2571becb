"""What goes wrong around the line: rules, configuration, destination, Redis. Nothing is lost by it, and it is told."""

import subprocess
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.rigs.gatepost import COMMAND, FIXTURES, ROOT, TOKEN, Gatepost, demo_mail, environment, run
from tests.rigs.services import Redis, answers, free_port, wait_until
from worker.runtime import utc_now
from worker.store import schema
from worker.store.database import Database
from worker.units.api import units_api
from worker.units.store import LocalUnits

UNIT = "SITELINK-B204"
MAILBOX = '[[mailbox]]\naddress = "a@b.test"\nlocation = "M"\n'
RULES = (ROOT / "rules" / "sitelink.yaml").read_text("utf-8")


def rules_config(folder: Path) -> str:
    """Write a rules folder of its own, and return the configuration that reads it."""
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "sitelink.yaml").write_text(RULES, "utf-8")
    return '[rules]\npaths = ["rules"]\n'


def test_a_broken_rule_file_is_refused_and_the_last_good_set_stays(tmp_path: Path) -> None:
    """A file that breaks while we run is told with file, line and column; mail is read by the set before."""
    with Gatepost(tmp_path / "up", rules_config(tmp_path / "up")) as up:
        path = up.folder / "rules" / "sitelink.yaml"
        broken = RULES.replace("    fields:", "    feilds:", 1)
        line = broken.splitlines().index("    feilds:") + 1
        path.write_text(broken, "utf-8")
        wait_until(lambda: "rules_refused" in up.log(), what="the refusal")
        assert f"sitelink.yaml:{line}:5: " in up.log()
        assert "did you mean `fields`?" in up.log()
        up.send(demo_mail("01"))
        up.settle()
        assert up.unit(UNIT)["occupied"] is True


def test_a_changed_rule_is_live_without_a_restart(tmp_path: Path) -> None:
    """The renamed label of the story is mended in the file, and the held mail is read again."""
    with Gatepost(tmp_path / "up", rules_config(tmp_path / "up")) as up:
        held = up.send(demo_mail("09"))
        up.settle()
        assert up.cli("mail", "show", held)["reason"] == "incomplete"
        path = up.folder / "rules" / "sitelink.yaml"
        path.write_text(RULES.replace("{label: Tenant ID}", "{label: [Tenant ID, Resident ID]}"), "utf-8")
        wait_until(lambda: up.log().count("rules_published") == 2, what="the new set being live")
        time.sleep(1.1)  # a process looks for another set at most once a second
        run("--config", str(up.config), "mail", "retry", held, cwd=up.folder)
        up.settle()
        assert up.cli("mail", "show", held)["state"] == "parsed"


def test_broken_rules_at_the_first_start_are_told(tmp_path: Path) -> None:
    """Without a good set there is nothing to read by: the start is refused with file, line and column, exit code 2."""
    config = rules_config(tmp_path)
    (tmp_path / "rules" / "sitelink.yaml").write_text(RULES.replace("senders:", "sender:"), "utf-8")
    (tmp_path / "g.toml").write_text(config + f'[store]\nurl = "sqlite:///{tmp_path}/g.db"\n')
    done = run("--config", "g.toml", "up", cwd=tmp_path)
    assert done.returncode == 2
    assert "sitelink.yaml:" in done.stderr.decode()
    assert "did you mean `senders`?" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    ("text", "env", "words"),
    [
        ("[smpt]\n", {}, ["unknown key `smpt`", "did you mean `smtp`"]),
        ('[smtp]\nlisten = ["8025"]\n', {}, ["smtp.listen.0", "host:port"]),
        (
            '[[mailbox]]\naddress = "a@b.test"\nlocation = "M"\ntimezone = "Chicago"\n',
            {},
            ["`Chicago` is not a time zone"],
        ),
        ("[store\n", {}, ["is not TOML", "line 1"]),
        (
            "",
            {"GATEPOST_SMTP__LISTENS": "127.0.0.1:1"},
            ["GATEPOST_SMTP__LISTENS", "did you mean `GATEPOST_SMTP__LISTEN`"],
        ),
        ('[destination.far]\nkind = "kiss"\nbase_url = "https://x.test"\n', {}, ["destination.far", "token_env"]),
        (
            '[[mailbox]]\naddress = "a@b.test"\nlocation = "M"\ndestination = "lokal"\n',
            {},
            ["lokal", "did you mean `local`"],
        ),
        (MAILBOX * 2, {}, ["a@b.test is there twice"]),
    ],
)
def test_a_bad_configuration_is_named(tmp_path: Path, text: str, env: dict[str, str], words: list[str]) -> None:
    """A mistake in the configuration is told in one line with the nearest known name; the exit code is 2."""
    (tmp_path / "g.toml").write_text(text, "utf-8")
    done = run("--config", "g.toml", "config", "check", cwd=tmp_path, **env)
    said = done.stderr.decode()
    assert done.returncode == 2
    assert all(word in said for word in words), said
    assert "Traceback" not in said


def test_a_missing_configuration_names_the_way_to_one(tmp_path: Path) -> None:
    """A file that is not there is told with the command that writes one."""
    done = run("--config", "nowhere.toml", "mail", "list", cwd=tmp_path)
    assert done.returncode == 2
    assert b"nowhere.toml" in done.stderr
    assert b"gatepost init" in done.stderr


def test_a_reload_keeps_the_last_good_configuration(tmp_path: Path) -> None:
    """SIGHUP reads the file again: a good one takes effect, a bad one is told and changes nothing."""
    mailbox = (
        '[[mailbox]]\naddress = "{}@in.test"\nlocation = "SITELINK"\npms = ["sitelink"]\n'
        'trust = [{{network = "127.0.0.0/8"}}]\n'
    )
    with Gatepost(tmp_path / "up", mailbox.format("one")) as up:
        good = up.config.read_text("utf-8")
        up.config.write_text(good + mailbox.format("two"), "utf-8")
        up.hang_up()
        wait_until(lambda: '"reloaded": true' in up.log(), what="the reload")
        up.send(demo_mail("01"), to="two@in.test")
        up.config.write_text("[nonsense]\n", "utf-8")
        up.hang_up()
        wait_until(lambda: "configuration_refused" in up.log(), what="the refusal")
        up.config.write_text(good, "utf-8")
        up.send(demo_mail("03"), to="two@in.test")
        up.settle()
        assert up.unit(UNIT)["state"] == "tenant_denied"


def test_a_reload_leaves_dev_what_it_is(tmp_path: Path) -> None:
    """What was published on save is so after a SIGHUP: a rule saved then is live."""
    pack = tmp_path / "rules" / "own.yaml"
    pack.parent.mkdir()
    rule = "pack: own\nsenders: [own.example.com]\nrules:\n  - {{id: it, when: {{subject: {}}}, ignore: A note.}}\n"
    pack.write_text(rule.format("One"), "utf-8")
    mailbox = (
        '[[mailbox]]\naddress = "own@in.test"\nlocation = "OWN"\npms = ["own"]\ntrust = [{network = "127.0.0.0/8"}]\n'
    )
    with Gatepost(tmp_path / "up", f'[rules]\npaths = ["{pack.parent}"]\n{mailbox}', dev=True) as up:
        up.hang_up()
        wait_until(lambda: '"reloaded": true' in up.log(), what="the reload")
        pack.write_text(rule.format("Two"), "utf-8")
        note = b"From: a@own.example.com\r\nSubject: Two\r\nDate: Fri, 01 May 2026 09:30:00 -0500\r\n\r\nHello\r\n"

        def is_live() -> bool:
            up.send(note, to="own@in.test", sender="a@own.example.com")
            up.settle()
            return any(mail["state"] == "ignored" for mail in up.cli("mail", "list"))

        wait_until(is_live, what="the saved rule being live")


class Far:
    """A KISS stand-in that can be switched on and off, on a port that stays."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.db = Database(f"sqlite:///{folder}/far.db")
        schema.upgrade(self.db)
        self._server: uvicorn.Server | None = None

    def on(self) -> None:
        """Let it listen."""
        api = units_api(LocalUnits(self.db, clock=utc_now), token=TOKEN, clock=utc_now)
        app = Starlette(routes=[Mount("/api/v2", app=api)])
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self.port, log_config=None, lifespan="off", access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        wait_until(lambda: answers(self.port), what="the stand-in listening")

    def off(self) -> None:
        """Let it end."""
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = None


def test_a_destination_that_is_down_is_waited_for(tmp_path: Path) -> None:
    """Events wait while nobody answers, say so, and are applied once somebody does: each once."""
    far = Far(tmp_path)
    config = (
        f'[destination.far]\nkind = "kiss"\nbase_url = "http://127.0.0.1:{far.port}/api/v2"\ntoken_env = "FAR_TOKEN"\n'
        '[[mailbox]]\naddress = "main@in.test"\nlocation = "SITELINK"\npms = ["sitelink"]\ndestination = "far"\n'
        'trust = [{network = "127.0.0.0/8"}]\n'
    )
    try:
        with Gatepost(tmp_path / "up", config, FAR_TOKEN=TOKEN) as up:
            for name in ("01", "03"):
                mail_id = up.send(demo_mail(name), to="main@in.test")
            wait_until(
                lambda: "destination is down" in str(up.cli("mail", "show", mail_id)), what="the wait being told"
            )
            assert up.cli("mail", "show", mail_id)["write_status"] == "PENDING"
            far.on()
            units = LocalUnits(far.db, clock=utc_now)
            wait_until(
                lambda: (unit := units.unit(UNIT)) is not None and unit.pms_lockout, what="the events being applied"
            )
            up.settle()
            sent = {call["id"]: call for event in up.cli("events", "list") for call in _calls(up, event["id"])}
            done = [call for call in sent.values() if call["state"] == "done"]
            assert [call["request"].split(" ")[0] for call in done].count("PUT") == 1
            assert len({call["key"] for call in done}) == len(done)
            assert {event["state"] for event in up.cli("events", "list")} == {"applied"}
    finally:
        far.off()
        far.db.close()


def test_a_wrong_token_pauses_the_destination(tmp_path: Path) -> None:
    """401 pauses the destination; once its file has the right token the event is applied, and nothing else is done."""
    far = Far(tmp_path)
    far.on()
    token = tmp_path / "token"
    token.write_text("not the token")
    config = (
        f'[destination.far]\nkind = "kiss"\nbase_url = "http://127.0.0.1:{far.port}/api/v2"\ntoken_file = "{token}"\n'
        '[[mailbox]]\naddress = "main@in.test"\nlocation = "SITELINK"\npms = ["sitelink"]\ndestination = "far"\n'
        'trust = [{network = "127.0.0.0/8"}]\n'
    )
    try:
        with Gatepost(tmp_path / "up", config) as up:
            mail_id = up.send(demo_mail("01"), to="main@in.test")
            wait_until(lambda: "destination paused" in str(up.cli("mail", "show", mail_id)), what="the pause")
            token.write_text(TOKEN)
            units = LocalUnits(far.db, clock=utc_now)
            wait_until(lambda: units.unit(UNIT) is not None, what="the event being applied")
            wait_until(lambda: "token_renewed" in up.log(), what="the log line of the renewed token")
            assert "not the token" not in up.log()
    finally:
        far.off()
        far.db.close()


def _calls(up: Gatepost, event_id: int) -> list[dict]:
    return up.cli("events", "show", str(event_id))["calls"]


@pytest.mark.service
def test_redis_down_at_the_start_stops_no_mail(
    tmp_path: Path, postgres_server, redis_server: Redis, request: pytest.FixtureRequest
) -> None:
    """A receiver that starts without Redis takes mail; the sweeper rings once Redis is there."""
    url = postgres_server.database(f"down_{tmp_path.name}".replace("-", "_").lower())
    redis_server.kill()
    config = f'[store]\nurl = "{url}"\n[queue]\nbroker = "{redis_server.url}"\n'
    done = run("db", "upgrade", cwd=tmp_path, GATEPOST_STORE__URL=url)
    assert done.returncode == 0, done.stderr
    with Gatepost(tmp_path / "receive", config, command="receive") as receiver:
        mail_id = receiver.send(demo_mail("01"))
        wait_until(lambda: "ring_failed" in receiver.log(), what="the lost ring being told")
        assert receiver.cli("mail", "show", mail_id)["state"] == "new"
        redis_server.start()
        others = [_process(receiver, "work"), _process(receiver, "sweep")]
        try:
            wait_until(
                lambda: receiver.cli("mail", "show", mail_id)["state"] == "parsed", seconds=60, what="the reading"
            )
        finally:
            for other in others:
                other.terminate()
            for other in others:
                other.wait(30)


def _process(beside: Gatepost, command: str) -> subprocess.Popen[bytes]:
    with (beside.folder / f"{command}.log").open("ab") as log:
        return subprocess.Popen(
            [*COMMAND, "--config", str(beside.config), command],
            cwd=beside.folder,
            env=environment(),
            stdout=log,
            stderr=log,
        )


def test_fixtures_are_where_the_tests_look() -> None:
    """A walk that finds nothing would show nothing."""
    assert len(list((FIXTURES / "demo").glob("*.eml"))) >= 10
