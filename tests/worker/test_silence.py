"""A mailbox that falls silent opens one issue and tells one webhook, and resolves itself when mail comes again."""

import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa

from tests.rigs.hooked import Hooked
from worker.mending import set_issue
from worker.runtime import Runtime
from worker.settings import Mailbox, Settings
from worker.silence import GRACE, LOOK_EVERY, Silence
from worker.store.tables import bodies, hook_deliveries, issues, mails

HOUR = 3600.0
DAY = 24 * HOUR


class Watched:
    """A store with mailboxes that are watched."""

    def __init__(self, hooked: Hooked) -> None:
        self.hooked = hooked
        self.clock = hooked.clock
        self.troubles: list[dict[str, Any]] = []
        self.boxes = [box("main@in.test", "3d"), box("oak@in.test", None)]
        self.silence = self.begin()
        self._number = 0

    def begin(self) -> Silence:
        """Watch, as a process does that has just started."""
        return Silence(
            self.hooked.db,
            mailboxes=lambda: {one.address: one for one in self.boxes},
            clock=self.clock,
            on_told=self.hooked.hooks.tell,
            on_trouble=lambda **fields: self.troubles.append(fields),
        )

    def receive(self, address: str = "main@in.test", *, ago_s: float = 0.0) -> None:
        """Have a mail kept."""
        self._number += 1
        name, at = f"m{self._number}", self.clock.now - dt.timedelta(seconds=ago_s)
        with self.hooked.db.write() as connection:
            connection.execute(bodies.insert().values(id=name, size_bytes=0, sha256="", received_at=at))
            row = {"mailbox": address, "received_at": at, "evidence": {}, "state": "held", "tries": 0}
            connection.execute(mails.insert().values(id=name, body_id=name, **row))

    def look(self, after_s: float = LOOK_EVERY.total_seconds()) -> list[tuple[str, str, int]]:
        """Let time pass, and look; return mailbox, state and count of the issues."""
        self.clock.advance(after_s)
        self.silence.look()
        with self.hooked.db.read() as connection:
            rows = connection.execute(sa.select(issues).order_by(issues.c.id)).all()
        assert {row.kind for row in rows} <= {"mailbox_silent"}
        return [(row.subject["mailbox"], row.state, row._mapping["count"]) for row in rows]

    def told(self) -> list[str]:
        """Return what was told to the webhook."""
        with self.hooked.db.read() as connection:
            rows = connection.execute(sa.select(hook_deliveries.c.event).order_by(hook_deliveries.c.event))
            return list(rows.scalars())


def box(address: str, silent_after: str | None) -> Mailbox:
    """Return a mailbox."""
    return Mailbox(address=address, location=address.partition("@")[0].upper(), silent_after=silent_after)


@pytest.fixture
def watched(hooked: Hooked) -> Watched:
    """Two mailboxes of which one is watched, on SQLite and on PostgreSQL."""
    return Watched(hooked)


def test_a_silence_is_told_once_and_ends_with_the_next_mail(watched: Watched) -> None:
    """After so long without a mail there is one issue and one webhook, however often it is looked; mail resolves it."""
    watched.receive()
    assert watched.look() == []
    assert watched.look(3 * DAY - HOUR) == []
    assert watched.look(HOUR) == [("main@in.test", "open", 1)]
    for _ in range(3):
        assert watched.look() == [("main@in.test", "open", 1)]
    assert watched.told() == ["issue.opened", "mailbox.silent"]
    assert [one["event"] for one in watched.troubles] == ["issue_opened"]
    watched.receive()
    assert watched.look() == [("main@in.test", "resolved", 1)]
    assert len(watched.told()) == 2
    assert watched.look(3 * DAY) == [("main@in.test", "open", 2)]
    assert watched.told() == ["issue.opened", "issue.opened", "mailbox.silent", "mailbox.silent"]


def test_the_webhook_names_the_mailbox(watched: Watched) -> None:
    """What is told names the mailbox, and nothing of a mail."""
    watched.receive(ago_s=9 * DAY)
    watched.look()
    watched.look(HOUR)
    assert watched.hooked.deliver.deliver("one") == 2
    told = {one["event"]: one["data"] for one in watched.hooked.one.told()}
    assert told["mailbox.silent"] == {"mailbox": "main@in.test"}
    assert told["issue.opened"]["subject"] == {"mailbox": "main@in.test"}


