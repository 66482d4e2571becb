"""The Redis transport: a message whose end could not be told does not stand in the way of others."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import redis.exceptions

from tests.rigs import services
from worker.queue import QUEUE, make_app
from worker.settings import Queue, Settings

pytestmark = pytest.mark.service


@pytest.fixture
def server() -> Iterator[services.Redis]:
    if os.environ.get("CI") != "true":
        try:
            services.Redis().kill()
        except services.Missing as error:
            pytest.skip(f"{error} is missing: `make deps` installs it")
    with services.redis() as found:
        yield found


@pytest.mark.parametrize("ends", ["ack", "reject", "requeue"])
def test_a_message_that_cannot_be_ended_is_let_go_of(server: services.Redis, ends: str) -> None:
    """Redis is gone when a message ends: that is raised, and the window is free for the next one."""
    app = make_app(Settings(queue=Queue(broker=server.url)))
    got: list[Any] = []
    with app.connection_for_read() as connection, app.connection_for_write() as other:
        channel = connection.default_channel
        channel.basic_qos(0, 1, False)
        with app.amqp.TaskConsumer(channel, on_message=got.append, no_ack=False, accept=["json"]):
            for number in range(2):
                app.amqp.Producer(other).publish({"number": number}, routing_key=QUEUE, serializer="json")
            connection.drain_events(timeout=10)
            assert len(got) == 1
            assert not channel.qos.can_consume()
            server.kill()
            with pytest.raises(redis.exceptions.ConnectionError):
                got[0].ack() if ends == "ack" else got[0].reject(requeue=ends == "requeue")
            assert channel.qos.can_consume()
            server.start()
