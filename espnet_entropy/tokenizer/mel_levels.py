"""The input of our own small encoders: loudness of 40 mel bands, 100 times a second, in 8 bits.

A level is an eighth of a neper of power, 0.54 dB: rounding to it moves a band by 0.036 on average,
a hundredth of what it moves within an utterance (standard deviation 2.9 to 3.8). Training and
inference see the same integers, so that packed training data lose nothing.

Levels follow the unit grid: unit i covers the window of level frame 2 i, and between two units lies
one more frame. N units have 2 N - 1 level frames, all inside the samples of the units.

Legend: N units, J = 2 N - 1 level frames, T samples.
"""

from __future__ import annotations

import numpy as np

from espnet_entropy.tokenizer.bands import band_power
from espnet_entropy.utils.grid import FRAME_LENGTH, FRAME_SHIFT, num_units

NUM_BANDS = 40
STEP = 0.125  # nepers of power: full scale is level 200, and 255 is never reached
FLOOR = 1e-6  # added to a band's power; MFCC's, which hides 16-bit rounding noise
BLOCK = 256  # windows at once: the work arrays stay in the cache


def mel_levels(wav: np.ndarray) -> np.ndarray:
    """Levels of one utterance, each frame as if computed alone.

    Args:
        wav: (T,) float32 samples in [-1, 1], 16 kHz.

    Returns:
        (2 N - 1, 40) uint8, N = ``num_units(T)``; (0, 40) for N = 0. 0 is digital silence.
    """
    count = num_frames(num_units(len(wav)))
    levels = np.zeros((count, NUM_BANDS), np.uint8)
    if count == 0:
        return levels
    wav = np.ascontiguousarray(wav, dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(wav, FRAME_LENGTH)[:: FRAME_SHIFT // 2]
    for begin in range(0, count, BLOCK):
        end = min(begin + BLOCK, count)
        power = band_power(windows[begin:end], NUM_BANDS) + np.float32(FLOOR)
        nepers = np.log(power) - np.float32(np.log(FLOOR))
        levels[begin:end] = np.clip(np.rint(nepers / np.float32(STEP)), 0, 255).T
    return levels


def num_frames(units: int) -> int:
    """J for N units."""
    return max(0, 2 * units - 1)
