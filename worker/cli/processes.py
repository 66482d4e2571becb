"""``up``, ``receive``, ``work``, ``sweep``, ``serve``: the processes."""

import datetime as dt
import os
import time
from collections.abc import Callable
from pathlib import Path

import click

from worker.cli.common import command
from worker.settings import Settings

_ready_file = click.option(
    "--ready-file", type=click.Path(path_type=Path), help="Write where it listens, once it does (JSON)."
)


def _loop() -> Callable[[], object]:
    """Return uvloop's event loop where it is installed."""
    try:
        import uvloop
    except ImportError:
        import asyncio

        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _run(main: object) -> None:
    import asyncio

    with asyncio.Runner(loop_factory=_loop()) as runner:  # type: ignore[arg-type]
        runner.run(main)  # type: ignore[arg-type]


@click.command()
@_ready_file
@click.option("--dev", is_flag=True, help="Publish rules as soon as they are saved.")
@click.option("--now", "story_now", hidden=True, help="Let the clock begin at this instant (the demo's story).")
@command(as_json=False)
def up(settings: Settings, ready_file: Path | None, dev: bool, story_now: str | None) -> None:
    """Run everything in one process: SMTP, worker, sweeper, web, local units."""
    from worker import log, service
    from worker.runtime import utc_now

    log.configure()
    if dev:
        os.environ["GATEPOST_RULES__PUBLISH"] = "on_save"  # what a reload reads, too
        settings = settings.model_copy(update={"rules": settings.rules.model_copy(update={"publish": "on_save"})})
    clock = _clock_from(story_now) if story_now else utc_now
    _run(service.run_up(settings, ready_file=ready_file, clock=clock, say=lambda line: click.echo(line)))


def _clock_from(text: str) -> Callable[[], dt.datetime]:
    begin, started = dt.datetime.fromisoformat(text), time.monotonic()
    return lambda: begin + dt.timedelta(seconds=time.monotonic() - started)


@click.command()
@_ready_file
@command(as_json=False)
def receive(settings: Settings, ready_file: Path | None) -> None:
    """Receive mail (one of several processes)."""
    from worker import log, service

    log.configure()
    _run(service.run_receive(settings, ready_file=ready_file))


@click.command()
@command(as_json=False)
def work(settings: Settings) -> None:
    """Read mails and apply events (one of several processes; a Celery prefork worker)."""
    from worker import log, service

    log.configure()
    service.run_work(settings)


@click.command()
@command(as_json=False)
def sweep(settings: Settings) -> None:
    """Ring for what is due (one of several processes)."""
    from worker import log, service

    log.configure()
    _run(service.run_sweep(settings))


@click.command()
@_ready_file
@command(as_json=False)
def serve(settings: Settings, ready_file: Path | None) -> None:
    """Serve the web port (one of several processes)."""
    from worker import log, service

    log.configure()
    _run(service.run_serve(settings, ready_file=ready_file, say=lambda line: click.echo(line)))
