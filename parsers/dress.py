"""Dress a mail: the same notice as other programs, gateways and people would hand it on, for tests of one's own rules.

``dress(raw, "outlook-forward-de")`` returns the octets of another mail that says the same; `DRESSINGS` names them
all. A rule that reads the one and not the other has a fault, or the reader has. The content is written anew from the
readable text; attached files and structured data go along. Of a forward, the mail inside is dressed. Pure: the same
mail and name give the same octets.
"""

import datetime as dt
import hashlib
import html as markup
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import format_datetime
from types import MappingProxyType
from typing import Final, TypeAlias

from parsers.compose import header_value, parted_words, write_mail, write_multipart, write_text
from parsers.mailprograms import (
    LANGUAGES,
    PROGRAMS,
    Told,
    attribution,
    forwarded_html,
    forwarded_subject,
    forwarded_text,
)
from parsers.notice import (
    Notice,
    Pair,
    Row,
    older,
    read_notice,
    write_blocks,
    write_page,
    write_rows,
    write_table,
)

MANAGER: Final = "Site Manager <manager@operator.example.com>"
"""Who forwards and answers."""

_NOTE: Final = "Please see below. I have locked it already.\nUnit: Z999\nTenant ID: T-0000\nBalance: $999.00\n"
_STUB: Final = "Please view this message in a program that shows HTML.\n"
_WARNING: Final = "CAUTION: This email originated from outside of the organization."
_FOOTER: Final = (
    "This e-mail and any files with it are confidential and meant for the addressee only. If it reached you in error, "
    "delete it and tell the sender."
)
_LETTERS: Final = "<p>Grüße, Café Zoë</p>"
_SIGNS: Final = "<p>Grüße, Café Zoë – 10 €</p>"
_HIDDEN: Final = write_table([Pair(label="Unit", value="Z999"), Pair(label="Tenant ID", value="T-0000")])
_PREHEADER: Final = (
    "display:none;font-size:1px;color:#ffffff;line-height:1px;max-height:0px;max-width:0px;opacity:0;overflow:hidden"
)
_SAFELINK: Final = (
    "https://nam02.safelinks.protection.outlook.com/?url=https%3A%2F%2Fwww.example.com%2Funit%2FZ999&amp;data=05%7C02"
)


def dress(mail: bytes, as_: str, *, zone: dt.tzinfo | None = None) -> bytes:
    """Return a mail in another dressing: one of the names in `DRESSINGS`.

    `zone`: that of the person who forwards it, whose program tells its date on their clock and often without a zone;
    None: that of the mail's own Date.

    Raises:
        ValueError: there is no dressing of that name, or the mail is a forward of nobody knows what.
        Unreadable: the mail is beyond the bounds of reading.
    """
    if as_ not in _DRESSINGS:
        raise ValueError(f"unknown dressing `{as_}`; known: {', '.join(DRESSINGS)}")
    notice = read_notice(mail)
    if zone is not None and notice.mail.date is not None:
        notice = replace(notice, mail=replace(notice.mail, date=notice.mail.date.astimezone(zone)))
    return _DRESSINGS[as_](notice)


def _written(notice: Notice, entity: bytes, *, subject: str | None = None) -> bytes:
    """Return the notice with another body, and another subject where one is given."""
    headers = [
        (name, subject if subject is not None and name.lower() == "subject" else value)
        for name, value in notice.headers
    ]
    return write_mail(headers, _with_attached(entity, notice.attached))


def _with_attached(entity: bytes, attached: Sequence[bytes]) -> bytes:
    return write_multipart("mixed", (entity, *attached), boundary="=_dressed_mixed") if attached else entity


def _alternative(text: str, html: str) -> bytes:
    both = (write_text("text/plain", text), write_text("text/html", html))
    return write_multipart("alternative", both, boundary="=_dressed_alternative")


def _both(rows: Sequence[Row]) -> bytes:
    return _alternative(write_rows(rows), write_page(write_table(rows)))


