"""A mail as rules see it: headers, readable lines, structured data; read once, within bounds.

The octets are parsed once, by the standard library; mail-parser reads dates, addresses and Received from the
headers alone (it would decode every body a second time), and we walk the part tree ourselves.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.feedparser import FeedParser
from email.message import Message
from typing import Any, Final, TypeAlias, cast

from mailparser import MailParser  # pyright: ignore[reportMissingTypeStubs]
from mailparser.dates import parse_mail_date  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from parsers.body import Body, Part, header_text, read_body
from parsers.convert import FIRST_YEAR, LAST_YEAR
from parsers.errors import Unreadable
from parsers.files import Files
from parsers.forward import MAX_FORWARDS, Head, says_forwarded, sender_in, without_tags
from parsers.mailbox import Mailbox
from parsers.text import MAX_LINES, MAX_TEXT, Line, normal
from parsers.writtendate import read_written_date

MAX_HEADER_BLOCK: Final = 256 * 1024
MAX_HEADERS: Final = 1000
MAX_HEADER: Final = 32 * 1024
MAX_CONTAINERS: Final = 32
MAX_BOUNDARY_LINES: Final = 2000
MAX_WORK: Final = 4_000_000
"""Lines times containers: the standard library looks for every open boundary on every line."""
_MAX_ADDRESSES: Final = 4096
_MAX_RECEIVED: Final = 30
_MAX_DATE: Final = 200

_CONTENT_TYPE: Final = b"content-type:"
_CONTAINER = re.compile(rb"content-type:\s*(?:multipart|message)/((?:[^\r\n]|\r?\n[ \t])*)")
_HEADER_END = re.compile(rb"\n\r?\n|\r\r")
_FOLDED = re.compile(r"[\r\n]+")
_ZONELESS = re.compile(r"\d\d:\d\d(?::\d\d)?\s*$")

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = rf"({_ATOM}(?:\.{_ATOM})*)@({_LABEL}(?:\.{_LABEL})+)"
_MAILBOX = re.compile(
    rf'(?:(?:"(?:[^"\\\x00-\x1f]|\\[ -~])*"[ \t]*|[A-Za-z0-9!#$%&\'*+/=?^_`{{|}}~. \t-]*)<{_ADDRESS}>|{_ADDRESS})'
)
"""One mailbox (RFC 5322, section 3.4) without comments, groups, quoted local parts or 8-bit characters."""

_SINGLETONS = (
    "from", "sender", "reply-to", "to", "cc", "message-id", "date", "subject", "mime-version", "content-type",
    "content-transfer-encoding",
)  # fmt: skip

_CLOCKS_DIFFER = dt.timedelta(minutes=15)
_KEPT = ("message-id", "received")
"""What of the header around it a mail has that is forwarded within a text: how it came to us."""

Headers: TypeAlias = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """A mail that was put around the one that is read, by a person or program that forwarded it."""

    how: str
    """``text``: the mail inside stands in its text; ``attached``: it is attached whole."""
    from_address: str | None
    subject: str
    date: dt.datetime | None
    """Aware; naive when it names no zone; None when it is missing or unreadable."""

    @property
    def from_domain(self) -> str | None:
        """Return the domain of the one who forwarded; None when there is no one sender."""
        return _domain(self.from_address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What one message says, in the normal form that rules see; of a forward, what the mail inside says."""

    headers: Headers
    """Every header, decoded and unfolded, by lower-case name, in the order of the message."""
    subject: str
    from_address: str | None
    """The one sender, by a grammar of our own; None unless exactly one From names exactly one plain mailbox.

    Of a forward the innermost, as the forward states it: it is worth as much as what proves the forwarder. None, too,
    when any wrapper's is.
    """
    date: dt.datetime | None
    """The Date header, aware; None when missing, unreadable or without a zone."""
    local_date: dt.datetime | None
    """The Date header when it names no zone; naive."""
    lines: tuple[Line, ...]
    text: str
    """The readable lines joined: what ``body`` conditions and ``regex`` fields run on."""
    text_kind: str
    """What the lines were read from: ``text``, ``html``, or ``text and html``."""
    jsonld: tuple[Mapping[str, Any], ...]
    unread_jsonld: tuple[str, ...]
    """The source of each JSON-LD block that is not JSON that we read."""
    parts: tuple[Part, ...]
    files: Files
    """The attached files."""
    defects: tuple[str, ...]
    singleton_duplicates: tuple[str, ...]
    """Headers that may stand once and stand more often; of a forward, those of any of its mails."""
    chain: tuple[Wrapper, ...] = ()
    """The mails around this one, the outermost first; empty when it was not forwarded."""
    doubt: str | None = None
    """Why it cannot be known what was forwarded: no event may come of such a mail."""

    @property
    def from_domain(self) -> str | None:
        """Return the domain of the one sender; None when there is no one sender."""
        return _domain(self.from_address)

    @property
    def to(self) -> tuple[str, ...]:
        """Return the addresses that To names, as mail-parser reads them."""
        return tuple(address for _, address in cast("list[tuple[str, str]]", self._by_mail_parser("to").to or ()))

    @property
    def received(self) -> tuple[Mapping[str, Any], ...]:
        """Return the Received headers as mail-parser reads them, the oldest first."""
        return tuple(cast("list[dict[str, Any]]", self._by_mail_parser("received").received))

    def _by_mail_parser(self, name: str) -> Any:
        """Return mail-parser's reading of the headers of one name: only who asks pays for it."""
        few = Message()
        few.set_payload("")
        for value in self.headers.get(name, ())[:_MAX_RECEIVED]:
            few[name] = value[:_MAX_ADDRESSES]
        return MailParser(few)

    @property
    def message_id(self) -> str | None:
        """Return the first Message-ID; None without one."""
        return next(iter(self.headers.get("message-id", ())), None)


