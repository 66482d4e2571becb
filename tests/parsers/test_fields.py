"""Fields: where a value is taken from, which of several finds counts, and what it is converted to."""

import pytest

from parsers import Mailbox, Outcome, Reading, load_rules_text, parse_mail

MAILBOX = Mailbox(address="main@demo.test", company="demo", location="MAIN")
RULE = """\
pack: demo
senders: [example.com]
dates: ["%m/%d/%Y", "%m/%d/%Y %H:%M"]
rules:
  - id: it
    when: {{subject: ^Note}}
    fields:
      unit: {field}
    {more}
    events: [{{patch: {{unit: unit, pms_lockout: true}}}}]
"""


def read(
    field: str, body: str, *, more: str = "", subject: str = "Note on B7", head: str = "", kind: str = "text/plain"
) -> Reading:
    rules = load_rules_text({"demo.yaml": RULE.format(field=field, more=more)})
    raw = (
        f"From: a@example.com\nSubject: {subject}\nDate: Fri, 01 May 2026 09:30:00 -0500\n{head}"
        f"Content-Type: {kind}; charset=utf-8\n\n{body}"
    )
    return parse_mail(raw.encode(), rules, mailbox=MAILBOX)


def unit(field: str, body: str, **more: str) -> str:
    reading = read(field, body, **more)
    assert reading.outcome is Outcome.EVENTS, reading.reason
    (event,) = reading.events
    return event.unit


ACCOUNT = "Old account\nUnit: A1\nNew account\nUnit: A2\nUnit: A3\nNotes\nUnit: A4\n"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("{label: Unit, nth: 1}", "A1"),
        ("{label: Unit, nth: 4}", "A4"),
        ("{label: Unit, after: New account, nth: 1}", "A2"),
        ("{label: Unit, after: New account, nth: 3}", "A4"),
        ("{label: Unit, before: New account}", "A1"),
        ("{label: Unit, after: Notes}", "A4"),
        ("{label: Unit, after: [Account, new account], before: Notes, nth: 2}", "A3"),
        ("{regex: 'Unit: (?P<value>A[34])', before: Notes}", "A3"),
        ("{regex: 'Unit: (?P<value>A.)', nth: 2}", "A2"),
        ("[{subject: 'on (?P<value>.+)'}, {label: Room}]", "B7"),
        ("[{label: Room}, {header: X-Unit}, {const: C9}]", "C9"),
        ("{header: X-Unit, optional: true, default: D1}", "D1"),
    ],
)
def test_a_place_among_the_lines_says_which_value_counts(field: str, expected: str) -> None:
    """`after`, `before` and `nth` choose among finds; a list of sources takes what is found."""
    assert unit(field, ACCOUNT) == expected


@pytest.mark.parametrize(
    ("field", "outcome", "words"),
    [
        ("{label: Unit}", Outcome.INVALID, "different values"),
        ("{label: Unit, after: New account}", Outcome.INVALID, "different values (line 4, line 5, line 7)"),
        ("{label: Unit, nth: 5}", Outcome.INCOMPLETE, "no value for `unit`"),
        ("{label: Unit, after: Notes, before: New account}", Outcome.INCOMPLETE, "no value for `unit`"),
        ("{label: Unit, after: Balance}", Outcome.INCOMPLETE, "no heading `Balance`"),
        ("{label: Room, optional: true, after: Balance}", Outcome.INCOMPLETE, "no heading `Balance`"),
        ("[{subject: 'on (?P<value>.+)'}, {regex: 'Unit: (?P<value>A4)'}]", Outcome.INVALID, "(Subject, line 7)"),
        ("{label: Unit, nth: 1, pattern: 'B.*'}", Outcome.INVALID, "does not match the field's pattern"),
    ],
)
def test_a_value_is_never_chosen_for_lack_of_a_better_one(field: str, outcome: Outcome, words: str) -> None:
    """Several values, too few, or a heading that is not there hold the mail, and say why."""
    reading = read(field, ACCOUNT)
    assert (reading.outcome, reading.events) == (outcome, ())
    assert words in (reading.reason or ""), reading.reason


@pytest.mark.parametrize("gap", [" ", "   ", " | ", ", ", "; "])
def test_a_line_break_that_was_lost_makes_no_value(gap: str) -> None:
    """A text that goes on with another label is held; a field with a pattern says itself what its value is."""
    body = f"Unit: A1{gap}Site: Main\n"
    reading = read("{label: Unit}", body)
    assert (reading.outcome, reading.events) == (Outcome.INVALID, ())
    assert "`unit` (line 1) holds another label" in (reading.reason or "")
    assert unit("{label: Unit, pattern: '.* Site: Main'}", body) == f"A1{gap}Site: Main".replace("   ", " ")


@pytest.mark.parametrize("value", ["A1", "A 1, B 2", "1 - 306-PR", "A:1", "(A) 1; B", "10:30"])
def test_a_colon_alone_is_no_label(value: str) -> None:
    """Only a word, a colon and a blank make a label."""
    assert unit("{label: Unit}", f"Unit: {value}\nBy: us\n") == value


@pytest.mark.parametrize("field", ["{label: Unit}", "[{subject: 'on (?P<value>.+)'}, {label: Unit}]"])
def test_a_value_below_its_label_is_not_passed_over_for_another(field: str) -> None:
    """A mail that says a value below its label and another one elsewhere is held; the same one twice is not."""
    said = "B7" if "subject" in field else "A1"
    elsewhere = "By: us\n\n" if "subject" in field else "Unit: A1\n\n"
    reading = read(field, f"Unit:\nA2\n\n{elsewhere}")
    assert (reading.outcome, reading.events) == (Outcome.INVALID, ())
    assert unit(field, f"Unit:\n{said}\n\n{elsewhere}") == said


