"""The lists of the operator API: pages, order, times and queries, the same on both databases."""

from typing import Any

import pytest

from tests.console.conftest import BOX, TOKEN, Ops, configured, serve
from tests.rigs.gatepost import demo_mail
from worker.notices import silent_destination
from worker.store.issues import open_issue


@pytest.fixture
def told(ops: Ops) -> Ops:
    """Three units, told of a minute apart, and one mail."""
    for unit in ("A1", "B2", "C3"):
        moved = {"pms_tenant_id": f"T-{unit}", "move_in_date": "2026-05-01", "id": unit}
        assert ops.tell(event="move_in", unit=unit, **moved).status_code == 202
        ops.clock.advance(60)
    ops.keep(demo_mail("01"))
    return ops


def test_a_list_is_cut_into_pages(told: Ops) -> None:
    """The pages of a list hold each row once, and say where they stand."""
    pages = [told.get("/units", page=page, page_size=3) for page in (1, 2, 3)]
    ids = [[unit["unit"] for unit in page["data"]] for page in pages]
    assert ids == [["A1", "B2", "B204"], ["C3"], []]
    assert [page["meta"]["pagination"] for page in pages] == [
        {
            "page": number,
            "page_size": 3,
            "total_count": 4,
            "total_pages": 2,
            "has_next": number == 1,
            "has_previous": number > 1,
        }
        for number in (1, 2, 3)
    ]


def test_a_list_is_sorted_as_asked(told: Ops) -> None:
    """A list has an order of its own, and takes another column and the other direction."""
    assert [one["unit"] for one in told.data("/units", sort_order="desc")] == ["C3", "B204", "B2", "A1"]
    newest = [one["id"] for one in told.data("/events")]
    assert newest == sorted(newest, reverse=True)
    assert [one["id"] for one in told.data("/events", sort_by="id", sort_order="asc")] == newest[::-1]
    by_kind = [one["kind"] for one in told.data("/events", sort_by="kind", sort_order="asc")]
    assert by_kind == sorted(by_kind) != [by_kind[0]] * len(by_kind)


def test_what_has_no_value_comes_last_either_way(ops: Ops) -> None:
    """A mail without a Date stands behind those with one, whichever the order, on both databases."""
    dated = ops.keep(demo_mail("01"))
    undated = ops.keep(b"From: a@b.test\r\nSubject: no date\r\n\r\nx\r\n")
    for order in ("asc", "desc"):
        assert [one["id"] for one in ops.data("/mails", sort_by="mailed_at", sort_order=order)] == [dated, undated]


def test_a_list_is_narrowed_to_a_time(told: Ops) -> None:
    """created_after holds its own moment, created_before does not, in every zone and writing."""

    def units(**times: str) -> list[str]:
        return [one["unit"] for one in told.data("/units", **times)]

    assert units(created_after="2026-05-20T12:01:00.25Z") == ["B2", "B204", "C3"]
    assert units(created_after="2026-05-20T07:01:00.25-05:00") == ["B2", "B204", "C3"]
    assert units(created_before="2026-05-20T12:01:00.25Z") == ["A1"]
    assert units(created_after="2026-05-20", created_before="2026-05-21") == ["A1", "B2", "B204", "C3"]
    assert units(created_after="2026-05-21") == []
    unescaped = told.client.get("/events?created_after=2026-05-20T12:01:30+00:00").json()["data"]
    assert {one["unit"] for one in unescaped} == {"B204", "C3"}
    assert len(told.data("/mails", created_after="2026-05-20T12:03:00Z")) == 1
    assert told.data("/mails", created_before="2026-05-20T12:03:00Z") == []


