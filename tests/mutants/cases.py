"""Fixtures as cases: a draft of each mail, the rule that reads it, and what reading it must give."""

import email
import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.message import Message
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from parsers import Mailbox, Reading, RuleSet, Unreadable, parse_mail, read_mail
from parsers.charset import decode
from parsers.forward import says_forwarded
from parsers.parse import parse
from parsers.rule import Field, From, Rule
from tests.mutants.draft import Block, Draft, Form, Grid, Heading, Note, Pair, Pairs, Raw, Setting, octets_of
from worker.fixtures import DEFAULT_PACK, find_fixtures, fixture_mailbox

_SENT_BY = ("subject", "mime-version", "content-type", "content-transfer-encoding", "content-disposition")
_PAIR = re.compile(r"(?P<bullet>[*•-] )?(?P<label>[^\W\d_][^:\t]{0,40}?)(?P<joint>:\s*|\s*\t\s*)(?P<value>\S.*)")
_ALONE = re.compile(r"(?P<label>[^\W\d_][^:\t]{0,40}?):")
_COLUMNS = re.compile(r" {2,}|\t")
_TAG = re.compile(r"<[^>]+>")
_BLOCKS = re.compile(
    r"<(?P<tag>script|table|ul|h\d|p|div|blockquote)\b(?P<attributes>[^>]*)>(?P<inner>.*?)</(?P=tag)>",
    re.DOTALL | re.IGNORECASE,
)
_ROW = re.compile(r"<tr\b[^>]*>(.*?)</tr>", re.DOTALL | re.IGNORECASE)
_CELL = re.compile(r"<t[dh]\b[^>]*>(.*?)</t[dh]>", re.DOTALL | re.IGNORECASE)
_ITEM = re.compile(r"<li\b[^>]*>(.*?)</li>", re.DOTALL | re.IGNORECASE)


def label_of(text: str) -> str:
    """Return what two spellings of a label share."""
    return " ".join(text.casefold().split()).strip(" :*•·-–_")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fixture, and what is known of it."""

    name: str
    draft: Draft
    expected: dict[str, Any]
    rules: RuleSet
    mailbox: Mailbox
    among: tuple[str, ...] | None
    """The packs that the mailbox reads; None for all."""
    is_forward: bool
    """Whether the mail was forwarded, so that its header may stand in its text: that is left as it is."""

    def read(self, octets: bytes) -> Reading:
        """Return how the mailbox reads some octets."""
        try:
            mail = read_mail(octets)
        except Unreadable:
            return parse_mail(octets, self.rules, mailbox=self.mailbox)
        packs = self.rules.packs_for(mail.from_domain, self.among)
        return parse(mail, self.rules, mailbox=self.mailbox, packs=packs)

    @property
    def is_told(self) -> bool:
        """Say whether the mail tells events."""
        return self.expected["outcome"] == "events"

    @cached_property
    def rule(self) -> Rule | None:
        """The rule that the mail is for; None where none claims it."""
        name = self.expected["rule"]
        every = (rule for pack in self.rules.packs.values() for rule in pack.rules)
        return next((rule for rule in every if rule.name == name), None)

    @cached_property
    def labels(self) -> dict[str, Field]:
        """The fields of the rule by each label that they know."""
        found: dict[str, Field] = {}
        for field in self.rule.all_fields if self.rule else ():
            found |= {label_of(word): field for word in _words(field, From.LABEL)}
        return found

    @cached_property
    def columns(self) -> dict[str, Field]:
        """The fields of the rule's tables by each heading of a column that they know."""
        fields = [field for block in (self.rule.tables if self.rule else ()) for field in block.fields]
        return {label_of(word): field for field in fields for word in _words(field, From.COLUMN)}

    @cached_property
    def headings(self) -> frozenset[str]:
        """What heads the rule's tables."""
        return frozenset(label_of(word) for block in (self.rule.tables if self.rule else ()) for word in block.heading)

    @cached_property
    def is_structured(self) -> bool:
        """Say whether structured data is read in place of the text."""
        return self.rule is not None and bool(self.rule.when.jsonld)


