"""The memory of idempotency keys, in all three ways."""

import threading

import pytest
import sqlalchemy as sa

from tests.contract.ways import ByHttp, Clock, Units
from worker.store.database import Database
from worker.units import store as store_module
from worker.units.store import LocalUnits
from worker.units.tables import local_keys

REUSED = {"message": "Idempotency-Key reused with a different request."}


def test_the_same_request_gets_the_stored_answer(units: Units, clock: Clock) -> None:
    """The same key and request give the same answer again, and no second write."""
    first = units.move_in(key="k")
    units.move_out()
    clock.move(hours=23, minutes=59)
    again = units.move_in(key="k")
    assert (again.status, again.json) == (201, first.json)
    assert units.show()["occupied"] is False


def test_a_key_is_forgotten_after_24_hours(units: Units, clock: Clock) -> None:
    """After 24 hours the same key is a new request."""
    units.move_in(key="k")
    units.move_out()
    clock.move(hours=24)
    assert units.move_in(key="k").status == 200
    assert units.show()["occupied"] is True
    assert units.patch({"balance_due": 1}, key="k").json == REUSED


@pytest.mark.parametrize("other", ["body", "path", "method"])
def test_another_request_under_the_same_key_is_409(units: Units, other: str) -> None:
    """Another body, path or method under a key is refused, and does nothing."""
    units.move_in("A")
    units.move_in("B")
    units.patch({"balance_due": 1}, "A", key="k")
    if other == "body":
        seen = units.patch({"balance_due": 2}, "A", key="k")
    elif other == "path":
        seen = units.patch({"balance_due": 1}, "B", key="k")
    else:
        seen = units.send("PUT", "/units/A/tenancy", {"balance_due": 1}, "k")
    assert (seen.status, seen.json) == (409, REUSED)
    assert (units.show("A")["balance_due"], units.show("B")["balance_due"]) == (1, 0)


def test_a_conflict_leaves_the_memory_alone(units: Units) -> None:
    """After a 409 the first request still gets its first answer."""
    first = units.move_in(key="k")
    assert units.move_out(key="k").json == REUSED
    assert units.move_in(key="k").json == first.json


@pytest.mark.parametrize("status", [404, 422, 400])
def test_refusals_are_remembered(units: Units, status: int) -> None:
    """A refusal is the stored answer as well, though the same request would now succeed."""
    body = {404: {"balance_due": 1}, 422: {"balance_due": -1}, 400: b"{"}[status]
    assert units.patch(body, key="k").status == status
    units.move_in()
    assert units.patch(body, key="k").status == status
    assert units.show()["balance_due"] == 0


def test_keys_belong_to_a_company(store: LocalUnits) -> None:
    """Two companies may use one key and one unit id without meeting."""
    body = b'{"pms_tenant_id":"T","move_in_date":"2026-05-01","unit_name":"A","pms_location_code":"L"}'
    for company in ("acme", "other"):
        assert store.handle("PUT", "/units/A/tenancy", body, "k", company).status == 201
    assert store.handle("DELETE", "/units/A/tenancy", b"", "k2", "acme").status == 200
    unit = store.unit("A", company="other")
    assert unit is not None
    assert unit.occupied


@pytest.mark.parametrize(("length", "status"), [(1, 201), (255, 201), (256, 422)])
def test_a_key_has_1_to_255_characters(units: Units, length: int, status: int) -> None:
    """A key that is too long is 422 and nothing is written."""
    assert units.move_in(key="k" * length).status == status
    assert (units.show() is None) == (status == 422)


def test_an_empty_key_is_422_and_none_is_fine(by_http: ByHttp) -> None:
    """The header may be left out, but not be empty."""
    units = Units(by_http)
    assert list(units.move_in(key="").json["errors"]) == ["Idempotency-Key"]
    assert [units.move_in(key=None).status for _ in range(2)] == [201, 200]


def test_equal_requests_at_once_are_one_write(units: Units, db: Database) -> None:
    """Many equal requests under one key at once all get the one answer."""
    barrier = threading.Barrier(4)
    answers: list[tuple[int, str]] = []

    def send() -> None:
        barrier.wait()
        seen = units.move_in(key="k")
        answers.append((seen.status, str(seen.json)))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(answers), len(set(answers))) == (4, 1)
    assert answers[0][0] == 201
    with db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(local_keys)).scalar_one() == 1


def test_one_new_unit_asked_for_twice_at_once_is_created_once(units: Units) -> None:
    """Two move-ins of one unknown unit at once: one is 201, the other 200."""
    barrier = threading.Barrier(4)
    statuses: list[int] = []

    def send(n: int) -> None:
        barrier.wait()
        seen = (
            units.move_in(key=f"k{n}")
            if n % 2
            else units.bulk({"crm_unit_id": "MAIN-B204", "unit_name": "B204", "pms_location_code": "MAIN"}, key=f"k{n}")
        )
        statuses.append(201 if seen.status == 201 or seen.data.get("created") else seen.status)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 200, 201]


def test_old_keys_are_deleted_and_young_ones_kept(
    store: LocalUnits, db: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting takes forgotten keys only, at most as many as it is told; writes do it now and then."""

    def count() -> int:
        with db.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(local_keys)).scalar_one()

    for n in range(5):
        store.handle("DELETE", "/units/A/tenancy", b"", f"old-{n}")
    clock.move(hours=24)
    store.handle("DELETE", "/units/A/tenancy", b"", "young")
    assert (store.forget_keys(2), count()) == (2, 4)
    monkeypatch.setattr(store_module, "PURGE_EVERY", 1)
    store.handle("DELETE", "/units/A/tenancy", b"", "young-2")
    assert count() == 2