def test_a_list_takes_the_query_of_the_command_line(told: Ops) -> None:
    """q narrows by tokens and words."""
    assert [one["unit"] for one in told.data("/events", q="unit:B2")] == ["B2"]
    assert [one["kind"] for one in told.data("/events", q="pms:sitelink unit:B204 state:waiting")] == [
        "patch",
        "move_in",
    ]
    assert len(told.data("/mails", q="state:parsed Jane")) == len(told.data("/mails", q="Jane"))
    assert [one["unit"] for one in told.data("/units", q="b2")] == ["B2", "B204"]
    wrong = told.client.get("/mails", params={"q": "stat:held"})
    assert (wrong.status_code, wrong.json()["error"]["details"][0]["field"]) == (422, "q")
    assert told.client.get("/events", params={"q": "id:99999999999999999999"}).status_code == 422


@pytest.mark.parametrize("path", ["/mails", "/events", "/units", "/rules", "/issues"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("page", "0"),
        ("page", "x"),
        ("page_size", "101"),
        ("page_size", "-1"),
        ("sort_by", "nothing"),
        ("sort_order", "up"),
        ("created_after", "yesterday"),
        ("created_before", "2026-13-01"),
        ("pagesize", "2"),
        ("q", "\0"),
    ],
)
def test_a_wrong_parameter_is_422(lite: Ops, path: str, name: str, value: str) -> None:
    """Each wrong parameter is named; a misspelt one is no missing one."""
    answer = lite.client.get(path, params={name: value})
    assert answer.status_code == 422, answer.text
    assert [one["field"] for one in answer.json()["error"]["details"]] == [name]


def test_all_that_is_wrong_is_named_at_once(lite: Ops) -> None:
    """A caller mends its request in one go."""
    answer = lite.client.get("/mails", params={"page": "0", "sort_by": "x", "created_after": "y"})
    assert {one["field"] for one in answer.json()["error"]["details"]} == {"page", "sort_by", "created_after"}


def test_the_rules_are_those_of_the_live_set(lite: Ops) -> None:
    """Rules are listed with what they give and who may speak for them."""
    rules = {one["name"]: one for one in lite.data("/rules", page_size=100)}
    assert rules["pmsevent/move-in"]["gives"] == ["move_in"]
    assert rules["pmsevent/move-in"]["senders"] == ["any"]
    assert {one["pack"] for one in lite.data("/rules", q="sitelink/", page_size=100)} == {"sitelink"}
    assert [one["name"] for one in lite.data("/rules", sort_order="desc", page_size=1)] == [max(rules)]
    assert all(one["rule_set"] == lite.runtime.rules().id for one in rules.values())


def test_issues_are_listed(ops: Ops) -> None:
    """An issue stands in the list with its state and count."""
    with ops.runtime.db.write() as connection:
        for _ in range(2):
            open_issue(connection, silent_destination("kiss", "no answer"), now=ops.clock())
    (issue,) = ops.data("/issues", q="destination_down")
    assert (issue["kind"], issue["state"], issue["count"]) == ("destination_down", "open", 2)
    assert ops.data("/issues", q="nothing") == []


def test_one_mail_and_its_bytes(ops: Ops) -> None:
    """A mail is shown whole, and its bytes come back as they came."""
    raw = demo_mail("01")
    mail_id = ops.keep(raw)
    ops.drain()
    shown = ops.data(f"/mails/{mail_id}")
    assert (shown["state"], shown["write_status"], shown["mailbox"]) == ("parsed", "SUCCESS", BOX)
    assert {call["key"][:4] for event in shown["events"] for call in event["calls"]} == {"gp1-"}
    answer = ops.client.get(f"/mails/{mail_id}/raw")
    assert (answer.content, answer.headers["content-type"]) == (raw, "message/rfc822")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ops.client.get("/mails/none/raw").status_code == 404


def test_two_apis_do_not_share_a_token(tmp_path: Any) -> None:
    """The token of the units opens nothing here."""
    for ops in serve(configured(f"sqlite:///{tmp_path / 'store.db'}")):
        assert ops.client.get("/mails", headers={"Authorization": "Bearer units"}).status_code == 401
        units = f"http://{ops.where}/api/v2/units"
        assert ops.client.get(units, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 401
        assert ops.client.get(units, headers={"Authorization": "Bearer units"}).status_code == 200
