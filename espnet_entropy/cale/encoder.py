"""CALE, the cross-attentive local encoder (paper section 3.4; NOTES 4 and 6).

B batch, N units, M groups, D width, K number of units; T units and G groups end to end.
"""

from __future__ import annotations

import torch
from torch import nn

from espnet_entropy.cale.attention import segment_max
from espnet_entropy.cale.blocks import CrossAttention, PrintedCrossAttention, TokenBlock
from espnet_entropy.cale.config import CaleConfig
from espnet_entropy.cale.ragged import Ragged, check_batch, check_shapes
from espnet_entropy.cale.self_attention import (
    Attend,
    full_attention,
    rotations,
    window_attention,
)
from espnet_entropy.cale.time_embedding import TimeEmbedding
from espnet_entropy.cale.unit_convolution import UnitConvolution


class GroupEncoder(nn.Module):
    """From a padded batch to one vector per group; what CALE and pooling share.

    Args:
        num_units: K.
        width: D.
    """

    def __init__(self, num_units: int, width: int) -> None:
        super().__init__()
        if num_units < 1:
            raise ValueError(f"num_units: expected at least 1, got {num_units}.")
        self.embedding = nn.Embedding(num_units, width)

    @property
    def num_units(self) -> int:
        """K."""
        return self.embedding.num_embeddings

    @property
    def width(self) -> int:
        """D."""
        return self.embedding.embedding_dim

    def forward(
        self, units: torch.Tensor, group_ids: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One vector per group.

        Args:
            units: (B, N) int64, 0 .. K - 1; anything beyond an utterance's length.
            group_ids: (B, N) int64, from 0, never decreasing along an utterance (0 0 1 1 1 2 …);
                anything beyond its length. Utterance b has its last id + 1 groups; an id that no
                unit has is an empty group, whose vector is zero.
            lengths: (B,) int64, 1 .. N.

        Returns:
            (B, M, D) float vectors, zeros beyond an utterance's groups, M the most groups of an
            utterance; and (B,) int64, groups of each utterance. A vector depends on its own
            utterance alone, never on padding or on the rest of the batch.

        Raises:
            ValueError: for wrong shapes or dtypes; and, if the tensors are on the CPU, for units,
                ids or lengths out of range (see ``check_batch``).
        """
        check_shapes(units, group_ids, lengths)
        if units.device.type == "cpu":
            check_batch(units, group_ids, lengths, self.num_units)
        ragged = Ragged.of(group_ids, lengths)
        return ragged.pad(self.encode(ragged.flatten(units).long(), ragged)), ragged.num_groups

    def encode(self, units: torch.Tensor, ragged: Ragged) -> torch.Tensor:
        """(T,) units -> (G, D) vectors: all that computes, and what to give to torch.compile."""
        raise NotImplementedError

    def num_parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters())


class CALE(GroupEncoder):
    """Group queries refined layer by layer by attention over their own units.

    Queries start from max-pooled embeddings. Before each of the L cross-attention layers the
    states of the units pass through a Transformer block over their utterance, unless
    ``token_update`` is ``none``; a final LayerNorm closes the pre-norm residual stream. With
    ``paper_exact`` the equations as printed.

    Args:
        config: size and variant.
        num_units: K.

    Example:
        >>> cale = CALE(CaleConfig(width=8, layers=1, heads=2), num_units=5).eval()
        >>> units = torch.tensor([[0, 3, 3, 1], [2, 2, 9, 9]])
        >>> groups = torch.tensor([[0, 0, 1, 2], [0, 0, 9, 9]])
        >>> vectors, num_groups = cale(units, groups, torch.tensor([4, 2]))
        >>> vectors.shape, num_groups
        (torch.Size([2, 3, 8]), tensor([3, 1]))
    """

    def __init__(self, config: CaleConfig, num_units: int) -> None:
        super().__init__(num_units, config.width)
        self.config = config
        cross = PrintedCrossAttention if config.paper_exact else CrossAttention
        self.cross = nn.ModuleList(cross(config) for _ in range(config.layers))
        self.blocks = nn.ModuleList(
            TokenBlock(config) for _ in range(config.layers if config.updates else 0)
        )
        self.convolution = UnitConvolution(config.width, config.conv) if config.conv else None
        self.time = None if config.time == "none" else TimeEmbedding(config.width, config.time)
        self.final_norm = nn.Identity() if config.paper_exact else nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def encode(self, units: torch.Tensor, ragged: Ragged) -> torch.Tensor:
        """(T,) units -> (G, D) vectors."""
        states = self.embedding(units)
        if self.convolution is not None:
            states = states + self.convolution(units, self.embedding.weight, ragged)
        groups = segment_max(states, ragged.owner, ragged.offsets)
        if self.time is not None:
            groups = groups + self.time(ragged)
        if self.config.updates:
            groups = self._refine_with_blocks(groups, self.dropout(states), ragged)
        else:
            groups = self._refine(groups, states, units, ragged)
        out: torch.Tensor = self.final_norm(groups)
        return out

    def _refine_with_blocks(
        self, groups: torch.Tensor, states: torch.Tensor, ragged: Ragged
    ) -> torch.Tensor:
        attend, turns = self._attention(ragged)
        for block, cross in zip(self.blocks, self.cross, strict=True):
            states = block(states, attend, turns)
            groups = cross(groups, states, None, ragged)
        return groups

    def _refine(
        self, groups: torch.Tensor, states: torch.Tensor, units: torch.Tensor, ragged: Ragged
    ) -> torch.Tensor:
        # Without updates equal units have equal keys and values: a batch longer than the codebook
        # projects the K embeddings instead, and looks up.
        table = len(units) > self.num_units and self.convolution is None
        for cross in self.cross:
            if table:
                groups = cross(groups, self.embedding.weight, units, ragged)
            else:
                groups = cross(groups, states, None, ragged)
        return groups

    def _attention(self, ragged: Ragged) -> tuple[Attend, torch.Tensor | None]:
        config = self.config
        if config.token_update == "full":
            attend = full_attention(ragged)
        else:
            attend = window_attention(ragged, config.window)
        size = config.width // config.heads
        return attend, rotations(ragged.position, size) if config.rotates else None


__all__ = ["CALE", "CaleConfig", "GroupEncoder"]
