"""One deadline over a whole exchange: each wait on the network gets what is left."""

from typing import Any

import httpcore
import pytest

from worker.destinations import deadline as module
from worker.destinations.deadline import SLICE_BYTES, deadline, left_s


class Clock:
    """A monotonic clock that stands until it is moved."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Inner(httpcore.NetworkStream):
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.waits: list[float | None] = []
        self.written = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.waits.append(timeout)
        return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.waits.append(timeout)
        self.written += buffer

    def start_tls(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        return self


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_each_wait_gets_what_is_left(clock: Clock) -> None:
    """A wait is as long as its own timeout, or as the rest of the deadline when that is shorter."""
    inner = Inner()
    stream = module._Stream(inner)
    with deadline(3.0):
        stream.write(b"x", 2.0)
        clock.now += 2.5
        stream.read(1, 2.0)
        stream.read(1)
        stream.read(1, 0.25)
    assert inner.waits == [2.0, 0.5, 0.5, 0.25]


def test_after_the_deadline_nothing_is_written_or_read(clock: Clock) -> None:
    """Before the first byte it is as if never connected; after it, the write or read is late."""
    inner = Inner()
    stream = module._Stream(inner)
    with deadline(3.0):
        clock.now += 3
        with pytest.raises(httpcore.ConnectTimeout):
            stream.write(b"x", 2.0)
    assert inner.written == b""
    with deadline(3.0):
        stream.write(b"x", 2.0)
        clock.now += 3
        with pytest.raises(httpcore.WriteTimeout):
            stream.write(b"y", 2.0)
        with pytest.raises(httpcore.ReadTimeout):
            stream.read(1, 2.0)
    assert inner.written == b"x"


def test_a_large_body_goes_out_in_slices(clock: Clock) -> None:
    """The deadline is looked at between slices, and no byte is lost."""
    inner = Inner()
    large = bytes(range(256)) * (SLICE_BYTES // 100)
    with deadline(3.0):
        module._Stream(inner).write(large, 2.0)
    assert inner.written == large
    assert len(inner.waits) == 3


def test_without_a_deadline_timeouts_are_as_given(clock: Clock) -> None:
    """Outside the block nothing is bounded by it."""
    with deadline(3.0):
        assert left_s() == 3.0
    assert left_s() == float("inf")
    inner = Inner()
    module._Stream(inner).read(1, 7.0)
    module._Stream(inner).read(1)
    assert inner.waits == [7.0, None]


def test_a_deadline_goes_through_tls(clock: Clock) -> None:
    """The stream after the handshake keeps to the deadline as well."""
    inner = Inner()
    with deadline(3.0):
        secured = module._Stream(inner).start_tls(None, None, 9.0)  # type: ignore[arg-type]
        clock.now += 2
        secured.read(1, 9.0)
    assert inner.waits == [1.0]
