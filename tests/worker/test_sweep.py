"""The sweeper: what is due is rung for, what is lost is rung for again, and nobody is rung for over and over."""

import datetime as dt
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.rigs.lane import KEY, Rig
from worker.store.pauses import pause
from worker.store.tables import bodies, mails
from worker.sweep import Sweep


class Bell:
    """A queue whose length and health the test sets."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.lanes: list[tuple[str, str]] = []
        self.length: int | None = 0
        self.takes = True

    def ring_mails(self, ids) -> bool:
        """Take ids, or refuse them."""
        self.mails += ids if self.takes else []
        return self.takes

    def ring_lanes(self, keys) -> bool:
        """Take lanes, or refuse them."""
        self.lanes += keys if self.takes else []
        return self.takes


class Swept(Rig):
    """A rig with a sweeper."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.bell = Bell()
        self.sweep = Sweep(
            self.db,
            clock=self.clock,
            ring_mails=self.bell.ring_mails,
            ring_lanes=self.bell.ring_lanes,
            queue_length=lambda: self.bell.length,
            every_s=2.0,
            ring_again_s=30.0,
        ).sweep

    def keep(self, mail_id: str, *, due_in_s: float = 0.0) -> None:
        """Put a new mail into the store."""
        due_at = self.clock.now + dt.timedelta(seconds=due_in_s)
        with self.db.write() as connection:
            connection.execute(bodies.insert().values(id=mail_id, size_bytes=0, sha256="", received_at=due_at))
            connection.execute(
                mails.insert().values(
                    id=mail_id,
                    body_id=mail_id,
                    mailbox="x@y.test",
                    received_at=due_at,
                    evidence={},
                    state="new",
                    due_at=due_at,
                    tries=0,
                )
            )


@pytest.fixture
def swept(database_url: str) -> Iterator[Swept]:
    """A sweeper on SQLite, then on PostgreSQL."""
    made = Swept(database_url)
    yield made
    made.db.close()


def test_what_is_due_is_rung_for(swept: Swept) -> None:
    """Mails and lanes that are due are rung for; what is due later is not."""
    swept.keep("now")
    swept.keep("later", due_in_s=60)
    swept.move_in()
    assert swept.sweep() == (1, 1)
    assert (swept.bell.mails, swept.bell.lanes) == (["now"], [KEY])


def test_what_was_rung_for_is_left_alone_while_the_queue_is_long(swept: Swept) -> None:
    """A backlog is not rung for at every sweep, but after a while again."""
    swept.keep("m")
    swept.sweep()
    swept.bell.length = 7
    swept.clock.advance(10)
    assert swept.sweep() == (0, 0)
    swept.clock.advance(21)
    assert swept.sweep() == (1, 0)


def test_an_empty_queue_means_that_the_ring_was_lost(swept: Swept) -> None:
    """When the queue stands empty and work is due, the ring was lost: it is rung again at the next sweep."""
    swept.keep("m")
    swept.sweep()
    swept.clock.advance(2.1)
    assert swept.sweep() == (1, 0)


def test_nothing_is_rung_for_while_the_broker_is_away(swept: Swept) -> None:
    """An unreachable broker leaves everything due, to be rung for when it is back."""
    swept.keep("m")
    swept.bell.length = None
    assert swept.sweep() == (0, 0)
    swept.bell.length = 0
    assert swept.sweep() == (1, 0)


def test_a_refused_ring_is_made_good(swept: Swept) -> None:
    """A ring that the queue did not take is made again at the next sweep."""
    swept.keep("m")
    swept.bell.takes = False
    assert swept.sweep() == (0, 0)
    swept.bell.takes = True
    swept.clock.advance(2.1)
    assert swept.sweep() == (1, 0)


def test_a_long_backlog_is_rung_for_at_once(swept: Swept) -> None:
    """One sweep rings for far more than one batch."""
    for number in range(1100):
        swept.keep(f"m{number:05}")
    assert swept.sweep() == (1100, 0)
    assert len(set(swept.bell.mails)) == 1100


def test_a_paused_destination_is_left_alone(swept: Swept) -> None:
    """Lanes of a paused destination are not rung for until the pause ends."""
    swept.move_in()
    with swept.db.write() as connection:
        until = swept.clock.now + dt.timedelta(seconds=60)
        pause(connection, "destination", "kiss", reason="429", actor="gatepost", now=swept.clock.now, until=until)
    assert swept.sweep() == (0, 0)
    swept.clock.advance(61)
    assert swept.sweep() == (0, 1)


def test_a_lane_under_way_is_left_alone(swept: Swept) -> None:
    """A lane that somebody works on is not rung for."""
    swept.move_in()
    with swept.db.write() as connection:
        connection.execute(sa.text("UPDATE lanes SET lease_until = due_at + 9000000"))
    assert swept.sweep() == (0, 0)
    swept.clock.advance(10)
    assert swept.sweep() == (0, 1)
