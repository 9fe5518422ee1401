"""Features of our own small encoders of mel levels, any layer.

As with speech models, each utterance is computed alone on a CPU; on a GPU those of similar length
share a padded batch, whose padding changes nothing.

Legend: B batch, J level frames, N frames, D width, T samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from espnet_entropy.models import resolve, shipped
from espnet_entropy.tokenizer.mel_levels import mel_levels
from espnet_entropy.tokenizer.mel_model_dir import DESCRIPTION, load_encoder, save_encoder
from espnet_entropy.tokenizer.speech_model import (
    ChunkPlan,
    SpeechModelConfig,
    SpeechModelFeatures,
    decisive,
    reproducible,
)
from espnet_entropy.utils.config import to_dict
from espnet_entropy.utils.device import to_device
from espnet_entropy.utils.files import fingerprint

NAME = "mel_encoder"
# seconds; what they cost: egs2/mini_hubert/units1/README.md, "As a stream"
STREAM_LEFT, STREAM_CHUNK, STREAM_RIGHT = 3.0, 0.4, 0.2


@dataclass(frozen=True)
class MelEncoderOptions:
    """Options of features from a mel encoder.

    Attributes:
        model: directory of the model, or the name of a shipped one (``espnet_entropy.models``).
        layer: output of this block; 0 is what enters the first block; ``None`` is the layer that
            the model names.
        dtype: as ``SpeechModelConfig``; so are the others.
        chunk: seconds per chunk; ``None`` computes the utterance as a whole.
        left_context: seconds before a chunk that its frames also see.
        right_context: seconds after it.
    """

    model: str
    layer: int | None = None
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    chunk: float | None = None
    left_context: float = 0.0
    right_context: float = 0.0

    def __post_init__(self) -> None:
        self.with_layer(self.layer or 0)

    def with_layer(self, layer: int) -> SpeechModelConfig:
        """The same as options of a speech model, checked."""
        return SpeechModelConfig(
            self.model,
            layer,
            self.dtype,
            do_normalize=False,
            chunk=self.chunk,
            left_context=self.left_context,
            right_context=self.right_context,
        )


class MelEncoderFeatures(SpeechModelFeatures):
    """Frames of one layer of a mel encoder.

    Args:
        options: model, layer and chunks.
        device: where to compute.
        directory: what a model path that begins with ``./`` is relative to.

    Raises:
        ValueError: if the model cannot be loaded or lacks the layer.
    """

    def __init__(
        self, options: MelEncoderOptions, device: str = "cpu", directory: Path | None = None
    ) -> None:
        self.name, self.options = NAME, options
        self._device, self._dtype = torch.device(device), getattr(torch, options.dtype)
        if self._device.type == "cpu" and self._dtype != torch.float32:
            raise ValueError(f"features_conf: dtype {options.dtype} needs a GPU; use float32.")
        self._directory = directory
        self._encoder, layer = load_encoder(self._place(), options.layer)
        self.conf = to_dict(replace(options, layer=layer))
        self.config = options.with_layer(layer)
        self.dim = self._encoder.config.width
        self._share(self._device.type != "cpu" and options.chunk is None)
        self.latency = math.inf if options.chunk is None else ChunkPlan(self.config).latency
        weights = {key: value.numpy() for key, value in self._encoder.state_dict().items()}
        decides = decisive(self.config) | {"features": NAME, "version": 1}
        self.fingerprint = fingerprint(decides, weights)
        self._encoder.to(self._device, self._dtype)
        self._streaming: MelEncoderFeatures | None = self if options.chunk is not None else None

    def streaming(self) -> MelEncoderFeatures:
        """The same in chunks; where none were chosen, of ``STREAM_CHUNK`` seconds."""
        if self._streaming is None:
            options = replace(
                self.options,
                chunk=STREAM_CHUNK,
                left_context=STREAM_LEFT,
                right_context=STREAM_RIGHT,
            )
            self._streaming = MelEncoderFeatures(options, str(self._device), self._directory)
        return self._streaming

    def full_context(self) -> MelEncoderFeatures:
        """The same without chunks."""
        if self.config.chunk is None:
            return self
        whole = replace(self.options, chunk=None, left_context=0.0, right_context=0.0)
        return MelEncoderFeatures(whole, str(self._device), self._directory)

    def save_model(self, directory: Path) -> dict[str, Any]:
        """Write the blocks in use to ``directory/model``; the options that change."""
        encoder, layer = load_encoder(self._place(), self.config.layer)
        save_encoder(encoder, directory / "model", layer)
        return {"model": "./model", "layer": layer}

    def _place(self) -> Path:
        inside = Path(self._directory or ".") / self.options.model
        if self.options.model.startswith("./") and inside.is_dir():
            return inside
        named = Path(self.options.model)
        if not (named / DESCRIPTION).is_file() and self.options.model in shipped():
            return resolve(self.options.model) / "tokenizer" / "model"
        return named

    def _forward(self, wavs: list[np.ndarray]) -> list[np.ndarray]:
        with torch.inference_mode(), reproducible(self._dtype):
            frames = self._padded(wavs)
        return list(frames.float().cpu().numpy())

    def _padded(self, wavs: list[np.ndarray]) -> torch.Tensor:
        each = [mel_levels(wav) for wav in wavs]  # (J, 40)
        counts = np.array([len(levels) for levels in each])
        batch = np.zeros((len(wavs), counts.max(), each[0].shape[1]), each[0].dtype)
        for row, levels in zip(batch, each, strict=True):
            row[: len(levels)] = levels
        lengths = to_device((counts + 1) // 2, self._device)
        return self._layer(to_device(batch, self._device), lengths)

    def _layer(self, levels: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(B, J, 40) levels to (B, N, D) frames."""
        frames: torch.Tensor = self._encoder(levels, lengths)[-1]
        return frames
