"""Utterances end to end: the one shape on which every rule is written.

A corpus to calibrate on, a padded batch and a stream's buffer all become vectors of T units
with a mark at the first unit of each utterance, so that no rule looks across that mark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espnet_entropy.segmenter.arrays import Array, namespace, positions, shifted


@dataclass(frozen=True)
class Flat:
    """Units and entropies of utterances end to end.

    Attributes:
        units: (T,) int.
        entropy: (T,) float, nats.
        first: (T,) bool, True at the first unit of each utterance; its first is True.
        offset: index of the first unit in its utterance, where a stream has moved on.
    """

    units: Array
    entropy: Array
    first: Array
    offset: int = 0

    def before(self, values: Array, fill: float = 0) -> Array:
        """Each unit's left neighbour in its utterance; ``fill`` where there is none."""
        return namespace(values).where(self.first, fill, shifted(values, 1, fill))

    def after(self, values: Array, fill: float = 0) -> Array:
        """Each unit's right neighbour in its utterance; ``fill`` where there is none."""
        return namespace(values).where(self.last, fill, shifted(values, -1, fill))

    @property
    def last(self) -> Array:
        """(T,) bool: the last unit of each utterance."""
        return shifted(self.first, -1, True)

    @property
    def changed(self) -> Array:
        """(T,) bool: the unit differs from the one before it, or is the first."""
        return self.first | (self.units != shifted(self.units, 1, -1))

    @property
    def position(self) -> Array:
        """(T,) int64: index of each unit in its utterance."""
        xp = namespace(self.first)
        index = positions(self.first)
        begin = xp.where(self.first, index, 0)
        begin = np.maximum.accumulate(begin) if xp is np else xp.cummax(begin, 0).values
        return index - begin + self.offset
