"""How well the uncertainty of a difference is known: simulations with fixed seeds."""

import numpy as np
import pytest

from espnet_entropy.evaluation.hierarchy import Contrast, Design


def simulate(generator, runs, of_seeds, of_utterances=0.05, of_pairs=0.0, utterances=80, gap=0.0):
    """Errors of two systems: rate = 0.15 + seed + utterance + system x utterance, then binomial."""
    length = generator.integers(5, 12, utterances)
    shared = generator.normal(0, of_utterances, utterances)
    systems = []
    for k in range(2):
        seeds = generator.normal(0, of_seeds, (runs, 1))
        own = generator.normal(0, of_pairs, utterances)
        rate = np.clip(0.15 - (gap if k == 0 else 0) + seeds + shared + own, 0, 1)
        systems.append(generator.binomial(length, rate, (runs, utterances)).astype(float))
    return *systems, length.astype(float)


def trials(number, **how):
    """Share of intervals that hold the truth, share of one-sided tests at 2.5 % that fire."""
    generator = np.random.default_rng(5)
    gap = how.get("gap", 0.0)
    found = [
        Design(*simulate(generator, **how), resamples=300, seed=t).contrast() for t in range(number)
    ]
    low, high = zip(*(c.interval() for c in found), strict=True)
    covered = np.mean((np.array(low) <= -gap) & (-gap <= np.array(high)))
    fired = np.mean([c.p_below_zero() < 0.025 for c in found])
    return covered, fired, found


@pytest.mark.parametrize(
    ("runs", "of_seeds", "of_pairs"),
    [
        (1, 0.0, 0.05),
        (3, 0.03, 0.0),
        (5, 0.0, 0.0),
        (5, 0.01, 0.05),
        (5, 0.03, 0.0),
        (10, 0.01, 0.0),
    ],
)
def test_coverage_and_type_one_error(runs, of_seeds, of_pairs):
    """400 trials: a true 95 % is seen as 92.8 to 97.2 %, a true 2.5 % as up to 4.1 %."""
    covered, fired, _ = trials(400, runs=runs, of_seeds=of_seeds, of_pairs=of_pairs)
    assert 0.928 <= covered <= 0.995  # conservative with few runs, see the floor in contrast()
    assert 0.0 <= fired <= 0.042


def test_two_runs_are_conservative():
    covered, fired, _ = trials(200, runs=2, of_seeds=0.03)
    assert covered >= 0.94
    assert fired <= 0.03


def test_one_run_does_not_see_seeds():
    """Why a single run is not evidence for a method: half of its intervals miss."""
    covered, fired, _ = trials(200, runs=1, of_seeds=0.03)
    assert covered < 0.7
    assert fired > 0.15


@pytest.mark.parametrize(("of_seeds", "of_pairs"), [(0.0, 0.0), (0.02, 0.0), (0.0, 0.05)])
def test_standard_error_is_that_of_repetitions(of_seeds, of_pairs):
    """Resampling runs and utterances at once would say up to √3 times as much."""
    _, _, found = trials(300, runs=5, of_seeds=of_seeds, of_pairs=of_pairs)
    true = np.std([c.estimate for c in found])
    stated = np.sqrt(np.mean([c.standard_error**2 for c in found]))
    assert 0.9 < stated / true < 1.2


def test_stated_power_is_met():
    """A true difference as large as stated is found in about 80 % of the trials."""
    _, _, found = trials(100, runs=5, of_seeds=0.01)
    steps = [(c.quantile(0.975) + c.quantile(0.8)) * c.standard_error for c in found]
    gap = float(np.mean(steps))
    _, fired, found = trials(300, runs=5, of_seeds=0.01, gap=gap)
    assert 0.7 <= fired <= 0.9
    assert 0.7 <= np.mean([c.power(-gap, 0.025) for c in found]) <= 0.9


def test_speakers_count_as_one():
    """Utterances of a speaker that share their errors make the interval wider, not narrower."""
    generator = np.random.default_rng(0)
    a, b, length = simulate(generator, runs=3, of_seeds=0.0, of_pairs=0.1, utterances=20)
    a, b, length = (np.repeat(x, 6, axis=-1) for x in (a, b, length))
    speakers = [f"s{i // 6}" for i in range(120)]
    alone = Design(a, b, length, seed=1).contrast()
    together = Design(a, b, length, speakers, seed=1).contrast()
    assert together.estimate == alone.estimate
    ratio = np.sqrt(together.utterances / alone.utterances)
    assert ratio == pytest.approx(np.sqrt(6), rel=0.15)


def test_variances_against_a_slow_loop():
    """Components of one data set, each drawn by a plain loop."""
    generator = np.random.default_rng(3)
    a, b, length = simulate(generator, runs=4, of_seeds=0.02, of_pairs=0.05, utterances=30)
    found = Design(a, b, length, resamples=4000).contrast()
    seeds = sum(np.var(x.sum(1) / length.sum(), ddof=1) / 4 for x in (a, b))
    assert found.seeds == pytest.approx(seeds)
    drawn = []
    for _ in range(4000):
        take = generator.integers(0, 30, 30)
        rates = [x[:, take].sum(1).mean() / length[take].sum() for x in (a, b)]
        drawn.append(rates[0] - rates[1])
    assert found.utterances == pytest.approx(np.var(drawn) * 30 / 29, rel=0.12)
    assert 0 < found.interaction < found.utterances


def test_systems_that_err_alike():
    errors, length = np.ones((2, 10)), np.full(10, 5.0)
    same = Design(errors, errors, length).contrast()
    assert (same.estimate, same.standard_error) == (0.0, 0.0)
    assert same.p_below_zero() == 1.0
    assert same.interval() == (0.0, 0.0)
    # 5 % of margin are there without any doubt
    limit = Design(errors, errors, length).contrast(1.05)
    assert limit.p_below_zero() < 1e-6


def test_p_and_interval_agree():
    for estimate in np.linspace(-0.05, 0.05, 21):
        contrast = Contrast(estimate, 0.01, 7.0, 0, 0, 0)
        assert (contrast.p_below_zero() < 0.025) == (contrast.interval()[1] < 0)


def test_too_little_to_compare():
    one = np.ones((3, 1))
    with pytest.raises(ValueError, match="at least two utterances"):
        Design(one, one, np.ones(1))
    two = np.ones((3, 2))
    with pytest.raises(ValueError, match="at least two"):
        Design(two, two, np.ones(2), ["s", "s"])
    with pytest.raises(ValueError, match="with 0 in it"):
        Design(two, two, np.zeros(2))
