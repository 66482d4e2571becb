"""An explanation tells of each value where it stood, which line of which rule took it, and what it was read as."""

from typing import Any

from parsers import Mailbox, Reading, load_rules_text, parse_mail
from parsers.explain import Tone, render

RULES = """pack: two
senders: [two.example]
dates: ["%m/%d/%Y"]
rules:
  - id: paid
    when: {subject: ^Paid}
    fields:
      unit:    {subject: "Paid (?P<value>[A-Z][0-9])"}
      through: {label: Through, type: date}
      owed:    {label: Owed, type: money}
      by:      {label: By, default: desk}
    events:
      - patch: {unit: unit, paid_through_date: through, balance_due: owed, pms_status_raw: "by {{ by }}"}
  - id: roll
    when: {subject: ^Roll}
    each:
      - attachment: {name: "*.csv"}
        fields: {unit: {column: Unit}, owed: {column: Owed, type: money}}
        events: [{patch: {unit: unit, balance_due: owed}}]
"""
HEAD = "From: a@two.example\nTo: two@in.example.com\nDate: Fri, 01 May 2026 10:05:00 -0500\n"
PAID = HEAD + "Subject: Paid B2\n\nThrough: 06/01/2026\nOwed: $1,200.00\nsee you\n"
ROLL = (
    HEAD + "Subject: Roll\nMIME-Version: 1.0\nContent-Type: text/csv; name=roll.csv\n"
    "Content-Disposition: attachment; filename=roll.csv\n\nUnit,Owed\nB2,1.50\n"
)
MAILBOX = Mailbox(address="two@in.example.com", company="acme", location="TWO")


def read(mail: str) -> Reading:
    return parse_mail(mail.encode(), load_rules_text({"rules/two.yaml": RULES}), mailbox=MAILBOX)


def captures(mail: str) -> dict[str, dict[str, Any]]:
    return {one["field"]: one for one in read(mail).trace["captures"]}


def test_each_value_has_its_part_rule_line_and_conversion() -> None:
    """What was taken from where, by which line of the rule, and as what; the default has its line, too."""
    names = ("part", "rule_line", "type", "format", "text", "value")
    assert {field: tuple(one.get(name) for name in names) for field, one in captures(PAID).items()} == {
        "unit": ("subject", "two.yaml:8", "text", None, "B2", "B2"),
        "through": ("text", "two.yaml:9", "date", "%m/%d/%Y", "06/01/2026", "2026-06-01"),
        "owed": ("text", "two.yaml:10", "money", "1,234.56", "$1,200.00", "1200.00"),
    }
    assert read(PAID).trace["defaults"] == [{"field": "by", "value": "desk", "rule_line": "two.yaml:11"}]
    said = render(read(PAID)).splitlines()
    assert (
        "field    through = '06/01/2026' from label `Through` in line 1 of the text, 9 to 19, "
        "read as 2026-06-01 by date %m/%d/%Y (two.yaml:9)"
    ) in said
    assert "field    by = 'desk' by default (two.yaml:11)" in said


def test_html_and_files_are_named() -> None:
    """The part is the HTML, both where both are read, or the file by its name, with the line of the row's field."""
    page = "MIME-Version: 1.0\nContent-Type: text/html\n\n<p>Through: 06/01/2026</p><p>Owed: $1.00</p>"
    assert captures(HEAD + "Subject: Paid B2\n" + page)["owed"]["part"] == "html"
    parts = (
        "Subject: Paid B2\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nThrough: 06/01/2026\n"
        "--b\nContent-Type: text/html\n\n<p>Owed: $1.00</p>\n--b--\n"
    )
    assert captures(HEAD + parts)["owed"]["part"] == "text and html"
    assert [captures(ROLL)["owed"][name] for name in ("part", "rule_line", "row")] == ["roll.csv", "two.yaml:18", 2]


def test_a_value_that_does_not_convert_says_so() -> None:
    """A text that is no date is shown with the type that it is not."""
    said = render(read(PAID.replace("06/01/2026", "soon")))
    assert "field    through = 'soon' from label `Through` in line 1 of the text, 9 to 13, not read as date" in said


def test_lines_are_painted_by_what_they_tell() -> None:
    """A value, a line that nothing accounts for, and what is held have their tones."""

    def tones(mail: str) -> dict[str, Tone]:
        seen: dict[str, Tone] = {}

        def paint(text: str, tone: Tone) -> str:
            seen[text.strip().partition(" ")[0]] = tone
            return text

        render(read(mail), paint)
        return seen

    found = tones(PAID)
    assert [found[word] for word in ("events", "1", "3", "field", "event")] == [
        Tone.GOOD, Tone.VALUE, Tone.STRANGE, Tone.VALUE, Tone.GOOD,
    ]  # fmt: skip
    assert tones(PAID.replace("Through", "Till"))["incomplete"] is Tone.HELD


def test_a_trace_of_an_earlier_version_is_still_shown() -> None:
    """What it did not note is left out."""
    reading = read(PAID)
    new = ("part", "rule_line", "type", "format")
    old = [{name: value for name, value in one.items() if name not in new} for one in reading.trace["captures"]]
    trace = {name: value for name, value in reading.trace.items() if name != "defaults"} | {"captures": old}
    earlier = Reading(outcome=reading.outcome, rule=reading.rule, rule_set="x", reason=None, trace=trace)
    assert "field    owed = '$1,200.00' from label `Owed` in line 2, 6 to 15, read as 1200.00" in render(earlier)
