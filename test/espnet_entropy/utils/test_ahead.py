import threading
import time
from contextlib import closing

import pytest

from espnet_entropy.utils.ahead import AbandonedError, ahead, behind

PATIENCE = 20.0  # seconds until a test that would hang fails


def wait(event: threading.Event) -> None:
    assert event.wait(PATIENCE)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in ("ahead", "behind")]


def test_the_next_is_made_while_one_is_used():
    making = [threading.Event() for _ in range(4)]

    def items():
        for i, event in enumerate(making):
            event.set()
            yield i

    with closing(ahead(items())) as stream:
        for i, item in enumerate(stream):
            assert item == i
            if i < 3:
                wait(making[i + 1])  # the next begins before this one is done with
            if i < 2:
                assert not making[i + 2].wait(0.05)  # and no more than that
    assert threads() == []


def test_what_a_maker_raises_is_raised_in_its_place():
    def items():
        yield 1
        raise OSError("disk")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(OSError, match="disk"):
        next(stream)
    assert threads() == []


def test_a_maker_is_closed_in_its_thread_when_nobody_wants_more():
    closed = []

    def items():
        try:
            yield from range(100)
        finally:
            closed.append(threading.current_thread().name)

    with closing(ahead(items())) as stream:
        assert next(stream) == 0
    assert closed == ["ahead"]
    assert threads() == []


def test_ahead_of_nothing():
    assert list(ahead(iter(()))) == []
    assert list(ahead([1, 2, 3], most=5)) == [1, 2, 3]


def test_consuming_does_not_hold_up_making():
    making, consuming, found = threading.Event(), threading.Event(), []

    def items():
        yield "a"
        wait(consuming)  # 'a' is being consumed
        yield "b"
        making.set()  # 'b' waits already

    def consume(stream):
        for item in stream:
            consuming.set()
            wait(making)
            found.append((item, threading.current_thread().name))

    behind(items(), consume)
    assert found == [("a", "behind"), ("b", "behind")]
    assert threads() == []


def test_no_more_wait_than_agreed():
    made, third = [], threading.Event()

    def items():
        for i in range(6):
            made.append(i)
            if i == 2:
                third.set()
            yield i

    def consume(stream):
        assert next(stream) == 0
        wait(third)
        time.sleep(0.05)  # in which a fourth would be made
        ahead_of_us = list(made)
        assert list(stream) == [1, 2, 3, 4, 5]
        assert ahead_of_us == [0, 1, 2]  # one in use here, one waiting, one made

    behind(items(), consume)


@pytest.mark.parametrize("error", [OSError("bad"), KeyboardInterrupt()])
def test_nothing_unfinished_passes_for_whole(error):
    seen = []

    def items():
        yield 1
        raise error

    def consume(stream):
        try:
            seen.extend(stream)
            seen.append("whole")
        except AbandonedError:
            seen.append("abandoned")
            raise

    with pytest.raises(type(error)):
        behind(items(), consume)
    assert seen[-1] == "abandoned"
    assert threads() == []


def test_a_consumer_may_have_had_enough():
    made = []
    behind((made.append(i) for i in range(1000)), lambda stream: [next(stream), next(stream)])
    assert 2 <= len(made) < 10
    assert threads() == []


def test_a_failing_consumer_ends_the_making():
    made = []

    def items():
        try:
            for i in range(1000):
                made.append(i)
                yield i
        finally:
            made.append("closed")

    def consume(stream):
        next(stream)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        behind(items(), consume)
    assert made[-1] == "closed"
    assert len(made) < 10
    assert threads() == []
