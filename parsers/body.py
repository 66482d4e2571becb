"""The parts of a mail: which of them a reader sees, as readable lines, and the structured data beside them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from itertools import islice
from typing import Any, Final, TypeAlias, cast

from parsers.bounds import Bounds
from parsers.charset import decode
from parsers.emphasis import bare_lines
from parsers.errors import Unreadable
from parsers.forward import Head, Unwrapped, may_hold_forward, says_forwarded, unwrap
from parsers.html import read_html
from parsers.text import MAX_LINES, MAX_TEXT, Line, plain_lines

MAX_PARTS: Final = 200
MAX_PART_HEADER: Final = 4096
MAX_TEXT_PART: Final = 1024 * 1024
MAX_BLOCK: Final = 64 * 1024
MAX_BLOCKS: Final = 50
MAX_OBJECTS: Final = 500

_FOLDED = re.compile(r"[\r\n]+[ \t]*")
_PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')
_URL = re.compile(r"https?://\S+")

JsonObject: TypeAlias = Mapping[str, Any]


def header_text(value: str) -> str:
    """Return a header's text: unfolded, 8-bit octets and encoded words (RFC 2047) by the WHATWG label rule."""
    text = _FOLDED.sub(" ", str(value)).strip()
    if not text.isascii():
        text = decode(text.encode("utf-8", "surrogateescape"))
    if "=?" not in text:
        return text
    try:
        pieces = cast("list[tuple[bytes | str, str | None]]", decode_header(text))
    except (HeaderParseError, ValueError):
        return text
    return "".join(
        piece if isinstance(piece, str) else decode(piece, (label or "").partition("*")[0]) for piece, label in pieces
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One leaf of the part tree."""

    path: str
    """Place in the tree, as in IMAP: ``1.2`` is the second part of the first."""
    content_type: str
    parameters: Mapping[str, str]
    disposition: str
    filename: str
    message: Message = field(repr=False)

    @property
    def octets(self) -> bytes:
        """Return the content, its transfer encoding undone."""
        payload = self.message.get_payload(decode=True)
        return payload if isinstance(payload, bytes) else b""

    @property
    def file_name(self) -> str:
        """Return the name of the file that a part is, however it is told (RFC 2231, RFC 2047); empty without one."""
        for name, header in (("filename", "content-disposition"), ("name", "content-type")):
            told = self.message.get_param(name, header=header)
            if isinstance(told, tuple):
                return decode(told[2].encode("latin-1", "replace"), told[0] or "")
            if told:
                return header_text(told)
        return ""

    @property
    def is_attached(self) -> bool:
        """Return whether a reader gets the part as a file, not as text."""
        return self.disposition == "attachment" or bool(self.filename)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What the parts say together; of a forward, what the mail inside says."""

    lines: tuple[Line, ...]
    text: str
    jsonld: tuple[JsonObject, ...]
    unread_jsonld: tuple[str, ...]
    """The source of each block that is not JSON that we read; `defects` says so, too."""
    kind: str
    """What the lines were read from: ``text``, ``html``, or ``text and html``."""
    parts: tuple[Part, ...]
    defects: tuple[str, ...]
    heads: tuple[Head, ...] = ()
    """The header of each mail that is forwarded within the text, the outermost forward's first."""
    attached: tuple[Message, ...] = ()
    """The mails that are attached whole."""
    doubt: str | None = None
    """Why it cannot be known what was forwarded."""


class _Seen:
    """The readable lines of one part or group of parts."""

    __slots__ = ("html", "lines", "mixed", "whole")

    def __init__(self, lines: list[Line], *, html: bool = False, whole: bool = False, mixed: bool = False) -> None:
        self.lines = lines
        self.html = html
        self.mixed = mixed
        """Whether lines of plain text stand beside those of HTML."""
        self.whole = whole
        """Whether history and forwards are still in the lines."""

    def weight(self, subject: str) -> int:
        lines = unwrap(self.lines, subject, folded=not self.html).lines if self.whole else self.lines
        return sum(len(_URL.sub("", line.text)) for line in lines)


class _Reader:
    """Walks one part tree, gathering what it meets."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._is_forward = says_forwarded(subject)
        self.parts: list[Part] = []
        self.blocks: list[str] = []
        self.attached: list[Message] = []
        self.has_scripts = False
        """Whether JSON-LD stands within HTML."""
        self.history = False
        """Whether history was left out of HTML that holds JSON-LD."""
        self.count = 0
        self._bounds = Bounds()
        self._plain = 0
        """How many characters of plain text were read."""
        self._lines = 0
        """How many lines of all parts, of which a reader sees some."""

    def read(self, message: Message, path: str, *, inside_report: bool = False) -> _Seen:
        self.count += 1
        if self.count > MAX_PARTS:
            raise Unreadable(f"the mail holds more than {MAX_PARTS} parts")
        if not message.is_multipart():  # to ask a leaf for its payload would decode it by the charset that it declares
            return self._leaf(message, path or "1")
        kind = message.get_content_type()
        children = cast("list[Message]", message.get_payload())
        if kind.startswith("message/"):
            if kind == "message/rfc822" and not inside_report:
                self.attached += children
            return _Seen([])
        inside_report = inside_report or kind == "multipart/report"  # a bounce returns a mail, and forwards none
        seen = [
            self.read(child, f"{path}.{place}".lstrip("."), inside_report=inside_report)
            for place, child in enumerate(children, 1)
        ]
        if kind == "multipart/alternative":
            return _richest(seen, self._subject)
        return _Seen(
            [line for one in seen for line in one.lines],
            html=any(one.html for one in seen),
            whole=any(one.whole for one in seen),
            mixed=any(one.mixed for one in seen) or len({one.html for one in seen if one.lines}) > 1,
        )

    def _leaf(self, message: Message, path: str) -> _Seen:
        seen = self._read_leaf(message, path)
        self._lines += len(seen.lines)
        if self._lines > 4 * MAX_LINES:
            raise Unreadable(f"the mail holds more than {4 * MAX_LINES} lines")
        return seen

    def _read_leaf(self, message: Message, path: str) -> _Seen:
        part = _part_of(message, path)
        self.parts.append(part)
        if part.content_type == "application/ld+json":
            self.blocks.append(text_of(part))
        elif part.is_attached:
            pass
        elif part.content_type == "text/html":
            page = read_html(text_of(part), is_forward=self._is_forward, bounds=self._bounds)
            self.blocks.extend(page.blocks)
            self.has_scripts = self.has_scripts or bool(page.blocks)
            self.history = self.history or (page.history and bool(page.blocks))
            return _Seen(page.lines, html=True, whole=page.whole)
        elif part.content_type == "text/plain":
            text = text_of(part)
            self._plain += len(text)
            if self._plain > 2 * MAX_TEXT:
                raise Unreadable(f"the plain text of the mail is longer than {2 * MAX_TEXT} characters")
            whole = self._is_forward or may_hold_forward(text)
            flowed = part.parameters.get("format", "").lower() == "flowed"
            return _Seen(plain_lines(text, flowed=flowed, whole=whole), whole=whole)
        return _Seen([])


def read_body(message: Message, subject: str) -> Body:
    """Return what the parts of a message say; raise Unreadable beyond our bounds.

    `subject`: of the message, without warning tags; it says whether the text may be that of a forward.
    """
    reader = _Reader(subject)
    seen = reader.read(message, "")
    inside = unwrap(seen.lines, subject, folded=not seen.html) if seen.whole else Unwrapped(lines=seen.lines)
    lines = bare_lines(inside.lines)
    doubt = inside.doubt
    if reader.history or (reader.has_scripts and inside.history):
        doubt = doubt or "it quotes an older mail, and of which its structured data is cannot be known"
    unread: list[int] = []
    objects = tuple(islice(_objects(reader.blocks, unread), MAX_OBJECTS + 1))
    if len(objects) > MAX_OBJECTS:
        raise Unreadable(f"the mail holds more than {MAX_OBJECTS} JSON-LD objects")
    return Body(
        lines=tuple(lines),
        text="\n".join([line.text for line in lines]),
        jsonld=objects,
        unread_jsonld=tuple(reader.blocks[place] for place in unread),
        kind="text and html" if seen.mixed else "html" if seen.html else "text",
        parts=tuple(reader.parts),
        defects=tuple(f"JSON-LD block {place + 1} is not JSON that we read" for place in unread),
        heads=inside.heads,
        attached=tuple(reader.attached),
        doubt=doubt,
    )


def _richest(alternatives: list[_Seen], subject: str) -> _Seen:
    """Return the HTML alternative, unless it is a stub beside the plain one."""
    html = next((one for one in reversed(alternatives) if one.html and one.lines), None)
    plain = next((one for one in reversed(alternatives) if not one.html and one.lines), None)
    if html is None or plain is None:
        return html or plain or _Seen([])
    return plain if html.weight(subject) * 2 < plain.weight(subject) else html


def _part_of(message: Message, path: str) -> Part:
    kind, parameters = _structured(message, "content-type")
    disposition, more = _structured(message, "content-disposition")
    if kind.count("/") != 1:
        kind = message.get_default_type()
    return Part(
        path=path,
        content_type=kind,
        parameters=parameters,
        disposition=disposition,
        filename=more.get("filename", ""),
        message=message,
    )


def _structured(message: Message, name: str) -> tuple[str, dict[str, str]]:
    """Return the word and the parameters of a structured header."""
    raw = next((value for key, value in message.raw_items() if key.lower() == name), "")
    if len(raw) > MAX_PART_HEADER:
        raise Unreadable(f"a {name} header is longer than {MAX_PART_HEADER} bytes")
    text = _FOLDED.sub(" ", str(raw)).encode("utf-8", "replace").decode()
    word, _, rest = text.partition(";")
    parameters = {
        match[1].lower(): (match[2] if match[2] is not None else match[3]) for match in _PARAMETER.finditer(";" + rest)
    }
    return word.strip().lower(), parameters


def text_of(part: Part) -> str:
    """Return the text of a part; raise Unreadable when it is past our bounds."""
    octets = part.octets
    if len(octets) > MAX_TEXT_PART:
        raise Unreadable(f"a text part is longer than {MAX_TEXT_PART} bytes")
    return decode(octets, part.parameters.get("charset", ""))


def _objects(blocks: list[str], unread: list[int]) -> Iterator[JsonObject]:
    """Yield the objects of the blocks, and note in `unread` the places of those that cannot be read."""
    if len(blocks) > MAX_BLOCKS:
        raise Unreadable(f"the mail holds more than {MAX_BLOCKS} JSON-LD blocks")
    for place, block in enumerate(blocks):
        try:
            if len(block) > MAX_BLOCK:
                raise ValueError(f"longer than {MAX_BLOCK} characters")
            yield from _flat(strict_json(block))
        except (ValueError, RecursionError, ArithmeticError):
            unread.append(place)


def strict_json(text: str) -> Any:
    """Return the value of a JSON text; raise ValueError, RecursionError or ArithmeticError for what is none.

    Numbers with a fraction are Decimal. A name that stands twice, NaN and infinities are refused.
    """
    return json.loads(text, parse_float=Decimal, object_pairs_hook=_once, parse_constant=_refuse)


def _flat(value: Any) -> Iterator[JsonObject]:
    """Yield the objects of a block: one, a list of them, or the list under ``@graph``."""
    found = cast("list[Any]", value) if isinstance(value, list) else [value]
    for one in found:
        if isinstance(one, dict):
            item = cast("dict[str, Any]", one)
            graph = item.get("@graph")
            yield from (_flat(graph) if isinstance(graph, list) else (item,))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(_name: str) -> Any:
    raise ValueError("not a number")
