"""The calls that one event gives by itself: those of the real order, for each kind of event and each destination."""

import datetime as dt
from functools import partial
from typing import Any

import pytest

from parsers.events import Event, Kind
from worker.asking import Site, asked_alone
from worker.calls import Manners, Request, Verb
from worker.destinations.profiles import KISS_V2, render

AT = dt.datetime(2026, 5, 1, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=-5)))
TENANT = {"pms_tenant_id": "T-1", "move_in_date": "2026-05-01", "unit_name": "A1", "pms_location_code": "MAIN"}


def _requested(verb: Verb, crm_unit_id: str, body: Any, *, about: Any, seen: list[Any]) -> Request:
    seen.append(about)
    return render(KISS_V2, verb, crm_unit_id, body)


def site(seen: list[Any] | None = None, **manners: Any) -> Site:
    return Site(
        company="acme",
        location="MAIN",
        timezone="America/Chicago",
        destination="local",
        manners=Manners(**manners) if manners else KISS_V2.manners,
        render=partial(_requested, seen=[] if seen is None else seen),
    )


def event(kind: Kind, body: dict[str, Any], crm_unit_id: str = "MAIN-A1") -> Event:
    return Event(
        kind=kind,
        unit="A1",
        crm_unit_id=crm_unit_id,
        effective_at=AT,
        mailed_at=AT,
        position=0,
        identity="gpi1-x",
        rule="t/one",
        body=body,
    )


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (Kind.MOVE_IN, TENANT, ["PUT /units/MAIN-A1/tenancy"]),
        (Kind.MOVE_OUT, {}, ["DELETE /units/MAIN-A1/tenancy"]),
        (Kind.PATCH, {"pms_lockout": True}, ["PATCH /units/MAIN-A1"]),
        (
            Kind.SNAPSHOT,
            {**TENANT, "occupied": True, "pms_lockout": True},
            ["PATCH /units/MAIN-A1", "PUT /units/MAIN-A1/tenancy"],
        ),
    ],
)
def test_each_kind_gives_its_calls(kind: Kind, body: dict[str, Any], expected: list[str]) -> None:
    """A kind of event gives its calls in their order, each under a key of its own that never changes."""
    told = list(asked_alone(event(kind, body), site()))
    assert [f"{one.request.method} {one.request.path}" for one in told] == expected
    assert len({one.key for one in told}) == len(expected)
    assert told == list(asked_alone(event(kind, body), site()))


def test_a_unit_without_an_id_has_no_call() -> None:
    """What is not in the unit map, or is found by its tenancy, is asked of nobody yet."""
    assert list(asked_alone(event(Kind.PATCH, {"pms_lockout": True}, crm_unit_id=""), site())) == []


def test_what_a_destination_does_not_take_is_not_asked_of_it() -> None:
    """Facts that it does not take, and calls that it does not know, are left out; the day of the end is known."""
    assert list(asked_alone(event(Kind.PATCH, {"pms_auction": True}), site(facts=("pms_lockout",)))) == []
    seen: list[Any] = []
    (told,) = asked_alone(event(Kind.MOVE_OUT, {}), site(seen))
    assert told.request.method == "DELETE"
    assert seen == [{"unit": "A1", "location": "MAIN", "move_out_date": "2026-05-01"}]
