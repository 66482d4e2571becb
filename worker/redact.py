"""Redact a mail: the same structure and the same reading, with invented people, ids, amounts and links.

The result is proven before it is given out: it is read with the same rules, and must say the same up to what was
replaced. Where it does not, nothing is given out and the differences are told.

Errors:
    NotRedacted(Exception)    the mail cannot be redacted, or the result says something else; says what and where
"""

import hashlib
import quopri
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.base64mime import body_encode
from email.generator import BytesGenerator
from email.header import Header
from email.message import Message
from email.utils import format_datetime
from io import BytesIO
from typing import Final, cast

from parsers import Mailbox, Reading, RuleSet, Unreadable, parse_mail, read_mail
from parsers.body import header_text
from parsers.charset import decode
from parsers.mail import Mail
from parsers.rule import From, Rule, Type
from parsers.text import Line
from worker.disguise import ROLES, Disguise
from worker.personal import Vocabulary, names_in, vocabulary_of
from worker.redactfile import FileWork, Reads, codec_of, file_lines, reads_of, redact_file, text_lines
from worker.redactpage import hidden_texts, page_text, parted, redact_page
from worker.redactproof import all_captured, differences, leaks, replaced_in, texts_of, unsure_lines

_KEPT: Final = (
    "date",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
)
_PEOPLE: Final = ("from", "sender", "reply-to", "to", "cc", "delivered-to")
_FORM: Final = ("content-type", "content-disposition")
"""What says of which kind a part is, and what it is called."""
_MADE: Final = ("from", "to", "delivered-to", "message-id", "content-id", "mime-version", "content-transfer-encoding")
"""What is written anew or from a closed list, with domains that stay."""
_FILENAME = re.compile(r'(\b(?:file)?name\*?\s*=\s*)("[^"]*"|[^;\s]+)', re.IGNORECASE)


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
    left_out: tuple[str, ...] = ()
    """What spreadsheets held beside their cells and is left out, by the new names of the files."""


@dataclass(slots=True)
class _Work:
    """What is known while one mail is redacted."""

    files: FileWork
    known: frozenset[str]
    """What is replaced somewhere, so that it may stay nowhere."""
    keeps_headers: frozenset[str]
    rename: Callable[[str, str], str]
    parted: list[str] = field(default_factory=list[str])
    """The parts whose markup parts a value."""


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
    files = FileWork(disguise=disguise, reads=reads_of(rule))
    message = message_from_bytes(raw)
    lines = _all_lines(message, files.reads, vocabulary)
    _learn(disguise, mail, lines, before, rule, vocabulary)
    known = replaced_in((*mail.lines, *lines), disguise)
    work = _Work(
        files=files,
        known=known,
        keeps_headers=_headers_of(rule),
        rename=lambda name, value: _header(name, value, mailbox, disguise, seed),
    )
    _rewrite(message, work, path="")
    made = _octets(message)
    after = parse_mail(made, rules, mailbox=mailbox)
    again = read_mail(made)
    result = message_from_bytes(made)
    left = _all_lines(result, files.reads, vocabulary, is_made=True)
    faults = [
        *differences(before, after, files, _types_of(rule)),
        *(f"{where}: markup parts a value, so that it would become two: take it out by hand" for where in work.parted),
        *leaks(known, {"the text": [line.text for line in (*again.lines, *left)], **_beside(result)}),
    ]
    if faults:
        raise NotRedacted("\n".join([*files.unread, *faults]))
    return Redacted(
        raw=made,
        unsure=tuple(unsure_lines(again, after, vocabulary)),
        removed=tuple(files.removed),
        left_out=tuple(files.left_out),
    )


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


def _all_lines(message: Message, reads: Reads, vocabulary: Vocabulary, *, is_made: bool = False) -> list[Line]:
    """Return the lines of every text of a message, also of those that rules do not see: stubs, history, files.

    ``is_made``: whether it is the message that is redacted already.
    """
    lines: list[Line] = []
    for part in message.walk():
        octets, kind = part.get_payload(decode=True), part.get_content_type()
        if not isinstance(octets, bytes):
            continue
        label = str(part.get_param("charset", "") or "")
        if kind == "text/html":
            lines += text_lines(page_text(decode(octets, label)))
        else:
            lines += file_lines(_name_of(part), kind, octets, label, reads, vocabulary, is_made=is_made)
    return lines


def _beside(message: Message) -> dict[str, list[str]]:
    """Return what a redacted message says beside its lines, by where it stands: headers that stay, and markup."""
    found: dict[str, list[str]] = {}
    for number, part in enumerate(message.walk()):
        where = f"part {number}" if number else "the mail"
        for name, value in part.raw_items():
            if (low := name.lower()) in _MADE:
                continue
            text = header_text(str(value))
            shown = text.partition(";")[2] if low in _FORM else re.sub(r"\d", "", text) if low == "date" else text
            found.setdefault(f"{where}, the header {name}", []).append(shown)
        octets = part.get_payload(decode=True)
        if isinstance(octets, bytes) and part.get_content_type() == "text/html":
            source = decode(octets, str(part.get_param("charset", "") or ""))
            found[f"{where}, in its markup"] = list(hidden_texts(source))
    return found


