"""The unit maps of mailboxes: read again when they change, kept when they break, and never two units of one id."""

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from parsers import Directory, MapErrors, load_rules_text, read_unit_map
from tests.rigs.gatepost import ROOT, demo_mail
from tests.rigs.maps import DAY, HEAD, Maps, box, write
from worker import directory
from worker.actions import CannotDo
from worker.configuration import load_settings
from worker.directory import UnitMaps, digest_of, fault_of
from worker.edits import release_events
from worker.ingest import Ingest
from worker.seen import draft_map, find_unseen, units_seen
from worker.settings import ConfigError
from worker.store.database import Database
from worker.store.keep import Keeper, KeptMail
from worker.store.tables import events, lanes
from worker.unitmap import put_file, rename_unit

RULES = load_rules_text({"sitelink.yaml": (ROOT / "rules" / "sitelink.yaml").read_text("utf-8")})


def said(logged: Sequence[Any]) -> list[str]:
    """Return the names of what was logged."""
    return [line["event"] for line in logged]


# -- keeping and reading again ----------------------------------------------------------------------------------------


def test_a_changed_map_is_read_again_and_no_sooner_than_need_be(tmp_path: Path) -> None:
    """The change counts from the next look on, two seconds after the last; its digest is another one."""
    maps = Maps(box(write(tmp_path / "units.csv", "A,K1,,")))
    digest = maps.maps.of(tmp_path / "units.csv").digest
    write(tmp_path / "units.csv", "A,K2,,")
    maps.later(1.9)
    assert maps.id_of("A") == "K1"
    with structlog.testing.capture_logs() as logged:
        maps.later(0.2)
    assert (maps.id_of("A"), said(logged)) == ("K2", ["unit_map_read"])
    assert maps.maps.of(tmp_path / "units.csv").digest != digest
    with structlog.testing.capture_logs() as logged:
        maps.later()
    assert said(logged) == []


@pytest.mark.parametrize("broken", ["unit\n", f"{HEAD}\nA,,,\n", None, b"\xff\xfe"])
def test_a_broken_map_leaves_the_last_good_one(tmp_path: Path, broken: str | bytes | None) -> None:
    """It is told once, with file and line, however often it is looked at; the mended file counts again."""
    path = write(tmp_path / "units.csv", "A,K1,,")
    maps = Maps(box(path))
    path.unlink()
    if broken is not None:
        path.write_bytes(broken if isinstance(broken, bytes) else broken.encode())
    with structlog.testing.capture_logs() as logged:
        maps.later()
        maps.later()
    assert (maps.id_of("A"), said(logged)) == ("K1", ["unit_map_refused"])
    assert logged[0]["errors"].startswith(f"{path}:")
    assert (maps.maps.of(path).fault or "").startswith(f"{path}:")
    write(path, "A,K2,,")
    maps.later()
    assert (maps.id_of("A"), maps.maps.of(path).fault) == ("K2", None)


def test_the_same_bytes_again_are_no_change(tmp_path: Path) -> None:
    """A file that was only touched has its digest still, and nothing is told."""
    maps = Maps(box(write(tmp_path / "units.csv", "A,K1,,")))
    digest = maps.maps.of(tmp_path / "units.csv").digest
    os.utime(tmp_path / "units.csv", ns=(1, 1))
    with structlog.testing.capture_logs() as logged:
        maps.later()
    assert (maps.maps.of(tmp_path / "units.csv").digest, said(logged)) == (digest, [])


def test_a_change_that_takes_another_site_s_id_is_refused(tmp_path: Path) -> None:
    """The last good maps stay when a changed one would give one id to two units."""
    one, two = write(tmp_path / "a.csv", "A,K1,,"), write(tmp_path / "b.csv", "A,K2,,")
    maps = Maps(box(one), box(two, "WEST"))
    write(two, "A,K1,,")
    with structlog.testing.capture_logs() as logged:
        maps.later()
    assert (maps.id_of("A", 1), said(logged)) == ("K2", ["unit_map_refused"])
    assert "can make the same unit id `K1`" in logged[0]["errors"]
    write(two, "A,K1,2026-06-01,")
    write(one, "A,K1,,2026-05-31")
    maps.later()
    assert (maps.id_of("A", 1, dt.date(2026, 6, 1)), maps.id_of("A", 0)) == ("K1", "K1")


