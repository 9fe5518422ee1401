"""Pooling baselines: embeddings of a group's units, pooled (paper tables 7 to 9 and 12).

T units and G groups end to end, D width, H heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from espnet_entropy.cale.attention import segment_attention, segment_max
from espnet_entropy.cale.config import PoolingConfig
from espnet_entropy.cale.encoder import GroupEncoder
from espnet_entropy.cale.ragged import Ragged
from espnet_entropy.cale.time_embedding import TimeEmbedding


class GroupPooling(GroupEncoder):
    """Max, mean, or attention with a learned query, over the embeddings of each group.

    Args:
        config: mode and size.
        num_units: K.
    """

    def __init__(self, config: PoolingConfig, num_units: int) -> None:
        super().__init__(num_units, config.width)
        self.config = config
        if config.mode == "attention":
            self.query = nn.Parameter(torch.randn(config.width))  # all heads end to end
            self.key_value = nn.Linear(config.width, 2 * config.width, bias=False)
        self.time = None if config.time == "none" else TimeEmbedding(config.width, config.time)
        self.dropout = nn.Dropout(config.dropout)

    def encode(self, units: torch.Tensor, ragged: Ragged) -> torch.Tensor:
        """(T,) units -> (G, D) vectors."""
        if self.config.mode == "max":
            vectors = segment_max(self.embedding(units), ragged.owner, ragged.offsets)
        elif self.config.mode == "average":
            vectors = F.embedding_bag(
                units, self.embedding.weight, ragged.offsets, mode="mean", include_last_offset=True
            )
        else:
            vectors = self._attend(units, ragged)
        if self.time is not None:
            vectors = vectors + self.time(ragged)
        out: torch.Tensor = self.dropout(vectors)
        return out

    def _attend(self, units: torch.Tensor, ragged: Ragged) -> torch.Tensor:
        # keys and values depend on the unit alone: look up whichever is shorter first
        if len(units) > self.num_units:
            kv = F.embedding(units, self.key_value(self.embedding.weight))
        else:
            kv = self.key_value(self.embedding(units))
        k, v = kv.view(len(kv), 2, self.config.heads, -1).unbind(1)
        query = self.query.to(k.dtype).view(1, self.config.heads, -1)
        query = query.expand(len(ragged.offsets) - 1, -1, -1)
        return segment_attention(query, k, v, ragged.owner, ragged.offsets).flatten(1)
