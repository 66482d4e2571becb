"""Tell words that may be somebody's name from words of a template. Pure; when in doubt, a word is a name."""

import re
from collections.abc import Iterable, Iterator, Sequence

from parsers import RuleSet
from parsers.names import CALENDARS
from parsers.rule import Pack, Rule, Words
from parsers.text import Line

_WORD = re.compile(r"[^\W\d_]+")
_NAME_LABEL = re.compile(
    r"name|tenant|customer|resident|guest|contact|occupant|member|client|lessee|payer|user|manager|agent|attn|signed|"
    r"mieter|kunde|locataire|client|inquilino|cliente|address|street|city|facility|site|property",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"^(?:hi|hello|dear|hallo|liebe[rs]?|guten tag|bonjour|cher|chère|hola|estimad[oa]|sehr geehrte[rs]?"
    r"(?: frau| herr)?)\b"
    r"\s*(?:mrs?\.?|ms\.?|mx\.?|dr\.?)?\s*(?P<name>[^,:!]{1,60})[,:!]?\s*$",
    re.IGNORECASE,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMMON = _words(
    """
    a about above access account accounts active activity address after all allocated alert amount an and any
    application applied apply are as assigned at attached attachment auction automated automatic autopay available
    balance bank be been before began belongs below bill billing booking box building button by call cancelled caution
    change changed charge charges check city cleared click climate close closed code company complete completed
    confirmation confirmed contact contract controlled copy corner credit current customer customers date day days
    dear delinquent deposit desk details due effective email end ended ends enter error event exit external facility
    failed false fee fees fax file first floor following for forward from front full gate gated ground group has have
    hello hi hours house id if in inactive indoor information inside insurance invoice is issued it item just keep
    last late lease ledger left level link location lock locked lockout log login mail manager member message method
    mobile month monthly more move moved mr mrs ms name new next no none not note notes notice notification
    notifications number of office on online open order organization originated other our out outside outdoor
    outstanding overlock overlocked page paid parking part past pay payer payment payments pending per phone place
    please portal posted powered prior processed processing promotion property protection questions rate re reason
    receipt received receive reference regards regarding released rent rental rented renter report request requested
    reservation reserved resident reversal reverse reversed sale scheduled see self sent service set settings site
    size space stage standard start started starts state statement status storage store street subject submitted
    successful successfully summary support system systems tax team tel telephone tenant tenants terms thank thanks
    that the their this through thru time to today total transaction transfer transferred true type unit units unlock
    unlocked unpaid until update updated upon us user using vacant vacated view visit was we web website week welcome
    were when which will with yes you your zip herr frau einheit kunde mieter miete datum betrag beginn ende rechnung
    zahlung vertrag sehr geehrte geehrter von gesendet betreff envoyé objet para enviado asunto fecha weitergeleitete
    nachricht begin forwarded fwd fw wg tr rv mit freundlichen grüßen und der die das bis zu am im ist
    """
)
_CALENDAR = _words(
    "am pm um uhr à às alle ore cst cdt est edt pst pdt mst mdt utc gmt cr dr usd eur gbp cad tues thur thurs"
) | {
    word.rstrip(".").casefold()
    for one in CALENDARS.values()
    for names in (
        one.months,
        one.days,
        one.short_days,
        *one.short_months,
        dict(one.further_months),
        dict(one.further_days),
    )
    for word in names
}


class Vocabulary:
    """The words of templates: nobody's."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(word.casefold() for word in words) | _COMMON | _CALENDAR

    def knows(self, word: str) -> bool:
        """Return whether a word is one of a template's."""
        low = word.casefold()
        return low in self._words or len(low) < 2

    def covers(self, text: str) -> bool:
        """Return whether a text holds nothing but known words and small words."""
        return not re.search(r"\d{3,}|@|https?:", text) and all(
            self.knows(word) or word.islower() for word in _WORD.findall(text)
        )


def vocabulary_of(rules: RuleSet, rule: Rule | None) -> Vocabulary:
    """Return the words of all packs' titles and senders, and of the patterns and labels of a rule."""
    texts: list[str] = []
    for pack in rules.packs.values():
        texts += _pack_texts(pack)
    if rule is not None:
        texts += _rule_texts(rule)
    return Vocabulary(word for text in texts for word in _WORD.findall(text))


def _pack_texts(pack: Pack) -> Iterator[str]:
    yield from (pack.name, pack.title, *pack.senders)
    if pack.location:
        yield from (word for source in pack.location.sources for word in source.words)


def _rule_texts(rule: Rule) -> Iterator[str]:
    when = rule.when
    patterns = [pattern.text for pattern in (when.subject, *when.body, *when.absent, when.sender) if pattern]
    patterns += rule.ignore_lines.texts if rule.ignore_lines else ()
    yield from (re.sub(r"\\[a-zA-Z]", " ", text) for text in patterns)
    yield from (value for stated in (*when.json, *when.jsonld) for value in stated)
    for table in rule.tables:
        yield from (*table.heading, *(word for words in table.columns for word in words), *table.empty)
        yield from (word for case in table.cases for word in case.words)
        yield from (re.sub(r"\\[a-zA-Z]", " ", pattern.text) for pattern in table.skip)
        if file := table.attachment:
            yield from (*file.names, *file.columns, *file.fill_down, file.sheet)
    for event in rule.all_events:
        yield from (word for _, spec in event.values if isinstance(spec, Words) for word in (*spec.trues, *spec.falses))
    for one in (*rule.all_fields, *(field for table in rule.tables for field in table.fields)):
        yield from (one.default or "", *one.trues, *one.falses)
        for source in one.sources:
            yield from source.words
            if source.pattern:
                yield re.sub(r"\(\?P<\w+>|\\[a-zA-Z]", " ", source.pattern.text)


def titles_people(title: str) -> bool:
    """Return whether what stands below or beside a title may be somebody's name."""
    return _NAME_LABEL.search(title) is not None


def names_in(
    lines: Sequence[Line], subject: str, captured: Iterable[str], people: Iterable[str], vocabulary: Vocabulary
) -> set[str]:
    """Return the words that may be somebody's name.

    ``captured``: texts that rules took. ``people``: headers with addresses.
    """
    texts = [*captured, *(re.sub(r"<[^>]*>|\S+@\S+", " ", one) for one in people)]
    for line in lines:
        label, value = _parted(line)
        if found := _GREETING.match(line.text):
            texts.append(found["name"])
        elif titles_people(label) and len(_WORD.findall(value)) <= 8:
            texts.append(value)
        else:
            texts += _capitalised(value)
    texts += _capitalised(subject)
    return {word for text in texts for word in _WORD.findall(text) if not vocabulary.knows(word) and _is_name(word)}


def _parted(line: Line) -> tuple[str, str]:
    """Return the label of a line and what stands behind it; no label where there is none."""
    if len(line.cells) > 1:
        return line.cells[0], " ".join(line.cells[1:])
    head, colon, rest = line.text.partition(":")
    return (head, rest) if colon and len(head) <= 60 else ("", line.text)


def _capitalised(text: str) -> list[str]:
    """Return runs of words with a capital, and such words that do not begin a sentence."""
    runs = re.findall(r"[^\W\d_a-z][\w'’]*(?:,? [^\W\d_a-z][\w'’]*)+", text)
    inside = re.findall(r"(?<=[\w,;] )[^\W\d_a-z][\w'’]+", text)
    return [*runs, *inside]


def _is_name(word: str) -> bool:
    return not word.islower() or len(word) > 2
