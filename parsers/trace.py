"""The trace of a reading: what was seen and tried, as JSON-able values of bounded size."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from parsers.convert import DateFormat, Value
from parsers.extract import Capture, Extraction
from parsers.identity import canonical_text
from parsers.labels import Labels
from parsers.mail import Mail, Wrapper
from parsers.match import Tried
from parsers.rule import Field, From, Pack, Rule, Type
from parsers.text import normal

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


def of_extraction(mail: Mail, extraction: Extraction, values: Mapping[str, Value], rule: Rule, pack: Pack) -> Trace:
    """Return the captured spans, the conversions, the nearest labels and the lines that nothing accounts for."""
    known = extraction.accounted()
    fields = {(field.name, 0): field for field in rule.all_fields}
    fields |= {(field.name, field.line): field for block in rule.tables for field in block.fields}
    formats = _Formats(pack)
    file = rule.file
    taken = {one.field for one in extraction.captures}
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
            "part": _part_of(mail, one)[:MAX_LINE],
            "rule_line": f"{file}:{field.line}",
            "type": str(field.type),
            **({"format": form} if (form := formats.of(field, one.raw)) else {}),
        }
        for one in extraction.captures[:MAX_CAPTURES]
        for field in (fields[one.field, one.rule_line],)
        for value in (values.get(one.field) if one.value is None else one.value,)
    ]
    return {
        "captures": captures,
        "captured": len(extraction.captures),
        "defaults": [
            {"field": field.name, "value": canonical_text(values[field.name]), "rule_line": f"{file}:{field.line}"}
            for field in rule.all_fields
            if field.name in values and field.name not in taken
        ],
        "nearest": extraction.nearest,
        "unaccounted": [number for number in range(1, len(mail.lines) + 1) if number not in known],
    }


def _part_of(mail: Mail, capture: Capture) -> str:
    """Return the part of the mail that a text was taken from: ``text``, ``html``, a header, or the name of a file."""
    if capture.file:
        return capture.file
    if capture.source is From.JSON:
        return ", ".join(file.name for file in mail.files.named(("*.json",)))
    if capture.source in (From.SUBJECT, From.HEADER, From.JSONLD):
        return str(capture.source)
    return "rule" if capture.source is From.CONST else mail.text_kind


class _Formats:
    """The formats of a pack by which texts are read; a report has the same few dates again and again."""

    def __init__(self, pack: Pack) -> None:
        self._dates = pack.dates
        self._money = f"1{pack.money.group}234{pack.money.decimal}56"
        self._known: dict[str, str] = {}

    def of(self, field: Field, raw: object) -> str:
        """Return the format of a text; empty for a type that has none, and for a text that none reads."""
        if not isinstance(raw, str):
            return ""
        if field.type is Type.MONEY:
            return self._money
        if field.type not in (Type.DATE, Type.DATETIME):
            return ""
        found = self._known.get(raw)
        if found is None:
            found = self._known[raw] = " or ".join(form.text for form in self._dates if _fits(form, raw))
        return found


def _fits(form: DateFormat, raw: str) -> bool:
    return form.regex.fullmatch(normal(raw)) is not None


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
