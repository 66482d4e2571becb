"""A unit's lane before KISS over the wire: new units, locks that a move-in takes off, fields that are refused."""

import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from parsers.events import Kind
from tests.rigs import lane
from tests.rigs.kiss import TOKEN, Served, served
from tests.rigs.whole import TOKEN_ENV, Clock, whole
from worker.destinations.kiss import KissDestination
from worker.destinations.profiles import PROFILES
from worker.store.tables import events, issues

NEWER = ["kiss-ulid", "kiss-ulid-2"]


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Callable[[str], tuple[lane.Rig, Served]]]:
    """Return a function that puts a lane before a stand-in of a generation, which has the unit, vacant."""
    with contextlib.ExitStack() as stack:

        def make(profile: str) -> tuple[lane.Rig, Served]:
            unit = lane.Rig(f"sqlite:///{tmp_path / 'store.db'}")
            stack.callback(unit.db.close)
            kiss = stack.enter_context(served(profile, lane.UNIT, clock=unit.clock))
            far = KissDestination(
                name="kiss",
                base_url=kiss.base_url,
                token=TOKEN,
                clock=unit.clock,
                profile=PROFILES[profile],
                window=1,
                timeout_s=30,
            )
            stack.callback(far.close)
            unit.far = far  # type: ignore[assignment]
            return unit, kiss

        yield make


@pytest.mark.parametrize(
    ("far", "kinds"),
    [
        ({"kind": "kiss", "token_env": TOKEN_ENV}, ["phantom_unit"]),
        ({"kind": "kiss", "token_env": TOKEN_ENV, "new_units": "issue"}, ["phantom_unit"]),
        ({"kind": "kiss", "token_env": TOKEN_ENV, "new_units": "expected"}, []),
        ({"kind": "local"}, []),
    ],
)
def test_a_new_unit_opens_an_issue_where_it_is_not_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: dict[str, Any], kinds: list[str]
) -> None:
    """A 201 to a move-in is an issue of that unit at KISS, unless new units are expected; never of local units."""
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    clock = Clock()
    with contextlib.ExitStack() as stack:
        if far["kind"] == "kiss":
            kiss = stack.enter_context(served("kiss-v2", clock=clock))
            far = {**far, "base_url": kiss.base_url}
        made = stack.enter_context(whole(f"sqlite:///{tmp_path / 'store.db'}", far=far, clock=clock))
        made.move_in()
        made.drain()
        assert {event.state for event in made.events()} == {"applied"}
        assert [issue.kind for issue in made.issues()] == kinds
        if far["kind"] == "kiss":
            assert kiss.asked()[0] == ("PUT", 201)
            assert set(kiss.units()) == {"MAIN-B204"}
        if kinds:
            (issue,) = made.issues()
            assert (issue.state, issue.subject) == ("open", {"destination": "far", "unit": "MAIN-B204"})


def test_a_unit_that_was_there_opens_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 200 to a move-in is no new unit: nothing is opened."""
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    clock = Clock()
    with served("kiss-v2", "MAIN-B204", clock=clock) as kiss:
        far = {"kind": "kiss", "token_env": TOKEN_ENV, "base_url": kiss.base_url}
        with whole(f"sqlite:///{tmp_path / 'store.db'}", far=far, clock=clock) as made:
            made.move_in()
            made.drain()
            assert (kiss.asked()[0], made.issues()) == (("PUT", 200), [])


@pytest.mark.parametrize(("tenant", "kinds"), [("B", ["late_mismatch"]), ("A", [])])
def test_an_applied_event_of_another_tenancy_is_an_issue(
    before: Callable[[str], tuple[lane.Rig, Served]], tenant: str, kinds: list[str]
) -> None:
    """A change of tenants that comes late, before an applied event that names the old tenant, opens one issue of it.

    The same tenant moving in again opens none.
    """
    unit, kiss = before("kiss-v2")
    unit.move_in("A", hour=0)
    unit.drain_until_quiet()
    unit.tell(Kind.PATCH, {"balance_due": Decimal("9.50")}, hour=5, expect={"pms_tenant_id": "A"})
    unit.drain_until_quiet()
    assert (unit.states()[-1], unit.issues()) == (("applied", None), [])
    unit.move_out(2)
    unit.move_in(tenant, hour=3)
    unit.drain_until_quiet()
    assert unit.issues() == kinds
    assert kiss.units()[lane.UNIT]["pms_tenant_id"] == tenant
    with unit.db.read() as connection:
        about = connection.execute(events.select().where(events.c.issue_id.is_not(None))).all()
        subjects = connection.execute(issues.select()).all()
    assert [event.kind for event in about] == ["patch"] * len(kinds)
    assert [row.subject["event"] for row in subjects] == [event.id for event in about]


@pytest.mark.parametrize("profile", ["kiss-v2", *NEWER])
def test_a_lock_stands_after_a_late_move_in(before: Callable[[str], tuple[lane.Rig, Served]], profile: str) -> None:
    """Where a move-in takes a lock off, a lock of a later moment is written once more behind it; only there."""
    unit, kiss = before(profile)
    unit.patch(2, pms_lockout=True)
    unit.drain_until_quiet()
    assert kiss.units()[lane.UNIT]["pms_lockout"] is True
    unit.move_in("A", hour=0)
    unit.drain_until_quiet()
    found = kiss.units()[lane.UNIT]
    assert (found["occupied"], found["pms_tenant_id"], found["pms_lockout"]) == (True, "A", True)
    again = [("PATCH", 200)] if profile in NEWER else []
    assert kiss.asked() == [("PATCH", 200), ("PUT", 200), *again]
    assert unit.states() == [("applied", None), ("applied", None)]
    assert unit.lane().shown["pms_lockout"] is True


@pytest.mark.parametrize("profile", NEWER)
def test_a_move_in_takes_an_earlier_lock_off(before: Callable[[str], tuple[lane.Rig, Served]], profile: str) -> None:
    """A lock of the moment before the move-in is the last tenant's: it goes with the move-in, and is not put back."""
    unit, kiss = before(profile)
    unit.move_in("A", hour=0)
    unit.patch(1, pms_lockout=True)
    unit.drain_until_quiet()
    assert kiss.units()[lane.UNIT]["pms_lockout"] is True
    unit.move_in("B", hour=2)
    unit.drain_until_quiet()
    found = kiss.units()[lane.UNIT]
    assert (found["pms_tenant_id"], found["pms_lockout"]) == ("B", False)
    assert unit.lane().shown["pms_lockout"] is False


@pytest.mark.parametrize("profile", ["kiss-v2", *NEWER])
def test_a_refused_field_is_charged_to_its_event(
    before: Callable[[str], tuple[lane.Rig, Served]], profile: str
) -> None:
    """Whatever a generation calls the field that it refuses, its event is rejected, and the rest goes out at once."""
    unit, kiss = before(profile)
    unit.move_in("A", hour=0)
    unit.drain_until_quiet()
    unit.patch(1, balance_due=Decimal("12.50"))
    unit.patch(2, pms_lockout="yes")
    unit.drain_until_quiet()
    assert unit.states() == [("applied", None), ("applied", None), ("rejected", "rejected")]
    assert kiss.units()[lane.UNIT]["balance_due"] == 12.5
    assert kiss.asked() == [("PUT", 200), ("PATCH", 422), ("PATCH", 200)]
