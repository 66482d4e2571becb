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

COMMANDS = {
    "audit": ("keeping", "List who did what, newest first."),
    "config": ("setup", "Check or show the configuration."),
    "db": ("setup", "Upgrade, check, back up or restore the database."),
    "demo": ("demo", "Show the whole line with real mails over real SMTP; needs no Redis, no root."),
    "doctor": ("setup", "Look whether this place can run Gatepost: store, broker, unit maps, rules, disk, trust."),
    "erase": ("keeping", "Remove what is kept of a resident: mails, readings, ids, answers."),
    "events": ("events", "Look at events, and move those that are held."),
    "explain": ("reading", "Show how a mail is read: a FILE (with --mailbox), or the ID of a stored mail."),
    "ingest": (
        "sending",
        "Keep mails without SMTP: a file, a folder of *.eml, an mbox, or one mail on standard input (-).",
    ),
    "init": ("setup", "Ask five questions and write a first configuration file."),
    "issues": ("mending", "Look at what is to be mended: many failures of one cause, as one thing."),
    "mail": ("look", "Look at mails, and move those that are held."),
    "parse": ("reading", "Read one mail and print what comes of it."),
    "pause": ("acting", "Pause a mailbox, rule, pack, destination or everything on every process."),
    "purge": ("keeping", "Let go of what is past its time by [retention]."),
    "receive": ("processes", "Receive mail (one of several processes)."),
    "reconcile": (
        "reconciling",
        "Compare a rent roll with what we applied: a CSV file, a mail, or the newest rent-roll mail of a mailbox.",
    ),
    "replay": (
        "mending",
        "Read stored mails again under the rules of now (parse), or state again what is wanted (apply).",
    ),
    "resume": ("acting", "End a pause; what waits goes on at the next sweep."),
    "rules": ("rulework", "Check, test, list and publish rule packs."),
    "send": ("sending", "Send mails over SMTP, as a PMS does."),
    "serve": ("processes", "Serve the web port (one of several processes)."),
    "standin": ("standin", "Run a server that behaves like an API that Gatepost writes to, with faults on request."),
    "sweep": ("processes", "Ring for what is due (one of several processes)."),
    "undo": ("mending", "Take events back, as if they had never been told."),
    "units": ("look", "Look at units, and after unit maps."),
    "up": ("processes", "Run everything in one process: SMTP, worker, sweeper, web, local units."),
    "wait": ("acting", "Wait until every mail is read and every unit that is due has been brought up to date."),
    "why": (
        "look",
        "Say why a unit is as it is, or was: each fact with its mail, line, rule, call, key, answer and person.",
    ),
    "work": ("processes", "Read mails and apply events (one of several processes; a Celery prefork worker)."),
}
"""Module and short help by command: the help of them all is shown without importing any."""


_SHORT = ("parse", "explain")
"""Commands that end before there is anything to collect."""


class _Lazy(click.Group):
    """Imports a command's module only when the command is called: ``gatepost parse`` has to be quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"worker.cli.{COMMANDS[cmd_name][0]}")
        if cmd_name not in _SHORT:
            gc.enable()
        return getattr(module, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help) for name, (_, short_help) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from worker.settings import nearest

            raise click.UsageError(error.message + nearest(args[0], COMMANDS), ctx) from error


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--config", type=click.Path(), envvar="GATEPOST_CONFIG", help="The configuration file.")
@click.version_option(__version__, prog_name="gatepost")
@click.pass_context
def main(ctx: click.Context, config: str | None) -> None:
    """Mails of property-management systems become unit events, applied exactly once and in order."""
    ctx.obj = config
