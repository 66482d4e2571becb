"""Our unit ids and the API's own, as its list of units tells them: kept, bounded, read anew when an id is missing.

The list is read page by page, each under its ETag, so an unchanged page costs a 304. A reading that the deadline of a
call cuts short goes on in the next call. Only a whole reading says that an id is unknown.
"""

import datetime as dt
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from worker.calls import Outcome, Reply, Request
from worker.destinations.answers import Raw, sort_answer
from worker.destinations.deadline import left_s
from worker.destinations.profiles import Profile

MAX_PAGES = 1000
MAX_UNITS = 100_000
MAX_LIST_BYTES = 33_554_432
FRESH = dt.timedelta(seconds=5)
"""An id that a reading younger than this did not show is unknown without another one."""
READING = dt.timedelta(minutes=1)
"""A reading that was begun longer ago is begun again."""

_LONGEST_WAIT_S = 60.0

Ask: TypeAlias = Callable[[str, str | None], Raw | Reply]
"""Takes a path with its query, and the ETag of what is known; returns the answer, or why there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the list."""

    etag: str | None
    ids: tuple[tuple[str, str], ...]
    """Our id and the API's, of each unit that has both."""
    rows: int
    is_last: bool


class Roster:
    """What one destination's list of units says. Safe to use from several threads: one of them reads, others wait."""

    def __init__(self, profile: Profile, *, clock: Callable[[], dt.datetime]) -> None:
        self._profile = profile
        self._clock = clock
        self._turn = threading.Lock()
        self._ids: dict[str, str | None] = {}  # None: the list has two units of this id
        self._pages: list[Page] = []
        self._at = 0  # the page that is asked for next
        self._began_at = self._read_at = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._changes = 0  # counted where the list is known to have changed
        self._changes_seen = -1  # when the reading began

    def find(self, crm_unit_id: str, ask: Ask) -> str | Reply:
        """Return the API's id of a unit, or the reply that says why there is none. Nothing was written then."""
        if crm_unit_id not in self._ids:
            if not self._turn.acquire(timeout=max(0.0, min(left_s(), _LONGEST_WAIT_S))):
                return Reply(outcome=Outcome.UNREACHED, message="the list of units is being read by another call")
            try:
                failure = None if crm_unit_id in self._ids or self._is_fresh() else self._read(ask)
            finally:
                self._turn.release()
            if failure is not None:
                return failure
        found = self._ids.get(crm_unit_id, "")
        if found is None:
            return Reply(outcome=Outcome.REJECTED, message="the destination lists two units under this id")
        return found or Reply(outcome=Outcome.NOT_FOUND, message="the destination lists no unit under this id")

    def forget(self, crm_unit_id: str) -> None:
        """Take an id out that turned out to be wrong."""
        self._ids.pop(crm_unit_id, None)

    def expect_change(self) -> None:
        """Note that the list may have changed: a reading that began before counts for nothing."""
        self._changes += 1

    def _is_fresh(self) -> bool:
        age = self._clock() - self._read_at
        return self._changes_seen == self._changes and self._at == 0 and dt.timedelta(0) <= age < FRESH

    def _read(self, ask: Ask) -> Reply | None:
        """Read the list, or what is left to read of it; return why that failed."""
        now = self._clock()
        is_resumed = self._at > 0 and self._changes_seen == self._changes
        if not is_resumed or not dt.timedelta(0) <= now - self._began_at < READING:
            self._at, self._began_at, self._changes_seen = 0, now, self._changes
        units = sum(len(page.ids) for page in self._pages[: self._at])
        while self._at < MAX_PAGES and units <= MAX_UNITS:
            page = self._page(ask)
            if isinstance(page, Reply):
                return page
            self._pages[self._at : self._at + 1] = [page]
            self._at += 1
            units += len(page.ids)
            if page.is_last:
                self._finish()
                return None
        self._at = 0
        return Reply(outcome=Outcome.FAILED, message=f"the list of units has more than {MAX_UNITS} units")

    def _finish(self) -> None:
        del self._pages[self._at :]
        ids: dict[str, str | None] = {}
        for page in self._pages:
            for ours, theirs in page.ids:
                ids[ours] = theirs if ids.get(ours, theirs) == theirs else None
        self._ids, self._at, self._read_at = ids, 0, self._began_at

    def _page(self, ask: Ask) -> Page | Reply:
        """Return the page that is due."""
        size, path = self._profile.page_size, self._profile.bulk_path
        if size or self._at:
            path += f"?page={self._at + 1}" + (f"&per_page={size}" if size else "")
        known = self._pages[self._at] if self._at < len(self._pages) else None
        answered = ask(path, known.etag if known else None)
        if isinstance(answered, Reply):
            return answered
        if answered.status == 304 and known:
            # Whether the ETag covers the number of pages is not documented: a full page may have a follower by now.
            return replace(known, is_last=known.is_last and (not size or known.rows < size))
        return read_page(self._profile, answered) or _sort_failure(self._profile, answered, self._clock())


def read_page(profile: Profile, raw: Raw) -> Page | None:
    """Return what a page of the list says; None when the answer is no such page."""
    if raw.status != 200:
        return None
    try:
        told = json.loads(raw.body)
        rows = told["data"]
        meta = told.get("meta") or {}
        pagination = meta.get("pagination")
        is_last = not pagination or pagination["current_page"] >= pagination["last_page"]
        pairs = [(row[profile.name_of("crm_unit_id")], row["unit_id"]) for row in rows]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return Page(etag=raw.headers.get("etag"), ids=tuple(filter(_is_pair, pairs)), rows=len(pairs), is_last=is_last)


def _is_pair(pair: tuple[Any, Any]) -> bool:
    return all(isinstance(value, str) and value for value in pair)


def _sort_failure(profile: Profile, raw: Raw, now: dt.datetime) -> Reply:
    """Return what an answer that is no list means for the call that needed it: nothing was written."""
    reply = sort_answer(profile, Request(method="GET", path=profile.bulk_path, body=b""), raw, now=now)
    outcome = Outcome.FAILED
    if raw.status >= 500:
        outcome = Outcome.UNREACHED
    elif reply.outcome in (Outcome.UNAUTHORIZED, Outcome.LIMITED):
        outcome = reply.outcome
    return replace(reply, outcome=outcome, created=False, message=f"list of units: {reply.message}")
