"""The rule sets: what is live is in the store; a broken draft changes nothing."""

import datetime as dt
from pathlib import Path

import pytest
import sqlalchemy as sa

from parsers import RuleErrors
from tests.rigs.gatepost import ROOT
from worker.actions import CannotDo
from worker.configuration import read_rule_files
from worker.rulebook import RuleBook
from worker.store.database import Database
from worker.store.tables import audit, rule_sets, rule_versions
from worker.views import NotThere

SITELINK = (ROOT / "rules" / "sitelink.yaml").read_text("utf-8")


def now() -> dt.datetime:
    return dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


def book(database: Database, folder: Path) -> RuleBook:
    return RuleBook(database, (folder,), clock=now)


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(rule_sets)).scalar_one()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one pack."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "sitelink.yaml").write_text(SITELINK, "utf-8")
    return tmp_path / "rules"


def test_the_first_start_publishes_what_is_on_disk(database: Database, folder: Path) -> None:
    """An empty store takes the files on disk as its first set; a second process finds it."""
    first = book(database, folder).current()
    assert book(database, folder).current().id == first.id
    assert count(database) == 1


def test_two_first_starts_side_by_side(database: Database, folder: Path) -> None:
    """Two processes that start on an empty store both end with a set."""
    one, other = book(database, folder), book(database, folder)
    files = read_rule_files((folder,))
    one.publish(files, actor="one")
    assert other.publish(files, actor="other") == 1
    assert other.current().id == one.current().id


def test_a_broken_draft_is_refused_and_the_live_set_stays(database: Database, folder: Path) -> None:
    """A file that does not load is refused whole, whoever saves it."""
    made = book(database, folder)
    live = made.current().id
    (folder / "sitelink.yaml").write_text(SITELINK.replace("pack: sitelink", "pack: [sitelink"), "utf-8")
    with pytest.raises(RuleErrors, match=r"sitelink\.yaml:\d+:\d+: "):
        made.publish(read_rule_files((folder,)), actor="test")
    made.publish_saved()
    assert made.current().id == live
    assert count(database) == 1


def test_what_is_saved_is_published_once(database: Database, folder: Path) -> None:
    """Saving publishes a new set; saving the same again, or words that change no rule, does not."""
    made = book(database, folder)
    made.current()
    (folder / "sitelink.yaml").write_text(SITELINK.replace("{label: Tenant ID}", "{label: Resident}"), "utf-8")
    made.publish_saved()
    made.publish_saved()
    assert count(database) == 2
    (folder / "sitelink.yaml").write_text(
        "# a word more\n" + SITELINK.replace("{label: Tenant ID}", "{label: Resident}"), "utf-8"
    )
    made.publish_saved()
    assert count(database) == 2


def test_of_two_files_with_one_name_the_later_path_wins(folder: Path, tmp_path: Path) -> None:
    """An operator's own file takes the place of a shipped one."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitelink.yaml").write_text("pack: own\n", "utf-8")
    assert read_rule_files((folder, own)) == {str(own / "sitelink.yaml"): "pack: own\n"}


LABEL = "{label: Tenant ID}"


def change(folder: Path, label: str = "{label: Resident}") -> None:
    """Save another draft."""
    (folder / "sitelink.yaml").write_text(SITELINK.replace(LABEL, label), "utf-8")


def actions(database: Database) -> list[tuple[str, str, str, str]]:
    """Return the audit: actor, action, subject and detail."""
    with database.read() as connection:
        rows = connection.execute(sa.select(audit).order_by(audit.c.id)).all()
    return [(row.actor, row.action, row.subject, row.detail) for row in rows]


def test_who_published_what_and_why_is_kept(database: Database, folder: Path) -> None:
    """Each set has its actor, time and note, and all but the first a row in the audit; the newest is live."""
    made = book(database, folder)
    first = made.current().id
    change(folder)
    files = read_rule_files((folder,))
    assert made.publish(files, actor="anna", reason="label", accepted="accepted: 2 events", instead_of=1) == 2
    assert made.publish(files, actor="bert") == 2, "what is live is not published again"
    second = made.current().id
    assert [(one["number"], one["rule_set"], one["live"], one["actor"], one["note"]) for one in made.sets()] == [
        (2, second, True, "anna", "label"),
        (1, first, False, "first start", None),
    ]
    assert actions(database) == [("anna", "rules publish", "2", f"set {second}; accepted: 2 events; label")]


def test_a_rollback_is_a_new_set_with_the_old_files(database: Database, folder: Path) -> None:
    """What was live before is live again in every process, under a new number; the history stays."""
    made, other = book(database, folder), book(database, folder)
    first = made.current().id
    change(folder)
    made.publish(read_rule_files((folder,)), actor="anna")
    second = other.current().id
    assert made.roll_back(1, actor="bert", reason="wrong", instead_of=2) == 3
    assert book(database, folder).current().id == made.current().id == made.load(1).id == first
    assert made.load(2).id == second
    assert [(one["number"], one["restores"], one["note"]) for one in made.sets(limit=2)] == [
        (3, 1, "wrong"),
        (2, None, None),
    ]
    assert actions(database)[-1] == ("bert", "rules rollback", "3", f"to set 1 ({first}); wrong")
    with pytest.raises(CannotDo, match="nothing to roll back"):
        made.roll_back(1, actor="bert", reason="", instead_of=3)
    with pytest.raises(NotThere, match="no rule set 9"):
        made.roll_back(9, actor="bert", reason="", instead_of=3)
    assert count(database) == 3


def test_what_was_compared_with_another_set_is_refused(database: Database, folder: Path) -> None:
    """Whoever compared with a set that is live no longer compares once more."""
    made = book(database, folder)
    made.current()
    change(folder)
    made.publish(read_rule_files((folder,)), actor="anna", instead_of=1)
    change(folder, "{label: Guest}")
    with pytest.raises(CannotDo, match="set 2 has become live"):
        made.publish(read_rule_files((folder,)), actor="bert", instead_of=1)
    with pytest.raises(CannotDo, match="set 2 has become live"):
        made.roll_back(1, actor="bert", reason="", instead_of=1)
    assert count(database) == 2


def test_what_was_rolled_back_is_not_published_by_a_restart(database: Database, folder: Path) -> None:
    """Where saving publishes, the file that was rolled back stays a draft, in a new process, too, until it is saved."""
    made = book(database, folder)
    made.publish_saved()
    change(folder)
    made.publish_saved()
    made.roll_back(1, actor="bert", reason="", instead_of=2)
    made.publish_saved()
    again = book(database, folder)
    again.publish_saved()
    assert count(database) == 3
    change(folder, "{label: Guest}")
    again.publish_saved()
    assert count(database) == 4


def test_a_rule_that_changes_is_on_probation_and_one_that_comes_back_is_not(database: Database, folder: Path) -> None:
    """A publication puts the rules that it changes on probation; the first set and a rollback put none."""
    made = RuleBook(database, (folder,), clock=now, probation=lambda: 5)

    def left() -> dict[str, int]:
        with database.read() as connection:
            return {row.rule: row.left for row in connection.execute(sa.select(rule_versions))}

    made.current()
    assert left() == {}
    (folder / "sitelink.yaml").write_text(SITELINK.replace("{subject: ^Move Out", "{subject: ^Moved Out"), "utf-8")
    made.publish_saved()
    assert left() == {"sitelink/move-out": 5}
    made.roll_back(1, actor="bert", reason="", instead_of=2)
    assert left() == {"sitelink/move-out": 0}
