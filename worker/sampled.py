"""What samples of one kind of mail say: a value for each field, beside a label, in the subject or within a line. Pure.

Errors:
    NotDrafted(Exception)    the samples do not say enough; says what is lacking, and what to give
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from parsers.labels import Labels
from parsers.mail import Mail
from worker.lexicon import DATES, Role, role_of
from worker.writtenas import is_date

_MAX_LABEL: Final = 60
_VALUE: Final = "(?P<value>\\S.*)"
_WORD: Final = r"(?P<value>\S*[^\s,;.])"
_DATE: Final = r"(?P<value>\S[^\n]{4,40}?)"
_MOST_WORDS: Final = 3
"""How many words before or behind a value are looked at."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 _-]*")


class NotDrafted(Exception):
    """No draft; says what is lacking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A field, and what the samples say of it."""

    name: str
    source: str
    """YAML of where it stands: ``label: Unit``."""
    values: tuple[str, ...]
    """What the samples that have it say."""
    is_everywhere: bool = True
    also: str = ""
    """YAML of where else it stands, and must say the same; empty without."""

    def to_yaml(self, more: str) -> str:
        """Return the field as YAML, with what else there is to say of it."""
        return f"[{{{self.source}{more}}}, {{{self.also}}}]" if self.also else f"{{{self.source}{more}}}"


def fields_of(mails: Sequence[Mail], marked: Mapping[str, str]) -> dict[str, Sampled]:
    """Return the fields of samples by their names: those of known labels, and those of values that a person marked.

    Raises:
        NotDrafted: a value that was marked is not found, or stands in places that the samples do not tell apart.
    """
    told = [labels_of(mail) for mail in mails]
    found = {one.name: one for one in _labelled(told)}
    for name, value in marked.items():
        if name not in found or value not in found[name].values:
            found[name] = _marked(mails, told, name, value)
    return found


def labels_of(mail: Mail) -> dict[str, str]:
    """Return the labels of a mail with their values; one that stands twice with different values is left out."""
    labels = Labels(mail.lines)
    heads = dict.fromkeys(
        head.strip()
        for line in mail.lines
        if not line.header
        for cell in (line.cells if len(line.cells) != 2 else line.cells[:1])
        if (head := cell.partition(":")[0]) and len(head) <= _MAX_LABEL
    )
    found: dict[str, str] = {}
    for head in heads:
        values = {one.value or one.below for one in labels.of((head,))} - {""}
        if len(values) == 1:
            found[head.strip(" *•·:")] = values.pop()
    return found


def unit_in_subject(mails: Sequence[Mail]) -> Sampled | None:
    """Return the unit that every subject names behind the word."""
    pattern = r"(?:unit|space|einheit)[ :#]+" + _VALUE + "$"
    found = [re.search(pattern, mail.subject, re.IGNORECASE) for mail in mails]
    if not all(found):
        return None
    values = tuple(match["value"] for match in found if match)
    return Sampled(name=Role.UNIT, source=f"subject: {json.dumps(pattern)}", values=values)


def also_in_subject(field: Sampled, mails: Sequence[Mail]) -> Sampled:
    """Return a field with the end of the subject as a second place, where all samples have its value there."""
    if not field.is_everywhere or not field.source.startswith("label"):
        return field
    pairs = list(zip((mail.subject for mail in mails), field.values, strict=True))
    heads = {subject.removesuffix(value) for subject, value in pairs if subject.endswith(f" {value}")}
    if len(heads) != 1 or not all(subject.endswith(f" {value}") for subject, value in pairs):
        return field
    pattern = "^" + re.escape(heads.pop()).replace(r"\ ", " ").replace(r"\-", "-") + _VALUE + "$"
    return replace(field, also=f"subject: {json.dumps(pattern)}")


