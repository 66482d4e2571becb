"""The pages hang together: links resolve, commands exist, examples load, and nothing foreign is named."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from parsers import Mailbox, Outcome, load_rules_text, parse_mail
from parsers.eventnodes import EVENT_KEYS
from parsers.events import Kind
from parsers.fieldnodes import FIELD_KEYS, OCCURRED_KEYS
from parsers.load import OVERLAY_KEYS, PACK_KEYS
from parsers.rule import From, Type
from parsers.rulenodes import ATTACHMENT_KEYS, CASE_KEYS, LIST_KEYS, PLACE_KEYS, RULE_KEYS, TABLE_KEYS, WHEN_KEYS
from tests.docs.pages import DOCS, PAGES, ROOT, anchors, blocks, code_spans, first_words, prose, read, rows, sections
from worker.cli import main

NEEDED = (
    "api",
    "architecture",
    "capabilities",
    "change-pms",
    "cli",
    "configuration",
    "conventions",
    "cookbook",
    "destinations",
    "emails",
    "first-rule",
    "flow",
    "kiss-api",
    "operations",
    "proofs",
    "pytest",
    "quirks",
    "reconcile",
    "rules",
    "seeds",
    "units",
    "webhooks",
    "words",
)
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))


def ids(value: Any) -> str:
    """Return the name of a page, or of a block's page."""
    return getattr(value, "page", value).stem if not isinstance(value, str) else value


# -- links ------------------------------------------------------------------------------------------------------------


