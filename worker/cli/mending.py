"""``undo``, ``replay``, ``issues``: take wrong writes back, read mails again, and see what there is to mend."""

from typing import Any

import click

from worker.cli.common import actor, command, open_runtime, print_json, print_rows, report
from worker.cli.events import limit_option, query_of
from worker.settings import Settings

_go = click.option("--go", is_flag=True, help="Do it; without, only say what would be done.")


@click.command()
@click.argument("query", nargs=-1, required=True)
@click.option("--reason", default="", help="Why; it is kept in the audit. Needed with --go.")
@_go
@command()
def undo(settings: Settings, query: tuple[str, ...], reason: str, go: bool, as_json: bool) -> None:
    """Take events back, as if they had never been told. QUERY: rule: set: mail: unit: after: before: and so on.

    The plan is shown first: what is withdrawn, and what is then sent to make each unit right.
    """
    from worker import log
    from worker import undo as undoing

    if go and not reason:
        raise click.UsageError("say why with --reason")
    runtime, text = open_runtime(settings), query_of(query)
    now = runtime.clock()
    if go:
        units = undoing.undo(
            runtime.db,
            text,
            manners=runtime.manners,
            actor=actor(),
            reason=reason,
            now=now,
            on_told=runtime.hooks.tell,
            on_trouble=log.trouble,
        )
    else:
        units = undoing.plan(runtime.db, text, manners=runtime.manners, now=now)
    if as_json:
        print_json({"done": go, "units": [unit.to_json() for unit in units]})
        return
    for unit in units:
        _print_unit(unit)
    count = sum(len(unit.withdrawn) + len(unit.unanswered) for unit in units)
    if not units:
        click.echo("no events fit; `gatepost events list` shows what there is")
    elif go:
        click.echo(f"{count} events of {len(units)} units are taken back; the calls leave now")
    else:
        click.echo(f"would take back {count} events of {len(units)} units; do it with --go --reason WHY")


def _print_unit(unit: Any) -> None:
    click.echo(f"{unit.key[1] or '(no unit)'}  at {unit.key[0] or '-'}")
    click.echo(f"  withdrawn: {', '.join(map(str, unit.withdrawn)) or '-'}")
    if unit.unanswered:
        ids = ", ".join(map(str, unit.unanswered))
        next_step = f"`gatepost events add --unit {unit.key[1]} FACT=VALUE`"
        click.echo(f"  held, since nobody knows the value before: {ids}; say it with {next_step}")
    for call in unit.calls:
        values = " ".join(f"{name}={value}" for name, value in call.writes.items())
        click.echo(f"  sends {call.verb} {values}".rstrip())
    if not unit.calls:
        click.echo("  sends nothing")
    if unit.phantom:
        click.echo("  the destination made this unit for a move-in that goes now: remove it there by hand")


@click.command()
@click.argument("query", nargs=-1)
@click.option("--from", "layer", type=click.Choice(["parse", "apply"]), default="parse", show_default=True)
@click.option("--first", type=click.IntRange(1), help="Only so many, the oldest.")
@click.option("--per-minute", default=0, show_default=True, type=click.IntRange(0), help="How fast; 0: no limit.")
@click.option("--reason", default="", help="Why; it is kept in the audit. Needed with --go.")
@click.option("--list", "lists", is_flag=True, help="List replays, newest first.")
@click.option("--show", type=int, metavar="N", help="Show how far a replay is, and what came of it.")
@click.option("--pause", "pauses", type=int, metavar="N", help="Pause a replay.")
@click.option("--resume", "resumes", type=int, metavar="N", help="Have a paused replay go on.")
@_go
@command()
def replay(
    settings: Settings,
    query: tuple[str, ...],
    layer: str,
    first: int | None,
    per_minute: int,
    reason: str,
    lists: bool,
    show: int | None,
    pauses: int | None,
    resumes: int | None,
    go: bool,
    as_json: bool,
) -> None:
    """Read stored mails again under the rules of now (parse), or state again what is wanted (apply).

    QUERY names mails for parse (as `gatepost mail list`), events for apply (as `gatepost events list`).
    """
    from worker import replayed

    runtime, text = open_runtime(settings), query_of(query)
    if lists or show is not None:
        return _show(runtime, show, as_json=as_json)
    if pauses is not None or resumes is not None:
        number = pauses if pauses is not None else resumes or 0
        state: replayed.Running = "paused" if pauses is not None else "running"
        replayed.set_state(runtime.db, number, state, actor=actor(), now=runtime.clock())
        return report(as_json, f"replay {number} is {state}", done=True, replay=number, state=state)
    if not go:
        return _plan(runtime, text, layer, first, as_json=as_json)
    if not reason:
        raise click.UsageError("say why with --reason")
    number = runtime.replays.start(text, layer, limit=first, per_minute=per_minute, actor=actor(), reason=reason)
    said = f"replay {number} runs; `gatepost replay --show {number}` says how far it is"
    return report(as_json, said, done=True, replay=number)


