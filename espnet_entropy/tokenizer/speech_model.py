"""Features of HuBERT, WavLM and wav2vec 2.0, through transformers, any layer.

On a CPU each utterance is computed alone: a batch is no faster there (HuBERT base, 4 x 2 s: 1.22
against 1.16 CPU seconds; the bits were equal, but BLAS promises no such thing). On a GPU those of
similar length share a padded batch (``padded_batch``: padding changes nothing), and
``batch_noise`` says how far rounding may then move a frame.

Legend: B batch, N frames, D width, T samples, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from espnet_entropy.tokenizer.padded_batch import hidden_states, pad, plan_batches
from espnet_entropy.tokenizer.pretrained import load_model, preprocessing, resolve, save_blocks
from espnet_entropy.utils.config import to_dict
from espnet_entropy.utils.device import to_device
from espnet_entropy.utils.files import fingerprint
from espnet_entropy.utils.grid import (
    FRAME_LENGTH,
    FRAME_SHIFT,
    SAMPLE_RATE,
    UNIT_RATE,
    num_units,
)

# Relative; float32 sums over a few thousand terms in another order. Padded against alone, HuBERT
# base (random weights, layer 9) on a CPU: 2.1e-6 at most.
BATCH_NOISE = 2e-5


@dataclass(frozen=True)
class SpeechModelConfig:
    """Options of features from a speech model.

    Attributes:
        model: local directory, or name on the Hugging Face hub.
        layer: output of this block; 0 is what enters the first block. ``hidden_states[layer]``
            in transformers.
        dtype: of the computation; half precision on a GPU only. Some units differ from those of
            float32 then (``tools/bench/bench_features.py`` counts them), and some may differ with
            the utterances that share a batch, which depend on the shard alone. In float32 the
            units are the same in any batch: near ties are computed again alone.
        do_normalize: bring each utterance to mean 0, variance 1 first; ``None`` takes it from
            the model's ``preprocessor_config.json``.
        chunk: seconds per chunk; ``None`` computes the utterance as a whole. Needed for
            streaming and for audio that is too long for quadratic attention.
        left_context: seconds before a chunk that its frames also see.
        right_context: seconds after it.
        compile: let ``torch.compile`` fuse what runs on batches on a GPU. It takes a minute at
            the start, and does nothing on a CPU or in chunks. Like the device it is a way to
            compute the same features, and not in their fingerprint: float32 units stay the same,
            those of half precision may differ as they do between two kinds of GPU.
    """

    model: str
    layer: int = 9
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    do_normalize: bool | None = None
    chunk: float | None = None
    left_context: float = 0.0
    right_context: float = 0.0
    compile: bool = False

    def __post_init__(self) -> None:
        if self.layer < 0:
            raise ValueError(f"layer: expected 0 (before the blocks) or more, got {self.layer}.")
        if self.chunk is not None and self.chunk < 1 / UNIT_RATE:
            raise ValueError(f"chunk: expected at least 0.02 seconds, got {self.chunk}.")
        if min(self.left_context, self.right_context) < 0:
            raise ValueError("left_context, right_context: expected 0 seconds or more.")
        if self.chunk is None and max(self.left_context, self.right_context) > 0:
            raise ValueError("left_context and right_context need 'chunk' (seconds) as well.")


class SpeechModelFeatures:
    """Frames of one layer of a speech model.

    Args:
        name: ``hubert``, ``wavlm`` or ``wav2vec2``.
        config: model, layer and chunks.
        device: where to compute.
        directory: what a model path that begins with ``./`` is relative to.

    Raises:
        ValueError: if the model cannot be found or loaded, is of another kind, has fewer
            layers, or is not on the frame grid.
    """

    def __init__(
        self,
        name: str,
        config: SpeechModelConfig,
        device: str = "cpu",
        directory: Path | None = None,
    ) -> None:
        self.name, self.config = name, config
        self.conf: dict[str, Any] = to_dict(config)
        self._device, self._dtype = torch.device(device), getattr(torch, config.dtype)
        if self._device.type == "cpu" and self._dtype != torch.float32:
            raise ValueError(f"features_conf: dtype {config.dtype} needs a GPU; use float32.")
        self._directory = directory
        self._source = resolve(name, config.model, directory)
        self._model = load_model(name, self._source, config.layer)
        self._normalize = preprocessing(self._source, config.model, config.do_normalize)
        self.dim = int(self._model.config.hidden_size)
        self._layers: Sequence[int] = (config.layer,)
        self._share(self._device.type != "cpu" and config.chunk is None)
        self.latency = math.inf if config.chunk is None else ChunkPlan(config).latency
        options = decisive(config)
        options |= {"features": name, "version": 1, "do_normalize": self._normalize}
        weights = {key: value.numpy() for key, value in self._model.state_dict().items()}
        self.fingerprint = fingerprint(options, weights)
        self._model.to(self._device, self._dtype)

    def _share(self, share: bool) -> None:
        """Whether utterances share batches."""
        self._share_batches = share
        # Half precision is too coarse to tell near ties by: nothing is computed again there.
        self.batch_noise = BATCH_NOISE if share and self.config.dtype == "float32" else 0.0
        compiled = share and self.config.compile
        self._states = torch.compile(hidden_states, dynamic=True) if compiled else hidden_states

    def extract(self, wav: np.ndarray) -> np.ndarray:
        """Features of one utterance.

        Args:
            wav: (T,) float32 samples in [-1, 1], 16 kHz.

        Returns:
            (N, D) float32, N = ``num_units(T)``.
        """
        count = num_units(len(wav))
        if count == 0:
            return np.zeros((0, self.dim), np.float32)
        if self.config.chunk is None:
            return self._forward([wav])[0]
        plan = ChunkPlan(self.config)
        pieces = [self.window(wav, index, plan, count) for index in range(plan.chunks(count))]
        return np.concatenate(pieces)

    def extract_batch(self, wavs: list[np.ndarray]) -> list[np.ndarray]:
        """Features of several utterances of any lengths, equal to :meth:`extract` of each.

        On a GPU equal within ``batch_noise``: ``‖difference‖ <= batch_noise ‖frame‖``; in half
        precision within its rounding.
        """
        if not self._share_batches:
            return [self.extract(wav) for wav in wavs]
        joined = self.extract_joined(wavs).cpu().numpy()
        ends = np.cumsum([num_units(len(wav)) for wav in wavs])
        return [
            joined[end - num_units(len(wav)) : end] for wav, end in zip(wavs, ends, strict=True)
        ]

    def extract_joined(self, wavs: list[np.ndarray]) -> torch.Tensor:
        """The frames of :meth:`extract_batch`, one utterance after another, where they are made.

        Returns:
            (sum of N, D) float32; on a GPU its work is queued, not waited for.
        """
        if not self._share_batches:
            empty = np.zeros((0, self.dim), np.float32)
            return torch.from_numpy(np.concatenate([empty, *map(self.extract, wavs)]))
        found = [torch.zeros(0, self.dim, device=self._device) for _ in wavs]
        whole = [index for index, wav in enumerate(wavs) if num_units(len(wav))]
        for batch in plan_batches([len(wavs[index]) for index in whole]):
            indices = [whole[i] for i in batch]
            with torch.inference_mode(), reproducible(self._dtype):
                frames = self._padded([wavs[index] for index in indices])
            for row, index in zip(frames, indices, strict=True):
                found[index] = row[: num_units(len(wavs[index]))].float()
        return torch.cat(found) if found else torch.zeros(0, self.dim)

    def streaming(self) -> SpeechModelFeatures:
        """These features, whose chunks are those of a stream.

        Raises:
            ValueError: without ``chunk``: these models look at the whole utterance.
        """
        if self.config.chunk is None:
            raise ValueError(
                f"{self.name}: without chunks the model looks at the whole utterance and cannot "
                "stream; set features_conf 'chunk', 'left_context' and 'right_context' (seconds)."
            )
        return self

    def full_context(self) -> SpeechModelFeatures:
        """The same without chunks."""
        if self.config.chunk is None:
            return self
        whole = replace(self.config, chunk=None, left_context=0.0, right_context=0.0)
        return SpeechModelFeatures(self.name, whole, str(self._device), self._directory)

    def stream(self) -> ChunkStream:
        """Features of audio that is still arriving; equal to :meth:`extract` of the whole.

        Raises:
            ValueError: as :meth:`streaming`.
        """
        chunked = self.streaming()
        return ChunkStream(chunked, ChunkPlan(chunked.config))

    def save_model(self, directory: Path) -> dict[str, Any]:
        """Copy the blocks in use to ``directory/model`` (safetensors); the options that change."""
        save_blocks(self.name, self._source, self.config.layer, directory / "model")
        return {"model": "./model", "do_normalize": self._normalize}

    def window(
        self, wav: np.ndarray, index: int, plan: ChunkPlan, count: int, origin: int = 0
    ) -> np.ndarray:
        """Frames (n, D) of chunk ``index`` of an utterance of ``count`` frames.

        Args:
            wav: samples from frame ``origin`` on.
            index: which chunk.
            plan: where chunks begin and end.
            count: number of frames of the utterance, as far as it is known to the chunk.
            origin: first frame in ``wav``.
        """
        begin, end, low, high = plan.frames(index, count)
        first = (low - origin) * FRAME_SHIFT
        samples = wav[first : (high - 1 - origin) * FRAME_SHIFT + FRAME_LENGTH]
        return self._forward([samples])[0][begin - low : end - low]

    def _forward(self, wavs: list[np.ndarray]) -> list[np.ndarray]:
        """(T,) waveforms of one length to (N, D) frames each."""
        batch = torch.from_numpy(np.stack(self._prepare(wavs))).to(self._device, self._dtype)
        with torch.inference_mode(), reproducible(self._dtype):
            frames = self._frames(batch)
        return list(frames.float().cpu().numpy())

    def _frames(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, T) waveforms on the device to (B, N, D) frames."""
        frames: torch.Tensor = self._model(batch).last_hidden_state
        return frames

    def _padded(self, wavs: list[np.ndarray]) -> torch.Tensor:
        """(T,) waveforms of any lengths, a frame at least, to (B, N, D) padded frames."""
        batch, lengths = (to_device(array, self._device) for array in pad(self._prepare(wavs)))
        return self._states(self._model, batch.to(self._dtype), lengths, self._layers)

    def _prepare(self, wavs: list[np.ndarray]) -> list[np.ndarray]:
        return [normalize(wav) for wav in wavs] if self._normalize else wavs


