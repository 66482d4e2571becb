"""Backtest: read stored mails under two rule sets, and say what the second would make of them. Nothing is stored.

Mails come a page at a time, so that a year of them takes no more memory than a page. What is kept of the result is
counts, and the first mails that differ.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from parsers import RuleSet
from worker.order import LET_IN
from worker.store.database import Database
from worker.store.events import Telling
from worker.store.mails import MailHold, MailState, NewMail, Verdict, load_mail
from worker.store.tables import events, mails
from worker.tenancies import find_units

Judge = Callable[[NewMail, RuleSet], Verdict]
PAGE = 100
MOST_SHOWN = 200
"""How many mails that differ are kept to be shown; all are counted."""

_READ = (MailState.PARSED, MailState.IGNORED)
_TRIED = (*_READ, MailState.DUPLICATE, MailState.HELD)


class Effect(StrEnum):
    """What the other rules make of a mail."""

    SAME = "same"
    CHANGED = "changed"  # read by both sets, or by neither, and otherwise
    NEWLY_PARSED = "newly_parsed"  # held with the live set, read with the draft
    LOST = "lost"  # read with the live set, held with the draft
    NEWLY_AMBIGUOUS = "newly_ambiguous"  # two rules of the draft claim it
    PURGED = "purged"  # its bytes were let go: it cannot be read again


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that the draft reads otherwise."""

    what: str
    """``state``, ``rule``, or the event and its value: ``patch of MAIN-B204: balance_due``."""
    live: Any
    draft: Any
    """None: it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What the draft makes of one mail."""

    mail_id: str
    effect: Effect
    rule: str | None
    """The rule that reads it live, else that of the draft."""
    differences: tuple[Difference, ...] = ()
    applied: tuple[int, ...] = ()
    """Events that take part in what units are, and that the draft tells otherwise or no more."""

    @property
    def is_grave(self) -> bool:
        """Say whether somebody has to accept it: an applied event would change, or a mail would be lost."""
        return bool(self.applied) or self.effect in (Effect.LOST, Effect.NEWLY_AMBIGUOUS)

    def to_json(self) -> dict[str, Any]:
        differences = [{"what": one.what, "live": one.live, "draft": one.draft} for one in self.differences]
        return {
            "mail": self.mail_id,
            "effect": str(self.effect),
            "rule": self.rule,
            "differences": differences,
            "applied_events": list(self.applied),
        }


@dataclass(slots=True, kw_only=True)
class Report:
    """What a backtest found."""

    live: str
    draft: str
    since: dt.datetime
    effects: Counter[Effect] = field(default_factory=Counter[Effect])
    rules: dict[str, Counter[Effect]] = field(default_factory=dict[str, Counter[Effect]])
    """Effects by the rule that reads the mail live; those that are the same are left out."""
    shown: list[Tested] = field(default_factory=list[Tested])
    """The first mails that differ, the grave ones first."""
    applied: int = 0
    """How many applied events would change."""
    grave: int = 0
    """How many mails somebody has to accept."""

    def add(self, tested: Tested) -> None:
        """Count a mail, and keep it if it is among those that are shown."""
        self.effects[tested.effect] += 1
        self.applied += len(tested.applied)
        self.grave += tested.is_grave
        if tested.effect in (Effect.SAME, Effect.PURGED):
            return
        self.rules.setdefault(tested.rule or "-", Counter())[tested.effect] += 1
        if len(self.shown) < MOST_SHOWN:
            self.shown.append(tested)
        elif tested.is_grave and not self.shown[-1].is_grave:
            self.shown[-1] = tested
            self.shown.sort(key=lambda one: not one.is_grave)

    @property
    def mails(self) -> int:
        return self.effects.total()

    def to_json(self) -> dict[str, Any]:
        differing = sum(count for effect, count in self.effects.items() if effect not in (Effect.SAME, Effect.PURGED))
        return {
            "live": self.live,
            "draft": self.draft,
            "since": self.since.isoformat(),
            "mails": self.mails,
            "effects": {str(effect): self.effects[effect] for effect in Effect},
            "rules": {
                rule: {str(effect): count for effect, count in sorted(counts.items())}
                for rule, counts in sorted(self.rules.items())
            },
            "applied_events": self.applied,
            "needs_accept": self.grave > 0,
            "shown": [one.to_json() for one in self.shown],
            "left_off": differing - len(self.shown),
        }


