"""``parse``, ``explain``, ``rules``: how mails are read, without touching anything."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from parsers import Outcome, Reading, RuleErrors, RuleSet, load_rules_text
from worker.cli.common import DONE, NOT_DONE, command, open_runtime, print_json, print_rows, read_input
from worker.columns import find_lacking, find_unknown
from worker.configuration import read_rule_files
from worker.directory import column_readers
from worker.settings import ConfigError, Mailbox, Settings, nearest

EXIT_CODES = {
    Outcome.EVENTS: 0,
    Outcome.IGNORED: 0,
    Outcome.UNMATCHED: 3,
    Outcome.INCOMPLETE: 4,
    Outcome.INVALID: 4,
    Outcome.CONTRADICTION: 4,
    Outcome.AMBIGUOUS: 5,
    Outcome.UNTRUSTED: 6,
    Outcome.UNREADABLE: 7,
}


def saved_rules(settings: Settings) -> RuleSet:
    """Return the rules as they are on disk now.

    Raises:
        RuleErrors: a file is broken, or names what neither a field nor a unit map has; says file, line and column.
        ConfigError: no pack file is there.
    """
    files = read_rule_files(settings.rules.paths)
    if not files:
        paths = ", ".join(str(path) for path in settings.rules.paths)
        raise ConfigError(f"no rule pack (*.yaml) in {paths}; set [rules] paths")
    found = load_rules_text(files)
    if errors := find_unknown(found, column_readers(settings.mailbox)):
        raise RuleErrors(errors)
    return found


def lacking_columns(settings: Settings, rules: RuleSet) -> list[str]:
    """Return a line for each mailbox whose unit map lacks a column that its packs name."""
    return find_lacking(rules, column_readers(settings.mailbox))


def find_mailbox(settings: Settings, address: str) -> Mailbox:
    """Return the mailbox of an address.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    found = settings.mailboxes.get(address.lower())
    if found is None:
        known = ", ".join(settings.mailboxes) or "none"
        raise ConfigError(f"no mailbox {address}{nearest(address.lower(), settings.mailboxes)}; known: {known}")
    return found


_mailbox = click.option("--mailbox", "address", required=True, help="The mailbox that it is for.")
_trust = click.option("--trust", is_flag=True, help="Take the sender as proven.")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@_mailbox
@_trust
@command()
def parse(settings: Settings, file: str, address: str, trust: bool, as_json: bool) -> None:
    """Read one mail and print what comes of it. Writes nothing.

    Exit codes: 0 events or ignored, 2 usage or broken rule, 3 unmatched, 4 incomplete, invalid or contradiction,
    5 ambiguous, 6 untrusted, 7 unreadable.
    """
    reading = _read(settings, read_input(file), address, trust=trust)
    if as_json:
        print_json(reading.to_json())
    else:
        click.echo(f"{reading.outcome}  {reading.rule or '-'}" + (f"\n  {reading.reason}" if reading.reason else ""))
        for event in reading.to_json()["events"]:
            body = ", ".join(f"{name}={value}" for name, value in event["body"].items())
            unit = event["crm_unit_id"] or f"{event['unit']} (not in the unit map)"
            click.echo(f"  {event['effective_at']}  {event['kind']:<9} {unit}  {body}")
    raise click.exceptions.Exit(EXIT_CODES[reading.outcome])


def _read(settings: Settings, raw: bytes, address: str, *, trust: bool) -> Reading:
    from worker.reading import read_for

    reading = read_for(raw, saved_rules(settings), find_mailbox(settings, address), {"trusted": trust})[0]
    if reading.outcome is Outcome.UNTRUSTED and not trust:
        click.echo("gatepost: a file has no connection that proves its sender: --trust takes it as proven", err=True)
    return reading


