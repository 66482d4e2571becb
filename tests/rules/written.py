"""Events as the mails of their pack: values of any script, how a pack's system writes them, and what is read of it."""

import base64
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import strategies as st

from parsers import Event, Kind, Mailbox, Outcome, Reading, RuleSet, load_rules, parse_mail
from parsers.placeholders import is_placeholder
from parsers.takeback import find_doubts
from parsers.text import normal
from tests.mutants.draft import Draft, Form, Note, Pair, Pairs, Setting, octets_of

ROOT = Path(__file__).resolve().parents[2]
RULES = load_rules([ROOT / "rules"])
MAILBOX = Mailbox(address="main@demo.test", company="demo", location="MAIN")
DATE = "Fri, 01 May 2026 09:30:00 -0500"

Told: TypeAlias = tuple[str, str, dict[str, Any]]
"""Kind and unit of an event, and what it says: its body; of a move-out, its day and what the guard compares."""
Values: TypeAlias = Mapping[str, Any]

_TITLES = frozenset({"unit", "tenant", "property", "amount", "name", "date", "balance", "status"})
_letters = st.characters(categories=("Lu", "Ll", "Lt", "Lo", "Mn", "Mc", "Nd"))


def is_plain(text: str) -> bool:
    """Say whether a text is in the normal form, begins as a value does, and is no word that a table knows."""
    known = text.casefold().startswith(("none", "total")) or text.casefold() in _TITLES
    return normal(text) == text and text[:1].isalnum() and not known


def words(longest: int, between: str) -> st.SearchStrategy[str]:
    """Return texts of letters and digits of any script, with some signs between them."""
    return st.text(_letters | st.sampled_from(between), min_size=1, max_size=longest).filter(is_plain)


def names_one(text: str) -> bool:
    """Say whether a text can be a unit or an id: no word that says that one is lacking, none that takes back."""
    return not is_placeholder(text) and not find_doubts(text)


units = st.one_of(
    st.sampled_from(("B204", "12", "A-12.3", "0012", "1-2", "Ä7", "7é", "Ж-9", "مخزن5", "倉庫12")),
    words(12, "-./#").filter(names_one),
)
ids = st.one_of(st.sampled_from(("T-5001", "000123", "88123", "SZ-40031")), words(16, "-.").filter(names_one))
names = st.one_of(st.sampled_from(("Jane Smith", "José Ñandú", "Łucja Żak", "李雷", "O'Brien, Pat")), words(30, " -'."))


def numbered(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return texts with a digit, of a system that numbers what it writes."""
    return st.builds(str.__add__, texts, st.sampled_from("0123456789"))


def in_a_sentence(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return texts that do not end as a sentence does."""
    return texts.filter(lambda text: text[-1] != ".")


dates = st.dates(dt.date(2000, 1, 1), dt.date(2060, 12, 31))
amounts = st.decimals(0, 99_999, places=2)

VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "unit": units, "other": units, "tenant": ids, "ledger": ids, "name": names, "on": dates, "through": dates,
    "amount": amounts,
}  # fmt: skip
"""What a template writes, by the names that stand for it in braces."""

AMERICAN = ("%m/%d/%Y",)
ISO = ("%Y-%m-%d",)


def dollars(amount: Decimal) -> str:
    return f"${amount:,.2f}"


def day_in(style: str, on: dt.date) -> str:
    """Return a date as ``strftime`` writes it; ``%o`` is the day as an English ordinal (``1st``)."""
    ending = "th" if 11 <= on.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(on.day % 10, "th")
    return on.strftime(style.replace("%o", f"{on.day}{ending}"))


