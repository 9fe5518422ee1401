"""How long groups are: the histogram and what it says at a glance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from espnet_entropy.segmenter.groups import group_lengths

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class LengthHistogram:
    """Group lengths in units (20 ms each).

    Attributes:
        counts: ``counts[n - 1]`` groups have n units; the last element is the longest length.
        groups: number of groups.
        mean: mean length.
        longest: largest length.
        singletons: share of groups that are a single unit (0..1).
        quantiles: ``"0.05"`` … ``"0.95"`` to length.
    """

    counts: list[int]
    groups: int
    mean: float
    longest: int
    singletons: float
    quantiles: dict[str, int]


def length_histogram(masks: Iterable[np.ndarray]) -> LengthHistogram:
    """Histogram over all groups of all utterances.

    Args:
        masks: (N,) bool each, True where a group starts; the first element is True.

    Raises:
        ValueError: if there is no group at all.
    """
    found = [group_lengths(mask) for mask in masks]
    lengths = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    if len(lengths) == 0:
        raise ValueError("group lengths: expected at least one utterance with units, got none.")
    counts = np.bincount(lengths)[1:]
    # of whole lengths, so the smallest length that the share of groups does not exceed
    quantiles = np.quantile(lengths, QUANTILES, method="inverted_cdf")
    return LengthHistogram(
        counts=counts.tolist(),
        groups=len(lengths),
        mean=float(lengths.mean()),
        longest=int(lengths.max()),
        singletons=float(counts[0] / len(lengths)),
        quantiles={str(q): int(n) for q, n in zip(QUANTILES, quantiles, strict=True)},
    )
