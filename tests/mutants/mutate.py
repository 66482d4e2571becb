"""A fixture, a kind and a seed to a mutant, and how it was read."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from tests.mutants.attached import HARMFUL_ATTACHED, HARMLESS_ATTACHED
from tests.mutants.attachedjson import HARMFUL_JSON, HARMLESS_JSON
from tests.mutants.cases import Case
from tests.mutants.draft import octets_of
from tests.mutants.forwarded import HARMFUL_FORWARDS
from tests.mutants.harmful import HARMFUL_LINES
from tests.mutants.harmless import HARMLESS, Mutation, rows_in_another_order
from tests.mutants.structured import HARMFUL_STRUCTURED, HARMLESS_STRUCTURED
from tests.mutants.subjects import HARMFUL_SUBJECTS, HARMLESS_SUBJECTS, subject_taken_back
from tests.mutants.tabular import HARMFUL_TABLES
from tests.mutants.truth import Mutant, Verdict, judge
from tests.mutants.typography import HARMFUL_TYPOGRAPHY, HARMLESS_TYPOGRAPHY

_ALL_HARMLESS: Final = (
    *HARMLESS, *HARMLESS_SUBJECTS, *HARMLESS_STRUCTURED, *HARMLESS_ATTACHED, *HARMLESS_JSON, *HARMLESS_TYPOGRAPHY,
)  # fmt: skip
_ALL_HARMFUL: Final = (
    *HARMFUL_LINES, *HARMFUL_SUBJECTS, *HARMFUL_TABLES, *HARMFUL_STRUCTURED, *HARMFUL_ATTACHED, *HARMFUL_JSON,
    *HARMFUL_FORWARDS, *HARMFUL_TYPOGRAPHY,
)  # fmt: skip
HARMLESS_KINDS: Final[Mapping[str, Mutation]] = {kind.__name__: kind for kind in _ALL_HARMLESS}
HARMFUL_KINDS: Final[Mapping[str, Mutation]] = {kind.__name__: kind for kind in _ALL_HARMFUL}
KINDS: Final[Mapping[str, Mutation]] = {**HARMLESS_KINDS, **HARMFUL_KINDS}
_DRESSINGS: Final = tuple(kind for kind in HARMLESS if kind is not rows_in_another_order)
_MOST_DRESSINGS: Final = 2
OF_FORWARDS: Final = ("charset_and_transfer", "other_headers", "hidden_text", "comment", "outside_warning")
"""The kinds that leave a header within the text as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One mutant, named by fixture, kind and seed, and how it was read."""

    case: Case
    kind: str
    seed: int
    mutant: Mutant
    found: Mapping[str, Any]
    verdict: Verdict

    def told(self) -> str:
        """Return what a person needs to see what went wrong: how to replay it, and what differs in mail and events."""
        before, after = (
            octets_of(self.case.draft).decode("utf-8", "replace"),
            octets_of(self.mutant.draft).decode("utf-8", "replace"),
        )
        wanted = {name: self.case.expected[name] for name in ("outcome", "reason", "events")}
        got = {name: self.found[name] for name in ("outcome", "reason", "events")}
        return "\n".join(
            (
                f"{self.verdict}: {self.mutant.must} of {self.case.name}, kind {self.kind}, seed {self.seed}",
                f"replay: python -m tests.mutants --replay {self.case.name} {self.kind} {self.seed}",
                *_changes(before, after),
                *_changes(json.dumps(wanted, indent=1), json.dumps(got, indent=1)),
            )
        )


def _changes(before: str, after: str) -> list[str]:
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(), "fixture", "mutant", n=1, lineterm=""))


def mutate(case: Case, kind: str, seed: int) -> Mutant | None:
    """Return the mutant of a fixture, a kind and a seed: up to two harmless changes, then that of the kind.

    None where the fixture has nothing of the kind to change. Only harmless kinds are for a mail that tells no events.
    """
    if not case.is_told and kind not in HARMLESS_KINDS:
        return None
    dressings = _DRESSINGS
    if case.is_forward:
        dressings = tuple(dressing for dressing in _DRESSINGS if dressing.__name__ in OF_FORWARDS)
        if kind not in (*OF_FORWARDS, subject_taken_back.__name__):
            return None
    chance = Random(f"{case.name} {kind} {seed}")
    draft = case.draft
    for dressing in chance.sample(dressings, chance.randint(0, _MOST_DRESSINGS)):
        dressed = dressing(case, draft, chance)
        draft = dressed.draft if dressed else draft
    if kind in HARMFUL_KINDS:  # what is broken is all that the mail says
        draft = replace(draft, wire=replace(draft.wire, other=""))
    return KINDS[kind](case, draft, chance)


def run(case: Case, kind: str, seed: int) -> Trial | None:
    """Return how a mutant is read; None where there is none."""
    mutant = mutate(case, kind, seed)
    if mutant is None:
        return None
    found = case.read(octets_of(mutant.draft)).to_json()
    return Trial(case=case, kind=kind, seed=seed, mutant=mutant, found=found, verdict=judge(case, mutant, found))
