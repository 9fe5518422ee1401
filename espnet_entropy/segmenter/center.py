"""The entropy above its own recent mean: what makes a calibrated rate hold for other speakers.

Unseen voices, accents and channels are harder for the LM everywhere, so that the entropy's
level rises and a threshold on it fires too often: on speechocean762 the rate of M1 differs by
17 % (one standard deviation) from speaker to speaker, and on LJSpeech it is 62 % above the
target. Subtracting the mean of the last ``window`` units, the present one included, leaves how
much a unit stands out. It needs no look-ahead and no knowledge of the speaker.
"""

from __future__ import annotations

from espnet_entropy.segmenter.arrays import Array, float64, namespace, shifted
from espnet_entropy.segmenter.flat import Flat


def moving_mean(flat: Flat, window: int) -> Array:
    """Mean entropy of the last ``window`` units of the utterance, fewer at its start.

    Sums double in length, so the work grows with log(window); the order of additions is the
    same for every unit, so a stream gets the same bits.

    Args:
        flat: utterances end to end.
        window: units, the present one included.

    Returns:
        (T,) float64, nats.

    Example:
        >>> import numpy as np
        >>> flat = Flat(np.arange(4), np.array([1.0, 3.0, 5.0, 4.0]), np.arange(4) % 3 == 0)
        >>> moving_mean(flat, 2)
        array([1., 2., 4., 4.])
    """
    xp = namespace(flat.entropy)
    position = flat.position

    def earlier(values: Array, by: int) -> Array:
        return xp.where(position >= by, shifted(values, by, 0), 0)

    run, length = float64(flat.entropy), 1  # sums over the last `length` units
    total, covered = xp.zeros_like(run), 0
    while length <= window:
        if window & length:
            total = total + (earlier(run, covered) if covered else run)
            covered += length
        run = run + earlier(run, length)
        length *= 2
    count = xp.where(position < window, position + 1, window)
    return total / count
