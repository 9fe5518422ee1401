"""Do the reference boundaries agree with the signal? Measured, not believed.

Two figures that come from the audio alone: where, relative to the boundaries, the spectrum
changes most (it should be at 0 ms), and how much quieter the silences are than the speech.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from espnet_entropy.corpora.alignment import Interval

SAMPLE_RATE = 16000
STEP = 16  # samples: flux every millisecond
WINDOW = 160  # 10 ms on either side of the instant
OFFSETS = np.arange(-40, 41)  # ms
BANDS = 24
FLOOR = 1e-3


@dataclass(frozen=True)
class BoundaryReport:
    """How boundaries and signal agree.

    Args:
        utterances: number of utterances looked at.
        boundaries: number of inner phone boundaries (silences' edges included).
        offset_ms: where mean spectral change around the boundaries is greatest.
        contrast: mean spectral change at the boundaries over its mean everywhere in the speech.
        silence_db: median level of silences relative to the speech of their utterance, dB.
        curve: (81,) mean spectral change -40..40 ms around the boundaries.
    """

    utterances: int
    boundaries: int
    offset_ms: float
    contrast: float
    silence_db: float
    curve: np.ndarray

    def __str__(self) -> str:
        return (
            f"{self.boundaries} phone boundaries of {self.utterances} utterances: spectral change "
            f"peaks {self.offset_ms:+.0f} ms from them, {self.contrast:.2f} times its mean; "
            f"silences {self.silence_db:.0f} dB against speech"
        )


def spectral_change(wav: np.ndarray) -> np.ndarray:
    """Distance of the log band spectra 10 ms before and 10 ms after every millisecond.

    Args:
        wav: (T,) float, 16 kHz.

    Returns:
        (T // 16,) float64; entry i belongs to the instant i ms; 0 within 10 ms of the ends.
    """
    frames = np.lib.stride_tricks.sliding_window_view(wav, WINDOW)[::STEP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), 256)) ** 2
    edges = np.unique(np.geomspace(2, 128, BANDS + 1).astype(int))
    bands = np.add.reduceat(power, edges[:-1], axis=1)
    # a floor 30 dB below the mean: what is masked must not count as a change
    bands = np.log(bands + FLOOR * bands.mean())
    change = np.zeros(len(wav) // STEP)
    lag = WINDOW // STEP  # the window before t begins at t - 10 ms, the one after it at t
    distance = np.sqrt(np.mean((bands[lag:] - bands[:-lag]) ** 2, axis=1))
    end = min(len(change), lag + len(distance))
    change[lag:end] = distance[: end - lag]
    return change


def verify(utterances: Iterable[tuple[np.ndarray, list[Interval]]]) -> BoundaryReport:
    """Compare phone boundaries with the audio.

    Args:
        utterances: waveform (T,) at 16 kHz and its phones, ``SIL`` included.

    Raises:
        ValueError: if there is no boundary at all.
    """
    curves, everywhere, silences = [], [], []
    count = 0
    for wav, phones in utterances:
        count += 1
        change = spectral_change(wav)
        first, last = round(1000 * phones[0].end), round(1000 * phones[-1].start)
        everywhere.append(change[first:last].mean())
        instants = np.array([round(1000 * p.start) for p in phones[1:]])[:, None] + OFFSETS
        inside = (instants.min(axis=1) >= 0) & (instants.max(axis=1) < len(change))
        curves.append(change[instants[inside]])
        level: dict[bool, list[float]] = {True: [], False: []}
        for start, end, label in phones:
            piece = wav[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
            level[label == "SIL"].append(float(np.mean(piece**2)))
        silences.append(10 * np.log10(np.median(level[True]) / np.mean(level[False])))
    if not count or not sum(map(len, curves)):
        raise ValueError("verify: no phone boundaries; expected utterances with phones.")
    curve = np.concatenate(curves).mean(axis=0)
    return BoundaryReport(
        count,
        sum(map(len, curves)),
        float(OFFSETS[int(curve.argmax())]),
        float(curve[len(OFFSETS) // 2] / np.mean(everywhere)),
        float(np.median(silences)),
        curve,
    )
