"""Other voices and rooms out of the same levels, so that units care for phones alone.

All work on (B, J, 40) levels, whose unit is ``STEP`` nepers, and draw from torch's global generator
of the device. A change of gain or of a fixed filter would do nothing: normalization takes it away.

Legend: B batch, J level frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from espnet_entropy.tokenizer.mel_levels import NUM_BANDS, STEP

DECIBEL = 1 / (10 / 2.302585 * STEP)  # levels: a neper of power is 4.34 dB


@dataclass(frozen=True)
class AugmentConfig:
    """How much to change.

    Attributes:
        warp: the frequency axis of each utterance is stretched by up to this share, like the
            vocal tract of another speaker (Jaitly and Hinton 2013).
        noise: share of utterances to which another one of the batch is added (WavLM paper, 3.2).
        min_snr: dB by which the other is quieter, on average over its frames, at least.
        max_snr: dB at most.
        band_masks: stretches of bands that are silenced (SpecAugment).
        band_width: the most bands of a stretch.
    """

    warp: float = 0.1
    noise: float = 0.25
    min_snr: float = 0.0
    max_snr: float = 20.0
    band_masks: int = 1
    band_width: int = 6

    def __post_init__(self) -> None:
        if not 0 <= self.warp < 0.5:
            raise ValueError(f"warp: expected a share from 0 to below 0.5, got {self.warp}.")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise: expected a share of utterances, 0..1, got {self.noise}.")
        if self.min_snr > self.max_snr:
            raise ValueError(f"min_snr: expected at most max_snr, {self.max_snr} dB.")
        if self.band_masks < 0 or not 0 <= self.band_width < NUM_BANDS:
            raise ValueError(
                f"band_masks, band_width: expected 0 or more of up to {NUM_BANDS - 1} bands."
            )


def augment(levels: torch.Tensor, frames: torch.Tensor, config: AugmentConfig) -> torch.Tensor:
    """A changed copy.

    Args:
        levels: (B, J, 40) float.
        frames: (B,) level frames of each utterance.
        config: how much.
    """
    if config.warp:
        levels = warp(levels, 1 + config.warp * _uniform(len(levels), levels.device, -1, 1))
    if config.noise:
        chosen = torch.rand(len(levels), device=levels.device) < config.noise
        snr = _uniform(len(levels), levels.device, config.min_snr, config.max_snr)
        others = torch.roll(torch.arange(len(levels), device=levels.device), 1)
        levels = torch.where(chosen[:, None, None], add(levels, frames, others, snr), levels)
    for _ in range(config.band_masks):
        levels = levels.masked_fill(_stretches(len(levels), config.band_width, levels.device), 0)
    return levels


def warp(levels: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Band b takes what lay at b · factor, between bands in proportion; (B,) factors."""
    places = torch.arange(NUM_BANDS, device=levels.device) * factors[:, None]
    places = places.clamp(max=NUM_BANDS - 1)  # (B, 40)
    low = places.floor().long().clamp(max=NUM_BANDS - 2)
    share = (places - low)[:, None]
    shape = levels.shape
    below = levels.gather(2, low[:, None].expand(shape))
    above = levels.gather(2, low[:, None].expand(shape) + 1)
    return below + share * (above - below)


def add(
    levels: torch.Tensor, frames: torch.Tensor, others: torch.Tensor, snr: torch.Tensor
) -> torch.Tensor:
    """To each utterance the power of another, where both are there.

    Args:
        levels: (B, J, 40).
        frames: (B,) level frames of each.
        others: (B,) which one is added.
        snr: (B,) dB between the mean levels of the two.
    """
    valid = torch.arange(levels.shape[1], device=levels.device) < frames[:, None]
    means = (levels * valid[..., None]).sum(dim=(1, 2)) / (frames * NUM_BANDS)
    shift = means - means[others] - snr * DECIBEL
    other = (levels[others] + shift[:, None, None]) * STEP
    loud = torch.logaddexp(levels * STEP, other) / STEP
    return torch.where(valid[others][..., None], loud, levels)


def _stretches(count: int, width: int, device: torch.device) -> torch.Tensor:
    """(B, 1, 40) bool: one stretch of 0 to ``width`` bands each."""
    size = torch.randint(0, width + 1, (count, 1, 1), device=device)
    begin = torch.randint(0, NUM_BANDS, (count, 1, 1), device=device)
    bands = torch.arange(NUM_BANDS, device=device)
    return (bands >= begin) & (bands < begin + size)


def _uniform(count: int, device: torch.device, low: float, high: float) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, device=device)
