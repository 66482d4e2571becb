"""The page of the configuration says what the settings are."""

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic_core import PydanticUndefined

from tests.docs.pages import ROOT, blocks, read, rows, sections
from worker.configuration import load_settings
from worker.settings import Section, Settings

HEADINGS = {
    "mailbox": "[[mailbox]]",
    "destination": "[destination.NAME]",
    "pms": "pms entries",
    "trust": "trust entries",
    "webhook": "[[webhook]]",
    "reconcile": "[[reconcile]]",
}


def _section_in(annotation: Any) -> type[Section] | None:
    """Return the section that an annotation is, or holds."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part))), None)


def _walk(model: type[Section] = Settings) -> dict[str, type[Section]]:
    """Return every section below a model by its heading on the page."""
    found: dict[str, type[Section]] = {}
    for name, field in model.model_fields.items():
        section = _section_in(field.annotation)
        if section is not None:
            found[HEADINGS.get(name, f"[{name}]")] = section
            found.update(_walk(section))
    return found


SECTIONS = _walk()
PARTS = sections(read("configuration.md"))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _documented_default(cell: str) -> Any:
    if cell in ("required", "not set"):
        return {"required": PydanticUndefined, "not set": None}[cell]
    return tomllib.loads(f"value = {cell.strip('`')}")["value"]


def test_the_walk_finds_the_settings() -> None:
    """A walk that finds nothing fails."""
    assert {"[store]", "[smtp]", "[[mailbox]]", "[destination.NAME]", "trust entries", "pms entries"} <= set(SECTIONS)
    assert len(SECTIONS) == 16


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_is_documented_with_its_default(heading: str) -> None:
    """The keys on the page are those of the settings, no more and no fewer, each with its real default."""
    fields = {field.alias or name: field for name, field in SECTIONS[heading].model_fields.items()}
    told = {cells[0].strip("`"): cells[1] for cells in rows(PARTS[heading])}
    assert set(fields) == set(told)
    for name, field in fields.items():
        assert _plain(field.default) == _documented_default(told[name]), f"{heading} {name}"


@pytest.mark.parametrize("heading", [head for head in SECTIONS if head.startswith("[") and head.islower()])
def test_every_variable_is_documented_and_works(heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key of a plain section names the variable that sets it; a section without variables names none."""
    monkeypatch.chdir(tmp_path)
    section = heading.strip("[]")
    if heading.startswith("[["):
        assert "GATEPOST_" not in PARTS[heading]
        return
    for cells in rows(PARTS[heading]):
        key, variable = cells[0].strip("`"), cells[2].strip("`")
        assert variable == f"GATEPOST_{section}__{key}".upper()
        default = getattr(SECTIONS[heading].model_validate({}), key)
        text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        if key == "probation":  # not set by default
            text, default = "7", 7
        chosen = load_settings(environ={variable: str(ROOT / "rules") if key in ("spool_dir", "paths") else text})
        if text not in ("None", ""):
            assert getattr(getattr(chosen, section), key) == default


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.page.stem)
def test_every_example_of_a_configuration_loads(block: Any, tmp_path: Path) -> None:
    """What a reader copies from a page is a configuration that loads."""
    file = tmp_path / "gatepost.toml"
    file.write_text(block.text, "utf-8")
    assert load_settings(file, environ={}).mailbox


def test_there_are_examples() -> None:
    """A walk that finds nothing fails."""
    assert blocks("toml")


def test_the_default_configuration_is_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file the demo's mailboxes hold, one for each shipped pack."""
    monkeypatch.chdir(tmp_path)
    settings = load_settings(environ={})
    page = PARTS["The default configuration"]
    assert set(settings.mailboxes) == {f"{path.stem}@demo.test" for path in (ROOT / "rules").glob("*.yaml")}
    assert set(re.findall(r"`(\w+@demo\.test)`", page)) == {"sitelink@demo.test", "pmsevent@demo.test"}
    for mailbox in settings.mailboxes.values():
        assert [str(entry.network) for entry in mailbox.trust] == ["127.0.0.0/8", "::1/128"]
        assert (mailbox.company, mailbox.location, mailbox.destination) == ("demo", mailbox.packs[0].upper(), "local")
    assert settings.rules.publish == "on_save"
