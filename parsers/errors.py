"""The errors of this package: one tree, drawn here.

::

    ParserError
    ├── RuleErrors      a rule set that does not load; carries every RuleError
    ├── Unreadable      a mail outside the bounds within which we read
    ├── NotRead         an attached file that is broken, or outside these bounds
    └── Held            a rule claims the mail, and its values give no event
        ├── Incomplete  a value is missing, or is an unresolved merge field
        └── Invalid     a value does not convert whole, or is stated twice with different values

All are permanent: the same bytes and rules fail the same way. Messages name the rule, the field and the place,
never a resident's data.
"""

from collections.abc import Iterable
from dataclasses import dataclass


class ParserError(Exception):
    """The root of the tree; trying again cannot help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleError:
    """One fault of a rule file: where it is, what was written there, and the nearest word that is known."""

    file: str
    line: int
    column: int
    message: str
    text: str = ""
    nearest: str | None = None

    def __str__(self) -> str:
        hint = f" (did you mean `{self.nearest}`?)" if self.nearest else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{hint}"


class RuleErrors(ParserError):
    """A rule set that does not load: whole or not at all."""

    def __init__(self, errors: Iterable[RuleError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


class Unreadable(ParserError):
    """A mail that cannot be read within bounds; the text says which bound."""


class NotRead(ParserError):
    """An attached file that cannot be read; the text says why, and begins with `it` or a place in the file."""


class Held(ParserError):
    """A mail whose values give no event; `reason` says what, where and what next."""

    def __init__(self, reason: str, fields: tuple[str, ...] = ()) -> None:
        self.reason = reason
        self.fields = fields
        super().__init__(reason)


class Incomplete(Held):
    """A value is missing, or is an unresolved merge field."""


class Invalid(Held):
    """A value does not convert whole, or is stated twice with different values."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word nearest to `word`; None when none is near."""
    from difflib import get_close_matches  # only a fault pays for it

    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None
