"""A convolution over the embedded units of an utterance: a few neighbours, and their order.

For pure embeddings it is a sum of table look-ups: W_o e(u) has only K values for each offset o, so
K projections an offset serve any number of units. T units end to end, K units known, D width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from espnet_entropy.cale.ragged import Ragged


class UnitConvolution(nn.Module):
    """ReLU of a convolution that sees zeros beyond the ends of an utterance.

    Equal to ``Conv1d(D, D, kernel, padding=kernel // 2)`` on the embeddings of each utterance.

    Args:
        width: D.
        kernel: units that a position sees, odd.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width * kernel)  # as torch's convolutions begin
        self.weight = nn.Parameter(torch.empty(kernel, width, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, units: torch.Tensor, table: torch.Tensor, ragged: Ragged) -> torch.Tensor:
        """(T,) int64 units and their (K, D) embeddings -> (T, D)."""
        kernel, width = self.weight.shape[:2]
        projected = torch.matmul(table, self.weight).reshape(kernel * len(table), width)
        nothing = projected.new_zeros(1, width)
        rows = neighbours(units, ragged, kernel, len(table))
        summed = F.embedding_bag(rows, torch.cat([projected, nothing]), mode="sum")
        return F.relu(summed + self.bias)


def neighbours(units: torch.Tensor, ragged: Ragged, kernel: int, num_units: int) -> torch.Tensor:
    """(T, kernel) int64: ``o * num_units + unit`` of the o-th neighbour, or ``kernel * num_units``
    where the utterance has none."""
    offsets = torch.arange(kernel, device=units.device)
    place = torch.arange(len(units), device=units.device)[:, None] + offsets - kernel // 2
    inside = (place >= 0) & (place < len(units))
    place = place.clamp(0, len(units) - 1)
    inside &= ragged.utterance[place] == ragged.utterance[:, None]
    return torch.where(inside, offsets * num_units + units[place], kernel * num_units)
