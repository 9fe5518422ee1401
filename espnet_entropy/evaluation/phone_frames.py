"""Phones of transcripts and alignments as classes: in a row, and of every 20 ms frame.

Legend: N frames (= units).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from espnet_entropy.evaluation.boundaries import SILENCES, Span
from espnet_entropy.utils.grid import FRAME_LENGTH, FRAME_SHIFT, SAMPLE_RATE

SILENCE = "SIL"  # also where nothing is labelled
WORD_END = "|"  # in transcripts of phones
_STRESSED = re.compile(r"([A-Z]+)[0-2]")  # ARPAbet vowels: AH0, AH1 and AH2 are one phone


def phone_class(label: str) -> str:
    """The class of a label: stress is left out, every name of silence is ``SIL``.

    Example:
        >>> phone_class("AH0"), phone_class("<eps>"), phone_class("aɪ")
        ('AH', 'SIL', 'aɪ')
    """
    if label.lower() in SILENCES:
        return SILENCE
    stressed = _STRESSED.fullmatch(label)
    return stressed[1] if stressed else label


def spoken_phones(text: str) -> list[str]:
    """Classes of a transcript of phones (``text.phones``): what has a sound of its own.

    Example:
        >>> spoken_phones("IH0 T | W AH0 Z | SIL")
        ['IH', 'T', 'W', 'AH', 'Z']
    """
    return [name for name in map(phone_class, text.split()) if name not in (WORD_END, SILENCE)]


def phone_names(spans: Iterable[Sequence[Span]]) -> list[str]:
    """Every class of a set's alignments, sorted, ``SIL`` first."""
    found = {phone_class(span.label) for utterance in spans for span in utterance}
    return [SILENCE, *sorted(found - {SILENCE})]


def frame_centres(count: int) -> np.ndarray:
    """(N,) seconds: the middle of the samples that each frame sees."""
    return (np.arange(count) * FRAME_SHIFT + FRAME_LENGTH / 2) / SAMPLE_RATE


def frame_phones(spans: Sequence[Span], count: int, names: Sequence[str]) -> np.ndarray:
    """The phone at the centre of each frame.

    Args:
        spans: phones of an utterance, sorted; those without duration have no frame.
        count: N.
        names: classes, of :func:`phone_names`.

    Returns:
        (N,) int32 indices into ``names``; 0, silence, where nothing is labelled.
    """
    index = {name: i for i, name in enumerate(names)}
    phones = np.zeros(count, dtype=np.int32)
    centres = frame_centres(count)
    for span in spans:
        begin, end = np.searchsorted(centres, [span.start, span.end])
        phones[begin:end] = index[phone_class(span.label)]
    return phones
