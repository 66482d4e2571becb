"""Erase: nothing of a resident stays in any table, and nothing else changes."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from parsers.events import Kind
from tests.rigs.house import House, letter
from tests.rigs.lane import answer, lost
from worker import actions, edits, erase, undo, views
from worker.actions import CannotDo
from worker.calls import Outcome
from worker.destinations.local import LocalDestination
from worker.erase import Whose
from worker.store.tables import calls, events, issues, lanes, mails, metadata, pauses, readings, reconciles
from worker.units.store import LocalUnits
from worker.units.tables import local_units
from worker.views import NotThere

NAME, PHONE, EMAIL = "Waltraud Zyskowski", "+1 312 555 0142", "waltraud.z@resident.test"
TENANT, LEDGER = "T-90017", "L-55321"
BROTHER = "Ottokar Zyska"
PLANTED = (NAME, PHONE, EMAIL, TENANT, LEDGER, BROTHER)
BOXES = {"main@in.test": "acme"}


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """A house on SQLite, then on PostgreSQL."""
    made = House(database_url)
    yield made
    made.close()


def local(house: House) -> LocalDestination:
    """Return the local units of a house's own store as its destination."""
    units = LocalUnits(house.db, clock=lambda: house.now)
    units.ensure_location("MAIN", timezone="America/Chicago")
    return LocalDestination(name="kiss", units=units, clock=lambda: house.now, window=1)


def where_planted(house: House, *words: str) -> list[str]:
    """Return each column of each table that still holds one of the words, in text or in bytes."""
    found: list[str] = []
    with house.db.read() as connection:
        for table in metadata.sorted_tables:
            columns = [column.name for column in table.columns]
            raw = connection.execute(
                sa.text(f"SELECT {', '.join(chr(34) + name + chr(34) for name in columns)} FROM {table.name}")
            )
            for row in raw:
                for name, value in zip(columns, row, strict=True):
                    text = (
                        bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else str(value)
                    )
                    found += [f"{table.name}.{name}: {word}" for word in words if word.lower() in text.lower()]
    return sorted(set(found))


def live_there(house: House, unit: str = "B204", *, leaves: bool = True) -> dict[str, str]:
    """Let the planted resident live in a unit; return the mails by their names."""
    kept: dict[str, str] = {}
    who: dict[str, Any] = {"name": f"{NAME}, {PHONE}, {EMAIL}"}
    kept["before"] = house.move_in(unit, "T-111", "04-01 09:30", ledger="L-111", name="Somebody Else")
    kept["first out"] = house.move_out(unit, "T-111", "04-20 09:30", name="Somebody Else")
    kept["in"] = house.move_in(unit, TENANT, "05-01 09:30", ledger=LEDGER, **who)
    house.far.faults = [answer(Outcome.FAILED, 500, body=f"{NAME} is unknown".encode())]
    kept["lock"] = house.overlock(unit, TENANT, "05-04 08:00", **who)
    kept["again"] = house.overlock(unit, TENANT, "05-04 08:00", arrives="05-04 09:00", **who)
    kept["nsf"] = house.nsf(unit, TENANT, "05-05 08:00", balance="$12.00", **who)
    kept["held"] = house.send(letter("Something Else", "05-05 09:00", lines={"Tenant ID": TENANT}, **who))
    kept["ignored"] = house.send(letter("Reservation for you", "05-05 09:00", lines={"E-mail": EMAIL}, **who))
    kept["unlock"] = house.unlock(unit, TENANT, "05-06 08:00", **who)
    if leaves:
        kept["out"] = house.move_out(unit, TENANT, "05-20 09:30", **who)
        kept["after"] = house.move_in(unit, "T-222", "05-25 09:30", ledger="L-222", name="Third Person")
    return kept


def say_much(house: House, kept: dict[str, str]) -> None:
    """Let people write the resident's name wherever they may."""
    said = f"{BROTHER} called from {PHONE}"
    released = house.event(kept["lock"]).id
    undo.undo(house.db, f"id:{released}", manners=house.manners, actor="anna", reason=said, now=house.now)
    house.settle()
    actions.discard_mail(house.db, kept["held"], actor="anna", reason=said, now=house.now)
    edits.add_event(house.db, "B204", ["pms_auction=false"], actor="dora", reason=said, now=house.now)
    house.settle()
    with house.db.write() as connection:
        connection.execute(
            issues.insert().values(
                key="k",
                kind="rejected",
                state="open",
                title=f"no such tenant {TENANT}",
                detail=NAME,
                subject={"unit": "MAIN-B204"},
                count=1,
                first_at=house.now,
                last_at=house.now,
                note=said,
            )
        )
        connection.execute(
            reconciles.insert().values(
                mailbox="main@in.test",
                source="roll.csv",
                at=house.now,
                actor="anna",
                report={"differences": [{"unit": "B204", "tenant": TENANT, "ledger": LEDGER}]},
            )
        )
        connection.execute(
            pauses.insert().values(kind="rule", name="x/y", reason=f"wrong for {TENANT}", actor="anna", since=house.now)
        )


