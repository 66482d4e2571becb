"""No two units have one id at one destination, by whichever way mailboxes make ids."""

from pathlib import Path
from typing import Any

import pytest

from tests.rigs.maps import HEAD, Maps, box, write
from worker.directory import ClashingIds, UnitMaps
from worker.settings import Settings

CLASHES = [
    ("two templates", [{}, {"location": "WEST", "unit_id": "MAIN-{{ unit }}"}], True),
    ("two sites", [{}, {"location": "WEST"}], False),
    ("one site twice", [{}, {}], False),
    ("one id in both maps", [{"rows": ["A,K1,,"]}, {"location": "WEST", "rows": ["A,K1,,"]}], True),
    ("one id, other days", [{"rows": ["A,K1,,2026-05-01"]}, {"location": "WEST", "rows": ["A,K1,2026-05-02,"]}], False),
    ("one id, one day", [{"rows": ["A,K1,,2026-05-01"]}, {"location": "WEST", "rows": ["A,K1,2026-05-01,"]}], True),
    ("one unit twice", [{"rows": ["A,K1,,"]}, {"rows": ["a,K1,,"]}], False),
    ("two units of a site", [{"rows": ["A,K1,,"]}, {"rows": ["B,K1,,"]}], True),
    ("other destinations", [{"rows": ["A,K1,,"]}, {"location": "W", "rows": ["A,K1,,"], "destination": "kiss"}], False),
    ("other companies", [{"rows": ["A,K1,,"]}, {"company": "b", "location": "W", "rows": ["A,K1,,"]}], True),
    ("a map and a template", [{"rows": ["A,WEST-9,,"]}, {"location": "WEST"}], True),
    ("a map beside a template", [{"rows": ["A,K1,,"]}, {"location": "WEST"}], False),
    ("a map before a template", [{"location": "WEST"}, {"rows": ["A,WEST-9,,"]}], True),
    ("a pattern keeps them apart", [{"rows": ["A,W-9-B,,"]}, {"location": "W", "unit_pattern": "[0-9]+"}], False),
    ("a template of the unit alone", [{"rows": ["A,K1,,"]}, {"location": "W", "unit_id": "{{ unit }}"}], True),
    ("a template that changes it", [{"rows": ["A,w-x,,"]}, {"location": "W", "unit_id": "w-{{ unit | lower }}"}], True),
    ("the very unit by both", [{"rows": ["A,MAIN-A,,"]}, {}], False),
    ("another unit by both", [{"rows": ["A,MAIN-B,,"]}, {}], True),
]


@pytest.mark.parametrize(("boxes", "is_refused"), [case[1:] for case in CLASHES], ids=[case[0] for case in CLASHES])
def test_no_two_units_have_one_id(boxes: list[dict[str, Any]], is_refused: bool, tmp_path: Path) -> None:
    """Two mailboxes that can make one id of two units at one destination are refused, by whichever way they make it."""
    made = []
    for number, values in enumerate(boxes):
        rest = {key: value for key, value in values.items() if key != "rows"}
        if "rows" in values:
            rest["unit_map"] = write(tmp_path / f"{number}.csv", *values["rows"])
        made.append({"address": f"m{number}@in.test", "location": "MAIN", "company": "acme", **rest})
    values = {"mailbox": made, "destination": {"kiss": {"kind": "kiss", "base_url": "http://k.test", "token_env": "T"}}}
    if not is_refused:
        assert len(Settings.model_validate(values).mailbox) == 2
        return
    with pytest.raises(ValueError, match=r"m0@in\.test and m1@in\.test|m1@in\.test and m0@in\.test") as caught:
        Settings.model_validate(values)
    assert "can make the same unit id" in str(caught.value)


def test_one_map_of_two_sites_needs_to_say_which_row_is_whose(tmp_path: Path) -> None:
    """Without the column `location` every id would be made twice; with it each site has its own."""
    path = write(tmp_path / "units.csv", "A,K1,,")
    with pytest.raises(ClashingIds, match="give the map a column `location`"):
        UnitMaps().check((box(path), box(path, "WEST")))
    write(path, "A,K1,,,MAIN", "A,K2,,,WEST", head=f"{HEAD},location")
    maps = Maps(box(path), box(path, "WEST"))
    assert (maps.id_of("A", 0), maps.id_of("A", 1)) == ("K1", "K2")
