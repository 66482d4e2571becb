"""Ingest: a mail is read once and stored once; what is wrong with it holds it where a person sees it."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from parsers import load_rules
from tests.rigs.gatepost import ROOT, demo_mail
from worker.edits import release_events
from worker.ingest import Ingest, content_digest
from worker.settings import Mailbox, PackUse, Trust
from worker.store.database import Database
from worker.store.keep import Keeper, KeptMail
from worker.store.pauses import pause, resume
from worker.store.tables import events, lanes, mails

RULES = load_rules([ROOT / "rules"])
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
BOX = Mailbox(
    address="main@in.test",
    location="SITELINK",
    company="acme",
    pms=(PackUse(name="sitelink"),),
    trust=(Trust(network="127.0.0.0/8"),),
)


class Reader:
    """An ingest on a database, with a mailbox that the test may change."""

    def __init__(self, database: Database) -> None:
        self.db = database
        self.box = BOX
        self.now = NOW
        self.rules = RULES
        self.keeper = Keeper(
            database, batch_mails=10, batch_bytes=1 << 20, clock=lambda: self.now, on_kept=lambda _ids: None
        )
        self.ingest = Ingest(
            database,
            mailboxes=lambda: {self.box.address: self.box},
            rules=lambda: self.rules,
            clock=lambda: self.now,
            clock_skew_s=900,
        )

    def keep(self, raw: bytes, to: str = "main@in.test", peer: str = "127.0.0.1") -> str:
        """Keep a mail as the receiver does."""
        return self.keeper.submit(KeptMail(body=raw, recipients=((to, to),), evidence={"peer": peer})).result()

    def read(self, raw: bytes, **kept) -> tuple[str, str | None]:
        """Keep and read a mail; return its state and reason."""
        mail_id = self.keep(raw, **kept)
        self.ingest.ingest([mail_id])
        return self.state(mail_id)

    def state(self, mail_id: str) -> tuple[str, str | None]:
        """Return state and reason of a mail."""
        with self.db.read() as connection:
            row = connection.execute(sa.select(mails).where(mails.c.id == mail_id)).one()
        return row.state, row.reason

    def events(self) -> list:
        """Return all events."""
        with self.db.read() as connection:
            return list(connection.execute(sa.select(events).order_by(events.c.id)))


@pytest.fixture
def reader(database: Database) -> Iterator[Reader]:
    """An ingest on SQLite, then on PostgreSQL."""
    made = Reader(database)
    yield made
    made.keeper.stop()


def test_a_mail_is_stored_once_however_often_it_is_rung_for(reader: Reader) -> None:
    """Ringing twice, or side by side, makes one set of events."""
    mail_id = reader.keep(demo_mail("01"))
    for _ in range(3):
        reader.ingest.ingest([mail_id, mail_id])
    assert reader.state(mail_id) == ("parsed", None)
    assert len(reader.events()) == 2


def test_a_batch_with_the_same_mail_twice(reader: Reader) -> None:
    """Of two equal mails in one batch one is parsed, the other a duplicate."""
    ids = [reader.keep(demo_mail("01")), reader.keep(demo_mail("01"))]
    reader.ingest.ingest(ids)
    assert sorted(reader.state(mail_id)[0] for mail_id in ids) == ["duplicate", "parsed"]
    assert len(reader.events()) == 2


def test_another_path_is_the_same_mail(reader: Reader) -> None:
    """A copy that came by another path, with other trace fields and Message-ID, is a duplicate; nothing is due."""
    reader.read(demo_mail("01"))
    with reader.db.write() as connection:
        connection.execute(lanes.update().values(due_at=None))
    raw = demo_mail("01").replace(b"Message-ID: <", b"Message-ID: <again-")
    assert reader.read(b"Received: from a by b; Mon, 4 May 2026 10:00:00 +0000\r\n" + raw) == ("duplicate", None)
    with reader.db.read() as connection:
        assert connection.execute(sa.select(lanes.c.due_at)).scalar_one() is None


def test_a_later_copy_with_an_earlier_date_moves_the_event(reader: Reader) -> None:
    """The earliest telling of an event sets its moment, whichever comes first."""
    later = demo_mail("01").replace(b"Date: Fri, 01 May 2026 09", b"Date: Fri, 01 May 2026 11")
    assert later != demo_mail("01")
    reader.read(later)
    before = reader.events()[0].effective_at
    assert reader.read(demo_mail("01"))[0] == "duplicate"
    assert reader.events()[0].effective_at == before - dt.timedelta(hours=2)


def test_an_untrusted_peer_never_acts(reader: Reader) -> None:
    """The same bytes from a peer that nothing proves are held, and no event is stored."""
    assert reader.read(demo_mail("01"), peer="192.0.2.9") == ("held", "untrusted")
    assert reader.events() == []


def test_a_forged_repeat_is_held_and_not_a_duplicate(reader: Reader) -> None:
    """Bytes that were read once are held all the same when nothing proves who sent them now."""
    reader.read(demo_mail("01"))
    assert reader.read(demo_mail("01"), peer="192.0.2.9") == ("held", "untrusted")


def test_a_kind_that_is_not_allowed_is_held(reader: Reader) -> None:
    """A proof that is good for patches only does not carry a move-in."""
    reader.box = BOX.model_copy(update={"trust": (Trust(network="127.0.0.0/8", allow=("patch",)),)})
    assert reader.read(demo_mail("01")) == ("held", "untrusted")
    assert reader.read(demo_mail("03")) == ("parsed", None)


def test_the_future_is_held(reader: Reader) -> None:
    """A mail whose Date lies ahead is held `clock`, whatever tenancy date it states."""
    ahead = demo_mail("01").replace(b"01 May 2026", b"01 May 2030").replace(b"Fri,", b"Wed,")
    assert reader.read(ahead.replace(b"05/01/2026", b"05/01/2030")) == ("parsed", None)
    assert {(event.state, event.reason) for event in reader.events()} == {("held", "clock")}


def test_a_tenancy_of_the_future_is_not_held(reader: Reader) -> None:
    """A mail of today that states a move-in for a later day waits for it, and is not held."""
    reader.read(demo_mail("01").replace(b"05/01/2026", b"07/15/2026"))
    assert [event.state for event in reader.events()] == ["waiting", "waiting"]


@pytest.mark.parametrize("mode", ["observe", "review"])
def test_a_mode_that_does_not_apply_holds_for_review(reader: Reader, mode: str) -> None:
    """In `observe` and `review` events are held, and nothing is due."""
    reader.box = BOX.model_copy(update={"mode": mode})
    reader.read(demo_mail("01"))
    assert {(event.state, event.reason) for event in reader.events()} == {("held", "review")}
    with reader.db.read() as connection:
        assert connection.execute(sa.select(lanes.c.due_at)).scalar_one() is None
    release_events(reader.db, [reader.events()[0].id], actor="anna", reason="seen", now=NOW)
    with reader.db.read() as connection:
        assert connection.execute(sa.select(lanes.c.due_at)).scalar_one() == NOW


def test_a_sound_copy_lets_an_event_go_that_was_held_for_its_clock(reader: Reader) -> None:
    """A copy with a Date that lies ahead holds the event; the honest one lets it go, with its own moment."""
    ahead = demo_mail("01").replace(b"01 May 2026", b"01 May 2030").replace(b"Fri,", b"Wed,")
    reader.read(ahead)
    assert {event.reason for event in reader.events()} == {"clock"}
    reader.read(demo_mail("01"))
    assert {(event.state, event.effective_at.year) for event in reader.events()} == {("waiting", 2026)}


def test_one_mail_s_trouble_is_no_other_s(reader: Reader) -> None:
    """Headers that a database refuses harm neither their mail nor the others of the batch."""
    bad = demo_mail("01").replace(b"Message-ID: <", b"Message-ID: <7\0")
    ids = [reader.keep(bad), reader.keep(demo_mail("03"))]
    reader.ingest.ingest(ids)
    assert reader.state(ids[1]) == ("parsed", None)
    assert reader.state(ids[0])[0] in ("parsed", "held")


def test_two_subjects_are_held(reader: Reader) -> None:
    """A header that may stand once and stands twice leaves open which one counts: held."""
    assert reader.read(b"Subject: Move Out Notification\r\n" + demo_mail("01")) == ("held", "untrusted")


def test_a_unit_that_no_unit_looks_like_is_held(reader: Reader) -> None:
    """A unit that does not fit the mailbox's pattern is held as unknown."""
    reader.box = BOX.model_copy(update={"unit_pattern": "[0-9]+"})
    reader.read(demo_mail("01"))
    assert {(event.state, event.reason) for event in reader.events()} == {("held", "unknown_unit")}


