"""Watch files for changes by looking at them: no library, no events of an operating system."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

LOOK_EVERY_S = 0.25

Stamps = Mapping[Path, tuple[int, int]]
"""Of each file when it was changed, in nanoseconds, and its length in bytes."""


def stamps_of(paths: Iterable[Path]) -> Stamps:
    """Return the stamps of all files at or below some paths; a path that is not there has none."""
    found: dict[Path, tuple[int, int]] = {}
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else (path,):
            try:
                seen = file.stat()
            except OSError:
                continue  # it went between the listing and the look
            if not file.is_dir():
                found[file] = (seen.st_mtime_ns, seen.st_size)
    return found


def changed(before: Stamps, now: Stamps) -> list[Path]:
    """Return the files that came, went or changed, in order of name."""
    return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))


def wait_for_change(paths: Iterable[Path], before: Stamps) -> list[Path]:
    """Wait until files differ from their stamps; return which do."""
    paths = tuple(paths)
    while not (found := changed(before, stamps_of(paths))):
        time.sleep(LOOK_EVERY_S)
    return found
