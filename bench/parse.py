"""CPU of one parse of a 20 KB HTML mail, all included, against mail-parser alone on the same bytes.

Three mails: a notice styled as PMSs send them, a dense table that a rule claims, and the same table that none claims.
"""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.table import Figure, at_most

ROUNDS = 15
REPEATS = 20
BAR = 2.0

_CLAIMED = "Move In Notification - Unit B204"
_UNCLAIMED = "Monthly Statement of Unit B204"
_LABELS = (
    ("Facility", "Main Street Storage"), ("Tenant", "Alex Example"), ("Tenant ID", "48213"), ("Ledger ID", "90551"),
    ("Unit", "B204"), ("Unit Size", "10 x 15"), ("Move-In Date", "03/05/2026"), ("Paid Thru", "03/31/2026"),
    ("Monthly Rent", "$129.00"), ("Insurance", "$12.00"), ("Gate Code", "Sent by text"), ("Prepared By", "J. Doe"),
)  # fmt: skip
_FONT = "font-family:Arial,Helvetica,sans-serif;font-size:14px;line-height:20px;color:#333333"
_STYLE_SHEET = "\r\n".join(
    f"  .cell-{n} {{ padding: {n}px; border-collapse: collapse; mso-table-lspace: 0pt; mso-table-rspace: 0pt; }}"
    for n in range(30)
)


def _mail(subject: str, html: str) -> bytes:
    head = (
        "Received: from mail.sitelink.com (mail.sitelink.com [192.0.2.7]) by in.demo.test with ESMTPS id 4Tq1;"
        " Thu, 05 Mar 2026 09:00:02 -0600\r\n"
        f"From: notices@sitelink.com\r\nTo: sitelink@demo.test\r\nSubject: {subject}\r\n"
        "Date: Thu, 05 Mar 2026 09:00:00 -0600\r\nMessage-ID: <1@sitelink.com>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/html; charset=utf-8\r\n\r\n"
    )
    return (head + html).encode()


def styled_notice() -> bytes:
    """Return a move-in as PMSs send it: a style sheet, tables for layout, a style on every cell, a legal footer."""
    rows = "".join(
        f'<tr>\r\n<td width="40%" valign="top" style="{_FONT};padding:6px 12px;border-bottom:1px solid #e5e5e5">'
        f'<strong style="color:#111111">{label}:</strong></td>\r\n'
        f'<td width="60%" valign="top" style="{_FONT};padding:6px 12px;border-bottom:1px solid #e5e5e5">'
        f'<span style="{_FONT}">{value}</span></td>\r\n</tr>\r\n'
        for label, value in _LABELS
    )
    links = "".join(
        f'<td align="center" style="{_FONT};padding:0 8px"><a href="https://click.sitelink.com/f/a/{n:040x}" '
        f'style="color:#0a5ea8;text-decoration:none">{word}</a></td>\r\n'
        for n, word in enumerate(("Manage", "Reports", "Support", "Preferences"))
    )
    legal = "".join(
        f'<p style="{_FONT};font-size:11px;margin:0 0 8px 0">This message was sent to the managers of the facility '
        "named above. It may hold confidential information; if it reached you in error, delete it and tell the "
        f"sender. Notice {n} of the account&rsquo;s terms&nbsp;applies.</p>\r\n"
        for n in range(16)
    )
    wrap = '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr><td align="center">'
    table = f'<table width="600" cellpadding="0" cellspacing="0" border="0" style="{_FONT};border:1px solid #e5e5e5">'
    html = (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
        '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\r\n<html><head><meta charset="utf-8">'
        f'<title>Move In Notification</title><style type="text/css">\r\n{_STYLE_SHEET}\r\n</style></head>'
        '<body style="margin:0;padding:0;background-color:#f4f4f4">\r\n'
        '<div style="display:none;max-height:0;overflow:hidden">A new tenant has moved in.</div>\r\n'
        f'{wrap}{table}<tr><td><img src="https://img.sitelink.com/logo.png" width="180" alt="SiteLink"></td></tr>'
        f'<tr><td style="{_FONT};padding:24px"><h1 style="{_FONT};font-size:22px">Move In Notification</h1>'
        f'<p style="{_FONT}">A new tenant has moved in. The details are below.</p></td></tr></table>\r\n'
        f"{table}{rows}</table>\r\n{table}<tr>{links}</tr></table>\r\n"
        f'{table}<tr><td style="{_FONT};padding:24px">{legal}'
        f'<p style="{_FONT}">Powered by SiteLink</p></td></tr></table>\r\n</td></tr></table></body></html>\r\n'
    )
    return _mail(_CLAIMED, html)


def dense_table(subject: str) -> bytes:
    """Return a table of 250 rows of two short cells, a dozen of them labels that the move-in rule knows or not."""
    cells = [*_LABELS, *((f"Line {n}", f"Value {n}") for n in range(250 - len(_LABELS)))]
    rows = "".join(
        f'<tr style="border:1px solid #ccc"><td class="label">{label}</td><td>{value}</td></tr>\r\n'
        for label, value in cells
    )
    return _mail(subject, f"<html><body><p>Notice</p><table>{rows}</table></body></html>\r\n")


def cpu_s(works: tuple[Callable[[], object], ...]) -> list[float]:
    """Return the CPU seconds of one call of each: the median of several rounds, in turn."""
    found: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(ROUNDS):
        for work, times in zip(works, found, strict=True):
            gc.collect()  # what the one leaves is not the other's to clear
            started_s = time.process_time()
            for _ in range(REPEATS):
                work()
            times.append((time.process_time() - started_s) / REPEATS)
    return [median(times) for times in found]


def bench_parse() -> list[Figure]:
    """Measure both in this process, in turn, on each mail; what is said of the mail must be what it was made for."""
    try:
        from parsers import Mailbox, load_rules, parse_mail
    except ImportError as error:
        print(f"  parse: skipped, the parser library is not complete yet ({error})")
        return []
    import mailparser

    rules = load_rules([Path(__file__).resolve().parents[1] / "rules"])
    mailbox = Mailbox(address="sitelink@demo.test", company="default", location="SITELINK")

    def whole(raw: bytes) -> str:
        return parse_mail(raw, rules, mailbox=mailbox, packs=("sitelink",)).outcome

    figures: list[Figure] = []
    for what, raw, outcome in (
        ("styled notice", styled_notice(), "events"),
        ("dense table", dense_table(_CLAIMED), "events"),
        ("dense table, unmatched", dense_table(_UNCLAIMED), "unmatched"),
    ):
        if whole(raw) != outcome:
            raise AssertionError(f"{what}: {whole(raw)} instead of {outcome}")
        whole_s, alone_s = cpu_s((lambda raw=raw: whole(raw), lambda raw=raw: mailparser.parse_from_bytes(raw).subject))
        figures.append(
            at_most(
                BAR,
                what=f"CPU of a parse to mail-parser alone: {what}",
                value=whole_s / alone_s,
                detail=f"{whole_s * 1e3:.2f} ms to {alone_s * 1e3:.2f} ms, {len(raw) / 1000:.0f} KB",
            )
        )
    return figures