def test_only_watched_mailboxes_are_looked_at(watched: Watched) -> None:
    """Without ``silent_after`` a mailbox may be silent for ever; mail of another mailbox is no sign of life."""
    watched.receive(ago_s=DAY)
    watched.look()
    watched.receive("oak@in.test")
    assert watched.look(4 * DAY) == [("main@in.test", "open", 1)]
    watched.boxes = [box("main@in.test", None), box("oak@in.test", None)]
    assert watched.look() == [("main@in.test", "resolved", 1)]
    assert watched.look(9 * DAY) == [("main@in.test", "resolved", 1)]


def test_a_mailbox_that_never_had_mail_counts_from_when_it_is_watched(watched: Watched) -> None:
    """A new mailbox is given its whole time; then its issue says that nothing ever came."""
    assert watched.look() == []
    assert watched.look(3 * DAY) == []
    assert watched.look() == [("main@in.test", "open", 1)]
    with watched.hooked.db.read() as connection:
        assert "none has ever come" in connection.execute(sa.select(issues.c.detail)).scalar_one()
    watched.silence = watched.begin()
    assert watched.look() == [("main@in.test", "open", 1)], "a restart is no mail"
    watched.receive()
    assert watched.look() == [("main@in.test", "resolved", 1)]


def test_after_a_start_what_waited_elsewhere_comes_first(watched: Watched) -> None:
    """While we were away nothing could come: for a while after a start nobody is called silent."""
    watched.receive(ago_s=9 * DAY)
    assert watched.look() == []
    assert watched.look(GRACE.total_seconds() - 120) == []
    assert watched.look(120) == [("main@in.test", "open", 1)]
    assert watched.told() == ["issue.opened", "mailbox.silent"]
    watched.silence = watched.begin()
    assert watched.look() == watched.look(GRACE.total_seconds()) == [("main@in.test", "open", 1)]
    assert len(watched.told()) == 2, "another process says it no second time"


def test_what_a_person_said_of_a_silence_holds(watched: Watched) -> None:
    """A resolved silence is not said again before mail has come and stopped once more; an ignored mailbox never is."""
    watched.receive()
    watched.look()
    assert watched.look(4 * DAY) == [("main@in.test", "open", 1)]
    for state in ("resolved", "ignored"):
        set_issue(watched.hooked.db, 1, state, actor="anna", reason="closed for winter", now=watched.clock.now)
        assert [one[1] for one in watched.look(DAY)] == [state]
        watched.receive()
        assert [one[1] for one in watched.look()] == [state]
        assert [one[1] for one in watched.look(4 * DAY)] == [{"resolved": "open"}.get(state, state)]
    assert watched.told().count("mailbox.silent") == 2


def test_two_sweepers_tell_once(watched: Watched) -> None:
    """Of two processes that look, one after the other, the first opens the issue, and the second sees it."""
    other = watched.begin()
    watched.receive()
    watched.look()
    other.look()
    watched.clock.advance(4 * DAY)
    other.look()
    assert watched.look(0) == [("main@in.test", "open", 1)]
    assert watched.told() == ["issue.opened", "mailbox.silent"]


def test_the_sweep_looks(watched: Watched) -> None:
    """The sweeper of a process does it, by its settings."""
    url = watched.hooked.db.engine.url.render_as_string(hide_password=False)
    main = {"address": "main@in.test", "location": "MAIN", "silent_after": "3d"}
    runtime = Runtime(Settings.model_validate({"store": {"url": url}, "mailbox": [main]}), clock=watched.clock)
    watched.receive()
    runtime.sweep()
    watched.clock.advance(4 * DAY)
    runtime.sweep()
    runtime.close()
    with watched.hooked.db.read() as connection:
        assert connection.execute(sa.select(issues.c.kind)).scalars().all() == ["mailbox_silent"]


@pytest.mark.parametrize("text", ["3", "0d", "3w", "-3d", ""])
def test_a_span_is_a_number_and_a_unit(text: str) -> None:
    """What is no length of time is refused with the configuration."""
    with pytest.raises(ValueError, match="silent_after"):
        Settings.model_validate({"mailbox": [{"address": "a@b.test", "location": "A", "silent_after": text}]})
