"""Arrays in Kaldi archives, read without running anything.

kaldiio chooses a reader by a file's content, one of which unpickles, and runs a path that ends or
begins with ``|``. Here an entry is ``<archive>:<offset>`` of a plain file, and what lies there is a
binary matrix (``FM``, ``DM``) or vector of int32, as :mod:`espnet_entropy.utils.shards` writes
them, or an error.
"""

from __future__ import annotations

import math
import os
import resource
import stat
import struct
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.utils.scp import Check, read_table
from espnet_entropy.utils.table import Streamed
from espnet_entropy.utils.table_scan import Values

MATRICES: dict[bytes, np.dtype[Any]] = {b"FM ": np.dtype("<f4"), b"DM ": np.dtype("<f8")}
INTEGER: np.dtype[Any] = np.dtype(
    [("size", "i1"), ("value", "<i4")]
)  # Kaldi puts the size before each one
HEADER = 15  # bytes of a matrix's header, the longest
OPEN_FILES = 512  # at most, and a quarter of what the process may open


def read_entries(scp: str | Path) -> Mapping[str, str]:
    """``<key> <archive>:<offset>`` lines, in file order.

    Raises:
        ValueError: naming file and key, for another shape of line or a pipe.
    """

    def check(key: str, where: str) -> None:
        try:
            split(where)
        except ValueError as error:
            raise ValueError(f"{scp}: {key}: {where}: {error}") from None

    return read_table(scp, check=Check(check, _are_entries))


def _are_entries(values: Values) -> np.ndarray:
    """What :func:`split` surely accepts: up to 19 digits behind a colon, and no pipe in front."""
    digits = values.digits(20)
    colon = values.last - digits
    numbered = (digits > 0) & (digits < 20) & (values.text[colon] == ord(":"))
    fit: np.ndarray = numbered & (colon > values.first) & (values.text[values.first] != ord("|"))
    return fit


def split(where: str) -> tuple[str, int]:
    """Path and offset of ``<archive>:<offset>``.

    Raises:
        ValueError: for another shape or a pipe.
    """
    if where.startswith("|") or where.endswith("|"):
        raise ValueError("a pipe; expected <archive>:<offset>. It was not run.")
    path, _, offset = where.rpartition(":")
    if not (path and offset.isascii() and offset.isdigit()):
        raise ValueError("expected <archive>:<offset>; make the file again.")
    return path, int(offset)


def beside(path: str, directory: Path) -> str | None:
    """The archive that an scp file in ``directory`` names, as seen from here, if it lies with it.

    Paths are relative to where the maker worked: ``dump/scored/<set>/…`` to its recipe. So it is
    found from anywhere, and never taken for that of another dump which has the same path from here.

    Returns:
        ``None`` for an absolute path, and for an archive that lies elsewhere.
    """
    if os.path.isabs(path):
        return None
    # as it is called here, and as it is where no link leads on: an archive may be a link itself
    for home in (Path(os.path.abspath(directory)), directory.resolve()):
        for parent in home.parents:
            place = Path(os.path.normpath(parent / path))
            if home in place.parents and place.is_file():
                return os.path.relpath(place)
    return None


