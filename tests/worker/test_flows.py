"""A mailbox, or a rule there, whose mails stop opens one issue by what was usual, and resolves itself."""

import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa

from parsers import load_rules_text
from tests.rigs.hooked import Hooked
from worker.actions import pause
from worker.flows import KEPT, LOOK_EVERY, Flows
from worker.mending import set_issue
from worker.runtime import Runtime
from worker.settings import Mailbox, Settings
from worker.silence import GRACE, Silence
from worker.store.tables import bodies, flow_days, hook_deliveries, issues, mails

DAY = 86_400.0
MAIN = "main@in.test"
RULES = """
pack: t
senders: [pms.test]
rules:
  - {id: lock, when: {subject: ^Lock}, ignore: A lock.}
  - {id: open, when: {subject: ^Open}, ignore: No lock.}
"""


def box(address: str = MAIN, **more: Any) -> Mailbox:
    """Return a mailbox that reads the pack."""
    return Mailbox.model_validate({"address": address, "location": "MAIN", "pms": ["t"], **more})


class Flowing:
    """A store whose flows are known, and what watches them."""

    def __init__(self, hooked: Hooked) -> None:
        self.hooked = hooked
        self.clock = hooked.clock
        self.boxes = [box()]
        self.rules = load_rules_text({"t.yaml": RULES})
        self.troubles: list[dict[str, Any]] = []
        self.flows = self.begin()
        self.clock.advance(GRACE.total_seconds())

    def begin(self) -> Flows:
        """Watch, as a process does that has just started."""
        return Flows(
            self.hooked.db,
            mailboxes=lambda: {one.address: one for one in self.boxes},
            rules=lambda: self.rules,
            clock=self.clock,
            on_told=self.hooked.hooks.tell,
            on_trouble=lambda **fields: self.troubles.append(fields),
        )

    def come(self, *rules: str, days: int = 0, count: int = 10, address: str = MAIN) -> None:
        """Have mails of a mailbox and of rules there been counted, today and on the days before."""
        today = self.clock.now.astimezone(dt.UTC).date()
        with self.hooked.db.write() as connection:
            for n in range(days + 1):
                for rule in ("", *rules):
                    day = (today - dt.timedelta(days=n)).isoformat()
                    row = {"mailbox": address, "rule": rule, "day": day, "mails": count, "held": 0}
                    connection.execute(flow_days.insert().values(**row))

    def look(self, after_s: float = LOOK_EVERY.total_seconds(), *fresh: tuple[str, str]) -> list[tuple[str, str, str]]:
        """Let time pass, and look; return kind, rule and state of the issues."""
        self.clock.advance(after_s)
        self.flows.look(set(fresh))
        with self.hooked.db.read() as connection:
            rows = connection.execute(sa.select(issues).order_by(issues.c.id)).all()
        return [(row.kind, row.subject.get("rule", ""), row.state) for row in rows]

    def told(self) -> list[str]:
        """Return what was told to the webhook."""
        with self.hooked.db.read() as connection:
            return list(connection.execute(sa.select(hook_deliveries.c.event)).scalars())


@pytest.fixture
def flowing(hooked: Hooked) -> Flowing:
    """A mailbox, on SQLite and on PostgreSQL."""
    return Flowing(hooked)


def test_a_mailbox_that_stops_is_told_once_and_goes_on_by_itself(flowing: Flowing) -> None:
    """Without ``silent_after`` what is usual decides: one issue, one webhook, resolved when mail comes again."""
    flowing.come("t/lock", days=40)
    assert flowing.look() == []
    assert flowing.look(3 * DAY) == []
    assert flowing.look(2 * DAY) == [("mailbox_silent", "", "open")], "its rules are silent with it, and not told of"
    assert flowing.look(DAY) == [("mailbox_silent", "", "open")]
    assert sorted(flowing.told()) == ["issue.opened", "mailbox.silent"]
    assert [one["kind"] for one in flowing.troubles] == ["mailbox_silent"]
    flowing.come("t/lock")
    assert flowing.look(1, (MAIN, "")) == [("mailbox_silent", "", "resolved")], "at once, not after an hour"
    assert len(flowing.told()) == 2


def test_a_rule_that_stops_while_others_go_on_is_told(flowing: Flowing) -> None:
    """One rule's mails may stop alone; only its issue is opened, and no webhook says that the mailbox is silent."""
    flowing.come("t/lock", "t/open", days=40)
    for _ in range(6):
        flowing.clock.advance(DAY)
        flowing.come("t/open")
    assert flowing.look() == [("rule_silent", "t/lock", "open")]
    assert flowing.told() == ["issue.opened"]
    flowing.clock.advance(DAY)
    flowing.come("t/open", "t/lock")
    assert flowing.look() == [("rule_silent", "t/lock", "resolved")]


def test_a_young_mailbox_is_left_alone(flowing: Flowing) -> None:
    """Under three weeks nothing is called silent."""
    flowing.come("t/lock", days=20)
    assert flowing.look(30 * DAY) == []