def _plan(runtime: Any, text: str, layer: str, first: int | None, *, as_json: bool) -> None:
    from worker.replayed import plan_plain

    if layer == "apply":
        units = len(runtime.replays.find(text, layer, limit=first))
        said = f"would state {units} units anew; do it with --go --reason WHY"
        return report(as_json, said, done=False, units=units)
    plan = plan_plain(runtime.replays.plan(text, layer, limit=first))
    if as_json:
        return print_json({"done": False, **plan})
    notable = [row for row in plan["changes"] if row["effect"] != "same"]
    print_rows(notable[:200], ("mail", "effect", "what"), empty="nothing would change")
    summary = ", ".join(f"{count} {name}" for name, count in sorted(plan["effects"].items())) or "no events"
    return click.echo(f"{plan['mails']} mails: {summary}; do it with --go --reason WHY")


def _show(runtime: Any, number: int | None, *, as_json: bool) -> None:
    from worker import replayed

    if number is None:
        rows = replayed.list_replays(runtime.db)
        columns = ("replay", "state", "from", "query", "created_at", "actor")
        return print_json(rows) if as_json else print_rows(rows, columns, empty="no replays")
    found = replayed.report(runtime.db, number)
    if as_json:
        return print_json(found)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(found["outcomes"].items()))
    click.echo(f"replay {number} from {found['from']}: {found['state']}; {found['items']} items: {counts}")
    return print_rows(found["notable"], ("mail", "event", "outcome", "detail"), empty="nothing else to tell")


@click.group()
def issues() -> None:
    """Look at what is to be mended: many failures of one cause, as one thing."""


@issues.command("list")
@click.option("--all", "everything", is_flag=True, help="Resolved and ignored ones, too.")
@limit_option
@command()
def issues_list(settings: Settings, everything: bool, limit: int, as_json: bool) -> None:
    """List issues, the newest first."""
    from worker import mending

    rows = mending.list_issues(open_runtime(settings).db, everything=everything, limit=limit)
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, ("id", "state", "kind", "count", "last_at", "title"), empty="nothing to mend")


@issues.command("show")
@click.argument("issue_id", type=int)
@command()
def issues_show(settings: Settings, issue_id: int, as_json: bool) -> None:
    """Show one issue and the newest events that it is about."""
    from worker import mending

    found = mending.show_issue(open_runtime(settings).db, issue_id)
    if as_json:
        print_json(found)
        return
    click.echo(f"issue {found['id']}  {found['kind']}  {found['state']}  seen {found['count']} times")
    click.echo(f"  {found['title']}")
    click.echo(f"  {found['detail']}")
    click.echo(f"  first {found['first_at']}, last {found['last_at']}")
    if found["note"]:
        click.echo(f"  {found['actor']}: {found['note']}")
    if "difference" in found:
        lines = found["difference"] if found["difference"] is not None else ["how they were read is no longer kept"]
        click.echo(
            f"  labels of mail {found['subject']['mail']} against {found['subject']['sample']}, the last good one:"
        )
        click.echo("\n".join(f"    {line}" for line in lines or ["the same"]))
    if found["mails"]:
        print_rows(found["mails"], ("id", "state", "reason", "rule"), empty="")
    print_rows(found["events"], ("id", "state", "reason", "kind", "crm_unit_id", "mail"), empty="  no events")


def _set(word: str, state: str, text: str) -> click.Command:
    @issues.command(word, help=text)
    @click.argument("issue_id", type=int)
    @click.option("--reason", default="", help="A word for whoever looks next; it is kept.")
    @_go
    @command()
    def act(settings: Settings, issue_id: int, reason: str, go: bool, as_json: bool) -> None:
        from worker import mending

        runtime = open_runtime(settings)
        if not go:
            found = mending.show_issue(runtime.db, issue_id)
            said = f"would set issue {issue_id} ({found['title']}) {state}; do it with --go"
            return report(as_json, said, done=False, issue=issue_id, state=state)
        mending.set_issue(runtime.db, issue_id, state, actor=actor(), reason=reason, now=runtime.clock())
        return report(as_json, f"issue {issue_id} is {state}", done=True, issue=issue_id, state=state)

    return act


_set("ack", "acknowledged", "Say that somebody is at it.")
_set("resolve", "resolved", "Say that it is mended; it opens again when its cause comes back.")
_set("ignore", "ignored", "Never tell of this cause again; it is still counted.")
