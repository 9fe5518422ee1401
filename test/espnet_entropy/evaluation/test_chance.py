import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_entropy.evaluation.boundaries import count_boundaries
from espnet_entropy.evaluation.chance import BASELINES, chance_boundaries, chance_counts
from espnet_entropy.evaluation.histogram import length_histogram
from espnet_entropy.segmenter.config import KNOBS
from espnet_entropy.utils.grid import boundary_time

UNITS = st.lists(st.integers(0, 3), min_size=1, max_size=60).map(np.array)


@settings(max_examples=150, deadline=None)
@given(UNITS, st.integers(0, 70), st.sampled_from(sorted(BASELINES)))
def test_the_number_asked_for(units, count, method):
    flux = np.random.default_rng(0).random(4 * len(units) + 1)
    found = chance_boundaries(method, units, count, flux)
    assert len(found) == min(count, len(units) - 1)
    assert (np.diff(found) > 0).all()
    if method != "spectral-flux":
        grid = boundary_time(np.arange(1, len(units)))
        assert np.isin(found, grid).all()
    again = chance_boundaries(method, units, count, flux)
    assert (found == again).all()


def test_one_baseline_has_one_name():
    assert set(BASELINES) - {"spectral-flux"} <= set(KNOBS)


def test_uniform_is_uniform():
    found = chance_boundaries("uniform", np.zeros(100, int), 4)
    assert found == pytest.approx(boundary_time(np.array([20, 40, 60, 80])))


def test_changes_come_first():
    units = np.array([5, 5, 5, 7, 7, 7, 7, 1, 1, 1])
    changes = boundary_time(np.array([3, 7]))
    assert chance_boundaries("random_change", units, 2) == pytest.approx(changes)
    more = chance_boundaries("random_change", units, 4)
    assert np.isin(changes, more).all()
    assert len(chance_boundaries("random_change", units, 1)) == 1


def test_draws_differ_and_are_spread_evenly():
    units = np.arange(50)
    drawn = [chance_boundaries("random", units, 7, draw=i) for i in range(2000)]
    share = np.bincount(np.round((np.concatenate(drawn) - 0.0025) / 0.02).astype(int))[1:] / 2000
    assert share == pytest.approx(np.full(49, 7 / 49), abs=0.03)


def test_random_counts_against_the_closed_form():
    """Each reference sits on the grid, alone: its recall is that of drawing it or a neighbour."""
    units = [np.arange(401) + i for i in range(20)]  # the units are the seed
    references = [boundary_time(np.arange(20, 400, 20)) for _ in units]
    counts = chance_counts("random", references, units, [100] * 20, 0.02).pooled()
    # 400 places, 100 drawn without replacement; 3 places lie within ± 20 ms
    missed = np.prod([(300 - i) / (400 - i) for i in range(3)])
    assert counts.hypothesis == 2000
    assert counts.recall == pytest.approx(1 - missed, abs=0.02)


def test_one_draw_is_what_is_counted():
    units = [np.arange(100)] * 3
    references = [np.array([0.5, 1.0])] * 3
    found = chance_counts("uniform", references, units, [9] * 3, 0.05)
    direct = count_boundaries(references, [chance_boundaries("uniform", units[0], 9)] * 3, 0.05)
    assert found.pooled().columns() == pytest.approx(direct.pooled().columns())


def test_unknown_baseline():
    with pytest.raises(ValueError, match="Did you mean 'spectral-flux'"):
        chance_boundaries("spectralflux", np.arange(3), 1)


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_histogram_sums_to_units(starts):
    mask = np.array([True, *starts])
    histogram = length_histogram([mask, mask])
    assert sum(histogram.counts) == histogram.groups == 2 * mask.sum()
    assert sum(n * c for n, c in enumerate(histogram.counts, 1)) == 2 * len(mask)


def test_histogram_by_hand():
    histogram = length_histogram([np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 0], bool)])
    assert histogram.counts == [2, 0, 2]
    assert (histogram.groups, histogram.longest, histogram.singletons) == (4, 3, 0.5)
    assert histogram.mean == 2
    assert histogram.quantiles == {"0.05": 1, "0.25": 1, "0.5": 1, "0.75": 3, "0.95": 3}
    with pytest.raises(ValueError, match="at least one utterance"):
        length_histogram([])
