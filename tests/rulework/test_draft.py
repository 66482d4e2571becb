"""``gatepost rules new``: from two samples to a rule that reads the further mails, and none of them wrongly."""

import json
from pathlib import Path

import pytest

from bench.drafts import FURTHER, drafted_rules, scores
from parsers import load_rules, load_rules_text, parse, read_mail
from tests.rigs.gatepost import FIXTURES, ROOT, run
from worker.draft import draft_rule
from worker.fixtures import fixture_mailbox
from worker.lexicon import Happening, Role, happening_of, role_of
from worker.sampled import NotDrafted

MOVE_IN = Happening.MOVE_IN
RULES = load_rules([ROOT / "rules"])
SET_ASIDE = [
    rule for pack in ("sitelink", "sixstorage", "storagetreasures", "noke") for rule in drafted_rules(RULES, pack)
]


def test_there_are_rules_to_draft() -> None:
    """A walk that finds nothing fails."""
    assert len(SET_ASIDE) >= 17


@pytest.mark.parametrize("rule", SET_ASIDE, ids=lambda rule: rule.name)
def test_a_draft_of_two_samples_reads_further_mails(rule) -> None:
    """With its pack set aside a rule is drafted from two samples: nine of ten further mails are read, none wrongly.

    Of mails that look alike and are of another kind it tells nothing.
    """
    for found in scores(rule, RULES):
        assert (found.why_not, found.wrong, found.beyond) == ("", 0, 0)
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
    assert r"unit\\s+(?P<value>\\S*[^\\s,;.])\\s+on" in draft.text


def test_a_date_of_several_words_and_a_unit_behind_a_sign_are_marked() -> None:
    """A date in prose is read whole in each format of the samples; a value may touch the sign before it."""
    mails = [
        sample("Welcome", "You rented Unit#B204 on May 13, 2026, account 0012345.\n"),
        sample("Welcome", "You rented Unit#A1 on 05/14/2026, account 00.54.\n"),
    ]
    marked = {"unit": "B204", "moved_in": "May 13, 2026", "tenant_id": "0012345"}
    rules = load_rules_text({"pier.yaml": draft_rule(mails, "pier", marked, event=Happening.MOVE_IN).text})
    further = sample("Welcome", "You rented Unit#C-3.1 on Dec 1, 2026, account 77-A.5.\n")
    events = parse(further, rules, mailbox=fixture_mailbox("pier", {}), packs=("pier",)).events
    assert [(one.unit, one.body["pms_tenant_id"], one.body["move_in_date"]) for one in events] == [
        ("C-3.1", "77-A.5", "2026-12-01")
    ]


def test_a_mark_that_stands_in_two_places_is_refused() -> None:
    """A value beside two labels may be either: the one that is known by its label is taken, else none is."""
    text = "Unit: A1\nTenant ID: 7\n{}: 2026-05-01\n{}: 2026-05-01\n"
    known = [sample("Moved out", text.format("Start", "End"))]
    assert "moved_out: {label: End," in draft_rule(known, "pier", {"moved_out": "2026-05-01"}).text
    with pytest.raises(NotDrafted, match="`From` and `Until`"):
        draft_rule([sample("Moved out", text.format("From", "Until"))], "pier", {"moved_out": "2026-05-01"})


def test_two_wordings_of_the_subject_are_both_claimed_and_no_other() -> None:
    """Subjects that share no word are listed, and what names a person or a site in them is no word of theirs."""
    text = "Name of unit: A\nUnit: A{0}\nTenant ID: 7\nTenant: Jane Smith\nStart: 2026-05-0{0}\n"
    mails = [sample("Moved in: Jane Smith", text.format(1)), sample("Welcome to the pier, 7", text.format(2))]
    draft = draft_rule(mails, "pier", {})
    assert r'subject: "^(?:Moved in: .+|Welcome to the pier, .+)$"' in draft.text
    assert any("few words in common" in doubt for doubt in draft.doubts)
    with pytest.raises(NotDrafted, match="different things"):
        draft_rule([sample("Moved in", text.format(1)), sample("Moved out", text.format(2))], "pier", {})
    with pytest.raises(NotDrafted, match="share no word"):
        draft_rule([sample("Jane Smith", text.format(1)), sample("B2", text.format(2))], "pier", {}, event=MOVE_IN)


@pytest.mark.parametrize(
    ("subject", "text", "expected"),
    [
        ("Unit A3: Overlocked", "Unit: A3\nState: Overlocked\n", "events"),
        ("Unit A3: Unlocked", "Unit: A3\nState: Overlocked\n", "unmatched"),
        ("Unit A3: Overlocked", "Unit: A3\nState: Open\n", "unmatched"),
        ("Unit A3: Overlocked", "Unit: A3\nState: Overlocked\nThe lock is pending.\n", "unmatched"),
        ("Unit A3: Overlocked", "Unit: to be told\nState: Overlocked\n", "invalid"),
    ],
)
def test_a_mail_that_only_looks_alike_is_not_claimed(subject: str, text: str, expected: str) -> None:
    """What happened stands in the subject, the state is one that was seen, and a unit is like those of the samples."""
    mails = [
        sample(f"Unit A{number}: {state}", f"Unit: A{number}\nState: {state}\n")
        for number, state in ((1, "Overlocked"), (2, "Gate Lock"))
    ]
    rules = load_rules_text({"pier.yaml": draft_rule(mails, "pier", {}).text})
    found = parse(sample(subject, text), rules, mailbox=fixture_mailbox("pier", {}), packs=("pier",))
    assert found.outcome == expected


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
