"""Values of a rule to events: units, bodies, the moment, the identity."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NoReturn, TypeAlias

from parsers.convert import NotConverted, Value, read_flag
from parsers.errors import Incomplete, Invalid
from parsers.events import IDS, TENANCY, Event, Kind, canonical
from parsers.events import Value as BodyValue
from parsers.extract import Values
from parsers.identity import canonical_text, identity_of, minute_of
from parsers.mail import Mail
from parsers.mailbox import Mailbox
from parsers.placeholders import is_placeholder
from parsers.rows import Part
from parsers.rule import EventSpec, FieldValue, Literal, Rule, ValueSpec, Words
from parsers.template import Unfilled, template

MAX_UNIT: Final = 64
_CLEARABLE: Final = ("paid_through_date", "pms_status_raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """When it happened, and when the mail told it; both aware, on the facility's clock."""

    occurred_at: dt.datetime
    mailed_at: dt.datetime


def moments_of(mail: Mail, rule: Rule, values: Values, mailbox: Mailbox) -> Told:
    """Return the moments of a mail; raise Incomplete when its Date names none."""
    written = mail.date or mail.local_date
    if written is None:
        raise Incomplete(
            f"{rule.name}: the Date header is missing or unreadable, so nobody knows when this happened: "
            "enter the event by hand",
            ("Date",),
        )
    mailed_at = mailbox.local(written)
    spec = rule.occurred
    stated = values.get(spec.field.name) if spec else None
    if spec is None or not isinstance(stated, dt.date):
        return Told(occurred_at=mailed_at, mailed_at=mailed_at)
    if not isinstance(stated, dt.datetime):
        stated = dt.datetime.combine(stated, dt.time(23, 59, 59) if spec.at_end else dt.time.min)
    return Told(occurred_at=mailbox.local(stated) + dt.timedelta(days=spec.shift_days), mailed_at=mailed_at)


Ordinals: TypeAlias = Counter[tuple[Kind, str, str]]
"""How many events a mail has by now, by kind, unit and table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A unit of the mail, as the destination knows it."""

    unit: str
    crm_unit_id: str
    """Empty where the mailbox's unit map does not know the unit."""
    told_as: str
    """What stands in identities: the id, or what the template gives while there is none."""
    columns: Mapping[str, str] = field(default_factory=dict[str, str])


def events_of(rule: Rule, parts: Iterable[Part], mailbox: Mailbox, told: Told) -> tuple[Event, ...]:
    """Return the events of a mail in its order, without those that would say nothing; raise Incomplete or Invalid."""
    made: list[Event] = []
    ordinals: Ordinals = Counter()
    reported: dict[tuple[Kind, str], tuple[str, str]] = {}
    for part in parts:
        events = Assembly(rule, part, mailbox, told, ordinals).events(first=len(made))
        for event in events if part.is_report else ():
            _check_reported(event, part, rule, reported)
        made += events
    return tuple(made)


def _check_reported(event: Event, part: Part, rule: Rule, reported: dict[tuple[Kind, str], tuple[str, str]]) -> None:
    """Raise Invalid where a row of a file says otherwise of a unit than a row before it: which one holds?"""
    if event.kind not in (Kind.PATCH, Kind.SNAPSHOT):
        return
    told_as = event.crm_unit_id or f"unit {event.unit}"
    body, place = reported.setdefault((event.kind, told_as), (canonical(event.body), part.place))
    if body != canonical(event.body):
        raise Invalid(
            f"{rule.name}: {part.place} says otherwise of its unit than {place}: read the mail and enter the events by "
            "hand",
            ("unit",),
        )


