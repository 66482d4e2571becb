"""Changes of how words are set: bold in plain text, preformatted, struck, broken over two lines, left open."""

import html
from dataclasses import replace
from random import Random
from typing import Final

from parsers.below import fields_of_ids
from parsers.rule import From, Type
from tests.mutants.cases import Case
from tests.mutants.draft import Draft, Form, Pair, Pairs, Raw, Setting, plain_of
from tests.mutants.harmful import NO_VALUE, alone_in, with_pairs
from tests.mutants.harmless import Mutation, is_whole, old_text, put, runs, same, swap
from tests.mutants.truth import Must, Mutant

_NO_NAMES: Final = (
    "TBD", "tba", "N/A", "n.a.", "None", "null", "Unknown", "Unassigned", "To be allocated", "not yet assigned", "-",
    "--", "?", "...",
)  # fmt: skip
_UNSEEN: Final = (
    "<style>.was{display:none}</style><p class=was>{}</p>",
    "<style>@media screen{p.was{visibility:hidden}}</style><p class='was note'>{}</p>",
    "<style>#was{font-size:0 !important}</style><div id=was>{}</div>",
    "<s>{}</s>", "<p><del>{}</del></p>", "<p><strike>{}</strike></p>",
    "<p style='text-decoration:line-through'>{}</p>", "<p style='clip-path:inset(100%)'>{}</p>",
    "<p style='position:absolute;left:-9999px'>{}</p>", "<p style='color:transparent'>{}</p>",
    "<p style='opacity:0.0'>{}</p>", "<font color=white style='background:#ffffff;color:#fff'>{}</font>",
)  # fmt: skip
_STRUCK: Final = ("<s>{}</s>", "<del>{}</del>", '<span style="text-decoration: line-through">{}</span>')


def emphasis(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Put stars or low lines around labels or values, as programs do that make plain text of HTML."""
    if draft.form is not Form.PLAIN or not runs(draft):
        return None
    mark = chance.choice("*_") if case.rule and not case.rule.when.body else "*"  # to a pattern, low lines are letters
    shape = chance.randrange(3)
    for place, run in runs(draft):
        if run.setting is Setting.LINES:
            draft = swap(draft, place, replace(run, pairs=tuple(_emphasized(pair, mark, shape) for pair in run.pairs)))
    return same(draft)


def _emphasized(pair: Pair, mark: str, shape: int) -> Pair:
    if mark in pair.label + pair.value or not pair.value.strip():
        return pair
    if shape == 0:
        return replace(pair, label=f"{mark}{pair.label}{mark}")
    if shape == 1:
        return replace(pair, value=f"{mark}{pair.value}{mark}", joint=": ")
    return replace(pair, label=f"{mark}{pair.label}:{mark}", joint=" ")


def preformatted(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Set the whole text as it is in an element that shows its line breaks."""
    if not is_whole(draft) or case.is_structured:
        return None
    text = html.escape(plain_of(replace(draft, form=Form.PLAIN)))
    tag = chance.choice(("<pre>{}</pre>", "<div style='white-space:pre-wrap'>{}</div>"))
    body = (Raw(html=tag.replace("{}", text, 1)),)
    return same(replace(draft, body=body, form=Form.HTML, wire=replace(draft.wire, other="")))


def unseen_text(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Add old values that a style sheet hides, or that are struck."""
    if draft.form is not Form.HTML:
        return None
    unseen = Raw(html=chance.choice(_UNSEEN).replace("{}", old_text(case, chance), 1))
    return same(put(draft, chance.choice((0, len(draft.body))), unseen))


def value_struck(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Strike a value and write another behind it: the one that is seen counts, or the mail is held."""
    found = alone_in(case, draft, chance)
    if found is None or draft.form is not Form.HTML:
        return None
    place, number, pair, _ = found
    run = draft.body[place]
    assert isinstance(run, Pairs)
    if run.setting is not Setting.LINES:
        return None
    struck = chance.choice(_STRUCK).replace("{}", chance.choice(("Z999", "01/02/2019", "$999.99")), 1)
    rows = [f"<b>{html.escape(one.label)}</b>: {html.escape(one.value)}" for one in run.pairs if not one.hidden]
    rows[number - sum(one.hidden for one in run.pairs[:number])] = (
        f"<b>{html.escape(pair.label)}</b>: {struck} {html.escape(pair.value)}"
    )
    return same(swap(draft, place, Raw(html="<div>" + "<br>\n".join(rows) + "</div>")))


def list_broken(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Break a list over two lines of plain text."""
    if draft.form is not Form.PLAIN:
        return None
    spots = [
        (place, number, pair, field)
        for place, run in runs(draft)
        if run.setting is Setting.LINES
        for number, pair in enumerate(run.pairs)
        if (field := case.labels.get(pair.label.strip(" *_:").casefold())) is not None
        and field.type is Type.LIST
        and " " in pair.value.strip()
    ]
    if not spots:
        return None
    place, number, pair, field = chance.choice(spots)
    words = pair.value.strip().split(" ")
    cut = chance.randrange(1, len(words))
    broken = replace(pair, value=" ".join(words[:cut]) + "\n" + " ".join(words[cut:]))
    return Mutant(draft=with_pairs(draft, place, number, broken), must=Must.SAME_OR_HELD, field=field, reasons=NO_VALUE)


def placeholder_for_a_name(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Write a word for a lacking one where unit, tenant or ledger stands; another place may still say which."""
    found = alone_in(case, draft, chance)
    if found is None or case.rule is None or found[3].name not in fields_of_ids(case.rule):
        return None
    place, number, pair, field = found
    broken = with_pairs(draft, place, number, replace(pair, value=chance.choice(_NO_NAMES), joint=": "))
    by_label = all(source.kind is From.LABEL for source in field.sources)
    return Mutant(draft=broken, must=Must.HELD if by_label else Must.SAME_OR_HELD, reasons=(*NO_VALUE, "unmatched"))


HARMLESS_TYPOGRAPHY: Final[tuple[Mutation, ...]] = (emphasis, preformatted, unseen_text)
HARMFUL_TYPOGRAPHY: Final[tuple[Mutation, ...]] = (value_struck, list_broken, placeholder_for_a_name)
