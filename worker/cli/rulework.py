"""``rules test``, ``init``, ``schema``: rules of one's own. More is in ``reading`` and ``rulesets``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from parsers import RuleErrors, RuleSet, load_rules
from worker.cli.common import DONE, NOT_DONE, command, print_json, told
from worker.cli.drafting import rules_new
from worker.cli.fixing import rules_fix
from worker.cli.reading import saved_rules
from worker.cli.rulesets import rules
from worker.fixtures import BadExpectation, check_fixture, find_fixtures, folders_beside
from worker.settings import ConfigError, Settings

__all__ = ["rules"]

rules.add_command(rules_new)
rules.add_command(rules_fix)

rules_option = click.option(
    "--rules",
    "paths",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="A rule file, or a folder of them, in place of [rules] paths; may be repeated.",
)


def rules_at(settings: Settings, paths: Sequence[Path]) -> RuleSet:
    """Return the rules of some paths, or those of the configuration where none are given.

    Raises:
        RuleErrors: a file is broken; says file, line and column.
        ConfigError: no pack file is there.
    """
    if not paths:
        return saved_rules(settings)
    found = load_rules(paths)
    if not found.packs:
        raise ConfigError(f"no rule pack (*.yaml) in {', '.join(map(str, paths))}")
    return found


@rules.command("test")
@click.argument("pack", required=False)
@click.option("--fixtures", type=click.Path(path_type=Path), help="The folder of fixtures; the one beside the rules.")
@rules_option
@click.option("--watch", is_flag=True, help="Test again whenever a rule or fixture changes, until Ctrl-C.")
@command()
def rules_test(
    settings: Settings,
    pack: str | None,
    fixtures: Path | None,
    paths: tuple[Path, ...],
    watch: bool,
    as_json: bool,
) -> None:
    """Read every fixture and compare with what its .expected.json says."""
    folders = [fixtures] if fixtures else folders_beside(paths or settings.rules.paths)
    if watch and as_json:
        raise click.UsageError("--watch prints for people: leave --json out")
    if watch:
        raise click.exceptions.Exit(_watch(settings, folders, pack, paths))
    results = _results(folders, pack, rules_at(settings, paths))
    failed = [result for result in results if result["differences"]]
    if as_json:
        print_json({"fixtures": len(results), "failed": failed})
    else:
        _print(results)
    raise click.exceptions.Exit(NOT_DONE if failed else DONE)


def _results(folders: Sequence[Path], pack: str | None, found: RuleSet) -> list[dict[str, Any]]:
    results = [check_fixture(path, found) for folder in folders for path in find_fixtures(folder, pack)]
    if not results:
        looked = ", ".join(str(folder / pack if pack else folder) for folder in folders)
        raise ConfigError(f"no fixture in {looked}: a test that tests nothing is no test")
    return results


def _print(results: Sequence[dict[str, Any]]) -> None:
    """Print each fixture, green or red, with what differs."""
    for result in results:
        differs = result["differences"]
        click.echo(
            (click.style("FAILED ", fg="red") if differs else click.style("ok     ", fg="green")) + result["file"]
        )
        for line in differs:
            click.echo(f"  {line}")
    green = sum(not result["differences"] for result in results)
    click.echo(f"{green} of {len(results)} fixtures read as expected")


def _watch(settings: Settings, folders: Sequence[Path], pack: str | None, paths: tuple[Path, ...]) -> int:
    """Test whenever something changes, until Ctrl-C; return what the last test ended with."""
    from worker.watching import stamps_of, wait_for_change

    watched = (*folders, *(paths or settings.rules.paths))
    code = NOT_DONE
    try:
        while True:
            before = stamps_of(watched)
            try:
                results = _results(folders, pack, rules_at(settings, paths))
                _print(results)
                code = NOT_DONE if any(result["differences"] for result in results) else DONE
            except (RuleErrors, BadExpectation, ConfigError, OSError) as error:
                click.echo(click.style("BROKEN ", fg="red") + str(error))
                code = NOT_DONE
            click.echo("watching for changes; Ctrl-C ends it")
            for path in wait_for_change(watched, before):
                click.echo(f"changed: {path}")
    except KeyboardInterrupt:
        click.echo()
    return code


@rules.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--pack", default="harbor", show_default=True, help="What the pack is called.")
@click.option("--sender", help="The domain that its mails come from; PACK.example without it.")
def rules_init(folder: Path, pack: str, sender: str | None) -> None:
    """Write a repository of rules of one's own: a pack, a mail with its expectation, and its tests."""
    from worker.rulefolder import make_folder

    with told():
        for path in make_folder(folder, pack=pack, sender=sender or f"{pack}.example"):
            click.echo(f"wrote {path}")
    click.echo(f"Next: cd {folder} && python -m pytest")


@rules.command("schema")
def rules_schema() -> None:
    """Print the rule language as a JSON Schema, for editors."""
    from parsers.ruleschema import rule_schema

    print_json(rule_schema())
