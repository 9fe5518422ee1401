"""When a group begins and how long it lasts, as a vector (off by default).

Fixed windows tell a decoder the time by their number; groups of uneven length do not.
G groups end to end, D width.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from espnet_entropy.cale.config import Time
from espnet_entropy.cale.ragged import Ragged

# Start: sines and cosines of these wavelengths in units, the longest 10.24 s at 50 Hz. An
# utterance of usual length runs through all of each, so that one longer than training ever saw
# brings no feature that training did not see, and nothing grows with it.
SHORTEST, LONGEST, WAVES = 4.0, 512.0, 16

# Duration: interpolated between 1, 2, 4, … 64 units (1.28 s); what is longer counts as 64.
OCTAVES = 7


class TimeEmbedding(nn.Module):
    """Vectors to add to those of groups; both parts begin small beside unit embeddings.

    Args:
        width: D.
        time: ``start`` or ``start+duration``.
    """

    def __init__(self, width: int, time: Time) -> None:
        super().__init__()
        assert time != "none"
        self.start = nn.Linear(2 * WAVES, width, bias=False)
        self.duration: nn.Linear | None = None
        if time == "start+duration":
            self.duration = nn.Linear(OCTAVES, width, bias=False)
            # zero: a duration that training never saw adds nothing instead of noise
            nn.init.zeros_(self.duration.weight)

    def forward(self, ragged: Ragged) -> torch.Tensor:
        """(G, D); an empty group begins where the next one does."""
        first = ragged.offsets[:-1].clamp_max(len(ragged.position) - 1)
        begin = ragged.position[first]
        vectors: torch.Tensor = self.start(start_features(begin).to(self.start.weight.dtype))
        if self.duration is not None:
            hats = duration_features(ragged.offsets.diff()).to(vectors.dtype)
            vectors = vectors + self.duration(hats)
        return vectors


def start_features(begin: torch.Tensor) -> torch.Tensor:
    """(G,) int64 units since the utterance began -> (G, 2 WAVES) float32 sines and cosines."""
    steps = torch.linspace(0.0, 1.0, WAVES, device=begin.device)
    wavelength = SHORTEST * (LONGEST / SHORTEST) ** steps
    angle = begin[:, None].float() * (2 * math.pi / wavelength)
    return torch.cat([angle.sin(), angle.cos()], -1)


def duration_features(units: torch.Tensor) -> torch.Tensor:
    """(G,) int64 units -> (G, OCTAVES) float32: hat functions of log2, which sum to 1.

    Example:
        >>> duration_features(torch.tensor([1, 3, 500])).round(decimals=2)[:, :3]
        tensor([[1.0000, 0.0000, 0.0000],
                [0.0000, 0.4200, 0.5800],
                [0.0000, 0.0000, 0.0000]])
    """
    octave = units.clamp(1, 2 ** (OCTAVES - 1)).float().log2()
    knots = torch.arange(OCTAVES, device=units.device)
    return (1.0 - (octave[:, None] - knots).abs()).clamp_min(0.0)
