"""A destination file to its spec: whole or not at all, every fault with its place and the nearest known word.

What may stand where is a table, as in ``parsers/load.py``. A file is data: no code, no loops.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from parsers.errors import RuleError, RuleErrors
from parsers.events import FACTS, Value
from parsers.template import Template
from parsers.yamltree import Items, Node, Scalar, Table, read_yaml
from worker.calls import Manners, Verb
from worker.destinations.spec import (
    DEFAULTS,
    GIVEN,
    JOB,
    STAY,
    ApiSpec,
    As,
    BodyItems,
    BodyNode,
    BodyTable,
    BodyValue,
    CallSpec,
    Conditions,
    LookUp,
    OAuth,
    WhenNone,
    Write,
    facts_of,
    names_for,
)
from worker.destinations.specnodes import SpecNodes
from worker.destinations.specwords import read_answers, read_job

_KEYS: Final = (
    "api", "title", "columns", "requests_per_minute", "auth", "headers", "request_id", "idempotency",
    "ignore_unknown_fields", "answers", "job", "calls",
)  # fmt: skip
_METHODS: Final = {"post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE"}
_WRITE_KEYS: Final = (*_METHODS, "when", "headers", "body")
_CALL_KEYS: Final = (*_WRITE_KEYS, "look_ups", "already", "either", "clears", "resets")
_LOOK_UP_KEYS: Final = ("name", "when", "get", "find", "where", "take", "none")
_ALREADY_KEYS: Final = ("get", "find", "where")
_CLEARING: Final = {"clears": (Verb.MOVE_IN, Verb.MOVE_OUT), "resets": (Verb.MOVE_OUT,)}
_VALUE_KEYS: Final = ("value", "as", "optional")
_OURS: Final = frozenset((*GIVEN, *STAY, *FACTS, "unit_name", "pms_location_code", JOB))
_COLUMN: Final = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_BARE: Final = re.compile(r"\{\{ *([a-z_][a-z0-9_]*) *\}\}")
_LONGEST_MEMORY_S: Final = 30 * 86_400


def read_spec(text: str, file: str) -> ApiSpec:
    """Return the spec of one destination file.

    Raises:
        RuleErrors: every fault, with file, line and column.
    """
    errors: list[RuleError] = []
    spec = SpecReader(file, errors).spec(read_yaml(text, file))
    if errors:
        raise RuleErrors(sorted(errors, key=lambda error: (error.line, error.column)))
    return spec


class SpecReader(SpecNodes):
    """Reads one file's tree."""

    def __init__(self, file: str, errors: list[RuleError]) -> None:
        super().__init__(file, errors)
        self._columns: tuple[str, ...] = ()

    def spec(self, tree: Node) -> ApiSpec:
        keys = self.table(tree, _KEYS, "a destination")
        self.need(tree, keys, ("api", "answers", "calls"), "a destination")
        self._columns = tuple(filter(None, self.each(keys.get("columns"), self._column)))
        name = self.text(keys.get("api"), "the API's name")
        key_header, remembered_s = self._idempotency(keys.get("idempotency"))
        tables = self._call_tables(keys.get("calls"))
        calls = {verb: self._call(verb, node) for verb, node in tables.items()}
        return ApiSpec(
            name=name,
            title=self.text(keys.get("title"), "a title") or name,
            file=self._file,
            columns=self._columns,
            requests_per_minute=self.number(keys.get("requests_per_minute"), "requests_per_minute", 0, 1_000_000),
            oauth=self._auth(keys.get("auth")),
            headers=self._headers(keys.get("headers"), (*GIVEN, *self._columns)),
            request_id_header=self._header(keys.get("request_id")),
            key_header=key_header,
            unknown_fields_query=self.text(keys.get("ignore_unknown_fields"), "ignore_unknown_fields"),
            answers=read_answers(self, keys.get("answers")),
            job=read_job(self, keys.get("job")),
            calls=calls,
            manners=self._manners(calls, tables, remembered_s),
        )

    # -- the head ----------------------------------------------------------------------------------------------------

    def _column(self, node: Node) -> str:
        text = self.text(node, "a column")
        if text and (not _COLUMN.fullmatch(text) or text in _OURS):
            why = "is a name that every call has" if text in _OURS else "is not one of small letters, digits and _"
            self.fault(node, f"the column `{text}` {why}", text)
            return ""
        return text

    def _auth(self, node: Node | None) -> OAuth | None:
        if node is None or isinstance(node, Scalar):
            self.word(node, ("bearer",), "auth", "bearer")
            return None
        keys = self.table(node, ("oauth2", "scope", "credentials"), "auth")
        self.need(node, keys, ("oauth2",), "auth")
        url = self.text(keys.get("oauth2"), "the address of the token")
        if url and not re.match(r"(/|https?://)", url):
            self.fault(keys["oauth2"], "the address of the token is a path below base_url, or a whole URL", url)
        credentials = self.word(keys.get("credentials"), ("header", "body"), "place of the credentials", "header")
        return OAuth(token_url=url, scope=self.text(keys.get("scope"), "a scope"), in_body=credentials == "body")

    def _header(self, node: Node | None) -> str | None:
        text = self.text(node, "a header's name")
        if node is not None and text and not _HEADER.fullmatch(text):
            self.fault(node, f"`{text}` cannot name a header", text)
        return text or None

    def _headers(self, node: Node | None, known: Iterable[str]) -> tuple[tuple[str, Template], ...]:
        known = tuple(known)
        found: list[tuple[str, Template]] = []
        for name, value in self.table(node, None, "headers").items():
            if not _HEADER.fullmatch(name) or name.lower() in ("authorization", "content-length", "host"):
                self.fault(value, f"`{name}` is no header that may be set here", name)
            found.append((name, self.template(value, self.text(value, f"the header {name}"), known)))
        return tuple(found)

    def _idempotency(self, node: Node | None) -> tuple[str | None, float]:
        keys = self.table(node, ("header", "remembered_s"), "idempotency")
        if node is None:
            return None, 0.0
        self.need(node, keys, ("header", "remembered_s"), "idempotency")
        seconds = self.number(keys.get("remembered_s"), "remembered_s", 0, _LONGEST_MEMORY_S)
        return self._header(keys.get("header")), float(seconds)

    # -- calls -------------------------------------------------------------------------------------------------------

    def _call_tables(self, node: Node | None) -> dict[Verb, Node]:
        found = self.table(node, tuple(Verb), "calls")
        if node is not None and not found and isinstance(node, Table):
            self.fault(node, f"`calls` names at least one of {', '.join(Verb)}")
        return {Verb(word): value for word, value in found.items()}

    def _call(self, verb: Verb, node: Node) -> CallSpec:
        keys = self.table(node, _CALL_KEYS, verb)
        known = (*names_for(verb), *self._columns)
        look_ups: list[LookUp] = []
        asked: set[str] = set()
        for item in _each(keys.get("look_ups")):
            look_ups.append(self._look_up(item, known, asked))
            asked.add(look_ups[-1].name)
            known = (*known, look_ups[-1].name)
        already = self._look_up(keys["already"], known, asked, already=True) if "already" in keys else None
        if "either" not in keys:
            return CallSpec(
                look_ups=tuple(look_ups), already=already, writes=(self._write(node, keys, known, asked, inline=True),)
            )
        for key in keys.keys() & set(_WRITE_KEYS):
            self.fault(keys[key], f"`{key}` stands inside `either` or beside no `either`", key)
        writes = [
            self._write(item, self.table(item, _WRITE_KEYS, "a write"), known, asked) for item in _each(keys["either"])
        ]
        if verb is Verb.PATCH and len({facts_of(CallSpec(writes=(write,))) for write in writes}) > 1:
            self.fault(keys["either"], "every write of a patch carries the same facts, or one would be lost")
        return CallSpec(look_ups=tuple(look_ups), already=already, writes=tuple(writes))

    def _write(
        self, node: Node, keys: Mapping[str, Node], known: tuple[str, ...], asked: set[str], *, inline: bool = False
    ) -> Write:
        methods = [key for key in keys if key in _METHODS]
        if len(methods) != 1:
            more = ", or `either` with a list of such" if inline else ""
            self.fault(node, f"a write has exactly one of {', '.join(_METHODS)}{more}")
        method = methods[0] if methods else "put"
        if inline and "when" in keys:
            self.fault(keys["when"], "`when` stands in `either`, where there is another write to choose", "when")
        if method == "delete" and "body" in keys:
            self.fault(keys["body"], "`delete` takes no body", "body")
        early = tuple(name for name in known if name not in asked)
        return Write(
            when=self._when(keys.get("when"), early),
            method=_METHODS[method],
            path=self.path(keys.get(method), known, "a path"),
            headers=self._headers(keys.get("headers"), early),
            body=self._body(keys["body"], known, asked) if "body" in keys else None,
        )

    def _look_up(self, node: Node, known: tuple[str, ...], asked: set[str], *, already: bool = False) -> LookUp:
        what = "`already`" if already else "a look-up"
        keys = self.table(node, _ALREADY_KEYS if already else _LOOK_UP_KEYS, what)
        self.need(node, keys, ("get",) if already else ("name", "get", "take"), what)
        name = self.text(keys.get("name"), "a look-up's name")
        if name and (name in _OURS or not _COLUMN.fullmatch(name)):
            self.fault(keys["name"], f"`{name}` cannot name a look-up", name)
        early = tuple(word for word in known if word not in asked)
        where = self.table(keys.get("where"), None, "where")
        if "where" in keys and "find" not in keys:
            self.fault(keys["where"], "`where` chooses from a list: say with `find` where the list is", "where")
        return LookUp(
            name=name,
            when=self._when(keys.get("when"), known),
            path=self.path(keys.get("get"), known, "a path"),
            find=self.json_path(keys["find"], "find") if "find" in keys else None,
            where=tuple(
                (tuple(path.split(".")), self.template(value, self.text(value, "a value"), early))
                for path, value in where.items()
            ),
            take=self.json_path(keys.get("take"), "take"),
            none=WhenNone(self.word(keys.get("none"), tuple(WhenNone), "none", WhenNone.REJECTED)),
        )

    def _when(self, node: Node | None, known: Iterable[str]) -> Conditions:
        found = self.table(node, None, "when")
        if node is not None:
            self.names(node, found, known)
        return tuple((name, self.text(value, "a condition")) for name, value in found.items())

    # -- bodies ------------------------------------------------------------------------------------------------------

    def _body(self, node: Node, known: Iterable[str], asked: set[str]) -> BodyNode:
        if isinstance(node, Scalar):
            return self._value(node, node.text, known, asked)
        if isinstance(node, Items):
            return BodyItems(items=tuple(self._body(item, known, asked) for item in node.items))
        found = {key.text: value for key, value in node.items}
        if isinstance(found.get("value"), Scalar):
            keys = self.table(node, _VALUE_KEYS, "a value")
            return self._value(keys["value"], self.text(keys["value"], "a value"), known, asked, keys)
        return BodyTable(items=tuple((key, self._body(value, known, asked)) for key, value in found.items()))

    def _value(
        self, node: Node, text: str, known: Iterable[str], asked: set[str], keys: Mapping[str, Node] | None = None
    ) -> BodyValue:
        keys = keys or {}
        bare = _BARE.fullmatch(text)
        found = self.template(node, text, known)
        if not bare and (late := sorted(found.names & asked)):
            self.fault(
                node, f"`{late[0]}` is looked up while sending: it stands alone, as {{{{ {late[0]} }}}}", late[0]
            )
        return BodyValue(
            template=found,
            bare=bare[1] if bare else None,
            type=As(self.word(keys.get("as"), tuple(As), "as", As.ITSELF)),
            optional=self.flag(keys.get("optional"), "optional"),
        )

    # -- manners -----------------------------------------------------------------------------------------------------

    def _manners(self, calls: Mapping[Verb, CallSpec], tables: Mapping[Verb, Node], remembered_s: float) -> Manners:
        patch = calls.get(Verb.PATCH)
        facts = facts_of(patch) if patch else ()
        if patch and not facts:
            self.fault(tables[Verb.PATCH], f"`patch` carries at least one of {', '.join(FACTS)}")
        cleared = {(verb, key): self._cleared(verb, key, node) for verb, node in tables.items() for key in _CLEARING}
        resets = cleared.get((Verb.MOVE_OUT, "resets"), {})
        wanted = cleared.get((Verb.MOVE_OUT, "clears"), {})
        return Manners(
            verbs=frozenset(calls),
            facts=facts,
            move_in_clears=cleared.get((Verb.MOVE_IN, "clears"), {}),
            move_out_clears={**{name: value for name, value in wanted.items() if name in facts}, **resets},
            move_out_resets=resets,
            remembered_s=remembered_s,
        )

    def _cleared(self, verb: Verb, key: str, call: Node) -> dict[str, Value]:
        """Return the facts that a tenancy call clears, with their values after it."""
        items = {name.text: value for name, value in call.items} if isinstance(call, Table) else {}
        if key not in items:
            return {}
        if verb not in _CLEARING[key]:
            self.fault(items[key], f"`{key}` has no place in `{verb}`", key)
        words = self.each(items[key], lambda item: self.word(item, FACTS, "fact", ""))
        return {word: DEFAULTS[word] for word in words if word}


def _each(node: Node | None) -> tuple[Node, ...]:
    if node is None:
        return ()
    return node.items if isinstance(node, Items) else (node,)
