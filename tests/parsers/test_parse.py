"""One mail to one reading: choosing, taking, converting, assembling."""

import json
import time
from email import message_from_bytes
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parsers import Mailbox, Outcome, Reading, RuleSet, load_rules, load_rules_text, parse_mail

ROOT = Path(__file__).resolve().parents[2]
RULES = load_rules([ROOT / "rules"])
SEEDS = [path.read_bytes() for path in sorted((ROOT / "fixtures").glob("*/*.eml"))]
MAILBOX = Mailbox(address="main@demo.test", company="demo", location="MAIN")
BODY = "Unit: B204\nTenant ID: T-5001\nLedger ID: L-9911\nMove-In Date: 05/01/2026\nPaid Thru: 05/31/2026\n"
MOVE_IN = "Move In Notification"


def mail(body: str = BODY, *, subject: str = MOVE_IN, date: str = "Fri, 01 May 2026 09:30:00 -0500") -> bytes:
    head = f"From: SiteLink <noreply@sitelink.com>\nSubject: {subject}\nDate: {date}\n"
    return f"{head}Content-Type: text/plain; charset=utf-8\n\n{body}".encode()


def read(raw: bytes, *, rules: RuleSet = RULES, mailbox: Mailbox = MAILBOX) -> Reading:
    return parse_mail(raw, rules, mailbox=mailbox)


def test_no_pack_no_trust() -> None:
    """A sender that no pack is proven for is untrusted, whatever the mail says."""
    reading = parse_mail(mail(), RULES, mailbox=MAILBOX, packs=())
    assert (reading.outcome, reading.events) == (Outcome.UNTRUSTED, ())


def test_other_packs_are_not_tried() -> None:
    """Only the rules of the packs given are tried."""
    reading = parse_mail(mail(), RULES, mailbox=MAILBOX, packs=("pmsevent",))
    assert reading.outcome == Outcome.UNMATCHED
    assert {"pmsevent"} == {one["rule"].partition("/")[0] for one in reading.trace["tried"]}


def test_two_claims_are_ambiguous() -> None:
    """Two claiming rules are named, and neither is followed."""
    reading = read(mail(), rules=load_rules_text({"twice.yaml": TWICE}))
    assert (reading.outcome, reading.rule) == (Outcome.AMBIGUOUS, None)
    assert "twice/a and twice/b" in (reading.reason or "")


@pytest.mark.parametrize(
    ("old", "new", "outcome", "words"),
    [
        ("Unit: B204\n", "", Outcome.INCOMPLETE, "`unit`"),
        ("Unit: B204", "Unit:", Outcome.INCOMPLETE, "`unit`"),
        ("Unit: B204", "Unit:\nThank you for your business", Outcome.INCOMPLETE, "`unit`"),
        ("Unit: B204", "Unit: [[unit.name]]", Outcome.INCOMPLETE, "merge field"),
        ("Unit: B204", "Unit: {{ unit }}", Outcome.INCOMPLETE, "merge field"),
        ("Unit: B204", "Unit: { Unit > Number }", Outcome.INCOMPLETE, "merge field"),
        ("Unit: B204", "Unit: UNIT_NAME", Outcome.INCOMPLETE, "merge field"),
        ("Paid Thru: 05/31/2026", "Paid Thru: [[paid]]", Outcome.INCOMPLETE, "merge field"),
        ("Tenant ID:", "Resident ID:", Outcome.INCOMPLETE, "nearest label seen: `Resident ID`"),
        ("Unit: B204", "Unit: B204\nUNIT: B205", Outcome.INVALID, "different values (line 1, line 2)"),
        ("Unit: B204", "Unit: B204\nUnit #: B205", Outcome.INVALID, "different values"),
        ("05/01/2026", "01.05.2026", Outcome.INVALID, "`moved_in` is not a date"),
        ("Unit: B204", "Unit: ../units", Outcome.INVALID, "path segment"),
        ("Unit: B204", "Unit: B204?x=1", Outcome.INVALID, "a character that no unit has"),
        ("Unit: B204", "Unit: B\\204", Outcome.INVALID, "a character that no unit has"),
        ("Unit: B204", "Unit: " + "B" * 65, Outcome.INVALID, "longer than 64"),
        ("Unit: B204", "Unit: B2\x0704", Outcome.INVALID, "`unit`"),
        ("Unit: B204", "Unit: B204\nUnit: B204", Outcome.EVENTS, ""),
        ("Unit: B204", "Unit:\u00a0\u200bB204", Outcome.EVENTS, ""),
        ("Unit: B204", "  * unit :  B204", Outcome.EVENTS, ""),
    ],
)
def test_never_a_guess(old: str, new: str, outcome: Outcome, words: str) -> None:
    """A missing, unresolved, doubled or odd value holds the mail and says why; harmless dress does not."""
    reading = read(mail(BODY.replace(old, new)))
    assert (outcome, True) == (reading.outcome, words in (reading.reason or "")), reading.reason
    assert bool(reading.events) == (outcome is Outcome.EVENTS)


