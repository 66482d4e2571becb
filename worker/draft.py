"""Draft a rule from samples of one kind of mail: what is alike is the template, what differs is the value. Pure."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from parsers.convert import Money
from parsers.mail import Mail
from parsers.takeback import find_doubts
from worker.drafttable import Block, blocks_of
from worker.lexicon import DATES, INTENTIONS, Happening, Role, happening_of, is_name, is_status, role_of
from worker.sampled import NotDrafted, Sampled, also_in_subject, fields_of, labels_of, unit_in_subject, yaml_of
from worker.writtenas import date_formats, money_of, time_format

_ANY: Final = "\0"
"""What stands in a subject in place of a value."""
_NEEDED: Final[Mapping[Happening, tuple[Role, ...]]] = {
    Happening.MOVE_IN: (Role.UNIT, Role.TENANT, Role.MOVED_IN),
    Happening.MOVE_OUT: (Role.UNIT,),
    Happening.TRANSFER: (Role.FROM_UNIT, Role.TO_UNIT, Role.TENANT, Role.MOVED),
    **dict.fromkeys((Happening.LOCKED, Happening.UNLOCKED, Happening.AUCTION, Happening.NO_AUCTION), (Role.UNIT,)),
    Happening.PAYMENT: (Role.UNIT,),
    Happening.NOTHING: (),
}
_NEEDED_IF_STATED: Final[Mapping[Happening, tuple[Role, ...]]] = {
    Happening.MOVE_OUT: (Role.TENANT, Role.LEDGER, Role.MOVED_OUT),
}
"""What guards and dates an event: where every sample has it, a mail without it is held."""
_NUMBERS: Final = (Role.UNIT, Role.TENANT, Role.LEDGER)
_HAS_A_DIGIT: Final = ', pattern: ".*[0-9].*"'
_FLAGS: Final = {
    Happening.LOCKED: "pms_lockout: true",
    Happening.UNLOCKED: "pms_lockout: false",
    Happening.AUCTION: "pms_auction: true",
    Happening.NO_AUCTION: "pms_auction: false",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A pack with one rule, as text, and what its writer was not sure of."""

    pack: str
    rule: str
    text: str
    doubts: tuple[str, ...]


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
    doubts: list[str] = []
    said = {found for mail in mails if (found := happening_of(mail.subject))}
    if event is None and len(said) > 1:
        raise NotDrafted(f"the subjects tell of different things ({', '.join(sorted(said))}): give mails of one kind")
    happening = event or next(iter(said), None)
    fields = fields_of(mails, marked)
    by_label = marked or Role.UNIT in fields or happening is Happening.NOTHING
    if not by_label and (blocks := blocks_of(mails, event, doubts)):
        text = "\n".join(_table_lines(mails, pack, sender, blocks, doubts)) + "\n"
        return Draft(pack=pack, rule=_rule_name(blocks), text=text, doubts=tuple(dict.fromkeys(doubts)))
    if happening is None:
        raise NotDrafted(f"the subject does not say what happened: say it with --event, one of {', '.join(Happening)}")
    if Role.UNIT not in fields and happening is not Happening.TRANSFER and (found := unit_in_subject(mails)):
        fields[Role.UNIT] = found
    fields |= {name: also_in_subject(fields[name], mails) for name in _NUMBERS if name in fields}
    lacking = [role for role in _NEEDED[happening] if role not in fields]
    if lacking:
        raise NotDrafted(
            f"no label for {', '.join(lacking)}: say what its value is in one of the samples, "
            f"as --set {lacking[0]}=VALUE"
        )
    timed = _timed(fields.get(Role.OCCURRED))
    used = {name: fields[name] for name in _used(happening, fields)}
    text = "\n".join(_lines(mails, pack, sender, happening, used, timed, doubts)) + "\n"
    return Draft(pack=pack, rule=happening, text=text, doubts=tuple(doubts))


# -- the text ---------------------------------------------------------------------------------------------------------


