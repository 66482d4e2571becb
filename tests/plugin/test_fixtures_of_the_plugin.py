"""The fixtures that the plugin gives to tests of one's own, with and without the service."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks
from tests.plugin.conftest import MAIL, Pytest, write
from tests.rigs import wheel

OWN_TESTS = """\
import datetime as dt
import pytest
from parsers import read_mail

LET = dict(subject="Unit let: C12", text="Unit: C12\\nCustomer: H-204\\nFrom: 2026-05-01\\n")


def test_a_mail_is_written_and_read(inbound_mail, assert_events):
    mail = inbound_mail(**LET)
    assert b"office@harborstorage.example" in mail
    assert_events(mail, {"kind": "move_in", "unit": "C12", "body": {"pms_tenant_id": "H-204"}}, outcome="events")
    page = "<p>Unit: C12<br>Customer: H-204<br>From: 2026-05-01</p>"
    files = {"map.pdf": b"%PDF"}
    html = inbound_mail(subject="Unit let: C12", text="see the HTML", html=page, attachments=files)
    assert_events(html, {"kind": "move_in", "unit": "C12"})
    assert_events(inbound_mail(subject="Hello", text="x"), outcome="unmatched")


def test_an_attached_text_is_written_in_utf_8(inbound_mail):
    table = "Unit,Tenant\\r\\nC12,Zo\u00eb\\r\\n"
    mails = [
        inbound_mail(subject="List", text="x", attachments={name: content})
        for name in ("units.csv", "units.dat")
        for content in (table, table.encode())
    ]
    assert mails[0] == mails[1]
    assert mails[2] == mails[3]
    assert read_mail(mails[0]).parts[-1].octets == table.encode()


def test_what_differs_is_told(inbound_mail, assert_events):
    with pytest.raises(AssertionError, match="event 1.body.pms_tenant_id: 'H-204', not 'H-205'"):
        assert_events(inbound_mail(**LET), {"kind": "move_in", "body": {"pms_tenant_id": "H-205"}})
    with pytest.raises(AssertionError, match="1 events, not 0"):
        assert_events(inbound_mail(**LET))
    with pytest.raises(AssertionError, match="outcome: events, not ignored"):
        assert_events(inbound_mail(**LET), {}, outcome="ignored")


def test_a_mail_is_dressed(inbound_mail, dressed, assert_events):
    for name in ("gmail-forward", "outlook-forward-de"):
        other = dressed(inbound_mail(**LET), as_=name)
        assert other != inbound_mail(**LET)
        assert_events(other, {"kind": "move_in", "unit": "C12"})


def test_a_folder_is_replayed_in_the_order_of_its_mails(replay, assert_events):
    told = replay("days")
    assert [one.path.name for one in told] == ["b.eml", "a.eml"]
    assert_events(told, {"unit": "C12"}, {"unit": "C13"})
"""
SERVICE_TESTS = """\
import datetime as dt

LET = dict(subject="Unit let: C12", text="Unit: C12\\nCustomer: H-204\\nFrom: 2026-05-03\\n")


def test_a_mail_takes_its_whole_path(inbound_mail, smtp_ingress, local_units):
    assert local_units.show("HARBOR-C12") is None
    told = smtp_ingress.send(inbound_mail(**LET))
    assert (told["state"], told["rule"], told["reason"]) == ("parsed", "harbor/move-in", None)
    assert local_units.show("HARBOR-C12")["occupied"] is True
    again = smtp_ingress.send(inbound_mail(**LET))
    assert again["state"] == "duplicate"


def test_the_clock_is_that_of_the_mail(inbound_mail, smtp_ingress, local_units):
    smtp_ingress.send(inbound_mail(**LET))
    assert smtp_ingress.now == dt.datetime(2026, 5, 1, 14, 30, tzinfo=dt.UTC)
    assert local_units.show("HARBOR-C12")["reason"] == "future_move_in"
    smtp_ingress.pass_time(dt.timedelta(days=3))
    assert local_units.show("HARBOR-C12")["reason"] == "active"


def test_a_stranger_is_held(inbound_mail, smtp_ingress):
    told = smtp_ingress.send(inbound_mail(**LET, sender="a@b.example"))
    assert (told["state"], told["reason"]) == ("held", "untrusted")
"""


def test_mails_are_written_read_and_replayed(project: Path, run_pytest: Pytest) -> None:
    """A mail is written, read and compared; a folder is read in the order of its dates."""
    other = MAIL.replace(b"C12", b"C13").replace(b"01 May", b"02 May")
    write(project, {"test_own.py": OWN_TESTS})
    (project / "days").mkdir()
    (project / "days" / "a.eml").write_bytes(other)
    (project / "days" / "b.eml").write_bytes(MAIL)
    done = run_pytest("test_own.py")
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_a_mail_takes_its_path_through_a_real_receiver(project: Path, run_pytest: Pytest) -> None:
    """What is sent by SMTP is kept, read and applied to units of its own, at the time of the mail."""
    write(project, {"test_own.py": SERVICE_TESTS})
    done = run_pytest("test_own.py")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_examples_of_the_page_hold(project: Path, run_pytest: Pytest) -> None:
    """What a reader copies from the page of the plugin is green with the pack that stands there."""
    (ini,), tests = (
        [one.text for one in blocks(info) if one.page == DOCS / "pytest.md"]
        for info in ('toml title="pyproject.toml"', "python test")
    )
    assert tests
    write(project, {"pyproject.toml": ini, **{f"test_{number}.py": text for number, text in enumerate(tests)}})
    (project / "captured" / "monday").mkdir(parents=True)
    (project / "captured" / "monday" / "1.eml").write_bytes(MAIL)
    done = run_pytest(*(f"test_{number}.py" for number in range(len(tests))))
    assert done.returncode == 0, done.stdout
    assert f"{sum(text.count('def test_') for text in tests)} passed" in done.stdout


@pytest.fixture
def library_alone(service_modules: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path with which nothing can be imported that only the service needs."""
    return wheel.without(service_modules, tmp_path_factory.mktemp("without"))


def test_the_library_suffices_for_reading(project: Path, run_pytest: Pytest, library_alone: Path) -> None:
    """Without the service's packages mails are collected and read; what needs the service says so, and is no skip."""
    write(project, {"test_own.py": SERVICE_TESTS})
    assert run_pytest("--gatepost-accept", "fixtures", path=(library_alone,)).returncode == 0
    assert run_pytest("fixtures", path=(library_alone,)).returncode == 0
    done = run_pytest("test_own.py", path=(library_alone,))
    assert done.returncode == 1
    assert "3 errors" in done.stdout
    assert "pip install 'gatepost[worker]'" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_library_is_imported_without_the_packages_of_the_service(
    installed: Path, library_alone: Path, project: Path
) -> None:
    """The library reads a mail where none of the service's packages can be imported."""
    code = (
        "from pathlib import Path\nfrom parsers import Mailbox, load_rules, parse_mail\n"
        "box = Mailbox(address='harbor@in.example.com', company='acme', location='HARBOR')\n"
        "mail = next(Path('fixtures').rglob('*.eml')).read_bytes()\n"
        "print(parse_mail(mail, load_rules([Path('rules')]), mailbox=box).events[0].crm_unit_id)\n"
        "import {module}\n"
    )

    def run(module: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code.format(module=module)],
            cwd=project,
            env={"PYTHONPATH": f"{library_alone}:{installed}"},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("sqlalchemy")
    assert done.stdout == "HARBOR-C12\n", done.stderr
    assert "No module named 'sqlalchemy'" in done.stderr
    assert run("yaml").returncode == 0
