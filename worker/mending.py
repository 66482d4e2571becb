"""Issues as people see and move them."""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from worker.actions import note
from worker.drift import Profile, changed_labels, subject_rule
from worker.notices import IssueKind
from worker.store.database import Database
from worker.store.issues import IssueState
from worker.store.tables import events, issues, mails, readings, rule_profiles
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
        letters = connection.execute(
            sa.select(mails).where(mails.c.issue_id == issue_id).order_by(mails.c.id.desc()).limit(100)
        ).all()
        drift = {"difference": label_difference(connection, row.subject)} if row.kind == IssueKind.DRIFT else {}
    return issue_plain(row) | {
        "events": [event_plain(one) for one in found],
        "mails": [{"id": one.id, "state": one.state, "reason": one.reason, "rule": one.rule} for one in letters],
        **drift,
    }


def label_difference(connection: Connection, subject: Mapping[str, Any]) -> list[str] | None:
    """Return in which labels the mail of a drift differs from the last that was read before, a line each.

    None: how one of the two was read is no longer kept.
    """
    traces: list[Mapping[str, Any]] = []
    for mail_id in (subject["sample"], subject["mail"]):
        reading = connection.execute(sa.select(readings.c.reading).where(readings.c.mail_id == mail_id)).scalar()
        if reading is None or "text" not in reading.get("trace", {}):
            return None
        traces.append(reading["trace"])
    return changed_labels(*traces)


def open_drifts(connection: Connection, rules: Collection[str]) -> list[Plain]:
    """Return the open issues that say that the mails of some rules have changed, newest first."""
    states = [IssueState.OPEN, IssueState.ACKNOWLEDGED]
    statement = sa.select(issues).where(issues.c.kind == IssueKind.DRIFT, issues.c.state.in_(states))
    rows = connection.execute(statement.order_by(issues.c.id.desc())).all()
    return [issue_plain(row) for row in rows if row.subject["rule"] in rules]


def drift_of(db: Database, reading: Mapping[str, Any]) -> list[Plain]:
    """Return the open issues of drift of the rule that a mail is for, each with what the mail's labels differ in.

    ``reading``: as it is stored, with its trace.
    """
    rule = subject_rule(reading)
    if rule is None:
        return []
    with db.read() as connection:
        found = open_drifts(connection, {rule})
        for one in found:
            its = readings.c.mail_id == one["subject"]["sample"]
            sample = connection.execute(sa.select(readings.c.reading).where(its)).scalar() or {}
            is_kept = "text" in sample.get("trace", {})
            one["difference"] = changed_labels(sample["trace"], reading["trace"]) if is_kept else None
    return found


def rule_health(db: Database) -> list[Plain]:
    """Return how the mails of each rule have been read, as far as the survey has gone, by name."""
    with db.read() as connection:
        rows = connection.execute(sa.select(rule_profiles).order_by(rule_profiles.c.rule)).all()
    return [_health(Profile.from_json(row.rule, row.profile)) for row in rows]


def _health(profile: Profile) -> Plain:
    held = sum(profile.bad.values())
    lines, of = profile.unaccounted[:2]
    return {
        "rule": profile.rule,
        "read": profile.good,
        "held": held,
        "held_by_outcome": profile.bad,
        "rate": round(profile.good / max(1, profile.good + held), 3),
        "missing": {name: of - had for name, (had, of, _) in sorted(profile.fields.items()) if had < of},
        "ways": profile.ways,
        "unaccounted": round(lines / max(1, of), 2),
        "sample": profile.sample,
    }


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
