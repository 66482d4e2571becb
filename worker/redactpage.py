"""Redact an HTML page: what it shows, its links, and what else its markup may hold.

Of the attributes of a tag those stay that make the layout, tell of a picture or link, or say what is a quotation; the
others go, as scripts do: nobody sees them, and they may name somebody.
"""

import html
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Final
from urllib.parse import unquote

from parsers.html import read_html
from worker.disguise import Disguise

MARKUP: Final = re.compile(
    r"(<style\b.*?</style\s*>|<script\b(?![^>]*ld\+json).*?</script\s*>"
    r"|</?[a-z](?:[^>=]|=\s*+(?:\"[^\"]*\"|'[^']*')?+)*+>|<[!?/][^>]*>)",
    re.IGNORECASE | re.DOTALL,
)
"""One piece of markup: a style, a script that is no structured data, a tag, a comment or a declaration."""
_TAG = re.compile(r"<(/?)([a-z][^\s/>]*)(.*?)(/?)>", re.IGNORECASE | re.DOTALL)
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'>][^\s>]*))?""")
_LAYOUT_WORDS: Final = (
    "align background bgcolor border cellpadding cellspacing charset class clear color colspan content dir face frame "
    "hidden height hspace http-equiv id lang media noshade nowrap rel role rowspan rules scope size span start style "
    "target type valign vspace width"
)
_LAYOUT: Final = frozenset(_LAYOUT_WORDS.split())
_LINKS: Final = frozenset({"action", "background", "cite", "href", "src"})
_TEXTS: Final = frozenset({"alt", "title"})
_ELEMENT_NAMES: Final = (
    "a abbr address area article aside b base big blockquote body br button caption center cite code col colgroup dd "
    "del details dfn dir div dl dt em fieldset figcaption figure font footer form frame h1 h2 h3 h4 h5 h6 head header "
    "hr html i iframe img input ins kbd label legend li link main map mark meta nav nobr noscript object ol option p "
    "param pre q s samp script section select small span strike strong style sub summary sup table tbody td template "
    "textarea tfoot th thead time title tr tt u ul var wbr"
)
_ELEMENTS: Final = frozenset(_ELEMENT_NAMES.split())
"""Names that HTML itself gives, so that they tell of nobody."""


def page_text(source: str) -> str:
    """Return what stands between the markup of a page, a line for each piece."""
    return html.unescape(MARKUP.sub("\n", source))


def redact_page(source: str, disguise: Disguise, known: Collection[str]) -> str:
    """Return a page redacted. ``known``: what is replaced in layout, too, where a number may be a width."""
    pieces = MARKUP.split(source)
    replace = _replacing(known, "".join(pieces[1::2]), disguise)
    return "".join(
        _markup(piece, disguise, replace) if place % 2 else _words(piece, disguise)
        for place, piece in enumerate(pieces)
    )


def hidden_texts(source: str) -> Iterator[str]:
    """Yield what a page holds beside its text: everything in its markup but the names of HTML itself."""
    for piece in MARKUP.split(source)[1::2]:
        tag = _TAG.fullmatch(piece)
        if tag is None:
            yield html.unescape(piece)
            continue
        if tag[2].lower() not in _ELEMENTS:
            yield tag[2]
        for found in _ATTRIBUTE.finditer(tag[3]):
            if found[1].lower() not in _LAYOUT | _LINKS | _TEXTS:
                yield found[1]
            yield html.unescape(found[2] or "")


def parted(before: str, after: str, disguise: Disguise) -> bool:
    """Return whether a value that stands in one piece for a reader became something else than it did elsewhere.

    Its markup parts it, so that its pieces were replaced one by one, or not at all.

    Raises:
        Unreadable: one of the pages is past the bounds of what is read.
    """
    wanted = Counter(made for line in read_html(before, is_forward=True).lines for made in disguise.made_of(line.text))
    seen = Counter(token for line in read_html(after, is_forward=True).lines for token in disguise.tokens_of(line.text))
    return any(seen[made] < count for made, count in wanted.items())


def _replacing(known: Collection[str], markup: str, disguise: Disguise) -> Callable[[str], str]:
    """Return what replaces, in a text of markup, that which is replaced elsewhere."""
    seen = html.unescape(markup).casefold()
    there = sorted((one for one in known if one.casefold() in seen), key=len, reverse=True)
    if not there:
        return lambda text: text
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, there))})(?!\w)", re.IGNORECASE)
    return lambda text: pattern.sub(lambda found: disguise.text(found[0]), text)


def _markup(piece: str, disguise: Disguise, replace: Callable[[str], str]) -> str:
    low = piece.lower()
    if low.startswith("<style"):
        return replace(piece)
    if low.startswith("<script") and "</script" in low:
        return ""
    tag = _TAG.fullmatch(piece)
    if tag is None:
        return disguise.text(piece)
    made = [_attribute(found, disguise, replace) for found in _ATTRIBUTE.finditer(tag[3])]
    return f"<{tag[1]}{tag[2]}{''.join(f' {one}' for one in made if one)}{tag[4]}>"


def _attribute(found: re.Match[str], disguise: Disguise, replace: Callable[[str], str]) -> str:
    """Return an attribute as it becomes; empty where it goes."""
    name, written = found[1], found[2]
    low = name.lower()
    if written is None:
        return name if low in _LAYOUT else ""
    value = html.unescape(written[1:-1] if written[0] in "\"'" else written)
    if low in _LINKS:
        made = _link(value, disguise)
    elif low in _TEXTS:
        made = disguise.text(value)
    elif low in _LAYOUT:
        made = replace(value)
    else:
        return ""
    return found[0] if made == value else f'{name}="{html.escape(made)}"'


def _link(value: str, disguise: Disguise) -> str:
    low = value.lower()
    if low.startswith("mailto:"):
        return "mailto:" + disguise.text(value[7:].partition("?")[0])
    return "cid:" + disguise.content_id(unquote(value[4:])) if low.startswith("cid:") else disguise.text(value)


def _words(text: str, disguise: Disguise) -> str:
    plain = html.unescape(text)
    made = disguise.text(plain)
    return text if made == plain else html.escape(made, quote=False) if "&" in text else made