def test_whoever_says_silent_after_is_watched_by_that(flowing: Flowing) -> None:
    """A mailbox with ``silent_after`` is the other watch's; each leaves the other's issues alone."""
    flowing.come("t/lock", days=40)
    flowing.boxes = [box(silent_after="3d")]
    assert flowing.look(10 * DAY) == [("rule_silent", "t/lock", "open")]
    silence = Silence(
        flowing.hooked.db, mailboxes=lambda: {one.address: one for one in flowing.boxes}, clock=flowing.clock
    )
    silence.look()
    flowing.clock.advance(4 * DAY)
    silence.look()
    assert flowing.look() == [("rule_silent", "t/lock", "resolved"), ("mailbox_silent", "", "open")]
    flowing.boxes = [box()]
    assert flowing.look()[1] == ("mailbox_silent", "", "open")
    flowing.boxes = [box(silent_after=None)]
    silence.look()
    assert flowing.look()[1][2] == "open", "it is silent by what is usual, too"


def test_the_watch_of_silent_after_leaves_a_learned_silence_alone(flowing: Flowing) -> None:
    """A mailbox that says nothing itself keeps the issue that was learned."""
    flowing.come(days=40)
    assert flowing.look(10 * DAY) == [("mailbox_silent", "", "open")]
    Silence(flowing.hooked.db, mailboxes=lambda: {MAIN: flowing.boxes[0]}, clock=flowing.clock).look()
    assert flowing.look() == [("mailbox_silent", "", "open")]


@pytest.mark.parametrize("kind", ["mailbox", "pack", "rule", "unread", "dropped", "ended", "behind", "started"])
def test_what_may_not_come_is_not_missed(flowing: Flowing, kind: str) -> None:
    """Nothing is said while it is paused, unread, counted late, just started, or where no such mail is expected."""
    flowing.come("t/lock", "t/open", days=40)
    db, now = flowing.hooked.db, flowing.clock.now
    for _ in range(10):
        flowing.clock.advance(DAY)
        flowing.come("t/open")
    if kind in ("mailbox", "pack", "rule"):
        name = {"mailbox": MAIN, "pack": "t", "rule": "t/lock"}[kind]
        pause(db, kind, name, actor="anna", reason="", now=now)
    elif kind == "unread":
        with db.write() as connection:
            connection.execute(bodies.insert().values(id="b", size_bytes=0, sha256="", received_at=now))
            row = {"mailbox": MAIN, "received_at": now, "evidence": {}, "state": "new", "tries": 0}
            connection.execute(mails.insert().values(id="m", body_id="b", **row))
    elif kind == "dropped":
        flowing.rules = load_rules_text({"t.yaml": RULES.replace("id: lock", "id: locked")})
    elif kind == "ended":
        flowing.boxes = [box(pms=[{"name": "t", "until": "2026-01-31"}])]
    elif kind == "started":
        flowing.flows = flowing.begin()
        assert flowing.look(60) == []
        return
    if kind == "behind":
        flowing.clock.advance(LOOK_EVERY.total_seconds())
        flowing.flows.look(None)
    assert flowing.look(60) == ([] if kind != "behind" else [("rule_silent", "t/lock", "open")])


def test_what_a_person_said_of_a_silence_holds(flowing: Flowing) -> None:
    """A resolved silence is not said again of the same one; of the next it is."""
    flowing.come(days=40)
    assert flowing.look(10 * DAY) == [("mailbox_silent", "", "open")]
    set_issue(flowing.hooked.db, 1, "resolved", actor="anna", reason="winter", now=flowing.clock.now)
    assert flowing.look(DAY) == [("mailbox_silent", "", "resolved")]
    flowing.clock.advance(DAY)
    flowing.come(days=0)
    assert flowing.look() == [("mailbox_silent", "", "resolved")]
    flowing.clock.advance(DAY)
    flowing.come(days=0)
    assert flowing.look(20 * DAY) == [("mailbox_silent", "", "open")]


def test_old_days_are_let_go(flowing: Flowing) -> None:
    """Days that teach nothing any more are deleted."""
    flowing.come(days=KEPT.days + 20)
    flowing.look()
    with flowing.hooked.db.read() as connection:
        count = connection.execute(sa.select(sa.func.count()).select_from(flow_days)).scalar_one()
    assert KEPT.days <= count <= KEPT.days + 4


def test_the_sweep_surveys_and_looks(flowing: Flowing) -> None:
    """The sweeper of a process counts what was read, and watches it."""
    url = flowing.hooked.db.engine.url.render_as_string(hide_password=False)
    main = {"address": MAIN, "location": "MAIN", "pms": ["pmsevent"]}
    runtime = Runtime(Settings.model_validate({"store": {"url": url}, "mailbox": [main]}), clock=flowing.clock)
    flowing.come(days=40)
    runtime.rulebook.publish({"t.yaml": RULES}, actor="test")
    runtime.sweep()
    flowing.clock.advance(10 * DAY)
    runtime.sweep()
    runtime.close()
    with flowing.hooked.db.read() as connection:
        assert connection.execute(sa.select(issues.c.kind)).scalars().all() == ["mailbox_silent"]
