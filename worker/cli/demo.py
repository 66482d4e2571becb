"""``demo``: everything in one process, and a story in about twelve mails over real SMTP.

The storyteller is a client: it starts ``gatepost up`` as a child (receiver, worker, sweeper, web and local units in
that one process), sends mails to it as a PMS does, kills it with SIGKILL half-way through, and starts it again. The
clock is that of the fixtures, so the story is the same in every year.
"""

import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from worker import past, views
from worker.calls import Manners
from worker.cli.common import NOT_DONE, told
from worker.cli.look import print_why
from worker.cli.sending import send_mail
from worker.configuration import SHIPPED_RULES, load_settings
from worker.fixtures import FIXTURES, find_fixtures
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import counts
from worker.store.history import past_calls
from worker.why import why

STORY = FIXTURES / "demo"
PREFERRED = {"smtp": 8025, "web": 8080}
TOKENS = ("GATEPOST_UNITS_TOKEN", "GATEPOST_OPS_TOKEN")


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@click.command()
@click.option("--once", is_flag=True, help="End after the story; exit 0 only if all ended as expected.")
@click.option("--all", "show_all", is_flag=True, help="List every fixture, the hostile ones too.")
@click.option("--keep", is_flag=True, help="Go on with the last demo's database.")
def demo(once: bool, show_all: bool, keep: bool) -> None:
    """Show the whole line with real mails over real SMTP; needs no Redis, no root."""
    with told():
        stage = Stage(_folder(keep))
        try:
            faults = _tell(stage, show_all=show_all)
            if not once:
                click.echo("serving until Ctrl-C")
                stage.wait()
        finally:
            stage.stop()
    if once and faults:
        raise click.exceptions.Exit(NOT_DONE)


def _folder(keep: bool) -> Path:
    base = Path(".gatepost")
    last = sorted(base.glob("demo-*"))
    if keep and last:
        return last[-1]
    number = int(last[-1].name.removeprefix("demo-")) + 1 if last else 1
    folder = base / f"demo-{number:04}"
    folder.mkdir(parents=True)
    return folder


class Stage:
    """The child process and the ways to look at what it did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._began: tuple[dt.datetime, float] | None = None
        self.child: subprocess.Popen[bytes] | None = None
        self.ports: dict[str, str] = {}
        self._config = folder / "gatepost.toml"
        smtp, web = _free(PREFERRED["smtp"]), _free(PREFERRED["web"])
        self._config.write_text(
            f'[store]\nurl = "sqlite:///{(folder / "gatepost.db").resolve()}"\n'
            f'[smtp]\nlisten = ["127.0.0.1:{smtp}"]\n[web]\nlisten = "127.0.0.1:{web}"\n'
            '[rules]\npublish = "on_save"\n' + "".join(_mailbox(pack) + _mailbox(pack, "-more") for pack in _packs()),
            "utf-8",
        )
        self.settings: Settings = load_settings(self._config, environ={})

    def start(self, now: dt.datetime) -> None:
        """Start ``gatepost up`` and wait until it listens."""
        self._began = self._began or (now, time.monotonic())
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        log = (self.folder / "log.jsonl").open("ab")
        here = {name: value for name, value in os.environ.items() if not name.startswith("GATEPOST_")}
        tokens = {name: os.environ[name] for name in TOKENS if os.environ.get(name)}
        self.child = subprocess.Popen(  # noqa: S603  this very program
            [
                *(sys.executable, "-m", "worker.cli", "--config", str(self._config), "up"),
                *("--ready-file", str(ready), "--now", self.now().isoformat()),
            ],
            env=here | tokens,
            stdout=log,
            stderr=log,
        )
        log.close()
        until = time.monotonic() + 30
        while not ready.exists():
            if self.child.poll() is not None or time.monotonic() > until:
                tail = (self.folder / "log.jsonl").read_text("utf-8").strip().rpartition("\n")[2]
                raise DemoError(f"`gatepost up` did not start: {tail} (see {self.folder}/log.jsonl)")
            time.sleep(0.05)
        self.ports = json.loads(ready.read_text("utf-8"))

    def now(self) -> dt.datetime:
        """Return the story's time."""
        assert self._began is not None  # noqa: S101
        return self._began[0] + dt.timedelta(seconds=time.monotonic() - self._began[1])

    @property
    def zones(self) -> dict[str, str]:
        return {mailbox.location: mailbox.timezone for mailbox in self.settings.mailbox}

    def kill(self) -> None:
        """End the child as a power cut would."""
        assert self.child is not None  # noqa: S101
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def stop(self) -> None:
        """End the child in order."""
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
            self.child.wait(30)

    def wait(self) -> None:
        """Wait until the child ends or Ctrl-C is pressed."""
        assert self.child is not None  # noqa: S101
        try:
            self.child.wait()
        except KeyboardInterrupt:
            click.echo()

    def send(self, raw: bytes, to: str) -> str:
        """Send one mail; return its id."""
        return send_mail(self.ports["smtp"], raw, to=to).rpartition(" ")[2]

    @cached_property
    def runtime(self) -> Runtime:
        """Return the storyteller's own way into the child's store, to look at it."""
        return Runtime(self.settings)

    def settle(self) -> None:
        """Wait until nothing is left to do.

        Raises:
            DemoError: nothing has got less for a minute.
        """
        least, until = sys.maxsize, 0.0
        while True:
            with self.runtime.db.read() as connection:
                busy = counts.busy(connection, now=self.now())
            if not any(busy.values()):
                return
            left = 9 * busy["mails"] + busy["units"]  # a mail that is read may make several units due
            if left < least:
                least, until = left, time.monotonic() + 60
            elif time.monotonic() > until:
                raise DemoError(f"still at work, and no nearer its end for 60 s; see {self.folder}/log.jsonl")
            time.sleep(0.03)


