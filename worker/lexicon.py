"""What labels and subjects of property-management mails mostly mean: what a draft of a rule goes by. Pure.

Every word here only proposes. A draft is commented, and a person reads it before it is live.
"""

import re
from enum import StrEnum


class Role(StrEnum):
    """What a field of a draft is for; the value is the field's name."""

    UNIT = "unit"
    TO_UNIT = "to_unit"
    FROM_UNIT = "from_unit"
    TENANT = "tenant_id"
    LEDGER = "ledger_id"
    MOVED_IN = "moved_in"
    MOVED_OUT = "moved_out"
    MOVED = "moved"
    PAID_THROUGH = "paid_through"
    BALANCE = "balance"
    OCCURRED = "occurred"


DATES = (Role.MOVED_IN, Role.MOVED_OUT, Role.MOVED, Role.PAID_THROUGH)
"""The roles that a date fills."""

_ID = r"(?:id|no|nr|number|nummer|ref|reference)?[ .#:-]*"
_NUMBER = r"(?:id|no|nr|number|nummer|reference|ref|#)"
_LABELS: tuple[tuple[Role, str], ...] = (
    (Role.FROM_UNIT, rf"(?:from|old|previous) (?:unit|space)[ -]*{_ID}"),
    (Role.TO_UNIT, rf"(?:to|new) (?:unit|space)[ -]*{_ID}"),
    (Role.UNIT, rf"(?:storage )?(?:unit|space|locker|einheit)[ -]*(?:name )?{_ID}"),
    (
        Role.TENANT,
        r"(?:tenant|customer|client|resident|user|contact|kunden|storitz)[ -]*(?:id|no|nr|number|nummer)[ .#]*",
    ),
    (
        Role.LEDGER,
        rf"(?:(?:ledger|lease|rental|contract|agreement|miet|transaction)[ -]*{_NUMBER}|booking(?: {_NUMBER})?)[ .#]*",
    ),
    (
        Role.MOVED_IN,
        r"(?:actual )?move[ -]?in(?: date)?|(?:lease |rental )?start(?: date)?|check[ -]?in(?: date)?|beginn",
    ),
    (
        Role.MOVED_OUT,
        r"(?:actual )?move[ -]?out(?: date)?|(?:lease |rental )?end(?: date)?|check[ -]?out(?: date)?|ende",
    ),
    (Role.MOVED, r"transfer(?: date)?"),
    (Role.PAID_THROUGH, r"(?:rent is )?paid[ -]?(?:thru|through|until|to)(?: date)?"),
    (Role.BALANCE, r"(?:new |current |outstanding )?balance(?: due)?"),
    (Role.OCCURRED, r"(?:event )?(?:date|time|timestamp)(?: ?(?:/|and|&) ?time)?|occurred(?: at)?"),
)

_NAMES = (
    r"(?:tenant|customer|client|resident|guest|user|contact|property|facility|site|location|company|kunde|standort)"
    r"(?: name)?"
)

_STATUS = r"(?:[a-z-]+ )?(?:status|state|zustand)"
INTENTIONS = (
    "reserv", "schedul", "pending", "cancel", "declin", "request", "enquir", "inquir", "revers", "returned", "fail",
    "to be paid", "not yet",
)  # fmt: skip
"""How words begin, after one of which a mail tells of something that has not happened, or no longer holds."""


class Happening(StrEnum):
    """What a mail tells of; the value names the rule."""

    MOVE_IN = "move-in"
    MOVE_OUT = "move-out"
    TRANSFER = "transfer"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    AUCTION = "auction"
    NO_AUCTION = "auction-cancelled"
    PAYMENT = "payment"
    NOTHING = "no-event"


_SUBJECTS: tuple[tuple[Happening, str], ...] = (
    (Happening.NO_AUCTION, r"auction.*cancel|cancel.*auction"),
    (Happening.AUCTION, r"pending auction"),
    (
        Happening.NOTHING,
        r"auction sold|reserv|scheduled move|move.?(?:in|out) (?:scheduled|request)|request|pending|booking",
    ),
    (Happening.AUCTION, r"auction"),
    (Happening.UNLOCKED, r"(?:revers|remov|clear|releas|cancel).*lock|lock.*(?:revers|remov|clear|releas)|unlocked"),
    (Happening.UNLOCKED, r"access granted"),
    (Happening.LOCKED, r"over.?lock|lock(?:ed)?.?out|gate lock"),
    (Happening.TRANSFER, r"transfer"),
    (Happening.MOVE_OUT, r"move.?out|moved out|vacat|lease closed|auszug|checked out"),
    (
        Happening.MOVE_IN,
        r"move.?in|moved in|new rental|new tenant|unit (?:let|occupied)|lease creation|belegt|checked in",
    ),
    (Happening.PAYMENT, r"payment|receipt|nsf|paid|balance|bounced"),
)


def role_of(label: str) -> Role | None:
    """Return what the value beside a label mostly is; None when that is not known."""
    for role, pattern in _LABELS:
        if re.fullmatch(pattern, label.strip(" *•·:"), re.IGNORECASE):
            return role
    return None


def is_name(label: str) -> bool:
    """Say whether a person or a site is mostly named beside a label."""
    return re.fullmatch(_NAMES, label.strip(" *•·:"), re.IGNORECASE) is not None


def is_status(label: str) -> bool:
    """Say whether how something stands is mostly told beside a label."""
    return re.fullmatch(_STATUS, label.strip(" *•·:"), re.IGNORECASE) is not None


def happening_of(subject: str) -> Happening | None:
    """Return what a mail of this subject mostly tells of; None when that is not known."""
    return next((found for found, pattern in _SUBJECTS if re.search(pattern, subject, re.IGNORECASE)), None)
