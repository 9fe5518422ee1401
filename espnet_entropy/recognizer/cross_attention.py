"""Cross-attention that projects the encoder's output once per utterance.

ESPnet's decoder projects it for each hypothesis and each token again: most of a search's time.

Legend: B utterances, R hypotheses of each, M groups, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F


class CrossAttention:
    """Stands for ``src_attn`` of one decoder layer while an utterance is searched.

    Args:
        attention: ESPnet's ``MultiHeadedAttention``.
        memory: (B, M, D) float.
        mask: (B, 1, 1, M) bool, true where there is a group.
    """

    def __init__(self, attention: Any, memory: torch.Tensor, mask: torch.Tensor) -> None:
        self.attention, self.mask = attention, mask
        self.keys = attention.k_norm(self._heads(attention.linear_k(memory)))
        self.values = self._heads(attention.linear_v(memory))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(B, L, D) to (B, H, L, D / H)."""
        return x.view(*x.shape[:2], self.attention.h, -1).transpose(1, 2)

    def __call__(self, query: torch.Tensor, *_: object) -> torch.Tensor:
        """Attention of query (B·R, 1, D) to the memory of its utterance."""
        B, D = len(self.keys), query.shape[-1]
        # the hypotheses of one utterance stand side by side as if they were times: (B, R, D)
        heads = self._heads(self.attention.linear_q(query).view(B, -1, D))
        out = F.scaled_dot_product_attention(
            self.attention.q_norm(heads), self.keys, self.values, self.mask
        )
        merged: torch.Tensor = self.attention.linear_out(out.transpose(1, 2).reshape(-1, 1, D))
        return merged

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the utterances that are not in rows (B,) bool."""
        self.keys, self.values, self.mask = self.keys[rows], self.values[rows], self.mask[rows]


class SharedMemory:
    """The cross-attention of all layers."""

    def __init__(self, layers: list[CrossAttention]) -> None:
        self.layers = layers

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the utterances that are not in rows (B,) bool."""
        if not rows.all():
            for layer in self.layers:
                layer.keep(rows)


@contextmanager
def shared_memory(
    decoder: Any, memory: torch.Tensor, lengths: torch.Tensor
) -> Iterator[SharedMemory]:
    """Within the context the decoder attends to ``memory``, whatever memory it is called with.

    Args:
        decoder: ESPnet's ``TransformerDecoder`` in evaluation mode.
        memory: (B, M, D) float; padding may hold anything finite.
        lengths: (B,) int, at least 1.
    """
    groups = torch.arange(memory.shape[1], device=memory.device)
    mask = (groups < lengths.to(memory.device)[:, None])[:, None, None, :]
    layers = [CrossAttention(layer.src_attn, memory, mask) for layer in decoder.decoders]
    for layer, shared in zip(decoder.decoders, layers, strict=True):
        layer.src_attn.forward = shared  # an attribute of the instance hides the method
    try:
        yield SharedMemory(layers)
    finally:
        for layer in decoder.decoders:
            del layer.src_attn.forward
