"""``units map check``, ``units map build``, ``units rename``: look after the unit maps."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from parsers.directory import MapErrors, UnitMap
from worker import actions, directory, unitmap
from worker.cli.common import DONE, NOT_DONE, WRONG, actor, command, open_runtime, print_json
from worker.cli.reading import find_mailbox
from worker.settings import ConfigError, Mailbox, Settings
from worker.unitids import find_clash

SHOWN = 20

_mailbox = click.option("--mailbox", "address", required=True, help="The mailbox whose map it is.")
_go = click.option("--go", is_flag=True, help="Do it; without, only say what would be done.")


@click.group("map")
def unit_map() -> None:
    """Check unit maps, and draft them."""


@unit_map.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@command(maps=False)
def map_check(settings: Settings, file: Path | None, as_json: bool) -> None:
    """Check all unit maps of the configuration, or FILE: mistakes, units that mails name and a map lacks, idle rows.

    Exit codes: 1 a map lacks a unit that mails have named, 2 a mistake.
    """
    readers = _readers(settings, file)
    maps: dict[Path, directory.KeptMap] = {}
    faults: list[str] = []
    for path in readers:
        try:
            maps[path] = directory.read_map(path)
        except MapErrors as errors:
            faults += str(errors).splitlines()
    if not faults and file is None and (clash := find_clash(directory.makers_of(settings.mailbox, maps))):
        faults.append(clash)
    pairs = [] if faults else [(box, maps[path].units) for path in maps for box in readers[path]]
    runtime = open_runtime(settings) if pairs else None
    compared = [_compared(runtime, box, units) for box, units in pairs]
    if as_json:
        files = [str(path) for path in readers]
        print_json({"ok": not faults, "files": files, "faults": faults, "mailboxes": compared})
    else:
        _tell_checked(maps, faults, compared)
    lacks = any(one["lacking"] for one in compared)
    raise click.exceptions.Exit(WRONG if faults else NOT_DONE if lacks else DONE)


def _readers(settings: Settings, file: Path | None) -> dict[Path, list[Mailbox]]:
    """Return the mailboxes by the map that they name; of one file only where one is asked for."""
    found: dict[Path, list[Mailbox]] = {}
    for mailbox in settings.mailbox:
        if mailbox.unit_map:
            found.setdefault(mailbox.unit_map, []).append(mailbox)
    if file is None:
        return found
    return next(({path: boxes} for path, boxes in found.items() if path.resolve() == file.resolve()), {file: []})


def _compared(runtime: Any, mailbox: Mailbox, units: UnitMap) -> dict[str, Any]:
    """Return how a map stands to the units that mails to a mailbox have named."""
    from worker.seen import find_lacking, find_unseen, units_seen

    seen, known = units_seen(runtime.db, mailbox), units.of(mailbox.location)
    lacking = find_lacking(seen, known, today=_today(runtime, mailbox))
    return {
        "mailbox": mailbox.address,
        "file": units.file,
        "rows": len(known.entries),
        "lacking": [{"unit": one.unit, "on": one.last_on.isoformat() if one.last_on else None} for one in lacking],
        "unseen": [{"unit": entry.unit, "line": entry.line} for entry in find_unseen(seen, known)],
    }


def _today(runtime: Any, mailbox: Mailbox) -> dt.date:
    return runtime.clock().astimezone(ZoneInfo(mailbox.timezone)).date()


def _tell_checked(
    maps: Mapping[Path, directory.KeptMap], faults: Sequence[str], compared: Sequence[dict[str, Any]]
) -> None:
    for line in faults:
        click.echo(f"gatepost: {line}", err=True)
    for path, kept in maps.items():
        click.echo(f"{path}: {sum(len(site.entries) for site in kept.units.sites.values())} rows")
    if not maps and not faults:
        click.echo("no mailbox has a unit map")
    for one in compared:
        for unit in one["lacking"]:
            when = f"on {unit['on']}" if unit["on"] else "now"
            click.echo(f"{one['mailbox']}: mails have named {unit['unit']}, which has no row {when}")
        idle = [f"{entry['unit']} (line {entry['line']})" for entry in one["unseen"]]
        more = f" and {len(idle) - SHOWN} more" if len(idle) > SHOWN else ""
        if idle:
            click.echo(f"{one['mailbox']}: no mail has named {', '.join(idle[:SHOWN])}{more}")


@unit_map.command("build")
@_mailbox
@click.option("--out", type=click.Path(path_type=Path), help="The file to write; the mailbox's map without it.")
@_go
@command(maps=False)
def map_build(settings: Settings, address: str, out: Path | None, go: bool, as_json: bool) -> None:
    """Draft a unit map from the units that mails have named; rows that are there stay as they are.

    A unit gets the id that it had so far, else that of the mailbox's unit_id. Look at the draft before you use it.
    """
    from worker.seen import draft_map

    mailbox = find_mailbox(settings, address)
    file = out or mailbox.unit_map
    if file is None:
        raise ConfigError(f"mailbox {mailbox.address} has no unit map; name the file to write with --out")
    runtime = open_runtime(settings)
    is_shared = any(
        one.unit_map is not None and one.unit_map == mailbox.unit_map and one.location != mailbox.location
        for one in settings.mailbox
    )
    draft = draft_map(runtime.db, mailbox, file, is_shared=is_shared, today=_today(runtime, mailbox))
    after = draft.changed.text.encode()
    directory.check_changed(settings.mailbox, file, after)
    if go and after != draft.before:
        detail = f"{len(draft.rows)} rows for units of {mailbox.address}"
        _put(runtime, file, draft.before, after, action="unit map build", detail=detail)
    if as_json:
        rows, left = [asdict(row) for row in draft.rows], [asdict(one) for one in draft.left]
        print_json({"done": go, "file": str(file), "kept": draft.kept, "added": rows, "left": left})
        return
    for one in draft.left:
        click.echo(f"gatepost: {one.unit} gets no row: {one.why}", err=True)
    if go:
        click.echo(f"{file}: {len(draft.rows)} rows added, {draft.kept} kept")
    else:
        click.echo(draft.changed.text, nl=False)
        click.echo(f"gatepost: would add {len(draft.rows)} rows to {file}; do it with --go", err=True)


@click.command("rename")
@click.argument("old")
@click.argument("new")
@_mailbox
@click.option("--on", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The first day of the new name.")
@_go
@command(maps=False)
def rename(settings: Settings, old: str, new: str, address: str, on: dt.datetime, go: bool, as_json: bool) -> None:
    """Tell a unit map that the PMS calls unit OLD by the name NEW from a day on; its id and columns stay."""
    mailbox = find_mailbox(settings, address)
    path = mailbox.unit_map
    if path is None:
        raise unitmap.CannotChange(
            f"mailbox {mailbox.address} has no unit map, so a new name would give a new id; draft one with "
            f"`gatepost units map build --mailbox {mailbox.address} --out units.csv --go`, set unit_map to it, "
            "then rename"
        )
    before = directory.read_map_bytes(path)
    text = directory.decode_map(before, path)
    changed = unitmap.rename_unit(text, file=str(path), location=mailbox.location, old=old, new=new, on=on.date())
    after = changed.text.encode()
    directory.check_changed(settings.mailbox, path, after)
    if go:
        detail = f"{old} is {new} from {on.date()} on, for {mailbox.address}"
        _put(open_runtime(settings), path, before, after, action="unit rename", detail=detail)
    if as_json:
        print_json({"done": go, "file": str(path), "changes": [asdict(change) for change in changed.changes]})
        return
    for change in changed.changes:
        if change.before is not None:
            click.echo(f"{path}:{change.line}: - {change.before}")
        click.echo(f"{path}:{change.line}: + {change.after}")
    click.echo("done: it counts for the next mail" if go else "would change this; do it with --go")


def _put(runtime: Any, path: Path, before: bytes | None, after: bytes, *, action: str, detail: str) -> None:
    """Put a changed map in place and leave an audit row: both, or neither."""
    with runtime.db.write() as connection:
        actions.note(connection, actor=actor(), action=action, subject=str(path), detail=detail, now=runtime.clock())
        unitmap.put_file(path, before, after)
