"""The command line: ``gatepost``. Commands are thin; what they do lives in plain functions.

Exit codes: 0 done; 1 not done, or nothing of that name; 2 wrong usage, configuration or rules; ``parse`` has more (its
own help lists them).
"""

import gc

gc.disable()  # while commands are imported: collecting then finds nothing and costs a third of the time

import importlib  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else it reads the entry points of all that is installed

try:
    import click
except ModuleNotFoundError:
    sys.exit("gatepost: this is the parser library alone; for the service: pip install 'gatepost[worker]'")

from worker import __version__  # noqa: E402

_COMMANDS = {
    "audit": "keeping",
    "config": "setup",
    "db": "setup",
    "demo": "demo",
    "doctor": "setup",
    "events": "events",
    "erase": "keeping",
    "explain": "reading",
    "ingest": "sending",
    "init": "setup",
    "issues": "mending",
    "mail": "look",
    "parse": "reading",
    "pause": "acting",
    "purge": "keeping",
    "receive": "processes",
    "reconcile": "reconciling",
    "replay": "mending",
    "resume": "acting",
    "rules": "rulework",
    "send": "sending",
    "serve": "processes",
    "standin": "standin",
    "sweep": "processes",
    "undo": "mending",
    "units": "look",
    "up": "processes",
    "wait": "acting",
    "why": "look",
    "work": "processes",
}


_SHORT = ("parse", "explain")
"""Commands that end before there is anything to collect."""


class _Lazy(click.Group):
    """Imports a command's module only when the command is called: ``gatepost parse`` has to be quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"worker.cli.{_COMMANDS[cmd_name]}")
        if cmd_name not in _SHORT:
            gc.enable()
        return getattr(module, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from worker.settings import nearest

            raise click.UsageError(error.message + nearest(args[0], _COMMANDS), ctx) from error


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--config", type=click.Path(), envvar="GATEPOST_CONFIG", help="The configuration file.")
@click.version_option(__version__, prog_name="gatepost")
@click.pass_context
def main(ctx: click.Context, config: str | None) -> None:
    """Mails of property-management systems become unit events, applied exactly once and in order."""
    ctx.obj = config
