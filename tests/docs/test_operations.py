"""The page of operations knows every state, reason, reply, figure and log line."""

import re
from collections.abc import Iterable

import pytest

from tests.docs.pages import ROOT, first_words, read, rows, sections
from worker import metrics
from worker.calls import Outcome
from worker.notices import IssueKind
from worker.order import Hold, State
from worker.smtp.replies import REPLIES
from worker.store.mails import MailHold, MailState

PARTS = sections(read("operations.md"))
REJECTED = (Outcome.REJECTED, Outcome.SOURCE_CONFLICT, Outcome.NOT_FOUND)


@pytest.mark.parametrize(
    ("heading", "members"),
    [
        ("States of a mail", MailState),
        ("Why a mail is held", MailHold),
        ("States of an event", State),
        ("Why an event is held", Hold),
        ("Why an event is rejected", REJECTED),
        ("Outcomes of a sending", Outcome),
        ("Issues", IssueKind),
        ("Write status of a mail", ("PENDING", "SUCCESS", "PARTIAL_SUCCESS", "FAILURE", "IGNORED")),
    ],
)
def test_every_member_has_its_row(heading: str, members: Iterable[str]) -> None:
    """Each member of a closed list has one row on the page, and no row is of something else."""
    assert sorted(map(str, members)) == sorted(first_words(PARTS[heading]))


def test_every_reply_has_its_row() -> None:
    """Each reply of the receiver stands on the page with its very text, and says whether it ends the session."""
    told = {cells[0].strip("`"): cells for cells in rows(PARTS["SMTP replies"])}
    assert set(REPLIES) == set(told)
    for name, reply in REPLIES.items():
        assert told[name][1] == f"`{reply.code} {reply.text}`"
        assert told[name][3] == ("yes" if reply.closes else "no"), name


def test_every_figure_has_its_row() -> None:
    """Each metric of ours stands on the page, and no other."""
    own = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in metrics.own_figures().collect()
        if metric.name.startswith("gatepost_")
    }
    stored = {"gatepost_mails", "gatepost_events", "gatepost_oldest_due_seconds"}
    source = (ROOT / "worker/metrics.py").read_text("utf-8")
    assert "gatepost_{name}" in source
    assert "gatepost_oldest_due_seconds" in source
    assert own
    assert own | stored == set(first_words(PARTS["Metrics"]))


def _log_events() -> set[str]:
    """Return the names of all log lines, as the code writes them."""
    patterns = (
        r"lines\(\)\s*\.(?:info|warning|error)\(\s*\"(\w+)\"",
        r"_log\.(?:info|warning|error)\(\s*\"(\w+)\"",
        r"\.log\.(?:info|warning|error)\(\s*\"(\w+)\"",
        r"event=\"(\w+)\"",
        r"\"event\": \"(\w+)\"",
    )
    texts = [path.read_text("utf-8") for path in (ROOT / "worker").rglob("*.py")]
    found = {name for text in texts for pattern in patterns for name in re.findall(pattern, text)} - {"call_"}
    quiet = (Outcome.APPLIED, Outcome.NOT_FOUND, Outcome.ACCEPTED)
    return found | {f"call_{outcome}" for outcome in Outcome if outcome not in quiet}


def test_every_log_line_has_its_row() -> None:
    """Each log event of the code stands on the page, and no other."""
    found = _log_events()
    assert {"mail_read", "mail_not_kept", "smtp_session_failed", "sweep_failed", "call_unknown"} <= found
    assert found == set(first_words(PARTS["Log lines"]))
