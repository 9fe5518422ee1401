"""The error of a difference of rates when both training seeds and test utterances are a sample.

Two systems, of S_A and S_B training runs, decode the same U utterances in C clusters (speakers, or
the utterances themselves). Run s of a system has the error rate

    w_s = mu + a_s + b_u + e_su    (seed, utterance, and how this seed meets this utterance),

crossed, since every run decodes every utterance. Resampling both at once counts e three times
(Owen, The pigeonhole bootstrap, 2007); resampling them apart counts it twice. So

    variance = V_seeds + (V_utterances - V_interaction)

where V_utterances is that of the mean over runs under a bootstrap of clusters, paired (the same
draw for all runs of both systems); V_interaction that of what a joint draw of runs and clusters
adds to the two single ones; V_seeds the sum of the runs' sample variances over their numbers. Draws
are S - 1 of S runs, and the figures of C clusters are scaled by C / (C - 1), so that small numbers
do not make the error small. The number of degrees of freedom is Satterthwaite's: with five runs it
is nearer to five than to infinity, and the interval is Student's.

Shapes: R resamples, S runs, U utterances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from espnet_entropy.evaluation.bootstrap import resampling_weights

RESAMPLES = 2000  # a variance of 2000 draws is known to 3 %


@dataclass(frozen=True)
class Contrast:
    """``mean rate of A - factor * mean rate of B``, and how well it is known.

    Attributes:
        estimate: of the runs and utterances at hand.
        standard_error: of ``estimate``.
        df: degrees of freedom of ``standard_error``.
        seeds: variance from training runs; 0 where each system has one.
        utterances: variance from utterances, the interaction included.
        interaction: the part of both that is in both.
    """

    estimate: float
    standard_error: float
    df: float
    seeds: float
    utterances: float
    interaction: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided interval."""
        reach = self.quantile(1 - (1 - confidence) / 2) * self.standard_error
        return self.estimate - reach, self.estimate + reach

    def p_below_zero(self) -> float:
        """One-sided p: how probable so low an estimate is if the truth is 0 (or above)."""
        if self.standard_error == 0:  # the systems erred alike in all runs and utterances
            return 0.0 if self.estimate < 0 else 1.0
        return float(stdtr(self.df, self.estimate / self.standard_error))

    def power(self, truth: float, alpha: float) -> float:
        """Probability to find the contrast below zero at level ``alpha`` if it is ``truth``."""
        if self.standard_error == 0:
            return 1.0 if truth < 0 else 0.0
        return float(stdtr(self.df, -truth / self.standard_error - self.quantile(1 - alpha)))

    def quantile(self, probability: float) -> float:
        """Of Student's distribution with ``df``."""
        return float(stdtrit(self.df, probability))


class Design:
    """Two systems on one test set.

    Args:
        first: (S_A, U) errors of the runs of A.
        second: (S_B, U) errors of the runs of B.
        length: (U,) reference lengths.
        speakers: U names, drawn as wholes; ``None`` draws utterances.
        resamples: R.
        seed: of the bootstrap.

    Raises:
        ValueError: if there is but one cluster, or the reference is empty.
    """

    def __init__(
        self,
        first: np.ndarray,
        second: np.ndarray,
        length: np.ndarray,
        speakers: list[str] | None = None,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> None:
        self.clusters = len(length) if speakers is None else len(set(speakers))
        if self.clusters < 2 or not length.sum():
            raise ValueError(
                f"comparison: expected at least two utterances (or speakers) with some reference, "
                f"got {self.clusters} with {length.sum():g} in it."
            )
        weights = resampling_weights(len(length), speakers, resamples, seed)
        total = weights @ length  # (R,)
        weights, total = weights[total > 0], total[total > 0]
        generator = np.random.default_rng([seed, 1])  # others than those of the clusters
        self.point, self.drawn, self.mixture = [], [], []
        for errors in (first, second):
            runs = len(errors)
            self.point.append(errors.sum(axis=1) / length.sum())  # (S,)
            self.drawn.append(weights @ errors.T / total[:, None])  # (R, S)
            draws = max(1, runs - 1)
            mixture = generator.multinomial(draws, np.full(runs, 1 / runs), size=len(total))
            self.mixture.append(mixture / draws)  # (R, S)

    def contrast(self, factor: float = 1.0) -> Contrast:
        """``rate of A - factor * rate of B``."""
        signs = (1.0, -factor)

        def combine(values: list[np.ndarray]) -> np.ndarray:
            return np.asarray(sum(sign * value for sign, value in zip(signs, values, strict=True)))

        estimate = float(combine([p.mean() for p in self.point]))
        of_clusters = combine([d.mean(axis=1) for d in self.drawn])
        of_seeds = combine([m @ p for m, p in zip(self.mixture, self.point, strict=True)])
        joint = combine(
            [(m * d).sum(axis=1) for m, d in zip(self.mixture, self.drawn, strict=True)]
        )
        small = self.clusters / (self.clusters - 1)
        utterances = small * float(of_clusters.var())
        interaction = small * float((joint - of_clusters - of_seeds).var())
        seeds = [s**2 * _variance_of_mean(p) for s, p in zip(signs, self.point, strict=True)]
        rest = max(0.0, utterances - interaction)
        # never less than what the utterances alone say: two or three runs may agree by luck
        variance = max(sum(seeds) + rest, utterances)
        dfs = [len(p) - 1 for p in self.point]
        df = _satterthwaite([*seeds, rest], [*dfs, self.clusters - 1])
        return Contrast(estimate, math.sqrt(variance), df, sum(seeds), utterances, interaction)


def _variance_of_mean(values: np.ndarray) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0


def _satterthwaite(variances: list[float], dfs: list[int]) -> float:
    """Degrees of freedom of a sum of variances that have ``dfs`` each."""
    spread = sum(v**2 / df for v, df in zip(variances, dfs, strict=True) if v > 0)
    return sum(variances) ** 2 / spread if spread > 0 else float(max(dfs))