class Arrays(Streamed[np.ndarray]):
    """The arrays of an scp file, each read when it is asked for: matrices or int32 vectors.

    Archives stay open, the last ``OPEN_FILES`` that were read. Reads share no position: forked
    workers may use one object.

    Args:
        entries: key to ``<archive>:<offset>``.
        name: the scp file; archives are looked for :func:`beside` it, then where they say.

    Example:
        ``Arrays.load("dump/units/train/units.scp")["utt1"]``
    """

    def __init__(self, entries: Mapping[str, str], name: str | Path) -> None:
        self.entries, self.name = entries, name
        self._places: dict[str, str] = {}
        self._open: dict[str, int] = {}  # path to descriptor, the latest read last
        weakref.finalize(self, _close, self._open)

    @classmethod
    def load(cls, scp: str | Path) -> Arrays:
        """The arrays of a file.

        Raises:
            ValueError: as :func:`read_entries`.
        """
        return cls(read_entries(scp), scp)

    def __getitem__(self, key: str) -> np.ndarray:
        """The array of ``key``, as :meth:`load_at` gives it."""
        return self.load_at(key, self.entries[key])

    def load_at(self, key: str, where: str) -> np.ndarray:
        """The array at ``<archive>:<offset>``: (N, D) float32 or float64, or (N,) int32.

        Raises:
            ValueError: naming file, key and what lies there instead.
        """
        try:
            path, offset = split(where)
            return _read(self._descriptor(path), offset)
        except OSError as error:
            reason = f"cannot be read ({error.strerror}); make the archive again."
        except ValueError as error:
            reason = str(error)
        raise ValueError(f"{self.name}: {key}: {where}: {reason}")

    def __contains__(self, key: object) -> bool:
        return key in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def pairs(self) -> Iterator[tuple[str, np.ndarray]]:
        """Keys and arrays, in the order of the entries."""
        return ((key, self.load_at(key, where)) for key, where in self.entries.items())

    def __len__(self) -> int:
        return len(self.entries)

    def _descriptor(self, path: str) -> int:
        descriptor = self._open.pop(path, None)
        if descriptor is None:
            if len(self._open) >= _most_open():
                os.close(self._open.pop(next(iter(self._open))))
            if path not in self._places:
                self._places[path] = beside(path, Path(self.name).parent) or path
            # not blocking: a FIFO is refused below instead of being waited for
            descriptor = os.open(self._places[path], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._open[path] = descriptor
        return descriptor


def _most_open() -> int:
    """Archives that one object keeps open: there are others, and a limit to all together."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN_FILES if limit == resource.RLIM_INFINITY else max(1, min(OPEN_FILES, limit // 4))


def _close(descriptors: dict[str, int]) -> None:
    while descriptors:
        os.close(descriptors.popitem()[1])


def _read(descriptor: int, offset: int) -> np.ndarray:
    """The array at ``offset``."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("no plain file; expected an archive.")
    head = os.pread(descriptor, HEADER, min(offset, status.st_size))
    begin, dtype, shape = _header(head)
    size = dtype.itemsize * math.prod(shape)
    if offset + begin + size > status.st_size:
        raise ValueError(
            f"an array of shape {shape} needs {size} bytes, but the archive ends after "
            f"{status.st_size - offset - begin}; make it again."
        )
    data = bytearray()
    while len(data) < size:  # the system hands over at most 2 GiB at once
        piece = os.pread(descriptor, size - len(data), offset + begin + len(data))
        if not piece:
            raise ValueError("the archive became shorter while it was read; make it again.")
        data += piece
    array = np.frombuffer(data, dtype)
    if dtype != INTEGER:
        return array.reshape(shape)
    if not (array["size"] == 4).all():
        raise ValueError("a vector whose integers are not of 4 bytes; make the archive again.")
    return array["value"].astype(np.int32)


def _header(head: bytes) -> tuple[int, np.dtype[Any], tuple[int, ...]]:
    """Length of the header, type of an element, and shape."""
    shape: tuple[int, ...] = ()
    begin, dtype = 0, INTEGER
    if head[:3] == b"\0B\4" and len(head) >= 7:
        begin, shape = 7, struct.unpack("<i", head[3:7])
    elif head[:2] == b"\0B" and head[2:5] in MATRICES and len(head) == HEADER:
        dtype = MATRICES[head[2:5]]
        begin, (four, rows, four_too, columns) = HEADER, struct.unpack("<bibi", head[5:])
        shape = (rows, columns) if four == four_too == 4 else ()
    if not shape or min(shape) < 0:
        raise ValueError(
            f"holds {head[:8]!r} there; expected a Kaldi binary matrix of floats or vector of "
            "int32. Nothing of it was run; make the archive with this toolkit."
        )
    return begin, dtype, shape