class Backtest:
    """Compares two rule sets over the mails of a store."""

    def __init__(self, db: Database, *, judge: Judge, live: RuleSet, draft: RuleSet, since: dt.datetime) -> None:
        self._db = db
        self._judge = judge
        self._live = live
        self._draft = draft
        self._since = since

    def count(self) -> int:
        """Return how many mails there are to read."""
        with self._db.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(mails).where(*self._chosen())).scalar_one()

    def run(self, on_done: Callable[[int], None] = lambda _count: None) -> Report:
        """Read every mail under both sets. ``on_done``: is told of each page how many mails it had."""
        report = Report(live=self._live.id, draft=self._draft.id, since=self._since)
        for page in self._pages():
            for row in page:
                report.add(self._test(row))
            on_done(len(page))
        return report

    def _chosen(self) -> list[sa.ColumnElement[bool]]:
        return [mails.c.received_at >= self._since, mails.c.state.in_([str(state) for state in _TRIED])]

    def _pages(self) -> Iterator[Sequence[Any]]:
        """Yield the mails in the order of their arrival, a page at a time."""
        columns = (mails.c.id, mails.c.received_at, mails.c.rule, mails.c.purged_at)
        after: list[sa.ColumnElement[bool]] = []
        while True:
            statement = sa.select(*columns).where(*self._chosen(), *after)
            with self._db.read() as connection:
                page = connection.execute(statement.order_by(mails.c.received_at, mails.c.id).limit(PAGE)).all()
            if page:
                yield page
            if len(page) < PAGE:
                return
            last = page[-1]
            same = sa.and_(mails.c.received_at == last.received_at, mails.c.id > last.id)
            after = [mails.c.received_at >= last.received_at, sa.or_(mails.c.received_at > last.received_at, same)]

    def _test(self, row: Any) -> Tested:
        with self._db.read() as connection:
            mail = load_mail(connection, row.id)
        if mail is None:
            return Tested(mail_id=row.id, effect=Effect.PURGED, rule=row.rule)
        if self._live.id == self._draft.id:
            return Tested(mail_id=mail.id, effect=Effect.SAME, rule=row.rule)
        live, draft = self._read(mail, self._live), self._read(mail, self._draft)
        effect = effect_of(live, draft)
        if effect is Effect.SAME:
            return Tested(mail_id=mail.id, effect=effect, rule=live.rule)
        with self._db.read() as connection:
            applied = _applied(connection, live.tellings, draft.tellings)
        return Tested(
            mail_id=mail.id,
            effect=effect,
            rule=live.rule or draft.rule,
            differences=tuple(differences(live, draft)),
            applied=applied,
        )

    def _read(self, mail: NewMail, rules: RuleSet) -> Verdict:
        """Return what a mail comes to; one that cannot be read for a fault of ours is held, as ingest holds it."""
        try:
            verdict = self._judge(mail, rules)
        except Exception as error:  # noqa: BLE001  one mail is no other mail's trouble
            detail = f"reading failed: {type(error).__name__}; this is a fault of Gatepost"
            return Verdict(mail_id=mail.id, state=MailState.HELD, reason=MailHold.UNREADABLE, detail=detail)
        with self._db.read() as connection:
            return find_units(connection, verdict)


def effect_of(live: Verdict, draft: Verdict) -> Effect:
    """Return what becomes of a mail under the draft, compared with what becomes of it live."""
    if (live.state, live.reason, live.rule) == (draft.state, draft.reason, draft.rule) and not any(
        differences(live, draft)
    ):
        return Effect.SAME
    if draft.reason is MailHold.AMBIGUOUS and live.reason is not MailHold.AMBIGUOUS:
        return Effect.NEWLY_AMBIGUOUS
    if (live.state in _READ) == (draft.state in _READ):
        return Effect.CHANGED
    return Effect.LOST if live.state in _READ else Effect.NEWLY_PARSED


def differences(live: Verdict, draft: Verdict) -> Iterator[Difference]:
    """Yield what is read otherwise: how the mail ends, and each value of its events."""
    before, after = _ends(live), _ends(draft)
    for name, value in before.items():
        if value != after[name]:
            yield Difference(what=name, live=value, draft=after[name])
    old, new = _told(live.tellings), _told(draft.tellings)
    for what in dict.fromkeys((*old, *new)):
        yield from _value_differences(what, old.get(what), new.get(what))


def _value_differences(what: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[Difference]:
    if old is None or new is None:
        yield Difference(what=what, live=old, draft=new)
        return
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield Difference(what=f"{what}: {name}", live=old.get(name), draft=new.get(name))


def _ends(verdict: Verdict) -> dict[str, Any]:
    state = f"{verdict.state} {verdict.reason}" if verdict.reason else str(verdict.state)
    return {"state": state, "rule": verdict.rule}


def _told(tellings: Sequence[Telling]) -> dict[str, Mapping[str, Any]]:
    """Return the values of each event of a mail, under its kind and unit; a second of both is numbered."""
    found: dict[str, Mapping[str, Any]] = {}
    for telling in tellings:
        event = telling.event
        what = f"{event.kind} of {event.crm_unit_id or event.unit}"
        if what in found:
            what = f"{what} #{sum(name.partition(' #')[0] == what for name in found) + 1}"
        found[what] = {
            **event.body,
            "effective_at": event.effective_at.isoformat(),
            "identity": event.identity,
            **({"on": event.on.isoformat()} if event.on else {}),
            **({"expect": dict(event.expect)} if event.expect else {}),
            **({"tenancy": dict(event.tenancy)} if event.tenancy else {}),
        }
    return found


def _applied(connection: Connection, live: Sequence[Telling], draft: Sequence[Telling]) -> tuple[int, ...]:
    """Return the events of a mail that are let in, and that the draft tells otherwise or no more.

    Where the draft adds an event beside those that stay, the mail's events would change as well.
    """
    if not live:
        return ()
    same = sa.and_(events.c.company == live[0].company, events.c.identity.in_({one.event.identity for one in live}))
    let_in = events.c.state.in_([str(state) for state in LET_IN])
    rows = connection.execute(sa.select(events.c.id, events.c.identity, events.c.fingerprint).where(same, let_in)).all()
    before = {_mark(telling) for telling in live}
    after = {_mark(telling) for telling in draft}
    moved = _moments(live) != _moments(draft)
    changed = [row for row in rows if (row.identity, row.fingerprint) in before - after]
    if not changed and (after - before or moved):
        changed = [row for row in rows if (row.identity, row.fingerprint) in before]
    return tuple(sorted(row.id for row in changed))


def _mark(telling: Telling) -> tuple[str, str]:
    return (telling.event.identity, telling.mark)


def _moments(tellings: Sequence[Telling]) -> dict[tuple[str, str], Any]:
    """Return when each event happened, and what it asks of the tenancy: the fold goes by it."""
    return {_mark(one): (one.event.effective_at, one.event.on, dict(one.event.expect)) for one in tellings}
