"""What is asked of a destination: what a request is made with, and the calls that one event gives by itself. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from parsers.events import TENANCY, Event, Value
from worker import order
from worker.calls import Manners, Request, Verb
from worker.keys import derive_key, key_base
from worker.order import Fold, State, UnitEvent


class Render(Protocol):
    """Makes the exact request of a call, as ``worker.calls.Destination.render`` does."""

    def __call__(
        self, verb: Verb, crm_unit_id: str, body: Mapping[str, Value], *, about: Mapping[str, Value]
    ) -> Request: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Whose unit it is, and where its calls go."""

    company: str
    location: str
    timezone: str
    destination: str
    manners: Manners
    render: Render


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call as it would be sent."""

    request: Request
    key: str


def about_unit(
    columns: Mapping[str, Value], unit: str, location: str, events: Sequence[UnitEvent], wanted: Fold
) -> dict[str, Value]:
    """Return what else is known of a unit when its request is rendered. ``columns``: those of its unit map."""
    about: dict[str, Value] = {**columns, "unit": unit, "location": location}
    about |= {name: wanted.values[name] for name in TENANCY if wanted.values.get(name) is not None}
    if wanted.values.get("occupied") is False:
        ended = [event.on_date for event in events if event.id == wanted.sources.get("occupied")]
        about |= {"move_out_date": ended[0]} if ended else {}
    return about


def asked_alone(event: Event, site: Site) -> Iterator[Asked]:
    """Yield the calls that an event gives as the only one of a unit of which nothing is known, in their order.

    None for an event whose unit has no id: by a unit map that lacks it, or found by its tenancy.
    """
    if not event.crm_unit_id:
        return
    alone = _alone(event, site)
    wanted, _ = order.taken(order.fold([alone], site.manners), site.manners)
    about = about_unit(event.columns, event.unit, site.location, [alone], wanted)
    generations: Counter[str] = Counter()
    for call in order.difference(wanted, order.NOTHING, site.manners):
        base = key_base(site.company, site.destination, event.crm_unit_id, call, [alone])
        request = site.render(call.verb, event.crm_unit_id, call.writes, about=about)
        yield Asked(request=request, key=derive_key(base, generations[base]))
        generations[base] += 1


def _alone(event: Event, site: Site) -> UnitEvent:
    """Return an event as the order sees it, let in."""
    day = event.on or event.effective_at.astimezone(ZoneInfo(site.timezone)).date()
    return UnitEvent(
        id=order.ORIGIN + 1,
        kind=event.kind,
        identity=event.identity,
        effective_at=event.effective_at,
        mailed_at=event.mailed_at,
        position=event.position,
        mail_id=None,
        body=event.body,
        expect=event.expect,
        state=State.WAITING,
        on_date=day.isoformat(),
    )
