"""All events of an issue, however many, are released or discarded by one command, a page at a time."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from tests.rigs.lane import NOON
from worker import edits, log
from worker.cli import main
from worker.store import schema
from worker.store.database import Database
from worker.store.tables import audit, bodies, events, lanes, mails

HELD = 1203
ISSUE = 7


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A store with more events of one issue than one page has, one that is applied by now, and one of another issue."""
    url, config = f"sqlite:///{tmp_path / 'gatepost.db'}", tmp_path / "gatepost.toml"
    config.write_text(f'[store]\nurl = "{url}"\n', "utf-8")
    monkeypatch.setenv("GATEPOST_CONFIG", str(config))
    monkeypatch.setattr(log, "configure", lambda: None)
    made = Database(url)
    schema.upgrade(made)
    with made.write() as connection:
        connection.execute(bodies.insert().values(id="b", size_bytes=0, sha256="", received_at=NOON))
        mail = {"mailbox": "x@y.test", "received_at": NOON, "evidence": {}, "state": "parsed"}
        connection.execute(mails.insert().values(id="m", body_id="b", **mail))
        told = [_event(n, "held", "surge", ISSUE) for n in range(HELD)]
        told += [_event(HELD, "applied", None, ISSUE), _event(HELD + 1, "held", "surge", ISSUE + 1)]
        connection.execute(events.insert(), told)
        units = [{"crm_unit_id": one["crm_unit_id"], "unit": one["unit"]} for one in told]
        same = {"destination": "local", "company": "acme", "location": "M", "shown": {}, "updated_at": NOON}
        connection.execute(lanes.insert(), [{**same, **unit} for unit in units])
    yield made
    made.close()


def _event(n: int, state: str, reason: str | None, issue: int) -> dict[str, Any]:
    return {
        "mail_id": "m", "position": n, "company": "acme", "mailbox": "x@y.test", "destination": "local",
        "crm_unit_id": f"U{n}", "unit": f"U{n}", "kind": "patch", "effective_at": NOON, "mailed_at": NOON,
        "told_at": NOON, "identity": f"i{n}", "body": {"pms_lockout": True}, "fingerprint": f"f{n}", "expect": {},
        "timezone": "UTC", "rule": "t/r", "rule_set": "0", "state": state, "reason": reason, "created_at": NOON,
        "received_at": NOON, "columns": {}, "issue_id": issue,
    }  # fmt: skip


def call(*words: str) -> Result:
    """Run a command in this process."""
    with capture_logs():
        return CliRunner().invoke(main, [*words, "--reason", "a real rush"], catch_exceptions=False)


def states(db: Database) -> dict[tuple[str, int], int]:
    """Return how many events there are of each state and issue."""
    with db.read() as connection:
        grouped = (events.c.state, events.c.issue_id)
        rows = connection.execute(sa.select(*grouped, sa.func.count()).group_by(*grouped))
        return {(row[0], row[1]): row[2] for row in rows}


@pytest.mark.parametrize(("word", "state"), [("release", "waiting"), ("discard", "discarded")])
def test_all_of_an_issue_are_moved(db: Database, word: str, state: str) -> None:
    """More events than a page has are all moved and noted, those of another issue and those that stand are not."""
    before = states(db)
    dry = json.loads(call("events", word, "--issue", str(ISSUE), "--json").stdout)
    assert (dry["done"], len(dry["events"]), states(db)) == (False, HELD, before)
    done = json.loads(call("events", word, "--issue", str(ISSUE), "--go", "--json").stdout)
    assert (done["done"], sorted(done["events"])) == (True, sorted(dry["events"]))
    assert states(db) == {(state, ISSUE): HELD, ("applied", ISSUE): 1, ("held", ISSUE + 1): 1}
    with db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(audit)).scalar_one() == HELD


def test_they_are_moved_a_page_at_a_time(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction holds more than a page, and ids that are named beside the issue are moved once."""
    sizes: list[int] = []
    release: Callable[..., list[int]] = edits.release_events

    def counted(store: Database, ids: Any, **how: Any) -> list[int]:
        sizes.append(len(ids))
        return release(store, ids, **how)

    monkeypatch.setattr(edits, "release_events", counted)
    done = json.loads(call("events", "release", "1", "--issue", str(ISSUE), "--go", "--json").stdout)
    assert sizes == [1, edits.PAGE, edits.PAGE, HELD - 1 - 2 * edits.PAGE]
    assert len(set(done["events"])) == len(done["events"]) == HELD


def test_an_issue_without_such_events_is_told(db: Database) -> None:
    """Where an issue has nothing to move, the command says so and ends with 1; without ids and issue it ends with 2."""
    for more in ((), ("--go",)):
        told = call("events", "release", "--issue", "99", *more)
        assert (told.exit_code, "issue 99 has no held or rejected events" in told.stderr) == (1, True)
    assert call("events", "release").exit_code == 2
    assert ("held", ISSUE) in states(db)
