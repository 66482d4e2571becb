"""``standin``: a server that behaves like an API that we write to."""

import csv
import datetime as dt
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from worker.cli.common import told
from worker.settings import ConfigError
from worker.standins import faults
from worker.standins.registry import STANDINS, Wish, load


def _reads(read: Callable[[str], Any]) -> Callable[..., Any]:
    """Return a click callback that reads an option's text, or each of several."""

    def callback(_ctx: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        try:
            return tuple(read(text) for text in value) if isinstance(value, tuple) else value and read(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return callback


@click.command()
@click.argument("product", type=click.Choice(sorted(STANDINS)))
@click.option("--profile", default="", help="The generation of the API; the first one by default.")
@click.option(
    "--fail", multiple=True, metavar="STATUS:SHARE", callback=_reads(faults.read_failure), help="Refuse, as 503:10%."
)
@click.option("--drop", default="0", metavar="SHARE", callback=_reads(faults.read_share), help="Do it, answer nothing.")
@click.option("--delay", default="0", metavar="TIME", callback=_reads(faults.read_seconds), help="Hold answers back.")
@click.option("--rate", default="", metavar="N/min", callback=_reads(faults.read_rate), help="Then answer 429.")
@click.option("--port", default=0, show_default=True, help="On 127.0.0.1; 0: any free one.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Write where it listens, once it does (JSON).")
@click.option("--token", default="", help="What callers must show; made up by default.")
@click.option("--units", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Units to begin with: CSV.")
@click.option("--seed", default=0, show_default=True, help="Of the chance that faults are drawn with.")
def standin(
    product: str,
    profile: str,
    fail: tuple[tuple[int, float], ...],
    drop: float,
    delay: float,
    rate: int | str,
    port: int,
    ready_file: Path | None,
    token: str,
    units: Path | None,
    seed: int,
) -> None:
    """Run a server that behaves like an API that Gatepost writes to, with faults on request."""
    from worker.standins import serve

    with told():
        try:
            chosen = faults.Faults(fail=fail, drop=drop, delay_s=delay, seed=seed)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        token = token or secrets.token_urlsafe(24)
        rows = _read_units(units) if units else ()
        made = load(product)(
            Wish(token=token, clock=_now, profile=profile, rows=rows, per_minute=int(rate or 0), seed=seed)
        )
        listener = serve.bind("127.0.0.1", port)
        root = f"http://127.0.0.1:{listener.getsockname()[1]}"
        url = root + made.base_path

        def ready() -> None:
            if ready_file:
                serve.announce(ready_file, url=url, token=token, root=root)
            click.echo(f"{product}  {url}\ntoken  {token}\nlog    {root}{faults.LOG_PATH}")

        try:
            serve.run(faults.with_faults(made, chosen, clock=_now), listener, ready=ready)
        finally:
            made.close()


def _read_units(path: Path) -> tuple[dict[str, str], ...]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return tuple({name: value or "" for name, value in row.items() if name} for row in csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is not a CSV file in UTF-8: {error}") from error


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
