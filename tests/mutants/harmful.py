"""Changes that break a mail: it gives the same events or is held, and never gives others."""

from dataclasses import replace
from random import Random
from typing import Final

from parsers.rule import Field, FieldValue, From, Type
from tests.mutants.cases import Case, is_needed, label_of
from tests.mutants.draft import Draft, Form, Note, Pair, Pairs, Raw, Setting, html_of, plain_of
from tests.mutants.harmless import HIDING, Mutation, put, runs, swap
from tests.mutants.truth import Must, Mutant, must_without

NO_VALUE: Final = ("incomplete", "invalid")
NEW_LABELS: Final = (
    "Space", "Resident Ref", "Suite Code", "Unit Nr.", "Unit ID", "The Unit", "Tenant Key", "Cust. Reference", "Begins",
    "Effective", "Paid Until", "Paid To", "Amount Due Now", "Code", "Id", "Date Of Event", "Number", "Units", "X",
)  # fmt: skip
MERGE_FIELDS: Final = (
    "[[unit.name]]", "{{tenant_id}}", "{ Unit > Number }", "CUSTOMER_NAME", "{{ move.date }}", "{% unit %}", "[[x]]",
    "UNIT_NUMBER", "{Tenant > ID}",
)  # fmt: skip
_NO_DATES: Final = (
    "TBD", "n/a", "02/30/2026", "13/13/2026", "2026-02-30", "05/01", "next Friday", "May", "5", "05/01/2026 - 05/31",
    "05/01/2026 (was 04/01/2026)", "05/01/2026 04/01/2026", "2026", "00/00/0000", "0000-00-00", "05//2026", "soon",
)  # fmt: skip
_NO_MONEY: Final = (
    "TBD", "$", "$1.2.3", "12,34", "$129.00 - $5.00", "$129.00 (incl. $5.00 fee)", "see ledger", "1e3", "$12.345",
    "129.00 / 99.00", "--5.00", "((25.00))", "twelve", "$1,29.00", "USD",
)  # fmt: skip
_NO_UNITS: Final = ("../units", "B204?x=1", "a\\b", "..", "B\u0000204", "x" * 80, "B204/../B205")
_BAD: Final = {
    Type.DATE: _NO_DATES, Type.DATETIME: _NO_DATES, Type.MONEY: _NO_MONEY, Type.INTEGER: ("x", "1.5", "1e2"),
}  # fmt: skip
_OTHER_TEXTS: Final = ("Z999", "T-0000", "L-0000", "A1", "7")
_OTHER_DATES: Final = {
    "%m/%d/%Y": "01/02/2019", "%Y-%m-%d": "2019-01-02", "%m/%d/%y": "01/02/19", "%d/%m/%Y": "02/01/2019",
    "%Y-%m-%d %H:%M": "2019-01-02 03:04",
}  # fmt: skip


def _said(case: Case, draft: Draft) -> list[tuple[int, int, Pair, Field]]:
    """Return the pairs that a field of the rule reads: block, place in it, pair, field."""
    return [
        (place, number, pair, case.labels[label_of(pair.label)])
        for place, run in runs(draft)
        for number, pair in enumerate(run.pairs)
        if label_of(pair.label) in case.labels and not pair.hidden
    ]


def alone_in(case: Case, draft: Draft, chance: Random, *, typed: bool = False) -> tuple[int, int, Pair, Field] | None:
    """Return one pair that alone says what its field reads from labels."""
    said = _said(case, draft)
    counts = [sum(field is other for *_, other in said) for *_, field in said]
    alone = [one for one, count in zip(said, counts, strict=True) if count == 1]
    alone = [one for one in alone if not typed or one[3].type in _BAD]
    return chance.choice(alone) if alone else None


def with_pairs(draft: Draft, place: int, number: int, *pairs: Pair) -> Draft:
    """Return a draft with other pairs in place of one."""
    run = draft.body[place]
    assert isinstance(run, Pairs)
    return swap(draft, place, replace(run, pairs=(*run.pairs[:number], *pairs, *run.pairs[number + 1 :])))


def _other_value(case: Case, field: Field, old: str, chance: Random) -> str:
    """Return another value that converts."""
    if field.type in (Type.DATE, Type.DATETIME):
        assert case.rule is not None
        pack = case.rules.packs[case.rule.pack]
        return next(_OTHER_DATES[form.text] for form in pack.dates if form.text in _OTHER_DATES)
    if field.type is Type.MONEY:
        return "$999.99"
    return chance.choice([text for text in _OTHER_TEXTS if text != old])


