"""A pool child of ``gatepost work``: its own connections, its own configuration, its own end when its parent is gone.

Imported by the worker and its children because ``worker/queue.py`` names it as a task module; it holds no task.
"""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from celery import signals

from worker import log
from worker.queue import do_work_with
from worker.reload import reload
from worker.runtime import runtime_if_made, runtime_of_process

LOOK_EVERY_S = 0.5


@signals.worker_process_init.connect
def begin(**_: Any) -> None:
    """Make a child ready to work."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent is told, and tells its children
    log.configure()
    do_work_with(runtime_of_process)
    threading.Thread(target=_end_with, args=(os.getppid(),), name="orphan-watch", daemon=True).start()
    threading.Thread(target=_reload_when_told, args=(_told_at(),), name="reload-watch", daemon=True).start()
    log.started(process="work", child=os.getpid())


def tell_children() -> None:
    """Tell the children of this process that the configuration is another one; each reads it within a second."""
    _mark().touch()


def _mark() -> Path:
    """Return the file whose time tells the children, in the folder that a worker and its children share."""
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]) / "configuration"


def _told_at() -> int:
    """Return when the children were told last; 0: never, or their parent has let go of the folder."""
    try:
        return _mark().stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _reload_when_told(seen: int) -> None:
    """Read the configuration again whenever the parent has found it good; before the first work that will do it."""
    while True:
        time.sleep(LOOK_EVERY_S)
        told = _told_at()
        if told == seen:
            continue
        seen, runtime = told, runtime_if_made()
        if runtime is None or reload(runtime, runtime.check):
            log.started(process="work", child=os.getpid(), reloaded=True)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: a SIGKILL of the parent must not leave workers behind."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGKILL)