def _as_text(notice: Notice, *, between: str = ": ", encoding: str = "quoted-printable", width: int = 72) -> bytes:
    text = write_rows(notice.rows, between=between)
    return _written(notice, write_text("text/plain", text, encoding=encoding, width=width))


def _as_html(
    notice: Notice,
    *,
    above: str = "",
    below: str = "",
    charset: str = "utf-8",
    label: str = "",
    encoding: str = "quoted-printable",
) -> bytes:
    page = write_page(f"{above}\n{write_table(notice.rows)}{below}")
    return _written(notice, write_text("text/html", page, charset=charset, label=label, encoding=encoding))


def _as_blocks(notice: Notice, *, between: str = ": ") -> bytes:
    page = write_page("\n".join(write_blocks(notice.rows, between=between)))
    return _written(notice, write_text("text/html", page))


def _as_list(notice: Notice) -> bytes:
    items = "\n".join(f"<li>{block}</li>" for block in write_blocks(notice.rows))
    return _written(notice, write_text("text/html", write_page(f"<ul>\n{items}\n</ul>")))


def _as_utf_16(notice: Notice) -> bytes:
    entity = write_text("text/plain", write_rows(notice.rows), charset="utf-16", encoding="base64")
    return _written(notice, entity)


def _as_zero_width(notice: Notice) -> bytes:
    rows = [
        replace(row, label=f"{row.label[:1]}\u200b{row.label[1:]}", value=f"\u2060{row.value}\ufeff")
        if isinstance(row, Pair)
        else row
        for row in notice.rows
    ]
    return _written(notice, write_text("text/plain", write_rows(rows, between=":\u200b ")))


def _as_stub(notice: Notice) -> bytes:
    return _written(notice, _alternative(_STUB, write_page(write_table(notice.rows))))


def _as_split_subject(notice: Notice) -> bytes:
    """Return it with a subject in encoded words that part a character: a no-break space, or a zero-width one."""
    subject = notice.header("subject").replace(" ", "\u00a0")
    subject = f"{subject[:1]}\u200b{subject[1:]}" if subject.isascii() else subject
    return _written(notice, _both(notice.rows), subject=parted_words(subject))


def _as_folded_subject(notice: Notice) -> bytes:
    folded = header_value(notice.header("subject")).replace("\r\n ", " ").replace(" ", "\r\n ")
    return _written(notice, _both(notice.rows), subject=folded)


def _as_tagged(notice: Notice, tag: str) -> bytes:
    """Return it as a gateway of the operator passes it on: a tag in the subject, a warning above the text."""
    html = f'<div style="background-color:#ffeb9c">{_WARNING}</div>\n{write_table(notice.rows)}'
    entity = _alternative(f"{_WARNING}\n\n{write_rows(notice.rows)}", write_page(html))
    return _written(notice, entity, subject=header_value(f"{tag} {notice.header('subject')}"))


def _as_disclaimed(notice: Notice) -> bytes:
    html = f"{write_table(notice.rows)}<hr><p>{_FOOTER}</p>"
    return _written(notice, _alternative(f"{write_rows(notice.rows)}\n--\n{_FOOTER}\n", write_page(html)))


def _as_preheader(notice: Notice) -> bytes:
    old = markup.escape(write_rows(older(notice.rows))) + "&zwnj;&nbsp;" * 40
    return _as_html(notice, above=f'<div style="{_PREHEADER}">{old}</div>')


def _as_hidden(notice: Notice) -> bytes:
    above, below = f'<div style="display:none">{_HIDDEN}</div>', f"<div hidden>{_HIDDEN}</div>"
    return _as_html(notice, above=above, below=below)


def _as_safelinks(notice: Notice) -> bytes:
    return _as_html(notice, below=f'<p><a href="{_SAFELINK}">Open the portal</a></p><p>{_SAFELINK}</p>')