def run(house: House, **whose: Any) -> dict[str, Any]:
    """Erase."""
    found = Whose(**{"texts": (NAME, PHONE, EMAIL), **whose})
    return erase.erase(house.db, found, mailboxes=BOXES, actor="greta", reason="ticket 17", now=house.now)


@pytest.mark.parametrize("whose", [{"tenant": TENANT}, {"unit": "MAIN-B204"}])
def test_nothing_of_a_resident_stays(house: House, whose: dict[str, str]) -> None:
    """After an erase no table holds a name, phone, e-mail, tenant or ledger id of the resident, in text or in bytes."""
    kept = live_there(house)
    say_much(house, kept)
    assert len(where_planted(house, *PLANTED)) > 20
    run(house, **whose)
    assert where_planted(house, *PLANTED) == []


def test_the_file_holds_nothing_of_it(tmp_path: Path) -> None:
    """On SQLite what was erased is overwritten in the file and its journal, not only taken out of the tables."""
    house = House(f"sqlite:///{tmp_path / 'store.db'}")
    kept = live_there(house)
    say_much(house, kept)
    run(house, tenant=TENANT)
    house.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    assert b"Somebody Else" in content
    assert [word for word in PLANTED if word.encode() in content] == []


def test_others_keep_what_is_theirs(house: House) -> None:
    """Who had the unit before and after keeps every mail, reading and id; the facts of the erased stay as they were."""
    kept = live_there(house)
    before = {event.id: event for event in house.events()}
    run(house, tenant=TENANT)
    for name in ("before", "first out", "after"):
        assert house.mail(kept[name]).purged_at is None
        assert house.why("B204", "2026-05-25")["facts"]
    assert where_planted(house, "T-111", "T-222", "Third Person")
    for event in house.events():
        own = event.mail_id in (kept["before"], kept["first out"], kept["after"])
        assert (event.body == before[event.id].body) == (
            own or event.kind == Kind.MOVE_OUT or not _names(before[event.id])
        )
        assert (event.identity, event.fingerprint) == (before[event.id].identity, before[event.id].fingerprint)
        assert event.body.get("balance_due") == before[event.id].body.get("balance_due")


def _names(event: Any) -> bool:
    return any(event.body.get(name) for name in ("pms_tenant_id", "ledger_id", "pms_status_raw"))


def test_a_tenant_who_is_there_stays_locked_or_let_in(house: House) -> None:
    """Of a unit that is let the access stays, can be explained by ids, and nothing is sent; later mails go on."""
    kept = live_there(house, leaves=False)
    house.overlock("B204", TENANT, "05-10 08:00")
    sent, before = len(house.far.sent), house.why("B204")
    run(house, unit="B204")
    with house.db.write() as connection:
        connection.execute(lanes.update().values(due_at=house.now))
    house.settle()
    assert len(house.far.sent) == sent
    after = house.why("B204")
    assert after["access"] == before["access"]
    assert after["access"]["reason"] == "pms_lockout"
    for then, now in zip(before["facts"], after["facts"], strict=True):
        same = ("event", "mail", "rule", "rule_set", "proof")
        assert [now["from"][name] for name in same] == [then["from"][name] for name in same]
        assert now["from"]["call"]["key"] == then["from"]["call"]["key"]
        assert [line["line"] for line in now["from"]["lines"]] == [line["line"] for line in then["from"]["lines"]]
        assert now["confirmed"]
    assert house.why("B204", "2026-05-05")["access"]["reason"] == "pms_lockout"
    mended = house.unlock("B204", TENANT, "05-11 08:00")
    assert house.event(mended).state == "applied"  # nobody knows whose it is: no other tenant's
    assert house.why("B204")["access"]["opens"] is True
    assert kept


def test_a_mail_that_comes_again_is_known(house: House) -> None:
    """A copy of an erased mail is a duplicate, its events are known, and nothing is sent for it."""
    kept = live_there(house)
    run(house, tenant=TENANT)
    sent, many = len(house.far.sent), len(house.events())
    copy = house.overlock("B204", TENANT, "05-04 08:00", arrives="05-28 08:00", name=f"{NAME}, {PHONE}, {EMAIL}")
    other = house.overlock("B204", TENANT, "05-04 08:00", arrives="05-28 09:00", name="in other words")
    told = {"name": f"{NAME}, {PHONE}, {EMAIL}", "lines": {"E-mail": EMAIL}}
    ignored = house.send(letter("Reservation for you", "05-05 09:00", **told))
    assert [house.mail(one).state for one in (copy, other, ignored)] == ["duplicate"] * 3
    assert (len(house.far.sent), len(house.events())) == (sent, many)
    assert kept


