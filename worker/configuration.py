"""Read the configuration: one TOML file, ``GATEPOST_*`` variables over it, and every mistake named.

A variable is ``GATEPOST_<SECTION>__<KEY>`` (``GATEPOST_STORE__URL``). Without a file the demo's own configuration
holds: one mailbox for each shipped pack.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from worker.settings import (
    WITHOUT_MAPS,
    ConfigError,
    Destination,
    Mailbox,
    PackUse,
    Section,
    Settings,
    Trust,
    Webhook,
    nearest,
)

SHIPPED_RULES = Path(__file__).resolve().parent.parent / "rules"
OTHER_VARIABLES = ("GATEPOST_CONFIG", "GATEPOST_UNITS_TOKEN", "GATEPOST_OPS_TOKEN")


def load_settings(path: Path | None = None, *, environ: Mapping[str, str] | None = None, maps: bool = True) -> Settings:
    """Return the checked configuration.

    ``path`` None means ``GATEPOST_CONFIG``, else ``gatepost.toml`` in the current folder where there is one, else
    the demo's own configuration. ``maps`` False leaves the unit maps unread, for the commands that mend them.

    Raises:
        ConfigError: for an unreadable file, an unknown key or variable, or a value that does not fit.
    """
    environ = os.environ if environ is None else environ
    if path is None and environ.get("GATEPOST_CONFIG"):
        path = Path(environ["GATEPOST_CONFIG"])
    if path is None and Path("gatepost.toml").is_file():
        path = Path("gatepost.toml")
    values = _read_files(path) if path else {}
    _lay_over(values, environ)
    _check_tables(values, path)
    defaults = values.pop("mailbox_defaults", {})
    values.setdefault("rules", {}).setdefault("paths", [str(SHIPPED_RULES)])
    paths = tuple(Path(item) for item in values["rules"]["paths"])
    if "mailbox" in values:
        values["mailbox"] = [{**defaults, **item} for item in values["mailbox"]]
    else:
        values["mailbox"] = [{**item, **defaults} for item in demo_mailboxes(paths)]
        values["rules"].setdefault("publish", "on_save")
    try:
        return Settings.model_validate(values, context={WITHOUT_MAPS: not maps})
    except ValidationError as error:
        raise ConfigError(_tell(error, path)) from error


def demo_mailboxes(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return one mailbox for each pack file below ``paths``: ``sitelink@demo.test`` at location ``SITELINK``."""
    files = sorted(file for path in paths for file in ([path] if path.is_file() else path.glob("*.yaml")))
    return [
        {
            "address": f"{file.stem}@demo.test",
            "location": file.stem.upper(),
            "company": "demo",
            "pms": [file.stem],
            "trust": [{"network": "127.0.0.0/8"}, {"network": "::1/128"}],
        }
        for file in files
    ]


def _check_tables(values: dict[str, Any], path: Path | None) -> None:
    """Refuse what has the wrong shape as a whole, before single keys are looked at."""
    for name, value in values.items():
        if name in ("mailbox", "webhook"):
            if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
                raise ConfigError(f"{path}: a {name} is written [[{name}]], with two brackets")
        elif not isinstance(value, dict):
            raise ConfigError(f"{path}: `{name}` must be a table: [{name}]")


def read_rule_files(paths: Iterable[Path]) -> dict[str, str]:
    """Return the text of every pack file by its path; of two files with one name the later path's wins."""
    found: dict[str, Path] = {}
    for path in paths:
        for file in [path] if path.is_file() else sorted(path.glob("*.yaml")):
            found[file.name] = file
    return {str(file): file.read_text("utf-8") for file in found.values()}


def _read_files(path: Path) -> dict[str, Any]:
    values = _read_toml(path)
    patterns = values.pop("include", [])
    if not isinstance(patterns, list) or not all(isinstance(item, str) and item[:1] != "/" for item in patterns):
        raise ConfigError(f'{path}: include is a list of patterns beside this file, such as ["gatepost.d/*.toml"]')
    for pattern in patterns:
        for file in sorted(path.parent.glob(pattern)):
            _merge(values, _read_toml(file))
    rules = values.get("rules")
    if isinstance(rules, dict) and isinstance(rules.get("paths"), list):
        rules["paths"] = [str(path.parent / item) for item in rules["paths"]]
    return values


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; write one with `gatepost init`") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    _place_maps(values, path)
    return values


def _place_maps(values: dict[str, Any], path: Path) -> None:
    """Take the unit maps of a file as relative to that file."""
    boxes = values.get("mailbox")
    for table in [values.get("mailbox_defaults"), *(boxes if isinstance(boxes, list) else ())]:
        if isinstance(table, dict) and isinstance(table.get("unit_map"), str):
            table["unit_map"] = str(path.parent / table["unit_map"])


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        elif isinstance(value, list) and isinstance(into.get(name), list):
            into[name] = [*into[name], *value]
        else:
            into[name] = value


def _lay_over(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put ``GATEPOST_SECTION__KEY`` variables over the file's values."""
    known = {
        f"GATEPOST_{section}__{key}".upper(): (section, key)
        for section, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        for key in field.annotation.model_fields
    }
    for name in sorted(environ):
        if not name.startswith("GATEPOST_") or name in OTHER_VARIABLES or name.startswith("GATEPOST_TOKEN_"):
            continue
        if name not in known:
            raise ConfigError(
                f"environment: {name} is not a setting{nearest(name, [*known, *OTHER_VARIABLES])}; "
                "`gatepost config show` lists them"
            )
        section, key = known[name]
        many = key in ("listen", "paths") and section in ("smtp", "rules")
        values.setdefault(section, {})[key] = environ[name].split(",") if many else environ[name]


def _tell(error: ValidationError, path: Path | None) -> str:
    lines: list[str] = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            known = _known_keys(item["loc"])
            lines.append(f"unknown key `{where}`{nearest(str(item['loc'][-1]), known)}; known: {', '.join(known)}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines += [f"`{where}`: {line}" if where else line for line in message.splitlines()]
    return "\n".join(f"{path or 'configuration'}: {line}" for line in lines)


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that may stand where ``loc`` names an unknown one."""
    model: type[BaseModel] = Settings
    inside = {"mailbox": Mailbox, "destination": Destination, "pms": PackUse, "trust": Trust, "webhook": Webhook}
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        if str(part) in inside:
            model = inside[str(part)]
        elif field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    extra = ["include", "mailbox_defaults"] if model is Settings else []
    return sorted([field.alias or name for name, field in model.model_fields.items()] + extra)
