"""Draft a rule from samples of one kind of mail: what is alike is the template, what differs is the value. Pure.

Errors:
    NotDrafted(Exception)    the samples do not say enough; says what is lacking, and what to give
"""

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from parsers.convert import DateFormat, Money, NotConverted, date_format, read_moment, read_money
from parsers.extract import Labels
from parsers.mail import Mail
from worker.lexicon import DATES, Happening, Role, happening_of, role_of

_FORMATS: Final = (
    "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d.%m.%Y", "iso", "%B %d, %Y", "%d %B %Y", "%b %d, %Y", "%d %b %Y",
)  # fmt: skip
_TIMED: Final = (
    "iso", "%Y-%m-%d %I:%M %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%b %d, %Y %I:%M %p",
)  # fmt: skip
_MONEYS: Final = (Money(), Money(decimal=",", group=".", symbols=("EUR", "€")))
_MAX_LABEL: Final = 60
_VALUE: Final = "(?P<value>\\S.*)"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 _-]*")
_NEEDED: Final[Mapping[Happening, tuple[Role, ...]]] = {
    Happening.MOVE_IN: (Role.UNIT, Role.TENANT, Role.MOVED_IN),
    Happening.MOVE_OUT: (Role.UNIT,),
    Happening.TRANSFER: (Role.FROM_UNIT, Role.TO_UNIT, Role.TENANT, Role.MOVED),
    **dict.fromkeys((Happening.LOCKED, Happening.UNLOCKED, Happening.AUCTION, Happening.NO_AUCTION), (Role.UNIT,)),
    Happening.PAYMENT: (Role.UNIT,),
    Happening.NOTHING: (),
}
_FLAGS: Final = {
    Happening.LOCKED: "pms_lockout: true",
    Happening.UNLOCKED: "pms_lockout: false",
    Happening.AUCTION: "pms_auction: true",
    Happening.NO_AUCTION: "pms_auction: false",
}


class NotDrafted(Exception):
    """No draft; says what is lacking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A pack with one rule, as text, and what its writer was not sure of."""

    pack: str
    rule: str
    text: str
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """A field of the draft."""

    name: str
    source: str
    """YAML of where it stands: ``label: Unit``."""
    values: tuple[str, ...]
    """What the samples that have it say."""
    is_everywhere: bool = True


def draft_rule(mails: Sequence[Mail], pack: str, marked: Mapping[str, str], *, event: Happening | None = None) -> Draft:
    """Return the draft of a rule that reads these mails, all of one kind.

    ``marked``: values by the name of the field, as one of the samples writes them. ``event`` None: what the subject
    says.

    Raises:
        NotDrafted: what happened, or a value that it needs, is not found.
    """
    sender = mails[0].from_domain
    if sender is None or any(mail.from_domain != sender for mail in mails):
        raise NotDrafted("the samples come from no one sender, or from several: give mails of one kind")
    happening = event or happening_of(mails[0].subject)
    if happening is None:
        raise NotDrafted(f"the subject does not say what happened: say it with --event, one of {', '.join(Happening)}")
    fields = {one.name: one for one in (*_labelled(mails), *_marked(mails, marked))}
    if Role.UNIT not in fields and happening is not Happening.TRANSFER and (found := _unit_in_subject(mails)):
        fields[Role.UNIT] = found
    lacking = [role for role in _NEEDED[happening] if role not in fields]
    if lacking:
        raise NotDrafted(
            f"no label for {', '.join(lacking)}: say what its value is in one of the samples, "
            f"as --set {lacking[0]}=VALUE"
        )
    doubts: list[str] = []
    timed = _timed(fields.get(Role.OCCURRED))
    used = {name: fields[name] for name in _used(happening, fields)}
    text = "\n".join(_lines(mails, pack, sender, happening, used, timed, doubts)) + "\n"
    return Draft(pack=pack, rule=happening, text=text, doubts=tuple(doubts))


# -- values -----------------------------------------------------------------------------------------------------------


def _labels_of(mail: Mail) -> dict[str, str]:
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


