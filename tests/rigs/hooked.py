"""A lane with endpoints that are told what happens, and what stores and sends to them."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from tests.rigs.endpoint import Endpoint
from tests.rigs.lane import Rig
from worker.deliver import Deliver
from worker.drain import Drain
from worker.hooks import Hooks
from worker.settings import Webhook
from worker.store.tables import hook_deliveries

ALL = ("mail.held", "event.applied", "event.rejected", "issue.opened", "mailbox.silent")


class Hooked:
    """A lane's rig with endpoints, and what stores and sends to them."""

    def __init__(self, url: str, make_endpoint: Callable[[], Endpoint]) -> None:
        self.rig = Rig(url)
        self.clock = self.rig.clock
        self.db = self.rig.db
        self.endpoints = {"one": make_endpoint()}
        self.webhooks: list[Webhook] = [self.webhook("one")]
        self.troubles: list[dict[str, Any]] = []
        self.hooks = Hooks(endpoints=lambda: self.webhooks, clock=self.clock, on_trouble=self._note)
        self.deliver = self.sender()

    def _note(self, **fields: Any) -> None:
        self.troubles.append(fields)

    def webhook(self, name: str, **more: Any) -> Webhook:
        """Return the settings of an endpoint."""
        values = {"name": name, "url": self.endpoints[name].url, "events": ALL, "secret_env": "HOOK_SECRET", **more}
        return Webhook.model_validate(values)

    def sender(self) -> Deliver:
        """Return another process's sender."""
        return Deliver(
            self.db,
            webhooks=lambda: self.webhooks,
            hooks=self.hooks,
            clock=self.clock,
            on_trouble=self._note,
        )

    @property
    def one(self) -> Endpoint:
        """Return the first endpoint."""
        return self.endpoints["one"]

    def drain(self) -> None:
        """Drain the lane, telling."""
        drain = Drain(self.db, {"kiss": self.rig.far}, clock=self.clock, by="one", on_told=self.hooks.tell)
        drain.drain([("kiss", "MAIN-B204")])

    def tell(self, *told: tuple[str, int | str]) -> None:
        """Tell in a transaction of its own."""
        with self.db.write() as connection:
            self.hooks.tell(connection, told)

    def rows(self) -> list[Any]:
        """Return the deliveries, the first due first."""
        with self.db.read() as connection:
            return list(connection.execute(sa.select(hook_deliveries).order_by(hook_deliveries.c.created_at)).all())

    def row(self) -> Any:
        """Return the one delivery."""
        (row,) = self.rows()
        return row
