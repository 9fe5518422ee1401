"""MFCC on HuBERT's frame grid: 13 cepstra, their first and second differences, 39 in all.

HuBERT's first clustering used Kaldi's MFCC (25 ms Povey window, pre-emphasis 0.97, 23 mel
bands from 20 Hz, lifter 22) at a 10 ms hop; here the hop is the 20 ms of every other feature.
The one departure: a constant is added to each band before the logarithm, so that digital
silence and 16-bit rounding noise give the same, stable cepstra.

There are no matrix products in here either (see ``tokenizer.bands``): a frame's 39 numbers are
the same to the last bit whether it is computed alone, in a stream or in a whole utterance.

Legend: N frames, T samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from espnet_entropy.tokenizer.bands import band_power
from espnet_entropy.utils.config import to_dict
from espnet_entropy.utils.files import fingerprint
from espnet_entropy.utils.grid import FRAME_LENGTH, FRAME_SHIFT, SAMPLE_RATE, num_units

NUM_CEPSTRA = 13
NUM_BANDS = 23
LIFTER = 22.0
# Rounding to 16 bits leaves about 1e-7 in a band; ten times that hides it and hides dither.
BAND_FLOOR = 1e-6
DELTA_REACH = 2  # frames on each side, Kaldi's delta window
LOOK_AHEAD = 2 * DELTA_REACH  # frames: a difference of differences
MIN_DEVIATION = 1e-2  # of a cepstrum over an utterance; below it there is no speech to scale
BLOCK = 256  # frames at once: the work arrays stay in the cache

# What causal normalization starts from, worth PRIOR_FRAMES frames: mean (0 for differences) and
# standard deviation over every fourth utterance of speechocean762's train set (129,410 frames).
# The weight that gives most units of utterance normalization on valid: mini_synth 87.8 %,
# speechocean762 82.0 %, mboshi_french 76.0 % (50 frames: 86.7, 81.9, 75.1; 10: 87.7, 80.5, 74.9).
# Each recipe's own mean and deviation as the prior would give 88.9, 81.9, 76.6: not worth storing.
PRIOR_FRAMES = 25
_MEAN = (-25.3, -5.2, -1.3, -2.9, -13.9, -9.3, -10.0, -8.4, -8.9, -4.5, -5.1, -6.0, -4.6)
_DEVIATION = (
    *(14.9, 15.5, 14.6, 16.8, 17.8, 16.9, 16.0, 15.9, 14.9, 14.0, 14.4, 13.1, 11.5),
    *(2.5, 3.6, 3.2, 3.5, 4.0, 3.7, 3.8, 3.6, 3.6, 3.4, 3.4, 3.2, 2.9),
    *(1.0, 1.5, 1.3, 1.4, 1.7, 1.6, 1.6, 1.6, 1.5, 1.5, 1.5, 1.4, 1.3),
)
PRIOR_MEAN = np.array(_MEAN + (0.0,) * (2 * NUM_CEPSTRA))
PRIOR_DEVIATION = np.array(_DEVIATION)


@dataclass(frozen=True)
class MfccConfig:
    """Options of MFCC features.

    Attributes:
        normalize: ``utterance`` (mean 0, variance 1 over the utterance), ``causal`` (running
            mean and variance that begin with a prior), or ``none``. A stream cannot know the
            utterance: with ``utterance`` it is normalized as with ``causal``.
    """

    normalize: Literal["utterance", "causal", "none"] = "utterance"


class Mfcc:
    """MFCC features of 16 kHz mono audio, one frame per unit."""

    name = "mfcc"
    dim = 3 * NUM_CEPSTRA
    batch_noise = 0.0
    latency = (LOOK_AHEAD * FRAME_SHIFT + FRAME_LENGTH) / SAMPLE_RATE

    def __init__(self, config: MfccConfig | None = None) -> None:
        self.config = config or MfccConfig()
        self.conf: dict[str, Any] = to_dict(self.config)
        options = {"features": "mfcc", "version": 1, "normalize": self.config.normalize}
        if self.config.normalize == "causal":
            options["prior_frames"] = PRIOR_FRAMES
        self.fingerprint = fingerprint(options)

    def extract(self, wav: np.ndarray) -> np.ndarray:
        """Features of one utterance.

        Args:
            wav: (T,) float32 samples in [-1, 1], 16 kHz.

        Returns:
            (N, 39) float32, N = ``num_units(T)``.
        """
        rows = with_differences(cepstra(wav), start=True, end=True)
        if self.config.normalize == "utterance":
            return normalize_utterance(rows)
        if self.config.normalize == "causal":
            return _RunningNormalization()(rows)
        return rows

    def extract_batch(self, wavs: list[np.ndarray]) -> list[np.ndarray]:
        """Features of several utterances, each as if alone."""
        return [self.extract(wav) for wav in wavs]

    def streaming(self) -> Mfcc:
        """With ``normalize: utterance`` those with ``causal``; otherwise these features."""
        return Mfcc(MfccConfig("causal")) if self.config.normalize == "utterance" else self

    def full_context(self) -> Mfcc:
        """With ``normalize: causal`` those with ``utterance``; otherwise these features."""
        return Mfcc(MfccConfig("utterance")) if self.config.normalize == "causal" else self

    def stream(self) -> MfccStream:
        """Features of audio that is still arriving: :meth:`streaming` ones, bit for bit."""
        return MfccStream(causal=self.config.normalize != "none")

    def save_model(self, directory: Path) -> dict[str, Any]:
        """MFCC need no model: nothing to copy, nothing changes."""
        return {}


class MfccStream:
    """MFCC of audio that arrives in pieces; a frame comes out ``LOOK_AHEAD`` frames late.

    Args:
        causal: whether to apply the running normalization.
    """

    def __init__(self, causal: bool) -> None:
        self._samples = np.zeros(0, np.float32)  # not yet framed, from the next frame's start
        self._rows = np.zeros((0, NUM_CEPSTRA), np.float32)  # cepstra from frame _origin on
        self._origin = 0
        self._done = 0  # frames given out
        self._normalize = _RunningNormalization() if causal else None

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take (T,) float32 samples of any length; return the (n, 39) frames now complete."""
        return self._advance(samples, end=False)

    def flush(self) -> np.ndarray:
        """The last (n, 39) frames; the stream is over after it."""
        return self._advance(np.zeros(0, np.float32), end=True)

    def _advance(self, samples: np.ndarray, end: bool) -> np.ndarray:
        self._samples = np.concatenate([self._samples, samples.astype(np.float32, copy=False)])
        new = cepstra(self._samples)
        self._samples = self._samples[len(new) * FRAME_SHIFT :]
        self._rows = np.concatenate([self._rows, new])
        start = self._origin == 0
        rows = with_differences(self._rows, start, end)
        first = self._origin + (0 if start else LOOK_AHEAD)
        rows = rows[self._done - first :]
        self._done += len(rows)
        keep = max(self._origin, self._done - LOOK_AHEAD)
        self._rows = self._rows[keep - self._origin :]
        self._origin = keep
        return rows if self._normalize is None else self._normalize(rows)


