"""The queue: the Celery app, its settings, its few tasks. A doorbell: messages carry ids, the store is the truth.

Publishing is best effort; the sweeper is the guarantee. The settings follow what Celery 5.7 and kombu 5.7 were seen to
do on Redis: a task can vanish between two commands, an ETA beyond the visibility timeout runs twice (so retry times
live in the database), and a publish without a socket timeout can block for ever.
"""

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import celery
import celery.exceptions
import redis.exceptions
from amqp.exceptions import AMQPError, ChannelError
from billiard.process import active_children
from celery import shared_task, signals
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import WorkController
from celery.worker import state as worker_state
from kombu.entity import Queue
from kombu.exceptions import KombuError

from worker import log, metrics
from worker.broker import use_our_redis
from worker.pool import use_our_pool
from worker.settings import Settings
from worker.store.lanes import LaneKey

PER_MESSAGE = 50
QUEUE = "gatepost"
HOLD_OFF_S = 1.0
VISIBILITY_S = 600
SHUTDOWN_S = 20.0
TASK_LIMIT_S, SOFT_TASK_LIMIT_S = 300, 240
CHILD_STARTS_S = 60.0
"""How long a spawned child may take to begin: Celery's 4 s are for forked ones, and a busy machine never gets there."""

# What a publish can raise when the broker is away: kombu's own errors, the client's, and the system's.
BROKER_ERRORS = (AMQPError, KombuError, redis.exceptions.RedisError, celery.exceptions.CeleryError, OSError)

T = TypeVar("T")


class Work(Protocol):
    """What the tasks call; ``worker/runtime.py`` is it."""

    def ingest(self, mail_ids: Sequence[str]) -> None: ...
    def drain(self, keys: Sequence[LaneKey]) -> None: ...
    def sweep(self) -> None: ...


def make_app(settings: Settings) -> celery.Celery:
    """Return the Celery app for a broker; nothing is connected yet."""
    app = celery.Celery(
        "gatepost", broker=_broker_url(settings), include=["worker.queue", "worker.child"], set_as_current=True
    )
    use_our_redis()
    app.conf.update(
        task_default_queue=QUEUE,
        task_queues=[Queue(QUEUE)],
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        result_backend=None,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=TASK_LIMIT_S,
        task_soft_time_limit=SOFT_TASK_LIMIT_S,
        task_publish_retry=False,
        worker_prefetch_multiplier=4 if is_in_process(settings) else 1,
        worker_concurrency=settings.queue.concurrency,
        worker_pool_start_method="spawn",
        worker_proc_alive_timeout=CHILD_STARTS_S,
        worker_soft_shutdown_timeout=5.0,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=2,
        broker_pool_limit=4,
        broker_heartbeat=10 if settings.queue.broker.startswith("amqp") else 0,
        broker_transport_options=_transport_options(settings.queue.broker),
    )
    return app


def is_in_process(settings: Settings) -> bool:
    """Say whether the queue lives in this process only."""
    return settings.queue.broker.startswith("memory://")


def _broker_url(settings: Settings) -> str:
    return "memory://localhost/" if is_in_process(settings) else settings.queue.broker  # kombu warns without a host


def _transport_options(broker: str) -> dict[str, Any]:
    if broker.startswith("memory://"):
        return {"polling_interval": 0.01}
    if broker.startswith(("redis://", "rediss://")):
        return {
            "visibility_timeout": VISIBILITY_S,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "retry_on_timeout": False,
            "max_retries": 1,
        }
    return {}


class Doorbell:
    """Rings, and never makes anybody wait for it or fail: a ring that is lost is made good by the sweeper.

    After a failed ring the bell is left alone for a second, so that an unreachable broker costs nothing.
    """

    def __init__(self, app: celery.Celery, *, on_failure: Callable[[BaseException], None] = log.ring_failed) -> None:
        self._app = app
        self._on_failure = on_failure
        self._silent_until = 0.0

    def ring_mails(self, mail_ids: Sequence[str]) -> bool:
        """Tell the worker of new mails; say whether the queue took it."""
        return all(self._ring("gatepost.ingest", part) for part in _parts(mail_ids))

    def ring_lanes(self, keys: Sequence[LaneKey]) -> bool:
        """Tell the worker of units that have something to do; say whether the queue took it."""
        return all(self._ring("gatepost.drain", [list(key) for key in part]) for part in _parts(keys))

    def length(self) -> int | None:
        """Return how many messages wait in the queue; None when the broker cannot be reached."""
        try:
            with self._app.connection_for_read() as connection:
                connection.ensure_connection(max_retries=1, timeout=2)
                queue = self._app.amqp.queues[QUEUE].bind(connection.default_channel)
                queue.declare()
                try:
                    return queue.queue_declare(passive=True).message_count
                except ChannelError:
                    return 0  # Redis does not keep an empty list
        except BROKER_ERRORS as error:
            self._failed(error)
            return None

    def _ring(self, task: str, argument: Sequence[Any]) -> bool:
        if time.monotonic() < self._silent_until:
            return False
        try:
            self._app.send_task(task, args=[list(argument)], queue=QUEUE, ignore_result=True)
        except BROKER_ERRORS as error:
            self._failed(error)
            return False
        return True

    def _failed(self, error: BaseException) -> None:
        self._silent_until = time.monotonic() + HOLD_OFF_S
        metrics.RINGS_FAILED.inc()
        self._on_failure(error)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), PER_MESSAGE):
        yield items[start : start + PER_MESSAGE]