def _used(happening: Happening, fields: Mapping[str, Sampled]) -> list[str]:
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
    fields: Mapping[str, Sampled],
    timed: tuple[Sampled, str] | None,
    doubts: list[str],
) -> Iterator[str]:
    formats = _formats(mails, [one for name, one in fields.items() if name in DATES], doubts)
    if timed:
        formats = list(dict.fromkeys((*formats, timed[1])))
    money = _money([one for name, one in fields.items() if name == Role.BALANCE])
    yield from _head(mails, pack, sender, formats, money)
    yield f"  - id: {happening}"
    yield "    when:"
    subject = _subject(mails, happening, doubts)
    yield f"      subject: {json.dumps(subject)}   # the words that the samples share"
    if happening is Happening.NOTHING:
        yield "    ignore: Drafted so since the subject tells of an intention; say here why nothing happened yet."
        return
    yield from _conditions(mails)
    if timed:
        source = timed[0].source
        yield f"    occurred: {{{source}, type: datetime}}   # when it happened; else it is the Date of the mail"
    yield "    fields:"
    for name, one in fields.items():
        yield _field(name, one, happening, f"in {len(one.values)} of {len(mails)} samples")
    noise = list(_noise(mails, [*fields.values(), *(timed[:1] if timed else ())]))
    if noise:
        yield "    # Lines that no field reads and that all samples have; others count as drift."
        yield "    ignore_lines:"
        yield from (f"      - {json.dumps(pattern)}" for pattern in noise)
    yield from _identity(happening, fields)
    yield "    events:"
    yield from _events(happening, fields, doubts)


def _head(mails: Sequence[Mail], pack: str, sender: str, formats: Sequence[str], money: Money) -> Iterator[str]:
    yield f"# Drafted from {len(mails)} samples: read every line before you publish it."
    yield f"pack: {pack}"
    yield f"title: {pack}"
    yield f"senders: [{sender}]"
    yield f"dates: {yaml_of(formats, always=True)}" if formats else "dates: [iso]   # no sample holds a date"
    if money != Money():
        yield f'money: {{decimal: "{money.decimal}", group: "{money.group}", symbols: {yaml_of(money.symbols)}}}'
    yield "rules:"


def _field(name: str, field: Sampled, happening: Happening, seen: str) -> str:
    """Return the line of a field; `seen` says where."""
    needed = field.is_everywhere and name in (*_NEEDED[happening], *_NEEDED_IF_STATED.get(happening, ()))
    kind = ", type: date" if name in DATES else ", type: money, credit: zero" if name == Role.BALANCE else ""
    if name == Role.UNIT and all(re.search("[0-9]", value) for value in field.values):
        kind = _HAS_A_DIGIT
    told = seen + (f", such as {field.values[0][:40]}" if kind and field.values else "")
    return f"      {name}: {field.to_yaml(kind + ('' if needed else ', optional: true'))}   # {told}"


def _rule_name(blocks: Sequence[Block]) -> str:
    return blocks[0].happening if len(blocks) == 1 else "digest"


def _table_lines(
    mails: Sequence[Mail], pack: str, sender: str, blocks: Sequence[Block], doubts: list[str]
) -> Iterator[str]:
    """Yield the lines of a rule that goes through tables."""
    used = [{name: block.fields[name] for name in _used(block.happening, block.fields)} for block in blocks]
    for block, fields in zip(blocks, used, strict=True):
        if lacking := [role for role in _NEEDED[block.happening] if role not in fields or not fields[role].values]:
            raise NotDrafted(f"the rows have no column for {', '.join(lacking)}: write the rule by hand")
    dates = [one for fields in used for name, one in fields.items() if name in DATES]
    yield from _head(mails, pack, sender, _formats(mails, dates, doubts), Money())
    yield f"  - id: {_rule_name(blocks)}"
    yield "    when:"
    subject = _subject(mails, blocks[0].happening, doubts)
    yield f"      subject: {json.dumps(subject)}   # the words that the samples share"
    if blocks[0].rows.name:
        yield f'      attachment: "{blocks[0].rows.name}"'
    noise = [] if blocks[0].rows.name else list(_beside(mails, blocks))
    if noise:
        yield "    ignore_lines:   # what all samples have beside the tables"
        yield from (f"      - {json.dumps(pattern)}" for pattern in noise)
    yield "    each:"
    for block, fields in zip(blocks, used, strict=True):
        lines = [_field(name, one, block.happening, f"{len(one.values)} rows") for name, one in fields.items()]
        yield from block.lines(lines, _events(block.happening, fields, doubts))