def _domain(address: str | None) -> str | None:
    return address.rpartition("@")[2] if address else None


def read_mail(raw: bytes) -> Mail:
    """Return what the octets of one message say; raise Unreadable beyond our bounds."""
    try:
        return _read(_parsed(raw, containers=_checked_containers(raw)), depth=0)
    except RecursionError as error:
        raise Unreadable("the parts nest too deep") from error


def _read(message: Message, *, depth: int) -> Mail:
    """Return what a message says, all forwards undone; `depth` counts the mails around it."""
    headers = _headers_of(message)
    subject = _subject_of(headers)
    body = read_body(message, subject)
    if len(body.text) > MAX_TEXT:
        raise Unreadable(f"the readable text is longer than {MAX_TEXT} characters")
    if len(body.lines) > MAX_LINES:
        raise Unreadable(f"the readable text holds more than {MAX_LINES} lines")
    mail = _assemble(message, headers, subject, body)
    for head in body.heads:
        mail = _below(mail, head)
    if not body.attached or (body.lines and not says_forwarded(subject)):
        return mail
    inner, *others = body.attached
    if others or body.heads or depth >= MAX_FORWARDS:
        return replace(mail, doubt="it holds more than one mail, or too many around each other")
    return _around(mail, _read(inner, depth=depth + 1))


def _below(mail: Mail, head: Head) -> Mail:
    """Return the mail that stands below a header in the text of another; both have the lines of the one inside."""
    date, local_date = read_written_date(head.date)
    return replace(
        mail,
        headers={
            **{name: mail.headers[name] for name in _KEPT if name in mail.headers},
            "from": (head.sender,),
            "subject": (head.subject,),
            "date": (head.date,),
        },
        subject=without_tags(head.subject),
        from_address=sender_in(head.sender) if mail.from_address else None,
        date=date,
        local_date=local_date,
        chain=(*mail.chain, _wrapper(mail, "text")),
    )


def _around(mail: Mail, inside: Mail) -> Mail:
    """Return the mail that is attached to another."""
    return replace(
        inside,
        from_address=inside.from_address if mail.from_address else None,
        chain=(*mail.chain, _wrapper(mail, "attached"), *inside.chain),
        defects=(*mail.defects, *inside.defects),
        singleton_duplicates=tuple(dict.fromkeys((*mail.singleton_duplicates, *inside.singleton_duplicates))),
        doubt=inside.doubt or mail.doubt,
    )


def _wrapper(mail: Mail, how: str) -> Wrapper:
    return Wrapper(how=how, from_address=mail.from_address, subject=mail.subject, date=mail.date or mail.local_date)


def doubt_of_date(mail: Mail, mailbox: Mailbox) -> str | None:
    """Return why the date of a forwarded mail cannot be the one it seems to be; None when it can.

    One without a zone is on the clock of the mailbox's site, where the person who forwards is taken to be.
    """
    moment = mail.date
    if moment is None and mail.local_date is not None:
        moment = mailbox.local(mail.local_date)
        if moment.utcoffset() != moment.replace(fold=1).utcoffset():
            return "the forwarded mail is dated in the hour in which the clock is changed, without a zone"
    around = [wrapper.date for wrapper in mail.chain if wrapper.date is not None]
    if moment is not None and any(mailbox.local(date) + _CLOCKS_DIFFER < moment for date in around):
        return "the forwarded mail is dated later than the mail that forwards it"
    return None