def cepstra(wav: np.ndarray) -> np.ndarray:
    """The (N, 13) float32 cepstra of (T,) samples, without differences or normalization."""
    wav = np.ascontiguousarray(wav, dtype=np.float32)
    count = num_units(len(wav))
    result = np.empty((count, NUM_CEPSTRA), np.float32)
    if count == 0:
        return result
    frames = np.lib.stride_tricks.sliding_window_view(wav, FRAME_LENGTH)[::FRAME_SHIFT]
    for begin in range(0, count, BLOCK):
        result[begin : begin + BLOCK] = _cepstra_of(frames[begin : begin + BLOCK])
    return result


def _cepstra_of(frames: np.ndarray) -> np.ndarray:
    """(n, 400) windows of samples to (n, 13) cepstra, row by row alike for every n."""
    logs = np.log(band_power(frames, NUM_BANDS) + np.float32(BAND_FLOOR))
    result = np.zeros((NUM_CEPSTRA, len(frames)), np.float32)
    for column, band in zip(cosines(NUM_BANDS), logs, strict=True):
        result += column[:, None] * band
    return np.asarray(result.T)


@lru_cache(maxsize=4)
def cosines(num_bands: int) -> np.ndarray:
    """(num_bands, 13) float32: what the logarithm of each band adds to the liftered cepstra."""
    order = np.arange(NUM_CEPSTRA)
    angle = np.pi * (np.arange(num_bands)[:, None] + 0.5) * order / num_bands
    scale = np.where(order == 0, np.sqrt(1 / num_bands), np.sqrt(2 / num_bands))
    lifter = 1 + 0.5 * LIFTER * np.sin(np.pi * order / LIFTER)
    return np.asarray(np.cos(angle) * scale * lifter, dtype=np.float32)


