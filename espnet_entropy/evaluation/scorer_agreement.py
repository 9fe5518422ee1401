"""Does a small entropy LM make the groups of a large one? Two scored dumps of the same units.

Each is calibrated to the same rate on its own scores, as a user would, and then segmented. Kept is
the share of the large one's group starts that have one of the small one's within a unit, matched
one to one. At equal rates anything matches some: its own groups in random order say how many.

Legend: N units of an utterance, U utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.evaluation.bootstrap import (
    Estimate,
    Resampled,
    interval,
    resampling_weights,
)
from espnet_entropy.evaluation.boundaries import (
    BoundaryCounts,
    count_boundaries,
    hypothesis_boundaries,
)
from espnet_entropy.evaluation.record import provenance, write_score
from espnet_entropy.evaluation.tables import markdown
from espnet_entropy.segmenter.config import SegmenterConfig, load_plan
from espnet_entropy.segmenter.scored import ScoredSet, read_scored
from espnet_entropy.segmenter.search import Search
from espnet_entropy.segmenter.segment import segment
from espnet_entropy.utils.config import to_dict
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.grid import UNIT_RATE

TASK = "scorer_agreement"
THRESHOLDS = ("global", "relative", "combined", "planned")  # criteria that look at entropies
ONE_UNIT = 1 / UNIT_RATE  # seconds
DRAWS = 5  # of chance


@dataclass(frozen=True)
class Agreement:
    """One criterion at one rate.

    Attributes:
        criterion: label.
        rate: asked for, Hz.
        rates: of the large one's groups and of the small one's, Hz.
        kept: share of the large one's starts kept within one unit, with its 95 % interval.
        same: likewise at the very unit.
        chance: share kept by the small one's group lengths in random order, mean of some draws.
    """

    criterion: str
    rate: float
    rates: tuple[float, float]
    kept: Estimate
    same: Estimate
    chance: float


def compare_scorers(
    scored: str | Path,
    reference: str | Path,
    calibrate_on: tuple[str | Path, str | Path],
    segmenter: str | Path,
    out: str | Path,
    resamples: int = 1000,
    seed: int = 0,
) -> str:
    """Compare a scorer with a reference, and write ``score.json`` and ``README.md``.

    Args:
        scored: dump of the (small) LM.
        reference: dump of the (large) LM, of the same units.
        calibrate_on: dumps of the valid set by both, in that order.
        segmenter: ``segmenter.yaml``: criteria and rates.
        out: directory of the result.
        resamples: of the bootstrap over utterances.
        seed: of the bootstrap and of chance.

    Returns:
        The table.

    Raises:
        ValueError: if the dumps are not of the same units, or a rate cannot be reached.
    """
    plan = load_plan(segmenter)
    sets = [read_scored(place) for place in (scored, reference)]
    valid = [read_scored(place) for place in calibrate_on]
    _check_same(*sets)
    _check_same(*valid)
    for one, calibrated in zip(sets, valid, strict=True):
        if (one.tokenizer, one.entropy_lm) != (calibrated.tokenizer, calibrated.entropy_lm):
            raise ValueError(
                f"--calibrate_on: {calibrated.name} was scored by the LM {calibrated.entropy_lm}, "
                f"{one.name} by {one.entropy_lm}; give the valid set by the small LM, then by the "
                "large one."
            )
    weights = resampling_weights(len(sets[0].utterances), None, resamples, seed)
    found = []
    for config in plan.criteria:
        if config.criterion not in THRESHOLDS:
            continue
        searches = [Search(list(v.utterances.values()), v.seconds, config) for v in valid]
        for rate in plan.rates:
            configs = [search.at(rate).config for search in searches]
            found.append(_agreement(configs, rate, sets, weights, seed))
    correlation = _correlation(*sets)
    content = {
        "task": TASK,
        "scored": str(scored),
        "reference": str(reference),
        "correlation": correlation,
        "agreement": [to_dict(entry) for entry in found],
    }
    write_score(Path(out) / "score.json", {**content, **provenance()})
    text = agreement_table(found) + f"\nCorrelation of the entropies: {correlation:.3f}\n"
    with atomic_write(Path(out) / "README.md") as stream:
        stream.write(f"# {scored} beside {reference}\n\n{text}")
    return text


def agreement_table(found: Sequence[Agreement]) -> str:
    """A line for each criterion and rate."""
    header = ["criterion", "Hz", "Hz, large / small", "kept ± 1 unit %", "same unit %", "chance %"]
    rows = [
        [
            entry.criterion,
            f"{entry.rate:g}",
            f"{entry.rates[0]:.2f} / {entry.rates[1]:.2f}",
            _share(entry.kept),
            _share(entry.same),
            f"{100 * entry.chance:.1f}",
        ]
        for entry in found
    ]
    return markdown(header, rows)


def _share(figure: Estimate) -> str:
    return f"{100 * figure.estimate:.1f} [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"


def _check_same(scored: ScoredSet, reference: ScoredSet) -> None:
    mine, theirs = scored.utterances, reference.utterances
    if scored.tokenizer != reference.tokenizer or list(mine) != list(theirs):
        raise ValueError(
            f"{scored.name} and {reference.name}: expected scores of the same units, got "
            f"tokenizers {scored.tokenizer} and {reference.tokenizer}, {len(mine)} and "
            f"{len(theirs)} utterances; score one dump of units with both LMs."
        )
    for utt, matrix in mine.items():
        if not np.array_equal(matrix[:, 0], theirs[utt][:, 0]):
            raise ValueError(
                f"{scored.name}: {utt}: other units than in {reference.name}; score one dump of "
                "units with both LMs."
            )


def _agreement(
    configs: Sequence[SegmenterConfig],
    rate: float,
    sets: Sequence[ScoredSet],
    weights: np.ndarray,
    seed: int,
) -> Agreement:
    masks = [_masks(s, c) for s, c in zip(sets, configs, strict=True)]
    rates = [sum(m.sum() for m in each) / s.seconds for each, s in zip(masks, sets, strict=True)]
    small, large = (list(map(hypothesis_boundaries, each)) for each in masks)
    near = Resampled(count_boundaries(large, small, ONE_UNIT), weights)
    exact = Resampled(count_boundaries(large, small, ONE_UNIT / 2), weights)
    rng = np.random.default_rng(seed)
    chances = [
        count_boundaries(large, [_shuffled(mask, rng) for mask in masks[0]], ONE_UNIT).pooled()
        for _ in range(DRAWS)
    ]
    return Agreement(
        configs[0].label,
        rate,
        (float(rates[1]), float(rates[0])),
        interval(near, _kept),
        interval(exact, _kept),
        float(np.mean([_kept(counts) for counts in chances])),
    )


def _kept(counts: BoundaryCounts) -> Any:
    return counts.recall


def _masks(scored: ScoredSet, config: SegmenterConfig) -> list[np.ndarray]:
    """(N,) bool of every utterance: True where a group starts."""
    return [segment(m[:, 0].astype(np.int64), m[:, 1], config) for m in scored.utterances.values()]


def _shuffled(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Boundaries of the groups in random order: as many, and none shorter or longer."""
    lengths = rng.permutation(np.diff(np.flatnonzero(mask), append=len(mask)))
    shuffled = np.zeros_like(mask)
    shuffled[np.cumsum([0, *lengths[:-1]])] = True
    return hypothesis_boundaries(shuffled)


def _correlation(scored: ScoredSet, reference: ScoredSet) -> float:
    one, other = (
        np.concatenate([m[:, 1] for m in s.utterances.values()]) for s in (scored, reference)
    )
    return float(np.corrcoef(one, other)[0, 1])
