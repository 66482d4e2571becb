"""The edge of the operator API: who may ask, how errors look, and how much it takes."""

import socket
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.console.conftest import BOX, TOKEN, Ops
from worker import views
from worker.console.ops.api import ops_api
from worker.console.ops.routes import JSON_BYTES


@pytest.mark.parametrize("given", ["", "Bearer wrong", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/mails"), ("POST", "/events"), ("GET", "/nowhere")])
def test_without_the_token_it_is_401(lite: Ops, given: str, method: str, path: str) -> None:
    """Whatever is asked for, nobody is told anything without the token under its scheme."""
    answer = lite.client.request(method, path, headers={"Authorization": given})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "AUTHENTICATION_FAILED"
    assert lite.client.get("/mails").status_code == 200


def test_an_api_without_a_token_is_refused(lite: Ops) -> None:
    """An empty token would let everybody in."""
    with pytest.raises(ValueError, match="token"):
        ops_api(lite.runtime, token="")


def test_an_error_has_its_envelope(lite: Ops) -> None:
    """A refusal says code, message and details, and the meta that every answer has."""
    answer = lite.client.get("/mails/nothing", headers={"X-Request-ID": "r-1"})
    assert answer.status_code == 404
    assert answer.json() == {
        "success": False,
        "error": {
            "code": "RESOURCE_NOT_FOUND",
            "message": "no mail nothing; `gatepost mail list` shows the newest",
            "details": [],
        },
        "meta": {"timestamp": "2026-05-20T12:00:00.250000Z", "request_id": "r-1", "version": "v1"},
    }


def test_a_success_has_its_envelope(lite: Ops) -> None:
    """A list says its rows, and its pages under meta."""
    pages = {"page": 1, "page_size": 20, "total_count": 0, "total_pages": 0, "has_next": False, "has_previous": False}
    answer = lite.client.get("/mails", headers={"X-Request-ID": "r-2"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "success": True,
        "data": [],
        "meta": {
            "timestamp": "2026-05-20T12:00:00.250000Z",
            "request_id": "r-2",
            "version": "v1",
            "pagination": pages,
        },
    }


@pytest.mark.parametrize("path", ["/mails", "/nowhere", "/openapi.json", "/mails/x/raw"])
def test_the_request_id_is_echoed(lite: Ops, path: str) -> None:
    """The caller's id stands in the header of every answer, and one of ours where it sent none."""
    given = lite.client.get(path, headers={"X-Request-ID": "from-a-caller/1"})
    own = [lite.client.get(path).headers["x-request-id"] for _ in range(2)]
    assert given.headers["x-request-id"] == "from-a-caller/1"
    assert all(len(one) == 32 for one in own)
    assert own[0] != own[1]


@pytest.mark.parametrize("bad", ["x" * 129, "a b", "a\tb", "<script>"])
def test_a_request_id_that_is_none_is_not_echoed(lite: Ops, bad: str) -> None:
    """What cannot be an id is replaced, in header and envelope alike."""
    answer = lite.client.get("/mails", headers={"X-Request-ID": bad})
    assert answer.headers["x-request-id"] == answer.json()["meta"]["request_id"] != bad


@pytest.mark.parametrize(
    "path", ["/", "/mails/", "/mails/a/b/c", "/write-status", "/mails/%00", "/mails/%ff", "/x%2Fy"]
)
def test_an_unknown_path_is_404(lite: Ops, path: str) -> None:
    """A path that is no route is 404 in the envelope; a slash at the end is none."""
    answer = lite.client.get(path)
    if path == "/mails/":
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")


def test_another_method_is_405_and_names_those_there_are(lite: Ops) -> None:
    """A 405 says which methods a path has."""
    answer = lite.client.put("/mails")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"
    assert lite.client.delete("/units").headers["allow"] == "GET"
    assert lite.client.post("/mails/x/raw").status_code == 405


def test_head_is_get_without_its_body(lite: Ops) -> None:
    """HEAD answers as GET does, and gives no body."""
    answer = lite.client.head("/mails")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_large_body_is_413(lite: Ops) -> None:
    """A JSON body over its limit is 413, whether its length is told before or not; one at the limit is read."""
    large = b" " * (JSON_BYTES + 1)
    assert lite.post("/events", large).status_code == 413
    assert lite.client.post("/events", content=iter([large])).status_code == 413
    at_limit = lite.post("/events", large[:-1])
    assert (at_limit.status_code, at_limit.json()["error"]["details"][0]["field"]) == (422, "body")
    assert lite.client.request("GET", "/mails", content=large).status_code == 413


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'{"a":NaN}', b'{"a":1,"a":2}', b"[" * 60_000, b"1" * 5000]
)
def test_a_body_that_is_no_json_object_is_422(lite: Ops, body: bytes) -> None:
    """Whatever the bytes, the answer names the body."""
    answer = lite.client.post("/events", content=body)
    assert answer.status_code == 422, answer.text
    assert [one["field"] for one in answer.json()["error"]["details"]] == ["body"]


@pytest.mark.parametrize("actor", ["x" * 101, "J\u00f6rg".encode("latin-1"), b"a\x7f"])
def test_an_actor_that_cannot_stand_in_the_audit_is_422(lite: Ops, actor: Any) -> None:
    """An actor is short and printable; nothing is done for another."""
    answer = lite.client.post("/mails", params={"mailbox": BOX}, content=b"x", headers={"X-Actor": actor})
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "X-Actor")
    assert lite.mail_rows() == []


def test_a_fault_of_ours_says_nothing(
    lite: Ops, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An unforeseen error is a 500 that holds nothing of it, and neither does the log, which names the request."""

    def fail(*_: Any) -> None:
        raise RuntimeError("Jane Smith, unit B204")

    monkeypatch.setattr(views, "show_mail", fail)
    answer = lite.client.get("/mails/x", headers={"X-Request-ID": "r-500"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
    out, err = capfd.readouterr()
    assert "ops_failed" in out + err
    assert "r-500" in out + err
    assert "Jane" not in answer.text + out + err


def test_a_store_that_fails_is_503(lite: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the database fails the caller may try again."""

    def fail(*_: Any) -> None:
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    monkeypatch.setattr(views, "show_mail", fail)
    answer = lite.client.get("/mails/x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "SELECT" not in answer.text


def test_a_client_that_hangs_up_in_its_body_does_no_harm(lite: Ops) -> None:
    """A request cut in its body is dropped, nothing is kept of it, and the next one is served."""
    host, _, port = lite.where.rpartition(":")
    with socket.create_connection((host, int(port))) as raw:
        head = f"POST /ops/v1/mails?mailbox={BOX} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        raw.sendall(f"{head}Content-Length: 99\r\n\r\nSubject: x".encode())
    assert lite.get("/mails")["data"] == []
    assert lite.mail_rows() == []


def test_too_many_parameters_are_422(lite: Ops) -> None:
    """A query of a thousand parameters is refused as a whole."""
    answer = lite.client.get("/mails?" + "&".join(f"a{n}=1" for n in range(1000)))
    assert answer.status_code == 422


def test_the_home_page_names_the_api(lite: Ops) -> None:
    """Who looks at the web port finds the operator API."""
    page = lite.client.get(f"http://{lite.where}/")
    assert "/ops/v1/openapi.json" in page.text
