"""The pytest plugin: mails with expectations become tests, and fixtures for tests of one's own rules.

It is asleep until a project sets ``gatepost_rules``: nothing is collected, and no library of ours is imported. What
reads mail is imported when it is first used; what needs the service, when its fixture is.

PYTEST_DONT_REWRITE
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pytest

if TYPE_CHECKING:
    from parsers import Mailbox, Reading, RuleSet
    from worker.ingress import Ingress, ShownUnits

SHIPPED = "shipped"
"""In ``gatepost_rules``: the packs that come with Gatepost."""
_USUAL_DATE = dt.datetime(2026, 5, 1, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=-5)))

_LAST = dt.datetime.max.replace(tzinfo=dt.UTC)
_NO_HEADERS: Mapping[str, str] = {}
_NO_FILES: Mapping[str, bytes] = {}
_ACCEPTED = "gatepost_accepted"
_RULES = pytest.StashKey["RuleSet"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options; each begins with our name."""
    parser.addini(
        "gatepost_rules",
        "rule files, or folders of them, beside this file; `shipped` for the packs of Gatepost. Without it Gatepost's "
        "plugin collects nothing.",
        type="args",
        default=[],
    )
    group = parser.getgroup("gatepost")
    group.addoption(
        "--gatepost-accept",
        action="store_true",
        help="write what is read now into each .expected.json; look at the difference before it is committed",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "MailFile | None":
    """Collect a mail that has an expectation; with ``--gatepost-accept`` also one that is to get it."""
    config = parent.config
    if file_path.suffix != ".eml" or not config.getini("gatepost_rules"):
        return None
    if not config.getoption("gatepost_accept") and not file_path.with_suffix(".expected.json").is_file():
        return None
    return MailFile.from_parent(parent, path=file_path)


class MailFile(pytest.File):
    """A mail with what is expected of it."""

    def collect(self) -> Iterable["MailItem"]:
        """Yield its one test."""
        yield MailItem.from_parent(self, name="reading")


class Differs(Exception):
    """A mail is read otherwise than expected; carries the lines that say how."""


class MailItem(pytest.Item):
    """Reads one mail and compares with its expectation."""

    def runtest(self) -> None:
        """Raise Differs unless the mail is read as expected; with ``--gatepost-accept`` write what is read."""
        from worker.fixtures import accept_fixture, check_fixture

        rules = _rules_of(self.config)
        if self.config.getoption("gatepost_accept"):
            if accept_fixture(self.path, rules):
                self.user_properties.append((_ACCEPTED, str(self.path)))
            return
        if differences := check_fixture(self.path, rules)["differences"]:
            raise Differs("\n".join(differences))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what differs, a line each; our own errors without a traceback."""
        if isinstance(excinfo.value, Differs):
            return (
                f"{self.path}\n{excinfo.value}\n"
                f"`gatepost explain {self.path.name}` shows how it is read; --gatepost-accept takes it as it is now"
            )
        if type(excinfo.value).__name__ in ("BadExpectation", "UsageError"):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the test stands, and its name."""
        return self.path, None, f"mail: {self.path.stem}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the expectations that were rewritten, also by other processes."""
    passed = terminalreporter.stats.get("passed", ())
    rewritten = [path for report in passed for name, path in report.user_properties if name == _ACCEPTED]
    if rewritten:
        terminalreporter.section("gatepost: expectations rewritten")
        for path in rewritten:
            terminalreporter.line(path)


# -- fixtures ---------------------------------------------------------------------------------------------------------


class Replayed(NamedTuple):
    """One mail of a folder, as it was read."""

    path: Path
    mail: bytes
    reading: "Reading"


@pytest.fixture(scope="session")
def rules(pytestconfig: pytest.Config) -> "RuleSet":
    """The rule set of ``gatepost_rules``."""
    return _rules_of(pytestconfig)


@pytest.fixture
def gatepost_mailbox(rules: "RuleSet") -> "Mailbox":
    """The mailbox that mails are read for, as that of the expectations; make your own of this name to change it."""
    from worker.fixtures import fixture_mailbox, mailbox_pack

    return fixture_mailbox(mailbox_pack(Path(), rules), {})


@pytest.fixture
def inbound_mail(rules: "RuleSet", gatepost_mailbox: "Mailbox") -> Callable[..., bytes]:
    """Write mails: ``inbound_mail(subject=..., text=..., html=..., ...)`` returns the octets of one."""

    def write(
        *,
        subject: str,
        text: str | None = None,
        html: str | None = None,
        sender: str | None = None,
        to: str | None = None,
        date: dt.datetime = _USUAL_DATE,
        headers: Mapping[str, str] = _NO_HEADERS,
        attachments: Mapping[str, bytes | str] = _NO_FILES,
    ) -> bytes:
        """``sender`` None: one of whom a pack says that it may speak for it.

        ``attachments``: contents by file name; a text is written in UTF-8.
        """
        from email.message import EmailMessage
        from email.policy import SMTP
        from email.utils import format_datetime
        from mimetypes import guess_type

        if text is None and html is None:
            raise ValueError("a mail needs `text`, `html`, or both")
        mail = EmailMessage(policy=SMTP)
        mail["From"] = sender or f"office@{_sending_domain(rules)}"
        mail["To"] = to or gatepost_mailbox.address
        mail["Subject"] = subject
        mail["Date"] = format_datetime(date)
        for name, value in headers.items():
            mail[name] = value
        if text is None:
            mail.set_content(html, subtype="html")
        else:
            mail.set_content(text)
            if html is not None:
                mail.add_alternative(html, subtype="html")
        for name, content in attachments.items():
            kind, _, subkind = (guess_type(name)[0] or "application/octet-stream").partition("/")
            octets = content.encode() if isinstance(content, str) else content
            mail.add_attachment(octets, maintype=kind, subtype=subkind, filename=name)
        for number, part in enumerate(part for part in mail.walk() if part.is_multipart()):
            part.set_boundary(f"=_gatepost_{number}")
        return mail.as_bytes()

    return write


@pytest.fixture
def dressed() -> Callable[[bytes, str], bytes]:
    """Dress a mail as other programs hand it on: ``dressed(mail, as_="gmail-forward")`` returns other octets."""
    from parsers.dress import dress

    return dress


@pytest.fixture
def replay(
    rules: "RuleSet", gatepost_mailbox: "Mailbox", pytestconfig: pytest.Config
) -> Callable[[str | Path], tuple[Replayed, ...]]:
    """Read all mails of a folder (beside the ini file), in the order of their Date: ``replay("days/monday")``."""

    def read(folder: str | Path) -> tuple[Replayed, ...]:
        from parsers import Unreadable, read_mail

        below = _beside(pytestconfig, str(folder))
        mails = {path: path.read_bytes() for path in sorted(below.rglob("*.eml"))}
        if not mails:
            pytest.fail(f"no mail (*.eml) in {below}: a replay of nothing shows nothing", pytrace=False)

        def sent_at(path: Path) -> dt.datetime:
            try:
                mail = read_mail(mails[path])
            except Unreadable:
                return _LAST
            local = gatepost_mailbox.local(mail.local_date) if mail.local_date else _LAST
            return mail.date or local

        return tuple(
            Replayed(path, mails[path], _read(mails[path], rules, gatepost_mailbox))
            for path in sorted(mails, key=sent_at)
        )

    return read


@pytest.fixture
def assert_events(rules: "RuleSet", gatepost_mailbox: "Mailbox") -> Callable[..., None]:
    """See that a mail gives these events and no others: ``assert_events(mail, {"kind": "move_in", "unit": "B204"})``.

    The first argument is a mail's octets, a reading, or what ``replay`` returns. Of each event the names that are
    given are compared, within ``body``, too; the names are those of ``gatepost parse --json``.
    """

    def check(told: "bytes | Reading | Sequence[Replayed]", *expected: Mapping[str, Any], outcome: str = "") -> None:
        """``outcome``: that of each mail; empty: any."""
        __tracebackhide__ = True
        readings = [_read(told, rules, gatepost_mailbox)] if isinstance(told, bytes) else _readings(told)
        found = [event for reading in readings for event in reading.to_json()["events"]]
        lines = [f"outcome: {one.outcome}, not {outcome}" for one in readings if outcome and one.outcome != outcome]
        if len(found) != len(expected):
            lines.append(f"{len(found)} events, not {len(expected)}")
        for number, (event, wanted) in enumerate(zip(found, expected, strict=False), 1):
            lines += _differences(f"event {number}", event, wanted)
        if lines:
            reasons = [f"{one.outcome}: {one.reason}" for one in readings if one.reason]
            raise AssertionError("\n".join([*lines, *reasons]))

    return check


@pytest.fixture
def smtp_ingress(
    rules: "RuleSet", gatepost_mailbox: "Mailbox", pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Ingress]":
    """A whole Gatepost with a receiver that listens: ``smtp_ingress.send(mail)`` returns what became of the mail."""
    try:
        from worker.ingress import Ingress, listening
    except ModuleNotFoundError as error:
        _lack_service("smtp_ingress and local_units", error)
    folder = tmp_path_factory.mktemp("gatepost")
    made = Ingress(folder, rules=_paths(pytestconfig), packs=rules.packs, mailbox=gatepost_mailbox)
    with listening(made):
        yield made


@pytest.fixture
def local_units(smtp_ingress: "Ingress") -> "ShownUnits":
    """The units that ``smtp_ingress`` writes to: ``local_units.show("HARBOR-C12")``, None while it is unknown."""
    return smtp_ingress.units


# -- what they share --------------------------------------------------------------------------------------------------


def _beside(config: pytest.Config, path: str) -> Path:
    """Return a path as one beside the ini file."""
    return (config.inipath.parent if config.inipath else config.rootpath) / path


def _paths(config: pytest.Config) -> list[Path]:
    from worker.fixtures import SHIPPED_RULES

    return [SHIPPED_RULES if one == SHIPPED else _beside(config, one) for one in config.getini("gatepost_rules")]


def _rules_of(config: pytest.Config) -> "RuleSet":
    """Return the rule set of a run, loaded once a process.

    Raises:
        UsageError: no ``gatepost_rules``, or files that do not load; says file, line and column.
    """
    from parsers import RuleErrors, load_rules

    if _RULES not in config.stash:
        paths = _paths(config)
        if not paths:
            raise pytest.UsageError('set gatepost_rules in the ini options: gatepost_rules = ["rules"]')
        try:
            found = load_rules(paths)
        except RuleErrors as errors:
            raise pytest.UsageError(f"the rules do not load:\n{errors}") from errors
        if not found.packs:
            raise pytest.UsageError(f"no rule pack (*.yaml) in {', '.join(map(str, paths))}")
        config.stash[_RULES] = found
    return config.stash[_RULES]


def _read(raw: bytes, rules: "RuleSet", mailbox: "Mailbox") -> "Reading":
    from parsers import parse_mail

    return parse_mail(raw, rules, mailbox=mailbox)


def _readings(told: "Reading | Sequence[Replayed]") -> "list[Reading]":
    return [one.reading for one in told] if isinstance(told, Sequence) else [told]


def _differences(where: str, found: Any, wanted: Any) -> list[str]:
    if not isinstance(found, Mapping) or not isinstance(wanted, Mapping):
        return [] if found == wanted else [f"{where}: {found!r}, not {wanted!r}"]
    return [line for name in wanted for line in _differences(f"{where}.{name}", found.get(name), wanted[name])]


def _sending_domain(rules: "RuleSet") -> str:
    """Return a domain that may speak for a pack of the set."""
    domains = (sender.removeprefix("*.") for pack in rules.packs.values() for sender in pack.senders)
    return next((domain for domain in domains if "." in domain), "example.com")


def _lack_service(what: str, error: ModuleNotFoundError) -> NoReturn:
    pytest.fail(
        f"{what} need the service, and `{error.name}` is not installed: pip install 'gatepost[worker]'", pytrace=False
    )
