"""Names of months and days, and ordinals, in the languages of packs."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    names = [{name, *short} for name, short in zip(calendar.months, calendar.short_months, strict=True)]
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
