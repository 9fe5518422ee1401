"""What describes an entropy LM, readable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet_entropy.utils.config import from_dict, load_config

# Of the matrix products of scoring, the first one unless told otherwise.
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class EntropyLMConfig:
    """Size of an entropy LM; the defaults are the paper's (section C.1), 103.8 M at K = 500.

    Args:
        num_clusters: K, number of units.
        width: D, model dimension.
        layers: Transformer layers.
        heads: attention heads; divides ``width``.
        ffn: inner dimension of the SwiGLU feed-forward ("multiple of 256"; NOTES 9).
        context: the most positions that attend to each other, ``<sos/eos>`` included; even.
        rope_theta: base of the rotary embedding.
        dedup: trained on units without repetitions (NOTES 7).
    """

    num_clusters: int
    width: int = 1024
    layers: int = 8
    heads: int = 16
    ffn: int = 2816
    context: int = 2048
    rope_theta: float = 10000.0
    dedup: bool = False

    def __post_init__(self) -> None:
        for name in ("num_clusters", "width", "layers", "heads", "ffn", "context"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}.")
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width: expected a multiple of 2 x heads = {2 * self.heads} (rotary embedding "
                f"turns pairs), got {self.width}."
            )
        if self.context % 2:
            raise ValueError(
                f"context: expected an even number (windows move by half of it), "
                f"got {self.context}."
            )

    @property
    def sos(self) -> int:
        """Id of ``<sos/eos>``, K."""
        return self.num_clusters


def lm_config(conf: Mapping[str, Any] | None, num_clusters: int, where: str) -> EntropyLMConfig:
    """``lm_conf`` of a training configuration, with the units' K if it does not name its own.

    ``compile``, which says how to train and not what, may stand there besides.

    Raises:
        ValueError: for an unknown key or a bad value; the message begins with ``where``.
    """
    if not isinstance(conf, Mapping | None):
        raise ValueError(f"{where}: expected a mapping, got {conf!r}.")
    sizes = {"num_clusters": num_clusters} | dict(conf or {})
    compiled = sizes.pop("compile", False)
    if not isinstance(compiled, bool):
        raise ValueError(f"{where}: compile: expected true or false, got {compiled!r}.")
    return from_dict(EntropyLMConfig, sizes, where)


@dataclass(frozen=True)
class ModelCard:
    """``config.yaml`` of a stored entropy LM.

    Args:
        model: sizes.
        tokenizer: fingerprint of the tokenizer whose units it was trained on.
        fingerprint: of ``model``, ``tokenizer`` and the weights.
        training: what is known of its making (validation nll in nats, perplexity, …).
    """

    model: EntropyLMConfig
    tokenizer: str
    fingerprint: str
    training: dict[str, Any] = field(default_factory=dict)


def read_card(directory: str | Path) -> ModelCard:
    """``config.yaml`` of an exported entropy LM.

    Raises:
        ValueError: if the file is missing or not such a card.
    """
    path = Path(directory) / "config.yaml"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; export the entropy LM there first.")
    return load_config(ModelCard, path)
