"""The stand-ins of the described APIs: strict bodies, tokens, limits, jobs, and what they hold."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.rigs.described import ROWS, SECRET, Clock
from worker.settings import ConfigError
from worker.standins.faults import Faults, with_faults
from worker.standins.frame import UNITS_PATH
from worker.standins.registry import STANDINS, Wish, load
from worker.standins.resharmonics import CLIENT_ID
from worker.standins.serve import serving

APIS = ("propertysaas", "propexo", "resharmonics")


class Caller:
    """Asks a stand-in as a stranger would."""

    def __init__(self, root: str, clock: Clock) -> None:
        self.root = root
        self.clock = clock
        self.headers = {"Authorization": f"Bearer {SECRET}", "X-Organization-ID": "O-7"}

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        """Return status and JSON of an answer."""
        answer = httpx.request(method, self.root + path, json=body, headers=self.headers, trust_env=False, **more)
        return answer.status_code, answer.json()

    def applied(self) -> list[bool]:
        """Return which of the requests took effect, as the log says."""
        return [row["applied"] for row in self.ask("GET", "/_standin/log")[1]["requests"]]


@contextlib.contextmanager
def calling(api: str, **wish: Any) -> Iterator[Caller]:
    """Yield a caller before a listening stand-in."""
    clock = Clock()
    made = load(api)(Wish(**{"token": SECRET, "clock": clock, "rows": (ROWS[api],), **wish}))
    with serving(with_faults(made, Faults(), clock=clock)) as root:
        yield Caller(root, clock)
    made.close()


@pytest.fixture
def propexo() -> Iterator[Caller]:
    with calling("propexo") as caller:
        yield caller


@pytest.fixture
def saas() -> Iterator[Caller]:
    with calling("propertysaas") as caller:
        yield caller


@pytest.fixture
def rooms() -> Iterator[Caller]:
    with calling("resharmonics") as caller:
        form = {"grant_type": "client_credentials"}
        answer = httpx.post(caller.root + "/oauth/token", data=form, auth=(CLIENT_ID, SECRET), trust_env=False)
        caller.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield caller


# -- all three --------------------------------------------------------------------------------------------------------


def test_all_three_are_listed() -> None:
    """A walk that finds nothing fails."""
    assert set(APIS) < set(STANDINS)


@pytest.mark.parametrize("api", APIS)
def test_without_the_token_it_is_401(api: str) -> None:
    """A request without the right token does nothing."""
    with calling(api) as caller:
        for token in ("Bearer wrong", f"Basic {SECRET}", ""):
            caller.headers["Authorization"] = token
            assert caller.ask("GET", "/api/v3/contacts")[0] == 401
        assert caller.applied() == [False] * 3


@pytest.mark.parametrize("api", APIS)
def test_the_units_are_shown(api: str) -> None:
    """What a stand-in holds is shown beside the log and by itself."""
    with calling(api) as caller:
        shown = caller.ask("GET", UNITS_PATH)
        assert shown == (200, caller.ask("GET", "/_standin/log")[1]["units"])
        assert bool(shown[1]) == (api != "resharmonics")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("row", [{"other": "x"}, {"unit_id": ""}])
def test_a_line_without_its_columns_is_refused(api: str, row: dict[str, str]) -> None:
    """A unit that lacks a column is refused, and the column named."""
    with pytest.raises(ConfigError, match="--units"):
        load(api)(Wish(token="t", clock=Clock(), rows=(row,)))


@pytest.mark.parametrize("api", APIS)
def test_an_unknown_profile_is_refused(api: str) -> None:
    """A profile that there is not is refused."""
    with pytest.raises(ConfigError, match="--profile odd is not known"):
        load(api)(Wish(token="t", clock=Clock(), profile="odd"))


# -- Propexo ----------------------------------------------------------------------------------------------------------


def test_a_job_is_pending_as_often_as_was_chosen(propexo: Caller) -> None:
    """A job is PENDING for so many questions, then ends; only then the lease has changed, and only once."""
    assert propexo.ask("PUT", "/_standin/jobs", {"polls": 2, "ends": "SUCCESS"})[0] == 200
    status, told = propexo.ask("PUT", "/v1/leases/L%201%2F2", {"realized_move_in_date": "2026-05-01"})
    assert (status, told["meta"]) == (200, {"job_id": "job-1"})
    seen = [propexo.ask("GET", "/v1/admin/write-status/job-1")[1]["write_status"] for _ in range(4)]
    assert seen == ["PENDING", "PENDING", "SUCCESS", "SUCCESS"]
    assert propexo.applied() == [False, False, False, False, True, False]


@pytest.mark.parametrize(("profile", "ends"), [("failing", "FAILURE"), ("partial", "PARTIAL_SUCCESS")])
def test_a_job_that_fails_changes_nothing(profile: str, ends: str) -> None:
    """Under these profiles every job ends badly, with errors, and the lease stays as it was."""
    with calling("propexo", profile=profile) as caller:
        before = caller.ask("GET", UNITS_PATH)
        caller.ask("PUT", "/v1/leases/L%201%2F2", {"realized_move_in_date": "2026-05-01"})
        told = [caller.ask("GET", "/v1/admin/write-status/job-1")[1] for _ in range(2)][1]
        assert (told["write_status"], bool(told["errors"])) == (ends, True)
        assert caller.ask("GET", UNITS_PATH) == before


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/leases/L%201%2F2", {"realized_move_in_date": "2026-02-30"}, 400),
        ("/v1/leases/L%201%2F2", {"realised_move_in_date": "2026-02-03"}, 400),
        ("/v1/leases/L%201%2F2", {}, 400),
        ("/v1/leases/L%201%2F2", [1], 400),
        ("/v1/leases/L-9", {"realized_move_in_date": "2026-02-03"}, 404),
        ("/v1/residents/R-1", {"balance_due_in_cents": 1.5}, 400),
        ("/v1/residents/R-1", {"balance_due_in_cents": True}, 400),
        ("/v1/residents/R-1", {"balance_due_in_cents": -1}, 400),
        ("/v1/residents/R-1", {"notes": 7}, 400),
        ("/v1/residents/R-1", {"notes": None, "balance_due_in_cents": 0}, 200),
        ("/v1/residents/R-1?ignore_unknown_fields=true", {"odd": 1, "notes": "x"}, 200),
        ("/v1/residents/R-1?ignore_unknown_fields=false", {"odd": 1, "notes": "x"}, 400),
    ],
)
def test_bodies_of_propexo_are_read_strictly(propexo: Caller, path: str, body: Any, status: int) -> None:
    """A body is taken or refused as the API describes it, and a refusal has code and message."""
    found, told = propexo.ask("PUT", path, body)
    assert found == status
    assert status == 200 or set(told["error"]) == {"code", "message"}


def test_propexo_counts_requests() -> None:
    """Over the limit it is 429 with Retry-After, until the first request is a minute old."""
    with calling("propexo", per_minute=2) as caller:
        path = "/v1/admin/write-status/none"
        assert [caller.ask("GET", path)[0] for _ in range(3)] == [404, 404, 429]
        caller.clock.advance(59)
        assert caller.ask("GET", path)[0] == 429
        caller.clock.advance(1)
        assert caller.ask("GET", path)[0] == 404


def test_a_choice_of_jobs_is_checked(propexo: Caller) -> None:
    """An end that there is not is refused."""
    for odd in ({"ends": "MAYBE"}, {"polls": -1}, {"polls": "many"}):
        assert propexo.ask("PUT", "/_standin/jobs", odd)[0] == 400


# -- Property Management SaaS -----------------------------------------------------------------------------------------

TENANT = {"unit_id": "U 1/2", "lease": {"start_date": "2026-05-01"}}


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("tenants/T-1", TENANT, 200, None),
        ("tenants/T-1", {**TENANT, "name": "Jane"}, 422, "name"),
        ("tenants/T-1", {**TENANT, "unit_id": "U-9"}, 422, "unit_id"),
        ("tenants/T-1", {"unit_id": "U 1/2"}, 422, "lease.body"),
        ("tenants/T-1", {"unit_id": "U 1/2", "lease": {"ledger_id": "L"}}, 422, "lease.start_date"),
        ("tenants/T-1", {"unit_id": "U 1/2", "lease": {"start_date": "May"}}, 422, "lease.start_date"),
        ("units/U%201%2F2/status", {"status": "vacant"}, 200, None),
        ("units/U%201%2F2/status", {"status": "occupied"}, 422, "status"),
        ("units/U%201%2F2/status", {"access": True}, 422, "access"),
        ("units/U%201%2F2/status", {"balance_due": "1"}, 422, "balance_due"),
        ("units/U%201%2F2/status", {"paid_through": None, "note": None, "rentable": "no"}, 200, None),
        ("units/U%201%2F2/status", {}, 422, "body"),
    ],
)
def test_bodies_of_the_saas_are_read_strictly(saas: Caller, path: str, body: Any, status: int, field: str) -> None:
    """A body is taken, or refused with the field that is wrong, in the envelope."""
    found, told = saas.ask("PUT", f"/api/v1/properties/P-1/{path}", body)
    assert (found, told["success"]) == (status, status == 200)
    assert set(told["meta"]) >= {"timestamp", "request_id", "version"}
    if field:
        assert told["error"]["code"] == "VALIDATION_ERROR"
        assert [item["field"] for item in told["error"]["details"]] == [field]
        assert told["meta"]["correlation_id"]
    assert saas.applied() == [status == 200]


def test_a_tenant_comes_and_goes(saas: Caller) -> None:
    """A tenant is read back and deleted; the unit follows; the next one replaces whoever is there."""
    path = "/api/v1/properties/P-1/tenants/T-1"
    assert saas.ask("GET", path)[0] == 404
    saas.ask("PUT", path, TENANT)
    saas.ask("PUT", "/api/v1/properties/P-1/tenants/T-2", TENANT)
    assert [saas.ask("GET", path)[0], saas.ask("GET", "/api/v1/properties/P-1/tenants/T-2")[0]] == [404, 200]
    assert saas.ask("DELETE", "/api/v1/properties/P-1/tenants/T-2")[0] == 200
    assert saas.ask("GET", UNITS_PATH)[1][0]["status"] == "vacant"


def test_another_organization_may_not(saas: Caller) -> None:
    """Without the right organization it is 403."""
    saas.headers["X-Organization-ID"] = "O-8"
    status, told = saas.ask("PUT", "/api/v1/properties/P-1/tenants/T-1", TENANT)
    assert (status, told["error"]["code"]) == (403, "INSUFFICIENT_PERMISSIONS")


def test_the_saas_says_how_long_to_stay_away() -> None:
    """Over the limit the seconds stand in error.retry_after, the rest in headers."""
    with calling("propertysaas", per_minute=1) as caller:
        answers = [httpx.get(f"{caller.root}/api/v1/x", headers=caller.headers, trust_env=False) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [404, 429]
        assert answers[1].json()["error"]["retry_after"] == 60
        assert answers[1].headers["x-ratelimit-limit"] == "1"


# -- res:harmonics ----------------------------------------------------------------------------------------------------

STAY = {"contactId": 51, "roomStayId": 41, "startDate": "2026-05-01", "endDate": "2027-04-30", "status": "CHECKED_IN"}


@pytest.mark.parametrize(
    ("form", "auth", "status"),
    [
        ({"grant_type": "client_credentials"}, (CLIENT_ID, SECRET), 200),
        ({"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": SECRET}, None, 200),
        ({"grant_type": "client_credentials"}, (CLIENT_ID, "wrong"), 401),
        ({"grant_type": "client_credentials"}, None, 401),
        ({"grant_type": "password"}, (CLIENT_ID, SECRET), 400),
    ],
)
def test_tokens_are_given_for_credentials(form: dict[str, str], auth: Any, status: int) -> None:
    """Only the right credentials get a token, in the header or in the form."""
    with calling("resharmonics") as caller:
        answer = httpx.post(caller.root + "/oauth/token", data=form, auth=auth, trust_env=False)
        assert (answer.status_code, "access_token" in answer.json()) == (status, status == 200)


def test_a_token_ends(rooms: Caller) -> None:
    """A token is good for ten minutes, or until all are made worthless."""
    assert rooms.ask("GET", "/api/v3/contacts")[0] == 200
    rooms.clock.advance(600)
    assert rooms.ask("GET", "/api/v3/contacts")[0] == 401


@pytest.mark.parametrize(
    ("change", "status"),
    [({}, 200), ({"contactId": "51"}, 400), ({"contactId": 52}, 400), ({"roomStayId": 42}, 400), ({"odd": 1}, 400),
     ({"startDate": "May"}, 400), ({"endDate": None}, 400), ({"status": "IN"}, 400), ({"status": "CONFIRMED"}, 200)],
)  # fmt: skip
def test_bodies_of_resharmonics_are_read_strictly(rooms: Caller, change: Any, status: int) -> None:
    """A guest stay is taken or refused as the API describes it."""
    assert rooms.ask("POST", "/api/v3/guestStays", {**STAY, **change})[0] == status


def test_a_stay_is_found_and_ends(rooms: Caller) -> None:
    """A stay is listed by contact, unit and status, and only one that is checked in can be checked out."""
    number = rooms.ask("POST", "/api/v3/guestStays", STAY)[1]["id"]
    for query in ("contactId=51", "unitId=31", "status=CHECKED_IN"):
        told = rooms.ask("GET", f"/api/v3/guestStays?{query}")[1]
        assert ([stay["id"] for stay in told["content"]], told["page"]["totalElements"]) == ([number], 1)
    for query in ("contactId=52", "unitId=32", "status=CHECKED_OUT"):
        assert rooms.ask("GET", f"/api/v3/guestStays?{query}")[1]["content"] == []
    path = f"/api/v3/guestStays/{number}"
    assert rooms.ask("PUT", path, {"status": "CHECKED_OUT"})[0] == 200
    waiting = rooms.ask("POST", "/api/v3/guestStays", {**STAY, "status": "PENDING"})[1]["id"]
    assert rooms.ask("PUT", f"/api/v3/guestStays/{waiting}", {"status": "CHECKED_OUT"})[0] == 400
    assert rooms.ask("PUT", path, {"status": "GONE"})[0] == 400
    assert rooms.ask("PUT", "/api/v3/guestStays/99", {"status": "CHECKED_OUT"})[0] == 404


def test_contacts_and_companies_are_found(rooms: Caller) -> None:
    """Contacts are found by their external id and company, companies by name, a room stay by its id."""
    assert rooms.ask("GET", "/api/v3/companies?companyName=Acme%20Stays")[1]["content"][0]["id"] == 1
    assert rooms.ask("GET", "/api/v3/contacts?externalId=T-5001&companyId=1")[1]["content"][0]["id"] == 51
    assert rooms.ask("GET", "/api/v3/contacts?externalId=T-5001&companyId=2")[1]["content"] == []
    assert rooms.ask("GET", "/api/v3/roomStays/41")[1]["endDate"] == "2027-04-30"
    assert rooms.ask("GET", "/api/v3/roomStays/42")[0] == 404