@pytest.mark.parametrize("signs", ["[" * 200_000, "{" + ">" * 200_000, "{%" * 100_000, "{" * 200_000, "A_" * 100_000])
def test_the_mark_of_a_merge_field_that_never_ends(signs: str) -> None:
    """A long line of such marks is looked at once, and is no value."""
    begun = time.process_time()
    reading = read(mail(BODY.replace("B204", signs)))
    assert time.process_time() - begun < 1
    assert reading.outcome is Outcome.INVALID
    assert "`unit`" in (reading.reason or "")


NO_CHARSETS = ["idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "base64", "rot13", "uu", "\0"]


@pytest.mark.parametrize("charset", NO_CHARSETS)
@pytest.mark.parametrize("blank", ["\n\n", "\nno header\n\n", "\n\r"])
def test_a_charset_that_is_none_is_read_as_an_unknown_one(charset: str, blank: str) -> None:
    """A codec that is no charset of mail is never asked, in a mail of one part or of several."""

    def told(label: str) -> list[Reading]:
        body = f"{BODY}Remark: caf\u00e9\n".encode("windows-1252")
        one = mail("").replace(b"=utf-8\n\n", f"={label}{blank}".encode()) + body
        head, part = one.split(b"Content-Type", 1)
        two = head + b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type" + part + b"--b--\n"
        return [read(one), read(two)]

    assert [reading.outcome for reading in told(charset)] == [Outcome.EVENTS] * 2, told(charset)
    assert [one.events for one in told(charset)] == [one.events for one in told("no-such-charset")]


def test_reasons_hold_no_resident() -> None:
    """Why a mail is held never repeats a value of it."""
    reading = read(mail(BODY.replace("05/01/2026", "Janes-Date").replace("B204", "Janes-Unit?")))
    assert "Jane" not in (reading.reason or "")
    assert "Jane" in json.dumps(reading.trace)


@pytest.mark.parametrize(
    ("date", "zone", "expected"),
    [
        ("Fri, 01 May 2026 14:30:00 GMT", "America/Chicago", "2026-05-01T09:30:00-05:00"),
        ("Fri, 01 May 2026 09:30:00", "America/Denver", "2026-05-01T09:30:00-06:00"),
        ("Fri, 01 May 2026 04:30:00 GMT", "America/Chicago", "2026-05-01T00:00:00-05:00"),
        ("Thu, 30 Apr 2026 23:30:00 -0500", "America/Chicago", "2026-05-01T00:00:00-05:00"),
        ("Fri, 01 May 2026 23:59:00 -0500", "America/Chicago", "2026-05-01T23:59:00-05:00"),
        ("Sat, 02 May 2026 09:30:00 -0500", "America/Chicago", "2026-05-02T09:30:00-05:00"),
    ],
)
def test_when_it_happened(date: str, zone: str, expected: str) -> None:
    """The Date in the facility's zone; the start of the stated day where that lies ahead of it there."""
    reading = read(mail(date=date), mailbox=Mailbox(address="a@b", company="demo", location="M", timezone=zone))
    assert {expected} == {event.effective_at.isoformat() for event in reading.events}


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 32 May 2026 09:30:00 -0500"])
def test_no_date_no_event(date: str) -> None:
    """Without a readable Date nobody knows when it happened."""
    reading = read(mail(date=date))
    assert (reading.outcome, "Date" in (reading.reason or "")) == (Outcome.INCOMPLETE, True)


def test_identity_is_of_what_happened() -> None:
    """Another Message-ID, footer or case of a label is the same event; another tenant, day, unit or company is not."""
    same = [mail(), mail(BODY + "A new footer.\n"), b"Message-ID: <x@y>\n" + mail(), mail(BODY.replace("Unit", "UNIT"))]
    assert len({read(raw).events[0].identity for raw in same}) == 1
    other = [mail(BODY.replace(old, new)) for old, new in (("5001", "5002"), ("05/01", "05/02"), ("B204", "B205"))]
    found = [read(raw).events[0].identity for raw in other]
    found.append(read(mail(), mailbox=Mailbox(address="a@b", company="other", location="MAIN")).events[0].identity)
    assert len({*found, read(mail()).events[0].identity}) == 5


def test_locks_of_different_minutes_are_different() -> None:
    """Lock, unlock, lock again: three occurrences; the same minute told twice is one."""
    lock = "Unit: B204\nBy: facility\n"
    dates = ["Fri, 01 May 2026 09:00:00 -0500", "Fri, 01 May 2026 09:00:30 -0500", "Fri, 01 May 2026 11:00:00 -0500"]
    found = [read(mail(lock, subject="Overlock: Unit B204", date=date)).events[0].identity for date in dates]
    assert found[0] == found[1] != found[2]


def test_events_of_one_mail_differ() -> None:
    """The move-in and the patch of one mail are two events in order."""
    events = read(mail()).events
    assert [event.position for event in events] == [0, 1]
    assert events[0].identity != events[1].identity


TWICE = """\
pack: twice
senders: [sitelink.com]
rules:
  - {id: a, when: {subject: Move}, ignore: x}
  - {id: b, when: {subject: In}, ignore: y}
"""
STATED = """\
pack: stated
senders: [sitelink.com]
dates: ["%m/%d/%Y"]
rules:
  - id: digest
    when: {subject: ^Digest}
    occurred: {subject: "(?P<value>\\\\d\\\\d/\\\\d\\\\d/\\\\d{4})", type: date, shift_days: -1, at: end}
    fields:
      unit: {label: Unit}
      locked: {label: Locked, type: flag, true: [on], false: [off]}
    events:
      - patch: {unit: unit, pms_lockout: locked, pms_status_raw: "{{ unit }} on {{ occurred_on }} at {{ location }}"}
"""


def test_a_rule_may_say_when() -> None:
    """`occurred` reads the moment from the mail, with the end of the day before."""
    reading = read(
        mail("Unit: B204\nLocked: ON\n", subject="Digest 05/03/2026"), rules=load_rules_text({"s.yaml": STATED})
    )
    event = reading.events[0]
    assert event.effective_at.isoformat() == "2026-05-02T23:59:59-05:00"
    assert event.body == {"pms_lockout": True, "pms_status_raw": "B204 on 2026-05-02 at MAIN"}


def test_the_trace_is_bounded() -> None:
    """However long the mail, its trace stays small, and says how long it was."""
    reading = read(mail(BODY + "".join(f"Label {n}: {'x' * 40}\n" for n in range(4000))))
    assert reading.outcome == Outcome.EVENTS
    assert len(json.dumps(reading.trace)) < 200_000
    assert reading.trace["lines"] == 4005


def test_slow_shapes_are_read_in_linear_time() -> None:
    """A body shaped against backtracking engines is only text."""
    assert read(mail("a" * 200_000 + "!")).outcome == Outcome.INCOMPLETE


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=2000))
def test_any_octets_give_a_reading(raw: bytes) -> None:
    """No octets make the parser fail: every mail has an outcome and a trace."""
    reading = read(raw)
    assert json.dumps([reading.to_json(), reading.trace])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SEEDS), st.integers(0), st.integers(0, 40), st.binary(max_size=40))
