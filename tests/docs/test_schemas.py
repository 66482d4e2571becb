"""What the command line prints as JSON is what the published schemas say."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parsers import Outcome as ReadingOutcome
from parsers.events import Kind
from tests.docs.pages import read
from tests.docs.schema import SCHEMAS, faults
from tests.rigs.gatepost import FIXTURES, Gatepost, run
from worker.calls import Outcome
from worker.notices import IssueKind
from worker.order import State
from worker.replay import Effect
from worker.store.issues import IssueState
from worker.store.mails import MailState
from worker.units.access import AccessState

pytestmark = pytest.mark.xdist_group("docs-schemas")  # one Gatepost for all of them

FILES = sorted(path.name for path in SCHEMAS.glob("*.json"))
MOVE_IN = FIXTURES / "demo" / "01-move-in.eml"
FORGED = FIXTURES / "demo" / "10-forged-sender.eml"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gatepost]:
    """A Gatepost that has applied one mail and holds another."""
    with Gatepost(tmp_path_factory.mktemp("schemas") / "up") as running:
        yield running


@pytest.fixture(scope="module")
def sent(up: Gatepost) -> list[Any]:
    """What ``send --wait --json`` prints of a mail that is applied and of one that is held."""
    to = ("--to", "sitelink@demo.test", "--server", up.ports["smtp"], "--wait")
    return up.cli("send", str(MOVE_IN), str(FORGED), *to)


def test_there_are_schemas() -> None:
    """A walk that finds nothing fails."""
    assert FILES == [
        "common.json",
        "events-add.json",
        "events-edit.json",
        "events-show.json",
        "explain.json",
        "issues-list.json",
        "issues-show.json",
        "mail-show.json",
        "parse.json",
        "reconcile.json",
        "replay-show.json",
        "replay.json",
        "rules-backtest.json",
        "send.json",
        "undo.json",
        "units-show.json",
        "why.json",
    ]


@pytest.mark.parametrize("file", FILES)
def test_every_schema_is_linked(file: str) -> None:
    """Each schema is named on the page of the command line, and names itself."""
    assert json.loads((SCHEMAS / file).read_text("utf-8"))["$id"] == file
    assert file == "common.json" or f"(schemas/{file})" in read("cli.md")


def test_the_validator_finds_faults() -> None:
    """A value that does not fit is told: a missing name, a wrong type, a word that is not listed."""
    good = {"outcome": "events", "rule": None, "rule_set": "x", "reason": None, "events": []}
    assert faults(good, "parse.json") == []
    for wrong in ({**good, "outcome": "fine"}, {**good, "rule": 1}, {**good, "events": [{}]}, {"outcome": "events"}):
        assert faults(wrong, "parse.json")
    assert faults([{"file": "x", "reply": "451 no"}], "send.json")


def test_closed_lists_are_those_of_the_code() -> None:
    """The words that a schema lists are the members of the code's own lists."""
    shared = json.loads((SCHEMAS / "common.json").read_text("utf-8"))["$defs"]

    def words(name: str, key: str) -> list[str]:
        return sorted(shared[name]["properties"][key]["enum"])

    assert words("reading", "outcome") == sorted(ReadingOutcome)
    assert words("read_event", "kind") == words("event", "kind") == sorted(Kind)
    assert words("event", "state") == sorted(State)
    assert words("mail", "state") == sorted(MailState)
    assert words("attempt", "outcome") == sorted(Outcome)
    assert words("access", "state") == sorted([*AccessState, "unknown"])
    assert words("issue", "kind") == sorted(IssueKind)
    assert words("issue", "state") == sorted(IssueState)
    assert sorted(shared["effect"]["enum"]) == sorted(Effect)


def test_send(sent: list[Any]) -> None:
    """``send --json`` prints what its schema says, for an applied mail and for a held one."""
    assert [path["mail"]["state"] for path in sent] == ["parsed", "held"]
    assert faults(sent, "send.json") == []


def test_mail_show(up: Gatepost, sent: list[Any]) -> None:
    """``mail show --json`` prints what its schema says."""
    for path in sent:
        assert faults(up.cli("mail", "show", path["mail"]["id"]), "mail-show.json") == []


def test_events_show(up: Gatepost, sent: list[Any]) -> None:
    """``events show --json`` prints what its schema says, calls and attempts included."""
    (event, *_) = sent[0]["mail"]["events"]
    found = up.cli("events", "show", str(event["id"]))
    assert faults(found, "events-show.json") == []
    assert found["calls"][0]["attempts"]


def test_reconcile(up: Gatepost, sent: list[Any]) -> None:
    """``reconcile --json`` prints what its schema says: compared, put right, and shown again."""
    unit = sent[0]["mail"]["events"][0]["unit"]
    file = up.folder / "roll.csv"
    file.write_text(f"Unit,Status,Tenant ID,Move-In Date,Locked Out\nZ901,Rented,T9,2026-05-01,Yes\n{unit},maybe,,,\n")
    box = ("--mailbox", "sitelink@demo.test")
    compared = up.cli("reconcile", str(file), *box)
    assert faults(compared, "reconcile.json") == []
    assert (compared["counts"]["missed"], compared["counts"]["left_out"], compared["sent"]) == (1, 1, None)
    done = up.cli("reconcile", str(file), *box, "--go", "--reason", "month end")
    assert faults(done, "reconcile.json") == []
    assert done["sent"]["confirmed"] == 1
    shown = up.unit("SITELINK-Z901")
    assert shown is not None
    assert (shown["pms_tenant_id"], shown["pms_lockout"]) == ("T9", True)
    assert faults(up.cli("reconcile", "--show", str(done["reconcile"])), "reconcile.json") == []
    assert [row["reconcile"] for row in up.cli("reconcile", "--list")] == [done["reconcile"], compared["reconcile"]]


def test_units_show(up: Gatepost, sent: list[Any]) -> None:
    """``units show --json`` prints what its schema says."""
    found = up.cli("units", "show", sent[0]["mail"]["events"][0]["crm_unit_id"])
    assert len(found) == 1
    assert faults(found, "units-show.json") == []


def test_why(up: Gatepost, sent: list[Any]) -> None:
    """``why --json`` prints what its schema says, down to the lines and the call of each fact."""
    found = up.cli("why", sent[0]["mail"]["events"][0]["unit"])
    assert faults(found, "why.json") == []
    assert found[0]["facts"][0]["from"]["lines"]
    assert found[0]["facts"][0]["from"]["call"]


def test_why_at(up: Gatepost, sent: list[Any]) -> None:
    """``why --at --json`` prints what its schema says, of before and after the mail."""
    unit, now = sent[0]["mail"]["events"][0]["unit"], dt.datetime.now(dt.UTC)
    (before,), (after,) = (up.cli("why", unit, "--at", at) for at in ("2020-01-01", now.isoformat()))
    assert faults([before, after], "why.json") == []
    assert (before["facts"], before["events"], before["access"]["state"]) == ([], [], "unknown")
    assert after["facts"][0]["from"]["call"]
    assert after["at"]


@pytest.mark.parametrize("mail", [MOVE_IN, FORGED, FIXTURES / "demo" / "05-move-out.eml"], ids=lambda path: path.stem)
def test_parse(mail: Path, tmp_path: Path) -> None:
    """``parse --json`` prints what its schema says, whatever the outcome."""
    done = run("parse", str(mail), "--mailbox", "sitelink@demo.test", "--trust", "--json", cwd=tmp_path)
    assert faults(json.loads(done.stdout), "parse.json") == []