def with_differences(rows: np.ndarray, start: bool, end: bool) -> np.ndarray:
    """Append first and second differences to (n, 13) cepstra.

    Beyond a true end of the audio (``start``, ``end``) the last row is repeated; at an end
    where audio only has not arrived, the ``LOOK_AHEAD`` rows there serve as context and are
    left out of the (n', 39) result.
    """
    skip_left, skip_right = (0 if flag else LOOK_AHEAD for flag in (start, end))
    if len(rows) <= skip_left + skip_right:
        return np.zeros((0, 3 * NUM_CEPSTRA), np.float32)
    first = _difference(rows, start, end)
    second = _difference(first, start, end)
    trim = (skip_left - skip_left // 2, skip_right - skip_right // 2)
    return np.concatenate(
        [
            rows[skip_left : len(rows) - skip_right],
            first[trim[0] : len(first) - trim[1]],
            second,
        ],
        axis=1,
    )


def _difference(rows: np.ndarray, start: bool, end: bool) -> np.ndarray:
    """Regression slope over five frames; ``DELTA_REACH`` rows shorter at each open end."""
    padded = np.pad(rows, ((DELTA_REACH * start, DELTA_REACH * end), (0, 0)), mode="edge")
    size = len(padded) - 2 * DELTA_REACH
    near = padded[3 : 3 + size] - padded[1 : 1 + size]
    far = padded[4 : 4 + size] - padded[:size]
    return np.asarray(near * np.float32(0.1) + far * np.float32(0.2))


def normalize_utterance(rows: np.ndarray) -> np.ndarray:
    """(N, 39) with mean 0 and variance 1 over the utterance; constant columns become 0."""
    if len(rows) == 0:
        return rows
    wide = rows.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    deviation = np.sqrt(np.mean(centred**2, axis=0))
    return np.asarray(centred / np.maximum(deviation, MIN_DEVIATION), dtype=np.float32)


class _RunningNormalization:
    """Normalize each frame by all frames up to it and the prior; carries on between calls."""

    def __init__(self) -> None:
        squares = PRIOR_DEVIATION**2 + PRIOR_MEAN**2
        self._count = PRIOR_FRAMES
        self._sums = np.stack([PRIOR_MEAN, squares]) * PRIOR_FRAMES  # (2, 39)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        if len(rows) == 0:
            return rows
        wide = rows.astype(np.float64)
        moments = np.stack([wide, wide**2], axis=1)  # (n, 2, 39)
        # cumsum adds in order, so a sum carried over equals a sum that never stopped
        sums = np.cumsum(np.concatenate([self._sums[None], moments]), axis=0)[1:]
        counts = self._count + np.arange(1, len(rows) + 1)[:, None]
        mean = sums[:, 0] / counts
        deviation = np.sqrt(np.maximum(sums[:, 1] / counts - mean**2, MIN_DEVIATION**2))
        self._count += len(rows)
        self._sums = sums[-1]
        return np.asarray((wide - mean) / deviation, dtype=np.float32)