def _as_auto_forward(notice: Notice) -> bytes:
    """Return it as Gmail's forwarding sends it on: the mail as it was, trace headers above."""
    to = notice.mail.to[0] if notice.mail.to else "inbox@in.example.com"
    return (
        "Return-Path: <manager+caf_=inbox=in.example.com@operator.example.com>\r\n"
        f"X-Forwarded-Encrypted: i=1; AJvYcCXexample\r\nX-Forwarded-To: {to}\r\n"
        "X-Forwarded-For: manager@operator.example.com inbox@in.example.com\r\n"
        "Delivered-To: manager@operator.example.com\r\n"
    ).encode() + notice.raw


def _told(notice: Notice) -> Told:
    return Told(
        sender=notice.header("from"),
        to=notice.header("to"),
        subject=notice.header("subject"),
        date=notice.mail.date or notice.mail.local_date,
        text=write_rows(notice.rows),
        html=write_table(notice.rows),
    )


def _older(told: Told, notice: Notice) -> Told:
    """Return what the same sender told nine days before."""
    rows = older(notice.rows)
    date = told.date - dt.timedelta(days=9) if told.date else None
    return replace(told, date=date, text=write_rows(rows), html=write_table(rows))


def _quoted(told: Told, language: str) -> str:
    """Return a mail as an answer quotes it in plain text."""
    return f"{attribution(told, language)}\n\n" + "".join(f"> {line}\n" for line in told.text.splitlines())


def _as_answer(notice: Notice, language: str) -> bytes:
    """Return it with an older notice quoted below, as in a chain of replies."""
    quoted = _quoted(_older(_told(notice), notice), language)
    return _written(notice, write_text("text/plain", f"{write_rows(notice.rows)}\n{quoted}"))


def _as_html_answer(notice: Notice, language: str) -> bytes:
    old = _older(_told(notice), notice)
    line = f'<div class="gmail_attr">{markup.escape(attribution(old, language))}<br></div>'
    quote = f'<blockquote class="gmail_quote">{old.html}</blockquote>'
    return _as_html(notice, below=f'<div class="gmail_quote">{line}{quote}</div>')


def _as_outlook_answer(notice: Notice, language: str) -> bytes:
    below = forwarded_text(_older(_told(notice), notice), "outlook", language)
    return _written(notice, write_text("text/plain", f"{write_rows(notice.rows)}\n{below}"))


def _forward(told: Told, program: str, language: str, *, note: str = "") -> Told:
    """Return the forward of a mail, by the manager, an hour later."""
    note_html = markup.escape(note).replace("\n", "<br>\n")
    return Told(
        sender=MANAGER,
        to=told.to,
        subject=forwarded_subject(told.subject, program, language),
        date=told.date + dt.timedelta(hours=1) if told.date else None,
        text=f"{note}\n\n{forwarded_text(told, program, language)}",
        html=f'<div dir="ltr">{note_html}<br></div>{forwarded_html(told, program, language)}',
    )


def _sent(notice: Notice, told: Told, entity: bytes) -> bytes:
    """Return what the manager sends."""
    digest = hashlib.sha256(notice.raw + entity).hexdigest()[:24]
    headers = [("From", told.sender), ("To", header_value(told.to)), ("Subject", header_value(told.subject))]
    if told.date:
        date = format_datetime(told.date) if told.date.tzinfo else f"{told.date:%d %b %Y %H:%M:%S}"
        headers.append(("Date", date))
    headers.append(("Message-ID", f"<{digest}@operator.example.com>"))
    return write_mail(headers, entity)


def _as_forward(notice: Notice, program: str, language: str, *, only: str = "", note: str = "") -> bytes:
    """Return it forwarded by hand; `only` ``text`` or ``html`` leaves out the other one."""
    told = _forward(_told(notice), program, language, note=note)
    if only == "text":
        entity = write_text("text/plain", told.text)
    elif only == "html":
        entity = write_text("text/html", write_page(told.html))
    else:
        entity = _alternative(told.text, write_page(told.html))
    return _sent(notice, told, _with_attached(entity, notice.attached))