def test_the_local_units_forget_too(database_url: str) -> None:
    """The unit that Gatepost keeps itself loses the ids, keeps occupancy and facts, and is not written again."""
    house = House(database_url, destination=local)
    live_there(house, leaves=False)
    house.overlock("B204", TENANT, "05-10 08:00")

    def unit() -> Any:
        with house.db.read() as connection:
            return connection.execute(sa.select(local_units)).one()

    before = unit()
    assert (before.pms_tenant_id, before.ledger_id) == (TENANT, LEDGER)
    run(house, tenant=TENANT)
    after = unit()
    assert where_planted(house, *PLANTED) == []
    assert (after.occupied, after.pms_lockout, after.balance_due_cents) == (True, True, 1200)
    with house.db.read() as connection:
        shown = connection.execute(sa.select(lanes.c.shown)).scalar_one()
    assert (shown["pms_tenant_id"], shown["ledger_id"]) == (after.pms_tenant_id, after.ledger_id)
    assert after.pms_tenant_id.startswith("erased-")
    assert after.pms_tenant_id != after.ledger_id
    house.close()


def test_nothing_under_way_is_erased(house: House) -> None:
    """While an event waits or its outcome is unknown the erase is refused and says which; nothing is changed."""
    live_there(house, leaves=False)
    house.far.faults = [lost]
    open_one = house.overlock("B204", TENANT, "05-10 08:00")
    event_id = house.event(open_one).id
    with pytest.raises(CannotDo, match=rf"event {event_id} of MAIN-B204 is uncertain.*call \d+ of MAIN-B204 is open"):
        run(house, tenant=TENANT)
    assert house.mail(open_one).purged_at is None
    assert TENANT in str(house.event(open_one).expect)
    house.now += dt.timedelta(minutes=10)
    house.settle()
    run(house, tenant=TENANT)
    assert house.mail(open_one).purged_at == house.now


def test_a_future_move_out_stands_in_the_way(house: House) -> None:
    """An event that waits for its day is under way, too."""
    house.move_in("B204", TENANT, "05-01 09:30")
    house.at("05-02 09:00")
    house.send(
        letter(
            "Move Out Notification",
            "05-02 09:00",
            lines={"Tenant ID": TENANT, "Unit": "B204", "Move-Out Date": "05/30/2026"},
        )
    )
    with pytest.raises(CannotDo, match="is waiting"):
        run(house, tenant=TENANT)


def test_a_plan_changes_nothing(house: House) -> None:
    """Without go the mails and events are named, and those that were found by their words; all stays."""
    kept = live_there(house)
    before = where_planted(house, *PLANTED)
    found = erase.plan(house.db, Whose(tenant=TENANT), mailboxes=BOXES, now=house.now)
    names = {mail_id: name for name, mail_id in kept.items()}
    assert {names[mail.id] for mail in found.mails} == {"in", "lock", "again", "nsf", "held", "unlock", "out"}
    assert found.by_text == [kept["held"]]
    more = erase.plan(house.db, Whose(tenant=TENANT, texts=(EMAIL,)), mailboxes=BOXES, now=house.now)
    assert kept["ignored"] in more.by_text
    assert where_planted(house, *PLANTED) == before


def test_the_audit_row_names_nobody(house: House) -> None:
    """The row says who erased how much and why, and the mark that stands instead; not whom."""
    live_there(house)
    reason = f"{NAME} asked, {TENANT}"
    done = erase.erase(
        house.db, Whose(tenant=TENANT, texts=(NAME,)), mailboxes=BOXES, actor="greta", reason=reason, now=house.now
    )
    (row,) = views.list_audit(house.db, "action:erase")
    assert (row["actor"], row["subject"]) == ("greta", "tenant " + ", ".join(done["marks"]))
    assert row["detail"].endswith(": erased asked, erased")
    assert "7 mails" in row["detail"] or "8 mails" in row["detail"]
    assert where_planted(house, TENANT, NAME) == []


def test_an_erased_mail_says_so(house: House) -> None:
    """The raw mail is gone and says that it was erased; one that was held is discarded."""
    kept = live_there(house)
    run(house, tenant=TENANT)
    with pytest.raises(NotThere, match="it was erased"):
        views.raw_mail(house.db, kept["in"])
    assert house.mail(kept["held"]).state == "discarded"
    with house.db.read() as connection:
        keys = connection.execute(sa.select(calls.c.key).where(calls.c.state == "done")).scalars().all()
    assert keys
    assert set(keys) <= set(house.far.kiss.answers)


def test_it_must_be_clear_who_is_meant(house: House) -> None:
    """Nobody of that name, or one of two companies, is refused with what to do."""
    house.move_in("B204", TENANT, "05-01 09:30")
    house.box = house.box.model_copy(update={"company": "other", "location": "SIDE"})
    house.move_in("B204", TENANT, "05-02 09:30")
    with pytest.raises(NotThere, match="nothing is kept of such a tenant"):
        run(house, tenant="T-1")
    with pytest.raises(CannotDo, match=r"several companies have that: acme, other; name one with --company"):
        run(house, tenant=TENANT)
    run(house, tenant=TENANT, company="other", texts=())
    with house.db.read() as connection:
        kept = connection.execute(sa.select(events.c.company).where(events.c.tenant_id == TENANT)).scalars().all()
        gone = connection.execute(sa.select(mails.c.purged_at)).scalars().all()
        assert len(connection.execute(sa.select(readings)).all()) == 2
    assert kept == ["acme"]
    assert sorted(at is None for at in gone) == [False, True]
