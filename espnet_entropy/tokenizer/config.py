"""The options of a tokenizer: ``conf/tokenizer.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

FEATURES = ("mfcc", "hubert", "wavlm", "wav2vec2", "mel_encoder", "phones")
QUANTIZERS = ("kmeans",)
NUM_CLUSTERS = 200  # where a codebook is fitted and nothing else is said


@dataclass(frozen=True)
class KMeansConfig:
    """How the codebook is fitted, or where a ready one is.

    Attributes:
        num_clusters: K, the codebook size: 200 if nothing is said. With ``pretrained`` it is
            that one's, and a number given here must agree.
        pretrained: a k-means to take instead of fitting one: a public ``.bin`` (pickle or
            joblib file of scikit-learn's, read without executing anything), or a directory
            that holds our own (``quantizer.safetensors``), relative to the current directory.
            It must have been made for the features named. The values below then do nothing.
        max_frames: about how many frames to sample, spread evenly over all utterances.
        max_hours: audio to look at, a seeded choice of utterances; ``None`` is all of it.
        seed: decides the utterances, the frames and the first centroids.
        max_iterations: the most passes over all sampled frames.
        tolerance: stop when a pass lowers the inertia by less than this share.
    """

    num_clusters: int | None = None
    pretrained: str | None = None
    max_frames: int = 1_000_000
    max_hours: float | None = None
    seed: int = 0
    max_iterations: int = 50
    tolerance: float = 5e-4

    def __post_init__(self) -> None:
        if self.num_clusters is None and self.pretrained is None:
            object.__setattr__(self, "num_clusters", NUM_CLUSTERS)  # frozen, but in the making
        for name, least in (("num_clusters", 2), ("max_frames", 2), ("max_iterations", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: expected at least {least}, got {value}.")
        if self.max_hours is not None and not self.max_hours > 0:
            raise ValueError(f"max_hours: expected more than 0 hours, got {self.max_hours}.")
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance: expected a share of 0 or more, got {self.tolerance}.")


@dataclass(frozen=True)
class TokenizerConfig:
    """What makes units out of waveforms.

    Attributes:
        features: kind of features.
        features_conf: options of those features (``MfccConfig``, ``SpeechModelConfig``,
            ``MelEncoderOptions`` or ``PhoneOptions``).
        quantizer: kind of quantizer.
        quantizer_conf: how it is fitted, or which ready one is taken.
    """

    features: Literal["mfcc", "hubert", "wavlm", "wav2vec2", "mel_encoder", "phones"] = "mfcc"
    features_conf: dict[str, Any] = field(default_factory=dict)
    quantizer: Literal["kmeans"] = "kmeans"
    quantizer_conf: KMeansConfig = field(default_factory=KMeansConfig)
