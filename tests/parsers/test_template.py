"""Templates: an allow-list of syntax, strict names, bounded texts."""

import datetime as dt

import pytest

from parsers import Mailbox, RuleErrors, load_rules_text, parse_mail
from parsers.template import MAX_OUTPUT, BadTemplate, Template, Unfilled

VALUES = {"by": "facility", "on": dt.date(2026, 5, 2)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Overlocked per {{ by }} {{ on }}", "Overlocked per facility 2026-05-02"),
        ("{{ by | upper }}", "FACILITY"),
        ("{{ on | date('%m/%d/%Y') }}", "05/02/2026"),
        ("{{ 'A b/C' | slug }}", "a-b-c"),
        ("{{ missing | default('none') }}", "none"),
        ("{{ 'x' if by == 'facility' else 'y' }}", "x"),
        ("{% if by %}yes{% endif %}", "yes"),
    ],
)
def test_the_language(source: str, expected: str) -> None:
    """Names, listed filters and conditions work."""
    assert expected == Template(source).fill(VALUES)


@pytest.mark.parametrize(
    "source",
    [
        "{{ by.upper() }}",
        "{{ by.__class__ }}",
        "{{ by['x'] }}",
        "{{ range(9) }}",
        "{{ 'a' * 999999999 }}",
        "{{ 1 + 1 }}",
        "{{ by ~ by }}",
        "{% for x in by %}{{ x }}{% endfor %}",
        "{% set x = 1 %}",
        "{% include 'x' %}",
        "{% macro m() %}{% endmacro %}",
        "{{ by | center(999999999) }}",
        "{{ by | attr('x') }}",
        "{{ by | default(by) }}",
        "{{ by is defined }}",
        "{{ [by] }}",
        "{{ by",
        "{{ on | date('%Q') }}",
        "{{ on | date('%99999d') }}",
        "{{ on | date('100 %') }}",
        "{{ on | date('') }}",
        "{{ on | date(3) }}",
        "{{ 'x' | date }}",
        "{{ by | upper('x') }}",
        "x" * 1001,
    ],
)
def test_what_is_outside_the_language_does_not_load(source: str) -> None:
    """Calls, attributes, loops, arithmetic and unlisted filters are refused."""
    with pytest.raises(BadTemplate):
        Template(source)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    """A name that no field has is told, with the nearest that one has."""
    with pytest.raises(BadTemplate) as caught:
        Template("{{ untit }}", ["unit", "by"])
    assert caught.value.nearest == "unit"


@pytest.mark.parametrize("source", ["{{ gone }}", "{{ by | date }}", "{{ by }}" * 40])
def test_what_cannot_be_filled_is_told(source: str) -> None:
    """A name without a value, a filter on the wrong type, or more than 255 characters: never half a text."""
    with pytest.raises(Unfilled):
        Template(source).fill(VALUES)


def test_the_longest_text_is_allowed() -> None:
    """255 characters are within the bound."""
    assert len(Template("{{ a }}").fill({"a": "x" * MAX_OUTPUT})) == MAX_OUTPUT


@pytest.mark.parametrize("source", ["a {{ by }} b {{on}}", "{{ by }}{{ by }}", "plain", "", "{{  on  }}\n"])
def test_bare_names_are_filled_as_jinja_fills_them(source: str) -> None:
    """The short way for bare names gives what Jinja gives."""
    with_jinja = Template(source + "{% if false %}{% endif %}x").fill(VALUES)
    assert with_jinja == Template(source).fill(VALUES) + "x"


RULE = """pack: two
senders: [two.example]
dates: ["%m/%d/%Y"]
rules:
  - id: a
    when: {subject: ^Note}
    fields: {unit: {label: Unit}, by: {label: By}, due: {label: Due, type: date, optional: true}}
    events:
      - patch: {unit: unit, pms_lockout: true}
      - patch: {unit: unit, pms_status_raw: "TEMPLATE"}
"""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ due | date('%Q') }}", "two.yaml:10:45: unknown date directive `%Q`"),
        ("{{ by | date }}", "two.yaml:10:45: the filter `date` takes a date; `by` is text"),
        ("{{ by | upper | date }}", "two.yaml:10:45: the filter `date` takes a date; `by` is text"),
        ("{{ mailbox | date }}", "two.yaml:10:45: the filter `date` takes a date; `mailbox` is text"),
        ("{{ due | default('x') | date('%Y') }}", None),
        ("{{ occurred_on | date('%d.%m.%Y') }}", None),
    ],
)
def test_a_filter_that_no_mail_could_fill_does_not_load(source: str, said: str | None) -> None:
    """A directive that there is not, and `date` on what is no date, are told with their place; dates load."""
    text = RULE.replace("TEMPLATE", source)
    if said is None:
        assert load_rules_text({"two.yaml": text}).packs
        return
    with pytest.raises(RuleErrors) as caught:
        load_rules_text({"two.yaml": text})
    assert str(caught.value).startswith(said)


def test_a_mail_that_a_template_cannot_be_filled_from_names_field_and_line() -> None:
    """The reason of a held mail says which fields, and where the event stands in the rule file."""
    rules = load_rules_text({"rules/two.yaml": RULE.replace("TEMPLATE", "due {{ due | date }}")})
    head = "From: a@two.example\nSubject: Note\nDate: Fri, 01 May 2026 10:05:00 -0500\n\nUnit: B2\nBy: me\n"
    mailbox = Mailbox(address="two@in.example.com", company="acme", location="TWO")
    assert parse_mail((head + "Due: 06/01/2026\n").encode(), rules, mailbox=mailbox).events[1].body == {
        "pms_status_raw": "due 2026-06-01"
    }
    held = parse_mail(head.encode(), rules, mailbox=mailbox)
    assert held.outcome == "incomplete"
    assert held.reason
    assert "(fields: `due`)" in held.reason
    assert "(two.yaml:10)" in held.reason
