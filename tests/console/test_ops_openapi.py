"""The description of the operator API is true: every route is in it, and every answer is as it says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.console.conftest import BOX, Ops
from tests.docs.schema import _faults
from tests.rigs.gatepost import demo_mail
from worker.console.ops.describe import openapi
from worker.console.ops.envelope import CODES
from worker.console.ops.routes import ROUTES
from worker.notices import silent_destination
from worker.store.issues import open_issue


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The description as a file, for the checker."""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(openapi()), "utf-8")
    return path


def test_every_route_is_described() -> None:
    """The description has the operations of the table, no more and no fewer."""
    described = {(method.upper(), path) for path, item in openapi()["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in ROUTES}
    assert len(described) == 18
    assert {("GET", "/write-status/{mail_id}"), ("POST", "/mails"), ("POST", "/events")} <= described
    names = [route.name for route in ROUTES]
    assert len(set(names)) == len(names)


def test_it_is_served_without_a_token(lite: Ops) -> None:
    """Who writes a client needs no token to read how."""
    answer = lite.client.get("/openapi.json", headers={"Authorization": ""})
    assert (answer.status_code, answer.json()) == (200, json.loads(json.dumps(openapi())))
    assert answer.json()["openapi"].startswith("3.1")


def test_it_hangs_together() -> None:
    """References resolve, path parameters are declared, statuses have codes, and schemas are used."""
    text = json.dumps(openapi())
    described = openapi()
    named = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert named == set(described["components"]["schemas"])
    for path, item in described["paths"].items():
        for operation in item.values():
            declared = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
            assert declared == re.findall(r"{(\w+)}", path)
            assert {"401", "500", "503"} <= set(operation["responses"])
            assert {int(status) for status in operation["responses"]} <= {200, 202, *CODES}
    for route in ROUTES:
        has_actor = "X-Actor" in json.dumps(described["paths"][route.path][route.method.lower()])
        assert has_actor is (route.method == "POST" and route.name != "tryRules"), route.name


def _answers(ops: Ops) -> Iterator[tuple[str, str, httpx.Response]]:
    """Yield method, described path and answer of every route: at least one success, and refusals."""
    told = {"event": "move_in", "unit": "C1", "pms_tenant_id": "T", "move_in_date": "2026-05-01", "id": "1"}
    held = ops.keep(b"From: a@b.test\r\nSubject: x\r\n\r\nx\r\n")
    mail_id = ops.keep(demo_mail("01"))
    again = ops.keep(demo_mail("01"))
    yield "POST", "/events", ops.tell(**told)
    yield "POST", "/events", ops.tell(**told)
    yield "POST", "/events", ops.tell(event="nothing")
    yield "POST", "/mails", ops.post("/mails", b"x", params={"mailbox": BOX})
    yield "POST", "/mails", ops.post("/mails", b"x", params={"mailbox": "no@where.test"})
    for mail in (demo_mail("01").decode(), 1):
        yield "POST", "/rules/try", ops.post("/rules/try", {"mail": mail, "mailbox": BOX})
    ops.drain()
    with ops.runtime.db.write() as connection:
        open_issue(connection, silent_destination("kiss", "no answer"), now=ops.clock())
    yield "POST", "/undo", ops.post("/undo", {"query": "unit:C1"})
    yield "POST", "/undo", ops.post("/undo", {"query": "nothing:C1"})
    yield "POST", "/replays", ops.post("/replays", {"query": f"id:{mail_id}"})
    yield "POST", "/replays", ops.post("/replays", {"query": f"id:{mail_id}", "go": True, "reason": "why"})
    yield "POST", "/replays", ops.post("/replays", {"query": "id:nothing", "go": True, "reason": "why"})
    for word in ("pause", "resume"):
        for number in ("1", "77"):
            yield "POST", f"/replays/{{number}}/{word}", ops.post(f"/replays/{number}/{word}")
    ops.runtime.replays.carry_on()
    for number in ("1", "77", "x"):
        yield "GET", "/replays/{number}", ops.client.get(f"/replays/{number}")
    yield "POST", "/undo", ops.post("/undo", {"query": "unit:C1", "go": True, "reason": "why"})
    for path in ("/mails", "/events", "/units", "/rules", "/issues", "/replays"):
        yield "GET", path, ops.client.get(path)
        yield "GET", path, ops.client.get(path, params={"page": "0"})
    for one in (mail_id, held, again, "nothing"):
        for path in ("/mails/{mail_id}", "/mails/{mail_id}/raw", "/write-status/{mail_id}"):
            yield "GET", path, ops.client.get(path.format(mail_id=one))
    yield "POST", "/mails/{mail_id}/retry", ops.post(f"/mails/{mail_id}/retry")
    yield "POST", "/mails/{mail_id}/retry", ops.post(f"/mails/{held}/retry")
    yield "POST", "/mails/{mail_id}/retry", ops.post("/mails/nothing/retry")


def test_every_answer_is_as_described(ops: Ops, page: Path) -> None:
    """Each route's answers, good and bad, have a described status and validate against its schema."""
    described = openapi()
    seen: set[tuple[str, str, int]] = set()
    for method, path, answer in _answers(ops):
        responses = described["paths"][path][method.lower()]["responses"]
        status = str(answer.status_code)
        assert status in responses, f"{method} {path} {answer.text}"
        ((kind, content),) = responses[status]["content"].items()
        assert answer.headers["content-type"] == kind
        if kind == "application/json":
            assert _faults(answer.json(), content["schema"], page, f"{method} {path} {status}") == []
        seen.add((method, path, answer.status_code))
    good = {(route.method, route.path, status) for route in ROUTES for status in route.answers}
    assert good <= seen
    assert {status for _, _, status in seen} == {200, 202, 404, 409, 422}


def test_a_list_is_not_empty_when_it_is_checked(ops: Ops) -> None:
    """A walk that finds nothing fails."""
    lists: dict[str, Any] = {
        path: answer.json()["data"]
        for method, path, answer in _answers(ops)
        if method == "GET" and path.count("/") == 1 and answer.status_code == 200
    }
    assert set(lists) == {"/mails", "/events", "/units", "/rules", "/issues", "/replays"}
    assert all(lists.values())
