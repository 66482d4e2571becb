"""Replays as people see and move them: what one would do, how far it is, pause and resume."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Row

from worker.actions import note
from worker.replay import Change, Effect
from worker.store.database import Database
from worker.store.tables import replay_items, replays
from worker.views import NotThere

Running = Literal["running", "paused"]


def plan_plain(changes: Sequence[Change]) -> dict[str, Any]:
    """Return what a replay from ``parse`` would do: how often each effect comes, and which event of which mail."""
    rows = [
        {"mail": change.mail_id, "effect": str(effect), "what": what}
        for change in changes
        for effect, what in change.effects
    ]
    effects: dict[str, int] = {}
    for row in rows:
        effects[row["effect"]] = effects.get(row["effect"], 0) + 1
    return {"mails": len(changes), "effects": effects, "changes": rows}


def set_state(db: Database, number: int, state: Running, *, actor: str, now: dt.datetime) -> None:
    """Pause a replay, or have it go on.

    Raises:
        NotThere: there is no such replay, or it is done.
    """
    with db.write() as connection:
        changed = connection.execute(
            replays.update()
            .where(replays.c.id == number, replays.c.state != "done")
            .values(state=state, due_at=now if state == "running" else None)
        )
        if not changed.rowcount:
            raise NotThere(f"no replay {number} that is not done; `gatepost replay --list` shows them")
        note(connection, actor=actor, action=f"replay {state}", subject=str(number), now=now)


def report(db: Database, number: int) -> dict[str, Any]:
    """Return a replay, how far it is, and what came of its items.

    Raises:
        NotThere: there is no such replay.
    """
    with db.read() as connection:
        row = connection.execute(sa.select(replays).where(replays.c.id == number)).one_or_none()
        if row is None:
            raise NotThere(f"no replay {number}; `gatepost replay --list` shows them")
        items = connection.execute(
            sa.select(replay_items).where(replay_items.c.replay_id == number).order_by(replay_items.c.n)
        ).all()
    outcomes: dict[str, int] = {}
    for item in items:
        outcomes[item.outcome or "due"] = outcomes.get(item.outcome or "due", 0) + 1
    notable = [item for item in items if item.outcome not in (None, Effect.SAME, Effect.RESTATED)]
    return {
        **replay_plain(row),
        "items": len(items),
        "outcomes": outcomes,
        "notable": [
            {"mail": item.mail_id, "event": item.event_id, "outcome": item.outcome, "detail": item.detail}
            for item in notable[:200]
        ],
    }


def list_replays(db: Database, *, limit: int = 50) -> list[dict[str, Any]]:
    """Return replays, newest first."""
    with db.read() as connection:
        rows = connection.execute(sa.select(replays).order_by(replays.c.id.desc()).limit(limit)).all()
    return [replay_plain(row) for row in rows]


def replay_plain(row: Row[Any]) -> dict[str, Any]:
    """Return a replay as plain values."""
    return {
        "replay": row.id,
        "query": row.query,
        "from": row.layer,
        "state": row.state,
        "actor": row.actor,
        "reason": row.reason,
        "created_at": row.created_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
    }