def _labelled(mails: Sequence[Mail]) -> Iterator[_Field]:
    """Yield a field for each role that a label has in every sample, or in some of them."""
    told = [_labels_of(mail) for mail in mails]
    by_role: dict[Role, list[str]] = {}
    for label in dict.fromkeys(label for labels in told for label in labels):
        role = role_of(label)
        if role is not None:
            by_role.setdefault(role, []).append(label)
    for role, labels in by_role.items():
        values = [next((one[label] for label in labels if label in one), None) for one in told]
        yield _Field(
            name=role,
            source=f"label: {_texts(labels)}",
            values=tuple(value for value in values if value is not None),
            is_everywhere=None not in values,
        )


def _marked(mails: Sequence[Mail], marked: Mapping[str, str]) -> Iterator[_Field]:
    """Yield a field for each value that a person marked: beside a label, in the subject, or within a line."""
    told = [_labels_of(mail) for mail in mails]
    for name, value in marked.items():
        label = next((label for labels in told for label, text in labels.items() if text == value), None)
        if label is not None:
            values = [labels[label] for labels in told if label in labels]
            everywhere = len(values) == len(mails)
            yield _Field(name=name, source=f"label: {_text(label)}", values=tuple(values), is_everywhere=everywhere)
            continue
        for kind, texts in (("subject", [mail.subject for mail in mails]), ("regex", [mail.text for mail in mails])):
            pattern = _around(texts, value)
            if pattern is not None:
                found = tuple(match["value"] for text in texts if (match := re.search(pattern, text, re.MULTILINE)))
                yield _Field(name=name, source=f"{kind}: {json.dumps(pattern)}", values=found)
                break
        else:
            raise NotDrafted(f"--set {name}: no sample holds this value where the others have one, too")


def _around(texts: Sequence[str], value: str) -> str | None:
    """Return a pattern of the words around a value that finds one value in every text; None when there is none."""
    for text in texts:
        match = re.search(rf"(?m)^(?P<before>.*?)(?<!\w){re.escape(value)}(?!\w)(?P<after>.*)$", text)
        if match is None:
            continue
        before, after = match["before"].split()[-3:], match["after"].split()[:1]
        for count in range(len(before), 0, -1):
            head = r"\s+".join(map(re.escape, before[-count:]))
            tail = rf"\s*{re.escape(after[0])}" if after and not any(sign.isdigit() for sign in after[0]) else ""
            pattern = rf"{head}\s+(?P<value>[^\s,;.]+){tail}"
            if all(len({one["value"] for one in re.finditer(pattern, other)}) == 1 for other in texts):
                return pattern
    return None


def _unit_in_subject(mails: Sequence[Mail]) -> _Field | None:
    """Return the unit that every subject names behind the word."""
    pattern = r"(?:unit|space|einheit)[ :#]+" + _VALUE + "$"
    found = [re.search(pattern, mail.subject, re.IGNORECASE) for mail in mails]
    if not all(found):
        return None
    values = tuple(match["value"] for match in found if match)
    return _Field(name=Role.UNIT, source=f"subject: {json.dumps(pattern)}", values=values)


# -- the text ---------------------------------------------------------------------------------------------------------


def _used(happening: Happening, fields: Mapping[str, _Field]) -> list[str]:
    """Return the names of the fields that the events are made of."""
    wanted = [*_NEEDED[happening]]
    if happening is Happening.MOVE_IN:
        wanted += [Role.LEDGER, Role.PAID_THROUGH]
    elif happening is Happening.MOVE_OUT:
        wanted += [Role.TENANT, Role.LEDGER, Role.MOVED_OUT]
    elif happening is Happening.TRANSFER:
        wanted += [Role.LEDGER]
    elif happening is Happening.PAYMENT:
        wanted += [Role.TENANT, Role.PAID_THROUGH, Role.BALANCE]
    elif happening is not Happening.NOTHING:
        wanted += [Role.TENANT]
    return [name for name in wanted if name in fields]


