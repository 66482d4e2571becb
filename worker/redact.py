"""Redact a mail: the same structure and the same reading, with invented people, ids, amounts and links.

The result is proven before it is given out: it is read with the same rules, and must say the same up to what was
replaced. Where it does not, nothing is given out and the differences are told.

Errors:
    NotRedacted(Exception)    the mail cannot be redacted, or the result says something else; says what and where
"""

import datetime as dt
import hashlib
import html
import quopri
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.base64mime import body_encode
from email.generator import BytesGenerator
from email.header import Header
from email.message import Message
from email.utils import format_datetime
from io import BytesIO
from typing import Any, Final, cast

from parsers import Mailbox, Reading, RuleSet, Unreadable, parse_mail, read_mail
from parsers.body import header_text
from parsers.charset import decode
from parsers.mail import Mail
from parsers.rule import From, Rule, Type
from parsers.text import Line
from worker.disguise import ROLES, Disguise
from worker.personal import Vocabulary, names_in, vocabulary_of

_KEPT: Final = (
    "date",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-id",
)
_PEOPLE: Final = ("from", "sender", "reply-to", "to", "cc", "delivered-to")
_TEXTUAL = re.compile(r"text/.*|application/(?:json|ld\+json|csv)|message/delivery-status")
_FILENAME = re.compile(r'(\b(?:file)?name\*?\s*=\s*)("[^"]*"|[^;\s]+)', re.IGNORECASE)
_MARKUP = re.compile(
    r"(<style\b.*?</style\s*>|<script\b(?![^>]*ld\+json).*?</script\s*>|<[^>]*>)", re.IGNORECASE | re.DOTALL
)
_LINK = re.compile(r"""(https?://[^\s"'<>]+|mailto:[^\s"'<>]+)|((?:alt|title)\s*=\s*"[^"]*")""", re.IGNORECASE)
_CELL = re.compile(r'"[^"]*"|[^,;\t\r\n"]+')
_CODECS = ("utf-8-sig", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "iso-8859-15")
_MIN_LEAK = 4
"""Characters from which on a replaced number may stand nowhere in the result; a shorter one may stand by chance."""


class NotRedacted(Exception):
    """A mail that is not redacted; says why, a line each, without what the mail holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A mail that holds nobody any more, as far as could be seen."""

    raw: bytes
    unsure: tuple[tuple[int, str], ...]
    """Lines of the new readable text at which a person should look, by number."""
    removed: tuple[str, ...]
    """Attached files whose content was removed, by their new names."""


@dataclass(slots=True)
class _Work:
    """What is known while one mail is redacted."""

    disguise: Disguise
    keeps_headers: frozenset[str]
    rename: Callable[[str, str], str]
    shift: dt.timedelta
    removed: list[str] = field(default_factory=list[str])


def redact(raw: bytes, rules: RuleSet, mailbox: Mailbox, *, seed: str = "", shift_days: int = 0) -> Redacted:
    """Return a mail redacted; the same arguments give the same octets.

    ``shift_days``: how far the Date, and dates in the formats of the pack, are moved.

    Raises:
        NotRedacted: it cannot be read, holds what cannot be written again, or would say something else.
    """
    try:
        mail = read_mail(raw)
    except Unreadable as error:
        raise NotRedacted(f"the mail cannot be read: {error}") from error
    before = parse_mail(raw, rules, mailbox=mailbox)
    rule = _rule_of(before, rules)
    vocabulary = vocabulary_of(rules, rule)
    dates = rules.packs[rule.pack].dates if rule else ()
    disguise = Disguise(seed, shift_days=shift_days, dates=dates, domain=_domain_of(mail, rules, rule))
    message = message_from_bytes(raw)
    lines = _all_lines(message)
    _learn(disguise, mail, lines, before, rule, vocabulary)
    work = _Work(
        disguise=disguise,
        keeps_headers=_headers_of(rule),
        rename=lambda name, value: _header(name, value, mailbox, disguise, seed),
        shift=dt.timedelta(days=shift_days),
    )
    _rewrite(message, work, path="")
    made = _octets(message)
    after = parse_mail(made, rules, mailbox=mailbox)
    again = read_mail(made)
    faults = [
        *_differences(before, after, disguise, work.shift),
        *_leaks((*mail.lines, *lines), (*again.lines, *_all_lines(message)), disguise),
    ]
    if faults:
        raise NotRedacted("\n".join(faults))
    return Redacted(raw=made, unsure=tuple(_unsure(again, after, vocabulary)), removed=tuple(work.removed))


