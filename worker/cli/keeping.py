"""``purge``, ``erase``, ``audit``, ``db backup``, ``db restore``: what is kept, for how long, and who did what."""

from pathlib import Path

import click

from worker.cli.common import actor, command, open_runtime, print_json, print_rows, report
from worker.cli.events import limit_option, query_of, reason_option
from worker.settings import ConfigError, Settings

_go = click.option("--go", is_flag=True, help="Do it; without, only say what would be done.")


@click.command()
@_go
@command()
def purge(settings: Settings, go: bool, as_json: bool) -> None:
    """Let go of what is past its time by [retention]. The sweeper does so by itself, once an hour."""
    from worker import retention

    runtime = open_runtime(settings)
    kept, now = settings.retention, runtime.clock()
    if go:
        counts = retention.purge(runtime.db, kept, actor=actor(), now=now, manners=runtime.manners)
    else:
        counts = retention.count(runtime.db, kept, now=now, manners=runtime.manners)
    told = ", ".join(f"{many} {kind.replace('_', ' ')}" for kind, many in counts.items() if many) or "nothing"
    text = f"let go of: {told}" if go else f"would let go of: {told}; do it with --go"
    report(as_json, text, done=go, counts=counts)


@click.command()
@click.option("--tenant", help="The tenant's id, as the PMS tells it.")
@click.option("--unit", help="The unit's id at its destination, or its name: all who ever had it.")
@click.option("--company", help="Needed where several companies have such a tenant or unit.")
@click.option("--text", "texts", multiple=True, help="A further word by which mails without events are found.")
@reason_option
@_go
@command()
def erase(
    settings: Settings,
    tenant: str | None,
    unit: str | None,
    company: str | None,
    texts: tuple[str, ...],
    reason: str,
    go: bool,
    as_json: bool,
) -> None:
    """Remove what is kept of a resident: mails, readings, ids, answers. Events, their order and keys stay."""
    from worker import erase as work

    if bool(tenant) == bool(unit):
        raise click.UsageError("name one of --tenant and --unit")
    runtime = open_runtime(settings)
    whose = work.Whose(tenant=tenant or None, unit=unit or None, company=company, texts=texts)
    boxes = {mailbox.address: mailbox.company for mailbox in settings.mailbox}
    if not go:
        found = work.plan(runtime.db, whose, mailboxes=boxes, now=runtime.clock())
        text = (
            f"would erase {len(found.mails)} mails, {len(found.events)} events of {len(found.keys)} units; "
            f"do it with --go"
        )
        lines = [text, *(f"  mail {mail_id}: found by its words" for mail_id in found.by_text)]
        lines += [f"  not now: {obstacle}" for obstacle in found.obstacles]
        return report(as_json, "\n".join(lines), done=False, **found.to_json())
    done = work.erase(runtime.db, whose, mailboxes=boxes, actor=actor(), reason=reason, now=runtime.clock())
    told = ", ".join(f"{many} {name}" for name, many in done.items() if isinstance(many, int))
    text = f"erased: {told}; instead of ids stands {', '.join(done['marks']) or 'nothing'}"
    return report(as_json, text, done=True, **done)


@click.command()
@click.argument("query", nargs=-1)
@limit_option
@command()
def audit(settings: Settings, query: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List who did what, newest first. QUERY: actor: action: subject: before: after: text."""
    from worker import views

    rows = views.list_audit(open_runtime(settings).db, query_of(query), limit=limit)
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, ("id", "at", "actor", "action", "subject", "detail"), empty="nothing was done")


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@command()
def db_backup(settings: Settings, target: Path, as_json: bool) -> None:
    """Write a consistent copy of the database to a new file, while it is in use."""
    from worker import backup
    from worker.store.database import Database

    if target.exists():
        raise ConfigError(f"{target} is there already; name a new file")
    size_bytes = backup.backup(Database(settings.store.url), target)
    report(as_json, f"{target} is written: {size_bytes} bytes", file=str(target), size_bytes=size_bytes)


@click.command("restore")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--over", is_flag=True, help="Also where the store holds something.")
@_go
@command()
def db_restore(settings: Settings, source: Path, over: bool, go: bool, as_json: bool) -> None:
    """Put a backup in the store's place. Nothing is sent afterwards until a person resumes it."""
    from worker import backup
    from worker.runtime import utc_now
    from worker.store.database import Database

    if not go:
        return report(as_json, f"would restore {source} into the store; do it with --go", done=False, file=str(source))
    done = backup.restore(Database(settings.store.url), source, over=over, actor=actor(), now=utc_now())
    told = ", ".join(f"{many} {name}" for name, many in done.counts.items())
    lines = [f"{source} is restored: {told}"]
    if done.aside is not None:
        lines.append(f"what stood there is kept as {done.aside}")
    lines += [
        "nothing is sent now. Next:",
        "  start, and let the mails since the backup come again; those that are known do nothing",
        "  gatepost units list              compare it with what the destinations show",
        "  gatepost events list state:waiting",
        "  gatepost resume everything restored --go   states every difference anew",
    ]
    aside = str(done.aside) if done.aside else None
    return report(as_json, "\n".join(lines), done=True, file=str(source), counts=done.counts, aside=aside)
