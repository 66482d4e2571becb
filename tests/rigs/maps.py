"""Unit maps in files, mailboxes that name them, and a process's maps on a clock that the test moves."""

import datetime as dt
import os
from pathlib import Path
from typing import Any

from worker.directory import UnitMaps
from worker.settings import Mailbox

HEAD = "unit,crm_unit_id,from,until"
DAY = dt.date(2026, 5, 1)


class Maps:
    """The maps of a process, on a clock that the test moves."""

    def __init__(self, *boxes: Mailbox) -> None:
        self.now = 0.0
        self.boxes = boxes
        self.maps = UnitMaps(clock=lambda: self.now)
        self.maps.check(boxes)

    def later(self, seconds: float = 2.0) -> None:
        """Let time pass and look again."""
        self.now += seconds
        self.maps.refresh(self.boxes)

    def id_of(self, unit: str, box: int = 0, on: dt.date = DAY) -> str | None:
        """Return the id of a unit by the map in force."""
        path = self.boxes[box].unit_map
        assert path is not None
        entry = self.maps.of(path).units.of(self.boxes[box].location).resolve(unit, on)
        return entry.crm_unit_id if entry else None


def write(path: Path, *rows: str, head: str = HEAD) -> Path:
    """Write a map; another one than before, as a stamp shows it."""
    path.write_text("\n".join([head, *rows, ""]), "utf-8")
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1_000_000))
    return path


def box(path: Path | None, location: str = "MAIN", **more: Any) -> Mailbox:
    """Return a mailbox with a map."""
    values = {"address": f"{location.lower()}@in.test", "location": location, "company": "acme", "pms": ["sitelink"]}
    return Mailbox.model_validate({**values, "unit_map": path, "trust": [{"network": "127.0.0.0/8"}], **more})
