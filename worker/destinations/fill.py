"""Fill a destination's spec: the arguments of a call become the request that is stored, and back. Pure.

What the send must know beside method, path and body (which call it is, headers, look-ups) stands in the path's
fragment, which never goes over the wire. A value that is looked up while sending stands as ``{name}`` in a path and
as ``{"$look_up": name}`` in a body; neither can be a value, since braces of values are encoded in paths and values of
bodies are no objects. A call that lacks a value becomes a request that is never sent: it is a definite refusal.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from parsers.events import FACTS, Value, canonical, from_json
from parsers.template import Template, Unfilled
from worker.calls import Request, Verb
from worker.destinations.spec import (
    DATES,
    ApiSpec,
    As,
    BodyItems,
    BodyNode,
    BodyTable,
    BodyValue,
    CallSpec,
    Conditions,
    LookUp,
    Path,
    Write,
)

MAP_FILE: Final = "unit_map"
"""The name in ``about`` that holds the file of the unit map, for messages."""

LOOK_UP: Final = "$look_up"
_LEFT_OUT: Final = object()
_PLACEHOLDER: Final = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")


class Unfit(Exception):
    """A call that cannot be made; the text names what is missing, never a resident's data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One look-up to make while sending."""

    spec: LookUp
    path: str
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a stored request asks for."""

    verb: Verb
    write: Write
    path: str
    headers: Mapping[str, str]
    asks: tuple[Ask, ...]
    already: Ask | None


# -- to the request --------------------------------------------------------------------------------------------------


def render(
    spec: ApiSpec,
    verb: Verb,
    crm_unit_id: str,
    body: Mapping[str, Value],
    about: Mapping[str, Value],
    *,
    drops_unknown: bool = False,
) -> Request:
    """Return the request of one call; equal arguments give equal bytes."""
    try:
        return _render(spec, verb, _Values.of(spec, verb, crm_unit_id, body, about), drops_unknown)
    except Unfit as unfit:
        return Request(method="GET", path="/#" + urlencode({"refused": str(unfit)}, quote_via=quote), body=b"")


def _render(spec: ApiSpec, verb: Verb, values: "_Values", drops_unknown: bool) -> Request:
    call = spec.calls.get(verb)
    if call is None:
        raise Unfit(f"{spec.name} has no call for {verb}")
    if not drops_unknown and (strange := sorted(values.facts - set(spec.manners.facts))):
        raise Unfit(f"{spec.name} does not take {', '.join(strange)}; `ignore_unknown_fields = true` drops them")
    pairs: list[tuple[str, str]] = []
    for place, look_up in enumerate(call.look_ups):
        if not values.has(look_up.name) and values.meets(look_up.when):
            pairs += _ask_pairs(str(place), look_up, values)
            values.pending.add(look_up.name)
    if call.already:
        pairs += _ask_pairs("already", call.already, values)
    place, write = _choose(spec, verb, call, values)
    headers = [(f"header.{name}", values.header(name, text)) for name, text in (*spec.headers, *write.headers)]
    path = values.path(write.path)
    if drops_unknown and spec.unknown_fields_query:
        path += ("&" if "?" in path else "?") + spec.unknown_fields_query
    fragment = urlencode([("call", f"{verb}.{place}"), *headers, *pairs], quote_via=quote, safe="/{}?:,@")
    return Request(method=write.method, path=f"{path}#{fragment}", body=_body(write, values, verb))


def _choose(spec: ApiSpec, verb: Verb, call: CallSpec, values: "_Values") -> tuple[int, Write]:
    for place, write in enumerate(call.writes):
        if values.meets(write.when):
            return place, write
    raise Unfit(f"{spec.name} has no request of {verb} whose conditions hold for unit {values.crm_unit_id}")


def _ask_pairs(place: str, look_up: LookUp, values: "_Values") -> list[tuple[str, str]]:
    where = [(f"where.{place}", values.text(template)) for _, template in look_up.where]
    return [(f"get.{place}", values.path(look_up.path)), *where]


def _body(write: Write, values: "_Values", verb: Verb) -> bytes:
    if write.body is None:
        return b""
    found = values.node(write.body)
    if found is _LEFT_OUT:
        if verb is Verb.PATCH:
            raise Unfit("none of the facts is one that this destination takes")
        found = {}
    return canonical(found).encode()


@dataclass(slots=True, kw_only=True)
class _Values:
    """What a call may be filled with."""

    api: str
    verb: Verb
    crm_unit_id: str
    known: Mapping[str, Any]
    columns: frozenset[str]
    map_file: str
    facts: frozenset[str]
    pending: set[str] = field(default_factory=set[str])
    """The names that are looked up while sending."""

    @staticmethod
    def of(
        spec: ApiSpec, verb: Verb, crm_unit_id: str, body: Mapping[str, Value], about: Mapping[str, Value]
    ) -> "_Values":
        known: dict[str, Any] = {}
        for name, value in {**about, **body, "crm_unit_id": crm_unit_id}.items():
            if name in FACTS and name not in body:
                continue  # a fact that this call does not write
            if value not in (None, "") or (name in FACTS and value is None):
                known[name] = _as_date(value) if name in DATES else value
        return _Values(
            api=spec.name,
            verb=verb,
            crm_unit_id=crm_unit_id,
            known=known,
            columns=frozenset(spec.columns),
            map_file=str(about.get(MAP_FILE) or "(unit_map of the mailbox)"),
            facts=frozenset(name for name in body if name in FACTS),
        )

    def has(self, name: str) -> bool:
        return name in self.known or name in self.pending

    def meets(self, conditions: Conditions) -> bool:
        return all(
            self.has(name) if wanted == "given"
            else not self.has(name) if wanted == "absent"
            else name in self.known and _text(self.known[name]) == wanted
            for name, wanted in conditions
        )  # fmt: skip

    def lacks(self, name: str) -> Unfit:
        """Return what to raise when a value is not there."""
        where = f"{self.api} needs it for {self.verb} of unit {self.crm_unit_id}"
        if name in self.columns:
            return Unfit(f"the unit map {self.map_file} has no value in the column `{name}`: {where}")
        return Unfit(f"`{name}` is not known: {where}")

    def one(self, name: str) -> Any:
        if name not in self.known:
            raise self.lacks(name)
        return self.known[name]

    def text(self, template: Template) -> str:
        """Return a template's text.

        Raises:
            Unfit: a value is missing, or a filter does not take it.
        """
        values = {name: self.one(name) for name in sorted(template.names)}
        try:
            return template.fill({n: _Flag(v) if isinstance(v, bool) else v for n, v in values.items()})
        except Unfilled as error:
            raise Unfit(f"{error}: {self.verb} of unit {self.crm_unit_id} at {self.api}") from error

    def header(self, name: str, template: Template) -> str:
        text = self.text(template)
        if not text.isascii() or not text.isprintable():
            raise Unfit(f"the header {name} cannot hold what it is filled with: unit {self.crm_unit_id}")
        return text

    def path(self, path: Path) -> str:
        """Return a path with its names filled in, each encoded as one segment or value."""
        parts = [path.texts[0]]
        for name, text in zip(path.names, path.texts[1:], strict=True):
            parts += [f"{{{name}}}" if name in self.pending else encode(_text(self.one(name))), text]
        return "".join(parts)

    def node(self, node: BodyNode) -> Any:
        """Return a body's tree, or the mark of what is left out."""
        if isinstance(node, BodyValue):
            return self.value(node)
        if isinstance(node, BodyItems):
            return [found for item in node.items if (found := self.node(item)) is not _LEFT_OUT]
        return self.table(node)

    def table(self, node: BodyTable) -> Any:
        filled = {key: found for key, value in node.items if (found := self.node(value)) is not _LEFT_OUT}
        return filled if filled or not node.items else _LEFT_OUT

    def value(self, node: BodyValue) -> Any:
        names = node.template.names
        if node.bare in self.pending:
            return {LOOK_UP: node.bare}
        missing = sorted(name for name in names if name not in self.known)
        if missing and (node.optional or any(name in FACTS for name in missing)):
            return _LEFT_OUT
        if any(self.one(name) is None for name in sorted(names)):
            return None
        found = self.one(node.bare) if node.bare else self.text(node.template)
        try:
            return _converted(found, node.type)
        except ValueError as error:
            where = f"`{node.bare or node.template.source}`"
            raise Unfit(f"{where} is not {error}: {self.verb} of unit {self.crm_unit_id} at {self.api}") from error


