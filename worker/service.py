"""The processes: ``receive``, ``work``, ``sweep``, ``serve``, and ``up``, which is all four in one.

Each drains on SIGTERM and ends within 30 s. ``up`` is the only one that takes SQLite and the in-process queue.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from starlette.applications import Starlette

from worker import log
from worker.child import tell_children
from worker.console.app import health_app, web_app
from worker.queue import ThreadWorker, do_work_with, is_in_process, run_worker
from worker.reload import reload
from worker.runtime import Clock, Runtime, utc_now
from worker.settings import Settings, join_endpoint, split_endpoint
from worker.smtp.server import CannotListen, Receiver
from worker.store import lanes, schema
from worker.store.running import marked_running
from worker.verdict import POSTMASTER


class StartError(Exception):
    """A process cannot start; the message says what to do."""


def refuse_embedded(settings: Settings, command: str) -> None:
    """Refuse what only one process can share.

    Raises:
        StartError: for SQLite or ``memory://``, with the remedy.
    """
    if settings.store.url.startswith("sqlite"):
        raise StartError(
            f"`gatepost {command}` is one of several processes and needs PostgreSQL: set [store] url = "
            '"postgresql://user@host/db", or run everything in one process with `gatepost up`'
        )
    if is_in_process(settings):
        raise StartError(
            f"`gatepost {command}` is one of several processes and needs a broker: set [queue] broker = "
            '"redis://host:6379/0", or run everything in one process with `gatepost up`'
        )


WEBHOOK_THREADS = 64
"""Endpoints that may be slow at once; a thread is made for each that has something due."""
TOKENS = {"units_token": "GATEPOST_UNITS_TOKEN", "ops_token": "GATEPOST_OPS_TOKEN"}
"""The tokens of the web port by their names in the ready file, and the variables that choose them."""


def web_tokens() -> dict[str, str]:
    """Return the tokens of the web port: from their variables, or made anew for this run."""
    return {name: os.environ.get(variable) or secrets.token_urlsafe(24) for name, variable in TOKENS.items()}


async def run_up(
    settings: Settings,
    *,
    ready_file: Path | None = None,
    clock: Clock = utc_now,
    say: Callable[[str], None] = lambda _line: None,
) -> None:
    """Run everything in this process until SIGTERM or SIGINT.

    Raises:
        StartError: a port cannot be had.
        ConfigError, RuleErrors: a destination does not take what its mailboxes make, or its file is broken.
    """
    runtime = Runtime(settings, clock=clock)
    until_told = _listen_to_signals(runtime, check=runtime.check)
    tokens = web_tokens()
    try:
        schema.upgrade(runtime.db)
        runtime.db.check_durability()
        runtime.check(settings)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(marked_running(runtime.db))
            ports: dict[str, Any] = {**tokens}
            app = web_app(runtime, **tokens)
            ports["web"] = await stack.enter_async_context(_web(settings.web.listen, app))
            ports["smtp"] = await stack.enter_async_context(receiving(runtime))
            await stack.enter_async_context(_working(runtime))
            await stack.enter_async_context(_sweeping(runtime))
            _announce(ports, ready_file, say)
            await until_told()
            runtime.stop()
    finally:
        runtime.close()
    log.stopped(process="up")


async def run_receive(settings: Settings, *, ready_file: Path | None = None) -> None:
    """Receive mail until SIGTERM."""
    refuse_embedded(settings, "receive")
    runtime = Runtime(settings)
    _check_store(runtime)
    until_told = _listen_to_signals(runtime)
    async with contextlib.AsyncExitStack() as stack:
        ports: dict[str, Any] = {}
        await _health(stack, runtime)
        ports["smtp"] = await stack.enter_async_context(receiving(runtime))
        _announce(ports, ready_file)
        await until_told()
    runtime.close()
    log.stopped(process="receive")


async def run_serve(
    settings: Settings, *, ready_file: Path | None = None, say: Callable[[str], None] = lambda _line: None
) -> None:
    """Serve the web port until SIGTERM."""
    refuse_embedded(settings, "serve")
    runtime = Runtime(settings)
    _check_store(runtime)
    tokens = web_tokens()
    until_told = _listen_to_signals(runtime)
    async with contextlib.AsyncExitStack() as stack:
        ports: dict[str, Any] = {**tokens}
        app = web_app(runtime, **tokens)
        ports["web"] = await stack.enter_async_context(_web(settings.web.listen, app))
        _announce(ports, ready_file, say)
        await until_told()
    runtime.close()
    log.stopped(process="serve")


async def run_sweep(settings: Settings) -> None:
    """Ring for what is due until SIGTERM."""
    refuse_embedded(settings, "sweep")
    runtime = Runtime(settings)
    _check_store(runtime)
    runtime.rules()
    until_told = _listen_to_signals(runtime)
    async with contextlib.AsyncExitStack() as stack:
        await _health(stack, runtime)
        await stack.enter_async_context(_sweeping(runtime))
        log.started(process="sweep")
        await until_told()
    runtime.close()
    log.stopped(process="sweep")


def run_work(settings: Settings) -> None:
    """Work on the queue with a prefork pool until SIGTERM.

    Raises:
        StartError: the store or the broker is one that processes cannot share.
        ConfigError, RuleErrors: a destination does not take what its mailboxes make, or its file is broken.
    """
    refuse_embedded(settings, "work")
    with tempfile.TemporaryDirectory(prefix="gatepost-work-") as shared:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
        runtime = Runtime(settings)
        _check_store(runtime)
        runtime.check(settings)
        if settings.health.listen:
            threading.Thread(target=_serve_health, args=(runtime,), name="health", daemon=True).start()

        def read_again() -> None:
            if _reload(runtime, runtime.check):
                tell_children()

        def begin_anew() -> None:
            log.stalled(process="work", seconds=settings.queue.stalled_s)
            shutil.rmtree(shared, ignore_errors=True)
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  as the same process

        log.started(process="work", concurrency=settings.queue.concurrency)
        run_worker(runtime.celery, stalled_s=settings.queue.stalled_s, on_stall=begin_anew, on_hangup=read_again)
        runtime.close()
    log.stopped(process="work")


def _check_store(runtime: Runtime) -> None:
    schema.check(runtime.db)
    runtime.db.check_durability()


@contextlib.asynccontextmanager
async def receiving(runtime: Runtime) -> AsyncIterator[str]:
    """Receive mail; yield the first address that listens."""
    settings = runtime.settings.smtp
    postmaster = SimpleNamespace(address=POSTMASTER)

    def find_mailbox(address: str) -> Any:
        return postmaster if address == POSTMASTER else runtime.settings.mailboxes.get(address)

    receiver = Receiver(
        settings,
        find_mailbox=find_mailbox,
        keeper=runtime.keeper,
        clock=runtime.clock,
        log=log.lines(),
        hosts_domain=lambda domain: any(address.endswith("@" + domain) for address in runtime.settings.mailboxes),
    )
    try:
        try:
            listening = await receiver.start()
        except CannotListen as error:
            raise StartError(str(error)) from error
        where = join_endpoint(*listening[0])
        log.started(process="receive", smtp=where)
        yield where
    finally:
        await receiver.stop()
        await asyncio.to_thread(runtime.keeper.stop)


@contextlib.asynccontextmanager
async def _working(runtime: Runtime) -> AsyncIterator[None]:
    """Work on the queue in threads of this process, which has the store to itself."""
    with runtime.db.write() as connection:
        lanes.clear_leases(connection)  # whoever held them was this program, and is gone
    runtime.prepare()
    do_work_with(lambda: runtime)
    worker = ThreadWorker(runtime.celery, concurrency=runtime.settings.queue.concurrency)
    await asyncio.to_thread(worker.start, wait_s=30.0 if is_in_process(runtime.settings) else 1.0)
    try:
        yield
    finally:
        await asyncio.to_thread(worker.stop)


@contextlib.asynccontextmanager
async def _sweeping(runtime: Runtime) -> AsyncIterator[None]:
    """Sweep, and send webhooks, every few seconds, each in threads of its own; the first time is at once."""
    told = threading.Event()
    pool = ThreadPoolExecutor(WEBHOOK_THREADS, "webhooks")

    def sweep() -> None:
        while not told.is_set():
            try:
                runtime.sweep()
            except Exception as error:  # noqa: BLE001  the sweeper must outlive whatever a sweep meets
                log.trouble(event="sweep_failed", error=log.where(error))
            told.wait(runtime.settings.sweep.every_s)

    def send_webhooks() -> None:
        while not told.is_set():
            try:
                deliver.start_due(pool)
            except Exception as error:  # noqa: BLE001  as above
                log.trouble(event="hooks_failed", endpoint="", error=log.where(error))
            told.wait(runtime.settings.sweep.every_s)

    deliver = runtime.deliver
    threads = [threading.Thread(target=loop, name=loop.__name__, daemon=True) for loop in (sweep, send_webhooks)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        told.set()
        deliver.close()
        for thread in threads:
            await asyncio.to_thread(thread.join, 10)
        await asyncio.to_thread(pool.shutdown, cancel_futures=True)


@contextlib.asynccontextmanager
async def _web(listen: str, app: Starlette) -> AsyncIterator[str]:
    """Serve an application in a thread of its own, so that it cannot delay mail; yield where it listens."""
    host, port = split_endpoint(listen)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        proxy_headers=False,  # a peer is who connected, not who a header names: it may prove a sender
    )
    server = _Server(config)
    try:
        sock = server.config.bind_socket()
    except SystemExit as error:  # uvicorn's way to say that the port is taken
        raise StartError(
            f"web: {listen} cannot be bound; another program may have it: choose another [web] listen"
        ) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each answer waits 40 ms for an ACK
    sock.listen(128)  # from now on a client waits instead of being refused
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="web", daemon=True)
    thread.start()
    try:
        yield join_endpoint(*sock.getsockname()[:2])
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join, 10)


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


async def _health(stack: contextlib.AsyncExitStack, runtime: Runtime) -> None:
    if runtime.settings.health.listen:
        where = await stack.enter_async_context(_web(runtime.settings.health.listen, health_app(runtime)))
        log.started(health=where)


def _serve_health(runtime: Runtime) -> None:
    host, port = split_endpoint(runtime.settings.health.listen)
    config = uvicorn.Config(health_app(runtime), host=host, port=port, log_level="warning", access_log=False)
    _Server(config).run()


def _announce(ports: dict[str, Any], ready_file: Path | None, say: Callable[[str], None] = lambda _line: None) -> None:
    """Say where the process listens, then write the ready file: it appears whole, or not yet."""
    if "smtp" in ports:
        say(f"smtp   {ports['smtp']}")
    if "web" in ports:
        say(f"web    http://{ports['web']}/")
    for name, variable in TOKENS.items():
        if name in ports and not os.environ.get(variable):
            label = name.removesuffix("_token")
            say(f"{label:<6} token {ports[name]}  (made for this run; set {variable} to choose one)")
    if ready_file is not None:
        ready_file.parent.mkdir(parents=True, exist_ok=True)
        draft = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(ports), "utf-8")
        draft.replace(ready_file)


def _listen_to_signals(
    runtime: Runtime, *, check: Callable[[Settings], None] = lambda _settings: None
) -> Callable[[], Awaitable[None]]:
    """Return what waits for SIGTERM or SIGINT; SIGHUP reads the configuration again, a bad file keeps the last good.

    To be called before the process says that it is ready: a signal that comes first would end it on the spot.
    ``check``: what else may refuse a configuration, with a ConfigError or a ParserError.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, runtime, check)

    async def until_told() -> None:
        await told.wait()
        log.stopping()

    return until_told


def _reload(runtime: Runtime, check: Callable[[Settings], None]) -> bool:
    is_taken = reload(runtime, check)
    if is_taken:
        log.started(reloaded=True, mailboxes=len(runtime.settings.mailbox))
    return is_taken
