"""What comes of reading one mail: an outcome, its events, and the trace that explains both."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from parsers.events import Event, canonical


class Outcome(StrEnum):
    """How the reading of one mail ended; every mail has exactly one."""

    EVENTS = "events"  # one rule claims it and gives events
    IGNORED = "ignored"  # a rule says that it tells no event, and why
    UNMATCHED = "unmatched"  # no rule claims it
    AMBIGUOUS = "ambiguous"  # two rules claim it
    INCOMPLETE = "incomplete"  # a value is missing, or is an unresolved merge field
    INVALID = "invalid"  # a value does not convert, or is stated twice with different values
    CONTRADICTION = "contradiction"  # its structured data and its text say different things
    UNREADABLE = "unreadable"  # beyond the bounds within which we read
    UNTRUSTED = "untrusted"  # no pack may speak for its sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The reading of one mail under one rule set."""

    outcome: Outcome
    rule: str | None
    """``pack/rule`` that claims the mail; None when none does."""
    rule_set: str
    reason: str | None
    """For a person: what, where and what next; None when there are events."""
    events: tuple[Event, ...] = ()
    location_name: str | None = None
    """The site that the mail names, where its pack says how to tell; None when it names none."""
    trace: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What was seen and tried; JSON-able, bounded, and the only part that repeats the mail's text."""

    def to_json(self) -> dict[str, Any]:
        """Return the stable form that tools build on (``gatepost parse --json``)."""
        return {
            "outcome": str(self.outcome),
            "rule": self.rule,
            "rule_set": self.rule_set,
            "reason": self.reason,
            "events": [_event_json(event) for event in self.events],
        }


def _event_json(event: Event) -> dict[str, Any]:
    return {
        "kind": str(event.kind),
        "unit": event.unit,
        "crm_unit_id": event.crm_unit_id,
        "effective_at": event.effective_at.isoformat(),
        "identity": event.identity,
        "body": json.loads(canonical(event.body)),
        **({"on": event.on.isoformat()} if event.on else {}),
        **({"expect": dict(event.expect)} if event.expect else {}),
        **({"tenancy": dict(event.tenancy)} if event.tenancy else {}),
        **({"columns": dict(event.columns)} if event.columns else {}),
    }