def test_a_pack_outside_its_dates_is_held(reader: Reader) -> None:
    """A mail of a pack that the mailbox reads at other dates is held `pack_not_current`; both ends belong to it."""
    for until, state in (("2026-04-30", "held"), ("2026-05-01", "parsed")):
        reader.box = BOX.model_copy(update={"pms": (PackUse(name="sitelink", until=dt.date.fromisoformat(until)),)})
        assert reader.read(demo_mail("01"))[0] == state


def test_mail_for_the_postmaster_is_held(reader: Reader) -> None:
    """Mail for the postmaster is kept where a person sees it."""
    assert reader.read(b"Subject: hello\r\n\r\nplease call\r\n", to="postmaster") == ("held", "unmatched")


def test_mail_of_a_mailbox_that_is_gone_is_held(reader: Reader) -> None:
    """A mailbox that left the configuration holds its mail; it is not lost."""
    assert reader.read(demo_mail("01"), to="gone@in.test") == ("held", "unmatched")


def test_a_paused_rule_leaves_its_mail_new(reader: Reader) -> None:
    """A mail of a paused rule stays new and due later, and is read after the pause."""
    with reader.db.write() as connection:
        pause(connection, "rule", "sitelink/move-in", reason="", actor="test", now=NOW)
    mail_id = reader.keep(demo_mail("01"))
    reader.ingest.ingest([mail_id])
    assert reader.state(mail_id) == ("new", None)
    with reader.db.write() as connection:
        resume(connection, "rule", "sitelink/move-in")
    reader.ingest.ingest([mail_id])
    assert reader.state(mail_id) == ("parsed", None)


