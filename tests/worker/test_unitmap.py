"""Changing a unit map: two lines for a renamed unit, rows at the end for new ones, all else as it is written."""

import datetime as dt
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import read_unit_map
from tests.rigs.maps import DAY, HEAD
from worker.unitmap import CannotChange, NewUnit, add_units, put_file, rename_unit


def renamed(text: str, old: str = "A", new: str = "B", on: str = "2026-06-01", location: str = "MAIN") -> str:
    """Return a map after a renaming."""
    on_date = dt.date.fromisoformat(on)
    return rename_unit(text, file="units.csv", location=location, old=old, new=new, on=on_date).text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A,K1,,", "A,K1,,2026-05-31\nB,K1,2026-06-01,"),
        ("A,K1,2026-01-01,2026-12-31", "A,K1,2026-01-01,2026-05-31\nB,K1,2026-06-01,2026-12-31"),
        ("A,K1,2026-06-01,", "B,K1,2026-06-01,"),
        ("A,K1", "A,K1,,2026-05-31\nB,K1,2026-06-01,"),
        ("A,K0,,2026-02-01\nA,K1,2026-03-01,\nC,K3", "A,K0,,2026-02-01\nA,K1,2026-03-01,2026-05-31\nB,K1,2026-06-01,\nC,K3"),  # noqa: E501
        ("B,K9,,2026-05-31\nA,K1,,", "B,K9,,2026-05-31\nA,K1,,2026-05-31\nB,K1,2026-06-01,"),
    ],
)  # fmt: skip
def test_a_renaming_changes_two_lines(before: str, after: str) -> None:
    """The old name ends the day before, the new one begins on the day, with the id; other lines stay."""
    assert renamed(f"{HEAD}\n{before}\n") == f"{HEAD}\n{after}\n"


def test_what_a_renaming_does_not_touch_stays_as_it_is_written() -> None:
    """Byte order mark, delimiter, line ends, quotes, blank lines and foreign columns are kept."""
    text = '\ufeffunit;note;crm_unit_id;from;until\r\n\r\n"X";"a;b";"007";;\r\nA;"c\r\nd";K1;;'
    assert renamed(text) == (
        '\ufeffunit;note;crm_unit_id;from;until\r\n\r\n"X";"a;b";"007";;\r\n'
        'A;"c\r\nd";K1;;2026-05-31\r\nB;"c\r\nd";K1;2026-06-01;\r\n'
    )


def test_two_units_swap_their_names() -> None:
    """By a third name, on one day: both ids stay, and the third name is nobody's in the end."""
    text = f"{HEAD}\nA,K1,,\nB,K2,,\n"
    for old, new in (("A", "X"), ("B", "A"), ("X", "B")):
        text = renamed(text, old, new)
    units = read_unit_map(text).of("MAIN")
    found = {name: [units.resolve(name, dt.date(2026, month, 1)) for month in (5, 6)] for name in "ABX"}
    ids = {name: [entry.crm_unit_id if entry else None for entry in entries] for name, entries in found.items()}
    assert ids == {"A": ["K1", "K2"], "B": ["K2", "K1"], "X": [None, None]}


def test_a_renaming_is_of_one_site() -> None:
    """A unit of that name at another site keeps it."""
    text = f"{HEAD},location\nA,K1,,,WEST\nA,K2,,,MAIN\n"
    assert renamed(text) == f"{HEAD},location\nA,K1,,,WEST\nA,K2,,2026-05-31,MAIN\nB,K2,2026-06-01,,MAIN\n"


@pytest.mark.parametrize(
    ("rows", "old", "new", "words"),
    [
        ("A101,K1,,", "A102", "B", "has no unit A102 (did you mean `A101`?)"),
        ("A,K1,,2026-05-01", "A", "B", "knows A on other days than 2026-06-01: see line 2"),
        ("A,K1,,", "A", "a", "`A` and `a` are one unit to us"),
        ("A,K1,,\nB,K2,,", "A", "B", "the unit `B` stands in line"),
        ("A,K1,,", "A", " ", "the unit is empty"),
    ],
)
def test_a_renaming_that_cannot_be_is_refused(rows: str, old: str, new: str, words: str) -> None:
    """An unknown unit, a day without a row, a name that is taken or none at all: nothing is changed."""
    with pytest.raises(CannotChange) as caught:
        renamed(f"{HEAD}\n{rows}\n", old, new)
    assert words in str(caught.value)


