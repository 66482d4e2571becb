"""``rules new``: from captured mails to a rule, a fixture for each, and their expectations."""

import re
from pathlib import Path
from typing import Any

import click

from parsers import load_rules_text, parse_mail, read_mail
from parsers.explain import render
from worker.cli.common import NOT_DONE, print_json, told
from worker.draft import Draft, draft_rule
from worker.fixtures import accept_fixture, expectation_of, fixture_mailbox, mailbox_pack
from worker.lexicon import Happening
from worker.sampled import NotDrafted

_SET = re.compile(r"([a-z_][a-z0-9_]*)=(.+)")


@click.command("new")
@click.argument("samples", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--set", "marks", multiple=True, help="NAME=VALUE: what a field's value is in one of the samples.")
@click.option("--event", type=click.Choice([str(one) for one in Happening]), help="What the mails tell of.")
@click.option("--pack", help="What the pack is called; the sender's name without it.")
@click.option("--out", type=click.Path(path_type=Path), help="A repository of rules to write it into.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rules_new(
    samples: tuple[Path, ...],
    marks: tuple[str, ...],
    event: str | None,
    pack: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Draft a rule from SAMPLES: captured mails of one kind, one or more, better two.

    Without --out the draft is printed. With it rule, fixtures and expectations are written there.
    """
    with told():
        mails = [read_mail(path.read_bytes()) for path in samples]
        name = pack or re.sub(r"[^a-z0-9-]", "", (mails[0].from_domain or "own").split(".")[-2:][0])
        draft = draft_rule(mails, name, _marked(marks), event=Happening(event) if event else None)
        rules = load_rules_text({f"{name}.yaml": draft.text})
        mailbox = fixture_mailbox(mailbox_pack(Path(name), rules), {})
        readings = [parse_mail(path.read_bytes(), rules, mailbox=mailbox) for path in samples]
        files = _write(out, draft, samples) if out else []
    outcomes = [{"file": str(path), "outcome": str(one.outcome)} for path, one in zip(samples, readings, strict=True)]
    is_good = all(one.outcome in ("events", "ignored") for one in readings)
    if as_json:
        told_now: dict[str, Any] = {"pack": name, "rule": draft.rule, "text": draft.text, "doubts": list(draft.doubts)}
        print_json({**told_now, "samples": outcomes, "files": [str(path) for path in files]})
    else:
        for path in files:
            click.echo(f"wrote {path}")
        if not out:
            click.echo(draft.text, nl=False)
        for one in outcomes:
            click.echo(f"{one['outcome']:<11} {one['file']}", err=not out)
        for reading in readings:
            if reading.outcome not in ("events", "ignored"):
                click.echo(render(reading), err=True)
        for doubt in draft.doubts:
            click.echo(f"not sure: {doubt}", err=True)
    if not is_good:
        raise click.exceptions.Exit(NOT_DONE)


def _marked(marks: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for mark in marks:
        match = _SET.fullmatch(mark)
        if match is None:
            raise NotDrafted(f"--set {mark}: write it as NAME=VALUE, such as unit=B204")
        found[match[1]] = match[2].strip()
    return found


def _write(folder: Path, draft: Draft, samples: tuple[Path, ...]) -> list[Path]:
    """Write the rule, the samples as fixtures, and how they are read; return the files."""
    pack = folder / "rules" / f"{draft.pack}.yaml"
    mails = {folder / "fixtures" / draft.pack / f"{n:02}-{draft.rule}.eml": path for n, path in enumerate(samples, 1)}
    for path in (pack, *mails, *map(expectation_of, mails)):
        if path.exists():
            raise NotDrafted(f"{path} is there already: name another folder with --out, or another --pack")
    pack.parent.mkdir(parents=True, exist_ok=True)
    pack.write_text(draft.text, "utf-8")
    rules = load_rules_text({str(pack): draft.text})
    for path, sample in mails.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample.read_bytes())
        accept_fixture(path, rules)
    return [pack, *(file for path in mails for file in (path, expectation_of(path)))]
