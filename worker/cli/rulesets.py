"""``rules backtest|publish|rollback|sets|drift``: from a draft on disk to the set that every process reads with.

What is tested is what is published: the files are read once. ``worker/cli/reading.py`` has the other ``rules``.
"""

import datetime as dt
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from parsers import RuleSet
from worker.cli.common import DONE, NOT_DONE, actor, command, open_runtime, print_json, print_rows
from worker.cli.reading import rules
from worker.configuration import read_rule_files
from worker.sections import length_of
from worker.settings import Settings

__all__ = ["rules"]

SHOWN = 20
LINES = 6
"""How many mails are shown to a person, and how many differences of each; ``--json`` has more."""


class _Span(click.ParamType):
    """A length of time as the configuration writes it: ``90d``."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not re.fullmatch(r"[1-9][0-9]{0,5}[smhd]", str(value)):
            self.fail(f"`{value}` is no length of time; write a number and s, m, h or d, such as 90d", param, ctx)
        return length_of(value)


_since = click.option(
    "--since", type=_Span(), default="90d", show_default=True, help="How far back mails are read for the comparison."
)
_go = click.option("--go", is_flag=True, help="Do it; without, only say what would be done.")
_accept = click.option(
    "--accept", is_flag=True, help="Do it although applied events would change, or mails would be lost."
)
_note = click.option("--note", "reason", default="", help="Why; it is kept with the set and in the audit.")


@rules.command("backtest")
@_since
@click.option(
    "--rules",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another folder of rules than that of the configuration.",
)
@click.option("--set", "number", type=int, metavar="N", help="A published set, in place of the rules on disk.")
@command()
def rules_backtest(
    settings: Settings, since: dt.timedelta, folder: Path | None, number: int | None, as_json: bool
) -> None:
    """Read stored mails with the rules on disk and with the live ones, and compare. Writes nothing.

    Exit 1: events that take part in what units are would change, or mails would be lost.
    """
    if folder is not None and number is not None:
        raise click.UsageError("give --rules or --set, not both")
    runtime = open_runtime(settings)
    if number is not None:
        draft = runtime.rulebook.load(number)
    else:
        draft = runtime.rulebook.read(read_rule_files((folder,) if folder else settings.rules.paths))
    report = compare(runtime, draft, since, as_json=as_json)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)
    raise click.exceptions.Exit(NOT_DONE if report.grave else DONE)


@rules.command("publish")
@_since
@_accept
@_note
@_go
@command()
def rules_publish(settings: Settings, since: dt.timedelta, accept: bool, reason: str, go: bool, as_json: bool) -> None:
    """Make the rules on disk the set that every process reads with, once stored mails were read with them."""
    runtime = open_runtime(settings)
    files = read_rule_files(settings.rules.paths)
    draft = runtime.rulebook.read(files)

    def publish(live: int, accepted: str) -> int:
        how = {"actor": actor(), "reason": reason, "accepted": accepted, "instead_of": live}
        return runtime.rulebook.publish(files, **how)

    waiting = settings.guards_in_force.probation
    hint = f"the first {waiting} events of each rule that it changes are held `probation` for your word"
    how = {"since": since, "accept": accept, "go": go, "as_json": as_json}
    _make_live(runtime, draft, "publish", publish, hint=hint if waiting else "", **how)


@rules.command("rollback")
@click.argument("number", type=int)
@_since
@_accept
@_note
@_go
@command()
def rules_rollback(
    settings: Settings, number: int, since: dt.timedelta, accept: bool, reason: str, go: bool, as_json: bool
) -> None:
    """Make an earlier set live again, as a new one with its files; the files on disk stay as they are."""
    runtime = open_runtime(settings)
    draft = runtime.rulebook.load(number)

    def roll_back(live: int, accepted: str) -> int:
        how = {"actor": actor(), "reason": reason, "accepted": accepted, "instead_of": live}
        return runtime.rulebook.roll_back(number, **how)

    _make_live(runtime, draft, "roll back to", roll_back, since=since, accept=accept, go=go, as_json=as_json)


@rules.command("sets")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@command()
def rules_sets(settings: Settings, limit: int, as_json: bool) -> None:
    """List the published sets, the live one first."""
    runtime = open_runtime(settings)
    runtime.rules()
    rows = runtime.rulebook.sets(limit=limit)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["live"] = "live" if row["live"] else ""
    print_rows(rows, ("number", "live", "rule_set", "published_at", "actor", "restores", "note"), empty="no sets")


@rules.command("drift")
@command()
def rules_drift(settings: Settings, as_json: bool) -> None:
    """Show how the mails of each rule have been read: rate, missing fields, alternatives, lines that nothing reads."""
    from worker.mending import rule_health

    rows = rule_health(open_runtime(settings).db)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["missing"] = ", ".join(f"{name} {count}" for name, count in row["missing"].items())
        row["unread_lines"] = row["unaccounted"]
    print_rows(rows, ("rule", "read", "held", "rate", "unread_lines", "missing"), empty="no mail has been read yet")


def _make_live(
    runtime: Any,
    draft: RuleSet,
    verb: str,
    act: Callable[[int, str], int],
    *,
    since: dt.timedelta,
    accept: bool,
    go: bool,
    as_json: bool,
    hint: str = "",
) -> None:
    """Compare a set with the live one, and make it live: at once if nothing is lost by it, else if that is accepted.

    ``hint``: what a person should know once it is live; empty: nothing.
    """
    live = runtime.rulebook.live()
    values: dict[str, Any] = {"draft": draft.id, "live": live.rules.id, "live_number": live.number}
    if draft.id == live.rules.id:
        said = f"would {verb} {draft.id}, which is live already" if not go else f"set {live.number} is live already"
        _say(as_json, said, done=False, number=live.number, rule_set=live.rules.id, **values)
        return
    report = compare(runtime, draft, since, as_json=as_json)
    values["backtest"] = report.to_json()
    if not as_json:
        print_report(report)
    gate = f"{report.applied} applied events would change, {report.grave} mails would be read otherwise or lost"
    if not go:
        how = "--go" if not report.grave else "--accept --go"
        _say(as_json, f"would {verb} {draft.id}, in place of {live.rules.id}; do it with {how}", done=False, **values)
    elif report.grave and not accept:
        _say(as_json, f"not done: {gate}; look at them, then say --accept", done=False, **values)
        raise click.exceptions.Exit(NOT_DONE)
    else:
        number = act(live.number, f"accepted: {gate}" if report.grave else "")
        said = "\n".join(line for line in (f"set {number} ({draft.id}) is live", hint) if line)
        if values["backtest"]["effects"]["newly_parsed"]:
            said += "\nnext: gatepost mail retry state:held"
        _say(as_json, said, done=True, number=number, rule_set=draft.id, **values)


def _say(as_json: bool, text: str, **values: Any) -> None:
    print_json(values) if as_json else click.echo(text)


def compare(runtime: Any, draft: RuleSet, since: dt.timedelta, *, as_json: bool) -> Any:
    """Run the backtest, with a bar on standard error that shows how far it is."""
    backtest = runtime.backtest(draft, since)
    if as_json:
        return backtest.run()
    with click.progressbar(length=backtest.count(), label="reading stored mails", file=sys.stderr) as bar:
        return backtest.run(bar.update)


def print_report(report: Any) -> None:
    told = report.to_json()
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in told["effects"].items() if count)
    click.echo(f"{told['mails']} mails since {told['since'][:10]}: {counts or 'none'}")
    for rule, effects in told["rules"].items():
        changed = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in effects.items())
        click.echo(f"  {rule}: {changed}")
    for one in told["shown"][:SHOWN]:
        events = f"; applied events {', '.join(map(str, one['applied_events']))}" if one["applied_events"] else ""
        click.echo(f"mail {one['mail']}  {one['effect'].replace('_', ' ')}{events}")
        for difference in one["differences"][:LINES]:
            click.echo(f"  {difference['what']}: {_shown(difference['live'])} -> {_shown(difference['draft'])}")
        if len(one["differences"]) > LINES:
            click.echo(f"  and {len(one['differences']) - LINES} more")
    left = told["left_off"] + max(0, len(told["shown"]) - SHOWN)
    if left:
        click.echo(f"and {left} mails more that differ; --json shows up to 200")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={part}" for name, part in value.items() if name != "identity")
    return "-" if value is None else str(value)
