"""Each described API, as its file says it, against a stand-in that listens on loopback."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.rigs.described import MOVE_IN, ROWS, SECRET, Rig, rig
from worker.calls import Outcome, Verb
from worker.destinations.tokens import digest_of, refused_digest
from worker.standins.faults import Faults

LEAVING = {"move_out_date": "2026-06-30"}
MONEY = {"balance_due": Decimal("150.05")}


@pytest.fixture
def propexo() -> Iterator[Rig]:
    with rig("propexo") as made:
        yield made


@pytest.fixture
def saas() -> Iterator[Rig]:
    with rig("propertysaas") as made:
        yield made


@pytest.fixture
def rooms() -> Iterator[Rig]:
    with rig("resharmonics") as made:
        yield made


# -- Propexo ----------------------------------------------------------------------------------------------------------


def test_accepted_is_not_applied(propexo: Rig) -> None:
    """A write is accepted with its job, nothing has changed by then, and it is applied when the job says so."""
    reply = propexo.call(Verb.MOVE_IN, MOVE_IN)
    assert (reply.outcome, reply.job, reply.retry_after_s) == (Outcome.ACCEPTED, "job-1", 5)
    assert [unit for unit in propexo.held() if "realized_move_in_date" in unit] == []
    pending = propexo.destination.ask("job-1", deadline_s=30)
    assert (pending.outcome, pending.job) == (Outcome.ACCEPTED, "job-1")
    assert propexo.destination.ask("job-1", deadline_s=30).outcome is Outcome.APPLIED
    lease = next(unit for unit in propexo.held() if unit["kind"] == "leases")
    assert (lease["realized_move_in_date"], lease["resident_id"]) == ("2026-05-01", "R-1")


def test_each_verb_of_propexo_changes_what_it_names(propexo: Rig) -> None:
    """A move-out sets the date on the lease, a patch the resident's balance in cents."""
    assert propexo.settle(propexo.call(Verb.MOVE_OUT, {}, **LEAVING)).outcome is Outcome.APPLIED
    assert propexo.settle(propexo.call(Verb.PATCH, MONEY)).outcome is Outcome.APPLIED
    held = {unit["kind"]: unit for unit in propexo.held()}
    assert held["leases"]["realized_move_out_date"] == "2026-06-30"
    assert held["residents"]["balance_due_in_cents"] == 15005
    assert [path for method, path, _ in propexo.seen() if method == "PUT"] == [
        "/v1/leases/L%201%2F2",
        "/v1/residents/R-1",
    ]


@pytest.mark.parametrize("ends", ["FAILURE", "PARTIAL_SUCCESS"])
def test_a_job_that_fails_is_rejected_with_its_errors(propexo: Rig, ends: str) -> None:
    """A job that fails, or succeeds in part, is a refusal in the API's own words."""
    propexo.tell("/_standin/jobs", {"polls": 0, "ends": ends})
    reply = propexo.settle(propexo.call(Verb.MOVE_IN, MOVE_IN))
    assert reply.outcome is Outcome.REJECTED
    assert reply.message == f"{ends}: The property management system refused the record."


def test_a_job_that_nobody_knows_stays_accepted(propexo: Rig) -> None:
    """What was taken on may have happened: an unknown job is never taken for a failure."""
    reply = propexo.destination.ask("job/../99", deadline_s=30)
    assert (reply.outcome, reply.job, reply.status) == (Outcome.ACCEPTED, "job/../99", 404)
    assert propexo.seen()[-1][1] == "/v1/admin/write-status/job%2F..%2F99"


def test_unknown_fields_are_refused_or_dropped_there() -> None:
    """What the API does not know is refused; with ignore_unknown_fields it is asked to drop it, and ours goes on."""
    for ignores, query in ((False, ""), (True, "?ignore_unknown_fields=true")):
        with rig("propexo", ignore_unknown_fields=ignores) as made:
            body = {**MONEY, "pms_lockout": True}
            reply = made.call(Verb.PATCH, body)
            assert reply.outcome is (Outcome.ACCEPTED if ignores else Outcome.REJECTED)
            if not ignores:
                assert "pms_lockout" in reply.message
                assert "ignore_unknown_fields = true" in reply.message
                assert made.seen() == []
            else:
                assert made.seen()[0][1] == "/v1/residents/R-1" + query


def test_a_refused_body_says_the_code_and_the_words(propexo: Rig) -> None:
    """A 400 is a refusal with the API's code and message."""
    reply = propexo.call(Verb.MOVE_IN, {**MOVE_IN, "move_in_date": "tomorrow"})
    assert (reply.outcome, reply.status) == (Outcome.REJECTED, 400)
    assert reply.message == "invalid_request: The field realized_move_in_date must be a date as YYYY-MM-DD."