def _beside(mails: Sequence[Mail], blocks: Sequence[Block]) -> Iterator[str]:
    """Yield the patterns of lines that all samples have and that are of no table."""
    of_tables = {text for block in blocks for text in (block.rows.heading, *block.empty)}
    told = [labels_of(mail) for mail in mails]
    shared = set.intersection(*({line.text for line in mail.lines if len(line.cells) == 1} for mail in mails))
    for line in mails[0].lines:
        head = line.text.partition(":")[0]
        if ":" in line.text and all(head in one for one in told):
            yield f"{_line(head)}:"
        elif line.text in shared - of_tables:
            yield _line(line.text)


def _identity(happening: Happening, fields: Mapping[str, Sampled]) -> Iterator[str]:
    told = {
        Happening.MOVE_IN: (Role.UNIT, Role.TENANT, Role.MOVED_IN),
        Happening.MOVE_OUT: (Role.UNIT, Role.TENANT, Role.MOVED_OUT),
        Happening.TRANSFER: (Role.FROM_UNIT, Role.TO_UNIT, Role.TENANT, Role.MOVED),
    }.get(happening, ())
    if told:
        names = ", ".join(name for name in told if name in fields)
        yield f"    identity: [{names}]   # what makes it this one happening, however often it is told"


def _events(happening: Happening, fields: Mapping[str, Sampled], doubts: list[str]) -> Iterator[str]:
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


def _subject(mails: Sequence[Mail], happening: Happening, doubts: list[str]) -> str:
    """Return the pattern of the words that all subjects share, in order, or else of each wording.

    Where the subjects say what happened, so do the words of the pattern: a subject that says otherwise is not claimed.

    Raises:
        NotDrafted: a wording has no word of its own, so that the rule would claim every mail of the sender.
    """
    says = all(happening_of(mail.subject) == happening for mail in mails)

    def is_enough(words: Sequence[str]) -> bool:
        text = " ".join(word for word in words if _is_constant(word))
        return any(map(str.isalpha, text)) and (not says or happening_of(text) == happening)

    def is_of_all(words: Sequence[str], subjects: Sequence[Sequence[str]]) -> bool:
        """Say whether words stand for some subjects: they are enough, and name whatever would take one back."""
        named = {one.word for one in find_doubts(" ".join(words))}
        return is_enough(words) and named.issuperset(x.word for one in subjects for x in find_doubts(" ".join(one)))

    split = [mail.subject.split() for mail in mails]
    wordings = [_alike(split)]
    if not is_of_all(wordings[0], split):
        wordings = _wordings(mails, is_of_all)
        doubts.append("the subjects have few words in common: read which ones the rule claims")
    if not all(map(is_enough, wordings)):
        raise NotDrafted("the subjects share no word: give mails of one kind")
    patterns = list(dict.fromkeys(" ".join(map(_pattern, words)) for words in wordings))
    return f"^{patterns[0]}$" if len(patterns) == 1 else f"^(?:{'|'.join(patterns)})$"


def _wordings(
    mails: Sequence[Mail], is_of_all: Callable[[Sequence[str], Sequence[Sequence[str]]], bool]
) -> list[list[str]]:
    """Return the words of each wording of the subjects: those that begin alike share one, where it stands for all."""
    groups: dict[str, list[list[str]]] = {}
    for words in map(_subject_words, mails):
        groups.setdefault("".join(words[:1]), []).append(words)
    found: list[list[str]] = []
    for group in groups.values():
        alike = _alike(group)
        found += [alike] if is_of_all(alike, group) else group
    return found


def _subject_words(mail: Mail) -> list[str]:
    """Return the words of a subject, without what a label says is the name of somebody or the number of something."""
    subject = mail.subject
    for label, value in labels_of(mail).items():
        if is_name(label) or role_of(label) in _NUMBERS:
            subject = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", _ANY, subject)
    return subject.split()


