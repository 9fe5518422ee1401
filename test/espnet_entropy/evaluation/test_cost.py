"""Closed forms of FLOPs against torch's counter on the modules themselves."""

import numpy as np
import pytest
import torch
from small_speech_model import save_speech_model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from espnet_entropy.entropy_lm.model import EntropyLM, EntropyLMConfig
from espnet_entropy.entropy_lm.scorer import EntropyScorer
from espnet_entropy.evaluation.cost import (
    attention,
    cale_flops,
    decoder_flops,
    encoder_flops,
    entropy_lm_flops,
    features_flops,
    quantizer_flops,
)
from espnet_entropy.evaluation.latency import decode
from espnet_entropy.recognizer.build import build_model
from espnet_entropy.tasks.encoders import CALEEncoder, UnitPoolingEncoder
from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.nearest import NearestCentroid

K = 30
TOKENS = ["<blank>", "<unk>", *"ABCDEFG", "<sos/eos>"]


def counted(run):
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def run_encoder(encoder, units, groups):
    ids = torch.arange(units) * groups // units
    xs = torch.stack([torch.randint(K, (units,)), ids], -1)[None]
    return lambda: encoder.eval()(xs, torch.tensor([units]))


@pytest.mark.parametrize("units", [K - 9, 150])  # shorter and longer than the codebook
@pytest.mark.parametrize(
    "conf",
    [
        {"token_update": "full", "time": "start+duration"},
        {"token_update": "window", "window": 5, "time": "start"},
        {"token_update": "window", "window": 70},
        {"token_update": "none", "mask_units": {"share": 0.1}},
        {"token_update": "none", "conv": 5},
        {"paper_exact": True, "ffn": 17},
        {"token_update": "full", "ffn": 24, "context": "conformer", "layers": 1},
        {"token_update": "none", "context": "transformer", "context_conf": {"output_size": 24}},
    ],
)
def test_cale(conf, units):
    groups = units // 3
    encoder = CALEEncoder(K, **{"width": 16, "layers": 3, "heads": 2} | conf)
    config = encoder.core.config
    # sums over a group's units are no products to the counter
    sums = config.layers * attention(units, 1, config.width)
    assert encoder_flops(encoder, units, groups) - sums == counted(
        run_encoder(encoder, units, groups)
    )


@pytest.mark.parametrize("mode", ["max", "average", "attention"])
def test_pooling_under_a_conformer(mode):
    units, groups = 90, 41
    context = {"num_blocks": 2, "attention_heads": 2, "linear_units": 24, "cnn_module_kernel": 7}
    encoder = UnitPoolingEncoder(
        K, mode=mode, width=16, heads=2, context="conformer", context_conf=context
    )
    sums = attention(units, 1, 16) if mode == "attention" else 0
    assert encoder_flops(encoder, units, groups) - sums == counted(
        run_encoder(encoder, units, groups)
    )


def test_a_context_that_is_not_counted_is_refused():
    context = {"positionwise_layer_type": "conv1d"}
    encoder = UnitPoolingEncoder(K, width=16, context="conformer", context_conf=context)
    with pytest.raises(ValueError, match="not counted"):
        encoder_flops(encoder, 20, 10)


@pytest.mark.parametrize("beam", [1, 3])
def test_decoder_through_the_search_itself(beam):
    config = {
        "encoder": "cale",
        "encoder_conf": {"width": 16, "layers": 1, "heads": 2},
        "frontend_conf": {
            "segmenter": {"criterion": "fixed", "window": 2},
            "num_clusters": K,
            "tokenizer": "any",
        },
        "decoder_conf": {"attention_heads": 2, "linear_units": 40, "num_blocks": 2},
        "model_conf": {"ctc_weight": 0.0},
    }
    model = build_model(config, TOKENS, "test")
    memory, lengths = torch.randn(1, 13, 16), torch.tensor([13])
    run = counted(lambda: decode(model, memory, lengths, 9, beam))
    # the counter sees every hypothesis in every step, as the closed form does
    assert decoder_flops(model.decoder, 13, 9, beam) == run


def test_entropy_lm_within_and_beyond_its_context():
    config = EntropyLMConfig(K, width=16, layers=2, heads=2, ffn=24, context=32)
    scorer = EntropyScorer(EntropyLM(config).eval())
    for units in (20, 32):
        given = np.arange(units) % K
        assert entropy_lm_flops(config, units) == counted_scores(scorer, given)
    # two windows of 32 that share half of their units
    longer = entropy_lm_flops(config, 48)
    head = 2 * 16 * 16 * K
    assert longer == 2 * entropy_lm_flops(config, 32) - head
    assert longer == counted_scores(scorer, np.arange(48) % K)


def counted_scores(scorer, units):
    # inference mode, which the scorer asks for, hides products from the counter
    scores = EntropyScorer._forward.__wrapped__
    plan = scorer.__class__._forward
    try:
        scorer.__class__._forward = scores
        return counted(lambda: scorer.score(units))
    finally:
        scorer.__class__._forward = plan


def test_hubert_and_quantizer(tmp_path):
    odd = {"num_hidden_layers": 3, "intermediate_size": 40, "conv_dim": (8,) * 6 + (12,)}
    save_speech_model(tmp_path, **odd)
    conf = {"model": str(tmp_path), "layer": 2, "do_normalize": False}
    features = build_features("hubert", conf)
    samples = 16_123
    batch = torch.randn(1, samples)
    assert features_flops(features, samples) == counted(lambda: features._model(batch))
    frames, nearest = torch.randn(49, 32), NearestCentroid(torch.randn(K, 32))
    assert quantizer_flops(49, K, 32) == counted(lambda: nearest._scores(frames))
    assert 0 < features_flops(build_features("mfcc"), samples) < 49 * 20_000


def test_what_units_see_of_each_other_is_what_full_costs_more():
    from espnet_entropy.cale.config import CaleConfig

    cost = {
        update: cale_flops(CaleConfig(token_update=update), 500, 2000, 600)
        for update in ("full", "window", "none")
    }
    assert cost["full"] > cost["window"] > 3 * cost["none"]
