from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from espnet_entropy.evaluation.boundaries import (
    FIGURES,
    BoundaryCounts,
    count_boundaries,
    hypothesis_boundaries,
    reference_boundaries,
)


@dataclass
class Span:
    start: float
    end: float
    label: str


def times(*values):
    return np.array(values, dtype=np.float64)


# milliseconds, so that "exactly at the tolerance" occurs
TIMES = st.lists(st.integers(1, 400), max_size=25, unique=True).map(
    lambda ms: np.sort(np.array(ms, dtype=np.float64)) / 1000
)


def test_perfect_hypothesis():
    reference = times(0.1, 0.25, 0.3)
    counts = count_boundaries([reference], [reference], 0.02).pooled()
    found = {name: getattr(counts, name) for name in FIGURES}
    assert found == pytest.approx(
        dict(precision=1, recall=1, f1=1, r_value=1, over_segmentation=0, mean_deviation=0)
    )
    assert counts.alignment == 1
    assert counts.mean_time_deviation == 0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "matched", "r_value"),
    [
        # by hand: HR = .5, OS = -.5: r1 = sqrt(.5), r2 = (.5 - 1 + .5) / sqrt 2 = 0
        (100, 50, 50, 1 - np.sqrt(0.5) / 2),
        # all found among twice as many: r1 = 1, r2 = (1 - 1 - 1) / sqrt 2
        (100, 200, 100, 1 - (1 + np.sqrt(0.5)) / 2),
        # HR = .76, OS = .1: r1 = sqrt(.0576 + .01) = .26, r2 = -.34 / sqrt 2
        (100, 110, 76, 1 - (0.26 + 0.34 / np.sqrt(2)) / 2),
        # nothing hypothesised: r1 = sqrt 2, r2 = 0
        (100, 0, 0, 1 - np.sqrt(2) / 2),
    ],
)
def test_r_value_by_hand(reference, hypothesis, matched, r_value):
    assert BoundaryCounts(reference, hypothesis, matched).r_value == pytest.approx(r_value)


def test_figures_by_hand():
    counts = count_boundaries(
        [times(0.10, 0.20, 0.50)], [times(0.09, 0.11, 0.215, 0.30)], 0.02
    ).pooled()
    assert counts.columns() == pytest.approx([3, 4, 2, 0.025, 3, 0.01 + 0.01 + 0.015 + 0.1, 4])
    assert counts.precision == 0.5
    assert counts.recall == pytest.approx(2 / 3)
    assert counts.f1 == pytest.approx(4 / 7)
    assert counts.over_segmentation == pytest.approx(1 / 3)
    assert counts.mean_deviation == pytest.approx(0.0125)
    assert counts.alignment == 0.75  # one reference serves two boundaries: the paper's reading
    assert counts.mean_time_deviation == pytest.approx(0.135 / 4)


def test_matching_takes_the_nearer_of_two_of_equal_size():
    counts = count_boundaries([times(0.1)], [times(0.085, 0.1)], 0.02).pooled()
    assert (counts.matched, counts.deviation) == (1, pytest.approx(0))


def test_a_pair_exactly_at_the_tolerance_matches():
    assert count_boundaries([times(0.3)], [times(0.28)], 0.02).pooled().matched == 1
    assert count_boundaries([times(0.3)], [times(0.279)], 0.02).pooled().matched == 0


def greedy(reference, hypothesis, tolerance):
    """First free hypothesis from left to right: independent of the code under test."""
    r = h = matched = 0
    while r < len(reference) and h < len(hypothesis):
        if abs(reference[r] - hypothesis[h]) <= tolerance + 1e-6:
            matched, r, h = matched + 1, r + 1, h + 1
        elif reference[r] < hypothesis[h]:
            r += 1
        else:
            h += 1
    return matched


@settings(max_examples=300, deadline=None)
@given(TIMES, TIMES, st.sampled_from([0.005, 0.02, 0.05]))
def test_matching_is_maximum_and_its_deviation_minimal(reference, hypothesis, tolerance):
    counts = count_boundaries([reference], [hypothesis], tolerance).pooled()
    if len(reference) == 0 or len(hypothesis) == 0:
        assert counts.matched == 0
        return
    gap = np.abs(reference[:, None] - hypothesis[None, :])
    near = gap <= tolerance + 1e-6
    best = np.count_nonzero(maximum_bipartite_matching(csr_matrix(near)) >= 0)
    assert counts.matched == best == greedy(reference, hypothesis, tolerance)
    cost = np.where(near, gap, 1000.0)  # a pair too far apart costs more than all others together
    rows, columns = linear_sum_assignment(cost)
    chosen = cost[rows, columns]
    assert counts.deviation == pytest.approx(chosen[chosen < 1000].sum(), abs=1e-9)
    assert counts.near == near.any(axis=0).sum()
    assert counts.distance == pytest.approx(gap.min(axis=0).sum())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=5))
