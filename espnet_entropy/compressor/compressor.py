"""Waveform to groups with a model directory, whole or as a stream."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_entropy.compressor.model_dir import ModelDirectory
from espnet_entropy.compressor.parts import Parts, check_manifest, check_parts, load_parts
from espnet_entropy.entropy_lm.scorer import EntropyScorer
from espnet_entropy.segmenter.calibrate import CalibrationTable
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.groups import group_lengths
from espnet_entropy.segmenter.segment import segment
from espnet_entropy.segmenter.streaming import Group, StreamingSegmenter, make_groups
from espnet_entropy.utils.grid import SAMPLE_RATE


@dataclass(frozen=True)
class CompressedSpeech:
    """What one utterance became.

    Attributes:
        units: (N,) int32 quantizer indices at 50 Hz.
        entropy: (N,) float32 entropy of each unit given those before it, in nats.
        starts: (N,) bool, true where a group begins.
        seconds: duration of the audio.
        segmenter: the criterion and threshold that made the groups.
    """

    units: np.ndarray
    entropy: np.ndarray
    starts: np.ndarray
    seconds: float
    segmenter: SegmenterConfig

    @property
    def group_lengths(self) -> np.ndarray:
        """(M,) int64 number of units in each group; they sum to N."""
        return np.asarray(group_lengths(self.starts))

    @property
    def groups(self) -> list[Group]:
        """The groups with their units, entropies and times in seconds."""
        return make_groups(self.units, self.entropy, self.starts)

    @property
    def rate(self) -> float:
        """Groups per second of audio."""
        return float(self.starts.sum() / self.seconds)


class Compressor:
    """Tokenizer, entropy LM and segmenter in one call.

    Args:
        parts: the loaded parts.
        segmenter: criterion and threshold.

    Example:
        ``Compressor.from_pretrained(rate=15)(wav).group_lengths``
    """

    def __init__(self, parts: Parts, segmenter: SegmenterConfig) -> None:
        check_parts(parts)
        self.tokenizer = parts.tokenizer
        self.lm = parts.lm
        self.scorer = EntropyScorer(parts.lm)
        self.segmenter = segmenter

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path | None = None,
        rate: float | None = None,
        criterion: str | None = None,
        device: str = "cpu",
    ) -> Compressor:
        """Load a model directory (``exp/compressor`` of a recipe).

        Args:
            directory: the model directory, or the name of a shipped one; by default
                ``espnet_entropy.models.DEFAULT``.
            rate: groups per second of audio (Hz); if ``None``, the directory's default, or what
                the criterion makes if it has no threshold (``dedup``).
            criterion: name of a calibrated criterion; the directory's default if ``None``.
            device: ``cpu``, ``cuda``, ``cuda:1`` …

        Raises:
            ValueError: for a directory that is not whole, parts that do not belong
                together, an unknown criterion or a rate outside what was calibrated.
        """
        model = ModelDirectory.open(directory)
        # a wrong criterion or rate shows before the seconds that the LM takes
        table = CalibrationTable.load(model.calibration)
        name = criterion or model.manifest.criterion
        if rate is None:
            rate = table.usual_rate(name, model.manifest.rate)
        config = table.lookup(name, rate)
        parts = load_parts(model.tokenizer, model.entropy_lm, table, device)
        compressor = cls(parts, config)
        check_manifest(parts, model)
        return compressor

    def __call__(self, wav: np.ndarray) -> CompressedSpeech:
        """Compress one utterance.

        Args:
            wav: (T,) float samples in [-1, 1], 16 kHz mono, at least 400 of them.

        Raises:
            ValueError: if the waveform is too short, not one-dimensional or not finite.
        """
        units = self.tokenizer(wav)
        entropy = self.scorer.score(units)
        starts = np.asarray(segment(units, entropy, self.segmenter))
        return CompressedSpeech(units, entropy, starts, len(wav) / SAMPLE_RATE, self.segmenter)

    def stream(self) -> CompressorStream:
        """A stream: push samples, get groups as soon as they close."""
        return CompressorStream(self)


class CompressorStream:
    """Groups from a growing waveform.

    The units are those of ``Tokenizer.streaming``, offline; where that differs from the tokenizer
    itself (MFCC, mel encoders), so do some groups.

    Raises:
        ValueError: if the features need the whole utterance.
    """

    def __init__(self, compressor: Compressor) -> None:
        self._units = compressor.tokenizer.stream()
        self._scorer = compressor.scorer.stream()
        self._segmenter = StreamingSegmenter(compressor.segmenter)

    def push(self, samples: np.ndarray) -> list[Group]:
        """Add (T,) samples at 16 kHz; returns the groups that closed."""
        return self._advance(self._units.push(samples))

    def flush(self) -> list[Group]:
        """End of the speech: the remaining groups."""
        return self._advance(self._units.flush()) + self._segmenter.flush()

    def _advance(self, units: np.ndarray) -> list[Group]:
        if not len(units):
            return []
        return self._segmenter.push(units, self._scorer.push(units))
