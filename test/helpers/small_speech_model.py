"""HuBERT and its kin of toy size with random weights, as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

KINDS = {"hubert": "Hubert", "wavlm": "WavLM", "wav2vec2": "Wav2Vec2"}
SIZES = {  # two blocks on HuBERT's grid
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def save_speech_model(
    path: Path, kind: str = "hubert", head: str = "Model", normalize: bool = False, **options: Any
) -> Path:
    """Write model and feature extractor.

    Args:
        path: the directory.
        kind: of :data:`KINDS`.
        head: what follows the kind in the name of transformers' class.
        normalize: whether its waveforms are normalized.
        options: of its configuration, beside :data:`SIZES`.
    """
    torch.manual_seed(0)
    config = getattr(transformers, f"{KINDS[kind]}Config")(**SIZES | options)
    getattr(transformers, KINDS[kind] + head)(config).save_pretrained(path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=normalize).save_pretrained(path)
    return path
