"""Changes that leave what a mail says as it is: it must give the same events, with the same identities."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final, TypeAlias

from tests.mutants.cases import Case, label_of
from tests.mutants.draft import (
    FRAMES,
    STYLES,
    Block,
    Draft,
    Form,
    Grid,
    Heading,
    Note,
    Pair,
    Pairs,
    Raw,
    Setting,
    plain_of,
)
from tests.mutants.truth import Must, Mutant

Mutation: TypeAlias = Callable[[Case, Draft, Random], Mutant | None]
"""Returns None where there is nothing of the kind to change."""

JOINTS: Final = (":", ":  ", " : ", ":\u00a0", ":\u00a0\u00a0 ", ":\u200b ", " :\u2009", ":\ufeff ", "\u00a0: ")
_TABBED: Final = (":\t", "\t", ":\t ")
OTHERS: Final = (
    ("Unit Size", "10 x 15"), ("Unit Type", "Climate controlled"), ("Previous Unit", "Z999"), ("Units Available", "14"),
    ("Tenant Since", "01/02/2019"), ("Tenant ID Checked", "T-0000"), ("Alternate Contact", "Ann Example"),
    ("Ledger ID Note", "L-0000"), ("Move-In Date Changed By", "Joe"), ("Planned Move-In Date", "01/02/2019"),
    ("Balance Before", "$999.99"), ("Old Paid Through", "01/31/2019"), ("Monthly Rent", "$129.00"), ("Gate Code", "4"),
    ("Phone", "(555) 010-0199"), ("Notes", "Unit Z999 is next to this one"), ("Prepared By", "J. Doe"), ("Zone", "CT"),
    ("Insurance", "None"), ("Building", "A"), ("Auction ID Of Last Year", "0"), ("Status Page", "https://example.com/s"),
    ("Customer No. Of Guarantor", "0"), ("Lease No. Replaced", "L-0"),
)  # fmt: skip
"""Labels that are near those of rules and are none of them."""
PROSE: Final = (
    "This message was sent by an unattended mailbox. Please do not reply.",
    "Questions? Call 555-0100 between 9 and 5, or write to help@example.com.",
    "CONFIDENTIALITY NOTICE: This e-mail may hold confidential information of a tenant, unit or ledger.",
    "You get this because you manage a facility with us. Unsubscribe: https://click.example.com/u/4Tq1?unit=Z999&id=0",
    "Unit Z999 and tenant T-0000 are named in this sentence and in no event.",
    "-- \nJ. Doe\nArea Manager, Example Storage\n(555) 010-0199",
    "Sent from my phone",
    "\u00a9 2026 Example Storage Inc., 1 Main Street, Springfield",
    "Please consider the environment before printing this e-mail.",
)
HIDING: Final = (
    "display:none", "display: none !important; max-height:0; overflow:hidden", "visibility:hidden", "font-size:0",
    "font-size:1px;line-height:1px", "opacity:0", "mso-hide:all", "max-height:0px;overflow:hidden",
    "color:#fff;background:#fff",
)  # fmt: skip
_OLD: Final = ("Z999", "T-0000", "01/02/2019", "2019-02-01", "$999.99", "L-0000")


def same(draft: Draft) -> Mutant:
    return Mutant(draft=draft, must=Must.SAME)


def put(draft: Draft, place: int, block: Block) -> Draft:
    """Return a draft with one more block."""
    return replace(draft, body=(*draft.body[:place], block, *draft.body[place:]))


def swap(draft: Draft, place: int, block: Block) -> Draft:
    """Return a draft with another block at a place."""
    return replace(draft, body=(*draft.body[:place], block, *draft.body[place + 1 :]))


def runs(draft: Draft) -> list[tuple[int, Pairs]]:
    """Return the runs of label lines, by their places."""
    return [(place, block) for place, block in enumerate(draft.body) if isinstance(block, Pairs)]


def grids(draft: Draft) -> list[tuple[int, Grid]]:
    """Return the tables, by their places."""
    return [(place, block) for place, block in enumerate(draft.body) if isinstance(block, Grid)]


def edges(case: Case, draft: Draft) -> list[int]:
    """Return where a paragraph may stand: between two blocks of which none is of a table or history."""
    places = range(len(draft.body) + 1)
    if (case.rule is not None and case.rule.tables) or grids(draft):
        return [0, len(draft.body)]
    return list(places)


def is_whole(draft: Draft) -> bool:
    """Say whether every block can be set otherwise than it is."""
    return not any(isinstance(block, Raw) and block.is_seen for block in draft.body)


def is_unknown(case: Case, text: str) -> bool:
    """Say whether a text bears on no condition of the rules that the sender may speak for."""
    packs = [case.rules.packs[case.rule.pack]] if case.rule else case.rules.packs.values()
    conditions = [one for pack in packs for rule in pack.rules for one in (*rule.when.body, *rule.when.absent)]
    return not any(one.found(text) for one in conditions)


def others(case: Case) -> list[tuple[str, str]]:
    """Return labels that no field of the rule knows, each with a value."""
    taken = set(case.labels) | {"facility", "property name"}
    return [(label, value) for label, value in OTHERS if label_of(label) not in taken and is_unknown(case, label)]


def _each_pair(draft: Draft, change: Callable[[Pair], Pair]) -> Draft:
    body = tuple(
        replace(block, pairs=tuple(map(change, block.pairs))) if isinstance(block, Pairs) else block
        for block in draft.body
    )
    return replace(draft, body=body)


def lines_in_another_order(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = [(place, run) for place, run in runs(draft) if len(run.pairs) > 1]
    for place, run in found:
        draft = swap(draft, place, replace(run, pairs=tuple(chance.sample(run.pairs, len(run.pairs)))))
    return same(draft) if found else None


def line_said_twice(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = runs(draft)
    if not found:
        return None
    place, run = chance.choice(found)
    pairs = list(run.pairs)
    pairs.insert(chance.randint(0, len(pairs)), chance.choice(pairs))
    return same(swap(draft, place, replace(run, pairs=tuple(pairs))))


def other_lines(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found, known = runs(draft), others(case)
    if not found or not known:
        return None
    place, run = chance.choice(found)
    pairs = list(run.pairs)
    for label, value in chance.sample(known, chance.randint(1, min(4, len(known)))):
        pairs.insert(chance.randint(0, len(pairs)), Pair(label=label, value=value))
    return same(swap(draft, place, replace(run, pairs=tuple(pairs))))


def other_paragraphs(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    for text in chance.sample(PROSE, chance.randint(1, 3)):
        if is_unknown(case, text):
            draft = put(draft, chance.choice(edges(case, draft)), Note(text=text))
    return same(draft)


def spaces(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    joints = (*JOINTS, *_TABBED) if draft.form is Form.PLAIN else JOINTS
    return same(_each_pair(draft, lambda pair: replace(pair, joint=chance.choice(joints)))) if runs(draft) else None


def case_of_labels(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    change = chance.choice((str.upper, str.lower, str.title, str.swapcase))
    return same(_each_pair(draft, lambda pair: replace(pair, label=change(pair.label)))) if runs(draft) else None


def bullets(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    if not runs(draft):
        return None
    bullet = chance.choice(("* ", "- ", "\u2022 ", "\u00b7 "))
    return same(_each_pair(draft, lambda pair: replace(pair, bullet=bullet)))


def another_setting(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = [(place, run) for place, run in runs(draft) if run.setting is not Setting.STACKED]
    for place, run in found:
        setting = chance.choice((Setting.LINES, Setting.ROWS, Setting.ITEMS))
        draft = swap(draft, place, replace(run, setting=setting))
    for place, grid in grids(draft):
        setting = chance.choice((Setting.COLUMNS, Setting.TABS, Setting.BARS))
        draft = swap(draft, place, replace(grid, setting=setting))
    return same(draft) if found or grids(draft) else None


def stacked(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Set every value below its label."""
    found = runs(draft)
    for place, run in found:
        draft = swap(draft, place, replace(run, setting=Setting.STACKED))
    return same(draft) if found else None


