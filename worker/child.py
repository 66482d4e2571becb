"""A pool child of ``gatepost work``: its own connections, and its own end when its parent is gone.

Imported by the worker and its children because ``worker/queue.py`` names it as a task module; it holds no task.
"""

import os
import signal
import threading
import time
from typing import Any

from celery import signals

from worker.queue import do_work_with
from worker.runtime import runtime_of_process


@signals.worker_process_init.connect
def begin(**_: Any) -> None:
    """Make a child ready to work."""
    do_work_with(runtime_of_process)
    threading.Thread(target=_end_with, args=(os.getppid(),), name="orphan-watch", daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: a SIGKILL of the parent must not leave workers behind."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
