"""Several layers of a model from one pass: what it takes to choose a layer.

Legend: B batch, N frames, D width, T samples, L layers.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from espnet_entropy.tokenizer.mel_features import NAME as MEL_ENCODER
from espnet_entropy.tokenizer.mel_features import MelEncoderFeatures, MelEncoderOptions
from espnet_entropy.tokenizer.mel_model_dir import load_encoder
from espnet_entropy.tokenizer.pretrained import resolve
from espnet_entropy.tokenizer.speech_model import SpeechModelConfig, SpeechModelFeatures
from espnet_entropy.utils.files import fingerprint


class SpeechModelLayers(SpeechModelFeatures):
    """Frames of several layers side by side: (N, L · D), each as its own features give it.

    Args:
        name: ``hubert``, ``wavlm`` or ``wav2vec2``.
        config: model and chunks; its ``layer`` does nothing.
        layers: which, rising; 0 is what enters the first block.
        device: where to compute.

    Raises:
        ValueError: as ``SpeechModelFeatures``, or if the layers are none or not rising.
    """

    def __init__(
        self, name: str, config: SpeechModelConfig, layers: Sequence[int], device: str = "cpu"
    ) -> None:
        self.layers = _rising(layers)
        lowest = dataclasses.replace(config, layer=self.layers[0])  # refuses numbers below 0
        super().__init__(name, dataclasses.replace(lowest, layer=self.layers[-1]), device)
        self._layers = tuple(self.layers)
        self.dim *= len(self.layers)
        self.fingerprint = fingerprint({"model": self.fingerprint, "layers": self.layers})

    def _frames(self, batch: torch.Tensor) -> torch.Tensor:
        states = self._model(batch, output_hidden_states=True).hidden_states
        return torch.cat([states[layer] for layer in self.layers], dim=2)


class MelEncoderLayers(MelEncoderFeatures):
    """The same of a mel encoder.

    Args:
        options: model and chunks; its ``layer`` does nothing.
        layers: as :class:`SpeechModelLayers`.
        device: where to compute.

    Raises:
        ValueError: as ``MelEncoderFeatures``, or if the layers are none or not rising.
    """

    def __init__(
        self, options: MelEncoderOptions, layers: Sequence[int], device: str = "cpu"
    ) -> None:
        self.layers = _rising(layers)
        options.with_layer(self.layers[0])  # refuses numbers below 0
        super().__init__(dataclasses.replace(options, layer=self.layers[-1]), device)
        self.dim *= len(self.layers)
        self.fingerprint = fingerprint({"model": self.fingerprint, "layers": self.layers})

    def _layer(self, levels: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        states = self._encoder(levels, lengths)
        return torch.cat([states[layer] for layer in self.layers], dim=2)


def _rising(layers: Sequence[int]) -> list[int]:
    found = list(layers)
    if not found or found != sorted(set(found)):
        raise ValueError(f"layers: expected rising numbers, got {found}; sort them.")
    return found


def count_layers(name: str, model: str) -> int:
    """Number of blocks of a model: its layers are 0 to that number.

    Args:
        name: ``hubert``, ``wavlm``, ``wav2vec2`` or ``mel_encoder``.
        model: as ``SpeechModelConfig.model``, or a mel encoder's directory.

    Raises:
        ValueError: if there is no such model, or it does not say.
    """
    if name == MEL_ENCODER:
        return load_encoder(model)[0].config.layers
    path = Path(resolve(name, model)) / "config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["num_hidden_layers"])
    except (OSError, ValueError, TypeError, KeyError):
        raise ValueError(
            f"{path}: does not say num_hidden_layers; mend it, or name the layers."
        ) from None