def _alike(words: Sequence[Sequence[str]]) -> list[str]:
    """Return the words that all subjects begin and end with, and a mark for what stands between them."""
    head = _shared(words)
    if all(len(one) == len(head) for one in words):
        return head
    tail = _shared([one[len(head) :][::-1] for one in words])[::-1]
    return [*head, _ANY, *tail]


def _shared(words: Sequence[Sequence[str]]) -> list[str]:
    """Return the words that all begin with."""
    found: list[str] = []
    for column in zip(*words, strict=False):
        if len(set(column)) > 1:
            break
        found.append(column[0])
    return found


def _is_constant(word: str) -> bool:
    """Say whether a word is of the template; one with digits is a value even where the samples agree."""
    return _ANY not in word and not any(map(str.isdigit, word))


def _pattern(word: str) -> str:
    if any(map(str.isdigit, word)):
        return r"\S+"
    return ".+".join(re.escape(piece).replace(r"\-", "-") for piece in word.split(_ANY))


def _conditions(mails: Sequence[Mail]) -> Iterator[str]:
    """Yield the conditions on the text: the status is one that was seen, and no word tells of an intention."""
    told = [labels_of(mail) for mail in mails]
    for label in told[0]:
        seen = [one[label] for one in told if label in one]
        if is_status(label) and len(seen) == len(mails) and not any(map(str.isdigit, "".join(seen))):
            words = "|".join(map(re.escape, dict.fromkeys(seen)))
            pattern = rf"^[^\w\n]*{re.escape(label)}(?:\s*:\s*|\t)(?:{words})$".replace(r"\ ", " ")
            yield "      # How it stands in the samples; add what else may be said of a mail of this kind."
            yield f"      body: [{json.dumps(pattern)}]"
            break
    words = "|".join(word for word in INTENTIONS if not any(word in mail.text.casefold() for mail in mails))
    yield "      # Words of mails that look alike and tell of something else; no sample has one of them."
    yield f'      not: ["\\\\b(?:{words})"]'


def _noise(mails: Sequence[Mail], fields: Iterable[Sampled]) -> Iterator[str]:
    """Yield patterns of lines that no field reads: those that all samples have, and labels with other values."""
    read = {value for one in fields for value in one.values}
    shared = set.intersection(*({line.text for line in mail.lines} for mail in mails))
    labels = [labels_of(mail) for mail in mails]
    told: dict[str, None] = {}
    for line in mails[0].lines:
        head = (line.cells[0] if len(line.cells) > 1 else line.text.partition(":")[0]).strip(" *•·:")
        if labels[0].get(head) in read:
            continue
        if all(head in one for one in labels):
            told[f"^{re.escape(head)}\\b".replace(r"\ ", " ").replace(r"\-", "-")] = None
        elif line.text in shared and not any(value in line.text for value in read):
            told[_line(line.text)] = None
    return iter(told)


def _line(text: str) -> str:
    """Return the pattern of a line that begins so."""
    return f"^{re.escape(text)[:200]}".replace(r"\ ", " ").replace(r"\-", "-").replace("\\\t", r"\t")


def _formats(mails: Sequence[Mail], fields: Iterable[Sampled], doubts: list[str]) -> list[str]:
    """Return the date formats that read every date of the samples."""
    found = date_formats(_values(fields), mails[0].date or mails[0].local_date, doubts)
    if found is None:
        raise NotDrafted("a date of the samples is in no format that is known: write the rule by hand")
    return found


def _timed(field: Sampled | None) -> tuple[Sampled, str] | None:
    """Return the field that tells the hour of what happened, and its format; None when the samples tell no hour."""
    if field is None or not field.is_everywhere or not all(":" in value for value in field.values):
        return None
    form = time_format(field.values)
    return (field, form) if form else None


def _money(fields: Iterable[Sampled]) -> Money:
    """Return how the samples write amounts."""
    found = money_of(_values(fields))
    if found is None:
        raise NotDrafted(
            "no way to write amounts that is known reads every amount of the samples: write the rule by hand"
        )
    return found


def _values(fields: Iterable[Sampled]) -> list[str]:
    return [value for one in fields for value in one.values]
