"""The columns of a unit map on their way from the file to the request of a described API."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.rigs.described import ROWS, SECRET
from tests.rigs.whole import TOKEN_ENV, Clock, Whole, whole
from worker import directory
from worker.edits import release_events
from worker.standins.faults import LOG_PATH, Faults, with_faults
from worker.standins.propexo import stand_in
from worker.standins.registry import Wish
from worker.standins.serve import serving

HEAD = "unit,crm_unit_id,from,until,lease_id,resident_id"

Start = Callable[..., tuple[Whole, Callable[[], list[Any]]]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return a function that puts a mailbox with a unit map before Propexo's stand-in."""
    monkeypatch.setenv(TOKEN_ENV, SECRET)
    with contextlib.ExitStack() as stack:

        def begin(*rows: str) -> tuple[Whole, Callable[[], list[Any]]]:
            clock = Clock()
            (tmp_path / "units.csv").write_text("\n".join([HEAD, *rows, ""]), "utf-8")
            made = stand_in(Wish(token=SECRET, clock=clock, rows=(ROWS["propexo"],)))
            stack.callback(made.close)
            root = stack.enter_context(serving(with_faults(made, Faults(), clock=clock)))
            far = {
                "kind": "http",
                "api": "propexo",
                "base_url": root + made.base_path,
                "token_env": TOKEN_ENV,
                "ignore_unknown_fields": True,
            }
            box = {"unit_map": str(tmp_path / "units.csv")}
            url = f"sqlite:///{tmp_path / 'store.db'}"
            process = stack.enter_context(whole(url, far=far, box=box, clock=clock))
            return process, lambda: httpx.get(root + LOG_PATH, trust_env=False).json()["requests"]

        yield begin


def test_the_columns_reach_the_request(start: Start) -> None:
    """What the map's row says of a unit stands in the path of the call that its mail leads to."""
    made, requests = start("B204,K-1,,,L 1/2,R-1")
    made.move_in()
    made.drain()
    assert [event.state for event in made.events() if event.kind == "move_in"] == ["applied"]
    assert [one["path"].partition("?")[0] for one in requests() if one["method"] == "PUT"] == ["/v1/leases/L%201%2F2"]


def test_a_cell_that_is_filled_in_later_is_used(start: Start, tmp_path: Path) -> None:
    """After the map is mended and the mail is read again, the event that was refused goes out by the new cell."""
    made, requests = start("B204,K-1,,,,R-1")
    mail_id = made.move_in()
    made.drain()
    (event,) = [event for event in made.events() if event.kind == "move_in"]
    assert (event.state, requests()) == ("rejected", [])
    (tmp_path / "units.csv").write_text(f"{HEAD}\nB204,K-1,,,L 1/2,R-1\n", "utf-8")
    directory.check(made.runtime.settings.mailbox)
    replays = made.runtime.replays
    replays.start(f"id:{mail_id}", "parse", limit=None, per_minute=0, actor="anna", reason="the map is mended")
    replays.carry_on()
    release_events(made.runtime.db, [event.id], actor="anna", reason="the map is mended", now=made.clock())
    made.drain()
    assert [event.state for event in made.events() if event.kind == "move_in"] == ["applied"]
    assert [one["path"].partition("?")[0] for one in requests() if one["method"] == "PUT"] == ["/v1/leases/L%201%2F2"]


def test_a_cell_that_is_empty_is_named_with_its_file(start: Start, tmp_path: Path) -> None:
    """A call that needs a column which its unit's row lacks is refused without a request, and names map and column."""
    made, requests = start("B204,K-1,,,,R-1")
    made.move_in()
    made.drain()
    (event,) = [event for event in made.events() if event.kind == "move_in"]
    assert (event.state, requests()) == ("rejected", [])
    assert f"the unit map {tmp_path / 'units.csv'} has no value in the column `lease_id`" in event.detail


def test_the_map_is_that_of_the_units_own_site(tmp_path: Path) -> None:
    """Of two sites at one destination each has the map of its own mailbox; one without a map names none."""
    for name in ("main", "oak"):
        (tmp_path / f"{name}.csv").write_text(f"{HEAD}\nB204,K-{name},,,,\n", "utf-8")
    far = {"kind": "http", "api": "propexo", "base_url": "http://far.example", "token_env": TOKEN_ENV}
    with whole(f"sqlite:///{tmp_path / 'store.db'}", far=far, box={"unit_map": str(tmp_path / "main.csv")}) as made:
        oak = made.runtime.settings.mailbox[0].model_copy(
            update={"address": "oak@in.test", "location": "OAK", "unit_map": tmp_path / "oak.csv"}
        )
        boxes = (*made.runtime.settings.mailbox, oak)
        made.runtime.reload(made.runtime.settings.model_copy(update={"mailbox": boxes}))
        found = [made.runtime._map_file("far", site) for site in ("MAIN", "OAK", "ELM")]
    assert found == [str(tmp_path / "main.csv"), str(tmp_path / "oak.csv"), ""]
