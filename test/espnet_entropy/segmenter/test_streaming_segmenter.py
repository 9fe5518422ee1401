from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_segment import any_config, columns, random_utterance, relaxed, utterances

from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.segment import lookahead, segment
from espnet_entropy.segmenter.streaming import StreamingSegmenter, make_groups


def as_tuples(groups):
    return [(g.first, g.units.tolist(), g.entropy.tolist(), g.start, g.end) for g in groups]


@any_config
@relaxed
@given(utterance=utterances, cuts=st.lists(st.integers(0, 40), max_size=12))
def test_stream_equals_offline_whatever_the_pieces(config, utterance, cuts):
    units, entropy = columns(utterance)
    expected = as_tuples(make_groups(units, entropy, segment(units, entropy, config)))
    segmenter = StreamingSegmenter(config)
    for _ in range(2):  # a flush leaves it ready for another utterance
        groups = []
        edges = [0, *sorted(min(c, len(units)) for c in cuts), len(units)]
        for a, b in pairwise(edges):
            groups += segmenter.push(units[a:b], entropy[a:b])
        groups += segmenter.flush()
        assert as_tuples(groups) == expected
    assert segmenter.flush() == []


@any_config
def test_groups_come_as_soon_as_they_are_certain(config):
    units, entropy = random_utterance(80, 7)
    segmenter = StreamingSegmenter(config)
    end = config.boundary == "end"
    for i in range(80):
        for group in segmenter.push(units[i : i + 1], entropy[i : i + 1]):
            following = group.first + len(group.units)
            # the unit that starts the next group, plus the look-ahead; `end` knows one sooner
            latest = following + lookahead(config)
            earliest_end = following - 1 + lookahead(config)
            assert i == latest or (end and i == earliest_end), (i, following)


def test_memory_is_bounded_by_the_open_group():
    segmenter = StreamingSegmenter(SegmenterConfig("planned", threshold=2.0, min_group=2))
    units, entropy = random_utterance(5000, 8)
    for i in range(5000):
        segmenter.push(units[i : i + 1], entropy[i : i + 1])
        longest = 200  # no group of this utterance is longer
        assert len(segmenter._units) < longest


def test_times_tile_the_utterance():
    units, entropy = random_utterance(50, 9)
    groups = make_groups(units, entropy, segment(units, entropy, SegmenterConfig("dedup")))
    assert groups[0].start == 0.0
    assert all(a.end == b.start for a, b in pairwise(groups))
    assert groups[-1].end == pytest.approx(50 * 0.02 + 0.0025)


def test_shapes_are_checked():
    segmenter = StreamingSegmenter(SegmenterConfig("dedup"))
    with pytest.raises(ValueError, match="same shape"):
        segmenter.push(np.zeros(3, int), np.zeros(2))