def test_mutated_fixtures_give_a_reading(seed: bytes, at: int, cut: int, put: bytes) -> None:
    """A fixture with some octets replaced gives a reading, the same one twice."""
    place = at % (len(seed) + 1)
    raw = seed[:place] + put + seed[place + cut :]
    reading = read(raw)
    assert reading == read(raw)
    assert json.dumps([reading.to_json(), reading.trace])


HEADERS = [
    "Content-Type: ",
    "Content-Transfer-Encoding: ",
    "From: ",
    "Subject: ",
    "Date: ",
    "To: ",
    "Content-Disposition: ",
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(HEADERS), st.text(max_size=60)), max_size=6),
    st.sampled_from(["", "multipart/mixed; boundary=x", "text/html; charset=", "message/rfc822", "multipart/digest"]),
    st.text(max_size=200),
)
def test_any_headers_give_a_reading(headers: list[tuple[str, str]], kind: str, body: str) -> None:
    """No header makes the parser fail."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    raw = f"{head}Content-Type: {kind}\r\n\r\n{body}\r\n--x\r\n{body}".encode("utf-8", "surrogatepass")
    reading = read(raw)
    assert json.dumps([reading.to_json(), reading.trace])


@pytest.mark.parametrize("cut", ["%s", "{%s,}", '{%s, "unit": "C1"}'])
def test_structured_data_that_cannot_be_read_is_not_passed_over(cut: str) -> None:
    """A block that names a rule's type and is no JSON holds what else the mail says; one of another type does not."""
    event = '"@type": "PmsEvent", "event": "patch", "unit": "B204", "pms_lockout": true'

    def of(*blocks: str) -> Reading:
        scripts = "".join(f'<script type="application/ld+json">{block}</script>' for block in blocks)
        head = "From: a@sitelink.com\nSubject: Note\nDate: Fri, 01 May 2026 09:30:00 -0500\n"
        return read(f"{head}Content-Type: text/html\n\n<html><body>{scripts}<p>Note</p></body></html>".encode())

    whole, other = f"{{{event}}}", event.replace("B204", "B205")
    assert [event.unit for event in of(whole, whole.replace("B204", "B205")).events] == ["B204", "B205"]
    for blocks in ((whole, cut % other), (cut % other, whole)):
        reading = of(*blocks)
        assert (reading.outcome, reading.events) == (Outcome.INVALID, ())
        assert "not JSON" in (reading.reason or "")
    assert len(of(whole, cut % other.replace("PmsEvent", "Order")).events) == 1