@dataclass(frozen=True, kw_only=True)
class Template:
    """How a pack's system writes one kind of mail, and the events that it tells."""

    rule: str
    sender: str
    subject: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """The text behind each label, with the names of values in braces."""
    prose: str = ""
    """A paragraph above the labels, with the names of values in braces."""
    styles: Sequence[str]
    """How dates are written."""
    tells: Callable[[Values], list[Told]]
    made: Mapping[str, st.SearchStrategy[Any]] = field(default_factory=dict[str, st.SearchStrategy[Any]])
    """What the system writes for some values, where that is less than any text."""
    layout: str = ""
    """What tells it from other templates of its rule."""

    @property
    def name(self) -> str:
        return f"{self.rule} {self.layout}".strip()

    @property
    def values(self) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({**VALUES, **self.made})

    def write(self, values: Values, *, style: str, setting: Setting, form: Form, chance: Any) -> Draft:
        """Return a mail that says some values, its labels in an order of `chance`."""
        texts = {name: day_in(style, value) if isinstance(value, dt.date) else value for name, value in values.items()}
        texts["amount"] = dollars(values["amount"])
        pairs = [Pair(label=label, value=text.format(**texts)) for label, text in self.labels.items()]
        chance.shuffle(pairs)
        body = [Note(text=self.prose.format(**texts))] if self.prose else []
        body += [Pairs(pairs=tuple(pairs), setting=setting)] if pairs else []
        return draft(self.sender, self.subject.format(**texts), *body, Note(text="Thank you."), form=form)


def move_in(values: Values, *, ledger: str = "ledger") -> Told:
    """Return a move-in; `ledger` names the value that is its ledger, or none."""
    body = {
        "pms_tenant_id": values["tenant"], "move_in_date": values["on"].isoformat(), "unit_name": values["unit"],
        "pms_location_code": "MAIN",
    }  # fmt: skip
    return "move_in", values["unit"], body | ({"ledger_id": values[ledger]} if ledger else {})


def moved_in(values: Values) -> list[Told]:
    return [move_in(values)]


def moved_in_and_paid(values: Values) -> list[Told]:
    return [move_in(values), ("patch", values["unit"], {"paid_through_date": values["through"].isoformat()})]


def paid(values: Values) -> list[Told]:
    body = {"paid_through_date": values["through"].isoformat(), "balance_due": values["amount"]}
    return [("patch", values["unit"], body)]


def stated(body: Mapping[str, Any]) -> Callable[[Values], list[Told]]:
    """Return what tells the same of each unit."""
    return lambda values: [("patch", values["unit"], dict(body))]


def move_out(values: Values, *, unit: str = "unit", ledger: str = "ledger") -> Told:
    """Return a move-out of the unit that one value names; `ledger` as for `move_in`."""
    expected = {"pms_tenant_id": values["tenant"]} | ({"ledger_id": values[ledger]} if ledger else {})
    return "move_out", values[unit], {"on": values["on"].isoformat(), **expected}


def moved_out(values: Values) -> list[Told]:
    return [move_out(values)]


def draft(sender: str, subject: str, *body: Any, form: Form = Form.PLAIN, parts: tuple[bytes, ...] = ()) -> Draft:
    head = (("From", f"notices@{sender}"), ("Date", DATE))
    return Draft(head=head, subject=subject, body=body, form=form, parts=parts)


def attached(name: str, octets: bytes) -> bytes:
    """Return a file as a part of a mail."""
    head = f'Content-Disposition: attachment; filename="{name}"\nContent-Transfer-Encoding: base64\n\n'
    return b"Content-Type: application/octet-stream\n" + head.encode() + base64.encodebytes(octets)


def read(written: Draft, rules: RuleSet = RULES) -> Reading:
    """Return how a mail is read that tells events."""
    reading = parse_mail(octets_of(written), rules, mailbox=MAILBOX)
    assert reading.outcome is Outcome.EVENTS, f"{reading.rule}: {reading.reason}"
    return reading


def told(written: Draft, rules: RuleSet = RULES) -> tuple[str | None, list[Told]]:
    """Return the rule that reads a mail and the events that it gives."""
    reading = read(written, rules)
    return reading.rule, [(str(event.kind), event.unit, _said(event)) for event in reading.events]


def _said(event: Event) -> dict[str, Any]:
    if event.kind is not Kind.MOVE_OUT:
        return dict(event.body)
    return {**event.expect, **({"on": event.on.isoformat()} if event.on else {})}
