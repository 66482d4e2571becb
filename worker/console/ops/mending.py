"""Undo and replay by the operator API: the pieces of ``gatepost undo`` and ``gatepost replay``.

Without ``go`` nothing is done, and the answer is the plan.
"""

import re
from typing import Any, cast

from worker import log, replayed
from worker.console.ops.asked import Asked, flag_field, query_field, text_field, whole_field, word_field
from worker.console.ops.envelope import Answer, invalid
from worker.replay import Layer
from worker.runtime import Runtime
from worker.store.query import QueryError
from worker.undo import plan, undo
from worker.views import NotThere

PLANNED = 500
"""Mails that a plan reads at most: it is made while the caller waits."""
LAYERS = ("parse", "apply")

_UNDO = {"query": query_field, "go": flag_field, "reason": text_field}
_REPLAY = {
    **_UNDO,
    "from": word_field(LAYERS),
    "first": whole_field(1),
    "per_minute": whole_field(0),
}


def post_undo(runtime: Runtime, asked: Asked) -> Answer:
    """Take the events of a query back, or say what that would do."""
    actor, wish = asked.actor(), _wish(asked, _UNDO)
    try:
        if not wish["go"]:
            units = plan(runtime.db, wish["query"], manners=runtime.manners, now=asked.now)
            return Answer(value={"done": False, "units": [unit.to_json() for unit in units]})
        units = undo(
            runtime.db,
            wish["query"],
            manners=runtime.manners,
            actor=actor,
            reason=wish["reason"],
            now=asked.now,
            on_told=runtime.hooks.tell,
            on_trouble=log.trouble,
        )
    except QueryError as error:
        raise invalid({"query": str(error)}) from error
    runtime.doorbell.ring_lanes([unit.key for unit in units if unit.key[1]])
    return Answer(status=202, value={"done": True, "units": [unit.to_json() for unit in units]})


def post_replay(runtime: Runtime, asked: Asked) -> Answer:
    """Start a replay, or say what it would do. Asked again while it has not ended, it is the same one."""
    actor, wish = asked.actor(), _wish(asked, _REPLAY)
    text, layer, first = wish["query"], cast("Layer", wish.get("from", "parse")), wish.get("first")
    try:
        if not wish["go"]:
            return Answer(value=_planned(runtime, text, layer, first))
        number = runtime.replays.start(
            text,
            layer,
            limit=first,
            per_minute=wish.get("per_minute", 0),
            actor=actor,
            reason=wish["reason"],
            once=True,
        )
    except QueryError as error:
        raise invalid({"query": str(error)}) from error
    return Answer(status=202, value=replayed.report(runtime.db, number))


def _planned(runtime: Runtime, text: str, layer: Layer, first: int | None) -> dict[str, Any]:
    """Return what a replay would do, as far as it is looked at."""
    items = runtime.replays.find(text, layer, limit=first)
    found = replayed.plan_plain(runtime.replays.plan(text, layer, limit=min(first or PLANNED, PLANNED)))
    return {"done": False, "from": layer, "items": len(items), **found}


def get_replay(runtime: Runtime, asked: Asked) -> Answer:
    """Say how far a replay is, and what came of its items."""
    return Answer(value=replayed.report(runtime.db, _number(asked)))


def pause_replay(runtime: Runtime, asked: Asked) -> Answer:
    """Pause a replay."""
    return _set(runtime, asked, "paused")


def resume_replay(runtime: Runtime, asked: Asked) -> Answer:
    """Have a paused replay go on."""
    return _set(runtime, asked, "running")


def _set(runtime: Runtime, asked: Asked, state: replayed.Running) -> Answer:
    number = _number(asked)
    replayed.set_state(runtime.db, number, state, actor=asked.actor(), now=asked.now)
    return Answer(value=replayed.report(runtime.db, number))


def _number(asked: Asked) -> int:
    text = asked.path["number"]
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise NotThere(f"no replay {text}; `GET /replays` lists them")
    return int(text)


def _wish(asked: Asked, fields: Any) -> dict[str, Any]:
    """Return what the body asks for; who wants something done says why."""
    wish = {"go": False, **asked.read_fields(fields, needed=("query",))}
    if wish["go"] and not wish.get("reason"):
        raise invalid({"reason": "is required with `go`: it is kept in the audit"})
    return wish
