"""A unit's lane before a described API: the stored call is looked up, sent, asked for, and applied once."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.rigs import lane
from tests.rigs.described import ROWS, Rig, rig
from worker.standins.faults import Faults
from worker.store.tables import lanes


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Callable[..., tuple[lane.Rig, Rig]]]:
    """Return a function that puts a lane before a listening stand-in."""
    ends: list[Any] = []

    def make(api: str, columns: dict[str, str] | None = None, **options: Any) -> tuple[lane.Rig, Rig]:
        far = rig(api, name="kiss", **options)
        made = far.__enter__()
        ends.append(far)
        unit = lane.Rig(f"sqlite:///{tmp_path / 'store.db'}")
        ends.append(unit.db)
        unit.far = made.destination  # type: ignore[assignment]
        unit.move_in("T-5001")
        known = {**ROWS[api], **(columns or {})} if api != "resharmonics" else {"unit_id": "31", "room_stay_id": "41"}
        with unit.db.write() as connection:
            connection.execute(lanes.update().values(columns=known))
        return unit, made

    yield make
    for end in reversed(ends):
        end.close() if hasattr(end, "close") else end.__exit__(None, None, None)


def test_a_job_is_asked_for_until_it_is_applied(before: Callable[..., tuple[lane.Rig, Rig]]) -> None:
    """A move-in is accepted, uncertain while the job is pending, and applied when the job is done; one write."""
    unit, propexo = before("propexo")
    unit.drain()
    assert [state for state, _ in unit.states()] == ["uncertain"]
    unit.drain_until_quiet()
    assert [state for state, _ in unit.states()] == ["applied"]
    assert unit.attempts() == ["accepted", "accepted", "applied"]
    assert [method for method, _, _ in propexo.seen()] == ["PUT", "GET", "GET"]


def test_a_job_that_fails_rejects_its_event(before: Callable[..., tuple[lane.Rig, Rig]]) -> None:
    """What the job refuses is rejected with the API's words, and is not tried again."""
    unit, propexo = before("propexo", profile="failing")
    unit.drain_until_quiet()
    assert unit.states() == [("rejected", "rejected")]
    assert [method for method, _, _ in propexo.seen()] == ["PUT", "GET", "GET"]


def test_a_column_that_the_map_lacks_rejects_its_event(before: Callable[..., tuple[lane.Rig, Rig]]) -> None:
    """A call that cannot be made is refused without a request, and the event says so."""
    unit, propexo = before("propexo", {"lease_id": ""})
    unit.drain_until_quiet()
    assert (unit.states(), propexo.seen()) == ([("rejected", "rejected")], [])


def test_a_refused_field_rejects_its_event_only(before: Callable[..., tuple[lane.Rig, Rig]]) -> None:
    """Of a patch that carries several events the one is rejected whose value is refused, and the other goes on."""
    unit, saas = before("propertysaas")
    unit.drain_until_quiet()
    unit.patch(1, pms_lockout=True)
    unit.patch(2, balance_due=Decimal(-1))
    unit.drain_until_quiet()
    assert unit.states() == [("applied", None), ("applied", None), ("rejected", "rejected")]
    assert (saas.held()[0]["access"], "balance_due" in saas.held()[0]) == ("suspended", False)
    assert [status for _, path, status in saas.seen() if path.endswith("/status")] == [422, 200]
    (refused,) = [call for call in unit.calls() if call.state == "refused"]
    assert "balance_due: must be an amount" in unit.words_of(refused.id)


def test_a_lock_does_not_outlive_its_tenant(before: Callable[..., tuple[lane.Rig, Rig]]) -> None:
    """After a move-out the lock and the balance of the last tenant are taken off, before the next one moves in."""
    unit, saas = before("propertysaas")
    unit.patch(1, pms_lockout=True, balance_due=Decimal("12.50"))
    unit.drain_until_quiet()
    assert saas.held()[0]["access"] == "suspended"
    unit.move_out(2)
    unit.drain_until_quiet()
    unit.move_in("T-6001", hour=3)
    unit.drain_until_quiet()
    held = saas.held()[0]
    assert (held["status"], held["tenant_id"], held["access"], held["balance_due"]) == (
        "occupied",
        "T-6001",
        "granted",
        0,
    )


def test_lost_answers_end_in_one_stay(before: Callable[..., tuple[lane.Rig, Rig]]) -> None:
    """Where answers are lost and no key is known, a stay that is there is found: it is made once."""
    unit, rooms = before("resharmonics", faults=Faults(drop=0.3, fail=((503, 0.2),), seed=7))
    unit.drain_until_quiet(rounds=200)
    assert [state for state, _ in unit.states()] == ["applied"]
    assert [stay["status"] for stay in rooms.held()] == ["CHECKED_IN"]
    assert "unknown" in unit.attempts() or "unreached" in unit.attempts()
    (call,) = [call for call in unit.calls() if call.state == "done"]
    assert "look_up" in call.body.decode()
