"""Drift: what the mails of a rule usually look like, and whether one looks otherwise. Pure.

A rule's profile holds counts, and digests of the labels that its mails have: no text of a mail. What differs in words
is told from two stored readings, when somebody asks.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from parsers import Outcome
from parsers.text import CELL, label_key

LEARNED = 20
"""So many mails that were read teach what is usual."""
USUAL = 0.9
"""A field that so large a share of the mails has is usual."""
RUN = 5
"""So many mails in a row that lack a usual field are no chance: at most ``(1 - USUAL) ** RUN``, one in 100,000."""
SIGHTINGS, WITHIN = 3, 10
"""A label is new wording when so many of so many mails have it; one that is rarer is just rare."""
MOST_LABELS = 300
MOST_WORDS, MOST_LETTERS = 5, 40

_LABEL = re.compile(r"[^\W\d_][^\d:]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One way in which a mail looks otherwise than those before it."""

    rule: str
    cause: str
    """What makes two mails the same drift."""
    says: str
    """What is otherwise, in words of the rule."""
    is_read: bool
    """Whether such mails are still read."""


@dataclass(slots=True, kw_only=True)
class Profile:
    """What the mails of one rule usually look like. ``learn`` changes it."""

    rule: str
    rule_set: str = ""
    good: int = 0
    """Mails that were read, and learned from."""
    bad: dict[str, int] = field(default_factory=dict[str, int])
    """Mails that the rule was for and that were held, by outcome."""
    sample: str | None = None
    """The last mail that was read."""
    labels: dict[str, int] = field(default_factory=dict[str, int])
    """How many good mails had a label, by its digest."""
    fresh: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Labels that may be new wording: the good mail that had it first, and how many had it since."""
    fields: dict[str, tuple[int, int, int]] = field(default_factory=dict[str, tuple[int, int, int]])
    """Of each field: how many mails had it, of how many, and how many in a row have lacked it."""
    ways: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    """Of each field: how often each of its alternatives was the one that told it."""
    unaccounted: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Lines that nothing accounts for: their sum, of how many mails, the most in one, how many in a row had more."""

    @classmethod
    def from_json(cls, rule: str, values: Mapping[str, Any]) -> "Profile":
        """Return a profile as it was stored."""
        return cls(
            rule=rule,
            rule_set=values["rule_set"],
            good=values["good"],
            bad=dict(values["bad"]),
            sample=values["sample"],
            labels=dict(values["labels"]),
            fresh={name: (first, count) for name, (first, count) in values["fresh"].items()},
            fields={name: (had, of, run) for name, (had, of, run) in values["fields"].items()},
            ways={name: dict(ways) for name, ways in values["ways"].items()},
            unaccounted=tuple(values["unaccounted"]),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "rule_set": self.rule_set,
            "good": self.good,
            "bad": self.bad,
            "sample": self.sample,
            "labels": self.labels,
            "fresh": {name: list(seen) for name, seen in self.fresh.items()},
            "fields": {name: list(seen) for name, seen in self.fields.items()},
            "ways": self.ways,
            "unaccounted": list(self.unaccounted),
        }

    def learn(self, mail_id: str, reading: Mapping[str, Any]) -> Drift | None:
        """Take a mail into the profile; return how it looks otherwise, None when it does not or nothing is known yet.

        ``reading``: as it is stored, with its trace. The first mail of a rule that is read begins its profile.
        """
        if reading["outcome"] == Outcome.EVENTS:
            return self._learn_good(mail_id, reading)
        self.bad[reading["outcome"]] = self.bad.get(reading["outcome"], 0) + 1
        if self.good == 0:
            return None
        return self._held(reading)

    def take_back(self, outcome: str) -> None:
        """Count a mail no more that came to an outcome before it was read again; what it taught of words stays."""
        if outcome == Outcome.EVENTS:
            self.good = max(0, self.good - 1)
        elif (left := self.bad.pop(outcome, 0) - 1) > 0:
            self.bad[outcome] = left

    def _learn_good(self, mail_id: str, reading: Mapping[str, Any]) -> Drift | None:
        trace = reading.get("trace", {})
        if reading["rule_set"] != self.rule_set:  # what other rules take and leave is learned anew
            self.rule_set, self.fields, self.unaccounted = reading["rule_set"], {}, (0, 0, 0, 0)
        self.good += 1
        self.sample = mail_id
        changes = [
            *self._note_labels(_digests(trace)),
            *self._note_fields({one["field"] for one in trace.get("captures", ())}),
            *self._note_unaccounted(len(trace.get("unaccounted", ()))),
        ]
        for one in trace.get("captures", ()):
            ways = self.ways.setdefault(one["field"], {})
            way = f"{one['source']} {label_key(one['label'])[:MOST_LETTERS]}"
            if way in ways or len(ways) < WITHIN:
                ways[way] = ways.get(way, 0) + 1
        if not changes:
            return None
        return Drift(rule=self.rule, cause=f"{self.rule}/layout", says="; ".join(changes), is_read=True)

    def _note_labels(self, digests: Sequence[str]) -> Iterator[str]:
        new = 0
        for digest in digests:
            if digest in self.labels:
                self.labels[digest] += 1
            elif digest in self.fresh:
                first, count = self.fresh[digest]
                self.fresh[digest] = (first, count + 1)
            elif len(self.labels) + len(self.fresh) < MOST_LABELS:
                if self.good <= LEARNED:
                    self.labels[digest] = 1
                else:
                    self.fresh[digest] = (self.good, 1)
        for digest, (first, count) in list(self.fresh.items()):
            if count >= SIGHTINGS or self.good - first >= WITHIN:
                del self.fresh[digest]
                self.labels[digest] = count
                new += count >= SIGHTINGS
        if new:
            yield f"{new} new labels"

    def _note_fields(self, captured: set[str]) -> Iterator[str]:
        for name in sorted(captured | self.fields.keys()):
            had, of, run = self.fields.get(name, (0, 0, 0))
            if name in captured:
                self.fields[name] = (had + 1, of + 1, 0)
                continue
            self.fields[name] = (had, of + 1, run + 1)
            before = of - run
            if run + 1 == RUN and before >= LEARNED and had >= USUAL * before:
                yield f"`{name}`, which {had} of {before} mails had, is missing"

    def _note_unaccounted(self, count: int) -> Iterator[str]:
        total, of, most, run = self.unaccounted
        total, of = total + count, of + 1
        if of <= LEARNED or count <= most:
            self.unaccounted = (total, of, max(most, count), 0)
            return
        if run + 1 < RUN:
            self.unaccounted = (total, of, most, run + 1)
            return
        self.unaccounted = (total, of, count, 0)
        yield f"{count} lines that nothing reads, where there were {most} at most"

    def _held(self, reading: Mapping[str, Any]) -> Drift:
        outcome = str(reading["outcome"])
        captured = {one["field"] for one in reading.get("trace", {}).get("captures", ())}
        always = [name for name, (had, of, _) in sorted(self.fields.items()) if had == of and name not in captured]
        says = f"{outcome}: "
        if outcome == Outcome.UNMATCHED:
            always, says = [], "no rule claims what looks most like its mails"
        elif always:
            says += f"without {', '.join(f'`{name}`' for name in always)}, which every mail had"
        else:
            says += "a value is written otherwise than the rule expects"
        return Drift(rule=self.rule, cause=f"{self.rule}/{outcome}/{','.join(always)}", says=says, is_read=False)