def _types_of(rule: Rule | None) -> Mapping[str, Type]:
    """Return the types of the fields of a rule, those of its rows too, by their names."""
    rows = [one for table in rule.tables for one in table.fields] if rule else []
    return {one.name: one.type for one in (*rule.all_fields, *rows)} if rule else {}


def _learn(
    disguise: Disguise,
    mail: Mail,
    lines: Sequence[Line],
    reading: Reading,
    rule: Rule | None,
    vocabulary: Vocabulary,
) -> None:
    """Make known what rules captured, and the words that look like names."""
    types = _types_of(rule)
    captured: list[str] = []
    for one in reading.trace.get("captures", ()):
        kind = types.get(one["field"], Type.TEXT)
        if kind in (Type.DATE, Type.DATETIME) and one["text"].isdecimal():
            disguise.add_serial(one["text"])
        if kind in (Type.DATE, Type.DATETIME, Type.FLAG) or one["source"] == From.CONST:
            continue
        disguise.add_value(one["text"])
        if kind is Type.TEXT:
            captured.append(one["text"])
    if not all_captured(reading):
        for text in (text for event in reading.events for _, text in texts_of(event)):
            disguise.add_value(text)
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
    if message.is_multipart():  # to ask a leaf for its payload would decode it by the charset that it declares
        message.preamble = message.epilogue = None
        for place, child in enumerate(cast("list[Message]", message.get_payload()), 1):
            _rewrite(child, work, f"{path}.{place}".lstrip("."))
        return
    if message.get_content_type() == "text/html":
        _rewrite_page(message, work, path or "1")
    elif _content(message):
        _rewrite_file(message, work, path or "1")


def _rewrite_headers(message: Message, work: _Work, *, is_mail: bool) -> None:
    """Keep the headers that make the structure, and redact those that people see; drop the rest."""
    made: list[tuple[str, str]] = []
    for name, value in message.raw_items():
        low, written = name.lower(), str(value)
        if low == "date":
            written = _moved(written.partition("(")[0].strip(), work.files.disguise)
        elif low == "content-id":
            written = f"<{work.files.disguise.content_id(header_text(written).strip().strip('<>'))}>"
        elif low in _FORM:
            written = _FILENAME.sub(lambda found: found[1] + _file_name(found[2], work), written)
        elif low == "subject" or low in work.keeps_headers:
            written = _encoded(work.files.disguise.text(header_text(written)))
        elif is_mail and (low in _PEOPLE or low == "message-id"):
            written = work.rename(low, header_text(written))
        elif low not in _KEPT:
            continue
        made.append((name, written))
    for name in {name for name, _ in message.raw_items()}:
        del message[name]
    for name, value in made:
        message.set_raw(name, value)


def _moved(date: str, disguise: Disguise) -> str:
    moment = read_mail(f"Date: {date}\r\n\r\n".encode("utf-8", "replace")).date if disguise.shift else None
    return format_datetime(moment + disguise.shift) if moment else date


def _file_name(written: str, work: _Work) -> str:
    text = header_text(written.strip('"'))
    if not text.isascii() or "'" in text or "=?" in text:
        return f'"file.{text.rpartition(".")[2] if text.isascii() else "bin"}"'
    return f'"{work.files.disguise.text(text)}"'


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


def _rewrite_page(message: Message, work: _Work, path: str) -> None:
    octets = _content(message)
    label = str(message.get_param("charset", "") or "")
    text = decode(octets, label)
    codec = codec_of(octets, text, label)
    if codec is None:
        raise _unwritable(path)
    mark, encoding = codec
    made = redact_page(text, work.files.disguise, work.known)
    try:
        if parted(text, made, work.files.disguise):
            work.parted.append(f"part {path}")
    except Unreadable as error:
        raise NotRedacted(f"part {path}: {error}") from error
    _put(message, mark + made.encode(encoding, "xmlcharrefreplace"))


def _rewrite_file(message: Message, work: _Work, path: str) -> None:
    label = str(message.get_param("charset", "") or "")
    made = redact_file(_name_of(message), message.get_content_type(), _content(message), label, work.files)
    if made is None:
        raise _unwritable(path)
    _put(message, made)


def _unwritable(path: str) -> NotRedacted:
    return NotRedacted(f"part {path}: holds octets that its charset lacks, so it cannot be written again")


def _content(message: Message) -> bytes:
    octets = message.get_payload(decode=True)
    assert isinstance(octets, bytes)  # noqa: S101  a leaf has octets
    return octets


def _name_of(message: Message) -> str:
    return header_text(str(message.get_filename() or ""))


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


def _octets(message: Message) -> bytes:
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False, maxheaderlen=0).flatten(message, linesep="\r\n")
    return out.getvalue()
