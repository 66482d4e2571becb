"""``mail to-fixture``: a mail becomes a fixture, with nobody in it where that is asked for."""

from pathlib import Path
from typing import Any

import click

from worker.cli.common import command, open_runtime, print_json, read_input
from worker.cli.rulework import rules_at, rules_option
from worker.settings import ConfigError, Settings


@click.command("to-fixture")
@click.argument("what")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The fixture to write: FOLDER/NN-name.eml.")
@click.option(
    "--redact", "is_redacted", is_flag=True, help="Put invented people, ids and amounts in place of real ones."
)
@click.option("--seed", default="", help="Of the invention: the same seed gives the same.")
@click.option("--shift-days", default=0, show_default=True, help="Move dates by so many days.")
@rules_option
@command()
def to_fixture(
    settings: Settings,
    what: str,
    out: Path,
    is_redacted: bool,
    seed: str,
    shift_days: int,
    paths: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Write a mail (a FILE, or the ID of a stored one) and how it is read as a fixture.

    With --redact the result is proven first: it is read as the mail was, up to what was replaced. Where it is not,
    nothing is written.
    """
    from worker.fixtures import accept_fixture, expectation_of, fixture_mailbox, mailbox_pack
    from worker.redact import redact

    if shift_days and not is_redacted:
        raise click.UsageError("--shift-days is for --redact")
    if out.suffix != ".eml":
        raise click.UsageError(f"--out {out}: a fixture is called NN-name.eml")
    if there := [str(path) for path in (out, expectation_of(out)) if path.exists()]:
        raise ConfigError(f"{there[0]} is there already: name another fixture")
    raw = _raw(settings, what)
    found = rules_at(settings, paths)
    unsure: tuple[tuple[int, str], ...] = ()
    removed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    if is_redacted:
        made = redact(
            raw, found, fixture_mailbox(mailbox_pack(out.parent, found), {}), seed=seed, shift_days=shift_days
        )
        raw, unsure, removed, left_out = made.raw, made.unsure, made.removed, made.left_out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(raw)
    accept_fixture(out, found)
    told: dict[str, Any] = {
        "file": str(out),
        "expected": str(expectation_of(out)),
        "redacted": is_redacted,
        "unsure": [{"line": number, "text": text} for number, text in unsure],
        "removed": list(removed),
        "left_out": list(left_out),
    }
    if as_json:
        print_json(told)
        return
    click.echo(f"wrote {out}\nwrote {expectation_of(out)}")
    for name in removed:
        click.echo(f"the content of the attached file {name} was removed")
    for told_of in left_out:
        click.echo(f"left out of the attached file {told_of}")
    for number, text in unsure:
        click.echo(f"look at line {number}: {text}")
    if not is_redacted:
        click.echo("it names whom the mail names: --redact before others see it")


def _raw(settings: Settings, what: str) -> bytes:
    if what == "-" or Path(what).is_file():
        return read_input(what)
    from worker.views import raw_mail

    return raw_mail(open_runtime(settings).db, what)
