"""What a destination file says of answers and of jobs."""

from collections.abc import Mapping
from typing import Final

from parsers.yamltree import Items, Node
from worker.calls import Outcome
from worker.destinations.spec import JOB, Answers, Fields, Job, JsonPath, Rate, Success
from worker.destinations.specnodes import SpecNodes

_ANSWER_KEYS: Final = ("success", "message", "code", "codes", "statuses", "not_found", "rate", "fields")
_SUCCESS_KEYS: Final = ("status", "needs", "where", "without_body")
_RATE_KEYS: Final = ("status", "header", "seconds", "reset_header")
_FIELDS_KEYS: Final = ("find", "name", "message")
_JOB_KEYS: Final = ("id", "get", "status", "done", "partial", "failed", "pending", "errors", "again_s")
_MEANINGS: Final[Mapping[str, Outcome]] = {
    str(item): item for item in Outcome if item not in (Outcome.APPLIED, Outcome.ACCEPTED, Outcome.UNREACHED)
}
"""The outcomes that a file may give a status or a code: never a success."""


def read_answers(reader: SpecNodes, node: Node | None) -> Answers:
    """Return what the answers mean, each fault noted with the reader."""
    keys = reader.table(node, _ANSWER_KEYS, "answers")
    if node is not None:
        reader.need(node, keys, ("success", "message"), "answers")
    return Answers(
        success=_success(reader, keys.get("success")),
        messages=_paths(reader, keys.get("message"), "message"),
        code=reader.json_path(keys["code"], "code") if "code" in keys else None,
        codes=_meanings(reader, keys.get("codes"), "codes"),
        statuses={
            _status(reader, status, value): meaning
            for (status, meaning), value in zip(
                _meanings(reader, keys.get("statuses"), "statuses").items(),
                reader.table(keys.get("statuses"), None, "statuses").values(),
                strict=True,
            )
        },
        not_found=_statuses(reader, keys.get("not_found"), (404,)),
        rate=_rate(reader, keys.get("rate")),
        fields=_fields(reader, keys.get("fields")),
    )


def _success(reader: SpecNodes, node: Node | None) -> Success:
    keys = reader.table(node, _SUCCESS_KEYS, "success")
    if node is not None and not keys.keys() & {"needs", "where"}:
        reader.fault(node, "`success` needs `needs` or `where`: only the API's own JSON counts, never a proxy's page")
    return Success(
        statuses=_statuses(reader, keys.get("status"), (200, 201)),
        needs=_paths(reader, keys.get("needs"), "needs"),
        where=tuple(
            (tuple(path.split(".")), reader.text(value, "a value"))
            for path, value in reader.table(keys.get("where"), None, "where").items()
        ),
        without_body=_statuses(reader, keys.get("without_body"), ()),
    )


def _fields(reader: SpecNodes, node: Node | None) -> Fields | None:
    if node is None:
        return None
    keys = reader.table(node, _FIELDS_KEYS, "fields")
    reader.need(node, keys, ("find",), "fields")
    if "message" in keys and "name" not in keys:
        reader.fault(
            keys["message"], "`message` stands beside `name`: both are read of each fault of a list", "message"
        )
    paths = {key: reader.json_path(keys.get(key), key) for key in _FIELDS_KEYS}
    return Fields(find=paths["find"], name=paths["name"], message=paths["message"])


def _rate(reader: SpecNodes, node: Node | None) -> Rate:
    keys = reader.table(node, _RATE_KEYS, "rate")
    return Rate(
        statuses=_statuses(reader, keys.get("status"), (429,)),
        header=(reader.text(keys.get("header"), "a header's name") or "Retry-After").lower(),
        seconds=reader.json_path(keys["seconds"], "seconds") if "seconds" in keys else None,
        reset_header=reader.text(keys.get("reset_header"), "a header's name").lower() or None,
    )


def read_job(reader: SpecNodes, node: Node | None) -> Job | None:
    """Return how a job is asked for; None when the API has no jobs."""
    if node is None:
        return None
    keys = reader.table(node, _JOB_KEYS, "job")
    reader.need(node, keys, ("id", "get", "status", "done", "failed", "pending"), "job")
    path = reader.path(keys.get("get"), (JOB,), "a path")
    if "get" in keys and JOB not in path.names:
        reader.fault(keys["get"], "the path of a job's request names it: {{ job }}")
    words = {key: reader.texts(keys.get(key), key) for key in ("done", "partial", "failed", "pending")}
    seen: set[str] = set()
    for key, values in words.items():
        for value in values:
            if value in seen:
                reader.fault(keys[key], f"`{value}` means two things", value)
            seen.add(value)
    return Job(
        id=reader.json_path(keys.get("id"), "id"),
        path=path,
        status=reader.json_path(keys.get("status"), "status"),
        done=words["done"],
        partial=words["partial"],
        failed=words["failed"],
        pending=words["pending"],
        errors=reader.json_path(keys.get("errors"), "errors"),
        again_s=float(reader.number(keys.get("again_s"), "again_s", 5, 3600)),
    )


def _paths(reader: SpecNodes, node: Node | None, what: str) -> tuple[JsonPath, ...]:
    return tuple(reader.each(node, lambda item: reader.json_path(item, what)))


def _meanings(reader: SpecNodes, node: Node | None, what: str) -> dict[str, Outcome]:
    return {
        word: _MEANINGS[reader.word(value, _MEANINGS, "outcome", str(Outcome.FAILED))]
        for word, value in reader.table(node, None, what).items()
    }


def _statuses(reader: SpecNodes, node: Node | None, default: tuple[int, ...]) -> tuple[int, ...]:
    if node is None:
        return default
    items = node.items if isinstance(node, Items) else (node,)
    return tuple(_status(reader, reader.text(item, "a status"), item) for item in items)


def _status(reader: SpecNodes, text: str, node: Node) -> int:
    if not (len(text) == 3 and text.isascii() and text.isdigit() and 200 <= int(text) <= 599):
        reader.fault(node, f"`{text}` is not a status from 200 to 599", text)
        return 599
    return int(text)
