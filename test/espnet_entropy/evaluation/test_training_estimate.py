"""Predictions of time and memory against direct counts (imports ESPnet's task: one process)."""

import pytest
import torch

from espnet_entropy.bin.estimate_training import main
from espnet_entropy.evaluation.training_estimate import (
    LAUNCH,
    Corpus,
    count_operations,
    estimate_training,
    make_batch,
    saved_bytes,
    training_model,
)
from espnet_entropy.tasks.training_flops import count_flops, segment_attention_flops
from espnet_entropy.utils.config import read_yaml, write_yaml

CORPUS = Corpus(hours=1, seconds=2.0, vocabulary=12, num_clusters=20)
CONFIG = {
    "encoder": "cale",
    "encoder_conf": {"width": 16, "layers": 1, "heads": 2, "context": "conformer",
                     "context_conf": {"num_blocks": 1, "attention_heads": 2, "linear_units": 24}},
    "decoder_conf": {"attention_heads": 2, "linear_units": 24, "num_blocks": 1},
    "model_conf": {"ctc_weight": 0.3},
    "batch_type": "numel",
    "batch_bins": 5 * 2 * 100,
    "max_epoch": 3,
}  # fmt: skip


@pytest.fixture
def config(tmp_path):
    write_yaml(tmp_path / "train.yaml", CONFIG)
    return tmp_path / "train.yaml"


def test_kept_bytes_in_closed_form():
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    x = torch.randn(7, 6)
    # the input, what the ReLU gives (kept by it and by the next product), nothing for the sum
    assert saved_bytes(lambda: model(x).sum(), model) == 4 * (7 * 6 + 7 * 4)


def test_operations_of_a_step():
    weight = torch.randn(3, 3, requires_grad=True)
    # forward: product, sum; backward: the sum's gradient is a view of the ones it starts from
    assert count_operations(lambda: (torch.ones(2, 3) @ weight).sum().backward()) in range(4, 9)


def test_a_batch_is_predicted_as_if_it_had_been_counted(config):
    found = estimate_training(config, CORPUS, tflops=0.001)
    assert found.utterances == 5
    model = training_model(read_yaml(config), CORPUS, "test")
    batch = make_batch(5, CORPUS)
    flops = count_flops(lambda: model(**batch)[0]) + segment_attention_flops(model, 5 * 100)
    assert found.flops == pytest.approx(flops, rel=1e-3)
    assert found.saved_bytes == pytest.approx(
        saved_bytes(lambda: model(**batch)[0], model), rel=0.05
    )
    assert found.batches == 3600 / (5 * 2)
    assert found.hours == pytest.approx(found.flops * 360 * 3 / 1e9 / 3600)
    write_yaml(config, {**CONFIG, "num_iters_per_epoch": 36})  # an epoch is not the whole corpus
    assert estimate_training(config, CORPUS, tflops=0.001).hours == pytest.approx(found.hours / 10)
    write_yaml(config, CONFIG)
    fast = estimate_training(config, CORPUS, tflops=1e6)  # waits for launches alone
    assert fast.hours == pytest.approx(LAUNCH * fast.operations * 360 * 3 / 3600)
    amp = estimate_amp(config)
    assert 0.4 < amp.saved_bytes / found.saved_bytes < 0.95


def estimate_amp(config):
    write_yaml(config, {**CONFIG, "use_amp": True})
    return estimate_training(config, CORPUS, 1.0)


def test_command_says_what_it_assumes(config, capsys):
    words = ["--config", str(config), "--seconds", "2", "--vocabulary", "12"]
    main([*words, "--tflops", "3", "--num_clusters", "20"])
    said = capsys.readouterr().out
    assert "3 TFLOP/s" in said
    assert "Not counted" in said
    with pytest.raises(ValueError, match="tflops: expected above 0"):
        main([*words, "--tflops", "0"])
    write_yaml(config, {**CONFIG, "batch_type": "folded"})
    with pytest.raises(ValueError, match=r"expected .batch_type: numel. with"):
        main([*words, "--tflops", "3"])
    with pytest.raises(ValueError, match="hours: expected above 0"):
        Corpus(hours=0)
