import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segmenter_reference import starts as slow_starts

from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.draws import uniform_draws
from espnet_entropy.segmenter.flat import Flat
from espnet_entropy.segmenter.groups import (
    group_ids,
    group_lengths,
    limit_groups,
    next_start,
    walk_by_doubling,
)
from espnet_entropy.segmenter.segment import lookahead, segment

CONFIGS = [
    SegmenterConfig("global", threshold=1.5),
    SegmenterConfig("global", threshold=1.5, min_group=2),
    SegmenterConfig("global", threshold=1.5, min_group=2, max_group=3, boundary="end"),
    SegmenterConfig("global", threshold=0.25, center=4),
    SegmenterConfig("global", threshold=0.25, center=7, min_group=2),
    SegmenterConfig("combined", threshold=0.0, threshold_relative=0.25, center=13),
    SegmenterConfig("planned", threshold=0.5, center=2),
    SegmenterConfig("relative", threshold_relative=0.25),
    SegmenterConfig("relative", threshold_relative=-0.25, max_group=4),
    SegmenterConfig("relative", threshold_relative=0.25, boundary="end", min_group=3),
    SegmenterConfig("combined", threshold=1.0, threshold_relative=0.25),
    SegmenterConfig("combined", threshold=1.0, threshold_relative=0.25, min_group=4, max_group=4),
    SegmenterConfig("planned", threshold=2.0, min_group=1),
    SegmenterConfig("planned", threshold=2.0),
    SegmenterConfig("planned", threshold=1.0, min_group=3, max_group=6, lookahead=5),
    SegmenterConfig("planned", threshold=1.0, min_group=4, lookahead=2, change_bonus=0.5),
    SegmenterConfig("planned", threshold=2.0, min_group=2, boundary="end", change_bonus=0.0),
    SegmenterConfig("original"),
    SegmenterConfig("original", min_group=2),
    SegmenterConfig("dedup"),
    SegmenterConfig("dedup", max_group=2),
    SegmenterConfig("fixed", window=3),
    SegmenterConfig("uniform", rate=14.3),
]
RANDOM = [SegmenterConfig("random", rate=15.0), SegmenterConfig("random_change", rate=30.0)]
by_label = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.label)
# no deadline: the machine may be busy; a run should stay short
relaxed = settings(max_examples=40, deadline=None)
any_config = pytest.mark.parametrize("config", CONFIGS + RANDOM, ids=lambda c: c.label)

# quarters of a nat: ties are common, and sums are exact in float32 and in Python floats
utterances = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 12).map(lambda q: q / 4)), min_size=1, max_size=40
)


def columns(utterance):
    units, entropy = zip(*utterance, strict=True)
    return np.array(units), np.array(entropy, np.float32)


def random_utterance(n, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 50, n), rng.gamma(2.0, 1.0, n).astype(np.float32)


@by_label
@relaxed
@given(utterance=utterances)
def test_equals_the_equations(config, utterance):
    units, entropy = columns(utterance)
    expected = slow_starts(units.tolist(), entropy.tolist(), config)
    assert segment(units, entropy, config).tolist() == expected


@any_config
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(utterances, min_size=1, max_size=4))
def test_torch_and_batches_equal_one_by_one(config, rows):
    alone = [segment(*columns(row), config) for row in rows]
    lengths = np.array([len(row) for row in rows])
    units = np.full((len(rows), lengths.max() + 1), -1)  # even the longest row is padded
    entropy = np.full(units.shape, np.nan, np.float32)
    for i, row in enumerate(rows):
        units[i, : len(row)], entropy[i, : len(row)] = columns(row)
    as_numpy = segment(units, entropy, config, lengths)
    as_torch = segment(
        torch.tensor(units), torch.tensor(entropy), config, torch.tensor(lengths)
    ).numpy()
    for i, mask in enumerate(alone):
        for batch in (as_numpy, as_torch):
            assert batch[i, : len(mask)].tolist() == mask.tolist()
            assert not batch[i, len(mask) :].any()
        one = segment(*map(torch.tensor, columns(rows[i])), config)
        assert one.tolist() == mask.tolist()


@any_config
def test_torch_equals_numpy_on_real_valued_entropies(config):
    units, entropy = random_utterance(2000, 1)
    expected = segment(units, entropy, config)
    assert segment(torch.tensor(units), torch.tensor(entropy), config).tolist() == expected.tolist()
    assert 1 < expected.sum() <= 2000


@any_config
@relaxed
@given(utterance=utterances)
def test_groups_cover_the_utterance_within_their_limits(config, utterance):
    units, entropy = columns(utterance)
    mask = segment(units, entropy, config)
    lengths = group_lengths(mask)
    assert mask.dtype == bool
    assert mask[0]
    assert lengths.sum() == len(units)
    assert (lengths[:-1] >= config.smallest_group).all()
    assert config.max_group is None or (lengths <= config.max_group).all()
    assert np.array_equal(group_ids(mask), np.repeat(np.arange(len(lengths)), lengths))
    tensor = torch.tensor(mask)
    assert group_lengths(tensor).tolist() == lengths.tolist()
    assert group_ids(tensor).tolist() == group_ids(mask).tolist()


