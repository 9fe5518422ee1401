"""Latency by part: equal text length, the parts of each row, the command, on toy sizes."""

import json

import numpy as np
import pytest
import torch

from espnet_entropy.bin.measure_latency import main
from espnet_entropy.evaluation import latency
from espnet_entropy.evaluation.latency import Row, Stopwatch, Times, Utterance, decode, measure
from espnet_entropy.evaluation.latency_report import parts_of, summarize
from espnet_entropy.evaluation.latency_systems import RandomRows, choose_utterances, text_lengths
from espnet_entropy.launch.sweep_file import Sweep, SweepRow
from espnet_entropy.segmenter.scored import ScoredSet
from espnet_entropy.utils.config import write_yaml
from espnet_entropy.utils.scp import write_scp
from espnet_entropy.utils.shards import ShardedArk

K = 20
CPU = torch.device("cpu")
CONFIG = {
    "frontend": "units",
    "encoder": "cale",
    "encoder_conf": {"width": 16, "layers": 1, "heads": 2},
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 32, "num_blocks": 1},
    "model_conf": {"ctc_weight": 0.0},
}
ROWS = [
    {
        "name": "raw_50",
        "train": {
            "frontend_conf": {"criterion": "original"},
            "encoder": "unit_pooling",
            "encoder_conf": {"mode": "max", "context": "conformer"},
        },
    },
    {
        "name": "entropy_15",
        "label": "entropy",
        "train": {"frontend_conf": {"criterion": "global", "rate": 15}},
    },
    {"name": "unlisted", "train": {"frontend_conf": {"criterion": "dedup"}}},
]


@pytest.fixture(scope="module")
def scored():
    draw = np.random.default_rng(0)
    made = {}
    for i, units in enumerate((60, 150, 90, 120, 30)):
        matrix = np.stack([draw.integers(0, K, units), draw.gamma(2.0, 1.0, units)], 1)
        made[f"u{i}"] = matrix.astype(np.float32)
    seconds = sum(len(matrix) for matrix in made.values()) / 50
    return ScoredSet("toy", made, seconds, "tok", "lm", K)


@pytest.fixture
def config(tmp_path):
    write_yaml(tmp_path / "train.yaml", CONFIG)
    return tmp_path / "train.yaml"


@pytest.fixture
def made(scored, config):
    """Rows and utterances."""
    utterances = choose_utterances(scored, 3, 7)
    sweep = Sweep("toy", [SweepRow(**row) for row in ROWS])
    rows = RandomRows(config, sweep, utterances, K, 12, CPU).build([], ["full", "none"])
    return rows, utterances


def test_utterances_at_equal_distances_of_length(scored):
    chosen = choose_utterances(scored, 3, {f"u{i}": i + 1 for i in range(5)})
    assert [len(u.scored) for u in chosen] == [30, 90, 150]
    assert [u.tokens for u in chosen] == [5, 3, 2]
    assert [len(u.wav) for u in chosen] == [80 + 320 * len(u.scored) for u in chosen]
    with pytest.raises(ValueError, match="'u4' has no text"):
        choose_utterances(scored, 3, {"u0": 3})
    assert text_lengths({"a": "ab c"}, None) == {"a": 4}


def test_rows_of_the_paper_with_every_update_and_the_rate_that_they_promise(made):
    rows, utterances = made
    assert [row.name for row in rows] == ["raw_50", "entropy_15/full", "entropy_15/none"]
    assert [row.paper for row in rows] == [172.0, 120.0, 120.0]
    assert [row.scores for row in rows] == [False, True, True]
    assert rows[1].label == "entropy, full"
    assert rows[0].model.decoder is rows[2].model.decoder
    groups = 0
    for utterance in utterances:
        scored = torch.from_numpy(utterance.scored)[None]
        feats, _ = rows[1].model.frontend(scored, torch.tensor([scored.shape[1]]))
        groups += int(feats[0, -1, 1]) + 1
    assert groups / sum(u.seconds for u in utterances) == pytest.approx(15, rel=0.02)


@pytest.mark.parametrize("beam", [1, 4])
def test_every_text_has_its_length_even_if_the_model_wants_to_end(made, beam):
    model = made[0][0].model
    bias = model.decoder.output_layer.bias
    before = bias.clone()
    try:
        for end in (1e3, -1e3):
            bias[model.eos] = end
            memory = torch.randn(1, 9, 16)
            assert len(decode(model, memory, torch.tensor([9]), 6, beam)) == 6
    finally:
        bias.copy_(before)


def test_the_least_repetition_counts_and_rows_take_turns(made, monkeypatch):
    rows, utterances = made
    seen, clock = [], iter(np.arange(1, 1e6) ** 1.5)  # each interval longer than the one before

    def now(self, run):
        return run(), next(clock)

    original = latency._time_row
    monkeypatch.setattr(Stopwatch, "__call__", now)
    monkeypatch.setattr(
        latency, "_time_row", lambda row, *rest: seen.append(row.name) or original(row, *rest)
    )
    times = measure(rows, utterances, None, [1], 2, CPU)
    timed = seen[2 * len(rows) :]  # after the warm-up
    assert len(timed) == 2 * 3 * len(rows)
    assert timed[:3] != timed[3:6]  # they do not always come in the same order
    assert {timed[i] for i in range(0, len(timed), 3)} == {row.name for row in rows}
    # time only grows: the first of the two repetitions is the least
    first = Times(3)
    assert times.waveform == first.waveform == {}
    assert all(
        np.isfinite(values).all() for parts in times.rows.values() for values in parts.values()
    )
    half = 2 * len(rows) * 3 + 3 * len(rows) * 3  # readings until the first repetition is over
    assert max(v.max() for p in times.rows.values() for v in p.values()) <= (half + 1) ** 1.5
    for row in rows:
        assert times.groups[row.name].tolist() != [0, 0, 0]