@click.command()
@click.argument("what")
@click.option("--mailbox", "address", help="The mailbox that a file is for.")
@_trust
@command()
def explain(settings: Settings, what: str, address: str | None, trust: bool, as_json: bool) -> None:
    """Show how a mail is read: a FILE (with --mailbox), or the ID of a stored mail.

    Prints the readable text that patterns see, every rule tried with the first condition that fails, the values found
    with their part, line, rule line and conversion, and the events. On a terminal it is coloured.
    """

    if Path(what).is_file() or what == "-":
        if address is None:
            raise click.UsageError("a file needs --mailbox ADDR: rules and trust depend on it")
        reading = _read(settings, read_input(what), address, trust=trust)
        _print_explained(settings, find_mailbox(settings, address), reading, as_json=as_json)
        return
    from worker.mending import drift_of
    from worker.reading import read_for
    from worker.views import raw_mail, show_mail

    runtime = open_runtime(settings)
    mail = show_mail(runtime.db, what)
    mailbox = find_mailbox(settings, mail["mailbox"])
    reading, _, admission = read_for(raw_mail(runtime.db, what), runtime.rules(), mailbox, mail["evidence"])
    now = {**reading.to_json(), "trace": dict(reading.trace), "proof": admission.proof}
    drift = drift_of(runtime.db, now)
    if as_json:
        print_json({**mail, "now": now, "drift": drift})
        return
    click.echo(
        f"mail {what}: {mail['state']}{' ' + mail['reason'] if mail['reason'] else ''}; proof: {admission.proof}"
    )
    click.echo(_rendered(reading))
    for issue in drift:
        click.echo(f"drift    issue {issue['id']}: {issue['title']}")
        for line in issue["difference"] or ():
            click.echo(f"         {line}")
    for event in mail["events"]:
        click.echo(f"event {event['id']}  {event['kind']}  {event['crm_unit_id']}  {event['state']}")
        for call in event["calls"]:
            click.echo(
                f"  call {call['id']}  {call['request']}  {call['body']}  {call['state']}\n    key {call['key']}"
            )


def _print_explained(settings: Settings, mailbox: Mailbox, reading: Reading, *, as_json: bool) -> None:
    """Print how a file is read, with the calls that each event gives as the only one of its unit."""
    from worker.explained import explain_reading

    shown = explain_reading(reading, settings, mailbox)
    if as_json:
        print_json(shown)
        return
    click.echo(_rendered(reading))
    if reading.events:
        click.echo(f"calls    of each event as the only event of its unit, to the destination `{mailbox.destination}`")
    for place, event in enumerate(reading.events):
        click.echo(f"  {event.kind} {event.crm_unit_id or '-'}")
        its = [call for call in shown["calls"] if call["event"] == place]
        for call in its:
            click.echo(f"    call {call['request']} {call['body']}".rstrip() + f"\n    key  {call['key']}")
        if not its:
            click.echo("    no call")


def _rendered(reading: Reading) -> str:
    """Return the explanation of a reading, coloured where it goes to a terminal (and NO_COLOR is not set)."""
    from parsers.explain import Tone, render

    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return render(reading)
    colours = {Tone.GOOD: "green", Tone.HELD: "red", Tone.STRANGE: "yellow", Tone.VALUE: "cyan"}
    return render(reading, lambda text, tone: click.style(text, fg=colours[tone]) if tone in colours else text)


@click.group()
def rules() -> None:
    """Check, test, list and publish rule packs."""