# -- what is known of the mail ----------------------------------------------------------------------------------------


def _rule_of(reading: Reading, rules: RuleSet) -> Rule | None:
    if reading.rule is None:
        return None
    pack, _, rule_id = reading.rule.partition("/")
    return next(rule for rule in rules.packs[pack].rules if rule.id == rule_id)


def _domain_of(mail: Mail, rules: RuleSet, rule: Rule | None) -> str:
    """Return the domain that speaks in a mail: of a forward that of whose mail it is, which its pack names."""
    senders = [sender.removeprefix("*.") for sender in rules.packs[rule.pack].senders] if rule else []
    return next((sender for sender in senders if "." in sender), mail.from_domain or "")


def _all_lines(message: Message) -> list[Line]:
    """Return the lines of every text of a message, also of those that rules do not see: stubs, history, files."""
    texts: list[str] = []
    for part in message.walk():
        octets = part.get_payload(decode=True)
        if isinstance(octets, bytes) and _is_textual(part):
            text = decode(octets, str(part.get_param("charset", "") or ""))
            texts.append(html.unescape(_MARKUP.sub("\n", text)) if part.get_content_type() == "text/html" else text)
    lines = (" ".join(line.lstrip("> ").split()) for text in texts for line in text.splitlines())
    return [Line(text, (text,)) for text in lines if text]


def _learn(
    disguise: Disguise,
    mail: Mail,
    lines: Sequence[Line],
    reading: Reading,
    rule: Rule | None,
    vocabulary: Vocabulary,
) -> None:
    """Make known what rules captured, and the words that look like names."""
    rows = [one for table in rule.tables for one in table.fields] if rule else []
    types = {one.name: one.type for one in (*rule.all_fields, *rows)} if rule else {}
    captured: list[str] = []
    for one in reading.trace.get("captures", ()):
        kind = types.get(one["field"], Type.TEXT)
        if kind in (Type.DATE, Type.DATETIME, Type.FLAG) or one["source"] == From.CONST:
            continue
        disguise.add_value(one["text"])
        if kind is Type.TEXT:
            captured.append(one["text"])
    disguise.avoid((mail.subject, *(line.text for line in (*mail.lines, *lines))))
    people = [header_text(value) for name in _PEOPLE for value in mail.headers.get(name, ())]
    disguise.add_names(names_in((*mail.lines, *lines), mail.subject, captured, people, vocabulary))


def _headers_of(rule: Rule | None) -> frozenset[str]:
    """Return the headers that a rule looks at, in small letters."""
    if rule is None:
        return frozenset()
    read = {source.words[0].lower() for one in rule.all_fields for source in one.sources if source.kind is From.HEADER}
    return frozenset(read | {name.lower() for name, _ in rule.when.headers})


# -- the mail anew ----------------------------------------------------------------------------------------------------


def _rewrite(message: Message, work: _Work, path: str) -> None:
    """Redact an entity and what it holds, in place."""
    _rewrite_headers(message, work, is_mail=not path or message.get("from") is not None)
    content = message.get_payload()
    if isinstance(content, list):
        for place, child in enumerate(cast("list[Message]", content), 1):
            _rewrite(child, work, f"{path}.{place}".lstrip("."))
        return
    kind = message.get_content_type()
    if _is_textual(message):
        _rewrite_text(message, work, path or "1", is_html=kind == "text/html")
    elif message.get_payload(decode=True):
        name = header_text(message.get_filename() or kind)
        work.removed.append(work.disguise.text(name))
        _put(message, b"The content of this file was removed.\r\n")


def _is_textual(message: Message) -> bool:
    name = str(message.get_filename() or "").lower()
    return _TEXTUAL.fullmatch(message.get_content_type()) is not None or name.endswith((".csv", ".txt", ".json"))


def _is_table(message: Message) -> bool:
    return message.get_content_type().endswith("csv") or str(message.get_filename() or "").lower().endswith(".csv")


