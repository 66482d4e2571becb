"""What the store says of itself."""

import datetime as dt
from pathlib import Path

from tests.rigs.house import House
from worker.store import counts, lanes


def test_what_is_stored_while_somebody_looks_is_still_to_do(tmp_path: Path) -> None:
    """A unit that a worker makes due just after the asker looked at the clock is busy: `wait --idle` must not pass."""
    house = House(f"sqlite:///{tmp_path / 'store.db'}")
    house.move_in("B204", "T-5001", "05-02 10:00")
    asked_at = house.now
    with house.db.write() as connection:
        lanes.wake(connection, ("kiss", "MAIN-B204"), now=asked_at + dt.timedelta(milliseconds=5))
    with house.db.read() as connection:
        assert counts.busy(connection, now=asked_at) == {"mails": 0, "units": 1}
        assert counts.busy(connection, now=asked_at - dt.timedelta(seconds=5)) == {"mails": 0, "units": 0}
    house.close()