def _packs() -> list[str]:
    return [file.stem for file in sorted(SHIPPED_RULES.glob("*.yaml"))]


def _mailbox(pack: str, more: str = "") -> str:
    """Return a pack's mailbox: as it is without a configuration, or a second one beside it for further fixtures."""
    return (
        f'[[mailbox]]\naddress = "{pack}{more}@demo.test"\nlocation = "{(pack + more).upper()}"\ncompany = "demo"\n'
        f'pms = ["{pack}"]\ntrust = [{{network = "127.0.0.0/8"}}]\n'
    )


def _free(port: int) -> int:
    """Return the port, or 0 (any) when another program has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _tell(stage: Stage, *, show_all: bool) -> int:
    """Tell the story; return how many things ended otherwise than expected."""
    story = json.loads((STORY / "story.json").read_text("utf-8"))
    others = list(_others())
    now = max(_date((STORY / step["file"]).read_bytes()) for step in story["steps"]) + dt.timedelta(hours=6)
    now = max([now, *(_date(path.read_bytes()) + dt.timedelta(hours=1) for path, _ in others)])
    stage.start(now)
    for name, preferred in PREFERRED.items():
        moved = "" if stage.ports[name].endswith(f":{preferred}") else f"  ({preferred} is taken)"
        click.echo(f"{name:<5} {stage.ports[name]}{moved}")
    click.echo()
    faults = sum(_step(stage, number, story["mailbox"], step) for number, step in enumerate(story["steps"], 1))
    faults += _killed_midway(stage, now, others, show_all=show_all)
    if show_all:
        faults += _hostile(stage)
    click.echo("\n$ gatepost why SITELINK-B204")
    for unit in why(stage.runtime.db, "SITELINK-B204", zones=stage.zones, now=stage.now()):
        print_why(unit)
    click.echo(f"look further: gatepost --config {stage.folder}/gatepost.toml mail list")
    click.echo(f"web:          http://{stage.ports['web']}/")
    if faults:
        click.echo(click.style(f"{faults} things ended otherwise than expected", fg="red"))
    return faults


def _step(stage: Stage, number: int, mailbox: str, step: dict[str, Any]) -> int:
    """Send one mail of the story, print its line, and return 1 when it ended otherwise than expected."""
    mail_id = stage.send((STORY / step["file"]).read_bytes(), mailbox)
    stage.settle()
    mail = views.show_mail(stage.runtime.db, mail_id)
    access = _access_of(stage, step["unit"]) if step.get("unit") else None
    click.echo(f"{number:>2}  {step['caption']}")
    reason = f" {mail['reason']}" if mail["reason"] else ""
    click.echo(f"      {click.style(mail['state'] + reason, bold=True)}  rule {mail['rule'] or '-'}")
    if mail["detail"]:
        click.echo(f"      {mail['detail']}")
    for event in mail["events"]:
        for call in event["calls"]:
            answer = call["attempts"][-1]["status"] if call["attempts"] else "-"
            click.echo(f"      {call['request']} {call['body']}  key {call['key'][:16]}…  answer {answer}")
        if not event["calls"]:
            click.echo(f"      {event['kind']} is {event['state']}: nothing is sent")
    if mail["state"] == "held":
        click.echo(f"      look: gatepost explain {mail_id}")
    if access:
        click.echo(f"      {step['unit']} is {click.style(access.upper(), bold=True)}")
    wanted = (step["mail"], step.get("reason", mail["reason"]), step["events"], step.get("access"))
    found = (mail["state"], mail["reason"], [event["state"] for event in mail["events"]], access)
    if wanted != found:
        click.echo(click.style(f"      expected {wanted}, found {found}", fg="red"))
    return int(wanted != found)


def _access_of(stage: Stage, unit: str) -> str:
    found = why(stage.runtime.db, unit, zones={}, now=stage.now())[0]["access"]
    return {True: "open", False: "vacant" if found["state"] == "vacant" else "locked"}.get(found["opens"], "unknown")


def _others() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the other fixtures that the demo's mailboxes can take, with what is expected of them."""
    for path in find_fixtures(FIXTURES):
        wanted = json.loads(path.with_suffix(".expected.json").read_text("utf-8"))
        elsewhere = wanted.get("mailbox") or wanted["expected"]["outcome"] == "contradiction"  # two packs, one mailbox
        if path.parent.name not in ("demo", "forwards", "near_miss", "hostile", "sequences") and not elsewhere:
            yield path, wanted["expected"]


