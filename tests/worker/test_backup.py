"""Backup and restore: a whole copy while work goes on, and a way back that sends nothing by itself."""

import contextlib
import datetime as dt
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.rigs.gatepost import Gatepost, demo_mail, run
from tests.rigs.house import House, moment
from tests.rigs.lane import crash_before, lost
from tests.rigs.services import Postgres
from worker import actions, backup
from worker.backup import BackupError
from worker.store import counts, pauses
from worker.store.database import Database
from worker.store.restored import RESTORED
from worker.store.running import InUse, alone, marked_running
from worker.store.tables import audit, calls, lanes, mails

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """A house on SQLite, then on PostgreSQL."""
    made = House(database_url)
    yield made
    made.close()


def restore(house: House, source: Path, *, over: bool = True) -> backup.Restored:
    """Stop, restore, and start again."""
    house.close()
    db = Database(house.url)
    try:
        return backup.restore(db, source, over=over, actor="greta", now=house.now)
    finally:
        db.close()
        house.open()


def resume(house: House) -> None:
    """Go on after a restore, as a person says."""
    actions.resume(house.db, "everything", RESTORED, actor="greta", now=house.now)
    house.settle()


def effects(house: House) -> dict[str, dict[str, Any]]:
    """Return the units as the destination has them."""
    return {name: dict(unit) for name, unit in house.far.kiss.units.items()}


def test_a_restore_is_rehearsed(house: House, tmp_path: Path) -> None:
    """Backup, more mail, restore: nothing is sent before a person says so, mail that comes again is known or caught
    up, and each unit ends as it was at the destination.
    """
    house.move_in("B204", "T-5001", "05-01 09:30")
    house.move_in("C101", "T-6001", "05-01 09:40")
    house.overlock("C101", "T-6001", "05-02 08:00")
    assert backup.backup(house.db, tmp_path / "copy") > 10_000
    later = [
        lambda **how: house.overlock("B204", "T-5001", "05-03 08:00", **how),
        lambda **how: house.unlock("C101", "T-6001", "05-03 09:00", **how),
        lambda **how: house.nsf("B204", "T-5001", "05-03 10:00", balance="$12.00", **how),
        lambda **how: house.move_in("D300", "T-7001", "05-03 11:00", **how),
    ]
    for mail in later:
        mail()
    before, sent = effects(house), len(house.far.sent)
    assert before["MAIN-B204"]["pms_lockout"] is True
    assert before["MAIN-C101"]["pms_lockout"] is False

    house.at("05-03 12:00")
    done = restore(house, tmp_path / "copy")
    assert done.counts["mails"] == 3
    house.settle()
    assert len(house.far.sent) == sent
    with house.db.read() as connection:
        assert pauses.everything_paused(connection, house.now) is not None
        assert counts.check(connection) == []

    known = house.overlock("C101", "T-6001", "05-02 08:00", arrives="05-03 12:30")
    assert house.mail(known).state == "duplicate"
    again = [mail() for mail in later]
    assert [house.mail(one).state for one in again] == ["parsed"] * 4
    house.settle()
    assert len(house.far.sent) == sent
    assert {event.state for event in house.events() if event.mail_id in again} == {"waiting"}
    with house.db.read() as connection:
        assert counts.busy(connection, now=house.now) == {"mails": 0, "units": 0}

    house.at("05-03 13:00")
    watched: list[tuple[bool, bool]] = []
    house.far.watch = lambda _unit, _before, after: watched.append((after["pms_lockout"], after["occupied"]))
    resume(house)
    assert len(house.far.sent) > sent
    assert effects(house) == before
    assert {event.state for event in house.events()} <= {"applied", "superseded"}
    assert house.why("B204")["access"]["reason"] == "pms_lockout"
    assert house.why("C101")["access"]["opens"] is True


