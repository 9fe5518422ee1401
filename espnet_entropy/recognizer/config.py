"""How a recognizer decodes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet_entropy.utils.config import from_dict, read_yaml

HYBRID_CTC_WEIGHT = 0.3  # ESPnet's recipes, for models trained with both


@dataclass(frozen=True)
class DecodingConfig:
    """Content of ``conf/inference_asr.yaml``.

    Attributes:
        beam_size: hypotheses kept per utterance; 1 is greedy.
        max_length: tokens after which a hypothesis is cut. Never the number of groups, as
            ESPnet's default has it: at 7 Hz there are fewer groups than tokens.
        length_bonus: added to the score per token.
        ctc_weight: share of the CTC prefix score (0..1); ``None``: 0 for a model without CTC, 1
            for one without decoder, 0.3 for one with both. Above 0 no text has more tokens than
            groups.

    Raises:
        ValueError: naming the field.
    """

    beam_size: int = 5
    max_length: int = 200
    length_bonus: float = 0.0
    ctc_weight: float | None = None

    def __post_init__(self) -> None:
        for name in ("beam_size", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}.")
        if not math.isfinite(self.length_bonus):
            raise ValueError(f"length_bonus: expected a finite number, got {self.length_bonus}.")
        if self.ctc_weight is not None and not 0 <= self.ctc_weight <= 1:
            raise ValueError(f"ctc_weight: expected 0 to 1, got {self.ctc_weight}.")

    def replace(self, **options: Any) -> DecodingConfig:
        """The same with the options that are not ``None``.

        Raises:
            ValueError: naming the option.
        """
        given = {name: value for name, value in options.items() if value is not None}
        return from_dict(DecodingConfig, dataclasses.asdict(self) | given, "decoding")

    def for_model(self, has_ctc: bool, has_decoder: bool, vocabulary: int) -> DecodingConfig:
        """The same with ``ctc_weight`` decided.

        Raises:
            ValueError: for a weight that the model cannot serve, or a beam beyond the vocabulary.
        """
        weight = self.ctc_weight
        if weight is None:
            weight = (HYBRID_CTC_WEIGHT if has_decoder else 1.0) if has_ctc else 0.0
        if weight > 0 and not has_ctc:
            raise ValueError(
                f"ctc_weight: got {weight:g}, but the model was trained without CTC; use 0."
            )
        if weight < 1 and not has_decoder:
            raise ValueError(f"ctc_weight: got {weight:g}, but the model has only CTC; use 1.")
        if self.beam_size > vocabulary:
            raise ValueError(
                f"beam_size: expected at most the vocabulary's {vocabulary}, got {self.beam_size}."
            )
        return dataclasses.replace(self, ctc_weight=weight)


def read_decoding(path: str | Path | None, defaults: DecodingConfig) -> DecodingConfig:
    """``defaults`` with what a YAML file says; ``None`` for no file.

    Raises:
        ValueError: naming file and key.
    """
    if path is None:
        return defaults
    return from_dict(DecodingConfig, dataclasses.asdict(defaults) | read_yaml(path), str(path))
