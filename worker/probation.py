"""Probation: the first events of a rule that was changed wait for a person's word, so that a wrong one shows early."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from parsers.events import canonical
from parsers.yamltree import plain, read_yaml
from worker.order import Hold, State
from worker.store.events import Telling
from worker.store.lanes import insert_for
from worker.store.tables import rule_versions

_APART = ("title", "senders", "rules")
"""What a pack says that makes no rule of it read otherwise, or that each rule says for itself."""


def versions(files: Mapping[str, str]) -> dict[str, str]:
    """Return the version of each rule of a set: a digest of what it says, and of what its pack says for all rules.

    ``files``: those of a set that loads. What a file says that extends a pack counts for the pack; a rule in it stands
    for the pack's own of that id.
    """
    trees: list[dict[str, Any]] = [plain(read_yaml(text, file)) for file, text in files.items()]
    found: dict[str, str] = {}
    for pack in trees:
        if "extends" in pack:
            continue
        parts = [pack, *(tree for tree in trees if tree.get("extends") == pack["pack"])]
        common = [{key: value for key, value in part.items() if key not in _APART} for part in parts]
        for rule in (rule for part in parts for rule in part.get("rules", ())):
            said = canonical({"common": common, "rule": rule})
            found[f"{pack['pack']}/{rule['id']}"] = hashlib.sha256(said.encode()).hexdigest()[:16]
    return found


def begin_probation(
    connection: Connection, before: Mapping[str, str], after: Mapping[str, str], *, events: int, now: dt.datetime
) -> None:
    """Note the rules that a set changes; the next ``events`` of each are to wait. 0: none has to.

    ``before`` and ``after``: the files of the set that was live and of the one that is now.
    """
    old, new = versions(before), versions(after)
    gone = [rule for rule in old if rule not in new]
    if gone:
        connection.execute(rule_versions.delete().where(rule_versions.c.rule.in_(gone)))
    for rule, version in new.items():
        if old.get(rule) != version:
            values = {"version": version, "since": now, "left": events}
            statement = insert_for(connection)(rule_versions).values(rule=rule, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=[rule_versions.c.rule], set_=values))


def hold_on_probation(connection: Connection, tellings: Sequence[Telling]) -> Sequence[Telling]:
    """Return what a mail tells, held where its rule is on probation: the whole mail, for it is one reading."""
    rule = next((one.event.rule for one in tellings if one.state is State.WAITING), None)
    if rule is None:
        return tellings
    row = connection.execute(
        sa.select(rule_versions).where(rule_versions.c.rule == rule, rule_versions.c.left > 0)
    ).one_or_none()
    if row is None:
        return tellings
    detail = f"{rule} was changed at {row.since.isoformat(timespec='seconds')}: its first events wait for your word"
    return [
        replace(one, state=State.HELD, reason=str(Hold.PROBATION), detail=detail) if one.state is State.WAITING else one
        for one in tellings
    ]


def count_probation(connection: Connection, rule: str, events: int) -> tuple[str, int]:
    """Count events that were held on probation; return the rule's version, and how many more are to wait."""
    left = sa.case((rule_versions.c.left > events, rule_versions.c.left - events), else_=0)
    statement = rule_versions.update().where(rule_versions.c.rule == rule).values(left=left)
    row = connection.execute(statement.returning(rule_versions.c.version, rule_versions.c.left)).one()
    return row.version, row.left
