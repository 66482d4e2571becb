"""A reading as plain lines for a person: what was read, what was tried, what was taken, what came of it."""

import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

from parsers.events import canonical
from parsers.reading import Outcome, Reading


class Tone(StrEnum):
    """What a line tells, for who shows lines of different kinds differently."""

    PLAIN = "plain"
    GOOD = "good"  # what gives events
    HELD = "held"  # why there are none
    STRANGE = "strange"  # a line that nothing accounts for
    VALUE = "value"  # a text taken for a field


def _unpainted(text: str, _tone: Tone) -> str:
    return text


def render(reading: Reading, paint: Callable[[str, Tone], str] = _unpainted) -> str:
    """Return the explanation of a reading, one fact a line, each as `paint` shows it.

    A trace that was stored by an earlier version lacks what that did not note.
    """
    return "\n".join(paint(text, tone) for text, tone in _lines(reading))


def _lines(reading: Reading) -> Iterator[tuple[str, Tone]]:
    trace = reading.trace
    outcome = Tone.GOOD if reading.outcome in (Outcome.EVENTS, Outcome.IGNORED) else Tone.HELD
    by = f" by {reading.rule}" if reading.rule else ""
    yield f"{reading.outcome}{by} (rule set {reading.rule_set})", outcome
    if reading.reason:
        yield reading.reason, outcome
    for line in _of_mail(trace):
        yield line, Tone.PLAIN
    strange = set(trace.get("unaccounted", ()))
    taken = {one["line"] for one in trace.get("captures", ())}
    for number, text in enumerate(trace.get("text", ()), 1):
        tone = Tone.STRANGE if number in strange else Tone.VALUE if number in taken else Tone.PLAIN
        yield f"{number:5} {'?' if number in strange else ' '} {text}", tone
    for one in trace.get("tried", ()):
        yield f"rule     {one['rule']}: " + (f"no: {one['failed']}" if one["failed"] else "claims the mail"), Tone.PLAIN
    for one in trace.get("misses", ()):
        told = f"{one['fields']} of {one['of']} fields found, fails at {one['failed']}"
        yield f"miss     {one['rule']}: {told}", Tone.PLAIN
    for one in trace.get("captures", ()):
        yield f"field    {one['field']} = {one['text']!r} from {_place(one)}{_converted(one)}{_ruled(one)}", Tone.VALUE
    for one in trace.get("defaults", ()):
        yield f"field    {one['field']} = {one['value']!r} by default{_ruled(one)}", Tone.VALUE
    for field, label in trace.get("nearest", {}).items():
        yield f"nearest  {field}: {label}", Tone.HELD
    for event in reading.events:
        what = f"{event.kind} {event.crm_unit_id} at {event.effective_at.isoformat()} {canonical(event.body)}"
        yield f"event    {what}", Tone.GOOD
        if event.expect:
            yield f"         only if {json.dumps(dict(event.expect))}", Tone.PLAIN
        yield f"         identity {event.identity}", Tone.PLAIN


def _of_mail(trace: Any) -> Iterator[str]:
    """Yield who wrote the mail, who forwarded it, and its subject."""
    if "subject" not in trace:
        return
    yield f"from     {trace['from'] or 'no single plain address'}, packs: {', '.join(trace['packs']) or 'none'}"
    for one in trace.get("chain", ()):
        who = one["from"] or "no single plain address"
        yield f"forward  by {who}, {one['date'] or 'undated'}, {one['how']}: {one['subject']}"
    yield f"subject  {trace['subject']}"


def _place(capture: dict[str, Any]) -> str:
    where = f"{capture['source']} `{capture['label']}`"
    if "file" in capture:
        return f"{where} in row {capture['row']} of {capture['file']}"
    part = f" of the {capture['part']}" if "part" in capture and capture["source"] != capture["part"] else ""
    if capture["line"]:
        return f"{where} in line {capture['line']}{part}, {capture['start']} to {capture['end']}"
    return where + part


def _converted(capture: dict[str, Any]) -> str:
    """Return what a text was read as, and by what; nothing for a text that was taken as it stands."""
    kind = capture.get("type", "text")
    how = f"{kind} {capture['format']}" if "format" in capture else kind
    if "value" not in capture:
        return f", not read as {how}" if kind != "text" else ""
    if kind == "text":
        return f", read as {capture['value']}" if capture["value"] != capture["text"] else ""
    return f", read as {capture['value']} by {how}"


def _ruled(found: dict[str, Any]) -> str:
    return f" ({found['rule_line']})" if "rule_line" in found else ""
