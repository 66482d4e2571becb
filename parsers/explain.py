"""A reading as plain lines for a person: what was read, what was tried, what was taken, what came of it."""

import json
from collections.abc import Iterator
from typing import Any

from parsers.events import canonical
from parsers.reading import Reading


def render(reading: Reading) -> str:
    """Return the explanation of a reading, one fact a line."""
    return "\n".join(_lines(reading))


def _lines(reading: Reading) -> Iterator[str]:
    trace = reading.trace
    yield f"{reading.outcome}" + (f" by {reading.rule}" if reading.rule else "") + f" (rule set {reading.rule_set})"
    if reading.reason:
        yield reading.reason
    if "subject" in trace:
        yield f"from     {trace['from'] or 'no single plain address'}, packs: {', '.join(trace['packs']) or 'none'}"
        for one in trace.get("chain", ()):
            who = one["from"] or "no single plain address"
            yield f"forward  by {who}, {one['date'] or 'undated'}, {one['how']}: {one['subject']}"
        yield f"subject  {trace['subject']}"
    strange = set(trace.get("unaccounted", ()))
    for number, text in enumerate(trace.get("text", ()), 1):
        yield f"{number:5} {'?' if number in strange else ' '} {text}"
    for one in trace.get("tried", ()):
        yield f"rule     {one['rule']}: " + (f"no: {one['failed']}" if one["failed"] else "claims the mail")
    for one in trace.get("misses", ()):
        yield f"miss     {one['rule']}: {one['fields']} of {one['of']} fields found, fails at {one['failed']}"
    for one in trace.get("captures", ()):
        yield f"field    {one['field']} = {one['text']!r} from {_place(one)}" + _converted(one)
    for field, label in trace.get("nearest", {}).items():
        yield f"nearest  {field}: {label}"
    for event in reading.events:
        yield f"event    {event.kind} {event.crm_unit_id} at {event.effective_at.isoformat()} {canonical(event.body)}"
        if event.expect:
            yield f"         only if {json.dumps(dict(event.expect))}"
        yield f"         identity {event.identity}"


def _place(capture: dict[str, Any]) -> str:
    where = f"{capture['source']} `{capture['label']}`"
    if "file" in capture:
        return f"{where} in row {capture['row']} of {capture['file']}"
    return f"{where} in line {capture['line']}, {capture['start']} to {capture['end']}" if capture["line"] else where


def _converted(capture: dict[str, Any]) -> str:
    value = capture.get("value", capture["text"])
    return f", read as {value}" if value != capture["text"] else ""
