"""Prove a redacted mail: it says the same up to what was replaced, and nothing that was replaced is left. Pure."""

import datetime as dt
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from parsers import Reading
from parsers.events import IDS, Event
from parsers.mail import Mail
from parsers.rule import Type
from parsers.text import Line
from parsers.trace import MAX_CAPTURES
from worker.disguise import Disguise
from worker.personal import Vocabulary
from worker.redactfile import FileWork

_MIN_LEAK = 4
"""Characters from which on a replaced number may stand nowhere in the result; a shorter one may stand by chance."""


def all_captured(reading: Reading) -> bool:
    """Return whether the trace of a reading holds all values that were captured; it is bounded."""
    return reading.trace.get("captured", 0) <= MAX_CAPTURES


def differences(before: Reading, after: Reading, files: FileWork, types: Mapping[str, Type]) -> Iterator[str]:
    """Yield what the result says otherwise, beyond what was replaced.

    ``types``: those of the rule's fields, by their names.
    """
    for name in ("outcome", "rule"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield f"{name}: it was {old}, and would be {new}" + (f": {after.reason}" if after.reason else "")
            return
    yield from _captures_differ(before.trace, after.trace, files, types)
    if [event.kind for event in before.events] != [event.kind for event in after.events]:
        yield "events: others come out"
        return
    for number, (old, new) in enumerate(zip(before.events, after.events, strict=True), 1):
        if (old.body.keys(), old.expect.keys()) != (new.body.keys(), new.expect.keys()):
            yield f"event {number}: states other facts"
        if old.mailed_at + files.disguise.shift != new.mailed_at:
            yield f"event {number}: was told at another time"
        for name in old.body:
            if isinstance(old.body[name], bool | None) and old.body[name] != new.body[name]:
                yield f"event {number}: {name} is otherwise"
        if not all_captured(before):
            yield from _values_differ(number, old, new, files)
    if len({event.unit for event in before.events}) != len({event.unit for event in after.events}):
        yield "events: two units became one"


def texts_of(event: Event) -> tuple[tuple[str, str], ...]:
    """Return the texts of an event that are taken from the mail, each with what it is: unit, tenant, ledger."""
    stated = (*event.body.items(), *event.expect.items(), *event.tenancy.items())
    return (("unit", event.unit), *((name, value) for name, value in stated if name in IDS and isinstance(value, str)))


def _values_differ(number: int, old: Event, new: Event, files: FileWork) -> Iterator[str]:
    """Yield which ids and dates of an event did not become what they should have; amounts are not looked at."""
    disguise = files.disguise
    if [(name, disguise.text(text)) for name, text in texts_of(old)] != list(texts_of(new)):
        yield f"event {number}: unit, tenant or ledger would not be what they were replaced by"
    if [day + disguise.shift for day in _days_of(old)] != _days_of(new):
        yield f"event {number}: its dates would be others"


def _days_of(event: Event) -> list[dt.date]:
    """Return the dates that an event states."""
    stated = [value for name, value in event.body.items() if name.endswith("_date")]
    days = [dt.date.fromisoformat(value) for value in stated if isinstance(value, str)]
    return days + ([event.on] if event.on else [])


def _captures_differ(
    before: Mapping[str, Any], after: Mapping[str, Any], files: FileWork, types: Mapping[str, Type]
) -> Iterator[str]:
    old, new = before.get("captures", ()), after.get("captures", ())
    if len(old) != len(new):
        yield f"{len(old)} values were captured, and {len(new)} would be"
        return
    became: dict[str, str] = {}
    for one, other in zip(old, new, strict=True):
        is_date = types.get(one["field"]) in (Type.DATE, Type.DATETIME)
        became_text = files.moved.get(one["text"]) if is_date else None
        if any(one.get(name) != other.get(name) for name in ("field", "source", "line", "row")):
            yield f"the field `{one['field']}` would be found elsewhere"
        elif (became_text or files.disguise.text(one["text"])) != other["text"]:
            where = f"row {one['row']}" if "row" in one else f"line {one['line']}"
            yield f"the field `{one['field']}` ({where}) would not hold what its value was replaced by"
        became[one["text"]] = other["text"]
    if len(set(became.values())) < len(became):
        yield "two values became one: try another --seed"
    if before.get("lines") != after.get("lines"):
        yield f"the text has {before.get('lines')} lines, and would have {after.get('lines')}"
    elif moved := {*before.get("unaccounted", ())} ^ {*after.get("unaccounted", ())}:
        yield f"line {min(moved)} would be accounted for otherwise: see what the rule says of it (ignore_lines)"


def replaced_in(lines: Sequence[Line], disguise: Disguise) -> frozenset[str]:
    """Return what is replaced in a mail, with case folded; a short number, which may stand by chance, is not in it."""
    tokens = {token.casefold() for line in lines for token in disguise.replaced(line.text)}
    return frozenset(token for token in tokens if len(token) >= _MIN_LEAK or token.isalpha())


def leaks(replaced: Collection[str], texts: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Yield where something that was replaced elsewhere still stands. ``texts``: all of the result, by where it is."""
    long = [token for token in replaced if len(token) >= _MIN_LEAK]
    for where, held in texts.items():
        seen = "\n".join(held).casefold()
        left = [token for token in long if token in seen and re.search(rf"(?<!\w){re.escape(token)}(?!\w)", seen)]
        if left:
            yield f"{where}: {len(left)} names or values that were replaced still stand there: take them out by hand"


def unsure_lines(mail: Mail, reading: Reading, vocabulary: Vocabulary) -> Iterator[tuple[int, str]]:
    """Yield the lines from which nothing was captured and that hold more than words known to be nobody's."""
    captured = {one["line"] for one in reading.trace.get("captures", ())}
    for number, line in enumerate(mail.lines, 1):
        if number not in captured and not vocabulary.covers(line.text):
            yield number, line.text