def test_every_page_is_there() -> None:
    """The pages that the README promises exist, and a walk that finds nothing fails."""
    assert {f"{name}.md" for name in NEEDED} <= {page.name for page in PAGES}
    assert len(DECISIONS) >= 12


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_resolves(page: Path) -> None:
    """A relative link names a file or folder that exists, and a heading that stands on it."""
    for target in re.findall(r"\[[^\]]+\]\(([^)\s]+)\)", prose(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(there), f"{page.name}: {target}"


def test_every_page_is_linked_from_the_readme() -> None:
    """A page that nobody finds is no page."""
    text = (ROOT / "README.md").read_text("utf-8")
    for name in NEEDED:
        assert f"(docs/{name}.md)" in text, name


def test_no_page_is_missing_here() -> None:
    """Each page of the folder is one of those that must be linked, so that none is out of reach."""
    assert {page.stem for page in DOCS.glob("*.md")} == set(NEEDED)


@pytest.mark.parametrize("page", DECISIONS, ids=ids)
def test_a_decision_has_its_parts(page: Path) -> None:
    """A decision says context, decision and consequences, under the number of its file."""
    text = page.read_text("utf-8")
    assert text.startswith(f"# {page.name[:4]}: ")
    assert list(re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)) == [
        "Context",
        "Decision",
        "Consequences",
    ]


def test_decisions_are_numbered_without_a_gap() -> None:
    """Decisions are numbered from 0001 on."""
    assert [page.name[:4] for page in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """A path of the project in code marks is that of a file or folder."""
    for span in code_spans(page.read_text("utf-8")):
        found = re.fullmatch(r"((?:parsers|worker|rules|fixtures|tests|bench|docs)/[\w./-]*)", span)
        if found and "NN" not in span:
            assert (ROOT / found[1]).exists() or (DOCS / found[1]).exists(), f"{page.name}: {span}"


# -- commands ---------------------------------------------------------------------------------------------------------


def _commands() -> Iterator[tuple[str, str]]:
    """Yield the page and text of each command of ours in prose and in blocks."""
    for page in PAGES:
        for span in code_spans(page.read_text("utf-8")):
            if span.startswith("gatepost ") and "COMMAND" not in span:
                yield page.name, span
    for block in blocks("console"):
        for line in block.text.splitlines():
            if line.startswith("$ gatepost"):
                yield block.page.name, line.removeprefix("$ ")
    for line in (ROOT / "Procfile").read_text("utf-8").splitlines():
        yield "Procfile", line[line.index("gatepost") :]


def _resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words name, and the words behind it."""
    command: click.Command = main
    rest = list(words)
    if rest[:1] == ["--config"]:
        rest = rest[2:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"no command {' '.join(words)}"
        command, rest = found, rest[1:]
    return command, rest


@pytest.mark.parametrize(("page", "text"), sorted(set(_commands())))
def test_every_command_that_is_named_exists(page: str, text: str) -> None:
    """A command on a page is one of the command line's, with those options."""
    command, rest = _resolve(shlex.split(text)[1:])
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in known | {"--help", "--version"}, f"{page}: {text}"


def _leaves(group: click.Group = main, path: tuple[str, ...] = ("gatepost",)) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_there_are_commands() -> None:
    """A walk that finds nothing fails."""
    assert len(list(_leaves())) > 30
    assert len(set(_commands())) > 30


@pytest.mark.parametrize(("name", "command"), list(_leaves()))
def test_every_command_is_documented(name: str, command: click.Command) -> None:
    """Each command has its part on the page, and each of its options is named there."""
    part = sections(read("cli.md"))[name]
    told = {word for word in first_words(part) or code_spans(part) if word.startswith("--")}
    options = {
        parameter.opts[0]: parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden and parameter.name != "config_path"
    }
    assert told <= set(options)
    for option in set(options) - told:
        elsewhere = "Options as `parse`" in part and option in ("--mailbox", "--trust")
        assert elsewhere or f"`{option}`" in re.sub(r"(?m)^\|.*$", "", part), f"{name} {option}"


def test_no_command_is_documented_that_is_not_there() -> None:
    """Each part of the page that is named as a command is one."""
    told = {head for head in sections(read("cli.md")) if head.startswith("gatepost")}
    assert told == {name for name, _ in _leaves()}


# -- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("yaml"), ids=ids)
def test_every_example_of_a_pack_loads_and_reads_its_mail(block: Any) -> None:
    """What a reader copies from a page is a pack that loads and reads the mail beside it."""
    rules = load_rules_text({"rules/harbor.yaml": block.text})
    (mail,) = (other for other in blocks("eml") if other.page == block.page)
    mailbox = Mailbox(address="harbor@in.example.com", company="acme", location="HARBOR")
    reading = parse_mail(mail.text.encode(), rules, mailbox=mailbox)
    assert (reading.outcome, reading.trace["unaccounted"]) == (Outcome.EVENTS, [])


def test_there_are_examples() -> None:
    """A walk that finds nothing fails."""
    assert {block.page.name for block in blocks("yaml")} == {"README.md", "rules.md"}
    assert len(blocks("yaml part")) > 4
    assert blocks("yaml overlay")
    assert blocks("python")


@pytest.mark.parametrize("block", blocks("yaml part"), ids=ids)
def test_every_part_of_a_rule_loads(block: Any) -> None:
    """A part of a rule on a page loads where it belongs."""
    text = block.text.strip()
    given = {line.partition(":")[0] for line in text.splitlines() if line[0] not in " -"}
    keys = [text] if given else ["events:", *(f"  {line}" for line in text.splitlines())]
    if not {"fields", "each"} & given:
        keys.append("fields: {unit: {label: Unit}, by: {label: By}}")
    if given and not {"events", "each"} & given:
        keys.append("events: [{patch: {unit: unit, pms_lockout: true}}]")
    rule = "\n".join(["id: it", "when: {subject: x}", *keys]).replace("\n", "\n    ")
    load_rules_text({"part.yaml": f"pack: part\nsenders: [example.com]\ndates: [iso]\nrules:\n  - {rule}\n"})


@pytest.mark.parametrize("block", blocks("yaml overlay"), ids=ids)
def test_every_overlay_of_a_page_extends_a_pack_that_ships(block: Any) -> None:
    """What a reader copies from a page extends the pack that it names."""
    shipped = {str(file): file.read_text("utf-8") for file in (ROOT / "rules").glob("*.yaml")}
    rules = load_rules_text({**shipped, "own.yaml": block.text})
    assert [pack.extended_in for pack in rules.packs.values() if pack.extended_in] == ["own.yaml"]


def test_every_key_of_the_language_is_on_its_page() -> None:
    """An operator finds every key, source, type and event of rule files on one page."""
    page = read("rules.md")
    told = set(re.findall(r"`([a-z_]+)`", page))
    words = {
        *PACK_KEYS,
        *OVERLAY_KEYS,
        *RULE_KEYS,
        *WHEN_KEYS,
        *TABLE_KEYS,
        *LIST_KEYS,
        *PLACE_KEYS,
        *FIELD_KEYS,
        *OCCURRED_KEYS,
    }
    words |= {*ATTACHMENT_KEYS, *CASE_KEYS}
    words |= {*From, *Type, *Kind, *(key for keys in EVENT_KEYS.values() for key in keys)}
    assert len(words) > 60
    assert {str(word) for word in words} - told == set()


@pytest.mark.parametrize("block", blocks("python"), ids=ids)
def test_every_example_of_the_library_runs(
    block: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a reader copies from a page runs in a clone of the project."""
    monkeypatch.chdir(ROOT)
    exec(compile(block.text, str(block.page), "exec"), {})
    assert capsys.readouterr().out.startswith("events\n")


def test_the_packs_of_the_page_are_those_that_ship() -> None:
    """The page of mail formats names every rule that ships, and no other."""
    files = (ROOT / "rules").glob("*.yaml")
    packs = load_rules_text({file.name: file.read_text("utf-8") for file in files}).packs
    shown = {name: pack for name, pack in packs.items() if name != "pmsevent"}
    told = set(re.findall(r"^\| `([a-z]+/[a-z-]+)` \|", read("emails.md"), flags=re.MULTILINE))
    assert told == {rule.name for pack in shown.values() for rule in pack.rules}
    assert {f"## {name}" for name in packs} <= set(read("emails.md").splitlines())
    assert len(shown) > 6


def test_every_test_that_the_seeds_name_exists() -> None:
    """A capability is either shown by tests that exist, or said to be not yet."""
    seen = 0
    for cells in rows(read("seeds.md")):
        if cells[1] == "not yet":
            assert not cells[2]
            continue
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", cells[2])
        assert named, cells[0]
        for file, test in named:
            seen += 1
            assert f"def {test}(" in (ROOT / "tests" / file).read_text("utf-8"), f"{file}::{test}"
    assert seen > 20


# -- the repository ---------------------------------------------------------------------------------------------------

_FOREIGN = (
    r"(?<![\w./-])/wo" + r"rk(?![\w-])",
    r"py" + r"pi\.org|python" + r"hosted|registry\.npm" + r"js|proxy\.go" + r"lang\.org",
    r"(?i)\b(?:clau" + r"de|anthro" + r"pic|chat" + r"gpt|open" + r"ai|language mo" + r"del|system pro" + r"mpt)\b",
)
"""What has no place here: a place of one machine, the host of a registry, the tools of whoever wrote it."""


def test_nothing_foreign_is_named() -> None:
    """No file of the repository names a place of one machine, the host of a registry, or a tool of its writers."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("this is no git repository")
    names = listed.stdout.splitlines()
    assert "README.md" in names
    for name in names:
        path = ROOT / name
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        for pattern in _FOREIGN:
            found = re.search(pattern, text)
            assert found is None, f"{name} names {found[0] if found else ''}"
