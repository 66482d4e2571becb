"""The rule sets: what is live is in the store; a broken draft changes nothing."""

import datetime as dt
from pathlib import Path

import pytest
import sqlalchemy as sa

from parsers import RuleErrors
from tests.rigs.gatepost import ROOT
from worker.configuration import read_rule_files
from worker.rulebook import RuleBook
from worker.store.database import Database
from worker.store.tables import rule_sets

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