def test_an_unknown_lease_is_not_found(propexo: Rig) -> None:
    """A 404 of the API means that it does not know the unit."""
    assert propexo.call(Verb.MOVE_IN, MOVE_IN, lease_id="L-9").outcome is Outcome.NOT_FOUND


@pytest.mark.parametrize(
    ("api", "verb", "body", "column"),
    [
        ("propexo", Verb.MOVE_IN, MOVE_IN, "lease_id"),
        ("propexo", Verb.PATCH, {"pms_status_raw": "x"}, "resident_id"),
        ("propertysaas", Verb.MOVE_OUT, {}, "property_id"),
        ("propertysaas", Verb.MOVE_OUT, {}, "organization_id"),
        ("resharmonics", Verb.MOVE_OUT, {}, "unit_id"),
        ("resharmonics", Verb.MOVE_IN, MOVE_IN, "room_stay_id"),
    ],
)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_column_is_a_refusal_that_names_it(
    api: str, verb: Verb, body: dict[str, str], column: str, value: str | None
) -> None:
    """A column that the unit map lacks is a definite refusal naming column, map and unit; nothing is sent."""
    with rig(api) as made:
        reply = made.call(verb, body, unit_map="units.csv", **{column: value})
        assert reply.outcome is Outcome.REJECTED
        for word in (f"`{column}`", "units.csv", "MAIN-ST-B204", api):
            assert word in reply.message
        assert made.seen() == []


# -- Property Management SaaS -----------------------------------------------------------------------------------------


def test_a_tenancy_of_the_saas(saas: Rig) -> None:
    """A move-in puts the tenant with the lease, a patch the unit's status, a move-out makes the unit vacant."""
    assert saas.call(Verb.MOVE_IN, MOVE_IN).outcome is Outcome.APPLIED
    (unit,) = saas.held()
    assert (unit["status"], unit["tenant_id"]) == ("occupied", "T-5001")
    assert unit["tenant"]["lease"] == {"start_date": "2026-05-01", "ledger_id": "L-9911"}
    facts = {"pms_lockout": True, "pms_unrentable": False, "paid_through_date": None, "pms_status_raw": "Late", **MONEY}
    assert saas.call(Verb.PATCH, facts).outcome is Outcome.APPLIED
    (unit,) = saas.held()
    named = {name: unit[name] for name in ("access", "rentable", "paid_through", "note", "balance_due")}
    assert named == {
        "access": "suspended",
        "rentable": "yes",
        "paid_through": None,
        "note": "Late",
        "balance_due": 150.05,
    }
    assert saas.call(Verb.MOVE_OUT, {}, **LEAVING).outcome is Outcome.APPLIED
    (unit,) = saas.held()
    assert (unit["status"], unit["tenant"], unit["vacated_on"]) == ("vacant", None, "2026-06-30")


def test_a_patch_writes_what_it_carries_and_nothing_else(saas: Rig) -> None:
    """A fact that a patch does not carry is left out of the body, not written as empty."""
    request = saas.destination.render(Verb.PATCH, "A", {"pms_lockout": False}, about=ROWS["propertysaas"])
    assert request.body == b'{"access":"granted"}'


def test_without_a_ledger_the_lease_has_none(saas: Rig) -> None:
    """An optional value that is absent is left out."""
    body = {name: value for name, value in MOVE_IN.items() if name != "ledger_id"}
    assert saas.call(Verb.MOVE_IN, body).outcome is Outcome.APPLIED
    assert saas.held()[0]["tenant"]["lease"] == {"start_date": "2026-05-01"}


def test_the_request_id_comes_of_the_key(saas: Rig) -> None:
    """The same key asks under the same request id, another key under another."""
    ids = []
    for key in ("gp1-a", "gp1-a", "gp1-b"):
        saas.key = key
        reply = saas.call(Verb.MOVE_IN, MOVE_IN)
        ids.append(reply.body.partition(b'"request_id": "')[2][:36])
    assert ids[0] == ids[1] != ids[2]
    assert len(set(ids[0].decode())) > 5


def test_another_organization_is_turned_away(saas: Rig) -> None:
    """The organization's header is the column of the unit map, and a wrong one is a matter of credentials."""
    reply = saas.call(Verb.MOVE_IN, MOVE_IN, organization_id="O-8")
    assert (reply.outcome, reply.status) == (Outcome.UNAUTHORIZED, 403)
    assert reply.message.startswith("INSUFFICIENT_PERMISSIONS")


