"""Percentile bootstrap over utterances or speakers, for any figure made from additive counts.

A resample is a row of weights (how often each utterance was drawn), so that all resamples of
all counts are one matrix product, and two systems that share the rows are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

RESAMPLES = 1000


class Counts(Protocol):
    """Per-utterance counts, as ``boundaries.BoundaryCounts``."""

    def pooled(self) -> Any:
        """Sums over the utterances."""

    def weighted(self, weights: np.ndarray) -> Any:
        """Sums over the utterances weighted with each row of ``weights`` (R, U)."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its confidence interval; NaN where the figure is undefined."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def resampling_weights(
    num_utterances: int,
    speakers: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """How often each resample, drawn with replacement, holds each utterance.

    Args:
        num_utterances: U.
        speakers: U names; whole speakers are drawn then, which is right where utterances of one
            speaker resemble each other. ``None`` draws single utterances.
        resamples: R.
        seed: of the random generator.

    Returns:
        (R, U) float64.

    Raises:
        ValueError: without utterances, or for a wrong number of speakers.
    """
    if num_utterances < 1:
        raise ValueError("bootstrap: expected at least one utterance, got none.")
    if speakers is not None and len(speakers) != num_utterances:
        raise ValueError(
            f"bootstrap: expected a speaker for each of {num_utterances} utterances, "
            f"got {len(speakers)}."
        )
    names = np.arange(num_utterances) if speakers is None else np.asarray(speakers)
    clusters, membership = np.unique(names, return_inverse=True)
    generator = np.random.default_rng(seed)
    size = len(clusters)
    drawn = generator.multinomial(size, np.full(size, 1 / size), size=resamples)
    weights: np.ndarray = drawn.astype(np.float64)[:, membership]
    return weights


class Resampled:
    """Pooled counts, and those of every resample: what intervals are read from.

    Args:
        counts: of U utterances.
        weights: (R, U) from :func:`resampling_weights`.
    """

    def __init__(self, counts: Counts, weights: np.ndarray) -> None:
        self.pooled = counts.pooled()
        self.resamples = counts.weighted(weights)


def interval(counts: Resampled, figure: Callable[[Any], Any], confidence: float = 0.95) -> Estimate:
    """A figure of the pooled counts with its percentile interval.

    Args:
        counts: of one system.
        figure: reads the figure off counts; elementwise on arrays.
        confidence: of the interval.
    """
    return _estimate(figure(counts.pooled), figure(counts.resamples), confidence)


def paired_difference(
    first: Resampled, second: Resampled, figure: Callable[[Any], Any], confidence: float = 0.95
) -> Estimate:
    """``figure(first) - figure(second)`` with its interval; both share their weights."""
    difference = figure(first.pooled) - figure(second.pooled)
    return _estimate(difference, figure(first.resamples) - figure(second.resamples), confidence)


def _estimate(value: Any, resampled: np.ndarray, confidence: float) -> Estimate:
    known = resampled[np.isfinite(resampled)]
    if len(known) == 0:
        return Estimate(float(value), float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high))
