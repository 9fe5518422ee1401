"""Units against phones, frame by frame: purities, PNMI and use of the codebook.

The definitions are those of the HuBERT paper (Hsu et al. 2021, "Measuring the quality of
clusters"), over all frames, silence being one more phone. With p(y, z) the share of frames with
phone y and unit z:

- phone purity: Σ_z max_y p(y, z), the accuracy of naming each frame after its unit's phone;
- cluster purity: Σ_y max_z p(y, z), the counterpart; it falls as K grows;
- PNMI: I(y; z) / H(y), the share of the phone's uncertainty that the unit takes away.

Each is a sum over frames of what the set's own p(y, z) says about the frame's phone and unit, so
it falls into sums per utterance. A bootstrap draws those sums and leaves p(y, z) as it is: to
estimate it again from a resample would count a speaker drawn twice as agreement, and put the
whole interval above the figure.

Legend: U utterances, R resamples, K units, P phones, N frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from espnet_entropy.evaluation.counts import SummedCounts, ratio


@dataclass(frozen=True)
class UnitCounts(SummedCounts):
    """Sums over frames; floats, or arrays with one element per utterance or resample.

    They add up over utterances, figures do not: pool first, then read a figure. The first five
    are of all frames, the next four of those that are not silence.

    Attributes:
        frames: number.
        named: frames whose phone is their unit's most frequent one.
        typical: frames whose unit is their phone's most frequent one.
        information: log p(y, z) / p(y) p(z), nats.
        surprise: -log p(y), nats.
        speech: as ``frames``.
        speech_named: as ``named``.
        speech_information: as ``information``.
        speech_surprise: as ``surprise``.
        unit_surprise: -log p(z), nats, all frames.
        runs: runs of equal units.
        seconds: of audio.
    """

    frames: Any
    named: Any
    typical: Any
    information: Any
    surprise: Any
    speech: Any
    speech_named: Any
    speech_information: Any
    speech_surprise: Any
    unit_surprise: Any
    runs: Any
    seconds: Any

    @property
    def phone_purity(self) -> Any:
        """0..1."""
        return ratio(self.named, self.frames)

    @property
    def cluster_purity(self) -> Any:
        """0..1."""
        return ratio(self.typical, self.frames)

    @property
    def pnmi(self) -> Any:
        """0..1; NaN if all frames are of one phone."""
        return ratio(self.information, self.surprise)

    @property
    def phone_purity_speech(self) -> Any:
        """Phone purity of the frames that are not silence."""
        return ratio(self.speech_named, self.speech)

    @property
    def pnmi_speech(self) -> Any:
        """PNMI of the frames that are not silence."""
        return ratio(self.speech_information, self.speech_surprise)

    @property
    def perplexity(self) -> Any:
        """exp(H(z)): as many equally frequent units would be as varied."""
        return np.exp(ratio(self.unit_surprise, self.frames))

    @property
    def dedup_rate(self) -> Any:
        """Runs of equal units per second, Hz."""
        return ratio(self.runs, self.seconds)


FIGURES = (
    "pnmi",
    "pnmi_speech",
    "phone_purity",
    "phone_purity_speech",
    "cluster_purity",
    "perplexity",
    "dedup_rate",
)


def joint_counts(
    units: Sequence[np.ndarray], phones: Sequence[np.ndarray], K: int, P: int
) -> np.ndarray:
    """(P, K) float64: frames with each phone and unit.

    Args:
        units: (N,) int of each utterance, 0..K-1.
        phones: (N,) int of each, 0..P-1.
        K: codebook size.
        P: number of phones, silence included.
    """
    codes = np.concatenate(phones).astype(np.int64) * K + np.concatenate(units)
    return np.bincount(codes, minlength=P * K).reshape(P, K).astype(np.float64)


def count_units(
    units: Sequence[np.ndarray],
    phones: Sequence[np.ndarray],
    seconds: Sequence[float],
    joint: np.ndarray,
) -> UnitCounts:
    """Sums of each utterance.

    Args:
        units: (N,) int of each utterance.
        phones: (N,) int of each, 0 being silence.
        seconds: of audio of each.
        joint: of :func:`joint_counts`.

    Returns:
        Counts whose every element is (U,) float64.
    """
    owner = np.repeat(np.arange(len(units)), list(map(len, units)))
    y, z = np.concatenate(phones), np.concatenate(units)
    without_silence = joint.copy()
    without_silence[0] = 0
    spoken = (y > 0).astype(np.float64)

    def per_utterance(values: np.ndarray) -> np.ndarray:
        return np.bincount(owner, values, len(units))

    return UnitCounts(
        frames=per_utterance(np.ones(len(y))),
        named=per_utterance(y == joint.argmax(axis=0)[z]),
        typical=per_utterance(z == joint.argmax(axis=1)[y]),
        information=per_utterance(_information(joint)[y, z]),
        surprise=per_utterance(_surprise(joint.sum(axis=1))[y]),
        speech=per_utterance(spoken),
        speech_named=per_utterance(spoken * (y == without_silence.argmax(axis=0)[z])),
        speech_information=per_utterance(_information(without_silence)[y, z]),
        speech_surprise=per_utterance(_surprise(without_silence.sum(axis=1))[y]),
        unit_surprise=per_utterance(_surprise(joint.sum(axis=0))[z]),
        runs=np.array([1.0 + np.count_nonzero(np.diff(one)) for one in units]),
        seconds=np.array(seconds, dtype=np.float64),
    )


def pnmi_bias(joint: np.ndarray) -> float:
    """How much too high PNMI is from so few frames, by Miller and Madow's first-order term.

    It grows with K: compare codebook sizes only where it is small. Frames in a row resemble each
    other, so the truth is rather larger.
    """
    cells, phones = np.count_nonzero(joint), np.count_nonzero(joint.sum(axis=1))
    excess = (cells - phones - np.count_nonzero(joint.sum(axis=0)) + 1) / (2 * joint.sum())
    by_phone = joint.sum(axis=1)
    entropy = float((by_phone * _surprise(by_phone)).sum() / joint.sum())
    return float(ratio(excess, entropy))


def usage(joint: np.ndarray) -> float:
    """Share of the K units that occur at all."""
    return float(np.mean(joint.sum(axis=0) > 0))


def _surprise(counts: np.ndarray) -> np.ndarray:
    """-log p of each of (n,) counts; 0 where nothing was counted."""
    share = np.maximum(counts, 1) / max(counts.sum(), 1)
    return np.asarray(np.where(counts > 0, -np.log(share), 0.0))


def _information(joint: np.ndarray) -> np.ndarray:
    """(P, K) log p(y, z) / p(y) p(z); 0 where nothing was counted."""
    by_phone, by_unit = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    chance = np.maximum(by_phone * by_unit, 1)
    ratio = np.maximum(joint, 1) * joint.sum() / chance
    return np.asarray(np.where(joint > 0, np.log(np.maximum(ratio, 1e-300)), 0.0))
