"""Levenshtein's distance of two sequences."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Fewest substitutions, deletions and insertions, 1 each.

    Example:
        >>> edit_distance("kitten", "sitting")
        3
    """
    numbers = {symbol: i for i, symbol in enumerate(dict.fromkeys([*first, *second]))}
    other = np.array([numbers[symbol] for symbol in second], np.int64)
    row = steps = np.arange(len(second) + 1)
    for i, symbol in enumerate(first):
        new = np.empty_like(row)
        new[0] = i + 1
        new[1:] = np.minimum(row[:-1] + (other != numbers[symbol]), row[1:] + 1)
        row = np.minimum.accumulate(new - steps) + steps  # insertions
    return int(row[-1])
