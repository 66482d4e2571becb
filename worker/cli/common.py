"""What the commands share: their options, their errors, their ways to print."""

import functools
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from parsers.errors import ParserError
from parsers.events import canonical
from worker.configuration import load_settings
from worker.settings import ConfigError, Settings

DONE, NOT_DONE, WRONG = 0, 1, 2
EX_TEMPFAIL = 75  # sysexits.h


def command(
    *, as_json: bool = True, tempfail: str | None = None, maps: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command ``--config`` and ``--json``, and turn our own errors into one plain line and an exit code.

    The function gets ``settings`` (loaded) and, with ``as_json``, ``as_json``. ``tempfail``: the argument that makes
    the command a pipe(8) target when it is ``-``: whatever of ours goes wrong then ends with 75, to be tried again.
    ``maps`` False: the unit maps are left unread, since the command looks at them itself.
    """

    def wrap(function: Callable[..., None]) -> Callable[..., None]:
        @click.option("--config", "config_path", type=click.Path(), help="The configuration file.")
        @click.pass_context
        @functools.wraps(function)
        def run(ctx: click.Context, /, *args: Any, config_path: str | None, **kwargs: Any) -> None:
            chosen = config_path or ctx.find_root().obj
            path = Path(chosen).resolve() if chosen else None
            if path:
                os.environ["GATEPOST_CONFIG"] = str(path)  # what a reload and the worker's children read
            with told(tempfail=tempfail is not None and kwargs[tempfail] == "-"):
                ctx.invoke(function, *args, settings=load_settings(path, maps=maps), **kwargs)

        return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(run) if as_json else run

    return wrap


class told:  # noqa: N801  read as a word: `with told():`
    """Turns our errors into a line on standard error and an exit code."""

    def __init__(self, *, tempfail: bool = False) -> None:
        self._tempfail = tempfail

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, click.exceptions.Exit | click.ClickException | SystemExit):
            return
        code = _exit_code(error)
        if code is not None:
            code = EX_TEMPFAIL if self._tempfail else code
            for line in str(error).splitlines():
                click.echo(f"gatepost: {line}", err=True)
            raise click.exceptions.Exit(code) from error


def _exit_code(error: BaseException) -> int | None:
    """Return the exit code of an error that is ours; None for one that is not."""
    if isinstance(error, ConfigError | ParserError):
        return WRONG
    module = type(error).__module__
    if module.startswith("worker."):
        return WRONG if type(error).__name__ in ("StartError", "OldSchema", "UnsafeStore", "QueryError") else NOT_DONE
    if module.startswith("sqlalchemy."):
        error.args = (f"the database cannot be used: {type(error).__name__}; `gatepost doctor` looks further",)
        return NOT_DONE
    return None


def open_runtime(settings: Settings) -> Any:
    """Return the parts of this process, on a store that is up to date.

    Raises:
        OldSchema: PostgreSQL tables of another version; SQLite ones are brought up to date.
    """
    from worker import log
    from worker.runtime import Runtime
    from worker.store import schema
    from worker.store.database import OldSchema

    log.configure()
    runtime = Runtime(settings)
    try:
        schema.check(runtime.db)
    except OldSchema:
        if not runtime.db.is_sqlite:
            raise
        schema.upgrade(runtime.db)
    return runtime


def ring(runtime: Any, mail_ids: Sequence[str]) -> None:
    """Tell the workers of new mails, where they can be told; the sweeper of ``gatepost up`` finds them anyway."""
    from worker.queue import is_in_process

    if not is_in_process(runtime.settings):
        runtime.doorbell.ring_mails(mail_ids)


def print_json(value: Any) -> None:
    """Print a value as JSON, indented for people."""
    click.echo(json.dumps(json.loads(canonical(value)), indent=2, ensure_ascii=False))


def report(as_json: bool, text: str, **values: Any) -> None:
    """Say what was done, or would be: a line for people, or the same as values."""
    print_json(values) if as_json else click.echo(text)


def values_text(values: Mapping[str, Any]) -> str:
    """Return facts as a line for people: ``balance_due=12.50, pms_lockout=true``; a dash for none."""
    words = {True: "true", False: "false", None: "none"}
    told = (
        (name, words[value] if value is None or isinstance(value, bool) else value) for name, value in values.items()
    )
    return ", ".join(f"{name}={value}" for name, value in told) or "-"


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
    """Print rows as aligned columns; ``empty`` when there are none."""
    found = [[_cell(row.get(name)) for name in columns] for row in rows]
    if not found:
        click.echo(empty)
        return
    heads = [name.replace("_", " ") for name in columns]
    widths = [max(len(line[i]) for line in [heads, *found]) for i in range(len(columns))]
    for line in [heads, *found]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def actor() -> str:
    """Return who acts, for the audit: the user of the system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def read_input(path: str) -> bytes:
    """Return the bytes of a file, or of standard input for ``-``."""
    return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
