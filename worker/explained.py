"""A reading with what can be said of it without a store: its trace, and the calls of each event by itself."""

from functools import partial
from typing import Any

from parsers import Reading
from worker.asking import Render, Site, asked_alone
from worker.calls import Manners, Request, Verb
from worker.destinations.profiles import KISS_V2, PROFILES, Profile, render
from worker.settings import Destination, Mailbox, Settings


def explain_reading(reading: Reading, settings: Settings, mailbox: Mailbox) -> dict[str, Any]:
    """Return a reading as plain values; ``calls`` are those that each event gives as the only one of its unit.

    Raises:
        RuleErrors, ConfigError: the file of a described API cannot be used.
    """
    site = _site(settings, mailbox)
    calls = [
        {
            "event": place,
            "crm_unit_id": event.crm_unit_id,
            "request": f"{asked.request.method} {asked.request.path}",
            "body": asked.request.body.decode(),
            "key": asked.key,
        }
        for place, event in enumerate(reading.events)
        for asked in asked_alone(event, site)
    ]
    return {**reading.to_json(), "trace": dict(reading.trace), "calls": calls}


def _site(settings: Settings, mailbox: Mailbox) -> Site:
    manners, rendering = _manner_and_render(mailbox.destination, settings.destination[mailbox.destination])
    return Site(
        company=mailbox.company,
        location=mailbox.location,
        timezone=mailbox.timezone,
        destination=mailbox.destination,
        manners=manners,
        render=rendering,
    )


def _manner_and_render(name: str, chosen: Destination) -> tuple[Manners, Render]:
    """Return what a destination takes and how its requests are made; nothing is opened."""
    if chosen.kind == "http":
        from worker.catalogue import http_destination
        from worker.runtime import utc_now

        made = http_destination(name, chosen, clock=utc_now)
        return made.manners, made.render
    profile = PROFILES[chosen.profile] if chosen.kind == "kiss" else KISS_V2
    return profile.manners, partial(_render, profile)


def _render(profile: Profile, verb: Verb, crm_unit_id: str, body: Any, *, about: Any) -> Request:  # noqa: ARG001
    return render(profile, verb, crm_unit_id, body)
