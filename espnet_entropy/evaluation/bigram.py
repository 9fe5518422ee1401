"""Entropy of the next unit from the last one alone: a language model that costs nothing.

It lets every layer and K be compared by where their entropy puts groups, without training an
entropy LM for each.

Legend: N units, K codebook size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from espnet_entropy.evaluation.boundaries import (
    BoundaryCounts,
    count_boundaries,
    hypothesis_boundaries,
)
from espnet_entropy.segmenter.calibrate import calibrate
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.segment import segment

CRITERION = SegmenterConfig("planned", center=100)  # the recipes' default
TOLERANCE = 0.02  # seconds: that of the recipes' tables


def bigram_entropy(utterances: Iterable[np.ndarray], K: int) -> np.ndarray:
    """Entropy of the unit that follows each unit, with Witten and Bell's interpolation.

    A unit that was followed by n of which T different takes T / (n + T) of its prediction from
    the frequencies of all units, each counted once more than it occurred.

    Args:
        utterances: (N,) int units of the train set.
        K: codebook size.

    Returns:
        (K + 1,) float32 nats; the last is that of an utterance's first unit.
    """
    pairs, counts = np.zeros(K * K), np.ones(K)
    for units in utterances:
        wide = units.astype(np.int64)
        counts += np.bincount(wide, minlength=K)
        pairs += np.bincount(wide[:-1] * K + wide[1:], minlength=K * K)
    single = counts / counts.sum()
    follows = pairs.reshape(K, K)
    total = follows.sum(axis=1, keepdims=True)
    kinds = np.maximum(np.count_nonzero(follows, axis=1), 1)[:, None]
    table = np.concatenate([(follows + kinds * single) / (total + kinds), single[None]])
    return np.asarray(-np.sum(table * np.log(table), axis=1), dtype=np.float32)


def score_units(units: np.ndarray, entropy: np.ndarray) -> np.ndarray:
    """(N,) units to the (N, 2) float32 of a scored dump: unit, entropy of its prediction.

    Args:
        units: int, N above 0.
        entropy: of :func:`bigram_entropy`.
    """
    before = np.concatenate([[len(entropy) - 1], units[:-1]])
    return np.stack([units.astype(np.float32), entropy[before]], axis=1)


def group_boundaries(
    scored: Sequence[np.ndarray],
    references: Sequence[np.ndarray],
    seconds: float,
    rate: float,
) -> tuple[BoundaryCounts, float]:
    """Boundaries of the groups that the recipes' default criterion makes, at ±20 ms.

    Its threshold is found on this very set, so that units are compared at equal rates.

    Args:
        scored: (N, 2) float32 of each utterance: unit, entropy in nats.
        references: rising times of each utterance's phone boundaries, seconds.
        seconds: of audio, all together.
        rate: groups per second.

    Returns:
        The counts, and the groups per second that were made: nearest to ``rate``.

    Raises:
        UnreachableRateError: if the criterion cannot reach the rate.
    """
    found = calibrate(scored, seconds, CRITERION, rate)
    masks = [segment(one[:, 0].astype(np.int64), one[:, 1], found.config) for one in scored]
    hypotheses = [hypothesis_boundaries(mask) for mask in masks]
    return count_boundaries(references, hypotheses, TOLERANCE), found.achieved_rate
