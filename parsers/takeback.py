"""Words of a subject that take back, fail, postpone or only try out what the mail would tell.

Whole words of seven languages; case and accents do not count. What tells a fact of its own in other subjects
(`Unlocked`, `Cleared`, `Scheduled`), and what sites and people are often called (`Demo`, `Hold`), is not among them.
"""

import re
import unicodedata
from typing import Final, NamedTuple

from parsers.pattern import PatternSet

_WORDS: Final = {
    "English": """
        abort aborted annulled annulment bounced cancel cancelation canceled canceling cancellation cancelled
        cancelling cannot chargeback declined deferred delayed deleted deletion denied disputed disregard
        erroneous error failed failing fails failure ignore incomplete invalid invalidated lifted mistake
        mistaken mistakenly never not nullified overturned pending postponed recall recalled refund
        refunded refused reject rejected rejection removal removed request requested rescheduled rescinded
        retracted retraction returned reversal reversals reverse reversed reversing revoked tentative
        unable unconfirmed undo undone unsuccessful upcoming void voided voiding voids
        withdrawal withdrawn
    """,
    "German": """
        abgebrochen abgelehnt abgesagt ablehnung absage annulliert annullierung aufgehoben aufgeschoben
        fehler fehlgeschlagen fehlschlag gelöscht gescheitert hinfällig irrtümlich löschung nicht rückbuchung
        rückgebucht rückgängig rücklastschrift rücknahme storniert stornierung storno
        ungültig unwirksam verschoben vertagt verworfen vorläufig widerruf widerrufen
        zurückgebucht zurückgenommen zurückgewiesen zurückgezogen
    """,
    "French": """
        ajourné ajournée annulation annule annuler annulé annulée annulées annulés contrepassation
        différé différée erreur erroné extourne impayé impayée invalide non nul nulle provisoire refus
        refusé refusée rejet rejeté rejetée remboursement remboursé remboursée rétracté révoqué révoquée
        supprimé supprimée suspendu suspendue échec échoué échouée
    """,
    "Spanish": """
        anulación anulada anulado anular aplazada aplazado cancelación cancelada cancelado cancelar
        denegada denegado devolución devuelta devuelto eliminada eliminado errónea erróneo fallida fallido fallo
        inválida inválido pendiente pospuesta pospuesto rechazada rechazado reembolsada reembolsado
        reembolso retirada retirado reversada reversado reversión revertida revertido revocada revocado
    """,
    "Italian": """
        annulla annullamento annullata annullato cancellata cancellato cancellazione eliminata eliminato
        errore fallita fallito insoluto posticipata posticipato respinta respinto revoca revocata revocato
        rifiutata rifiutato rimborsata rimborsato rimborso rinviata rinviato ritirata ritirato sospesa sospeso
        stornata stornato
    """,
    "Dutch": """
        afgewezen annuleren annulering geannuleerd geannuleerde gestorneerd geweigerd geweigerde herroepen
        ingetrokken mislukt mislukte niet ongedaan ongeldig ongeldige opgeschort storneering storneren
        terugboeking teruggeboekt teruggedraaid uitgesteld uitgestelde vervallen verwijderd verwijderde
    """,
    "Portuguese": """
        adiada adiado anulada anulação apagada apagado cancelada cancelamento devolvida devolvido erro estornada
        estornado estorno excluída excluído falha falhado falhou não pendente recusada recusado
        rejeitada rejeitado revertida revogada revogado
    """,
}
TRIALS: Final = frozenset(
    (
        *("test", "testing", "tests", "sample", "dummy", "preview", "draft"),
        *("entwurf", "testbuchung", "testmail", "testnachricht", "brouillon", "essai", "borrador", "prueba"),
        *("bozza", "prova", "proef", "rascunho", "teste"),
    )
)
"""Those that try out. A rule that looks at neither subject nor data is tried with mails that are called so."""
_WORD: Final = re.compile(r"[^\W_]+?(?:(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?![^\W_]))(?:['’]t(?![^\W_]))?")
"""A word; of `PaymentReversed` each of the two."""
_HARMLESS: Final = re.compile(r"\bdo[ -]not[ -](?:reply|respond)\b|\bnon(?:-|[ ]payment\b)", re.IGNORECASE)
"""What holds such a word and takes nothing back."""
_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


class Doubt(NamedTuple):
    """A word of a subject that may take back what the mail tells."""

    word: str
    """As it is listed: in lower case, without accents."""
    start: int
    end: int


def _bare(text: str) -> str:
    """Return a text in lower case, without accents."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFD", text.casefold())
    return "".join(one for one in parts if not unicodedata.combining(one)).replace("’", "'")


_LISTED: Final = TRIALS.union(
    spelling
    for words in _WORDS.values()
    for word in words.split()
    for spelling in (_bare(word), word.translate(_UMLAUTS))
)
_MAYBE: Final = PatternSet(["|".join(sorted(word for word in _LISTED if word.isascii())) + "|n't"])
"""A cheap look at a subject in ASCII."""


def find_doubts(subject: str) -> tuple[Doubt, ...]:
    """Return the words of a subject, in the normal form, that may take back what it tells, in their order."""
    if subject.isascii() and not _MAYBE.found(subject):
        return ()
    found = [
        Doubt(word, match.start(), match.end())
        for match in _WORD.finditer(subject)
        if (word := _bare(match[0])) in _LISTED or word.endswith("n't")
    ]
    harmless = [match.span() for match in _HARMLESS.finditer(subject)]
    return tuple(one for one in found if not any(start <= one.start < end for start, end in harmless))
