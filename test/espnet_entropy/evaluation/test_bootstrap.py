import numpy as np
import pytest

from espnet_entropy.evaluation.bootstrap import (
    Resampled,
    interval,
    paired_difference,
    resampling_weights,
)
from espnet_entropy.evaluation.boundaries import BoundaryCounts


def precision(counts):
    return counts.precision


def counts_of(matched, hypothesis):
    zero = np.zeros(len(matched))
    return BoundaryCounts(hypothesis, hypothesis, matched, zero, zero, zero, zero)


def test_weights_are_resamples_and_seeded():
    weights = resampling_weights(7, resamples=50, seed=3)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert (weights == resampling_weights(7, resamples=50, seed=3)).all()
    assert (weights != resampling_weights(7, resamples=50, seed=4)).any()


def test_speakers_are_drawn_whole():
    speakers = ["a", "b", "a", "c", "b"]
    weights = resampling_weights(5, speakers, resamples=200)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_interval_against_a_plain_loop():
    generator = np.random.default_rng(1)
    hypothesis = generator.integers(5, 20, 40).astype(float)
    counts = counts_of(generator.binomial(hypothesis.astype(int), 0.6).astype(float), hypothesis)
    weights = resampling_weights(40, resamples=300)
    slow = []
    for row in weights:
        drawn = np.repeat(np.arange(40), row.astype(int))
        slow.append(counts.matched[drawn].sum() / hypothesis[drawn].sum())
    found = interval(Resampled(counts, weights), precision, confidence=0.9)
    assert found.estimate == pytest.approx(counts.matched.sum() / hypothesis.sum())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.05, 0.95])))


def test_coverage_is_about_nominal():
    generator = np.random.default_rng(2)
    hits = 0
    for trial in range(200):
        hypothesis = np.full(60, 10.0)
        # utterances differ: pooled binomial intervals would be too narrow
        share = np.clip(generator.normal(0.6, 0.15, 60), 0, 1)
        counts = counts_of(generator.binomial(10, share).astype(float), hypothesis)
        found = interval(
            Resampled(counts, resampling_weights(60, resamples=200, seed=trial)), precision
        )
        hits += found.low <= 0.6 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_paired_difference_uses_the_same_resamples():
    generator = np.random.default_rng(3)
    hypothesis = generator.integers(10, 20, 50).astype(float)
    matched = generator.binomial(hypothesis.astype(int), 0.5).astype(float)
    first, second = counts_of(matched + 1, hypothesis), counts_of(matched, hypothesis)
    weights = resampling_weights(50)
    first, second = Resampled(first, weights), Resampled(second, weights)
    found = paired_difference(first, second, precision)
    assert found.estimate == pytest.approx(50 / hypothesis.sum())
    assert 0 < found.low < found.estimate < found.high
    assert found.high - found.low < 0.01  # single intervals are ten times as wide
    alone = interval(first, precision)
    assert alone.high - alone.low > 0.05


def test_undefined_figures_stay_undefined():
    found = interval(
        Resampled(counts_of(np.zeros(3), np.zeros(3)), resampling_weights(3)), precision
    )
    assert np.isnan([found.estimate, found.low, found.high]).all()


def test_wrong_calls_are_named():
    with pytest.raises(ValueError, match="at least one utterance"):
        resampling_weights(0)
    with pytest.raises(ValueError, match="each of 3 utterances, got 2"):
        resampling_weights(3, ["a", "b"])
