"""CPU of one parse of a 20 KB HTML mail, all included, against mail-parser alone on the same bytes."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.table import Figure

ROUNDS = 15
REPEATS = 20


def html_mail() -> bytes:
    """Return a notice of a move-in in the manner of the sitelink pack, about 20 KB of HTML."""
    rows = "".join(
        f'<tr style="border:1px solid #ccc"><td class="label">Line {n}</td><td>Value {n}</td></tr>\r\n'
        for n in range(250)
    )
    html = f"<html><body><p>Notice</p><table>{rows}</table></body></html>\r\n"
    head = (
        "From: notices@sitelink.com\r\nTo: sitelink@demo.test\r\nSubject: Move-In: Unit B204\r\n"
        "Date: Thu, 05 Mar 2026 09:00:00 -0600\r\nMessage-ID: <1@sitelink.com>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/html; charset=utf-8\r\n\r\n"
    )
    return (head + html).encode()


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call: the median of several rounds."""
    work()
    found: list[float] = []
    for _ in range(ROUNDS):
        started_s = time.process_time()
        for _ in range(REPEATS):
            work()
        found.append((time.process_time() - started_s) / REPEATS)
    return median(found)


def bench_parse() -> list[Figure]:
    """Measure both in this process, in turn."""
    try:
        from parsers import Mailbox, load_rules, parse_mail
    except ImportError as error:
        print(f"  parse: skipped, the parser library is not complete yet ({error})")
        return []
    import mailparser

    raw = html_mail()
    rules = load_rules([Path(__file__).resolve().parents[1] / "rules"])
    mailbox = Mailbox(address="sitelink@demo.test", company="default", location="SITELINK")
    alone_s = cpu_s(lambda: mailparser.parse_from_bytes(raw).subject)
    whole_s = cpu_s(lambda: parse_mail(raw, rules, mailbox=mailbox, packs=("sitelink",)))
    return [
        Figure(
            what=f"CPU of a parse of {len(raw) / 1000:.0f} KB of HTML, to mail-parser alone",
            value=whole_s / alone_s,
            unit="x",
            bar="<= 2x",
            is_met=whole_s <= 2 * alone_s,
            detail=f"{whole_s * 1e3:.2f} ms to {alone_s * 1e3:.2f} ms",
        )
    ]
