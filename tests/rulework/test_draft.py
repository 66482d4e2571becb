"""``gatepost rules new``: from two samples to a rule that reads the further mails, and none of them wrongly."""

import json
from pathlib import Path

import pytest

from bench.drafts import FURTHER, drafted_rules, score
from parsers import load_rules, load_rules_text, read_mail
from tests.rigs.gatepost import FIXTURES, ROOT, run
from worker.draft import NotDrafted, draft_rule
from worker.lexicon import Happening, Role, happening_of, role_of

RULES = load_rules([ROOT / "rules"])
SET_ASIDE = [rule for pack in ("sitelink", "sixstorage", "storagetreasures") for rule in drafted_rules(RULES, pack)]


def test_there_are_rules_to_draft() -> None:
    """A walk that finds nothing fails."""
    assert len(SET_ASIDE) >= 14


@pytest.mark.parametrize("rule", SET_ASIDE, ids=lambda rule: rule.name)
def test_a_draft_of_two_samples_reads_further_mails(rule) -> None:
    """With its pack set aside a rule is drafted from two samples: nine of ten further mails are read, none wrongly."""
    found = score(rule, RULES)
    assert (found.why_not, found.wrong) == ("", 0)
    assert found.right >= 0.9 * FURTHER


def sample(subject: str, text: str, *, sender: str = "office@pier.test"):
    """Return a mail as it is read."""
    return read_mail(f"From: {sender}\nSubject: {subject}\nDate: Fri, 01 May 2026 09:30:00 -0500\n\n{text}".encode())


def test_a_value_within_a_line_is_marked() -> None:
    """Prose is read by the words around a marked value, in both samples."""
    mails = [
        sample("Welcome", "You have rented unit B204 on 05/13/2026, account 0012345.\n"),
        sample("Welcome", "You have rented unit A1 on 05/14/2026, account 0054321.\n"),
    ]
    marked = {"unit": "B204", "moved_in": "05/13/2026", "tenant_id": "0054321"}
    with pytest.raises(NotDrafted, match="--event"):
        draft_rule(mails, "pier", marked)
    draft = draft_rule(mails, "pier", marked, event=Happening.MOVE_IN)
    load_rules_text({"pier.yaml": draft.text})
    assert r"unit\\s+(?P<value>[^\\s,;.]+)\\s*on" in draft.text


def test_what_the_samples_do_not_tell_is_said() -> None:
    """A date that may be read in two ways is a doubt, and a value that is lacking is asked for by name."""
    mails = [sample("Move-in", f"Unit: {unit}\nTenant ID: 7\nStart Date: 04/05/2026\n") for unit in ("A1", "B2")]
    draft = draft_rule(mails, "pier", {})
    assert any("do not tell" in doubt for doubt in draft.doubts)
    with pytest.raises(NotDrafted, match="--set tenant_id=VALUE"):
        draft_rule([sample("Move-in", "Unit: A1\nStart Date: 04/15/2026\n")], "pier", {})
    with pytest.raises(NotDrafted, match="one sender"):
        draft_rule([mails[0], sample("Move-in", "x", sender="a@b.test")], "pier", {})


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Move In Notification", Happening.MOVE_IN),
        ("Move Out Request - Unit 7", Happening.NOTHING),
        ("Scheduled Move-Out Confirmed", Happening.NOTHING),
        ("Reverse: Overlock: Unit 7", Happening.UNLOCKED),
        ("Gate Lockout: Unit 7", Happening.LOCKED),
        ("Auction Cancelled - Unit 7", Happening.NO_AUCTION),
        ("Einheit belegt: 7", Happening.MOVE_IN),
        ("Hello", None),
    ],
)
def test_what_a_subject_says(subject: str, expected: Happening | None) -> None:
    """An intention is never taken for what it intends, nor a removal for what it removes."""
    assert happening_of(subject) == expected


def test_what_a_label_says() -> None:
    """A label is known whole only: a part of it may mean something else."""
    assert [role_of(label) for label in ("Unit #", "Customer No.", "Lease ID", "Paid Thru")] == [
        Role.UNIT, Role.TENANT, Role.LEDGER, Role.PAID_THROUGH,
    ]  # fmt: skip
    assert [role_of(label) for label in ("Unit Size", "Tenant Name", "Balance Date")] == [None, None, None]


def test_the_command_writes_what_is_green(tmp_path: Path) -> None:
    """Two captured mails become a pack and its fixtures, and `rules test` is green with them."""
    for number, name in enumerate(("01-move-in-text", "05-move-in-no-paid-thru")):
        (tmp_path / f"{number}.eml").write_bytes((FIXTURES / "sitelink" / f"{name}.eml").read_bytes())
    shown = run("rules", "new", "0.eml", "1.eml", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert b"pack: sitelink" in shown.stdout
    made = run("rules", "new", "0.eml", "1.eml", "--pack", "own", "--out", "mine", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert [one["outcome"] for one in json.loads(made.stdout)["samples"]] == ["events", "events"]
    assert run("rules", "test", "--rules", "mine/rules", "--fixtures", "mine/fixtures", cwd=tmp_path).returncode == 0
    again = run("rules", "new", "0.eml", "--pack", "own", "--out", "mine", cwd=tmp_path)
    assert (again.returncode, b"is there already" in again.stderr) == (1, True)
    wrong = run("rules", "new", "0.eml", "--set", "B204", cwd=tmp_path)
    assert (wrong.returncode, b"NAME=VALUE" in wrong.stderr) == (1, True)
