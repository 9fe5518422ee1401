"""FLOPs and launches of a recipe's models for a second of speech, counted on the models."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch

from espnet_entropy.entropy_lm.config import EntropyLMConfig, lm_config
from espnet_entropy.evaluation.corpus_cost import Models
from espnet_entropy.evaluation.cost import (
    decoder_flops,
    encoder_flops,
    entropy_lm_flops,
    features_flops,
    quantizer_flops,
)
from espnet_entropy.evaluation.latency import decode
from espnet_entropy.evaluation.training_estimate import (
    Corpus,
    count_operations,
    estimate_training,
    make_batch,
    training_model,
)
from espnet_entropy.tokenizer.config import TokenizerConfig
from espnet_entropy.utils.config import load_config, read_yaml
from espnet_entropy.utils.grid import SAMPLE_RATE, UNIT_RATE, num_units

BACKWARD = 3  # a training step costs three forward passes
BEAM = 5
HUBERT_BASE = "facebook/hubert-base-ls960"


def count_models(recipe: Path, corpus: Corpus) -> Models:
    """Count a recipe's models.

    Args:
        recipe: ``egs2/<corpus>`` with ``units1/conf`` and ``asr1/conf``.
        corpus: what it trains on.

    Raises:
        ValueError: for a configuration that is missing or makes no model, or a tokenizer
            of other features than HuBERT's.
    """
    lm_path = recipe / "units1/conf/train_entropy_lm.yaml"
    asr_path = recipe / "asr1/conf/train_asr.yaml"
    tokenizer_path = recipe / "units1/conf/tokenizer.yaml"
    lm_conf, asr_conf = read_yaml(lm_path), read_yaml(asr_path)
    lm = lm_config(lm_conf.get("lm_conf"), corpus.num_clusters, str(lm_path))
    tokenizer = load_config(TokenizerConfig, tokenizer_path)
    training = estimate_training(asr_path, corpus, tflops=1.0)
    decoding, launches = _decoding(asr_conf, corpus, str(asr_path))
    batch_seconds = training.utterances * corpus.seconds
    return Models(
        lm_conf=lm_conf,
        lm_parameters=_lm_parameters(lm),
        asr_conf=asr_conf,
        asr_parameters=training.parameters,
        asr_batch_seconds=batch_seconds,
        asr_updates=training.batches * training.epochs,
        fit_hours=min(corpus.hours, tokenizer.quantizer_conf.max_hours or corpus.hours),
        flops={
            "tokenize": _tokenizing(tokenizer, corpus, str(tokenizer_path)),
            "train_entropy_lm": BACKWARD
            * entropy_lm_flops(lm, lm.context)
            * (UNIT_RATE / lm.context),
            "score_entropy": entropy_lm_flops(lm, round(corpus.seconds * UNIT_RATE))
            / corpus.seconds,
            "train_asr": training.flops / batch_seconds,
            "infer": decoding,
        },
        launches={"infer": launches},
    )


def _lm_parameters(config: EntropyLMConfig) -> int:
    from espnet_entropy.entropy_lm.model import EntropyLM

    with torch.device("meta"):
        return EntropyLM(config).num_parameters()


def _tokenizing(config: TokenizerConfig, corpus: Corpus, where: str) -> float:
    """FLOPs of HuBERT up to the layer that is read, and of the quantizer."""
    from transformers import HubertConfig, HubertModel

    name = str(config.features_conf.get("model"))
    if config.features != "hubert":
        raise ValueError(
            f"{where}: features: {config.features}; expected hubert: only it is counted."
        )
    if name == HUBERT_BASE:
        shape = HubertConfig()
    elif Path(name, "config.json").is_file():
        shape = HubertConfig.from_pretrained(name)
    else:
        raise ValueError(
            f"{where}: features_conf: model: {name}; expected {HUBERT_BASE}, or a folder with the "
            "config.json of another HuBERT: its size decides what it costs."
        )
    shape.num_hidden_layers = int(config.features_conf.get("layer", shape.num_hidden_layers))
    with torch.device("meta"):
        model = HubertModel(shape)
    samples = round(corpus.seconds * SAMPLE_RATE)
    features = features_flops(SimpleNamespace(name="hubert", _model=model), samples)
    units = num_units(samples)
    return (
        features + quantizer_flops(units, corpus.num_clusters, model.config.hidden_size)
    ) / corpus.seconds


def _decoding(conf: dict[str, object], corpus: Corpus, where: str) -> tuple[float, float]:
    """FLOPs and launched operations of recognizing a second of speech."""
    model = training_model(conf, corpus, where).eval()
    units = round(corpus.seconds * UNIT_RATE)
    groups = round(corpus.seconds * corpus.rate)
    tokens = max(2, round(corpus.seconds * corpus.tokens_per_second))
    flops = encoder_flops(model.encoder, units, groups)
    flops += decoder_flops(model.decoder, groups, tokens, BEAM)
    batch = make_batch(1, corpus)
    with torch.inference_mode():
        feats, lengths = model.frontend(batch["speech"], batch["speech_lengths"])
        memory, counts, _ = model.encoder(feats, lengths)
        # the operations of a step do not grow with the text: two short searches tell
        one, two = (
            count_operations(lambda n=n: decode(model, memory, counts, n, BEAM))  # type: ignore[misc]
            for n in (2, 4)
        )
    launches = one + (tokens - 2) * (two - one) / 2
    return flops / corpus.seconds, launches / corpus.seconds
