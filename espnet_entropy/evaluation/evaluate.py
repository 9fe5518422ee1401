"""Boundary figures of many segmentations of one set, each beside chance at its own rate.

``score.json`` of a set holds one result per criterion, rate and boundary convention.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from espnet_entropy.evaluation.bootstrap import (
    Estimate,
    Resampled,
    interval,
    paired_difference,
    resampling_weights,
)
from espnet_entropy.evaluation.boundaries import (
    FIGURES,
    TOLERANCES,
    count_boundaries,
    hypothesis_boundaries,
)
from espnet_entropy.evaluation.chance import BASELINES, chance_counts
from espnet_entropy.evaluation.flux import estimate_shift
from espnet_entropy.evaluation.histogram import length_histogram
from espnet_entropy.evaluation.reference import Reference
from espnet_entropy.utils.progress import progress

PAPER_TOLERANCE = 0.05  # seconds, section C.4
R_VALUE = operator.attrgetter("r_value")
MTD = operator.attrgetter("mean_time_deviation")
_SHARE = {"phones": "PBA", "words": "WBA"}


@dataclass(frozen=True)
class System:
    """One segmentation of the whole set.

    Attributes:
        name: in tables, without the convention.
        criterion: name of the segmenter's criterion.
        boundary: convention, ``start`` or ``end``; ``""`` where the criterion has none.
        target_rate: groups per second asked for; ``None`` where the criterion has no rate.
        settings: the segmenter's configuration, as plain values.
        masks: U start masks (N,) bool.
        is_paper: whether it is the paper's M1, M2 or M3 as printed, which the others are to beat.
        with_chance: whether to set it beside chance (the other convention of a criterion has the
            same number of boundaries, so once is enough).
    """

    name: str
    criterion: str
    boundary: str
    target_rate: float | None
    settings: dict[str, Any]
    masks: list[np.ndarray]
    is_paper: bool = False
    with_chance: bool = True


Cell = tuple[str, float]  # tier and tolerance


@dataclass
class _Scored:
    system: System
    cells: dict[Cell, Resampled]
    chance: dict[str, dict[Cell, Resampled]]


def evaluate(
    reference: Reference,
    systems: Sequence[System],
    by_speaker: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures, intervals and comparisons of every system.

    Args:
        reference: the set.
        systems: its segmentations.
        by_speaker: draw whole speakers in the bootstrap.
        seed: of the bootstrap.

    Returns:
        What ``score.json`` holds beside provenance: see :func:`_result` for one result.
    """
    speakers = reference.speakers if by_speaker else None
    weights = resampling_weights(len(reference.utts), speakers, seed=seed)
    scored = [_score(reference, system, weights) for system in progress(systems, "boundaries")]
    phones = reference.tiers.get("phones")
    shift = estimate_shift(phones, reference.fluxes) if phones else None
    return {
        "utterances": len(reference.utts),
        "left_out": len(reference.left_out),
        "seconds": sum(reference.seconds),
        "reference": {
            **dataclasses.asdict(reference.info),
            "remaining_shift_seconds": dataclasses.asdict(shift) if shift else None,
            "boundaries": {t: sum(map(len, r)) for t, r in reference.tiers.items()},
        },
        "bootstrap": {"resamples": len(weights), "seed": seed, "by_speaker": by_speaker},
        "results": [_result(reference, one, scored) for one in scored],
    }


def _score(reference: Reference, system: System, weights: np.ndarray) -> _Scored:
    times = [hypothesis_boundaries(mask) for mask in system.masks]
    numbers = [len(t) for t in times]
    cells: dict[Cell, Resampled] = {}
    chance: dict[str, dict[Cell, Resampled]] = {n: {} for n in BASELINES if system.with_chance}
    for tier, references in reference.tiers.items():
        for tolerance in TOLERANCES:
            counts = count_boundaries(references, times, tolerance)
            cells[tier, tolerance] = Resampled(counts, weights)
            for name, found in chance.items():
                counts = chance_counts(
                    name, references, reference.units, numbers, tolerance, reference.fluxes
                )
                found[tier, tolerance] = Resampled(counts, weights)
    return _Scored(system, cells, chance)


