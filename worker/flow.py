"""Flow: how many mails a day are usual, by weekday, and whether their stopping is more than chance. Pure.

Mails are taken for Poisson: where so many are expected, none comes with the chance ``exp(-expected)``. A flow has as
many gaps in a week as mails, and any of them may turn out long; so a silence is told when the chance of none, times the
mails of a week, is at most ``CHANCE``: fewer than one false alarm in a thousand weeks of a flow.

Only whole days of the site's calendar count, so nights teach nothing. The two busiest days of a silence are taken for
holidays, and count nothing. The busiest of the like weekdays is left out of what is usual, so a rush teaches nothing.
"""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass

CHANCE = 1e-3
HOLIDAYS = 2
LOOK_BACK = dt.timedelta(weeks=8)
YOUNG = dt.timedelta(weeks=3)
"""A flow that has been there for less teaches nothing."""
FEWEST = 20
"""So few mails in the weeks that are looked back on teach nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """A silence that is more than chance."""

    last_on: dt.date
    """The last day with a mail."""
    expected: float
    """How many mails would have been usual since, holidays left out."""
    a_week: float
    """How many are usual in a week."""


def find_quiet(days: Mapping[dt.date, int], today: dt.date) -> Quiet | None:
    """Return the silence of a flow; None while it is none, or while too little is known.

    ``days``: how many mails came on each day; one without a mail may be left out. ``today`` has not ended: it says only
    whether mail has come.
    """
    came = [day for day, count in days.items() if count > 0 and day <= today]
    if not came or max(came) == today:
        return None
    first_on, last_on = min(came), max(came)
    if last_on - first_on < YOUNG:
        return None
    start_on = max(first_on, last_on - LOOK_BACK + dt.timedelta(days=1))
    if sum(count for day, count in days.items() if start_on <= day <= last_on) < FEWEST:
        return None
    rates = usual(days, start_on, last_on)
    quiet = [last_on + dt.timedelta(days=n) for n in range(1, (today - last_on).days)]
    expected = sum(sorted(rates[day.weekday()] for day in quiet)[:-HOLIDAYS])
    a_week = sum(rates)
    if expected < math.log(max(a_week, 1.0) / CHANCE):
        return None
    return Quiet(last_on=last_on, expected=expected, a_week=a_week)


def usual(days: Mapping[dt.date, int], start_on: dt.date, end_on: dt.date) -> tuple[float, ...]:
    """Return how many mails a day are usual, Monday to Sunday: the mean of the like days without the busiest."""
    counts: list[list[int]] = [[] for _ in range(7)]
    for n in range((end_on - start_on).days + 1):
        day = start_on + dt.timedelta(days=n)
        counts[day.weekday()].append(days.get(day, 0))
    return tuple((sum(one) - max(one)) / (len(one) - 1) for one in counts)
