"""How an encoder is trained: ``conf/train_*.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from espnet_entropy.ssl.augment import AugmentConfig
from espnet_entropy.tokenizer.mel_encoder import MelEncoderConfig


@dataclass(frozen=True)
class TrainingConfig:
    """Sizes, objectives and schedule.

    Attributes:
        encoder: sizes.
        augment: changes to the levels of a training batch.
        masked_weight: of the cross-entropy of hidden units' clusters, in nats per hidden unit.
        ctc_weight: of CTC's loss, in nats per phone; utterances without phones do not count.
        phone_weight: of the cross-entropy of the aligned phone of each unit, in nats per unit;
            utterances without an alignment do not count.
        mask_start: probability that a unit begins a hidden span.
        mask_span: units of a span.
        projection: width in which units and clusters are compared by their cosine.
        temperature: what divides the cosine.
        dropout: share of activations.
        init: trained model whose encoder this one begins with; ``None`` begins at random.
        max_units: of a batch, padding counted: 50 are a second.
        steps: updates in all.
        warmup: share of them in which the rate of learning rises; then it falls to 0 as a cosine.
        peak_rate: the highest.
        weight_decay: of AdamW.
        clip: the longest gradient.
        eval_every: steps between looks at the valid set.
        seed: of everything.
        dtype: of the products on a GPU; a CPU computes in float32.
        compile: let torch.compile fuse the encoder on a GPU.
    """

    encoder: MelEncoderConfig = field(default_factory=MelEncoderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    masked_weight: float = 1.0
    ctc_weight: float = 0.0
    phone_weight: float = 0.0
    mask_start: float = 0.08
    mask_span: int = 10
    projection: int = 128
    temperature: float = 0.1
    dropout: float = 0.1
    init: str | None = None
    max_units: int = 20_000
    steps: int = 20_000
    warmup: float = 0.08
    peak_rate: float = 1e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    eval_every: int = 500
    seed: int = 0
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    compile: bool = False

    def __post_init__(self) -> None:
        weights = self.masked_weight, self.ctc_weight, self.phone_weight
        if min(weights) < 0 or not any(weights):
            raise ValueError(
                "masked_weight, ctc_weight, phone_weight: expected 0 or more, and one above 0."
            )
        for name in ("mask_start", "dropout", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 0 to below 1, got {getattr(self, name)}.")
        if self.masked_weight and not self.mask_start:
            raise ValueError("mask_start: with masked_weight something has to be hidden; raise it.")
        for name in ("mask_span", "projection", "max_units", "steps", "eval_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}.")
        for name in ("temperature", "peak_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}.")
