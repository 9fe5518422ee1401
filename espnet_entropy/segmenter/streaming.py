"""Groups from a stream of units, each as soon as it is certain."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.criteria import fires, scores
from espnet_entropy.segmenter.flat import Flat
from espnet_entropy.segmenter.segment import reach
from espnet_entropy.utils.grid import boundary_time


@dataclass(frozen=True)
class Group:
    """A run of consecutive units.

    Attributes:
        first: index of its first unit in the utterance.
        units: (n,) int.
        entropy: (n,) float, nats.
    """

    first: int
    units: np.ndarray
    entropy: np.ndarray

    @property
    def start(self) -> float:
        """Start in seconds: 0 for the first group, else the boundary before its first unit."""
        return float(boundary_time(self.first)) if self.first else 0.0

    @property
    def end(self) -> float:
        """End in seconds: the boundary after its last unit."""
        return float(boundary_time(self.first + len(self.units)))


def make_groups(units: np.ndarray, entropy: np.ndarray, starts: np.ndarray) -> list[Group]:
    """Cut an utterance at its starts.

    Args:
        units: (N,) int.
        entropy: (N,) float, nats.
        starts: (N,) bool; the first is True.

    Example:
        >>> mask = np.array([True, False, True])
        >>> [(g.first, g.units.tolist()) for g in make_groups(np.arange(3), np.zeros(3), mask)]
        [(0, [0, 1]), (2, [2])]
    """
    edges = [*np.flatnonzero(starts).tolist(), len(units)]
    return [Group(a, units[a:b], entropy[a:b]) for a, b in pairwise(edges)]


class StreamingSegmenter:
    """The offline segmenter on units that arrive in pieces of any size.

    The groups are those of :func:`espnet_entropy.segmenter.segment.segment` on the whole
    utterance. A group is handed out when its end is certain: ``lookahead(config)`` units after
    the unit that starts the next one; with ``boundary: end``, as soon as its last unit is known
    to end it.

    Args:
        config: criterion with its threshold(s) and limits.

    Raises:
        ValueError: if a threshold is missing.

    Example:
        >>> segmenter = StreamingSegmenter(SegmenterConfig("global", threshold=2.0))
        >>> segmenter.push(np.array([7, 7, 3]), np.array([4.0, 0.1, 2.5]))[0].units
        array([7, 7])
        >>> segmenter.push(np.array([3, 9]), np.array([0.3, 3.0]))[0].units
        array([3, 3])
        >>> segmenter.flush()[0].units
        array([9])
    """

    def __init__(self, config: SegmenterConfig) -> None:
        self._config = config.in_nats()
        self._config.require_knobs()
        self._history, self._ahead = reach(self._config)
        # with boundary: end, what unit i decides is whether i + 1 starts
        self._lag = int(self._config.boundary == "end")
        self._reset()

    def _reset(self) -> None:
        self._units = np.zeros(0, dtype=np.int64)  # from index _offset on
        self._entropy = np.zeros(0, dtype=np.float32)
        self._offset = 0
        self._decided = 0  # units whose own rule has been evaluated
        self._open = 0  # first unit of the open group

    def push(self, units: np.ndarray, entropy: np.ndarray) -> list[Group]:
        """Add units with their entropies.

        Args:
            units: (n,) int, n >= 0.
            entropy: (n,) float, nats.

        Returns:
            The groups that closed.
        """
        units, entropy = np.asarray(units), np.asarray(entropy)
        if units.ndim != 1 or units.shape != entropy.shape:
            raise ValueError(
                f"units and entropy: expected the same shape (n,), got {units.shape} and "
                f"{entropy.shape}."
            )
        if not len(units):
            return []
        fresh = self._offset + len(self._units) == 0  # take over the caller's types
        self._units = units if fresh else np.concatenate([self._units, units])
        self._entropy = entropy if fresh else np.concatenate([self._entropy, entropy])
        return self._advance(self._offset + len(self._units) - self._ahead)

    def flush(self) -> list[Group]:
        """End of the utterance: the remaining groups. The next push begins another utterance."""
        end = self._offset + len(self._units)
        groups = self._advance(end)
        if end > self._open:
            groups.append(self._cut(end))
        self._reset()
        return groups

    def _advance(self, until: int) -> list[Group]:
        """Evaluate the rule for units before index ``until``; close what that closes."""
        if until <= self._decided:
            return []
        first = np.arange(len(self._units)) == 0
        flat = Flat(self._units, self._entropy, first, self._offset)
        picked = fires(scores(flat, self._config), flat, self._config)
        fresh = picked[self._decided - self._offset : until - self._offset]
        groups = self._close(np.flatnonzero(fresh) + self._decided + self._lag, until + self._lag)
        self._decided = until
        keep = max(0, min(self._open, self._decided - self._history) - self._offset)
        self._units, self._entropy = self._units[keep:], self._entropy[keep:]
        self._offset += keep
        return groups

    def _close(self, candidates: np.ndarray, until: int) -> list[Group]:
        """``groups.limit_groups``, from the open group on, for candidates before ``until``."""
        groups = []
        longest = self._config.max_group
        known = self._offset + len(self._units)
        for start in [*candidates.tolist(), None]:
            limit = until - 1 if start is None else start
            while longest is not None and self._open + longest <= min(limit, known - 1):
                groups.append(self._cut(self._open + longest))
            if start is not None and start - self._open >= self._config.smallest_group:
                groups.append(self._cut(start))
        return groups

    def _cut(self, end: int) -> Group:
        begin = self._open - self._offset
        stop = end - self._offset
        group = Group(self._open, self._units[begin:stop], self._entropy[begin:stop])
        self._open = end
        return group
