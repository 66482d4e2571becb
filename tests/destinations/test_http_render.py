"""Requests of described APIs: the same arguments give the same bytes, and no value bends a path or a body."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.events import Value
from worker.calls import Request, Verb
from worker.catalogue import load_api, shipped_apis
from worker.destinations.fill import Unfit, complete_body, complete_path, read_plan, render
from worker.destinations.spec import ApiSpec
from worker.destinations.specfile import read_spec

HEAD = "api: a\ncolumns: [door_id, weight]\nanswers: {success: {needs: [id]}, message: m}\ncalls:\n"
MONEY = st.decimals(min_value=0, max_value=Decimal("9999999.99"), places=2)
TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=40)
DAYS = st.dates().map(lambda day: day.isoformat())


def api(calls: str, head: str = HEAD) -> ApiSpec:
    """Return the spec of a small file."""
    return read_spec(head + calls, "a.yaml")


def body_of(tree: str, body: Mapping[str, Value], verb: Verb = Verb.PATCH, **about: Value) -> Any:
    """Return the body that a tree gives, as JSON."""
    spec = api(f"  {verb}: {{put: /x, body: {tree}}}\n")
    return json.loads(render(spec, verb, "A", body, about).body)


def refusal(request: Request, spec: ApiSpec) -> str:
    """Return why a request is never sent."""
    with pytest.raises(Unfit) as caught:
        read_plan(spec, request)
    return str(caught.value)


@pytest.mark.law
@given(
    name=st.sampled_from(shipped_apis()),
    verb=st.sampled_from((Verb.MOVE_IN, Verb.MOVE_OUT, Verb.PATCH)),
    unit=TEXT,
    tenancy=st.fixed_dictionaries({"pms_tenant_id": TEXT, "move_in_date": DAYS}, optional={"ledger_id": TEXT}),
    facts=st.fixed_dictionaries(
        {},
        optional={
            "balance_due": MONEY,
            "paid_through_date": st.none() | DAYS,
            "pms_lockout": st.booleans(),
            "pms_status_raw": st.none() | TEXT,
        },
    ),
    columns=st.dictionaries(
        st.sampled_from(
            ("lease_id", "resident_id", "organization_id", "property_id", "unit_id", "room_stay_id", "contact_id")
        ),
        TEXT,
    ),
    drops=st.booleans(),
)
def test_the_same_arguments_give_the_same_bytes(
    name: str, verb: Verb, unit: str, tenancy: Any, facts: Any, columns: Any, drops: bool
) -> None:
    """Rendering is a function: in whatever order the arguments come, equal ones give equal requests."""
    spec = load_api(name)
    body = {Verb.MOVE_IN: tenancy, Verb.MOVE_OUT: {}, Verb.PATCH: facts}[verb]
    about = {"unit": "B204", "location": "MAIN", "move_out_date": "2026-06-30", **columns}
    first = render(spec, verb, unit, body, about, drops_unknown=drops)
    again = render(spec, verb, unit, dict(reversed(body.items())), dict(reversed(about.items())), drops_unknown=drops)
    assert first == again
    path, _, fragment = first.path.partition("#")
    assert path.startswith("/")
    assert fragment
    assert path.isascii()
    assert fragment.isascii()


@pytest.mark.law
@given(door=TEXT)
def test_no_value_bends_the_path(door: str) -> None:
    """Whatever a column holds is one segment of the path, and comes back out of it."""
    spec = api("  move_out: {delete: '/doors/{{ door_id }}/stay?door={{ door_id }}'}\n")
    plan = read_plan(spec, render(spec, Verb.MOVE_OUT, "A", {}, {"door_id": door}))
    path, _, query = plan.path.partition("?")
    start, _, rest = path.removeprefix("/doors/").partition("/")
    assert (unquote(start), rest) == (door, "stay")
    assert unquote(query.removeprefix("door=")) == door
    assert not set(start) <= {"."}


@pytest.mark.law
@given(value=TEXT)
def test_no_value_is_taken_for_a_look_up(value: str) -> None:
    """A value that looks like a placeholder stays a value, in the path and in the body."""
    calls = (
        "  move_in:\n    look_ups: [{name: guest_id, get: /g, take: id}]\n"
        "    put: /doors/{{ door_id }}/{{ guest_id }}\n    body: {guest: '{{ guest_id }}', door: '{{ door_id }}'}\n"
    )
    spec = api(calls)
    request = render(spec, Verb.MOVE_IN, "A", {}, {"door_id": value + "{guest_id}"})
    plan = read_plan(spec, request)
    path = complete_path(plan.path, {"guest_id": 7})
    assert unquote(path.split("/")[2]) == value + "{guest_id}"
    assert path.endswith("/7")
    assert json.loads(complete_body(request.body, {"guest_id": 7})) == {"guest": 7, "door": value + "{guest_id}"}


@pytest.mark.parametrize(
    ("tree", "body", "expected"),
    [
        ('{v: "{{ balance_due }}"}', {"balance_due": Decimal("150.00")}, {"v": 150}),
        ('{v: {value: "{{ balance_due }}", as: number}}', {"balance_due": Decimal("150.05")}, {"v": 150.05}),
        ('{v: {value: "{{ balance_due }}", as: cents}}', {"balance_due": Decimal("150.05")}, {"v": 15005}),
        ('{v: {value: "{{ balance_due }}", as: text}}', {"balance_due": Decimal("150.50")}, {"v": "150.50"}),
        ('{v: "{{ pms_lockout }}"}', {"pms_lockout": True}, {"v": True}),
        ('{v: {value: "{{ pms_lockout }}", as: text}}', {"pms_lockout": False}, {"v": "false"}),
        ("{v: \"{{ 'shut' if pms_lockout else 'open' }}\"}", {"pms_lockout": False}, {"v": "open"}),
        ("{v: \"{{ 'shut' if pms_lockout else 'open' }}\"}", {"pms_lockout": True}, {"v": "shut"}),
        ('{v: "is {{ pms_lockout }}"}', {"pms_lockout": True}, {"v": "is true"}),
        ('{v: "{{ paid_through_date }}"}', {"paid_through_date": "2026-05-31"}, {"v": "2026-05-31"}),
        ('{v: "{{ paid_through_date }}"}', {"paid_through_date": None}, {"v": None}),
        ("{v: \"{{ paid_through_date | date('%d.%m.') }}\"}", {"paid_through_date": "2026-05-31"}, {"v": "31.05."}),
        ("{v: \"{{ paid_through_date | date('%d.%m.') }}\"}", {"paid_through_date": None}, {"v": None}),
        ('{v: "{{ pms_lockout }}", w: {x: "{{ balance_due }}"}}', {"pms_lockout": True}, {"v": True}),
        ('{v: "{{ pms_lockout }}", value: {value: {value: "1", as: integer}}}', {"pms_lockout": True}, None),
    ],
)  # fmt: skip
def test_values_of_a_body(tree: str, body: Mapping[str, Value], expected: Any) -> None:
    """A bare name keeps its kind, `as` changes it, a cleared fact is null, a fact that is not carried is left out."""
    expected = expected or {"v": True, "value": {"value": 1}}
    assert body_of(tree, body) == expected


@pytest.mark.parametrize(
    ("value", "kind", "word"),
    [("seven", "integer", "a whole number"), ("1.005", "cents", "two decimals"), ("1", "flag", "true or false"),
     ("NaN", "number", "two decimals"), ("1e400", "cents", "two decimals")],
)  # fmt: skip
def test_a_column_that_does_not_convert_is_a_refusal(value: str, kind: str, word: str) -> None:
    """A value that is not what the API wants is never sent, and is named without being shown."""
    spec = api(f'  move_out: {{put: /x, body: {{w: {{value: "{{{{ weight }}}}", as: {kind}}}}}}}\n')
    why = refusal(render(spec, Verb.MOVE_OUT, "A", {}, {"weight": value}), spec)
    assert word in why
    assert "`weight`" in why
    assert value == "1" or value not in why


def test_the_first_write_whose_conditions_hold() -> None:
    """Of several writes the first whose conditions hold is the one; none is a refusal."""
    either = "{when: {ledger_id: given, unit: B1}, put: /both}, {when: {unit: B1}, put: /one}"
    spec = api(f"  move_in: {{either: [{either}, {{when: {{ledger_id: absent}}, put: /none}}]}}\n")

    def path(**known: Value) -> str:
        return render(spec, Verb.MOVE_IN, "A", {}, known).path.partition("#")[0]

    assert path(ledger_id="L", unit="B1") == "/both"
    assert path(unit="B1") == "/one"
    assert path(unit="B2") == "/none"
    assert "conditions hold" in refusal(render(spec, Verb.MOVE_IN, "A", {}, {"ledger_id": "L", "unit": "B2"}), spec)


def test_a_header_takes_no_line_end() -> None:
    """A value that cannot stand in a header is a refusal."""
    spec = api("  move_out: {delete: /x, headers: {X-Door: '{{ door_id }}'}}\n")
    assert read_plan(spec, render(spec, Verb.MOVE_OUT, "A", {}, {"door_id": "7"})).headers == {"X-Door": "7"}
    for value in ("7\r\nX-Other: 1", "Türe"):
        assert "X-Door" in refusal(render(spec, Verb.MOVE_OUT, "A", {}, {"door_id": value}), spec)


def test_a_patch_of_nothing_is_a_refusal() -> None:
    """A patch whose facts the destination drops would write nothing, and is not sent."""
    spec = api('  patch: {put: /x, body: {v: "{{ pms_lockout }}"}}\n')
    request = render(spec, Verb.PATCH, "A", {"balance_due": Decimal(1)}, {}, drops_unknown=True)
    assert "none of the facts" in refusal(request, spec)


def test_a_request_of_another_version_is_not_sent() -> None:
    """A stored request that the file no longer knows is refused, not guessed at."""
    old, new = api("  move_out: {either: [{when: {unit: x}, put: /a}, {put: /b}]}\n"), api("  move_out: {put: /c}\n")
    request = render(old, Verb.MOVE_OUT, "A", {}, {})
    assert read_plan(old, request).path == "/b"
    assert "another version" in refusal(request, new)
    assert "another version" in refusal(Request(method="PUT", path="/units/A", body=b""), new)
