"""Which units are hidden in masked prediction: spans that begin anywhere (HuBERT paper, 3.2).

Legend: B batch, N units.
"""

from __future__ import annotations

import torch


def mask_spans(lengths: torch.Tensor, units: int, start: float, span: int) -> torch.Tensor:
    """Draw spans: each unit of an utterance begins one with probability ``start``.

    Spans may overlap; one that would pass the end of its utterance is cut there. Random numbers
    come from torch's global generator of the device.

    Args:
        lengths: (B,) units of each utterance.
        units: N, at least the longest.
        start: probability, 0..1.
        span: units.

    Returns:
        (B, N) bool.
    """
    begins = torch.rand(len(lengths), units, device=lengths.device) < start
    sums = torch.nn.functional.pad(begins.long(), (span, 0)).cumsum(dim=1)
    covered = sums[:, span:] > sums[:, :-span]  # a beginning among the last ``span`` units
    return covered & (torch.arange(units, device=lengths.device) < lengths[:, None])
