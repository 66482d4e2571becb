"""How Gmail, Outlook and Apple Mail write a forward, in English, German, French and Spanish: for the dressings.

What these programs do changes with version, language and setting; these are models of what is commonly seen.
"""

import datetime as dt
import html as markup
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PROGRAMS: Final = ("gmail", "outlook", "apple")
LANGUAGES: Final = ("en", "de", "fr", "es")

_MONTHS: Final = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
_SHORT_MONTHS: Final = {
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "de": "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
    "fr": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "es": "ene feb mar abr may jun jul ago sept oct nov dic",
}
_DAYS: Final = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "es": "lunes martes miércoles jueves viernes sábado domingo",
}
_SHORT_DAYS: Final = {
    "en": "Mon Tue Wed Thu Fri Sat Sun",
    "de": "Mo. Di. Mi. Do. Fr. Sa. So.",
    "fr": "lun. mar. mer. jeu. ven. sam. dim.",
    "es": "lun mar mié jue vie sáb dom",
}
_WORDS: Final = {
    ("gmail", "en"): ("From:", "Date:", "Subject:", "To:"),
    ("gmail", "de"): ("Von:", "Date:", "Subject:", "To:"),
    ("gmail", "fr"): ("De :", "Date:", "Subject:", "To:"),
    ("gmail", "es"): ("De:", "Date:", "Subject:", "To:"),
    ("outlook", "en"): ("From:", "Sent:", "Subject:", "To:"),
    ("outlook", "de"): ("Von:", "Gesendet:", "Betreff:", "An:"),
    ("outlook", "fr"): ("De :", "Envoyé :", "Objet :", "À :"),
    ("outlook", "es"): ("De:", "Enviado:", "Asunto:", "Para:"),
    ("apple", "en"): ("From:", "Date:", "Subject:", "To:"),
    ("apple", "de"): ("Von:", "Datum:", "Betreff:", "An:"),
    ("apple", "fr"): ("De:", "Date:", "Objet:", "À:"),
    ("apple", "es"): ("De:", "Fecha:", "Asunto:", "Para:"),
}
"""From, date, subject, to."""
_PREFIXES: Final = {
    ("gmail", "en"): "Fwd:", ("gmail", "de"): "Fwd:", ("gmail", "fr"): "Fwd:", ("gmail", "es"): "Fwd:",
    ("outlook", "en"): "FW:", ("outlook", "de"): "WG:", ("outlook", "fr"): "TR :", ("outlook", "es"): "RV:",
    ("apple", "en"): "Fwd:", ("apple", "de"): "Fwd:", ("apple", "fr"): "Fwd:", ("apple", "es"): "Fwd:",
}  # fmt: skip
_BEGINS: Final = {
    "en": "Begin forwarded message:",
    "de": "Anfang der weitergeleiteten Nachricht:",
    "fr": "Début du message réexpédié :",
    "es": "Inicio del mensaje reenviado:",
}
_GMAIL: Final = "---------- Forwarded message ---------"
_ATTRIBUTIONS: Final = {
    "en": "On {date} {sender} wrote:",
    "de": "Am {date} schrieb {sender}:",
    "fr": "Le {date}, {sender} a écrit :",
    "es": "El {date}, {sender} escribió:",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A mail as a person sees it who forwards it or answers it."""

    sender: str
    to: str
    subject: str
    date: dt.datetime | None
    """Naive when it names no zone; None when there is none."""
    text: str
    html: str


def forwarded_subject(subject: str, program: str, language: str) -> str:
    """Return the subject of a forward."""
    return f"{_PREFIXES[program, language]} {subject}"


def forwarded_text(told: Told, program: str, language: str) -> str:
    """Return what a program puts into the plain text of a forward, below the note."""
    head = "\n".join(f"{word} {value}" for word, value in _head(told, program, language))
    if program == "gmail":
        return f"{_GMAIL}\n{head}\n\n\n{told.text}"
    if program == "outlook":
        return f"{'_' * 32}\n{head}\n\n{told.text}"
    lines = f"{_BEGINS[language]}\n\n{head}\n\n{told.text}".rstrip("\n").split("\n")
    return "".join(f"> {line}".rstrip() + "\n" for line in lines)


def forwarded_html(told: Told, program: str, language: str) -> str:
    """Return what a program puts into the HTML of a forward, below the note."""
    rows = [(word, markup.escape(value)) for word, value in _head(told, program, language)]
    if program == "gmail":
        head = "<br>".join(f"{word} {value}" for word, value in rows)
        attribution = f'<div dir="ltr" class="gmail_attr">{_GMAIL}<br>{head}<br></div>'
        return f'<div class="gmail_quote">{attribution}<br><br>{told.html}</div>'
    if program == "outlook":
        head = "<br>\n".join(f"<b>{word}</b> {value}" for word, value in rows)
        return (
            f'<hr style="display:inline-block;width:98%"><div id="divRplyFwdMsg" dir="ltr"><font face="Calibri">{head}'
            f"</font><div>&nbsp;</div></div>\n<div>{told.html}</div>"
        )
    head = "".join(f"<div><span><b>{word} </b></span><span>{value}<br></span></div>" for word, value in rows)
    inside = f"<div>{_BEGINS[language]}</div><br>{head}<br><div>{told.html}</div>"
    return f'<div><blockquote type="cite">{inside}</blockquote></div>'


def attribution(told: Told, language: str) -> str:
    """Return the line that a program puts above what a reply quotes."""
    return _ATTRIBUTIONS[language].format(date=write_date(told.date, "gmail", language), sender=told.sender)


def _head(told: Told, program: str, language: str) -> list[tuple[str, str]]:
    """Return the header of a forward, in the order of the program."""
    sender, date, subject, to = _WORDS[program, language]
    rows = {
        "sender": (sender, told.sender),
        "date": (date, write_date(told.date, program, language)),
        "subject": (subject, told.subject),
        "to": (to, told.to),
    }
    order = {"gmail": "sender date subject to", "outlook": "sender date to subject", "apple": "sender subject date to"}
    return [rows[name] for name in order[program].split()]


def write_date(date: dt.datetime | None, program: str, language: str) -> str:
    """Return a date as a program writes it; only Apple Mail tells seconds and zone. Empty without a date."""
    if date is None:
        return ""
    day, year = date.day, date.year
    month, weekday = _word(_MONTHS, language, date.month - 1), _word(_DAYS, language, date.weekday())
    hour = _hour(date, language, seconds=program == "apple")
    if program == "outlook":
        return {
            "en": f"{weekday}, {month} {day}, {year} {hour}",
            "de": f"{weekday}, {day}. {month} {year} {hour}",
            "fr": f"{weekday} {day} {month} {year} {hour}",
            "es": f"{weekday}, {day} de {month} de {year} {hour}",
        }[language]
    if program == "gmail":
        month, weekday = _word(_SHORT_MONTHS, language, date.month - 1), _word(_SHORT_DAYS, language, date.weekday())
        return {
            "en": f"{weekday}, {month} {day}, {year} at {hour}",
            "de": f"{weekday}, {day}. {month} {year} um {hour} Uhr",
            "fr": f"{weekday} {day} {month} {year} à {hour}",
            "es": f"{weekday}, {day} {month} {year} a las {hour}",
        }[language]
    return {
        "en": f"{month} {day}, {year} at {hour}",
        "de": f"{day}. {month} {year} um {hour}",
        "fr": f"{day} {month} {year} à {hour}",
        "es": f"{day} de {month} de {year}, {hour}",
    }[language] + _zone(date)


def _word(words: Mapping[str, str], language: str, place: int) -> str:
    return words[language].split()[place]


def _hour(date: dt.datetime, language: str, *, seconds: bool) -> str:
    rest = f"{date.minute:02}" + (f":{date.second:02}" if seconds else "")
    if language == "en":
        return f"{(date.hour - 1) % 12 + 1}:{rest}\u202f{'AM' if date.hour < 12 else 'PM'}"
    return f"{date.hour}:{rest}" if language == "es" else f"{date.hour:02}:{rest}"


def _zone(date: dt.datetime) -> str:
    offset = date.utcoffset()
    if offset is None:
        return ""
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f" GMT{'-' if minutes < 0 else '+'}" + (f"{hours:02}:{rest:02}" if rest else str(hours))