def _rewrite_headers(message: Message, work: _Work, *, is_mail: bool) -> None:
    """Keep the headers that make the structure, and redact those that people see; drop the rest."""
    made: list[tuple[str, str]] = []
    for name, value in message.raw_items():
        low, written = name.lower(), str(value)
        if low == "date" and work.shift:
            moment = read_mail(f"Date: {written}\r\n\r\n".encode("utf-8", "replace")).date
            written = format_datetime(moment + work.shift) if moment else written
        elif low in ("content-type", "content-disposition"):
            written = _FILENAME.sub(lambda found: found[1] + _file_name(found[2], work), written)
        elif low == "subject" or low in work.keeps_headers:
            written = _encoded(work.disguise.text(header_text(written)))
        elif is_mail and (low in _PEOPLE or low == "message-id"):
            written = work.rename(low, header_text(written))
        elif low not in _KEPT:
            continue
        made.append((name, written))
    for name in {name for name, _ in message.raw_items()}:
        del message[name]
    for name, value in made:
        message.set_raw(name, value)


def _file_name(written: str, work: _Work) -> str:
    text = header_text(written.strip('"'))
    if not text.isascii() or "'" in text or "=?" in text:
        return f'"file.{text.rpartition(".")[2] if text.isascii() else "bin"}"'
    return f'"{work.disguise.text(text)}"'


def _encoded(text: str) -> str:
    return text if text.isascii() else Header(text, "utf-8", maxlinelen=70).encode(linesep="\r\n")


def _header(name: str, value: str, mailbox: Mailbox, disguise: Disguise, seed: str) -> str:
    """Return a header of addresses, or a Message-ID, that names nobody."""
    if name == "message-id":
        return f"<{hashlib.sha256(f'{seed}{value}'.encode('utf-8', 'replace')).hexdigest()[:20]}@redacted.example.com>"
    if name in ("to", "delivered-to"):
        return f"<{mailbox.address}>"
    address = value.rpartition("<")[2].partition(">")[0].strip()
    local, at, domain = address.rpartition("@")
    if name == "from" and at and re.fullmatch(r"[\w.%+-]+@[\w.-]+", address):
        return f"Notices <{local if ROLES.fullmatch(local) else 'notices'}@{domain}>"
    return (
        disguise.text(value)
        if name == "from"
        else f"Somebody <{disguise.text(address)}>"
        if at
        else "nobody@example.com"
    )


def _rewrite_text(message: Message, work: _Work, path: str, *, is_html: bool) -> None:
    octets = message.get_payload(decode=True)
    assert isinstance(octets, bytes)  # noqa: S101  a leaf has octets
    label = str(message.get_param("charset", "") or "")
    text = decode(octets, label)
    codec = _codec_of(octets, text, label)
    if codec is None:
        raise NotRedacted(f"part {path}: holds octets that its charset lacks, so it cannot be written again")
    if is_html:
        made = _html(text, work.disguise)
    elif _is_table(message):
        made = _CELL.sub(lambda found: work.disguise.text(found[0]), text)
    else:
        made = work.disguise.text(text)
    mark = b"\xef\xbb\xbf" if codec == "utf-8-sig" else b""
    plain = {"utf-8-sig": "utf-8"}.get(codec, codec)
    _put(message, mark + made.encode(plain, "xmlcharrefreplace" if is_html else "strict"))


def _codec_of(octets: bytes, text: str, label: str) -> str | None:
    """Return the codec by which a text became these octets; None when it cannot become them again."""
    for codec in (label, *_CODECS):
        try:
            if codec and octets.decode(codec) == text and text.encode(codec) == octets:
                return codec
        except (LookupError, UnicodeError):
            continue
    return None


def _put(message: Message, octets: bytes) -> None:
    """Make octets the content of an entity, in the transfer encoding that its header names."""
    encoding = str(message.get("content-transfer-encoding", "")).strip().lower()
    del message["content-transfer-encoding"]
    if encoding == "base64":
        message.set_payload(body_encode(octets))
    elif encoding == "quoted-printable":
        message.set_payload(quopri.encodestring(octets.replace(b"\r\n", b"\n")).decode("ascii"))
    else:
        message.set_payload(octets.decode("ascii", "surrogateescape"))
    if encoding:
        message["Content-Transfer-Encoding"] = encoding


