"""The rule language as a JSON Schema, for editors: made from the tables that the loader itself reads by.

It says what may stand where. What only a whole file can tell (that a field exists, that its type fits, that a pattern
is one) is the loader's to say: ``gatepost rules check``.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from parsers.convert import ISO
from parsers.eventnodes import EVENT_KEYS, EXPECT_KEYS, FLAG_KEYS, NEEDED_KEYS, VALUE_KEYS, WORDS_KEYS
from parsers.events import Kind
from parsers.fieldnodes import (
    CREDITS,
    FIELD_KEYS,
    OCCURRED_KEYS,
    PATTERN_SOURCES,
    ROW_SOURCES,
    SOURCES,
    WORD_SOURCES,
)
from parsers.load import OVERLAY_KEYS, PACK_KEYS
from parsers.names import CALENDARS
from parsers.nodes import ID
from parsers.rule import ANY, From, Type
from parsers.rulenodes import (
    ATTACHMENT_KEYS,
    CASE_KEYS,
    DELIMITER_WORDS,
    HEADERS,
    LIST_KEYS,
    PLACE_KEYS,
    RULE_KEYS,
    TABLE_KEYS,
    TEXT_KEYS,
    WHEN_KEYS,
)
from parsers.senders import BELOW_ALL, DOMAIN

Schema: TypeAlias = dict[str, Any]

_SCALAR: Final[Schema] = {"type": ["string", "number", "boolean"]}
"""A text: YAML may take what is written without quotes for a number or a flag, the loader never does."""
_FLAG: Final[Schema] = {"enum": [True, False, "true", "false"]}
_PATTERN: Final[Schema] = {
    "type": "string",
    "description": "a pattern of RE2; case does not count, ^ and $ are a line's",
}
_ID: Final[Schema] = {"type": ["string", "number", "boolean"], "pattern": f"^{ID}$"}
_SENDER: Final[Schema] = {
    "anyOf": [
        {"const": ANY},
        {"type": "string", "pattern": f"^{DOMAIN}$", "not": {"pattern": f"^{BELOW_ALL}$"}},
    ]
}


def rule_schema() -> Schema:
    """Return the schema of a rule file: a pack, or a file that extends one."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a rule file of Gatepost",
        "anyOf": [_ref("pack"), _ref("overlay")],
        "$defs": {
            "scalar": _SCALAR,
            "texts": _one_or_list(_SCALAR),
            "patterns": _one_or_list(_PATTERN),
            "pack": _object(PACK_KEYS, _PACK, needed=("pack", "senders", "rules")),
            "overlay": _object(OVERLAY_KEYS, _PACK, needed=("extends",)),
            "rule": {
                **_object(RULE_KEYS, _RULE, needed=("id", "when")),
                "anyOf": [{"required": [key]} for key in ("events", "ignore", "each")],
            },
            "when": {**_object(WHEN_KEYS, _WHEN), "minProperties": 1},
            "field": _field(SOURCES),
            "row_field": _field(ROW_SOURCES),
            "occurred": {**_object(OCCURRED_KEYS, _OCCURRED), "oneOf": _exactly_one(SOURCES)},
            "each": {"anyOf": [_ref("table"), _ref("file"), _ref("list")]},
            "table": _rows([key for key in TABLE_KEYS if key != "attachment"], "table"),
            "file": _rows([key for key in TABLE_KEYS if key not in TEXT_KEYS], "attachment"),
            "attachment": _object(ATTACHMENT_KEYS, _ATTACHMENT, needed=("name",)),
            "case": {**_object(CASE_KEYS, _CASE, needed=("where",)), "oneOf": _exactly_one(("events", "ignore"))},
            "list": _object(LIST_KEYS, {}, needed=LIST_KEYS),
            "event": _event(),
            "value": {"anyOf": [_SCALAR, _object(VALUE_KEYS, _VALUE, needed=("value",))]},
            "flag": {"anyOf": [_ref("value"), _object(WORDS_KEYS, _WORDS, needed=WORDS_KEYS)]},
            "expect": _object(EXPECT_KEYS, {key: _ref("value") for key in EXPECT_KEYS}),
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _one_or_list(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}


def _object(keys: Iterable[str], known: dict[str, Schema], *, needed: Iterable[str] = ()) -> Schema:
    """Return the schema of a mapping with these keys and no others; a key that is not in `known` holds a text."""
    found: Schema = {
        "type": "object",
        "properties": {str(key): known.get(key, _SCALAR) for key in keys},
        "additionalProperties": False,
    }
    return found | ({"required": list(needed)} if needed else {})


def _exactly_one(keys: Iterable[str]) -> list[Schema]:
    return [{"required": [str(key)]} for key in keys]


def _field(sources: tuple[From, ...]) -> Schema:
    """Return the schema of a field: a source and what else it has, or a list of sources whose first has the rest."""
    first = {**_object((*sources, *FIELD_KEYS), _FIELD), "oneOf": _exactly_one(sources)}
    other = {**_object(sources, _FIELD), "oneOf": _exactly_one(sources)}
    return {"anyOf": [first, {"type": "array", "prefixItems": [first], "items": other, "minItems": 1}]}


def _rows(keys: Iterable[str], place: str) -> Schema:
    """Return the schema of a table or an attached file: where it stands, its fields, and what its rows say."""
    return {**_object(keys, _TABLE, needed=(place, "fields")), "oneOf": _exactly_one(("events", "cases"))}


def _event() -> Schema:
    """Return the schema of an event: exactly one kind, and what that kind states."""
    kinds = {
        str(kind): _object(keys, {key: _value(key, kind) for key in keys}, needed=NEEDED_KEYS[kind])
        for kind, keys in EVENT_KEYS.items()
    }
    return {**_object(kinds, kinds), "minProperties": 1, "maxProperties": 1}


def _value(key: str, kind: Kind) -> Schema:
    """Return the schema of what fills a key of an event."""
    if key == "expect":
        return _ref("expect")
    if key == "unit" and kind is not Kind.MOVE_IN:
        by_tenancy = _object(("tenancy",), {"tenancy": _ref("expect")}, needed=("tenancy",))
        return {"anyOf": [_ref("value"), by_tenancy]}
    return _ref("flag" if key in FLAG_KEYS else "value")


_MONEY: Final = _object(("decimal", "group", "symbols"), {"symbols": _ref("texts")})
_PACK: Final[dict[str, Schema]] = {
    "pack": _ID,
    "senders": {
        **_one_or_list(_SENDER),
        "description": "domains that may speak for it; `any` for structured data only",
    },
    "dates": {**_ref("texts"), "description": f"formats such as %m/%d/%Y, tried in order, or the word {ISO}"},
    "locale": {"type": "string", "pattern": f"^({'|'.join(CALENDARS)})([_-]|$)"},
    "money": _MONEY,
    "location": _ref("field"),
    "labels": {"type": "object", "additionalProperties": _ref("texts")},
    "rules": _one_or_list(_ref("rule")),
}
_RULE: Final[dict[str, Schema]] = {
    **dict.fromkeys(("id", "occurrence"), _ID),
    "when": _ref("when"),
    "fields": {"type": "object", "additionalProperties": _ref("field")},
    "identity": _ref("texts"),
    "occurred": _ref("occurred"),
    "each": _one_or_list(_ref("each")),
    "events": _one_or_list(_ref("event")),
    "ignore_lines": _ref("patterns"),
    "limits": _object(("flips",), {"flips": {"type": "string", "pattern": "^[0-9]{1,3}%$"}}),
}
_WHEN: Final[dict[str, Schema]] = {
    **dict.fromkeys(("subject", "from"), _PATTERN),
    **dict.fromkeys(("body", "not"), _ref("patterns")),
    "header": {"type": "object", "additionalProperties": _PATTERN, "minProperties": 1},
    **{key: {"type": "object", "additionalProperties": _SCALAR, "minProperties": 1} for key in ("json", "jsonld")},
    "attachment": _ref("texts"),
}
_FIELD: Final[dict[str, Schema]] = {
    **{str(kind): _ref("texts") for kind in WORD_SOURCES},
    **dict.fromkeys((*map(str, PATTERN_SOURCES), "pattern"), _PATTERN),
    "type": {"enum": [str(kind) for kind in Type]},
    "optional": _FLAG,
    "credit": {"enum": list(CREDITS)},
    **dict.fromkeys(("true", "false", "split", "after", "before"), _ref("texts")),
}
_OCCURRED: Final[dict[str, Schema]] = {
    **_FIELD,
    "type": {"enum": [str(Type.DATE), str(Type.DATETIME)]},
    "at": {"enum": ["start", "end"]},
}
_TABLE: Final[dict[str, Schema]] = {
    "table": {**_object(PLACE_KEYS, {key: _ref("texts") for key in PLACE_KEYS}), "oneOf": _exactly_one(PLACE_KEYS)},
    "attachment": _ref("attachment"),
    **dict.fromkeys(("empty", "needs"), _ref("texts")),
    "skip": _ref("patterns"),
    "fields": {"type": "object", "additionalProperties": _ref("row_field")},
    "events": _one_or_list(_ref("event")),
    "cases": _one_or_list(_ref("case")),
}
_ATTACHMENT: Final[dict[str, Schema]] = {
    **dict.fromkeys(("name", "encoding", "columns", "fill_down"), _ref("texts")),
    "delimiter": _one_or_list({"enum": list(DELIMITER_WORDS)}),
    "header_row": {
        "anyOf": [{"enum": list(HEADERS)}, {"type": "integer"}, {"type": "string", "pattern": "^[0-9]{1,3}$"}]
    },
    "skip": _ref("patterns"),
    **dict.fromkeys(("group_rows", "may_be_empty"), _FLAG),
}
_CASE: Final[dict[str, Schema]] = {
    "where": {"type": "object", "additionalProperties": _ref("texts"), "minProperties": 1, "maxProperties": 1},
    "events": _one_or_list(_ref("event")),
}
_VALUE: Final[dict[str, Schema]] = {"if": {"enum": ["single"]}}
_WORDS: Final[dict[str, Schema]] = dict.fromkeys(("true", "false"), _ref("texts"))
