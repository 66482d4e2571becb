"""The issues: many failures of one cause, as one thing to mend."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.notices import MACHINE, IssueKind, Notice
from worker.store.lanes import insert_for
from worker.store.tables import events, issues


class IssueState(StrEnum):
    """The states of an issue. A resolved one opens again when its cause comes back; an ignored one counts on."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    IGNORED = "ignored"


def open_issue(
    connection: Connection, notice: Notice, *, now: dt.datetime, event_ids: Sequence[int] = (), times: int = 1
) -> tuple[int, bool]:
    """Open an issue, or count one more of its cause; return its id, and whether it is open anew.

    ``event_ids``: the events that it is about. ``times``: how often its cause was seen, where it is told of once; 0: it
    was counted before.
    """
    key = _key(notice.kind, notice.cause)
    # Of two that open it at once the second waits here, or at its INSERT: one of them opens it, the other counts up.
    before = connection.execute(sa.select(issues.c.state).where(issues.c.key == key).with_for_update()).scalar()
    resolved = issues.c.state == IssueState.RESOLVED
    values = {"title": notice.title, "detail": notice.detail, "subject": dict(notice.subject), "last_at": now}
    statement = insert_for(connection)(issues).values(
        key=key, kind=notice.kind, state=IssueState.OPEN, count=max(1, times), first_at=now, **values
    )
    statement = statement.on_conflict_do_update(
        index_elements=[issues.c.key],
        set_={
            **values,
            "count": issues.c.count + times,
            "state": sa.case((resolved, str(IssueState.OPEN)), else_=issues.c.state),
        },
    )
    stored = connection.execute(statement.returning(issues.c.id, issues.c.count)).one()._mapping
    issue_id = stored["id"]
    if event_ids:
        connection.execute(events.update().where(events.c.id.in_(list(event_ids))).values(issue_id=issue_id))
    return issue_id, before == IssueState.RESOLVED or (before is None and stored["count"] == max(1, times))


def close_issue(connection: Connection, kind: IssueKind, cause: str, *, now: dt.datetime, note: str) -> None:
    """Resolve an issue whose cause is gone by itself."""
    connection.execute(
        issues.update()
        .where(issues.c.key == _key(kind, cause), issues.c.state.in_([IssueState.OPEN, IssueState.ACKNOWLEDGED]))
        .values(state=IssueState.RESOLVED, last_at=now, actor=MACHINE, note=note)
    )


def _key(kind: IssueKind, cause: str) -> str:
    return f"{kind}:{hashlib.sha256(cause.encode()).hexdigest()[:32]}"
