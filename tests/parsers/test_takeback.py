"""A subject that takes back what its rule says: no event, whoever wrote the rule."""

import json
import re
from email import message_from_bytes
from email.header import Header, decode_header, make_header
from pathlib import Path

import pytest

from parsers import Outcome, Reading, load_rules, load_rules_text
from parsers.explain import render
from parsers.takeback import find_doubts
from tests.parsers.test_parse import BODY, MOVE_IN, RULES, mail, read
from worker.fixtures import find_fixtures, read_fixture

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = (
    " - Cancelled", " (Reversed)", " - Test", ": not completed", " storniert", " - annulé", " [Anulado]",
    " - annullata", " geannuleerd", " - Cancelada", " - ungueltig", " - VOIDED", " didn’t complete",
)  # fmt: skip
PREFIXES = ("VOID: ", "Cancelled: ", "DRAFT - ", "Test ", "Rejected ", "Storno: ", "Annulé : ", "Undo: ", "Recall: ")
SUBJECT = re.compile(rb"^Subject:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*", re.MULTILINE | re.IGNORECASE)


def retitled(raw: bytes, change: str) -> bytes:
    """Return a mail with another subject; `{}` in `change` stands for its own."""
    own = str(make_header(decode_header(message_from_bytes(raw)["Subject"])))
    subject = Header(change.replace("{}", own), "utf-8").encode(linesep="\r\n").encode()
    return SUBJECT.sub(lambda _: b"Subject: " + subject, raw, count=1)


def told() -> list[Path]:
    """Return the fixtures that tell events, but for patches by structured data."""
    found: list[Path] = []
    for path in find_fixtures(ROOT / "fixtures"):
        expected = json.loads(path.with_suffix(".expected.json").read_text("utf-8"))["expected"]
        if expected["events"] and expected["rule"] != "pmsevent/patch":
            found.append(path)
    return found


TOLD = told()


def test_fixtures_of_every_pack_are_walked() -> None:
    """A walk that finds nothing fails."""
    assert len(TOLD) > 120
    assert RULES.packs.keys() <= {path.parent.name for path in TOLD}


