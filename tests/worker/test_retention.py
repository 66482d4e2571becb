"""Retention: each class goes when its days are over, and nothing that somebody still has to act on."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.rigs.house import BOX, House, letter
from tests.rigs.lane import answer, lost
from worker import actions, retention, views
from worker.calls import Outcome
from worker.runtime import Runtime
from worker.settings import Retention, Settings, Store
from worker.store import counts
from worker.store.tables import attempts, audit, bodies, body_chunks, calls, event_log, mails, readings
from worker.views import NotThere

FOR_EVER = Retention(raw_days=0, discarded_days=0, readings_days=0, records_days=0, audit_days=0)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """A house on SQLite, then on PostgreSQL."""
    made = House(database_url)
    yield made
    made.close()


def keeping(**days: int) -> Retention:
    """Return settings that keep all for ever but what is named."""
    return FOR_EVER.model_copy(update=days)


def later(house: House, days: float) -> None:
    """Let days pass."""
    house.now += dt.timedelta(days=days)


def purge(house: House, **days: int) -> dict[str, int]:
    """Purge; return what went, without the classes of which nothing did."""
    gone = retention.purge(house.db, keeping(**days), actor="gatepost", now=house.now, manners=house.manners)
    return {kind: many for kind, many in gone.items() if many}


def would(house: House, **days: int) -> dict[str, int]:
    """Return what a purge would let go of."""
    found = retention.count(house.db, keeping(**days), now=house.now, manners=house.manners)
    return {kind: many for kind, many in found.items() if many}


def rows(house: House, table: sa.Table) -> list[Any]:
    """Return all rows of a table."""
    with house.db.read() as connection:
        return list(connection.execute(sa.select(table)))


def has_bytes(house: House, mail_id: str) -> bool:
    """Say whether the bytes of a mail are there, and that the mail says so."""
    mail = house.mail(mail_id)
    kept = any(row.body_id == mail.body_id for row in rows(house, body_chunks))
    assert kept == (mail.purged_at is None)
    return kept


def test_bytes_go_when_their_days_are_over(house: House) -> None:
    """The bytes of read mails go after `raw_days`, not before; row, reading and events stay, and the row says when."""
    mail_id = house.move_in("B204", "T-5001", "05-01 09:30")
    twin = house.send(letter_again())
    ignored = house.send(letter("Reservation Confirmation", "05-01 09:40", lines={"Unit": "B204"}))
    assert {house.mail(one).state for one in (mail_id, twin, ignored)} == {"parsed", "duplicate", "ignored"}
    later(house, 89.9)
    assert would(house, raw_days=90) == purge(house, raw_days=90) == {}
    later(house, 0.2)
    assert would(house, raw_days=90) == {"raw": 3}
    assert all(has_bytes(house, one) for one in (mail_id, twin, ignored))
    assert purge(house, raw_days=90) == {"raw": 3}
    assert not any(has_bytes(house, one) for one in (mail_id, twin, ignored))
    assert house.mail(mail_id).purged_at == house.now
    assert len(rows(house, bodies)) == len(rows(house, readings)) == len(rows(house, mails)) == 3
    with house.db.read() as connection:
        assert counts.check(connection) == []
    assert purge(house, raw_days=90) == {}


def letter_again() -> bytes:
    """Return the move-in of B204 once more."""
    lines = {"Tenant ID": "T-5001", "Ledger ID": "L-77001", "Unit": "B204", "Move-In Date": "05/01/2026"}
    return letter("Move In Notification", "05-01 09:30", lines=lines)


def test_a_purged_mail_says_so(house: House) -> None:
    """The bytes of a purged mail are refused with when and why; it cannot be read again, and a replay leaves it out."""
    mail_id = house.move_in("B204", "T-5001", "05-01 09:30")
    later(house, 91)
    purge(house, raw_days=90)
    with pytest.raises(NotThere, match=r"let go at 2026-07-31T.*\[retention\]"):
        views.raw_mail(house.db, mail_id)
    with pytest.raises(actions.CannotDo, match="cannot be read again"):
        actions.retry_mail(house.db, mail_id, actor="anna", now=house.now)
    assert house.replays.find(f"id:{mail_id}", "parse", limit=None) == []
    assert house.send(letter_again())  # it is known for what it is all the same
    assert [mail.state for mail in rows(house, mails)] == ["parsed", "duplicate"]


def test_what_somebody_has_to_act_on_never_goes(house: House) -> None:
    """Mail that is new or held, and mail with an event that waits, is held, uncertain or rejected, keeps everything."""
    held = house.send(letter("Something Else", "05-01 09:00", lines={"Unit": "B204"}))
    new = house.keep(letter("Something Else", "05-01 09:00", lines={"Unit": "B205"}))
    house.move_in("B204", "T-5001", "05-01 09:30")
    house.move_in("B205", "T-5002", "05-01 09:40")
    waiting = house.move_out("B204", "T-5001", "05-01 09:45")
    house.box = BOX.model_copy(update={"mode": "review"})
    reviewed = house.overlock("B205", "T-5002", "05-01 09:50")
    house.box = BOX
    house.far.faults = [answer(Outcome.REJECTED, 422)]
    rejected = house.overlock("B205", "T-5002", "05-01 10:00")
    unknown = house.overlock("B999", "T-5009", "05-01 10:10")
    house.far.faults = [lost]
    uncertain = house.overlock("B205", "T-5002", "05-01 10:20")
    states = {
        one: [event.state for event in house.events() if event.mail_id == one]
        for one in (reviewed, rejected, uncertain, unknown)
    }
    assert states == {reviewed: ["held"], rejected: ["rejected"], uncertain: ["uncertain"], unknown: ["waiting"]}
    later(house, 5000)
    purge(house, raw_days=1, discarded_days=1, readings_days=1, records_days=1)
    kept = (held, new, reviewed, rejected, uncertain, unknown)
    assert all(has_bytes(house, one) for one in kept)
    assert not has_bytes(house, waiting)
    assert {row.mail_id for row in rows(house, readings)} >= {reviewed, rejected, uncertain, unknown}
    logged = {row.event_id for row in rows(house, event_log)}
    assert {event.id for event in house.events() if event.mail_id in (rejected, uncertain)} <= logged
    assert [call.state for call in rows(house, calls) if call.state == "open"] == ["open"]


def test_shared_bytes_go_when_all_may_go(house: House) -> None:
    """A message to two mailboxes loses its bytes only when both of its mails may."""
    raw = letter_again()
    house.at("05-01 09:30")
    first = house.keep(raw, to=("main@in.test", "elsewhere@in.test"))
    house.read_again()
    second = f"{first}-2"
    assert (house.mail(first).state, house.mail(second).state) == ("parsed", "held")
    later(house, 100)
    assert purge(house, raw_days=90) == {}
    assert has_bytes(house, first)
    actions.discard_mail(house.db, second, actor="anna", reason="not ours", now=house.now)
    assert purge(house, raw_days=90) == {"raw": 1}
    assert not has_bytes(house, first)
    assert not has_bytes(house, second)


def test_discarded_mail_goes_by_its_own_days(house: House) -> None:
    """What a person discarded goes `discarded_days` after that, its reading with it, however old the mail is."""
    mail_id = house.send(letter("Something Else", "05-01 09:00", lines={"Unit": "B204"}))
    later(house, 60)
    actions.discard_mail(house.db, mail_id, actor="anna", reason="junk", now=house.now)
    later(house, 29)
    assert purge(house, discarded_days=30, raw_days=1, readings_days=1) == {}
    later(house, 2)
    assert purge(house, discarded_days=30) == {"discarded": 1}
    assert not has_bytes(house, mail_id)
    assert rows(house, readings) == []


def test_a_reading_stays_as_long_as_it_explains_something(house: House) -> None:
    """How a mail was read stays while one of its events stands, and `readings_days` after it stood last."""
    lock = house.move_in("B204", "T-5001", "05-01 09:30") and house.overlock("B204", "T-5001", "05-02 08:00")
    later(house, 500)
    assert purge(house, readings_days=400) == {}
    house.send(letter("Reverse: Overlock: Unit B204", "12-01 09:00", lines={"Tenant ID": "T-5001", "Unit": "B204"}))
    assert house.event(lock).state == "superseded"
    later(house, 399)
    assert purge(house, readings_days=400) == {}
    later(house, 2)
    assert purge(house, readings_days=400)["readings"] >= 1
    assert lock not in {row.mail_id for row in rows(house, readings)}
    assert house.why("B204")["facts"][0]["from"]["lines"]  # the move-in stands, and can be explained


def test_records_go_without_changing_what_the_rest_tells(house: House) -> None:
    """Calls that ended long ago go, but those by which something stands; every later moment is told as before."""
    house.move_in("B204", "T-5001", "05-01 09:30")
    for day in range(2, 8):
        house.overlock("B204", "T-5001", f"05-{day:02} 08:00")
        house.unlock("B204", "T-5001", f"05-{day:02} 18:00")
    later(house, 401)
    moments = [None, "2026-05-08", "2026-06-15"]
    before = [told(house, at) for at in moments]
    assert would(house, records_days=400)["calls"] == 11
    gone = purge(house, records_days=400)
    assert gone["calls"] == 11
    assert [call.verb for call in rows(house, calls)] == ["move_in", "patch"]
    assert {row.call_id for row in rows(house, attempts)} == {call.id for call in rows(house, calls)}
    assert gone["changes"] > 20
    assert rows(house, event_log) == []
    assert [told(house, at) for at in moments] == before
    assert purge(house, records_days=400) == {}


def told(house: House, at: str | None) -> Any:
    """Return what is told of a moment: access, facts and where they come from."""
    found = house.why("B204", at)
    return found["access"], [(fact["fact"], fact["value"], fact["from"]["event"]) for fact in found["facts"]]


def test_each_purge_leaves_one_audit_row(house: House) -> None:
    """A purge that let go of something says how much of what; one that did not says nothing. Old rows go themselves."""
    house.move_in("B204", "T-5001", "05-01 09:30")
    later(house, 100)
    purge(house, raw_days=90, readings_days=90)
    purge(house, raw_days=90, readings_days=90)
    (row,) = rows(house, audit)
    assert (row.actor, row.action, row.subject, row.detail) == ("gatepost", "purge", "retention", "1 raw")
    later(house, 1101)
    assert purge(house, audit_days=1100) == {"audit": 1}
    assert [row.detail for row in rows(house, audit)] == ["1 audit"]


def test_a_purge_goes_in_bounded_batches(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction takes more than a batch, and no go more than its rounds; the rest goes with the next."""
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):
        house.send(letter("Reservation Confirmation", "05-01 09:40", lines={"Unit": f"B{number}"}))
    later(house, 100)
    first = retention.purge(house.db, keeping(raw_days=90), actor="gatepost", now=house.now, rounds=2)
    assert first["raw"] == 4
    assert purge(house, raw_days=90) == {"raw": 1}


def test_the_sweeper_purges_once_an_hour(tmp_path: Path) -> None:
    """The sweeper lets go of what is past its time, and looks again an hour later."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    house = House(url)
    mail_id = house.move_in("B204", "T-5001", "05-01 09:30")
    settings = Settings(store=Store(url=url), mailbox=(BOX.model_copy(update={"destination": "local"}),))
    runtime = Runtime(settings, clock=lambda: house.now)
    runtime.sweep()
    later(house, 91)
    runtime.sweep()
    assert house.mail(mail_id).purged_at == house.now
    other = house.move_in("B205", "T-5002", "05-01 09:30")
    house.now = house.mail(mail_id).purged_at + dt.timedelta(minutes=30)
    with house.db.write() as connection:
        connection.execute(
            mails.update().where(mails.c.id == other).values(parsed_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        )
    runtime.sweep()
    assert house.mail(other).purged_at is None
    house.now += dt.timedelta(minutes=31)
    runtime.sweep()
    assert house.mail(other).purged_at == house.now
    runtime.close()
    house.close()
