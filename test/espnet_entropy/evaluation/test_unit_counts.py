import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from espnet_entropy.evaluation.bootstrap import Resampled, interval, resampling_weights
from espnet_entropy.evaluation.unit_counts import (
    FIGURES,
    count_units,
    joint_counts,
    pnmi_bias,
    usage,
)


def made_up(utterances: int = 12, K: int = 7, P: int = 5):
    """Units that follow phones loosely; phone 0 is silence."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(20, 60, utterances)
    phones = [generator.integers(0, P, n).astype(np.int32) for n in lengths]
    units = [(p + generator.integers(0, 3, len(p))).astype(np.int32) % (K - 1) for p in phones]
    seconds = [0.02 * n for n in lengths]
    return units, phones, seconds, joint_counts(units, phones, K, P)


def test_against_definitions():
    units, phones, seconds, joint = made_up()
    counts = count_units(units, phones, seconds, joint).pooled()
    y, z = np.concatenate(phones), np.concatenate(units)
    for u, p in [(0, 0), (3, 2), (6, 4)]:
        assert joint[p, u] == np.sum((y == p) & (z == u))

    def pairs(y, z):
        named = sum(max(np.sum((y == p) & (z == u)) for p in range(5)) for u in range(7)) / len(y)
        typical = sum(max(np.sum((y == p) & (z == u)) for u in range(7)) for p in range(5))
        return named, typical / len(y), mutual_info_score(y, z) / mutual_info_score(y, y)

    found = (counts.phone_purity, counts.cluster_purity, counts.pnmi)
    np.testing.assert_allclose(found, pairs(y, z))
    named, _, pnmi = pairs(y[y > 0], z[y > 0])
    np.testing.assert_allclose((counts.phone_purity_speech, counts.pnmi_speech), (named, pnmi))
    assert counts.perplexity == pytest.approx(math.exp(mutual_info_score(z, z)))
    runs = sum(1 + sum(a != b for a, b in itertools.pairwise(u)) for u in units)
    assert counts.dedup_rate == pytest.approx(runs / sum(seconds))
    assert usage(joint) == 6 / 7


def test_units_that_are_the_phones():
    _, phones, seconds, _ = made_up()
    joint = joint_counts(phones, phones, 5, 5)
    counts = count_units(phones, phones, seconds, joint).pooled()
    one = [counts.phone_purity, counts.cluster_purity, counts.pnmi, counts.pnmi_speech]
    np.testing.assert_allclose(one, 1)


def test_units_that_say_nothing():
    _, phones, seconds, _ = made_up()
    same = [np.zeros_like(p) for p in phones]
    counts = count_units(same, phones, seconds, joint_counts(same, phones, 3, 5)).pooled()
    assert counts.pnmi == pytest.approx(0, abs=1e-12)
    assert counts.cluster_purity == 1
    assert counts.perplexity == 1
    silent = count_units(same, same, seconds, joint_counts(same, same, 3, 5)).pooled()
    assert np.isnan(silent.pnmi)
    assert np.isnan(silent.pnmi_speech)


def test_intervals_lie_around_the_figure():
    """Joint counts of a resample would put them above it: fewer speakers agree more."""
    generator = np.random.default_rng(1)
    speakers = [f"s{i % 6}" for i in range(60)]
    phones = [generator.integers(0, 10, 50) for _ in speakers]
    # each speaker has units of their own for half of the phones
    units = [
        np.where(p % 2 == 0, p, 10 + 10 * int(s[1]) + p)
        for p, s in zip(phones, speakers, strict=True)
    ]
    joint = joint_counts(units, phones, 80, 10)
    counts = count_units(units, phones, [1.0] * 60, joint)
    resampled = Resampled(counts, resampling_weights(60, speakers))
    for name in FIGURES:
        found = interval(resampled, lambda c, name=name: getattr(c, name))
        assert found.low <= found.estimate + 1e-9, name
        assert found.high >= found.estimate - 1e-9, name


def test_bias_is_that_of_shuffled_phones():
    generator = np.random.default_rng(0)
    phones, units = [generator.integers(0, 8, 4000)], [generator.integers(0, 20, 4000)]
    joint = joint_counts(units, phones, 20, 8)
    found = count_units(units, phones, [80.0], joint).pooled().pnmi  # the truth is 0
    assert pnmi_bias(joint) == pytest.approx(found, rel=0.25)
