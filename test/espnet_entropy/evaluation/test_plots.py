import struct
from types import SimpleNamespace

import numpy as np
import pytest

from espnet_entropy.corpora.alignment import Interval
from espnet_entropy.evaluation.plots import decide, plot_group_lengths, plot_rates, plot_utterance
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.segment import segment


def size_of(path):
    """Width and height from the PNG's header."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def utterance(units=60):
    generator = np.random.default_rng(0)
    entropy = generator.uniform(0, 4, units).astype(np.float32)
    starts = entropy > 3
    starts[0] = True
    config = SegmenterConfig("global", threshold=3.0)
    wav = 0.1 * generator.standard_normal(320 * units + 80).astype(np.float32)
    ids = generator.integers(0, 3, units)
    return wav, SimpleNamespace(units=ids, entropy=entropy, starts=starts, segmenter=config)


def test_utterance_with_and_without_reference(tmp_path):
    wav, speech = utterance()
    words = [Interval(0.1, 0.5, "hello"), Interval(0.5, 0.6, "SIL")]
    plot_utterance(tmp_path / "a.png", "a", wav, speech, words, words, size=(12, 6))
    assert size_of(tmp_path / "a.png") == (1200, 600)
    plot_utterance(tmp_path / "b.png", "b", wav, speech)
    assert size_of(tmp_path / "b.png")[0] == 1000
    # the same input gives the same bytes, another utterance another picture
    plot_utterance(tmp_path / "c.png", "b", wav, speech)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    speech.starts[30] = not speech.starts[30]
    plot_utterance(tmp_path / "c.png", "b", wav, speech)
    assert (tmp_path / "b.png").read_bytes() != (tmp_path / "c.png").read_bytes()


@pytest.mark.parametrize(
    "config",
    [
        SegmenterConfig("dedup"),
        SegmenterConfig("combined", threshold=1.0, threshold_relative=0.5),
        SegmenterConfig("global", threshold=2.0, scale="bits"),
        SegmenterConfig("relative", threshold_relative=0.5, boundary="end"),
        SegmenterConfig("planned", threshold=0.5, center=100),
    ],
)
def test_every_kind_of_criterion_can_be_drawn(tmp_path, config):
    wav, speech = utterance(1)  # a single unit is the shortest utterance there is
    speech.segmenter = config
    plot_utterance(tmp_path / "a.png", "a", wav, speech, size=(8, 5))
    assert size_of(tmp_path / "a.png") == (800, 500)


@pytest.mark.parametrize(
    "config",
    [
        SegmenterConfig("global", threshold=2.0),
        SegmenterConfig("global", threshold=0.3, center=5),
        SegmenterConfig("planned", threshold=2.5, min_group=1),
        SegmenterConfig("planned", threshold=0.8, min_group=1, center=5, change_bonus=0.5),
    ],
)
def test_what_is_drawn_is_what_decides(config):
    """Without limits a group begins exactly where one drawn curve is above the other."""
    _, speech = utterance(200)
    speech.segmenter = config
    shown = decide(speech)
    curve = speech.entropy if shown.worth is None else shown.worth
    starts = segment(speech.units, speech.entropy, config)
    assert (curve > shown.limit)[1:].tolist() == starts[1:].tolist()
    assert (shown.worth is None) == (config.criterion != "planned")
    assert shown.notes == ()


def test_rules_that_are_no_level_are_written_down():
    _, speech = utterance()
    speech.segmenter = SegmenterConfig("relative", threshold_relative=0.25, boundary="end")
    shown = decide(speech)
    assert shown.worth is shown.limit is None
    assert shown.notes == (
        "entropy must rise by more than 0.25 nats",
        "groups begin one unit later",
    )
    speech.segmenter = SegmenterConfig("planned", threshold=0.5, center=100)
    shown = decide(speech)
    assert shown.rule == "price of a group (0.50 nats above the mean of the last 100 units)"
    assert shown.notes == ("of starts within 2 units the best is taken",)
    speech.segmenter = SegmenterConfig("dedup")
    assert decide(speech).limit is None


def test_group_lengths(tmp_path):
    histograms = {f"m{i}": [5, 3, 0, 1] for i in range(5)} | {"long": [1] * 80}
    plot_group_lengths(tmp_path / "h.png", "title", histograms, size=(10, 5))
    assert size_of(tmp_path / "h.png") == (1000, 500)
    with pytest.raises(ValueError, match="at least one method"):
        plot_group_lengths(tmp_path / "h.png", "title", {})


def test_rates(tmp_path):
    points = [(15.0, 0.5), (7.0, 0.4), (24.0, 0.1)]
    methods = {f"m{i}": points for i in range(10)}
    plot_rates(tmp_path / "r.png", "title", methods, {"random": points}, 10.0, size=(9, 5))
    assert size_of(tmp_path / "r.png") == (900, 500)