def test_what_does_not_come_again_is_stated_as_the_store_has_it(house: House, tmp_path: Path) -> None:
    """A unit of which the mails since the backup are lost is brought to what the store wants, under new keys."""
    house.move_in("B204", "T-5001", "05-01 09:30")
    house.overlock("B204", "T-5001", "05-02 08:00")
    backup.backup(house.db, tmp_path / "copy")
    keys = {sent[3] for sent in house.far.sent}
    house.unlock("B204", "T-5001", "05-03 08:00")
    assert effects(house)["MAIN-B204"]["pms_lockout"] is False
    restore(house, tmp_path / "copy")
    sent = len(house.far.sent)
    resume(house)
    assert effects(house)["MAIN-B204"]["pms_lockout"] is True
    assert not keys & {one[3] for one in house.far.sent[sent:]}


@pytest.mark.parametrize("fault", [lost, crash_before])
def test_a_call_that_was_open_is_not_taken_for_its_old_answer(house: House, tmp_path: Path, fault: Any) -> None:
    """A call that was open in the backup is given up: its key may have been answered since, and later calls sent."""
    house.far.faults = [fault]
    with contextlib.suppress(BaseException):
        house.move_in("B204", "T-5001", "05-01 09:30")
    backup.backup(house.db, tmp_path / "copy")
    house.now += HOUR
    house.settle()
    house.move_out("B204", "T-5001", "05-01 12:00")
    assert effects(house)["MAIN-B204"]["occupied"] is False
    restore(house, tmp_path / "copy")
    resume(house)
    house.now += HOUR
    house.settle()
    assert effects(house)["MAIN-B204"]["occupied"] is True  # as the store has it: the move-out was lost
    with house.db.read() as connection:
        states = connection.execute(sa.select(calls.c.state)).scalars().all()
    assert "abandoned" in states
    assert "open" not in states


def test_a_store_that_is_not_empty_is_not_replaced(house: House, tmp_path: Path) -> None:
    """Without ``over`` a store that holds something stays as it is; an SQLite file is kept beside the new one."""
    backup.backup(house.db, tmp_path / "empty")
    house.move_in("B204", "T-5001", "05-01 09:30")
    with pytest.raises(BackupError, match=r"not empty \(1 mails.*--over"):
        restore(house, tmp_path / "empty", over=False)
    assert len(house.events()) == 1
    done = restore(house, tmp_path / "empty")
    assert house.events() == []
    if house.db.is_sqlite:
        assert done.aside is not None
        with contextlib.closing(sqlite3.connect(done.aside)) as there:
            assert there.execute("SELECT count(*) FROM mails").fetchone() == (1,)
    with house.db.read() as connection:
        (row,) = connection.execute(sa.select(audit)).all()
    assert (row.actor, row.action, row.subject) == ("greta", "db restore", "empty")


def test_an_empty_store_takes_a_backup(house: House, tmp_path: Path) -> None:
    """A store without mails needs no ``over``; what it then sends waits for a person."""
    mail_id = house.move_in("B204", "T-5001", "05-01 09:30")
    backup.backup(house.db, tmp_path / "copy")
    with house.db.write() as connection:
        for table in reversed(mails.metadata.sorted_tables):
            connection.execute(table.delete())
    restore(house, tmp_path / "copy", over=False)
    assert house.mail(mail_id).state == "parsed"
    with house.db.read() as connection:
        assert connection.execute(sa.select(lanes.c.shown)).scalar_one() != {}
    resume(house)
    assert house.why("B204")["access"]["opens"] is True


def test_nothing_is_restored_under_a_running_process(house: House, tmp_path: Path) -> None:
    """While something works on the store a restore is refused, and leaves it alone."""
    house.move_in("B204", "T-5001", "05-01 09:30")
    backup.backup(house.db, tmp_path / "copy")
    with marked_running(house.db):
        with house.db.read():
            other = Database(house.url)
            with pytest.raises(InUse, match="stop"):
                backup.restore(other, tmp_path / "copy", over=True, actor="greta", now=house.now)
            other.close()
    assert len(house.events()) == 1
    assert len(house.far.sent) == 1


def test_nothing_starts_while_a_store_is_restored(tmp_path: Path) -> None:
    """A process that would begin to work on an SQLite store in the middle of a restore is refused."""
    db = Database(f"sqlite:///{tmp_path / 'store.db'}")
    with alone(db), pytest.raises(InUse, match="start again"), marked_running(db):
        raise AssertionError
    with marked_running(db), marked_running(db):
        pass
    db.close()