def _as_forward_of_forward(notice: Notice) -> bytes:
    """Return it forwarded with Outlook, and that with Gmail."""
    told = _forward(_forward(_told(notice), "outlook", "en", note="For you."), "gmail", "en", note=_NOTE)
    return _sent(notice, told, _with_attached(_alternative(told.text, write_page(told.html)), notice.attached))


def _as_attached(notice: Notice) -> bytes:
    """Return it attached to a mail of the manager, octet for octet."""
    inner = b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n" + notice.raw
    parts = (write_text("text/plain", _NOTE), inner)
    return _sent(
        notice,
        _forward(_told(notice), "gmail", "en"),
        write_multipart("mixed", parts, boundary="=_dressed_attached"),
    )


def _as_forward_with_history(notice: Notice) -> bytes:
    """Return a forward of a mail that has an older notice quoted below."""
    told = _told(notice)
    told = replace(told, text=f"{told.text}\n{_quoted(_older(told, notice), 'en')}")
    told = _forward(told, "outlook", "en", note=_NOTE)
    return _sent(notice, told, _with_attached(write_text("text/plain", told.text), notice.attached))


_Dressing: TypeAlias = Callable[[Notice], bytes]


def _dressings() -> dict[str, _Dressing]:
    """Return every dressing by its name; ``-de``, ``-fr`` and ``-es`` are those of programs in that language."""
    found: dict[str, _Dressing] = {
        "text": lambda notice: _as_text(notice, encoding="8bit"),
        "html": _as_blocks,
        "list": _as_list,
        "alternative": lambda notice: _written(notice, _both(notice.rows)),
        "stub-text": _as_stub,
        "quoted-printable": lambda notice: _as_text(notice, width=9),
        "base64": lambda notice: _as_html(notice, encoding="base64"),
        "windows-1252": lambda notice: _as_html(notice, below=_SIGNS, charset="windows-1252"),
        "iso-8859-1": lambda notice: _as_html(notice, below=_LETTERS, charset="iso-8859-1"),
        "utf-16": _as_utf_16,
        "mislabelled": lambda notice: _as_html(notice, below=_SIGNS, label="iso-8859-1"),
        "nbsp": lambda notice: _as_blocks(notice, between=":&nbsp;&nbsp;"),
        "zero-width": _as_zero_width,
        "tabs": lambda notice: _as_text(notice, between=":\t"),
        "two-cells": _as_html,
        "two-lines": lambda notice: _as_text(notice, between=":\n  "),
        "rfc2047-split": _as_split_subject,
        "folded-subject": _as_folded_subject,
        "external-tag": lambda notice: _as_tagged(notice, "[EXTERNAL]"),
        "ext-tag": lambda notice: _as_tagged(notice, "[EXT]"),
        "external-word": lambda notice: _as_tagged(notice, "EXTERNAL:"),
        "disclaimer": _as_disclaimed,
        "preheader": _as_preheader,
        "hidden-unit": _as_hidden,
        "safelinks": _as_safelinks,
        "auto-forward": _as_auto_forward,
        "rfc822": _as_attached,
        "forward-of-forward": _as_forward_of_forward,
        "note-above": lambda notice: _as_forward(notice, "gmail", "en", note=_NOTE),
        "history-below": _as_forward_with_history,
    }
    for language in LANGUAGES:
        end = "" if language == "en" else f"-{language}"
        found[f"reply-history{end}"] = lambda notice, language=language: _as_answer(notice, language)
        found[f"reply-history-html{end}"] = lambda notice, language=language: _as_html_answer(notice, language)
        found[f"outlook-history{end}"] = lambda notice, language=language: _as_outlook_answer(notice, language)
        for program in PROGRAMS:
            for only in ("", "text", "html"):
                name = f"{program}-forward{'-' * bool(only)}{only}{end}"
                found[name] = lambda notice, program=program, language=language, only=only: _as_forward(
                    notice, program, language, only=only
                )
    return found


_DRESSINGS: Final[Mapping[str, _Dressing]] = MappingProxyType(_dressings())
DRESSINGS: Final[tuple[str, ...]] = tuple(_DRESSINGS)
"""The name of every dressing."""
