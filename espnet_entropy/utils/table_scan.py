"""One pass over a ``<key> <value>`` file of millions of lines, in pieces and vectorised.

Nearly every line is *plain*: it begins with its key, a space or tab ends the key soon, and a
character that is no white space follows. What such a line holds needs no Python. All others go
through :func:`espnet_entropy.utils.scp.split_line`, so that the rules of the format are those of
:func:`espnet_entropy.utils.scp.scan`. A defect is only noticed here; ``scan`` finds the words.

Letters: n lines of a piece, W of ``WIDTHS``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from espnet_entropy.utils.scp import Check, split_line

PIECE = 1 << 20  # bytes at a time: about 12 MB of work space for short lines
WIDTHS = (32, 128)  # bytes of a line that its key is looked for in: few need more than the first
STRIDE = 32  # lines of a block: one of so many keys is kept in memory
SPACE, TAB, NEWLINE = b" \t\n"

# Bytes that begin a character which str.strip leaves alone. White space outside ASCII begins with
# C2, E1, E2 or E3; what else begins so is treated as if it might be white space.
SOLID = np.zeros(256, dtype=bool)
SOLID[0x01:0x80] = True
SOLID[[*b"\t\n\v\f\r\x1c\x1d\x1e\x1f "]] = False
SOLID[0xC3:0xF5] = True
SOLID[0xE1:0xE4] = False


class DefectError(Exception):
    """A line that :func:`espnet_entropy.utils.scp.scan` has words for."""


@dataclass(frozen=True)
class Values:
    """The values of n plain lines of a piece: what a fast check of them may look at.

    Attributes:
        text: (bytes,) uint8, the piece.
        first: (n,) int64, place of each value's first byte.
        last: (n,) int64, place of the last byte of each line.
    """

    text: np.ndarray
    first: np.ndarray
    last: np.ndarray

    def digits(self, most: int = 20) -> np.ndarray:
        """(n,) int64: ASCII digits at the end of each line, counted up to ``most``."""
        padded = np.concatenate([np.zeros(most - 1, np.uint8), self.text])
        ends = np.lib.stride_tricks.sliding_window_view(padded, most)[self.last][:, ::-1]
        other = (ends < ord("0")) | (ends > ord("9"))
        count: np.ndarray = np.where(other.any(axis=1), other.argmax(axis=1), most)
        return count


@dataclass(frozen=True)
class Index:
    """Where to look for a key.

    Attributes:
        lines: number of lines.
        size: bytes of the file.
        digest: of all keys in their order: the same in two files that have the same ones.
        stride: lines from one key that is kept to the next.
        keys: each first key of ``stride`` lines of a file that is sorted; else empty.
        starts: where those lines begin; of a file that is not sorted, where every line begins,
            in the order of their keys.
        sorted: whether each key is above the one before it, as bytes (``LC_ALL=C sort``).
    """

    lines: int
    size: int
    digest: bytes
    stride: int
    keys: list[bytes]
    starts: np.ndarray
    sorted: bool


class Keys:
    """The keys of one piece of the file.

    Args:
        piece: whole lines.
        allow_empty: accept a key alone.
        check: what else is asked of a value.

    Attributes:
        starts: (n,) int64, where each line begins in the piece.
        lengths: (n,) int64, bytes of each key.
        prefixes: (n,) of type ``S``, the first bytes of each key.
        problem: what ``check`` said of the first value that it refused.

    Raises:
        DefectError: for a line that is blank or lacks its value, or bytes that are not UTF-8.
    """

    def __init__(self, piece: bytes, allow_empty: bool, check: Check | None) -> None:
        self.piece = piece
        self.problem: ValueError | None = None
        if not piece.isascii():
            try:
                piece.decode()
            except UnicodeDecodeError:
                raise DefectError from None
        text = np.frombuffer(piece, np.uint8)
        ends = np.flatnonzero(text == NEWLINE)
        self.starts = np.concatenate([[0], ends[:-1] + 1])
        padded = np.concatenate([text, np.zeros(WIDTHS[-1], np.uint8)])
        for most in WIDTHS:
            # (n, W): the line's first bytes, and perhaps some of the next line
            heads = np.lib.stride_tricks.sliding_window_view(padded, most)[self.starts]
            self.lengths = ((heads == SPACE) | (heads == TAB)).argmax(axis=1)
            if np.count_nonzero(self.lengths) > 0.9 * len(self.lengths):
                break
        first = self.starts + self.lengths + 1
        plain = SOLID[heads[:, 0]] & (self.lengths > 0) & (first < ends) & SOLID[padded[first]]
        if check is not None and check.fast is not None:
            some = np.flatnonzero(plain)
            plain[some] = check.fast(Values(text, first[some], ends[some] - 1))
        elif check is not None:
            plain[:] = False
        self._odd: dict[int, bytes] = {}
        for line in np.flatnonzero(~plain).tolist():
            self._read(line, int(ends[line]), heads, allow_empty, check)
        width = min(int(self.lengths.max()) + 1, most)
        columns, ends = np.arange(width), self.lengths[:, None]
        heads = np.where(columns < ends, heads[:, :width], 0)
        self.prefixes = heads.view(f"S{width}").ravel()
        self._joined: np.ndarray | None = None
        if (ends < width).all():
            self._joined = np.where(columns == ends, NEWLINE, heads)[columns <= ends]

    def _read(
        self, line: int, end: int, heads: np.ndarray, allow_empty: bool, check: Check | None
    ) -> None:
        """A line that is not plain."""
        key, value = split_line(self.piece[self.starts[line] : end].decode())
        if not key or not (value or allow_empty):
            raise DefectError
        if check is not None and self.problem is None:
            try:
                check.slow(key, value)
            except ValueError as error:
                self.problem = error
        self._odd[line] = name = key.encode()
        self.lengths[line] = len(name)
        width = heads.shape[1]
        heads[line] = np.frombuffer(name[:width].ljust(width, b"\0"), np.uint8)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, line: int) -> bytes:
        """A key, whole."""
        if line in self._odd:
            return self._odd[line]
        start = self.starts[line]
        return self.piece[start : start + self.lengths[line]]

    def joined(self) -> bytes:
        """All keys, each with a line end: for the digest."""
        if self._joined is not None:
            return self._joined.tobytes()
        return b"".join(self[line] + b"\n" for line in range(len(self)))

    def rising(self) -> bool:
        """Whether each key is above the one before it.

        Raises:
            DefectError: for a key twice in a row.
        """
        below = self.prefixes[:-1] < self.prefixes[1:]
        for line in np.flatnonzero(~below).tolist():
            # the first bytes may be equal, or differ in NULs, which `S` does not tell from an end
            if self[line] >= self[line + 1]:
                if self[line] == self[line + 1]:
                    raise DefectError
                return False
        return True


def pieces(descriptor: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of whole lines, about ``PIECE`` at a time; the last one gets its end."""
    offset, rest = 0, b""
    while more := os.pread(descriptor, PIECE, offset + len(rest)):
        cut = more.rfind(b"\n") + 1
        if cut:
            yield offset, rest + more[:cut]
            offset, rest = offset + len(rest) + cut, more[cut:]
        else:
            rest += more
    if rest:
        yield offset, rest + b"\n"