@rules.command("check")
@click.option("--no-fixtures", is_flag=True, help="Do not read the fixtures; those that ship take about a second.")
@click.option("--strict", is_flag=True, help="End with 1 where there is a warning.")
@command()
def rules_check(settings: Settings, no_fixtures: bool, strict: bool, as_json: bool) -> None:
    """Load every pack as it is on disk, and look for what makes rules fail later.

    A mistake is told with file, line and column. Warnings: rules that claim the same mails, a rule without a fixture
    that it claims or one that it leaves, fields that nothing uses, units of packs of one's own without a pattern, and
    what a destination or a unit map lacks.
    """
    from worker.catalogue import complaints, drops, missing_columns, missing_packs

    found = saved_rules(settings)
    unproven = [
        f"mailbox {mailbox.address}: a trust entry asks for dkim or login, which are not evaluated yet: it never holds"
        for mailbox in settings.mailbox
        for entry in mailbox.trust
        if entry.dkim or entry.login
    ]
    missing = [*missing_packs(settings, found), *lacking_columns(settings, found), *complaints(settings, found)]
    linted = _lint(settings, found, with_fixtures=not no_fixtures)
    warnings = [*unproven, *missing_columns(settings), *drops(settings, found), *linted.pop("warnings")]
    if as_json:
        told = {"problems": missing, "warnings": warnings}
        print_json({"rule_set": found.id, "packs": len(found.packs), **told, **linted})
    else:
        count = sum(len(pack.rules) for pack in found.packs.values())
        click.echo(f"{len(found.packs)} packs, {count} rules: they load (set {found.id})")
        for line in missing:
            click.echo(f"  {line}", err=True)
        for line in warnings:
            click.echo(f"  warning: {line}", err=True)
    raise click.exceptions.Exit(2 if missing else NOT_DONE if strict and warnings else DONE)


def _lint(settings: Settings, found: RuleSet, *, with_fixtures: bool) -> dict[str, Any]:
    """Return the warnings of a rule set, how many fixtures were read, and which rules claim the same ones.

    Raises:
        BadExpectation: an ``.expected.json`` is not what it should be.
    """
    from parsers.rulelint import find_overlaps, lint_fixtures, lint_rules, lint_units
    from worker.fixtures import SHIPPED_RULES, find_fixtures, folders_beside, read_fixture

    rules = [rule for pack in found.packs.values() for rule in pack.rules]
    own = [rule for rule in rules if not Path(rule.path).resolve().is_relative_to(SHIPPED_RULES)]
    warnings = [str(fault) for fault in (*lint_rules(found), *lint_units(own, _packs_of_known_units(settings)))]
    if not with_fixtures:
        return {"warnings": warnings, "fixtures": None, "overlaps": []}
    folders = folders_beside(settings.rules.paths)
    readings = {
        os.path.relpath(path): read_fixture(path, found)[0] for folder in folders for path in find_fixtures(folder)
    }
    if readings:
        warnings += map(str, lint_fixtures(found, readings))
    else:
        looked = ", ".join(map(str, folders))
        warnings.append(f"no fixture in {looked}: save a mail of each rule there, with its .expected.json")
    overlaps = [
        {"rules": [rule.name for rule in one.rules], "fixtures": one.fixtures, "ambiguous": one.is_ambiguous}
        for one in find_overlaps(found, readings)
    ]
    return {"warnings": warnings, "fixtures": len(readings), "overlaps": overlaps}


def _packs_of_known_units(settings: Settings) -> frozenset[str]:
    """Return the packs that mailboxes read, all of which tell by themselves whether a text is one of their units."""
    loose = {name for mailbox in settings.mailbox if not _knows_units(mailbox) for name in mailbox.packs}
    return frozenset(name for mailbox in settings.mailbox for name in mailbox.packs if name not in loose)


def _knows_units(mailbox: Mailbox) -> bool:
    return mailbox.unit_pattern is not None or mailbox.unit_map is not None


@rules.command("list")
@command()
def rules_list(settings: Settings, as_json: bool) -> None:
    """List the rules on disk."""
    rows = [
        {
            "rule": rule.name,
            "senders": ", ".join(pack.senders),
            "gives": "no event" if rule.ignore else ", ".join(str(event.kind) for event in rule.all_events),
        }
        for pack in saved_rules(settings).packs.values()
        for rule in pack.rules
    ]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, ("rule", "gives", "senders"), empty="no rules")