@any_config
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_one_unit_and_constant_entropy(config, value):
    assert segment(np.array([4]), np.array([value], np.float32), config).tolist() == [True]
    units, entropy = np.full(12, 4), np.full(12, value, np.float32)
    level = 0.0 if config.center else value
    expected = {
        "global": level > (config.threshold or 0),
        "relative": (config.threshold_relative or 0) < 0,
        "combined": False,
        "planned": level > (config.threshold or 0),
        "dedup": False,
        "random_change": False,
    }
    if config.criterion in expected and config.max_group is None:
        starts = segment(units, entropy, config)
        assert (starts[1:].any(), starts[0]) == (expected[config.criterion], True)


@any_config
def test_nothing_beyond_the_declared_lookahead_matters(config):
    units, entropy = random_utterance(60, 2)
    known = segment(units, entropy, config)
    ahead = lookahead(config)
    for cut in range(1, 60):
        decided = cut - ahead
        part = segment(units[:cut], entropy[:cut], config)
        assert part[: max(0, decided)].tolist() == known[: max(0, decided)].tolist()


def test_lookahead_is_declared():
    assert lookahead(SegmenterConfig("global")) == lookahead(SegmenterConfig("combined")) == 0
    assert lookahead(SegmenterConfig("planned", min_group=2, lookahead=3)) == 4
    assert lookahead(SegmenterConfig("planned", min_group=2, lookahead=3, boundary="end")) == 3


@pytest.mark.parametrize("criterion", ["random", "random_change"])
def test_random_is_the_utterances_own_and_has_its_rate(criterion):
    config = SegmenterConfig(criterion, rate=15.0)
    units, entropy = random_utterance(20_000, 3)
    units = np.where(np.arange(20_000) % 2, units, np.roll(units, 1))
    mask = segment(units, entropy, config)
    assert np.array_equal(mask, segment(units, entropy * 2, config))
    assert not np.array_equal(mask, segment(np.roll(units, 1), entropy, config))
    share = 15 / 50
    changes = np.flatnonzero(np.diff(units, prepend=-1) != 0)
    of = np.arange(20_000) if criterion == "random" else changes
    # five standard deviations of a binomial
    assert abs(mask[of].mean() - share) < 5 * np.sqrt(share * (1 - share) / len(of))
    # neighbours are independent
    pairs = mask[of][1:] & mask[of][:-1]
    assert abs(pairs.mean() - share**2) < 5 * np.sqrt(share**2 / len(of))
    if criterion == "random_change":
        assert not mask[np.diff(units, prepend=-1) == 0].any()


def test_draws_are_shared_exactly_where_place_and_last_units_are():
    rng = np.random.default_rng(11)
    units = rng.integers(0, 2, (20, 30))  # few units: many contexts in common
    draws = [uniform_draws(Flat(row, np.zeros(30), np.arange(30) == 0)) for row in units]
    for place in range(30):
        begin = max(0, place - 3)
        number = {
            tuple(row[begin : place + 1]): draw[place]
            for row, draw in zip(units, draws, strict=True)
        }
        assert len(set(number.values())) == len(number)
        for row, draw in zip(units, draws, strict=True):
            assert draw[place] == number[tuple(row[begin : place + 1])]


@pytest.mark.parametrize("rate", [7.0, 15.0, 24.0, 50.0])
def test_uniform_keeps_its_rate_and_spacing(rate):
    mask = segment(np.zeros(5000, int), np.zeros(5000), SegmenterConfig("uniform", rate=rate))
    lengths = group_lengths(mask)
    assert mask.sum() == pytest.approx(rate * 100, abs=1)
    assert lengths[:-1].max() - lengths[:-1].min() <= 1


@pytest.mark.parametrize("limits", [(1, 3), (2, None), (2, 5), (3, 3)])
def test_walks_of_numpy_torch_and_gpu_agree_on_a_corpus(limits):
    rng = np.random.default_rng(4)
    candidates, first = rng.random(5000) < 0.4, rng.random(5000) < 0.01
    first[0] = True
    expected = limit_groups(candidates, first, *limits)
    tensors = torch.tensor(candidates), torch.tensor(first)
    assert limit_groups(*tensors, *limits).tolist() == expected.tolist()
    on_a_gpu = walk_by_doubling(next_start(*tensors, *limits), tensors[1])
    assert on_a_gpu.tolist() == expected.tolist()


def test_scales_agree():
    units, entropy = random_utterance(300, 5)
    nats = SegmenterConfig("combined", threshold=1.0, threshold_relative=0.2)
    expected = segment(units, entropy, nats)
    bits = dataclasses.replace(
        nats, scale="bits", threshold=1 / np.log(2), threshold_relative=0.2 / np.log(2)
    )
    share = dataclasses.replace(
        nats,
        scale="relative",
        num_clusters=50,
        threshold=1 / np.log(50),
        threshold_relative=0.2 / np.log(50),
    )
    assert segment(units, entropy, bits).tolist() == expected.tolist()
    assert segment(units, entropy, share).tolist() == expected.tolist()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@any_config
def test_gpu_equals_cpu(config):
    units, entropy = (x.reshape(8, 250) for x in random_utterance(2000, 6))
    lengths = np.array([250, 1, 17, 249, 250, 3, 100, 200])
    expected = segment(units, entropy, config, lengths)
    tensors = [torch.tensor(x, device="cuda") for x in (units, entropy, lengths)]
    found = segment(tensors[0], tensors[1], config, tensors[2])
    assert found.device.type == "cuda"
    assert found.cpu().tolist() == expected.tolist()
