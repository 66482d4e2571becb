"""Forwards: the lines of a mail to those of the mail inside, with the header that each forward wrote above it.

What stands above a forwarded mail (the note of the person who forwards) and below the first history in it is left out.
A forward is told by the line that mail programs put there (``---------- Forwarded message ---------``, ``Begin
forwarded message:``), or, where they put none (Outlook), by a whole header in the text of a mail whose subject says
that it is a forward. Where the one is there and the other does not fit, the mail is in doubt, and held.
"""

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple

from parsers.headwords import DATE, FROM, SUBJECT, head_word
from parsers.pattern import PatternSet
from parsers.text import Line, begins_history, find_attribution

MAX_FORWARDS: Final = 8
"""How many forwards may be around one mail."""
MAX_HEAD: Final = 16
_MAX_FOLDS: Final = 3
_MAX_ADDRESS: Final = 320

_FORWARDED = re.compile(r"(?:fwd?|wg|tr|rv|reenv)\s?:", re.IGNORECASE)
_REPLIED = re.compile(r"(?:re|aw|antw|réf|réponse)\s?(?:\[\d+\])?:", re.IGNORECASE)
_SEPARATOR = re.compile(
    r"-{2,}\s*(?:forwarded message|weitergeleitete (?:nachricht|e-?mail)|(?:message|e-?mail)"
    r" (?:transféré|réexpédié|transmis)e?"
    r"|(?:mensaje|correo) reenviado)\s*-{2,}"
    r"|(?:begin forwarded message|(?:anfang|beginn) der weitergeleiteten (?:nachricht|e-?mail)"
    r"|début du message (?:transféré|réexpédié)|(?:inicio|comienzo) del mensaje reenviado)\s*:",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"-{2,}\s*(?:original(?: message|nachricht)|ursprüngliche nachricht|message d.origine"
    r"|mensaje original|messaggio originale|oorspronkelijk bericht|mensagem original)\s*-{2,}|_{10,}",
    re.IGNORECASE,
)
_WARNING_TAG = re.compile(r"(?:(?:\[(?:external|ext|caution)[^\]]{0,40}\]|external:|caution:)\s*)+", re.IGNORECASE)
STEMS: Final = r"forwarded message|weitergeleitete|transf.{1,10}r|r.{1,10}exp.{1,10}di|transmise? ?-|reenviado"
"""What stands in every text that holds a separator, in HTML also with its letters written as entities."""
_STEMS = PatternSet([STEMS])
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}"
_ADDRESS = re.compile(
    rf"(?<![A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.-])({_LOCAL})@([A-Za-z0-9-]{{1,63}}(?:\.[A-Za-z0-9-]{{1,63}})+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The header that a mail program wrote above the mail that it forwards."""

    sender: str
    date: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwrapped:
    """What is inside the forwards of a text."""

    lines: list[Line]
    heads: tuple[Head, ...] = ()
    """The header of each mail inside, the outermost forward's first."""
    history: bool = False
    """Whether something stood below, which was left out."""
    doubt: str | None = None
    """Why it cannot be known what was forwarded; None when there is no doubt."""


def says_forwarded(subject: str) -> bool:
    """Return whether a subject, without warning tags, is that of a forward."""
    return _FORWARDED.match(subject) is not None


def may_hold_forward(text: str) -> bool:
    """Return whether a text may hold the line that begins a forward: a cheap look."""
    return bool(_STEMS.found(text))


def sender_in(text: str) -> str | None:
    """Return the one address that a written From names; None with none, two, or anything that could be a second."""
    if len(text) > _MAX_ADDRESS:
        return None
    seen = [f"{match[1]}@{match[2].lower()}" for match in _ADDRESS.finditer(text.replace("mailto:", " "))]
    return seen[0] if len(set(seen)) == 1 and text.count("@") == len(seen) else None


def opens_forward(lines: list[Line]) -> bool:
    """Return whether a quoted block begins as a forwarded mail does."""
    if not lines:
        return False
    return _SEPARATOR.fullmatch(lines[0].text) is not None or _head_at(lines, 0, folded=False) is not None


def unwrap(lines: list[Line], subject: str, *, folded: bool) -> Unwrapped:
    """Return the mail inside all forwards of some lines; `folded`: long header lines may go on in the next line."""
    heads: list[Head] = []
    while True:
        step = _unwrap_once(lines, subject, folded=folded)
        lines = step.lines
        if step.doubt or not step.heads:
            return replace(step, heads=tuple(heads))
        heads += step.heads
        subject = without_tags(step.heads[0].subject)
        if len(heads) > MAX_FORWARDS:
            return Unwrapped(lines=lines, heads=tuple(heads), doubt=f"it was forwarded more than {MAX_FORWARDS} times")


def without_tags(subject: str) -> str:
    """Return a subject without the warning tags that a gateway put before it."""
    match = _WARNING_TAG.match(subject)
    return subject[match.end() :] if match else subject


class _Kind(Enum):
    FORWARD = "the line that begins a forward"
    HEAD = "a header without such a line"
    HISTORY = "the history of a reply"


class _Mark(NamedTuple):
    """The first line at which something else begins than the mail's own text."""

    kind: _Kind
    line: int
    head: int
    """Where the header begins, if there is one."""
    quoted: bool = False
    """Whether the header stands behind ``>``."""


def _unwrap_once(lines: list[Line], subject: str, *, folded: bool) -> Unwrapped:
    """Return what is below the first forward; the text's own lines, and no heads, where there is none."""
    mark = _first_mark(lines, folded=folded)
    if mark is None:
        return Unwrapped(lines=_unquoted(lines))
    above = _unquoted(lines[: mark.line])
    says = says_forwarded(subject)
    bare = mark.kind is _Kind.FORWARD and not above and not _REPLIED.match(subject)
    if not says and not bare:
        return Unwrapped(lines=above, history=True)
    if mark.kind is _Kind.HISTORY:
        return Unwrapped(lines=above, doubt="its subject says that it is a forward, and its text is that of a reply")
    below, torn = _dequoted(lines[mark.head :]) if mark.quoted else (lines[mark.head :], False)
    found = _head_at(below, 0, folded=folded, least=(FROM,) if mark.kind is _Kind.FORWARD else (FROM, DATE, SUBJECT))
    if found is None:
        return Unwrapped(lines=above, doubt="the header of the mail that it forwards cannot be read")
    if torn:
        return Unwrapped(lines=above, doubt="the mail that it forwards is quoted in pieces")
    head, end = found
    return Unwrapped(lines=below[end:], heads=(head,))


def _first_mark(lines: list[Line], *, folded: bool) -> _Mark | None:
    for number, line in enumerate(lines):
        text = line.text
        if text[0] == ">":
            bare = text[1:].lstrip()
            if _SEPARATOR.fullmatch(bare):
                return _Mark(_Kind.FORWARD, number, number + 1, quoted=True)
        elif text[-1] in ":-" and _SEPARATOR.fullmatch(text):
            quoted = number + 1 < len(lines) and lines[number + 1].text[0] == ">"
            return _Mark(_Kind.FORWARD, number, number + 1, quoted=quoted)
        elif text[-1] in ":-_" and _ORIGINAL.fullmatch(text):
            if _head_at(lines, number + 1, folded=folded):
                return _Mark(_Kind.HEAD, number, number + 1)
            if text[-1] != "_":
                return _Mark(_Kind.HISTORY, number, number)
        elif text[-1] == ":" and (start := find_attribution(lines, number)) is not None:
            return _Mark(_Kind.HISTORY, start, start)
        elif (word := head_word(text)) is not None and word[0] == FROM:
            if _head_at(lines, number, folded=folded):
                return _Mark(_Kind.HEAD, number, number)
            if begins_history(lines, number):
                return _Mark(_Kind.HISTORY, number, number)
        elif text[0] in "DdVv*" and begins_history(lines, number):
            return _Mark(_Kind.HISTORY, number, number)
    return None


def _head_at(
    lines: list[Line], start: int, *, folded: bool, least: tuple[str, ...] = (FROM, DATE, SUBJECT)
) -> tuple[Head, int] | None:
    """Return the header that begins at a line, and the number of the line below it; None when there is no whole one.

    None, too, where From, Date or Subject stands twice and says different things.

    It ends at a blank line, or, where lines are not folded, at the first line that is none of it.
    """
    found: dict[str, str] = {}
    last, folds, number = "", 0, start
    for number in range(start, min(start + MAX_HEAD, len(lines))):
        line = lines[number]
        if line.gap and number > start:
            break
        word = head_word(line.text)
        if word is not None and word[0] in (FROM, DATE, SUBJECT) and found.get(word[0], word[1]) != word[1]:
            return None  # it says two things: which one is the mail's?
        if word is not None and (word[0] not in found or word[0] not in (FROM, DATE, SUBJECT)):
            last = word[0]
            found[last] = word[1]
        elif word is None and not last:
            return None
        elif not folded:
            break
        else:
            folds += 1
            if folds > _MAX_FOLDS or _is_label(line.text):
                return None
            found[last] += f" {line.text}"
    else:
        number += 1
    if number - start >= MAX_HEAD or not all(found.get(name) for name in least):
        return None
    return Head(sender=found[FROM], date=found.get(DATE, ""), subject=found.get(SUBJECT, "")), number


def _is_label(text: str) -> bool:
    head, colon, _ = text.partition(":")
    return bool(colon) and head[:1].isalpha() and "@" not in head and "<" not in head


def _unquoted(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line.text[0] != ">"]


def _dequoted(lines: list[Line]) -> tuple[list[Line], bool]:
    """Return the first run of lines behind ``>``, one level less deep, and whether another run follows."""
    found: list[Line] = []
    gap = False
    for number, line in enumerate(lines):
        if line.text[0] != ">":
            return found, any(rest.text[0] == ">" for rest in lines[number:])
        cells = [cell for cell in (line.cells[0][1:].lstrip(), *line.cells[1:]) if cell]
        if cells:
            text = line.text[1:].lstrip()
            raw = line.raw.partition(">")[2].removeprefix(" ")
            found.append(line._replace(text=text, cells=tuple(cells), gap=gap or line.gap, raw=raw))
        gap = not cells
    return found, False
