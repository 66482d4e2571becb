"""``pause``, ``resume``, ``wait``: stop, go on, and wait until nothing is left to do."""

import time
from typing import Any

import click

from worker import actions
from worker.cli.common import actor, command, open_runtime, print_json, print_rows, report
from worker.settings import ConfigError, Settings, nearest
from worker.store import pauses


def _check_name(settings: Settings, runtime: Any, kind: str, name: str) -> None:
    match kind:
        case "mailbox":
            known = list(settings.mailboxes)
        case "destination":
            known = list(settings.destination)
        case "rule":
            known = [rule.name for rule in runtime.rules().rules_of(runtime.rules().packs)]
        case "pack":
            known = list(runtime.rules().packs)
        case _:
            return
    if name not in known:
        listed = f"; known: {', '.join(known)}" if kind != "rule" else "; `gatepost rules list` names them"
        raise ConfigError(f"no {kind} {name}{nearest(name, known)}{listed}")


@click.command()
@click.argument("kind", type=click.Choice(actions.PAUSABLE), required=False)
@click.argument("name", required=False)
@click.option("--reason", default="", help="Why; it is kept in the audit.")
@click.option("--go", is_flag=True, help="Do it; without, only say what would be done.")
@command()
def pause(settings: Settings, kind: str | None, name: str | None, reason: str, go: bool, as_json: bool) -> None:
    """Pause a mailbox, rule, pack, destination or everything on every process. Mail is still received and kept.

    Without KIND and NAME: list what is paused.
    """
    if kind is not None and name is None:
        raise click.UsageError("Missing argument 'NAME'.")
    runtime = open_runtime(settings)
    if kind is None or name is None:
        return _list(runtime, as_json=as_json)
    _check_name(settings, runtime, kind, name)
    if not go:
        return report(as_json, f"would pause {kind} {name}; do it with --go", done=False, kind=kind, name=name)
    actions.pause(runtime.db, kind, name, actor=actor(), reason=reason, now=runtime.clock())
    text = f"{kind} {name} is paused; go on with: gatepost resume {kind} {name} --go"
    return report(as_json, text, done=True, kind=kind, name=name)


def _list(runtime: Any, *, as_json: bool) -> None:
    with runtime.db.read() as connection:
        rows = pauses.list_pauses(connection, runtime.clock())
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, ["kind", "name", "since", "until", "actor", "reason"], empty="nothing is paused")


@click.command()
@click.argument("kind", type=click.Choice(actions.PAUSABLE))
@click.argument("name")
@click.option("--go", is_flag=True, help="Do it; without, only say what would be done.")
@command()
def resume(settings: Settings, kind: str, name: str, go: bool, as_json: bool) -> None:
    """End a pause; what waits goes on at the next sweep."""
    if not go:
        return report(as_json, f"would resume {kind} {name}; do it with --go", done=False, kind=kind, name=name)
    runtime = open_runtime(settings)
    actions.resume(runtime.db, kind, name, actor=actor(), now=runtime.clock())
    return report(as_json, f"{kind} {name} goes on", done=True, kind=kind, name=name)


@click.command()
@click.option("--idle", is_flag=True, required=True, help="Until nothing is due.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Give up after so many seconds (exit 1).")
@command()
def wait(settings: Settings, idle: bool, timeout_s: float, as_json: bool) -> None:  # noqa: ARG001
    """Wait until every mail is read and every unit that is due has been brought up to date.

    What waits for a later time (a future move-out, a destination that is down) is not waited for.
    """
    from worker.store import counts

    runtime = open_runtime(settings)
    until = time.monotonic() + timeout_s
    while True:
        with runtime.db.read() as connection:
            left = counts.busy(connection, now=runtime.clock())
        if not any(left.values()) or time.monotonic() > until:
            break
        time.sleep(0.1)
    if as_json:
        print_json({"idle": not any(left.values()), **left})
    elif any(left.values()):
        click.echo(
            f"gatepost: still to do after {timeout_s:g} s: {left['mails']} mails, {left['units']} units", err=True
        )
    raise click.exceptions.Exit(1 if any(left.values()) else 0)
