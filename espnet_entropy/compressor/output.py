"""Compressed speech as JSON lines and as TextGrid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.compressor.compressor import CompressedSpeech
from espnet_entropy.corpora.alignment import Interval, write_textgrid
from espnet_entropy.segmenter.streaming import Group


def group_record(group: Group) -> dict[str, Any]:
    """One group as plain values; times in seconds, entropies in nats."""
    return {
        "first": int(group.first),
        "start": round(group.start, 4),
        "end": round(group.end, 4),
        "units": [int(unit) for unit in group.units],
        "entropy": _rounded(group.entropy),
    }


def utterance_record(utt: str, speech: CompressedSpeech) -> dict[str, Any]:
    """One utterance as plain values.

    ``units`` and ``entropy`` have one value per 20 ms; ``groups`` has one entry per group:
    its first unit's index, its number of units, its start and end in seconds.
    """
    return {
        "utt": utt,
        "seconds": round(speech.seconds, 4),
        "rate": round(speech.rate, 3),
        "criterion": speech.segmenter.label,
        **{knob: getattr(speech.segmenter, knob) for knob in speech.segmenter.knobs},
        "units": speech.units.tolist(),
        "entropy": _rounded(speech.entropy),
        "groups": [
            {
                "first": int(group.first),
                "length": len(group.units),
                "start": round(group.start, 4),
                "end": round(group.end, 4),
            }
            for group in speech.groups
        ],
    }


def save_textgrid(path: Path, speech: CompressedSpeech) -> None:
    """Write the groups, labelled with their units, as an interval tier for Praat."""
    tier = [Interval(g.start, g.end, " ".join(map(str, g.units.tolist()))) for g in speech.groups]
    write_textgrid(path, {"groups": tier}, speech.seconds)


def _rounded(entropy: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in entropy]