def test_what_was_never_good_is_refused_with_every_mistake(tmp_path: Path) -> None:
    """Without a good map to go on with, all mistakes of all maps are told at once."""
    boxes = (box(write(tmp_path / "a.csv", "A,,,")), box(tmp_path / "none.csv", "WEST"))
    with pytest.raises(MapErrors) as caught:
        UnitMaps().check(boxes)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path / 'a.csv'}:2: the crm_unit_id is empty"
    assert lines[1].startswith(f"{tmp_path / 'none.csv'}:1: cannot be read: No such file")


# -- the configuration ------------------------------------------------------------------------------------------------


def configure(folder: Path, *mailboxes: str, more: str = "") -> Path:
    """Write a configuration with some mailboxes."""
    tables = "\n".join(f'[[mailbox]]\naddress = "box{n}@in.test"\n{text}' for n, text in enumerate(mailboxes))
    (folder / "gatepost.toml").write_text(f"{more}\n[mailbox_defaults]\ncompany = 'acme'\n{tables}\n", "utf-8")
    return folder / "gatepost.toml"


def test_a_map_is_found_beside_the_file_that_names_it(tmp_path: Path) -> None:
    """The path is relative to the configuration file, or to the included file that it stands in."""
    (tmp_path / "more").mkdir()
    write(tmp_path / "units.csv", "A,K1,,")
    write(tmp_path / "more" / "units.csv", "A,K2,,")
    (tmp_path / "more" / "w.toml").write_text(
        '[[mailbox]]\naddress = "w@in.test"\nlocation = "WEST"\nunit_map = "units.csv"\n'
    )
    file = configure(tmp_path, 'location = "MAIN"\nunit_map = "units.csv"', more='include = ["more/*.toml"]')
    settings = load_settings(file, environ={})
    found = {one.location: one.reader().directory for one in settings.mailbox}
    ids = {name: units.resolve("A", DAY) for name, units in found.items() if units is not None}
    assert {name: entry.crm_unit_id for name, entry in ids.items() if entry} == {"MAIN": "K1", "WEST": "K2"}


def test_a_broken_map_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    """Each mistake of a map is a line of the refusal, with file and line."""
    write(tmp_path / "units.csv", "A,,,", "B,K1,x,")
    file = configure(tmp_path, 'location = "MAIN"\nunit_map = "units.csv"')
    with pytest.raises(ConfigError) as caught:
        load_settings(file, environ={})
    assert [line.split(": ", 1)[1].split(":")[1] for line in str(caught.value).splitlines()] == ["2", "3"]
    assert load_settings(file, environ={}, maps=False).mailbox[0].unit_map == tmp_path / "units.csv"


def test_reading_the_configuration_again_keeps_the_last_good_map(tmp_path: Path) -> None:
    """What SIGHUP does: a map that was good once in this process stays, and the rest of the configuration counts."""
    path = write(tmp_path / "units.csv", "A,K1,,")
    file = configure(tmp_path, 'location = "MAIN"\nunit_map = "units.csv"')
    before = load_settings(file, environ={}).mailbox[0]
    digest = digest_of(before)
    write(path, "A,,,")
    again = load_settings(configure(tmp_path, 'location = "MAIN"\nunit_map = "units.csv"\nmode = "review"'), environ={})
    assert (again.mailbox[0].mode, digest_of(again.mailbox[0])) == ("review", digest)
    assert (fault_of(before) or "").endswith("the crm_unit_id is empty")
    write(path, "A,K2,,")
    load_settings(file, environ={})
    assert (fault_of(before), digest_of(before) == digest) == (None, False)


# -- mails ------------------------------------------------------------------------------------------------------------


class Reader:
    """An ingest on a database, with a mailbox that has a map."""

    def __init__(self, database: Database, path: Path) -> None:
        self.db = database
        self.box = box(path)
        self.now = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
        self.keeper = Keeper(
            database, batch_mails=10, batch_bytes=1 << 20, clock=lambda: self.now, on_kept=lambda _ids: None
        )
        directory.check([self.box])
        self.ingest = Ingest(
            database,
            mailboxes=lambda: {self.box.address: self.box},
            rules=lambda: RULES,
            clock=lambda: self.now,
            clock_skew_s=900,
        )

    def read(self, raw: bytes) -> list[tuple[str, str, str | None]]:
        """Keep and read a mail; return id, state and reason of its events."""
        kept = KeptMail(body=raw, recipients=(("main@in.test",) * 2,), evidence={"peer": "127.0.0.1"})
        mail_id = self.keeper.submit(kept).result()
        self.ingest.ingest([mail_id])
        return [(row.crm_unit_id, row.state, row.reason) for row in self.events() if row.mail_id == mail_id]

    def events(self) -> list[Any]:
        """Return all events."""
        with self.db.read() as connection:
            return list(connection.execute(sa.select(events).order_by(events.c.id)))

    def lanes(self) -> list[str]:
        """Return the ids of all lanes."""
        with self.db.read() as connection:
            return list(connection.execute(sa.select(lanes.c.crm_unit_id).order_by(lanes.c.crm_unit_id)).scalars())