@pytest.mark.parametrize("path", TOLD, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_pack_reads_what_its_subject_takes_back(path: Path, tmp_path: Path) -> None:
    """Every mail that tells events tells none, and is held, once its subject takes them back, before or behind."""
    copy = tmp_path / path.parent.name / path.name
    copy.parent.mkdir()
    expected = copy.with_suffix(".expected.json")
    expected.write_bytes(path.with_suffix(".expected.json").read_bytes())
    for change in (*(f"{{}}{suffix}" for suffix in SUFFIXES), *(f"{prefix}{{}}" for prefix in PREFIXES)):
        copy.write_bytes(retitled(path.read_bytes(), change))
        reading, _ = read_fixture(copy, RULES)
        assert (reading.events, reading.outcome is Outcome.IGNORED) == ((), False), change


@pytest.mark.parametrize(
    "rest",
    [
        " - Unit B204", " - Main Street Storage", " (Avoid Ltd)", " for TEST1", " - please do not reply", " no. 7",
        " Testa & Voidson", ": Demo Self Storage, Nottingham", " Contest Canceller", " for a non-smoking unit",
    ],
)  # fmt: skip
def test_harmless_words_pass(rest: str) -> None:
    """Units, sites, names and longer words that hold such a word take nothing back."""
    assert read(mail(subject=f"[EXTERNAL] {MOVE_IN}{rest}")).outcome is Outcome.EVENTS


def test_the_reason_names_rule_and_word() -> None:
    """What is held says which rule would claim it, which word stands against it, and what to do; so does explain."""
    reading = read(mail(subject=f"{MOVE_IN} - CANCELLED"))
    assert (reading.outcome, reading.rule, reading.events) == (Outcome.UNMATCHED, None, ())
    assert "sitelink/move-in would, but the subject says `cancelled`" in (reading.reason or "")
    assert "whose `subject` needs this word" in (reading.reason or "")
    assert "rule     sitelink/move-in: no: subject: says `cancelled`" in render(reading).splitlines()


def test_a_rule_that_fails_elsewhere_is_not_named() -> None:
    """A mail that no rule would claim anyhow is told by its nearest misses."""
    reading = read(mail(f"Total to be paid at Move-In\n{BODY}", subject=f"{MOVE_IN} - Cancelled"))
    assert "fails at not: Total to be paid" in (reading.reason or "")


OWN = """
pack: own
senders: [sitelink.com]
rules:
  - id: a
    when: {when}
    fields: {{unit: {{label: Unit}}}}
    events: [{{patch: {{unit: unit, pms_lockout: true}}}}]
"""


def by(when: str, subject: str, more: str = "") -> Reading:
    return read(mail(subject=subject), rules=load_rules_text({"own.yaml": OWN.format(when=when) + more}))


@pytest.mark.parametrize(
    ("when", "subject", "is_read"),
    [
        ("{subject: Move}", "Cancelled Move", False),
        ("{subject: Move}", "Move", True),
        ("{subject: ^Reverse. Move}", "Reverse: Move", True),
        ("{subject: ^Reverse. Move}", "Reverse: Move - reversed", False),
        ("{subject: ^Reverse. Move}", "Reverse: Move - reverse", False),
        ("{subject: Cancell?ed}", "Auction Canceled", True),
        ("{subject: ^Cancel}", "Cancelled", True),
        ("{subject: ^Unit .+. Locked$}", "Unit B2 - void: Locked", False),
        ("{subject: '^Move(?: - Test)?$'}", "Move - Test", True),
        ("{subject: '^Move(?: - Test)?'}", "Move - Test", False),
        ("{subject: '^[a-wyz]+ Move'}", "Void Move", False),
        ("{subject: ^payment}", "PaymentReversed", False),
        ("{subject: ^payment}", "payment_reversed", False),
        ("{from: sitelink}", "Anything", True),
        ("{from: sitelink}", "Anything, cancelled", False),
        ("{body: [Tenant ID]}", "Storniert", False),
        ("{body: [Tenant ID]}", "Test mail", True),
        ("{body: [Tenant ID]}", "Test mail, cancelled", False),
        ("{subject: Move}", "Test Move", False),
    ],
)
def test_own_rules(when: str, subject: str, is_read: bool) -> None:
    """A word counts unless the rule's subject condition holds by it; without such a condition all but
    those count that try out."""
    assert by(when, subject).outcome is (Outcome.EVENTS if is_read else Outcome.UNMATCHED)


def test_a_rule_for_the_word_claims_alone() -> None:
    """A rule whose subject needs the word claims the mail, and the general one does not."""
    more = "  - {id: b, when: {subject: ^Move - Cancelled}, ignore: It did not happen.}\n"
    assert by("{subject: ^Move}", "Move - Cancelled", more).rule == "own/b"
    assert by("{subject: ^Move}", "Move", more).rule == "own/a"


def test_what_is_ignored_stays_ignored() -> None:
    """A rule that tells no event needs no word."""
    assert read(mail(subject="Reservation Cancelled")).outcome is Outcome.IGNORED


def structured(subject: str, **names: str) -> Reading:
    block = json.dumps({"@type": "PmsEvent", **names})
    head = f"From: a@sitelink.com\nSubject: {subject}\nDate: Fri, 01 May 2026 09:30:00 -0500\n"
    body = f'<p>{BODY.replace(chr(10), "<br>")}</p><script type="application/ld+json">{block}</script>'
    return read(f"{head}Content-Type: text/html\n\n{body}".encode())


def test_structured_data() -> None:
    """A tenancy that structured data tells is held against its subject; values are not, nor what a text rule names."""
    move = {"event": "move_in", "unit": "B204", "pms_tenant_id": "T-5001", "move_in_date": "2026-05-01"}
    lock = {"event": "patch", "unit": "B204", "pms_lockout": "false"}
    assert structured("Unit update", **move).outcome is Outcome.EVENTS
    assert structured("Unit update cancelled", **move).outcome is Outcome.UNMATCHED
    assert structured("Auction cancelled", **{**lock, "pms_auction": "false"}).outcome is Outcome.EVENTS
    assert structured("Reverse: Overlock: Unit B204", **lock).rule == "pmsevent/patch"
    assert structured("Overlock: Unit B204 - Void", **lock).outcome is Outcome.UNMATCHED
    assert structured("tenant deleted", **{**move, "event": "move_out"}).outcome is Outcome.UNMATCHED


def test_a_word_that_the_data_states() -> None:
    """A rule on JSON names the words that stand in its conditions."""
    rules = load_rules([ROOT / "rules"])
    path = ROOT / "fixtures" / "propertysaas" / "10-tenant-deleted.eml"
    reading, _ = read_fixture(path, rules)
    assert reading.events
    own = (ROOT / "rules" / "propertysaas.yaml").read_text("utf-8").replace('subject: "^tenant\\\\.deleted$", ', "")
    assert "{attachment: event.json, json: {event: tenant.deleted}}" in own
    assert read_fixture(path, load_rules_text({"propertysaas.yaml": own}))[0].events


def test_the_subjects_of_forwards() -> None:
    """What the person who forwards writes into the subject counts, too; what the rule inside names does not."""
    inner = f"From: a@sitelink.com\nDate: Fri, 01 May 2026 09:30:00 -0500\nSubject: {{}}\n\n{BODY}"

    def forwarded(outer: str, subject: str) -> Outcome:
        text = f"---------- Forwarded message ----------\n{inner.format(subject)}"
        return read(mail(text, subject=outer, date="Fri, 01 May 2026 10:00:00 -0500")).outcome

    assert forwarded(f"FW: {MOVE_IN}", MOVE_IN) is Outcome.EVENTS
    assert forwarded(f"FW: {MOVE_IN} - cancelled", MOVE_IN) is Outcome.UNMATCHED
    assert forwarded(f"FW: {MOVE_IN}", f"{MOVE_IN} - cancelled") is Outcome.UNMATCHED
    assert forwarded("FW: Reverse: Overlock: Unit B204", "Reverse: Overlock: Unit B204") is Outcome.EVENTS


def test_where_words_stand() -> None:
    """Each word is told with its place, so that of two of one kind only the named one passes."""
    assert [(one.word, one.start, one.end) for one in find_doubts("Annulé – VOID")] == [
        ("annule", 0, 6),
        ("void", 9, 13),
    ]
