"""What a corpus costs, on models small enough to check (imports ESPnet's model: one process)."""

import importlib.util
from pathlib import Path

import pytest

from espnet_entropy.evaluation.corpus_cost import (
    Assumed,
    Measured,
    Stage,
    cost,
    plan_stages,
    read_measured,
)
from espnet_entropy.evaluation.corpus_disk import Disk, Names
from espnet_entropy.evaluation.training_estimate import Corpus
from espnet_entropy.utils.config import load_config, write_yaml

ROOT = Path(__file__).resolve().parents[3]
CPU = Measured(
    {"type": "cpu", "name": "a CPU"}, "cpu", 15.0, {"format": 1000.0, "tokenize": 5.0}, "x"
)
CUDA = Measured({"type": "cuda", "name": "a GPU"}, "wall", 15.0, {"tokenize": 400.0}, "x")
TOKENIZE = Stage("tokenize", 100.0, Disk(), "tokenize", flops=8e9, decodes=True)


def test_a_measured_speed_counts_and_an_assumption_is_named():
    assumed = Assumed(training=100.0, inference=10.0)
    found = cost(TOKENIZE, {"cpu": CPU, "cuda": CUDA}, assumed)
    assert (found.gpu_hours, found.core_hours) == (0.25, 20.0)
    assert "assumed" not in found.basis
    found = cost(TOKENIZE, {"cpu": CPU}, assumed)
    assert found.gpu_hours == pytest.approx(100 * (8e9 / 10e12 + 1 / 1000))
    assert "8 GFLOPs a second of speech at 10 TFLOP/s, assumed, and waits" in found.basis
    found = cost(TOKENIZE, {}, assumed)
    assert (found.gpu_hours, found.core_hours) == (pytest.approx(0.08), None)
    training = Stage("train_asr", 100.0, Disk(), "train_asr", flops=8e9, trains=True)
    assert cost(training, {}, assumed).gpu_hours == pytest.approx(0.008)
    slow = Stage("infer", 100.0, Disk(), "infer", flops=8e9, launches=1000.0)
    assert cost(slow, {}, assumed).gpu_hours == pytest.approx(1.0)  # 10 microseconds each
    assert "1,000 operations a second of speech" in cost(slow, {}, assumed).basis
    only_cpu = cost(Stage("format", 100.0, Disk(), "format"), {"cpu": CPU, "cuda": CUDA}, assumed)
    assert (only_cpu.gpu_hours, only_cpu.core_hours) == (0.0, 0.1)


def test_measured_files(tmp_path):
    write_yaml(tmp_path / "cpu.yaml", CPU)
    write_yaml(tmp_path / "cuda.yaml", CUDA)
    assert read_measured([tmp_path / "cpu.yaml", tmp_path / "cuda.yaml"]) == {
        "cpu": CPU,
        "cuda": CUDA,
    }
    with pytest.raises(ValueError, match="a second file of a cpu"):
        read_measured([tmp_path / "cpu.yaml"] * 2)
    for bad, message in (
        ({"x_real_time": {"tokenise": 3.0}}, "tokenise: 3.0: expected .* tokenize"),
        ({"x_real_time": {"format": 0.0}}, "format: 0.0: expected a number above 0"),
        ({"device": {"type": "tpu", "name": "x"}}, "expected type cpu or cuda"),
    ):
        content = {"device": CPU.device, "clock": "cpu", "seconds": 1.0, "command": "x"}
        write_yaml(tmp_path / "bad.yaml", {**content, "x_real_time": {}, **bad})
        with pytest.raises(ValueError, match=message):
            read_measured([tmp_path / "bad.yaml"])
    with pytest.raises(ValueError, match="tflops: expected numbers above 0"):
        Assumed(0.0, 1.0)


