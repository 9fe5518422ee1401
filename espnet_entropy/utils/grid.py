"""The one frame grid of every feature: HuBERT's, 50 units per second at 16 kHz.

Unit ``i`` covers the samples ``[320 i, 320 i + 400)``.
"""

from __future__ import annotations

import numpy as np

SAMPLE_RATE = 16_000  # Hz
FRAME_SHIFT = 320  # samples
FRAME_LENGTH = 400  # samples: the receptive field of HuBERT's convolutions
UNIT_RATE = SAMPLE_RATE / FRAME_SHIFT  # Hz


def num_units(num_samples: int) -> int:
    """Number of whole windows in ``num_samples`` samples.

    Example:
        >>> num_units(399), num_units(400), num_units(16_000)
        (0, 1, 49)
    """
    return max(0, (num_samples - FRAME_LENGTH) // FRAME_SHIFT + 1)


def boundary_time(index: np.ndarray | int) -> np.ndarray:
    """Time in seconds of the boundary between units ``index - 1`` and ``index``.

    It is the middle of the samples that the two windows share: 0.02 i + 0.0025 s.
    """
    overlap = FRAME_LENGTH - FRAME_SHIFT
    return (np.asarray(index) * FRAME_SHIFT + overlap / 2) / SAMPLE_RATE
