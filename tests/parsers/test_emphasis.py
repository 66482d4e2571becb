"""Marks of emphasis: what mail programs make of bold and slanted words is no part of a value."""

import re
from pathlib import Path

import pytest

from parsers import Outcome, load_rules, load_rules_text, parse_mail
from parsers.emphasis import without_emphasis
from tests.parsers.test_fields import MAILBOX, read, unit
from worker.fixtures import FIXTURES, read_fixture, read_in_place_of

PLAIN = [path for path in sorted((FIXTURES / "sitelink").glob("*.eml")) if b"\n\n<" not in path.read_bytes()]
_PAIR = re.compile(r"^(?P<label>[A-Z][^:\n]*): (?P<value>.+)$", re.MULTILINE)
TABLE = """\
pack: demo
senders: [example.com]
rules:
  - id: it
    when: {subject: ^Note}
    each:
      - table: {heading: Locked}
        fields: {unit: {column: Unit}}
        events: [{patch: {unit: unit, pms_lockout: true}}]
"""
STYLES = [
    "*{label}:* {value}",
    "**{label}:** {value}",
    "_{label}:_ {value}",
    "*{label}: *{value}",
    "*{label}*: {value}",
    "{label}: *{value}*",
    "{label}: _{value}_",
    "*{label}:* *{value}*",
    "*{label}: {value}*",
    "*_{label}:_* {value}",
]


@pytest.mark.parametrize("style", [*STYLES, "*{label}:*\n*{value}*", "*{label}*\t{value}", "{label}\t*{value}*"])
@pytest.mark.parametrize("value", ["A12", "A*12", "B_1_2", "A12*", "A 1, B 2"])
def test_marks_around_a_label_or_a_value_are_typography(style: str, value: str) -> None:
    """A field reads the same with marks and without; a mark that is a value's own stays."""
    around = "{value}*" in style or "_{value}_" in style
    if not (around and ("*" in value or "_" in value)):
        assert unit("{label: Unit}", style.format(label="Unit", value=value) + "\nBy: us\n") == value


@pytest.mark.parametrize(
    "text",
    [
        "A12*",
        "*A12",
        "*",
        "* A12",
        "A*1*2",
        "A_1_B",
        "5 * 3 * 2",
        "****1234",
        "*** note ***",
        "*|UNIT|*",
        "__UNIT__",
        "a_b*c",
    ],
)
def test_a_mark_without_its_twin_is_the_texts_own(text: str) -> None:
    """What pairs around no words is left as it is."""
    assert without_emphasis(text) == text


def test_items_of_a_list_may_each_be_marked() -> None:
    """Several marked items are several items."""
    assert without_emphasis("Unit(s): *A12*, *B3* and _C4_") == "Unit(s): A12, B3 and C4"


def test_the_trace_tells_where_a_marked_value_stands() -> None:
    """A capture names the columns of the value in the readable line, which is without marks."""
    trace = read("{label: Unit}", "Note\n*Unit:* *A12*\n").trace
    (capture,) = trace["captures"]
    assert (capture["line"], capture["start"], capture["end"], capture["text"]) == (2, 6, 9, "A12")
    assert trace["text"] == ["Note", "Unit: A12"]


@pytest.mark.parametrize("style", STYLES)
def test_patterns_run_on_a_text_without_marks(style: str) -> None:
    """A `regex` field takes no mark for a part of its value, and a condition finds its words."""
    more = "ignore_lines: [^By]"
    text = style.format(label="Unit", value="A12") + "\nBy: us\n"
    assert unit("{regex: '^Unit: ?(?P<value>[^ ]+)$'}", text, more=more) == "A12"


def test_a_marked_label_below_another_one_is_no_value() -> None:
    """A label without a value takes no marked label that stands below it."""
    reading = read("{label: Unit}", "*Unit:*\n*Tenant:* T-5\n")
    assert (reading.outcome, reading.events) == (Outcome.INCOMPLETE, ())


def test_a_cell_of_a_table_may_be_marked() -> None:
    """A row of a table in plain text reads the same with marks."""
    body = "Locked\n*Unit*\t*Name*\n*A1*\tAnn\nB2*\t_Bo_\n"
    raw = f"From: a@example.com\nSubject: Note\nDate: Fri, 01 May 2026 09:30:00 -0500\n\n{body}"
    reading = parse_mail(raw.encode(), load_rules_text({"demo.yaml": TABLE}), mailbox=MAILBOX)
    assert [event.unit for event in reading.events] == ["A1", "B2*"], reading.reason


def marked(octets: bytes, style: str) -> bytes:
    head, _, body = octets.decode().partition("\n\n")

    def mark(match: re.Match[str]) -> str:
        return style.format(label=match["label"], value=match["value"])

    return f"{head}\n\n{_PAIR.sub(mark, body)}".encode()


@pytest.mark.parametrize("style", STYLES)
def test_every_field_of_a_marked_mail_reads_as_its_plain_twin(style: str) -> None:
    """The events of the shipped text mails of a pack, with every label or value marked."""
    rules = load_rules([FIXTURES.parent / "rules"])
    told = 0
    wrong: dict[str, object] = {}
    for path in PLAIN:
        plain = read_fixture(path, rules)[0]
        octets = marked(path.read_bytes(), style)
        if plain.outcome is Outcome.EVENTS and octets != path.read_bytes():
            told += 1
            reading = read_in_place_of(path, octets, rules)
            if reading.events != plain.events:
                wrong[Path(path).stem] = reading.reason or [event.unit for event in reading.events]
    assert told >= 5
    assert wrong == {}
