"""FLOPs of a training step against closed forms (imports ESPnet: one process)."""

import pytest
import torch
import yaml
from toy_training import CONFIG, K, make_corpus, options

from espnet_entropy.bin.measure_flops import main
from espnet_entropy.cale.config import CaleConfig
from espnet_entropy.launch.sweep_file import SweepRow
from espnet_entropy.launch.sweep_rows import row_training
from espnet_entropy.tasks.encoders import CALEEncoder, UnitPoolingEncoder
from espnet_entropy.tasks.training_flops import (
    count_flops,
    measure_all,
    segment_attention_flops,
)


def test_a_depthwise_convolution_costs_three_times_its_forward_pass():
    channels, frames, kernel = 16, 40, 7
    conv = torch.nn.Conv1d(channels, channels, kernel, padding=3, groups=channels)
    x = torch.randn(2, channels, frames, requires_grad=True)
    forward = 2 * 2 * channels * frames * kernel
    assert count_flops(lambda: conv(x).sum()) == 3 * forward
    assert count_flops(lambda: conv(x.detach()).sum()) == 2 * forward  # no gradient of the input


def test_attention_counts_whatever_kernel_would_run():
    q = torch.randn(2, 4, 30, 8, requires_grad=True)
    flops = count_flops(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q).sum())
    assert flops == 3 * 2 * (2 * 2 * 4 * 30 * 30 * 8)


def test_cale_without_token_blocks_in_closed_form():
    D, L, N, M = 32, 3, 24, 6
    conf = {"width": D, "layers": L, "heads": 2, "token_update": "none", "dropout": 0.0}
    encoder = CALEEncoder(K, **conf)
    xs = torch.stack([torch.randint(K, (2, N)), (torch.arange(N) * M // N).expand(2, N)], -1)
    lengths = torch.tensor([N, N])
    counted = count_flops(lambda: encoder(xs, lengths)[0].square().sum())
    # keys and values of the codebook (units do not differ otherwise), queries and outputs of
    # groups: D x D each; three passes
    products = L * 2 * D * D * (2 * K + 2 * 2 * M) * 3
    assert counted == products
    assert segment_attention_flops(encoder, 2 * N) == 12 * 2 * N * D * L
    assert segment_attention_flops(UnitPoolingEncoder(K, mode="max", width=D), 5) == 0
    pooling = UnitPoolingEncoder(K, mode="attention", width=D, heads=2)
    assert segment_attention_flops(pooling, 5) == 12 * 5 * D


def test_a_conformer_made_for_a_baseline_is_as_large_as_the_cale():
    conf = {"width": 128, "layers": 4, "heads": 4}
    base = {"frontend": "units", "encoder": "cale", "encoder_conf": conf}
    change = {"encoder": "unit_pooling", "encoder_conf": {"context": "conformer"}}
    made = row_training(base, SweepRow("r", train=change), "../units1")["encoder_conf"]
    sizes = [
        sum(p.numel() for p in encoder.parameters())
        for encoder in (CALEEncoder(K, **conf), UnitPoolingEncoder(K, **made))
    ]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)
    assert CaleConfig(**conf).layers == made["context_conf"]["num_blocks"]


def test_measured_on_the_rows_own_model_and_batches(tmp_path, capsys):
    root = make_corpus(tmp_path)
    rows = {}
    for name, window in (("raw", 1), ("coarse", 4), ("again", 1)):
        rows[name] = tmp_path / f"{name}.yaml"
        frontend = {"segmenter": {"criterion": "fixed", "window": window}, "num_clusters": K}
        frontend |= {"tokenizer": "tok", "entropy_lm": "lm"}
        content = {**CONFIG, "frontend_conf": frontend, "accum_grad": 2}
        rows[name].write_text(yaml.safe_dump(content))
    words = options(root, "unused")
    rest = words[words.index("--token_list") :]
    main(["--configs", *map(str, rows.values()), "--out", str(tmp_path / "out.json"), "--", *rest])
    costs = yaml.safe_load((tmp_path / "out.json").read_text())
    raw, coarse, again = (costs[str(path)] for path in rows.values())
    assert raw == again
    assert coarse["flops"] < raw["flops"]
    assert (raw["batches"], raw["iterations"], raw["epochs"], raw["accum_grad"]) == (2, 2, 2, 2)
    assert raw["parameters"] == coarse["parameters"]
    with pytest.raises(ValueError, match="iterator_type chunk"):
        measure_all([rows["raw"]], [*rest, "--iterator_type", "chunk"])