def test_sums_and_ratios_are_of_the_parts(made):
    rows, utterances = made
    times = Times(3)
    for index in range(3):
        for factor, row in enumerate(rows, 1):
            table = times.rows.setdefault(row.name, {})
            for part in parts_of(row.scores, False, [2]):
                times.note(table, part, index, factor * (index + 1.0))
                times.note(table, part, index, 99.0)
            times.groups[row.name] = np.array([3, 4, 5])
    found = summarize(rows, utterances, times, None, [2], "raw_50")["rows"]
    raw, entropy = found["raw_50"], found["entropy_15/full"]
    assert raw["sums"]["encoder_decoder_2"]["median_ms"] == 4000
    assert raw["sums"]["whole_2"]["median_ms"] == 6000
    assert raw["parts"]["encoder"]["p95_ms"] == pytest.approx(2900)
    assert entropy["ratio"] == {"encoder_decoder_2": 2.0, "whole_2": 2.0}
    assert entropy["paper_ratio"] == pytest.approx(120 / 172)
    assert raw["rate"] == pytest.approx(12 / sum(u.seconds for u in utterances))
    assert entropy["flops_per_second"]["segmenter"] == 0 < entropy["flops_per_second"]["encoder"]


@pytest.mark.slow
def test_command_with_random_weights_and_with_a_model_directory(
    scored, config, tmp_path, capsys, monkeypatch
):
    from espnet_entropy.evaluation import latency_run

    dump = tmp_path / "dump"
    ark = ShardedArk(dump, "scored", [list(scored.utterances)], "key")
    ark.write(0, scored.utterances.items())
    ark.merge()
    write_scp(dump / "utt2num_samples", {u: 320 * len(m) for u, m in scored.utterances.items()})
    write_yaml(dump / "meta.yaml", {"tokenizer": "tok", "entropy_lm": "lm", "num_clusters": K})
    write_yaml(tmp_path / "sweep.yaml", {"title": "toy", "rows": ROWS})
    monkeypatch.setattr(latency_run, "waveform_parts", lambda *_: toy_parts())
    words = ["--config", str(config), "--sweep", str(tmp_path / "sweep.yaml")]
    words += ["--scored", str(dump), "--num_utterances", "2", "--text_tokens", "4", "--beams", "2"]
    words += ["--repeats", "1", "--vocabulary", "9", "--model", "toy", "--out", str(tmp_path / "o")]
    main([*words, "--token_updates", "window"])
    said = capsys.readouterr().out
    score = json.loads((tmp_path / "o" / "score.json").read_text())
    assert score["task"] == "latency"
    assert score["device"]["type"] == "cpu"
    assert score["versions"]
    assert list(score["rows"]) == ["raw_50", "entropy_15/window"]
    assert "entropy_lm" in score["rows"]["entropy_15/window"]["parts"]
    assert "entropy_lm" not in score["rows"]["raw_50"]["parts"]
    page = (tmp_path / "o" / "README.md").read_text()
    assert "172" in said
    assert "entropy, window" in said
    assert "real-time factor" in page
    assert "entropy LM costs" in page


def toy_parts():
    from espnet_entropy.entropy_lm.model import EntropyLM, EntropyLMConfig
    from espnet_entropy.entropy_lm.scorer import EntropyScorer
    from espnet_entropy.tokenizer.features import build_features
    from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
    from espnet_entropy.tokenizer.tokenizer import Tokenizer

    features = build_features("mfcc")
    centroids = np.random.default_rng(0).standard_normal((K, features.dim)).astype(np.float32)
    lm = EntropyLM(EntropyLMConfig(K, width=8, layers=1, heads=2, ffn=8)).eval()
    tokenizer = Tokenizer(features, KMeansQuantizer(centroids))
    return latency.WaveformParts("toy", tokenizer, EntropyScorer(lm))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "a.yaml"], "either --config and --sweep"),
        (["--recognizers", "a=b", "--sweep", "s.yaml", "--config", "a.yaml"], "either --config"),
        (["--recognizers", "exp/a"], "expected NAME=DIRECTORY"),
        (["--recognizers", "a=b", "a=c"], "each name once"),
        (["--recognizers", "a=b", "--repeats", "0"], "--repeats: expected at least 1"),
        (["--recognizers", "a=b", "--beams", "0"], "--beams: expected at least 1"),
        (["--recognizers", "a=b", "--clock", "wal"], "Did you mean 'wall'"),
    ],
)
def test_options_that_do_not_fit(words, message):
    with pytest.raises(ValueError, match=message):
        main([*words, "--scored", "nowhere", "--out", "nowhere"])


def test_wrong_rows_and_clocks(scored, config):
    sweep = Sweep("toy", [SweepRow("a", train={"frontend_conf": {"criterion": "globals"}})])
    rows = RandomRows(config, sweep, choose_utterances(scored, 1, 3), K, 9, CPU)
    with pytest.raises(ValueError, match=r"expected one of a\."):
        rows.build(["b"], ["full"])
    with pytest.raises(ValueError, match="Did you mean 'global'"):
        rows.build(["a"], ["full"])
    with pytest.raises(ValueError, match="expected the CPU and one thread"):
        Stopwatch(torch.device("cuda"), "cpu")
    empty = Utterance("u", np.zeros((1, 2), np.float32), np.zeros(400, np.float32), 1, 0.02)
    with pytest.raises(ValueError, match="at least one row"):
        measure([], [empty], None, [1], 1, CPU)
    assert Row("a", "a", None).paper is None
