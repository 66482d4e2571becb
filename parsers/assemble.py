"""Values of a rule to events: units, bodies, the moment, the identity."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from parsers.convert import Value
from parsers.errors import Incomplete, Invalid
from parsers.events import Event, Kind
from parsers.events import Value as BodyValue
from parsers.extract import Values
from parsers.identity import canonical_text, identity_of, minute_of
from parsers.mail import Mail
from parsers.mailbox import Mailbox
from parsers.rule import EventSpec, FieldValue, Literal, NamedSpecs, Rule, ValueSpec
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


class Assembly:
    """Makes the events of one claiming rule from its values."""

    def __init__(self, rule: Rule, values: Values, mailbox: Mailbox, told: Told) -> None:
        self._rule = rule
        self._values = values
        self._mailbox = mailbox
        self._told = told
        self._names: dict[str, Value] = {
            **values,
            "occurred_on": told.occurred_at.date(),
            "mailbox": mailbox.address,
            "location": mailbox.location,
        }

    def events(self) -> tuple[Event, ...]:
        """Return the events, without those that would say nothing; raise Incomplete or Invalid."""
        made: list[Event] = []
        ordinals: Counter[tuple[Kind, str]] = Counter()
        for spec in self._rule.events:
            body = self._body(spec)
            if spec.kind is Kind.PATCH and not body:
                continue
            unit = self._unit(spec)
            crm_unit_id = self._crm_unit_id(unit)
            ordinal = ordinals[spec.kind, crm_unit_id]
            ordinals[spec.kind, crm_unit_id] += 1
            if spec.kind is Kind.MOVE_IN:
                body |= {"unit_name": unit, "pms_location_code": self._mailbox.location}
            made.append(
                Event(
                    kind=spec.kind,
                    unit=unit,
                    crm_unit_id=crm_unit_id,
                    effective_at=self._told.occurred_at,
                    mailed_at=self._told.mailed_at,
                    position=len(made),
                    identity=self._identity(spec, crm_unit_id, ordinal),
                    rule=self._rule.name,
                    body=body,
                    on=self._stated_date(spec),
                    expect=self._expect(spec),
                )
            )
        return tuple(self._at_stated_date(made))

    def _at_stated_date(self, made: list[Event]) -> list[Event]:
        """Return the events, moved to the start of the stated tenancy date where that lies ahead."""
        today = self._told.occurred_at.date()
        ahead = max((event.on for event in made if event.on and event.on > today), default=None)
        if ahead is None:
            return made
        start = self._mailbox.local(dt.datetime.combine(ahead, dt.time.min))
        return [replace(event, effective_at=start) for event in made]

    def _value(self, spec: ValueSpec) -> tuple[bool, Value]:
        """Return whether the mail states a value, and the value."""
        if isinstance(spec, Literal):
            return True, spec.value
        if isinstance(spec, FieldValue):
            return spec.name in self._values, self._values.get(spec.name)
        try:
            return True, spec.fill(self._names)
        except Unfilled as error:
            raise Incomplete(f"{self._rule.name}: {error}", tuple(sorted(spec.names))) from error

    def _body(self, spec: EventSpec) -> dict[str, BodyValue]:
        body: dict[str, BodyValue] = {}
        for name, value_spec in spec.values:
            stated, value = self._value(value_spec)
            if not stated:
                continue
            if value is None and name not in _CLEARABLE:
                self._invalid(f"`{name}` cannot be cleared", name)
            if isinstance(value, dt.datetime):
                value = self._mailbox.local(value).date()
            body[name] = value.isoformat() if isinstance(value, dt.date) else value
        return body

    def _expect(self, spec: EventSpec) -> Mapping[str, str]:
        return {name: str(value) for name, value in self._stated(spec.expect) if value is not None}

    def _stated(self, specs: NamedSpecs) -> list[tuple[str, Value]]:
        found = [(name, self._value(spec)) for name, spec in specs]
        return [(name, value) for name, (stated, value) in found if stated]

    def _stated_date(self, spec: EventSpec) -> dt.date | None:
        source = spec.on if spec.kind is Kind.MOVE_OUT else dict(spec.values).get("move_in_date")
        value = self._value(source)[1] if source else None
        if isinstance(value, dt.datetime):
            return self._mailbox.local(value).date()
        return value if isinstance(value, dt.date) else None

    def _unit(self, spec: EventSpec) -> str:
        unit = self._value(spec.unit)[1]
        if not isinstance(unit, str) or not unit:
            raise Incomplete(f"{self._rule.name}: the mail names no unit", ("unit",))
        if len(unit) > MAX_UNIT or "?" in unit or "\\" in unit or not unit.isprintable() or "\ufffd" in unit:
            self._invalid(
                f"the unit is longer than {MAX_UNIT} characters or holds a character that no unit has", "unit"
            )
        if any(segment in (".", "..") for segment in unit.split("/")):
            self._invalid("the unit holds a path segment of dots", "unit")
        return unit

    def _crm_unit_id(self, unit: str) -> str:
        try:
            return template(self._mailbox.unit_id).fill({"location": self._mailbox.location, "unit": unit})
        except Unfilled as error:
            raise Invalid(f"{self._rule.name}: the mailbox's unit_id: {error}", ("unit",)) from error

    def _identity(self, spec: EventSpec, crm_unit_id: str, ordinal: int) -> str:
        stated = [name for name in self._rule.identity if name in self._values]
        values = [(name, canonical_text(self._values[name])) for name in stated or sorted(self._values)]
        if not stated:
            values.append(("minute", minute_of(self._told.occurred_at)))
        return identity_of(
            company=self._mailbox.company,
            crm_unit_id=crm_unit_id,
            occurrence=self._rule.occurrence,
            kind=spec.kind,
            ordinal=ordinal,
            values=values,
        )

    def _invalid(self, why: str, field: str) -> NoReturn:
        raise Invalid(f"{self._rule.name}: {why}: read the mail and enter the event by hand", (field,))