def in_pre(raw: bytes) -> bytes | None:
    """Return a mail of one plain text with the text in one ``<pre>``; None for any other mail, and for UTF-16."""
    message = message_from_bytes(raw)
    text = message.get_payload(decode=True)
    charset = message.get_content_charset("utf-8")
    if message.get_content_type() != "text/plain" or charset == "utf-16" or not isinstance(text, bytes):
        return None
    for name in ("Content-Type", "Content-Transfer-Encoding"):
        del message[name]
    message["Content-Type"] = f"text/html; charset={charset}"
    message["Content-Transfer-Encoding"] = "8bit"
    return bytes(message).partition(b"\n\n")[0] + b"\n\n<pre>\n" + text.replace(b"&", b"&amp;").replace(b"<", b"&lt;")


def test_text_in_pre_reads_as_its_twin() -> None:
    """A notice whose text stands in one preformatted block is the same event, or as little of one."""
    raws = [path.read_bytes() for path in (ROOT / "fixtures").glob("*/*.eml") if path.parent.name != "forwards"]
    twins = [(raw, twin) for raw in raws if (twin := in_pre(raw)) is not None]
    assert len(twins) > 100
    for raw, twin in twins:
        plain, html = read(raw), read(twin)
        assert (plain.outcome, plain.events) == (html.outcome, html.events), raw.decode("latin-1")