class _Flag(int):
    """A flag that conditions of a template take for what it is, and that reads as JSON writes it."""

    def __str__(self) -> str:
        return "true" if self else "false"


def encode(text: str) -> str:
    """Return a text as one segment of a path or one value of a query; dots alone would climb the path."""
    return text.replace(".", "%2E") if set(text) == {"."} else quote(text, safe="")


def _as_date(value: Any) -> Any:
    try:
        return dt.date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _text(value: Any) -> str:
    """Return a value as it stands in a path, a header or a condition."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _converted(value: Any, wanted: As) -> Any:
    """Return a value as the body wants it; the text of a ValueError says what it is not."""
    if wanted is As.ITSELF:
        return value.isoformat() if isinstance(value, dt.date) else value
    text = _text(value)
    if wanted is As.TEXT:
        return text
    if wanted is As.FLAG:
        if text not in ("true", "false"):
            raise ValueError("true or false")
        return text == "true"
    if wanted is As.INTEGER:
        if not _INTEGER.fullmatch(text):
            raise ValueError("a whole number")
        return int(text)
    try:
        amount = Decimal(text)
        exact = amount.is_finite() and amount == amount.quantize(Decimal("0.01"))
    except ArithmeticError:
        exact, amount = False, Decimal(0)
    if not exact:
        raise ValueError("an amount with at most two decimals")
    return int(amount * 100) if wanted is As.CENTS else amount


# -- back from the request -------------------------------------------------------------------------------------------


def read_plan(spec: ApiSpec, request: Request) -> Plan:
    """Return what a stored request asks for.

    Raises:
        Unfit: it is one that is never sent, or it was made by another version of the file.
    """
    path, _, fragment = request.path.partition("#")
    pairs = parse_qsl(fragment, keep_blank_values=True)
    told = dict(pairs)
    if "refused" in told:
        raise Unfit(told["refused"])
    word, _, place = told.get("call", "").partition(".")
    call = spec.calls[Verb(word)] if word in spec.calls else None
    if call is None or not place.isdigit() or int(place) >= len(call.writes):
        raise Unfit(f"the call was made by another version of {spec.file}")
    asks: list[Ask] = []
    already: Ask | None = None
    for name, value in pairs:
        kind, _, which = name.partition(".")
        if kind != "get":
            continue
        if which == "already" and call.already:
            already = _ask(call.already, which, value, pairs)
        elif which.isdigit() and int(which) < len(call.look_ups):
            asks.append(_ask(call.look_ups[int(which)], which, value, pairs))
        else:
            raise Unfit(f"the call was made by another version of {spec.file}")
    headers = {name.removeprefix("header."): value for name, value in pairs if name.startswith("header.")}
    write = call.writes[int(place)]
    return Plan(verb=Verb(word), write=write, path=path, headers=headers, asks=tuple(asks), already=already)


def _ask(look_up: LookUp, place: str, path: str, pairs: list[tuple[str, str]]) -> Ask:
    where = tuple(value for name, value in pairs if name == f"where.{place}")
    return Ask(spec=look_up, path=path, where=where)


def complete_path(path: str, found: Mapping[str, Any]) -> str:
    """Return a path with what was looked up in it."""
    return _PLACEHOLDER.sub(lambda match: encode(_text(found[match[1]])), path)


def complete_body(body: bytes, found: Mapping[str, Any]) -> bytes:
    """Return a body with what was looked up in it; one without look-ups as it is."""
    return canonical(_completed(from_json(body), found)).encode() if found and body else body


def _completed(node: Any, found: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        if set(node) == {LOOK_UP}:
            return found[node[LOOK_UP]]
        return {key: _completed(value, found) for key, value in node.items()}
    return [_completed(item, found) for item in node] if isinstance(node, list) else node