def is_needed(field: Field) -> bool:
    """Say whether a mail must be held without what one source of a field finds."""
    return not field.optional and field.default is None and len(field.sources) == 1


def _words(field: Field, kind: From) -> tuple[str, ...]:
    return tuple(word for source in field.sources if source.kind is kind for word in source.words)


def load_cases(rules: RuleSet, folder: Path) -> tuple[list[Case], list[str]]:
    """Return a case for each fixture, and the names of those that cannot be taken apart and put together again."""
    cases: list[Case] = []
    left_out: list[str] = []
    for path in find_fixtures(folder):
        made = next(_cases(path, rules), None)
        if made is None:
            left_out.append(f"{path.parent.name}/{path.stem}")
        else:
            cases.append(made)
    return cases, left_out


def _cases(path: Path, rules: RuleSet) -> Iterator[Case]:
    """Yield the ways to take a fixture apart that read as is expected, the finest first."""
    wanted = json.loads(path.with_suffix(".expected.json").read_text("utf-8"))
    pack = path.parent.name if path.parent.name in rules.packs else DEFAULT_PACK
    octets = path.read_bytes()
    message = email.message_from_bytes(octets)
    is_forward = path.parent.name == "forwards" or _was_forwarded(octets)
    for is_fine in (False,) if is_forward else (True, False):
        among = wanted.get("packs")
        case = Case(
            name=f"{path.parent.name}/{path.stem}",
            draft=draft_of(message, is_fine=is_fine),
            expected=wanted["expected"],
            rules=rules,
            mailbox=fixture_mailbox(pack, wanted.get("mailbox", {})),
            among=None if among is None else tuple(among),
            is_forward=is_forward,
        )
        found = case.read(octets_of(case.draft)).to_json()
        if all(found[name] == case.expected[name] for name in ("outcome", "rule", "events")):
            yield case


def _was_forwarded(octets: bytes) -> bool:
    try:
        mail = read_mail(octets)
    except Unreadable:
        return False
    return bool(mail.chain or mail.doubt) or says_forwarded(mail.subject)


def draft_of(message: Message, *, is_fine: bool) -> Draft:
    """Return the draft of a mail; its text as one raw block unless `is_fine`."""
    head = tuple((name, str(value)) for name, value in message.raw_items() if name.lower() not in _SENT_BY)
    try:
        subject = " ".join(str(make_header(decode_header(message.get("Subject", "")))).split())
    except (LookupError, UnicodeError):
        subject = ""
    leaf, parts = _leaf_of(message)
    text = _text_of(leaf)
    form = Form.HTML if leaf.get_content_type() == "text/html" else Form.PLAIN
    body = (_html_blocks if form is Form.HTML else _plain_blocks)(text) if is_fine else (_raw(text, form),)
    return Draft(head=head, subject=subject, body=tuple(body), form=form, parts=parts)


def _raw(text: str, form: Form) -> Raw:
    return Raw(html=text, is_seen=True) if form is Form.HTML else Raw(plain=text, is_seen=True)


def _leaf_of(message: Message) -> tuple[Message, tuple[bytes, ...]]:
    """Return the part that holds the readable text, and the parts beside it."""
    if message.get_content_maintype() != "multipart" or not message.is_multipart():
        return message, ()
    first, *others = cast("list[Message]", message.get_payload())
    if message.get_content_type() == "multipart/alternative":
        return _leaf_of([first, *others][-1])
    leaf, parts = _leaf_of(first)
    return leaf, (*parts, *(part.as_bytes() for part in others))


def _text_of(leaf: Message) -> str:
    payload = leaf.get_payload(decode=True)
    text = decode(payload if isinstance(payload, bytes) else b"", leaf.get_content_charset() or "")
    return text.replace("\r\n", "\n")