def test_counts_add_up_and_batching_changes_nothing(pairs):
    references, hypotheses = [list(column) for column in zip(*pairs, strict=True)]
    together = count_boundaries(references, hypotheses, 0.02)
    total = BoundaryCounts()
    for u, (reference, hypothesis) in enumerate(pairs):
        alone = count_boundaries([reference], [hypothesis], 0.02)
        for column, single in zip(together.columns(), alone.columns(), strict=True):
            assert column[u] == pytest.approx(single[0])
        total += alone.pooled()
    assert together.pooled().columns() == pytest.approx(total.columns())
    assert together.weighted(np.ones((1, len(pairs)))).matched[0] == pytest.approx(total.matched)


@settings(max_examples=100, deadline=None)
@given(TIMES, TIMES)
def test_bounds(reference, hypothesis):
    counts = count_boundaries([reference], [hypothesis], 0.02).pooled()
    assert counts.matched <= min(counts.reference, counts.hypothesis)
    assert counts.matched <= counts.near
    assert counts.deviation <= counts.matched * 0.02 + 1e-9
    if counts.reference:
        assert counts.r_value <= 1
    swapped = count_boundaries([hypothesis], [reference], 0.02).pooled()
    assert swapped.matched == counts.matched


def test_random_boundaries_hit_as_their_density_says():
    """Share of uniform points within ± tol of a reference point = share of the line covered."""
    generator = np.random.default_rng(0)
    references = [np.arange(0.1, 60, 0.2)] * 200
    hypotheses = [np.sort(generator.uniform(0, 60.1, 600)) for _ in references]
    counts = count_boundaries(references, hypotheses, 0.02).pooled()
    assert counts.alignment == pytest.approx(0.04 / 0.2, abs=0.005)
    # one to one: a reference is found unless none of the Poisson(.4) points came near
    assert counts.recall == pytest.approx(1 - np.exp(-10 * 0.04), abs=0.005)
    assert counts.mean_time_deviation == pytest.approx(0.05, abs=0.001)


def test_nothing_hypothesised_is_undefined_not_perfect():
    counts = count_boundaries([times(0.1)], [times()], 0.02).pooled()
    assert np.isnan(counts.precision)
    assert counts.recall == 0
    assert counts.f1 == 0


def test_reference_boundaries():
    spans = [
        Span(0.0, 0.3, "sil"),
        Span(0.3, 0.5, "a"),
        Span(0.5004, 0.7, "b"),  # rounding: the same instant as the end of a
        Span(0.7, 0.8, "SIL"),
        Span(0.8, 0.9, ""),
        Span(0.9, 1.5, "c"),
    ]
    assert reference_boundaries(spans, 1.5) == pytest.approx([0.3, 0.5, 0.7, 0.9])
    spoken = [span for span in spans if span.label in "abc" and span.label]
    assert reference_boundaries(spoken, 1.5) == pytest.approx([0.3, 0.5, 0.7, 0.9])
    assert reference_boundaries(spoken, 2.0) == pytest.approx([0.3, 0.5, 0.7, 0.9, 1.5])
    assert len(reference_boundaries([Span(0.0, 1.0, "a")], 1.0)) == 0


def test_hypothesis_boundaries_leave_out_the_start():
    mask = np.array([True, False, False, True, True])
    assert hypothesis_boundaries(mask) == pytest.approx([0.0625, 0.0825])
    assert len(hypothesis_boundaries(mask[:1])) == 0


def test_wrong_calls_are_named():
    with pytest.raises(ValueError, match="1 references, but 2 hypotheses"):
        count_boundaries([times()], [times(), times()], 0.02)
    with pytest.raises(ValueError, match="above 0"):
        count_boundaries([], [], 0.0)
    assert count_boundaries([], [], 0.02).pooled().matched == 0
