"""25 connections send 20 MB each at once: memory a connection, and how long a small mail waits meanwhile."""

import contextlib
import smtplib
import subprocess
import time
from statistics import median

from bench.run import RECIPIENT, SENDER, Server, load_command, serving
from bench.table import Figure, below

CONNECTIONS = 25
BYTES = 20_000_000
SMALL = b"Subject: small\r\n\r\n" + 30 * (b"x" * 70 + b"\r\n")


def bench_memory(rounds: int) -> list[Figure]:
    """Measure both servers in turn."""
    growth_mb: dict[str, list[float]] = {"stock": [], "ours": []}
    wait_s: dict[str, list[float]] = {"stock": [], "ours": []}
    for _ in range(rounds):
        for kind in ("stock", "ours"):
            with serving(kind) as server:
                growth, wait = _one_run(server)
            growth_mb[kind].append(growth / CONNECTIONS / 1e6)
            wait_s[kind].append(wait)
    ours_s, stock_s = median(wait_s["ours"]), median(wait_s["stock"])
    return [
        below(
            8,
            what="memory growth a connection, 25 sending 20 MB each",
            value=median(growth_mb["ours"]),
            unit="MB",
            detail=f"stock {median(growth_mb['stock']):.1f} MB",
        ),
        below(
            0.5,
            what="a small mail's worst wait meanwhile, to stock's",
            value=ours_s / stock_s,
            unit="x",
            detail=f"ours {ours_s:.2f} s, stock {stock_s:.2f} s",
        ),
    ]


def _one_run(server: Server) -> tuple[int, float]:
    """Return the growth of the peak in bytes, and the longest that a small mail took, in seconds."""
    _send_small(server)
    before = server.memory_bytes("VmHWM")
    worst_s = 0.0
    # One process a connection: a single smtp-source sends one large mail after the other.
    command = load_command(server, mails=1, connections=1, size=BYTES, many=False)
    loads = [subprocess.Popen(command) for _ in range(CONNECTIONS)]
    end_s = time.monotonic() + 300
    while any(load.poll() is None for load in loads) and time.monotonic() < end_s:
        started_s = time.perf_counter()
        with contextlib.suppress(smtplib.SMTPException, OSError):
            _send_small(server)
        worst_s = max(worst_s, time.perf_counter() - started_s)
    for load in loads:
        load.kill()
    if any(load.wait() for load in loads):
        raise RuntimeError(f"smtp-source ended with {[load.returncode for load in loads]}")
    return server.memory_bytes("VmHWM") - before, worst_s


def _send_small(server: Server) -> None:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=120) as client:
        client.sendmail(SENDER, [RECIPIENT], SMALL)