def _parsed(raw: bytes, *, containers: int) -> Message:
    """Return the message tree; a mail of one part need not be looked through for boundaries line by line."""
    end = None if containers else _HEADER_END.search(raw)
    if end is None:
        return message_from_bytes(raw)
    parser = FeedParser()  # as message_from_bytes does, without its file
    parser.feed(raw[: end.end()].decode("ascii", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n"))
    message = parser.close()
    if message.is_multipart() or message.get_payload(decode=True):  # the header ended earlier, at a line that is none
        return message_from_bytes(raw)
    message.set_payload(raw[end.end() :].decode("ascii", "surrogateescape"))
    return message


def _checked_containers(raw: bytes) -> int:
    """Return how many multipart and message parts the mail may hold; raise Unreadable beyond our bounds."""
    end = _HEADER_END.search(raw, 0, MAX_HEADER_BLOCK + 4)
    if end is None and len(raw) > MAX_HEADER_BLOCK:
        raise Unreadable(f"the header is longer than {MAX_HEADER_BLOCK} bytes")
    containers = 0
    low = raw.lower()
    place = low.find(_CONTENT_TYPE)
    while place >= 0:  # faster than to search for the pattern
        match = _CONTAINER.match(low, place)
        place = low.find(_CONTENT_TYPE, match.end() if match else place + 1)
        if match is None:
            continue
        containers += 1
        if containers > MAX_CONTAINERS:
            raise Unreadable(f"the mail holds more than {MAX_CONTAINERS} multipart or message parts")
        if len(match[1]) > 2048:
            raise Unreadable("a Content-Type header is longer than 2048 bytes")
    if containers:
        if raw.count(b"\n--") + raw.count(b"\r--") > MAX_BOUNDARY_LINES:
            raise Unreadable(f"the mail holds more than {MAX_BOUNDARY_LINES} boundary lines")
        if containers * raw.count(b"\n") > MAX_WORK:
            raise Unreadable("the mail holds too many lines for its number of parts")
    return containers


def _assemble(message: Message, headers: Headers, subject: str, body: Body) -> Mail:
    defects = [type(defect).__name__ for defect in message.defects] + list(body.defects)
    date, local_date = _date_of(headers, defects)
    return Mail(
        headers=headers,
        subject=subject,
        from_address=_sender_of(message),
        date=date,
        local_date=local_date,
        lines=body.lines,
        text=body.text,
        text_kind=body.kind,
        jsonld=body.jsonld,
        unread_jsonld=body.unread_jsonld,
        parts=body.parts,
        files=Files(body.parts),
        defects=tuple(defects),
        singleton_duplicates=tuple(name for name in _SINGLETONS if len(headers.get(name, ())) > 1),
        doubt=body.doubt,
    )


def _headers_of(message: Message) -> Headers:
    items = list(message.raw_items())
    if len(items) > MAX_HEADERS:
        raise Unreadable(f"the mail holds more than {MAX_HEADERS} headers")
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in items:
        if len(value) > MAX_HEADER:
            raise Unreadable(f"a header is longer than {MAX_HEADER} bytes")
        key = name.lower()
        headers[key] = (*headers.get(key, ()), header_text(value))
    return headers


def _date_of(headers: Headers, defects: list[str]) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return the first Date as (aware, None), or (None, naive) when it names no zone, or two None."""
    written = next(iter(headers.get("date", ())), "")[:_MAX_DATE]
    zoneless = _ZONELESS.search(written) is not None
    seen = cast(Any, parse_mail_date)(f"{written} +0000" if zoneless else written)
    defects.extend(f"Date: {reason}" for reason in seen.reasons)
    moment = cast("dt.datetime | None", seen.value)
    quarters = round(float(seen.timezone) * 4)  # mail-parser rounds the offset to tenths of an hour
    if moment is None or not FIRST_YEAR <= moment.year <= LAST_YEAR or abs(quarters) >= 24 * 4:
        return None, None
    if zoneless:
        return None, moment.replace(tzinfo=None)
    return moment.astimezone(dt.timezone(dt.timedelta(minutes=15 * quarters))), None


def _subject_of(headers: Headers) -> str:
    return without_tags(normal(next(iter(headers.get("subject", ())), "")))


def _sender_of(message: Message) -> str | None:
    senders = [value for name, value in message.raw_items() if name.lower() == "from"]
    if len(senders) != 1:
        return None
    match = _MAILBOX.fullmatch(_FOLDED.sub("", str(senders[0])).strip(" \t"))
    if match is None:
        return None
    local, domain = (match[1], match[2]) if match[2] else (match[3], match[4])
    return f"{local}@{domain.lower()}"
