"""Columns of unit maps in templates: a name that nothing gives is told before a mail meets it."""

import datetime as dt
from pathlib import Path

import pytest

from parsers import RuleErrors, load_rules_text
from tests.rigs.maps import HEAD, box, write
from worker.columns import find_lacking, find_unknown
from worker.directory import column_readers
from worker.rulebook import RuleBook
from worker.store.database import Database

PACK = """\
pack: sitelink
senders: [sitelink.com]
rules:
  - id: note
    when: {subject: ^Note}
    fields: {unit: {label: Unit}}
    events:
      - patch: {unit: unit, pms_status_raw: "lock {{ lock_no }}"}
      - patch: {unit: unit, pms_status_raw: "{{ gate | default('any gate') }}"}
"""


def test_a_name_that_nothing_gives_is_told_with_the_nearest(tmp_path: Path) -> None:
    """A column that no map has is a mistake of the rule; one that some map lacks is told for that mailbox."""
    rules = load_rules_text({"sitelink.yaml": PACK})
    full = box(write(tmp_path / "a.csv", "A,K1,,,7,N", head=f"{HEAD},lock_no,gate"))
    near = box(write(tmp_path / "b.csv", "A,K2,,,7", head=f"{HEAD},lock_nr"), "WEST")
    readers = column_readers([full, near, box(None, "EAST", pms=[])])
    assert find_unknown(rules, readers[:1]) == find_lacking(rules, readers[:1]) == []
    why = "no field of sitelink/note, and no column of a unit map that the pack is read with"
    assert [str(error) for error in find_unknown(rules, readers[1:])] == [
        f"sitelink.yaml:8:9: unknown name `lock_no`: {why} (did you mean `lock_nr`?)",
        f"sitelink.yaml:9:9: unknown name `gate`: {why}",
    ]
    assert find_unknown(rules, readers) == []
    (line,) = find_lacking(rules, readers)
    assert line.startswith("mailbox west@in.test reads sitelink/note, which names `lock_no`: its unit map has no such")
    assert "did you mean `lock_nr`?" in line


def test_rules_that_name_nothing_are_not_published(database: Database, tmp_path: Path) -> None:
    """The last good set stays when the next one names a column that no map has."""
    (tmp_path / "sitelink.yaml").write_text(PACK.replace("lock_no", "unit").replace("gate", "unit"), "utf-8")
    readers = column_readers([box(None)])
    book = RuleBook(
        database,
        (tmp_path,),
        clock=lambda: dt.datetime(2026, 5, 1, tzinfo=dt.UTC),
        check=lambda rules: find_unknown(rules, readers),
    )
    live = book.current().id
    with pytest.raises(RuleErrors, match="unknown name `lock_no`"):
        book.publish({"sitelink.yaml": PACK}, actor="test")
    assert book.current().id == live
