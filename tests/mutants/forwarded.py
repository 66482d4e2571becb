"""Changes of the header that a mail program writes above a mail that it forwards."""

import email
import html
from dataclasses import replace
from random import Random
from typing import Final

from parsers import Mail, read_mail
from parsers.dress import DRESSINGS, dress
from tests.mutants.cases import Case, draft_of
from tests.mutants.draft import Draft, Form, Raw, octets_of
from tests.mutants.harmless import Mutation
from tests.mutants.subjects import TAKING_BACK, states_values_only
from tests.mutants.truth import Must, Mutant

FORWARDS: Final = tuple(name for name in DRESSINGS if "-forward" in name and name != "auto-forward")
_STRANGERS: Final = ("someone@gmail.com", "notices@sitelink.com.example.com", "a@xsitelink.com")
_NO_DATES: Final = ("", "soon", "Friday", "00/00/0000", "31 Feb 2026 10:00")
_DECOYS: Final = (
    "From: Someone <someone@gmail.com>", "Subject: Move Out Notification", "Date: Wed, 02 Jan 2019 03:04:00 -0600",
    "Sent: Wednesday, January 2, 2019 3:04 AM", "Cc: office@gmail.com", "Betreff: Storno", "Reply-To: a@gmail.com",
)  # fmt: skip


def _forward(case: Case, draft: Draft, chance: Random) -> tuple[Draft, Mail] | None:
    """Return a forward of a mail that tells events, and the mail that is read in it; None where none is."""
    if not case.is_told or case.is_structured:
        return None
    octets = dress(octets_of(draft), chance.choice(FORWARDS))
    mail = read_mail(octets)
    found = draft_of(email.message_from_bytes(octets), is_fine=False)
    return (found, mail) if mail.chain and mail.doubt is None else None


def _said(draft: Draft, old: str, new: str, *, is_line: bool = False) -> Draft | None:
    """Return a forward whose header says something else, or one line more; None where it cannot be found there."""
    block = draft.body[0]
    if not isinstance(block, Raw) or not old:
        return None
    if draft.form is Form.PLAIN:
        return _swapped(draft, block.plain.replace(old, f"{old}\n{new}" if is_line else new, 1), block.plain)
    before, after = html.escape(old, quote=False), html.escape(new, quote=False)
    return _swapped(draft, block.html.replace(before, f"{before}<br>{after}" if is_line else after, 1), block.html)


def _swapped(draft: Draft, text: str, before: str) -> Draft | None:
    if text == before:
        return None
    block = Raw(plain=text, is_seen=True) if draft.form is Form.PLAIN else Raw(html=text, is_seen=True)
    return replace(draft, body=(block,))


def forwarded_subject_taken_back(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Let the subject of the mail inside take back what it tells, while that of the forward does not."""
    found = _forward(case, draft, chance)
    if found is None or states_values_only(case):
        return None
    word = chance.choice(TAKING_BACK)
    subject = chance.choice((f"{found[1].subject} - {word}", f"{word}: {found[1].subject}"))
    changed = _said(found[0], found[1].subject, subject)
    return Mutant(draft=changed, must=Must.HELD) if changed else None


def forwarded_sender_changed(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _forward(case, draft, chance)
    address = found[1].from_address if found else None
    if found is None or address is None:
        return None
    other = chance.choice((*_STRANGERS, address.partition("@")[0], ""))
    changed = _said(found[0], address, other)
    if changed and found[0].form is Form.HTML:  # the link beside the text says it, too
        again = _said(changed, address, other)
        changed = again or changed
    return Mutant(draft=changed, must=Must.HELD) if changed else None


def forwarded_date_lost(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    found = _forward(case, draft, chance)
    dates = found[1].headers.get("date", ()) if found else ()
    if found is None or not dates:
        return None
    changed = _said(found[0], dates[0], chance.choice(_NO_DATES))
    return Mutant(draft=changed, must=Must.HELD) if changed else None


def forwarded_header_said_more(case: Case, draft: Draft, chance: Random) -> Mutant | None:
    """Put a second line of its kind below a line of the header, which names another sender, subject or date."""
    found = _forward(case, draft, chance)
    if found is None:
        return None
    changed = _said(found[0], found[1].subject, chance.choice(_DECOYS), is_line=True)
    return Mutant(draft=changed, must=Must.SAME_OR_HELD) if changed else None


HARMFUL_FORWARDS: Final[tuple[Mutation, ...]] = (
    forwarded_subject_taken_back, forwarded_sender_changed, forwarded_date_lost, forwarded_header_said_more,
)  # fmt: skip
