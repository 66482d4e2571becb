"""res:harmonics as a stand-in: OAuth2 client credentials, contacts, companies, room stays and guest stays.

The client id is ``gatepost``, the client secret the wish's token. A token lives ten minutes of the stand-in's clock;
``PUT /_standin/tokens`` makes every token that was given out worthless.
"""

import base64
import binascii
import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

from worker.settings import ConfigError
from worker.standins.frame import Asked, Budget, application, is_date, reply
from worker.standins.registry import StandIn, Wish, choose_profile
from worker.units.wire import Answer

CLIENT_ID = "gatepost"
LIVES = dt.timedelta(minutes=10)
PAGE = 20
STATUSES = ("PENDING", "CONFIRMED", "CHECKED_IN", "CHECKED_OUT", "CANCELLED", "LOST")
_COLUMNS = ("unit_id", "room_stay_id", "tenant_id", "contact_id")
_STAY = ("contactId", "roomStayId", "startDate", "endDate", "status")


class ResHarmonics:
    """One account: who may stay, where, and who does."""

    def __init__(self, wish: Wish) -> None:
        self._secret = wish.token
        self._clock = wish.clock
        self._budget = Budget(wish.per_minute, wish.clock)
        self._numbers = itertools.count(1)
        self._tokens: dict[str, dt.datetime] = {}
        self.contacts: dict[int, dict[str, Any]] = {}
        self.companies: dict[int, dict[str, Any]] = {}
        self.rooms: dict[int, dict[str, Any]] = {}
        self.stays: dict[int, dict[str, Any]] = {}
        for row in wish.rows:
            self._begin(row)

    def _begin(self, row: Mapping[str, str]) -> None:
        if missing := [name for name in _COLUMNS if not row.get(name)]:
            raise ConfigError(f"--units: {', '.join(missing)} is missing; needed: {', '.join(_COLUMNS)}")
        ids = {name: row[name] for name in ("unit_id", "room_stay_id", "contact_id")}
        if wrong := [name for name, value in ids.items() if not value.isdigit()]:
            raise ConfigError(f"--units: {', '.join(wrong)} must be a whole number")
        company = self._company(row.get("company_name", ""))
        contact = {"id": int(row["contact_id"]), "externalId": row["tenant_id"], "companyId": company}
        self.contacts[contact["id"]] = contact
        room = {"id": int(row["room_stay_id"]), "unitId": int(row["unit_id"])}
        self.rooms[room["id"]] = {**room, "endDate": row.get("end_date") or "2099-12-31"}

    def _company(self, name: str) -> int | None:
        if not name:
            return None
        known = next((number for number, company in self.companies.items() if company["companyName"] == name), None)
        number = known or len(self.companies) + 1
        self.companies[number] = {"id": number, "companyName": name}
        return number

    def handle(self, asked: Asked) -> Answer:
        """Return the answer to one request."""
        if asked.method == "POST" and asked.parts == ("oauth", "token"):
            return self._give_token(asked)
        if asked.method == "PUT" and asked.parts == ("_standin", "tokens"):
            self._tokens.clear()
            return reply(200, {"message": "Every token is worthless now."}, applied=False)
        if not self._may(asked):
            return _refusal(401, "The token is missing, not valid or too old.")
        if wait_s := self._budget.wait_s():
            return _refusal(429, "Too many requests.", headers={"Retry-After": str(wait_s)})
        return self._answer(asked)

    def _answer(self, asked: Asked) -> Answer:
        query = asked.query
        match asked.method, asked.parts[2:] if asked.parts[:2] == ("api", "v3") else ():
            case "GET", ("contacts",):
                wanted = {"externalId": query.get("externalId"), "companyId": query.get("companyId")}
                return _page(_chosen(self.contacts, wanted))
            case "GET", ("companies",):
                return _page(_chosen(self.companies, {"companyName": query.get("companyName")}))
            case "GET", ("roomStays", number) if number.isdigit() and int(number) in self.rooms:
                return reply(200, self.rooms[int(number)])
            case "GET", ("guestStays",):
                return _page(self._find_stays(query))
            case "POST", ("guestStays",):
                return self._create(asked)
            case "PUT", ("guestStays", number) if number.isdigit() and int(number) in self.stays:
                return self._change(int(number), asked)
        return _refusal(404, "There is no such resource.")

    def shown(self) -> list[dict[str, object]]:
        """Return every guest stay as it is now."""
        return [dict(stay) for stay in self.stays.values()]

    # -- tokens ------------------------------------------------------------------------------------------------------

    def _give_token(self, asked: Asked) -> Answer:
        form = {name: values[-1] for name, values in parse_qs(asked.body.decode("latin-1")).items()}
        if form.get("grant_type") != "client_credentials":
            return reply(400, {"error": "unsupported_grant_type"}, applied=False)
        if _credentials(asked, form) != (CLIENT_ID, self._secret):
            return reply(401, {"error": "invalid_client"}, applied=False)
        token = f"token-{next(self._numbers)}"
        self._tokens[token] = self._clock() + LIVES
        told = {"access_token": token, "token_type": "Bearer", "expires_in": int(LIVES.total_seconds())}
        return reply(200, told, applied=False)

    def _may(self, asked: Asked) -> bool:
        return any(asked.shows(token) and self._clock() < until for token, until in self._tokens.items())

    # -- guest stays -------------------------------------------------------------------------------------------------

    def _find_stays(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        found = self.stays.values()
        return [
            stay
            for stay in found
            if query.get("status", stay["status"]) == stay["status"]
            and query.get("contactId", str(stay["contact"]["id"])) == str(stay["contact"]["id"])
            and query.get("unitId", str(stay["roomStay"]["unitId"])) == str(stay["roomStay"]["unitId"])
        ]

    def _create(self, asked: Asked) -> Answer:
        told = asked.read_object() or {}
        wrong = [name for name in (*_STAY, *told) if name not in _STAY or not self._fits(name, told.get(name))]
        if wrong:
            return _refusal(400, f"The field {wrong[0]} is not valid.")
        number = next(self._numbers)
        self.stays[number] = {
            "id": number,
            "contact": {"id": told["contactId"]},
            "roomStay": self.rooms[told["roomStayId"]],
            "dateFrom": told["startDate"],
            "dateTo": told["endDate"],
            "status": told["status"],
        }
        return reply(200, self.stays[number], applied=True)

    def _fits(self, name: str, value: object) -> bool:
        if name in ("contactId", "roomStayId"):
            kept = self.contacts if name == "contactId" else self.rooms
            return isinstance(value, int) and not isinstance(value, bool) and value in kept
        return value in STATUSES if name == "status" else is_date(value)

    def _change(self, number: int, asked: Asked) -> Answer:
        told = asked.read_object() or {}
        if set(told) != {"status"} or told["status"] not in STATUSES:
            return _refusal(400, "The field status is not valid.")
        stay = self.stays[number]
        if told["status"] == "CHECKED_OUT" and stay["status"] not in ("CHECKED_IN", "CHECKED_OUT"):
            return _refusal(400, "Only a stay that is checked in can be checked out.")
        stay["status"] = told["status"]
        return reply(200, stay, applied=True)


def _credentials(asked: Asked, form: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, coded = asked.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        name, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote(name), unquote(secret)


def _chosen(kept: Mapping[int, dict[str, Any]], wanted: Mapping[str, str | None]) -> list[dict[str, Any]]:
    return [
        item
        for item in kept.values()
        if all(value is None or str(item.get(name)) == value for name, value in wanted.items())
    ]


def _page(found: Sequence[Mapping[str, Any]]) -> Answer:
    page = {"size": PAGE, "totalElements": len(found), "totalPages": -(-len(found) // PAGE), "number": 0}
    return reply(200, {"content": found[:PAGE], "links": [], "page": page})


def _refusal(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    return reply(status, {"status": status, "message": message}, applied=False, headers=headers)


def _refuse(status: int) -> Answer:
    headers = {"Retry-After": "1"} if status == 429 else None
    return _refusal(status, f"Refused on request: {status}.", headers=headers)


def stand_in(wish: Wish) -> StandIn:
    """Return the stand-in.

    Raises:
        ConfigError: the profile is not known, or a line of the units lacks a column.
    """
    choose_profile(wish, ())
    account = ResHarmonics(wish)
    return StandIn(app=application(account.handle, units=account.shown), units=account.shown, refuse=_refuse)
