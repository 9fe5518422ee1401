"""What comes before and after a computation, in threads beside it, with bounded memory.

Reading and writing wait for disks and release Python's lock, so they go on while a device works.
The computation stays in the thread that called: an interrupt (Ctrl-C) reaches it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, TypeVar

T = TypeVar("T")

_END = object()


class AbandonedError(Exception):
    """Raised in what consumes items when making them failed: what it holds is not whole."""


class _Raised:
    """An exception on its way to another thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def ahead(items: Iterable[T], most: int = 1) -> Generator[T, None, None]:
    """Iterate over ``items``, the next of which are made in a thread while one is used.

    Closing it waits until the item that is being made is done.

    Args:
        items: iterated over in the thread, and closed there.
        most: how many are made beyond the one in use.

    Yields:
        The items in their order.

    Raises:
        BaseException: whatever making one raises, in its place.
    """
    made: SimpleQueue[Any] = SimpleQueue()
    room, stop = Semaphore(most), False

    def make() -> None:
        last: object = _END
        try:
            iterator = iter(items)
            try:
                while room.acquire() and not stop:
                    try:
                        made.put((next(iterator),))
                    except StopIteration:
                        break
            finally:
                _close(iterator)
        except BaseException as error:
            last = _Raised(error)
        made.put(last)

    thread = Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            got = made.get()
            if isinstance(got, _Raised):
                raise got.error
            if got is _END:
                return
            room.release()
            yield got[0]
    finally:
        stop = True
        room.release()
        thread.join()


def behind(items: Iterable[T], consume: Callable[[Iterator[T]], object], most: int = 1) -> None:
    """Hand ``items``, made here, to ``consume``, which works in a thread.

    Args:
        items: iterated over in this thread, and closed in the end.
        consume: called once with an iterator over the items. If making one fails, this raises
            :class:`AbandonedError` there, so that nothing unfinished passes for whole.
        most: how many wait at most, beside the one being consumed.

    Raises:
        BaseException: whatever making items raises, or else ``consume``. Its thread has ended then.
    """
    handed: SimpleQueue[Any] = SimpleQueue()
    room, ended = Semaphore(most), False
    failed: list[BaseException] = []

    def hand_over() -> Iterator[T]:
        while True:
            got = handed.get()
            if isinstance(got, _Raised):
                raise got.error
            if got is _END:
                return
            room.release()
            yield got[0]

    def run() -> None:
        nonlocal ended
        try:
            consume(hand_over())
        except BaseException as error:
            failed.append(error)
        finally:
            ended = True
            room.release()  # the other side may be waiting for it

    iterator = iter(items)
    thread = Thread(target=run, name="behind", daemon=True)
    thread.start()
    last: object = _END
    try:
        for item in iterator:
            room.acquire()
            if ended:
                break
            handed.put((item,))
    except BaseException:
        last = _Raised(AbandonedError("what was to be consumed could not be made"))
        raise
    finally:
        handed.put(last)
        thread.join()
        _close(iterator)
    if failed:
        raise failed[0]


def _close(iterator: Iterator[Any]) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()
