"""``pause``, ``resume``, ``wait``: stop, go on, and wait until nothing is left to do."""

import time

import click

from worker import actions
from worker.cli.common import actor, command, open_runtime, print_json, report
from worker.settings import ConfigError, Settings, nearest


def _check_name(settings: Settings, kind: str, name: str) -> str:
    known = {"mailbox": list(settings.mailboxes), "destination": list(settings.destination)}.get(kind)
    if known is not None and name not in known:
        raise ConfigError(f"no {kind} {name}{nearest(name, known)}; known: {', '.join(known)}")
    return name


@click.command()
@click.argument("kind", type=click.Choice(actions.PAUSABLE))
@click.argument("name")
@click.option("--reason", default="", help="Why; it is kept in the audit.")
@click.option("--go", is_flag=True, help="Do it; without, only say what would be done.")
@command()
def pause(settings: Settings, kind: str, name: str, reason: str, go: bool, as_json: bool) -> None:
    """Pause a mailbox, rule, pack, destination or everything on every process. Mail is still received and kept."""
    _check_name(settings, kind, name)
    if not go:
        return report(as_json, f"would pause {kind} {name}; do it with --go", done=False, kind=kind, name=name)
    runtime = open_runtime(settings)
    actions.pause(runtime.db, kind, name, actor=actor(), reason=reason, now=runtime.clock())
    text = f"{kind} {name} is paused; go on with: gatepost resume {kind} {name} --go"
    return report(as_json, text, done=True, kind=kind, name=name)


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