@pytest.fixture
def reader(database: Database, tmp_path: Path) -> Iterator[Reader]:
    """An ingest on SQLite, then on PostgreSQL."""
    made = Reader(database, write(tmp_path / "units.csv", "B204,007,,", head=HEAD))
    yield made
    made.keeper.stop()


def overlock(unit: str, date: str) -> bytes:
    """Return an overlock of a unit."""
    raw = demo_mail("03").decode().replace("B204", unit)
    head, _, rest = raw.partition("Date: ")
    return f"{head}Date: {date}\r\n{rest.partition(chr(10))[2]}".encode()


def test_a_mail_reaches_its_unit_before_and_after_a_renaming(reader: Reader, tmp_path: Path) -> None:
    """Both names lead to one id and one lane, each on its days; a change counts without a restart."""
    path = tmp_path / "units.csv"
    assert reader.read(demo_mail("01")) == [("007", "waiting", None)] * 2
    text = path.read_text("utf-8")
    renamed = rename_unit(text, file="units.csv", location="MAIN", old="B204", new="C9", on=dt.date(2026, 6, 1))
    put_file(path, text.encode(), renamed.text.encode())
    directory.check([reader.box])
    assert reader.read(overlock("C9", "Mon, 01 Jun 2026 09:00:00 -0500")) == [("007", "waiting", None)]
    assert reader.read(overlock("B204", "Sun, 31 May 2026 23:00:00 -0500")) == [("007", "waiting", None)]
    assert reader.read(overlock("B204", "Mon, 01 Jun 2026 09:00:00 -0500")) == [("", "held", "unknown_unit")]
    assert reader.lanes() == ["007"]


@pytest.mark.parametrize("mode", ["apply", "review"])
def test_a_unit_that_the_map_lacks_is_held_and_reaches_no_lane(reader: Reader, mode: str, tmp_path: Path) -> None:
    """The event waits for a person, names the map, has no lane, and nobody can release it without an id."""
    reader.box = reader.box.model_copy(update={"mode": mode})
    assert reader.read(demo_mail("01").replace(b"B204", b"Z1")) == [("", "held", "unknown_unit")] * 2
    assert str(tmp_path / "units.csv") in reader.events()[0].detail
    assert reader.lanes() == []
    with pytest.raises(CannotDo, match="has no unit id"):
        release_events(reader.db, [reader.events()[0].id], actor="anna", reason="so", now=reader.now)
    assert reader.lanes() == []


def test_the_digest_tells_that_held_mails_are_worth_another_look(reader: Reader, tmp_path: Path) -> None:
    """It changes with the map, and only then; a mailbox without a map has none."""
    before = digest_of(reader.box)
    directory.check([reader.box])
    assert digest_of(reader.box) == before is not None
    write(tmp_path / "units.csv", "B204,007,,", "Z1,008,,")
    directory.check([reader.box])
    assert digest_of(reader.box) not in (None, before)
    assert digest_of(box(None)) is None


def test_a_draft_guesses_nothing_that_is_taken(reader: Reader, tmp_path: Path) -> None:
    """A unit whose id is another's, or that has a row for other days, gets no row; the others get their own."""
    path = write(tmp_path / "units.csv", "B999,MAIN-B204,,", "b205,K5,,2020-01-01")
    directory.check([reader.box])
    for unit in (b"B204", b"B205", b"B206"):
        assert reader.read(demo_mail("01").replace(b"B204", unit)) == [("", "held", "unknown_unit")] * 2
    draft = draft_map(reader.db, reader.box, path, is_shared=False, today=DAY)
    assert [(row.unit, row.crm_unit_id) for row in draft.rows] == [("B206", "MAIN-B206")]
    assert [(one.unit, one.why) for one in draft.left] == [
        ("B204", "its id `MAIN-B204` would be that of B999 in line 2, too"),
        ("B205", "the map knows it on other days than 2026-05-01: line 3"),
    ]
    assert draft.changed.text == path.read_text("utf-8") + "B206,MAIN-B206,,\n"
    assert [entry.unit for entry in find_unseen(units_seen(reader.db, reader.box), maps_of(path))] == ["B999"]


def maps_of(path: Path) -> Directory:
    """Return the units of the site of these tests by a map."""
    return read_unit_map(path.read_text("utf-8")).of("MAIN")
