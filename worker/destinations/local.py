"""The local units as a destination: the same requests and answers as over HTTP, without the HTTP."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence

from parsers.events import Value
from worker.calls import NO_MORE, Manners, Outcome, Reply, Request, Verb
from worker.destinations.answers import Raw, sort_answer
from worker.destinations.profiles import KISS_V2, render, render_bulk
from worker.units.store import LocalUnits, UnitsUnavailable


class LocalDestination:
    """Hands calls to the local units in this process."""

    def __init__(
        self,
        *,
        name: str,
        units: LocalUnits,
        clock: Callable[[], dt.datetime],
        company: str = "default",
        window: int = 4,
    ) -> None:
        self._name = name
        self._units = units
        self._clock = clock
        self._company = company
        self._window = window

    @property
    def name(self) -> str:
        return self._name

    @property
    def window(self) -> int:
        return self._window

    @property
    def manners(self) -> Manners:
        return KISS_V2.manners

    def render(
        self,
        verb: Verb,
        crm_unit_id: str,
        body: Mapping[str, Value],
        *,
        about: Mapping[str, Value] = NO_MORE,  # noqa: ARG002
    ) -> Request:
        """Return the request for one call. The same arguments give the same bytes."""
        return render(KISS_V2, verb, crm_unit_id, body)

    def render_bulk(self, units: Sequence[Mapping[str, Value]]) -> Request:
        """Return the request for many units in one call. The same arguments give the same bytes."""
        return render_bulk(KISS_V2, units)

    def send(self, request: Request, *, key: str, deadline_s: float) -> Reply:  # noqa: ARG002
        """Do one request once under its idempotency key. The database's own timeouts bound how long it takes."""
        try:
            answer = self._units.handle(request.method, request.path, request.body, key, self._company)
        except UnitsUnavailable as error:
            return Reply(outcome=Outcome.UNKNOWN, message=f"the local units' database: {error}")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        raw = Raw(status=answer.status, headers=headers, body=answer.body)
        return sort_answer(KISS_V2, request, raw, now=self._clock())

    def ask(self, job: str, *, deadline_s: float) -> Reply:  # noqa: ARG002
        """Say that there are no jobs here: every answer is final."""
        return Reply(outcome=Outcome.FAILED, message="this destination takes no jobs on")

    def close(self) -> None:
        """Nothing to close: the database belongs to the process."""
