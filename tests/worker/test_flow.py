"""What is usual of a flow, and when its stopping is more than chance: on simulated calendars, with a seeded chance."""

import datetime as dt
import math
import random

import pytest

from worker.flow import CHANCE, HOLIDAYS, LOOK_BACK, YOUNG, find_quiet, usual

MONDAY = dt.date(2026, 1, 5)
CLOSED = {(1, 1), (1, 19), (4, 3), (4, 6), (5, 25), (7, 3), (9, 7), (11, 26), (11, 27), (12, 25), (12, 26)}
"""Months and days on which nothing comes; of some years two working days in a row."""


def draw(chance: random.Random, rate: float) -> int:
    """Return how many come where so many are expected: Poisson, of large rates its normal likeness."""
    if rate > 50:
        return max(0, round(chance.gauss(rate, math.sqrt(rate))))
    limit, product, count = math.exp(-rate), chance.random(), 0
    while product > limit:
        product, count = product * chance.random(), count + 1
    return count


def calendar(rate: float, days: int, *, seed: int, weekends: bool = True) -> dict[dt.date, int]:
    """Return a flow of so many mails a working day, on so many days: none on holidays, perhaps none on weekends."""
    chance, found = random.Random(seed), dict[dt.date, int]()
    for n in range(days):
        day = MONDAY + dt.timedelta(days=n)
        is_open = (day.month, day.day) not in CLOSED and (weekends or day.weekday() < 5)
        found[day] = draw(chance, rate) if is_open else 0
    return found


def steady(days: int, count: int = 10) -> dict[dt.date, int]:
    """Return a flow of the same number each day."""
    return {MONDAY + dt.timedelta(days=n): count for n in range(days)}


def after(days: int) -> dt.date:
    """Return the day behind so many."""
    return MONDAY + dt.timedelta(days=days)


@pytest.mark.parametrize("weekends", [True, False])
@pytest.mark.parametrize("rate", [0.3, 1.0, 4.0, 25.0, 300.0])
def test_no_false_alarm_in_two_years(rate: float, weekends: bool) -> None:
    """Over two years with weekends and holidays, looked at each day, no flow that goes on is called silent."""
    days = calendar(rate, 730, seed=int(rate * 10), weekends=weekends)
    for n in range(1, 730):
        known = {after(k): days[after(k)] for k in range(max(0, n - 112), n)}
        assert find_quiet(known, after(n)) is None, after(n)


@pytest.mark.parametrize(("rate", "within"), [(1.0, 32), (4.0, 11), (25.0, 7), (300.0, 7)])
def test_a_flow_that_stops_is_told(rate: float, within: int) -> None:
    """A flow that stops is told within so many days, weekends included, the sooner the more was usual."""
    days = calendar(rate, 120, seed=7, weekends=False)
    assert find_quiet(days, after(120 + within)) is not None


def test_the_chance_of_a_false_alarm_is_what_is_promised() -> None:
    """A silence is told exactly when the chance that none comes, times the mails of a week, is at most one in 1000."""
    for count in (1, 3, 10, 100):
        days = steady(56, count)
        told = [n for n in range(1, 60) if find_quiet(days, after(56 + n))]
        first = told[0]
        assert told == list(range(first, 60)), "once told it stays told"
        chance = [math.exp(-count * max(0, n - HOLIDAYS)) * 7 * count for n in (first - 1, first)]
        assert chance[0] > CHANCE >= chance[1]


def test_nights_and_the_day_that_goes_on_are_no_silence() -> None:
    """Only whole days count: however much is usual, a day that has not ended says nothing, nor do two holidays."""
    days = steady(56, 10_000)
    assert [find_quiet(days, after(56 + n)) is not None for n in range(5)] == [False, False, False, True, True]


def test_a_young_flow_teaches_nothing() -> None:
    """Before three weeks are there nothing is called silent, and a flow of few mails never is."""
    young = steady(YOUNG.days, 50)
    assert find_quiet(young, after(200)) is None
    assert find_quiet(steady(YOUNG.days + 1, 50), after(200)) is not None
    rare = {after(n): 1 for n in range(0, 56, 3)}
    assert sum(rare.values()) == 19
    assert find_quiet(rare, after(400)) is None


def test_a_rush_teaches_nothing() -> None:
    """The busiest of the like weekdays is left out: one day of thousands makes no flow of thousands."""
    days = {after(n): 0 for n in range(56)} | {after(n): 1 for n in range(0, 56, 2)}
    calm = usual(days, MONDAY, after(55))
    assert usual(days | {after(14): 5000}, MONDAY, after(55)) == calm
    assert sum(calm) <= 3.5


def test_only_the_last_weeks_count() -> None:
    """What was usual long before the flow stopped is forgotten; a long silence does not dilute what was usual."""
    days = steady(200, 100) | {after(n): (1 if n % 7 == 0 else 0) for n in range(200 - LOOK_BACK.days, 200)}
    assert find_quiet(days, after(215)) is None
    stopped = find_quiet(steady(56, 2), after(300))
    assert stopped is not None
    assert (stopped.last_on, round(stopped.a_week)) == (after(55), 14)


def test_mail_of_today_ends_it() -> None:
    """Once mail comes again there is no silence."""
    days = steady(56)
    assert find_quiet(days, after(70)) is not None
    assert find_quiet(days | {after(70): 1}, after(70)) is None
    assert find_quiet({}, MONDAY) is None