def _lines(
    mails: Sequence[Mail],
    pack: str,
    sender: str,
    happening: Happening,
    fields: Mapping[str, _Field],
    timed: tuple[_Field, str] | None,
    doubts: list[str],
) -> Iterator[str]:
    formats = _formats(mails, [one for name, one in fields.items() if name in DATES], doubts)
    if timed:
        formats = list(dict.fromkeys((*formats, timed[1])))
    money = _money([one for name, one in fields.items() if name == Role.BALANCE])
    yield f"# Drafted from {len(mails)} samples: read every line before you publish it."
    yield f"pack: {pack}"
    yield f"title: {pack}"
    yield f"senders: [{sender}]"
    yield f"dates: {_texts(formats, always=True)}" if formats else "dates: [iso]   # no sample holds a date"
    if money != Money():
        yield f'money: {{decimal: "{money.decimal}", group: "{money.group}", symbols: {_texts(money.symbols)}}}'
    yield "rules:"
    yield f"  - id: {happening}"
    yield "    when:"
    subject = _subject([mail.subject for mail in mails])
    yield f"      subject: {json.dumps(subject)}   # the words that all samples share"
    if happening is Happening.NOTHING:
        yield "    ignore: Drafted so since the subject tells of an intention; say here why nothing happened yet."
        return
    if timed:
        source = timed[0].source
        yield f"    occurred: {{{source}, type: datetime}}   # when it happened; else it is the Date of the mail"
    yield "    fields:"
    for name, one in fields.items():
        needed = name in _NEEDED[happening] and one.is_everywhere
        kind = ", type: date" if name in DATES else ", type: money, credit: zero" if name == Role.BALANCE else ""
        seen = f"in {len(one.values)} of {len(mails)} samples" + (f", such as {one.values[0][:40]}" if kind else "")
        yield f"      {name}: {{{one.source}{kind}{'' if needed else ', optional: true'}}}   # {seen}"
    noise = list(_noise(mails, [*fields.values(), *(timed[:1] if timed else ())]))
    if noise:
        yield "    # Lines that no field reads and that all samples have; others count as drift."
        yield "    ignore_lines:"
        yield from (f"      - {json.dumps(pattern)}" for pattern in noise)
    yield from _identity(happening, fields)
    yield "    events:"
    yield from _events(happening, fields, doubts)


def _identity(happening: Happening, fields: Mapping[str, _Field]) -> Iterator[str]:
    told = {
        Happening.MOVE_IN: (Role.UNIT, Role.TENANT, Role.MOVED_IN),
        Happening.MOVE_OUT: (Role.UNIT, Role.TENANT, Role.MOVED_OUT),
        Happening.TRANSFER: (Role.FROM_UNIT, Role.TO_UNIT, Role.TENANT, Role.MOVED),
    }.get(happening, ())
    if told:
        names = ", ".join(name for name in told if name in fields)
        yield f"    identity: [{names}]   # what makes it this one happening, however often it is told"


def _events(happening: Happening, fields: Mapping[str, _Field], doubts: list[str]) -> Iterator[str]:
    expect = {"pms_tenant_id": Role.TENANT, "ledger_id": Role.LEDGER}
    guards = ", ".join(f"{key}: {role}" for key, role in expect.items() if role in fields)
    guard = f", expect: {{{guards}}}" if guards else ""
    ledger = f", ledger_id: {Role.LEDGER}" if Role.LEDGER in fields else ""
    if happening is Happening.MOVE_IN:
        yield f"      - move_in: {{unit: unit, pms_tenant_id: tenant_id{ledger}, move_in_date: moved_in}}"
        if Role.PAID_THROUGH in fields:
            yield "      - patch: {unit: unit, paid_through_date: paid_through}"
    elif happening is Happening.MOVE_OUT:
        on = f", on: {Role.MOVED_OUT}" if Role.MOVED_OUT in fields else ""
        yield f"      - move_out: {{unit: unit{on}{guard}}}"
        if not guard:
            doubts.append("the mail names no tenant and no ledger: nothing guards the move-out of another tenant")
    elif happening is Happening.TRANSFER:
        yield f"      - move_in: {{unit: to_unit, pms_tenant_id: tenant_id{ledger}, move_in_date: moved}}"
        yield "      - move_out: {unit: from_unit, on: moved, expect: {pms_tenant_id: tenant_id}}"
    elif happening is Happening.PAYMENT:
        facts = {"balance_due": Role.BALANCE, "paid_through_date": Role.PAID_THROUGH}
        stated = "".join(f", {fact}: {role}" for fact, role in facts.items() if role in fields)
        if not stated:
            raise NotDrafted(
                "the payment states neither a balance nor a date paid through: write a rule that ignores it"
            )
        yield f"      - patch: {{unit: unit{stated}{guard}}}"
    else:
        yield f"      - patch: {{unit: unit, {_FLAGS[happening]}{guard}}}"


