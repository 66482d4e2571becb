"""``events``: look at events, and move, edit and add them."""

import datetime as dt
import itertools
import shlex
from collections.abc import Sequence

import click

from worker import views
from worker.cli.common import actor, command, open_runtime, print_json, print_rows, report, values_text
from worker.settings import Settings

limit_option = click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
reason_option = click.option("--reason", required=True, help="Why; it is kept in the audit.")


def query_of(words: tuple[str, ...]) -> str:
    """Return the words of a command line as one query."""
    return " ".join(word if ":" in word and " " not in word else shlex.quote(word) for word in words)


@click.group()
def events() -> None:
    """Look at events, and move those that are held."""


@events.command("list")
@click.argument("query", nargs=-1)
@limit_option
@command()
def events_list(settings: Settings, query: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List events, newest first.

    QUERY: id: state: reason: pms: mailbox: rule: set: mail: unit: issue: before: after: text.
    """
    rows = views.list_events(open_runtime(settings).db, query_of(query), limit=limit)
    if as_json:
        print_json(rows)
    else:
        columns = ("id", "state", "reason", "kind", "crm_unit_id", "effective_at", "rule", "mail")
        print_rows(rows, columns, empty="no events")


@events.command("show")
@click.argument("event_id", type=click.IntRange(1, 2**63 - 1))
@click.option("--curl", is_flag=True, help="Print each call as a curl command.")
@command()
def events_show(settings: Settings, event_id: int, curl: bool, as_json: bool) -> None:
    """Show one event and the calls that carried it."""
    found = views.show_event(open_runtime(settings).db, event_id)
    if as_json:
        print_json(found)
        return
    print_event(found)
    for call in found["calls"] if curl else []:
        method, path = call["request"].split(" ", 1)
        base = _base_url(settings, found["destination"])
        body = f" -H 'Content-Type: application/json' -d {shlex.quote(call['body'])}" if call["body"] else ""
        click.echo(
            f"curl -X {method} {shlex.quote(base + path)} -H 'Authorization: Bearer '\"$TOKEN\""
            f" -H 'Idempotency-Key: {call['key']}'{body}"
        )


def _base_url(settings: Settings, destination: str) -> str:
    from worker.destinations.profiles import PROFILES

    chosen = settings.destination[destination]
    if chosen.kind == "local":
        return f"http://{settings.web.listen}/api/v2"
    return chosen.base_url or PROFILES[chosen.profile].base_url


_ids = click.argument("event_ids", nargs=-1, type=int)
_issue = click.option("--issue", type=int, help="All held and rejected events of this issue.")
_go = click.option("--go", is_flag=True, help="Do it; without, only say what would be done.")


@events.command("release")
@_ids
@_issue
@reason_option
@_go
@command()
def events_release(
    settings: Settings, event_ids: tuple[int, ...], issue: int | None, reason: str, go: bool, as_json: bool
) -> None:
    """Let held events take effect, or have rejected ones tried once more."""
    _move(settings, "release", event_ids, issue, reason=reason, go=go, as_json=as_json)


@events.command("discard")
@_ids
@_issue
@reason_option
@_go
@command()
def events_discard(
    settings: Settings, event_ids: tuple[int, ...], issue: int | None, reason: str, go: bool, as_json: bool
) -> None:
    """Never let held or rejected events take effect."""
    _move(settings, "discard", event_ids, issue, reason=reason, go=go, as_json=as_json)


def _move(
    settings: Settings, word: str, ids: tuple[int, ...], issue: int | None, *, reason: str, go: bool, as_json: bool
) -> None:
    from worker import edits

    runtime = open_runtime(settings)
    pages = edits.pages_of_issue(runtime.db, issue) if issue is not None else iter(())
    if not ids and issue is None:
        raise click.UsageError("name events by their ids, or all of an issue with --issue")
    if not go:
        ids = tuple(dict.fromkeys((*ids, *(event_id for page in pages for event_id in page))))
        _check_some(ids, issue)
        for event_id in ids:
            one = views.show_event(runtime.db, event_id)
            text = f"would {word} event {event_id}: {one['kind']} of {one['crm_unit_id']}; do it with --go"
            if not as_json:
                click.echo(text)
        if as_json:
            print_json({"done": False, "events": ids})
        return
    act = edits.release_events if word == "release" else edits.discard_events
    done: list[int] = []
    for page in itertools.chain([ids] if ids else [], pages):
        done += act(runtime.db, page, actor=actor(), reason=reason, now=runtime.clock())
    _check_some(done, issue)
    text = "\n".join(f"event {event_id} is {word}{'d' if word.endswith('e') else 'ed'}" for event_id in done)
    report(as_json, text, done=True, events=done)


def _check_some(ids: Sequence[int], issue: int | None) -> None:
    if not ids:
        said = f"issue {issue} has no held or rejected events; `gatepost issues show {issue}` lists its events"
        raise views.NotThere(said)


@events.command("edit")
@click.argument("event_id", type=int)
@click.argument("facts", nargs=-1, required=True, metavar="FACT=VALUE...")
@reason_option
@_go
@command()
def events_edit(
    settings: Settings, event_id: int, facts: tuple[str, ...], reason: str, go: bool, as_json: bool
) -> None:
    """Put other values into a held or rejected event, and let it take effect."""
    from worker import edits

    runtime = open_runtime(settings)
    values = edits.read_values(facts)
    if not go:
        found = views.show_event(runtime.db, event_id)
        text = (
            f"would change event {event_id} from {values_text(found['body'])} by {values_text(values)}; do it with --go"
        )
        return report(as_json, text, done=False, event=event_id, values=values)
    made = edits.edit_event(runtime.db, event_id, facts, actor=actor(), reason=reason, now=runtime.clock())
    return report(as_json, f"event {event_id} is now event {made}", done=True, event=event_id, revision=made)


def _instant(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"`{text}` is not a time; write one like 2026-05-01T14:30") from error
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


@events.command("add")
@click.option("--unit", required=True, help="The unit's id at its destination, or its name.")
@click.argument("facts", nargs=-1, required=True, metavar="FACT=VALUE...")
@click.option("--at", help="When it happened, such as 2026-05-01T14:30, in UTC unless it says a zone; not given: now.")
@reason_option
@_go
@command()
def events_add(
    settings: Settings,
    unit: str,
    facts: tuple[str, ...],
    at: str | None,
    reason: str,
    go: bool,
    as_json: bool,
) -> None:
    """Tell a fact that no mail brought: balance_due=12.50, pms_lockout=false, occupied=false, pms_tenant_id=..."""
    from worker import edits

    runtime = open_runtime(settings)
    values = edits.read_values(facts)
    if not go:
        return report(
            as_json, f"would tell {unit}: {values_text(values)}; do it with --go", done=False, unit=unit, values=values
        )
    when = _instant(at) if at else None
    made = edits.add_event(runtime.db, unit, facts, actor=actor(), reason=reason, now=runtime.clock(), at=when)
    return report(as_json, f"event {made} is told", done=True, event=made)


def print_event(event: views.Plain) -> None:
    """Print one event and its calls."""
    reason = f" {event['reason']}" if event["reason"] else ""
    click.echo(f"event {event['id']}  {event['kind']}  {event['crm_unit_id']}  {event['state']}{reason}")
    click.echo(f"  at {event['effective_at']}  {values_text(event['body'])}")
    if event["detail"]:
        click.echo(f"  {event['detail']}")
    for call in event.get("calls", []):
        click.echo(f"  call {call['id']}  {call['request']}  {call['body']}  {call['state']}")
        click.echo(f"    key {call['key']}")
        for attempt in call["attempts"]:
            click.echo(f"    {attempt['at']}  {attempt['outcome']}  {attempt['status'] or '-'}  {attempt['message']}")
