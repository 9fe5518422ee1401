import dataclasses
import math

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from segmenter_reference import starts as slow_starts

from espnet_entropy.segmenter.calibrate import CalibrationTable, calibrate, calibrate_plan
from espnet_entropy.segmenter.config import CalibrationPlan, Default, SegmenterConfig
from espnet_entropy.segmenter.scored import ScoredSet
from espnet_entropy.segmenter.search import Search
from espnet_entropy.segmenter.segment import segment

ADJUSTABLE = [
    SegmenterConfig("global"),
    SegmenterConfig("global", boundary="end"),
    SegmenterConfig("global", min_group=2),
    SegmenterConfig("global", min_group=2, max_group=9),
    SegmenterConfig("relative"),
    SegmenterConfig("relative", boundary="end", max_group=9),
    SegmenterConfig("combined"),
    SegmenterConfig("combined", min_group=2),
    SegmenterConfig("planned", min_group=1),
    SegmenterConfig("planned"),
    SegmenterConfig("planned", min_group=3, lookahead=6),
    SegmenterConfig("uniform"),
    SegmenterConfig("random"),
    SegmenterConfig("random_change"),
]


def corpus(seed=0, utterances=60, decimals=None):
    """Utterances of 10-400 units whose entropies are continuous (or rounded, for ties)."""
    rng = np.random.default_rng(seed)
    made = []
    for n in rng.integers(10, 400, utterances):
        units = rng.integers(0, 100, n)
        entropy = rng.gamma(2.0, 1.0, n)
        if decimals is not None:
            entropy = entropy.round(decimals)
        made.append(np.stack([units, entropy], axis=1).astype(np.float32))
    return made, sum(len(u) for u in made) * 0.02 + 0.005 * len(made)


def pooled_rate(made, seconds, config):
    """Independent of the search: one utterance after the other."""
    groups = sum(segment(u[:, 0].astype(int), u[:, 1], config).sum() for u in made)
    return groups / seconds


@pytest.mark.parametrize("config", ADJUSTABLE, ids=lambda c: c.label)
@pytest.mark.parametrize("rate", [7.0, 13.2, 15.0])
def test_reaches_the_rate_on_continuous_entropies(config, rate):
    made, seconds = corpus()
    found = calibrate(made, seconds, config, rate, num_clusters=100)
    assert found.achieved_rate == pytest.approx(rate, rel=0.005)
    assert pooled_rate(made, seconds, found.config) == found.achieved_rate
    assert found.target_rate == rate
    assert dataclasses.replace(found.config, **dict.fromkeys(config.knobs)) == config
    for name, bits in found.bits.items():
        nats = getattr(found.config, name)
        assert bits * math.log(2) == pytest.approx(nats)
        assert found.relative[name] * math.log(100) == pytest.approx(nats)
    assert set(found.bits) == {k for k in config.knobs if k != "rate"}


def test_threshold_of_m1_is_the_quantile():
    made, seconds = corpus()
    found = calibrate(made, seconds, SegmenterConfig("global"), 15.0)
    inner = np.concatenate([u[1:, 1] for u in made])
    expected = round(15.0 * seconds) - len(made)  # the first units start groups anyway
    assert np.sort(inner)[::-1][expected] == np.float32(found.config.threshold)


def test_m3_uses_one_common_quantile():
    made, seconds = corpus()
    found = calibrate(made, seconds, SegmenterConfig("combined"), 10.0).config
    level = np.concatenate([u[1:, 1] for u in made])
    rise = np.concatenate([np.diff(u[:, 1]) for u in made])
    shares = (level <= found.threshold).mean(), (rise <= found.threshold_relative).mean()
    assert shares[0] == pytest.approx(shares[1], abs=1e-3)
    alone = calibrate(made, seconds, SegmenterConfig("global"), 10.0).config
    assert found.threshold < alone.threshold  # NOTES 3