def test_an_unknown_unit_of_the_saas_is_not_found(saas: Rig) -> None:
    """RESOURCE_NOT_FOUND means that the unit is not known there."""
    assert saas.call(Verb.MOVE_OUT, {}, unit_id="U-9").outcome is Outcome.NOT_FOUND


def test_a_refused_field_of_the_saas(saas: Rig) -> None:
    """A 422 is a refusal with the API's code, its words and the field that it names."""
    reply = saas.call(Verb.MOVE_IN, MOVE_IN, unit_id="U-9")
    says = "VALIDATION_ERROR: The body is not valid. (unit_id: is no unit of this property)"
    assert (reply.outcome, reply.message, reply.wrong) == (Outcome.REJECTED, says, ())
    reply = saas.call(Verb.PATCH, {"pms_lockout": True, "balance_due": Decimal(-1)})
    assert (reply.outcome, reply.wrong) == (Outcome.REJECTED, ("balance_due",))


def test_too_many_requests_of_the_saas_say_for_how_long() -> None:
    """A 429 stays away for error.retry_after seconds."""
    with rig("propertysaas", per_minute=1) as made:
        assert made.call(Verb.MOVE_IN, MOVE_IN).outcome is Outcome.APPLIED
        made.clock.advance(13)
        reply = made.call(Verb.MOVE_IN, MOVE_IN)
        assert (reply.outcome, reply.retry_after_s) == (Outcome.LIMITED, 47)


# -- res:harmonics ----------------------------------------------------------------------------------------------------


def test_a_stay_of_resharmonics(rooms: Rig) -> None:
    """A move-in looks the contact and the end up and checks in; a move-out finds the stay and checks it out."""
    reply = rooms.call(Verb.MOVE_IN, MOVE_IN)
    assert (reply.outcome, reply.asked) == (Outcome.APPLIED, "POST /api/v3/guestStays")
    (stay,) = rooms.held()
    assert (stay["status"], stay["contact"]["id"], stay["roomStay"]["id"]) == ("CHECKED_IN", 51, 41)
    assert (stay["dateFrom"], stay["dateTo"]) == ("2026-05-01", "2027-04-30")
    reply = rooms.call(Verb.MOVE_OUT, {})
    assert (reply.outcome, reply.asked) == (Outcome.APPLIED, f"PUT /api/v3/guestStays/{stay['id']}")
    assert rooms.held()[0]["status"] == "CHECKED_OUT"


def test_a_stay_that_is_there_is_not_written_again(rooms: Rig) -> None:
    """The API knows no idempotency key, so the same move-in once more finds the stay and writes nothing."""
    assert [rooms.call(Verb.MOVE_IN, MOVE_IN).outcome for _ in range(3)] == [Outcome.APPLIED] * 3
    assert len(rooms.held()) == 1
    assert [method for method, path, _ in rooms.seen() if path == "/api/v3/guestStays"] == ["POST"]


def test_a_contact_of_the_map_is_not_looked_up(rooms: Rig) -> None:
    """A column of a look-up's name stands in for the look-up."""
    assert rooms.call(Verb.MOVE_IN, MOVE_IN, contact_id="51").outcome is Outcome.APPLIED
    assert not [path for _, path, _ in rooms.seen() if "contacts" in path]


def test_a_company_narrows_the_contact(rooms: Rig) -> None:
    """With a company's name, company and contact are looked up one after the other."""
    assert rooms.call(Verb.MOVE_IN, MOVE_IN, company_name="Acme Stays").outcome is Outcome.APPLIED
    asked = [path for method, path, _ in rooms.seen() if method == "GET"]
    assert asked[:2] == [
        "/api/v3/companies?companyName=Acme%20Stays",
        "/api/v3/contacts?externalId=T-5001&companyId=1",
    ]


def test_a_contact_that_is_not_there_is_a_refusal(rooms: Rig) -> None:
    """A look-up that finds nothing ends the call before anything is written."""
    reply = rooms.call(Verb.MOVE_IN, {**MOVE_IN, "pms_tenant_id": "T-9"})
    assert (reply.outcome, reply.message) == (Outcome.REJECTED, "the look-up of contact_id finds nothing")
    assert rooms.held() == []


def test_two_contacts_are_a_refusal() -> None:
    """A look-up that finds two is never a guess."""
    row = ROWS["resharmonics"]
    with rig("resharmonics", rows=(row, {**row, "contact_id": "52", "room_stay_id": "42"})) as made:
        reply = made.call(Verb.MOVE_IN, MOVE_IN)
        assert (reply.outcome, made.held()) == (Outcome.REJECTED, [])
        assert "finds 2" in reply.message


