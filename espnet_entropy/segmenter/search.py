"""Thresholds from a target rate (NOTES 1): none is ever written into code.

The rate is pooled: all groups over all seconds of audio. The search runs the whole segmenter,
limits of groups included, on a held-out set.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from espnet_entropy.segmenter.config import SegmenterConfig, check_rate, nats_per
from espnet_entropy.segmenter.criteria import Scores, scores
from espnet_entropy.segmenter.flat import Flat
from espnet_entropy.segmenter.scored import check_scored, end_to_end
from espnet_entropy.segmenter.segment import starts_of
from espnet_entropy.utils.grid import UNIT_RATE

REACHABLE = 0.01  # share of the target by which the last reachable rate may miss it
UNIFORM_STEPS = 20_000  # rates that are tried for ``uniform``: 0.0025 Hz apart
PRICE_STEPS = 2_000  # prices below the lowest score that are tried for ``planned``


class UnreachableRateError(ValueError):
    """A criterion cannot make the rate on this set; says what it can make."""


@dataclass(frozen=True)
class Calibration:
    """A criterion with the threshold(s) that give a rate.

    Attributes:
        name: the criterion's label.
        config: with thresholds, in nats.
        target_rate: Hz that were asked for.
        achieved_rate: Hz on the set it was calibrated on; for an interpolated entry of a table
            the target itself.
        bits: the thresholds in bits.
        relative: the thresholds as H / ln K; empty where K is not known.
        interpolated: read off a curve between calibrated rates, not searched for.
    """

    name: str
    config: SegmenterConfig
    target_rate: float
    achieved_rate: float
    bits: dict[str, float] = field(default_factory=dict)
    relative: dict[str, float] = field(default_factory=dict)
    interpolated: bool = False


def calibrate(
    utterances: Sequence[np.ndarray],
    seconds: float,
    config: SegmenterConfig,
    rate: float,
    num_clusters: int | None = None,
) -> Calibration:
    """Find the threshold(s) at which ``config`` makes ``rate`` groups per second.

    Args:
        utterances: (N, 2) float32 each: unit, entropy in nats.
        seconds: of audio, all together.
        config: criterion and limits; its thresholds are ignored.
        rate: target, Hz.
        num_clusters: codebook size K, for thresholds as H / ln K.

    Raises:
        UnreachableRateError: if the criterion cannot reach the rate, naming what it can reach.

    Example:
        >>> ramp = np.stack([np.arange(100), np.arange(100) / 100], 1).astype(np.float32)
        >>> found = calibrate([ramp], 2.0, SegmenterConfig("global"), rate=10)
        >>> found.achieved_rate, round(found.config.threshold, 2)  # the first unit, and 19 others
        (10.0, 0.8)
    """
    return Search(utterances, seconds, config).at(rate, num_clusters)


class Search:
    """The rates that a criterion can make on a set; what has been tried is kept.

    Args: see :func:`calibrate`.
    """

    def __init__(
        self, utterances: Sequence[np.ndarray], seconds: float, config: SegmenterConfig
    ) -> None:
        if not utterances or not seconds > 0:
            raise ValueError("calibration: expected at least one utterance and seconds above 0.")
        for number, matrix in enumerate(utterances):
            check_scored(matrix, f"calibration: utterance {number}")
        self._config = config.in_nats()
        self._flat = end_to_end(utterances)
        self._scores = scores(self._flat, self._config)
        self._seconds = seconds
        if self._config.knobs:
            self._knobs = knob_values(self._scores, self._flat, self._config)
        self._tried: dict[int, float] = {}  # index into _knobs to rate
        self._order: list[int] = []  # what was tried, ascending

    def rate(self, config: SegmenterConfig) -> float:
        """Groups per second with the thresholds of ``config``."""
        return float(starts_of(self._scores, self._flat, config).sum() / self._seconds)

    def at(self, target: float, num_clusters: int | None = None) -> Calibration:
        """The nearest setting; see :func:`calibrate`."""
        check_rate(target)
        if not self._config.knobs:
            return self._natural(target, num_clusters)
        index = self._nearest(target)
        achieved = self._rate_at(index)
        if abs(achieved - target) > REACHABLE * target:
            low, high = self.limits()
            if not low <= target <= high:
                raise UnreachableRateError(
                    f"criterion '{self._config.label}' cannot make {target:g} groups per second on "
                    f"this set: the maximum is {high:.2f} Hz, the minimum {low:.2f} Hz. Choose a "
                    "rate between them, or change min_group / max_group."
                )
        return make_calibration(self._config_at(index), target, achieved, num_clusters)

    def limits(self) -> tuple[float, float]:
        """Lowest and highest rate that the criterion can make here, Hz."""
        ends = self._rate_at(len(self._knobs) - 1), self._rate_at(0)
        return min(ends), max(ends)

    def _natural(self, target: float, num_clusters: int | None) -> Calibration:
        """A criterion without a threshold makes the rate it makes."""
        achieved = self.rate(self._config)
        if abs(achieved - target) > REACHABLE * target:
            raise UnreachableRateError(
                f"criterion '{self._config.label}' has no threshold: it makes {achieved:.2f} Hz "
                f"here, not {target:g}; 'uniform' and 'random' can be had at any rate."
            )
        return make_calibration(self._config, target, achieved, num_clusters)

    def _config_at(self, index: int) -> SegmenterConfig:
        values = dict(zip(self._config.knobs, self._knobs[index].tolist(), strict=True))
        return dataclasses.replace(self._config, **values)

    def _rate_at(self, index: int) -> float:
        if index not in self._tried:
            self._tried[index] = self.rate(self._config_at(index))
            insort(self._order, index)
        return self._tried[index]

    def _nearest(self, target: float) -> int:
        """Bisection; the answer is the best of all that was ever tried.

        With ``max_group`` the rate is only nearly monotone in the threshold. Bisection still
        ends beside a crossing of the target.
        """
        self.limits()
        place = bisect_left(self._order, True, key=lambda i: self._tried[i] < target)
        low = self._order[max(0, place - 1)]  # at least the target (or nothing is)
        high = self._order[min(place, len(self._order) - 1)]
        while high - low > 1:
            middle = (low + high) // 2
            if self._rate_at(middle) >= target:
                low = middle
            else:
                high = middle
        return min(self._order, key=lambda i: (abs(self._tried[i] - target), i))


def knob_values(scored: Scores, flat: Flat, config: SegmenterConfig) -> np.ndarray:
    """All settings worth trying, from most to fewest groups.

    A threshold only matters where it passes a score, so the scores themselves are tried, and
    one value below all of them. Scores are float32 and so are these: the comparison with a
    threshold read back from YAML is exact. ``combined`` moves both of its thresholds at one
    common quantile.

    Args:
        scored: of ``criteria.scores``.
        flat: what was scored; a unit that starts a group anyway does not count.
        config: the criterion.

    Returns:
        (J, knobs) float64.
    """
    name = config.criterion
    if name == "uniform":
        return np.linspace(UNIT_RATE, UNIT_RATE / UNIFORM_STEPS, UNIFORM_STEPS)[:, None]
    free = ~flat.first if config.boundary == "start" else ~flat.last
    if not free.any():
        free = flat.first
    columns = [np.sort(score[free]) for score in scored]
    if name in ("random", "random_change"):  # drawn where the score is *below* the rate
        tops = np.nextafter(columns[0][::-1], np.inf)
        rates: np.ndarray = np.clip(np.append(tops, tops[-1] / 2), 1e-9, UNIT_RATE)
        return rates[:, None]
    everything = [np.nextafter(column[:1], -np.inf, dtype=column.dtype) for column in columns]
    columns = [np.concatenate(pair) for pair in zip(everything, columns, strict=True)]
    if name == "planned":  # a group's price goes on to matter where every score is above it
        lowest, highest = float(columns[0][0]), float(columns[0][-1])
        reach = 4 * (highest - lowest) + 1
        below = np.linspace(lowest - reach, lowest, PRICE_STEPS, endpoint=False)
        columns[0] = np.concatenate([below.astype(columns[0].dtype), columns[0]])
    values = np.stack(columns, axis=1).astype(np.float64)
    new = np.concatenate([[True], (np.diff(values, axis=0) != 0).any(axis=1)])
    distinct: np.ndarray = values[new]
    return distinct


def make_calibration(
    config: SegmenterConfig,
    target: float,
    achieved: float,
    num_clusters: int | None,
    interpolated: bool = False,
) -> Calibration:
    """Bring thresholds in nats into the other scales too."""
    names = [knob for knob in config.knobs if knob != "rate"]
    nats = {name: float(getattr(config, name)) for name in names}
    bits = {name: value / math.log(2) for name, value in nats.items()}
    relative = {}
    if num_clusters is not None:
        relative = {k: v / nats_per("relative", num_clusters) for k, v in nats.items()}
    return Calibration(config.label, config, target, achieved, bits, relative, interpolated)
