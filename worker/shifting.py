"""Move a written date by days, and write it as it was written."""

import calendar
import datetime as dt
import re

from parsers.convert import DateFormat, NotConverted, read_moment

_ORDINAL = re.compile(r"st|nd|rd|th", re.IGNORECASE)


def shift_date(text: str, form: DateFormat, by: dt.timedelta) -> str | None:
    """Return `text` moved by whole days in the style of one format; None where the format does not read it.

    None, too, where it could not be written again: a weekday that would be another, a month's name that is not English.
    """
    match = form.regex.fullmatch(text)
    if match is None or (re.search(r"%[aA]", form.text) and by.days % 7):
        return None
    try:
        moved = read_moment(text, [form]) + by
    except (NotConverted, OverflowError):
        return None
    groups = {name: written for name in form.regex.groupindex if (written := match[name])}
    pieces: list[str] = []
    end = 0
    for name in sorted(groups.keys() & {"Y", "y", "m", "d", "B", "b"}, key=match.start):
        written = _written(name, groups[name], moved, is_numeric="m" in groups)
        if written is None:
            return None
        pieces += [text[end : match.start(name)], written]
        end = match.end(name)
        if name == "d" and _ORDINAL.match(text, end):
            pieces.append(_ordinal(moved.day))
            end += 2
    return "".join(pieces) + text[end:]


def _written(group: str, before: str, moved: dt.datetime, *, is_numeric: bool) -> str | None:
    """Return what stands in a group of a date format once moved; None for a name of a month that is not English."""
    if group in "Bb":
        names = list(calendar.month_name)[1:]
        found = [name for name in names if name.casefold().startswith(before.casefold()[:3])]
        if len(found) != 1 or not found[0].casefold().startswith(before.casefold()):
            return None
        name = names[moved.month - 1]
        name = name if len(before) > 3 or group == "B" else name[:3]
        return name.upper() if before.isupper() else name.lower() if before.islower() else name
    number = {"Y": moved.year, "y": moved.year % 100, "m": moved.month, "d": moved.day}[group]
    is_padded = group in "Yy" or before.startswith("0") or is_numeric
    return str(number).zfill(len(before) if is_padded else 1)


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
