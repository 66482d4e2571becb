"""Names of months and days, and ordinals, in the languages of packs."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import Mailbox, load_rules_text, parse_mail
from parsers.convert import NotConverted, date_format, read_moment
from parsers.names import CALENDARS

MAY_FIRST = dt.datetime.fromisoformat("2026-05-01")


def moment(text: str, form: str, language: str) -> dt.datetime:
    return read_moment(text, [date_format(form, language)])


@pytest.mark.parametrize(
    ("language", "form", "written"),
    [
        ("en", "%A, %B %d, %Y", "Friday, May 1st, 2026"),
        ("en", "%d of %B, %Y", "1st of May, 2026"),
        ("de", "%d. %B %Y", "1. Mai 2026"),
        ("de", "%d %B %Y", "1. MAI 2026"),
        ("de", "%d.%m.%Y", "01.05.2026"),
        ("de", "%A, %d %b %Y", "Freitag, 1. Mai 2026"),
        ("fr", "%d %B %Y", "1er mai 2026"),
        ("fr", "%a %d %b %Y", "ven. 1er mai 2026"),
        ("es", "%d de %B de %Y", "1.º de mayo de 2026"),
        ("es", "%A, %d de %b de %Y", "viernes, 1 de may. de 2026"),
        ("nl", "%A %d %B %Y", "vrijdag 1 mei 2026"),
        ("nl", "%d %B %Y", "1ste mei 2026"),
        ("it", "%A %d %B %Y", "venerdì 1º maggio 2026"),
        ("it", "%a %d %b %Y", "ven 1 mag 2026"),
        ("pt", "%A, %d de %B de %Y", "sexta-feira, 1º de maio de 2026"),
        ("pt", "%d de %b. de %Y", "1 de mai. de 2026"),
    ],
)
def test_a_date_is_read_in_its_language(language: str, form: str, written: str) -> None:
    """Wide and abbreviated names and ordinals of each language are read, in any case."""
    assert moment(written, form, language) == MAY_FIRST


@pytest.mark.parametrize(
    ("language", "form", "written", "expected"),
    [
        ("de", "%d. %B %Y", "5. Jänner 2026", "2026-01-05"),
        ("de", "%d. %b %Y", "5. Jän. 2026", "2026-01-05"),
        ("de", "%d. %B %Y", "5. JÄNNER 2026", "2026-01-05"),
        ("de", "%d. %B %Y", "5. Feber 2026", "2026-02-05"),
        ("de", "%A, %d. %B %Y", "Sonnabend, 2. Mai 2026", "2026-05-02"),
        ("es", "%d de %B de %Y", "5 de setiembre de 2026", "2026-09-05"),
        ("es", "%d %b %Y", "5 set. 2026", "2026-09-05"),
        ("fr", "%d %b %Y", "5 juill. 2026", "2026-07-05"),
    ],
)
def test_names_of_a_territory_are_read_in_its_language(language: str, form: str, written: str, expected: str) -> None:
    """None of them means another month or day elsewhere, so that they count wherever the language is spoken."""
    assert moment(written, form, language) == dt.datetime.fromisoformat(expected)


def test_a_further_name_of_a_day_must_be_that_of_the_date() -> None:
    """As any other name; and it stands for no other language."""
    for language, written in (("de", "Sonnabend, 1. Mai 2026"), ("de", "5. setiembre 2026"), ("es", "5 Jänner 2026")):
        form = "%A, %d. %B %Y" if "," in written else "%d. %B %Y" if "." in written else "%d %B %Y"
        with pytest.raises(NotConverted):
            moment(written, form, language)


@pytest.mark.parametrize(
    ("locale", "form", "written"),
    [
        ("de_AT", "%d. %B %Y", "1. Jänner 2026"),
        ("de-AT", "%d. %B %Y", "1. Jänner 2026"),
        ("en-GB", "%d %B %Y", "1st January 2026"),
        ("pt_BR", "%d de %B de %Y", "1º de janeiro de 2026"),
        ("es-PE", "%d de %B de %Y", "1 de enero de 2026"),
    ],
)
def test_a_territory_behind_a_language_is_read(locale: str, form: str, written: str) -> None:
    """However the two are joined, the names are those of the language."""
    rules = load_rules_text(
        {
            "x.yaml": f"pack: x\nsenders: [x.example]\nlocale: {locale}\ndates: ['{form}']\nrules:\n  - id: r\n"
            "    when: {subject: Hi}\n    fields: {unit: {label: Unit}, paid: {label: Paid, type: date}}\n"
            "    events: [{patch: {unit: unit, paid_through_date: paid}}]\n"
        }
    )
    head = "From: a@x.example\nSubject: Hi\nDate: Thu, 01 Jan 2026 09:30:00 +0100\n"
    raw = f"{head}Content-Type: text/plain; charset=utf-8\n\n"
    reading = parse_mail(
        f"{raw}Unit: A1\nPaid: {written}\n".encode(),
        rules,
        mailbox=Mailbox(address="x@y.test", company="c", location="L"),
    )
    assert [event.body["paid_through_date"] for event in reading.events] == ["2026-01-01"], reading.reason


@pytest.mark.parametrize(
    ("language", "form", "written"),
    [
        ("en", "%d %B %Y", "1 mai 2026"),
        ("de", "%d %B %Y", "1st Mai 2026"),
        ("fr", "%d %B %Y", "1 may 2026"),
        ("es", "%d %B %Y", "1er mayo 2026"),
        ("nl", "%d %b %Y", "1 mar 2026"),
        ("de", "%d %b %Y", "1 Ma 2026"),
        ("it", "%d %B %Y", "31 aprile 2026"),
    ],
)
def test_another_language_is_no_date(language: str, form: str, written: str) -> None:
    """A name or ordinal of another language, half a name, or a day that is none, is not read."""
    with pytest.raises(NotConverted):
        moment(written, form, language)


@pytest.mark.parametrize("language", CALENDARS)
def test_calendars_are_whole(language: str) -> None:
    """Each language names twelve months and seven days, and no name stands for two of them."""
    calendar = CALENDARS[language]
    assert (len(calendar.months), len(calendar.short_months)) == (12, 12)
    assert (len(set(calendar.days)), len(set(calendar.short_days))) == (7, 7)
    further = [{name for name, of in calendar.further_months if of == number} for number in range(1, 13)]
    months = zip(calendar.months, calendar.short_months, further, strict=True)
    names = [{name, *short, *more} for name, short, more in months]
    assert len(set().union(*names)) == sum(len(one) for one in names)
    assert all(name == name.casefold() for one in names for name in one)


@given(st.dates(dt.date(1900, 1, 1), dt.date(2199, 12, 31)), st.sampled_from(sorted(CALENDARS)), st.data())
def test_written_dates_come_back(day: dt.date, language: str, data: st.DataObject) -> None:
    """A date that is written with any name of its month and day, in any case, is read as it was."""
    calendar = CALENDARS[language]
    short = data.draw(st.booleans())
    month = (
        data.draw(st.sampled_from(calendar.short_months[day.month - 1])) if short else calendar.months[day.month - 1]
    )
    weekday = (calendar.short_days if short else calendar.days)[day.weekday()]
    case = data.draw(st.sampled_from([str, str.upper, str.title]))
    stop = data.draw(st.sampled_from(["", "."])) if short else ""
    written = f"{case(weekday)}{stop} {day.day} {case(month)}{stop} {day.year}"
    read = moment(written, "%a %d %b %Y" if short else "%A %d %B %Y", language)
    assert read.date() == day