def test_a_heading_that_stands_twice_marks_no_place() -> None:
    """Which of two headings is meant is not guessed."""
    reading = read("{label: Unit, after: Notes}", f"Notes\n{ACCOUNT}")
    assert reading.outcome is Outcome.INVALID
    assert "the heading `Notes` of the field `unit` stands more than once (line 1, line 7)" in (reading.reason or "")


def test_a_heading_is_accounted_for() -> None:
    """The line that marks a field's place is no line that nothing read."""
    reading = read("{label: Unit, after: New account, nth: 1}", ACCOUNT)
    assert reading.trace["unaccounted"] == [1, 6]


def test_a_header_is_read() -> None:
    """A field may come from a header of the mail."""
    assert unit("{header: X-Unit}", "Hello\n", head="X-Unit: E5\n") == "E5"


@pytest.mark.parametrize(
    ("written", "told"),
    [("7", "7"), ("1,204", "1204"), ("-3", "-3"), ("007", "7")],
)
def test_whole_numbers(written: str, told: str) -> None:
    """A whole number is read with or without its groups, and written plainly."""
    field = "{label: Unit}\n      days: {label: Days, type: integer}"
    rule = RULE.format(field=field, more="").replace("true}}]", "true, pms_status_raw: '{{ days }}'}}]")
    raw = f"From: a@example.com\nSubject: Note\nDate: Fri, 01 May 2026 09:30:00 -0500\n\nUnit: A1\nDays: {written}\n"
    (event,) = parse_mail(raw.encode(), load_rules_text({"demo.yaml": rule}), mailbox=MAILBOX).events
    assert event.body["pms_status_raw"] == told


@pytest.mark.parametrize("written", ["1.5", "12,04", "1,2345", "1 204", "five", "9999999999", "٣"])
def test_no_half_numbers(written: str) -> None:
    """What is not a whole number whole is held."""
    reading = read("{label: Unit}\n      days: {label: Days, type: integer}", f"Unit: A1\nDays: {written}\n")
    assert (reading.outcome, reading.events) == (Outcome.INVALID, ())
    assert "`days`" in (reading.reason or "")


@pytest.mark.parametrize(
    ("occurred", "expected"),
    [
        ("{label: Day, type: date, at: start}", "2026-04-30T00:00:00-05:00"),
        ("{label: Day, type: date, at: end, shift_days: -1}", "2026-04-29T23:59:59-05:00"),
        ("{label: At}", "2026-04-30T18:05:00-05:00"),
        ("{label: At, shift_days: -2}", "2026-04-28T18:05:00-05:00"),
        ("{label: Nowhere, optional: true}", "2026-05-01T09:30:00-05:00"),
    ],
)
def test_a_rule_says_when_it_happened(occurred: str, expected: str) -> None:
    """`occurred` names the moment: a date's start or end, moved by days, or an hour."""
    rules = load_rules_text({"demo.yaml": RULE.format(field="{label: Unit}", more=f"occurred: {occurred}")})
    head = "From: a@example.com\nSubject: Note\nDate: Fri, 01 May 2026 09:30:00 -0500\n\n"
    raw = f"{head}Unit: A1\nDay: 04/30/2026\nAt: 04/30/2026 18:05\n".encode()
    (event,) = parse_mail(raw, rules, mailbox=MAILBOX).events
    assert event.effective_at.isoformat() == expected


SHARED = """\
pack: demo
senders: [example.com]
dates: ["%m/%d/%Y"]
rules:
  - id: notice
    when: {subject: ^Notice}
    fields: {unit: {label: Unit}, tenant: {label: Tenant}, day: {label: Date, type: date}}
    identity: [unit, tenant, day]
    events: [{move_in: {unit: unit, pms_tenant_id: tenant, move_in_date: day}}]
  - id: copy
    when: {subject: ^Copy}
    occurrence: notice
    fields:
      unit: {regex: "unit (?P<value>\\\\S+) is"}
      tenant: {regex: "customer (?P<value>\\\\S+)\\\\."}
      day: {regex: "from (?P<value>[0-9/]+)\\\\.", type: date}
    identity: [unit, tenant, day]
    events: [{move_in: {unit: unit, pms_tenant_id: tenant, move_in_date: day}}]
"""


def test_two_layouts_of_one_happening_are_one_event() -> None:
    """Rules that share an occurrence give one identity; without it they would be two events."""
    texts = {
        "Notice": "Unit: A1\nTenant: T-5\nDate: 05/01/2026\n",
        "Copy": "Hi Ann, your unit A1 is ready from 05/01/2026. Thanks, customer T-5.\n",
    }

    def identities(pack: str) -> set[str]:
        rules = load_rules_text({"demo.yaml": pack})
        heads = "From: a@example.com\nDate: Fri, 01 May 2026 09:30:00 -0500\n"
        mails = [f"{heads}Subject: {subject}\n\n{body}".encode() for subject, body in texts.items()]
        readings = [parse_mail(raw, rules, mailbox=MAILBOX) for raw in mails]
        assert [len(reading.events) for reading in readings] == [1, 1]
        return {event.identity for reading in readings for event in reading.events}

    assert len(identities(SHARED)) == 1
    assert len(identities(SHARED.replace("    occurrence: notice\n", ""))) == 2
