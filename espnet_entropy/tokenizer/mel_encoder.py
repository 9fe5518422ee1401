"""A small encoder of mel levels: convolutions to 50 Hz, then blocks of convolution and attention.

Padding never changes what it says of a frame: padded frames are zero wherever a convolution or the
normalization could see them, and attention is masked. There are no position embeddings: depthwise
convolutions know the order (Gulati et al. 2020, Conformer, whose blocks these are but for one of
the two feed-forward layers and for batch normalization).

Legend: B batch, N units, J = 2 N - 1 level frames, D width, L layers, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from espnet_entropy.tokenizer.mel_levels import NUM_BANDS

MIN_DEVIATION = 4.0  # levels: half a neper; below it there is no speech to scale
FRONT_KERNEL = 5  # level frames


@dataclass(frozen=True)
class MelEncoderConfig:
    """Sizes of the encoder.

    Attributes:
        width: D.
        layers: L; 0 leaves the convolutions to 50 Hz alone.
        heads: H; divides D.
        ffn: width inside the feed-forward layers.
        kernel: units that a block's convolution sees; odd.
    """

    width: int = 192
    layers: int = 8
    heads: int = 4
    ffn: int = 768
    kernel: int = 15

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "ffn", "kernel"):
            least = 0 if name == "layers" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}.")
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide width {self.width}; change one.")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: expected an odd number of units, got {self.kernel}.")


class MelEncoder(nn.Module):
    """Mel levels to the hidden states of every layer, 50 per second.

    Args:
        config: sizes.
        dropout: share of activations dropped in training.
    """

    def __init__(self, config: MelEncoderConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        D = config.width
        self.front = nn.Conv1d(NUM_BANDS, D, FRONT_KERNEL, padding=FRONT_KERNEL // 2)
        self.halve = nn.Conv1d(D, D, 3, stride=2, padding=1)  # 2 N - 1 frames become N
        self.norm = nn.LayerNorm(D)
        self.dropout = nn.Dropout(dropout)
        self.mask_embedding = nn.Parameter(torch.randn(D) * 0.1)
        self.blocks = nn.ModuleList(Block(config, dropout) for _ in range(config.layers))

    def forward(
        self,
        levels: torch.Tensor,
        lengths: torch.Tensor,
        masked: torch.Tensor | None = None,
        layers: int | None = None,
    ) -> list[torch.Tensor]:
        """Hidden states.

        Args:
            levels: (B, J, 40), of any number type; what lies beyond a length does not matter.
            lengths: (B,) int64 units of each utterance, the longest being N.
            masked: (B, N) bool: units whose input is replaced by the mask embedding.
            layers: stop after this block; all, if not given.

        Returns:
            (B, N, D) for layer 0 (what enters the first block) and each block, 0 beyond a length.
        """
        N = (levels.shape[1] + 1) // 2
        valid = torch.arange(N, device=levels.device) < lengths[:, None]  # (B, N)
        frames = torch.arange(levels.shape[1], device=levels.device) < 2 * lengths[:, None] - 1
        x = normalize(levels, frames).to(self.front.weight.dtype)  # (B, J, 40)
        if masked is not None:  # or visible neighbours, which see a few frames, would show them
            x = x.masked_fill(hidden_frames(masked)[:, : x.shape[1], None], 0.0)
        x = x.transpose(1, 2)
        x = F.gelu(self.front(x)) * frames[:, None]
        x = self.norm(self.halve(x).transpose(1, 2))  # (B, N, D)
        if masked is not None:
            x = torch.where(masked[..., None], self.mask_embedding.to(x.dtype), x)
        states = [self.dropout(x) * valid[..., None]]
        for block in self.blocks[:layers]:
            states.append(block(states[-1], valid))
        return states


def hidden_frames(masked: torch.Tensor) -> torch.Tensor:
    """(B, N) bool of units to (B, 2 N) bool: the frame at each masked unit and those beside it."""
    at = masked.repeat_interleave(2, 1)  # frames 2 i and 2 i + 1
    return at | F.pad(at[:, 1:], (0, 1))


class Block(nn.Module):
    """Convolution, attention and feed-forward, each around a skip; the output is normalized."""

    def __init__(self, config: MelEncoderConfig, dropout: float) -> None:
        super().__init__()
        D = config.width
        self.heads = config.heads
        self.conv_norm, self.attention_norm = nn.LayerNorm(D), nn.LayerNorm(D)
        self.ffn_norm, self.norm = nn.LayerNorm(D), nn.LayerNorm(D)
        self.gate = nn.Linear(D, 2 * D)
        self.depthwise = nn.Conv1d(D, D, config.kernel, padding=config.kernel // 2, groups=D)
        self.inner_norm = nn.LayerNorm(D)
        self.mix = nn.Linear(D, D)
        self.qkv = nn.Linear(D, 3 * D)
        self.merge = nn.Linear(D, D)
        self.ffn = nn.Sequential(
            nn.Linear(D, config.ffn), nn.GELU(), nn.Dropout(dropout), nn.Linear(config.ffn, D)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """(B, N, D) to the same, given which units are not padding (B, N)."""
        keep = valid[..., None]
        x = x + self.dropout(self._convolve(self.conv_norm(x), keep))
        x = x + self.dropout(self._attend(self.attention_norm(x), valid))
        x = x + self.dropout(self.ffn(self.ffn_norm(x)))
        return torch.as_tensor(self.norm(x) * keep)

    def _convolve(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        x = F.glu(self.gate(x), dim=-1) * keep
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return torch.as_tensor(self.mix(F.silu(self.inner_norm(x))))

    def _attend(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        B, N, D = x.shape
        # (B, N, 3 D) -> three (B, H, N, D / H)
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None, :])
        return torch.as_tensor(self.merge(x.transpose(1, 2).reshape(B, N, D)))


def normalize(levels: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Each band to mean 0 and variance 1 over its utterance, 0 beyond its end.

    Args:
        levels: (B, J, 40).
        valid: (B, J) bool.

    Returns:
        (B, J, 40) float32.
    """
    keep = valid[..., None].float()
    count = keep.sum(dim=1, keepdim=True).clamp(min=1)
    x = levels.float() * keep
    centred = (x - x.sum(dim=1, keepdim=True) / count) * keep
    variance = centred.square().sum(dim=1, keepdim=True) / count
    return centred / variance.sqrt().clamp(min=MIN_DEVIATION)
