"""The words that mail programs put before the header of a mail that they forward or quote.

In English, German, French and Spanish; Gmail mixes them (``Von:`` beside ``Date:``), so all count together.
"""

from typing import Final

FROM, DATE, SUBJECT, OTHER = "from", "date", "subject", "other"

_WORDS: Final = {
    FROM: "from|von|de",
    DATE: "date|sent|datum|gesendet|envoyé|envoyé le|fecha|enviado|enviado el",
    SUBJECT: "subject|betreff|objet|asunto",
    OTHER: (
        "to|an|à|para|cc|kopie|copie à|bcc|cci|cco|reply-to|antwort an|répondre à|responder a|importance|wichtigkeit"
        "|importancia|attachments|anlagen|pièces jointes|datos adjuntos"
    ),
}
_NAMES: Final = {word: name for name, words in _WORDS.items() for word in words.split("|")}
_LONGEST: Final = max(len(word) for word in _NAMES)


def head_word(text: str) -> tuple[str, str] | None:
    """Return what a line of such a header states (FROM, DATE, SUBJECT or OTHER) and its value; None for other lines.

    `text` is in the normal form. A space before the colon (French), the stars of a bold word and a tab behind
    the colon (Thunderbird) do not count.
    """
    word, colon, value = text[: _LONGEST + 6].partition(":")
    if not colon:
        return None
    name = _NAMES.get(word.strip("* ").casefold())
    return (name, (value + text[_LONGEST + 6 :]).replace("\t", " ").strip("* ")) if name else None
