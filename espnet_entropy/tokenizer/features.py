"""What every kind of feature offers, and how one is built from its name and options.

Legend: N frames (= units), D width, T samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from espnet_entropy.tokenizer.config import FEATURES
from espnet_entropy.utils.config import check_choice, from_dict
from espnet_entropy.utils.device import check_device

if TYPE_CHECKING:
    import torch


class FeatureStream(Protocol):
    """Features of audio that is still arriving."""

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take (T,) float32 samples; return the (n, D) float32 frames that are complete."""

    def flush(self) -> np.ndarray:
        """The last (n, D) frames; the stream is over after it."""


class Features(Protocol):
    """Features on the grid of ``utils.grid``.

    Attributes:
        name: kind of features.
        conf: their options as plain values, enough to build them again.
        dim: D.
        fingerprint: 16 hexadecimal digits that change with whatever changes the features.
        batch_noise: the most that :meth:`extract_batch` may move a frame x away from what
            :meth:`extract` gives, ‖δ‖/‖x‖; 0 where both are equal bit for bit, and in half
            precision, whose batches are taken as they come out.
        latency: how much audio, in seconds from the start of a frame, :meth:`stream` has heard
            at most when it gives the frame out; infinite where it needs the whole utterance.
    """

    name: str
    conf: dict[str, Any]
    dim: int
    fingerprint: str
    batch_noise: float
    latency: float

    def extract(self, wav: np.ndarray) -> np.ndarray:
        """(T,) float32 samples at 16 kHz to (N, D) float32 features, N = ``num_units(T)``."""

    def extract_batch(self, wavs: list[np.ndarray]) -> list[np.ndarray]:
        """Features of several utterances of any lengths."""

    def streaming(self) -> Features:
        """The features that :meth:`stream` gives, offline: itself where it is the same.

        Raises:
            ValueError: if these features need the whole utterance.
        """

    def full_context(self) -> Features:
        """What streams are compared with: the features that see the whole utterance."""

    def stream(self) -> FeatureStream:
        """Begin a stream whose frames are ``streaming().extract(wav)``, bit for bit.

        Raises:
            ValueError: as :meth:`streaming`.
        """

    def save_model(self, directory: Path) -> dict[str, Any]:
        """Copy what the features need into ``directory``; the options that then change."""


@runtime_checkable
class JoinedFeatures(Features, Protocol):
    """Features that come out on a device, where a quantizer can take them up."""

    def extract_joined(self, wavs: list[np.ndarray]) -> torch.Tensor:
        """:meth:`extract_batch`, one utterance after another: (sum of N, D) float32 there."""


def build_features(
    name: str,
    conf: Mapping[str, Any] | None = None,
    device: str = "cpu",
    directory: Path | None = None,
) -> Features:
    """Build features from their name and options.

    Args:
        name: one of ``tokenizer.config.FEATURES``.
        conf: the options, ``features_conf`` of ``conf/tokenizer.yaml``.
        device: where to compute (``cpu``, ``cuda``, ``cuda:1``); MFCC always takes the CPU.
        directory: what a model path that begins with ``./`` is relative to.

    Raises:
        ValueError: for an unknown name or option, or a model that cannot be loaded.
    """
    check_choice(name, FEATURES, "features")
    check_device(device)
    conf = dict(conf or {})
    if name == "mfcc":
        from espnet_entropy.tokenizer.mfcc import Mfcc, MfccConfig

        return Mfcc(from_dict(MfccConfig, conf, "features_conf"))
    if name == "mel_encoder":
        from espnet_entropy.tokenizer.mel_features import MelEncoderFeatures, MelEncoderOptions

        options = from_dict(MelEncoderOptions, conf, "features_conf")
        return MelEncoderFeatures(options, device, directory)
    if name == "phones":
        from espnet_entropy.tokenizer.phone_features import PhoneFeatures, PhoneOptions

        return PhoneFeatures(from_dict(PhoneOptions, conf, "features_conf"))
    from espnet_entropy.tokenizer.speech_model import SpeechModelConfig, SpeechModelFeatures

    config = from_dict(SpeechModelConfig, conf, "features_conf")
    return SpeechModelFeatures(name, config, device, directory)
