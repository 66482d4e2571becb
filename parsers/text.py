"""Readable text: the one normal form that rules see, the same for plain text and HTML.

A line is a row of cells; most lines have one. No line is blank: whether a blank stood above is kept in `gap`.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple

from parsers.errors import Unreadable
from parsers.headwords import DATE, FROM, SUBJECT, head_word

CELL = "\t"
"""What joins the cells of a row in a line's text, so that a pattern's ``\\s`` passes it."""

MAX_TEXT = 256 * 1024
"""The longest readable text of a mail, in characters."""

MAX_MARKS = 30
"""The longest run of combining marks (UAX #15, Stream-Safe Text Format)."""

MAX_LINES = 5_000
"""The most readable lines of a mail."""

_UNUSUAL = re.compile(r"[^ -~¡-§©«¬®°±¶·»¿-ÿ–—‘’“”†‡•€]")
"""What may be written otherwise in the normal form: all but ASCII, the letters of Western Europe and common signs."""
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
_MAYBE_MARKS = re.compile(f"[^\0-\u02ff]{{{MAX_MARKS + 1}}}")
"""A run that may be of combining marks: none stands below U+0300."""
_NO_MARKS = dict.fromkeys(range(4))
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_QUOTE_HEAD = re.compile(
    r"-{2,}\s*(?:original(?: message|nachricht)|forwarded message|ursprüngliche nachricht|message d.origine"
    r"|mensaje original|messaggio originale|oorspronkelijk bericht|mensagem original)\s*-{2,}|begin forwarded message:",
    re.IGNORECASE,
)
_ATTRIBUTION = re.compile(
    r"on .{5,200} wrote\s?:|am .{5,200} schrieb.{0,100}:|le .{5,200} a écrit\s?:|el .{5,200} escribió\s?:"
    r"|il .{5,200} ha scritto\s?:|op .{5,200} (?:schreef.{0,100}|geschreven\s?):|(?:em|no|às) .{5,200} escreveu\s?:"
    r"|\S.{0,200} escreveu \(.{5,80}\)\s?:",
    re.IGNORECASE,
)
_TELLS_TIME = re.compile(r"\d[:h]\d\d|\d.*@")
"""What makes a sentence over several lines an attribution: an hour, or a number and an address."""
_MAX_ATTRIBUTION: Final = 3
_BULLETS = " *•·-–_:"
_HISTORY = (
    ("from:", "sent:"), ("from:", "date:"), ("von:", "gesendet:"), ("de:", "envoyé:"), ("de:", "enviad"),
    ("da:", "inviato:"), ("van:", "verzonden:"),
)  # fmt: skip
"""How the header of an older mail begins: with one word, and with the other one or two lines below."""
_MAX_HISTORY_HEAD: Final = 6


class Line(NamedTuple):
    """One line of readable text."""

    text: str
    cells: tuple[str, ...]
    gap: bool = False
    """Whether a blank line stood above."""
    header: bool = False
    """Whether the row holds column headings, so that no cell is the value of its neighbour."""
    apart: int = 0
    """Of how many cells that stand beside others the line was taken out, at most 3: the line below says nothing of
    such a line."""
    raw: str = ""
    """A line of plain text as it is set, where a table would have other cells than `cells`: it holds empty ones, or
    bars or runs of spaces part them."""
    beside: int = 0
    """How many lines, which stand below, the one cell beside holds that may be the value of this one; else 0."""


def normal(text: str) -> str:
    """Return `text` in the normal form.

    NFKC, no zero-width characters, every run of white space as one space, none at the ends; what no text holds
    (controls, lone surrogates) as U+FFFD.
    """
    text = " ".join(text.split())
    if (text.isascii() and text.isprintable()) or not _UNUSUAL.search(text):
        return text
    seen = _IGNORABLE.sub("", text)
    # A mark takes two octets or more, so most texts cannot hold too many.
    if len(seen.encode("utf-8", "surrogatepass")) > len(seen) + MAX_MARKS and _MAYBE_MARKS.search(seen):
        _check_marks(seen)
    seen = unicodedata.normalize("NFKC", seen)
    if seen != text:
        seen = " ".join(seen.split())
    return seen if seen.isprintable() else _CONTROL.sub("\ufffd", seen)


def normal_marked(text: str) -> str:
    """Return a text whose pieces each begin with a mark (U+0000 and one of U+0001 to U+0003), each in the normal form.

    All at once where all are plain ASCII. What stands before the first mark is left out.
    """
    plain = " ".join(text[text.find("\0") :].split())
    if plain.isascii():
        bare = plain.translate(_NO_MARKS)
        if bare.isprintable() and len(bare) + 2 * plain.count("\0") == len(plain):
            return plain.replace(" \0", "\0").replace("\1 ", "\1").replace("\2 ", "\2").replace("\3 ", "\3")
    return "".join([f"\0{piece[0]}{normal(piece[1:])}" for piece in text.split("\0")[1:]])


def _check_marks(text: str) -> None:
    """Raise Unreadable for a run of combining marks that no script has: normalizing sorts it in quadratic time."""
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > MAX_MARKS:
            raise Unreadable(f"a character carries more than {MAX_MARKS} combining marks")


def line_of(cells: Sequence[str], *, gap: bool = False, header: bool = False, apart: bool = False) -> Line | None:
    """Return the line of some cells that are normal already; None when all are empty."""
    text = cells[0] if len(cells) == 1 else CELL.join(cells).strip()
    return Line(text, tuple(cells), gap, header, apart) if text else None


def mark_label(lines: list[Line], beside: Sequence[Line]) -> None:
    """Note in the last of some lines how many lines stand beside it, if they are several that may be its value."""
    if lines and len(lines[-1].cells) == 1 and len(beside) > 1 and all(len(line.cells) == 1 for line in beside):
        lines[-1] = lines[-1]._replace(beside=len(beside))


def plain_lines(text: str, *, flowed: bool = False, whole: bool = False) -> list[Line]:
    """Return the readable lines of a plain text: tabs part cells, quoted history is left out unless `whole`."""
    if flowed:
        text = re.sub(r"(?<!^--) \r?\n(?!>)", " ", text, flags=re.MULTILINE)
    if len(text) > MAX_TEXT or text.count("\n") > 4 * MAX_LINES:
        raise Unreadable(f"a plain text is longer than {MAX_TEXT} characters or {4 * MAX_LINES} lines")
    lines: list[Line] = []
    gap = False
    for raw in text.splitlines():
        cells = [cell for piece in raw.split("\t") if (cell := normal(piece))]
        line = line_of(cells, gap=gap) if cells else None
        gap = line is None
        if line is not None:
            set_otherwise = "  " in raw or "|" in raw or "\t\t" in raw or raw[0] == "\t" or raw[-1] == "\t"
            lines.append(line._replace(raw=raw) if set_otherwise else line)
    return lines if whole else without_history(lines)


def without_history(lines: list[Line]) -> list[Line]:
    """Return the lines above the quoted history of a reply, without those that are quoted by ``>``."""
    end = len(lines)
    quoted = False
    for number, line in enumerate(lines):
        text = line.text
        if text[0] in ">FfVvDd*" or text[-1] in ":-":
            if text[0] == ">":
                quoted = True
            elif _QUOTE_HEAD.fullmatch(text) or begins_history(lines, number):
                end = number
                break
            elif text[-1] == ":" and (start := find_attribution(lines, number)) is not None:
                end = start
                break
    return [line for line in lines[:end] if line.text[0] != ">"] if quoted else lines[:end]


def find_attribution(lines: list[Line], number: int) -> int | None:
    """Return the line where the attribution of a quote (``On … wrote:``) begins that ends in a line; None if none does.

    Mail programs break it over up to three lines.
    """
    text = lines[number].text
    if _ATTRIBUTION.fullmatch(text):
        return number
    if not _may_end_attribution(text):
        return None
    for start in range(number - 1, max(-1, number - _MAX_ATTRIBUTION), -1):
        if lines[start + 1].gap:
            return None
        text = f"{lines[start].text} {text}"
        if _ATTRIBUTION.fullmatch(text) and _TELLS_TIME.search(text):
            return start
    return None


def _may_end_attribution(text: str) -> bool:
    end = text[-12:].replace(" :", ":").casefold()
    return end.endswith(("wrote:", "écrit:", "escribió:", "scritto:", "geschreven:", "escreveu:", ">:", ")"))


def begins_history(lines: list[Line], number: int) -> bool:
    """Return whether the header of an older mail begins at a line, as Outlook puts it above what it quotes."""
    head = _bare(lines[number].text)
    below = [line.text for line in lines[number + 1 : number + _MAX_HISTORY_HEAD]]
    if any(
        head.startswith(word) and any(_bare(text).startswith(next_word) for text in below[:2])
        for word, next_word in _HISTORY
    ):
        return True
    first = head_word(lines[number].text)
    if first is None or first[0] != FROM:
        return False
    return {DATE, SUBJECT} <= {word[0] for text in below if (word := head_word(text))}


def _bare(text: str) -> str:
    """Return a header's line without the stars of a bold word and the space before its colon."""
    return text[:40].replace("*", "").replace(" :", ":").lstrip().casefold()


def label_key(text: str) -> str:
    """Return what two spellings of one label, each normal already, share: case, bullets and colon do not count."""
    return text.casefold().strip(_BULLETS)


def label_keys(texts: Sequence[str]) -> list[str]:
    """Return the label key of each text."""
    return [key.strip(_BULLETS) for key in "\n".join(texts).casefold().split("\n")] if texts else []
