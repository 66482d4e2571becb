"""The bare httpx client: the same requests, on as many connections, and nothing else."""

import queue
import threading
import time
from collections.abc import Sequence

import httpx

from bench.lanes import Kept


def send_bare(sent: Sequence[Kept], url: str, token: str, *, connections: int) -> float:
    """Send requests, those of one unit in their order; return how many a second."""
    by_unit: dict[str, list[Kept]] = {}
    for kept in sent:
        by_unit.setdefault(kept.request.path.split("/")[2], []).append(kept)
    todo: queue.SimpleQueue[list[Kept]] = queue.SimpleQueue()
    for requests in by_unit.values():
        todo.put(requests)
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            while True:
                try:
                    requests = todo.get_nowait()
                except queue.Empty:
                    return
                for kept in requests:
                    headers = {
                        "Authorization": f"Bearer {token}",
                        "Idempotency-Key": kept.key,
                        "Content-Type": "application/json",
                    }
                    asked = kept.request
                    client.request(
                        asked.method, url + asked.path, content=asked.body, headers=headers
                    ).raise_for_status()
        except httpx.HTTPError as error:
            errors.append(error)

    with httpx.Client(limits=limits, trust_env=False, timeout=30) as client:
        threads = [threading.Thread(target=run) for _ in range(connections)]
        began_s = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s = time.perf_counter() - began_s
    if errors:
        raise errors[0]
    return len(sent) / took_s