def _html(source: str, disguise: Disguise) -> str:
    """Return a page redacted: its text, its links, what pictures are called; markup and styles stay."""
    pieces = _MARKUP.split(source)
    return "".join(
        _markup(piece, disguise) if place % 2 else _words(piece, disguise) for place, piece in enumerate(pieces)
    )


def _markup(tag: str, disguise: Disguise) -> str:
    if tag.lower().startswith(("<style", "<script")):
        return tag
    if tag.startswith("<!--"):
        return disguise.text(tag)
    return _LINK.sub(lambda found: _link(found, disguise), tag)


def _link(found: re.Match[str], disguise: Disguise) -> str:
    text = html.unescape(found[0])
    if text.lower().startswith("mailto:"):
        return html.escape("mailto:" + disguise.text(text[7:].partition("?")[0]))
    return html.escape(disguise.text(text)) if found[1] else disguise.text(found[0])


def _words(text: str, disguise: Disguise) -> str:
    plain = html.unescape(text)
    made = disguise.text(plain)
    return text if made == plain else html.escape(made, quote=False) if "&" in text else made


def _octets(message: Message) -> bytes:
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False, maxheaderlen=0).flatten(message, linesep="\r\n")
    return out.getvalue()


# -- the proof --------------------------------------------------------------------------------------------------------


def _differences(before: Reading, after: Reading, disguise: Disguise, shift: dt.timedelta) -> Iterator[str]:
    """Yield what the result says otherwise, beyond what was replaced."""
    for name in ("outcome", "rule"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield f"{name}: it was {old}, and would be {new}" + (f": {after.reason}" if after.reason else "")
            return
    yield from _captures_differ(before.trace, after.trace, disguise)
    if [event.kind for event in before.events] != [event.kind for event in after.events]:
        yield "events: others come out"
        return
    for number, (old, new) in enumerate(zip(before.events, after.events, strict=True), 1):
        if (old.body.keys(), old.expect.keys()) != (new.body.keys(), new.expect.keys()):
            yield f"event {number}: states other facts"
        if old.mailed_at + shift != new.mailed_at:
            yield f"event {number}: was told at another time"
        for name in old.body:
            if isinstance(old.body[name], bool | None) and old.body[name] != new.body[name]:
                yield f"event {number}: {name} is otherwise"
    if len({event.unit for event in before.events}) != len({event.unit for event in after.events}):
        yield "events: two units became one"


def _captures_differ(before: Mapping[str, Any], after: Mapping[str, Any], disguise: Disguise) -> Iterator[str]:
    old, new = before.get("captures", ()), after.get("captures", ())
    if len(old) != len(new):
        yield f"{len(old)} values were captured, and {len(new)} would be"
        return
    became: dict[str, str] = {}
    for one, other in zip(old, new, strict=True):
        if (one["field"], one["source"], one["line"]) != (other["field"], other["source"], other["line"]):
            yield f"the field `{one['field']}` would be found elsewhere"
        elif disguise.text(one["text"]) != other["text"]:
            yield f"the field `{one['field']}` (line {one['line']}) would not hold what its value was replaced by"
        became[one["text"]] = other["text"]
    if len(set(became.values())) < len(became):
        yield "two values became one: try another --seed"
    if before.get("unaccounted") != after.get("unaccounted") or before.get("lines") != after.get("lines"):
        yield "other lines would be unaccounted for"


def _leaks(before: Sequence[Line], after: Sequence[Line], disguise: Disguise) -> Iterator[str]:
    """Yield where something that was replaced elsewhere still stands."""
    seen = "\n".join(line.text for line in after).casefold()
    tokens = {token.casefold() for line in before for token in disguise.replaced(line.text) if len(token) >= _MIN_LEAK}
    left = sorted(token for token in tokens if re.search(rf"(?<!\w){re.escape(token)}(?!\w)", seen))
    if left:
        yield f"{len(left)} names or values that were replaced still stand somewhere: take them out by hand"


def _unsure(mail: Mail, reading: Reading, vocabulary: Vocabulary) -> Iterator[tuple[int, str]]:
    """Yield the lines from which nothing was captured and that hold more than words known to be nobody's."""
    captured = {one["line"] for one in reading.trace.get("captures", ())}
    for number, line in enumerate(mail.lines, 1):
        if number not in captured and not vocabulary.covers(line.text):
            yield number, line.text