def text_as_html_or_html_as_text(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    if not is_whole(draft) or case.is_structured:
        return None
    form = Form.HTML if draft.form is Form.PLAIN else Form.PLAIN
    draft = _each_pair(draft, lambda pair: replace(pair, joint=pair.joint if ":" in pair.joint else ": "))
    return same(replace(draft, form=form, wire=replace(draft.wire, other="")))


def style_of_cells(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    return same(replace(draft, style=chance.randrange(1, len(STYLES)))) if draft.form is Form.HTML else None


def frame(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    return same(replace(draft, frame=chance.randrange(1, len(FRAMES)))) if draft.form is Form.HTML else None


def old_text(case: Case, chance: Random) -> str:
    """Return values of another time, behind labels that the rule knows."""
    labels = chance.sample(sorted(case.labels), min(3, len(case.labels))) or ["unit"]
    return " ".join(f"{label.title()}: {chance.choice(_OLD)}" for label in labels)


def hidden_text(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    if draft.form is not Form.HTML:
        return None
    tag, style = chance.choice(("div", "span", "p")), chance.choice(HIDING)
    attribute = chance.choice((f'style="{style}"', f'class="preheader" style="{style};color:#ffffff"', "hidden"))
    hidden = Raw(html=f"<{tag} {attribute}>{old_text(case, chance)}</{tag}>")
    return same(put(draft, chance.choice((0, len(draft.body))), hidden))


def hidden_line(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = runs(draft)
    if draft.form is not Form.HTML or not found or not case.labels:
        return None
    place, run = chance.choice(found)
    pairs = list(run.pairs)
    old = Pair(label=chance.choice(sorted(case.labels)), value=chance.choice(_OLD), hidden=True)
    pairs.insert(chance.randint(0, len(pairs)), old)
    return same(swap(draft, place, replace(run, pairs=tuple(pairs))))


def comment(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    if draft.form is not Form.HTML:
        return None
    place = chance.randint(0, len(draft.body))
    return same(put(draft, place, Raw(html=f"<!-- {old_text(case, chance)} -->")))


def quoted_history(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    old = "\n".join(f"{label.title()}: {chance.choice(_OLD)}" for label in sorted(case.labels)) or "Unit: Z999"
    cited = "\n".join(f"> {line}" for line in old.splitlines())
    sent = (
        "From: someone@example.com\nSent: Wednesday, January 2, 2019 9:00 AM\nTo: office@example.com\nSubject: Notice"
    )
    plain = chance.choice(
        (
            f"On Wed, Jan 2, 2019 at 9:00 AM Someone <someone@example.com> wrote:\n{cited}",
            f"-----Original Message-----\n{sent}\n\n{old}",
            f"{sent}\n\n{old}",
            cited,
        )
    )
    lines = old.replace("\n", "<br>")
    quote = chance.choice(
        (
            f'<div class="gmail_quote">On Wed, Jan 2, 2019 Someone wrote:<br>{lines}</div>',
            f'<blockquote type="cite">{lines}</blockquote>',
            f'<div id="divRplyFwdMsg">From: someone@example.com<br>Sent: January 2, 2019</div><div>{lines}</div>',
            f'<div class="yahoo_quoted">{lines}</div>',
        )
    )
    return same(put(draft, len(draft.body), Raw(html=quote, plain=plain)))


def charset_and_transfer(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    charset = chance.choice(("utf-8", "windows-1252", "iso-8859-1", "utf-16", "us-ascii"))
    transfers = ("base64",) if charset == "utf-16" else ("8bit", "base64", "quoted-printable")
    wire = replace(
        draft.wire, charset=charset, transfer=chance.choice(transfers), encodes_subject=chance.random() < 0.5
    )
    return same(replace(draft, wire=wire))


def text_beside_html(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    if draft.form is not Form.HTML:
        return None
    stub = "This message is best read as HTML."
    other = chance.choice((stub, plain_of(draft))) if is_whole(draft) else stub
    return same(replace(draft, wire=replace(draft.wire, other=other)))


def outside_warning(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    warning = chance.choice(
        (
            "CAUTION: This email originated from outside the organization. Do not click links.",
            "[EXTERNAL EMAIL] Take care with links and attachments.",
        )
    )
    subject = f"{chance.choice(('[EXTERNAL] ', '[EXT] ', 'EXTERNAL: ', '[External Sender] '))}{draft.subject}"
    return same(put(replace(draft, subject=subject), 0, Note(text=warning)))


def links_and_pictures(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    url = f"https://urldefense.example.com/v3/__{chance.getrandbits(64):x}__;!!unit=Z999"
    raw = Raw(html=chance.choice((
        f'<p><a href="{url}">View in the portal</a></p>',
        f'<img src="{url}" width="1" height="1" alt="">',
        f'<div style="text-align:center"><a href="{url}"><img src="{url}" alt="Logo"></a></div>',
    )), plain=chance.choice((f"View in the portal <{url}>", f"[Logo]<{url}>", url)))  # fmt: skip
    return same(put(draft, chance.choice((0, len(draft.body))), raw))


def other_headers(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    more = (
        ("X-Mailer", "Example 1.0"), ("Precedence", "bulk"), ("List-Unsubscribe", "<https://example.com/u>"),
        ("X-Unit", "Z999"), ("Auto-Submitted", "auto-generated"), ("X-Spam-Status", "No"), ("Importance", "high"),
        ("X-Forwarded-For", "office@example.com"),
    )  # fmt: skip
    return same(replace(draft, head=(*chance.sample(more, chance.randint(1, 4)), *draft.head)))


def blank_lines(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    return same(replace(draft, gap=chance.choice(("\n\n\n", "\n \n", "\n\n\n\n\n", "\n\t\n", "\n\u00a0\n"))))


def columns_in_another_order(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = [(place, grid) for place, grid in grids(draft) if len({len(row) for row in grid.rows}) == 1]
    for place, grid in found:
        order = chance.sample(range(len(grid.rows[0])), len(grid.rows[0]))
        rows = tuple(tuple(row[column] for column in order) for row in grid.rows)
        draft = swap(draft, place, replace(grid, rows=rows))
    return same(draft) if found else None


def other_column(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = [(place, grid) for place, grid in grids(draft) if len({len(row) for row in grid.rows}) == 1]
    if not found:
        return None
    place, grid = chance.choice(found)
    column = chance.randint(0, len(grid.rows[0]))
    title = chance.choice(("Unit Size", "Rate", "Previous Unit", "Stage"))
    texts = (title, *("Z9" if all(row) else "" for row in grid.rows[1:]))
    rows = tuple((*row[:column], text, *row[column:]) for row, text in zip(grid.rows, texts, strict=True))
    return same(swap(draft, place, replace(grid, rows=rows)))


def rows_in_another_order(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = [(place, grid) for place, grid in grids(draft) if len(grid.rows) > 2]
    for place, grid in found:
        head, *rows = grid.rows
        draft = swap(draft, place, replace(grid, rows=(head, *chance.sample(rows, len(rows)))))
    return Mutant(draft=draft, must=Must.SAME_ROWS) if found else None


def case_of_columns(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = grids(draft)
    change = chance.choice((str.upper, str.lower, str.swapcase))
    for place, grid in found:
        head, *rows = grid.rows
        draft = swap(draft, place, replace(grid, rows=(tuple(map(change, head)), *rows)))
    return same(draft) if found else None


def case_of_headings(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    change = chance.choice((str.upper, str.lower, str.title))

    def changed(block: Block) -> Block:
        if isinstance(block, Heading | Note) and label_of(block.text) in case.headings:
            return replace(block, text=change(block.text))
        return block

    body = tuple(map(changed, draft.body))
    return same(replace(draft, body=body)) if body != draft.body else None


HARMLESS: Final[tuple[Mutation, ...]] = (
    lines_in_another_order, line_said_twice, other_lines, other_paragraphs, spaces, case_of_labels, bullets,
    another_setting, stacked, text_as_html_or_html_as_text, style_of_cells, frame, hidden_text, hidden_line, comment,
    quoted_history, charset_and_transfer, text_beside_html, outside_warning, links_and_pictures, other_headers,
    blank_lines, columns_in_another_order, other_column, rows_in_another_order, case_of_columns, case_of_headings,
)  # fmt: skip
