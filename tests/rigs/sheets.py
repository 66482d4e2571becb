"""Mails with attached files, and the files: real ones, built where a test needs them."""

import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from email.message import EmailMessage
from io import BytesIO
from typing import Any

from openpyxl import Workbook


def mail_with(
    files: Mapping[str, bytes], *, subject: str = "Roll", sender: str = "a@example.com", text: str = "See attached."
) -> bytes:
    """Return the octets of a mail with files, each under its name."""
    message = EmailMessage()
    message["From"] = sender
    message["Subject"] = subject
    message["Date"] = "Sat, 02 May 2026 09:30:00 -0500"
    message.set_content(text)
    for name, octets in files.items():
        message.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def xlsx(rows: Iterable[Sequence[Any]], **others: Iterable[Sequence[Any]]) -> bytes:
    """Return a workbook with a sheet of rows, and further sheets by their names."""
    book = Workbook()
    sheets = {"Sheet": rows, **others}
    for name, content in sheets.items():
        sheet = book.active if name == "Sheet" else book.create_sheet(name)
        for row in content:
            sheet.append(list(row))
    return saved(book)


def saved(book: Workbook) -> bytes:
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive of files."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, octets in files.items():
            archive.writestr(name, octets)
    return out.getvalue()


def rewritten(book: bytes, part: str, pattern: str, replacement: str) -> bytes:
    """Return a workbook one of whose parts has something else in place of a pattern."""
    with zipfile.ZipFile(BytesIO(book)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    changed = re.sub(pattern, replacement, parts[part].decode(), count=1, flags=re.DOTALL)
    assert changed.encode() != parts[part]
    return zipped({**parts, part: changed.encode()})