def index_lines(descriptor: int, allow_empty: bool, check: Check | None) -> Index:
    """Read the whole file once; a second time if it is not sorted.

    Raises:
        DefectError: if :func:`espnet_entropy.utils.scp.scan` finds something wrong.
        ValueError: what ``check`` says of the first value that it refuses.
    """
    lines, last, in_order = 0, b"", True
    problem: ValueError | None = None
    digest = hashlib.blake2b(digest_size=16)
    kept: list[bytes] = []
    starts: list[np.ndarray] = []
    for offset, piece in pieces(descriptor):
        keys = Keys(piece, allow_empty, check)
        digest.update(keys.joined())
        problem = problem or keys.problem
        in_order = in_order and last < keys[0] and keys.rising()
        if in_order:
            some = np.arange(-lines % STRIDE, len(keys), STRIDE)
            kept += [keys[line] for line in some.tolist()]
            starts.append(offset + keys.starts[some])
            last = keys[len(keys) - 1]
        lines += len(keys)
    if not in_order:
        kept, starts = [], [_starts_by_key(descriptor, allow_empty)]
    if problem is not None:
        raise problem
    joined = np.concatenate([np.zeros(0, np.int64), *starts])
    size = os.fstat(descriptor).st_size
    return Index(lines, size, digest.digest(), STRIDE, kept, joined, in_order)


def _starts_by_key(descriptor: int, allow_empty: bool) -> np.ndarray:
    """(lines,) int64, where each line begins, in the order of their keys.

    Raises:
        DefectError: for a key that occurs twice.
    """
    starts: list[np.ndarray] = []
    prefixes: list[np.ndarray] = []
    for offset, piece in pieces(descriptor):
        keys = Keys(piece, allow_empty, None)
        starts.append(offset + keys.starts)
        # of one width: a key that is cut off in one piece may be whole in another
        prefixes.append(keys.prefixes.astype(f"S{WIDTHS[0]}"))
    ordered, heads = np.concatenate(starts), np.concatenate(prefixes)
    by_head = np.argsort(heads, kind="stable")
    ordered, heads = ordered[by_head], heads[by_head]
    # runs of equal first bytes, which only the whole keys can order
    edges = np.flatnonzero(np.concatenate([[True], heads[1:] != heads[:-1], [True]]))
    for begin in np.flatnonzero(np.diff(edges) > 1).tolist():
        run = slice(int(edges[begin]), int(edges[begin + 1]))
        named = sorted((key_at(descriptor, start), start) for start in ordered[run].tolist())
        if any(one == other for (one, _), (other, _) in pairwise(named)):
            raise DefectError
        ordered[run] = [start for _, start in named]
    return ordered


def line_at(descriptor: int, start: int, guess: int = 256) -> bytes:
    """The line that begins at ``start``, without its end."""
    line = os.pread(descriptor, guess, start)
    end = line.find(b"\n")
    if end < 0 and len(line) == guess:
        return line_at(descriptor, start, 16 * guess)
    return line if end < 0 else line[:end]


def key_at(descriptor: int, start: int) -> bytes:
    """The key of the line that begins at ``start``."""
    return split_line(line_at(descriptor, start).decode())[0].encode()
