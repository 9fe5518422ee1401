"""Audio that sounds of something."""

from __future__ import annotations

import numpy as np


def babble(seed: int, seconds: float = 3.0) -> np.ndarray:
    """(T,) float32 at 16 kHz: noise whose colour changes a few times a second."""
    rng = np.random.default_rng(seed)
    pieces: list[np.ndarray] = []
    while sum(map(len, pieces)) < seconds * 16000:
        noise = rng.normal(size=rng.integers(1000, 4000))
        kernel = rng.normal(size=rng.integers(2, 12))
        piece = np.convolve(noise, kernel, mode="same")
        pieces.append(0.1 * piece / np.abs(piece).max())
    return np.concatenate(pieces)[: int(seconds * 16000)].astype(np.float32)
