"""The plugin in a project of somebody's own: what it collects, tells and rewrites, and that it sleeps elsewhere."""

import json
from pathlib import Path

import pytest

from tests.plugin.conftest import INI, Pytest, write

EXPECTED = "fixtures/harbor/01-let.expected.json"


@pytest.fixture
def accepted(project: Path, run_pytest: Pytest) -> Path:
    """The project, once its mail has an expectation."""
    done = run_pytest("--gatepost-accept")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gatepost: expectations rewritten" in done.stdout
    assert EXPECTED.replace(".expected.json", ".eml") in done.stdout
    return project


def test_a_mail_with_an_expectation_is_a_test(accepted: Path, run_pytest: Pytest) -> None:
    """Accepting writes what is read, and from then on the mail is a green test."""
    wanted = json.loads((accepted / EXPECTED).read_text("utf-8"))["expected"]
    assert (wanted["rule"], wanted["events"][0]["unit"]) == ("harbor/move-in", "C12")
    done = run_pytest("-v")
    assert done.returncode == 0, done.stdout
    assert "fixtures/harbor/01-let.eml::reading PASSED" in done.stdout


def test_a_mail_that_is_read_otherwise_is_red(accepted: Path, run_pytest: Pytest) -> None:
    """A broken rule is told field by field, with the next step and without a traceback."""
    pack = accepted / "rules" / "harbor.yaml"
    pack.write_text(pack.read_text("utf-8").replace("label: Customer", "label: Client"), "utf-8")
    done = run_pytest()
    assert done.returncode == 1
    assert 'outcome: expected "events", found "incomplete"' in done.stdout
    assert "gatepost explain 01-let.eml" in done.stdout
    assert "Traceback" not in done.stdout
    assert "1 failed" in done.stdout


def test_accepting_keeps_what_else_an_expectation_says(accepted: Path, run_pytest: Pytest) -> None:
    """Mailbox and packs of an expectation stay, and one that is right already is not named as rewritten."""
    file = accepted / EXPECTED
    told = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**told, "mailbox": {"location": "PIER"}, "packs": ["harbor"]}), "utf-8")
    assert run_pytest().returncode == 1
    assert run_pytest("--gatepost-accept").returncode == 0
    after = json.loads(file.read_text("utf-8"))
    assert (after["mailbox"], after["packs"]) == ({"location": "PIER"}, ["harbor"])
    assert after["expected"]["events"][0]["crm_unit_id"] == "PIER-C12"
    assert "rewritten" not in run_pytest("--gatepost-accept").stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "the key `expected`"),
        ('{"expected": {}, "mailboxes": 1}', "unknown key `mailboxes`"),
        ('{"expected": {}, "mailbox": {"zone": "x"}}', "makes no mailbox"),
    ],
)
def test_an_expectation_that_is_none_is_told(accepted: Path, run_pytest: Pytest, text: str, said: str) -> None:
    """A broken expectation fails with its file and what is wrong with it."""
    (accepted / EXPECTED).write_text(text, "utf-8")
    done = run_pytest()
    assert done.returncode == 1
    assert said in done.stdout
    assert "01-let.expected.json" in done.stdout
    assert "Traceback" not in done.stdout


def test_rules_that_do_not_load_are_told_with_their_place(accepted: Path, run_pytest: Pytest) -> None:
    """A mistake in a pack is told as file, line and column."""
    pack = accepted / "rules" / "harbor.yaml"
    pack.write_text(pack.read_text("utf-8").replace("senders:", "sendrs:"), "utf-8")
    done = run_pytest()
    assert done.returncode == 1
    assert "harbor.yaml:2:1: unknown key `sendrs`" in done.stdout
    assert "Traceback" not in done.stdout


def test_nothing_is_collected_where_it_is_not_switched_on(accepted: Path, run_pytest: Pytest) -> None:
    """A project that merely has Gatepost installed gets no test, no failure and no library of ours."""
    write(
        accepted,
        {
            "pyproject.toml": '[tool.pytest.ini_options]\nfilterwarnings = ["error"]\n',
            "test_own.py": "import sys\n\ndef test_own():\n"
            "    ours = [name for name in sys.modules if name.partition('.')[0] in ('parsers', 'worker')]\n"
            "    assert sorted(ours) == ['worker', 'worker.pytest_plugin']\n"
            "    assert not {'yaml', 're2', 'jinja2', 'sqlalchemy', 'click'} & set(sys.modules)\n",
        },
    )
    done = run_pytest("-v")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert "reading" not in done.stdout


def test_only_the_shipped_packs_and_ones_own(accepted: Path, run_pytest: Pytest) -> None:
    """The word `shipped` brings the packs of Gatepost beside one's own."""
    test = "def test_packs(rules):\n    assert {'harbor', 'sitelink', 'pmsevent'} <= set(rules.packs)\n"
    write(accepted, {"pyproject.toml": INI.replace('["rules"]', '["shipped", "rules"]'), "test_packs.py": test})
    done = run_pytest("test_packs.py")
    assert done.returncode == 0, done.stdout
    write(accepted, {"pyproject.toml": INI})
    assert run_pytest("test_packs.py").returncode == 1
