"""What a destination file says once it is loaded: frozen values, every template and path compiled.

The language is described in ``docs/destinations.md``; ``specfile.py`` reads it, ``fill.py`` makes requests of it,
``verdict.py`` sorts answers by it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from parsers.events import FACTS, PLACE, TENANCY, Value
from parsers.template import Template
from worker.calls import CLEARED, Manners, Outcome, Verb

GIVEN = ("crm_unit_id", "unit", "location")
"""What every call knows of its unit."""

STAY = (*TENANCY, "move_out_date")
"""What is known of the tenancy: the one that is wanted, or the one that ends."""

DATES = ("move_in_date", "move_out_date", "paid_through_date")

JOB = "job"
"""The name that the path of a job's request fills in."""

DEFAULTS: Mapping[str, Value] = MappingProxyType({**CLEARED, "pms_status_raw": None})
"""The facts of a unit of which nothing was told."""


class As(StrEnum):
    """What a value becomes in the body."""

    ITSELF = "itself"
    TEXT = "text"
    NUMBER = "number"
    CENTS = "cents"
    INTEGER = "integer"
    FLAG = "flag"


class WhenNone(StrEnum):
    """What it means that a look-up finds nothing."""

    REJECTED = "rejected"
    NOT_FOUND = "not_found"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyValue:
    """One value of a body."""

    template: Template
    bare: str | None = None
    """The one name that the template is; None for text and for templates with more in them."""
    type: As = As.ITSELF
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyItems:
    """A list of a body."""

    items: "tuple[BodyNode, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyTable:
    """An object of a body."""

    items: "tuple[tuple[str, BodyNode], ...]"


BodyNode: TypeAlias = BodyValue | BodyItems | BodyTable

JsonPath: TypeAlias = tuple[str, ...]
"""Names of members, and places in lists, from the outside in."""

