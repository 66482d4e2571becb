"""``mail``, ``events``, ``units``, ``why``: what is there, and why it is so."""

import sys

import click

from worker import actions, views
from worker.cli.common import actor, command, open_runtime, print_json, print_rows, report, ring
from worker.cli.events import limit_option, print_event, query_of, reason_option
from worker.cli.fixturing import to_fixture
from worker.cli.unitmaps import rename, unit_map
from worker.settings import Settings

MOST = 1000
"""Mails that one retry takes."""


@click.group()
def mail() -> None:
    """Look at mails, and move those that are held."""


mail.add_command(to_fixture)


@mail.command("list")
@click.argument("query", nargs=-1)
@limit_option
@command()
def mail_list(settings: Settings, query: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List mails, newest first.

    QUERY: id: state: reason: pms: mailbox: rule: set: from: subject: unit: before: after: text.
    """
    rows = views.list_mails(open_runtime(settings).db, query_of(query), limit=limit)
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, ("id", "state", "reason", "received_at", "mailbox", "rule", "subject"), empty="no mails")


@mail.command("show")
@click.argument("mail_id")
@command()
def mail_show(settings: Settings, mail_id: str, as_json: bool) -> None:
    """Show one mail: how it was read, its events and their calls."""
    found = views.show_mail(open_runtime(settings).db, mail_id)
    if as_json:
        print_json(found)
        return
    for name in (
        "id",
        "state",
        "reason",
        "detail",
        "write_status",
        "mailbox",
        "received_at",
        "from",
        "subject",
        "rule",
    ):
        if found.get(name):
            click.echo(f"{name.replace('_', ' '):<13} {found[name]}")
    click.echo(f"{'proof':<13} {(found['reading'] or {}).get('proof', '-')}")
    for event in found["events"]:
        print_event(event)
    if found["state"] == "held":
        click.echo(f"next: gatepost explain {mail_id}")


@mail.command("raw")
@click.argument("mail_id")
@command(as_json=False)
def mail_raw(settings: Settings, mail_id: str) -> None:
    """Write the bytes of a mail, as they came, to standard output."""
    sys.stdout.buffer.write(views.raw_mail(open_runtime(settings).db, mail_id))


@mail.command("retry")
@click.argument("mails", nargs=-1, required=True)
@command()
def mail_retry(settings: Settings, mails: tuple[str, ...], as_json: bool) -> None:
    """Have held mails read again, with the rules of now.

    MAILS: ids, or a query as of `gatepost mail list`, such as reason:incomplete, for all that are held.
    """
    runtime = open_runtime(settings)
    mail_ids = list(mails)
    if any(":" in word for word in mails):
        found = views.list_mails(runtime.db, f"state:held {query_of(mails)}", limit=MOST)
        mail_ids = [row["id"] for row in reversed(found)]
        if not mail_ids:
            what = " ".join(mails)
            raise actions.CannotDo(f"no held mail matches {what}; `gatepost mail list state:held` lists what is held")
    for mail_id in mail_ids:
        actions.retry_mail(runtime.db, mail_id, actor=actor(), now=runtime.clock())
    ring(runtime, mail_ids)
    told = [f"{mail_id} will be read again" for mail_id in mail_ids]
    if len(mail_ids) == MOST:
        told.append(f"these are the newest {MOST}: say it again for more")
    report(as_json, "\n".join(told), done=True, mails=mail_ids)


@mail.command("release")
@click.argument("mail_id")
@reason_option
@click.option("--go", is_flag=True, help="Do it; without, only say what would be done.")
@command()
def mail_release(settings: Settings, mail_id: str, reason: str, go: bool, as_json: bool) -> None:
    """Vouch for the sender of a mail that is held as untrusted, and have it read."""
    runtime = open_runtime(settings)
    if not go:
        found = views.show_mail(runtime.db, mail_id)
        text = f"would read {mail_id} from {found['from']} as proven by you; do it with --go"
        return report(as_json, text, done=False, mail=mail_id)
    actions.release_mail(runtime.db, mail_id, actor=actor(), reason=reason, now=runtime.clock())
    ring(runtime, [mail_id])
    return report(as_json, f"{mail_id} will be read as proven by {actor()}", done=True, mail=mail_id)


@mail.command("discard")
@click.argument("mail_id")
@reason_option
@click.option("--go", is_flag=True, help="Do it; without, only say what would be done.")
@command()
def mail_discard(settings: Settings, mail_id: str, reason: str, go: bool, as_json: bool) -> None:
    """Take a held mail off the list."""
    runtime = open_runtime(settings)
    if not go:
        found = views.show_mail(runtime.db, mail_id)
        text = f"would discard {mail_id} ({found['state']}: {found['subject']}); do it with --go"
        return report(as_json, text, done=False, mail=mail_id)
    actions.discard_mail(runtime.db, mail_id, actor=actor(), reason=reason, now=runtime.clock())
    return report(as_json, f"{mail_id} is discarded", done=True, mail=mail_id)


@click.group()
def units() -> None:
    """Look at units, and after unit maps."""


units.add_command(unit_map)
units.add_command(rename)


@units.command("list")
@click.argument("query", nargs=-1)
@limit_option
@command()
def units_list(settings: Settings, query: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List the units that mails have named."""
    rows = views.list_units(open_runtime(settings).db, " ".join(query), limit=limit)
    if as_json:
        print_json(rows)
    else:
        flat = [{**row, "occupied": row["confirmed"].get("occupied")} for row in rows]
        print_rows(flat, ("crm_unit_id", "destination", "occupied", "updated_at", "due_at"), empty="no units")


@units.command("show")
@click.argument("unit")
@command()
def units_show(settings: Settings, unit: str, as_json: bool) -> None:
    """Show what the destination has confirmed of a unit."""
    found = _why(settings, unit)
    if as_json:
        print_json([{name: one[name] for name in one if name not in ("facts", "events")} for one in found])
        return
    for one in found:
        click.echo(f"{one['crm_unit_id']}  {_access(one['access'])}")
        for name, value in sorted(one["confirmed"].items()):
            click.echo(f"  {name:<18} {value}")


@units.command("timeline")
@click.argument("unit")
@command()
def units_timeline(settings: Settings, unit: str, as_json: bool) -> None:
    """Show the events of a unit in the order in which they happened."""
    found = _why(settings, unit)
    if as_json:
        print_json([{"crm_unit_id": one["crm_unit_id"], "events": one["events"]} for one in found])
        return
    for one in found:
        click.echo(one["crm_unit_id"])
        print_rows(one["events"], ("effective_at", "kind", "state", "reason", "rule", "mail"), empty="  no events")


@click.command()
@click.argument("unit")
@click.option(
    "--at", "at", metavar="TIME", help="As it was then: 2026-05-01 (its end), 2026-05-01T14:30; not given: now."
)
@command()
def why(settings: Settings, unit: str, at: str | None, as_json: bool) -> None:
    """Say why a unit is as it is, or was: each fact with its mail, line, rule, call, key, answer and person."""
    found = _why(settings, unit, at)
    if as_json:
        print_json(found)
        return
    for one in found:
        print_why(one)


def print_why(one: views.Plain) -> None:
    """Print one unit: its access, and its facts under the event that each comes from."""
    then = f"  as of {one['at']}" if "at" in one else ""
    click.echo(f"{one['crm_unit_id']}  {_access(one['access'])}{then}")
    by_event: dict[int | None, list[views.Plain]] = {}
    for fact in one["facts"]:
        by_event.setdefault(fact["from"]["event"], []).append(fact)
    for facts in by_event.values():
        for fact in facts:
            mark = "" if fact["confirmed"] else "  (not confirmed yet)"
            click.echo(f"  {fact['fact']} = {_value(fact)}{mark}")
        _print_origin(facts[0]["from"])
        made = {call["id"]: call for fact in facts if (call := fact["from"]["call"])}
        for call in made.values():
            _print_call(call)
    for issue in one.get("drift", []):
        click.echo(f"  drift: issue {issue['id']}: {issue['title']}")
    for call in one.get("under_way", []):
        click.echo(f"  under way then: call {call['request']} {call['body']}".rstrip())
    for event in one["events"]:
        if event["state"] not in ("applied", "superseded"):
            reason = f" {event['reason']}" if event["reason"] else ""
            click.echo(f"  {event['state']}{reason}: {event['kind']} of mail {event['mail']}; {event['detail'] or '-'}")


def _why(settings: Settings, unit: str, at: str | None = None) -> list[views.Plain]:
    from worker.why import read_moment, why

    moment = read_moment(at) if at is not None else None
    runtime = open_runtime(settings)
    zones = {mailbox.location: mailbox.timezone for mailbox in settings.mailbox}
    return why(runtime.db, unit, zones=zones, now=runtime.clock(), at=moment, manners=runtime.manners)


def _access(access: views.Plain) -> str:
    word = {True: "OPEN", False: "VACANT" if access["state"] == "vacant" else "LOCKED", None: "UNKNOWN"}[
        access["opens"]
    ]
    return f"{word} ({access['state']}{', ' + access['reason'] if access['reason'] else ''})"


def _print_origin(origin: views.Plain) -> None:
    if origin["event"] is None:
        click.echo("    there before any event, or put back to that")
    else:
        _print_event_of(origin)


def _print_call(call: views.Plain) -> None:
    click.echo(f"    call {call['request']} {call['body']}".rstrip())
    click.echo(f"    key  {call['key']}")
    for attempt in call["attempts"]:
        click.echo(f"    answer {attempt['status']} {attempt['message']} at {attempt['at']}")


def _print_event_of(origin: views.Plain) -> None:
    click.echo(f"    since {origin['at']}, by event {origin['event']} ({origin['kind']}), rule {origin['rule']}")
    if origin["mail"] is not None:
        gone = f"   (bytes let go {origin['purged_at']})" if origin["purged_at"] else ""
        click.echo(f"    mail {origin['mail']}: {origin['subject']}   proof: {origin['proof'] or '-'}{gone}")
    for line in origin["lines"]:
        where = f"line {line['line']}" if line["line"] else "subject"
        click.echo(f"      {where}: {line['text']}   -> {line['field']}")
    for word in ("author", "released_by", "vouched_by"):
        if origin[word]:
            click.echo(f"    {word.replace('_', ' ')} {origin[word]}")


def _value(fact: views.Plain) -> str:
    if "tenancy" not in fact:
        return str(fact["value"])
    held = ", ".join(f"{name} {value}" for name, value in fact["tenancy"].items() if value is not None)
    return f"{fact['value']}{' (' + held + ')' if held else ''}"
