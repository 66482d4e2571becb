"""A project of somebody's own, with Gatepost installed from its wheel."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.rigs import wheel

PACK = """\
pack: harbor
senders: [harborstorage.example]
dates: [iso]
rules:
  - id: move-in
    when: {subject: ^Unit let}
    fields:
      unit: {label: Unit}
      tenant_id: {label: Customer}
      moved_in: {label: From, type: date}
    identity: [unit, tenant_id, moved_in]
    events:
      - move_in: {unit: unit, pms_tenant_id: tenant_id, move_in_date: moved_in}
"""
MAIL = (
    b"From: office@harborstorage.example\r\nTo: harbor@demo.test\r\nSubject: Unit let: C12\r\n"
    b"Date: Fri, 01 May 2026 10:05:00 -0500\r\n\r\nUnit: C12\r\nCustomer: H-204\r\nFrom: 2026-05-01\r\n"
)
INI = '[tool.pytest.ini_options]\ngatepost_rules = ["rules"]\nfilterwarnings = ["error"]\n'

Pytest = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    return wheel.unpack(wheel.build(folder), folder / "site")


@pytest.fixture(scope="session")
def service_modules() -> list[str]:
    """The top-level modules of what only the ``worker`` extra brings."""
    project = tomllib.loads((wheel.ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=;]", one)[0].strip().lower() for one in requirements}

    wanted = names(project["optional-dependencies"]["worker"]) - names(project["dependencies"])
    found = [
        module
        for module, owners in packages_distributions().items()
        if {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} & wanted
    ]
    assert {"sqlalchemy", "celery", "aiosmtpd", "pydantic", "click", "httpx"} <= set(found)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with one pack, one mail, and the plugin switched on."""
    write(tmp_path, {"pyproject.toml": INI, "rules/harbor.yaml": PACK})
    (tmp_path / "fixtures" / "harbor").mkdir(parents=True)
    (tmp_path / "fixtures" / "harbor" / "01-let.eml").write_bytes(MAIL)
    return tmp_path


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts by their paths."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


@pytest.fixture
def run_pytest(installed: Path, project: Path) -> Pytest:
    """Run pytest on the project in a process of its own, which finds the plugin as any project does."""

    def run(*arguments: str, path: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEPOST_", "PYTEST_"))}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments],
            cwd=project,
            env={**kept, "PYTHONPATH": os.pathsep.join(map(str, (*path, installed)))},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run
