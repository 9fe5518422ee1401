"""``<key> <value>`` files of millions of lines as mappings that hold next to nothing in memory.

Values stay in the file; memory has one of 32 keys (about 1.3 bytes a line), and the page cache,
which all processes share, has the rest. A file that is not sorted as ``LC_ALL=C sort`` does costs
8 bytes a line. The file is read by position, not mapped: one that is shortened by somebody is an
error then, not the end of the process. A file that is *replaced* (as
:func:`espnet_entropy.utils.files.atomic_write` does) goes on to be read as it was.
"""

from __future__ import annotations

import os
import weakref
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from pathlib import Path
from typing import Any, Generic, TypeVar

from espnet_entropy.utils.scp import Check, read_scp, split_line
from espnet_entropy.utils.table_scan import (
    NEWLINE,
    DefectError,
    index_lines,
    key_at,
    line_at,
    pieces,
)

S = TypeVar("S")
T = TypeVar("T")


class Streamed(Mapping[str, T]):
    """A mapping whose ``items()`` and ``values()`` look nothing up: they follow :meth:`pairs`."""

    @abstractmethod
    def pairs(self) -> Iterator[tuple[str, T]]:
        """Keys and values, in the order of the file."""

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.pairs())

    def items(self) -> ItemsView[str, T]:
        """Keys and values, in the order of the file, one at a time."""
        return _Items(self)

    def values(self) -> ValuesView[T]:
        """Values, in the order of the file, one at a time."""
        return _Values(self)


class _Items(ItemsView[str, T]):
    _mapping: Streamed[T]

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return self._mapping.pairs()


class _Values(ValuesView[T]):
    _mapping: Streamed[T]

    def __iter__(self) -> Iterator[T]:
        return (value for _, value in self._mapping.pairs())


class Table(Streamed[str]):
    """What :func:`espnet_entropy.utils.scp.read_scp` reads, left in its file.

    Forked processes may use one object; pickling it keeps the path, and reads the file anew.

    Args:
        path: the file, UTF-8.
        allow_empty: accept a key alone (an empty text).
        check: what else is asked of each value.

    Raises:
        ValueError: as ``read_scp``, or what ``check`` says of the first value that it refuses.
    """

    def __init__(
        self, path: str | Path, allow_empty: bool = False, check: Check | None = None
    ) -> None:
        self.path, self._allow_empty = Path(path), allow_empty
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._descriptor)
            self._index = index_lines(self._descriptor, allow_empty, check)
        except (DefectError, OSError):
            read_scp(path, allow_empty)  # finds the words for it
            raise

    @property
    def digest(self) -> bytes:
        """Of all keys in their order; see :func:`espnet_entropy.utils.scp.same_keys`."""
        return self._index.digest

    @property
    def sorted(self) -> bool:
        """Whether the keys come in sorted order."""
        return self._index.sorted

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self._allow_empty)

    def __len__(self) -> int:
        return self._index.lines

    def __getitem__(self, key: str) -> str:
        try:
            name = key.encode()
        except (AttributeError, UnicodeEncodeError):
            raise KeyError(key) from None
        value = self._sorted_value(key, name) if self.sorted else self._value(name)
        if value is None:
            raise KeyError(key)
        return value

    def _sorted_value(self, key: str, name: bytes) -> str | None:
        block = bisect_right(self._index.keys, name) - 1
        if block < 0:
            return None
        text = self._block(block)
        # most often the line begins like this; 'a b' is in the line of 'a', though
        found = text.find(name + b" ")
        if found == 0 or (found > 0 and text[found - 1] == NEWLINE):
            line = text[found : (text.find(b"\n", found) + 1 or None)]
            other, value = split_line(line.decode())
            if other == key:
                return value
        return dict(map(split_line, text.decode().split("\n"))).get(key)

    def key(self, line: int) -> str:
        """The key of a line, counted from 0; of a sorted file alone."""
        block, place = divmod(line, self._index.stride)
        lines = self._block(block).split(b"\n", place + 1)
        return split_line(lines[place].decode())[0]

    def _block(self, block: int) -> bytes:
        """The lines from one key that is kept to the next."""
        starts = self._index.starts
        begin = int(starts[block])
        end = int(starts[block + 1]) if block + 1 < len(starts) else self._index.size
        text = os.pread(self._descriptor, end - begin, begin)
        if len(text) < end - begin:
            raise ValueError(f"{self.path}: became shorter while it was read; start again.")
        return text

    def _value(self, name: bytes) -> str | None:
        starts = self._index.starts
        place = bisect_left(starts, name, key=lambda start: key_at(self._descriptor, int(start)))
        if place == len(starts):
            return None
        key, value = split_line(line_at(self._descriptor, int(starts[place])).decode())
        return value if key.encode() == name else None

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Keys and values, in the order of the file."""
        for _, piece in pieces(self._descriptor):
            yield from map(split_line, piece.decode()[:-1].split("\n"))


class Converted(Streamed[T], Generic[S, T]):
    """A mapping whose values are made from another one's when they are asked for.

    Args:
        source: the other mapping.
        convert: value from key and the other's value. Picklable if this is to be.
    """

    def __init__(self, source: Mapping[str, S], convert: Callable[[str, S], T]) -> None:
        self._source, self._convert = source, convert

    @property
    def digest(self) -> bytes | None:
        """That of the source, if it has one."""
        return getattr(self._source, "digest", None)

    @property
    def sorted(self) -> bool:
        """Whether the keys are known to come in sorted order."""
        return getattr(self._source, "sorted", False)

    def __len__(self) -> int:
        return len(self._source)

    def __contains__(self, key: object) -> bool:
        return key in self._source

    def __getitem__(self, key: str) -> T:
        return self._convert(key, self._source[key])

    def pairs(self) -> Iterator[tuple[str, T]]:
        """Keys and values, in the order of the source."""
        return ((key, self._convert(key, value)) for key, value in self._source.items())
