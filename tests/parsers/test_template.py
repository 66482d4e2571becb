"""Templates: an allow-list of syntax, strict names, bounded texts."""

import datetime as dt

import pytest

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


@pytest.mark.parametrize("source", ["{{ gone }}", "{{ by | date }}", "{{ on | date('%99999d') }}", "{{ by }}" * 40])
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
