"""What of an HTML text is quoted from other mails, or not shown at all: by the marks that mail programs set."""

from collections.abc import Callable
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from parsers.forward import opens_forward
from parsers.text import Line

_BLOCKS = (
    "blockquote[type=cite], blockquote.gmail_quote, div.gmail_quote, div.gmail_quote_container, div.yahoo_quoted, "
    "div.moz-cite-prefix, div.moz-forward-container"
)
"""What mail programs put quoted text into."""
_OUTLOOK = "#divRplyFwdMsg"
_BELOW_OUTLOOK = "#divRplyFwdMsg, #divRplyFwdMsg ~ *, #appendonsend, #appendonsend ~ *"
"""Where Outlook for the web puts the header of what it quotes; the quoted text stands beside it."""
_NOT_SHOWN = "[hidden], [aria-hidden=true i]"
QUOTED = f"{_BLOCKS}, {_BELOW_OUTLOOK}, {_NOT_SHOWN}"
_MAX_OPENED: Final = 20
"""How many quoted blocks are looked into; the others are dropped."""


def find_quoted(tree: LexborHTMLParser, opening: Callable[[LexborNode], list[Line]]) -> list[LexborNode]:
    """Return the elements that are not shown, and the quoted blocks that do not begin as a forwarded mail does.

    `opening` returns the first lines of a block.
    """

    def keeps(node: LexborNode) -> bool:
        return opens_forward(opening(node))

    below = [] if any(keeps(node) for node in tree.css(_OUTLOOK)[:_MAX_OPENED]) else tree.css(_BELOW_OUTLOOK)
    blocks = tree.css(_BLOCKS)
    others = [node for node in blocks[:_MAX_OPENED] if not keeps(node)]
    return [*tree.css(_NOT_SHOWN), *below, *others, *blocks[_MAX_OPENED:]]
