"""``gatepost rules init``: a repository of rules that stands on its own, with Gatepost installed from its wheel."""

import os
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from parsers.yamltree import plain, read_yaml
from tests.rigs import wheel
from tests.rigs.gatepost import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A virtual environment with the wheel in it."""

    folder: Path

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, with nothing of ours on its path."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEPOST_", "PYTHON"))}
        program = self.folder / "bin" / arguments[0]
        return subprocess.run(
            [str(program), *arguments[1:]], cwd=cwd, env=kept, capture_output=True, text=True, check=False, timeout=120
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Our wheel, installed by pip into a fresh environment without a network; its dependencies are those of this one.

    They are put on the path once the wheel is in: this environment's own install of ours must not be found by pip.
    """
    folder = tmp_path_factory.mktemp("installed")
    built = wheel.build(folder)
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=120)
    python = str(venv / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--disable-pip-version-check", str(built)], check=True, timeout=120)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return Installed(folder=venv)


def test_a_fresh_repository_is_green_and_red_when_its_rule_is_broken(installed: Installed, tmp_path: Path) -> None:
    """With the wheel alone: the folder is made, its mail is a green test, and a broken rule turns it red."""
    where = installed.run(
        "python", "-c", "import parsers, worker; print(parsers.__file__, worker.__file__)", cwd=tmp_path
    )
    assert where.stdout.count(str(installed.folder)) == 2, where.stdout
    made = installed.run("gatepost", "rules", "init", "mine", "--pack", "pier", "--sender", "pier.test", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    mine = tmp_path / "mine"
    assert f"cd {Path('mine')} && python -m pytest" in made.stdout

    green = installed.run("python", "-m", "pytest", "-v", "-p", "no:cacheprovider", cwd=mine)
    assert green.returncode == 0, green.stdout + green.stderr
    assert "fixtures/pier/01-move-in.eml::reading PASSED" in green.stdout
    assert "1 passed" in green.stdout
    command = ("gatepost", "rules", "test", "--rules", "rules", "--fixtures", "fixtures")
    assert installed.run(*command, cwd=mine).returncode == 0

    pack = mine / "rules" / "pier.yaml"
    pack.write_text(pack.read_text("utf-8").replace("label: Unit}", "label: Space}"), "utf-8")
    red = installed.run("python", "-m", "pytest", "-p", "no:cacheprovider", cwd=mine)
    assert red.returncode == 1
    assert 'outcome: expected "events", found "incomplete"' in red.stdout
    assert installed.run(*command, cwd=mine).returncode == 1


def test_what_is_written(tmp_path: Path) -> None:
    """The folder holds what a repository needs, and mails keep their line ends."""
    assert run("rules", "init", "mine", cwd=tmp_path).returncode == 0
    mine = tmp_path / "mine"
    assert "*.eml -text\n" in (mine / ".gitattributes").read_text("utf-8")
    raw = (mine / "fixtures" / "harbor" / "01-move-in.eml").read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n") > 5
    assert (mine / "fixtures" / "harbor" / "01-move-in.expected.json").is_file()
    ini = tomllib.loads((mine / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    assert ini["gatepost_rules"] == ["rules"]
    ci = plain(read_yaml((mine / ".github" / "workflows" / "rules.yml").read_text("utf-8"), "rules.yml"))
    assert {"run": "python -m pytest"} in ci["jobs"]["test"]["steps"]
    assert "gatepost rules test" in (mine / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("full",), "full is there and not empty"),
        (("new", "--pack", "Harbor Storage"), "cannot name a pack"),
        (("new", "--sender", "office@harbor.example"), "is not a domain"),
    ],
)
def test_nothing_is_written_over(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """A folder that holds something, and a name that is none, are refused; nothing is written."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("mine")
    done = run("rules", "init", *arguments, cwd=tmp_path)
    assert (done.returncode, words in done.stderr.decode()) == (1, True), done.stderr
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["full", "full/a"]