@settings(max_examples=20, deadline=None)
@given(
    config=st.sampled_from(ADJUSTABLE[:11]),
    rate=st.floats(3, 20),
    decimals=st.sampled_from([0, 1]),
)
def test_ties_give_the_nearest_rate_that_exists(config, rate, decimals):
    made, seconds = corpus(1, 8, decimals)
    search = Search(made, seconds, config)
    low, high = search.limits()
    if not low <= rate <= high:
        return
    found = search.at(rate)
    distance = abs(found.achieved_rate - rate)
    for index in range(0, len(search._knobs), max(1, len(search._knobs) // 60)):
        other = abs(search.rate(search._config_at(index)) - rate)
        # with max_group or planning the rate is not quite monotone: almost the nearest will do
        assert distance <= other + (
            0.02 * rate if config.max_group or config.criterion == "planned" else 1e-9
        )


def test_search_agrees_with_the_slow_segmenter():
    made, seconds = corpus(2, 5)
    config = SegmenterConfig("planned", min_group=2, max_group=12)
    found = calibrate(made, seconds, config, 12.0)
    groups = sum(sum(slow_starts(u[:, 0].tolist(), u[:, 1].tolist(), found.config)) for u in made)
    assert groups / seconds == pytest.approx(found.achieved_rate, rel=0.01)  # float32 ties


@pytest.mark.parametrize(
    ("config", "rate", "limit"),
    [
        (SegmenterConfig("global", min_group=4), 15.0, "maximum is 12"),
        (SegmenterConfig("planned", min_group=4), 15.0, "maximum is 12"),
        (SegmenterConfig("global", max_group=5), 7.0, "minimum 10"),
        (SegmenterConfig("random_change"), 49.9, "maximum is 49"),
        (SegmenterConfig("dedup"), 15.0, "no threshold"),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_unreachable_rates_name_the_limit(config, rate, limit):
    made, seconds = corpus()
    if config.criterion == "random_change":
        for u in made:
            u[::7, 0] = np.roll(u[:, 0], 1)[::7]
        limit = "maximum is 4"
    with pytest.raises(ValueError, match=limit):
        calibrate(made, seconds, config, rate)


@pytest.mark.parametrize("rate", [0.0, -3.0, 51.0, math.nan])
def test_impossible_rates(rate):
    made, seconds = corpus(0, 2)
    with pytest.raises(ValueError, match="rate: expected above 0 and at most 50"):
        calibrate(made, seconds, SegmenterConfig("global"), rate)


def test_constant_entropy_has_two_rates_only():
    made = [np.stack([np.arange(100), np.full(100, 2.0)], 1).astype(np.float32)]
    with pytest.raises(ValueError, match=r"maximum is 50\.00 Hz, the minimum 0\.50"):
        calibrate(made, 2.0, SegmenterConfig("global"), 50.0 + 1e-9 - 49.8)
    assert calibrate(made, 2.0, SegmenterConfig("global"), 50.0).achieved_rate == 50.0
    assert calibrate(made, 2.0, SegmenterConfig("global"), 15.0).achieved_rate == 0.5


def test_utterances_of_one_unit():
    made = [np.array([[3, 1.5]], np.float32)] * 4
    assert calibrate(made, 0.1, SegmenterConfig("planned"), 40.0).achieved_rate == 40.0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((0, 2)), r"utterance 1: expected a matrix \(N, 2\)"),
        (np.zeros((4, 3)), r"got shape \(4, 3\)"),
        (np.array([[1, np.nan]]), "finite"),
        (np.array([[1, -0.5]]), "at least 0"),
    ],
)
def test_bad_matrices_are_named(bad, message):
    made, seconds = corpus(0, 1)
    with pytest.raises(ValueError, match=message):
        calibrate([*made, bad], seconds, SegmenterConfig("global"), 15.0)


@pytest.fixture(scope="module")
def table():
    made, seconds = corpus(3, 40)
    scored = ScoredSet("valid", dict(enumerate(made)), seconds, "tok", "lm", 100)
    criteria = [
        SegmenterConfig("global"),
        SegmenterConfig("combined", min_group=2),
        SegmenterConfig("planned"),
        SegmenterConfig("uniform"),
        SegmenterConfig("dedup"),
    ]
    plan = CalibrationPlan(Default("planned", 15.0), criteria, [15.0, 7.0])
    return calibrate_plan(scored, plan), made, seconds


def test_table_survives_the_file(table, tmp_path):
    table, _, _ = table
    path = tmp_path / "calibration.yaml"
    table.save(path)
    assert CalibrationTable.load(path) == table
    assert yaml.safe_load(path.read_text())["entries"][0]["config"]["scale"] == "nats"
    assert table.criteria == ["global", "combined_min2", "planned", "uniform", "dedup"]


@pytest.mark.parametrize("name", ["global", "combined_min2", "planned", "uniform"])
def test_rates_between_are_interpolated(table, name):
    table, made, seconds = table
    assert not table.find(name, 15.0).interpolated
    between = table.find(name, 13.2)
    assert between.interpolated
    assert pooled_rate(made, seconds, between.config) == pytest.approx(13.2, rel=0.02)
    assert table.lookup(name, 13.2) == between.config


def test_lookup_says_what_is_known(table):
    table, _, _ = table
    with pytest.raises(ValueError, match=r"unknown criterion 'planed'.*Did you mean"):
        table.lookup("planed", 15.0)
    with pytest.raises(ValueError, match=r"not calibrated for 45 Hz; known: 15, 7 and 4\."):
        table.lookup("global", 45.0)
    with pytest.raises(ValueError, match="'dedup' has no threshold: it makes"):
        table.lookup("dedup", 15.0)


def test_a_criterion_without_a_threshold_has_one_rate(table):
    table, _, _ = table
    made = table.entries[-1].achieved_rate
    assert table.usual_rate("dedup", 15.0) == made
    assert table.usual_rate("planned", 15.0) == 15.0
    for rate in (made, round(made, 1), made * 1.009, made * 0.991):
        assert table.find("dedup", rate) == table.entries[-1]
    with pytest.raises(ValueError, match=f"it makes {made:.2f} Hz, not .*ask for that rate"):
        table.find("dedup", made * 0.98)
    with pytest.raises(ValueError, match="unknown criterion 'fixed'"):
        table.usual_rate("fixed", 15.0)


def test_another_format_is_refused(table, tmp_path):
    table, _, _ = table
    path = tmp_path / "calibration.yaml"
    table.save(path)
    path.write_text(path.read_text().replace("format: 1", "format: 9"))
    with pytest.raises(ValueError, match=r"calibration.yaml: format: this version reads 1, got 9"):
        CalibrationTable.load(path)
