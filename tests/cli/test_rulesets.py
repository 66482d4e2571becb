"""From a draft to the live set and back, as an operator does it: the real commands on a small store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.docs.schema import faults
from tests.rigs.line import Line
from worker import log
from worker.cli import main
from worker.store import schema
from worker.store.database import Database
from worker.survey import Survey

PACK = """
pack: t
senders: [pms.test]
money: {decimal: ".", group: ",", symbols: ["$"]}
rules:
  - id: payment
    when: {subject: ^Payment}
    fields: {unit: {label: Unit}, balance: {label: Balance, type: money}}
    identity: [unit]
    events: [{patch: {unit: unit, balance_due: balance}}]
"""
OTHER = PACK.replace("label: Balance", "label: Due")
MENDED = PACK.replace("label: Balance", "label: [Balance, Sum]")
CONFIG = """
[store]
url = "{url}"
[rules]
paths = ["rules"]
[[mailbox]]
address = "main@in.test"
location = "MAIN"
company = "acme"
pms = ["t"]
trust = [{{network = "127.0.0.0/8"}}]
"""
AGES = ("--since", "99999d")
"""The mails of the rig are of a fixed day."""

Cli = Callable[..., Any]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The folder of the draft."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "t.yaml").write_text(PACK, "utf-8")
    return folder


@pytest.fixture
def cli(tmp_path: Path, rules: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in this process, on a store with an applied event and a held mail."""
    url, config = f"sqlite:///{tmp_path / 'gatepost.db'}", tmp_path / "gatepost.toml"
    config.write_text(CONFIG.format(url=url), "utf-8")
    db = Database(url)
    schema.upgrade(db)
    line = Line(db, (rules / "t.yaml").read_text("utf-8"))
    line.mail("Payment", Unit="A1", Balance="$9.50", Due="$1.00")
    line.mail("Payment", hour=1, Unit="A2", Sum="$7.00")
    line.close()
    db.close()
    monkeypatch.setenv("GATEPOST_CONFIG", str(config))
    monkeypatch.setattr(log, "configure", lambda: None)
    monkeypatch.setattr(log, "rules_published", lambda *_of: None)

    def call(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["rules", *words], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.stdout

    call("sets")
    return call


def live(cli: Cli) -> int:
    """Return the number of the live set."""
    (found,) = [one["number"] for one in json.loads(cli("sets", "--json")) if one["live"]]
    return found


def test_the_backtest_says_by_its_exit_code_what_publishing_asks(cli: Cli, rules: Path) -> None:
    """0 where no applied event would change and nothing is lost, else 1; and it writes nothing."""
    assert "2 mails since 1970-01-01: 2 same" in cli("backtest", *AGES)
    (rules / "t.yaml").write_text(MENDED, "utf-8")
    assert "1 same, 1 newly parsed" in cli("backtest", *AGES)
    (rules / "t.yaml").write_text(OTHER, "utf-8")
    said = cli("backtest", *AGES, code=1)
    assert "1 changed" in said
    assert "patch of MAIN-A1: balance_due: 9.50 -> 1.00" in said
    assert cli("backtest", *AGES, "--set", "1").startswith("2 mails")
    assert cli("backtest", "--since", "1d").startswith("0 mails")
    assert live(cli) == 1


def test_another_folder_is_compared_where_it_is_named(cli: Cli, tmp_path: Path) -> None:
    """``--rules`` names a folder; it and ``--set`` exclude each other, and a span is a number and a unit."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "t.yaml").write_text(OTHER, "utf-8")
    report = json.loads(cli("backtest", *AGES, "--rules", str(tmp_path / "other"), "--json", code=1))
    assert (report["effects"]["changed"], report["needs_accept"]) == (1, True)
    assert faults(report, "rules-backtest.json") == []
    cli("backtest", "--rules", str(tmp_path / "other"), "--set", "1", code=2)
    cli("backtest", "--since", "90", code=2)
    cli("backtest", "--set", "7", code=1)


def test_a_draft_that_changes_nothing_that_is_applied_is_published_at_once(cli: Cli, rules: Path) -> None:
    """A mended rule needs no word: ``--go`` publishes it, and its note is kept."""
    (rules / "t.yaml").write_text(MENDED, "utf-8")
    assert "do it with --go" in cli("publish", *AGES)
    assert live(cli) == 1
    said = cli("publish", *AGES, "--note", "spring templates", "--go")
    assert "set 2 (" in said
    assert said.endswith("next: gatepost mail retry state:held\n")
    assert live(cli) == 2
    assert "spring templates" in cli("sets")
    assert "set 2 is live already" in cli("publish", "--go")


def test_who_publishes_is_told_how_many_events_wait(cli: Cli, rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set that is published by hand says that first events are held, unless the operator set that none is."""
    hint = "the first 5 events of each rule that it changes are held `probation` for your word"
    (rules / "t.yaml").write_text(MENDED, "utf-8")
    assert hint in cli("publish", *AGES, "--go")
    monkeypatch.setenv("GATEPOST_GUARDS__PROBATION", "0")
    (rules / "t.yaml").write_text(MENDED.replace("Sum]", "Sum, Amount]"), "utf-8")
    assert "probation" not in cli("publish", *AGES, "--go")


def test_held_mails_are_retried_by_a_query(cli: Cli) -> None:
    """All that match and are held are read again, no other; a query that finds none says so."""
    retry = ["mail", "retry", "reason:incomplete", "Payment"]
    done = CliRunner().invoke(main, retry, catch_exceptions=False)
    assert (done.exit_code, done.stdout.count(" will be read again")) == (0, 1)
    again = CliRunner().invoke(main, retry, catch_exceptions=False)
    assert again.exit_code == 1
    assert "no held mail matches reason:incomplete Payment" in again.output


def test_a_draft_that_changes_what_is_applied_needs_a_word(cli: Cli, rules: Path) -> None:
    """Without ``--accept`` it is listed and refused; with it, it is live, and the audit says what was accepted."""
    (rules / "t.yaml").write_text(OTHER, "utf-8")
    assert "do it with --accept --go" in cli("publish", *AGES)
    said = cli("publish", *AGES, "--go", code=1)
    assert "balance_due: 9.50 -> 1.00" in said
    assert "not done: 1 applied events would change" in said
    assert live(cli) == 1
    done = json.loads(cli("publish", *AGES, "--accept", "--go", "--json"))
    assert (done["done"], done["number"], done["backtest"]["applied_events"]) == (True, 2, 1)
    (row,) = json.loads(CliRunner().invoke(main, ["audit", "subject:2", "--json"]).stdout)
    assert row["action"] == "rules publish"
    assert "accepted: 1 applied events would change" in row["detail"]


def test_a_rollback_has_the_same_gate(cli: Cli, rules: Path) -> None:
    """A set of before is live again by a word, as a new set; one that is not there is told so."""
    (rules / "t.yaml").write_text(OTHER, "utf-8")
    cli("publish", *AGES, "--accept", "--go")
    assert "do it with --go" in cli("rollback", "1", *AGES), "what is applied is as set 1 reads it"
    db = Database(f"sqlite:///{rules.parent / 'gatepost.db'}")
    line = Line(db, OTHER)
    line.mail("Payment", hour=2, Unit="A3", Balance="$9.50", Due="$1.00")
    line.close()
    db.close()
    assert "do it with --accept --go" in cli("rollback", "1", *AGES)
    cli("rollback", "1", *AGES, "--go", code=1)
    assert live(cli) == 2
    assert "set 3 (" in cli("rollback", "1", *AGES, "--accept", "--go")
    first = json.loads(cli("sets", "--json"))[0]
    assert (first["number"], first["restores"], first["live"]) == (3, 1, True)
    assert "set 3 is live already" in cli("rollback", "1", "--go")
    cli("rollback", "9", "--go", code=1)


def test_a_broken_draft_is_told_with_its_place(cli: Cli, rules: Path) -> None:
    """A file that does not load is neither compared nor published."""
    (rules / "t.yaml").write_text(PACK.replace("pack: t", "pack: [t"), "utf-8")
    cli("publish", "--go", code=2)
    cli("backtest", code=2)
    assert live(cli) == 1


def test_a_drift_is_shown_where_it_matters(cli: Cli, rules: Path) -> None:
    """``rules drift``, ``issues show``, ``explain`` and ``why`` tell of it, and say which labels differ."""
    assert "no mail has been read yet" in cli("drift")
    db = Database(f"sqlite:///{rules.parent / 'gatepost.db'}")
    line = Line(db, PACK)
    line.clock.advance(86_400)
    held = line.mail("Payment", hour=3, Unit="A1", Amount="$7.00")
    line.clock.advance(86_400)
    Survey(db, mailboxes=lambda: {line.box.address: line.box}, clock=line.clock).look()
    line.close()
    db.close()

    def told(*words: str) -> str:
        return CliRunner().invoke(main, list(words), catch_exceptions=False).stdout

    (row,) = json.loads(cli("drift", "--json"))
    assert (row["rule"], row["read"], row["held"], row["rate"]) == ("t/payment", 1, 2, 0.333)
    assert "t/payment" in cli("drift")
    shown = json.loads(told("issues", "show", "1", "--json"))
    assert faults(shown, "issues-show.json") == []
    assert (shown["kind"], shown["difference"]) == ("drift", ["- Balance", "- Due", "+ Amount"])
    assert "    + Amount" in told("issues", "show", "1")
    said = told("explain", held)
    assert "drift    issue 1: t/payment: its mails have changed, and are held" in said
    assert "         + Amount" in said
    assert json.loads(told("explain", held, "--json"))["drift"][0]["id"] == 1
    why = json.loads(told("why", "MAIN-A1", "--json"))
    assert faults(why, "why.json") == []
    assert [one["id"] for one in why[0]["drift"]] == [1]
    assert "drift: issue 1: t/payment" in told("why", "MAIN-A1")
