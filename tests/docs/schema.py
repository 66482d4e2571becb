"""As much of JSON Schema as our schemas use; an unknown keyword is a mistake in a schema, not something to skip."""

import json
import re
from pathlib import Path
from typing import Any

from tests.docs.pages import DOCS

SCHEMAS = DOCS / "schemas"
_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
_SAID = {"$schema", "$id", "$defs", "title", "description", "format"}


def faults(value: Any, file: str) -> list[str]:
    """Return what is wrong with a value by a schema of ours; empty when nothing is."""
    path = SCHEMAS / file
    return _faults(value, json.loads(path.read_text("utf-8")), path, "$")


def faults_by(value: Any, path: Path) -> list[str]:
    """Return what is wrong with a value by the schema in a file."""
    return _faults(value, json.loads(path.read_text("utf-8")), path, "$")


def _faults(value: Any, schema: dict[str, Any], file: Path, where: str) -> list[str]:
    found: list[str] = []
    for keyword, wanted in schema.items():
        if keyword == "items" and isinstance(value, list):
            found += _items(value[len(schema.get("prefixItems", ())) :], wanted, file, where)
        elif keyword not in _SAID and keyword != "properties":
            found += _CHECKS[keyword](value, wanted, file, where)
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                found += _faults(value[name], inner, file, f"{where}.{name}")
        rest = schema.get("additionalProperties")
        for name in value if rest is not None else ():
            if name in schema.get("properties", {}):
                continue
            if rest is False:
                found.append(f"{where}: {name} is not known")
            else:
                found += _faults(value[name], rest, file, f"{where}.{name}")
    return found


def _ref(value: Any, wanted: str, file: Path, where: str) -> list[str]:
    name, _, pointer = wanted.partition("#")
    other = file.with_name(name) if name else file
    schema = json.loads(other.read_text("utf-8"))
    for step in pointer.strip("/").split("/"):
        schema = schema[step]
    return _faults(value, schema, other, where)


def _type(value: Any, wanted: str | list[str], _file: Path, where: str) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else wanted
    fits = any(isinstance(value, _TYPES[name]) and (not isinstance(value, bool) or name == "boolean") for name in names)
    return [] if fits else [f"{where}: {value!r} is not {' or '.join(names)}"]


def _items(value: Any, wanted: dict[str, Any], file: Path, where: str) -> list[str]:
    listed = value if isinstance(value, list) else []
    return [fault for n, item in enumerate(listed) for fault in _faults(item, wanted, file, f"{where}[{n}]")]


def _required(value: Any, wanted: list[str], _file: Path, where: str) -> list[str]:
    return [f"{where}: {name} is missing" for name in wanted if isinstance(value, dict) and name not in value]


def _enum(value: Any, wanted: list[Any], _file: Path, where: str) -> list[str]:
    return [] if value in wanted else [f"{where}: {value!r} is none of {wanted}"]


def _pattern(value: Any, wanted: str, _file: Path, where: str) -> list[str]:
    return [] if not isinstance(value, str) or re.search(wanted, value) else [f"{where}: {value!r} is not {wanted}"]


def _all_of(value: Any, wanted: list[dict[str, Any]], file: Path, where: str) -> list[str]:
    return [fault for schema in wanted for fault in _faults(value, schema, file, where)]


def _any_of(value: Any, wanted: list[dict[str, Any]], file: Path, where: str) -> list[str]:
    each = [_faults(value, schema, file, where) for schema in wanted]
    return [] if not all(each) else each[-1]


def _one_of(value: Any, wanted: list[dict[str, Any]], file: Path, where: str) -> list[str]:
    fits = sum(not _faults(value, schema, file, where) for schema in wanted)
    return [] if fits == 1 else [f"{where}: {fits} of {wanted} fit, not one"]


def _prefix(value: Any, wanted: list[dict[str, Any]], file: Path, where: str) -> list[str]:
    pairs = zip(value if isinstance(value, list) else [], wanted, strict=False)
    return [fault for n, (item, schema) in enumerate(pairs) for fault in _faults(item, schema, file, f"{where}[{n}]")]


def _count(value: Any, least: int, most: float, where: str) -> list[str]:
    fits = not isinstance(value, dict) or least <= len(value) <= most
    return [] if fits else [f"{where}: holds {len(value)} keys, not {least} to {most}"]


def _not(value: Any, unwanted: dict[str, Any], file: Path, where: str) -> list[str]:
    return [] if _faults(value, unwanted, file, where) else [f"{where}: {value!r} is {unwanted}"]


def _least_items(value: Any, least: int, _file: Path, where: str) -> list[str]:
    fits = not isinstance(value, list) or least <= len(value)
    return [] if fits else [f"{where}: holds {len(value)} items, fewer than {least}"]


_CHECKS: dict[str, Any] = {
    "$ref": _ref,
    "type": _type,
    "items": _items,
    "required": _required,
    "enum": _enum,
    "pattern": _pattern,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "const": lambda value, wanted, file, where: _enum(value, [wanted], file, where),
    "prefixItems": _prefix,
    "minItems": _least_items,
    "minProperties": lambda value, wanted, _file, where: _count(value, wanted, float("inf"), where),
    "maxProperties": lambda value, wanted, _file, where: _count(value, 0, wanted, where),
    "additionalProperties": lambda *_: [],
}
