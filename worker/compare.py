"""Compare a row of a rent roll with what we know of its unit, and say what would make it right. Pure.

What we know is the fold of the unit's events as of the rent roll's moment; where no event speaks of a name, what the
destination has confirmed. What happened after that moment is no difference: its events stand above the row.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from parsers.events import FACTS, TENANCY, Kind, Value
from worker import guard, order
from worker.calls import Manners
from worker.order import UnitEvent
from worker.rentroll import Row


class Found(StrEnum):
    """What a comparison finds of a unit."""

    MISSED = "missed"  # a tenancy or fact that no event told us
    PHANTOM = "phantom"  # a tenancy of ours that the file calls vacant, or a unit that the unit map does not know
    DIFFERENT = "different"  # we know another value
    SAME = "same"
    NOT_IN_FILE = "not_in_file"  # left alone: a unit that is not named is not vacant


NOTABLE = (Found.MISSED, Found.PHANTOM, Found.DIFFERENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that differs. ``ours`` None, and not known: nobody ever told us."""

    name: str
    ours: Value
    theirs: Value
    is_known: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"name": self.name, "ours": self.ours, "theirs": self.theirs, "known": self.is_known}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a comparison finds of one unit."""

    kind: Found
    unit: str
    crm_unit_id: str
    line: int | None = None
    differences: tuple[Difference, ...] = ()
    body: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """What a snapshot has to state to make it right; empty: nothing, or a person must say."""
    note: str = ""

    @property
    def flips(self) -> bool:
        """Say whether occupancy or lockout would change."""
        return any(
            one.name == "occupied" or (one.name == "pms_lockout" and bool(one.ours) != one.theirs)
            for one in self.differences
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "kind": str(self.kind),
            "unit": self.unit,
            "crm_unit_id": self.crm_unit_id,
            "row": self.line,
            "differences": [one.to_json() for one in self.differences],
            "would_state": dict(self.body),
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store knows of a unit."""

    events: Sequence[UnitEvent] = ()
    shown: Mapping[str, Value] = field(default_factory=dict[str, Value])
    origin: Mapping[str, Value] = field(default_factory=dict[str, Value])


def compare_unit(
    row: Row,
    known: Known,
    *,
    crm_unit_id: str,
    location: str,
    manners: Manners,
    as_of: dt.datetime,
    now: dt.datetime,
    without: Collection[str] = (),
) -> Finding:
    """Return what a row differs in. ``without``: identities of the events that the rent roll itself is."""
    counted = _counted(known, manners, as_of, now, without)
    ours = _ours(known, counted, manners, as_of, without)
    differences = [*_tenancy_differences(row.body, ours), *_fact_differences(row.body, ours)]
    body, note = _to_state(row, ours, differences, counted, known, manners, location)
    return Finding(
        kind=_kind(row.body, ours, differences),
        unit=row.unit,
        crm_unit_id=crm_unit_id,
        line=row.line,
        differences=tuple(differences),
        body=body,
        note=note,
    )


def _counted(
    known: Known, manners: Manners, as_of: dt.datetime, now: dt.datetime, without: Collection[str]
) -> list[UnitEvent]:
    """Return the events that count and had happened by the rent roll's moment, in order."""
    judged = guard.judge(known.events, now, manners=manners, origin=known.origin, shown=known.shown)
    told = [
        replace(event, state=judged[event.id][0], reason=judged[event.id][1]) if event.id in judged else event
        for event in known.events
        if event.identity not in without
    ]
    return [event for event in order.counting(told, now) if event.effective_at <= as_of]


def _ours(
    known: Known, counted: Sequence[UnitEvent], manners: Manners, as_of: dt.datetime, without: Collection[str]
) -> dict[str, Value]:
    """Return what we hold for true; a name that is absent nobody told us."""
    folded = dict(order.fold(counted, manners, known.origin).values)
    others = [event for event in known.events if event.identity in without or event.effective_at > as_of]
    unsure = {name for event in others for name in order.touched(event, manners)}
    unsure |= set(TENANCY) if "occupied" in unsure else set()
    shown = {name: value for name, value in order.known(known.shown).items() if name not in unsure and name != "exists"}
    return {**shown, **folded}