_PIECES = re.compile(r"[./\[\]]+")
_NAME = re.compile(r"\{\{ *([a-z_][a-z0-9_]*) *\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A path below the base URL, with names to be filled in; texts and names take turns, texts first and last."""

    texts: tuple[str, ...]
    names: tuple[str, ...]


def split_path(text: str) -> Path:
    """Return a path's texts and names."""
    parts = _NAME.split(text)
    return Path(texts=tuple(parts[::2]), names=tuple(parts[1::2]))


Conditions: TypeAlias = tuple[tuple[str, str], ...]
"""Name and what it must be: ``given``, ``absent``, or a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """A GET before the write that finds one value, or shows that the write is in force already."""

    name: str
    """The name that it gives; empty for one that gives none."""
    when: Conditions = ()
    path: Path
    find: JsonPath | None = None
    """Where the list is; None: the answer is the one thing itself."""
    where: tuple[tuple[JsonPath, Template], ...] = ()
    """What a member of the list must say."""
    take: JsonPath = ()
    none: WhenNone = WhenNone.REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """The one request of a call that changes something."""

    when: Conditions = ()
    method: str
    path: Path
    headers: tuple[tuple[str, Template], ...] = ()
    body: BodyNode | None = None

    def facts_at(self, field_name: str) -> tuple[str, ...]:
        """Return the facts that went into the field of the body that an API names, such as ``lease.start_date``.

        The API's name may begin further out or further in than the body does.
        """
        named = _members(_PIECES.split(field_name))
        return tuple(
            fact
            for path, value in _values_of(self.body)
            if named and all(ours == theirs for ours, theirs in zip(reversed(path), reversed(named), strict=False))
            for fact in FACTS
            if fact in value.template.names
        )

    @property
    def names(self) -> frozenset[str]:
        """Return every name that goes into it."""
        found = set(self.path.names)
        found.update(*(template.names for _, template in self.headers))
        return frozenset(found | _names_of(self.body))


def _values_of(node: BodyNode | None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], BodyValue]]:
    """Yield the values of a body, each with the names of the members that it stands in."""
    if isinstance(node, BodyValue):
        yield path, node
    elif isinstance(node, BodyItems):
        for item in node.items:
            yield from _values_of(item, path)
    elif node is not None:
        for key, item in node.items:
            yield from _values_of(item, (*path, key))


def _members(pieces: Iterable[str]) -> tuple[str, ...]:
    """Return the names in a path, without places in lists."""
    return tuple(piece for piece in pieces if piece and not piece.isdigit())


def _names_of(node: BodyNode | None, *, only_needed: bool = False) -> set[str]:
    if node is None:
        return set()
    if isinstance(node, BodyValue):
        return set() if only_needed and node.optional else set(node.template.names)
    inner = node.items if isinstance(node, BodyItems) else [value for _, value in node.items]
    return {name for item in inner for name in _names_of(item, only_needed=only_needed)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSpec:
    """What one verb does: look-ups, then the first write whose conditions hold."""

    look_ups: tuple[LookUp, ...] = ()
    already: LookUp | None = None
    """Finds what the write would do: then nothing is written."""
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth:
    """OAuth2 client credentials (RFC 6749, 4.4)."""

    token_url: str
    """Below the base URL, or a whole URL."""
    scope: str = ""
    in_body: bool = False
    """The credentials stand in the form; else in an ``Authorization: Basic``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """What a success looks like, by its status and its JSON."""

    statuses: tuple[int, ...]
    needs: tuple[JsonPath, ...] = ()
    where: tuple[tuple[JsonPath, str], ...] = ()
    without_body: tuple[int, ...] = ()
    """Statuses that are a success without any JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How the API says that it was asked too often, and for how long to stay away."""

    statuses: tuple[int, ...] = (429,)
    header: str = "retry-after"
    """Seconds or a date; in lower case."""
    seconds: JsonPath | None = None
    reset_header: str | None = None
    """The instant: seconds since 1970, or ISO 8601; in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Where a refusal names the fields that it does not take."""

    find: JsonPath
    """A list of faults, or an object whose members are named as the fields."""
    name: JsonPath = ()
    """Of a list: where a fault names its field; empty: the faults are the names."""
    message: JsonPath = ()
    """Of a list: where a fault says what is wrong; empty: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the API's answers mean."""

    success: Success
    messages: tuple[JsonPath, ...]
    code: JsonPath | None = None
    codes: Mapping[str, Outcome] = field(default_factory=dict[str, Outcome])
    statuses: Mapping[int, Outcome] = field(default_factory=dict[int, Outcome])
    not_found: tuple[int, ...] = (404,)
    rate: Rate = Rate()
    fields: Fields | None = None
    """None: its refusals name no fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How an accepted write is asked for: accepted is not applied."""

    id: JsonPath
    path: Path
    status: JsonPath
    done: tuple[str, ...]
    partial: tuple[str, ...]
    failed: tuple[str, ...]
    pending: tuple[str, ...]
    errors: JsonPath
    again_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSpec:
    """One API, as its file describes it."""

    name: str
    title: str
    file: str
    columns: tuple[str, ...]
    """The columns of the unit map that it may use."""
    requests_per_minute: int
    """0: the API names no limit."""
    oauth: OAuth | None
    """None: a Bearer token."""
    headers: tuple[tuple[str, Template], ...]
    request_id_header: str | None
    key_header: str | None
    unknown_fields_query: str
    """What is added to a write's path so that unknown fields are dropped there; empty: it cannot be asked for."""
    answers: Answers
    job: Job | None
    calls: Mapping[Verb, CallSpec]
    manners: Manners


def facts_of(call: CallSpec) -> tuple[str, ...]:
    """Return the facts that every write of a call carries, in the order of :data:`FACTS`."""
    carried = [write.names for write in call.writes]
    return tuple(name for name in FACTS if all(name in names for names in carried))


def needed_columns(spec: ApiSpec, verb: Verb) -> tuple[str, ...]:
    """Return the columns without which no call of a verb can be made, in the order of the file."""
    call = spec.calls[verb]
    needed = [
        {*write.path.names, *_names_of(write.body, only_needed=True)}.union(*(text.names for _, text in write.headers))
        for write in call.writes
    ]
    always = set.intersection(*needed).union(*(template.names for _, template in spec.headers))
    for look_up in (*call.look_ups, *((call.already,) if call.already else ())):
        if not look_up.when:
            always |= {*look_up.path.names}.union(*(template.names for _, template in look_up.where))
    looked_up = {look_up.name for look_up in call.look_ups}
    return tuple(name for name in spec.columns if name in always - looked_up)


def names_for(verb: Verb) -> tuple[str, ...]:
    """Return the names, beside columns and look-ups, that a call of this verb may be filled with."""
    more = {Verb.PATCH: FACTS, Verb.MOVE_IN: PLACE, Verb.CREATE: PLACE}.get(verb, ())
    return (*GIVEN, *STAY, *more)