class ChunkStream:
    """Features of audio that arrives in pieces, chunk by chunk.

    Args:
        features: the model.
        plan: where chunks begin and end.
    """

    def __init__(self, features: SpeechModelFeatures, plan: ChunkPlan) -> None:
        self._features, self._plan = features, plan
        self._samples = np.zeros(0, np.float32)
        self._origin = 0  # frame at which _samples begin
        self._next = 0  # chunk

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take (T,) float32 samples; return the (n, D) frames of the chunks now complete."""
        self._samples = np.concatenate([self._samples, samples.astype(np.float32, copy=False)])
        return self._advance(end=False)

    def flush(self) -> np.ndarray:
        """The last (n, D) frames; the stream is over after it."""
        return self._advance(end=True)

    def _advance(self, end: bool) -> np.ndarray:
        count = self._origin + num_units(len(self._samples))
        ready = self._plan.chunks(count) if end else self._plan.complete(count)
        pieces = [np.zeros((0, self._features.dim), np.float32)]
        for index in range(self._next, ready):
            args = (self._samples, index, self._plan, count, self._origin)
            pieces.append(self._features.window(*args))
        self._next = max(self._next, ready)
        low = max(self._origin, self._plan.start(self._next))
        self._samples = self._samples[(low - self._origin) * FRAME_SHIFT :]
        self._origin = low
        return np.concatenate(pieces)


class ChunkPlan:
    """Which frames each chunk gives, and which it sees; in frames from the start."""

    def __init__(self, config: SpeechModelConfig) -> None:
        assert config.chunk is not None
        self.size, self.left, self.right = (
            round(seconds * UNIT_RATE)
            for seconds in (config.chunk, config.left_context, config.right_context)
        )

    @property
    def latency(self) -> float:
        """Seconds from the start of a chunk's first frame to the end of its right context."""
        return ((self.size + self.right - 1) * FRAME_SHIFT + FRAME_LENGTH) / SAMPLE_RATE

    def chunks(self, count: int) -> int:
        """Number of chunks of an utterance of ``count`` frames."""
        return -(-count // self.size)

    def complete(self, count: int) -> int:
        """Number of chunks that cannot change any more once ``count`` frames are there."""
        return max(0, (count - self.right) // self.size)

    def start(self, index: int) -> int:
        """First frame that chunk ``index`` sees."""
        return max(0, index * self.size - self.left)

    def frames(self, index: int, count: int) -> tuple[int, int, int, int]:
        """Begin and end of what chunk ``index`` gives, begin and end of what it sees."""
        begin, end = index * self.size, min(count, (index + 1) * self.size)
        return begin, end, self.start(index), min(count, (index + 1) * self.size + self.right)


def normalize(wav: np.ndarray) -> np.ndarray:
    """Mean 0, variance 1, as transformers' feature extractor computes them in float32."""
    return np.asarray((wav - wav.mean()) / np.sqrt(wav.var() + 1e-7), dtype=np.float32)


def decisive(config: SpeechModelConfig) -> dict[str, Any]:
    """The options that decide the features, for their fingerprint."""
    return {key: value for key, value in to_dict(config).items() if key not in ("model", "compile")}


@contextmanager
def reproducible(dtype: torch.dtype = torch.float32) -> Iterator[None]:
    """Which algorithms of a GPU are allowed, while features are computed.

    In float32 true float32 and fixed algorithms: units agree between machines and between runs.
    In half precision the fast ones, yet none chosen by timing: a run gives what the last one gave.
    """
    full = dtype not in (torch.float16, torch.bfloat16)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if full else "high")
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=full, allow_tf32=not full
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
