"""Issues as people see and move them."""

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from worker.actions import note
from worker.store.database import Database
from worker.store.issues import IssueState
from worker.store.tables import events, issues
from worker.views import NotThere, event_plain

Plain = dict[str, Any]


def list_issues(
    db: Database, *, everything: bool = False, limit: int = 50, before_id: int | None = None
) -> list[Plain]:
    """Return issues, newest first; without ``everything`` those that somebody should look at."""
    conditions: list[sa.ColumnElement[bool]] = []
    if not everything:
        conditions.append(issues.c.state.in_([IssueState.OPEN, IssueState.ACKNOWLEDGED]))
    if before_id is not None:
        conditions.append(issues.c.id < before_id)
    statement = sa.select(issues).where(*conditions).order_by(issues.c.id.desc()).limit(limit)
    with db.read() as connection:
        return [issue_plain(row) for row in connection.execute(statement)]


def show_issue(db: Database, issue_id: int) -> Plain:
    """Return one issue and the newest events that it is about.

    Raises:
        NotThere: there is no such issue.
    """
    with db.read() as connection:
        row = connection.execute(sa.select(issues).where(issues.c.id == issue_id)).one_or_none()
        if row is None:
            raise NotThere(f"no issue {issue_id}; `gatepost issues list --all` shows them")
        found = connection.execute(
            sa.select(events).where(events.c.issue_id == issue_id).order_by(events.c.id.desc()).limit(100)
        ).all()
    return issue_plain(row) | {"events": [event_plain(one) for one in found]}


def set_issue(db: Database, issue_id: int, state: str, *, actor: str, reason: str, now: dt.datetime) -> None:
    """Acknowledge, resolve or ignore an issue.

    Raises:
        NotThere: there is no such issue.
    """
    with db.write() as connection:
        changed = connection.execute(
            issues.update()
            .where(issues.c.id == issue_id)
            .values(state=IssueState(state), actor=actor, note=reason or None)
        )
        if not changed.rowcount:
            raise NotThere(f"no issue {issue_id}; `gatepost issues list --all` shows them")
        note(connection, actor=actor, action=f"issue {state}", subject=str(issue_id), detail=reason, now=now)


def issue_plain(row: Row[Any]) -> Plain:
    """Return an issue as plain values."""
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "title": row.title,
        "detail": row.detail,
        "subject": row.subject,
        "count": row.count,
        "first_at": row.first_at.isoformat(),
        "last_at": row.last_at.isoformat(),
        "actor": row.actor,
        "note": row.note,
    }