class Assembly:
    """Makes the events of one part of a mail."""

    def __init__(self, rule: Rule, part: Part, mailbox: Mailbox, told: Told, ordinals: Ordinals) -> None:
        """`ordinals` counts the events of the whole mail by kind, unit and table."""
        self._rule = rule
        self._part = part
        self._values = values = part.values
        self._mailbox = mailbox
        self._told = told
        self._ordinals = ordinals
        self._names: dict[str, Value] = {
            **values,
            "occurred_on": told.occurred_at.date(),
            "mailbox": mailbox.address,
            "location": mailbox.location,
        }
        self._taken = frozenset((*self._names, *rule.names))

    def events(self, *, first: int) -> list[Event]:
        """Return the events, of which the first has the position `first` in the mail."""
        made: list[Event] = []
        specs = [(spec, self._stated_date(spec)) for spec in self._part.events if self._says_something(spec)]
        effective_at = self._effective_at([on for _, on in specs if on])
        for spec, on in specs:
            tenancy = {name: str(self._tenant(name, one)) for name, one in spec.tenancy}
            place = self._place_of(spec, tenancy, on or effective_at.date())
            counted = (spec.kind, place.told_as, self._part.told_in)
            ordinal = self._ordinals[counted]
            self._ordinals[counted] += 1
            body = self._body(spec, place)
            if spec.kind is Kind.SNAPSHOT:
                body = self._snapshot(body)
            if spec.kind is Kind.MOVE_IN or "move_in_date" in body:
                body |= {"unit_name": place.unit, "pms_location_code": self._mailbox.location}
            made.append(
                Event(
                    kind=spec.kind,
                    unit=place.unit,
                    crm_unit_id=place.crm_unit_id,
                    effective_at=effective_at,
                    mailed_at=self._told.mailed_at,
                    position=first + len(made),
                    identity=self._identity(spec, place.told_as, ordinal),
                    rule=self._rule.name,
                    body=body,
                    on=on,
                    expect=self._expect(spec, place),
                    tenancy=tenancy,
                    columns=place.columns,
                )
            )
        return made

    def _says_something(self, spec: EventSpec) -> bool:
        """Say whether the mail states anything that the event would tell; only facts can be lacking."""
        return spec.kind not in (Kind.PATCH, Kind.SNAPSHOT) or any(
            self._states(value) for name, value in spec.values if name not in TENANCY
        )

    def _states(self, spec: ValueSpec) -> bool:
        """Say whether the mail states a value; a template and a flag of the rule always are."""
        if isinstance(spec, FieldValue):
            return spec.name in self._values and (self._part.is_single or not spec.if_single)
        return not isinstance(spec, Words) or spec.name in self._values

    def _snapshot(self, body: Mapping[str, BodyValue]) -> dict[str, BodyValue]:
        """Return what a row of a report states: a tenancy only of a unit that is occupied, and only a whole one."""
        tenancy = [name for name in TENANCY if body.get(name) is not None]
        if body.get("occupied") is False and tenancy:
            self._invalid("the unit is vacant, and has a tenant", "occupied")
        is_whole = body.get("occupied") is True and "pms_tenant_id" in tenancy and "move_in_date" in tenancy
        return {name: value for name, value in body.items() if is_whole or name not in TENANCY}

    def _effective_at(self, stated: list[dt.date]) -> dt.datetime:
        """Return when it happened, or the start of the last stated tenancy date where that lies ahead."""
        ahead = max((on for on in stated if on > self._told.occurred_at.date()), default=None)
        if ahead is None:
            return self._told.occurred_at
        return self._mailbox.local(dt.datetime.combine(ahead, dt.time.min))

    def _tenant(self, name: str, spec: ValueSpec) -> Value:
        """Return the tenant or ledger by which a unit is to be found."""
        value = self._value(spec)[1]
        if not value:
            raise Incomplete(f"{self._rule.name}: the mail names no {name}, and no unit", (name,))
        self._check_named(name, value)
        return value

    def _place_of(self, spec: EventSpec, tenancy: Mapping[str, str], on: dt.date) -> _Place:
        """Return the unit of an event; of one that is to be found by its tenancy, a place without a unit."""
        if not tenancy:
            return self._place(self._unit(spec), on)
        told_as = f"{self._mailbox.location}/" + ",".join(f"{name}={tenancy[name]}" for name in sorted(tenancy))
        return _Place(unit="", crm_unit_id="", told_as=told_as)

    def _place(self, unit: str, on: dt.date) -> _Place:
        """Return what the destination knows the unit as on a day of the facility's calendar."""
        directory = self._mailbox.directory
        if directory is None:
            told_as = self._by_template(unit)
            return _Place(unit=unit, crm_unit_id=told_as, told_as=told_as)
        entry = directory.resolve(unit, on)
        if entry is None:
            return _Place(unit=unit, crm_unit_id="", told_as=self._by_template(unit))
        return _Place(unit=unit, crm_unit_id=entry.crm_unit_id, told_as=entry.crm_unit_id, columns=entry.columns)

    def _value(self, spec: ValueSpec, place: _Place | None = None) -> tuple[bool, Value]:
        """Return whether the mail states a value, and the value.

        A template that names a column of the unit map says nothing of a unit that the map does not know.
        """
        if isinstance(spec, Literal):
            return True, spec.value
        if isinstance(spec, FieldValue):
            return self._states(spec), self._values.get(spec.name)
        if isinstance(spec, Words):
            return self._states(spec), self._by_words(spec)
        columns: Mapping[str, str] = place.columns if place else {}
        names = {**{name: text for name, text in columns.items() if name not in self._taken}, **self._names}
        try:
            return True, spec.fill(names)
        except Unfilled as error:
            if place is not None and not place.crm_unit_id and spec.names - self._taken:
                return False, None
            fields = ", ".join(f"`{name}`" for name in sorted(spec.names))
            raise Incomplete(
                f"{self._rule.name}: {error} (fields: {fields or 'none'}): read the mail, then mend the rule "
                f"({self._rule.file}:{self._line_of(spec)}) or enter the event by hand",
                tuple(sorted(spec.names)),
            ) from error

    def _line_of(self, spec: ValueSpec) -> int:
        """Return the line of the event that a value is of."""
        lines = {
            id(value): one.line
            for one in self._part.events
            for value in (one.unit, one.on, *(named for _, named in (*one.values, *one.expect, *one.tenancy)))
        }
        return lines[id(spec)]

    def _by_words(self, spec: Words) -> bool | None:
        """Return the flag that a field's word tells; None where the mail does not state it."""
        text = self._values.get(spec.name)
        if not isinstance(text, str):
            return None
        try:
            return read_flag(text, spec.trues, spec.falses)
        except NotConverted as error:
            column = self._part.columns.get(spec.name)
            where = f" (column `{column}`)" if column else ""
            self._invalid(f"the field `{spec.name}`{where} {error}", spec.name)

    def _where(self) -> str:
        return f" in {self._part.place}" if self._part.place else ""

    def _body(self, spec: EventSpec, place: _Place) -> dict[str, BodyValue]:
        body: dict[str, BodyValue] = {}
        for name, value_spec in spec.values:
            stated, value = self._value(value_spec, place)
            if not stated:
                continue
            if value is None and name not in _CLEARABLE:
                self._invalid(f"`{name}` cannot be cleared", name)
            if name in IDS:
                self._check_named(name, value)
            if isinstance(value, dt.datetime):
                value = self._mailbox.local(value).date()
            if value is None or isinstance(value, str | bool | Decimal):
                body[name] = value
            else:
                body[name] = canonical_text(value)
        return body

    def _expect(self, spec: EventSpec, place: _Place) -> Mapping[str, str]:
        found = [(name, self._value(one, place)) for name, one in spec.expect]
        told = {name: str(value) for name, (stated, value) in found if stated and value is not None}
        for name, value in told.items():
            self._check_named(name, value)
        return told

    def _stated_date(self, spec: EventSpec) -> dt.date | None:
        source = spec.on if spec.kind is Kind.MOVE_OUT else dict(spec.values).get("move_in_date")
        value = self._value(source)[1] if source else None
        if isinstance(value, dt.datetime):
            return self._mailbox.local(value).date()
        return value if isinstance(value, dt.date) else None

    def _unit(self, spec: EventSpec) -> str:
        unit = self._value(spec.unit)[1] if spec.unit else None
        if not isinstance(unit, str) or not unit:
            raise Incomplete(f"{self._rule.name}: the mail names no unit{self._where()}", ("unit",))
        self._check_named("unit", unit)
        if len(unit) > MAX_UNIT or "?" in unit or "\\" in unit or not unit.isprintable() or "\ufffd" in unit:
            self._invalid(
                f"the unit is longer than {MAX_UNIT} characters or holds a character that no unit has", "unit"
            )
        if any(segment in (".", "..") for segment in unit.split("/")):
            self._invalid("the unit holds a path segment of dots", "unit")
        return unit

    def _check_named(self, name: str, value: Value) -> None:
        """Raise Incomplete for what stands in place of a name that the PMS does not have."""
        if isinstance(value, str) and is_placeholder(value):
            raise Incomplete(
                f"{self._rule.name}: what stands for `{name}`{self._where()} is a placeholder and names nothing: read "
                "the mail and enter the event by hand, or ask for a corrected mail",
                (name,),
            )

    def _by_template(self, unit: str) -> str:
        """Return the id that the mailbox's template gives a unit."""
        try:
            return template(self._mailbox.unit_id).fill({"location": self._mailbox.location, "unit": unit})
        except Unfilled as error:
            raise Invalid(f"{self._rule.name}: the mailbox's unit_id: {error}", ("unit",)) from error

    def _identity(self, spec: EventSpec, told_as: str, ordinal: int) -> str:
        stated = [name for name in self._rule.identity if name in self._values]
        values = [(name, canonical_text(self._values[name])) for name in stated or self._used()]
        if not stated:
            values.append(("minute", minute_of(self._told.occurred_at)))
        if self._part.told_in:
            values.append(("table", self._part.told_in))
        return identity_of(
            company=self._mailbox.company,
            crm_unit_id=told_as,
            occurrence=self._rule.occurrence,
            kind=spec.kind,
            ordinal=ordinal,
            values=values,
        )

    def _used(self) -> list[str]:
        """Return the names of the values that make an event itself: all of a notice, of a row those that it uses."""
        if not self._part.is_row:
            return sorted(self._values)
        used = frozenset[str]().union(*(spec.names for spec in self._part.events))
        return sorted(name for name in self._values if name in used)

    def _invalid(self, why: str, field: str) -> NoReturn:
        raise Invalid(f"{self._rule.name}: {why}{self._where()}: read the mail and enter the event by hand", (field,))
