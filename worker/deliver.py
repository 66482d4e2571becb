"""Deliver webhooks: one after the other to each endpoint, each endpoint by itself, until it has taken them.

At least once: a delivery is claimed before it is sent and settled after its answer, and has one id however often it is
sent. Times of the next try stand in the database. One that is too old is given up, and an issue says so.
"""

import datetime as dt
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from worker.calls import Reply
from worker.destinations.client import KeptClient
from worker.destinations.deadline import deadline
from worker.hooks import Hooks
from worker.log import where
from worker.notices import opened, silent_webhook
from worker.settings import Webhook
from worker.signing import sign
from worker.store import hooks as store
from worker.store.database import Database
from worker.store.hooks import Delivery, HookState
from worker.store.issues import open_issue

LEASE_S = 60.0
"""When a delivery that was begun and never settled is due again; longer than any one may take."""
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 3600.0
LEFT_OVER_S = 259_200.0
"""How old what an endpoint has not taken may be when the endpoint has left the configuration."""


class Deliver:
    """Sends deliveries. One for each process that sweeps; safe to use from several threads."""

    def __init__(
        self,
        db: Database,
        *,
        webhooks: Callable[[], Sequence[Webhook]],
        hooks: Hooks,
        clock: Callable[[], dt.datetime],
        on_trouble: Callable[..., None] = lambda **_fields: None,
    ) -> None:
        self._db = db
        self._webhooks = webhooks
        self._hooks = hooks
        self._clock = clock
        self._on_trouble = on_trouble
        self._clients: dict[str, KeptClient] = {}
        self._under_way: set[str] = set()
        self._gate = threading.Lock()
        self._stopping = threading.Event()

    def start_due(self, pool: ThreadPoolExecutor) -> None:
        """Begin to send what is due, each endpoint in a thread of its own; one that is still at it is left to it."""
        now = self._clock()
        names = [one.name for one in self._webhooks()]
        with self._db.read() as connection:
            due = [name for name in names if store.has_due(connection, name, now=now)]
        for name in due:
            with self._gate:
                if name in self._under_way:
                    continue
                self._under_way.add(name)
            pool.submit(self._in_thread, name)

    def abandon(self) -> None:
        """Give up what is left over for endpoints that are configured no more."""
        now = self._clock()
        before = now - dt.timedelta(seconds=LEFT_OVER_S)
        with self._db.write() as connection:
            count = store.abandon_hooks(connection, [one.name for one in self._webhooks()], before=before, now=now)
        if count:
            self._on_trouble(event="hook_given_up", endpoint="", deliveries=count)

    def deliver(self, name: str) -> int:
        """Send what is due to one endpoint until there is no more, or it does not take one; return how many it took."""
        taken = 0
        while not self._stopping.is_set():
            webhook = next((one for one in self._webhooks() if one.name == name), None)
            if webhook is None:
                break
            with self._db.write() as connection:
                delivery = store.claim_hook(connection, name, now=self._clock(), lease_s=LEASE_S)
            if delivery is None or not self._send(webhook, delivery):
                break
            taken += 1
        return taken

    def close(self) -> None:
        """Begin no other delivery, and close the connections."""
        self._stopping.set()
        with self._gate:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _in_thread(self, name: str) -> None:
        try:
            self.deliver(name)
        except Exception as error:  # noqa: BLE001  the thread's edge: what was claimed is due again after its lease
            self._on_trouble(event="hooks_failed", endpoint=name, error=where(error))
        finally:
            with self._gate:
                self._under_way.discard(name)

    def _send(self, webhook: Webhook, delivery: Delivery) -> bool:
        """Send a delivery once and store what came of it; say whether it was taken."""
        secret = read_secret(webhook)
        if not secret:
            self._on_trouble(event="hook_secret_missing", endpoint=webhook.name)
            self._not_taken(webhook, delivery, None, "its secret is missing", 0.0)
            return False
        headers = {
            "Content-Type": "application/json",
            "X-Gatepost-Event": delivery.event,
            "X-Gatepost-Delivery": delivery.id,
            "X-Gatepost-Signature": sign(secret, delivery.body, at_s=int(self._clock().timestamp())),
        }
        with deadline(webhook.timeout_s):
            answer = self._client(webhook.name).exchange("POST", webhook.url, content=delivery.body, headers=headers)
        if isinstance(answer, Reply):
            self._not_taken(webhook, delivery, answer.status, answer.message.partition(":")[0], 0.0)
            return False
        if not 200 <= answer.status < 300:
            self._not_taken(webhook, delivery, answer.status, f"HTTP {answer.status}", _asked_wait_s(answer.headers))
            return False
        now = self._clock()
        with self._db.write() as connection:
            store.settle_hook(
                connection, delivery, HookState.DONE, status=answer.status, message="", due_at=None, now=now
            )
        return True

    def _not_taken(
        self, webhook: Webhook, delivery: Delivery, status: int | None, message: str, asked_wait_s: float
    ) -> None:
        """Have a delivery tried again later, or give it up when it is too old."""
        now = self._clock()
        is_over = now - delivery.created_at >= dt.timedelta(seconds=webhook.give_up_s)
        state = HookState.GIVEN_UP if is_over else HookState.OPEN
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(delivery.tries - 1, 20), LONGEST_WAIT_S)
        wait_s = max(wait_s * random.uniform(0.5, 1.5), min(asked_wait_s, LONGEST_WAIT_S))  # noqa: S311
        due_at = None if is_over else now + dt.timedelta(seconds=wait_s)
        lines: list[Mapping[str, object]] = []
        with self._db.write() as connection:
            is_ours = store.settle_hook(
                connection, delivery, state, status=status, message=message, due_at=due_at, now=now
            )
            if is_ours and is_over:
                notice = silent_webhook(webhook.name, message)
                issue_id, is_new = open_issue(connection, notice, now=now)
                if is_new:
                    self._hooks.tell(connection, [("issue.opened", issue_id)], but=webhook.name)
                    lines.append(opened(issue_id, notice.kind))
        about = {"endpoint": webhook.name, "delivery": delivery.id, "tries": delivery.tries, "error": message}
        if is_over:
            self._on_trouble(event="hook_given_up", **about)
        else:
            self._on_trouble(event="hook_failed", **about)
        for line in lines:
            self._on_trouble(**line)

    def _client(self, name: str) -> KeptClient:
        with self._gate:
            if name not in self._clients:
                self._clients[name] = KeptClient(window=1)
            return self._clients[name]


def read_secret(webhook: Webhook) -> str:
    """Return the secret that an endpoint shares with us, read anew each time; empty when there is none."""
    if webhook.secret_env is not None:
        return os.environ.get(webhook.secret_env, "").strip()
    path = webhook.secret_file
    return path.read_text("utf-8").strip() if path is not None and path.is_file() else ""


def _asked_wait_s(headers: Mapping[str, str]) -> float:
    """Return the seconds of ``Retry-After``; 0 without, or where it is no number of seconds."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0
