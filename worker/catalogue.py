"""The catalogue of destinations: from the settings to what each one takes, how fast it may be asked, and its client.

A described API (``kind = "http"``) is a file: one that ships, by its name, or one's own, by its path.
"""

import datetime as dt
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from parsers import RuleSet
from parsers.errors import RuleError, RuleErrors
from worker import log
from worker.calls import Manners
from worker.capabilities import Lack, unsupported
from worker.configuration import SHIPPED_RULES
from worker.destinations.http import HttpDestination
from worker.destinations.profiles import KISS_V2, PROFILES
from worker.destinations.spec import ApiSpec, needed_columns
from worker.destinations.specfile import read_spec
from worker.directory import column_readers
from worker.settings import ConfigError, Destination, Settings, nearest

SHIPPED = SHIPPED_RULES / "destinations"


def shipped_apis() -> tuple[str, ...]:
    """Return the names of the files that ship."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_api(api: str) -> ApiSpec:
    """Return the spec of a shipped name or of a path.

    Raises:
        RuleErrors: the file is broken; says file, line and column.
        ConfigError: there is no such file; names the nearest.
    """
    is_path = "/" in api or api.endswith((".yaml", ".yml"))
    path = Path(api) if is_path else SHIPPED / f"{api}.yaml"
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise RuleErrors([RuleError(file=str(path), line=1, column=1, message="not UTF-8")]) from error
    except OSError as error:
        if is_path:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        known = shipped_apis()
        hint = f"known: {', '.join(known)}; a file of your own is named by its path"
        raise ConfigError(f"no API `{api}` ships{nearest(api, known)}; {hint}") from error
    return _read(text, str(path))


@lru_cache(maxsize=32)
def _read(text: str, file: str) -> ApiSpec:
    return read_spec(text, file)


def manners_of(chosen: Destination) -> Manners:
    """Return what a destination takes."""
    if chosen.kind == "http":
        return load_api(chosen.api).manners
    return PROFILES[chosen.profile].manners if chosen.kind == "kiss" else KISS_V2.manners


def requests_per_minute(chosen: Destination) -> int:
    """Return how often a destination may be asked in a minute; 0: as often as one likes."""
    if chosen.requests_per_minute is not None:
        return chosen.requests_per_minute
    return load_api(chosen.api).requests_per_minute if chosen.kind == "http" else 0


def http_destination(
    name: str,
    chosen: Destination,
    *,
    clock: Callable[[], dt.datetime],
    map_file: Callable[[str], str] = lambda _location: "",
) -> HttpDestination:
    """Return the client of a described API. ``map_file``: the unit map of a location; empty when it has none.

    Raises:
        RuleErrors: its file is broken.
        ConfigError: there is no such file, or the credentials are not of the kind that it needs.
    """
    spec = load_api(chosen.api)
    if (spec.oauth is not None) != (chosen.client_id_env is not None):
        needed = "token_env or token_file" if spec.oauth is None else "client_id_env and client_secret_env or _file"
        raise ConfigError(f"destination {name}: the API {spec.name} needs {needed}")
    return HttpDestination(
        name=name,
        spec=spec,
        base_url=chosen.base_url,
        clock=clock,
        token=secret_reader(name, chosen.token_env, chosen.token_file),
        client_id=secret_reader(name, chosen.client_id_env, None),
        client_secret=secret_reader(name, chosen.client_secret_env, chosen.client_secret_file),
        ignore_unknown_fields=chosen.ignore_unknown_fields,
        map_file=map_file,
        window=chosen.window,
        timeout_s=chosen.timeout_s,
    )


def secret_reader(name: str, variable: str | None, file: Path | None) -> Callable[[], str]:
    """Return the function that reads a destination's secret, anew each time; empty when there is none.

    ``name``: the destination, for the log. ``variable`` wins over ``file``; with neither it is always empty.
    """

    def read() -> str:
        if variable is None and file is None:
            return ""
        if variable is not None:
            secret, where = os.environ.get(variable, "").strip(), f"environment variable {variable}"
        else:
            path = file or Path()
            secret, where = path.read_text("utf-8").strip() if path.is_file() else "", f"file {path}"
        if not secret:
            log.trouble(event="token_missing", destination=name, where=where)
        return secret

    return read


# -- what rules can make, against what destinations take -------------------------------------------------------------


def lacks(settings: Settings, rules: RuleSet) -> Mapping[str, tuple[Lack, ...]]:
    """Return by mailbox what the rules of its packs can make and its destination does not take.

    Raises:
        RuleErrors, ConfigError: the file of a described API cannot be used.
    """
    manners = {name: manners_of(chosen) for name, chosen in settings.destination.items()}
    return {
        mailbox.address: tuple(unsupported(rules, mailbox.packs, manners[mailbox.destination]))
        for mailbox in settings.mailbox
    }


def complaints(settings: Settings, rules: RuleSet) -> list[str]:
    """Return a line for each thing that a mailbox's rules can make and that its destination refuses."""
    lines: list[str] = []
    for address, found in lacks(settings, rules).items():
        name = settings.mailboxes[address].destination
        if not settings.destination[name].ignore_unknown_fields:
            lines += [_complaint(address, lack, name) for lack in found]
    return lines


def missing_columns(settings: Settings) -> list[str]:
    """Return a line for each column that an API cannot do without and that a mailbox's unit map lacks."""
    lines: list[str] = []
    for mailbox, reader in zip(settings.mailbox, column_readers(settings.mailbox), strict=True):
        chosen = settings.destination[mailbox.destination]
        if chosen.kind != "http":
            continue
        spec, known = load_api(chosen.api), reader.columns
        verbs: dict[str, list[str]] = {}
        for verb in sorted(spec.calls):
            for name in needed_columns(spec, verb):
                if name not in known:
                    verbs.setdefault(name, []).append(verb)
        lines += [
            f"mailbox {mailbox.address}: its unit map has no column `{name}`{nearest(name, known)}, which {spec.name} "
            f"needs for {', '.join(verbs[name])}: such calls will be rejected"
            for name in verbs
        ]
    return lines


def drops(settings: Settings, rules: RuleSet) -> list[str]:
    """Return a line for each thing that is dropped and recorded because the destination does not take it."""
    return [
        f"mailbox {address}: rule {lack.pack}/{lack.rule} makes `{lack.name}`, which the destination `{name}` drops"
        for address, found in lacks(settings, rules).items()
        for name in (settings.mailboxes[address].destination,)
        if settings.destination[name].ignore_unknown_fields
        for lack in found
    ]


def _complaint(address: str, lack: Lack, destination: str) -> str:
    return (
        f"mailbox {address}: rule {lack.pack}/{lack.rule} makes `{lack.name}`, which the destination `{destination}` "
        f"does not take; choose another destination, or drop and record it: [destination.{destination}] "
        "ignore_unknown_fields = true"
    )


def missing_packs(settings: Settings, rules: RuleSet) -> list[str]:
    """Return a line for each pack that a mailbox names and that is not there."""
    return [
        f"mailbox {mailbox.address} names the pack `{name}`{nearest(name, rules.packs)}, and there is none"
        for mailbox in settings.mailbox
        for name in mailbox.packs
        if name not in rules.packs
    ]


def check_capabilities(settings: Settings, rules: RuleSet) -> None:
    """Refuse a configuration whose mailboxes make what their destinations do not take.

    Raises:
        ConfigError: names mailbox, rule, verb or fact, destination, and what to do; a line for each.
        RuleErrors: the file of a described API is broken.
    """
    if found := complaints(settings, rules):
        raise ConfigError("\n".join(found))
