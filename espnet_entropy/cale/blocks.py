"""The layers of CALE: what updates unit states, and what lets groups read them.

T units and G groups end to end, D width, H heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from espnet_entropy.cale.attention import segment_attention
from espnet_entropy.cale.config import CaleConfig
from espnet_entropy.cale.ragged import Ragged
from espnet_entropy.cale.self_attention import Attend, rotate


class TokenBlock(nn.Module):
    """A Transformer block over units: pre-norm, rotary self-attention, SwiGLU, no biases.

    LayerNorm, as in the paper; LLaMA's RMSNorm is made of a dozen operations on a CPU (2000 x 256
    forward and backward: 3.5 ms, LayerNorm 1.0).
    """

    def __init__(self, config: CaleConfig) -> None:
        super().__init__()
        D, F_ = config.width, config.inner
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(D)
        self.qkv = nn.Linear(D, 3 * D, bias=False)
        self.out = nn.Linear(D, D, bias=False)
        self.ffn_norm = nn.LayerNorm(D)
        self.gate_up = nn.Linear(D, 2 * F_, bias=False)
        self.down = nn.Linear(F_, D, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, states: torch.Tensor, attend: Attend, turns: torch.Tensor | None
    ) -> torch.Tensor:
        """(T, D) -> (T, D); ``turns`` from ``rotations``, ``None`` without positions."""
        qkv = self.qkv(self.attention_norm(states))
        q, k, v = qkv.view(len(states), 3, self.heads, -1).unbind(1)  # (T, H, d) each
        if turns is not None:
            q, k = rotate(q, turns), rotate(k, turns)
        states = states + self.dropout(self.out(attend(q, k, v).flatten(1)))
        gate, up = self.gate_up(self.ffn_norm(states)).chunk(2, -1)
        out: torch.Tensor = states + self.dropout(self.down(F.silu(gate) * up))
        return out


class CrossAttention(nn.Module):
    """Groups read their own units: multi-head, pre-norm, one residual (NOTES 4)."""

    def __init__(self, config: CaleConfig) -> None:
        super().__init__()
        D = config.width
        self.heads = config.heads
        self.group_norm = nn.LayerNorm(D)
        self.unit_norm = nn.LayerNorm(D)
        self.query = nn.Linear(D, D, bias=False)
        self.key_value = nn.Linear(D, 2 * D, bias=False)
        self.out = nn.Linear(D, D, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, groups: torch.Tensor, states: torch.Tensor, pick: torch.Tensor | None, ragged: Ragged
    ) -> torch.Tensor:
        """(G, D), (T, D) -> (G, D); with ``pick`` (T,), unit t has the state ``pick[t]``."""
        q = self.query(self.group_norm(groups)).view(len(groups), self.heads, -1)
        kv = take(self.key_value(self.unit_norm(states)), pick)
        k, v = kv.view(len(kv), 2, self.heads, -1).unbind(1)  # (T, H, d) each
        z = segment_attention(q, k, v, ragged.owner, ragged.offsets)
        out: torch.Tensor = groups + self.dropout(self.out(z.flatten(1)))
        return out


class PrintedCrossAttention(nn.Module):
    """The update of section 3.4 as printed: one head, LayerNorm after each projection."""

    def __init__(self, config: CaleConfig) -> None:
        super().__init__()
        D = config.width
        self.query = nn.Linear(D, D, bias=False)
        self.key = nn.Linear(D, D, bias=False)
        self.value = nn.Linear(D, D, bias=False)
        self.out = nn.Linear(D, D, bias=False)
        self.query_norm = nn.LayerNorm(D)
        self.key_norm = nn.LayerNorm(D)
        self.value_norm = nn.LayerNorm(D)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, groups: torch.Tensor, states: torch.Tensor, pick: torch.Tensor | None, ragged: Ragged
    ) -> torch.Tensor:
        """As :meth:`CrossAttention.forward`."""
        q = self.query_norm(self.query(groups))
        k = take(self.key_norm(self.key(states)), pick)
        v = take(self.value_norm(self.value(states)), pick)
        # [:, None]: one head
        z = segment_attention(q[:, None], k[:, None], v[:, None], ragged.owner, ragged.offsets)
        out: torch.Tensor = groups + self.dropout(self.out(z[:, 0]))
        return out


def take(states: torch.Tensor, pick: torch.Tensor | None) -> torch.Tensor:
    """``states[pick]`` by ``F.embedding``, whose gradient is deterministic on CUDA."""
    return states if pick is None else F.embedding(pick, states)
