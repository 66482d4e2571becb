"""``send`` (over SMTP, as a PMS does) and ``ingest`` (straight into the store, from files or a pipe)."""

import mailbox as mailbox_format
import smtplib
import sys
import time
from collections.abc import Iterator
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from worker.cli.common import NOT_DONE, command, open_runtime, print_json, read_input, ring
from worker.settings import Mailbox, Settings, split_endpoint

_FORWARDS: Final = {
    "gmail": "gmail-forward",
    "outlook": "outlook-forward",
    "apple": "apple-forward",
    "attached": "rfc822",
}
"""The dressing of each way to forward."""


class NotSent(Exception):
    """The server did not take a mail; the message is its reply."""


def to_crlf(raw: bytes) -> bytes:
    """Return a message with the line endings that SMTP wants."""
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def send_mail(server: str, raw: bytes, *, to: str, sender: str | None = None) -> str:
    """Send one mail over SMTP and return the reply to it.

    Raises:
        NotSent: no server listens, or it refused.
    """
    host, port = split_endpoint(server)
    from_address = parseaddr(str(BytesHeaderParser().parsebytes(raw).get("From", "")))[1] if sender is None else sender
    try:
        with smtplib.SMTP(host, port, timeout=60) as client:
            client.ehlo("localhost")
            for step in (lambda: client.mail(from_address), lambda: client.rcpt(to), lambda: client.data(to_crlf(raw))):
                code, text = step()
                reply = f"{code} {text.decode('ascii', 'replace')}"
                if code >= 400:
                    raise NotSent(f"{server} answered {reply}")
            return reply
    except (OSError, smtplib.SMTPException) as error:
        raise NotSent(f"{server}: {error}; is `gatepost up` running there? name it with --server HOST:PORT") from error


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--to", required=True, help="The mailbox to send to.")
@click.option("--from", "sender", help="Envelope sender; the From address without it.")
@click.option("--as-forwarded", type=click.Choice(tuple(_FORWARDS)), help="Send it as a person forwards it.")
@click.option("--server", help="HOST:PORT; [smtp] listen without it.")
@click.option("--wait", is_flag=True, help="Wait until it is applied, and print the whole path.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Of --wait, in seconds.")
@command()
def send(
    settings: Settings,
    files: tuple[str, ...],
    to: str,
    sender: str | None,
    as_forwarded: str | None,
    server: str | None,
    wait: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Send mails over SMTP, as a PMS does."""
    server = server or settings.smtp.listen[0]
    paths: list[dict[str, Any]] = []
    for file in _progress(files, "sending"):
        raw = read_input(file)
        if as_forwarded is not None:
            raw = _forwarded(file, raw, as_forwarded, settings.mailboxes.get(to.lower()))
        reply = send_mail(server, raw, to=to, sender=sender)
        path: dict[str, Any] = {"file": file, "reply": reply}
        if wait:
            path["mail"] = _settled(settings, reply.rpartition(" ")[2], timeout_s)
        paths.append(path)
        if not as_json:
            _print_path(path)
    if as_json:
        print_json(paths)


def _forwarded(file: str, raw: bytes, program: str, mailbox: Mailbox | None) -> bytes:
    """Return a mail as a site manager forwards it, on the clock of the mailbox where it is one of ours."""
    from parsers import Unreadable
    from parsers.dress import dress

    try:
        return dress(raw, _FORWARDS[program], zone=ZoneInfo(mailbox.timezone) if mailbox else None)
    except (Unreadable, ValueError) as error:
        raise Unreadable(f"{file}: {error}: it can be sent without --as-forwarded only") from error


def _settled(settings: Settings, mail_id: str, timeout_s: float) -> dict[str, Any]:
    """Return a mail once nothing about it is under way."""
    from worker.views import show_mail

    runtime = open_runtime(settings)
    until = time.monotonic() + timeout_s
    while True:
        found = show_mail(runtime.db, mail_id)
        moving = found["state"] == "new" or any(event["state"] in ("waiting", "uncertain") for event in found["events"])
        if not moving or time.monotonic() > until:
            return found
        time.sleep(0.1)


def _print_path(path: dict[str, Any]) -> None:
    click.echo(f"{path['file']}  {path['reply']}")
    if "mail" not in path:
        return
    mail = path["mail"]
    click.echo(
        f"  mail   {mail['state']}{' ' + mail['reason'] if mail['reason'] else ''}  {mail['detail'] or ''}".rstrip()
    )
    click.echo(f"  rule   {mail['rule'] or '-'}")
    for event in mail["events"]:
        click.echo(
            f"  event  {event['kind']} {event['crm_unit_id']}  {event['state']} {event['reason'] or ''}".rstrip()
        )
        for call in event["calls"]:
            click.echo(f"  call   {call['request']} {call['body']}".rstrip())
            click.echo(f"  key    {call['key']}")
            for attempt in call["attempts"]:
                click.echo(f"  answer {attempt['status'] or '-'} {attempt['message']}".rstrip())


@click.command()
@click.argument("source", type=click.Path(exists=True, allow_dash=True))
@click.option("--mailbox", "address", required=True, help="The mailbox that they are for.")
@click.option("--trust", is_flag=True, help="Take the senders as proven.")
@command(tempfail="source")
def ingest(settings: Settings, source: str, address: str, trust: bool, as_json: bool) -> None:
    """Keep mails without SMTP: a file, a folder of *.eml, an mbox, or one mail on standard input (-).

    As a pipe(8) target it ends with 75 (try again) when the mail could not be kept. A running `gatepost up` or worker
    reads what was kept.
    """
    from worker import log
    from worker.cli.reading import find_mailbox
    from worker.store.keep import Keeper, KeptMail

    mailbox = find_mailbox(settings, address)
    runtime = open_runtime(settings)
    keeper = Keeper(
        runtime.db,
        batch_mails=settings.smtp.batch_mails,
        batch_bytes=settings.smtp.batch_bytes,
        clock=runtime.clock,
        on_kept=lambda ids: ring(runtime, ids),
        on_trouble=log.trouble,
    )
    evidence = {"peer": None, "mail_from": None, "trusted": trust, "by": "ingest"}
    futures = [
        keeper.submit(KeptMail(body=to_crlf(raw), recipients=((mailbox.address, address),), evidence=evidence))
        for raw in _progress(list(_messages(source)), "keeping")
    ]
    keeper.stop()
    ids = [future.result() for future in futures]
    if as_json:
        print_json({"kept": ids})
    else:
        click.echo(f"{len(ids)} mails kept for {mailbox.address}" + (f", the first as {ids[0]}" if ids else ""))
    if not ids:
        raise click.exceptions.Exit(NOT_DONE)


def _messages(source: str) -> Iterator[bytes]:
    path = Path(source)
    if source == "-":
        yield read_input(source)
    elif path.is_dir():
        for file in sorted(path.rglob("*.eml")):
            yield file.read_bytes()
    elif path.read_bytes()[:5] == b"From ":
        box = mailbox_format.mbox(path, create=False)
        for key in box.iterkeys():
            yield box.get_bytes(key)
        box.close()
    else:
        yield path.read_bytes()


def _progress(items: Any, label: str) -> Iterator[Any]:
    """Go through items, with a bar on a terminal where there are many."""
    if len(items) < 50 or not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(items, label=label, file=sys.stderr) as bar:
        yield from bar