def test_a_fault_of_ours_is_tried_again_and_then_held(reader: Reader) -> None:
    """An error that nobody expected leaves the mail new a few times, then holds it, and never stops the others."""

    class Broken:
        id = "0"

        def packs_for(self, *_args, **_more):
            raise ZeroDivisionError

    reader.rules = Broken()
    mail_id = reader.keep(demo_mail("01"))
    for _ in range(4):
        reader.ingest.ingest([mail_id])
        assert reader.state(mail_id) == ("new", None)
    reader.ingest.ingest([mail_id])
    assert reader.state(mail_id) == ("held", "unreadable")
    reader.rules = RULES
    assert reader.read(demo_mail("03")) == ("parsed", None)


def test_the_digest_begins_below_the_trace_fields() -> None:
    """Trace fields on top do not count; the same names further down do."""
    body = b"From: a@b.test\r\nSubject: x\r\n\r\ntext\r\n"
    assert content_digest(b"Received: by x;\r\n\tnow\r\nReturn-Path: <a>\r\n" + body) == content_digest(body)
    assert content_digest(body + b"Received: by x\r\n") != content_digest(body)


def test_rules_are_found(tmp_path: Path) -> None:
    """The rules that these tests read by are the shipped ones."""
    assert set(RULES.packs) >= {"sitelink", "pmsevent"}