CONFS = {
    "units1/conf/tokenizer.yaml": {
        "features": "hubert",
        "features_conf": {"model": "facebook/hubert-base-ls960", "layer": 2},
        "quantizer_conf": {"max_hours": 5.0},
    },
    "units1/conf/train_entropy_lm.yaml": {
        "lm": "entropy_lm",
        "lm_conf": {"width": 16, "layers": 1, "heads": 2, "ffn": 32, "context": 128},
        "batch_size": 4,
        "num_iters_per_epoch": 10,
        "max_epoch": 3,
        "keep_nbest_models": 1,
    },
    "asr1/conf/train_asr.yaml": {
        "encoder": "cale",
        "encoder_conf": {"width": 16, "layers": 1, "heads": 2},
        "decoder_conf": {"attention_heads": 2, "linear_units": 24, "num_blocks": 1},
        "model_conf": {"ctc_weight": 0.0},
        "batch_type": "numel",
        "batch_bins": 5 * 2 * 100,
        "num_iters_per_epoch": 20,
        "max_epoch": 2,
        "keep_nbest_models": 3,
    },
}


@pytest.mark.slow
def test_a_recipe_is_counted_on_its_models(tmp_path, capsys):
    from espnet_entropy.entropy_lm.config import EntropyLMConfig
    from espnet_entropy.evaluation.corpus_models import _tokenizing, count_models
    from espnet_entropy.evaluation.cost import entropy_lm_flops
    from espnet_entropy.tokenizer.config import TokenizerConfig

    for name, content in CONFS.items():
        write_yaml(tmp_path / name, content)
    corpus = Corpus(hours=10.0, seconds=2.0, vocabulary=12, num_clusters=20)
    models = count_models(tmp_path, corpus)
    stages = {stage.name: stage for stage in plan_stages(corpus, models, 1.0, 2.0, Names())}
    assert stages["fit_tokenizer"].hours == 5.0
    assert stages["train_entropy_lm"].hours == pytest.approx(30 * 4 * 128 / 50 / 3600)
    assert stages["train_asr"].hours == pytest.approx(40 * 5 * 2.0 / 3600)
    assert (stages["calibrate"].hours, stages["infer"].hours) == (1.0, 2.0)
    lm = EntropyLMConfig(20, width=16, layers=1, heads=2, ffn=32, context=128)
    assert models.flops["score_entropy"] == entropy_lm_flops(lm, 100) / 2.0
    assert models.flops["train_entropy_lm"] == 3 * entropy_lm_flops(lm, 128) / 128 * 50
    assert 6e9 < models.flops["tokenize"] < 8e9  # convolutions 5.1, two layers 0.7 each
    assert models.launches["infer"] > 50  # tokens in 2 s, some operations each

    other = {**CONFS["units1/conf/tokenizer.yaml"], "features_conf": {"model": "hubert-large"}}
    for tokenizer, message in (
        (other, "model: hubert-large; expected facebook/hubert-base-ls960, or a folder"),
        ({"features": "wavlm"}, "features: wavlm; expected hubert"),
    ):
        write_yaml(tmp_path / "other.yaml", tokenizer)
        with pytest.raises(ValueError, match=message):
            _tokenizing(load_config(TokenizerConfig, tmp_path / "other.yaml"), corpus, "conf")

    spec = importlib.util.spec_from_file_location("estimate", ROOT / "tools/estimate_cost.py")
    estimate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(estimate)
    write_yaml(tmp_path / "cpu.yaml", CPU)
    words = ["--recipe", str(tmp_path), "--hours", "10", "--seconds", "2", "--vocabulary", "12"]
    estimate.main([*words, "--measured", str(tmp_path / "cpu.yaml"), "--num_clusters", "20"])
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("| ")]
    assert [line.split(" ")[1] for line in lines[1:-1]] == list(stages)
    assert all("assumed" in line or "measured" in line or "|  |" in line for line in lines[1:-1])
    assert "10 hours in 18,000 utterances" in said
    assert [estimate._total(hours) for hours in ([1.0, 2.0], [1.0, None], [None])] == [
        "3",
        "≥ 1",
        "–",
    ]
    assert "Measured: type cpu, name a CPU" in said
