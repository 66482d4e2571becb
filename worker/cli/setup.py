"""``init``, ``config``, ``db``, ``doctor``: set up, and see whether all is well."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from worker.cli.common import DONE, NOT_DONE, command, open_runtime, print_json, told
from worker.cli.keeping import db_backup, db_restore
from worker.settings import ConfigError, Settings

_TEMPLATE = """\
# Gatepost: every key is explained in docs/configuration.md.
# Secrets come from the environment or from files, never from here.

[smtp]
listen = ["{listen}"]
hostname = "{domain}"

[rules]
paths = [{paths}]
publish = "manual"

[mailbox_defaults]
company = "{company}"
timezone = "{timezone}"
destination = "local"
mode = "apply"

[[mailbox]]
address = "{address}"
location = "{location}"
pms = ["{pack}"]
unit_id = "{{{{ location }}}}-{{{{ unit }}}}"
# Who may speak here. A network is right for a relay of your own; write its address.
trust = [{{network = "127.0.0.0/8"}}]
"""


@click.command()
@click.option("--file", "path", type=click.Path(path_type=Path), default=Path("gatepost.toml"), show_default=True)
@click.option("--company", prompt="Company (a short name)", default="acme")
@click.option("--location", prompt="Location code of the site", default="MAIN-ST")
@click.option("--timezone", prompt="Time zone of the site", default="America/Chicago")
@click.option("--pack", prompt="PMS (a rule pack: see `gatepost rules list`)", default="sitelink")
@click.option("--address", prompt="Address that the PMS will mail to", default="main-st@in.example.com")
def init(path: Path, company: str, location: str, timezone: str, pack: str, address: str) -> None:
    """Ask five questions and write a first configuration file."""
    from worker.configuration import SHIPPED_RULES, load_settings

    is_shipped = (SHIPPED_RULES / f"{pack}.yaml").is_file()
    with told():
        if path.exists():
            raise ConfigError(f"{path} is there already; edit it, or name another with --file")
        if not is_shipped:
            (path.resolve().parent / "rules").mkdir(exist_ok=True)
        text = _TEMPLATE.format(
            listen="127.0.0.1:8025",
            domain=address.rpartition("@")[2],
            paths=_rule_paths(path.resolve().parent),
            company=company,
            timezone=timezone,
            address=address,
            location=location,
            pack=pack,
        )
        path.write_text(text, "utf-8")
        try:
            load_settings(path, environ={})
        except ConfigError:
            path.unlink()
            raise
    click.echo(f"{path} is written. Next:")
    if not is_shipped:
        click.echo(f"  no pack `{pack}` ships: draft its rules from mails of one kind that you have captured")
        click.echo(f"  gatepost rules new a-mail.eml another.eml --pack {pack} --out {path.parent}")
    click.echo(f"  gatepost --config {path} up")
    click.echo(f"  gatepost --config {path} send a-mail.eml --to {address} --wait")


def _rule_paths(beside: Path) -> str:
    """Return the shipped packs, and a folder of the operator's own beside the file."""
    from worker.configuration import SHIPPED_RULES

    own = beside / "rules"
    paths = [f'"{SHIPPED_RULES}"']
    if own != SHIPPED_RULES and own.is_dir():
        paths.append('"rules"')
    return ", ".join(paths)


@click.group()
def config() -> None:
    """Check or show the configuration."""


@config.command("check")
@command()
def config_check(settings: Settings, as_json: bool) -> None:
    """Check the configuration: packs and columns are there, and each destination takes what its mailboxes make."""
    from worker.catalogue import complaints, drops, missing_columns, missing_packs
    from worker.cli.reading import lacking_columns, saved_rules

    rules = saved_rules(settings)
    packs = rules.packs
    missing = [f"{line}; known: {', '.join(packs)}" for line in missing_packs(settings, rules)]
    problems = [*missing, *lacking_columns(settings, rules), *complaints(settings, rules)]
    warnings = [*missing_columns(settings), *drops(settings, rules)]
    if as_json:
        print_json({"ok": not problems, "problems": problems, "warnings": warnings})
    else:
        for line in (*problems, *warnings):
            click.echo(f"gatepost: {line}", err=True)
        if not problems:
            click.echo(f"{len(settings.mailbox)} mailboxes, {len(packs)} packs: all is well")
    raise click.exceptions.Exit(2 if problems else DONE)


@config.command("show")
@command()
def config_show(settings: Settings, as_json: bool) -> None:
    """Show every setting as it holds now. Secrets are not among them."""
    values = settings.model_dump(mode="json", by_alias=True)
    values["store"]["url"] = _without_password(settings.store.url)
    values["guards"] = settings.guards_in_force.model_dump(mode="json")
    values["queue"]["broker"] = _without_password(settings.queue.broker)
    if as_json:
        print_json(values)
        return
    for line in _flat("", values):
        click.echo(line)


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    scheme, slashes, user = head.partition("://")
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{tail}" if at else url


