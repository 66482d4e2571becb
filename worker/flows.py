"""Flows: watch mailboxes, and each rule there, by how many mails are usual. A flow that stops opens an issue, once.

``worker/survey.py`` counts the mails, ``worker/flow.py`` says what is usual. A mailbox with a ``silent_after`` is
watched by that (``worker/silence.py``), its rules here. While a mailbox is silent, its rules are not told of.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from parsers import RuleSet
from worker.flow import LOOK_BACK, Quiet, find_quiet
from worker.notices import IssueKind, opened, stopped_flow
from worker.settings import Mailbox
from worker.silence import GRACE, is_over
from worker.store import pauses
from worker.store.database import Database
from worker.store.issues import IssueState, close_issue, open_issue
from worker.store.mails import MailState
from worker.store.tables import flow_days, issues, mails

LOOK_EVERY = dt.timedelta(hours=1)
KEPT = LOOK_BACK * 2
"""How long the days are kept: a flow that stopped is compared with what was usual before it did."""

Flow = tuple[str, str]
"""Mailbox and rule; the rule is empty for all mails of the mailbox."""


class Flows:
    """Looks at whether flows have stopped. One for each process that sweeps."""

    def __init__(
        self,
        db: Database,
        *,
        mailboxes: Callable[[], Mapping[str, Mailbox]],
        rules: Callable[[], RuleSet],
        clock: Callable[[], dt.datetime],
        on_told: Callable[[Connection, Sequence[tuple[str, int | str]]], None] = lambda _connection, _told: None,
        on_trouble: Callable[..., None] = lambda **_fields: None,
    ) -> None:
        self._db = db
        self._mailboxes = mailboxes
        self._rules = rules
        self._clock = clock
        self._on_told = on_told
        self._on_trouble = on_trouble
        self._since = clock()
        self._looked_at: dt.datetime | None = None
        self._silent: frozenset[Flow] = frozenset()

    def look(self, fresh: set[Flow] | None) -> None:
        """Open the issue of each flow that has stopped, and resolve that of each that goes on.

        ``fresh``: the flows that have just had mails; None: not all mails have been counted yet.
        """
        now = self._clock()
        if fresh is None or now - self._since < GRACE:
            return
        if self._looked_at is not None and now - self._looked_at < LOOK_EVERY and not fresh & self._silent:
            return
        with self._db.read() as connection:
            boxes = self._watched(connection, now)
            known = _known(connection)
            days = _days(connection, boxes, since=now - KEPT)
        self._looked_at = now
        quiet = self._judge(boxes, days, known, now)
        self._silent = frozenset(quiet) | {flow for flow, row in known.items() if _is_open(row)}
        for flow, one in quiet.items():
            row = known.get(flow)
            ended_at = dt.datetime.combine(one.last_on, dt.time.max, ZoneInfo(boxes[flow[0]].timezone))
            if row is None or is_over(row, ended_at):
                self._open(flow, one, now)
        for flow, row in known.items():
            is_judged = flow in days or flow[0] not in self._mailboxes()
            if _is_open(row) and row.subject.get("learned") and is_judged and flow not in quiet:
                self._close(flow, now)
        self._forget(now)

    def _watched(self, connection: Connection, now: dt.datetime) -> dict[str, Mailbox]:
        """Return the mailboxes that may be judged: neither paused, nor with mail that nobody has read yet."""
        unread = set(
            connection.execute(sa.select(mails.c.mailbox).where(mails.c.state == MailState.NEW).distinct()).scalars()
        )
        apart = unread | {name for kind, name in pauses.paused_now(connection, now) if kind == "mailbox"}
        return {address: box for address, box in self._mailboxes().items() if address not in apart}

    def _judge(
        self,
        boxes: Mapping[str, Mailbox],
        days: Mapping[Flow, Mapping[dt.date, int]],
        known: Mapping[Flow, Row[Any]],
        now: dt.datetime,
    ) -> dict[Flow, Quiet]:
        """Return the flows that have stopped, of each mailbox either itself or its rules."""
        with self._db.read() as connection:
            paused = pauses.paused_now(connection, now)
        live = self._rules() if any(rule for _, rule in days) else None
        found: dict[Flow, Quiet] = {}
        for flow in sorted(days):
            address, rule = flow
            box = boxes[address]
            today = now.astimezone(ZoneInfo(box.timezone)).date()
            if rule:
                row = known.get((address, ""))
                is_silent = (address, "") in found or (
                    row is not None and _is_open(row) and box.silent_after is not None
                )
                if live is None or is_silent or not _is_read(rule, box, live, paused, today):
                    continue
            elif box.silent_after is not None:
                continue
            quiet = find_quiet(days[flow], today)
            if quiet is not None:
                found[flow] = quiet
        return found

    def _open(self, flow: Flow, quiet: Quiet, now: dt.datetime) -> None:
        notice = stopped_flow(*flow, quiet.last_on, quiet.expected, quiet.a_week)
        with self._db.write() as connection:
            issue_id, is_new = open_issue(connection, notice, now=now)
            if is_new:
                of_mailbox = [("mailbox.silent", flow[0])] if not flow[1] else []
                self._on_told(connection, [("issue.opened", issue_id), *of_mailbox])
        if is_new:
            self._on_trouble(**opened(issue_id, notice.kind))

    def _close(self, flow: Flow, now: dt.datetime) -> None:
        kind = IssueKind.RULE_SILENT if flow[1] else IssueKind.MAILBOX_SILENT
        cause = f"{flow[0]}/{flow[1]}" if flow[1] else flow[0]
        with self._db.write() as connection:
            close_issue(connection, kind, cause, now=now, note="mail comes again, or is expected no longer")

    def _forget(self, now: dt.datetime) -> None:
        """Let go of days that teach nothing any more."""
        oldest = (now - KEPT - dt.timedelta(days=2)).date().isoformat()
        with self._db.write() as connection:
            connection.execute(flow_days.delete().where(flow_days.c.day < oldest))


def _is_read(rule: str, box: Mailbox, live: RuleSet, paused: Collection[tuple[str, str]], today: dt.date) -> bool:
    """Say whether mails of a rule are to be expected: it is live, not paused, and its pack is the mailbox's today."""
    pack = rule.partition("/")[0]
    if ("pack", pack) in paused or ("rule", rule) in paused or pack not in live.packs:
        return False
    if rule not in {one.name for one in live.packs[pack].rules}:
        return False
    return any(use.name == pack and use.holds(today) for use in box.pms)


def _is_open(row: Row[Any]) -> bool:
    return row.state in (IssueState.OPEN, IssueState.ACKNOWLEDGED)


def _known(connection: Connection) -> dict[Flow, Row[Any]]:
    """Return the issues of silence that there are, by flow."""
    kinds = [str(IssueKind.MAILBOX_SILENT), str(IssueKind.RULE_SILENT)]
    rows = connection.execute(sa.select(issues).where(issues.c.kind.in_(kinds))).all()
    return {(row.subject["mailbox"], row.subject.get("rule", "")): row for row in rows}


def _days(
    connection: Connection, boxes: Mapping[str, Mailbox], *, since: dt.datetime
) -> dict[Flow, dict[dt.date, int]]:
    statement = sa.select(flow_days).where(flow_days.c.day >= since.date().isoformat())
    found: dict[Flow, dict[dt.date, int]] = {}
    for row in connection.execute(statement):
        if row.mailbox in boxes:
            found.setdefault((row.mailbox, row.rule), {})[dt.date.fromisoformat(row.day)] = row.mails
    return found