def _subject(subjects: Sequence[str]) -> str:
    """Return the pattern of the words that all subjects share, in order."""
    words = [subject.split() for subject in subjects]
    head = _shared(words)
    tail = _shared([one[len(head) :][::-1] for one in words])[::-1]
    if all(len(one) == len(head) for one in words):
        pieces = [_constant(word) for word in head]
        return "^" + " ".join(pieces) + "$"
    return "^" + " ".join([*map(_constant, head), ".+", *map(_constant, tail)]) + "$"


def _shared(words: Sequence[Sequence[str]]) -> list[str]:
    """Return the words that all begin with."""
    found: list[str] = []
    for column in zip(*words, strict=False):
        if len(set(column)) > 1:
            break
        found.append(column[0])
    return found


def _constant(word: str) -> str:
    """Return the pattern of a word of the template; one with digits is a value even where the samples agree."""
    return r"\S+" if any(sign.isdigit() for sign in word) else re.escape(word).replace(r"\-", "-")


def _noise(mails: Sequence[Mail], fields: Iterable[_Field]) -> Iterator[str]:
    """Yield patterns of lines that no field reads: those that all samples have, and labels with other values."""
    read = {value for one in fields for value in one.values}
    shared = set.intersection(*({line.text for line in mail.lines} for mail in mails))
    labels = [_labels_of(mail) for mail in mails]
    told: dict[str, None] = {}
    for line in mails[0].lines:
        head = (line.cells[0] if len(line.cells) > 1 else line.text.partition(":")[0]).strip(" *•·:")
        if labels[0].get(head) in read:
            continue
        if all(head in one for one in labels):
            told[f"^{re.escape(head)}\\b".replace(r"\ ", " ").replace(r"\-", "-")] = None
        elif line.text in shared and not any(value in line.text for value in read):
            told[f"^{re.escape(line.text)[:200]}".replace(r"\ ", " ").replace(r"\-", "-").replace("\\\t", r"\t")] = None
    return iter(told)


def _formats(mails: Sequence[Mail], fields: Iterable[_Field], doubts: list[str]) -> list[str]:
    """Return the date formats that read every date of the samples."""
    values = [value for one in fields for value in one.values]
    if not values:
        return []
    fit = [form for form in _FORMATS if all(_reads(value, date_format(form)) for value in values)]
    if not fit:
        raise NotDrafted("no date format that is known reads every date of the samples: write the rule by hand")
    if len(fit) == 1:
        return fit
    sent = mails[0].date or mails[0].local_date

    def distance(form: str) -> dt.timedelta:
        if sent is None:
            return dt.timedelta(0)
        moments = (read_moment(value, [date_format(form)]).replace(tzinfo=None) for value in values)
        return sum((abs(moment - sent.replace(tzinfo=None)) for moment in moments), dt.timedelta(0))

    fit.sort(key=distance)
    doubts.append(
        f"the samples do not tell {fit[0]} from {' or '.join(fit[1:])}; the first is nearer to the Date of the mail: "
        "add a sample with a day after the twelfth"
    )
    return fit[:1]


def _timed(field: _Field | None) -> tuple[_Field, str] | None:
    """Return the field that tells the hour of what happened, and its format; None when the samples tell no hour."""
    if field is None or not field.is_everywhere or not all(":" in value for value in field.values):
        return None
    fit = [form for form in _TIMED if all(_reads(value, date_format(form)) for value in field.values)]
    return (field, fit[0]) if fit else None


def _reads(value: str, form: DateFormat) -> bool:
    try:
        read_moment(value, [form])
    except NotConverted:
        return False
    return True


def _money(fields: Iterable[_Field]) -> Money:
    """Return how the samples write amounts."""
    values = [value for one in fields for value in one.values]
    for money in _MONEYS:
        try:
            for value in values:
                read_money(value, money, credit_is_zero=True)
        except NotConverted:
            continue
        return money
    raise NotDrafted("no way to write amounts that is known reads every amount of the samples: write the rule by hand")


def _text(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _texts(texts: Iterable[str], *, always: bool = False) -> str:
    """Return texts as YAML: one as it is, several as a list."""
    told = [_text(text) for text in texts]
    return told[0] if len(told) == 1 and not always else f"[{', '.join(told)}]"
