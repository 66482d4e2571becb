"""A stand-in of KISS that listens on loopback, in any of its generations."""

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from worker.standins.faults import LOG_PATH, Faults, with_faults
from worker.standins.kiss import stand_in
from worker.standins.registry import Wish
from worker.standins.serve import serving

TOKEN = "stand-in-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A stand-in that listens."""

    root: str
    base_url: str

    def units(self) -> dict[str, Mapping[str, Any]]:
        """Return its units by our own id, with the seed generation's names."""
        return {unit["crm_unit_id"]: unit for unit in self._log()["units"]}

    def asked(self) -> list[tuple[str, int | None]]:
        """Return method and status of each write that came, first to last."""
        return [(row["method"], row["status"]) for row in self._log()["requests"] if row["method"] != "GET"]

    def _log(self) -> Any:
        return httpx.get(self.root + LOG_PATH, trust_env=False).json()


@contextlib.contextmanager
def served(
    profile: str, *units: str, clock: Callable[[], dt.datetime], faults: Faults | None = None, token: str = TOKEN
) -> Iterator[Served]:
    """Yield a listening stand-in that has some units, vacant."""
    rows = tuple({"crm_unit_id": unit, "unit_name": unit, "pms_location_code": "MAIN"} for unit in units)
    made = stand_in(Wish(token=token, clock=clock, profile=profile, rows=rows))
    try:
        with serving(with_faults(made, faults or Faults(), clock=clock)) as root:
            yield Served(root=root, base_url=root + made.base_path)
    finally:
        made.close()
