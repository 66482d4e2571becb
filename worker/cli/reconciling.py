"""``reconcile``: a rent roll against what we applied."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import click

from worker.cli.common import actor, command, open_runtime, print_json, print_rows
from worker.settings import ConfigError, Mailbox, Settings

SHOWN = 200


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mailbox", help="The mailbox whose site it is. Without FILE: its newest rent-roll mail.")
@click.option("--as-of", help="When things were as it says, 2026-05-31T18:00 of the site; without, now.")
@click.option(
    "--dates", type=click.Choice(["mdy", "dmy"]), help="How to read 05/06/2026, where the file leaves it open."
)
@click.option("--list", "lists", is_flag=True, help="List comparisons, newest first.")
@click.option("--show", type=int, metavar="N", help="Show one comparison.")
@click.option("--reason", default="", help="Why; it is kept with each event. Needed with --go.")
@click.option("--flips-ok", is_flag=True, help="Many units change occupancy or lockout, and that is meant.")
@click.option("--go", is_flag=True, help="Put right what differs; without, only compare.")
@command()
def reconcile(
    settings: Settings,
    file: Path | None,
    mailbox: str | None,
    as_of: str | None,
    dates: Literal["mdy", "dmy"] | None,
    lists: bool,
    show: int | None,
    reason: str,
    flips_ok: bool,
    go: bool,
    as_json: bool,
) -> None:
    """Compare a rent roll with what we applied: a CSV file, a mail, or the newest rent-roll mail of a mailbox.

    Units that the file does not name are left alone. With --go what differs becomes events of yours, which
    `gatepost why` explains and `gatepost undo rule:person/reconcile` takes back.
    """
    from worker import rolls

    if lists or show is not None:
        runtime = open_runtime(settings)
        if show is not None:
            return _print(rolls.show_reconcile(runtime.db, show), as_json=as_json)
        return _print_list(rolls.list_reconciles(runtime.db), as_json=as_json)
    if not mailbox:
        raise click.UsageError("say whose units these are with --mailbox")
    if go and not reason:
        raise click.UsageError("say why with --reason")
    from worker.telling import find_mailbox

    runtime = open_runtime(settings)
    box = find_mailbox(runtime.mailboxes(), mailbox)
    roll, source = _read(runtime, file, box, dates)
    found = runtime.reconciles.compare(roll, box, source=source, as_of=_moment(as_of, box))
    runtime.reconciles.keep(found, actor=actor())
    if go:
        runtime.reconciles.go(found, actor=actor(), reason=reason, flips_ok=flips_ok)
    return _print(found.to_json(), as_json=as_json)


def _read(runtime: Any, file: Path | None, box: Mailbox, dates: Literal["mdy", "dmy"] | None) -> tuple[Any, str]:
    """Return the rent roll, and how the report names it."""
    from worker import rolls
    from worker.actions import CannotDo
    from worker.rentroll import MAX_BYTES, RentRollError, read_rent_roll

    if file is None:
        with runtime.db.read() as connection:
            mail_id = rolls.newest_mail(connection, box.address)
            if mail_id is None:
                raise CannotDo(f"no mail of {box.address} has told a rent roll; give a FILE")
            return rolls.roll_of_mail(connection, mail_id), rolls.source_of(mail_id)
    if file.stat().st_size > MAX_BYTES:
        raise RentRollError(f"{file.name}: larger than {MAX_BYTES >> 20} MiB")
    raw = file.read_bytes()
    if file.suffix.lower() != ".eml":
        try:
            return read_rent_roll(raw, day_order=dates), file.name
        except RentRollError as error:
            raise RentRollError(f"{file.name}: {error}") from error
    from worker.reading import read_for

    reading = read_for(raw, runtime.rules(), box, {"trusted": True})[0]
    if reading.reason and not reading.events:
        raise CannotDo(f"{file.name}: {reading.outcome}: {reading.reason}")
    return rolls.roll_of_events(reading.events, what=file.name), file.name


def _moment(text: str | None, box: Mailbox) -> dt.datetime | None:
    """Return the instant that a text names on the site's clock."""
    if text is None:
        return None
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"`{text}` is not a time; write 2026-05-31T18:00") from error
    return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(box.timezone))).astimezone(dt.UTC)


def _print_list(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        return print_json(rows)
    told = [{**row, **row["counts"], "done": "yes" if row["done"] else "no"} for row in rows]
    columns = ("reconcile", "at", "mailbox", "source", "missed", "phantom", "different", "same", "done", "actor")
    return print_rows(told, columns, empty="no comparisons")


def _print(report: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        return print_json(report)
    click.echo(f"reconcile {report['reconcile']}  {report['source']} for {report['mailbox']}, as of {report['as_of']}")
    if report["columns"]:
        click.echo("columns: " + ", ".join(f"{head} = {name}" for head, name in report["columns"].items()))
    if report["unknown_columns"]:
        click.echo("not used: " + ", ".join(report["unknown_columns"]))
    rows = [_row(finding) for finding in report["findings"]]
    print_rows(rows[:SHOWN], ("kind", "unit", "crm_unit_id", "what", "note"), empty="nothing differs")
    if len(rows) > SHOWN:
        click.echo(f"and {len(rows) - SHOWN} more; --json shows them")
    if report["left_out"]:
        print_rows(report["left_out"][:SHOWN], ("row", "unit", "column", "message"), empty="")
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report["counts"].items() if count)
    click.echo(f"{report['rows']} rows: {counts or 'nothing'}")
    return _print_end(report)


def _row(finding: Mapping[str, Any]) -> dict[str, Any]:
    what = "; ".join(
        f"{one['name']}: {_text(one['ours'], known=one['known'])} -> {_text(one['theirs'])}"
        for one in finding["differences"]
    )
    return {**finding, "kind": finding["kind"].replace("_", " "), "what": what}


def _text(value: Any, *, known: bool = True) -> str:
    return "unknown" if not known else {True: "yes", False: "no", None: "none"}.get(value, str(value))


def _print_end(report: Mapping[str, Any]) -> None:
    todo, sent = sum(bool(finding["would_state"]) for finding in report["findings"]), report["sent"]
    if sent is None:
        if report["flips"]["too_many"]:
            click.echo(f"{report['flips']['units']} units would change occupancy or lockout: is this the right file?")
        return click.echo(f"would put {todo} units right; do it with --go --reason WHY" if todo else "nothing to send")
    for one in sent["refused"]:
        click.echo(f"refused {one['crm_unit_id']}: {one['error']}")
    ends = f"{sent['confirmed']} units confirmed, {len(sent['refused'])} refused"
    return click.echo(f"{ends}, {sent['left_to_drain']} left to their own calls")
