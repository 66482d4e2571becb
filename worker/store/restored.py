"""A store after a restore: what its units show is older than the destinations, until it is stated anew."""

import datetime as dt

from sqlalchemy.engine import Connection

from worker.store.tables import bulk_items, calls, lanes

RESTORED = "restored"
"""The name of the pause of everything that a restore leaves."""


def state_anew(connection: Connection, *, now: dt.datetime) -> int:
    """Take what every unit shows for unknown, and make all of them due; return how many.

    Calls that were open are given up: their keys may have been answered since, so what is still wanted goes under
    new ones.
    """
    for table in (calls, bulk_items):
        connection.execute(table.update().where(table.c.state == "open").values(state="abandoned", ended_at=now))
    fresh = {"shown": {}, "due_at": now, "rung_at": None, "tries": 0}
    free = {"lease_token": lanes.c.lease_token + 1, "lease_until": None, "lease_by": None}
    return connection.execute(lanes.update().values(**fresh, **free)).rowcount
