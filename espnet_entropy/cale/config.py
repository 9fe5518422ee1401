"""What describes a CALE or a pooling encoder, as users write it in YAML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from espnet_entropy.utils.config import check_choice

TokenUpdate = Literal["full", "window", "none"]
Time = Literal["none", "start", "start+duration"]
Pooling = Literal["max", "average", "attention"]

# The inner width of a SwiGLU that has as many weights as a plain feed-forward of 4 D is 8/3 D
# (LLaMA), here rounded up to a multiple of 64, which matrix products like.
FFN_MULTIPLE = 64


@dataclass(frozen=True)
class CaleConfig:
    """Size and variant of a cross-attentive local encoder (paper section 3.4; NOTES 4, 6).

    Args:
        width: D, of the embedding and of the vectors.
        layers: L, cross-attention layers (appendix B: 4), each after a token block of its own.
        heads: attention heads, in token blocks and in cross-attention; divides ``width``.
        ffn: inner width of the token blocks' SwiGLU; ``None`` for 8/3 of ``width``.
        token_update: what a unit's state sees before each cross-attention: ``full`` its
            utterance, ``window`` its neighbours, ``none`` itself alone (no token blocks).
        window: units on each side that ``token_update: window`` sees in one layer.
        rope: rotary positions in the token blocks, the only thing that shows the order of units.
        paper_exact: the equations as printed: single head, LayerNorm after each projection, no
            token update, no norm at the end. ``heads``, ``ffn``, ``token_update``, ``window`` and
            ``rope`` are then without effect.
        conv: units that a convolution over the embedded units sees, odd; 0 for none. It brings the
            order of neighbours for less than a token block costs (egs2/mini_synth/asr1/README.md).
        time: adds to the initial queries when a group begins, and how long it lasts.
        dropout: on what each sublayer adds to its residual stream, and on embedded units where
            they pass through token blocks.
    """

    width: int = 256
    layers: int = 4
    heads: int = 4
    ffn: int | None = None
    token_update: TokenUpdate = "full"
    window: int = 16
    rope: bool = True
    paper_exact: bool = False
    conv: int = 0
    time: Time = "none"
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "window"):
            check_positive(name, getattr(self, name))
        if self.conv != 0 and (self.conv < 3 or self.conv % 2 == 0):
            raise ValueError(f"conv: expected 0 or an odd number from 3 on, got {self.conv}.")
        if self.conv and self.paper_exact:
            raise ValueError(
                f"conv: {self.conv} with paper_exact, whose equations have none; remove one."
            )
        if self.ffn is not None:
            check_positive("ffn", self.ffn)
        check_choice(self.token_update, ("full", "window", "none"), "token_update")
        check_time(self.time)
        check_dropout(self.dropout)
        if not self.paper_exact:
            check_heads(self.width, self.heads, 2 if self.rotates else 1)

    @property
    def updates(self) -> bool:
        """Whether token states pass through Transformer blocks."""
        return self.token_update != "none" and not self.paper_exact

    @property
    def rotates(self) -> bool:
        """Whether positions enter."""
        return self.rope and self.updates

    @property
    def inner(self) -> int:
        """Inner width of the feed-forward."""
        return self.ffn or -(-8 * self.width // (3 * FFN_MULTIPLE)) * FFN_MULTIPLE


@dataclass(frozen=True)
class PoolingConfig:
    """A pooling baseline (paper tables 7 to 9 and 12).

    Args:
        mode: ``max``, ``average``, or ``attention`` (a learned query attends to each group).
        width: D, of the embedding and of the vectors.
        heads: heads of ``attention``; divides ``width``.
        time: adds when a group begins, and how long it lasts.
        dropout: on the vectors.
    """

    mode: Pooling = "max"
    width: int = 256
    heads: int = 4
    time: Time = "none"
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_positive("width", self.width)
        check_positive("heads", self.heads)
        check_choice(self.mode, ("max", "average", "attention"), "mode")
        check_time(self.time)
        check_dropout(self.dropout)
        if self.mode == "attention":
            check_heads(self.width, self.heads, 1)


def check_positive(name: str, value: int) -> None:
    """Raise ``ValueError`` unless ``value`` is at least 1."""
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}.")


def check_time(value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` is one of the time options."""
    check_choice(value, ("none", "start", "start+duration"), "time")


def check_dropout(value: float) -> None:
    """Raise ``ValueError`` unless 0 <= ``value`` < 1."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"dropout: expected 0 <= dropout < 1, got {value}.")


def check_heads(width: int, heads: int, factor: int) -> None:
    """Raise ``ValueError`` unless each head gets a whole number (of ``factor``) of dimensions."""
    if width % (factor * heads):
        why = "2 x heads (rotary embedding turns pairs)" if factor == 2 else "heads"
        raise ValueError(
            f"width: expected a multiple of {why} = {factor * heads}, got {width}; change width or "
            "heads."
        )
