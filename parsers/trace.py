"""The trace of a reading: what was seen and tried, as JSON-able values of bounded size."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from parsers.convert import Value
from parsers.extract import Extraction, Labels
from parsers.identity import canonical_text
from parsers.mail import Mail, Wrapper
from parsers.match import Tried

MAX_LINES: Final = 400
MAX_LINE: Final = 300
MAX_CAPTURES: Final = 600
MAX_RULES: Final = 60
MAX_MISSES: Final = 5

Trace = dict[str, Any]


def of_mail(mail: Mail, packs: Iterable[str]) -> Trace:
    """Return what was seen of the mail itself."""
    return {
        "subject": mail.subject[:MAX_LINE],
        "from": mail.from_address,
        "packs": list(packs),
        "text": [line.text[:MAX_LINE] for line in mail.lines[:MAX_LINES]],
        "lines": len(mail.lines),
        "jsonld": len(mail.jsonld),
        "defects": list(mail.defects[:20]),
        **({"chain": [_wrapper(one) for one in mail.chain]} if mail.chain else {}),
    }


def _wrapper(wrapper: Wrapper) -> Trace:
    return {
        "how": wrapper.how,
        "from": wrapper.from_address,
        "subject": wrapper.subject[:MAX_LINE],
        "date": wrapper.date.isoformat() if wrapper.date else None,
    }


def of_rules(tried: tuple[Tried, ...]) -> Trace:
    """Return every rule tried, the claiming ones first, with the first condition that fails."""
    order = sorted(tried, key=lambda one: (one.failed is not None, -one.passed))
    return {"tried": [{"rule": one.rule.name, "failed": one.failed} for one in order[:MAX_RULES]]}


def of_extraction(mail: Mail, extraction: Extraction, values: Mapping[str, Value]) -> Trace:
    """Return the captured spans, the conversions, the nearest labels and the lines that nothing accounts for."""
    known = extraction.accounted()
    captures = [
        {
            "field": one.field,
            "source": str(one.source),
            "label": one.label[:MAX_LINE],
            "line": one.line,
            **({"file": one.file[:MAX_LINE], "row": one.row} if one.file else {}),
            "start": one.start,
            "end": one.end,
            "text": str(one.raw)[:MAX_LINE],
            **({"value": canonical_text(value)} if value is not None or one.field in values else {}),
        }
        for one in extraction.captures[:MAX_CAPTURES]
        for value in (values.get(one.field) if one.value is None else one.value,)
    ]
    return {
        "captures": captures,
        "captured": len(extraction.captures),
        "nearest": extraction.nearest,
        "unaccounted": [number for number in range(1, len(mail.lines) + 1) if number not in known],
    }


def nearest_misses(mail: Mail, labels: Labels, tried: tuple[Tried, ...]) -> list[Trace]:
    """Return the rules that came nearest to claiming the mail, nearest first."""
    found: list[Trace] = [
        {
            "rule": one.rule.name,
            "failed": one.failed,
            "passed": one.passed,
            "fields": Extraction(mail, labels, one.rule, None).found_count(),
            "of": len(one.rule.fields),
        }
        for one in tried[:MAX_RULES]
    ]
    found = [one for one in found if one["passed"] or one["fields"]]
    return sorted(found, key=lambda one: (-one["passed"], -one["fields"], one["rule"]))[:MAX_MISSES]