def subject_rule(reading: Mapping[str, Any]) -> str | None:
    """Return the rule that a mail is for: the one that claims it, or a near miss that finds half of its fields."""
    if reading["outcome"] in (Outcome.EVENTS, Outcome.INCOMPLETE, Outcome.INVALID):
        return reading["rule"]
    if reading["outcome"] == Outcome.UNMATCHED:
        for miss in reading.get("trace", {}).get("misses", ())[:1]:
            if miss["of"] and miss["fields"] * 2 >= miss["of"]:
                return miss["rule"]
    return None


def labels_of(trace: Mapping[str, Any]) -> list[str]:
    """Return the labels and table heads of a mail's readable text, in their order, each once.

    A table of three and more columns counts by its first row and its width; what stands in its rows are values.
    """
    found: dict[str, str] = {}
    in_table = False
    for line in trace.get("text", ()):
        cells = line.split(CELL)
        heads: list[str] = []
        if len(cells) > 2:
            heads = [] if in_table else [*cells, f"a table of {len(cells)} columns"]
        else:
            head, colon, _ = cells[0].partition(":")
            heads = [head] if colon or len(cells) == 2 else []
        in_table = len(cells) > 2
        for head in heads:
            label = head.strip().rstrip(":")
            if label.startswith("a table of") or _is_label(label):
                found.setdefault(label_key(label), label)
    return list(found.values())


def changed_labels(good: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what two mails' labels differ in, a line each: ``- Paid Thru`` is gone, ``+ Paid Until`` is new.

    ``good`` and ``now``: the traces of the last mail that was read and of the one that looks otherwise.
    """
    before = {label_key(label): label for label in labels_of(good)}
    after = {label_key(label): label for label in labels_of(now)}
    return [
        *(f"- {label}" for key, label in before.items() if key not in after),
        *(f"+ {label}" for key, label in after.items() if key not in before),
    ]


def _digests(trace: Mapping[str, Any]) -> list[str]:
    return [hashlib.sha256(label_key(label).encode()).hexdigest()[:12] for label in labels_of(trace)]


def _is_label(text: str) -> bool:
    return len(text) <= MOST_LETTERS and len(text.split()) <= MOST_WORDS and _LABEL.fullmatch(text) is not None
