"""Group boundaries against reference boundaries: counts that add up, figures made from them.

A boundary is an inner instant of an utterance, in seconds. The start and the end of the
utterance are not boundaries, neither in the reference nor in the hypothesis: every system
would get them for free. Where speech meets silence there is one boundary; inside a stretch of
silence there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from espnet_entropy.evaluation.counts import SummedCounts, ratio
from espnet_entropy.utils.grid import boundary_time

TOLERANCES = (0.02, 0.05)  # seconds: the field's ±20 ms, and the paper's ±50 ms (section C.4)
SILENCES = frozenset({"", "sil", "sp", "<sil>", "<eps>", "silence", "pau", "_", "<p>"})
MERGE = 0.005  # seconds: boundaries nearer than this are one (rounding of starts and durations)
_SLACK = 1e-6  # seconds: "within the tolerance" includes the tolerance itself, in floating point
_BATCH = 64  # utterances of similar size that are matched in one array


class Span(Protocol):
    """An interval of an alignment: ``corpora.alignment.Interval``, or anything like it."""

    @property
    def start(self) -> float:
        """Start in seconds."""

    @property
    def end(self) -> float:
        """End in seconds."""

    @property
    def label(self) -> str:
        """Word or phone."""


def reference_boundaries(
    spans: Iterable[Span],
    duration: float,
    silences: frozenset[str] = SILENCES,
) -> np.ndarray:
    """Boundaries of an alignment.

    Args:
        spans: words or phones, in any order; silences may be listed or left out.
        duration: of the utterance, seconds.
        silences: labels (lower case) that are not speech.

    Returns:
        (R,) float64, seconds, rising, inside the utterance, each at least ``MERGE`` after the last.
    """
    times = sorted(
        t for span in spans if span.label.lower() not in silences for t in (span.start, span.end)
    )
    kept: list[float] = []
    for time in times:
        if MERGE <= time <= duration - MERGE and (not kept or time - kept[-1] >= MERGE):
            kept.append(time)
    return np.array(kept, dtype=np.float64)


def hypothesis_boundaries(mask: np.ndarray) -> np.ndarray:
    """Boundaries of a segmentation.

    Args:
        mask: (N,) bool, True where a group starts; its first is the start of the utterance.

    Returns:
        (M - 1,) float64, seconds, rising.
    """
    starts = np.flatnonzero(np.asarray(mask))
    return np.asarray(boundary_time(starts[starts > 0]), dtype=np.float64)


@dataclass(frozen=True)
class BoundaryCounts(SummedCounts):
    """Counts at one tolerance; scalars, or arrays with one element per utterance or resample.

    Counts add up over utterances, figures do not: pool first, then read a figure.

    Attributes:
        reference: number of reference boundaries.
        hypothesis: number of hypothesised boundaries.
        matched: size of the largest one-to-one matching within the tolerance.
        deviation: sum of |hypothesis - reference| over that matching, seconds (the smallest sum
            that a matching of this size can have).
        near: hypothesised boundaries within the tolerance of *any* reference boundary.
        distance: sum over hypothesised boundaries of the distance to the nearest reference
            boundary, seconds.
        located: hypothesised boundaries for which that distance exists.
    """

    reference: Any = 0
    hypothesis: Any = 0
    matched: Any = 0
    deviation: Any = 0.0
    near: Any = 0
    distance: Any = 0.0
    located: Any = 0

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        pairs = zip(self.columns(), other.columns(), strict=True)
        return BoundaryCounts(*(a + b for a, b in pairs))

    @property
    def precision(self) -> Any:
        """Share of the hypothesised boundaries that are matched (0..1)."""
        return ratio(self.matched, self.hypothesis)

    @property
    def recall(self) -> Any:
        """Share of the reference boundaries that are matched (0..1)."""
        return ratio(self.matched, self.reference)

    @property
    def f1(self) -> Any:
        """Harmonic mean of precision and recall (0..1)."""
        return ratio(2 * np.asarray(self.matched), np.add(self.hypothesis, self.reference))

    @property
    def over_segmentation(self) -> Any:
        """Hypothesised over reference boundaries, minus one: 0 is right, 1 is twice as many."""
        return ratio(self.hypothesis, self.reference) - 1

    @property
    def r_value(self) -> Any:
        """R-value (Räsänen, Laine and Altosaar, Interspeech 2009); 1 is perfect, no lower bound.

        Unlike F1 it cannot be raised by over-segmentation: it is one minus the mean of the
        distances to the ideal point (recall 1, over-segmentation 0) and to the line of ideal
        hit rate at that over-segmentation.
        """
        recall, over = self.recall, self.over_segmentation
        r1 = np.sqrt((1 - recall) ** 2 + over**2)
        r2 = (recall - 1 - over) / np.sqrt(2)
        return 1 - (r1 + np.abs(r2)) / 2

    @property
    def mean_deviation(self) -> Any:
        """Mean |hypothesis - reference| over the matched pairs, seconds."""
        return ratio(self.deviation, self.matched)

    @property
    def alignment(self) -> Any:
        """The paper's WBA / PBA (table 11, C.4): share of boundaries near any reference (0..1)."""
        return ratio(self.near, self.hypothesis)

    @property
    def mean_time_deviation(self) -> Any:
        """The paper's MTD (table 11): mean distance to the nearest reference boundary, seconds."""
        return ratio(self.distance, self.located)


