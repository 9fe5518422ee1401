"""Units as vectors: what is one, and where a unit repeats (numpy only)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def check_units(units: np.ndarray | Sequence[int], num_clusters: int) -> np.ndarray:
    """Units as (N,) int64.

    Raises:
        ValueError: if they are not a vector of whole numbers in 0 .. K-1, or none at all.
    """
    array = np.asarray(units)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"units: expected a vector of at least one, got shape {array.shape}.")
    if array.dtype.kind not in "iu":
        raise ValueError(f"units: expected whole numbers, got {array.dtype}.")
    wrong = np.flatnonzero((array < 0) | (array >= num_clusters))
    if len(wrong):
        raise ValueError(
            f"units: unit {array[wrong[0]]} at position {wrong[0]} is outside 0 .. "
            f"{num_clusters - 1}; they come from another tokenizer than the entropy LM's: tokenize "
            "with that one."
        )
    return array.astype(np.int64)


def run_starts(units: np.ndarray, previous: int = -1) -> np.ndarray:
    """(N,) bool: where a unit differs from the one before it (``previous`` at the start).

    Example:
        >>> run_starts(np.array([4, 4, 7, 4])).tolist()
        [True, False, True, True]
    """
    starts: np.ndarray = np.diff(units, prepend=previous) != 0
    return starts


def spread(scores: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Scores (R,) at the runs' first units, 0 at repetitions: (N,) float32."""
    entropies = np.zeros(len(first), dtype=np.float32)
    entropies[first] = scores
    return entropies