def _flat(prefix: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, inner)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, inner in enumerate(value):
            yield from _flat(f"{prefix}[{index}]", inner)
    else:
        yield f"{prefix} = {value!r}"


@click.group()
def db() -> None:
    """Upgrade, check, back up or restore the database."""


@db.command("upgrade")
@command()
def db_upgrade(settings: Settings, as_json: bool) -> None:
    """Bring the tables up to the version of this code."""
    from worker.runtime import Runtime
    from worker.store import schema

    version = schema.upgrade(Runtime(settings).db)
    print_json({"version": version}) if as_json else click.echo(f"the database is at version {version}")


@db.command("check")
@command()
def db_check(settings: Settings, as_json: bool) -> None:
    """Check the tables' version, the durability settings, and that every mail is in exactly one state."""
    from worker.store import counts

    runtime = open_runtime(settings)
    found = runtime.db.check_durability()
    with runtime.db.read() as connection:
        faults = counts.check(connection)
        states = counts.by_state(connection, "mails")
    if as_json:
        print_json({"ok": not faults, "faults": faults, "settings": found, "mails": states})
    else:
        for name, value in found.items():
            click.echo(f"{name} = {value}")
        for line in faults:
            click.echo(f"gatepost: {line}", err=True)
        click.echo(f"{sum(states.values())} mails, {len(faults)} faults")
    raise click.exceptions.Exit(NOT_DONE if faults else DONE)


db.add_command(db_backup)
db.add_command(db_restore)


@click.command()
@command(maps=False)
def doctor(settings: Settings, as_json: bool) -> None:
    """Look whether this place can run Gatepost: store, broker, unit maps, rules, disk, trust."""
    checks = [_examined(name, check, settings) for name, check in _CHECKS.items()]
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            colour = {"ok": "green", "warn": "yellow", "bad": "red"}[check["result"]]
            click.echo(f"{click.style(check['result'].ljust(5), fg=colour)} {check['name']}: {check['detail']}")
    raise click.exceptions.Exit(NOT_DONE if any(check["result"] == "bad" for check in checks) else DONE)


def _examined(name: str, check: Any, settings: Settings) -> dict[str, str]:
    try:
        result, detail = check(settings)
    except Exception as error:  # noqa: BLE001  whatever a check meets is its finding
        result, detail = "bad", f"{type(error).__name__}: {error}"
    return {"name": name, "result": result, "detail": detail}


def _store(settings: Settings) -> tuple[str, str]:
    found = open_runtime(settings).db.check_durability()
    return "ok", f"{_without_password(settings.store.url)}, " + ", ".join(f"{k}={v}" for k, v in found.items())


def _sending(settings: Settings) -> tuple[str, str]:
    from worker.store import pauses

    runtime = open_runtime(settings)
    with runtime.db.read() as connection:
        stopped = pauses.everything_paused(connection, runtime.clock())
    return ("bad", stopped) if stopped else ("ok", "to every destination that is not paused")


def _broker(settings: Settings) -> tuple[str, str]:
    from worker.queue import Doorbell, is_in_process, make_app

    if is_in_process(settings):
        return "ok", "in this process (memory://)"
    if Doorbell(make_app(settings)).length() is None:
        return (
            "bad",
            f"{_without_password(settings.queue.broker)} cannot be reached; mail is kept, and read once it can",
        )
    return "ok", _without_password(settings.queue.broker)


def _maps(settings: Settings) -> tuple[str, str]:
    from worker import directory

    directory.check(settings.mailbox)
    files = dict.fromkeys(str(mailbox.unit_map) for mailbox in settings.mailbox if mailbox.unit_map)
    return "ok", ", ".join(files) or "no mailbox has one"


def _rules(settings: Settings) -> tuple[str, str]:
    from worker.cli.reading import saved_rules

    found = saved_rules(settings)
    return "ok", f"{', '.join(found.packs)} (set {found.id})"


def _disk(_settings: Settings) -> tuple[str, str]:
    free = shutil.disk_usage(".").free
    return ("ok" if free > 1 << 30 else "warn"), f"{free >> 20} MiB free"


def _trust(settings: Settings) -> tuple[str, str]:
    boxes = [box for box in settings.mailbox if not box.trust]
    if boxes:
        return "warn", f"{boxes[0].address} trusts nobody: all its mail will be held untrusted; set trust"
    unproven = [box.address for box in settings.mailbox for entry in box.trust if entry.dkim or entry.login]
    if unproven:
        return "warn", f"{unproven[0]} asks for DKIM or login, which are not evaluated yet: held untrusted"
    local = [box.address for box in settings.mailbox for entry in box.trust if (entry.network or "").startswith("127.")]
    if local and not settings.store.url.startswith("sqlite"):
        return "warn", f"{local[0]} trusts whatever comes from this machine; name your relay's network"
    return "ok", f"{len(settings.mailbox)} mailboxes"


_CHECKS = {
    "store": _store,
    "sending": _sending,
    "broker": _broker,
    "maps": _maps,
    "rules": _rules,
    "disk": _disk,
    "trust": _trust,
}