def _killed_midway(stage: Stage, now: dt.datetime, others: list[tuple[Path, dict[str, Any]]], *, show_all: bool) -> int:
    """Send the other fixtures, kill everything half-way, start again, and count what was lost or done twice."""
    sent: dict[str, tuple[Path, dict[str, Any]]] = {}
    for index, (path, wanted) in enumerate(others):
        if index == len(others) // 2:
            stage.kill()
            stage.start(now)
        sent[stage.send(path.read_bytes(), f"{path.parent.name}-more@demo.test")] = (path, wanted)
    stage.settle()
    mails = {mail["id"]: mail for mail in views.list_mails(stage.runtime.db, limit=1000)}
    states = {"events": ("parsed", "duplicate"), "ignored": ("ignored", "duplicate")}
    lost = [mail_id for mail_id in sent if mails.get(mail_id, {"state": "new"})["state"] == "new"]
    wrong = [
        mail_id
        for mail_id, (_, wanted) in sent.items()
        if mail_id not in lost and mails[mail_id]["state"] not in states.get(wanted["outcome"], ("held",))
    ]
    twice = _done_twice(stage)
    if show_all:
        for mail_id, (path, _) in sent.items():
            mail = mails.get(mail_id, {"state": "lost", "rule": None})
            click.echo(f"    {path.parent.name}/{path.name:<44} {mail['state']:<9} {mail['rule'] or '-'}")
    click.echo(
        f"\n{len(sent)} more mails, killed and restarted half-way: "
        + click.style(f"{len(lost)} lost, {twice} twice", bold=True)
    )
    for mail_id in wrong:
        click.echo(click.style(f"  {sent[mail_id][0]}: {mails[mail_id]['state']}", fg="red"))
    return len(lost) + twice + len(wrong)


def _done_twice(stage: Stage) -> int:
    """Return how many calls were applied again, with none between that had changed what they wrote."""
    db = stage.runtime.db
    keys = [(unit["destination"], unit["crm_unit_id"]) for unit in views.list_units(db, limit=1000)]
    with db.read() as connection:
        told = [past.tell(past_calls(connection, key, by=stage.now()), Manners()) for key in keys]
    return sum(len(one.repeated) for one in told)


def _hostile(stage: Stage) -> int:
    """Send the hostile fixtures: each must be kept, and none may act."""
    faults = 0
    for path in sorted((FIXTURES / "hostile").glob("*.eml")):
        mail_id = stage.send(path.read_bytes(), "sitelink@demo.test")
        stage.settle()
        mail = views.show_mail(stage.runtime.db, mail_id)
        click.echo(f"    hostile/{path.name:<44} {mail['state']:<9} {mail['reason'] or ''}")
        faults += bool(mail["events"])
    return faults


def _date(raw: bytes) -> dt.datetime:
    """Return the Date of a mail; long ago when it has none."""
    try:
        found = parsedate_to_datetime(str(BytesHeaderParser().parsebytes(raw).get("Date", "")))
    except ValueError:
        return dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
