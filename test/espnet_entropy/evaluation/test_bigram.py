import itertools

import numpy as np
import pytest

from espnet_entropy.evaluation.bigram import bigram_entropy, group_boundaries, score_units
from espnet_entropy.utils.grid import boundary_time


def test_entropy_against_plain_loops():
    generator = np.random.default_rng(0)
    utterances = [generator.integers(0, 4, n) for n in (9, 1, 30)]
    K = 6  # two units never occur
    found = bigram_entropy(utterances, K)
    pooled = np.concatenate(utterances)
    single = [(np.sum(pooled == u) + 1) / (len(pooled) + K) for u in range(K)]
    for before in range(K):
        after = [int(b) for u in utterances for a, b in itertools.pairwise(u) if a == before]
        kinds = max(1, len(set(after)))
        row = [(after.count(u) + kinds * single[u]) / (len(after) + kinds) for u in range(K)]
        assert sum(row) == pytest.approx(1)
        assert found[before] == pytest.approx(-sum(p * np.log(p) for p in row), rel=1e-6)
    assert found[K] == pytest.approx(-sum(p * np.log(p) for p in single), rel=1e-6)


def test_scores_are_of_the_unit_before():
    scored = score_units(np.array([2, 0, 1]), np.array([10, 11, 12, 99], np.float32))
    assert scored.tolist() == [[2, 99], [0, 12], [1, 10]]


def test_groups_where_units_are_hard_to_predict():
    """Each phone is its own run of units: boundaries are found exactly."""
    generator = np.random.default_rng(0)
    phones = [generator.integers(0, 5, 40) for _ in range(8)]
    for row in phones:
        row[1:][row[1:] == row[:-1]] += 5
    lengths = [generator.integers(3, 8, 40) for _ in phones]
    # runs of 0 0 0 …, then 10 10 10 …; the unit inside a run is certain, the next one is not
    units = [np.repeat(p, n) for p, n in zip(phones, lengths, strict=True)]
    units = [np.where(np.diff(u, prepend=-1) != 0, u, u + 10) for u in units]
    starts = [np.cumsum(n)[:-1] for n in lengths]
    references = [boundary_time(s) for s in starts]
    entropy = bigram_entropy(units, 20)
    seconds = sum(map(len, units)) / 50
    rate = 8 * 40 / seconds
    scored = [score_units(u, entropy) for u in units]
    counts, achieved = group_boundaries(scored, references, seconds, rate)
    assert achieved == pytest.approx(rate, rel=0.01)
    assert counts.pooled().f1 > 0.9
    assert len(counts.matched) == 8
