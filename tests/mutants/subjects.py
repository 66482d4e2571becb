"""Changes of the subject: what is put before or behind the words that a rule claims by."""

from dataclasses import replace
from random import Random
from typing import Final

from parsers.events import Kind
from parsers.forward import without_tags
from parsers.rule import From
from tests.mutants.cases import Case
from tests.mutants.draft import Draft
from tests.mutants.harmless import Mutation, same
from tests.mutants.truth import Must, Mutant

TAKING_BACK: Final = (
    "Cancelled", "CANCELED", "Voided", "Reversed", "Declined", "Rejected", "failed", "Undone", "Withdrawn", "Rescinded",
    "Retracted", "deleted", "Draft", "Test", "sample", "not completed", "Pending", "Postponed", "Error", "Refunded",
    "storniert", "Entwurf", "rückgängig", "annulé", "ANNULE", "refusée", "anulado", "rechazado", "borrador",
    "annullato", "bozza", "geannuleerd", "mislukt", "cancelado", "não concluído", "didn’t go through",
)  # fmt: skip
_BEHIND: Final = (" - {}", " ({})", ": {}", " [{}]", " {}", " – {}!", "/{}", " * {} *")
_BEFORE: Final = ("{}: ", "[{}] ", "{} - ", "{} ", "({}) ", "*{}* ")
_NEUTRAL: Final = (
    "Main Street Storage", "Ref 4711", "Jane Smith", "ticket 12", "Unit size 10x15", "copy", "1 of 1", "Avoid Ltd",
    "please do not reply", "Contest Winner", "Nottingham", "Demo Self Storage",
)  # fmt: skip


def states_values_only(case: Case) -> bool:
    """Say whether structured data states values and no tenancy: it counts, whatever its subject says of them."""
    kinds = {spec.kind for spec in (case.rule.all_events if case.rule else ())}
    return case.is_structured and kinds <= {Kind.PATCH, Kind.SNAPSHOT}


def subject_taken_back(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Put a word before or behind the subject that takes back what the mail tells."""
    if case.rule is None or states_values_only(case):
        return None
    reasons = ("unmatched", "untrusted") if case.is_forward else ("unmatched",)
    return Mutant(draft=_retitled(draft, chance.choice(TAKING_BACK), chance), must=Must.HELD, reasons=reasons)


def subject_said_more(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Put words before or behind the subject that take nothing back, where the rule reads nothing of it."""
    rule = case.rule
    if rule is None or any(source.kind is From.SUBJECT for field in rule.all_fields for source in field.sources):
        return None
    changed = _retitled(draft, chance.choice(_NEUTRAL), chance)
    was, now = (case.rules.subject_claims(without_tags(one.subject)) for one in (draft, changed))
    return same(changed) if was == now else None


def _retitled(draft: Draft, words: str, chance: Random) -> Draft:
    if chance.random() < 0.6:
        return replace(draft, subject=draft.subject + chance.choice(_BEHIND).replace("{}", words))
    return replace(draft, subject=chance.choice(_BEFORE).replace("{}", words) + draft.subject)


HARMLESS_SUBJECTS: Final[tuple[Mutation, ...]] = (subject_said_more,)
HARMFUL_SUBJECTS: Final[tuple[Mutation, ...]] = (subject_taken_back,)
