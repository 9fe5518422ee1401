"""Power in mel bands of windows of samples: Kaldi's (25 ms Povey window, pre-emphasis 0.97).

There are no matrix products in here: a window's bands are the same to the last bit whether it is
computed alone, in a stream or in a whole utterance (BLAS picks its summation order by the shape of
the whole matrix).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from espnet_entropy.utils.grid import FRAME_LENGTH, SAMPLE_RATE

FFT_SIZE = 512
LOW_FREQUENCY = 20.0  # Hz
PRE_EMPHASIS = 0.97


def band_power(frames: np.ndarray, num_bands: int) -> np.ndarray:
    """Power of each band, window by window alike for every n.

    Args:
        frames: (n, 400) float32 samples at 16 kHz.
        num_bands: of equal width in mel, from 20 Hz to 8 kHz.

    Returns:
        (num_bands, n) float32.
    """
    window, rise, fall, starts = _constants(num_bands)
    frames = frames - frames.mean(axis=1, keepdims=True)
    padded = torch.zeros(len(frames), FFT_SIZE)  # torch's memory is aligned alike for every n
    work = padded.numpy()
    work[:, 1:FRAME_LENGTH] = frames[:, 1:] - np.float32(PRE_EMPHASIS) * frames[:, :-1]
    work[:, 0] = np.float32(1 - PRE_EMPHASIS) * frames[:, 0]
    work[:, :FRAME_LENGTH] *= window
    spectrum = torch.fft.rfft(padded).numpy()  # ten times as fast as numpy's
    power = spectrum.real**2 + spectrum.imag**2
    # Between the centres of two neighbouring bands every bin belongs to both: a rising share to
    # the upper, a falling one to the lower. Two sums per gap replace a matrix product.
    rising = np.add.reduceat(power * rise, starts, axis=1)[:, :-1]
    falling = np.add.reduceat(power * fall, starts, axis=1)[:, :-1]
    return np.ascontiguousarray((rising[:, :-1] + falling[:, 1:]).T)


@lru_cache(maxsize=4)
def _constants(num_bands: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Window (400,), rising and falling band weights (257,), gap starts."""
    position = np.arange(FRAME_LENGTH)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * position / (FRAME_LENGTH - 1))) ** 0.85

    bins = np.arange(FFT_SIZE // 2 + 1) * SAMPLE_RATE / FFT_SIZE
    low, high = _mel(np.array([LOW_FREQUENCY, SAMPLE_RATE / 2]))
    centres = np.linspace(low, high, num_bands + 2)
    mel = _mel(bins)
    gap = np.clip(np.searchsorted(centres, mel, side="right") - 1, 0, num_bands)
    rise = (mel - centres[gap]) / (centres[1] - centres[0])
    inside = (mel > low) & (mel < high)
    # One start per gap and one more, at the Nyquist bin, that closes the last gap.
    starts = np.append(np.searchsorted(gap, np.arange(num_bands + 1)), len(bins) - 1)
    assert np.all(np.diff(starts) > 0), starts  # reduceat needs every gap to hold a bin
    return (
        window.astype(np.float32),
        np.where(inside, rise, 0.0).astype(np.float32),
        np.where(inside, 1 - rise, 0.0).astype(np.float32),
        starts,
    )


def _mel(hertz: np.ndarray) -> np.ndarray:
    return np.asarray(1127.0 * np.log1p(hertz / 700.0))
