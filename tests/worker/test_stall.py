"""A worker's look at messages that wait while none of its children works."""

from worker.queue import Stall


def test_only_what_waits_while_nobody_works_is_a_stall() -> None:
    """Each message has its own time; a child at work begins all of them again."""
    stall = Stall(after_s=10)
    assert not stall.look(["a"], is_busy=False, now=0)
    assert not stall.look(["a", "b"], is_busy=False, now=9)
    assert not stall.look(["b"], is_busy=False, now=18)
    assert stall.look(["b"], is_busy=False, now=20)
    assert not stall.look(["b"], is_busy=True, now=21)
    assert not stall.look(["b"], is_busy=False, now=30)
    assert not stall.look([], is_busy=False, now=99)
    assert not stall.look(["b"], is_busy=False, now=100)
