"""Texts disguised: the same shape, the same everywhere, and moved dates written as they were."""

import datetime as dt
import re

import pytest

from parsers.convert import date_format
from worker.disguise import Disguise
from worker.shifting import shift_date


@pytest.mark.parametrize(
    "token", ["T-5001", "0012345", "B204", "$1,234.50", "(25.00)", "1.234,50 EUR", "12/204-A", "+1 512 555 0123 4"]
)
def test_numbers_keep_their_shape(token: str) -> None:
    """Digits stay digits, all else stays as it is, leading zeros stay, and something is replaced."""
    made = Disguise("s").text(token)
    assert made != token
    assert "".join("9" if sign.isdigit() else sign for sign in token) == "".join(
        "9" if sign.isdigit() else sign for sign in made
    )
    digits = "".join(filter(str.isdigit, token))
    zeros = len(digits) - len(digits.lstrip("0"))
    assert "".join(filter(str.isdigit, made))[:zeros] == "0" * zeros


@pytest.mark.parametrize(
    "token",
    [
        "05/01/2026",
        "2026-05-01",
        "May 1, 2026",
        "31st of December, 2017",
        "5. Jänner 2026",
        "09:30",
        "09:30:00 -0530",
        "10x20",
        "12",
        "0.00",
        "x",
    ],
)
def test_dates_times_sizes_and_counts_stay(token: str) -> None:
    """What tells of nobody is left alone."""
    assert Disguise("s").text(f"a {token} b") == f"a {token} b"
    assert "9577" not in Disguise("s").text("a 09:30 -9577 b")  # no zone


def test_a_short_value_is_replaced_once_it_is_known() -> None:
    """A unit of two digits is replaced where a rule read it, and a count that nobody read is not."""
    disguise = Disguise("s")
    assert disguise.text("unit 12, 3 days") == "unit 12, 3 days"
    disguise.add_value("12")
    made = disguise.text("unit 12, 3 days, $12.00, 05/12/2026")
    assert re.fullmatch(r"unit \d\d, 3 days, \$\d\d\.\d\d, 05/12/2026", made)
    assert "unit 12," not in made


def test_names_keep_their_case_and_are_one_person() -> None:
    """A name is replaced in every spelling of its case, alike, and within an address of e-mail, too."""
    disguise = Disguise("s")
    disguise.add_names(["Jane", "Smith"])
    first, second, third, fourth = disguise.text("Jane SMITH smith Janet").split()
    assert (first.istitle(), second.isupper(), third, fourth) == (True, True, second.lower(), "Janet")
    assert disguise.text("jane@smith.org") == f"{first.lower()}@example.com"


def test_telephones_are_those_that_nobody_has() -> None:
    """A number of North America becomes one of 555-0100 to 555-0199."""
    assert Disguise("s").text("(512) 867-5309")[5:12] == " 555-01"


def test_links_lose_what_they_carry() -> None:
    """A link keeps the host of the sender and nothing else; other hosts go, and the same link becomes the same."""
    disguise = Disguise("s", domain="pms.test")
    own = disguise.text("https://portal.pms.test/t/8823?u=jane.")
    assert own.startswith("https://portal.pms.test/")
    assert "8823" not in own
    assert disguise.text("see https://jane.example/x") == disguise.text("see https://jane.example/x")
    assert "jane" not in disguise.text("see https://jane.example/x")


def test_the_seed_decides() -> None:
    """One seed, one disguise; another seed, another one; two values never become one."""
    tokens = [f"T-{number}" for number in range(1000, 1400)]
    made = [Disguise("a").text(token) for token in tokens]
    assert made == [Disguise("a").text(token) for token in tokens]
    assert made != [Disguise("b").text(token) for token in tokens]
    together = Disguise("a")
    assert len({together.text(token) for token in tokens}) == len(tokens)


@pytest.mark.parametrize("text", ["Unit#140", "0042-7716-140", "12 Harbor Street #140, Springfield"])
def test_a_group_of_a_number_that_a_rule_read_becomes_what_it_becomes_alone(text: str) -> None:
    """A unit that is part of a longer number is the same unit elsewhere, and nothing of the number stays."""
    disguise = Disguise("seed")
    disguise.add_value("140")
    made, alone = disguise.text(text), disguise.text("140")
    assert alone != "140" != made.partition(",")[0][-3:] == alone
    assert "7716" not in made
    assert len(made) == len(text)


@pytest.mark.parametrize(
    ("text", "form", "days", "expected"),
    [
        ("05/28/2026", "%m/%d/%Y", 7, "06/04/2026"),
        ("5/2/26", "%m/%d/%y", 9, "5/11/26"),
        ("31st of December, 2017", "%d of %B, %Y", 1, "1st of January, 2018"),
        ("Dec 30, 2017", "%b %d, %Y", 2, "Jan 1, 2018"),
        ("2026-05-01T10:00:00Z", "iso", 30, "2026-05-31T10:00:00Z"),
        ("Friday, 1 May 2026", "%A, %d %B %Y", 7, "Friday, 8 May 2026"),
        ("Friday, 1 May 2026", "%A, %d %B %Y", 8, None),
        ("1 May 2026", "%m/%d/%Y", 8, None),
    ],
)
def test_a_date_moves_in_its_own_style(text: str, form: str, days: int, expected: str | None) -> None:
    """A moved date is written as it was; where that cannot be, it is not moved."""
    assert shift_date(text, date_format(form), dt.timedelta(days=days)) == expected
