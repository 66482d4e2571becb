"""What we ask of kombu's Redis transport beyond what it does: it lets go of a message whose end Redis was not told.

As it comes (kombu 5.7), such a message counts as under way for ever. When as many as the worker may hold are lost so,
it asks Redis for no more, looks at no connection, and so never learns that the one it has is gone: it stands still with
children that wait. Here the message only stays with Redis, which gives it out again when its visibility ends; to work
on it twice does no harm.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual


def use_our_redis() -> None:
    """Let ``redis://`` and ``rediss://`` be the transport of this module, in this process."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))


class QoS(redis.QoS):
    """The messages that a channel holds."""

    def ack(self, delivery_tag: str) -> None:
        """Tell Redis that a message is done; raise what tells that it could not be."""
        try:
            super().ack(delivery_tag)
        except BaseException:
            virtual.QoS.ack(self, delivery_tag)
            raise

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or tell Redis to forget it; raise what tells that it could not be."""
        try:
            super().reject(delivery_tag, requeue=requeue)
        except BaseException:
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    """A channel whose messages are those of `QoS`."""

    QoS: Any = QoS


class Transport(redis.Transport):
    """A transport whose channels are those of `Channel`."""

    Channel: Any = Channel
