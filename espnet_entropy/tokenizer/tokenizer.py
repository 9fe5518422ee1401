"""Waveform to units: features, then the quantizer.

Legend: N units, T samples, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.tokenizer.config import FEATURES, QUANTIZERS
from espnet_entropy.tokenizer.features import (
    Features,
    FeatureStream,
    JoinedFeatures,
    build_features,
)
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.utils.config import check_choice, read_yaml, write_yaml
from espnet_entropy.utils.files import fingerprint
from espnet_entropy.utils.grid import FRAME_LENGTH, num_units

DESCRIPTION = "tokenizer.yaml"
KEYS = (
    "features",
    "features_conf",
    "quantizer",
    "num_clusters",
    "features_fingerprint",
    "fingerprint",
)


class Tokenizer:
    """Turns 16 kHz audio into units, 50 per second.

    Args:
        features: what to compute from the waveform.
        quantizer: what maps frames to units.

    Raises:
        ValueError: if the quantizer was made for features of another width.

    Example:
        ``units = Tokenizer.from_pretrained("exp/tokenizer")(wav)``
    """

    def __init__(self, features: Features, quantizer: KMeansQuantizer) -> None:
        if features.dim != quantizer.dim:
            raise ValueError(
                f"tokenizer: the quantizer has {quantizer.dim} dimensions, the features "
                f"'{features.name}' have {features.dim}; use the quantizer fitted on them."
            )
        self.features, self.quantizer = features, quantizer
        self.fingerprint = fingerprint(
            {"features": features.fingerprint, "quantizer": quantizer.fingerprint}
        )

    @property
    def num_clusters(self) -> int:
        """K, the number of different units."""
        return self.quantizer.num_clusters

    def __call__(self, wav: np.ndarray) -> np.ndarray:
        """Units of one utterance.

        Args:
            wav: (T,) float32 samples in [-1, 1], 16 kHz mono, T >= 400.

        Returns:
            (N,) int32 units, N = ``num_units(T)``.

        Raises:
            ValueError: if the audio is shorter than one frame, not finite or not (T,).
        """
        return self.quantizer.assign(self.features.extract(check_wav(wav)))

    def batch(self, wavs: list[np.ndarray]) -> list[np.ndarray]:
        """Units of several utterances; equal to calling the tokenizer on each.

        Where batches change the rounding of features (on a GPU), an utterance with a frame
        so near to a tie that rounding could decide it is computed again alone. Not so in half
        precision, where some units differ from those of the utterance alone.

        Raises:
            ValueError: as calling does.
        """
        wavs = [check_wav(wav) for wav in wavs]
        return [
            self(wav) if doubtful else units
            for wav, (units, doubtful) in zip(wavs, self._together(wavs), strict=True)
        ]

    def _together(self, wavs: list[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
        """Units of each utterance, computed in batches, and whether that could change any."""
        noise = self.features.batch_noise
        if not isinstance(self.features, JoinedFeatures):
            for frames in self.features.extract_batch(wavs):
                yield self.quantizer.assign_doubtful(frames, noise)
            return
        joined = self.features.extract_joined(wavs)
        units, doubtful = self.quantizer.assign_frames(joined, noise)
        begin = 0
        for wav in wavs:
            end = begin + num_units(len(wav))
            yield units[begin:end], bool(doubtful[begin:end].any())
            begin = end

    def streaming(self) -> Tokenizer:
        """The tokenizer whose units a stream gives, offline, with the same quantizer.

        It is this one itself, except for features that can do with less than the whole utterance:
        MFCC are normalized by what has been heard so far, a small encoder of our own works in
        chunks. Some units differ; ``python -m espnet_entropy.bin.evaluate_streaming`` measures how
        many.

        Raises:
            ValueError: if the features need the whole utterance (a speech model without chunks).
        """
        features = self.features.streaming()
        return self if features is self.features else Tokenizer(features, self.quantizer)

    def full_context(self) -> Tokenizer:
        """The tokenizer whose features see the whole utterance, with the same quantizer.

        It is this one itself, except for chunked speech models and causally normalized MFCC.
        """
        features = self.features.full_context()
        return self if features is self.features else Tokenizer(features, self.quantizer)

    def stream(self) -> UnitStream:
        """Begin to tokenize audio that is still arriving: ``streaming()(wav)``, bit for bit.

        Raises:
            ValueError: as :meth:`streaming`.
        """
        return UnitStream(self.features.stream(), self.quantizer)

    def save(self, directory: str | Path, with_model: bool = False) -> None:
        """Write ``tokenizer.yaml`` and the quantizer's files.

        Args:
            directory: made if missing.
            with_model: also copy the speech model (safetensors) into ``directory/model``, so
                that the directory works on a machine that does not have it.
        """
        directory = Path(directory)
        conf = dict(self.features.conf)
        if with_model:
            conf.update(self.features.save_model(directory))
        self.quantizer.save(directory)
        write_yaml(
            directory / DESCRIPTION,
            {
                "features": self.features.name,
                "features_conf": conf,
                "quantizer": "kmeans",
                "num_clusters": self.num_clusters,
                "features_fingerprint": self.features.fingerprint,
                "fingerprint": self.fingerprint,
            },
        )

    @classmethod
    def from_pretrained(cls, directory: str | Path, device: str = "cpu") -> Tokenizer:
        """Load what :meth:`save` wrote.

        Args:
            directory: with ``tokenizer.yaml`` and the quantizer.
            device: where to compute.

        Raises:
            ValueError: if files are missing or damaged, or parts do not belong together.
        """
        directory = Path(directory)
        path = directory / DESCRIPTION
        info = read_description(directory)
        features = build_features(info["features"], info["features_conf"], device, directory)
        if features.fingerprint != info["features_fingerprint"]:
            raise ValueError(
                f"{path}: the features are not those the quantizer was fitted on (fingerprint "
                f"{features.fingerprint}, expected {info['features_fingerprint']}); "
                "restore the same model and options, or fit again."
            )
        tokenizer = cls(features, KMeansQuantizer.load(directory, device))
        if tokenizer.fingerprint != info["fingerprint"]:
            raise ValueError(
                f"{path}: fingerprint {info['fingerprint']}, but the parts give "
                f"{tokenizer.fingerprint}; the quantizer belongs to another tokenizer."
            )
        return tokenizer


def read_description(directory: str | Path) -> dict[str, Any]:
    """What ``tokenizer.yaml`` says, without loading any model.

    Raises:
        ValueError: if the file is missing or incomplete.
    """
    path = Path(directory) / DESCRIPTION
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected a tokenizer. Run stage 'fit_tokenizer'.")
    info = read_yaml(path)
    for key in KEYS:
        if key not in info:
            raise ValueError(f"{path}: missing key '{key}'; was the tokenizer fitted to its end?")
    check_choice(info["features"], FEATURES, "features", str(path))
    check_choice(info["quantizer"], QUANTIZERS, "quantizer", str(path))
    return info


class UnitStream:
    """Units of audio that arrives in pieces.

    Args:
        features: a stream of frames.
        quantizer: what maps them to units.
    """

    def __init__(self, features: FeatureStream, quantizer: KMeansQuantizer) -> None:
        self._features, self._quantizer = features, quantizer

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take (T,) float32 samples, T of any size; return the (n,) int32 units now known."""
        return self._quantizer.assign(self._features.push(samples))

    def flush(self) -> np.ndarray:
        """The last (n,) int32 units; the stream is over after it."""
        return self._quantizer.assign(self._features.flush())


def check_wav(wav: np.ndarray) -> np.ndarray:
    """``wav`` as (T,) float32.

    Raises:
        ValueError: if it is not a (T >= 400,) array of finite numbers.
    """
    wav = np.asarray(wav)
    if wav.ndim != 1 or not np.issubdtype(wav.dtype, np.floating):
        raise ValueError(
            f"audio: expected (T,) floating-point samples in [-1, 1], got shape {wav.shape} of "
            f"{wav.dtype}; mix channels down and divide integers by their full scale."
        )
    if len(wav) < FRAME_LENGTH:
        raise ValueError(
            f"audio: {len(wav)} samples are shorter than one frame of {FRAME_LENGTH} samples "
            "(25 ms); remove the utterance."
        )
    if not np.isfinite(wav).all():
        raise ValueError("audio: samples are NaN or infinite; decode the file again.")
    return wav.astype(np.float32, copy=False)
