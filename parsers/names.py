"""Names of months and days by language, and what may stand behind the number of a day.

With the names of a territory that has some of its own (Austria, Peru): none of them means another month elsewhere.

Source: Unicode CLDR, ``dates/calendars/gregorian`` (wide and abbreviated names, of format and stand-alone), without
the full stop of an abbreviation, which a text may have or not. What may stand behind a day's number: CLDR, ``rbnf``.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """How one language names months and days, in lower case."""

    months: tuple[str, ...]
    short_months: tuple[tuple[str, ...], ...]
    """The abbreviations of each month."""
    days: tuple[str, ...]
    short_days: tuple[str, ...]
    ordinal: str
    """A pattern of what may stand behind the number of a day; it may match nothing."""
    further_months: tuple[tuple[str, int], ...] = ()
    """Names beside `months`, each with its number."""
    further_days: tuple[tuple[str, int], ...] = ()
    """Names beside `days`, each with its number; Monday is 0."""

    def number_of(self, month: str) -> int:
        """Return the number of a month; raise KeyError for a name that is none."""
        for number, (name, short) in enumerate(zip(self.months, self.short_months, strict=True), 1):
            if month == name or month in short:
                return number
        return dict(self.further_months)[month]

    def names_of_day(self, number: int) -> frozenset[str]:
        """Return every name of a day, wide and abbreviated; Monday is 0."""
        further = [name for name, day in self.further_days if day == number]
        return frozenset((self.days[number], self.short_days[number], *further))


def _short(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(word.split("/")) for word in text.split())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_MASCULINE: Final = r"(?:\.?[ºo°])?"
"""The Romance ordinal sign; the normal form of texts writes it as a small o."""

CALENDARS: Final = {
    "en": Calendar(
        months=_words("january february march april may june july august september october november december"),
        short_months=_short("jan feb mar apr may jun jul aug sep/sept oct nov dec"),
        days=_words("monday tuesday wednesday thursday friday saturday sunday"),
        short_days=_words("mon tue wed thu fri sat sun"),
        ordinal="(?:st|nd|rd|th)?",
    ),
    "de": Calendar(
        months=_words("januar februar märz april mai juni juli august september oktober november dezember"),
        short_months=_short("jan/jän feb mär/märz apr mai jun/juni jul/juli aug sep/sept okt nov dez"),
        days=_words("montag dienstag mittwoch donnerstag freitag samstag sonntag"),
        short_days=_words("mo di mi do fr sa so"),
        ordinal=r"\.?",
        further_months=(("jänner", 1), ("feber", 2)),
        further_days=(("sonnabend", 5),),
    ),
    "fr": Calendar(
        months=_words("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
        short_months=_short("janv févr mars avr mai juin juil/juill août sept oct nov déc"),
        days=_words("lundi mardi mercredi jeudi vendredi samedi dimanche"),
        short_days=_words("lun mar mer jeu ven sam dim"),
        ordinal="(?:er)?",
    ),
    "es": Calendar(
        months=_words("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"),
        short_months=_short("ene feb mar abr may jun jul ago sep/sept/set oct nov dic"),
        days=_words("lunes martes miércoles jueves viernes sábado domingo"),
        short_days=_words("lun mar mié jue vie sáb dom"),
        ordinal=_MASCULINE,
        further_months=(("setiembre", 9),),
    ),
    "nl": Calendar(
        months=_words("januari februari maart april mei juni juli augustus september oktober november december"),
        short_months=_short("jan feb mrt apr mei jun jul aug sep okt nov dec"),
        days=_words("maandag dinsdag woensdag donderdag vrijdag zaterdag zondag"),
        short_days=_words("ma di wo do vr za zo"),
        ordinal="(?:ste|de|e)?",
    ),
    "it": Calendar(
        months=_words("gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre"),
        short_months=_short("gen feb mar apr mag giu lug ago set ott nov dic"),
        days=_words("lunedì martedì mercoledì giovedì venerdì sabato domenica"),
        short_days=_words("lun mar mer gio ven sab dom"),
        ordinal=_MASCULINE,
    ),
    "pt": Calendar(
        months=_words("janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"),
        short_months=_short("jan fev mar abr mai jun jul ago set out nov dez"),
        days=_words("segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo"),
        short_days=_words("seg ter qua qui sex sáb dom"),
        ordinal=_MASCULINE,
    ),
}
"""The calendars by language. A language is added as a row."""