# the properties that go into tables; the paper's own figures stand apart
FIGURES = ("precision", "recall", "f1", "r_value", "over_segmentation", "mean_deviation")


def count_boundaries(
    references: Sequence[np.ndarray], hypotheses: Sequence[np.ndarray], tolerance: float
) -> BoundaryCounts:
    """Count, per utterance, what the hypothesis found of the reference.

    Args:
        references: U arrays of rising times, seconds.
        hypotheses: U arrays of rising times, seconds, in the same order.
        tolerance: seconds; a pair exactly this far apart still matches.

    Returns:
        Counts whose every element is (U,) float64; ``.pooled()`` gives those of the corpus.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references, but {len(hypotheses)} hypotheses.")
    if not tolerance > 0:
        raise ValueError(f"tolerance: expected seconds above 0, got {tolerance}.")
    sizes = np.array([[len(r), len(h)] for r, h in zip(references, hypotheses, strict=True)])
    sizes = sizes.reshape(-1, 2)
    matched, deviation, near, distance, located = np.zeros((5, len(sizes)))
    # utterances of similar size share an array, so that little of it is padding
    order = np.argsort(sizes.sum(axis=1), kind="stable")
    for first in range(0, len(order), _BATCH):
        batch = order[first : first + _BATCH]
        matched[batch], deviation[batch] = _match(
            _pad([references[u] for u in batch], np.inf),
            _pad([hypotheses[u] for u in batch], -np.inf),
            tolerance,
        )
    for u, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        gaps = nearest_distance(hypothesis, reference)
        near[u] = np.count_nonzero(gaps <= tolerance + _SLACK)
        located[u] = np.count_nonzero(np.isfinite(gaps))
        distance[u] = gaps.sum() if located[u] else 0.0
    counts = sizes.astype(np.float64)
    return BoundaryCounts(counts[:, 0], counts[:, 1], matched, deviation, near, distance, located)


def nearest_distance(times: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Distance of each of ``times`` (M,) to the nearest of ``reference`` (R,), both rising.

    Returns:
        (M,) float64, seconds; infinite where there is no reference.
    """
    fenced = np.concatenate([[-np.inf], np.asarray(reference, np.float64), [np.inf]])
    right = np.clip(np.searchsorted(fenced, times), 1, len(fenced) - 1)
    gaps: np.ndarray = np.minimum(times - fenced[right - 1], fenced[right] - times)
    return gaps


def _pad(rows: list[np.ndarray], value: float) -> np.ndarray:
    padded = np.full((len(rows), max(map(len, rows), default=0)), value)
    for row, times in zip(padded, rows, strict=True):
        row[: len(times)] = times
    return padded


def _match(
    reference: np.ndarray, hypothesis: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Largest one-to-one matching, and among those the one with the smallest total deviation.

    Equal tolerances on a line: some best matching keeps the order of the points, so dynamic
    programming over prefixes finds it. (Taking the first free hypothesis from left to right
    would give the same size, but a deviation that depends on that choice.)

    Args:
        reference: (B, R) float64, seconds, padded with +inf.
        hypothesis: (B, M) float64, seconds, padded with -inf.
        tolerance: seconds.

    Returns:
        Sizes (B,) and total deviations (B,) in seconds, both float64.
    """
    width = min(reference.shape[1], hypothesis.shape[1])
    best = np.zeros((len(hypothesis), hypothesis.shape[1] + 1))
    if width == 0:
        return best[:, 0], best[:, 0]
    # a pair is worth 1 - price·deviation; all prices together stay below 1, so size comes first
    price = 0.5 / ((tolerance + _SLACK) * width)
    for column in reference.T:
        gap = np.abs(hypothesis - column[:, None])
        gain = np.where(gap <= tolerance + _SLACK, 1 - price * gap, -1.0)
        with_pair = np.maximum(best[:, 1:], best[:, :-1] + gain)
        best[:, 1:] = np.maximum.accumulate(with_pair, axis=1)
    size = np.ceil(best[:, -1] - 1e-9)
    return size, np.maximum(size - best[:, -1], 0) / price
