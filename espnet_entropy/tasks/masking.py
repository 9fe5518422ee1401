"""What stands in for SpecAugment where the input is units: masked and replaced units.

Legend: B batch, N units, M groups, K codebook size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spans:
    """Runs of things that are masked.

    Attributes:
        share: of the units (or groups) that are masked on average, from 0 to below 1.
        max_width: a run has 1 to this many, all equally likely.
    """

    share: float
    max_width: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"share: expected from 0 to below 1, got {self.share}.")
        if self.max_width < 1:
            raise ValueError(f"max_width: expected at least 1, got {self.max_width}.")

    def draw(self, shape: tuple[int, int], device: torch.device) -> torch.Tensor:
        """(B, L) bool of ``shape``, True where masked; from torch's own generator.

        Runs begin everywhere with the same probability and may overlap; that probability is
        chosen so that ``share`` is covered away from the left edge.
        """
        index = torch.arange(shape[1], device=device)
        begins = torch.rand(shape, device=device) < _begin_probability(self)
        width = torch.randint(1, self.max_width + 1, shape, device=device)
        end = torch.where(begins, index + width, 0)
        return end.cummax(dim=1).values > index


def _begin_probability(spans: Spans) -> float:
    """Solves prod over d of (1 - p P(width > d)) = 1 - share, by bisection."""
    survive = [1 - d / spans.max_width for d in range(spans.max_width)]
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        uncovered = math.prod(1 - p * s for s in survive)
        low, high = (p, high) if uncovered > 1 - spans.share else (low, p)
    return low


@dataclass(frozen=True)
class MaskingConfig:
    """What happens to units in training; by default nothing.

    Attributes:
        mask_units: runs of units that become the mask.
        mask_groups: runs of groups all of whose units become the mask.
        replace_units: share of the units that become any unit, from 0 to below 1.
    """

    mask_units: Spans | None = None
    mask_groups: Spans | None = None
    replace_units: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.replace_units < 1:
            raise ValueError(
                f"replace_units: expected from 0 to below 1, got {self.replace_units}."
            )

    @property
    def masks(self) -> bool:
        """Whether the embedding needs a row for the mask."""
        return self.mask_units is not None or self.mask_groups is not None


class Masking(torch.nn.Module):
    """Masks and replaces units in training; in evaluation it hands them through.

    Args:
        config: what to do.
        num_units: K; the mask is unit K, one more than there are.
    """

    def __init__(self, config: MaskingConfig, num_units: int) -> None:
        super().__init__()
        self.config, self.num_units = config, num_units

    @property
    def num_embeddings(self) -> int:
        """Rows that the embedding of the units must have: K, or K + 1 with a mask."""
        return self.num_units + self.config.masks

    def forward(self, units: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """Units after masking.

        Args:
            units: (B, N) int64.
            groups: (B, N) int64, the number of the group of each unit; any in padding.

        Returns:
            (B, N) int64.
        """
        if not self.training:
            return units
        config, shape = self.config, (units.shape[0], units.shape[1])
        if config.replace_units > 0:
            hit = torch.rand(shape, device=units.device) < config.replace_units
            units = torch.where(hit, torch.randint_like(units, self.num_units), units)
        if config.mask_units is not None:
            hit = config.mask_units.draw(shape, units.device)
            units = units.masked_fill(hit, self.num_units)
        if config.mask_groups is not None:  # there are at most N groups: draw for N
            hit = config.mask_groups.draw(shape, units.device).gather(1, groups.clamp(min=0))
            units = units.masked_fill(hit, self.num_units)
        return units