def _tenancy_differences(theirs: Mapping[str, Value], ours: Mapping[str, Value]) -> list[Difference]:
    if "occupied" not in theirs:
        return []
    if ours.get("occupied") is not theirs["occupied"]:
        names = ["occupied", *(name for name in TENANCY if name in theirs)]
    elif not theirs["occupied"]:
        return []
    else:
        names = [name for name in TENANCY if name in theirs and not _agree(theirs[name], ours.get(name))]
    return [_difference(name, theirs, ours) for name in names]


def _fact_differences(theirs: Mapping[str, Value], ours: Mapping[str, Value]) -> list[Difference]:
    names = [name for name in FACTS if name in theirs and (name not in ours or ours[name] != theirs[name])]
    return [_difference(name, theirs, ours) for name in names]


def _difference(name: str, theirs: Mapping[str, Value], ours: Mapping[str, Value]) -> Difference:
    return Difference(name=name, ours=ours.get(name), theirs=theirs[name], is_known=name in ours)


def _agree(theirs: Value, ours: Value) -> bool:
    """Say whether two ids are the same, as far as that can be known: of an erased one nobody knows."""
    return theirs == ours or (isinstance(ours, str) and guard.is_erased(ours))


def _kind(theirs: Mapping[str, Value], ours: Mapping[str, Value], differences: Sequence[Difference]) -> Found:
    names = {one.name for one in differences}
    if "occupied" in names:
        return Found.PHANTOM if ours.get("occupied") and not theirs["occupied"] else Found.MISSED
    if "pms_tenant_id" in names or any(not one.is_known for one in differences):
        return Found.MISSED
    return Found.DIFFERENT if differences else Found.SAME


def _to_state(
    row: Row,
    ours: Mapping[str, Value],
    differences: Sequence[Difference],
    counted: Sequence[UnitEvent],
    known: Known,
    manners: Manners,
    location: str,
) -> tuple[dict[str, Value], str]:
    """Return the snapshot that makes a unit right, and a word where none can."""
    if not differences:
        return {}, ""
    body: dict[str, Value] = {}
    if any(one.name == "occupied" or one.name in TENANCY for one in differences):
        body, note = _tenancy(row, ours, location)
        if note:
            return {}, note
    after = {**ours}
    if body:
        made = UnitEvent(
            id=0,
            kind=Kind.SNAPSHOT,
            identity="",
            effective_at=dt.datetime.max.replace(tzinfo=dt.UTC),
            mailed_at=dt.datetime.max.replace(tzinfo=dt.UTC),
            position=0,
            mail_id=None,
            body=body,
            expect={},
            state=order.State.WAITING,
        )
        after.update(order.fold([*counted, made], manners, known.origin).values)
    facts = [name for name in FACTS if name in row.body and (name not in after or after[name] != row.body[name])]
    return {**body, **{name: row.body[name] for name in facts}}, ""


def _tenancy(row: Row, ours: Mapping[str, Value], location: str) -> tuple[dict[str, Value], str]:
    """Return the tenancy that a row states, whole: of the same tenant what it leaves out stays."""
    theirs = row.body
    if not theirs["occupied"]:
        return {"occupied": False}, ""
    is_same = bool(ours.get("occupied")) and _agree(
        theirs.get("pms_tenant_id", ours.get("pms_tenant_id")), ours.get("pms_tenant_id")
    )
    kept = {name: ours.get(name) for name in TENANCY} if is_same else {}
    tenancy = {**kept, **{name: theirs[name] for name in TENANCY if name in theirs}}
    missing = [name for name in ("pms_tenant_id", "move_in_date") if not tenancy.get(name)]
    if missing:
        return {}, f"the file states no {' and no '.join(missing)}: `gatepost events add --unit {row.unit} ...`"
    stated = {name: value for name, value in tenancy.items() if value is not None}
    return {"occupied": True, **stated, "unit_name": row.unit, "pms_location_code": location}, ""