_work: Callable[[], Work] | None = None


def do_work_with(work: Callable[[], Work]) -> None:
    """Say what the tasks of this process call. A spawned child says it itself, from ``GATEPOST_CONFIG``."""
    global _work
    _work = work


def _working() -> Work:
    if _work is None:
        raise celery.exceptions.ImproperlyConfigured("the tasks of this process have nothing to work with")
    return _work()


@shared_task(name="gatepost.ingest")
def ingest(mail_ids: list[str]) -> None:
    """Read these mails, as far as they are still new."""
    _working().ingest(mail_ids)


@shared_task(name="gatepost.drain")
def drain(unit_ids: list[list[str]]) -> None:
    """Drain these units: pairs of destination and crm_unit_id."""
    _working().drain([(destination, crm_unit_id) for destination, crm_unit_id in unit_ids])


@shared_task(name="gatepost.sweep")
def sweep() -> None:
    """Ring for all that is due."""
    _working().sweep()


class ThreadWorker:
    """A Celery worker in threads of this process, for ``gatepost up`` and the demo."""

    def __init__(self, app: celery.Celery, *, concurrency: int) -> None:
        self._ready = threading.Event()
        self._worker = WorkController(
            app=app,
            hostname="embedded@localhost",
            pool="threads",
            concurrency=concurrency,
            loglevel="WARNING",
            ready_callback=lambda _consumer: self._ready.set(),
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        self._thread = threading.Thread(target=self._worker.start, name="worker", daemon=True)

    def start(self, *, wait_s: float) -> None:
        """Start, and wait a while until it takes messages; where the broker is away it goes on trying."""
        worker_state.should_stop = worker_state.should_terminate = None
        self._thread.start()
        self._ready.wait(wait_s)

    def stop(self) -> None:
        """Let the tasks under way end, then stop."""
        worker_state.should_stop = 0
        self._thread.join(20)
        worker_state.should_stop = None


def _listen_to_hangups(on_hangup: Callable[[], None]) -> None:
    """Call ``on_hangup`` after each SIGHUP, in a thread of its own: a signal breaks into whatever is being done."""
    asked: SimpleQueue[int] = SimpleQueue()  # the one whose ``put`` a signal may break into

    def answer() -> None:
        while True:
            asked.get()
            on_hangup()

    def listen(**_: Any) -> None:
        signal.signal(signal.SIGHUP, lambda number, _frame: asked.put(number))

    threading.Thread(target=answer, name="hangups", daemon=True).start()
    listen()
    signals.worker_before_create_process.connect(listen, weak=False)  # Celery takes the signal when it starts


def _bound_shutdown(**_: Any) -> None:
    """End what is still under way after a while: its messages come again, its lanes' leases run out."""
    timer = threading.Timer(SHUTDOWN_S, os.kill, (os.getpid(), signal.SIGQUIT))
    timer.daemon = True
    timer.start()


class Stall:
    """Tells whether messages wait for children that take none: Celery's pool can lose sight of a child for good."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._since: dict[str, float] = {}

    def look(self, waiting: Iterable[str], *, is_busy: bool, now: float) -> bool:
        """Say whether a message has waited for too long while no child worked.

        ``waiting``: ids of the tasks that were received and not begun. ``is_busy``: a child works. ``now``: in seconds.
        """
        self._since = {} if is_busy else {one: self._since.get(one, now) for one in waiting}
        return any(now - since > self._after_s for since in self._since.values())


def _watch_for_stall(after_s: float, on_stall: Callable[[], None]) -> None:
    stall = Stall(after_s)
    while True:
        time.sleep(min(after_s / 5, 5.0))
        try:
            begun = {request.id for request in worker_state.active_requests}
            waiting = {request.id for request in worker_state.reserved_requests} - begun
        except RuntimeError:  # it changed while we looked: the worker moves
            continue
        if stall.look(waiting, is_busy=bool(begun), now=time.monotonic()):
            for child in active_children():
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
            on_stall()


def run_worker(
    app: celery.Celery,
    arguments: Iterable[str] = (),
    *,
    stalled_s: float,
    on_stall: Callable[[], None],
    on_hangup: Callable[[], None],
) -> None:
    """Run a prefork worker until SIGTERM; children are spawned, not forked.

    ``on_hangup``: after each SIGHUP. ``on_stall``: when children have taken nothing for ``stalled_s`` seconds though
    messages wait; the children are gone by then.
    """
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)  # our settings are chosen, not left out
    _listen_to_hangups(on_hangup)
    threading.Thread(target=_watch_for_stall, args=(stalled_s, on_stall), name="stall-watch", daemon=True).start()
    signals.worker_shutting_down.connect(_bound_shutdown, weak=False)
    use_our_pool()
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=prefork",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",  # it would hold up the loop for as long as the broker is away
            *arguments,
        ]
    )