def _unit_fields(case: Case) -> set[str]:
    """Return the names of the fields that name the units of the rule's events."""
    specs = (spec.unit for spec in (case.rule.all_events if case.rule else ()))
    return {spec.name for spec in specs if isinstance(spec, FieldValue)}


def _without(case: Case, draft: Draft, field: Field, pair: Pair) -> Mutant:
    return Mutant(draft=draft, must=must_without(field), field=field, old=pair.value, reasons=NO_VALUE)


def label_renamed(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = alone_in(case, draft, chance)
    free = [label for label in NEW_LABELS if label_of(label) not in case.labels]
    if found is None:
        return None
    place, number, pair, field = found
    return _without(case, with_pairs(draft, place, number, replace(pair, label=chance.choice(free))), field, pair)


def label_misspelt(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = alone_in(case, draft, chance)
    if found is None:
        return None
    place, number, pair, field = found
    spot = chance.randrange(len(pair.label))
    label = chance.choice(
        (
            pair.label[:spot] + chance.choice("aeioux") + pair.label[spot:],
            pair.label[:spot] + pair.label[spot + 1 :],
            f"{pair.label} {chance.choice(('2', 'old', 'was', 'of', 'Co'))}",
            f"{chance.choice(('My', 'Old', 'Next', 'Former', 'No'))} {pair.label}",
        )
    )
    if label_of(label) in case.labels or not label_of(label):
        return None
    return _without(case, with_pairs(draft, place, number, replace(pair, label=label)), field, pair)


def line_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = alone_in(case, draft, chance)
    if found is None:
        return None
    place, number, pair, field = found
    return _without(case, with_pairs(draft, place, number), field, pair)


def label_dropped(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Leave the value without its label."""
    found = alone_in(case, draft, chance)
    if found is None:
        return None
    place, number, pair, field = found
    return _without(case, put(with_pairs(draft, place, number), place + 1, Note(text=pair.value)), field, pair)


def value_emptied(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = alone_in(case, draft, chance)
    if found is None:
        return None
    place, number, pair, field = found
    empty = replace(
        pair,
        value=chance.choice(("", "", " ", "\u00a0", "\u200b")),
        joint=":" if pair.joint.strip(" \u00a0") else pair.joint,
    )
    return _without(case, with_pairs(draft, place, number, empty), field, pair)


def value_emptied_above_prose(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Empty the last value of a run, and let prose follow without a blank line."""
    found = value_emptied(case, draft, chance)
    if found is None or found.draft.gap == "\n":
        return None
    return replace(found, draft=replace(found.draft, gap="\n"))


def line_hidden(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = alone_in(case, draft, chance)
    if found is None or draft.form is not Form.HTML:
        return None
    place, number, pair, field = found
    return _without(case, with_pairs(draft, place, number, replace(pair, hidden=True)), field, pair)


def merge_field(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = alone_in(case, draft, chance)
    if found is None:
        return None
    place, number, pair, field = found
    broken = with_pairs(draft, place, number, replace(pair, value=chance.choice(MERGE_FIELDS)))
    return Mutant(draft=broken, must=Must.HELD, field=field, reasons=NO_VALUE)


def value_said_otherwise(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Say a value twice, differently: nobody can know which holds."""
    said = [one for one in _said(case, draft) if one[3].nth is None]
    if not said:
        return None
    place, _, pair, field = chance.choice(said)
    run = draft.body[place]
    assert isinstance(run, Pairs)
    label = chance.choice([word for word, other in case.labels.items() if other is field])
    other = replace(pair, label=label.title(), value=_other_value(case, field, pair.value, chance))
    pairs = list(run.pairs)
    pairs.insert(chance.randint(0, len(pairs)), other)
    broken = swap(draft, place, replace(run, pairs=tuple(pairs)))
    return Mutant(draft=broken, must=Must.HELD, field=field, reasons=("invalid", "ambiguous"))


def value_said_otherwise_elsewhere(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Say a value again, differently, in a run of its own."""
    said = [one for one in _said(case, draft) if one[3].nth is None]
    if not said or any(isinstance(block, Raw) and block.plain for block in draft.body):
        return None
    _, _, pair, field = chance.choice(said)
    other = replace(pair, value=_other_value(case, field, pair.value, chance), joint=": ")
    block = Pairs(pairs=(other,), setting=chance.choice((Setting.LINES, Setting.ROWS, Setting.ITEMS)))
    broken = put(draft, chance.choice((0, len(draft.body))), block)
    return Mutant(draft=broken, must=Must.HELD, reasons=(*NO_VALUE, "ambiguous"))


def value_that_is_none(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = alone_in(case, draft, chance, typed=True)
    if found is None:
        return None
    place, number, pair, field = found
    broken = with_pairs(draft, place, number, replace(pair, value=chance.choice(_BAD[field.type])))
    return Mutant(draft=broken, must=Must.HELD, field=field, reasons=("invalid", "incomplete"))


def value_cut(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Cut a date short, so that no format reads it."""
    found = alone_in(case, draft, chance, typed=True)
    if found is None or found[3].type not in (Type.DATE, Type.DATETIME):
        return None
    place, number, pair, field = found
    cut = pair.value[: chance.randint(1, max(1, len(pair.value) - 3))]
    if not cut.strip() or cut.count("/") == 2 or cut.count("-") == 2:
        return None  # a shorter year or day may be a date all the same, and nothing is no date
    return Mutant(
        draft=with_pairs(draft, place, number, replace(pair, value=cut)), must=Must.HELD, field=field, reasons=NO_VALUE
    )


def values_exchanged(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Exchange a date or amount with a text: one of them is none then."""
    said = _said(case, draft)
    typed = [one for one in said if one[3].type in (Type.DATE, Type.DATETIME, Type.MONEY)]
    texts = [one for one in said if one[3].type is Type.TEXT and not one[2].value.isdigit()]
    if not typed or not texts:
        return None
    (place, number, date, field), (other_place, other_number, text, _) = chance.choice(typed), chance.choice(texts)
    if sum(one is field for *_, one in said) > 1:
        return None
    draft = with_pairs(draft, place, number, replace(date, value=text.value))
    draft = with_pairs(draft, other_place, other_number, replace(text, value=date.value))
    return Mutant(draft=draft, must=Must.HELD, reasons=NO_VALUE)


def odd_unit(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Write a unit that no unit is called, wherever a label says it."""
    units = _unit_fields(case)
    said = [one for one in _said(case, draft) if one[3].name in units]
    if not said:
        return None
    odd = chance.choice(_NO_UNITS)
    field = said[0][3]
    for place, number, pair, other in said:
        if other is field:
            draft = with_pairs(draft, place, number, replace(pair, value=odd))
    return Mutant(draft=draft, must=Must.HELD, reasons=("invalid", "incomplete"))


def separator_lost(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = alone_in(case, draft, chance)
    if found is None:
        return None
    place, number, pair, field = found
    run = draft.body[place]
    if not isinstance(run, Pairs) or run.setting not in (Setting.LINES, Setting.ITEMS):
        return None
    mutant = _without(
        case,
        with_pairs(draft, place, number, replace(pair, joint=chance.choice((" ", " = ", " - ", " -> ", "; ")))),
        field,
        pair,
    )
    return replace(mutant, must=Must.SAME_OR_HELD) if mutant.must is Must.HELD else mutant


def _field_of_line(case: Case, line: str) -> Field | None:
    """Return the field that a pattern of the rule finds in a line."""
    for field in case.rule.all_fields if case.rule else ():
        if any(source.kind is From.REGEX and source.pattern and source.pattern.found(line) for source in field.sources):
            return field
    return None


def lines_joined(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Lose the break between two label lines."""
    found = [(place, run) for place, run in runs(draft) if len(run.pairs) > 1 and run.setting is Setting.LINES]
    if not found:
        return None
    place, run = chance.choice(found)
    number = chance.randrange(len(run.pairs) - 1)
    first, second = run.pairs[number : number + 2]
    if first.hidden or second.hidden:
        return None
    gap = chance.choice((" ", "  ", "   ", " | ", ", ", "; ", "\t"))
    joined = replace(first, value=f"{first.value}{gap}{second.label}: {second.value}")
    run = replace(run, pairs=(*run.pairs[:number], joined, *run.pairs[number + 2 :]))
    lost = None if label_of(first.label) in case.labels else case.labels.get(label_of(second.label))
    return Mutant(
        draft=swap(draft, place, run),
        must=Must.SAME_OR_HELD if lost is None or is_needed(lost) else Must.LESS_OR_HELD,
        field=lost,
        beside=_field_of_line(case, f"{first.label}{first.joint}{first.value}"),
        old=second.value,
        reasons=(*NO_VALUE, "unmatched"),
    )


def another_subject(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Put a word before the subject that makes another notice of it."""
    if case.rule is None or case.rule.when.subject is None:
        return None
    word = chance.choice(
        ("Scheduled ", "Pending ", "Cancelled: ", "Request for ", "Reminder: ", "Re: ", "Failed ", "Draft ")
    )
    subject = word + draft.subject
    if case.rule.when.subject.found(subject):
        return None
    claims = case.rules.subject_claims(subject)
    if claims:
        return None
    return Mutant(draft=replace(draft, subject=subject), must=Must.HELD, reasons=("unmatched",))


def unit_of_the_subject(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Name another unit in a subject that names the one of the text."""
    names = _unit_fields(case)
    for _, _, pair, field in _said(case, draft):
        in_subject = any(source.kind is From.SUBJECT for source in field.sources)
        if field.name in names and in_subject and draft.subject.count(pair.value) == 1:
            subject = draft.subject.replace(
                pair.value, chance.choice(("Z999", "A1", f"{pair.value}1", f"{pair.value} A1"))
            )
            return Mutant(
                draft=replace(draft, subject=subject), must=Must.HELD, field=field, reasons=("invalid", "unmatched")
            )
    return None


def another_sender(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    if case.is_structured:
        return None
    sender = chance.choice(
        ("someone@gmail.com", "notices@storitz.com.example.com", "a@xsitelink.com", "a@mail-domico.com")
    )
    head = tuple((name, sender if name.lower() == "from" else value) for name, value in draft.head)
    return Mutant(draft=replace(draft, head=head), must=Must.HELD, reasons=("untrusted", "unmatched"))


def quoted_whole(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Quote all of the text, as a reply does."""
    if case.is_structured:
        return None
    plain = "\n".join(f"> {line}" for line in plain_of(draft).splitlines())
    inner = html_of(draft).partition("<body>")[2].partition("</body>")[0]
    block = Raw(html=f'<p>See below.</p><div class="gmail_quote">{inner}</div>', plain=f"See below.\n\n{plain}")
    return _all_lost(case, replace(draft, body=(block,), frame=0, wire=replace(draft.wire, other="")))


def hidden_whole(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    if case.is_structured or draft.form is not Form.HTML:
        return None
    plain = replace(draft, style=0)  # a cell that states a size is seen within text of none
    inner = html_of(plain).partition("<body>")[2].partition("</body>")[0]
    block = Raw(html=f'<p>Notice</p><div style="{chance.choice(HIDING)}">{inner}</div>')
    return _all_lost(case, replace(draft, body=(block,), frame=0, wire=replace(draft.wire, other="")))


def _all_lost(case: Case, draft: Draft) -> Mutant | None:
    """Return a mutant whose text says nothing; None where the subject alone may say enough."""
    fields = case.rule.all_fields if case.rule else ()
    needs_text = case.rule is not None and (bool(case.rule.tables) or any(map(is_needed, fields)))
    needs_text = needs_text and not (case.rule and case.rule.reads_files_only)
    return Mutant(draft=draft, must=Must.HELD) if needs_text else None


def two_notices(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Let a second notice of the kind follow, with another value everywhere."""
    found = runs(draft)
    said = _said(case, draft)
    if not said or any(isinstance(block, Raw) and block.plain for block in draft.body):
        return None
    _, run = found[0]
    pairs = tuple(
        replace(pair, value=_other_value(case, case.labels[label_of(pair.label)], pair.value, chance))
        if label_of(pair.label) in case.labels
        else pair
        for pair in run.pairs
    )
    return Mutant(
        draft=put(draft, len(draft.body), replace(run, pairs=pairs)), must=Must.HELD, reasons=("invalid", "ambiguous")
    )


def text_cut_off(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """End the mail within its label lines: what is left out is needed."""
    said = [one for one in _said(case, draft) if is_needed(one[3])]
    if not said or case.is_structured:
        return None
    place, number, _, field = chance.choice(said)
    run = draft.body[place]
    assert isinstance(run, Pairs)
    if any(other is field for at, spot, _, other in _said(case, draft) if (at, spot) < (place, number)):
        return None
    body = (*draft.body[:place], *((replace(run, pairs=run.pairs[:number]),) if number else ()))
    return Mutant(draft=replace(draft, body=body), must=Must.HELD, reasons=(*NO_VALUE, "unmatched"))


HARMFUL_LINES: Final[tuple[Mutation, ...]] = (
    label_renamed, label_misspelt, line_dropped, label_dropped, value_emptied, value_emptied_above_prose, line_hidden,
    merge_field, value_said_otherwise, value_said_otherwise_elsewhere, value_that_is_none, value_cut, values_exchanged,
    odd_unit, separator_lost, lines_joined, another_subject, unit_of_the_subject, another_sender, quoted_whole,
    hidden_whole, two_notices, text_cut_off,
)  # fmt: skip