@pytest.mark.parametrize("content", [b"", b"not a database at all", b"SQLite format 3\0" + b"\0" * 4000])
def test_what_is_no_backup_is_refused(house: House, tmp_path: Path, content: bytes) -> None:
    """A file that is no whole backup of a store changes nothing."""
    house.move_in("B204", "T-5001", "05-01 09:30")
    (tmp_path / "junk").write_bytes(content)
    with pytest.raises(BackupError):
        restore(house, tmp_path / "junk")
    assert len(house.events()) == 1
    with house.db.read() as connection:
        assert pauses.everything_paused(connection, house.now) is None


def test_a_damaged_store_can_be_replaced(tmp_path: Path) -> None:
    """A store that cannot be read any more is what a restore is for."""
    house = House(f"sqlite:///{tmp_path / 'store.db'}")
    house.move_in("B204", "T-5001", "05-01 09:30")
    backup.backup(house.db, tmp_path / "copy")
    house.close()
    (tmp_path / "store.db").write_bytes(b"\0" * 8192)
    db = Database(house.url)
    backup.restore(db, tmp_path / "copy", over=True, actor="greta", now=moment("05-02 08:00"))
    db.close()
    house.open()
    assert len(house.events()) == 1
    house.close()


@pytest.mark.service
def test_without_its_programs_postgresql_says_what_to_run(
    postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pg_dump is missing the one line to run is told, without a password."""
    db = Database(postgres_server.database(f"programs_{os.getpid()}"))
    db.url = db.url.set(password="swordfish")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match=r"pg_dump is not installed here; run .*: pg_dump .*--file=.*copy ") as caught:
        backup.backup(db, tmp_path / "copy")
    assert "swordfish" not in str(caught.value)
    assert not (tmp_path / "copy").exists()
    db.close()


def test_a_backup_is_whole_and_nobody_else_s(house: House, tmp_path: Path) -> None:
    """A backup is a file for its owner only, and never written over another."""
    house.move_in("B204", "T-5001", "05-01 09:30")
    backup.backup(house.db, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupError, match="is there already"):
        backup.backup(house.db, tmp_path / "copy")
    beside = [path.name for path in tmp_path.iterdir() if path.name.startswith((".copy", "copy-"))]
    assert beside == []


def test_the_command_line_backs_up_while_it_runs_and_restores_when_it_does_not(tmp_path: Path) -> None:
    """`db backup` copies under a running `up`; `db restore` refuses until it has ended; `doctor` and `/readyz` then say
    that nothing is sent, until it is resumed.
    """
    target = tmp_path / "copy"
    with Gatepost(tmp_path / "up") as up:
        up.send(demo_mail("01"))
        up.settle()
        assert up.cli("db", "backup", str(target))["size_bytes"] > 10_000
        config = ("--config", str(up.config))
        again = (*config, "db", "restore", str(target), "--over", "--go")
        refused = run(*again, cwd=tmp_path)
        assert refused.returncode == 1
        assert b"`gatepost up` runs on this store: stop it first" in refused.stderr
        up.send(demo_mail("03"))
        up.settle()
        assert up.unit("SITELINK-B204")["pms_lockout"] is True
        assert up.terminate() == 0
        assert b"would restore" in run(*again[:-1], cwd=tmp_path).stdout
        done = run(*again, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert b"gatepost resume everything restored --go" in done.stdout
        up.start()
        ready = up.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert "gatepost resume everything restored --go" in ready.json()["sending"]
        doctor = run(*config, "doctor", cwd=tmp_path)
        assert doctor.returncode == 1
        assert b"nothing is sent since" in doctor.stdout
        up.send(demo_mail("03"))
        up.settle()
        assert up.unit("SITELINK-B204")["pms_lockout"] is False
        assert up.cli("resume", "everything", "restored", "--go")["done"] is True
        up.settle()
        assert up.unit("SITELINK-B204")["pms_lockout"] is True
        assert up.get("/readyz").json()["ready"] is True