@pytest.mark.law
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60), st.booleans(), st.booleans())
def test_a_renamed_unit_is_found_by_the_name_of_its_day(
    start: int, length: int, day: int, is_open_before: bool, is_open_after: bool
) -> None:
    """Renamed on a day of its row, a unit is found by its old name before, by its new one from then on, with one id."""
    first = None if is_open_before else DAY + dt.timedelta(days=start)
    last = None if is_open_after else DAY + dt.timedelta(days=start + length)
    on = DAY + dt.timedelta(days=day)
    text = f"{HEAD}\nA,K1,{first or ''},{last or ''}\nC,K3,,\n"
    if not ((first is None or first <= on) and (last is None or on <= last)):
        with pytest.raises(CannotChange):
            renamed(text, on=on.isoformat())
        return
    before = read_unit_map(text).of("MAIN")
    after = read_unit_map(renamed(text, on=on.isoformat())).of("MAIN")
    for offset in range(-3, 90):
        then = DAY + dt.timedelta(days=offset)
        found = {name: entry.crm_unit_id for name in "ABC" if (entry := after.resolve(name, then))}
        had = before.resolve("A", then)
        assert found == {"C": "K3"} | ({"A" if then < on else "B": "K1"} if had else {})


def test_further_units_stand_at_the_end() -> None:
    """New rows follow the old ones, whatever the form of the file; a new file has the header alone before them."""
    more = [NewUnit(unit="B,1", crm_unit_id="K2")]
    made = add_units("\ufeffunit;crm_unit_id;from;until;gate\r\nA;K1;;;N", more, file="u.csv", location="MAIN")
    assert made.text == "\ufeffunit;crm_unit_id;from;until;gate\r\nA;K1;;;N\r\nB,1;K2;;;\r\n"
    assert add_units(None, more, file="u.csv", location="MAIN").text == f'{HEAD}\n"B,1",K2,,\n'
    with_location = add_units(None, more, file="u.csv", location="MAIN", with_location=True)
    assert with_location.text == f'{HEAD},location\n"B,1",K2,,,MAIN\n'


def test_a_file_is_put_in_place_whole(tmp_path: Path) -> None:
    """Another hand's change is not written over, the mode and a link stay, and no draft is left behind."""
    path, link = tmp_path / "units.csv", tmp_path / "link.csv"
    path.write_bytes(b"one")
    path.chmod(0o640)
    link.symlink_to(path)
    with pytest.raises(CannotChange, match="was changed meanwhile"):
        put_file(link, b"other", b"two")
    with pytest.raises(CannotChange, match="was changed meanwhile"):
        put_file(link, None, b"two")
    assert path.read_bytes() == b"one"
    put_file(link, b"one", b"two")
    assert (path.read_bytes(), path.stat().st_mode & 0o777, link.is_symlink()) == (b"two", 0o640, True)
    put_file(tmp_path / "new.csv", None, b"new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link.csv", "new.csv", "units.csv"]
    with pytest.raises(CannotChange, match="cannot be written"):
        put_file(tmp_path / "gone" / "units.csv", None, b"x")


def test_changes_are_plain_values() -> None:
    """A change tells line, before and after, so that it can be printed as JSON."""
    made = rename_unit(f"{HEAD}\nA,K1,,\n", file="u.csv", location="M", old="a", new="B", on=dt.date(2026, 6, 1))
    told = [(change.line, change.before, change.after) for change in made.changes]
    assert json.loads(json.dumps(told)) == [[2, "A,K1,,", "A,K1,,2026-05-31"], [3, None, "B,K1,2026-06-01,"]]