def _result(reference: Reference, one: _Scored, scored: Sequence[_Scored]) -> dict[str, Any]:
    """One result: figures by tier and tolerance, each with its 95 % interval."""
    system = one.system
    histogram = length_histogram(system.masks)
    return {
        "method": system.name,
        "criterion": system.criterion,
        "boundary": system.boundary,
        "target_rate": system.target_rate,
        "achieved_rate": histogram.groups / sum(reference.seconds),
        "settings": system.settings,
        "figures": _table(one.cells, with_interval=True),
        "paper": _paper_figures(one.cells),
        "chance": {name: _table(found, with_interval=False) for name, found in one.chance.items()},
        "paper_chance": {name: _paper_figures(found) for name, found in one.chance.items()},
        "r_value_above_chance": _differences(one, one.chance),
        "r_value_above_best_of_m1_m2_m3": _above_paper(one, scored),
        "group_lengths": dataclasses.asdict(histogram),
    }


def _table(cells: dict[Cell, Resampled], with_interval: bool) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for (tier, tolerance), counts in cells.items():
        row = {
            name: _plain(interval(counts, operator.attrgetter(name)))
            if with_interval
            else float(getattr(counts.pooled, name))
            for name in FIGURES
        }
        table.setdefault(tier, {})[tolerance_name(tolerance)] = row
    return table


def tolerance_name(tolerance: float) -> str:
    """``"20ms"`` for 0.02 s."""
    return f"{1000 * tolerance:.0f}ms"


def _paper_figures(cells: dict[Cell, Resampled]) -> dict[str, Any]:
    """WBA and PBA (shares) and MTD (seconds) as in table 11, at its tolerance."""
    found: dict[str, Any] = {}
    for (tier, tolerance), counts in cells.items():
        if tolerance == PAPER_TOLERANCE:
            found[_SHARE[tier]] = _plain(interval(counts, operator.attrgetter("alignment")))
            found[f"MTD_{tier}"] = _plain(
                interval(counts, operator.attrgetter("mean_time_deviation"))
            )
    return found


def _differences(one: _Scored, others: dict[str, dict[Cell, Resampled]]) -> dict[str, Any]:
    """Paired differences of R-value: ``{other: {tier: {tolerance: estimate}}}``."""
    found: dict[str, Any] = {}
    for name, cells in others.items():
        for (tier, tolerance), counts in cells.items():
            difference = paired_difference(one.cells[tier, tolerance], counts, R_VALUE)
            place = found.setdefault(name, {}).setdefault(tier, {})
            place[tolerance_name(tolerance)] = _plain(difference)
    return found


def _above_paper(one: _Scored, scored: Sequence[_Scored]) -> dict[str, Any]:
    """Paired difference of R-value to the best of M1-M3 at the same target rate.

    The best is chosen per tier and tolerance on this very set, over both conventions: the
    comparison leans towards the paper's criteria, not towards ours.
    """
    system = one.system
    rivals = [
        other
        for other in scored
        if other.system.is_paper and other.system.target_rate == system.target_rate
    ]
    if not rivals or system.is_paper:
        return {}
    found: dict[str, Any] = {}
    for cell, counts in one.cells.items():
        best = max(rivals, key=lambda other: float(other.cells[cell].pooled.r_value))
        difference = paired_difference(counts, best.cells[cell], R_VALUE)
        found.setdefault(cell[0], {})[tolerance_name(cell[1])] = {
            "best": f"{best.system.name} {best.system.boundary}",
            **_plain(difference),
        }
    return found


def _plain(estimate: Estimate) -> dict[str, float]:
    return dataclasses.asdict(estimate)
