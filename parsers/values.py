"""Captured texts and cells to values, by the type of the field: whole, or not at all."""

import datetime as dt
from decimal import Decimal
from typing import Any

from parsers import convert
from parsers.cell import Broken, Number, raw_of
from parsers.convert import MAX_VALUE, NotConverted, Value
from parsers.errors import Invalid
from parsers.rule import Field, Pack, Rule, Type
from parsers.text import normal


def to_value(field: Field, raw: Any, pack: Pack, rule: Rule, where: str = "") -> Value:
    """Return the value of a captured text by the field's type; raise Invalid naming the field, and where it stands."""
    try:
        return _converted(field, raw, pack)
    except NotConverted as error:
        raise Invalid(
            f"{rule.name}: the field `{field.name}`{where} {error}: read the mail, then mend the rule "
            f"({rule.file}:{field.line}) or enter the event by hand",
            (field.name,),
        ) from error


def _converted(field: Field, raw: Any, pack: Pack) -> Value:
    if raw is None:
        return None
    if isinstance(raw, Number | Broken | dt.datetime):
        raw = raw_of(raw, field.type)
    if isinstance(raw, dt.datetime):
        if not convert.FIRST_YEAR <= raw.year <= convert.LAST_YEAR:
            raise NotConverted(f"is a date outside the years {convert.FIRST_YEAR} to {convert.LAST_YEAR}")
        return raw if field.type is Type.DATETIME else raw.date()
    if isinstance(raw, bool):
        if field.type is not Type.FLAG:
            raise NotConverted("is true or false where the rule expects something else")
        return raw
    if isinstance(raw, int | Decimal):
        if field.type is Type.MONEY:
            return convert.bounded_money(Decimal(raw), credit_is_zero=field.credit_is_zero)
        raw = str(raw) if isinstance(raw, int) else None
    if not isinstance(raw, str):
        raise NotConverted(f"is not a {field.type}")
    return _from_text(field, normal(raw), pack)


def _from_text(field: Field, text: str, pack: Pack) -> Value:
    longest = convert.MAX_LIST if field.type is Type.LIST else MAX_VALUE
    if not text or len(text) > longest or "\ufffd" in text:
        raise NotConverted(f"is empty, longer than {longest} characters, or holds characters that are none")
    items = convert.read_list(text, field.split) if field.type is Type.LIST else (text,)
    if field.pattern is not None and not all(field.pattern.whole(item) for item in items):
        raise NotConverted("does not match the field's pattern")
    if field.type is Type.LIST:
        return items
    if field.type is Type.MONEY:
        return convert.read_money(text, pack.money, credit_is_zero=field.credit_is_zero)
    if field.type is Type.INTEGER:
        return convert.read_integer(text, pack.money)
    if field.type is Type.FLAG:
        return convert.read_flag(text, field.trues, field.falses)
    if field.type is Type.DATE:
        return convert.read_moment(text, pack.dates).date()
    if field.type is Type.DATETIME:
        return convert.read_moment(text, [form for form in pack.dates if form.has_time])
    return text