def test_a_room_stay_that_is_not_there_is_not_found(rooms: Rig) -> None:
    """A look-up may say that what it misses is the unit."""
    assert rooms.call(Verb.MOVE_IN, MOVE_IN, room_stay_id="99").outcome is Outcome.NOT_FOUND


def test_a_move_out_where_nobody_is_writes_nothing(rooms: Rig) -> None:
    """A unit that is vacant already needs no write."""
    assert rooms.call(Verb.MOVE_OUT, {}).outcome is Outcome.APPLIED
    assert {method for method, path, _ in rooms.seen() if "oauth" not in path} == {"GET"}


def test_resharmonics_takes_no_facts(rooms: Rig) -> None:
    """A verb that the file does not have is neither promised nor sent."""
    assert (rooms.destination.manners.facts, Verb.PATCH in rooms.destination.manners.verbs) == ((), False)
    reply = rooms.call(Verb.PATCH, {"pms_lockout": True})
    assert (reply.outcome, rooms.seen()) == (Outcome.REJECTED, [])


# -- all three --------------------------------------------------------------------------------------------------------

APIS = ("propexo", "propertysaas", "resharmonics")


@pytest.mark.parametrize("api", APIS)
def test_a_wrong_token_is_unauthorized_and_never_shown(api: str) -> None:
    """Without the right credentials nothing happens, and what was tried is nowhere in the reply."""
    wrong = "wrong-secret-0001"
    with rig(api, token=lambda: wrong, client_secret=lambda: wrong) as made:
        reply = made.call(Verb.MOVE_IN, MOVE_IN)
        assert reply.outcome is Outcome.UNAUTHORIZED
        assert wrong not in f"{reply}{made.destination!r}"


@pytest.mark.parametrize("api", APIS)
def test_a_lost_answer_is_unknown_or_repeatable(api: str) -> None:
    """A connection that is cut before the write went out means that nothing happened; after it, that nobody knows."""
    with rig(api, faults=Faults(drop=1.0)) as made:
        outcome = made.call(Verb.MOVE_IN, MOVE_IN).outcome
        assert outcome is (Outcome.UNREACHED if api == "resharmonics" else Outcome.UNKNOWN)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(("status", "outcome"), [(429, Outcome.LIMITED), (500, Outcome.FAILED), (503, Outcome.UNKNOWN)])
def test_statuses_of_refusals(api: str, status: int, outcome: Outcome) -> None:
    """Each status has its outcome; before the write went out, whatever is temporary means that nothing happened."""
    with rig(api, faults=Faults(fail=((status, 1.0),))) as made:
        before = made.held()
        reply = made.call(Verb.MOVE_IN, MOVE_IN)
        expected = Outcome.UNREACHED if api == "resharmonics" and status >= 500 else outcome
        assert (reply.outcome, reply.status) == (expected, status)
        assert made.held() == before
        if outcome is Outcome.LIMITED:
            assert reply.retry_after_s == 1


@pytest.mark.parametrize("api", APIS)
def test_nobody_there_is_unreached(api: str) -> None:
    """Where nobody listens nothing can have happened."""
    with rig(api) as made:
        pass
    assert made.call(Verb.MOVE_IN, MOVE_IN).outcome is Outcome.UNREACHED


@pytest.mark.parametrize("api", APIS)
def test_at_most_one_write_a_call(api: str) -> None:
    """However many look-ups a call makes, it writes once."""
    with rig(api) as made:
        made.call(Verb.MOVE_IN, MOVE_IN)
        writes = [row for row in made.seen() if row[0] != "GET" and "oauth" not in row[1]]
        assert len(writes) == 1
        assert SECRET not in str(made.show())


@pytest.mark.parametrize(
    ("api", "wrong"),
    [("propexo", {"token": lambda: "old-token"}), ("resharmonics", {"client_secret": lambda: "old-token"})],
)
def test_a_refused_token_is_named_by_its_digest(api: str, wrong: dict[str, Any]) -> None:
    """A refusal of a token, or of a client's secret, ends in its digest; nothing else names one."""
    with rig(api, **wrong) as made:
        reply = made.call(Verb.MOVE_IN, MOVE_IN)
    assert (reply.outcome, refused_digest(reply.message)) == (Outcome.UNAUTHORIZED, digest_of("old-token"))
    with rig(api) as made:
        assert refused_digest(made.call(Verb.MOVE_IN, MOVE_IN).message) is None