def _labelled(told: Sequence[Mapping[str, str]]) -> Iterator[Sampled]:
    """Yield a field for each role that a label has in every sample, or in some of them."""
    by_role: dict[Role, list[str]] = {}
    for label in dict.fromkeys(label for labels in told for label in labels):
        role = role_of(label)
        if role is not None:
            by_role.setdefault(role, []).append(label)
    for role, labels in by_role.items():
        yield _beside(role, labels, told)


def _beside(name: str, labels: Sequence[str], told: Sequence[Mapping[str, str]]) -> Sampled:
    """Return a field that stands beside one of some labels."""
    values = [next((one[label] for label in labels if label in one), None) for one in told]
    return Sampled(
        name=name,
        source=f"label: {yaml_of(labels)}",
        values=tuple(value for value in values if value is not None),
        is_everywhere=None not in values,
    )


def _marked(mails: Sequence[Mail], told: Sequence[Mapping[str, str]], name: str, value: str) -> Sampled:
    """Return the field of a value that a person marked: beside a label, in the subject, or within a line."""
    labels = next((found for one in told if (found := [label for label, text in one.items() if text == value])), [])
    if len(labels) > 1:
        named = " and ".join(f"`{label}`" for label in labels)
        raise NotDrafted(f"--set {name}: it stands beside {named}: mark it in a sample where they differ")
    if labels:
        return _beside(name, labels, told)
    for kind, texts in (("subject", [mail.subject for mail in mails]), ("regex", [mail.text for mail in mails])):
        pattern = _around(texts, value, is_day=name in DATES)
        if pattern is not None:
            found = tuple(match["value"] for text in texts if (match := re.search(pattern, text, re.MULTILINE)))
            return Sampled(name=name, source=f"{kind}: {json.dumps(pattern)}", values=found)
    raise NotDrafted(f"--set {name}: no sample holds this value where the others have one, too")


def _around(texts: Sequence[str], value: str, *, is_day: bool) -> str | None:
    """Return a pattern of the words around a value that finds one value in every text; None when there is none.

    The value of ``is_day`` is a date, of several words maybe; any other is one word.
    """
    for text in texts:
        match = re.search(rf"(?m)^(?P<before>.*?)(?<!\w){re.escape(value)}(?!\w)(?P<after>.*)$", text)
        if match is None:
            continue
        before, gap = match["before"].split()[-_MOST_WORDS:], r"\s+" if match["before"][-1:].isspace() else ""
        tails = [*_tails(match["after"], most=_MOST_WORDS if is_day else 1), ""]
        for count in range(len(before), 0, -1):
            head = r"\s+".join(map(re.escape, before[-count:])) + gap
            for pattern in _ways(head, tails, is_day=is_day):
                found = [{one["value"] for one in re.finditer(pattern, other)} for other in texts]
                if all(len(one) == 1 for one in found) and (not is_day or all(is_date(*one) for one in found)):
                    return pattern
    return None


def _tails(text: str, *, most: int) -> Iterator[str]:
    """Yield patterns of the first words behind a value, one to ``most``, up to one that is a value: it has a digit."""
    gap = r"\s+" if text[:1].isspace() else ""
    words: list[str] = []
    for word in text.split()[:most]:
        if any(map(str.isdigit, word)):
            return
        words.append(re.escape(word))
        yield gap + r"\s+".join(words) + (r"\b" if word[-1].isalnum() and word[-1].isascii() else "")


def _ways(head: str, tails: Sequence[str], *, is_day: bool) -> Iterator[str]:
    """Yield the patterns of a value between words: of one word, or, of a date, of several with a word behind them."""
    if is_day:
        yield from (f"{head}{_DATE}{tail}" for tail in tails if tail)
    yield from (f"{head}{_WORD}{tail}" for tail in tails)


# -- YAML -------------------------------------------------------------------------------------------------------------


def yaml_of(texts: Iterable[str], *, always: bool = False) -> str:
    """Return texts as YAML: one as it is, several (or ``always``) as a list."""
    told = [text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False) for text in texts]
    return told[0] if len(told) == 1 and not always else f"[{', '.join(told)}]"
