"""What a run came to: the stand-in's log against the store's record and the model's state.

A *write with effect* is a request in the stand-in's log that it applied. Its bytes are those of the stored call with
its key. What each count means:

lost            a mail that was answered 250 and is not in the store with a state that ends its reading
missing         an event of the tale that is not in the store, or is neither applied nor superseded
double          one key that took effect twice; one event stored twice; a write that no stored call knows; or two
                writes with effect of one unit, one right after the other, with the same method, path and bytes under
                two keys, while no call of this unit from the first to the second ended without its outcome known
repeated        the same two writes where such a call stands between: facts that nobody knew and that were written anew
differs         a unit whose state at the stand-in is not that of the model
stepped_back    a write with effect that puts an older value over a newer one: paid-through date, day of the lock's
                status, tenant; in the tale each of them only grows. What a call wrote that was refused when it
                was sent again (its answer was lost, then 409) may be put back: its event is out
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tests.faults.tale import Tale
from tests.model import DEFAULTS
from worker.store.database import Database
from worker.store.tables import calls, events, mails

_UNIT = re.compile(r"/units/([^/?]+)")
_GROWS = ("paid_through_date", "pms_status_raw", "pms_tenant_id")


@dataclass(slots=True, kw_only=True)
class Verdict:
    """The counts; all but the first line's must be empty."""

    mails: int
    events: int
    writes: int
    faults: Mapping[str, int]
    """What the stand-in did on purpose."""
    repeated: int = 0
    lost: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])
    double: list[str] = field(default_factory=list[str])
    differs: list[str] = field(default_factory=list[str])
    stepped_back: list[str] = field(default_factory=list[str])

    @property
    def bad(self) -> dict[str, list[str]]:
        """Return what must not be, by its name."""
        found = {name: getattr(self, name) for name in ("lost", "missing", "double", "differs", "stepped_back")}
        return {name: items for name, items in found.items() if items}


def differing(tale: Tale, shown: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the units whose state is not that of the model, with what differs."""
    units = {unit["crm_unit_id"]: unit for unit in shown}
    found: list[str] = []
    for crm_unit_id, wanted in tale.kiss.units.items():
        unit = units.pop(crm_unit_id, None)
        if unit is None:
            found.append(f"{crm_unit_id} is not there")
        elif names := [name for name in DEFAULTS if unit[name] != wanted[name]]:
            found.append(f"{crm_unit_id} " + ", ".join(f"{n} {unit[n]!r} not {wanted[n]!r}" for n in names))
    return found + [f"{crm_unit_id} is nobody's" for crm_unit_id in units]


def judge(tale: Tale, acknowledged: Mapping[str, int], told: Mapping[str, Any], db: Database) -> Verdict:
    """Return what the run came to. ``told``: the stand-in's log and units."""
    with db.read() as connection:
        states = {row.id: row.state for row in connection.execute(sa.select(mails.c.id, mails.c.state))}
        stored = connection.execute(sa.select(events.c.id, events.c.identity, events.c.state)).all()
        known = {row.key: row for row in connection.execute(sa.select(calls).order_by(calls.c.id))}
    effects = [entry for entry in told["requests"] if entry["applied"] and entry["method"] != "GET"]
    verdict = Verdict(
        mails=len(states),
        events=len(stored),
        writes=len(effects),
        faults=Counter(entry["fault"] for entry in told["requests"] if entry["fault"]),
    )
    verdict.lost = [f"{mail_id} {states.get(mail_id)}" for mail_id in acknowledged if not _is_read(states.get(mail_id))]
    parsed = Counter(number for mail_id, number in acknowledged.items() if states.get(mail_id) == "parsed")
    verdict.missing = [f"event {row.id} {row.state}" for row in stored if row.state not in ("applied", "superseded")]
    if len(stored) < tale.events:
        verdict.missing.append(f"{tale.events - len(stored)} of {tale.events} events were never stored")
    verdict.double = [f"mail {number} parsed {count} times" for number, count in parsed.items() if count > 1]
    if len(stored) > tale.events or len({row.identity for row in stored}) != len(stored):
        verdict.double.append(f"{len(stored)} events of {tale.events} are stored")
    by_unit: dict[str, list[Any]] = {}
    for key, count in Counter(entry["key"] for entry in effects).items():
        if count > 1:
            verdict.double.append(f"key {key} took effect {count} times")
        if key not in known:
            verdict.double.append(f"key {key} is of no stored call")
    for entry in effects:
        if entry["key"] in known:
            by_unit.setdefault(known[entry["key"]].crm_unit_id, []).append(known[entry["key"]])
    for unit, writes in by_unit.items():
        of_unit = [call for call in known.values() if call.crm_unit_id == unit]
        _judge_unit(unit, writes, of_unit, verdict)
    verdict.differs = differing(tale, told["units"])
    return verdict


def _judge_unit(unit: str, writes: Sequence[Any], of_unit: Sequence[Any], verdict: Verdict) -> None:
    for first, second in itertools.pairwise(writes):
        if (first.method, first.path, first.body) != (second.method, second.path, second.body):
            continue
        low, high = sorted((first.id, second.id))
        if any(call.state != "done" for call in of_unit if low <= call.id < high):
            verdict.repeated += 1
        else:
            verdict.double.append(f"{unit}: calls {first.id} and {second.id}, both {first.method} {first.path}")
    newest: dict[str, str] = {}
    for call in writes:
        body = json.loads(call.body) if call.body else {}
        for name in _GROWS:
            grade = _grade(name, body.get(name))
            if grade is None:
                continue
            if grade < newest.get(name, ""):
                verdict.stepped_back.append(f"{unit}: call {call.id} puts {name} {grade} over {newest[name]}")
            if call.state != "refused":  # what a refused call had written all the same is put back rightly
                newest[name] = max(grade, newest.get(name, ""))


def _grade(name: str, value: object) -> str | None:
    """Return what grows of a value, as text that sorts; None for a value that was cleared."""
    if not isinstance(value, str):
        return None
    return value.rpartition(" ")[2] if name == "pms_status_raw" else value


def _is_read(state: str | None) -> bool:
    return state in ("parsed", "duplicate")
