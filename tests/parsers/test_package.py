"""The package: what importing it brings in."""

import subprocess
import sys

import pytest

import parsers
from parsers import Mailbox

LIBRARIES = (
    "mailparser",
    "jinja2",
    "yaml",
    "re2",
    "selectolax",
    "openpyxl",
    "worker",
    "pydantic",
    "click",
    "sqlalchemy",
)


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*[name for name in {LIBRARIES!r} if name in sys.modules])"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_importing_the_package_brings_no_library() -> None:
    """Events and kinds cost nothing; each other name brings what it needs when asked for."""
    assert set() == loaded_after("import parsers; parsers.Event; parsers.Outcome")


def test_the_library_needs_nothing_of_the_service() -> None:
    """Loading rules and reading mail never imports the service or its libraries."""
    found = loaded_after("from parsers import load_rules, parse_mail, Mailbox")
    assert {"mailparser", "yaml", "re2", "selectolax"} == found


def test_every_name_is_found() -> None:
    """Each exported name exists; `parse` stays the function though a module has its name."""
    assert all(getattr(parsers, name) for name in parsers.__all__)
    import parsers.parse as _

    assert callable(parsers.parse)
    with pytest.raises(AttributeError):
        _ = parsers.no_such_name


@pytest.mark.parametrize("wrong", [{"timezone": "Mars/Olympus"}, {"timezone": "../etc"}, {"unit_id": "{{ unit"}])
def test_a_mailbox_is_checked_when_made(wrong: dict[str, str]) -> None:
    """A zone or template that is none is refused before any mail is read."""
    with pytest.raises(ValueError, match=r"time zone|not a template"):
        Mailbox(address="a@b", company="c", location="M", **wrong)
