"""Boundaries without a language model: what chance, and a little more than chance, reaches.

Each baseline gets, utterance by utterance, exactly the number of boundaries of the system that
it is compared with, so that no difference of rate is left between them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from espnet_entropy.evaluation.boundaries import BoundaryCounts, count_boundaries
from espnet_entropy.evaluation.flux import flux_boundaries
from espnet_entropy.utils.config import check_choice
from espnet_entropy.utils.grid import boundary_time

BASELINES = {
    "random": "random instants of the unit grid",
    "uniform": "equally long groups",
    "random_change": "random instants at which the unit changes",
    "spectral-flux": "the highest peaks of the spectral flux (5 ms grid)",
}
_DRAWN = ("random", "random_change")
_ENOUGH = 20_000  # boundaries, after which the noise of one random draw is below 0.4 %


def chance_boundaries(
    method: str, units: np.ndarray, count: int, flux: np.ndarray | None = None, draw: int = 0
) -> np.ndarray:
    """Boundaries of one utterance.

    Args:
        method: one of ``BASELINES``.
        units: (N,) int.
        count: number of inner boundaries wanted; at most N - 1 exist on the unit grid.
        flux: (F,) from ``flux.spectral_flux``; needed for ``spectral-flux`` alone.
        draw: repetition of the random methods, which are seeded by the units and this.

    Returns:
        (count,) float64, seconds, rising. Where units change less than ``count`` times,
        ``random_change`` takes all changes and random other instants.
    """
    check_choice(method, BASELINES, "baseline")
    places = len(units) - 1
    count = max(0, min(count, places))
    if method == "spectral-flux":
        assert flux is not None, "spectral-flux needs the waveform"
        return flux_boundaries(flux, count)
    if method == "uniform":
        chosen = np.round(np.arange(1, count + 1) * len(units) / (count + 1)).astype(np.int64)
    else:
        seed = zlib.crc32(np.ascontiguousarray(units, dtype=np.int64).tobytes())
        priority = np.random.default_rng([seed, draw]).random(max(0, places))
        if method == "random_change":
            priority = priority - (units[1:] != units[:-1])  # every change before any other
        chosen = 1 + np.sort(np.argsort(priority, kind="stable")[:count])
    return np.asarray(boundary_time(chosen), dtype=np.float64)


def chance_counts(
    method: str,
    references: Sequence[np.ndarray],
    units: Sequence[np.ndarray],
    numbers: Sequence[int],
    tolerance: float,
    fluxes: Sequence[np.ndarray] | None = None,
) -> BoundaryCounts:
    """Counts of a baseline; the random ones are averaged over draws where the corpus is small.

    Args:
        method: one of ``BASELINES``.
        references: U arrays of boundary times, seconds.
        units: U arrays (N,) int.
        numbers: U numbers of inner boundaries.
        tolerance: seconds.
        fluxes: U arrays, for ``spectral-flux``.

    Returns:
        Counts whose every element is (U,) float64.
    """
    draws = int(np.clip(_ENOUGH // max(1, sum(numbers)), 1, 8)) if method in _DRAWN else 1
    total: BoundaryCounts | None = None
    for draw in range(draws):
        hypotheses = [
            chance_boundaries(method, u, number, fluxes[i] if fluxes else None, draw)
            for i, (u, number) in enumerate(zip(units, numbers, strict=True))
        ]
        counts = count_boundaries(references, hypotheses, tolerance)
        total = counts if total is None else total + counts
    assert total is not None
    return BoundaryCounts(*(column / draws for column in total.columns()))
