"""What undo, replay, issues and edits print as JSON is what their schemas say: the real commands, on a small store."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from tests.docs.schema import faults
from tests.rigs.lane import answer
from tests.rigs.line import Line
from worker import log
from worker.calls import Outcome
from worker.cli import main
from worker.store import schema
from worker.store.database import Database

PACK = """
pack: t
senders: [pms.test]
dates: ["%Y-%m-%d"]
rules:
  - id: move-in
    when: {subject: ^Move in}
    fields: {unit: {label: Unit}, tenant: {label: Tenant}, on: {label: On, type: date}}
    identity: [unit, tenant, on]
    events: [{move_in: {unit: unit, pms_tenant_id: tenant, move_in_date: on}}]
  - id: payment
    when: {subject: ^Payment}
    fields: {unit: {label: Unit}, balance: {label: Balance, type: money}}
    events: [{patch: {unit: unit, balance_due: balance}}]
"""
CONFIG = """
[store]
url = "{url}"
[rules]
paths = ["{pack}"]
[[mailbox]]
address = "main@in.test"
location = "MAIN"
company = "acme"
destination = "kiss"
pms = ["t"]
trust = [{{network = "127.0.0.0/8"}}]
[destination.kiss]
kind = "kiss"
base_url = "http://127.0.0.1:9"
token_env = "KISS_TOKEN"
"""

Cli = Callable[..., Any]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """The command line in this process, on a store with a unit of ours, a unit from before us, and a refused event."""
    url, pack = f"sqlite:///{tmp_path / 'gatepost.db'}", tmp_path / "t.yaml"
    config = tmp_path / "gatepost.toml"
    pack.write_text(PACK, "utf-8")
    config.write_text(CONFIG.format(url=url, pack=pack), "utf-8")
    db = Database(url)
    schema.upgrade(db)
    line = Line(db, PACK)
    line.mail("Move in", Unit="A1", Tenant="T", On="2026-05-01")
    line.mail("Payment", hour=1, Unit="A1", Balance="$9.50")
    line.kiss.move_in("MAIN-B2", {"pms_tenant_id": "OLD"})
    line.mail("Payment", hour=2, Unit="B2", Balance="$99.00")
    line.far.faults = [answer(Outcome.REJECTED, 422)]
    line.mail("Payment", hour=3, Unit="A1", Balance="$7.00")
    line.close()
    db.close()
    monkeypatch.setenv("GATEPOST_CONFIG", str(config))
    monkeypatch.setattr(log, "configure", lambda: None)

    def call(*words: str) -> Any:
        done = CliRunner().invoke(main, [*words, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    with capture_logs():
        yield call


def test_undo(cli: Cli) -> None:
    """``undo --json`` prints what its schema says: what comes back, what nobody knows, and a unit to be removed."""
    plan = cli("undo", "rule:t/payment")
    assert faults(plan, "undo.json") == []
    ours, theirs = plan["units"]
    assert (ours["calls"], theirs["calls"]) == ([{"verb": "patch", "writes": {"balance_due": 0}}], [])
    assert theirs["no_earlier_value"]
    done = cli("undo", "rule:t/move-in", "--reason", "wrong", "--go")
    assert faults(done, "undo.json") == []
    assert (plan["done"], done["done"], done["units"][0]["withdrawn"]) == (False, True, [1])


def test_replay(cli: Cli) -> None:
    """``replay --json`` prints what its schemas say: the plan of both layers, and the report."""
    plan, restated = cli("replay", "rule:t/payment"), cli("replay", "rule:t/payment", "--from", "apply")
    assert faults(plan, "replay.json") == faults(restated, "replay.json") == []
    assert (plan["mails"], len(plan["changes"]), restated["units"]) == (3, 3, 2)
    assert (plan["done"], restated["done"]) == (False, False)
    number = cli("replay", "rule:t/payment", "--reason", "mended", "--go")["replay"]
    found = cli("replay", "--show", str(number))
    assert faults(found, "replay-show.json") == []
    assert (found["items"], found["outcomes"]) == (3, {"due": 3})
    (listed,) = cli("replay", "--list")
    assert set(listed) < set(found)


def test_issues(cli: Cli) -> None:
    """``issues list --json`` and ``issues show --json`` print what their schemas say."""
    listed = cli("issues", "list")
    assert faults(listed, "issues-list.json") == []
    (issue,) = listed
    found = cli("issues", "show", str(issue["id"]))
    assert faults(found, "issues-show.json") == []
    assert (found["kind"], [event["state"] for event in found["events"]]) == ("rejected", ["rejected"])
    assert set(found) == {*issue, "events", "mails"}


def test_events_edit_and_add(cli: Cli) -> None:
    """``events edit --json`` and ``events add --json`` print what their schemas say, dry and done."""
    edit = ("events", "edit", "4", "balance_due=7.50", "--reason", "asked")
    add = ("events", "add", "--unit", "A1", "pms_lockout=false", "--reason", "asked")
    for words, file in ((edit, "events-edit.json"), (add, "events-add.json")):
        dry, done = cli(*words), cli(*words, "--go")
        assert faults(dry, file) == faults(done, file) == []
        assert (dry["done"], done["done"]) == (False, True)
    states = [event["state"] for event in cli("events", "list", "unit:A1")]
    assert states == ["waiting", "waiting", "discarded", "applied", "applied"]