def _plain_blocks(text: str) -> list[Block]:
    """Return the paragraphs of a plain text."""
    blocks: list[Block] = []
    for paragraph in re.split(r"\n[ \t]*\n", text.strip("\n")):
        lines = [line.rstrip() for line in paragraph.splitlines() if line.strip()]
        blocks += _paragraph(lines)
    return blocks


def _paragraph(lines: Sequence[str]) -> Iterator[Block]:
    """Yield the blocks of some lines that no blank line parts."""
    pairs: list[Pair] = []
    prose: list[str] = []
    rows = [tuple(_COLUMNS.split(line.strip())) for line in lines]
    if len(rows) > 1 and len(rows[0]) > 2:
        yield Grid(rows=tuple(rows), setting=Setting.TABS if "\t" in lines[0] else Setting.COLUMNS)
        return
    if lines and len(lines) % 2 == 0 and all(_ALONE.fullmatch(line) for line in lines[::2]):
        stacked = (Pair(label=lines[n][:-1], value=lines[n + 1]) for n in range(0, len(lines), 2))
        yield Pairs(pairs=tuple(stacked), setting=Setting.STACKED)
        return
    for line in lines:
        match = _PAIR.fullmatch(line)
        if match is None:
            if pairs:
                yield Pairs(pairs=tuple(pairs))
                pairs = []
            prose.append(line)
        else:
            if prose:
                yield Note(text="\n".join(prose))
                prose = []
            pairs.append(_pair(match))
    if pairs:
        yield Pairs(pairs=tuple(pairs))
    if prose:
        yield Note(text="\n".join(prose))


def _pair(match: re.Match[str]) -> Pair:
    return Pair(label=match["label"], value=match["value"], joint=match["joint"], bullet=match["bullet"] or "")


def _html_blocks(text: str) -> list[Block]:
    """Return the elements of an HTML body, in order."""
    blocks: list[Block] = []
    end = 0
    text = re.sub(r".*?(?:</head>\s*)?<body[^>]*>", _structured_head, text, count=1, flags=re.DOTALL | re.IGNORECASE)
    text = re.sub(r"</body>.*", "", text, flags=re.DOTALL | re.IGNORECASE)
    for match in _BLOCKS.finditer(text):
        between = text[end : match.start()]
        if between.strip():
            blocks.append(Raw(html=between, is_seen=True))
        end = match.end()
        blocks += _element(match)
    if text[end:].strip():
        blocks.append(Raw(html=text[end:], is_seen=True))
    return blocks


def _structured_head(match: re.Match[str]) -> str:
    """Return the scripts of a head, which are all of it that is read."""
    return "".join(found[0] for found in _BLOCKS.finditer(match[0]) if found["tag"] == "script")


def _element(match: re.Match[str]) -> Iterator[Block]:
    tag, inner = match["tag"].lower(), match["inner"]
    if tag == "table" and (rows := [_CELL.findall(row) for row in _ROW.findall(inner)]):
        cells = tuple(tuple(_seen(cell) for cell in row) for row in rows)
        if all(len(row) == 2 for row in cells):
            yield Pairs(pairs=tuple(Pair(label=label, value=value) for label, value in cells), setting=Setting.ROWS)
        else:
            yield Grid(rows=cells)
        return
    items = [_PAIR.fullmatch(_seen(item)) for item in _ITEM.findall(inner)] if tag == "ul" else []
    if items and all(items):
        pairs = tuple(Pair(label=item["label"], value=item["value"]) for item in items if item)
        yield Pairs(pairs=pairs, setting=Setting.ITEMS)
    elif tag.startswith("h"):
        yield Heading(text=_seen(inner))
    elif tag == "p" and not _TAG.search(inner):
        yield Note(text=_seen(inner))
    else:
        is_unseen = tag == "script" or "display:none" in match["attributes"]
        yield Raw(html=match[0], is_seen=not is_unseen)


def _seen(inner: str) -> str:
    return " ".join(html.unescape(_TAG.sub("", inner)).split())
