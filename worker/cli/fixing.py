"""``rules fix``: the further label that a held mail needs, shown with what it changes, and written with ``--go``."""

import datetime as dt
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from parsers import Mailbox, RuleSet, load_rules_text, parse_mail
from worker.cli.common import NOT_DONE, command, open_runtime, print_json, read_input
from worker.cli.rulesets import compare, print_report
from worker.configuration import read_rule_files
from worker.fixtures import SHIPPED_RULES, find_fixtures, fixture_mailbox, folders_beside, read_fixture
from worker.mendrule import NotMended, labels_of, overlay, proposed, rule_of, told_by_value, with_label, with_overlaid
from worker.settings import Settings

SINCE = dt.timedelta(days=90)


@click.command("fix")
@click.argument("what")
@click.option("--label", "named", multiple=True, help="FIELD=LABEL: the label that a field has in the mail.")
@click.option("--fixtures", type=click.Path(path_type=Path), help="The folder of fixtures; the one beside the rules.")
@click.option("--go", is_flag=True, help="Write it; without, only say what would be written.")
@command()
def rules_fix(
    settings: Settings, what: str, named: tuple[str, ...], fixtures: Path | None, go: bool, as_json: bool
) -> None:
    """Propose the label that a held mail (a FILE, or the ID of a stored one) has in place of the rule's.

    A rule of one's own is edited, its comments stay. A pack that ships is extended by a file beside one's own. Shown
    are the lines that change, how the mail would be read, every fixture that would be read otherwise, and for a stored
    mail what the stored mails of the last 90 days come to.
    """
    texts = read_rule_files(settings.rules.paths)
    before = load_rules_text(texts)
    stored = None if what == "-" or Path(what).is_file() else open_runtime(settings)
    raw, box = _mail_of(settings, stored, what, before)
    reading = parse_mail(raw, before, mailbox=box)
    rule = rule_of(reading, before)
    pack, given = before.packs[rule.pack], dict(_pair(one) for one in named)
    by_value = told_by_value(reading, rule, pack, given)
    labels = proposed(reading, rule, given, by_value)
    files = {Path(file).resolve(): file for file in texts}
    if Path(pack.file).resolve().is_relative_to(SHIPPED_RULES):
        told = {labels_of(rule, field)[0]: label for field, label in labels.items()}
        if pack.extended_in:
            file = pack.extended_in
            text = with_overlaid(texts[file], file, told)
        else:
            file, text = str(_own_folder(settings) / f"{pack.name}-labels.yaml"), overlay(pack.name, told)
    else:
        file = files[Path(pack.file).resolve()]
        text = texts[file]
        for field, label in labels.items():
            text = with_label(text, file, rule.id, field, label)
    after = load_rules_text({**texts, file: text})
    now = parse_mail(raw, after, mailbox=box)
    report = compare(stored, after, SINCE, as_json=as_json) if stored else None
    changed = _changed([fixtures] if fixtures else folders_beside(settings.rules.paths), before, after)
    diff = "".join(
        difflib.unified_diff(texts.get(file, "").splitlines(True), text.splitlines(True), file, f"{file} (mended)", n=1)
    )
    if go:
        Path(file).write_text(text, "utf-8")
    if as_json:
        tested = report.to_json() if report else None
        found = {"labels": labels, "diff": diff, "outcome": now.outcome, "fixtures": changed, "backtest": tested}
        found["by_value"] = list(by_value)
        print_json({"done": go, "file": file, **found})
    else:
        click.echo(diff, nl=False)
        for field, label in by_value.items():
            click.echo(f"`{label}` is proposed for `{field}` by its value, not its wording: look whether it means that")
        click.echo(f"this mail: {reading.outcome}, then {now.outcome}" + (f": {now.reason}" if now.reason else ""))
        for path in changed:
            click.echo(f"fixture read otherwise: {path}")
        click.echo(f"{len(changed)} fixtures read otherwise")
        if report is not None:
            print_report(report)
        click.echo(f"wrote {file}" if go else "write it with --go, then gatepost rules publish")
    if now.outcome != "events":
        raise click.exceptions.Exit(NOT_DONE)


def _pair(text: str) -> tuple[str, str]:
    field, sign, label = text.partition("=")
    if not sign or not field.strip() or not label.strip():
        raise click.UsageError(f"--label {text}: write it as FIELD=LABEL, such as unit='Storage Space'")
    return field.strip(), label.strip()


def _mail_of(settings: Settings, stored: Any, what: str, rules: RuleSet) -> tuple[bytes, Mailbox]:
    """Return the bytes of a mail and the mailbox that reads it: of a file, that of a fixture."""
    if stored is None:
        return read_input(what), fixture_mailbox(min(rules.packs), {})
    from worker.views import raw_mail, show_mail

    address = show_mail(stored.db, what)["mailbox"]
    if address not in settings.mailboxes:
        raise NotMended(f"its mailbox {address} is configured no more: give the mail as a file")
    return raw_mail(stored.db, what), settings.mailboxes[address].reader()


def _own_folder(settings: Settings) -> Path:
    """Return the last folder of rules that is not the shipped one.

    Raises:
        NotMended: there is none.
    """
    own = [path for path in settings.rules.paths if path.is_dir() and path.resolve() != SHIPPED_RULES]
    if not own:
        raise NotMended(
            "the pack ships with Gatepost and is not yours to edit: add a folder of your own to [rules] paths, "
            "and a file that extends the pack is written there"
        )
    return own[-1]


def _changed(folders: Sequence[Path], before: RuleSet, after: RuleSet) -> list[str]:
    """Return the fixtures of which two rule sets say otherwise what happened; reasons name labels, and may differ."""

    def told(path: Path, rules: RuleSet) -> dict[str, Any]:
        said = read_fixture(path, rules)[0].to_json()
        return {name: said[name] for name in ("outcome", "rule", "events")}

    return [
        str(path) for folder in folders for path in find_fixtures(folder) if told(path, before) != told(path, after)
    ]
