"""Write ``docs/capabilities.md``: ``python -m worker.capability_page FILE``, or ``make capabilities``."""

import sys
from pathlib import Path

from parsers import load_rules
from worker import capabilities
from worker.catalogue import load_api, shipped_apis
from worker.configuration import SHIPPED_RULES
from worker.destinations.profiles import PROFILES


def page() -> str:
    """Return the page, from what ships: every pack, every profile, every described API."""
    destinations = {name: profile.manners for name, profile in PROFILES.items()}
    destinations |= {name: load_api(name).manners for name in shipped_apis()}
    return capabilities.page(load_rules([SHIPPED_RULES]), destinations)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), "utf-8")
